//! Why the store could not be opened, read or written.

use std::{io, path::Path};

/// What went wrong with the store. Nothing is ever half-applied: after any of these the store holds what it held before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No space, quota or file size left.
    #[error("store {place}: no space left ({detail}); nothing was changed; free some space and try again")]
    Full {
        /// Path of the store.
        place: String,
        /// What the system said.
        detail: String,
    },
    /// Another process has it open.
    #[error("store {place}: another process has it open; is vrouter-control running already?")]
    Locked {
        /// Path of the store.
        place: String,
    },
    /// It is not what this program wrote.
    #[error("store {place}: damaged ({detail}); restore it from a copy, or move it away to begin anew")]
    Corrupt {
        /// Path of the store.
        place: String,
        /// What does not fit.
        detail: String,
    },
    /// A newer program wrote it.
    #[error("store {place}: has format {found}, this program knows up to {known}; use the newer vrouter-control")]
    TooNew {
        /// Path of the store.
        place: String,
        /// The format found.
        found: u64,
        /// The newest format known.
        known: u64,
    },
    /// Any other failure of the system.
    #[error("store {place}: {detail}")]
    Io {
        /// Path of the store.
        place: String,
        /// What the system said.
        detail: String,
    },
    /// The process is going down.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// An error of the operating system.
    #[must_use]
    pub fn io(place: &Path, error: &io::Error) -> Self {
        use io::ErrorKind as Kind;
        let place = place.display().to_string();
        let detail = error.to_string();
        match error.kind() {
            Kind::StorageFull | Kind::QuotaExceeded | Kind::FileTooLarge => Self::Full { place, detail },
            Kind::InvalidData | Kind::UnexpectedEof => Self::Corrupt { place, detail },
            _ => Self::Io { place, detail },
        }
    }

    /// Content that does not fit.
    pub fn corrupt(place: &Path, detail: impl ToString) -> Self {
        Self::Corrupt {
            place: place.display().to_string(),
            detail: detail.to_string(),
        }
    }
}
