//! Every refusal names the operation, the field and what would be right.

use vrouter_dataplane::{
    program::{
        FIRST_UPLINK_ID, Limits,
        object::{
            ActionSpec, Attachment, BridgeSpec, Key, LabelTo, MacSpec, Mode, NeighborSpec, Object, Operation, PortSpec,
            RouteSpec, VniTo, VrfSpec,
        },
        problem::Code,
    },
    wire::Mac,
};

use crate::{
    full,
    lab::{
        node::Node,
        objects::{
            bridge_spec, flood, group, ip, label, next_hop, port_spec, route, route_spec, station, to_port, vni, vrf,
            vxlan,
        },
        settings,
    },
};

/// Applies the operation behind one that is harmless, and gives the one problem with it. Nothing may have changed.
pub fn refusal(node: &mut Node, operation: Operation) -> (Code, &'static str, String) {
    let before = (full::dump(node), node.dp.programmer.revision());
    let harmless = Operation::Put(Object::Vrf(VrfSpec {
        id: 999,
        name: "harmless".into(),
        underlay: false,
    }));
    let shown = format!("{operation:?}");
    let Err(problems) = node.apply(&[harmless, operation]) else {
        panic!("{shown} is not refused")
    };
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].operation, 1, "the operation at fault");
    assert_eq!(
        (full::dump(node), node.dp.programmer.revision()),
        before,
        "{shown} left something behind"
    );
    node.check();
    (problems[0].code, problems[0].field, problems[0].message.clone())
}

pub fn put(object: Object) -> Operation {
    Operation::Put(object)
}

