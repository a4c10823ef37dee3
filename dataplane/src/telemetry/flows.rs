//! Flows as the workers hold them, with the names of what they refer to.

use std::net::IpAddr;

use super::verdict::{self, FlowVerdict};
use crate::{
    packet::FlowKey,
    pipeline::{FlowAction, FlowEvent, FlowFlags},
    tables::{
        Tables,
        flow::{FlowEntry, FlowTable, STALE},
        forwarding::Vrf,
        next_hop::{Action, Encapsulation},
        slots::{NextHopSlot, PortSlot, VrfSlot},
    },
    wire::IpPrefix,
};

/// Which flows are asked for. Every condition given must hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowFilter {
    /// In this VRF.
    pub vrf: Option<u32>,
    /// With the source or the destination in this prefix.
    pub address: Option<IpPrefix>,
    /// With this source or destination port.
    pub l4_port: Option<u16>,
    /// Of this IP protocol.
    pub protocol: Option<u8>,
    /// On account of this port.
    pub port: Option<u32>,
}

impl FlowFilter {
    fn wants(&self, entry: &FlowEntry) -> bool {
        self.wants_key(&entry.key)
    }

    fn wants_key(&self, key: &FlowKey) -> bool {
        let address = |prefix: &IpPrefix| prefix.contains(key.src()) || prefix.contains(key.dst());
        self.protocol.is_none_or(|protocol| key.protocol() == protocol)
            && self
                .l4_port
                .is_none_or(|port| key.src_port() == port || key.dst_port() == port)
            && self.address.as_ref().is_none_or(address)
    }
}

/// One direction of a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowRow {
    /// VRF.
    pub vrf: u32,
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// IP protocol.
    pub protocol: u8,
    /// Source port, or what the protocol's flows are told apart by.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// The port on whose account it is: the workload's that it began at, or that it leads to when it began elsewhere.
    pub port: Option<u32>,
    /// Where its packets go, if that is decided.
    pub next_hop: Option<u64>,
    /// The same in words.
    pub action: String,
    /// Packets of this direction.
    pub packets: u64,
    /// Bytes of this direction.
    pub bytes: u64,
    /// Seconds since the last packet.
    pub idle_seconds: u32,
    /// Seconds since the first packet.
    pub age_seconds: u32,
    /// The direction of the first packet.
    pub forward: bool,
    /// What was decided, if that is known and means anything still.
    pub verdict: Option<FlowVerdict>,
    /// State of the connection, in words.
    pub state: &'static str,
    /// What its packets leave as, where they are translated.
    pub translated: Option<Translated>,
}

/// What packets leave as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translated {
    /// VRF, where it is another; else 0.
    pub vrf: u32,
    /// Source address, where it is another.
    pub source: Option<(IpAddr, u16)>,
    /// Destination address, where it is another.
    pub destination: Option<(IpAddr, u16)>,
}

impl Translated {
    /// Of packets with the key `key` whose answers have the key `answers`.
    fn new(tables: &Tables, key: &FlowKey, answers: &FlowKey, vrf: VrfSlot) -> Option<Self> {
        let out = answers.reversed();
        if out.same_tuple(key) {
            return None;
        }
        let (source, destination) = ((out.src(), out.src_port()), (out.dst(), out.dst_port()));
        Some(Self {
            vrf: match tables.vrf(vrf) {
                Some(table) if u32::from(vrf.raw()) != key.context() => table.id,
                _ => 0,
            },
            source: (source != (key.src(), key.src_port())).then_some(source),
            destination: (destination != (key.dst(), key.dst_port())).then_some(destination),
        })
    }
}

/// The flows that `filter` wants, in no order. `now`: nanoseconds, of the clock that workers use.
pub fn flows<'a>(
    table: &'a FlowTable,
    tables: &'a Tables,
    filter: &'a FlowFilter,
    now: u64,
) -> impl Iterator<Item = FlowRow> + 'a {
    table
        .entries()
        .filter(|entry| filter.wants(entry))
        .filter_map(move |entry| row(table, tables, filter, &entry, now / 1_000_000))
}

/// A rule asks that this be told.
pub fn is_logged(event: &FlowEvent) -> bool {
    FlowAction::unpack(event.action).flags.has_any(FlowFlags::TOLD)
}

/// The row of an event: of the direction of the first packet. `None`: nobody asked for it, or its VRF is gone.
pub fn event_row(tables: &Tables, filter: &FlowFilter, event: &FlowEvent) -> Option<FlowRow> {
    let key = &event.key;
    let action = FlowAction::unpack(event.action);
    let vrf = tables.vrf(VrfSlot::new(key.context() as usize)?)?;
    let port = tables.port(PortSlot::from_raw(event.port)).map(|port| port.id);
    let elsewhere = filter.vrf.is_some_and(|wanted| wanted != vrf.id);
    if elsewhere || filter.port.is_some() && filter.port != port || !filter.wants_key(key) {
        return None;
    }
    let denied = action.is_denied();
    Some(FlowRow {
        vrf: vrf.id,
        source: key.src(),
        destination: key.dst(),
        protocol: key.protocol(),
        source_port: key.src_port(),
        destination_port: key.dst_port(),
        port,
        next_hop: tables.next_hop(action.next_hop).map(|n| n.id).filter(|_| !denied),
        action: if denied {
            "drop".to_owned()
        } else {
            describe(tables, action.next_hop)
        },
        packets: event.packets.iter().sum(),
        bytes: event.bytes.iter().sum(),
        idle_seconds: 0,
        age_seconds: 0,
        forward: true,
        verdict: Some(verdict::verdict(tables, &action, true, event.port)),
        state: verdict::state(key.protocol(), event.state, denied),
        translated: event
            .answers
            .filter(|_| action.flags.has(FlowFlags::TRANSLATE))
            .and_then(|answers| Translated::new(tables, key, &answers, action.vrf_out)),
    })
}

