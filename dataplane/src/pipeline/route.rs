//! Flow lookup: the way of every packet whose flow is known.
//!
//! A flow decided under a current stamp, whose packets come in as they did, is run at once; it costs one lookup. All else is settled
//! in [`settle`], out of the way.
//!
//! The cache lines that a packet needs are asked for while those before it are worked at: the bucket of the index and then the record by ingress,
//! with the record of the other direction where the last batch needed such. Here each packet is looked up, counted and changed where it is, in the order
//! in which they came, so that each sees what became of those before it. They leave in rows for one port; only those that are not plain, or that
//! their flow does not let pass, are taken out one by one.

use super::{
    context::{Context, Shared},
    counters::Counters,
    decide,
    flow_action::{FlowAction, FlowFlags, InShort},
    forward,
    hops::Hops,
    leaving::Leaving,
    packet::{Brief, Facts, Packet, Routed, WayIn},
    related, settle, track, translate,
};
use crate::{
    packet::{DropReason, Frame},
    tables::{
        Tables,
        flow::{FlowHint, FlowRef, KnownFlow},
        forwarding::Vrf,
        slots::{PortSlot, VrfSlot},
    },
};

/// How many packets ahead the first line of one is asked for.
const AHEAD: usize = 4;

/// Sends each packet of the batch on its way.
pub(super) fn run(context: &mut Context<'_>, batch: &mut Routed) {
    let (hinted, way) = (std::mem::take(&mut batch.hinted), batch.way);
    let (frames, briefs, facts) = batch.parts();
    let flows = &context.shared.flows;
    let mut news = false;
    let mut hint = FlowHint::NONE;
    for (place, brief) in briefs.iter_mut().enumerate() {
        if place >= hinted {
            if !brief.is_again() {
                hint = flows.prefetch_record(brief.hash, context.state.needs_siblings);
            }
            brief.hint = hint;
        }
        hint = brief.hint;
        news |= hint.is_none();
    }
    if news {
        expect(context, briefs);
    }
    send(context, frames, briefs, facts, &way);
}

/// Asks for the memory that new flows will be made in.
#[inline(never)]
fn expect(context: &Context<'_>, batch: &[Brief]) {
    let news = || batch.iter().filter(|brief| brief.hint.is_none());
    let slot = context.state.translation;
    if let Some(nat) = slot.and_then(|slot| context.tables.source_nat(slot)) {
        let inside = u32::from(nat.inside.raw());
        let news = || news().filter(|brief| brief.key.context() == inside);
        news().for_each(|brief| nat.pool.prefetch_source(brief.key.src()));
        news().for_each(|brief| nat.pool.prefetch_ports(brief.key.src(), brief.key.src_port()));
        let answers = news().filter_map(|brief| decide::likely_answers(nat, &brief.key));
        answers.for_each(|answers| context.shared.flows.prefetch_new(&answers));
    }
    // A new flow wants a place for its answers, too: most are not translated.
    news().for_each(|brief| context.shared.flows.prefetch_new(&brief.key.reversed()));
}

/// The VRF of the packets at hand, which mostly come in runs, and what is to be counted for it.
struct Place<'a> {
    /// Which, if there is any yet.
    slot: Option<VrfSlot>,
    /// `None`: there is no such VRF.
    vrf: Option<&'a Vrf>,
    /// What decisions are stamped with that rest on this VRF alone; nothing is where there is no such VRF.
    own: u64,
    /// The VRF that the last packets left in whose decisions rest on more, and the stamp of such decisions.
    pair: Option<(VrfSlot, u64)>,
    packets: u64,
    bytes: u64,
}

impl<'a> Place<'a> {
    const NOWHERE: Self = Self {
        slot: None,
        vrf: None,
        own: 0,
        pair: None,
        packets: 0,
        bytes: 0,
    };

    #[inline]
    fn of(tables: &'a Tables, slot: VrfSlot) -> Self {
        let vrf = tables.vrf(slot);
        Self {
            slot: Some(slot),
            vrf,
            own: vrf.map_or(u64::MAX, |vrf| tables.stamp(vrf)),
            ..Self::NOWHERE
        }
    }

    /// As [`Tables::is_current`], where this VRF is.
    #[inline(always)]
    fn is_current(&mut self, tables: &Tables, stamp: u64, out: VrfSlot) -> bool {
        stamp == self.own || self.pair == Some((out, stamp)) || self.is_current_at_all(tables, stamp, out)
    }

