//! Why a header view refused its bytes.

/// Why bytes are not the header they were taken for. The texts name the header and what would have been right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Fewer bytes than the header (or the length it states) needs.
    #[error("{header}: needs {need} bytes, only {have} are there")]
    Truncated {
        /// The header in question.
        header: &'static str,
        /// Bytes needed.
        need: usize,
        /// Bytes present.
        have: usize,
    },
    /// A field holds a value which the protocol does not allow.
    #[error("{header}: {field} is {value}, expected {expected}")]
    Invalid {
        /// The header in question.
        header: &'static str,
        /// The field, by its name in the RFC.
        field: &'static str,
        /// What it holds.
        value: u32,
        /// What it may hold.
        expected: &'static str,
    },
    /// The buffer to write into does not have the size that is written.
    #[error("{header}: writes {need} bytes into a buffer of {have}")]
    NoRoom {
        /// What was to be written.
        header: &'static str,
        /// Bytes that would be written.
        need: usize,
        /// Bytes of the buffer.
        have: usize,
    },
}

impl WireError {
    /// `Ok` if `have` bytes suffice for a header of `need`.
    pub(super) fn need(header: &'static str, need: usize, have: usize) -> Result<(), Self> {
        if have < need {
            Err(Self::Truncated { header, need, have })
        } else {
            Ok(())
        }
    }

    /// A field out of its range.
    pub(super) fn invalid(header: &'static str, field: &'static str, value: u32, expected: &'static str) -> Self {
        Self::Invalid {
            header,
            field,
            value,
            expected,
        }
    }
}
