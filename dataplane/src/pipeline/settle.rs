//! The way of packets whose flow is not known, or was decided under other tables: decide, remember, forward.

use super::{
    clear,
    context::Context,
    decide,
    flow_action::FlowAction,
    forward, local,
    packet::{Origin, Packet},
};
use crate::{
    packet::DropReason,
    service::icmp::IcmpError,
    tables::{
        Tables,
        flow::{FlowHit, InsertError, NewDirection, NewFlow, STALE},
        forwarding::Vrf,
        next_hop::Action,
        slots::{NextHopSlot, PortSlot},
    },
};

/// A packet of a flow that is more than forwarded.
#[inline(never)]
pub(super) fn special(context: &mut Context<'_>, packet: Packet, _hit: FlowHit, action: FlowAction) {
    match action.reason {
        Some(reason) if action.is_denied() => context.drop_packet(packet, reason),
        _ => forward::forward(context, packet, action.next_hop),
    }
}

/// Decides a new or outdated flow.
#[inline(never)]
pub(super) fn settle(context: &mut Context<'_>, packet: Packet, vrf: &Vrf, hit: Option<FlowHit>) {
    let stamp = context.tables.stamp(vrf);
    // A direction that no packet has taken yet has no decision to keep.
    let before = hit
        .filter(|hit| hit.epoch != STALE)
        .map(|hit| FlowAction::unpack(hit.action).next_hop);
    let decided = match packet.via {
        Some(via) => Some(decide::member(context.tables, via, packet.hash, before)),
        None => decide::next_hop(context.tables, vrf, packet.destination(), packet.hash, before),
    };
    let Some(next_hop) = decided else {
        local::fail(context, packet, DropReason::NoRoute, IcmpError::NoRoute);
        return;
    };
    match context.tables.next_hop(next_hop).map(|n| &n.action) {
        Some(Action::Underlay { .. }) if clear::is_unwanted(context, &packet, None) => {
            forward::forward(context, packet, next_hop);
        }
        Some(Action::Port(_) | Action::Tunnel(_) | Action::Underlay { .. }) => {
            remember(context, &packet, stamp, hit, next_hop);
            forward::forward(context, packet, next_hop);
        }
        // Neither is worth a place in the flow table: the router's own talk is rare, and dropping is cheap.
        Some(Action::Local) => local::deliver(context, packet),
        _ => context.drop_packet(packet, DropReason::NextHopDrop),
    }
}

/// Puts the decision into the flow table. Failing to is no reason to drop: the next packet is decided again.
fn remember(context: &mut Context<'_>, packet: &Packet, stamp: u64, hit: Option<FlowHit>, next_hop: NextHopSlot) {
    let (shared, now) = (context.shared, context.now_ms());
    let action = FlowAction::plain(next_hop, packet.way_in(), packet.vrf).pack();
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
        Some(Action::Port(hop)) if matches!(packet.origin, Origin::Tunnel | Origin::Underlay) => hop.port,
        _ => packet.port,
    }
}
