//! From the flows that workers hold to records for collectors: what is told when a flow ends, and of flows that last.

use std::collections::HashMap;

use super::ipfix::{EndReason, Firewall, FlowRecord, Forwarding};
use crate::{
    packet::{DropReason, FlowKey},
    pipeline::{FlowAction, FlowEvent, FlowFlags},
    tables::{
        Tables, conntrack,
        flow::{ACTION_WORDS, EndReason as Ended, FlowEntry, FlowTable, STALE},
        next_hop::Action,
        port::Role,
        slots::{PortSlot, VrfSlot},
    },
};

/// Directions of long-lived flows that are remembered at most. What is not is told as a whole at its end.
const MOST: usize = 1 << 20;

/// What was told already of a direction.
#[derive(Clone, Copy, Debug)]
struct Told {
    /// When its flow was made, which tells it from a later one with the same key.
    created_ms: u64,
    at_ms: u64,
    packets: u64,
    bytes: u64,
}

/// What was told already of flows that last.
#[derive(Debug, Default)]
pub struct Ledger(HashMap<FlowKey, Told>);

impl Ledger {
    fn told(&self, key: &FlowKey, created_ms: u64) -> Option<&Told> {
        self.0.get(key).filter(|told| told.created_ms == created_ms)
    }

    /// Takes what was told of a flow that is over out of the ledger, and gives what is left to tell: packets and bytes.
    fn rest(&mut self, key: &FlowKey, created_ms: u64, packets: u64, bytes: u64) -> (u64, u64) {
        let told = self.told(key, created_ms).copied();
        self.0.remove(key);
        let told = told.map_or((0, 0), |told| (told.packets, told.bytes));
        (packets.saturating_sub(told.0), bytes.saturating_sub(told.1))
    }

    /// How many directions it remembers.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// It remembers nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// One direction, as all records are made of.
struct Direction<'a> {
    key: &'a FlowKey,
    /// Of packets in the other direction, if there are any.
    sibling: Option<FlowKey>,
    /// What is done with its packets; `None`: not decided yet.
    action: Option<FlowAction>,
    forward: bool,
    created_ms: u64,
    last_seen_ms: u64,
    packets: u64,
    bytes: u64,
    reason: EndReason,
}

/// Records of a flow that is over: of each direction that has something left to tell. `since`: milliseconds since 1970 when the workers' clock was zero.
pub fn ended(tables: &Tables, event: &FlowEvent, ledger: &mut Ledger, since: u64) -> [Option<FlowRecord>; 2] {
    let Some(end) = event.end else { return [None, None] };
    let [created_ms, last_seen_ms] = event.lasted_ms;
    let reason = match end {
        Ended::Evicted => EndReason::LackOfResources,
        Ended::Removed => EndReason::End,
        Ended::Idle => {
            let phase = conntrack::phase(event.key.protocol(), event.state[0], event.state[1], false);
            match phase {
                conntrack::Phase::Closed | conntrack::Phase::TimeWait => EndReason::End,
                _ => EndReason::Idle,
            }
        }
    };
    let decided = |words: [u64; ACTION_WORDS]| (words != [0; ACTION_WORDS]).then(|| FlowAction::unpack(words));
    let mut one = |key: &FlowKey, sibling, action, place: usize| {
        let (packets, bytes) = ledger.rest(key, created_ms, event.packets[place], event.bytes[place]);
        let direction = Direction {
            key,
            sibling,
            action,
            forward: place == 0,
            created_ms,
            last_seen_ms,
            packets,
            bytes,
            reason,
        };
        record(tables, &direction, since)
    };
    let forward = one(&event.key, event.answers, decided(event.action), 0);
    let reverse = event
        .answers
        .and_then(|answers| one(&answers, Some(event.key), decided(event.reverse_action), 1));
    [forward, reverse]
}

/// Which of the flows that last are told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those that have lasted for so many milliseconds since they began or were last told of.
    Due(u64),
    /// All: nobody will tell of them later.
    Rest,
}

/// Hands out records of flows that last, and notes that it did. Goes through the whole table: for a thread that has time. `now_ms`: of the workers' clock;
/// `since`: as for [`ended`].
pub fn walk(
    table: &FlowTable,
    tables: &Tables,
    ledger: &mut Ledger,
    which: Which,
    now_ms: u64,
    since: u64,
    mut hand_out: impl FnMut(FlowRecord),
) {
    let mut next = HashMap::new();
    let (active_ms, reason) = match which {
        Which::Due(active_ms) => (active_ms, EndReason::Active),
        Which::Rest => (0, EndReason::Forced),
    };
    for entry in table.entries() {
        let told = ledger.told(&entry.key, entry.created_ms).copied();
        let last = told.map_or(entry.created_ms, |told| told.at_ms);
        let due = now_ms.saturating_sub(last) >= active_ms;
        let before = told.map_or((0, 0), |told| (told.packets, told.bytes));
        if !due || entry.packets == before.0 || next.len() >= MOST {
            next.extend(told.map(|told| (entry.key, told)));
            continue;
        }
        let told = Told {
            created_ms: entry.created_ms,
            at_ms: now_ms,
            packets: entry.packets,
            bytes: entry.bytes,
        };
        next.insert(entry.key, told);
        if let Some(record) = living(table, tables, &entry, before, since, reason) {
            hand_out(record);
        }
    }
    // What is not in the table any more needs no memory: its end is told, or was lost.
    ledger.0 = next;
}

