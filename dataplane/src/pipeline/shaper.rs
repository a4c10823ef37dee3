//! Packets that are held back until their port's limit lets them go, in their order.
//!
//! One [`Shaper`] per worker: it holds what the worker is to send by its own queues. All memory is set aside when it is made, and when
//! ports are added.

use crate::{
    packet::{
        Frame,
        shelf::{List, Shelf},
    },
    tables::{
        qos::{Meter, NotYet},
        slots::PortSlot,
    },
};

/// A port's packets.
#[derive(Debug, Default)]
struct Queue {
    list: List,
    bytes: u64,
    /// Of them in large frames.
    large: usize,
    /// When the first may go, nanoseconds.
    due: u64,
}

/// What a worker holds back.
#[derive(Debug)]
pub struct Shaper {
    shelf: Shelf<Frame>,
    /// Packets in large frames: held, and at most so many.
    large: usize,
    large_room: usize,
    /// By slot.
    queues: Vec<Queue>,
    /// Ports that have packets waiting.
    waiting: Vec<PortSlot>,
}

impl Shaper {
    /// Room for this many packets, of them so many in large frames. Of each one port may have a quarter.
    pub fn new(packets: usize, large: usize) -> Self {
        Self {
            shelf: Shelf::new(packets),
            large: 0,
            large_room: large,
            queues: Vec::new(),
            waiting: Vec::new(),
        }
    }

    /// Makes room for a port. Allocates: call it when a port is added, not on the packet path.
    pub fn add_port(&mut self, port: PortSlot) {
        if self.queues.len() <= port.index() {
            self.queues.resize_with(port.index() + 1, Queue::default);
            self.waiting.reserve(self.queues.len());
        }
    }

    /// Packets held back.
    #[inline]
    pub fn held(&self) -> usize {
        self.shelf.used()
    }

    /// The port has packets waiting.
    #[inline]
    pub fn holds(&self, port: PortSlot) -> bool {
        self.shelf.used() > 0
            && self
                .queues
                .get(port.index())
                .is_some_and(|queue| !queue.list.is_empty())
    }

    /// When the next packet may go, nanoseconds.
    pub fn due(&self) -> Option<u64> {
        let due = |port: &PortSlot| self.queues.get(port.index()).map(|queue| queue.due);
        self.waiting.iter().filter_map(due).min()
    }

    /// A port some of whose packets may go at `now`, from the `from`th that waits on, and its place.
    pub fn next_due(&self, from: usize, now: u64) -> Option<(usize, PortSlot)> {
        let mut waiting = self.waiting.iter().enumerate().skip(from);
        let is_due = |port: &PortSlot| self.queues.get(port.index()).is_some_and(|queue| queue.due <= now);
        waiting
            .find(|(_, port)| is_due(port))
            .map(|(place, port)| (place, *port))
    }

    /// Holds a packet back until `due` if it is the port's first, else until those before it are gone.
    ///
    /// # Errors
    /// Gives it back when the port has `bytes` waiting, or its share of the room.
    pub fn hold(&mut self, port: PortSlot, frame: Frame, bytes: u64, due: u64) -> Result<(), Frame> {
        let share = (self.shelf.capacity() / 4).max(1);
        let large = usize::from(frame.is_large());
        let Some(queue) = self.queues.get_mut(port.index()) else {
            return Err(frame);
        };
        let len = frame.len() as u64;
        if queue.bytes + len > bytes || queue.list.len() >= share {
            return Err(frame);
        }
        // There are few large frames, and all ports receive into the same.
        if large > 0 && (self.large >= self.large_room || queue.large >= (self.large_room / 4).max(1)) {
            return Err(frame);
        }
        let first = queue.list.is_empty();
        self.shelf.push(&mut queue.list, frame)?;
        queue.bytes += len;
        queue.large += large;
        self.large += large;
        if first {
            queue.due = due;
            self.waiting.push(port);
        }
        Ok(())
    }

    /// The first packet of a port, if its limit lets it go at `now`. Without a limit all may go.
    pub fn release(&mut self, port: PortSlot, meter: Option<&Meter>, now: u64) -> Option<Frame> {
        let queue = self.queues.get_mut(port.index())?;
        let len = self.shelf.first(&queue.list)?.len();
        if let Some(Err(NotYet { until })) = meter.map(|meter| meter.pass(len, now)) {
            queue.due = until;
            return None;
        }
        let frame = self.shelf.pop(&mut queue.list);
        let large = usize::from(frame.as_ref().is_some_and(Frame::is_large));
        queue.bytes -= len as u64;
        queue.large -= large;
        self.large -= large;
        queue.due = now;
        if queue.list.is_empty() {
            self.waiting.retain(|p| *p != port);
        }
        frame
    }

    /// Takes out a packet of a port that is going away.
    pub fn take(&mut self, port: PortSlot) -> Option<Frame> {
        self.release(port, None, 0)
    }

    /// Takes out any packet.
    pub fn take_any(&mut self) -> Option<Frame> {
        let port = *self.waiting.first()?;
        self.take(port)
    }
}

#[cfg(test)]
#[path = "shaper_tests.rs"]
mod tests;
