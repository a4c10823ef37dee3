//! Objects to program, in few words.

use std::net::IpAddr;

use vrouter_dataplane::{
    program::object::{
        ActionSpec, Attachment, BackendSpec, BridgeSpec, GuardSpec, HealthCheckSpec, HealthKind, IdentitySpec, Key,
        LabelSpec, LabelTo, MacSpec, MirrorSpec, Mode, NeighborSpec, NextHopSpec, Object, PolicySpec, PortSpec,
        RouteKey, RouteSpec, RuleSpec, ServiceSpec, SourceNatSpec, TrafficMatch, Verdict, VniSpec, VniTo, VrfSpec,
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
        underlay: false,
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
        policy: None,
        guard: None,
        qos: None,
        mirrors: [].into(),
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

/// The VRF of the underlay.
pub fn underlay_vrf(id: u32) -> Object {
    Object::Vrf(VrfSpec {
        id,
        name: "underlay".into(),
        underlay: true,
    })
}

/// Leads on into another VRF; what has no translation is dropped.
pub fn to_vrf(id: u64, vrf: u32) -> Object {
    next_hop(
        id,
        ActionSpec::Vrf {
            vrf,
            untranslated: false,
        },
    )
}

/// Leads on into another VRF, translated or not.
pub fn to_vrf_untranslated(id: u64, vrf: u32) -> Object {
    next_hop(
        id,
        ActionSpec::Vrf {
            vrf,
            untranslated: true,
        },
    )
}

/// Out by an uplink in the clear, by a gateway or to the destination itself.
pub fn underlay(id: u64, gateway: Option<IpAddr>) -> Object {
    next_hop(id, ActionSpec::Underlay { gateway })
}

/// The groups of the addresses of a prefix.
pub fn identity(vrf: u32, of: &str, groups: &[u32]) -> Object {
    Object::Identity(IdentitySpec {
        vrf,
        prefix: prefix(of),
        groups: groups.into(),
    })
}

pub fn identity_key(vrf: u32, of: &str) -> Key {
    Key::Identity(vrf, prefix(of))
}

/// A rule named "rule ID" about peers of groups (none: all) and kinds of traffic (none: all).
pub fn rule(id: u32, groups: &[u32], traffic: &[TrafficMatch], verdict: Verdict) -> RuleSpec {
    RuleSpec {
        id,
        name: format!("rule {id}").into(),
        groups: groups.into(),
        traffic: traffic.into(),
        verdict,
        log: false,
    }
}

/// A policy named "policy ID" that denies what no rule allows.
pub fn policy_spec(id: u32, egress: &[RuleSpec], ingress: &[RuleSpec]) -> PolicySpec {
    PolicySpec {
        id,
        name: format!("policy {id}").into(),
        egress: egress.into(),
        ingress: ingress.into(),
        egress_default: Verdict::Deny,
        ingress_default: Verdict::Deny,
    }
}

pub fn policy(id: u32, egress: &[RuleSpec], ingress: &[RuleSpec]) -> Object {
    Object::Policy(policy_spec(id, egress, ingress))
}

/// A guard that lets these addresses and prefixes pass.
pub fn guard(addresses: &[&str]) -> std::sync::Arc<GuardSpec> {
    let one = |text: &&str| text.parse().map_or_else(|_| prefix(text), IpPrefix::host);
    std::sync::Arc::new(GuardSpec {
        addresses: addresses.iter().map(one).collect(),
        ..GuardSpec::default()
    })
}

/// Sources of a prefix behind these addresses, with the default ports and blocks (one for one: ports are kept).
pub fn source_nat_spec(id: u32, (inside, outside): (u32, u32), of: &str, addresses: &[&str]) -> SourceNatSpec {
    SourceNatSpec {
        id,
        name: format!("nat {id}").into(),
        inside,
        outside,
        prefix: prefix(of),
        addresses: addresses.iter().map(|text| ip(text)).collect(),
        first_port: 0,
        last_port: 0,
        block_size: 0,
        blocks_per_source: 0,
    }
}

pub fn source_nat(id: u32, between: (u32, u32), of: &str, addresses: &[&str]) -> Object {
    Object::SourceNat(source_nat_spec(id, between, of, addresses))
}

/// One of those behind a service, in the service's VRF.
pub fn backend(address: &str, port: u16) -> BackendSpec {
    BackendSpec {
        address: ip(address),
        port,
        vrf: None,
        weight: 1,
        draining: false,
        name: format!("backend {address}").into(),
    }
}

pub fn service_spec(
    id: u32,
    vrf: u32,
    address: &str,
    (protocol, port): (u8, u16),
    backends: &[BackendSpec],
) -> ServiceSpec {
    ServiceSpec {
        id,
        name: format!("service {id}").into(),
        vrf,
        address: ip(address),
        protocol,
        port,
        backends: backends.into(),
        client_affinity: false,
        affinity_seconds: 0,
    }
}

/// A service at a protocol and port of an address; (0, 0): all that is sent there.
pub fn service(id: u32, vrf: u32, address: &str, place: (u8, u16), backends: &[BackendSpec]) -> Object {
    Object::Service(service_spec(id, vrf, address, place, backends))
}

/// Copies of everything to a next hop.
pub fn mirror(id: u32, next_hop: u64) -> Object {
    Object::Mirror(MirrorSpec {
        id,
        name: format!("mirror {id}").into(),
        next_hop,
        ..MirrorSpec::default()
    })
}

pub fn health_check(id: u32, vrf: u32, address: &str, port: u16) -> Object {
    Object::HealthCheck(HealthCheckSpec {
        id,
        name: format!("check {id}").into(),
        vrf,
        address: ip(address),
        port,
        kind: HealthKind::Tcp,
        target: "".into(),
        interval_ms: 0,
        timeout_ms: 0,
        rise: 0,
        fall: 0,
    })
}

/// One port of a protocol.
pub fn port_range(protocol: u8, port: u16) -> TrafficMatch {
    TrafficMatch {
        protocol,
        first_port: port,
        last_port: port,
        ..TrafficMatch::default()
    }
}
