//! Dataplane objects, spelled out: what has a default is given explicitly, so that a dump compares equal whether or not the dataplane fills
//! defaults in.

use std::{collections::BTreeSet, net::IpAddr};

use vrouter_proto::dataplane::{self as pb, next_hop::Action, object::Object};

use super::{ids, vocabulary};
use crate::model::{Cidr, Encapsulation, Endpoint, Mac, Network, Node};

/// Seconds that learned MACs are kept.
const AGING_SECONDS: u32 = 300;
/// The worst preference of a route.
const LAST: u32 = 15;

/// What an endpoint's port is given beside its addresses, on the node it lives on.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Local {
    /// 0: none.
    pub(super) policy: u32,
    pub(super) qos: Option<pb::Qos>,
    pub(super) mirrors: Vec<u32>,
}

pub(super) fn object(object: Object) -> pb::Object {
    pb::Object { object: Some(object) }
}

pub(super) fn next_hop(id: u64, name: String, action: Action) -> pb::Object {
    object(Object::NextHop(pb::NextHop {
        id,
        name,
        action: Some(action),
        state: None,
    }))
}

pub(super) fn local() -> pb::Object {
    next_hop(ids::LOCAL, "local".to_owned(), Action::Local(pb::next_hop::Local {}))
}

/// Where addresses lead that nobody has.
pub(super) fn nobody() -> pb::Object {
    let unreachable = Action::Unreachable(pb::next_hop::Unreachable {});
    next_hop(ids::NOBODY, "nobody".to_owned(), unreachable)
}

pub(super) fn vrf(network: &Network) -> pb::Object {
    object(Object::Vrf(pb::Vrf {
        id: network.number,
        name: network.name.to_string(),
        underlay: network.external,
    }))
}

pub(super) fn bridge(network: &Network, gateways: Vec<String>, flood: u64) -> pb::Object {
    object(Object::Bridge(pb::Bridge {
        id: network.number,
        name: network.name.to_string(),
        vrf: network.number,
        gateway_mac: Mac::GATEWAY.to_string(),
        gateways,
        learn: true,
        aging_seconds: AGING_SECONDS,
        flood,
    }))
}

pub(super) fn vni(network: &Network) -> pb::Object {
    let target = if network.bridged {
        pb::vni::Target::Bridge(network.number)
    } else {
        pb::vni::Target::Vrf(network.number)
    };
    object(Object::Vni(pb::Vni {
        vni: network.vni,
        name: network.name.to_string(),
        target: Some(target),
    }))
}

pub(super) fn network_label(network: &Network) -> pb::Object {
    object(Object::Label(pb::Label {
        label: ids::network_label(network.number),
        name: network.name.to_string(),
        target: Some(pb::label::Target::Vrf(network.number)),
    }))
}

pub(super) fn endpoint_label(endpoint: &Endpoint, label: u32) -> pb::Object {
    object(Object::Label(pb::Label {
        label,
        name: full_name(endpoint),
        target: Some(pb::label::Target::NextHop(ids::port(endpoint.number))),
    }))
}

pub(super) fn flood(network: &Network, next_hops: Vec<u64>) -> pb::Object {
    let flood = pb::next_hop::Flood { next_hops };
    next_hop(
        ids::flood(network.number),
        format!("flood {}", network.name),
        Action::Flood(flood),
    )
}

/// The tunnel that all endpoints of a network on a node share.
pub(super) fn shared_tunnel(network: &Network, node: &Node, remote: IpAddr) -> pb::Object {
    let tunnel = match network.encapsulation {
        Encapsulation::Vxlan => vxlan(network, remote, Mac::GATEWAY),
        Encapsulation::MplsUdp => mpls(remote, ids::network_label(network.number)),
    };
    let id = ids::shared_tunnel(network.number, node.number);
    next_hop(id, format!("{} to {}", network.name, node.name), Action::Tunnel(tunnel))
}

/// MPLS: the tunnel to one endpoint's label.
pub(super) fn label_tunnel(endpoint: &Endpoint, remote: IpAddr, label: u32) -> pb::Object {
    next_hop(
        ids::elsewhere(endpoint.number),
        full_name(endpoint),
        Action::Tunnel(mpls(remote, label)),
    )
}

/// Bridged: the tunnel for packets that are routed to one endpoint.
pub(super) fn mac_tunnel(network: &Network, endpoint: &Endpoint, remote: IpAddr) -> pb::Object {
    let tunnel = vxlan(network, remote, endpoint.mac);
    next_hop(
        ids::elsewhere(endpoint.number),
        full_name(endpoint),
        Action::Tunnel(tunnel),
    )
}

