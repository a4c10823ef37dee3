//! The way of packets whose flow is not known, was decided under other tables, or does more than forward: decide, remember, run.
//!
//! A flow that needs state (a policy was asked, or it is translated) exists or its packets are dropped. All others are forwarded
//! without one when there is no room: deciding each packet costs time, not connections.

use super::{
    clear,
    conclusion::{action, action_of, before, blame_of, icmp_of, kept},
    context::Context,
    decide,
    decision::{self, Decision, Fate, Kept, Question, Span},
    events::{FlowChange, FlowEvent},
    flow_action::{FlowAction, FlowFlags},
    forward, house, local,
    packet::{Facts, Origin, Packet},
    related, track,
};
use crate::{
    packet::{DropReason, FlowKey},
    tables::{
        Tables,
        conntrack::SEEN,
        flow::{FlowHint, FlowHit, FlowRef, InsertError, NewDirection, NewFlow, STALE},
        forwarding::Vrf,
        next_hop::Action,
        slots::{NextHopSlot, PortSlot, VrfSlot},
    },
    wire::proto,
};

/// Translations that are tried for a flow whose way back is taken, and races with other workers that are borne.
const ATTEMPTS: u32 = 16;

/// Does with a packet what its flow's action says.
#[inline(never)]
pub(super) fn run(context: &mut Context<'_>, packet: Packet, flow: FlowRef, action: FlowAction) {
    if packet.related {
        related::forward(context, packet, flow, action);
        return;
    }
    if action.is_denied() {
        let reason = action.reason.unwrap_or(DropReason::PolicyDeniedEgress);
        context.state.taps.accuse(|| blame_of(&action));
        context.drop_packet(packet, reason);
        return;
    }
    if action.flags.has(FlowFlags::TRACK)
        && let Err(reason) = track::admit(context.shared, &packet, flow)
    {
        context.drop_packet(packet, reason);
        return;
    }
    if !action.flags.has(FlowFlags::TRANSLATE) {
        forward::forward(context, packet, action.next_hop);
        return;
    }
    match context.shared.flows.sibling_key(flow) {
        Some(other) => forward::forward_as(context, packet, action.next_hop, Some(&other.reversed())),
        // Removed in this very moment: what it looks like outside is not known any more.
        None => context.drop_packet(packet, DropReason::Untranslatable),
    }
}

/// Decides a new or outdated flow, and sends the packet on its way.
#[inline(never)]
pub(super) fn settle(context: &mut Context<'_>, packet: Packet, vrf: &Vrf, hit: Option<FlowHit>) {
    let guard = packet
        .workload()
        .and_then(|port| context.tables.port(port)?.guard.as_deref());
    // Of an error, the sender is not who its key says: it was asked after already.
    if let Some(guard) = guard.filter(|_| !packet.related)
        && let Err(reason) = guard.check(&packet.key)
    {
        context.drop_packet(packet, reason);
        return;
    }
    if let Some(witness) = &mut context.state.witness {
        witness.key = Some(packet.key);
    }
    Settling { vrf, hit, attempt: 0 }.repeat(context, Step::Retry(packet));
}

/// What came of a new flow whose first packet is plain.
#[allow(clippy::large_enum_variant)] // On the way of packets no memory is taken, and of these there is never more than one.
pub(super) enum Begun<'a> {
    /// It is there; likely here.
    There(FlowHint),
    /// There is more to it: the packet is to be [settled](settle).
    Open,
    /// This was decided, and there is more to be done than to make a flow, or none could be made. The packet is to be [concluded](conclude).
    Decided(Decision<'a>, Option<InsertError>),
}

/// Makes the flow of a plain packet that is still among those of its batch, if there is none yet, so that the packet goes the way of those whose flow is known.
/// `ip`: the packet.
#[inline(never)]
pub(super) fn begin<'a>(context: &mut Context<'a>, facts: &Facts, ip: &[u8]) -> Begun<'a> {
    let tables = context.tables;
    let flows = &context.shared.flows;
    if let Some(hint) = flows.locate(&facts.key, facts.hash) {
        return Begun::There(hint);
    }
    let Some(vrf) = tables.vrf(facts.vrf).filter(|_| !context.is_trace()) else {
        return Begun::Open;
    };
    let guard = facts.workload().and_then(|port| tables.port(port)?.guard.as_deref());
    if guard.is_some_and(|guard| guard.check(&facts.key).is_err()) {
        return Begun::Open;
    }
    let settling = Settling {
        vrf,
        hit: None,
        attempt: 0,
    };
    let question = settling.question(context, facts, None, None, None);
    let decision = context.decide(&question);
    let Fate::Forward(next_hop) = decision.fate else {
        return Begun::Decided(decision, None);
    };
    let stateful = decision.is_stateful(&facts.key);
    let is_tracked = stateful && facts.key.protocol() == proto::TCP;
    if leaves_in_the_clear(tables, next_hop) || is_tracked && track::opens(ip, &facts.parsed).is_err() {
        return Begun::Decided(decision, None);
    }
    match settling.enter(context, facts, next_hop, &decision, stateful, true) {
        Ok((flow, _)) => {
            if stateful && !is_tracked {
                context.shared.flows.set_state(flow, SEEN);
            }
            Begun::There(context.shared.flows.hint(flow, facts.hash))
        }
        Err(error) => Begun::Decided(decision, Some(error)),
    }
}

