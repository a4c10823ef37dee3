//! Sends large packets that are cut where they leave: in one call where the queue can, else packet by packet.

use crate::{
    packet::{DropReason, Frame},
    pipeline::{
        State,
        counters::Counters,
        train::{Room, Trains},
    },
    port::{Queue, SentUnits},
    tables::slots::PortSlot,
};

/// Frames that may wait to be sent behind others.
const WAITING: usize = 64;

/// Room to cut in.
#[derive(Debug)]
pub(super) struct Cutting {
    room: Room,
    waiting: Vec<Frame>,
}

impl Cutting {
    /// Allocates.
    pub(super) fn new() -> Self {
        Self {
            room: Room::new(),
            waiting: Vec::with_capacity(WAITING),
        }
    }

    /// Sends all of a list up to the last frame that is to be cut, in order, and leaves the rest in it. Gives how many packets are on their way.
    #[inline(never)]
    pub(super) fn send(
        &mut self,
        queue: &mut dyn Queue,
        state: &mut State,
        counters: &Counters,
        port: PortSlot,
        list: &mut Vec<Frame>,
        now: u64,
    ) -> usize {
        let mut run = Run {
            queue,
            state,
            counters,
            port,
            now,
            waiting: &mut self.waiting,
            sent: 0,
        };
        let end = list.iter().rposition(|frame| frame.cut().is_some());
        for frame in list.drain(..end.map_or(0, |last| last + 1)) {
            if frame.cut().is_none() {
                run.wait(frame);
                continue;
            }
            run.flush();
            run.cut(frame, &mut self.room);
        }
        run.flush();
        run.sent
    }
}

/// What one call works with.
struct Run<'a> {
    queue: &'a mut dyn Queue,
    state: &'a mut State,
    counters: &'a Counters,
    port: PortSlot,
    now: u64,
    waiting: &'a mut Vec<Frame>,
    sent: usize,
}

impl Run<'_> {
    /// Sends a frame behind those that wait, not later than these.
    fn wait(&mut self, frame: Frame) {
        if self.waiting.len() == self.waiting.capacity() {
            self.flush();
        }
        self.waiting.push(frame);
    }

    /// Sends what waits.
    fn flush(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let (count, bytes) = (self.waiting.len(), super::bytes(self.waiting));
        for _ in 0..2 {
            // Flushing may make room.
            self.queue.transmit(&mut self.state.frames, self.waiting);
            self.queue.flush(&mut self.state.frames);
            if self.waiting.is_empty() {
                break;
            }
        }
        self.count(count - self.waiting.len(), bytes - super::bytes(self.waiting));
        for frame in self.waiting.drain(..) {
            self.state
                .drop_unsent(self.counters, self.port, frame, DropReason::TransmitQueueFull, self.now);
        }
    }

    fn count(&mut self, packets: usize, bytes: u64) {
        let port = self.counters.port(self.port);
        port.tx_packets.add(packets as u64);
        port.tx_bytes.add(bytes);
        self.sent += packets;
    }

    /// Cuts one frame.
    fn cut(&mut self, frame: Frame, room: &mut Room) {
        let most = self.state.frames.pool().max_packet();
        let Some(mut trains) = Trains::new(&frame, most) else {
            self.state
                .drop_unsent(self.counters, self.port, frame, DropReason::BadTransport, self.now);
            return;
        };
        self.counters.segmented.add(1);
        while let Some(train) = trains.next(room) {
            self.counters.originated.add(train.count as u64);
            match train.leave(|units| self.queue.send_units(units)) {
                Some(SentUnits::All) => self.count(train.count, train.bytes as u64),
                Some(SentUnits::None) => {
                    let drops = &self.counters.port(self.port).drops;
                    (0..train.count).for_each(|_| drops.count(DropReason::TransmitQueueFull));
                }
                Some(SentUnits::Refused) | None => {
                    for index in 0..train.count {
                        match train.piece(index, &mut self.state.frames) {
                            Some(piece) => self.wait(piece),
                            None => self.counters.port(self.port).drops.count(DropReason::NoFrame),
                        }
                    }
                    self.flush();
                }
            }
        }
        self.state.frames.free(frame);
    }
}