fn living(
    table: &FlowTable,
    tables: &Tables,
    entry: &FlowEntry,
    before: (u64, u64),
    since: u64,
    reason: EndReason,
) -> Option<FlowRecord> {
    let forward = !entry.flow.is_reverse();
    let decided = FlowAction::unpack(entry.action);
    // Next hops of another time are others' now.
    let known = entry.epoch != STALE && (decided.is_denied() || tables.names_next_hops(entry.epoch));
    let direction = Direction {
        key: &entry.key,
        sibling: table.sibling_key(entry.flow),
        action: known.then_some(decided),
        forward,
        created_ms: entry.created_ms,
        last_seen_ms: entry.last_seen_ms,
        packets: entry.packets.saturating_sub(before.0),
        bytes: entry.bytes.saturating_sub(before.1),
        reason,
    };
    record(tables, &direction, since)
}

/// The record of a direction, if it has something to tell and its VRF is still there.
fn record(tables: &Tables, direction: &Direction<'_>, since: u64) -> Option<FlowRecord> {
    let key = direction.key;
    if direction.packets == 0 {
        return None;
    }
    let vrf = tables.vrf(VrfSlot::new(key.context() as usize)?)?.id;
    let action = direction.action;
    let denied = action.is_some_and(|action| action.is_denied());
    let translates = action.is_some_and(|action| action.flags.has(FlowFlags::TRANSLATE));
    let out = direction.sibling.map(|sibling| sibling.reversed());
    let translated = out.filter(|out| translates && !out.same_tuple(key) && out.src().is_ipv4() == key.src().is_ipv4());
    let first = if direction.forward {
        *key
    } else {
        direction.sibling.unwrap_or(*key)
    };
    let (in_port, from_workload) = way_in(tables, action);
    Some(FlowRecord {
        start: since + direction.created_ms,
        end: since + direction.last_seen_ms,
        flow: first.hash(direction.created_ms),
        packets: direction.packets,
        bytes: direction.bytes,
        in_port,
        out_port: way_out(tables, action),
        vrf,
        out_vrf: action.and_then(|a| tables.vrf(a.vrf_out)).map_or(vrf, |vrf| vrf.id),
        source: (key.src(), key.src_port()),
        destination: (key.dst(), key.dst_port()),
        protocol: key.protocol(),
        forward: direction.forward,
        from_workload,
        reason: direction.reason,
        firewall: match direction.reason {
            _ if denied => Firewall::Denied,
            EndReason::Active => Firewall::Update,
            _ => Firewall::Deleted,
        },
        forwarding: match action.and_then(|action| action.reason) {
            Some(DropReason::PolicyDeniedEgress | DropReason::PolicyDeniedIngress) if denied => {
                Forwarding::DroppedByPolicy
            }
            _ if denied => Forwarding::Dropped,
            _ => Forwarding::Forwarded,
        },
        translated: translated.map(|out| [(out.src(), out.src_port()), (out.dst(), out.dst_port())]),
    })
}

/// The port that packets come in by, and whether a workload is behind it.
fn way_in(tables: &Tables, action: Option<FlowAction>) -> (u32, bool) {
    match action {
        None => (0, false),
        Some(action) if action.in_port == FlowAction::ANY_UPLINK => (uplink(tables), false),
        Some(action) => match tables.port(PortSlot::from_raw(action.in_port)) {
            Some(port) => (port.id, port.role != Role::Uplink),
            None => (0, false),
        },
    }
}

/// The port that packets leave by; 0: none, or it is not known.
fn way_out(tables: &Tables, action: Option<FlowAction>) -> u32 {
    let Some(action) = action.filter(|action| !action.is_denied()) else {
        return 0;
    };
    let id = |slot| tables.port(slot).map_or(0, |port| port.id);
    match tables.next_hop(action.next_hop).map(|hop| &hop.action) {
        Some(Action::Port(hop)) => id(hop.port),
        Some(Action::Tunnel(tunnel)) => tunnel.path.as_ref().map_or(0, |path| id(path.port)),
        Some(Action::Underlay { .. }) => uplink(tables),
        _ => 0,
    }
}

/// The only uplink, if there is only one.
fn uplink(tables: &Tables) -> u32 {
    let mut uplinks = tables.ports.iter().filter(|(_, port)| port.role == Role::Uplink);
    match (uplinks.next(), uplinks.next()) {
        (Some((_, port)), None) => port.id,
        _ => 0,
    }
}
