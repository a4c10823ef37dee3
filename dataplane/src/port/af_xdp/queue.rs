//! One receive queue of an interface, as the worker sees it.

use std::{os::fd::RawFd, sync::Arc, thread, time::Duration};

use libbpf_rs::MapHandle;
use libxdp_sys::xdp_desc;

use super::{
    alike::{self, Run},
    behind::Behind,
    error::OpenError,
    gather::{Gather, Gathered},
    ledger::Ledger,
    program::Slot,
    socket::{Socket, XDP_PKT_CONTD},
    whole::WholeSender,
};
use crate::{
    packet::{Frame, FrameCache},
    port::{Queue, Received, SentUnits, Units},
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
    /// Receives in place of the socket, which then sends alone.
    behind: Option<Behind>,
    ledger: Ledger,
    /// Sends packets larger than a chunk, where there can be any.
    whole: Option<WholeSender>,
    /// It sends units of UDP, too.
    cuts: bool,
    /// The packet in parts that has not come to its end.
    gather: Gather,
    /// Frames that the kernel may have, to receive into.
    appetite: Appetite,
    /// Frames that the kernel has to receive into.
    receiving: u32,
    /// Frames that the kernel has to send.
    sending: u32,
    /// Flushes since one got anything done.
    fruitless: u32,
    transmit_lost: u64,
    /// Packets in parts for which there was no large frame.
    gather_lost: u64,
}

/// How many frames the kernel gets to receive into: few while little comes in, so that a thousand quiet ports share one pool, and as many as
/// the ring holds for a port that uses them up.
#[derive(Debug)]
struct Appetite {
    now: u32,
    least: u32,
    most: u32,
    /// Least frames that the kernel had left at any look since the last review.
    left: u32,
    looks: u32,
}

/// Looks after which a port gets fewer frames if it has used few.
const REVIEW: u32 = 4096;

impl Appetite {
    fn new(least: u32, most: u32) -> Self {
        Self {
            now: least,
            least,
            most,
            left: u32::MAX,
            looks: 0,
        }
    }

    /// Looks at how many frames the kernel has left: of those that are `lent` to it, `waiting` hold what has not been taken yet. `scarce`: others need
    /// them, too.
    #[inline]
    fn look(&mut self, lent: u32, waiting: u32, scarce: impl FnOnce() -> bool) {
        let left = lent.saturating_sub(waiting);
        self.left = self.left.min(left);
        self.looks += 1;
        if left < self.now / 2 && self.now < self.most {
            if !scarce() {
                self.now = (self.now * 2).min(self.most);
            }
        } else if self.looks >= REVIEW {
            if self.left > self.now - self.now / 4 {
                self.now = (self.now / 2).max(self.least);
            }
            (self.left, self.looks) = (u32::MAX, 0);
        }
    }
}

impl XdpQueue {
    /// Takes over a socket and gives the kernel its first empty frames, from `least` to `most` at any time.
    pub(super) fn new(
        socket: Socket,
        (least, most): (u32, u32),
        (whole, cuts): (Option<WholeSender>, bool),
        behind: Option<Behind>,
        frames: &mut FrameCache,
    ) -> Self {
        let mut queue = Self {
            slot: None,
            // A NIC that takes packets from our memory needs no help.
            cuts: cuts && whole.is_some() && !socket.zero_copy(),
            socket,
            behind,
            ledger: Ledger::new(frames.pool().clone()),
            whole,
            gather: Gather::default(),
            appetite: Appetite::new(least, most),
            receiving: 0,
            sending: 0,
            fruitless: 0,
            transmit_lost: 0,
            gather_lost: 0,
        };
        if queue.behind.is_none() {
            queue.fill(frames);
        }
        queue
    }

    /// From now on the program sends here what comes in by the queue of this number.
    pub(super) fn start(&mut self, sockets: Arc<MapHandle>, number: u32) -> Result<(), OpenError> {
        self.slot = Some(Slot::set(sockets, number, self.socket.raw_fd())?);
        Ok(())
    }

