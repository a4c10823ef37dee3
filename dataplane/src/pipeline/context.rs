//! What the stages work with.

use std::{net::IpAddr, sync::atomic::AtomicU64};

use crossbeam::queue::ArrayQueue;

use super::{
    answers::Answers,
    counters::{Counter, Counters},
    decide,
    decision::{Decision, Question},
    events::FlowEvents,
    hops::{Doors, Hops},
    lately::Lately,
    leaving::Leaving,
    newcomers::Newcomer,
    output::{LIST, Outputs},
    packet::{Packet, Routed},
    record::Witness,
    shaper::Shaper,
};
use crate::{
    packet::{DropReason, Frame, FrameCache},
    service::icmp::RateLimit,
    tables::{
        Tables,
        conntrack::Timeouts,
        flow::{FlowOwner, FlowTable},
        fragments::{Capacity, Fragments},
        learned::LearnedTable,
        slots::{PortSlot, VrfSlot},
    },
    tap::{Taps, Where},
};

/// Bytes of a punted frame that are kept: enough for ARP and neighbour discovery with its options.
pub const PUNT_BYTES: usize = 128;

/// The head of a frame for the control side: ARP or neighbour discovery of the underlay.
#[derive(Clone, Copy, Debug)]
pub struct Punt {
    /// Port it came in by.
    pub port: PortSlot,
    len: u8,
    bytes: [u8; PUNT_BYTES],
}

impl Punt {
    /// Copies the head of a frame.
    pub fn new(port: PortSlot, frame: &[u8]) -> Self {
        let len = frame.len().min(PUNT_BYTES);
        let mut bytes = [0; PUNT_BYTES];
        bytes[..len].copy_from_slice(&frame[..len]);
        Self {
            port,
            len: len as u8,
            bytes,
        }
    }

    /// The head of the frame.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// What all workers of one dataplane share.
#[derive(Debug)]
pub struct Shared {
    /// Flows.
    pub flows: FlowTable,
    /// How long they may be idle.
    pub timeouts: Timeouts,
    /// MACs found by learning.
    pub learned: LearnedTable,
    /// Counters, one block per worker.
    pub counters: Box<[Counters]>,
    /// Frames for the control side. When it is full, frames are dropped: the underlay asks again.
    pub punts: ArrayQueue<Punt>,
    /// Neighbours of the underlay that packets in the clear wait for: the control side resolves them. When it is full, the next
    /// packet asks again.
    pub wanted: ArrayQueue<IpAddr>,
    /// Answers of workloads that this node asks whether they are well.
    pub answers: Answers,
    /// Frames that the control side left with workers to send: the underlay's ARP and neighbour discovery, questions to workloads.
    pub injected: AtomicU64,
    /// What becomes of flows, for those who watch.
    pub events: FlowEvents,
    /// Drawn at start, so that nobody outside can aim at one bucket of a hash table.
    pub seed: u64,
}

/// Punted frames that may wait for the control side.
const PUNT_DEPTH: usize = 1024;

/// Wanted neighbours that may wait for the control side.
const WANTED_DEPTH: usize = 1024;

impl Shared {
    /// Around these tables, with one block of counters for each worker.
    pub fn new(
        flows: FlowTable,
        timeouts: Timeouts,
        learned: LearnedTable,
        counters: Box<[Counters]>,
        seed: u64,
    ) -> Self {
        Self {
            flows,
            timeouts,
            learned,
            counters,
            punts: ArrayQueue::new(PUNT_DEPTH),
            wanted: ArrayQueue::new(WANTED_DEPTH),
            answers: Answers::default(),
            injected: AtomicU64::new(0),
            events: FlowEvents::default(),
            seed,
        }
    }
}

/// What one worker keeps between batches.
#[derive(Debug)]
pub struct State {
    /// The worker's part of the flow table.
    pub flows: FlowOwner,
    /// Limits the ICMP errors this worker sends.
    pub icmp: RateLimit,
    /// Frames on their way out.
    pub out: Outputs,
    /// Free frames.
    pub frames: FrameCache,
    /// Room for the batch between stages.
    pub(super) routed: Option<Box<Routed>>,
    /// Fragments under way.
    pub(super) fragments: Fragments<Packet>,
    /// Packets held back by limits.
    pub(crate) shaper: Shaper,
    /// Room for what is to be sent, while a limit looks at it.
    pub(super) arrived: Vec<Frame>,
    /// What translated the last new flow that was translated, by its slot: likely what will translate the next ones.
    pub(super) translation: Option<u16>,
    /// Some packet of the last batch needed the other direction of its flow, too.
    pub(super) needs_siblings: bool,
    /// Next hops, ready to be used.
    pub(super) hops: Hops,
    /// What tunnels' numbers mean, likewise.
    pub(super) doors: Doors,
    /// What the tables said lately.
    pub(super) lately: Lately,
    /// Room for flows that are decided and not yet made.
    pub(super) newcomers: Vec<Newcomer>,
    /// Hears of every decision. `None` for packets; a trace has one.
    pub witness: Option<Witness>,
    /// Copies packets for captures.
    pub taps: Taps,
    /// Whoever sends what leaves knows how to [cut](super::train): large packets may go into tunnels as they are.
    pub(super) cuts_late: bool,
}

impl State {
    /// For one of so many workers. `seed` keeps outsiders from aiming at one bucket of a hash table.
    pub fn new(flows: FlowOwner, frames: FrameCache, workers: usize, seed: u64) -> Self {
        // What waits must leave the rings of all ports enough: at most a quarter of all frames, over all workers.
        let share = frames.pool().total() as usize / workers.max(1);
        let large = frames.pool().large() as usize / workers.max(1);
        Self {
            fragments: Fragments::new(Capacity::for_packets(share / 16), seed),
            shaper: Shaper::new((share / 8).clamp(64, 16_384), large / 2),
            arrived: Vec::with_capacity(LIST),
            flows,
            icmp: RateLimit::default(),
            out: Outputs::default(),
            frames,
            routed: Some(Box::new(Routed::with_capacity(super::BATCH))),
            translation: None,
            needs_siblings: false,
            hops: Hops::new(),
            doors: Doors::default(),
            lately: Lately::default(),
            newcomers: Vec::with_capacity(super::BATCH),
            witness: None,
            taps: Taps::default(),
            cuts_late: false,
        }
    }

