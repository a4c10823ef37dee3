//! Flow lookup, and the decision behind a flow.
//!
//! A packet whose flow is known and was decided under today's stamp is forwarded at once. A new flow, or one whose stamp is
//! old, is decided here, on the worker, by the tables of this revision: destination, route, next hop, member of a group.

use super::{
    context::Context,
    forward, local,
    packet::{Origin, Packet},
};
use crate::{
    packet::{DropReason, FlowKey},
    service::icmp::IcmpError,
    tables::{
        Tables,
        flow::{FlowHit, InsertError, NewDirection, NewFlow, STALE},
        forwarding::Vrf,
        next_hop::Action,
        slots::{NextHopSlot, PortSlot},
    },
};

/// What a flow does with the packets of one direction, as the flow table keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowAction {
    /// Where packets go: a port or a tunnel, never a group.
    pub next_hop: NextHopSlot,
}

impl FlowAction {
    /// As the words of the flow table.
    pub fn pack(self) -> [u64; 3] {
        [u64::from(self.next_hop.raw()), 0, 0]
    }

    /// From the words of the flow table.
    pub fn unpack(words: [u64; 3]) -> Self {
        Self {
            next_hop: NextHopSlot::from_raw(words[0] as u32 & NextHopSlot::MAX.raw()),
        }
    }
}

/// Sends each packet of the batch on its way.
pub(super) fn run(context: &mut Context<'_>, batch: &mut Vec<Packet>) {
    for packet in batch.iter() {
        context.shared.flows.prefetch_record(packet.hash);
    }
    for packet in batch.drain(..) {
        one(context, packet);
    }
}

#[inline]
fn one(context: &mut Context<'_>, packet: Packet) {
    let tables = context.tables;
    let Some(vrf) = tables.vrf(packet.vrf) else {
        context.drop_packet(packet, DropReason::NoRoute);
        return;
    };
    let counters = context.counters.vrf(packet.vrf);
    counters.packets.add(1);
    counters.bytes.add(packet.frame.len() as u64);

    let stamp = tables.stamp(vrf);
    let hit = context.shared.flows.lookup(&packet.key, packet.hash);
    match hit {
        Some(hit) if hit.epoch == stamp => {
            context
                .shared
                .flows
                .touch(hit.flow, context.now_ms(), packet.frame.len() as u64);
            forward::forward(context, packet, FlowAction::unpack(hit.action).next_hop);
        }
        _ => decide_and_forward(context, packet, vrf, stamp, hit),
    }
}

/// Decides a new or outdated flow.
#[inline(never)]
fn decide_and_forward(context: &mut Context<'_>, packet: Packet, vrf: &Vrf, stamp: u64, hit: Option<FlowHit>) {
    // A direction that no packet has taken yet has no decision to keep.
    let before = hit
        .filter(|hit| hit.epoch != STALE)
        .map(|hit| FlowAction::unpack(hit.action).next_hop);
    let Some(next_hop) = decide(context.tables, vrf, &packet.key, packet.hash, before) else {
        local::fail(context, packet, DropReason::NoRoute, IcmpError::NoRoute);
        return;
    };
    match context.tables.next_hop(next_hop).map(|n| &n.action) {
        Some(Action::Port(_) | Action::Tunnel(_)) => {
            remember(context, &packet, stamp, hit, next_hop);
            forward::forward(context, packet, next_hop);
        }
        // Neither is worth a place in the flow table: the router's own talk is rare, and dropping is cheap.
        Some(Action::Local) => local::deliver(context, packet),
        _ => context.drop_packet(packet, DropReason::NextHopDrop),
    }
}

/// The next hop for a destination: a port, a tunnel, the router itself or a drop; groups are resolved. A flow that was on a
/// member before stays there as long as it is one. `None`: no route.
pub(super) fn decide(
    tables: &Tables,
    vrf: &Vrf,
    key: &FlowKey,
    hash: u64,
    before: Option<NextHopSlot>,
) -> Option<NextHopSlot> {
    let slot = tables.route(vrf, key.dst())?;
    Some(match tables.next_hop(slot).map(|n| &n.action) {
        Some(Action::Group(group)) => before
            .filter(|before| group.members.iter().any(|m| m.0 == *before))
            .unwrap_or_else(|| group.pick(hash)),
        _ => slot,
    })
}

/// Puts the decision into the flow table. Failing to is no reason to drop: the next packet is decided again.
fn remember(context: &mut Context<'_>, packet: &Packet, stamp: u64, hit: Option<FlowHit>, next_hop: NextHopSlot) {
    let (shared, now) = (context.shared, context.now_ms());
    let action = FlowAction { next_hop }.pack();
    let bytes = packet.frame.len() as u64;
    let settled = match hit {
        Some(hit) => Some(hit.flow),
        None => {
            let forward = NewDirection {
                key: packet.key,
                hash: packet.hash,
                epoch: stamp,
                action,
            };
            // The way back is decided by the first packet that takes it.
            let key = packet.key.reversed();
            let reverse = NewDirection {
                key,
                hash: shared.flows.hash(&key),
                epoch: STALE,
                action: [0; 3],
            };
            let port = charged_to(context.tables, packet, next_hop).raw();
            let flow = NewFlow {
                forward,
                reverse: Some(reverse),
                port,
            };
            match shared.flows.insert(&mut context.state.flows, &flow, now) {
                Ok(hit) => {
                    context.count(|c| &c.flows_created);
                    shared.flows.touch(hit.flow, now, bytes);
                    return;
                }
                Err(InsertError::AlreadyThere(hit)) => Some(hit.flow),
                Err(_) => None,
            }
        }
    };
    match settled {
        Some(flow) => {
            shared.flows.revalidate(flow, stamp, &action);
            shared.flows.touch(flow, now, bytes);
        }
        None => context.count(|c| &c.uncached),
    }
}

/// The port whose share a flow counts on: the workload's, whichever side began.
fn charged_to(tables: &Tables, packet: &Packet, next_hop: NextHopSlot) -> PortSlot {
    match tables.next_hop(next_hop).map(|n| &n.action) {
        Some(Action::Port(hop)) if packet.origin == Origin::Tunnel => hop.port,
        _ => packet.port,
    }
}
