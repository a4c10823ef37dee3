//! First packets of a batch: their flows are made before the first packet of it is sent, so that all of them go the way of packets whose flow is known.
//!
//! A row of flows is decided before any of it is made: what making them needs of memory is on its way meanwhile. Most are decided in
//! short ([`decide::simply`]). What is not plain, is refused, or finds no room stays as it is: it is [begun](super::settle::begin) in its turn.

use super::{
    conclusion::{self, action_of},
    context::Context,
    decide,
    decision::{self, Decision, Fate, Question, Span},
    events::FlowChange,
    flow_action::{FlowAction, FlowFlags},
    house,
    packet::{Brief, Origin, WayIn},
    settle::{charged_to, leaves_in_the_clear, stamp, tell},
    track,
};
use crate::{
    packet::{FlowKey, Frame},
    tables::{
        conntrack::SEEN,
        flow::{InsertError, NewDirection, NewFlow, STALE},
        forwarding::Vrf,
        guard::Guard,
        port::Port,
        slots::PortSlot,
    },
    wire::proto,
};

/// Flows that are decided before the first of them is made.
const ROW: usize = 16;

/// A flow that was decided and is to be made.
#[derive(Debug)]
pub(super) struct Newcomer {
    /// Its packet's place in the batch.
    place: usize,
    flow: NewFlow,
    flags: FlowFlags,
    /// The service that chose its backend, and which.
    service: Option<(u16, u16)>,
    /// What gave it a port that is to be given back if nothing comes of it.
    taken: Option<u16>,
}

/// A packet that was decided and goes nowhere, or no flow is made for: so much is known when its turn comes.
pub(super) struct Decided<'a> {
    /// Its place in the batch.
    pub place: usize,
    /// What was decided.
    pub decision: Decision<'a>,
}

/// Makes the flows of the plain packets of a batch that are likely to be new. Gives the first that was decided otherwise.
#[inline(never)]
pub(super) fn begin<'a>(
    context: &mut Context<'a>,
    frames: &[Frame],
    briefs: &mut [Brief],
    way: &WayIn,
) -> Option<Decided<'a>> {
    if context.is_trace() {
        return None;
    }
    let mut row = std::mem::take(&mut context.state.newcomers);
    let mut other = None;
    let sender = (way.origin == Origin::Port).then_some(way.port);
    let mut beginning = Beginning {
        way,
        sender: sender.and_then(|port| context.tables.port(port)),
        workload: sender,
        vrf: None,
    };
    let mut place = 0;
    while place < briefs.len() {
        while let (Some(brief), Some(frame), true) = (briefs.get_mut(place), frames.get(place), row.len() < ROW) {
            if brief.is_news() && brief.is_plain() {
                match beginning.decide(context, brief, frame, (place, row.len())) {
                    Step::Made(newcomer) => row.push(newcomer),
                    Step::Left => {}
                    Step::Other(decision) if other.is_none() => other = Some(Decided { place, decision }),
                    Step::Other(decision) => {
                        // Many are refused: the rest are asked about in their turn only.
                        decision.release();
                        place = briefs.len();
                        break;
                    }
                }
            }
            place += 1;
        }
        for newcomer in &row {
            make(context, briefs, newcomer);
        }
        row.clear();
    }
    context.state.newcomers = row;
    other
}

/// What became of a packet.
#[allow(clippy::large_enum_variant)] // There is never more than one, and on the way of packets no memory is taken.
enum Step<'a> {
    /// Its flow is to be made.
    Made(Newcomer),
    /// It is left to be begun in its turn, or its flow is there.
    Left,
    /// It was decided, and there is more to it.
    Other(Decision<'a>),
}

