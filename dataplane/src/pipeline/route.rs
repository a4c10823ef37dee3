//! Flow lookup: the way of every packet whose flow is known.
//!
//! A flow decided under a current stamp, whose packets come in as they did, is run at once; it costs one lookup. All else is settled
//! in [`settle`], out of the way.

use super::{
    context::Context,
    flow_action::{FlowAction, FlowFlags},
    forward,
    packet::Packet,
    related, settle,
};
use crate::{packet::DropReason, tables::flow::FlowHint};

/// Sends each packet of the batch on its way.
pub(super) fn run(context: &mut Context<'_>, batch: &mut Vec<Packet>) {
    let mut hints = std::mem::take(&mut context.state.hints);
    hints.clear();
    hints.extend(batch.iter().map(|packet| {
        let flows = &context.shared.flows;
        let hint = flows.prefetch_record(packet.hash);
        if hint.is_none() {
            // A new flow, which will want a place for its answers: most are not translated.
            flows.prefetch_new(&packet.key.reversed());
        }
        hint
    }));
    for (packet, hint) in batch.drain(..).zip(&hints) {
        one(context, packet, *hint);
    }
    context.state.hints = hints;
}

#[inline]
fn one(context: &mut Context<'_>, packet: Packet, hint: FlowHint) {
    let tables = context.tables;
    let Some(vrf) = tables.vrf(packet.vrf) else {
        context.drop_packet(packet, DropReason::NoRoute);
        return;
    };
    let counters = context.counters.vrf(packet.vrf);
    counters.packets.add(1);
    counters.bytes.add(packet.frame.len() as u64);

    if packet.is_signal() {
        related::signal(context, packet, vrf);
        return;
    }
    let hit = context.shared.flows.lookup_hinted(&packet.key, packet.hash, hint);
    if let Some(hit) = hit
        && tables.is_current(hit.epoch, vrf)
    {
        let action = FlowAction::unpack(hit.action);
        if action.in_port == packet.way_in() && packet.via.is_none_or(|via| via == action.next_hop) {
            context
                .shared
                .flows
                .touch(hit.flow, context.now_ms(), packet.frame.len() as u64);
            if action.flags.has_any(FlowFlags::SPECIAL) {
                settle::run(context, packet, hit.flow, action);
            } else {
                forward::forward(context, packet, action.next_hop);
            }
            return;
        }
    }
    settle::settle(context, packet, vrf, hit);
}
