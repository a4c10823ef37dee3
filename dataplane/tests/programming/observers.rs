//! Those who look on: mirrors and health checks; and what ports ask of their workloads.

use std::sync::Arc;

use vrouter_dataplane::{
    program::{
        Change, Dumped, HealthStatus,
        object::{
            ActionSpec, Attachment, GuardSpec, HealthCheckSpec, Key, MirrorMatch, MirrorSpec, Object, Operation,
            PortSpec, QosSpec, Rate,
        },
        problem::Code,
    },
    tables::{next_hop::Encapsulation, port::Port},
};

use crate::{
    full,
    lab::{
        node::Node,
        objects::{flood, group, guard, health_check, ip, label, mirror, next_hop, port_spec, route, station, vrf},
    },
    refusals::{check, put},
};

fn erspan(id: u64, session: u16) -> Object {
    next_hop(
        id,
        ActionSpec::Tunnel {
            remote: ip("192.0.2.2"),
            encapsulation: Encapsulation::Erspan { session },
        },
    )
}

fn port(node: &Node, id: u32) -> Port {
    let snapshot = node.dp.programmer.snapshot();
    let found = snapshot.tables().ports.iter().find(|(_, port)| port.id == id);
    found.unwrap().1.clone()
}

#[test]
fn each_wrong_field_is_named() {
    use vrouter_dataplane::program::object::LabelTo;
    let (invalid, not_found, in_use) = (Code::Invalid, Code::NotFound, Code::InUse);
    let mirrors = |ids: &[u32]| {
        put(Object::Port(PortSpec {
            mirrors: ids.into(),
            ..port_spec(7, Attachment::Vrf(1))
        }))
    };
    check([
        (put(mirror(0, 21)), invalid, "mirror.id", "1 or more"),
        (put(mirror(9, 77)), not_found, "mirror.next_hop", "no next hop 77"),
        (
            put(mirror(9, 1)),
            invalid,
            "mirror.next_hop",
            "neither a port nor a tunnel",
        ),
        (
            put(mirror(9, 40)),
            invalid,
            "mirror.next_hop",
            "neither a port nor a tunnel",
        ),
        (mirrors(&[1, 77]), not_found, "port.mirrors", "no mirror 77"),
        (mirrors(&[1; 5]), invalid, "port.mirrors", "at most 4"),
        (
            Operation::Delete(Key::Mirror(1)),
            in_use,
            "mirror",
            "1 ports have mirror 1 (mirror 1)",
        ),
        (Operation::Delete(Key::NextHop(21)), in_use, "next_hop", "mirrors refer"),
        (
            put(health_check(0, 1, "10.1.0.2", 80)),
            invalid,
            "health_check.id",
            "1 or more",
        ),
        (
            put(health_check(9, 77, "10.1.0.2", 80)),
            not_found,
            "health_check.vrf",
            "no VRF 77",
        ),
        (put(label(99, LabelTo::NextHop(40))), invalid, "label.next_hop", "port"),
    ]);
}

#[test]
fn tunnels_for_copies_carry_nothing_else() {
    let mut node = full::node();
    node.put([erspan(50, 7), mirror(5, 50)]);
    let refused = |node: &mut Node, object: Object, field: &str| {
        let problems = node.apply(&[put(object)]).unwrap_err();
        assert_eq!(problems[0].field, field, "{}", problems[0]);
    };
    refused(&mut node, route(1, "10.77.0.0/16", 50), "route.next_hop");
    refused(&mut node, route(1, "fd77::/64", 50), "route.next_hop");
    refused(&mut node, group(60, &[(50, 1)]), "next_hop.members");
    refused(&mut node, flood(60, &[50]), "next_hop.members");
    // Nor do they become tunnels for packets, or the other way round, while somebody relies on them.
    refused(
        &mut node,
        crate::lab::objects::vxlan(50, ip("192.0.2.2"), 9),
        "next_hop.action",
    );
    refused(&mut node, erspan(21, 9), "next_hop.action");
    node.put([erspan(50, 8)]);
}

