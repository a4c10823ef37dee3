//! Gives out slots.

use super::state::Map;

/// Free slots of one kind. A persistent value: a batch that fails throws its copy away.
#[derive(Clone, Debug)]
pub(super) struct SlotPool {
    next: usize,
    limit: usize,
    /// Slots given back, oldest first, keyed by the order of their return: a slot rests as long as possible before it means
    /// something else.
    free: Map<u64, usize>,
    head: u64,
    tail: u64,
}

impl SlotPool {
    /// Slots `0..limit`.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            next: 0,
            limit,
            free: Map::default(),
            head: 0,
            tail: 0,
        }
    }

    /// A slot that nobody has, never-used ones first. `None` when all are taken.
    pub(super) fn take(&mut self) -> Option<usize> {
        if self.next < self.limit {
            self.next += 1;
            return Some(self.next - 1);
        }
        let slot = self.free.remove(&self.head)?;
        self.head += 1;
        Some(slot)
    }

    /// A slot that nobody has, used ones first: for what no one remembers beyond its revision, so that arrays stay small.
    pub(super) fn take_densely(&mut self) -> Option<usize> {
        match self.free.remove(&self.head) {
            Some(slot) => {
                self.head += 1;
                Some(slot)
            }
            None => self.take(),
        }
    }

    /// Takes a slot back.
    pub(super) fn give(&mut self, slot: usize) {
        self.free.insert(self.tail, slot);
        self.tail += 1;
    }

    /// How many slots there are.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_rest_before_they_are_used_again() {
        let mut pool = SlotPool::new(3);
        assert_eq!(pool.take(), Some(0));
        assert_eq!(pool.take(), Some(1));
        pool.give(1);
        pool.give(0);
        assert_eq!(pool.take(), Some(2));
        let copy = pool.clone();
        assert_eq!(pool.take(), Some(1));
        assert_eq!(pool.take(), Some(0));
        assert_eq!(pool.take(), None);
        assert_eq!({ copy }.take(), Some(1));
    }

    #[test]
    fn slots_taken_densely_are_those_given_back() {
        let mut pool = SlotPool::new(3);
        assert_eq!((pool.take_densely(), pool.take_densely()), (Some(0), Some(1)));
        pool.give(0);
        assert_eq!(pool.take_densely(), Some(0));
        assert_eq!((pool.take_densely(), pool.take_densely()), (Some(2), None));
    }
}
