//! Why a request is refused.

use crate::{model::Invalid, store::StoreError};

/// Why nothing was changed. Messages begin with the field at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A value is malformed, out of range, or changes what cannot change.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The object, or one that it refers to, does not exist.
    #[error("{0}")]
    NotFound(Invalid),
    /// The name, or a value that must be unique, is taken.
    #[error("{0}")]
    Taken(Invalid),
    /// Others still depend on it.
    #[error("{0}")]
    InUse(Invalid),
    /// The object's revision is another one.
    #[error("{0}")]
    Stale(Invalid),
    /// Nothing is left to hand out.
    #[error("{0}")]
    Exhausted(Invalid),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Refusal {
    pub(super) fn invalid(field: &str, message: impl Into<String>) -> Self {
        Self::Invalid(Invalid::new(field, message.into()))
    }
    pub(super) fn not_found(field: &str, message: impl Into<String>) -> Self {
        Self::NotFound(Invalid::new(field, message.into()))
    }
    pub(super) fn taken(field: &str, message: impl Into<String>) -> Self {
        Self::Taken(Invalid::new(field, message.into()))
    }
    pub(super) fn in_use(field: &str, message: impl Into<String>) -> Self {
        Self::InUse(Invalid::new(field, message.into()))
    }
    pub(super) fn exhausted(field: &str, message: impl Into<String>) -> Self {
        Self::Exhausted(Invalid::new(field, message.into()))
    }

    /// Refuses an update that expects another revision than the current one.
    pub(super) fn unless_revision(kind: &str, wished: u64, current: u64) -> Result<(), Self> {
        if wished == 0 || wished == current {
            return Ok(());
        }
        let message = format!("{wished} was expected, but it is at {current}; read it again");
        Err(Self::Stale(Invalid::new(format!("{kind}.revision"), message)))
    }

    /// Refuses a change of a field that cannot change.
    pub(super) fn unless_same<T: PartialEq + std::fmt::Display>(
        field: &str,
        wished: Option<T>,
        current: &T,
    ) -> Result<(), Self> {
        match wished {
            Some(wished) if wished != *current => Err(Self::invalid(
                field,
                format!("cannot change from {current} to {wished}"),
            )),
            _ => Ok(()),
        }
    }
}
