//! A worker's own region of the flow table: which of its pairs are free, and where its sweep stands. Private to the worker, so
//! nothing here is shared but two counters for others to read.

use super::super::sync::{AtomicU32, Ordering};
use super::table::FlowTable;

/// The right to make and free flows in one worker's region of a [`FlowTable`]. There is exactly one per worker, given out by
/// [`FlowTable::new`]; use it only with the table it came from.
#[derive(Debug)]
pub struct FlowOwner {
    pub(super) worker: usize,
    /// The region: pairs `first..end`, of which `first..fresh` were ever used.
    pub(super) first: u32,
    end: u32,
    pub(super) fresh: u32,
    /// The last pair freed, plus one; each free pair holds the next in `created`. Zero: none.
    free: u64,
    pub(super) hand: u32,
}

/// What others may know of a region.
#[derive(Debug)]
pub(super) struct RegionCount {
    pub(super) used: AtomicU32,
    /// One past the last pair ever used.
    pub(super) fresh: AtomicU32,
}

impl FlowOwner {
    pub(super) fn new(worker: usize, first: u32, end: u32) -> Self {
        Self {
            worker,
            first,
            end,
            fresh: first,
            free: 0,
            hand: first,
        }
    }

    /// The worker this region belongs to.
    #[must_use]
    pub fn worker(&self) -> usize {
        self.worker
    }

    /// How many pairs the region has.
    #[must_use]
    pub fn capacity(&self) -> usize {
        (self.end - self.first) as usize
    }

    /// A free pair: one lately freed (still in cache), else one never used.
    pub(super) fn allocate(&mut self, table: &FlowTable) -> Option<u32> {
        let count = table.region(self.worker);
        let pair = if let Some(pair) = self.free.checked_sub(1) {
            let pair = pair as u32;
            self.free = table.pair(pair)[0].created.load(Ordering::Relaxed);
            pair
        } else if self.fresh < self.end {
            let pair = self.fresh;
            self.fresh += 1;
            count.fresh.store(self.fresh, Ordering::Release);
            pair
        } else {
            return None;
        };
        // Only this worker writes its count.
        count
            .used
            .store(count.used.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        Some(pair)
    }

    /// Gives a pair back to the region; both of its records are free.
    pub(super) fn release(&mut self, table: &FlowTable, pair: u32) {
        table.pair(pair)[0].created.store(self.free, Ordering::Relaxed);
        self.free = u64::from(pair) + 1;
        let used = &table.region(self.worker).used;
        used.store(used.load(Ordering::Relaxed).saturating_sub(1), Ordering::Relaxed);
    }
}
