//! Flow lookup: the way of every packet whose flow is known.
//!
//! A flow decided under a current stamp, whose packets come in as they did, is run at once; it costs one lookup. All else is settled
//! in [`settle`], out of the way.
//!
//! A batch is gone through several times, each time to ask for the cache lines that the next time needs: the bucket of the index (asked for
//! by ingress), the record, the record of the other direction where that is needed. At last packets are changed where they are, and leave in
//! runs for one port; only those that are not plain, or that their flow does not let pass, are taken out one by one.

use super::{
    context::Context,
    flow_action::{FlowAction, FlowFlags, InShort},
    forward,
    hops::Hops,
    leaving::Leaving,
    packet::{Facts, Packet, Routed},
    related, rewrite, settle, track, translate,
};
use crate::{
    packet::{DropReason, Frame},
    tables::{
        Tables,
        flow::FlowRef,
        forwarding::Vrf,
        slots::{PortSlot, VrfSlot},
    },
};

/// How many packets ahead the first line of one is asked for.
const AHEAD: usize = 4;

/// Sends each packet of the batch on its way.
pub(super) fn run(context: &mut Context<'_>, batch: &mut Routed) {
    let (frames, facts) = batch.parts();
    let flows = &context.shared.flows;
    let mut news = false;
    for facts in &mut *facts {
        facts.hint = flows.prefetch_record(facts.hash);
        news |= facts.hint.is_none();
    }
    if news {
        expect(context, facts);
    }
    look_up(context, frames, facts);
    send(context, frames, facts);
}

/// Asks for the memory that new flows will be made in.
#[inline(never)]
fn expect(context: &Context<'_>, batch: &[Facts]) {
    let news = || batch.iter().filter(|facts| facts.hint.is_none());
    let slot = context.state.translation;
    if let Some(nat) = slot.and_then(|slot| context.tables.source_nat(slot)) {
        let inside = u32::from(nat.inside.raw());
        let news = || news().filter(|facts| facts.key.context() == inside);
        news().for_each(|facts| nat.pool.prefetch_source(facts.source()));
        news().for_each(|facts| nat.pool.prefetch_ports(facts.source(), facts.key.src_port()));
    }
    // A new flow wants a place for its answers, too: most are not translated.
    news().for_each(|facts| context.shared.flows.prefetch_new(&facts.key.reversed()));
}

/// Says of each packet whether its flow is known and lets it pass, and counts.
fn look_up(context: &Context<'_>, frames: &[Frame], facts: &mut [Facts]) {
    let flows = &context.shared.flows;
    let (tables, now_ms) = (context.tables, context.now_ms());
    let mut place = Place::NOWHERE;
    for (frame, facts) in frames.iter().zip(facts) {
        if place.slot != Some(facts.vrf) {
            place.count(context);
            place = Place::of(tables, facts.vrf);
        }
        let bytes = frame.len() as u64;
        place.packets += 1;
        place.bytes += bytes;
        facts.known = None;
        let Some(known) = flows.known(&facts.key, facts.hint) else {
            continue;
        };
        let action = InShort::new(known.words);
        if facts.plain && place.is_current(tables, known.epoch, action.vrf_out()) && lets_pass(facts, action) {
            known.touch(now_ms, bytes);
            facts.known = Some((known.flow, action));
            if action.needs_sibling() {
                flows.prefetch_sibling(known.flow);
            }
        }
    }
    place.count(context);
}

/// Packets that come in like this one are let pass by this action.
#[inline(always)]
fn lets_pass(facts: &Facts, action: InShort) -> bool {
    action.in_port() == facts.way_in
        && facts.via.is_none_or(|via| via == action.next_hop())
        && !action.flags().has(FlowFlags::DENY)
}

/// The VRF of the packets at hand, which mostly come in runs, and what is to be counted for it.
struct Place<'a> {
    /// Which, if there is any yet.
    slot: Option<VrfSlot>,
    /// `None`: there is no such VRF.
    vrf: Option<&'a Vrf>,
    /// What decisions are stamped with that rest on this VRF alone.
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
            own: vrf.map_or(0, |vrf| tables.stamp(vrf)),
            ..Self::NOWHERE
        }
    }

    /// As [`Tables::is_current`], where this VRF is.
    #[inline(always)]
    fn is_current(&mut self, tables: &Tables, stamp: u64, out: VrfSlot) -> bool {
        let Some(vrf) = self.vrf else { return false };
        if stamp == self.own {
            return true;
        }
        match self.pair {
            Some(known) if known == (out, stamp) => true,
            _ => {
                let current = tables.is_current(stamp, vrf, out);
                if current {
                    self.pair = Some((out, stamp));
                }
                current
            }
        }
    }

    #[inline]
    fn count(&self, context: &Context<'_>) {
        if let (Some(slot), true) = (self.slot, self.vrf.is_some()) {
            let counters = context.counters.vrf(slot);
            counters.packets.add(self.packets);
            counters.bytes.add(self.bytes);
        }
    }
}

