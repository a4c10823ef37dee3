//! What a decision makes of a flow, and what a flow still tells of the decision before: from decisions to actions and back.

use super::{
    context::Context,
    decision::{self, Decision, Kept},
    flow_action::{FlowAction, FlowFlags},
    packet::Packet,
};
use crate::{
    packet::{DropReason, FlowKey},
    tables::{
        flow::{FlowHit, STALE},
        policy::{Ruling, Verdict},
        slots::{NextHopSlot, VrfSlot},
    },
    tap::Blame,
    wire::{Fragment, proto},
};

/// What a first packet's flow does.
pub(super) fn action(packet: &Packet, next_hop: NextHopSlot, decision: &Decision<'_>) -> FlowAction {
    FlowAction {
        next_hop,
        in_port: packet.way_in,
        ..action_of(decision, &packet.key, decision.is_stateful(&packet.key))
    }
}

/// What a decision about the first packet of a flow, with the key `first`, says of both directions.
pub(super) fn action_of(decision: &Decision<'_>, first: &FlowKey, stateful: bool) -> FlowAction {
    let rulings = [decision.egress, decision.ingress];
    let translates = decision.translates(first);
    let flags = flags_of(rulings)
        .with_if(translates, FlowFlags::TRANSLATE)
        .with_if(stateful, FlowFlags::STATEFUL)
        .with_if(stateful && first.protocol() == proto::TCP, FlowFlags::TRACK);
    let vrf = VrfSlot::from_raw(decision.out.context() as u16);
    FlowAction {
        flags,
        egress_rule: rule(decision.egress),
        ingress_rule: rule(decision.ingress),
        service: decision.service.map(|(service, _)| service.slot),
        source_nat: decision.source_nat.map(|nat| nat.slot),
        pool: decision.source_nat.map_or(0, |nat| nat.pool.tag()),
        ..FlowAction::plain(NextHopSlot::MAX, FlowAction::ANY_UPLINK, vrf)
    }
}

/// What was decided for a flow before, by either direction.
pub(super) fn chosen(context: &Context<'_>, hit: &FlowHit) -> Option<FlowAction> {
    let ways = [Some(*hit), context.shared.flows.sibling(hit.flow)];
    let mut decided = ways.into_iter().flatten().filter(|way| way.epoch != STALE);
    decided.next().map(|way| FlowAction::unpack(way.action))
}

/// What a flow had before, as far as it may be kept.
pub(super) fn kept(context: &Context<'_>, hit: &FlowHit, answers: FlowKey) -> Kept {
    let pool = |hit: FlowHit| {
        let action = FlowAction::unpack(hit.action);
        action
            .source_nat
            .filter(|_| hit.epoch != STALE)
            .map(|slot| (slot, action.pool))
    };
    Kept {
        answers,
        pools: [pool(*hit), context.shared.flows.sibling(hit.flow).and_then(pool)],
    }
}

/// The next hop that a direction had. One that no packet has taken yet has none.
pub(super) fn before(hit: &FlowHit) -> Option<NextHopSlot> {
    (hit.epoch != STALE).then(|| FlowAction::unpack(hit.action).next_hop)
}

/// Type and code of an ICMP packet.
pub(super) fn icmp_of(packet: &Packet) -> Option<(u8, u8)> {
    if !matches!(packet.parsed.proto, proto::ICMP | proto::ICMPV6) || packet.related {
        return None;
    }
    match packet.parsed.fragment {
        // Of an echo, the key tells; of all else, nothing does: no rule about a type matches it.
        Fragment::Later => packet.is_signal().then_some((u8::MAX, u8::MAX)),
        _ => decision::icmp_of(packet.frame.data().get(usize::from(packet.parsed.l4)..)?),
    }
}

pub(super) fn rule(ruling: Option<Ruling>) -> u32 {
    ruling.map_or(0, |ruling| ruling.rule)
}

/// What rulings say of a flow.
pub(super) fn flags_of(rulings: [Option<Ruling>; 2]) -> FlowFlags {
    let any = |asked: fn(&Ruling) -> bool| rulings.iter().flatten().any(asked);
    FlowFlags::NONE
        .with_if(any(|ruling| ruling.verdict == Verdict::Audit), FlowFlags::AUDIT)
        .with_if(any(|ruling| ruling.log), FlowFlags::LOG)
}

/// The action of a flow that is refused.
pub(super) fn denial(packet: &Packet, reason: DropReason, decision: &Decision<'_>) -> FlowAction {
    let flags = flags_of([decision.egress, decision.ingress]);
    FlowAction {
        flags: flags.with_if(true, FlowFlags::DENY),
        reason: Some(reason),
        egress_rule: rule(decision.egress),
        ingress_rule: rule(decision.ingress),
        ..FlowAction::plain(NextHopSlot::MAX, packet.way_in, packet.vrf)
    }
}

/// Who decided that packets are refused, as a flow remembers it.
pub(super) fn blame_of(action: &FlowAction) -> Blame {
    Blame {
        egress_rule: action.egress_rule,
        ingress_rule: action.ingress_rule,
        receiver: None,
    }
}

/// Who decides that a packet is refused.
pub(super) fn blame(decision: &Decision<'_>) -> Blame {
    Blame {
        egress_rule: rule(decision.egress),
        ingress_rule: rule(decision.ingress),
        receiver: decision.receiver,
    }
}
