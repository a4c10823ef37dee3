//! A worker: polls its queues, runs the pipeline over what came, and sends the result. One thread, pinned; nothing else.
//!
//! [`Worker::turn`] is one round. The daemon calls it in a loop on a thread ([`run`]); tests, benches and simulations call it as
//! they like, with the time they like.

mod captures;
mod company;
mod cutting;

pub mod fleet;
pub mod load;
mod mailbox;
mod run;
mod slice;

use std::sync::{Arc, atomic::Ordering};

pub use captures::{Captures, Running, TooManyCaptures};
pub use fleet::{Fleet, Sender};
pub use mailbox::{Mailbox, Returned};
pub use run::{Polling, run};

use self::{cutting::Cutting, load::Load, mailbox::Command};
use crate::{
    packet::{DropReason, Frame},
    pipeline::{self, BATCH, Context, Shared, State, coalesce::coalesce, delivery},
    port::Queue,
    tables::{
        Tables,
        publish::Reader,
        slots::{BridgeSlot, PortSlot},
    },
    tap::{Point, Where},
};

/// Nanoseconds of traffic after which the house is kept. Idle turns always do.
const HOUSE: u64 = 20_000;

/// Flows that are due looked at each time, when there was traffic, besides one for each frame received since: each may have made one. Idle turns
/// look at more.
const DUE_BUSY: usize = 16;
const DUE_IDLE: usize = 256;

/// Buckets of learned MACs looked at each time for aged ones, likewise.
const LEARNED_BUSY: usize = 4;
const LEARNED_IDLE: usize = 64;

/// Of so many batches, one is timed: to read the clock costs as much as a packet.
const TIMED: u32 = 16;

/// Where time comes from: nanoseconds since any fixed moment, never going back.
pub trait Clock {
    /// Now.
    fn now(&self) -> u64;
}

/// Turns without a frame after which a queue is no longer looked at, until its descriptor says so.
const DORMANT_AFTER: u32 = 64;

/// Looks without a frame after which a queue is idle: while others are busy, it is looked at in one turn of some.
const IDLE: u32 = 32;

/// Turns in which idle queues are passed over, between two in which they are not.
const RESTED: u32 = 3;

/// Turns between two looks at the descriptors of dormant queues, while others are busy.
const ROLL_CALL: u32 = 16;

/// A queue that the worker owns.
struct Owned {
    port: PortSlot,
    queue: Box<dyn Queue>,
    /// Names it among poll events. `None`: its descriptor cannot wake us, so it is looked at in every turn.
    token: Option<mio::Token>,
    /// Turns since it last gave a frame.
    idle: u32,
}

impl Owned {
    fn is_dormant(&self) -> bool {
        self.token.is_some() && self.idle > DORMANT_AFTER
    }
}

/// What a turn did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// Frames received.
    pub received: usize,
    /// Frames given to queues to send.
    pub sent: usize,
    /// A queue is not done sending.
    pub sending: bool,
    /// When something that waits must be looked after, nanoseconds.
    pub due: Option<u64>,
    /// Told to stop.
    pub stop: bool,
}

/// One worker.
pub struct Worker {
    reader: Reader<Tables>,
    core: Core,
}

/// All of a worker but its view of the tables, so that one can be held while the other works.
struct Core {
    index: usize,
    shared: Arc<Shared>,
    mailboxes: Arc<[Arc<Mailbox>]>,
    load: Arc<Load>,
    state: State,
    queues: Vec<Owned>,
    /// Index into `queues` by port slot, of the queue to send by; `u32::MAX`: not ours.
    by_port: Vec<u32>,
    /// Indices of the queues that are looked at in every turn. An idle port costs nothing.
    active: Vec<u32>,
    next_token: usize,
    turns_to_roll_call: u32,
    /// The last turn received something.
    was_busy: bool,
    turns_to_all: u32,
    batch: Vec<Frame>,
    /// Room for what is cut where it leaves.
    cutting: Cutting,
    poll: mio::Poll,
    events: mio::Events,
    /// Where the sweep of learned MACs stands.
    learned_hand: usize,
    /// When the house was kept last.
    kept_at: u64,
    /// Frames received since then.
    received: usize,
    /// Batches until one is timed.
    batches_to_timed: u32,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker")
            .field("index", &self.core.index)
            .field("queues", &self.core.queues.len())
            .finish_non_exhaustive()
    }
}

