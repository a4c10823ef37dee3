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
    flow_action::{FlowAction, FlowFlags, InShort},
    forward,
    hops::Hops,
    leaving::Leaving,
    newcomers::{self, Decided},
    packet::{Brief, Facts, Packet, Routed, WayIn},
    related,
    settle::{self, Begun},
    track, translate,
};
use crate::{
    packet::{DropReason, Frame},
    tables::{
        Tables,
        flow::{FlowRef, KnownFlow},
        forwarding::Vrf,
        slots::{PortSlot, VrfSlot},
    },
};

/// How many packets ahead the first line of one is asked for.
const AHEAD: usize = 4;

/// Sends each packet of the batch on its way.
pub(super) fn run(context: &mut Context<'_>, batch: &mut Routed) {
    let (hinted, way) = (std::mem::take(&mut batch.hinted), batch.way);
    let mut news = std::mem::take(&mut batch.news);
    let (frames, briefs, facts) = batch.parts();
    let flows = &context.shared.flows;
    for brief in briefs.iter_mut().skip(hinted) {
        news |= brief.look_ahead(flows, context.state.needs_siblings);
    }
    let mut decided = None;
    if news {
        expect(context, briefs);
        decided = newcomers::begin(context, frames, briefs, &way);
    }
    send(context, frames, briefs, facts, &way, decided);
}

