//! One datagram whose fragments are under way: which of its bytes have been seen.

use super::{Head, Identity, NONE};
use crate::packet::{FlowKey, shelf::List};

/// Runs of bytes with gaps between them that are kept track of. Fragments that come in order, in whatever order of sizes, make one.
const RUNS: usize = 16;

/// Neighbours in a chain of datagrams.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub before: u32,
    pub next: u32,
}

impl Link {
    pub(super) const NONE: Self = Self {
        before: NONE,
        next: NONE,
    };
}

/// A datagram.
#[derive(Debug)]
pub(super) struct Datagram {
    pub identity: Identity,
    /// When its first fragment came.
    pub since: u64,
    /// Next of its bucket, or next unused.
    pub next: u32,
    pub of_all: Link,
    pub of_owner: Link,
    /// Fragments that wait for the head.
    pub held: List,
    /// Known once the head has come.
    pub head: Option<Head>,
    /// Fragments contradicted each other: nothing of it passes any more.
    pub poisoned: bool,
    /// Length in bytes, once the last fragment has come.
    total: Option<u32>,
    /// First and end of each run, in units of 8 bytes, in ascending order; they do not touch.
    runs: [(u16, u16); RUNS],
    count: usize,
}

/// How a fragment goes with those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// It adds bytes that no other had.
    Good,
    /// It contradicts another, or this datagram is poisoned.
    Overlap,
    /// It would leave more gaps than can be remembered.
    TooManyGaps,
}

impl Datagram {
    pub(super) fn unused(next: u32) -> Self {
        let identity = Identity {
            key: FlowKey::default(),
            owner: 0,
        };
        Self::new(identity, 0, next)
    }

    pub(super) fn new(identity: Identity, since: u64, next: u32) -> Self {
        Self {
            identity,
            since,
            next,
            of_all: Link::NONE,
            of_owner: Link::NONE,
            held: List::default(),
            head: None,
            poisoned: false,
            total: None,
            runs: [(0, 0); RUNS],
            count: 0,
        }
    }

    /// Every byte has been seen.
    pub(super) fn is_complete(&self) -> bool {
        match (self.total, &self.runs[..self.count]) {
            (Some(total), [(0, end)]) => u32::from(*end) * 8 >= total,
            _ => false,
        }
    }

    /// Marks the bytes of a fragment as seen.
    pub(super) fn fit(&mut self, offset: u16, len: u16, more: bool) -> Fit {
        if self.poisoned {
            return Fit::Overlap;
        }
        let (start, end) = (u32::from(offset), u32::from(offset) + u32::from(len));
        let beyond = match self.total {
            // The length is known: one last fragment only, and nothing behind it.
            Some(total) => !more || end >= total,
            None => {
                !more
                    && self.runs[..self.count]
                        .last()
                        .is_some_and(|run| u32::from(run.1) * 8 > end)
            }
        };
        let (first, last) = ((start / 8) as u16, end.div_ceil(8) as u16);
        // Runs before the place end at or before `first`.
        let place = self.runs[..self.count].partition_point(|run| run.1 <= first);
        let overlaps = self.runs[..self.count].get(place).is_some_and(|run| run.0 < last);
        if beyond || overlaps || len == 0 {
            self.poisoned = true;
            return Fit::Overlap;
        }
        let joins_before = place > 0 && self.runs[place - 1].1 == first;
        let joins_behind = place < self.count && self.runs[place].0 == last;
        match (joins_before, joins_behind) {
            (true, true) => {
                self.runs[place - 1].1 = self.runs[place].1;
                self.runs.copy_within(place + 1..self.count, place);
                self.count -= 1;
            }
            (true, false) => self.runs[place - 1].1 = last,
            (false, true) => self.runs[place].0 = first,
            (false, false) => {
                if self.count == RUNS {
                    return Fit::TooManyGaps;
                }
                self.runs.copy_within(place..self.count, place + 1);
                self.runs[place] = (first, last);
                self.count += 1;
            }
        }
        if !more {
            self.total = Some(end);
        }
        Fit::Good
    }
}
