//! One receive queue of an interface, as the worker sees it.

use std::{os::fd::RawFd, sync::Arc, thread, time::Duration};

use libbpf_rs::MapHandle;
use libxdp_sys::xdp_desc;

use super::{error::OpenError, ledger::Ledger, program::Slot, socket::Socket};
use crate::{
    packet::{Frame, FrameCache},
    port::{Queue, Received},
};

/// Shortest frame that is sent: an Ethernet header. Drivers do not expect less.
const MIN_FRAME: usize = 14;

/// The fill ring is topped up when this many frames are missing, or a quarter of it.
const TOP_UP: u32 = 32;

/// Flushes in a row without progress after which nobody needs to hurry any more: the interface is down, or nobody takes what
/// it sends.
const STUCK: u32 = 64;

/// Times that closing waits a millisecond for frames that are being sent.
const CLOSE_PATIENCE: u32 = 20;

/// A queue of an interface.
#[derive(Debug)]
pub(super) struct XdpQueue {
    // Dropped in this order: nothing is received any more, the kernel lets go of the frames, the ledger frees them.
    slot: Option<Slot>,
    socket: Socket,
    ledger: Ledger,
    /// Frames that the kernel may have at most, to receive into.
    fill_size: u32,
    /// Frames that the kernel has to receive into.
    receiving: u32,
    /// Frames that the kernel has to send.
    sending: u32,
    /// Flushes since one got anything done.
    fruitless: u32,
    transmit_lost: u64,
}

impl XdpQueue {
    /// Takes over a socket and gives the kernel its first empty frames.
    pub(super) fn new(socket: Socket, fill_size: u32, frames: &mut FrameCache) -> Self {
        let mut queue = Self {
            slot: None,
            socket,
            ledger: Ledger::new(frames.pool().clone()),
            fill_size,
            receiving: 0,
            sending: 0,
            fruitless: 0,
            transmit_lost: 0,
        };
        queue.fill(frames);
        queue
    }

    /// From now on the program sends here what comes in by the queue of this number.
    pub(super) fn start(&mut self, sockets: Arc<MapHandle>, number: u32) -> Result<(), OpenError> {
        self.slot = Some(Slot::set(sockets, number, self.socket.raw_fd())?);
        Ok(())
    }

    /// Gives the kernel empty frames until it has its share.
    fn fill(&mut self, frames: &mut FrameCache) {
        let missing = self.fill_size.saturating_sub(self.receiving);
        let room = self.socket.fill.room(missing).min(missing);
        for _ in 0..room {
            let Some(frame) = frames.take() else { break };
            // The kernel goes by the chunk: it places the packet behind the headroom whatever the address within.
            match self.ledger.lend(frame) {
                Ok(address) => {
                    self.socket.fill.push(address);
                    self.receiving += 1;
                }
                Err(foreign) => {
                    frames.free(foreign);
                    break;
                }
            }
        }
        self.socket.fill.submit();
        if self.socket.fill.needs_wakeup() {
            self.socket.kick_receive();
        }
    }

    /// Frees the frames that the kernel has sent; gives how many.
    fn complete(&mut self, frames: &mut FrameCache) -> u32 {
        if self.sending == 0 || self.socket.completion.look() == 0 {
            return 0;
        }
        let mut done = 0;
        while let Some(address) = self.socket.completion.pop() {
            if let Some(frame) = self.ledger.take_back(address) {
                frames.free(frame);
                done += 1;
            }
        }
        self.socket.completion.release();
        self.sending = self.sending.saturating_sub(done);
        done
    }

    /// Makes the kernel send for as long as it gets on; says whether it got on at all. In copy mode it sends some 32 frames
    /// per call and then wants to be called again.
    fn kick(&mut self) -> bool {
        let mut waiting = self.socket.tx.waiting();
        let mut progress = false;
        while waiting > 0 && (!self.socket.zero_copy() || self.socket.tx.needs_wakeup()) {
            let answer = self.socket.kick_transmit();
            if let Err(error) = &answer
                && error.raw_os_error() == Some(libc::EBUSY)
            {
                // The interface has dropped one frame, and the rest waits for the next call.
                self.transmit_lost += 1;
            }
            let now = self.socket.tx.waiting();
            if now >= waiting {
                break;
            }
            progress = true;
            waiting = now;
        }
        progress
    }

