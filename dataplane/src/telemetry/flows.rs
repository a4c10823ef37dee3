//! Flows as the workers hold them, with the names of what they refer to.

use std::net::IpAddr;

use crate::{
    pipeline::FlowAction,
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
        let key = &entry.key;
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
        .filter_map(move |entry| row(tables, filter, &entry, now / 1_000_000))
}

fn row(tables: &Tables, filter: &FlowFilter, entry: &FlowEntry, now_ms: u64) -> Option<FlowRow> {
    let key = &entry.key;
    // A flow of a VRF that is gone is only waiting to be forgotten.
    let vrf = tables.vrf(VrfSlot::new(key.context() as usize)?)?;
    let port = tables.port(PortSlot::from_raw(entry.port)).map(|port| port.id);
    if filter.vrf.is_some_and(|wanted| wanted != vrf.id) || filter.port.is_some() && filter.port != port {
        return None;
    }
    let (next_hop, action) = decision(tables, entry, vrf);
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
        forward: !entry.flow.is_reverse(),
    })
}

/// What is done with the flow's packets, as far as that still means anything.
fn decision(tables: &Tables, entry: &FlowEntry, vrf: &Vrf) -> (Option<u64>, String) {
    if entry.epoch == STALE {
        return (None, "undecided: no packet yet".to_owned());
    }
    let slot = FlowAction::unpack(entry.action).next_hop;
    let next_hop = tables.next_hop(slot).filter(|_| tables.names_next_hops(entry.epoch));
    let Some(next_hop) = next_hop else {
        return (None, "outdated: the next packet decides anew".to_owned());
    };
    let mut text = describe(tables, slot);
    if !tables.is_current(entry.epoch, vrf) {
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
