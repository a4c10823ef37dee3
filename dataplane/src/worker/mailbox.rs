//! What other threads tell a worker: ports to take or give up, frames to send for them, and to wake up.
//!
//! A worker looks into its mailbox once per turn, without waiting. Whoever puts something in wakes it if it sleeps.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use crossbeam::queue::ArrayQueue;

use crate::{packet::Frame, port::Queue, tables::slots::PortSlot, tap::CaptureSet};

/// Frames that other workers and the control side may leave for a worker to send.
const HANDOFF_DEPTH: usize = 4096;

/// Commands that may wait.
const COMMAND_DEPTH: usize = 4096;

/// What a worker is told to do.
pub(super) enum Command {
    /// Make room for frames to this port, and own this queue of it, if one is given.
    AddPort(PortSlot, Option<Box<dyn Queue>>),
    /// Give the port up. Its queue, if owned, goes to `returned`, with frames that waited.
    RemovePort(PortSlot),
    /// Copy packets for these captures, and no others.
    Capture(Arc<CaptureSet>),
    /// Leave the loop.
    Stop,
}

/// A port that a worker has given up.
pub struct Returned {
    /// The port.
    pub port: PortSlot,
    /// Its queues that this worker owned, to be closed by a thread that may block.
    pub queues: Vec<Box<dyn Queue>>,
    /// Frames that waited to be sent by it.
    pub frames: Vec<Frame>,
}

/// One worker's mailbox.
pub struct Mailbox {
    pub(super) commands: ArrayQueue<Command>,
    pub(super) returned: ArrayQueue<Returned>,
    pub(super) handoff: ArrayQueue<(PortSlot, Frame)>,
    /// Something was put in since the worker last looked.
    pub(super) mail: AtomicBool,
    /// The worker sleeps or is about to.
    pub(super) sleeping: AtomicBool,
    pub(super) waker: mio::Waker,
    /// Times that somebody had to wake the worker.
    pub(super) wakes: AtomicU64,
}

impl std::fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mailbox")
            .field("commands", &self.commands.len())
            .field("handoff", &self.handoff.len())
            .finish()
    }
}

impl Mailbox {
    pub(super) fn new(waker: mio::Waker) -> Self {
        Self {
            commands: ArrayQueue::new(COMMAND_DEPTH),
            returned: ArrayQueue::new(COMMAND_DEPTH),
            handoff: ArrayQueue::new(HANDOFF_DEPTH),
            mail: AtomicBool::new(false),
            sleeping: AtomicBool::new(false),
            waker,
            wakes: AtomicU64::new(0),
        }
    }

    /// Leaves a frame to be sent by `port`, whose queue this worker owns.
    ///
    /// # Errors
    /// Gives the frame back when the worker does not keep up.
    #[inline]
    pub fn hand_off(&self, port: PortSlot, frame: Frame) -> Result<(), Frame> {
        self.handoff.push((port, frame)).map_err(|(_, frame)| frame)
    }

    /// Leaves frames, in their order, as long as there is room; what does not fit stays.
    pub(super) fn hand_off_all(&self, port: PortSlot, frames: &mut Vec<Frame>) {
        // Packets of a flow must not overtake each other.
        frames.reverse();
        while let Some(frame) = frames.pop() {
            if let Err((_, frame)) = self.handoff.push((port, frame)) {
                frames.push(frame);
                break;
            }
        }
        frames.reverse();
    }

    /// Tells the worker to look. Needed once after any number of things were put in.
    #[inline]
    pub fn knock(&self) {
        self.mail.store(true, Ordering::SeqCst);
        if self.sleeping.load(Ordering::SeqCst) && self.sleeping.swap(false, Ordering::SeqCst) {
            self.wakes.fetch_add(1, Ordering::Relaxed);
            // Fails only if the descriptor is gone, and the worker with it.
            let _ = self.waker.wake();
        }
    }

    pub(super) fn tell(&self, mut command: Command) {
        // The queue is far longer than commands can wait; a full one drains within a turn of the worker.
        while let Err(back) = self.commands.push(command) {
            command = back;
            self.knock();
            std::thread::yield_now();
        }
        self.knock();
    }
}
