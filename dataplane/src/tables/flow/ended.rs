//! What is left to be told of a flow that is no more.

use super::super::sync::Ordering;
use super::record::{ACTION_WORDS, Pair, Record};
use crate::packet::key::FlowKey;

/// Why a flow is no more.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EndReason {
    /// It was removed: its decision or its connection ended it.
    Removed,
    /// No packet came for as long as it may be idle.
    Idle,
    /// It made room for another flow of its port.
    Evicted,
}

/// A flow that has ended, as its owner is told once, when its memory is free again: to give back what it had used elsewhere, and to tell
/// watchers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EndedFlow {
    /// The key of the direction of the first packet.
    pub key: FlowKey,
    /// The key of the answers, if it had two directions.
    pub reverse_key: Option<FlowKey>,
    /// The last decision of the forward direction.
    pub action: [u64; ACTION_WORDS],
    /// The last decision of the reverse direction; zeros if there is none.
    pub reverse_action: [u64; ACTION_WORDS],
    /// The port that paid.
    pub port: u16,
    /// When it was made, in milliseconds (steps of 16).
    pub created_ms: u64,
    /// When its last packet came.
    pub last_seen_ms: u64,
    /// Packets, forward and reverse, modulo 2^40.
    pub packets: [u64; 2],
    /// Bytes, forward and reverse, modulo 2^56.
    pub bytes: [u64; 2],
    /// Words of connection state, forward and reverse.
    pub state: [u64; 2],
    /// Why.
    pub reason: EndReason,
}

/// A flow that has just ended, where it was: its memory is free, but not yet used again. Most of those who are told of an end want little of it.
#[derive(Clone, Copy)]
pub struct Ending<'a> {
    pair: &'a Pair,
    port: u16,
    created_ms: u64,
    two: bool,
    now_ms: u64,
    /// Why it ended.
    pub reason: EndReason,
}

impl<'a> Ending<'a> {
    /// Of a pair that is about to be freed, and that nobody changes any more but by counting. To be read as long as its owner does not fill it again.
    #[inline]
    pub(super) fn of(pair: &'a Pair, reason: EndReason, now_ms: u64) -> Self {
        Self {
            pair,
            port: pair.port(),
            created_ms: pair.created(now_ms),
            two: pair.is_answered(),
            now_ms,
            reason,
        }
    }

    fn forward(&self) -> Record<'a> {
        self.pair.direction(0)
    }

    fn reverse(&self) -> Option<Record<'a>> {
        self.two.then(|| self.pair.direction(1))
    }

    /// [`EndedFlow::key`].
    #[must_use]
    pub fn key(&self) -> FlowKey {
        FlowKey::from_words(self.forward().peek_key())
    }

    /// [`EndedFlow::reverse_key`].
    #[must_use]
    pub fn reverse_key(&self) -> Option<FlowKey> {
        Some(FlowKey::from_words(self.reverse()?.peek_key()))
    }

    /// [`EndedFlow::action`].
    #[inline]
    #[must_use]
    pub fn action(&self) -> [u64; ACTION_WORDS] {
        self.forward().peek_action()
    }

    /// [`EndedFlow::reverse_action`].
    #[inline]
    #[must_use]
    pub fn reverse_action(&self) -> [u64; ACTION_WORDS] {
        self.reverse()
            .map_or([0; ACTION_WORDS], |reverse| reverse.peek_action())
    }

    /// All of it.
    #[must_use]
    pub fn flow(&self) -> EndedFlow {
        let both = [self.pair.direction(0), self.pair.direction(1)];
        // What has no answers counted none.
        let counted = both.map(|record| record.counted());
        EndedFlow {
            key: self.key(),
            reverse_key: self.reverse_key(),
            action: self.action(),
            reverse_action: self.reverse_action(),
            port: self.port,
            created_ms: self.created_ms,
            last_seen_ms: self.pair.last_seen(self.now_ms),
            packets: counted.map(|[packets, _]| packets),
            bytes: counted.map(|[_, bytes]| bytes),
            state: both.map(|record| record.state().load(Ordering::Relaxed)),
            reason: self.reason,
        }
    }
}
