//! ICMP errors about flows (RFC 5508): let pass because of the flow, sent the way of its packets, and translated with what they quote.
//!
//! An error is found by the packet it quotes: turned round, that is a packet of the flow going the error's way. Errors about flows
//! without state, and about nothing that is known, are packets like any other.

use super::{
    conclusion::blame_of,
    context::Context,
    flow_action::{FlowAction, FlowFlags},
    forward,
    packet::Packet,
    quote::Quote,
    settle,
};
use crate::{
    packet::{DropReason, FlowKey},
    tables::{
        flow::{FlowHit, FlowRef, STALE},
        forwarding::Vrf,
    },
    wire::addresses,
};

/// Sends an ICMP packet other than an echo on its way.
#[inline(never)]
pub(super) fn signal(context: &mut Context<'_>, packet: Packet, vrf: &Vrf) {
    let Some(packet) = about_a_flow(context, packet, vrf) else {
        return;
    };
    let flows = &context.shared.flows;
    let action = |hit: &FlowHit| FlowAction::unpack(hit.action);
    // A flow with state is an echo's whose identifier is zero: not this one's.
    let hit = flows
        .lookup(&packet.key, packet.hash)
        .filter(|hit| hit.epoch == STALE || !action(hit).flags.has_any(FlowFlags::STATEFUL.or(FlowFlags::DENY)));
    match hit {
        Some(hit)
            if context.tables.is_current(hit.epoch, vrf, action(&hit).vrf_out)
                && action(&hit).in_port == packet.way_in
                && packet.via.is_none_or(|via| via == action(&hit).next_hop) =>
        {
            flows.touch(hit.flow, context.now_ms(), packet.frame.len() as u64);
            forward::forward(context, packet, action(&hit).next_hop);
        }
        _ => settle::settle(context, packet, vrf, hit),
    }
}

/// If the packet is an error about a flow with state, sends it on with that flow. Gives it back if not.
fn about_a_flow(context: &mut Context<'_>, mut packet: Packet, vrf: &Vrf) -> Option<Packet> {
    let context_of_key = u32::from(packet.vrf.raw());
    let Some((_, quoted)) = Quote::read(packet.frame.data(), &packet.parsed, context_of_key) else {
        return Some(packet);
    };
    let key = quoted.reversed();
    let flows = &context.shared.flows;
    let hash = flows.hash(&key);
    let Some(hit) = flows.lookup(&key, hash) else {
        return Some(packet);
    };
    let ways = [Some(hit), flows.sibling(hit.flow)];
    let flags = |flags| {
        ways.iter()
            .flatten()
            .any(|way| way.epoch != STALE && FlowAction::unpack(way.action).flags.has_any(flags))
    };
    if !flags(FlowFlags::STATEFUL) || flags(FlowFlags::DENY) {
        return Some(packet);
    }
    let guard = packet
        .workload()
        .and_then(|port| context.tables.port(port)?.guard.as_deref());
    if let Some(Err(reason)) = guard.map(|guard| guard.check(&packet.key)) {
        context.drop_packet(packet, reason);
        return None;
    }
    let facts = &mut packet.facts;
    (facts.key, facts.hash, facts.related, facts.via) = (key, hash, true, None);
    let action = FlowAction::unpack(hit.action);
    if context.tables.is_current(hit.epoch, vrf, action.vrf_out) {
        forward(context, packet, hit.flow, action);
    } else {
        settle::settle(context, packet, vrf, Some(hit));
    }
    None
}

/// Sends an error the way of the flow that it is about.
pub(super) fn forward(context: &mut Context<'_>, mut packet: Packet, flow: FlowRef, action: FlowAction) {
    if action.is_denied() {
        context.state.taps.accuse(|| blame_of(&action));
        context.drop_packet(packet, action.reason.unwrap_or(DropReason::PolicyDeniedIngress));
        return;
    }
    if !action.flags.has(FlowFlags::TRANSLATE) {
        forward::forward(context, packet, action.next_hop);
        return;
    }
    let quote = Quote::read(packet.frame.data(), &packet.parsed, packet.key.context());
    let (Some(other), Some((quote, _))) = (context.shared.flows.sibling_key(flow), quote) else {
        context.drop_packet(packet, DropReason::Untranslatable);
        return;
    };
    quote.translate(packet.frame.data_mut(), &other);
    let to = ends(&packet, &other.reversed(), action, flow.is_reverse());
    forward::forward_as(context, packet, action.next_hop, to.as_ref());
}

/// The addresses of the error itself: to whoever sent the quoted packet; from where the flow's packets would seem to come, if their sender
/// sent it, or if all of its side is hidden. A router on the way keeps its name.
fn ends(packet: &Packet, out: &FlowKey, action: FlowAction, answers: bool) -> Option<FlowKey> {
    let (source, _) = addresses::of(packet.frame.data(), packet.parsed.kind)?;
    let hidden = action.source_nat.is_some() && !answers;
    let source = if source == packet.key.src() || hidden {
        out.src()
    } else {
        source
    };
    FlowKey::between(out.context(), source, out.dst(), packet.parsed.proto, (0, 0))
}
