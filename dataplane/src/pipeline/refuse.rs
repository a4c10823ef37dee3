//! Flows that are refused, and packets that go nowhere: what is remembered of them, and what their senders are told.

use super::{
    conclusion::{blame, chosen, denial},
    context::Context,
    decision::{Decision, Fate},
    events::FlowChange,
    flow_action::FlowAction,
    forward, house, local,
    packet::Packet,
    settle::{Settling, Step, tell, touch},
};
use crate::{
    packet::DropReason,
    tables::{
        flow::{FlowHit, NewFlow},
        slots::PortSlot,
    },
};

impl Settling<'_> {
    /// A first packet that goes nowhere.
    pub(super) fn end(&self, context: &mut Context<'_>, packet: Packet, decision: Decision<'_>) -> Step {
        decision.release();
        if let Fate::Drop(reason, _) = decision.fate
            && is_verdict(reason)
            && !packet.is_signal()
            && !packet.related
        {
            // Remembered, so that refusing the rest is cheap.
            let action = denial(&packet, reason, &decision);
            let flow = NewFlow {
                forward: self.new_direction(context, &packet, &decision, action),
                reverse: None,
                port: refused_for(&packet, &decision).raw(),
            };
            if let Ok(made) = house::insert(context, &flow) {
                touch(context, &packet, made.flow);
                tell(context, FlowChange::Denied, packet.key, None, action, flow.port);
            }
        }
        context.state.taps.accuse(|| blame(&decision));
        finish(context, packet, decision.fate);
        Step::Done
    }

    /// A flow that goes nowhere any more.
    pub(super) fn refuse(
        &self,
        context: &mut Context<'_>,
        packet: Packet,
        hit: FlowHit,
        decision: Decision<'_>,
    ) -> Step {
        decision.release();
        if let Fate::Drop(reason, _) = decision.fate
            && is_verdict(reason)
            && !packet.is_signal()
            && !packet.related
            // Whoever claims by another port to be of the flow does not end it.
            && !context.tables.is_current(hit.epoch, self.vrf, FlowAction::unpack(hit.action).vrf_out)
        {
            // What the flow had stays its own: a later change may allow it again.
            let had = chosen(context, &hit);
            let action = FlowAction {
                service: had.and_then(|had| had.service),
                source_nat: had.and_then(|had| had.source_nat),
                pool: had.map_or(0, |had| had.pool),
                ..denial(&packet, reason, &decision)
            };
            let stamp = context.tables.wide_stamp();
            context.shared.flows.revalidate(hit.flow, stamp, &action.pack());
            touch(context, &packet, hit.flow);
            let account = refused_for(&packet, &decision).raw();
            tell(context, FlowChange::Denied, packet.key, None, action, account);
        }
        context.state.taps.accuse(|| blame(&decision));
        finish(context, packet, decision.fate);
        Step::Done
    }
}

/// The port that a refusal counts on: the workload's that sent the packet; of what comes from elsewhere, the one that it was for.
fn refused_for(packet: &Packet, decision: &Decision<'_>) -> PortSlot {
    packet.workload().or(decision.receiver).unwrap_or(packet.port)
}

/// A refusal by policy: remembered. All others are asked for again each time, because they may end without a change of tables, or
/// because their sender is told each time.
fn is_verdict(reason: DropReason) -> bool {
    matches!(reason, DropReason::PolicyDeniedEgress | DropReason::PolicyDeniedIngress)
}

/// The end of a packet that is not forwarded.
fn finish(context: &mut Context<'_>, packet: Packet, fate: Fate) {
    match fate {
        Fate::Local => local::deliver(context, packet),
        Fate::Drop(reason, Some(error)) => local::fail(context, packet, reason, error),
        Fate::Drop(reason, None) => context.drop_packet(packet, reason),
        Fate::Forward(next_hop) => forward::forward(context, packet, next_hop),
    }
}
