//! What is left to be told of a flow that is no more.

use super::super::sync::Ordering;
use super::record::{ACTION_WORDS, Record};
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
    /// When it was made, in milliseconds.
    pub created_ms: u64,
    /// When its last packet came.
    pub last_seen_ms: u64,
    /// Packets, forward and reverse.
    pub packets: [u64; 2],
    /// Bytes, forward and reverse.
    pub bytes: [u64; 2],
    /// Words of connection state, forward and reverse.
    pub state: [u64; 2],
    /// Why.
    pub reason: EndReason,
}

impl EndedFlow {
    /// Of a pair that nobody changes any more but by counting.
    pub(super) fn of([forward, reverse]: &[Record; 2], reason: EndReason) -> Self {
        let two = reverse.in_use();
        let both = |field: fn(&Record) -> &super::super::sync::AtomicU64| {
            let second = if two { field(reverse).load(Ordering::Relaxed) } else { 0 };
            [field(forward).load(Ordering::Relaxed), second]
        };
        let last_seen = both(|record| &record.last_seen);
        Self {
            key: FlowKey::from_words(forward.peek_key()),
            reverse_key: two.then(|| FlowKey::from_words(reverse.peek_key())),
            action: forward.peek_action(),
            reverse_action: if two { reverse.peek_action() } else { [0; ACTION_WORDS] },
            port: forward.port(),
            created_ms: forward.created.load(Ordering::Relaxed),
            last_seen_ms: last_seen[0].max(last_seen[1]),
            packets: both(|record| &record.packets),
            bytes: both(|record| &record.bytes),
            state: both(|record| &record.state),
            reason,
        }
    }
}
