//! A worker's own region of the flow table: which of its pairs are free, which are young, and when each is to be looked at. Private to the
//! worker, so nothing here is shared but two counters for others to read.

use super::super::sync::{AtomicU32, Ordering};
use super::attention::Wanted;
use super::links::Lists;
use super::table::FlowTable;
use super::wheel::Wheel;

/// The right to make and free flows in one worker's region of a [`FlowTable`]. There is exactly one per worker, given out by
/// [`FlowTable::new`]; use it only with the table it came from.
#[derive(Debug)]
pub struct FlowOwner {
    pub(super) worker: usize,
    /// The region: pairs `first..end`, of which `first..fresh` were ever used.
    first: u32,
    end: u32,
    fresh: u32,
    /// Pairs that were freed, the last one last. Has room for all from the start, in memory that comes as it is used.
    free: Vec<u32>,
    /// When each flow is to be looked at.
    wheel: Wheel,
    /// Young flows, oldest first, a list for each port; a last list for the pairs whose insertion failed and that could not be freed.
    young: Lists,
    ports: usize,
    /// Flows that ended and were not yet given back to the shares of their port and VRF.
    owed: Owed,
    /// What others wanted looked at, and was not yet.
    pub(super) wanted: Wanted,
    /// New flows are looked at so long after they were made.
    first_look_ms: u64,
}

/// Ended flows of one port and VRF, to be given back to their shares at once.
#[derive(Debug, Default)]
struct Owed {
    port: u16,
    vrf: Option<u16>,
    count: u32,
}

/// What others may know of a region.
#[derive(Debug)]
pub(super) struct RegionCount {
    pub(super) used: AtomicU32,
    /// One past the last pair ever used.
    pub(super) fresh: AtomicU32,
}

impl FlowOwner {
    pub(super) fn new(worker: usize, first: u32, end: u32, ports: usize) -> Self {
        let pairs = (end - first) as usize;
        Self {
            worker,
            first,
            end,
            fresh: first,
            free: Vec::with_capacity(pairs),
            wheel: Wheel::new(pairs),
            young: Lists::new(pairs, ports + 1),
            ports,
            owed: Owed::default(),
            wanted: Wanted::default(),
            first_look_ms: 0,
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

    /// Flows made from now on are first looked at so long after they were made: their timeout, if nothing is to become of them. Before it
    /// is said, each new flow is looked at by the next [`FlowTable::expire`].
    #[inline]
    pub fn set_first_look(&mut self, milliseconds: u64) {
        self.first_look_ms = milliseconds;
    }

    /// A free pair: one lately freed (still in cache), else one never used.
    pub(super) fn allocate(&mut self, table: &FlowTable) -> Option<u32> {
        let count = table.region(self.worker);
        let pair = if let Some(pair) = self.free.pop() {
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

    /// Asks for the memory of the pair that will be taken after so many others.
    #[inline]
    pub fn prefetch_free(&self, table: &FlowTable, after: usize) {
        let free = self.free.len().checked_sub(after + 1);
        if let Some(pair) = free.and_then(|place| self.free.get(place)) {
            table.prefetch_pair(*pair);
        }
    }

    /// Gives a pair back to the region; both of its records are free.
    pub(super) fn release(&mut self, table: &FlowTable, pair: u32) {
        self.wheel.disarm(self.local(pair));
        self.young.unlink(self.local(pair));
        self.free.push(pair);
        let used = &table.region(self.worker).used;
        used.store(used.load(Ordering::Relaxed).saturating_sub(1), Ordering::Relaxed);
    }

    /// A flow of this port and VRF has ended. What is owed must be [given back](Self::pay) before anybody else may look.
    pub(super) fn owe(&mut self, table: &FlowTable, port: u16, vrf: Option<u16>) {
        if (self.owed.port, self.owed.vrf) != (port, vrf) {
            self.pay(table);
            (self.owed.port, self.owed.vrf) = (port, vrf);
        }
        self.owed.count += 1;
    }

    /// Gives back what is owed.
    #[inline]
    pub(super) fn pay(&mut self, table: &FlowTable) {
        if self.owed.count > 0 {
            table.give_back_shares(self.owed.port, self.owed.vrf, std::mem::take(&mut self.owed.count));
        }
    }

    /// A flow was made: it is young, and to be looked at when its first timeout is over.
    pub(super) fn born(&mut self, pair: u32, port: u16, now_ms: u64) {
        self.set_young(pair, port, true);
        self.arm(pair, now_ms.saturating_add(self.first_look_ms), now_ms);
    }

    /// A flow was not made, and its pair could not be freed at once.
    pub(super) fn stillborn(&mut self, pair: u32) {
        self.young.push_back(self.ports, self.local(pair));
    }

    /// A pair to be freed of which nobody need be told.
    pub(super) fn unborn(&self) -> Option<u32> {
        Some(self.first + self.young.front(self.ports)?)
    }

    /// Whether the pair is a flow that was made and has not ended.
    pub(super) fn is_armed(&self, pair: u32) -> bool {
        self.wheel.contains(self.local(pair))
    }

    pub(super) fn arm(&mut self, pair: u32, due_ms: u64, now_ms: u64) {
        self.wheel.arm(self.local(pair), due_ms, now_ms);
    }

    /// The flows that [`due`](Self::due) will likely give next; gives how many.
    pub(super) fn coming(&mut self, now_ms: u64, pairs: &mut [u32]) -> usize {
        let count = self.wheel.coming(now_ms, pairs);
        pairs.iter_mut().take(count).for_each(|pair| *pair += self.first);
        count
    }

    /// A flow that is due to be looked at.
    pub(super) fn due(&mut self, now_ms: u64) -> Option<u32> {
        Some(self.first + self.wheel.due(now_ms)?)
    }

    /// Puts a flow among the young of its port, as the last, or takes it out.
    pub(super) fn set_young(&mut self, pair: u32, port: u16, young: bool) {
        let pair = self.local(pair);
        if young {
            if !self.young.contains(pair) {
                self.young.push_back(usize::from(port).min(self.ports), pair);
            }
        } else {
            self.young.unlink(pair);
        }
    }

    /// The young flow of a port that has been so for longest.
    pub(super) fn oldest_young(&self, port: u16) -> Option<u32> {
        let list = usize::from(port);
        let pair = (list < self.ports).then(|| self.young.front(list))??;
        Some(self.first + pair)
    }

    /// All pairs that were ever in use.
    pub(super) fn ever_used(&self) -> std::ops::Range<u32> {
        self.first..self.fresh
    }

    fn local(&self, pair: u32) -> u32 {
        pair - self.first
    }
}