/// What first packets of a batch have in common.
struct Beginning<'a, 'w> {
    way: &'w WayIn,
    /// The workload's port that they came in by.
    workload: Option<PortSlot>,
    sender: Option<&'a Port>,
    /// The VRF of the last one.
    vrf: Option<(u32, &'a Vrf)>,
}

impl<'a> Beginning<'a, '_> {
    #[inline]
    fn decide(
        &mut self,
        context: &mut Context<'a>,
        brief: &mut Brief,
        frame: &Frame,
        (place, after): (usize, usize),
    ) -> Step<'a> {
        let (tables, flows) = (context.tables, &context.shared.flows);
        let key = brief.key;
        // Of the first bucket this is known.
        if let Some(hint) = flows.locate_far(&key, brief.hash) {
            brief.hint = hint;
            return Step::Left;
        }
        let vrf = match self.vrf {
            Some((context, vrf)) if context == key.context() => vrf,
            _ => match tables.vrf(brief.vrf()) {
                Some(vrf) => vrf,
                None => return Step::Left,
            },
        };
        self.vrf = Some((key.context(), vrf));
        let guard: Option<&Guard> = self.sender.and_then(|port| port.guard.as_deref());
        if guard.is_some_and(|guard| guard.check(&key).is_err()) {
            return Step::Left;
        }
        let is_tcp = key.protocol() == proto::TCP;
        let opens = |frame: &Frame| track::opens(frame.data(), &brief.parsed(frame.len())).is_ok();
        let simple = match brief.via() {
            None => decide::simply(
                tables,
                &key,
                brief.hash,
                self.workload,
                self.sender,
                &mut context.state.lately,
            ),
            Some(_) => None,
        };
        if let Some(simple) = simple {
            if simple.is_stateful() && is_tcp && !opens(frame) {
                return Step::Left;
            }
            debug_assert!(self.agrees(context, brief, &simple), "{key:?}: {simple:?}");
            let rulings = [simple.egress, simple.ingress];
            let flags = conclusion::flags_of(rulings)
                .with_if(simple.is_stateful(), FlowFlags::STATEFUL)
                .with_if(simple.is_stateful() && is_tcp, FlowFlags::TRACK);
            let action = FlowAction {
                flags,
                egress_rule: conclusion::rule(simple.egress),
                ingress_rule: conclusion::rule(simple.ingress),
                ..FlowAction::plain(simple.next_hop, self.way.way_in, brief.vrf())
            };
            let port = match simple.receiver {
                Some(port) if self.way.origin != Origin::Port => port,
                _ => self.way.port,
            };
            return Step::Made(Newcomer {
                place,
                flow: flow(context, brief, key.reversed(), tables.stamp(vrf), action, (port, after)),
                flags,
                service: None,
                taken: None,
            });
        }
        let facts = brief.facts(self.way, frame.len());
        let question = self.question(context, brief);
        let decision = context.decide(&question);
        let Fate::Forward(next_hop) = decision.fate else {
            return Step::Other(decision);
        };
        let stateful = decision.is_stateful(&key);
        if leaves_in_the_clear(tables, next_hop) || stateful && is_tcp && !opens(frame) {
            return Step::Other(decision);
        }
        let action = FlowAction {
            next_hop,
            in_port: self.way.way_in,
            ..action_of(&decision, &key, stateful)
        };
        if let Some(nat) = decision.source_nat {
            context.state.translation = Some(nat.slot);
        }
        let epoch = stamp(tables, vrf, decision.span, facts.vrf, action.vrf_out);
        let port = charged_to(tables, &facts, next_hop);
        Step::Made(Newcomer {
            place,
            flow: flow(context, brief, decision.answers, epoch, action, (port, after)),
            flags: action.flags,
            service: decision.service.map(|(service, place)| (service.slot, place)),
            taken: decision.taken.map(|taken| taken.nat.slot),
        })
    }
}

impl Beginning<'_, '_> {
    fn question(&self, context: &Context<'_>, brief: &Brief) -> Question {
        Question {
            key: brief.key,
            hash: brief.hash,
            workload: self.workload,
            via: brief.via(),
            traffic: decision::traffic(&brief.key, None),
            kept: None,
            before: None,
            attempt: 0,
            now_ms: context.now_ms(),
            is_trace: false,
        }
    }

    /// What was decided in short is what is decided at length.
    fn agrees(&self, context: &mut Context<'_>, brief: &Brief, simple: &decide::Simple) -> bool {
        let question = self.question(context, brief);
        let decision = context.decide(&question);
        decision.fate == Fate::Forward(simple.next_hop)
            && (decision.egress, decision.ingress) == (simple.egress, simple.ingress)
            && (decision.out, decision.answers) == (brief.key, brief.key.reversed())
            && (decision.span, decision.receiver) == (Span::Own, simple.receiver)
            && decision.service.is_none()
            && decision.source_nat.is_none()
    }
}

/// A flow to be made, after so many others that are decided; asks for the memory that it will be made in.
#[inline(always)]
fn flow(
    context: &Context<'_>,
    brief: &Brief,
    answers: FlowKey,
    epoch: u64,
    action: FlowAction,
    (port, after): (PortSlot, usize),
) -> NewFlow {
    let flows = &context.shared.flows;
    let back = flows.hash(&answers);
    flows.prefetch_hash(back);
    context.state.flows.prefetch_free(flows, after);
    NewFlow {
        forward: NewDirection {
            key: brief.key,
            hash: brief.hash,
            epoch,
            action: action.pack(),
        },
        // The way back is decided by the first packet that takes it.
        reverse: Some(NewDirection {
            key: answers,
            hash: back,
            epoch: STALE,
            action: [0; 3],
        }),
        port: port.raw(),
    }
}

/// Makes a flow, if there is room and nobody was quicker.
#[inline]
fn make(context: &mut Context<'_>, briefs: &mut [Brief], newcomer: &Newcomer) {
    let Newcomer {
        place, ref flow, flags, ..
    } = *newcomer;
    let Some(brief) = briefs.get_mut(place) else { return };
    let tables = context.tables;
    match house::insert_as(context, flow, flags, false) {
        Ok(made) => {
            let flows = &context.shared.flows;
            if flags.has(FlowFlags::STATEFUL) && !flags.has(FlowFlags::TRACK) {
                flows.set_state(made.flow, SEEN);
            }
            brief.hint = flows.hint(made.flow, flow.forward.hash);
            if let Some((service, place)) = newcomer.service
                && let Some(service) = tables.service(service)
            {
                service.count(place);
            }
            if context.shared.events.watched() {
                let answers = flow.reverse.map(|reverse| reverse.key);
                let action = FlowAction::unpack(flow.forward.action);
                tell(
                    context,
                    FlowChange::Created,
                    flow.forward.key,
                    answers,
                    action,
                    flow.port,
                );
            }
        }
        Err(error) => {
            if let InsertError::AlreadyThere(hit) = error {
                brief.hint = context.shared.flows.hint(hit.flow, flow.forward.hash);
            }
            if let (Some(slot), Some(answers)) = (newcomer.taken, flow.reverse)
                && let Some(nat) = tables.source_nat(slot)
            {
                let (outside, port) = (answers.key.dst(), answers.key.dst_port());
                nat.pool.release(flow.forward.key.src(), outside, port);
            }
        }
    }
}
