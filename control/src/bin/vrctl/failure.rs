//! Why a command failed, in words for a person and as an exit code for a script.

use std::{error::Error as _, io};

use tonic::{Code, Status, TimeoutExpired};

/// Everything that can end a command early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The command line asks for something that makes no sense. Exit code 2.
    #[error("{0}")]
    Usage(String),
    /// What was asked for does not exist, or is not one thing. Exit code 1.
    #[error("{0}")]
    Missing(String),
    /// The server answered and said no. Exit code 1.
    #[error("{} ({})", words(.0), code_name(.0.code()))]
    Refused(Status),
    /// The server cannot be reached. Exit code 3.
    #[error("no route to the {socket} socket at {address}: is {program} running? ({reason})\nhint: {hint}")]
    Unreachable {
        /// "control" or "dataplane".
        socket: &'static str,
        /// Where it was looked for.
        address: String,
        /// The program that should listen there.
        program: &'static str,
        /// What the system said.
        reason: String,
        /// What to try.
        hint: String,
    },
    /// The connection was there and went away. Exit code 3.
    #[error("the connection was lost: {0}")]
    Lost(String),
    /// Not all is well, which was said already. The exit code is given.
    #[error("not all is well")]
    Unwell(u8),
    /// Standard output does not take what is written. Exit code 1.
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
}

impl Failure {
    /// The exit code of the process: 1 refused, 2 usage, 3 cannot connect. A reader that closed the pipe has what it wanted: 0.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Unwell(code) => *code,
            Self::Usage(_) => 2,
            Self::Unreachable { .. } | Self::Lost(_) => 3,
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            Self::Missing(_) | Self::Refused(_) | Self::Output(_) => 1,
        }
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::Output(error.into())
    }
}

impl From<Status> for Failure {
    /// A status made by the transport on this side is a lost connection; every other is the server's answer.
    fn from(status: Status) -> Self {
        let mut source = status.source();
        let mut deepest = None;
        while let Some(error) = source {
            deepest = Some(if error.is::<TimeoutExpired>() {
                "no answer in time".to_owned()
            } else {
                error.to_string()
            });
            source = error.source();
        }
        match deepest {
            Some(reason) => Self::Lost(reason),
            None => Self::Refused(status),
        }
    }
}

/// The server's message; servers that send none get the code's description.
fn words(status: &Status) -> &str {
    match status.message() {
        "" => status.code().description(),
        message => message,
    }
}

/// The code as the protocol files write it.
fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_words_come_plainly_with_the_code_behind() {
        let failure = Failure::from(Status::invalid_argument("subnet.cidr: host bits set"));
        assert_eq!(failure.to_string(), "subnet.cidr: host bits set (INVALID_ARGUMENT)");
        assert_eq!(failure.exit_code(), 1);
    }

    #[test]
    fn what_the_transport_says_is_a_lost_connection() {
        let mut status = Status::cancelled("Timeout expired");
        status.set_source(std::sync::Arc::new(TimeoutExpired(())));
        let failure = Failure::from(status);
        assert_eq!(failure.to_string(), "the connection was lost: no answer in time");
        assert_eq!(failure.exit_code(), 3);
    }

    #[test]
    fn a_closed_pipe_is_success_and_a_full_disk_is_not() {
        let closed = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(closed.exit_code(), 0);
        let full = Failure::from(io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(full.exit_code(), 1);
    }
}
