//! What a place to keep records has to do.

use super::StoreError;
use crate::state::{Change, Record};

/// Everything that a backend holds.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Revision of the last commit; 0: none yet.
    pub revision: u64,
    /// All records, in the order of their keys.
    pub records: Vec<Record>,
}

/// A place to keep records. Called by one thread.
pub trait Backend: Send + 'static {
    /// Reads everything. After an error the backend opens its file or connection again.
    ///
    /// # Errors
    /// The store cannot be read, or does not hold what this program wrote.
    fn load(&mut self) -> Result<Loaded, StoreError>;

    /// Makes `changes` durable as one step from revision `from` to revision `to`.
    ///
    /// # Errors
    /// The store cannot be written. Whether the changes are in is then unknown until the next [`Backend::load`].
    fn commit(&mut self, from: u64, to: u64, changes: &[Change]) -> Result<(), StoreError>;
}
