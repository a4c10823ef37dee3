//! What becomes of flows, told to those who watch: a ring of fixed size that workers write and one reader empties.
//!
//! While nobody watches, a worker reads one flag per new flow and nothing else. A full ring loses the newest event and counts it;
//! no worker waits.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crossbeam::queue::ArrayQueue;

use crate::{
    packet::FlowKey,
    tables::flow::{ACTION_WORDS, EndReason},
};

/// Events that wait to be read.
const DEPTH: usize = 8192;

/// What happened to a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowChange {
    /// It was made.
    Created,
    /// A packet was refused for which one would have been made, or one that was let pass before is refused now.
    Denied,
    /// It was decided anew, to another end.
    Changed,
    /// It is over.
    Ended,
}

/// Something that happened to a flow: numbers only, to be put into words by whoever reads it.
#[derive(Clone, Copy, Debug)]
pub struct FlowEvent {
    /// What.
    pub change: FlowChange,
    /// When, nanoseconds of the workers' clock.
    pub at: u64,
    /// The direction of the first packet.
    pub key: FlowKey,
    /// The key of its answers, if it has any.
    pub answers: Option<FlowKey>,
    /// What is done with it.
    pub action: [u64; ACTION_WORDS],
    /// Words of connection state, of the first direction and of the answers.
    pub state: [u64; 2],
    /// What is done with its answers; zeros: none came, or it is not over.
    pub reverse_action: [u64; ACTION_WORDS],
    /// Packets so far, of the first direction and of the answers.
    pub packets: [u64; 2],
    /// Bytes so far, likewise.
    pub bytes: [u64; 2],
    /// When it was made and when its last packet came, milliseconds of the workers' clock; 0 while it is not over.
    pub lasted_ms: [u64; 2],
    /// Why it is over; `None`: it is not.
    pub end: Option<EndReason>,
    /// The port that pays, by its slot.
    pub port: u16,
}

/// The ring.
#[derive(Debug)]
pub struct FlowEvents {
    ring: ArrayQueue<FlowEvent>,
    watchers: AtomicUsize,
    lost: AtomicU64,
}

impl Default for FlowEvents {
    fn default() -> Self {
        Self {
            ring: ArrayQueue::new(DEPTH),
            watchers: AtomicUsize::new(0),
            lost: AtomicU64::new(0),
        }
    }
}

impl FlowEvents {
    /// Somebody watches.
    #[inline]
    pub fn watched(&self) -> bool {
        self.watchers.load(Ordering::Relaxed) > 0
    }

    /// Tells an event, if somebody watches.
    #[inline]
    pub fn tell(&self, event: impl FnOnce() -> FlowEvent) {
        if self.watched() && self.ring.push(event()).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// One more watches.
    pub fn watch(&self) {
        self.watchers.fetch_add(1, Ordering::Relaxed);
    }

    /// One less watches. What the last one left is thrown away.
    pub fn unwatch(&self) {
        if self.watchers.fetch_sub(1, Ordering::Relaxed) == 1 {
            while self.ring.pop().is_some() {}
        }
    }

    /// The next event.
    pub fn next(&self) -> Option<FlowEvent> {
        self.ring.pop()
    }

    /// Events lost since this was asked last.
    pub fn take_lost(&self) -> u64 {
        self.lost.swap(0, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> FlowEvent {
        FlowEvent {
            change: FlowChange::Created,
            at: 0,
            key: FlowKey::default(),
            answers: None,
            action: [0; ACTION_WORDS],
            state: [0; 2],
            reverse_action: [0; ACTION_WORDS],
            packets: [0; 2],
            bytes: [0; 2],
            lasted_ms: [0; 2],
            end: None,
            port: 0,
        }
    }

    #[test]
    fn what_nobody_watches_is_not_told_and_what_does_not_fit_is_counted() {
        let events = FlowEvents::default();
        events.tell(event);
        assert!(events.next().is_none());
        events.watch();
        for _ in 0..DEPTH + 3 {
            events.tell(event);
        }
        assert_eq!(events.take_lost(), 3);
        assert_eq!(events.take_lost(), 0);
        assert!(events.next().is_some());
        events.unwatch();
        assert!(events.next().is_none());
    }
}