fn vxlan(network: &Network, remote: IpAddr, inner_mac: Mac) -> pb::next_hop::Tunnel {
    pb::next_hop::Tunnel {
        encapsulation: pb::next_hop::Encapsulation::Vxlan.into(),
        remote: remote.to_string(),
        vni: network.vni,
        label: 0,
        inner_mac: inner_mac.to_string(),
    }
}

fn mpls(remote: IpAddr, label: u32) -> pb::next_hop::Tunnel {
    pb::next_hop::Tunnel {
        encapsulation: pb::next_hop::Encapsulation::MplsUdp.into(),
        remote: remote.to_string(),
        vni: 0,
        label,
        inner_mac: String::new(),
    }
}

pub(super) fn port(
    network: &Network,
    endpoint: &Endpoint,
    interface: &str,
    gateways: Vec<String>,
    local: &Local,
) -> pb::Object {
    let (vrf, bridge) = if network.bridged {
        (0, network.number)
    } else {
        (network.number, 0)
    };
    object(Object::Port(pb::Port {
        id: endpoint.number,
        name: full_name(endpoint),
        interface: interface.to_owned(),
        mode: pb::port::Mode::Auto.into(),
        vrf,
        bridge,
        mac: endpoint.mac.to_string(),
        gateways,
        mtu: network.mtu.map_or(0, crate::model::WorkloadMtu::bytes),
        max_flows: 0,
        uplink: false,
        state: None,
        policy: local.policy,
        guard: Some(guard(endpoint)),
        qos: local.qos,
        mirrors: local.mirrors.clone(),
    }))
}

/// What a workload may claim to be: what it was given. Both lists are sorted and have nothing twice.
fn guard(endpoint: &Endpoint) -> pb::Guard {
    let own = endpoint.addresses.iter().map(|a| vocabulary::host(*a));
    let allowed = endpoint.allowed_addresses.iter().map(|p| p.cidr());
    let addresses: BTreeSet<String> = own.chain(allowed).map(|cidr| cidr.to_string()).collect();
    let macs: BTreeSet<String> = endpoint.allowed_macs.iter().map(ToString::to_string).collect();
    pb::Guard {
        addresses: addresses.into_iter().collect(),
        macs: macs.into_iter().collect(),
        allow_router: endpoint.allow_router,
        allow_dhcp_server: endpoint.allow_dhcp_server,
    }
}

pub(super) fn to_port(endpoint: &Endpoint) -> pb::Object {
    let action = pb::next_hop::ToPort {
        port: endpoint.number,
        mac: endpoint.mac.to_string(),
    };
    next_hop(ids::port(endpoint.number), full_name(endpoint), Action::Port(action))
}

/// A host route: /32 or /128.
pub(super) fn host_route(vrf: u32, address: IpAddr, next_hop: u64) -> pb::Object {
    route(vrf, vocabulary::host(address), next_hop)
}

pub(super) fn route(vrf: u32, prefix: Cidr, next_hop: u64) -> pb::Object {
    preferred_route(vrf, prefix, next_hop, 0)
}

/// Whatever else is offered for the prefix, by others than the control process, is better.
pub(super) fn last_route(vrf: u32, prefix: Cidr, next_hop: u64) -> pb::Object {
    preferred_route(vrf, prefix, next_hop, LAST)
}

fn preferred_route(vrf: u32, prefix: Cidr, next_hop: u64, preference: u32) -> pb::Object {
    object(Object::Route(pb::Route {
        vrf,
        prefix: prefix.to_string(),
        next_hop,
        source: 0,
        preference,
        active: false,
    }))
}

/// `groups`: sorted.
pub(super) fn identity(vrf: u32, prefix: Cidr, groups: Vec<u32>) -> pb::Object {
    object(Object::Identity(pb::Identity {
        vrf,
        prefix: prefix.to_string(),
        groups,
    }))
}

pub(super) fn mac(network: &Network, endpoint: &Endpoint, next_hop: u64) -> pb::Object {
    object(Object::Mac(pb::Mac {
        bridge: network.number,
        mac: endpoint.mac.to_string(),
        next_hop,
        learned: false,
        age_seconds: 0,
        port: 0,
        vtep: String::new(),
    }))
}

pub(super) fn neighbor(network: &Network, endpoint: &Endpoint, address: IpAddr) -> pb::Object {
    neighbor_at(network, address, endpoint.mac)
}

pub(super) fn neighbor_at(network: &Network, address: IpAddr, mac: Mac) -> pb::Object {
    object(Object::Neighbor(pb::Neighbor {
        bridge: network.number,
        address: address.to_string(),
        mac: mac.to_string(),
        state: String::new(),
        interface: String::new(),
    }))
}

pub(super) fn full_name(endpoint: &Endpoint) -> String {
    format!("{}/{}", endpoint.network, endpoint.name)
}