fn row(table: &FlowTable, tables: &Tables, filter: &FlowFilter, entry: &FlowEntry, now_ms: u64) -> Option<FlowRow> {
    let key = &entry.key;
    // A flow of a VRF that is gone is only waiting to be forgotten.
    let vrf = tables.vrf(VrfSlot::new(key.context() as usize)?)?;
    let port = tables.port(PortSlot::from_raw(entry.port)).map(|port| port.id);
    if filter.vrf.is_some_and(|wanted| wanted != vrf.id) || filter.port.is_some() && filter.port != port {
        return None;
    }
    let (next_hop, action) = decision(tables, entry, vrf);
    let forward = !entry.flow.is_reverse();
    // Next hops of another time are others' now; a refusal has none.
    let decided = FlowAction::unpack(entry.action);
    let means_something = entry.epoch != STALE && (decided.is_denied() || tables.names_next_hops(entry.epoch));
    let decided = means_something.then_some(decided);
    let sibling = table.sibling_state(entry.flow);
    let words = if forward {
        [entry.state, sibling]
    } else {
        [sibling, entry.state]
    };
    let seconds = |since_ms: u64| u32::try_from(now_ms.saturating_sub(since_ms) / 1000).unwrap_or(u32::MAX);
    Some(FlowRow {
        vrf: vrf.id,
        source: key.src(),
        destination: key.dst(),
        protocol: key.protocol(),
        source_port: key.src_port(),
        destination_port: key.dst_port(),
        port,
        next_hop,
        action,
        packets: entry.packets,
        bytes: entry.bytes,
        idle_seconds: seconds(entry.last_seen_ms),
        age_seconds: seconds(entry.created_ms),
        forward,
        verdict: decided.map(|action| verdict::verdict(tables, &action, forward, entry.port)),
        state: verdict::state(key.protocol(), words, decided.is_some_and(|action| action.is_denied())),
        translated: decided
            .filter(|action| action.flags.has(FlowFlags::TRANSLATE))
            .and_then(|action| Translated::new(tables, key, &table.sibling_key(entry.flow)?, action.vrf_out)),
    })
}

/// What is done with the flow's packets, as far as that still means anything.
fn decision(tables: &Tables, entry: &FlowEntry, vrf: &Vrf) -> (Option<u64>, String) {
    if entry.epoch == STALE {
        return (None, "undecided: no packet yet".to_owned());
    }
    let action = FlowAction::unpack(entry.action);
    if action.is_denied() {
        let reason = action.reason.map_or("refused", |reason| reason.name());
        return (None, format!("drop: {reason}"));
    }
    let slot = action.next_hop;
    let next_hop = tables.next_hop(slot).filter(|_| tables.names_next_hops(entry.epoch));
    let Some(next_hop) = next_hop else {
        return (None, "outdated: the next packet decides anew".to_owned());
    };
    let mut text = describe(tables, slot);
    if !tables.is_current(entry.epoch, vrf, action.vrf_out) {
        text.push_str(" (the next packet decides anew)");
    }
    (Some(next_hop.id), text)
}

/// A next hop in words.
fn describe(tables: &Tables, slot: NextHopSlot) -> String {
    let Some(next_hop) = tables.next_hop(slot) else {
        return String::new();
    };
    match &next_hop.action {
        Action::Drop => "drop".to_owned(),
        Action::Unreachable => "unreachable".to_owned(),
        Action::Local => "local".to_owned(),
        Action::Port(hop) => match tables.port(hop.port) {
            Some(port) => format!("port {} {}", port.id, port.name).trim_end().to_owned(),
            None => "port".to_owned(),
        },
        Action::Tunnel(tunnel) => match tunnel.encapsulation {
            Encapsulation::Vxlan { vni, .. } => format!("vxlan {} vni {vni}", tunnel.remote),
            Encapsulation::MplsUdp { label } => format!("mpls-udp {} label {label}", tunnel.remote),
            Encapsulation::Erspan { session } => format!("erspan {} session {session}", tunnel.remote),
        },
        Action::Group(group) => format!("group of {}", group.members.len()),
        Action::Flood(targets) => format!("flood to {}", targets.len()),
        Action::Vrf { vrf, .. } => match tables.vrf(*vrf) {
            Some(vrf) => format!("vrf {} {}", vrf.id, vrf.name).trim_end().to_owned(),
            None => "vrf".to_owned(),
        },
        Action::Underlay { gateway: Some(gateway) } => format!("underlay via {gateway}"),
        Action::Underlay { gateway: None } => "underlay".to_owned(),
    }
}