    /// The worker knows how to [cut](super::train) what leaves.
    pub(crate) fn cutting_late(mut self) -> Self {
        self.cuts_late = true;
        self
    }
}

impl State {
    /// Something waits: fragments for their head, packets for their limit.
    #[inline]
    pub fn has_waiting(&self) -> bool {
        !self.fragments.is_idle() || self.shaper.held() > 0
    }

    /// Tells the counters what waits.
    pub(crate) fn gauge(&self, counters: &Counters) {
        counters.fragment_datagrams.set(self.fragments.known() as u64);
        counters.fragments_held.set(self.fragments.held() as u64);
        counters.fragments_tracked.set(self.fragments.tracked());
        counters.shaped.set(self.shaper.held() as u64);
    }

    /// Gives up what waits to go out by a port that is going away, or came in by it. Gives the frames, each counted as dropped.
    pub(crate) fn forget_port(&mut self, port: PortSlot, counters: &Counters, now: u64) {
        self.fragments.forget_owner(super::fragments::owner_of(port));
        while let Some((packet, lost)) = self.fragments.next_lost() {
            let Packet { mut frame, facts } = packet;
            let reason = super::fragments::reason(lost);
            counters.port(facts.port).drops.count(reason);
            if self.taps.on_drops() {
                let at = Where {
                    port: facts.port,
                    vrf: Some(facts.vrf),
                    now,
                };
                self.taps.drop(at, &mut frame, true, reason);
            }
            self.frames.free(frame);
        }
        while let Some(frame) = self.shaper.take(port) {
            self.drop_unsent(counters, port, frame, DropReason::PortDown, now);
        }
    }

    /// Drops a frame that was to go out by `port`.
    pub(crate) fn drop_unsent(
        &mut self,
        counters: &Counters,
        port: PortSlot,
        mut frame: Frame,
        reason: DropReason,
        now: u64,
    ) {
        counters.port(port).drops.count(reason);
        if self.taps.on_drops() {
            let at = Where { port, vrf: None, now };
            self.taps.drop(at, &mut frame, false, reason);
        }
        self.frames.free(frame);
    }

    /// Frees all that waits. For the end of a worker's life.
    pub(crate) fn close(&mut self) {
        self.fragments.clear();
        while let Some((packet, _)) = self.fragments.next_ready() {
            self.frames.free(packet.frame);
        }
        while let Some((packet, _)) = self.fragments.next_lost() {
            self.frames.free(packet.frame);
        }
        while let Some(frame) = self.shaper.take_any() {
            self.frames.free(frame);
        }
    }
}

/// What the stages work with during one batch.
#[derive(Debug)]
pub struct Context<'a> {
    /// The tables of one revision.
    pub tables: &'a Tables,
    /// Shared with other workers.
    pub shared: &'a Shared,
    /// This worker's counters.
    pub counters: &'a Counters,
    /// This worker's own.
    pub state: &'a mut State,
    /// Nanoseconds since any fixed moment.
    pub now: u64,
}

impl<'a> Context<'a> {
    /// This is a trace: what outlives the packet and is shared with others (counters of services, remembered clients, tokens of limits,
    /// numbers of copies) stays as it is.
    #[inline]
    pub(super) fn is_trace(&self) -> bool {
        self.state.witness.is_some()
    }

    /// Milliseconds, as flows count them.
    #[inline]
    pub(super) fn now_ms(&self) -> u64 {
        self.now / 1_000_000
    }

