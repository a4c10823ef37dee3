//! VRFs, bridges, and what is programmed in bridges: MACs and neighbours.

use vrouter_proto::dataplane as pb;

use super::field;
use crate::{
    program::{
        object::{BridgeSpec, MacSpec, NeighborSpec, VrfSpec},
        problem::Refusal,
    },
    wire::Mac,
};

/// Longest time until an unseen MAC is forgotten, seconds (IEEE 802.1Q, table 8-6).
const AGING_MAX: u32 = 1_000_000;

pub(super) fn read_vrf(vrf: &pb::Vrf) -> Result<VrfSpec, Refusal> {
    Ok(VrfSpec {
        id: field::id("vrf.id", vrf.id)?,
        name: field::name("vrf.name", &vrf.name)?,
        underlay: vrf.underlay,
    })
}

pub(super) fn show_vrf(vrf: &VrfSpec) -> pb::Vrf {
    pb::Vrf {
        id: vrf.id,
        name: vrf.name.to_string(),
        underlay: vrf.underlay,
    }
}

pub(super) fn read_bridge(bridge: &pb::Bridge) -> Result<BridgeSpec, Refusal> {
    if bridge.aging_seconds > AGING_MAX {
        let message = format!(
            "{} is out of range: it must be from 1 to {AGING_MAX}, or 0 for 300",
            bridge.aging_seconds
        );
        return Err(Refusal::invalid("bridge.aging_seconds", message));
    }
    Ok(BridgeSpec {
        id: field::id("bridge.id", bridge.id)?,
        name: field::name("bridge.name", &bridge.name)?,
        vrf: field::optional_id(bridge.vrf),
        gateway_mac: field::optional_station("bridge.gateway_mac", &bridge.gateway_mac)?.unwrap_or(Mac::GATEWAY),
        gateways: field::gateways("bridge.gateways", &bridge.gateways)?,
        learn: bridge.learn,
        aging_seconds: bridge.aging_seconds,
        flood: field::optional_id(bridge.flood),
    })
}

pub(super) fn show_bridge(bridge: &BridgeSpec) -> pb::Bridge {
    pb::Bridge {
        id: bridge.id,
        name: bridge.name.to_string(),
        vrf: bridge.vrf.unwrap_or(0),
        gateway_mac: bridge.gateway_mac.to_string(),
        gateways: bridge.gateways.iter().map(ToString::to_string).collect(),
        learn: bridge.learn,
        aging_seconds: bridge.aging_seconds,
        flood: bridge.flood.unwrap_or(0),
    }
}

pub(super) fn read_mac(mac: &pb::Mac) -> Result<MacSpec, Refusal> {
    if mac.learned {
        let message = "what is learned is not programmed; to program this entry, leave this unset";
        return Err(Refusal::invalid("mac.learned", message));
    }
    Ok(MacSpec {
        bridge: field::id("mac.bridge", mac.bridge)?,
        mac: field::station("mac.mac", &mac.mac)?,
        next_hop: field::id("mac.next_hop", mac.next_hop)?,
    })
}

pub(super) fn show_mac(mac: &MacSpec) -> pb::Mac {
    pb::Mac {
        bridge: mac.bridge,
        mac: mac.mac.to_string(),
        next_hop: mac.next_hop,
        ..pb::Mac::default()
    }
}

/// The bridge may be 0, the underlay: `program` says why that cannot be programmed.
pub(super) fn read_neighbor(neighbor: &pb::Neighbor) -> Result<NeighborSpec, Refusal> {
    Ok(NeighborSpec {
        bridge: neighbor.bridge,
        address: field::host("neighbor.address", &neighbor.address)?,
        mac: field::station("neighbor.mac", &neighbor.mac)?,
    })
}

pub(super) fn show_neighbor(neighbor: &NeighborSpec) -> pb::Neighbor {
    pb::Neighbor {
        bridge: neighbor.bridge,
        address: neighbor.address.to_string(),
        mac: neighbor.mac.to_string(),
        ..pb::Neighbor::default()
    }
}
