//! Errors as the specification numbers them.

use serde_json::{Value, json};
use vrouter_control::attach;

use super::version::Version;

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u32,
    message: String,
    details: String,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $code:literal;)+) => {
        $($(#[$doc])* pub(crate) fn $name(message: impl Into<String>) -> Self {
            Self { code: $code, message: message.into(), details: String::new() }
        })+
    };
}

impl Failure {
    kinds! {
        /// The version of the configuration is not spoken, or does not have the command.
        incompatible = 1;
        /// A field of the configuration is not supported. The message has key and value.
        unsupported = 2;
        /// The container is not there; nothing has to be cleaned up.
        unknown_container = 3;
        /// An environment variable is missing or wrong.
        environment = 4;
        /// Reading or writing failed.
        io = 5;
        /// The configuration is no JSON, or of other types.
        undecodable = 6;
        /// The configuration asks for what cannot be.
        config = 7;
        /// It may work later.
        later = 11;
        /// No container can be attached now.
        unavailable = 50;
        /// The attachment is not as it should be.
        broken = 100;
        /// Control refuses.
        refused = 101;
        /// The kernel refuses.
        kernel = 102;
        /// A defect of this program.
        internal = 199;
    }

    /// With more for people.
    pub(crate) fn with_details(mut self, details: impl Into<String>) -> Self {
        self.details = details.into();
        self
    }

    pub(crate) fn code(&self) -> u32 {
        self.code
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn to_json(&self, version: Version) -> Value {
        let mut answer = json!({"cniVersion": version.as_str(), "code": self.code, "msg": self.message});
        if !self.details.is_empty() {
            answer["details"] = self.details.clone().into();
        }
        answer
    }
}

impl From<attach::Error> for Failure {
    fn from(error: attach::Error) -> Self {
        let message = error.to_string();
        match error {
            attach::Error::Away { .. } => {
                Self::later(message).with_details("is vrouter-control running, and is \"control\" its address?")
            }
            attach::Error::NotProgrammed { .. } => Self::later(message),
            attach::Error::Refused { .. } | attach::Error::Nonsense(_) => Self::refused(message),
            attach::Error::Namespace { .. } if error.is_namespace_gone() => Self::unknown_container(message),
            attach::Error::Namespace { .. } | attach::Error::Kernel { .. } => Self::kernel(message),
        }
    }
}