#[test]
fn a_changed_mirror_is_that_of_its_ports() {
    let mut node = full::node();
    let filtered = |port: u16| {
        Object::Mirror(MirrorSpec {
            id: 1,
            name: "filtered".into(),
            next_hop: 13,
            from_workload: true,
            filter: Arc::from([MirrorMatch {
                protocol: 6,
                first_port: port,
                last_port: port,
                ..MirrorMatch::default()
            }]),
            ..MirrorSpec::default()
        })
    };
    let old = port(&node, 1).mirrors[0].clone();
    assert!(!old.is_selective() && old.to_workload);
    // The sequence of copies goes on.
    let before = old.next_sequence();
    node.put([filtered(443)]);
    let new = port(&node, 1).mirrors[0].clone();
    assert!(new.is_selective() && !new.to_workload && new.next_hop != old.next_hop);
    assert_eq!(new.next_sequence(), before + 1);
    assert!(port(&node, 3).mirrors.is_empty());
    // What it led to before is free, and what it leads to now is not.
    let problems = node.apply(&[Operation::Delete(Key::NextHop(13))]).unwrap_err();
    assert_eq!(problems[0].code, Code::InUse);
    node.put([Object::Port(port_spec(1, Attachment::Vrf(1)))]);
    assert!(port(&node, 1).mirrors.is_empty());
    node.apply(&[Operation::Delete(Key::Mirror(1))]).unwrap();
}

#[test]
fn guards_and_limits_come_with_ports_and_buckets_stay_as_full_as_they_are() {
    let mut node = Node::new();
    let rate = |bits| {
        Some(Rate {
            bits_per_second: bits,
            ..Rate::default()
        })
    };
    let spec = |bits, name: &str| {
        Object::Port(PortSpec {
            name: name.into(),
            guard: Some(guard(&["10.1.0.7", "fd00:1::/64"])),
            qos: Some(QosSpec {
                from_workload: rate(bits),
                to_workload: None,
                dscp: Some(8),
            }),
            ..port_spec(1, Attachment::Vrf(1))
        })
    };
    node.put([vrf(1), spec(1_000_000, "a")]);
    let first = port(&node, 1);
    let (guard, qos) = (first.guard.unwrap(), first.qos.unwrap());
    assert!(guard.permits(ip("10.1.0.7")) && guard.permits(ip("fd00:1::9")) && guard.permits_mac(station(1)));
    assert!(!guard.permits(ip("10.1.0.8")) && !guard.permits(ip("fd00:2::9")) && !guard.permits_mac(station(2)));
    assert_eq!(qos.dscp, Some(8));
    node.put([spec(1_000_000, "b")]);
    let same = port(&node, 1).qos.unwrap();
    let bucket = |qos: &vrouter_dataplane::tables::qos::Qos| qos.from_workload.clone().unwrap();
    assert!(Arc::ptr_eq(&bucket(&qos), &bucket(&same)));
    node.put([spec(2_000_000, "b")]);
    assert!(!Arc::ptr_eq(&bucket(&qos), &bucket(&port(&node, 1).qos.unwrap())));
    node.put([Object::Port(PortSpec {
        guard: Some(Arc::new(GuardSpec::default())),
        ..port_spec(1, Attachment::Vrf(1))
    })]);
    let bare = port(&node, 1);
    assert!(bare.qos.is_none() && !bare.guard.unwrap().permits(ip("10.1.0.7")));
}

#[test]
fn what_a_health_check_finds_out_is_dumped_and_told_and_forgotten_with_what_it_was_about() {
    let mut node = full::node();
    let status = |node: &Node| {
        let snapshot = node.dp.programmer.snapshot();
        snapshot.health_of(1).unwrap().clone()
    };
    assert_eq!(status(&node), HealthStatus::default());
    assert!(!status(&node).healthy);
    node.dp.programmer.changes();
    let well = |successes| HealthStatus {
        healthy: true,
        detail: "".into(),
        successes,
        failures: 0,
    };
    node.dp.programmer.note_health(1, well(1));
    node.dp.programmer.note_health(1, well(2));
    node.dp.programmer.note_health(77, well(1));
    assert_eq!(
        node.dp.programmer.changes(),
        [Change::Health(1)],
        "counters alone are no news"
    );
    assert_eq!(status(&node), well(2));
    let dumped = node.dp.programmer.snapshot();
    assert!(dumped.health_checks().any(|dumped| matches!(
        dumped,
        Dumped::HealthCheck { spec, status } if spec.id == 1 && status.successes == 2
    )));
    // The same again keeps it; another workload starts anew.
    node.put([health_check(1, 1, "10.1.0.2", 8080)]);
    assert_eq!(status(&node), well(2));
    node.put([health_check(1, 1, "10.1.0.2", 8081)]);
    assert_eq!(status(&node), HealthStatus::default());
    let Object::HealthCheck(spec) = health_check(1, 2, "fd00::2", 8081) else {
        unreachable!("it is one")
    };
    node.put([Object::HealthCheck(HealthCheckSpec { rise: 2, ..spec })]);
    node.apply(&[
        Operation::Delete(Key::HealthCheck(1)),
        Operation::Delete(Key::HealthCheck(1)),
    ])
    .unwrap();
    assert!(node.dp.programmer.snapshot().health_of(1).is_none());
}
