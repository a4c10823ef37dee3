//! Looking at flows without being in their way: the sweep's view of its own pair, and entries copied out for dumps.

use super::super::sync::Ordering;
use super::record::{ACTION_WORDS, Pair, Record};
use super::table::FlowTable;
use super::{FlowRef, STALE};
use crate::packet::key::FlowKey;

/// A living flow as its owner sees it while sweeping: what a timeout may depend on.
#[derive(Clone, Copy)]
pub struct FlowView<'a> {
    pair: &'a Pair,
    now_ms: u64,
}

impl<'a> FlowView<'a> {
    pub(super) fn new(pair: &'a Pair, now_ms: u64) -> Self {
        Self { pair, now_ms }
    }

    fn forward(&self) -> Record<'a> {
        self.pair.direction(0)
    }

    fn reverse(&self) -> Option<Record<'a>> {
        self.pair.is_answered().then(|| self.pair.direction(1))
    }

    fn both<T: Default>(&self, field: impl Fn(Record<'a>) -> T) -> [T; 2] {
        [field(self.forward()), self.reverse().map_or_else(T::default, field)]
    }

    /// The key of the forward direction.
    #[must_use]
    pub fn key(&self) -> FlowKey {
        self.forward()
            .key()
            .map_or_else(FlowKey::default, |(words, _)| FlowKey::from_words(words))
    }

    /// The IP protocol.
    #[inline]
    #[must_use]
    pub fn protocol(&self) -> u8 {
        self.forward().protocol()
    }

    /// The key of the answers, if the flow has two directions.
    #[must_use]
    pub fn reverse_key(&self) -> Option<FlowKey> {
        self.reverse()?.key().map(|(words, _)| FlowKey::from_words(words))
    }

    /// The forward direction's decision. It may be half rewritten: good for a hint such as "was it a drop", not to be run.
    #[must_use]
    pub fn action(&self) -> [u64; ACTION_WORDS] {
        self.forward().peek_action()
    }

    /// The port that pays.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.pair.port()
    }

    /// When the last packet of either direction came, in milliseconds.
    #[must_use]
    pub fn last_seen_ms(&self) -> u64 {
        self.pair.last_seen(self.now_ms)
    }

    /// When the flow was made, in steps of 16 ms.
    #[must_use]
    pub fn created_ms(&self) -> u64 {
        self.pair.created(self.now_ms)
    }

    /// Packets counted, forward and reverse.
    #[must_use]
    pub fn packets(&self) -> [u64; 2] {
        self.both(|record| record.counted()[0])
    }

    /// The words of connection state, forward and reverse.
    #[must_use]
    pub fn state(&self) -> [u64; 2] {
        self.both(|record| record.state().load(Ordering::Relaxed))
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
    /// When the last packet of either direction came, in milliseconds.
    pub last_seen_ms: u64,
    /// When the flow was made, in steps of 16 ms; of flows older than two years, without some of these.
    pub created_ms: u64,
    /// Packets of this direction, modulo 2^40.
    pub packets: u64,
    /// Bytes of this direction, modulo 2^56.
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
        let (pair, now) = (self.pair(direction >> 1), self.about_now());
        let [packets, bytes] = record.counted();
        let entry = FlowEntry {
            flow: FlowRef { direction, generation },
            key: FlowKey::from_words(words),
            port: pair.port(),
            epoch: seen.epoch,
            action: if seen.epoch == STALE {
                [0; ACTION_WORDS]
            } else {
                seen.action
            },
            last_seen_ms: pair.last_seen(now),
            created_ms: pair.created(now),
            packets,
            bytes,
            state: record.state().load(Ordering::Acquire),
        };
        // Unmoved after the last load: all of it was this flow's.
        (record.generation() == generation).then_some(entry)
    }
}
