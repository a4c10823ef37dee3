//! Why attaching failed, such that a plugin can tell "later" from "never".

use std::{io, path::PathBuf};

use tonic::{Code, Status};

use crate::transport::Address;

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Control does not answer, or not in time, or cannot write. Trying again later may help.
    #[error("control is away: {address}: {reason}")]
    Away {
        /// Where it was asked.
        address: Address,
        /// What the system, or control itself, said.
        reason: String,
    },
    /// Control answered and said no. The message names the field at fault.
    #[error("{message}")]
    Refused {
        /// The kind of refusal: see the head of `control.proto`.
        code: Code,
        /// Why, in words.
        message: String,
    },
    /// The node's dataplane does not have the endpoint in time.
    #[error("the dataplane of node {node} does not have endpoint {endpoint}: {reason}")]
    NotProgrammed {
        /// The node.
        node: String,
        /// "network/name".
        endpoint: String,
        /// What is known of why.
        reason: String,
    },
    /// A network namespace cannot be entered.
    #[error("network namespace {}: {source}", path.display())]
    Namespace {
        /// Its file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The kernel refuses something about a link.
    #[error("{what}: {source}")]
    Kernel {
        /// What was to be done.
        what: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// Control's answer makes no sense to this program.
    #[error("{0}")]
    Nonsense(String),
}

impl Error {
    /// Whether control said that there is no such thing.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(
            self,
            Self::Refused {
                code: Code::NotFound,
                ..
            }
        )
    }

    /// Whether control said that a name or value is taken.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        matches!(
            self,
            Self::Refused {
                code: Code::AlreadyExists,
                ..
            }
        )
    }

    /// Whether a network namespace is not there (any more).
    #[must_use]
    pub fn is_namespace_gone(&self) -> bool {
        matches!(self, Self::Namespace { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    pub(super) fn kernel(what: impl Into<String>, source: io::Error) -> Self {
        Self::Kernel {
            what: what.into(),
            source,
        }
    }

    pub(super) fn status(address: &Address, status: &Status) -> Self {
        // What the transport says carries its cause; what control says does not.
        let broken = std::error::Error::source(status).is_some();
        let away = matches!(
            status.code(),
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled
        );
        if away || broken {
            return Self::Away {
                address: address.clone(),
                reason: words(status),
            };
        }
        Self::Refused {
            code: status.code(),
            message: status.message().to_owned(),
        }
    }
}

/// The innermost cause: "connection refused" rather than "transport error".
fn words(status: &Status) -> String {
    let mut words = status.message().to_owned();
    let mut next = std::error::Error::source(status);
    while let Some(error) = next {
        words = error.to_string();
        next = error.source();
    }
    words
}