impl Worker {
    /// One round: mail, then every queue once, then a little housekeeping.
    pub fn turn(&mut self, clock: &impl Clock) -> Turn {
        let mut turn = Turn::default();
        let core = &mut self.core;
        if core.mailboxes[core.index].mail.load(Ordering::Relaxed) {
            turn.stop = core.read_mail(clock);
            turn.sent += core.take_handoff(self.reader.hold(), clock.now());
        }
        core.call_roll();
        let mut last = None;
        let mut place = 0;
        // While some queue is busy, those that have long been idle are looked at in some turns only.
        core.turns_to_all = core.turns_to_all.checked_sub(1).unwrap_or(RESTED);
        let mut resting = core.was_busy && core.turns_to_all > 0;
        loop {
            let Some(index) = core.active.get(place).map(|index| *index as usize) else {
                if !resting || turn.received > 0 {
                    break;
                }
                // Nothing came where something came a moment ago: now the others, too.
                (resting, place) = (false, 0);
                continue;
            };
            if resting && core.queues[index].idle >= IDLE {
                place += 1;
                continue;
            }
            if core.receive(index, &mut turn) {
                // One revision from parse to transmit.
                last = Some(core.carry(index, self.reader.hold(), clock, &mut turn));
            }
            if core.queues[index].is_dormant() {
                core.active.swap_remove(place);
            } else {
                place += 1;
            }
        }
        core.was_busy = turn.received > 0;
        let now = last.unwrap_or_else(|| clock.now());
        let tables = self.reader.hold();
        if core.state.has_waiting() {
            core.tend(tables, now, &mut turn);
        }
        core.load.turns.add(1);
        if turn.received + turn.sent > 0 {
            core.load.busy_turns.add(1);
        }
        core.received += turn.received;
        if turn.received == 0 {
            core.keep_house(tables, now, DUE_IDLE.max(core.received), LEARNED_IDLE);
            // Who knows when the next turn is: nothing old must wait for it to be given back.
            self.reader.let_go();
        } else if now.saturating_sub(core.kept_at) >= HOUSE {
            core.keep_house(tables, now, DUE_BUSY + core.received, LEARNED_BUSY);
        }
        turn
    }

    /// Its number.
    pub fn index(&self) -> usize {
        self.core.index
    }

    /// Gives back every frame that this worker holds. For the end of a worker's life.
    pub fn close(self) {
        let mut core = self.core;
        for owned in core.queues.drain(..) {
            owned.queue.close(&mut core.state.frames);
        }
        while let Some((_, frame)) = core.mailboxes[core.index].handoff.pop() {
            core.state.frames.free(frame);
        }
        core.state.close();
    }
}

impl Core {
    /// Receives from one queue into the batch. Gives whether there is anything.
    #[inline]
    fn receive(&mut self, index: usize, turn: &mut Turn) -> bool {
        let owned = &mut self.queues[index];
        let received = owned
            .queue
            .receive(&mut self.state.frames, &mut self.batch, BATCH)
            .frames;
        turn.received += received;
        if received > 0 {
            owned.idle = 0;
            return true;
        }
        if owned.queue.sending() {
            owned.queue.flush(&mut self.state.frames);
            turn.sending |= owned.queue.sending();
        } else {
            owned.idle = owned.idle.saturating_add(1);
        }
        false
    }

    /// Now and then asks which dormant queues have something, all with one system call.
    #[inline]
    fn call_roll(&mut self) {
        if self.active.len() == self.queues.len() {
            return;
        }
        match self.turns_to_roll_call.checked_sub(1) {
            Some(left) if !self.active.is_empty() => self.turns_to_roll_call = left,
            _ => {
                self.turns_to_roll_call = ROLL_CALL;
                self.wait(std::time::Duration::ZERO);
            }
        }
    }

    /// Waits for a queue to have something, or for a message, at most this long; those queues are active again.
    fn wait(&mut self, longest: std::time::Duration) {
        // An interrupted wait is a short one.
        let _ = self.poll.poll(&mut self.events, Some(longest));
        for event in &self.events {
            let found = self.queues.iter().position(|owned| owned.token == Some(event.token()));
            if let Some((index, owned)) = found.and_then(|index| Some((index, self.queues.get_mut(index)?))) {
                if owned.is_dormant() {
                    self.active.push(index as u32);
                }
                owned.idle = 0;
            }
        }
    }

