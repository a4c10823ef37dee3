//! Refusals as gRPC says them.

use tonic::{Code, Status};

use crate::{intent::Refusal, model::Invalid, store::StoreError};

/// The status of a refusal.
pub(super) fn of(refusal: Refusal) -> Status {
    let code = match &refusal {
        Refusal::Invalid(_) => Code::InvalidArgument,
        Refusal::NotFound(_) => Code::NotFound,
        Refusal::Taken(_) => Code::AlreadyExists,
        Refusal::InUse(_) => Code::FailedPrecondition,
        Refusal::Stale(_) => Code::Aborted,
        Refusal::Exhausted(_) => Code::ResourceExhausted,
        Refusal::Store(StoreError::Full { .. }) => Code::ResourceExhausted,
        Refusal::Store(StoreError::Corrupt { .. } | StoreError::TooNew { .. }) => Code::DataLoss,
        Refusal::Store(StoreError::Io { .. } | StoreError::Locked { .. } | StoreError::Closed) => Code::Unavailable,
    };
    Status::new(code, refusal.to_string())
}

/// The status of a malformed value.
pub(super) fn invalid(invalid: Invalid) -> Status {
    of(Refusal::Invalid(invalid))
}

/// The status of a failing store.
pub(super) fn store(error: StoreError) -> Status {
    of(Refusal::Store(error))
}
