//! A batch is applied whole, as one revision, or not at all.

use vrouter_dataplane::program::object::{ActionSpec, Attachment, Key, Object, Operation, PortSpec};

use crate::{
    full,
    lab::{
        bytes::{Ip, framed},
        objects::{
            bridge_spec, mac_entry, next_hop, port_spec, prefix, route, route_key, station, to_port, vrf, vxlan,
        },
    },
};

#[test]
fn a_refused_batch_leaves_nothing_behind() {
    let mut node = full::node();
    let before = full::dump(&node);
    // Something of every kind is changed, added and deleted, and the last operation is wrong.
    let mut batch: Vec<_> = [
        vrf(5),
        Object::Bridge(bridge_spec(5)),
        Object::Port(port_spec(5, Attachment::Vrf(5))),
        Object::Port(PortSpec {
            mtu: 900,
            ..port_spec(1, Attachment::Vrf(2))
        }),
        to_port(15, 5),
        vxlan(21, "2001:db8::9".parse().unwrap(), 77),
        route(1, "10.1.0.2/32", 15),
        route(5, "10.0.0.0/8", 15),
        mac_entry(1, station(33), 22),
    ]
    .map(Operation::Put)
    .to_vec();
    batch.extend([route_key(1, "0.0.0.0/0"), route_key(1, "fd00:1::/64")].map(Operation::Delete));
    batch.push(Operation::Delete(Key::NextHop(30)));
    for wrong in [
        Operation::Delete(Key::Vrf(1)),
        Operation::Put(route(88, "10.0.0.0/8", 1)),
    ] {
        let whole = [&batch[..], &[wrong]].concat();
        for _ in 0..3 {
            let problems = node.apply(&whole).unwrap_err();
            assert_eq!(problems[0].operation, batch.len());
            assert_eq!(full::dump(&node), before);
            assert_eq!(node.dp.programmer.revision(), 1);
            node.check();
        }
    }
    // The same without what was wrong is one revision.
    assert_eq!(node.apply(&batch), Ok(2));
    assert_ne!(full::dump(&node), before);
}

#[test]
fn a_refused_batch_is_not_seen_by_packets() {
    let mut node = full::node();
    let packet = Ip::new(
        "10.3.0.3".parse::<std::net::Ipv4Addr>().unwrap(),
        "10.1.0.2".parse::<std::net::Ipv4Addr>().unwrap(),
    );
    let frame = framed(
        vrouter_dataplane::wire::Mac::GATEWAY,
        station(3),
        &packet.udp((1, 2), b"x"),
    );
    let delivered = node.one("p3", &frame, "p1");
    let wrong = [
        Operation::Delete(route_key(1, "10.1.0.2/32")),
        Operation::Put(route(88, "10.0.0.0/8", 1)),
    ];
    node.apply(&wrong).unwrap_err();
    assert_eq!(node.one("p3", &frame, "p1"), delivered);
    // New packets are decided anew, and still find the route that was to be deleted.
    let frame = framed(
        vrouter_dataplane::wire::Mac::GATEWAY,
        station(3),
        &packet.udp((7, 8), b"x"),
    );
    node.one("p3", &frame, "p1");
}

#[test]
fn putting_the_same_again_changes_nothing() {
    let mut node = full::node();
    let before = full::dump(&node);
    node.put(full::objects());
    assert_eq!(full::dump(&node), before);
}

#[test]
fn references_are_counted_through_any_number_of_changes() {
    let mut node = full::node();
    for _ in 0..5 {
        node.put(full::objects());
        node.put([route(1, "10.1.0.2/32", 2), route(1, "10.1.0.2/32", 11)]);
    }
    // Backwards, everything can be deleted, each in its turn; and what is not there can be deleted, too.
    let mut keys: Vec<_> = full::objects().iter().map(key).collect();
    keys.reverse();
    for key in keys {
        node.apply(&[Operation::Delete(key)])
            .unwrap_or_else(|problems| panic!("{key:?}: {}", problems[0]));
        node.apply(&[Operation::Delete(key)]).unwrap();
    }
    // The uplink is left, and the neighbours that nobody wants any more are not.
    let left = full::dump(&node);
    assert_eq!(left.len(), 2, "{left:?}");
    node.check();
}

fn key(object: &Object) -> Key {
    use vrouter_dataplane::program::object::RouteKey;
    match object {
        Object::Port(spec) => Key::Port(spec.id),
        Object::Vrf(spec) => Key::Vrf(spec.id),
        Object::Bridge(spec) => Key::Bridge(spec.id),
        Object::NextHop(spec) => Key::NextHop(spec.id),
        Object::Route(spec) => Key::Route(RouteKey {
            vrf: spec.vrf,
            prefix: spec.prefix,
            source: spec.source,
        }),
        Object::Mac(spec) => Key::Mac(spec.bridge, spec.mac),
        Object::Neighbor(spec) => Key::Neighbor(spec.bridge, spec.address),
        Object::Vni(spec) => Key::Vni(spec.vni),
        Object::Label(spec) => Key::Label(spec.label),
        Object::Identity(spec) => Key::Identity(spec.vrf, spec.prefix),
        Object::Policy(spec) => Key::Policy(spec.id),
        Object::SourceNat(spec) => Key::SourceNat(spec.id),
        Object::Service(spec) => Key::Service(spec.id),
        Object::Mirror(spec) => Key::Mirror(spec.id),
        Object::HealthCheck(spec) => Key::HealthCheck(spec.id),
    }
}

#[test]
fn a_vrf_in_use_is_deleted_after_what_uses_it_even_in_one_batch() {
    let mut node = full::node();
    node.put([vrf(5), next_hop(50, ActionSpec::Drop), route(5, "10.0.0.0/8", 50)]);
    let problems = node.apply(&[
        Operation::Delete(Key::Vrf(5)),
        Operation::Delete(route_key(5, "10.0.0.0/8")),
    ]);
    assert_eq!(problems.unwrap_err()[0].operation, 0, "the order counts");
    node.apply(&[
        Operation::Delete(route_key(5, "10.0.0.0/8")),
        Operation::Delete(Key::Vrf(5)),
    ])
    .unwrap();
    // Its place may be taken by another, which sees none of its routes.
    node.put([vrf(6)]);
    let snapshot = node.dp.programmer.snapshot();
    assert_eq!(snapshot.routes(Some(6)).count(), 0);
    assert_eq!(prefix("10.0.0.0/8").prefix_len(), 8);
}