#[test]
fn each_wrong_field_is_named() {
    let port = |change: fn(&mut PortSpec)| {
        let mut spec = port_spec(7, Attachment::Vrf(1));
        change(&mut spec);
        put(Object::Port(spec))
    };
    let bridge = |change: fn(&mut BridgeSpec)| {
        let mut spec = bridge_spec(7);
        change(&mut spec);
        put(Object::Bridge(spec))
    };
    let route_of = |change: fn(&mut RouteSpec)| {
        let mut spec = route_spec(1, "10.9.0.0/16", 1);
        change(&mut spec);
        put(Object::Route(spec))
    };
    let hop = |action| put(next_hop(70, action));
    let mac = |bridge, mac, next_hop| put(Object::Mac(MacSpec { bridge, mac, next_hop }));
    let near = |bridge, mac| {
        put(Object::Neighbor(NeighborSpec {
            bridge,
            address: ip("10.3.0.9"),
            mac,
        }))
    };
    let (group_mac, invalid, not_found, in_use) = (Mac([1, 0, 0, 0, 0, 1]), Code::Invalid, Code::NotFound, Code::InUse);
    let cases = [
        (port(|p| p.id = 0), invalid, "port.id", "1 or more"),
        (port(|p| p.id = FIRST_UPLINK_ID), invalid, "port.id", "uplink"),
        (port(|p| p.mtu = 575), invalid, "port.mtu", "between 576 and 65535"),
        (port(|p| p.mac = Mac::ZERO), invalid, "port.mac", "one station"),
        (port(|p| p.mac = Mac::BROADCAST), invalid, "port.mac", "one station"),
        (
            port(|p| p.attachment = Attachment::Vrf(77)),
            not_found,
            "port.vrf",
            "no VRF 77",
        ),
        (
            port(|p| p.attachment = Attachment::Bridge(77)),
            not_found,
            "port.bridge",
            "no bridge 77",
        ),
        (port(|p| p.interface = "p1".into()), in_use, "port.interface", "port 1"),
        (port(|p| p.mode = Mode::Generic), Code::Refused, "port.mode", "memory"),
        (put(vrf(0)), invalid, "vrf.id", "1 or more"),
        (bridge(|b| b.id = 0), invalid, "bridge.id", "1 or more"),
        (
            bridge(|b| b.gateway_mac = Mac::ZERO),
            invalid,
            "bridge.gateway_mac",
            "one station",
        ),
        (
            bridge(|b| b.gateway_mac = Mac::BROADCAST),
            invalid,
            "bridge.gateway_mac",
            "one station",
        ),
        (bridge(|b| b.vrf = Some(77)), not_found, "bridge.vrf", "no VRF 77"),
        (
            bridge(|b| b.flood = Some(77)),
            not_found,
            "bridge.flood",
            "no next hop 77",
        ),
        (bridge(|b| b.flood = Some(1)), invalid, "bridge.flood", "flood"),
        (put(next_hop(0, ActionSpec::Drop)), invalid, "next_hop.id", "1 or more"),
        (put(to_port(70, 77)), not_found, "next_hop.to_port.port", "no port 77"),
        (
            hop(ActionSpec::Port {
                port: 1,
                mac: Some(group_mac),
            }),
            invalid,
            "next_hop.to_port.mac",
            "one station",
        ),
        (
            put(vxlan(70, ip("0.0.0.0"), 1)),
            invalid,
            "next_hop.tunnel.remote",
            "another node",
        ),
        (
            put(vxlan(70, ip("ff02::1"), 1)),
            invalid,
            "next_hop.tunnel.remote",
            "another node",
        ),
        (
            put(vxlan(70, ip("127.0.0.1"), 1)),
            invalid,
            "next_hop.tunnel.remote",
            "another node",
        ),
        (
            put(vxlan(70, ip("192.0.2.1"), 1)),
            invalid,
            "next_hop.tunnel.remote",
            "own",
        ),
        (
            put(vxlan(70, ip("2001:db8::1"), 1)),
            invalid,
            "next_hop.tunnel.remote",
            "own",
        ),
        (put(group(70, &[])), invalid, "next_hop.group", "member"),
        (
            put(group(70, &[(77, 1)])),
            not_found,
            "next_hop.members",
            "no next hop 77",
        ),
        (
            put(group(70, &[(21, 0)])),
            invalid,
            "next_hop.group.members.weight",
            "1 to 255",
        ),
        (put(group(70, &[(30, 1)])), invalid, "next_hop.members", "nest"),
        (put(flood(70, &[31])), invalid, "next_hop.members", "nest"),
        (put(flood(70, &[23])), invalid, "next_hop.flood.next_hops", "VXLAN"),
        (put(flood(70, &[1])), invalid, "next_hop.flood.next_hops", "VXLAN"),
        (put(group(70, &[(21, 1); 16_385])), Code::Exhausted, "next_hop", "16384"),
        (put(next_hop(21, ActionSpec::Drop)), in_use, "next_hop.action", "kind"),
        (put(to_port(30, 1)), in_use, "next_hop.action", "kind"),
        (route_of(|r| r.vrf = 77), not_found, "route.vrf", "no VRF 77"),
        (
            route_of(|r| r.next_hop = 77),
            not_found,
            "route.next_hop",
            "no next hop 77",
        ),
        (route_of(|r| r.next_hop = 31), invalid, "route.next_hop", "floods"),
        (route_of(|r| r.source = 16), invalid, "route.source", "0 and 15"),
        (route_of(|r| r.preference = 16), invalid, "route.preference", "0 and 15"),
        (mac(77, station(9), 13), not_found, "mac.bridge", "no bridge 77"),
        (mac(1, Mac::BROADCAST, 13), invalid, "mac.mac", "one station"),
        (mac(1, Mac::ZERO, 13), invalid, "mac.mac", "one station"),
        (mac(1, station(9), 77), not_found, "mac.next_hop", "no next hop 77"),
        (mac(1, station(9), 23), invalid, "mac.next_hop", "VXLAN"),
        (near(0, station(9)), invalid, "neighbor.bridge", "underlay"),
        (near(77, station(9)), not_found, "neighbor.bridge", "no bridge 77"),
        (near(1, group_mac), invalid, "neighbor.mac", "one station"),
        (put(vni(9, VniTo::Vrf(77))), not_found, "vni.vrf", "no VRF 77"),
        (put(vni(9, VniTo::Bridge(77))), not_found, "vni.bridge", "no bridge 77"),
        (put(label(15, LabelTo::Vrf(1))), invalid, "label.label", "16 or more"),
        (put(label(99, LabelTo::Vrf(77))), not_found, "label.vrf", "no VRF 77"),
        (
            put(label(99, LabelTo::NextHop(77))),
            not_found,
            "label.next_hop",
            "no next hop 77",
        ),
        (put(label(99, LabelTo::NextHop(21))), invalid, "label.next_hop", "port"),
        (
            Operation::Delete(Key::Port(FIRST_UPLINK_ID)),
            invalid,
            "port",
            "vrouterd",
        ),
        // In use: deleted only after what refers to it.
        (
            Operation::Delete(Key::Port(1)),
            in_use,
            "port",
            "1 next hops lead to port 1 (workload 1)",
        ),
        (Operation::Delete(Key::Vrf(1)), in_use, "vrf", "VRF 1 (vrf1)"),
        (Operation::Delete(Key::Vrf(2)), in_use, "vrf", "VRF 2 (vrf2)"),
        (
            Operation::Delete(Key::Bridge(1)),
            in_use,
            "bridge",
            "bridge 1 (bridge1)",
        ),
        (
            Operation::Delete(Key::NextHop(11)),
            in_use,
            "next_hop",
            "next hop 11 (next hop 11)",
        ),
        (
            Operation::Delete(Key::NextHop(21)),
            in_use,
            "next_hop",
            "delete them first",
        ),
        (
            Operation::Delete(Key::NextHop(22)),
            in_use,
            "next_hop",
            "delete them first",
        ),
        (
            Operation::Delete(Key::NextHop(30)),
            in_use,
            "next_hop",
            "delete them first",
        ),
        (
            Operation::Delete(Key::NextHop(31)),
            in_use,
            "next_hop",
            "delete them first",
        ),
        (
            Operation::Delete(Key::NextHop(13)),
            in_use,
            "next_hop",
            "delete them first",
        ),
    ];
    check(cases);
}

