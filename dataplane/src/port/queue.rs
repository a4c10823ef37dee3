//! What every kind of port offers to the worker that owns one of its queues.

use std::{io::IoSlice, os::fd::RawFd};

use crate::packet::{Frame, FrameCache};

/// Result of one [`Queue::receive`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Frames appended.
    pub frames: usize,
    /// There may be more at once: the queue gave all it was asked for.
    pub more: bool,
}

/// Tunnel packets to be sent in one call: one Ethernet frame with a large UDP datagram, which the interface cuts into datagrams of one size (UDP segmentation
/// offload).
#[derive(Clone, Copy, Debug)]
pub struct Units<'a> {
    /// All bytes of the frame in order, at most [`Units::PARTS`] parts. Lengths are those of the whole; the UDP checksum covers the pseudo header only.
    pub parts: &'a [IoSlice<'a>],
    /// Bytes of the Ethernet, IP and UDP headers that each datagram gets.
    pub headers: u16,
    /// Bytes behind these in each datagram but the last, which may have fewer.
    pub size: u16,
}

impl Units<'_> {
    /// Datagrams at most.
    pub const LONGEST: usize = 64;
    /// Parts at most: outer headers, then headers and data of each datagram.
    pub const PARTS: usize = 1 + 2 * Self::LONGEST;
}

/// What became of [`Units`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SentUnits {
    /// They are on their way.
    All,
    /// There was no room for them, or the interface is down: they are lost.
    None,
    /// This queue cannot send them so.
    Refused,
}

/// One queue of a port. All calls but `close` come from the worker that owns it and return at once.
pub trait Queue: Send {
    /// Appends up to `max` received frames to `into`, and gives the driver empty frames for later ones.
    fn receive(&mut self, frames: &mut FrameCache, into: &mut Vec<Frame>, max: usize) -> Received;

    /// Takes frames from `from`, in order, to send them. What the queue has no room for stays in `from`, still in order.
    fn transmit(&mut self, frames: &mut FrameCache, from: &mut Vec<Frame>);

    /// Sends packets in one piece, behind all that was flushed.
    fn send_units(&mut self, _units: &Units<'_>) -> SentUnits {
        SentUnits::Refused
    }

    /// Makes sure that everything given to `transmit` is on its way, and frees frames whose sending is done.
    fn flush(&mut self, frames: &mut FrameCache);

    /// Frames were given to `transmit` and are not known to be sent: `flush` should be called again soon.
    fn sending(&self) -> bool {
        false
    }

    /// A descriptor that polls readable when `receive` would give frames, for workers that sleep. `None`: always look.
    fn wake_fd(&self) -> Option<RawFd> {
        None
    }

    /// Frames the driver lost before `receive` could see them (no empty frame, full ring), since the queue was opened.
    fn receive_lost(&self) -> u64 {
        0
    }

    /// Frames that `transmit` took and the driver did not send, since the queue was opened: it dropped them, or they were too
    /// short for any link.
    fn transmit_lost(&self) -> u64 {
        0
    }

    /// Closes the queue and frees every frame it holds, those in the driver's rings too.
    ///
    /// The one call that may wait (tens of milliseconds, for the kernel to let go): the worker gives the queue up, and a
    /// control thread with a cache of its own closes it.
    fn close(self: Box<Self>, frames: &mut FrameCache);
}