    /// Puts as many frames into the transmit ring as it has room for.
    fn post(&mut self, frames: &mut FrameCache, from: &mut Vec<Frame>) {
        let wanted = u32::try_from(from.len()).unwrap_or(u32::MAX);
        let room = self.socket.tx.room(wanted).min(wanted) as usize;
        for frame in from.drain(..room) {
            let length = frame.len();
            if length < MIN_FRAME {
                frames.free(frame);
                self.transmit_lost += 1;
                continue;
            }
            match self.ledger.lend(frame) {
                Ok(addr) => {
                    self.socket.tx.push(xdp_desc {
                        addr,
                        len: length as u32,
                        options: 0,
                    });
                    self.sending += 1;
                }
                Err(foreign) => {
                    frames.free(foreign);
                    self.transmit_lost += 1;
                }
            }
        }
        self.socket.tx.submit();
    }
}

impl Queue for XdpQueue {
    fn receive(&mut self, frames: &mut FrameCache, into: &mut Vec<Frame>, max: usize) -> Received {
        let available = self.socket.rx.look() as usize;
        let mut received = Received::default();
        if available > 0 {
            for _ in 0..available.min(max) {
                let Some(descriptor) = self.socket.rx.pop() else { break };
                let Some(mut frame) = self.ledger.take_back(descriptor.addr) else {
                    continue;
                };
                self.receiving = self.receiving.saturating_sub(1);
                let length = descriptor.len as usize;
                if frame.place(frame.start(), length).is_ok() {
                    into.push(frame);
                    received.frames += 1;
                } else {
                    frames.free(frame);
                }
            }
            self.socket.rx.release();
            received.more = available > max;
        }
        if self.fill_size - self.receiving.min(self.fill_size) >= TOP_UP.min(self.fill_size / 4).max(1) {
            self.fill(frames);
        }
        received
    }

    fn transmit(&mut self, frames: &mut FrameCache, from: &mut Vec<Frame>) {
        self.fruitless = 0;
        self.post(frames, from);
        while !from.is_empty() {
            // The ring is full. It may be for want of a kick, or of room for completions.
            let done = self.complete(frames);
            if !self.kick() && done == 0 {
                break;
            }
            self.post(frames, from);
        }
    }

    fn flush(&mut self, frames: &mut FrameCache) {
        if self.sending == 0 {
            return;
        }
        let mut progress = false;
        loop {
            let kicked = self.kick();
            let done = self.complete(frames);
            progress |= kicked || done > 0;
            // With completions taken back there is room for more of them, which the kernel may have waited for.
            if self.socket.tx.waiting() == 0 || (!kicked && done == 0) {
                break;
            }
            if self.socket.zero_copy() {
                break;
            }
        }
        self.fruitless = if progress { 0 } else { self.fruitless.saturating_add(1) };
    }

    fn sending(&self) -> bool {
        self.sending > 0 && self.fruitless < STUCK
    }

    fn wake_fd(&self) -> Option<RawFd> {
        Some(self.socket.raw_fd())
    }

    /// Frames for which there was no empty frame or no room, or that are larger than a frame. The kernel's third counter, of
    /// times the fill ring was found empty, counts attempts: in copy mode of frames already counted, else of no frame.
    fn receive_lost(&self) -> u64 {
        let statistics = self.socket.statistics();
        statistics.rx_dropped + statistics.rx_ring_full
    }

    fn transmit_lost(&self) -> u64 {
        self.transmit_lost
    }

    fn close(mut self: Box<Self>, frames: &mut FrameCache) {
        // What is on its way may still be read from our frames.
        for _ in 0..CLOSE_PATIENCE {
            self.flush(frames);
            if self.sending == 0 {
                break;
            }
            thread::sleep(Duration::from_millis(1));
        }
        let Self {
            slot,
            socket,
            mut ledger,
            ..
        } = *self;
        drop(slot);
        drop(socket);
        ledger.reclaim(frames);
    }
}