/// Packets in a row for one port.
#[derive(Clone, Copy)]
struct Row {
    port: PortSlot,
    vrf: VrfSlot,
    count: usize,
}

/// What becomes of a plain packet whose flow lets it pass.
enum Next {
    /// It is ready to be sent by this port.
    Send(PortSlot),
    /// There is more to it: it goes the way of all packets to its next hop.
    Forward,
    /// It is dropped.
    Drop(DropReason),
}

/// Sends the packets.
fn send(context: &mut Context<'_>, frames: &mut Vec<Frame>, facts: &[Facts]) {
    let mut hops = std::mem::replace(&mut context.state.hops, Hops::nowhere());
    let mut leaving = Leaving::new(frames);
    let mut row = Row {
        port: PortSlot::MAX,
        vrf: VrfSlot::MAX,
        count: 0,
    };
    // Some packet was settled: flows may have changed since they were looked up.
    let mut settled = false;
    for (place, facts) in facts.iter().enumerate() {
        if let Some(ahead) = leaving.get(place + AHEAD) {
            ahead.prefetch();
        }
        let known = facts
            .known
            .filter(|(flow, action)| !settled || context.shared.flows.is_as_known(*flow, action.words()));
        let next = match (known, leaving.get(place)) {
            (Some((flow, action)), Some(frame)) => Some(prepare(context, &mut hops, frame, facts, flow, action)),
            _ => None,
        };
        if let Some(Next::Send(port)) = next {
            if row.port != port || row.vrf != facts.vrf {
                context.send_all(row.port, row.vrf, &mut leaving, row.count);
                row = Row {
                    port,
                    vrf: facts.vrf,
                    count: 0,
                };
            }
            row.count += 1;
            continue;
        }
        context.send_all(row.port, row.vrf, &mut leaving, row.count);
        row.count = 0;
        let Some(frame) = leaving.take() else { break };
        let packet = Packet { frame, facts: *facts };
        match (next, known) {
            (Some(Next::Drop(reason)), _) => context.drop_packet(packet, reason),
            (Some(_), Some((flow, action))) => onward(context, packet, flow, action),
            _ => {
                settled = true;
                one(context, packet);
            }
        }
    }
    context.send_all(row.port, row.vrf, &mut leaving, row.count);
    drop(leaving);
    context.state.hops = hops;
}

/// Makes a plain packet of a flow that lets it pass ready to be sent, where nothing more is to be said about it.
#[inline(always)]
fn prepare(
    context: &Context<'_>,
    hops: &mut Hops,
    frame: &mut Frame,
    facts: &Facts,
    flow: FlowRef,
    action: InShort,
) -> Next {
    if action.flags().has(FlowFlags::TRACK)
        && let Err(reason) = track::admit_segment(context.shared, frame.data(), &facts.parsed, flow)
    {
        return Next::Drop(reason);
    }
    let v6 = facts.is_v6();
    let hop = match hops.get(context.tables, action.next_hop()) {
        Some(hop) if !facts.parsed.is_tcp_syn() && hop.takes(frame, v6) => hop,
        _ => return Next::Forward,
    };
    rewrite::decrement_hop_limit(frame.data_mut(), v6);
    if action.flags().has(FlowFlags::TRANSLATE) {
        // `None`: removed in this very moment: what it looks like outside is not known any more.
        let translated = context
            .shared
            .flows
            .sibling_key(flow)
            .is_some_and(|other| translate::frame(frame, &facts.parsed, &other.reversed()).is_ok());
        if !translated {
            return Next::Drop(DropReason::Untranslatable);
        }
    }
    hop.wrap(frame, v6, facts.parsed.ethertype, facts.hash);
    Next::Send(hop.port)
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
        if packet.known.is_none() {
            flows.touch(hit.flow, context.now_ms(), packet.frame.len() as u64);
        }
        settle::run(context, packet, hit.flow, action);
        return;
    }
    settle::settle(context, packet, vrf, hit);
}
