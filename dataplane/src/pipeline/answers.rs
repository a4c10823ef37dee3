//! Answers to what this node asks workloads over TCP, on their way from workers to whoever asked.
//!
//! A workload cannot fill the queue: only packets for a question that is open are taken, only from the port that was asked, and only
//! so many at a time for each question.

use std::sync::atomic::{AtomicU32, Ordering};

use crossbeam::queue::ArrayQueue;

use crate::{packet::Frame, tables::slots::PortSlot};

/// First of the router's own TCP ports from which workloads are asked. All from here on are.
pub const FIRST_PORT: u16 = 0xf000;

/// How many there are.
pub const PORTS: usize = 0x1000;

/// Packets for one question that may wait.
const SHARE: u32 = 32;

/// Packets for all questions that may wait.
const DEPTH: usize = 2048;

/// A question is open. The rest of its word: the port that was asked, and how many packets it may still send.
const OPEN: u32 = 1 << 31;
const LEFT: u32 = 0xff;

/// A packet for one of the router's own TCP ports.
#[derive(Debug)]
#[must_use = "its frame must be freed"]
pub struct Answer {
    /// The port of the router.
    pub local_port: u16,
    /// The IP packet.
    pub frame: Frame,
}

/// Open questions, and what came for them.
#[derive(Debug)]
pub struct Answers {
    queue: ArrayQueue<Answer>,
    open: Box<[AtomicU32]>,
}

impl Default for Answers {
    fn default() -> Self {
        Self {
            queue: ArrayQueue::new(DEPTH),
            open: (0..PORTS).map(|_| AtomicU32::new(0)).collect(),
        }
    }
}

impl Answers {
    fn word(&self, local_port: u16) -> Option<&AtomicU32> {
        self.open.get(usize::from(local_port.checked_sub(FIRST_PORT)?))
    }

    /// The workload behind `from` is asked from this port of the router's.
    pub fn expect(&self, local_port: u16, from: PortSlot) {
        if let Some(word) = self.word(local_port) {
            word.store(OPEN | u32::from(from.raw()) << 8 | SHARE, Ordering::Release);
        }
    }

    /// Nothing more is expected.
    pub fn forget(&self, local_port: u16) {
        if let Some(word) = self.word(local_port) {
            word.store(0, Ordering::Release);
        }
    }

    /// Something is expected at this port from the workload behind `from`.
    pub(super) fn expects(&self, local_port: u16, from: PortSlot) -> bool {
        self.word(local_port)
            .is_some_and(|word| is_open(word.load(Ordering::Acquire), from))
    }

    /// Leaves an expected packet.
    ///
    /// # Errors
    /// Gives the frame back when too many wait, or nothing is expected any more.
    pub(super) fn put(&self, local_port: u16, from: PortSlot, frame: Frame) -> Result<(), Frame> {
        let spend = |word: u32| (is_open(word, from) && word & LEFT > 0).then(|| word - 1);
        let spent = self
            .word(local_port)
            .is_some_and(|word| word.fetch_update(Ordering::AcqRel, Ordering::Acquire, spend).is_ok());
        if !spent {
            return Err(frame);
        }
        self.queue
            .push(Answer { local_port, frame })
            .map_err(|refused| refused.frame)
    }

    /// Takes the next packet; its sender may send one more.
    pub fn take(&self) -> Option<Answer> {
        let answer = self.queue.pop()?;
        if let Some(word) = self.word(answer.local_port) {
            let refund = |word: u32| (word & OPEN != 0 && word & LEFT < SHARE).then(|| word + 1);
            // Closed meanwhile: nothing to refund.
            let _ = word.fetch_update(Ordering::AcqRel, Ordering::Acquire, refund);
        }
        Some(answer)
    }
}

fn is_open(word: u32, from: PortSlot) -> bool {
    word & !LEFT == OPEN | u32::from(from.raw()) << 8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::FramePool;

    #[test]
    fn only_the_asked_port_may_answer_and_not_more_than_its_share() {
        let pool = FramePool::new(128, 2048).unwrap();
        let (mut frames, answers) = (pool.cache(), Answers::default());
        let (asked, other) = (PortSlot::from_raw(7), PortSlot::from_raw(8));
        assert!(!answers.expects(FIRST_PORT, asked));
        answers.expect(FIRST_PORT, asked);
        answers.expect(u16::MAX, other);
        assert!(answers.expects(FIRST_PORT, asked) && !answers.expects(FIRST_PORT, other));
        assert!(!answers.expects(FIRST_PORT - 1, asked) && !answers.expects(80, asked));
        let mut put = |local, from| {
            let refused = answers.put(local, from, frames.take().unwrap()).err();
            refused.map(|frame| frames.free(frame)).is_none()
        };
        assert!(!put(FIRST_PORT, other));
        let taken = (0..100).filter(|_| put(FIRST_PORT, asked)).count();
        assert_eq!(taken, SHARE as usize);
        assert!(put(u16::MAX, other), "another's share is its own");
        let first = answers.take().unwrap();
        assert_eq!(first.local_port, FIRST_PORT);
        assert!(put(FIRST_PORT, asked) && !put(FIRST_PORT, asked), "one taken, one more");
        answers.forget(FIRST_PORT);
        assert!(!put(FIRST_PORT, asked));
        frames.free(first.frame);
        while let Some(answer) = answers.take() {
            frames.free(answer.frame);
        }
        assert!(!answers.expects(FIRST_PORT, asked), "what is taken late opens nothing");
        assert_eq!(pool.free(), 128);
    }
}