    #[inline(never)]
    fn is_current_at_all(&mut self, tables: &Tables, stamp: u64, out: VrfSlot) -> bool {
        let current = self.vrf.is_some_and(|vrf| tables.is_current(stamp, vrf, out));
        if current {
            self.pair = Some((out, stamp));
        }
        current
    }

    #[inline]
    fn count(&self, counters: &Counters) {
        if let (Some(slot), true) = (self.slot, self.vrf.is_some()) {
            let counters = counters.vrf(slot);
            counters.packets.add(self.packets);
            counters.bytes.add(self.bytes);
        }
    }
}

/// Packets in a row, at the front of those that have not left, that are ready to be sent by one port.
#[derive(Clone, Copy)]
struct Row {
    port: PortSlot,
    vrf: VrfSlot,
    count: usize,
}

impl Row {
    const NONE: Self = Self {
        port: PortSlot::MAX,
        vrf: VrfSlot::MAX,
        count: 0,
    };
}

/// A plain packet that its flow lets pass, and what it does.
#[derive(Clone, Copy)]
struct Known<'a> {
    flow: KnownFlow<'a>,
    action: InShort,
}

/// Why a row ends.
enum Stop<'a> {
    /// There are no more packets.
    End,
    /// The next is for another port: so many are for the one before.
    Turn(Row),
    /// The next is not plain, or its flow is not known or does not let it pass.
    Unknown,
    /// The next goes the way of all packets to its next hop: there is more to it.
    Forward(Known<'a>),
    /// The next is dropped.
    Drop(DropReason),
}

/// Sends the packets.
fn send(context: &mut Context<'_>, frames: &mut Vec<Frame>, briefs: &[Brief], facts: &[Facts], way: &WayIn) {
    let mut hops = std::mem::replace(&mut context.state.hops, Hops::nowhere());
    let mut leaving = Leaving::new(frames);
    let (mut row, mut done) = (Row::NONE, 0);
    let mut sorter = Sorter {
        tables: context.tables,
        shared: context.shared,
        counters: context.counters,
        now_ms: context.now_ms(),
        hops: &mut hops,
        place: Place::NOWHERE,
        siblings: false,
    };
    loop {
        let stop = sorter.sort(
            leaving.behind(row.count),
            briefs.get(done..).unwrap_or_default(),
            &mut row,
            &mut done,
        );
        if let Stop::Turn(ready) = stop {
            context.send_all(ready.port, ready.vrf, &mut leaving, ready.count);
            continue;
        }
        context.send_all(row.port, row.vrf, &mut leaving, row.count);
        row = Row::NONE;
        let (Some(frame), Some(brief)) = (leaving.take(), briefs.get(done)) else {
            break;
        };
        let facts = match facts.get(done) {
            Some(facts) if !brief.is_plain() => *facts,
            _ => brief.facts(way, frame.len()),
        };
        done += 1;
        let packet = Packet { frame, facts };
        match stop {
            Stop::Drop(reason) => context.drop_packet(packet, reason),
            Stop::Forward(Known { flow, action }) => onward(context, packet, flow.flow, action),
            _ => one(context, packet),
        }
    }
    sorter.place.count(sorter.counters);
    context.state.needs_siblings = sorter.siblings;
    drop(leaving);
    context.state.hops = hops;
}

/// Makes plain packets of known flows ready to be sent.
struct Sorter<'a, 'h> {
    tables: &'a Tables,
    shared: &'a Shared,
    counters: &'a Counters,
    now_ms: u64,
    hops: &'h mut Hops,
    place: Place<'a>,
    /// Some packet needed the other direction of its flow.
    siblings: bool,
}

