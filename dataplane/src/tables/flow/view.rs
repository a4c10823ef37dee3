//! Looking at flows without being in their way: the sweep's view of its own pair, and entries copied out for dumps.

use super::super::sync::Ordering;
use super::record::{ACTION_WORDS, Record};
use super::table::FlowTable;
use super::{FlowRef, STALE};
use crate::packet::key::FlowKey;

/// A living flow as its owner sees it while sweeping: what a timeout may depend on.
#[derive(Clone, Copy)]
pub struct FlowView<'a> {
    forward: &'a Record,
    reverse: Option<&'a Record>,
}

impl<'a> FlowView<'a> {
    pub(super) fn new([forward, reverse]: &'a [Record; 2]) -> Self {
        Self {
            forward,
            reverse: reverse.in_use().then_some(reverse),
        }
    }

    /// The key of the forward direction.
    #[must_use]
    pub fn key(&self) -> FlowKey {
        self.forward
            .key()
            .map_or_else(FlowKey::default, |(words, _)| FlowKey::from_words(words))
    }

    /// The key of the answers, if the flow has two directions.
    #[must_use]
    pub fn reverse_key(&self) -> Option<FlowKey> {
        self.reverse?.key().map(|(words, _)| FlowKey::from_words(words))
    }

    /// The forward direction's decision. It may be half rewritten: good for a hint such as "was it a drop", not to be run.
    #[must_use]
    pub fn action(&self) -> [u64; ACTION_WORDS] {
        self.forward.peek_action()
    }

    /// The port that pays.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.forward.port()
    }

    /// When the last packet of either direction came, in milliseconds.
    #[must_use]
    pub fn last_seen_ms(&self) -> u64 {
        let seen = |record: &Record| record.last_seen.load(Ordering::Relaxed);
        seen(self.forward).max(self.reverse.map_or(0, seen))
    }

    /// When the flow was made.
    #[must_use]
    pub fn created_ms(&self) -> u64 {
        self.forward.created.load(Ordering::Relaxed)
    }

    /// Packets counted, forward and reverse.
    #[must_use]
    pub fn packets(&self) -> [u64; 2] {
        let count = |record: &Record| record.packets.load(Ordering::Relaxed);
        [count(self.forward), self.reverse.map_or(0, count)]
    }

    /// The words of connection state, forward and reverse.
    #[must_use]
    pub fn state(&self) -> [u64; 2] {
        let state = |record: &Record| record.state.load(Ordering::Relaxed);
        [state(self.forward), self.reverse.map_or(0, state)]
    }
}

/// One direction of a flow, copied out. Key and decision belong together; the counters are those of the same flow, read one after another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowEntry {
    /// The direction.
    pub flow: FlowRef,
    /// Its key.
    pub key: FlowKey,
    /// The port that pays for the flow.
    pub port: u16,
    /// The epoch of the decision; [`STALE`] if it was being rewritten.
    pub epoch: u64,
    /// The decision.
    pub action: [u64; ACTION_WORDS],
    /// When the last packet came, in milliseconds.
    pub last_seen_ms: u64,
    /// When the flow was made.
    pub created_ms: u64,
    /// Packets of this direction.
    pub packets: u64,
    /// Bytes of this direction.
    pub bytes: u64,
    /// The word of connection state.
    pub state: u64,
}

impl FlowTable {
    /// Copies out every living direction, in no order that means anything. Any thread may; workers notice nothing. A flow that comes or
    /// goes meanwhile is in it or not; none is in it half.
    pub fn entries(&self) -> impl Iterator<Item = FlowEntry> + '_ {
        self.regions
            .iter()
            .zip((0..).step_by(self.per_region as usize))
            .flat_map(|(region, first)| first..region.fresh.load(Ordering::Acquire))
            .flat_map(|pair| [pair * 2, pair * 2 + 1])
            .filter_map(|direction| self.entry(direction))
    }

    /// Copies one direction out, if the flow still lives.
    #[must_use]
    pub fn entry_of(&self, flow: FlowRef) -> Option<FlowEntry> {
        self.entry(flow.direction).filter(|entry| entry.flow == flow)
    }

    fn entry(&self, direction: u32) -> Option<FlowEntry> {
        let record = self.record(direction);
        let (words, generation) = record.key()?;
        let seen = record.read_generation(generation)?;
        let load = |word: &super::super::sync::AtomicU64| word.load(Ordering::Acquire);
        let entry = FlowEntry {
            flow: FlowRef { direction, generation },
            key: FlowKey::from_words(words),
            port: record.port(),
            epoch: seen.epoch,
            action: if seen.epoch == STALE {
                [0; ACTION_WORDS]
            } else {
                seen.action
            },
            last_seen_ms: load(&record.last_seen),
            created_ms: load(&record.created),
            packets: load(&record.packets),
            bytes: load(&record.bytes),
            state: load(&record.state),
        };
        // Unmoved after the last load: all of it was this flow's.
        (record.generation() == generation).then_some(entry)
    }
}
