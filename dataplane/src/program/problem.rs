//! Why a batch is refused.

/// Kind of refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// A field's value is malformed or out of range.
    Invalid,
    /// It refers to what does not exist.
    NotFound,
    /// It is still referred to, or takes what another has.
    InUse,
    /// A table is full.
    Exhausted,
    /// The machine refused.
    Refused,
}

/// One reason why a batch was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("operation {operation}: {field}: {message}")]
pub struct Problem {
    /// Index of the operation within the batch.
    pub operation: usize,
    /// Kind of refusal.
    pub code: Code,
    /// Path of the field at fault, e.g. "route.prefix".
    pub field: &'static str,
    /// What was wrong and what would be right.
    pub message: String,
}

/// A refusal before it is known which operation of a batch it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Kind of refusal.
    pub code: Code,
    /// Path of the field at fault.
    pub field: &'static str,
    /// What was wrong and what would be right.
    pub message: String,
}

impl Refusal {
    /// A field's value is wrong.
    pub fn invalid(field: &'static str, message: impl Into<String>) -> Self {
        Self {
            code: Code::Invalid,
            field,
            message: message.into(),
        }
    }

    /// What the field refers to does not exist.
    pub fn not_found(field: &'static str, message: impl Into<String>) -> Self {
        Self {
            code: Code::NotFound,
            field,
            message: message.into(),
        }
    }

    /// What the field names is still referred to, or taken.
    pub fn in_use(field: &'static str, message: impl Into<String>) -> Self {
        Self {
            code: Code::InUse,
            field,
            message: message.into(),
        }
    }

    /// There is no room for more.
    pub fn exhausted(field: &'static str, message: impl Into<String>) -> Self {
        Self {
            code: Code::Exhausted,
            field,
            message: message.into(),
        }
    }

    /// The machine refused.
    pub fn refused(field: &'static str, message: impl Into<String>) -> Self {
        Self {
            code: Code::Refused,
            field,
            message: message.into(),
        }
    }

    /// As a problem of the operation at this index.
    pub fn at(self, operation: usize) -> Problem {
        Problem {
            operation,
            code: self.code,
            field: self.field,
            message: self.message,
        }
    }
}