impl<'a> Sorter<'a, '_> {
    /// Makes packets ready until one is for another port, or there is more to be said about it; counts in `row` those that are, and in `done` those
    /// that were looked at, but for one that there is more to be said about: it is `done`'s next.
    fn sort(&mut self, frames: &mut [Frame], briefs: &[Brief], row: &mut Row, done: &mut usize) -> Stop<'a> {
        let mut last: Option<Known<'a>> = None;
        for (place, brief) in briefs.iter().enumerate() {
            if let Some(ahead) = frames.get(place + AHEAD) {
                ahead.prefetch();
            }
            let Some(frame) = frames.get_mut(place) else { break };
            let vrf = brief.vrf();
            if self.place.slot != Some(vrf) {
                self.place.count(self.counters);
                self.place = Place::of(self.tables, vrf);
            }
            let bytes = frame.len() as u64;
            self.place.packets += 1;
            self.place.bytes += bytes;
            let known = match last {
                // Found a moment ago, and nothing was decided since.
                Some(last) if brief.is_again() => last,
                _ => match self.find(brief) {
                    Some(known) => known,
                    None => return Stop::Unknown,
                },
            };
            last = Some(known);
            known.flow.touch(self.now_ms, bytes);
            let port = match self.prepare(frame, brief, known) {
                Ok(port) => port,
                Err(stop) => return stop,
            };
            *done += 1;
            if (row.port, row.vrf) != (port, vrf) {
                let ready = std::mem::replace(row, Row { port, vrf, count: 1 });
                if ready.count > 0 {
                    return Stop::Turn(ready);
                }
                continue;
            }
            row.count += 1;
        }
        Stop::End
    }

    /// The flow of a plain packet, if it is known and lets the packet pass.
    #[inline(always)]
    fn find(&mut self, brief: &Brief) -> Option<Known<'a>> {
        if !brief.is_plain() {
            return None;
        }
        let flow = self.shared.flows.known(&brief.key, brief.hint)?;
        let action = InShort::new(flow.words);
        let passes =
            action.lets_pass(brief.passage) && self.place.is_current(self.tables, flow.epoch, action.vrf_out());
        passes.then_some(Known { flow, action })
    }

    /// Makes a plain packet of a flow that lets it pass ready to be sent, where nothing more is to be said about it. Gives the port.
    #[inline(always)]
    fn prepare(&mut self, frame: &mut Frame, brief: &Brief, known: Known<'a>) -> Result<PortSlot, Stop<'a>> {
        let Known { flow, action } = known;
        let needs_sibling = action.needs_sibling();
        if needs_sibling {
            self.siblings = true;
            if action.flags().has(FlowFlags::TRACK)
                && let Err(reason) =
                    track::admit_segment(self.shared, frame.data(), &brief.parsed(frame.len()), flow.flow)
            {
                return Err(Stop::Drop(reason));
            }
        }
        let v6 = brief.is_v6();
        let hop = match self.hops.get(self.tables, action.next_hop()) {
            Some(hop) if !brief.is_tcp_syn() && hop.takes(frame, v6) => hop,
            _ => return Err(Stop::Forward(known)),
        };
        if needs_sibling && action.flags().has(FlowFlags::TRANSLATE) {
            // `None`: removed in this very moment: what it looks like outside is not known any more.
            let translated = self.shared.flows.sibling_key(flow.flow).is_some_and(|answers| {
                let done = if frame.is_partial() {
                    translate::frame(frame, &brief.parsed(frame.len()), &answers.reversed())
                } else {
                    translate::plain(frame.data_mut(), v6, brief.key.protocol(), &answers)
                };
                done.is_ok()
            });
            if !translated {
                return Err(Stop::Drop(DropReason::Untranslatable));
            }
        }
        hop.wrap(frame, v6, brief.hash);
        Ok(hop.port)
    }
}

/// Forwards a plain packet that its flow, already asked, lets pass.
#[inline(never)]
fn onward(context: &mut Context<'_>, packet: Packet, flow: FlowRef, action: InShort) {
    if !action.flags().has(FlowFlags::TRANSLATE) {
        forward::forward(context, packet, action.next_hop());
        return;
    }
    match context.shared.flows.sibling_key(flow) {
        Some(other) => forward::forward_as(context, packet, action.next_hop(), Some(&other.reversed())),
        None => context.drop_packet(packet, DropReason::Untranslatable),
    }
}

/// Any packet.
#[inline(never)]
fn one(context: &mut Context<'_>, packet: Packet) {
    let tables = context.tables;
    let Some(vrf) = tables.vrf(packet.vrf) else {
        context.drop_packet(packet, DropReason::NoRoute);
        return;
    };
    if packet.is_signal() {
        related::signal(context, packet, vrf);
        return;
    }
    let flows = &context.shared.flows;
    let hit = flows.lookup(&packet.key, packet.hash);
    if let Some(hit) = hit
        && let action = FlowAction::unpack(hit.action)
        && tables.is_current(hit.epoch, vrf, action.vrf_out)
        && action.in_port == packet.way_in
        && packet.via.is_none_or(|via| via == action.next_hop)
    {
        flows.touch(hit.flow, context.now_ms(), packet.frame.len() as u64);
        settle::run(context, packet, hit.flow, action);
        return;
    }
    settle::settle(context, packet, vrf, hit);
}
