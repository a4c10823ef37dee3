//! What is left to be told of a flow that is no more.

use super::super::sync::Ordering;
use super::record::{ACTION_WORDS, Pair};
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

impl EndedFlow {
    /// Of a pair that nobody changes any more but by counting.
    pub(super) fn of(pair: &Pair, reason: EndReason, now_ms: u64) -> Self {
        let (forward, reverse, two) = (pair.direction(0), pair.direction(1), pair.is_answered());
        // What has no answers counted none.
        let counted = [forward.counted(), reverse.counted()];
        Self {
            key: FlowKey::from_words(forward.peek_key()),
            reverse_key: two.then(|| FlowKey::from_words(reverse.peek_key())),
            action: forward.peek_action(),
            reverse_action: if two { reverse.peek_action() } else { [0; ACTION_WORDS] },
            port: pair.port(),
            created_ms: pair.created(now_ms),
            last_seen_ms: pair.last_seen(now_ms),
            packets: counted.map(|[packets, _]| packets),
            bytes: counted.map(|[_, bytes]| bytes),
            state: [forward, reverse].map(|record| record.state().load(Ordering::Relaxed)),
            reason,
        }
    }
}