/// Asks for the memory that new flows will be translated by.
#[inline(never)]
fn expect(context: &Context<'_>, batch: &[Brief]) {
    let news = || batch.iter().filter(|brief| brief.is_news());
    let slot = context.state.translation;
    if let Some(nat) = slot.and_then(|slot| context.tables.source_nat(slot)) {
        let inside = u32::from(nat.inside.raw());
        let news = || news().filter(|brief| brief.key.context() == inside);
        news().for_each(|brief| nat.pool.prefetch_source(brief.key.src()));
        news().for_each(|brief| nat.pool.prefetch_ports(brief.key.src(), brief.key.src_port()));
    }
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
        if stamp == self.own || self.pair == Some((out, stamp)) {
            return true;
        }
        let current = is_current(tables, self.vrf, stamp, out);
        if current {
            self.pair = Some((out, stamp));
        }
        current
    }

    /// One more packet of so many bytes.
    #[inline(always)]
    fn add(&mut self, bytes: usize) {
        self.packets += 1;
        self.bytes += bytes as u64;
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

/// As [`Tables::is_current`], where there is such a VRF. (By value: what is handed over by reference is kept in memory from then on.)
#[inline(never)]
fn is_current(tables: &Tables, vrf: Option<&Vrf>, stamp: u64, out: VrfSlot) -> bool {
    vrf.is_some_and(|vrf| tables.is_current(stamp, vrf, out))
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

/// Why sorting stops.
enum Stop<'a> {
    /// There are no more packets.
    End,
    /// The next is for another port.
    Turn,
    /// The next is not plain, or its flow is not known or does not let it pass. It is not counted yet.
    Unknown,
    /// The next goes the way of all packets to its next hop: there is more to it.
    Forward(Known<'a>),
    /// The next is dropped.
    Drop(DropReason),
}

/// Sends the packets. `known`: one that was decided already, though no flow was made.
fn send<'a>(
    context: &mut Context<'a>,
    frames: &mut Vec<Frame>,
    briefs: &mut [Brief],
    facts: &[Facts],
    way: &WayIn,
    mut known: Option<Decided<'a>>,
) {
    let mut hops = std::mem::replace(&mut context.state.hops, Hops::nowhere());
    let mut leaving = Leaving::new(frames);
    let (mut row, mut done) = (Row::NONE, 0);
    // The packet whose flow was last looked for by all means.
    let mut tried = None;
    let mut sorter = Sorter {
        tables: context.tables,
        shared: context.shared,
        counters: context.counters,
        now_ms: context.now_ms(),
        way_in: way.way_in,
        hops: &mut hops,
        place: Place::NOWHERE,
        ready: None,
        siblings: false,
    };
    loop {
        let stop = sorter.sort(
            leaving.behind(row.count),
            briefs.get(done..).unwrap_or_default(),
            &mut row,
            &mut done,
        );
        if let Some(ready) = sorter.ready.take() {
            context.send_all(ready.port, ready.vrf, &mut leaving, ready.count);
        }
        if let Stop::Turn = stop {
            continue;
        }
        let mut decided = None;
        if let Stop::Unknown = stop
            && let Some(frame) = leaving.behind(row.count).first()
            && let Some(brief) = briefs.get_mut(done)
        {
            if let Some(known) = known.take_if(|known| known.place == done) {
                decided = Some((known.decision, None));
            } else if brief.is_plain() && tried.replace(done) != Some(done) {
                match settle::begin(context, &brief.facts(way, frame.len()), frame.data()) {
                    Begun::There(hint) => {
                        brief.hint = hint;
                        continue;
                    }
                    Begun::Open => {}
                    Begun::Decided(decision, error) => decided = Some((decision, error)),
                }
            }
            sorter.place.add(frame.len());
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
            _ => match decided {
                Some((decision, error)) => settle::conclude(context, packet, decision, error),
                None => one(context, packet),
            },
        }
    }
    if let Some(unasked) = known {
        // A packet before it made a flow that it goes with.
        unasked.decision.release();
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
    /// How plain packets came in, as flows are bound to it.
    way_in: u16,
    hops: &'h mut Hops,
    place: Place<'a>,
    /// A row that is to leave before the one at hand.
    ready: Option<Row>,
    /// Some packet needed the other direction of its flow.
    siblings: bool,
}

/// What became of packets of one flow that follow each other.
struct Run<'a> {
    /// So many were looked at.
    seen: usize,
    /// Bytes of these.
    bytes: u64,
    /// Where those are ready to be sent that have nothing more to be said about: all, or all but the last.
    port: PortSlot,
    /// What more there is to be said about the last.
    stop: Option<Stop<'a>>,
}

impl<'a> Sorter<'a, '_> {
    /// Makes packets ready until some are for another port, or there is more to be said about one; counts in `row` those that are, and in `done`
    /// those that were looked at, but for one that there is more to be said about: it is `done`'s next.
    #[inline(always)]
    fn sort(&mut self, frames: &mut [Frame], briefs: &[Brief], row: &mut Row, done: &mut usize) -> Stop<'a> {
        let mut place = 0;
        while let (Some(briefs), Some(frames)) = (briefs.get(place..), frames.get_mut(place..))
            && let (Some(brief), Some(_)) = (briefs.first(), frames.first())
        {
            let vrf = brief.vrf();
            if self.place.slot != Some(vrf) {
                self.place.count(self.counters);
                self.place = Place::of(self.tables, vrf);
            }
            let Some(known) = self.find(brief) else {
                return Stop::Unknown;
            };
            let run = if known.action.needs_sibling() {
                self.siblings = true;
                self.follow::<true>(known, frames, briefs)
            } else {
                self.follow::<false>(known, frames, briefs)
            };
            known.flow.touch(self.now_ms, run.seen as u32, run.bytes);
            self.place.packets += run.seen as u64;
            self.place.bytes += run.bytes;
            let count = run.seen - usize::from(run.stop.is_some());
            place += count;
            *done += count;
            if count > 0 {
                if (row.port, row.vrf) == (run.port, vrf) {
                    row.count += count;
                } else {
                    let next = Row {
                        port: run.port,
                        vrf,
                        count,
                    };
                    let before = std::mem::replace(row, next);
                    if before.count > 0 {
                        self.ready = Some(before);
                        return run.stop.unwrap_or(Stop::Turn);
                    }
                }
            }
            if let Some(stop) = run.stop {
                return stop;
            }
        }
        Stop::End
    }

    /// The flow of a plain packet, if it is known and lets the packet pass.
    #[inline(always)]
    fn find(&mut self, brief: &Brief) -> Option<Known<'a>> {
        if !brief.is_plain() {
            return None;
        }
        let flows = &self.shared.flows;
        // For one like the packet before it nobody has asked yet: it goes with that, but where something stopped between them.
        let hint = if brief.is_again() {
            flows.prefetch_record(brief.hash, false)
        } else {
            brief.hint
        };
        let flow = flows.known(&brief.key, hint)?;
        let action = InShort::new(flow.words);
        let passes = action.lets_pass(brief.passage(self.way_in))
            && self.place.is_current(self.tables, flow.epoch, action.vrf_out());
        passes.then_some(Known { flow, action })
    }

    /// Makes the first packet, whose flow this is and lets it pass, ready to be sent, and those of the same flow that follow it, as long as nothing more is
    /// to be said about them: nothing is decided meanwhile. `BESIDE`: they need the other direction, too.
    #[inline(always)]
    fn follow<const BESIDE: bool>(&mut self, known: Known<'a>, frames: &mut [Frame], briefs: &[Brief]) -> Run<'a> {
        let v6 = briefs.first().is_some_and(Brief::is_v6);
        let hop = self.hops.get(self.tables, known.action.next_hop());
        let mut run = Run {
            seen: 0,
            bytes: 0,
            port: hop.map_or(PortSlot::MAX, |hop| hop.port),
            stop: None,
        };
        while let (Some(brief), Some(frame)) = (briefs.get(run.seen), frames.get_mut(run.seen)) {
            if run.seen > 0 && !brief.is_again() {
                break;
            }
            run.seen += 1;
            run.bytes += frame.len() as u64;
            if BESIDE
                && known.action.flags().has(FlowFlags::TRACK)
                && let Err(reason) =
                    track::admit_segment(self.shared, frame.data(), &brief.parsed(frame.len()), known.flow.flow)
            {
                run.stop = Some(Stop::Drop(reason));
                break;
            }
            let Some(hop) = hop.filter(|hop| !brief.is_tcp_syn() && hop.takes(frame, v6)) else {
                run.stop = Some(Stop::Forward(known));
                break;
            };
            if BESIDE && known.action.flags().has(FlowFlags::TRANSLATE) && !translated(self.shared, frame, brief, known)
            {
                run.stop = Some(Stop::Drop(DropReason::Untranslatable));
                break;
            }
            hop.wrap(frame, v6, brief.hash);
            if let Some(ahead) = frames.get(run.seen + AHEAD - 1) {
                ahead.prefetch();
            }
        }
        run
    }
}

/// Gives a plain packet the addresses and ports that its flow has outside.
#[inline(always)]
fn translated(shared: &Shared, frame: &mut Frame, brief: &Brief, known: Known<'_>) -> bool {
    // `None`: removed in this very moment: what it looks like outside is not known any more.
    let Some(answers) = shared.flows.sibling_key(known.flow.flow) else {
        return false;
    };
    let done = if frame.is_partial() {
        translate::frame(frame, &brief.parsed(frame.len()), &answers.reversed())
    } else {
        translate::plain(frame.data_mut(), brief.is_v6(), brief.key.protocol(), &answers)
    };
    done.is_ok()
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
