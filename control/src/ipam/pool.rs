//! A range of numbers, some of them taken.

use imbl::OrdMap;

/// Numbers `first..=last`, kept as disjoint, non-adjacent ranges that are not free. Taking, releasing and finding the next free number
/// cost the logarithm of the number of ranges, however large the range is; a clone costs nothing (persistent structure).
#[derive(Debug, Clone)]
pub struct Pool {
    first: u128,
    last: u128,
    /// Start to end (included) of what is not free.
    used: OrdMap<u128, u128>,
    /// Start to end (included) of what is blocked: not free, and not taken either.
    blocked: OrdMap<u128, u128>,
    taken: u64,
}

impl Pool {
    /// All of `first..=last` is free.
    #[must_use]
    pub fn new(first: u128, last: u128) -> Self {
        Self {
            first,
            last,
            used: OrdMap::new(),
            blocked: OrdMap::new(),
            taken: 0,
        }
    }

    /// Takes `first..=last` out for good. Numbers in it that are free become not free; blocking again is no error.
    #[must_use]
    pub fn blocking(mut self, first: u128, last: u128) -> Self {
        let (first, last) = (first.max(self.first), last.min(self.last));
        if first <= last {
            insert(&mut self.used, first, last);
            insert(&mut self.blocked, first, last);
        }
        self
    }

    /// How many numbers are taken.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// How many numbers can be taken in all, taken ones included; at most `u128::MAX`.
    #[must_use]
    pub fn size(&self) -> u128 {
        let blocked: u128 = self.blocked.iter().map(|(first, last)| last - first + 1).sum();
        (self.last - self.first - blocked).saturating_add(1)
    }

    /// Whether `number` is within the pool's ends.
    #[must_use]
    pub fn spans(&self, number: u128) -> bool {
        (self.first..=self.last).contains(&number)
    }

    /// Whether `number` is blocked.
    #[must_use]
    pub fn is_blocked(&self, number: u128) -> bool {
        covers(&self.blocked, number)
    }

    /// Whether `number` could be taken now.
    #[must_use]
    pub fn is_free(&self, number: u128) -> bool {
        self.spans(number) && !covers(&self.used, number)
    }

    /// The first free number at or after `from`, going round at the end. `None`: all are used.
    #[must_use]
    pub fn next_free(&self, from: u128) -> Option<u128> {
        let from = if self.spans(from) { from } else { self.first };
        self.free_between(from, self.last)
            .or_else(|| self.free_between(self.first, from))
    }

    fn free_between(&self, from: u128, to: u128) -> Option<u128> {
        // Ranges are never adjacent, so what follows the range around `from` is free.
        let candidate = match self.used.get_prev(&from) {
            Some((_, &end)) if end >= from => end.checked_add(1)?,
            _ => from,
        };
        (candidate <= to).then_some(candidate)
    }

    /// Takes `number`. False, and nothing changed, when it is not free.
    pub fn take(&mut self, number: u128) -> bool {
        if !self.is_free(number) {
            return false;
        }
        insert(&mut self.used, number, number);
        self.taken += 1;
        true
    }

    /// Gives `number` back. False, and nothing changed, when it was not taken.
    pub fn release(&mut self, number: u128) -> bool {
        if !covers(&self.used, number) || self.is_blocked(number) {
            return false;
        }
        if let Some((&start, &end)) = self.used.get_prev(&number) {
            self.used.remove(&start);
            if start < number {
                self.used.insert(start, number - 1);
            }
            if number < end {
                self.used.insert(number + 1, end);
            }
        }
        self.taken = self.taken.saturating_sub(1);
        true
    }
}

fn covers(ranges: &OrdMap<u128, u128>, number: u128) -> bool {
    ranges.get_prev(&number).is_some_and(|(_, &end)| end >= number)
}

/// Adds a range, joining all that it overlaps or touches.
fn insert(ranges: &mut OrdMap<u128, u128>, mut first: u128, mut last: u128) {
    loop {
        // The last range that starts at or before the byte after us is the only candidate to join; then look again.
        let touching = ranges
            .get_prev(&last.saturating_add(1))
            .map(|(&start, &end)| (start, end))
            .filter(|&(_, end)| end.saturating_add(1) >= first);
        let Some((start, end)) = touching else { break };
        ranges.remove(&start);
        first = first.min(start);
        last = last.max(end);
    }
    ranges.insert(first, last);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_goes_round_and_ends() {
        let mut pool = Pool::new(1, 5).blocking(1, 1);
        let mut cursor = 3;
        let mut order = Vec::new();
        while let Some(n) = pool.next_free(cursor) {
            assert!(pool.take(n));
            order.push(n);
            cursor = n + 1;
        }
        assert_eq!(order, [3, 4, 5, 2]);
        assert_eq!((pool.taken(), pool.size()), (4, 4));
        assert!(!pool.take(3));
        assert!(pool.release(4));
        assert!(!pool.release(4));
        assert!(!pool.release(1), "blocked numbers were never taken");
        assert_eq!(pool.next_free(1), Some(4));
    }

    #[test]
    fn the_largest_range_works_at_its_ends() {
        let mut pool = Pool::new(0, u128::MAX);
        assert!(pool.take(u128::MAX) && pool.take(0));
        assert_eq!(pool.next_free(u128::MAX), Some(1));
        assert!(pool.release(u128::MAX));
        assert_eq!(pool.next_free(u128::MAX), Some(u128::MAX));
    }

    #[test]
    fn dense_ranges_stay_one_entry() {
        let mut pool = Pool::new(0, 0xffff);
        for n in 0..=0xffff {
            assert_eq!(pool.next_free(n), Some(n));
            assert!(pool.take(n));
        }
        assert_eq!((pool.used.len(), pool.taken(), pool.next_free(0)), (1, 0x1_0000, None));
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_set(
            blocks in prop::collection::vec((0_u128..64, 0_u128..8), 0..4),
            steps in prop::collection::vec((any::<bool>(), 0_u128..70), 0..200),
        ) {
            let mut pool = Pool::new(2, 60);
            let mut blocked = BTreeSet::new();
            for (start, length) in blocks {
                pool = pool.blocking(start, start + length);
                blocked.extend((start..=start + length).filter(|n| (2..=60).contains(n)));
            }
            let mut taken = BTreeSet::new();
            for (take, n) in steps {
                if take {
                    let can = (2..=60).contains(&n) && !blocked.contains(&n) && !taken.contains(&n);
                    prop_assert_eq!(pool.take(n), can);
                    if can { taken.insert(n); }
                } else {
                    prop_assert_eq!(pool.release(n), taken.remove(&n));
                }
                prop_assert_eq!(pool.taken(), taken.len() as u64);
                prop_assert_eq!(pool.size(), 59 - blocked.len() as u128);
                let free = |n: &u128| !blocked.contains(n) && !taken.contains(n);
                let next = (n..=60).chain(2..=60).filter(|n| *n >= 2).find(free);
                prop_assert_eq!(pool.next_free(n), next);
                let ranges: Vec<_> = pool.used.iter().map(|(&a, &b)| (a, b)).collect();
                prop_assert!(ranges.windows(2).all(|w| w[0].1 + 1 < w[1].0), "joined and ordered: {:?}", ranges);
            }
        }
    }
}