    /// Seconds, as learned MACs count them.
    #[inline]
    pub(super) fn now_s(&self) -> u32 {
        (self.now / 1_000_000_000) as u32
    }

    /// Drops a frame that came in by `port`.
    #[inline]
    pub(super) fn drop_frame(&mut self, port: PortSlot, vrf: Option<VrfSlot>, frame: Frame, reason: DropReason) {
        self.drop_seen(port, vrf, frame, false, reason);
    }

    /// Drops a frame that starts at its IP header and came in by `port`.
    #[inline]
    pub(super) fn drop_bare(&mut self, port: PortSlot, vrf: Option<VrfSlot>, frame: Frame, reason: DropReason) {
        self.drop_seen(port, vrf, frame, true, reason);
    }

    /// `bare`: it starts at its IP header.
    #[inline]
    fn drop_seen(&mut self, port: PortSlot, vrf: Option<VrfSlot>, mut frame: Frame, bare: bool, reason: DropReason) {
        self.counters.port(port).drops.count(reason);
        if let Some(vrf) = vrf {
            self.counters.vrf(vrf).drops.count(reason);
        }
        if self.state.taps.on_drops() {
            let now = self.now;
            self.state.taps.drop(Where { port, vrf, now }, &mut frame, bare, reason);
        }
        self.state.frames.free(frame);
    }

    /// Counts the drop of a frame that the router wanted to make and could not for want of a free one.
    pub(super) fn count_drop(&mut self, port: PortSlot, vrf: Option<VrfSlot>, reason: DropReason) {
        self.counters.originated.add(1);
        self.counters.port(port).drops.count(reason);
        if let Some(vrf) = vrf {
            self.counters.vrf(vrf).drops.count(reason);
        }
        if self.state.taps.on_drops() {
            let now = self.now;
            self.state.taps.drop_unmade(Where { port, vrf, now }, reason);
        }
    }

    /// Drops a routed packet.
    #[inline]
    pub(super) fn drop_packet(&mut self, packet: Packet, reason: DropReason) {
        let (port, vrf) = (packet.port, packet.vrf);
        self.drop_bare(port, Some(vrf), packet.frame, reason);
    }

    /// Sends a finished frame by `port`.
    #[inline(always)]
    pub(super) fn send(&mut self, port: PortSlot, vrf: Option<VrfSlot>, frame: Frame) {
        if let Err(frame) = self.state.out.push(port, frame) {
            self.not_sent(port, vrf, frame);
        }
    }

    /// Sends the next `count` frames that leave by `port`.
    #[inline]
    pub(super) fn send_all(&mut self, port: PortSlot, vrf: VrfSlot, leaving: &mut Leaving<'_>, count: usize) {
        let taken = self.state.out.append(port, leaving, count);
        for _ in taken..count {
            if let Some(frame) = leaving.take() {
                self.not_sent(port, Some(vrf), frame);
            }
        }
    }

    /// The port is not there, or its list is full.
    #[cold]
    #[inline(never)]
    fn not_sent(&mut self, port: PortSlot, vrf: Option<VrfSlot>, frame: Frame) {
        let reason = if self.state.out.has(port) {
            DropReason::TransmitQueueFull
        } else {
            DropReason::PortDown
        };
        self.drop_frame(port, vrf, frame, reason);
    }

    /// A free frame for something the router says itself.
    #[inline]
    pub(super) fn originate(&mut self) -> Option<Frame> {
        let frame = self.state.frames.take()?;
        self.counters.originated.add(1);
        Some(frame)
    }

    /// A free frame for something the router says itself that has so many bytes.
    #[inline]
    pub(super) fn originate_for(&mut self, len: usize) -> Option<Frame> {
        if len <= self.state.frames.pool().max_packet() {
            return self.originate();
        }
        let frame = self.state.frames.take_large()?;
        self.counters.originated.add(1);
        Some(frame)
    }

    /// Hands the head of a frame to the control side.
    #[inline]
    pub(super) fn punt(&mut self, port: PortSlot, mut frame: Frame) {
        frame.complete();
        // A full queue loses the head only: the frame itself is done with either way.
        let _ = self.shared.punts.push(Punt::new(port, frame.data()));
        self.counters.punted.add(1);
        self.state.frames.free(frame);
    }

    /// Decides about a first packet.
    #[inline]
    pub(super) fn decide(&mut self, question: &Question) -> Decision<'a> {
        let state = &mut *self.state;
        // Packets have no witness: their way is compiled without one.
        if state.witness.is_some() {
            decide::first(self.tables, question, &mut state.lately, &mut state.witness)
        } else {
            decide::first(self.tables, question, &mut state.lately, &mut ())
        }
    }

    /// Counts on a counter of this worker.
    #[inline]
    pub(super) fn count(&self, counter: impl FnOnce(&Counters) -> &Counter) {
        counter(self.counters).add(1);
    }
}
