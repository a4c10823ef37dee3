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
    let mut news = false;
    hints.extend(batch.iter().map(|packet| {
        let hint = context.shared.flows.prefetch_record(packet.hash);
        news |= hint.is_none();
        hint
    }));
    if news {
        expect(context, batch, &hints);
    }
    for (packet, hint) in batch.drain(..).zip(&hints) {
        one(context, packet, *hint);
    }
    context.state.hints = hints;
}

/// Asks for the memory that new flows will be made in.
#[inline(never)]
fn expect(context: &Context<'_>, batch: &[Packet], hints: &[FlowHint]) {
    let news = || {
        let both = batch.iter().zip(hints);
        both.filter(|(_, hint)| hint.is_none()).map(|(packet, _)| packet)
    };
    let slot = context.state.translation;
    if let Some(nat) = slot.and_then(|slot| context.tables.source_nat(slot)) {
        let inside = u32::from(nat.inside.raw());
        let news = || news().filter(|packet| packet.key.context() == inside);
        news().for_each(|packet| nat.pool.prefetch_source(packet.source()));
        news().for_each(|packet| nat.pool.prefetch_ports(packet.source(), packet.key.src_port()));
    }
    // A new flow wants a place for its answers, too: most are not translated.
    news().for_each(|packet| context.shared.flows.prefetch_new(&packet.key.reversed()));
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
        && let action = FlowAction::unpack(hit.action)
        && tables.is_current(hit.epoch, vrf, action.vrf_out)
        && action.in_port == packet.way_in()
        && packet.via.is_none_or(|via| via == action.next_hop)
    {
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
    settle::settle(context, packet, vrf, hit);
}