/// Goes on with a packet for which [`begin`] made no flow, though it decided.
#[inline(never)]
pub(super) fn conclude<'a>(
    context: &mut Context<'a>,
    packet: Packet,
    decision: Decision<'a>,
    error: Option<InsertError>,
) {
    let Some(vrf) = context.tables.vrf(packet.vrf) else {
        decision.release();
        context.drop_packet(packet, DropReason::NoRoute);
        return;
    };
    let mut settling = Settling {
        vrf,
        hit: None,
        attempt: 0,
    };
    let step = match (error, decision.fate) {
        (Some(error), Fate::Forward(next_hop)) => settling.not_made(
            context,
            Unmade {
                packet,
                next_hop,
                decision,
                error,
            },
        ),
        _ => settling.make(context, packet, decision),
    };
    settling.repeat(context, step);
}

/// A packet that was to be forwarded by a decision, and whose flow could not be made.
struct Unmade<'a> {
    packet: Packet,
    next_hop: NextHopSlot,
    decision: Decision<'a>,
    /// Why not.
    error: InsertError,
}

/// How far one attempt came.
pub(super) enum Step {
    /// The packet is gone.
    Done,
    /// Something was in the way.
    Retry(Packet),
}

/// A packet's flow on its way to being decided.
pub(super) struct Settling<'a> {
    pub(super) vrf: &'a Vrf,
    hit: Option<FlowHit>,
    attempt: u32,
}

