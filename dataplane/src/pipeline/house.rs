//! Flows between batches: which are over, what is to be given back for them, and room for new ones.
//!
//! The flow table knows words and times; here is what the words mean for how long a flow may be idle and whether it may be removed.

use super::{
    context::{Context, Shared},
    counters::Counters,
    events::{FlowChange, FlowEvent},
    flow_action::{FlowAction, FlowFlags},
};
use crate::{
    packet::FlowKey,
    tables::{
        Tables,
        conntrack::{self, Phase, Timeouts},
        flow::{EndReason, Ending, FlowHit, FlowOwner, FlowView, InsertError, NewFlow, Outlook, STALE},
        slots::PortSlot,
    },
    wire::proto,
};

/// The phase of a flow, by its words.
pub fn phase_of(flow: &FlowView<'_>) -> Phase {
    let [forward, reverse] = flow.state();
    let denied = FlowAction::unpack(flow.action()).is_denied();
    conntrack::phase(flow.protocol(), forward, reverse, denied)
}

/// What a flow may expect: how long it may be idle, and whether it may be removed for another one of its port.
pub fn outlook(timeouts: &Timeouts, flow: &FlowView<'_>) -> Outlook {
    let phase = phase_of(flow);
    Outlook {
        timeout_ms: timeouts.of(phase, flow.protocol()),
        young: phase.is_evictable(),
    }
}

/// Ends flows of the worker's region that are over, looking at up to `budget` of them.
pub fn end_flows(
    tables: &Tables,
    shared: &Shared,
    counters: &Counters,
    owner: &mut FlowOwner,
    now_ms: u64,
    budget: usize,
) {
    shared.flows.expire_ahead(
        owner,
        now_ms,
        budget,
        |flow| expect_end(tables, flow),
        |flow| outlook(&shared.timeouts, flow),
        |flow| ended(tables, shared, counters, flow, now_ms),
    );
}

/// Asks for the memory that the end of a flow will need elsewhere.
fn expect_end(tables: &Tables, flow: &FlowView<'_>) {
    let nat = FlowAction::unpack(flow.action()).source_nat;
    if let Some(nat) = nat.and_then(|slot| tables.source_nat(slot))
        && let Some(answers) = flow.reverse_key()
    {
        nat.pool.prefetch_release(answers.dst(), answers.dst_port());
    }
}

/// Makes room for a stateful flow of `port` for which an insertion found none: one of the same port that is half-open, unanswered,
/// refused or closed must go. Gives whether it is worth to try again.
pub fn make_room(context: &mut Context<'_>, port: PortSlot) -> bool {
    let now_ms = context.now_ms();
    let (tables, shared, counters) = (context.tables, context.shared, context.counters);
    shared.flows.make_room(
        &mut context.state.flows,
        port.raw(),
        now_ms,
        |flow| outlook(&shared.timeouts, flow),
        |flow| ended(tables, shared, counters, flow, now_ms),
    )
}

/// How long a new flow may be idle if nothing follows its first packet.
fn first_timeout(timeouts: &Timeouts, protocol: u8, flags: FlowFlags) -> u64 {
    let phase = match protocol {
        _ if flags.has(FlowFlags::DENY) => Phase::Denied,
        _ if !flags.has(FlowFlags::STATEFUL) => Phase::Untracked,
        // Or one that was picked up, which has longer: no less than a SYN, in any case.
        proto::TCP => Phase::SynSent,
        _ => Phase::Unreplied,
    };
    timeouts.of(phase, protocol)
}

/// Makes a flow; a stateful one takes the place of another of its port where there is no other room.
pub(super) fn insert(context: &mut Context<'_>, flow: &NewFlow) -> Result<FlowHit, InsertError> {
    insert_as(context, flow, FlowAction::unpack(flow.forward.action).flags, false)
}

