//! A state being changed.

use std::{collections::BTreeMap, ops::Deref};

use super::{Key, Record, State};

/// One record's change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Which record.
    pub key: Key,
    /// As it was; `None`: it was not there.
    pub before: Option<Record>,
    /// As it is; `None`: it is not there any more.
    pub after: Option<Record>,
}

/// A clone of the newest state, being changed. Reads see what was written before them. Dropping it undoes everything.
#[derive(Debug)]
pub struct Transaction {
    state: State,
    revision: u64,
    before: BTreeMap<Key, Option<Record>>,
}

impl Transaction {
    /// Begins on `state`.
    #[must_use]
    pub fn new(state: State) -> Self {
        let revision = state.revision() + 1;
        Self {
            state,
            revision,
            before: BTreeMap::new(),
        }
    }

    /// The revision that its changes will have.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Creates or replaces a record.
    pub fn put(&mut self, record: Record) {
        let key = record.key();
        let old = self.state.get(&key);
        self.before.entry(key).or_insert(old);
        self.state.put(record, self.revision);
    }

    /// Deletes a record. Deleting what is not there changes nothing.
    pub fn delete(&mut self, key: Key) {
        if let Some(old) = self.state.get(&key) {
            self.state.remove(&key, self.revision);
            self.before.entry(key).or_insert(Some(old));
        }
    }

    /// The changes and the state they lead to; `None` when nothing is changed.
    #[must_use]
    pub fn finish(mut self) -> Option<(Vec<Change>, State)> {
        let state = &self.state;
        let changes: Vec<Change> = std::mem::take(&mut self.before)
            .into_iter()
            .map(|(key, before)| Change {
                after: state.get(&key),
                key,
                before,
            })
            .filter(|change| change.before != change.after)
            .collect();
        if changes.is_empty() {
            return None;
        }
        self.state.advance(self.revision);
        Some((changes, self.state))
    }
}

impl Deref for Transaction {
    type Target = State;
    fn deref(&self) -> &State {
        &self.state
    }
}