    /// Gives the kernel empty frames until it has its share.
    fn fill(&mut self, frames: &mut FrameCache) {
        let missing = self.appetite.now.saturating_sub(self.receiving);
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

    /// Puts as many frames into the transmit ring as it has room for, in order; what is larger than a chunk is sent at once.
    fn post(&mut self, frames: &mut FrameCache, from: &mut Vec<Frame>) {
        self.post_some(frames, from, from.len());
    }

    /// As [`post`](Self::post), of the first `most`.
    fn post_some(&mut self, frames: &mut FrameCache, from: &mut Vec<Frame>, most: usize) {
        let wanted = u32::try_from(most).unwrap_or(u32::MAX);
        let room = self.socket.tx.room(wanted).min(wanted) as usize;
        for mut frame in from.drain(..room) {
            let length = frame.len();
            if length < MIN_FRAME {
                frames.free(frame);
                self.transmit_lost += 1;
                continue;
            }
            if frame.is_large() {
                self.send_whole(frames, frame);
                continue;
            }
            frame.complete();
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

    /// Sends runs of packets that are [alike] in one call each, and what is in front of them. What cannot be sent so stays, with all behind it.
    fn send_runs(&mut self, frames: &mut FrameCache, from: &mut Vec<Frame>) {
        while let Some(Run { start, count }) = alike::first(from) {
            if start > 0 {
                let left = from.len() - start;
                self.post_some(frames, from, start);
                if from.len() > left {
                    return;
                }
            }
            self.kick();
            let Some(run) = from.get_mut(..count) else { return };
            run.iter_mut().for_each(Frame::complete);
            if self.socket.tx.waiting() > 0 || alike::leave(run, |units| self.send_units(units)) != Some(SentUnits::All)
            {
                return;
            }
            from.drain(..count).for_each(|frame| frames.free(frame));
        }
    }

    /// Sends a frame that is larger than a chunk, behind what is in the ring.
    fn send_whole(&mut self, frames: &mut FrameCache, frame: Frame) {
        self.socket.tx.submit();
        self.kick();
        let sent = self.whole.as_ref().is_some_and(|whole| whole.send(&frame).is_ok());
        self.transmit_lost += u64::from(!sent);
        frames.free(frame);
    }

    /// Takes one received descriptor; gives a frame when it ends one.
    #[inline]
    fn accept(&mut self, frames: &mut FrameCache, descriptor: &xdp_desc) -> Option<Frame> {
        let mut frame = self.ledger.take_back(descriptor.addr)?;
        self.receiving = self.receiving.saturating_sub(1);
        if frame.place(frame.start(), descriptor.len as usize).is_err() {
            frames.free(frame);
            return None;
        }
        let goes_on = descriptor.options & XDP_PKT_CONTD != 0;
        if !goes_on && self.gather.is_idle() {
            return Some(frame);
        }
        match self.gather.add(frames, frame, goes_on) {
            Gathered::Whole(frame) => Some(frame),
            Gathered::NotYet => None,
            Gathered::Lost => {
                self.gather_lost += 1;
                None
            }
        }
    }
}

impl Queue for XdpQueue {
    fn receive(&mut self, frames: &mut FrameCache, into: &mut Vec<Frame>, max: usize) -> Received {
        if let Some(behind) = &mut self.behind {
            let count = behind.receive(frames, into, max);
            return Received {
                frames: count,
                more: count == max,
            };
        }
        let available = self.socket.rx.look() as usize;
        let mut received = Received::default();
        if available > 0 {
            let mut taken = 0;
            while received.frames < max {
                let Some(descriptor) = self.socket.rx.pop() else { break };
                taken += 1;
                if let Some(frame) = self.accept(frames, &descriptor) {
                    into.push(frame);
                    received.frames += 1;
                }
            }
            self.socket.rx.release();
            received.more = received.frames == max;
            let pool = frames.pool();
            let waiting = (available as u32).saturating_sub(taken);
            self.appetite.look(self.receiving, waiting, || pool.is_scarce());
        }
        let full = self.appetite.now;
        if full.saturating_sub(self.receiving) >= TOP_UP.min(full / 4).max(1) {
            self.fill(frames);
        }
        received
    }

    fn transmit(&mut self, frames: &mut FrameCache, from: &mut Vec<Frame>) {
        self.fruitless = 0;
        // Where a queueing discipline may hold back what is sent in one call, what goes by the ring could overtake it.
        if self.cuts && self.behind.is_some() && from.len() >= alike::LEAST {
            self.send_runs(frames, from);
        }
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

    fn send_units(&mut self, units: &Units<'_>) -> SentUnits {
        let Some(whole) = self.whole.as_ref().filter(|_| self.cuts) else {
            return SentUnits::Refused;
        };
        match whole.send_units(units).map_err(|error| error.raw_os_error()) {
            Ok(()) => SentUnits::All,
            Err(Some(libc::ENOBUFS | libc::EAGAIN | libc::ENOMEM | libc::ENETDOWN | libc::ENXIO | libc::EINTR)) => {
                SentUnits::None
            }
            Err(_) => {
                // Not this one, so none.
                self.cuts = false;
                SentUnits::Refused
            }
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
        let behind = self.behind.as_ref().map(Behind::raw_fd);
        behind.or_else(|| Some(self.socket.raw_fd()))
    }

    /// Frames for which there was no empty frame or no room, or that are larger than a frame. The kernel's third counter, of
    /// times the fill ring was found empty, counts attempts: in copy mode of frames already counted, else of no frame.
    fn receive_lost(&self) -> u64 {
        let statistics = self.socket.statistics();
        statistics.rx_dropped
            + statistics.rx_ring_full
            + self.gather_lost
            + self.behind.as_ref().map_or(0, Behind::lost)
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
            mut gather,
            ..
        } = *self;
        gather.close(frames);
        drop(slot);
        drop(socket);
        ledger.reclaim(frames);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_seen_before_all_of_it_is_taken() {
        let mut appetite = Appetite::new(256, 2048);
        // All were filled, a batch was taken, and as many were lent again.
        appetite.look(192, 192, || false);
        assert_eq!(appetite.now, 512);
        appetite.look(448, 100, || false);
        assert_eq!(appetite.now, 512, "it had enough");
    }

    #[test]
    fn who_uses_frames_up_gets_more_and_who_does_not_gives_them_back() {
        let mut appetite = Appetite::new(256, 2048);
        appetite.look(100, 0, || true);
        assert_eq!(appetite.now, 256, "others need them");
        for wanted in [512, 1024, 2048, 2048] {
            appetite.look(100, 0, || false);
            assert_eq!(appetite.now, wanted);
        }
        // Half of it is used, now and then: it stays.
        for _ in 0..3 * REVIEW {
            appetite.look(1100, 0, || false);
        }
        assert_eq!(appetite.now, 2048);
        // The time that ends now still knew of use.
        for wanted in [1024, 512, 256, 256] {
            for _ in 0..2 * REVIEW {
                appetite.look(2048, 0, || false);
                if appetite.now == wanted {
                    break;
                }
            }
            assert_eq!(appetite.now, wanted);
        }
    }
}
