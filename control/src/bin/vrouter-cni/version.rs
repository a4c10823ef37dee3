//! The versions of the specification that are spoken.

use serde_json::{Map, Value, json};

use super::{environment::Command, failure::Failure};

/// A version of the specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    /// 0.3.1: results with lists of interfaces and addresses.
    V0_3_1,
    /// 0.4.0: CHECK.
    V0_4_0,
    /// 1.0.0: addresses without their family.
    V1_0_0,
    /// 1.1.0: GC, STATUS, MTU in results.
    V1_1_0,
}

impl Version {
    pub(crate) const ALL: [Self; 4] = [Self::V0_3_1, Self::V0_4_0, Self::V1_0_0, Self::V1_1_0];
    pub(crate) const NEWEST: Self = Self::V1_1_0;

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::V0_3_1 => "0.3.1",
            Self::V0_4_0 => "0.4.0",
            Self::V1_0_0 => "1.0.0",
            Self::V1_1_0 => "1.1.0",
        }
    }

    /// The version of a configuration. One that says none is of before there were any.
    pub(crate) fn of(input: &Map<String, Value>) -> Result<Self, Failure> {
        let text = match input.get("cniVersion") {
            None => "0.1.0",
            Some(Value::String(text)) => text,
            Some(other) => return Err(Failure::undecodable(format!("cniVersion: {other} is no text"))),
        };
        Self::ALL.into_iter().find(|v| v.as_str() == text).ok_or_else(|| {
            Failure::incompatible(format!("cniVersion {text} is not spoken"))
                .with_details(format!("spoken are {}", spoken().join(", ")))
        })
    }

    /// Refuses commands that this version does not have.
    pub(crate) fn allows(self, command: Command) -> Result<(), Failure> {
        let since = match command {
            Command::Add | Command::Del | Command::Version => Self::V0_3_1,
            Command::Check => Self::V0_4_0,
            Command::Gc | Command::Status => Self::V1_1_0,
        };
        if self >= since {
            return Ok(());
        }
        let message = format!(
            "cniVersion {} has no {command}; {} would be right",
            self.as_str(),
            since.as_str()
        );
        Err(Failure::incompatible(message))
    }
}

fn spoken() -> Vec<&'static str> {
    Version::ALL.into_iter().map(Version::as_str).collect()
}

/// The answer to VERSION: in the version asked in, if it is a known one.
pub(crate) fn answer(input: &str) -> Value {
    let input: Map<String, Value> = serde_json::from_str(input).unwrap_or_default();
    let version = Version::of(&input).unwrap_or(Version::NEWEST);
    json!({"cniVersion": version.as_str(), "supportedVersions": spoken()})
}