/// Each operation is refused by a full node, with this code, for this field, in these words.
pub fn check(cases: impl IntoIterator<Item = (Operation, Code, &'static str, &'static str)>) {
    let mut node = full::node();
    for (operation, code, field, words) in cases {
        let shown = format!("{operation:?}");
        let (got_code, got_field, message) = refusal(&mut node, operation);
        assert_eq!((got_code, got_field), (code, field), "{shown}: {message}");
        assert!(message.contains(words), "{shown}: {message:?} does not say {words:?}");
    }
}

#[test]
fn full_tables_say_so() {
    let limits = Limits {
        ports: 3,
        vrfs: 2,
        bridges: 1,
        next_hops: 2,
        ..settings().limits
    };
    let mut node = Node::with(
        &vrouter_dataplane::engine::Settings { limits, ..settings() },
        1024,
        2048,
    );
    // One of the ports is the uplink.
    node.put([
        vrf(1),
        Object::Bridge(bridge_spec(1)),
        next_hop(1, ActionSpec::Drop),
        next_hop(2, ActionSpec::Drop),
    ]);
    node.put([1, 2].map(|id| Object::Port(port_spec(id, Attachment::Vrf(1)))));
    let cases = [
        (Object::Port(port_spec(3, Attachment::Vrf(1))), "port", "all 3 ports"),
        (Object::Bridge(bridge_spec(2)), "bridge", "all 1 bridges"),
        (next_hop(3, ActionSpec::Drop), "next_hop", "all 2 next hops"),
    ];
    for (object, field, words) in cases {
        let (code, got, message) = refusal(&mut node, put(object));
        assert_eq!((code, got), (Code::Exhausted, field), "{message}");
        assert!(message.contains(words), "{message}");
    }
    node.put([vrf(2)]);
    let Err(problems) = node.apply(&[put(vrf(3))]) else {
        panic!("a third of two VRFs")
    };
    assert_eq!((problems[0].code, problems[0].field), (Code::Exhausted, "vrf"));
    // What is given back can be used again, any number of times.
    for round in 0..10 {
        node.apply(&[Operation::Delete(Key::Port(1)), Operation::Delete(Key::Vrf(2))])
            .unwrap();
        node.put([vrf(2), Object::Port(port_spec(1, Attachment::Vrf(2 - round % 2)))]);
    }
}

#[test]
fn no_room_for_routes_is_said_and_leaves_those_that_were_there() {
    let limits = Limits {
        route_bytes: 64 << 10,
        ..settings().limits
    };
    let mut node = Node::with(
        &vrouter_dataplane::engine::Settings { limits, ..settings() },
        1024,
        2048,
    );
    node.put([vrf(1), next_hop(1, ActionSpec::Drop), route(1, "10.0.0.0/8", 1)]);
    let before = full::dump(&node);
    let many: Vec<_> = (0..100_000_u32)
        .map(|n| {
            put(route(
                1,
                &format!("{}/32", std::net::Ipv4Addr::from(0x0b00_0000 + n * 256)),
                1,
            ))
        })
        .collect();
    let Err(problems) = node.apply(&many) else {
        panic!("100,000 routes in 64 KiB")
    };
    assert_eq!((problems[0].code, problems[0].field), (Code::Exhausted, "route"));
    assert_eq!(full::dump(&node), before);
    node.put([route(1, "10.1.0.0/16", 1)]);
}