    /// Carries the batch, received from this queue, to the end. Gives the time at which it began.
    #[inline]
    fn carry(&mut self, index: usize, tables: &Tables, clock: &impl Clock, turn: &mut Turn) -> u64 {
        let (port, start, count) = (self.queues[index].port, clock.now(), self.batch.len());
        if self.state.taps.on_way() {
            tap(&self.state, tables, start, Point::Received, port, &self.batch);
        }
        let mut context = context(&self.shared, self.index, &mut self.state, tables, start);
        pipeline::process(&mut context, port, &mut self.batch);
        turn.sent += self.send(tables, start);
        self.load.batch_size.record(count as u64);
        match self.batches_to_timed.checked_sub(1) {
            Some(left) => self.batches_to_timed = left,
            None => {
                self.batches_to_timed = TIMED - 1;
                self.load.batch_nanoseconds.record(clock.now().saturating_sub(start));
            }
        }
        start
    }

    /// Gives each port's queue the frames for it: our own queues directly, others through their owner's mailbox.
    fn send(&mut self, tables: &Tables, now: u64) -> usize {
        let mut sent = 0;
        while let Some((port, mut list)) = self.state.out.take_dirty() {
            sent += self.send_by(tables, now, port, &mut list);
            self.state.out.restore(port, list);
        }
        sent
    }

    /// Sends all frames of the list by one port.
    #[inline]
    fn send_by(&mut self, tables: &Tables, now: u64, port: PortSlot, list: &mut Vec<Frame>) -> usize {
        let mut sent = 0;
        let counters = &self.shared.counters[self.index];
        let own = self.by_port.get(port.index()).copied().unwrap_or(u32::MAX);
        let reason = if let Some(owned) = self.queues.get_mut(own as usize) {
            if let Some(to) = tables.port(port) {
                if delivery::concerns(to) || self.state.shaper.holds(port) {
                    let mut context = context(&self.shared, self.index, &mut self.state, tables, now);
                    delivery::deliver(&mut context, port, to, list);
                }
                if to.carries_whole() && list.len() > 1 {
                    let joined = coalesce(list, &mut self.state.frames, usize::from(to.mtu));
                    counters.coalesced.add(joined.merged as u64);
                }
            }
            if self.state.taps.on_way() {
                tap(&self.state, tables, now, Point::Transmitted, port, list);
            }
            if list.iter().any(|frame| frame.cut().is_some()) {
                sent += self
                    .cutting
                    .send(owned.queue.as_mut(), &mut self.state, counters, port, list, now);
            }
            let (before, bytes) = (list.len(), bytes(list));
            owned.queue.transmit(&mut self.state.frames, list);
            owned.queue.flush(&mut self.state.frames);
            if !list.is_empty() {
                // Flushing may have made room.
                owned.queue.transmit(&mut self.state.frames, list);
                owned.queue.flush(&mut self.state.frames);
            }
            let counters = counters.port(port);
            counters.tx_packets.add((before - list.len()) as u64);
            counters.tx_bytes.add(bytes - self::bytes(list));
            sent += before - list.len();
            DropReason::TransmitQueueFull
        } else if let Some(owner) = tables
            .port(port)
            .and_then(|p| p.sender(self.index))
            .and_then(|w| self.mailboxes.get(w))
        {
            let before = list.len();
            owner.hand_off_all(port, list);
            owner.knock();
            sent += before - list.len();
            DropReason::HandoffQueueFull
        } else {
            DropReason::PortDown
        };
        for frame in list.drain(..) {
            self.state.drop_unsent(counters, port, frame, reason, now);
        }
        sent
    }

    /// Does what the mailbox says. Gives whether to stop.
    fn read_mail(&mut self, clock: &impl Clock) -> bool {
        let mailbox = self.mailboxes[self.index].clone();
        mailbox.mail.store(false, Ordering::SeqCst);
        let mut stop = false;
        while let Some(command) = mailbox.commands.pop() {
            match command {
                Command::AddPort(port, queue) => self.add_port(port, queue),
                Command::RemovePort(port) => {
                    let returned = self.remove_port(port, clock.now());
                    // As long as the command queue, which bounds what can be returned.
                    let _ = mailbox.returned.push(returned);
                }
                // Whoever gave it still has the set that was there before, and frees it.
                Command::Capture(set) => drop(self.state.taps.set(self.index, set)),
                Command::Stop => stop = true,
            }
        }
        stop
    }

    /// Sends what others left for our ports, at most a batch.
    fn take_handoff(&mut self, tables: &Tables, now: u64) -> usize {
        let mailbox = &self.mailboxes[self.index];
        for _ in 0..BATCH {
            let Some((port, frame)) = mailbox.handoff.pop() else {
                break;
            };
            if let Err(frame) = self.state.out.offer(port, frame) {
                let counters = &self.shared.counters[self.index];
                self.state.drop_unsent(counters, port, frame, DropReason::PortDown, now);
            }
        }
        if !mailbox.handoff.is_empty() {
            mailbox.mail.store(true, Ordering::SeqCst);
        }
        self.send(tables, now)
    }

