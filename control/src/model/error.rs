//! The one error of the model: a field and what is wrong with it.

use std::fmt;

/// A value that cannot be accepted: which field, and what was wrong and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct Invalid {
    /// Path of the field at fault, e.g. `subnet.cidr`.
    pub field: String,
    /// What was wrong and what would be right.
    pub message: String,
}

impl Invalid {
    /// An error about `field`.
    pub fn new(field: impl Into<String>, message: impl fmt::Display) -> Self {
        Self {
            field: field.into(),
            message: message.to_string(),
        }
    }
}

/// Names the field that a plain value error belongs to.
pub(crate) trait InField<T> {
    /// Turns the error into [`Invalid`] at `field`.
    fn in_field(self, field: &str) -> Result<T, Invalid>;
}

impl<T, E: fmt::Display> InField<T> for Result<T, E> {
    fn in_field(self, field: &str) -> Result<T, Invalid> {
        self.map_err(|error| Invalid::new(field, error))
    }
}