impl Settling<'_> {
    /// Tries until the packet is gone.
    fn repeat(&mut self, context: &mut Context<'_>, mut step: Step) {
        for _ in 0..ATTEMPTS {
            let Step::Retry(packet) = step else { return };
            step = match self.hit {
                None => self.begin(context, packet),
                Some(hit) => self.again(context, packet, hit),
            };
        }
        if let Step::Retry(packet) = step {
            // Others were quicker each time, or whatever was tried was taken.
            context.count(|c| &c.flows_refused);
            context.drop_packet(packet, DropReason::NatExhausted);
        }
    }

    /// The packet of a flow that is not there.
    fn begin(&mut self, context: &mut Context<'_>, packet: Packet) -> Step {
        let question = self.question(context, &packet, icmp_of(&packet), None, None);
        let decision = context.decide(&question);
        self.make(context, packet, decision)
    }

    /// The packet of a flow that must be decided again.
    fn again(&mut self, context: &mut Context<'_>, packet: Packet, hit: FlowHit) -> Step {
        let flows = &context.shared.flows;
        let other = flows.sibling_key(hit.flow);
        if flows.get(hit.flow).is_none() {
            self.hit = None;
            return Step::Retry(packet);
        }
        if let Some(first) = other.filter(|_| hit.flow.is_reverse())
            && !self.is_plain(context.tables, &packet, &first)
        {
            return self.answer(context, packet, hit, first);
        }
        let kept = other
            .filter(|_| !hit.flow.is_reverse())
            .map(|answers| kept(context, &hit, answers));
        let question = self.question(context, &packet, icmp_of(&packet), kept, before(&hit));
        let decision = context.decide(&question);
        let Fate::Forward(next_hop) = decision.fate else {
            return self.refuse(context, packet, hit, decision);
        };
        if packet.is_signal() && decision.is_stateful(&packet.key) {
            return self.pass(context, packet, next_hop, decision);
        }
        // Of a flow without state, answers are decided by themselves: whose they are does not matter.
        let keeps = match other {
            Some(other) if decision.is_stateful(&packet.key) => !hit.flow.is_reverse() && other == decision.answers,
            Some(other) => other == packet.key.reversed(),
            None => packet.key == packet.key.reversed(),
        };
        if !keeps {
            flows.remove(hit.flow);
            return self.make(context, packet, decision);
        }
        let action = action(&packet, next_hop, &decision);
        self.renew(context, packet, hit.flow, action, decision.span)
    }

    /// The answer to a flow that was let pass or translated: judged by that flow's first packet.
    fn answer(&mut self, context: &mut Context<'_>, packet: Packet, hit: FlowHit, first: FlowKey) -> Step {
        let tables = context.tables;
        let home = VrfSlot::from_raw(first.context() as u16);
        let back = decide::way_back(tables, &packet, home, &first, before(&hit));
        let question = Question {
            key: first,
            hash: context.shared.flows.hash(&first),
            workload: back.and_then(|(slot, _)| decide::port_behind(tables, slot)),
            via: None,
            traffic: decision::traffic(&first, None),
            kept: Some(kept(context, &hit, packet.key)),
            before: None,
            attempt: 0,
            now_ms: context.now_ms(),
            is_trace: context.is_trace(),
        };
        let decision = context.decide(&question);
        if let Fate::Drop(DropReason::PolicyDeniedEgress | DropReason::PolicyDeniedIngress, _) = decision.fate {
            return self.refuse(context, packet, hit, decision);
        }
        if !decision.out.same_tuple(&packet.key.reversed()) {
            // What translated it is no more, nor is the flow.
            decision.release();
            context.shared.flows.remove(hit.flow);
            self.hit = None;
            return Step::Retry(packet);
        }
        let Some((next_hop, end)) = back else {
            local::fail(
                context,
                packet,
                DropReason::NoRoute,
                crate::service::icmp::IcmpError::NoRoute,
            );
            return Step::Done;
        };
        match tables.next_hop(next_hop).map(|n| &n.action) {
            Some(Action::Port(_) | Action::Tunnel(_) | Action::Underlay { .. }) => {
                let action = FlowAction {
                    next_hop,
                    in_port: packet.way_in,
                    vrf_out: home,
                    ..action_of(&decision, &first, true)
                };
                // What it rests on is told from where the flow began: the way back is in one of its two VRFs, or leads through others.
                let mut span = decision.span;
                for vrf in [packet.vrf, end].into_iter().filter(|vrf| *vrf != home) {
                    span.touch(home, vrf);
                }
                if let Span::With(_) = span {
                    span = Span::With(home);
                }
                self.renew(context, packet, hit.flow, action, span)
            }
            Some(Action::Local) => {
                local::deliver(context, packet);
                Step::Done
            }
            Some(Action::Unreachable) => {
                let error = crate::service::icmp::IcmpError::AddressUnreachable;
                local::fail(context, packet, DropReason::AddressUnreachable, error);
                Step::Done
            }
            _ => {
                context.drop_packet(packet, DropReason::NextHopDrop);
                Step::Done
            }
        }
    }

    /// No state is needed for an answer to `first`: nothing is translated, and neither end has a policy.
    fn is_plain(&self, tables: &Tables, packet: &Packet, first: &FlowKey) -> bool {
        let has_policy = |port: PortSlot| tables.port(port).is_some_and(|port| port.policy.is_some());
        *first == packet.key.reversed()
            && !packet.workload().is_some_and(has_policy)
            && !decide::way_back(tables, packet, packet.vrf, first, None)
                .and_then(|(slot, _)| decide::port_behind(tables, slot))
                .is_some_and(has_policy)
    }

    fn question(
        &self,
        context: &Context<'_>,
        packet: &Facts,
        icmp: Option<(u8, u8)>,
        kept: Option<Kept>,
        before: Option<NextHopSlot>,
    ) -> Question {
        Question {
            key: packet.key,
            hash: packet.hash,
            workload: packet.workload(),
            via: packet.via,
            traffic: decision::traffic(&packet.key, icmp),
            kept,
            before,
            attempt: self.attempt,
            now_ms: context.now_ms(),
            is_trace: context.is_trace(),
        }
    }

    /// The stamp of a decision made now, by which packets leave in the VRF `out`.
    pub(super) fn stamp(&self, tables: &Tables, span: Span, own: VrfSlot, out: VrfSlot) -> u64 {
        stamp(tables, self.vrf, span, own, out)
    }

    /// The direction that a first packet takes.
    pub(super) fn new_direction(
        &self,
        context: &Context<'_>,
        packet: &Facts,
        decision: &Decision<'_>,
        action: FlowAction,
    ) -> NewDirection {
        NewDirection {
            key: packet.key,
            hash: packet.hash,
            epoch: self.stamp(context.tables, decision.span, packet.vrf, action.vrf_out),
            action: action.pack(),
        }
    }

    /// Makes a flow by a decision, and runs it.
    fn make(&mut self, context: &mut Context<'_>, packet: Packet, decision: Decision<'_>) -> Step {
        let next_hop = match decision.fate {
            Fate::Forward(next_hop) if !packet.related => next_hop,
            Fate::Forward(_) => {
                // The flow that the error is about is no more.
                decision.release();
                context.drop_packet(packet, DropReason::Untranslatable);
                return Step::Done;
            }
            _ => return self.end(context, packet, decision),
        };
        let stateful = decision.is_stateful(&packet.key);
        let unwanted =
            leaves_in_the_clear(context.tables, next_hop) && clear::is_unwanted(context, &packet, Some(&decision.out));
        if stateful && packet.is_signal() || unwanted {
            return self.pass(context, packet, next_hop, decision);
        }
        if stateful
            && packet.parsed.proto == proto::TCP
            && let Err(reason) = track::opens(packet.frame.data(), &packet.parsed)
        {
            decision.release();
            context.drop_packet(packet, reason);
            return Step::Done;
        }
        match self.enter(context, &packet, next_hop, &decision, stateful, false) {
            Ok((flow, action)) => {
                self.note(context, &packet, flow, stateful);
                run(context, packet, flow, action);
                Step::Done
            }
            Err(error) => self.not_made(
                context,
                Unmade {
                    packet,
                    next_hop,
                    decision,
                    error,
                },
            ),
        }
    }

    /// Makes a flow by a decision to forward. `absent`: its key was just looked for, and nothing was found.
    #[inline]
    fn enter(
        &self,
        context: &mut Context<'_>,
        packet: &Facts,
        next_hop: NextHopSlot,
        decision: &Decision<'_>,
        stateful: bool,
        absent: bool,
    ) -> Result<(FlowRef, FlowAction), InsertError> {
        let back = context.shared.flows.hash(&decision.answers);
        if let Some(nat) = decision.source_nat {
            // Where its answers will be looked for was not known before.
            context.shared.flows.prefetch_hash(back);
            context.state.translation = Some(nat.slot);
        }
        let action = FlowAction {
            next_hop,
            in_port: packet.way_in,
            ..action_of(decision, &packet.key, stateful)
        };
        let flow = NewFlow {
            forward: self.new_direction(context, packet, decision, action),
            // The way back is decided by the first packet that takes it.
            reverse: Some(NewDirection {
                key: decision.answers,
                hash: back,
                epoch: STALE,
                action: [0; 3],
            }),
            port: charged_to(context.tables, packet, next_hop).raw(),
        };
        let made = house::insert_as(context, &flow, action.flags, absent)?;
        if let Some((service, place)) = decision.service.filter(|_| !context.is_trace()) {
            service.count(place);
        }
        let answers = Some(decision.answers);
        tell(context, FlowChange::Created, packet.key, answers, action, flow.port);
        Ok((made.flow, action))
    }

    /// What becomes of a packet whose flow was decided and could not be made.
    fn not_made(&mut self, context: &mut Context<'_>, unmade: Unmade<'_>) -> Step {
        match unmade.error {
            InsertError::AlreadyThere(_) if unmade.packet.is_signal() => {
                self.pass(context, unmade.packet, unmade.next_hop, unmade.decision)
            }
            InsertError::AlreadyThere(there) => {
                unmade.decision.release();
                self.hit = Some(there);
                self.take_over(context, unmade.packet, there)
            }
            _ => self.without(context, unmade),
        }
    }

    /// Another worker made the flow a moment ago: its decision is as good as ours.
    fn take_over(&mut self, context: &mut Context<'_>, packet: Packet, there: FlowHit) -> Step {
        let action = FlowAction::unpack(there.action);
        if !context.tables.is_current(there.epoch, self.vrf, action.vrf_out) || action.in_port != packet.way_in {
            return Step::Retry(packet);
        }
        self.note(context, &packet, there.flow, false);
        run(context, packet, there.flow, action);
        Step::Done
    }

    /// There can be no flow.
    fn without(&mut self, context: &mut Context<'_>, unmade: Unmade<'_>) -> Step {
        let Unmade {
            packet,
            next_hop,
            decision,
            error,
        } = unmade;
        decision.release();
        let stateful = decision.is_stateful(&packet.key);
        let reason = match error {
            InsertError::ReverseTaken if house::forget_denial(context, &decision.answers) => {
                self.hit = None;
                return Step::Retry(packet);
            }
            InsertError::ReverseTaken => {
                let has_ports = matches!(packet.parsed.proto, proto::TCP | proto::UDP) && !packet.parsed.is_fragment();
                if has_ports || decision.taken.is_some() {
                    self.attempt += 1;
                    self.hit = None;
                    return Step::Retry(packet);
                }
                DropReason::NatExhausted
            }
            InsertError::Contended if stateful => {
                self.hit = None;
                return Step::Retry(packet);
            }
            InsertError::PortShareUsed { .. } | InsertError::VrfShareUsed { .. } => DropReason::FlowLimit,
            _ => DropReason::FlowTableFull,
        };
        if stateful {
            context.count(|c| &c.flows_refused);
            context.drop_packet(packet, reason);
        } else {
            context.count(|c| &c.uncached);
            forward::forward(context, packet, next_hop);
        }
        Step::Done
    }

    /// Sends a packet on without a flow: ICMP other than echo, which is judged each time, because its type is no part of its key.
    fn pass(&self, context: &mut Context<'_>, packet: Packet, next_hop: NextHopSlot, decision: Decision<'_>) -> Step {
        if decision.taken.is_some() {
            // Its answers could not be told from others'.
            decision.release();
            context.drop_packet(packet, DropReason::Untranslatable);
            return Step::Done;
        }
        let to = decision.translates(&packet.key).then_some(&decision.out);
        forward::forward_as(context, packet, next_hop, to);
        Step::Done
    }

    /// Gives a flow its new decision, and runs it.
    fn renew(&self, context: &mut Context<'_>, packet: Packet, flow: FlowRef, action: FlowAction, span: Span) -> Step {
        let stamp = self.stamp(context.tables, span, packet.vrf, action.vrf_out);
        if context.shared.events.watched()
            && self
                .hit
                .is_some_and(|hit| before(&hit).is_some_and(|b| b != action.next_hop))
        {
            let answers = context.shared.flows.sibling_key(flow);
            tell(
                context,
                FlowChange::Changed,
                packet.key,
                answers,
                action,
                packet.port.raw(),
            );
        }
        context.shared.flows.revalidate(flow, stamp, &action.pack());
        self.note(context, &packet, flow, action.flags.has(FlowFlags::STATEFUL));
        run(context, packet, flow, action);
        Step::Done
    }

    /// Counts the packet, and that its direction was seen. (Of TCP, tracking says more.)
    fn note(&self, context: &Context<'_>, packet: &Packet, flow: FlowRef, stateful: bool) {
        if packet.related {
            return;
        }
        touch(context, packet, flow);
        if stateful && packet.parsed.proto != proto::TCP {
            context.shared.flows.set_state(flow, SEEN);
        }
    }
}