/// As [`insert`], of a flow whose action has these flags. `absent`: its key was just looked for, and nothing was found.
pub(super) fn insert_as(
    context: &mut Context<'_>,
    flow: &NewFlow,
    flags: FlowFlags,
    absent: bool,
) -> Result<FlowHit, InsertError> {
    let now = context.now_ms();
    let first_look = first_timeout(&context.shared.timeouts, flow.forward.key.protocol(), flags);
    context.state.flows.set_first_look(first_look);
    let (flows, owner) = (&context.shared.flows, &mut context.state.flows);
    let mut made = match absent {
        true => flows.insert_absent(owner, flow, now),
        false => flows.insert(owner, flow, now),
    };
    let full = matches!(
        made,
        Err(InsertError::TableFull | InsertError::PortShareUsed { .. } | InsertError::VrfShareUsed { .. })
    );
    // What needs no state, or is refused, is not worth anybody's flow.
    if full && flags.has(FlowFlags::STATEFUL) && make_room(context, PortSlot::from_raw(flow.port)) {
        made = context.shared.flows.insert(&mut context.state.flows, flow, now);
    }
    if made.is_ok() {
        context.count(|c| &c.flows_created);
    }
    made
}

/// If packets with this key are known only as refused, forgets it: who is asked may answer, whatever became of what he began himself.
/// A refusal must not keep anybody from asking whom it was meant to protect him from.
pub(super) fn forget_denial(context: &Context<'_>, key: &FlowKey) -> bool {
    let flows = &context.shared.flows;
    let Some(hit) = flows.lookup(key, flows.hash(key)) else {
        return false;
    };
    let denied = hit.epoch != STALE && FlowAction::unpack(hit.action).is_denied();
    denied && flows.sibling_key(hit.flow).is_none() && flows.remove(hit.flow)
}

/// A flow is over, and its memory free again: what it held elsewhere comes back.
fn ended(tables: &Tables, shared: &Shared, counters: &Counters, flow: &Ending<'_>, now_ms: u64) {
    match flow.reason {
        EndReason::Evicted => counters.flows_evicted.add(1),
        EndReason::Idle | EndReason::Removed => counters.flows_expired.add(1),
    }
    give_back_port(tables, flow);
    remember_client(tables, flow, now_ms);
    shared.events.tell(|| {
        let flow = flow.flow();
        FlowEvent {
            change: FlowChange::Ended,
            at: now_ms * 1_000_000,
            key: flow.key,
            answers: flow.reverse_key,
            action: flow.action,
            state: flow.state,
            reverse_action: flow.reverse_action,
            packets: flow.packets,
            bytes: flow.bytes,
            lasted_ms: [flow.created_ms, flow.last_seen_ms],
            end: Some(flow.reason),
            port: flow.port,
        }
    });
}

/// Gives back the port of a source translation, to the pool that counts it: the one that a direction's decision names, if it is still there.
/// (A pool that was replaced took its ports with it, but for those that its successor took on.)
fn give_back_port(tables: &Tables, flow: &Ending<'_>) {
    // A direction that no packet took has zeros.
    let mut decided = [flow.action(), flow.reverse_action()]
        .into_iter()
        .filter(|words| *words != [0; 3]);
    let pool = decided.find_map(|words| {
        let action = FlowAction::unpack(words);
        let pool = &tables.source_nat(action.source_nat?)?.pool;
        (pool.tag() == action.pool).then_some(pool)
    });
    if let Some(pool) = pool
        && let Some(answers) = flow.reverse_key()
    {
        pool.release(flow.key().src(), answers.dst(), answers.dst_port());
    }
}

/// Tells the service that chose the flow's destination that the client's flow is over: so long is a client remembered beyond it. The backend is told by its
/// address: its position may be another one by now.
fn remember_client(tables: &Tables, flow: &Ending<'_>, now_ms: u64) {
    let words = flow.action();
    let action = FlowAction::unpack(words);
    // A direction that no packet took has zeros.
    let service = action.service.filter(|_| words != [0; 3] && !action.is_denied());
    if let Some(service) = service.and_then(|slot| tables.service(slot))
        && let Some(answers) = flow.reverse_key()
    {
        service.ended(flow.key().src(), answers.src(), answers.src_port(), now_ms);
    }
}
