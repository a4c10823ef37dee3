//! The state on disk, and the one writer of it.
//!
//! [`Backend`] is all that a place to keep records has to do: load them, and commit changes durably, whole or not at all. [`Redb`] is the
//! default, one file. [`Store`] stands before a backend: it keeps the newest [`State`](crate::state::State) in memory for readers, runs
//! transactions one after the other on its own thread, commits those that wait together, and tells watchers. A cluster's backend (etcd)
//! would compare the revision it is asked to follow and feed other writers' changes in through [`Backend::load`]; nothing above it changes.

mod backend;
mod codec;
mod error;
mod redb;
mod writer;

pub use self::redb::Redb;
pub use backend::{Backend, Loaded};
pub use error::StoreError;
pub use writer::{Commit, Store, StoreCounts, Watcher};

#[cfg(test)]
mod tests;