    /// Looks after what waits: fragments, and packets held back by limits.
    #[cold]
    fn tend(&mut self, tables: &Tables, now: u64, turn: &mut Turn) {
        pipeline::tend(&mut context(&self.shared, self.index, &mut self.state, tables, now));
        turn.sent += self.send(tables, now);
        let mut from = 0;
        while let Some((place, port)) = self.state.shaper.next_due(from, now) {
            let mut list = self.state.out.take(port);
            turn.sent += self.send_by(tables, now, port, &mut list);
            self.state.out.restore(port, list);
            from = place + usize::from(self.state.shaper.holds(port));
        }
        // Mirrors may have made copies.
        turn.sent += self.send(tables, now);
        turn.due = self.state.shaper.due();
    }

    fn add_port(&mut self, port: PortSlot, queue: Option<Box<dyn Queue>>) {
        self.state.out.add_port(port);
        self.state.shaper.add_port(port);
        if self.by_port.len() <= port.index() {
            self.by_port.resize(port.index() + 1, u32::MAX);
        }
        let Some(queue) = queue else { return };
        let token = mio::Token(self.next_token);
        self.next_token += 1;
        // A descriptor that cannot be polled leaves a queue that is looked at in every turn.
        let token = queue.wake_fd().and_then(|fd| {
            let mut source = mio::unix::SourceFd(&fd);
            self.poll
                .registry()
                .register(&mut source, token, mio::Interest::READABLE)
                .ok()?;
            Some(token)
        });
        self.queues.push(Owned {
            port,
            queue,
            token,
            idle: 0,
        });
        self.reindex();
    }

    fn remove_port(&mut self, port: PortSlot, now: u64) -> Returned {
        let frames = self.state.out.remove_port(port);
        self.state.forget_port(port, &self.shared.counters[self.index], now);
        let mut queues = Vec::new();
        for owned in self.queues.extract_if(.., |owned| owned.port == port) {
            if let Some(fd) = owned.token.and_then(|_| owned.queue.wake_fd()) {
                let _ = self.poll.registry().deregister(&mut mio::unix::SourceFd(&fd));
            }
            queues.push(owned.queue);
        }
        self.reindex();
        Returned { port, queues, frames }
    }

    /// After queues came or went: who is where.
    fn reindex(&mut self) {
        self.by_port.fill(u32::MAX);
        self.active.clear();
        for (index, owned) in self.queues.iter_mut().enumerate() {
            let place = &mut self.by_port[owned.port.index()];
            *place = (*place).min(index as u32);
            owned.idle = 0;
            self.active.push(index as u32);
        }
    }

    /// A little of what must be done now and then.
    fn keep_house(&mut self, tables: &Tables, now: u64, due: usize, learned: usize) {
        (self.kept_at, self.received) = (now, 0);
        let counters = &self.shared.counters[self.index];
        pipeline::end_flows(
            tables,
            &self.shared,
            counters,
            &mut self.state.flows,
            now / 1_000_000,
            due,
        );
        // One worker ages them for all.
        if self.index == 0 {
            // A bridge that is gone has no addresses.
            let aging = |bridge: u16| {
                let bridge = BridgeSlot::new(bridge.into()).and_then(|slot| tables.bridge(slot));
                bridge.map_or(0, |bridge| bridge.aging_seconds)
            };
            let now_s = (now / 1_000_000_000) as u32;
            self.shared.learned.sweep(&mut self.learned_hand, now_s, learned, aging);
        }
        self.state.gauge(&self.shared.counters[self.index]);
    }
}

/// Copies frames that come in by a port or go out by it, for captures.
#[cold]
#[inline(never)]
fn tap(state: &State, tables: &Tables, now: u64, point: Point, port: PortSlot, frames: &[Frame]) {
    let vrf = tables.port(port).and_then(|port| pipeline::vrf_of(tables, port));
    state.taps.pass(point, Where { port, vrf, now }, frames);
}

/// What the stages work with now.
fn context<'a>(shared: &'a Shared, index: usize, state: &'a mut State, tables: &'a Tables, now: u64) -> Context<'a> {
    Context {
        tables,
        shared,
        counters: &shared.counters[index],
        state,
        now,
    }
}

fn bytes(frames: &[Frame]) -> u64 {
    frames.iter().map(|frame| frame.len() as u64).sum()
}