pub(super) fn touch(context: &Context<'_>, packet: &Packet, flow: FlowRef) {
    let bytes = packet.frame.len() as u64;
    context.shared.flows.touch(flow, context.now_ms(), bytes);
}

/// Whether a next hop leads into the underlay without a tunnel.
#[inline]
pub(super) fn leaves_in_the_clear(tables: &Tables, next_hop: NextHopSlot) -> bool {
    let action = tables.next_hop(next_hop).map(|n| &n.action);
    matches!(action, Some(Action::Underlay { .. }))
}

/// The stamp of a decision made now in a VRF, at the slot `own`, by which packets leave in the VRF `out`.
#[inline]
pub(super) fn stamp(tables: &Tables, vrf: &Vrf, span: Span, own: VrfSlot, out: VrfSlot) -> u64 {
    match span {
        Span::Own => tables.stamp(vrf),
        Span::With(other) if other == own || other == out => tables.pair_stamp(vrf, out),
        _ => tables.wide_stamp(),
    }
}

/// The port whose share a flow counts on: the workload's, whichever side began.
pub(super) fn charged_to(tables: &Tables, packet: &Facts, next_hop: NextHopSlot) -> PortSlot {
    match decide::port_behind(tables, next_hop) {
        Some(port) if packet.origin != Origin::Port => port,
        _ => packet.port,
    }
}

/// Tells those who watch what became of a flow.
pub(super) fn tell(
    context: &Context<'_>,
    change: FlowChange,
    key: FlowKey,
    answers: Option<FlowKey>,
    action: FlowAction,
    port: u16,
) {
    context.shared.events.tell(|| FlowEvent {
        change,
        at: context.now,
        key,
        answers,
        action: action.pack(),
        state: [0; 2],
        reverse_action: [0; crate::tables::flow::ACTION_WORDS],
        packets: [0; 2],
        bytes: [0; 2],
        lasted_ms: [0; 2],
        end: None,
        port,
    });
}
