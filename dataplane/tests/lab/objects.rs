//! Objects to program, in few words.

use std::net::IpAddr;

use vrouter_dataplane::{
    program::object::{
        ActionSpec, Attachment, BridgeSpec, Key, LabelSpec, LabelTo, MacSpec, Mode, NeighborSpec, NextHopSpec, Object,
        PortSpec, RouteKey, RouteSpec, VniSpec, VniTo, VrfSpec,
    },
    tables::{next_hop::Encapsulation, port::Gateway},
    wire::{IpPrefix, Label, Mac, Vni},
};

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub fn prefix(text: &str) -> IpPrefix {
    text.parse().unwrap()
}

/// MAC of a numbered station.
pub fn station(number: u8) -> Mac {
    Mac([2, 0, 0, 0, 0, number])
}

/// "10.1.0.1/24": a gateway with the length of its subnet.
pub fn gateways(texts: &[&str]) -> std::sync::Arc<[Gateway]> {
    let one = |text: &&str| {
        let (address, len) = text.split_once('/').unwrap();
        Gateway {
            address: ip(address),
            prefix_len: len.parse().unwrap(),
        }
    };
    texts.iter().map(one).collect()
}

pub fn vrf(id: u32) -> Object {
    Object::Vrf(VrfSpec {
        id,
        name: format!("vrf{id}").into(),
    })
}

/// The port `id` on interface "pID" of station `id`.
pub fn port_spec(id: u32, attachment: Attachment) -> PortSpec {
    PortSpec {
        id,
        name: format!("workload {id}").into(),
        interface: interface(id).into(),
        mode: Mode::Memory,
        attachment,
        mac: station(id as u8),
        gateways: [].into(),
        mtu: 0,
        max_flows: 0,
    }
}

pub fn interface(id: u32) -> String {
    format!("p{id}")
}

pub fn bridge_spec(id: u32) -> BridgeSpec {
    BridgeSpec {
        id,
        name: format!("bridge{id}").into(),
        vrf: None,
        gateway_mac: Mac::GATEWAY,
        gateways: [].into(),
        learn: true,
        aging_seconds: 0,
        flood: None,
    }
}

pub fn next_hop(id: u64, action: ActionSpec) -> Object {
    Object::NextHop(NextHopSpec {
        id,
        name: format!("next hop {id}").into(),
        action,
    })
}

pub fn to_port(id: u64, port: u32) -> Object {
    next_hop(id, ActionSpec::Port { port, mac: None })
}

pub fn group(id: u64, members: &[(u64, u8)]) -> Object {
    next_hop(id, ActionSpec::Group(members.into()))
}

pub fn flood(id: u64, members: &[u64]) -> Object {
    next_hop(id, ActionSpec::Flood(members.into()))
}

pub fn vxlan(id: u64, remote: IpAddr, vni: u32) -> Object {
    let encapsulation = Encapsulation::Vxlan {
        vni,
        inner_mac: Mac::GATEWAY,
    };
    next_hop(id, ActionSpec::Tunnel { remote, encapsulation })
}

pub fn mpls(id: u64, remote: IpAddr, label: u32) -> Object {
    let encapsulation = Encapsulation::MplsUdp { label };
    next_hop(id, ActionSpec::Tunnel { remote, encapsulation })
}

pub fn route_spec(vrf: u32, to: &str, next_hop: u64) -> RouteSpec {
    RouteSpec {
        vrf,
        prefix: prefix(to),
        next_hop,
        source: 0,
        preference: 0,
    }
}

pub fn route(vrf: u32, to: &str, next_hop: u64) -> Object {
    Object::Route(route_spec(vrf, to, next_hop))
}

pub fn route_key(vrf: u32, to: &str) -> Key {
    Key::Route(RouteKey {
        vrf,
        prefix: prefix(to),
        source: 0,
    })
}

pub fn vni(number: u32, target: VniTo) -> Object {
    Object::Vni(VniSpec {
        vni: Vni::new(number).unwrap(),
        target,
        name: format!("vni{number}").into(),
    })
}

pub fn label(number: u32, target: LabelTo) -> Object {
    Object::Label(LabelSpec {
        label: Label::new(number).unwrap(),
        target,
        name: format!("label{number}").into(),
    })
}

pub fn mac_entry(bridge: u32, mac: Mac, next_hop: u64) -> Object {
    Object::Mac(MacSpec { bridge, mac, next_hop })
}

pub fn neighbor(bridge: u32, address: IpAddr, mac: Mac) -> Object {
    Object::Neighbor(NeighborSpec { bridge, address, mac })
}
