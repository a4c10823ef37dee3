//! Why a request cannot be met, in words that dockerd shows to whoever typed the command.

use vrouter_control::attach;

use crate::journal::JournalError;

/// Why a request cannot be met.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The body is not what this request has.
    #[error("this is no body of this request: {0}")]
    Malformed(serde_json::Error),
    /// The body is longer than any request of dockerd.
    #[error("the body has more than {0} bytes")]
    TooLong(usize),
    /// No such request.
    #[error("{0} is no request of Docker's network or IPAM plugins")]
    NoSuchRequest(String),
    /// Only `POST` is spoken.
    #[error("{0} is not spoken here; POST would be right")]
    Method(String),
    /// What the request asks for cannot be; the words say what could.
    #[error("{0}")]
    Refused(String),
    /// What the request names is not known.
    #[error("{0}")]
    Unknown(String),
    /// Control or the kernel refuses, or control cannot be reached.
    #[error("{0}")]
    Attach(#[from] attach::Error),
    /// The plugin's own records cannot be written.
    #[error("{0}")]
    Journal(#[from] JournalError),
    /// Time is up; what was begun is undone later.
    #[error("no answer within {0} ms: the machine or vrouter-control is busy; try again")]
    Late(u128),
}

impl Failure {
    /// A refusal.
    pub(crate) fn refused(words: impl Into<String>) -> Self {
        Self::Refused(words.into())
    }

    /// Whether control said no, so that nothing was changed there.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, Self::Attach(attach::Error::Refused { .. }) | Self::Refused(_))
    }
}
