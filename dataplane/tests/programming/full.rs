//! A node with an object of every kind, and all that it shows, as text that can be compared.

use vrouter_dataplane::{
    program::{
        Dumped,
        object::{
            Attachment, BackendSpec, BridgeSpec, LabelTo, Object, PortSpec, QosSpec, Rate, TrafficMatch, Verdict, VniTo,
        },
    },
    wire::Mac,
};

use crate::lab::{
    node::Node,
    objects::{
        backend, bridge_spec, flood, gateways, group, guard, health_check, identity, ip, label, mac_entry, mirror,
        mpls, neighbor, next_hop, policy, port_spec, route, rule, service, source_nat, station, to_port, to_vrf,
        underlay, underlay_vrf, vni, vrf, vxlan,
    },
};

/// One object or more of every kind, in an order that can be programmed.
pub fn objects() -> Vec<Object> {
    use vrouter_dataplane::program::object::ActionSpec;
    vec![
        vrf(1),
        vrf(2),
        next_hop(1, ActionSpec::Local),
        next_hop(2, ActionSpec::Drop),
        vxlan(21, ip("192.0.2.2"), 1001),
        vxlan(22, ip("2001:db8::2"), 2001),
        mpls(23, ip("192.0.2.2"), 601),
        group(30, &[(21, 1), (23, 7)]),
        flood(31, &[22]),
        Object::Bridge(BridgeSpec {
            vrf: Some(1),
            gateways: gateways(&["10.3.0.1/24", "fd00:3::1/64"]),
            flood: Some(31),
            learn: false,
            aging_seconds: 77,
            ..bridge_spec(1)
        }),
        Object::Bridge(bridge_spec(2)),
        underlay_vrf(3),
        to_vrf(40, 3),
        underlay(41, Some(ip("192.0.2.254"))),
        underlay(42, None),
        policy(
            1,
            &[rule(1, &[], &[TrafficMatch::ports(6, 443, 443)], Verdict::Allow)],
            &[rule(2, &[7, 9], &[], Verdict::Audit), rule(3, &[], &[], Verdict::Allow)],
        ),
        mirror(1, 21),
        Object::Port(PortSpec {
            gateways: gateways(&["10.1.0.1/24", "fd00:1::1/64"]),
            mtu: 1400,
            max_flows: 9,
            policy: Some(1),
            guard: Some(guard(&["10.1.0.2", "fd00:1::/112"])),
            qos: Some(QosSpec {
                dscp: Some(46),
                to_workload: Some(Rate {
                    bits_per_second: 1_000_000,
                    shape: true,
                    ..Rate::default()
                }),
                from_workload: None,
            }),
            mirrors: [1].into(),
            ..port_spec(1, Attachment::Vrf(1))
        }),
        Object::Port(port_spec(3, Attachment::Bridge(1))),
        to_port(11, 1),
        next_hop(
            13,
            ActionSpec::Port {
                port: 3,
                mac: Some(station(33)),
            },
        ),
        route(1, "10.1.0.1/32", 1),
        route(1, "10.1.0.2/32", 11),
        route(1, "0.0.0.0/0", 30),
        route(1, "fd00:1::/64", 11),
        route(2, "::/0", 2),
        mac_entry(1, station(33), 13),
        mac_entry(1, station(44), 22),
        neighbor(1, ip("10.3.0.3"), station(33)),
        neighbor(1, ip("fd00:3::3"), Mac([2, 4, 4, 4, 4, 4])),
        vni(1001, VniTo::Vrf(1)),
        vni(2001, VniTo::Bridge(1)),
        label(501, LabelTo::Vrf(2)),
        label(502, LabelTo::NextHop(11)),
        identity(1, "10.1.0.2/32", &[7, 9]),
        identity(1, "10.0.0.0/8", &[8]),
        identity(1, "fd00:1::2/128", &[7, 9]),
        identity(2, "::/0", &[]),
        source_nat(1, (1, 3), "10.1.0.2/32", &["203.0.113.7"]),
        source_nat(2, (1, 3), "10.1.0.0/16", &["203.0.113.1", "203.0.113.2"]),
        source_nat(3, (2, 3), "10.1.0.0/16", &["203.0.113.1", "203.0.113.2"]),
        source_nat(4, (1, 3), "fd00:1::/64", &["2001:db8:f::1"]),
        service(
            1,
            1,
            "10.96.0.10",
            (17, 53),
            &[backend("10.1.0.2", 5353), backend("10.1.0.3", 0)],
        ),
        service(2, 1, "fd00:96::10", (6, 80), &[]),
        service(
            3,
            3,
            "203.0.113.7",
            (0, 0),
            &[BackendSpec {
                vrf: Some(1),
                ..backend("10.1.0.2", 0)
            }],
        ),
        health_check(1, 1, "10.1.0.2", 8080),
        health_check(2, 1, "fd00:1::2", 8080),
    ]
}

pub fn node() -> Node {
    let mut node = Node::new();
    node.put(objects());
    node
}

/// Everything that a node shows, sorted.
pub fn dump(node: &Node) -> Vec<String> {
    let snapshot = node.dp.programmer.snapshot();
    let mut lines: Vec<_> = dumped(node).iter().map(|dumped| format!("{dumped:?}")).collect();
    lines.push(format!("{} routes", snapshot.route_count()));
    lines.sort();
    lines
}

pub fn dumped(node: &Node) -> Vec<Dumped> {
    let s = node.dp.programmer.snapshot();
    let mut all: Vec<_> = s
        .ports()
        .chain(s.vrfs())
        .chain(s.bridges())
        .chain(s.next_hops())
        .collect();
    all.extend(
        s.routes(None)
            .chain(s.macs())
            .chain(s.neighbors())
            .chain(s.vnis())
            .chain(s.labels())
            .chain(s.identities(None))
            .chain(s.policies())
            .chain(s.source_nats())
            .chain(s.services())
            .chain(s.mirrors())
            .chain(s.health_checks()),
    );
    all
}
