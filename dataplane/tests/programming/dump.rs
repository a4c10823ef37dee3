//! A dump shows what was put, and what became of it.

use vrouter_dataplane::program::{Dumped, object::Object};

use crate::{full, lab::node::SECOND, lab::objects::ip};

/// The object of a dump that a client could have put. None: found or learned here.
fn object(dumped: Dumped) -> Option<Object> {
    Some(match dumped {
        Dumped::Port {
            spec, uplink: false, ..
        } => Object::Port(spec),
        Dumped::Vrf(spec) => Object::Vrf(spec),
        Dumped::Bridge(spec) => Object::Bridge(spec),
        Dumped::NextHop { spec, .. } => Object::NextHop(spec),
        Dumped::Route { spec, .. } => Object::Route(spec),
        Dumped::Mac(spec) => Object::Mac(spec),
        Dumped::Neighbor(spec) => Object::Neighbor(spec),
        Dumped::Vni(spec) => Object::Vni(spec),
        Dumped::Label(spec) => Object::Label(spec),
        Dumped::Identity(spec) => Object::Identity(spec),
        Dumped::Policy(spec) => Object::Policy(spec),
        Dumped::SourceNat(spec) => Object::SourceNat(spec),
        Dumped::Service(spec) => Object::Service(spec),
        Dumped::Mirror(spec) => Object::Mirror(spec),
        Dumped::HealthCheck { spec, .. } => Object::HealthCheck(spec),
        Dumped::Port { .. } | Dumped::LearnedMac { .. } | Dumped::Underlay(_) => return None,
    })
}

#[test]
fn a_dump_is_what_was_put() {
    let node = full::node();
    let sorted = |objects: Vec<Object>| {
        let mut lines: Vec<_> = objects.iter().map(|object| format!("{object:?}")).collect();
        lines.sort();
        lines
    };
    let shown: Vec<_> = full::dumped(&node).into_iter().filter_map(object).collect();
    assert_eq!(sorted(shown), sorted(full::objects()));
}

#[test]
fn what_was_dumped_makes_the_same_node_again() {
    let node = full::node();
    let mut objects: Vec<_> = full::dumped(&node).into_iter().filter_map(object).collect();
    // In the order of references; plain next hops come before groups and floods, which come before bridges.
    let rank = |object: &Object| match object {
        Object::Vrf(_) => 0,
        Object::NextHop(spec) => match spec.action {
            vrouter_dataplane::program::object::ActionSpec::Port { .. } => 5,
            vrouter_dataplane::program::object::ActionSpec::Group(_) => 2,
            vrouter_dataplane::program::object::ActionSpec::Flood(_) => 2,
            _ => 1,
        },
        Object::Policy(_) => 1,
        Object::Bridge(_) | Object::Mirror(_) => 3,
        Object::Port(_) => 4,
        _ => 6,
    };
    objects.sort_by_key(rank);
    let mut other = crate::lab::node::Node::new();
    other.put(objects);
    assert_eq!(full::dump(&other), full::dump(&node));
}

#[test]
fn next_hops_tell_whether_they_are_resolved_and_what_they_carry() {
    let mut node = full::node();
    node.underlay = vec![(ip("192.0.2.2"), vrouter_dataplane::wire::Mac([2, 5, 0, 0, 0, 1]))];
    for _ in 0..10 {
        node.advance(SECOND);
        node.pump();
    }
    let snapshot = node.dp.programmer.snapshot();
    let mut seen = 0;
    for dumped in snapshot.next_hops() {
        let Dumped::NextHop { spec, status } = dumped else {
            continue;
        };
        let expected = match spec.id {
            21 => (true, 1450, "via 192.0.2.2 02:05:00:00:00:01 on up"),
            22 => (false, 0, "2001:db8::2 does not answer"),
            23 => (true, 1468, "via 192.0.2.2"),
            11 => (true, 1400, ""),
            _ => continue,
        };
        assert_eq!(
            (status.resolved, status.mtu),
            (expected.0, expected.1),
            "next hop {}",
            spec.id
        );
        assert!(status.detail.contains(expected.2), "{:?}", status.detail);
        seen += 1;
    }
    assert_eq!(seen, 4);
    let neighbor = snapshot.neighbors().find_map(|dumped| match dumped {
        Dumped::Underlay(neighbor) if neighbor.address == ip("192.0.2.2") => Some(neighbor),
        _ => None,
    });
    let neighbor = neighbor.unwrap();
    assert_eq!(
        (neighbor.mac.unwrap().to_string().as_str(), &*neighbor.interface),
        ("02:05:00:00:00:01", "up")
    );
}
