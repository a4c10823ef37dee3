//! What a bridge learns of its stations: where they are, that they moved, that they are gone.

use vrouter_dataplane::{
    packet::DropReason,
    program::object::{Attachment, BridgeSpec, Object, VniTo},
    wire::Mac,
};

use crate::{
    lab::{
        bytes::ethernet,
        node::{Node, SECOND, Sent, UPLINK, UPLINK_MAC, VTEP4, VTEP6},
        objects::{bridge_spec, flood, mac_entry, port_spec, station, to_port, vni, vxlan},
        outer::{Shim, decode, encode},
    },
    site::{FAMILIES, REMOTE, remote},
};

const VNI: u32 = 2001;

/// A bridge with ports 1 to 3 and both remote nodes, one over each underlay.
fn bridge() -> Node {
    let mut node = Node::new();
    node.underlay = vec![(remote(false), REMOTE), (remote(true), REMOTE)];
    node.put([
        vxlan(21, remote(false), VNI),
        vxlan(22, remote(true), VNI),
        flood(30, &[21, 22]),
    ]);
    node.put([Object::Bridge(BridgeSpec {
        aging_seconds: 10,
        flood: Some(30),
        ..bridge_spec(1)
    })]);
    node.put([vni(VNI, VniTo::Bridge(1))]);
    node.put([1, 2, 3].map(|id| Object::Port(port_spec(id, Attachment::Bridge(1)))));
    node
}

fn frame(to: Mac, from: Mac) -> Vec<u8> {
    ethernet(to, from, 0x88b5, &[3; 50])
}

/// A frame from a station behind a remote node.
fn tunnelled(v6: bool, to: Mac, from: Mac) -> Vec<u8> {
    let own = if v6 { VTEP6.into() } else { VTEP4.into() };
    encode(
        (UPLINK_MAC, REMOTE),
        remote(v6),
        own,
        0,
        Shim::Vxlan { vni: VNI },
        &frame(to, from),
    )
}

/// Where frames went: "p1", or the remote of a tunnel.
fn whereto(sent: Vec<Sent>, wanted: &[u8]) -> Vec<String> {
    let one = |(interface, frame): Sent| {
        if interface != UPLINK {
            assert_eq!(frame, wanted, "unchanged");
            return interface;
        }
        let outer = decode(&frame);
        assert_eq!(
            (&outer.inner[..], outer.shim),
            (wanted, Shim::Vxlan { vni: VNI }),
            "unchanged"
        );
        outer.destination.to_string()
    };
    let mut places: Vec<_> = sent.into_iter().map(one).collect();
    places.sort();
    places
}

fn go(node: &mut Node, port: u32, to: Mac, from: Mac) -> Vec<String> {
    let frame = frame(to, from);
    whereto(node.send(&format!("p{port}"), &frame), &frame)
}

const ALL_BUT_1: [&str; 4] = ["192.0.2.2", "2001:db8::2", "p2", "p3"];

#[test]
fn unknown_and_broadcast_go_to_all_ports_and_all_nodes() {
    let mut node = bridge();
    for to in [Mac::BROADCAST, Mac([1, 0, 0x5e, 0, 0, 5]), station(99)] {
        assert_eq!(go(&mut node, 1, to, station(1)), ALL_BUT_1);
    }
    // From a tunnel: to the ports only, for the sender has sent it to every node itself.
    for v6 in FAMILIES {
        let sent = node.send(UPLINK, &tunnelled(v6, Mac::BROADCAST, station(77)));
        assert_eq!(whereto(sent, &frame(Mac::BROADCAST, station(77))), ["p1", "p2", "p3"]);
    }
}

#[test]
fn senders_are_learned_behind_ports_and_tunnels() {
    let mut node = bridge();
    go(&mut node, 2, Mac::BROADCAST, station(50));
    assert_eq!(go(&mut node, 1, station(50), station(1)), ["p2"]);
    for (v6, number) in [(false, 51), (true, 52)] {
        node.send(UPLINK, &tunnelled(v6, Mac::BROADCAST, station(number)));
        assert_eq!(go(&mut node, 1, station(number), station(1)), [remote(v6).to_string()]);
        // What comes from one node never goes to another by way of a third.
        node.dropped(
            UPLINK,
            &tunnelled(!v6, station(number), station(60)),
            DropReason::SplitHorizon,
        );
    }
    node.dropped("p2", &frame(station(50), station(2)), DropReason::Hairpin);
}

#[test]
fn a_station_that_moves_is_followed_at_once() {
    let mut node = bridge();
    go(&mut node, 2, Mac::BROADCAST, station(50));
    go(&mut node, 3, Mac::BROADCAST, station(50));
    assert_eq!(go(&mut node, 1, station(50), station(1)), ["p3"]);
    node.send(UPLINK, &tunnelled(true, Mac::BROADCAST, station(50)));
    assert_eq!(go(&mut node, 1, station(50), station(1)), ["2001:db8::2"]);
    go(&mut node, 2, Mac::BROADCAST, station(50));
    assert_eq!(go(&mut node, 1, station(50), station(1)), ["p2"]);
}

#[test]
fn a_station_that_is_silent_is_forgotten() {
    let mut node = bridge();
    go(&mut node, 2, Mac::BROADCAST, station(50));
    node.advance(9 * SECOND);
    assert_eq!(go(&mut node, 1, station(50), station(1)), ["p2"]);
    // Being sent to is no sign of life; sending is.
    node.advance(SECOND);
    assert_eq!(go(&mut node, 1, station(50), station(1)), ALL_BUT_1);
    go(&mut node, 2, Mac::BROADCAST, station(50));
    node.advance(9 * SECOND);
    go(&mut node, 2, Mac::BROADCAST, station(50));
    node.advance(9 * SECOND);
    assert_eq!(go(&mut node, 1, station(50), station(1)), ["p2"]);
}

#[test]
fn the_memory_of_silent_stations_comes_back() {
    let mut node = bridge();
    for number in 50..250 {
        go(&mut node, 2, Mac::BROADCAST, station(number));
    }
    let known = |node: &mut Node| {
        // Idle turns look at the whole table.
        for _ in 0..200 {
            node.dp.step();
        }
        node.dp.shared.learned.entries().count()
    };
    node.advance(9 * SECOND);
    assert_eq!(known(&mut node), 200);
    go(&mut node, 2, Mac::BROADCAST, station(100));
    node.advance(SECOND);
    assert_eq!(known(&mut node), 1, "the one that spoke again");
}

#[test]
fn what_is_programmed_is_not_learned_over() {
    let mut node = bridge();
    node.put([
        to_port(13, 3),
        mac_entry(1, station(50), 13),
        mac_entry(1, station(51), 22),
    ]);
    for number in [50, 51] {
        go(&mut node, 2, Mac::BROADCAST, station(number));
    }
    assert_eq!(go(&mut node, 1, station(50), station(1)), ["p3"]);
    assert_eq!(go(&mut node, 1, station(51), station(1)), ["2001:db8::2"]);
}

#[test]
fn the_gateway_and_groups_are_never_learned_and_reserved_addresses_never_pass() {
    let mut node = bridge();
    go(&mut node, 2, Mac::BROADCAST, Mac::GATEWAY);
    assert_eq!(go(&mut node, 1, Mac::GATEWAY, station(1)), ALL_BUT_1);
    node.dropped(
        "p1",
        &frame(station(2), Mac([3, 0, 0, 0, 0, 1])),
        DropReason::ReservedMac,
    );
    node.dropped(
        "p1",
        &frame(Mac([1, 0x80, 0xc2, 0, 0, 0]), station(1)),
        DropReason::ReservedMac,
    );
}

#[test]
fn what_was_learned_never_leads_into_another_network() {
    let mut node = bridge();
    node.put([Object::Bridge(bridge_spec(2))]);
    go(&mut node, 2, Mac::BROADCAST, station(50));
    node.send(UPLINK, &tunnelled(false, Mac::BROADCAST, station(51)));
    // The port goes to another bridge, the tunnel to another VNI.
    node.put([
        Object::Port(port_spec(2, Attachment::Bridge(2))),
        vxlan(21, remote(false), 2002),
    ]);
    let frame = frame(station(50), station(1));
    let sent = node.send("p1", &frame);
    assert!(
        sent.iter().all(|(interface, _)| interface != "p2"),
        "port 2 is in another network now"
    );
    node.put([flood(30, &[22])]);
    assert_eq!(go(&mut node, 1, station(51), station(1)), ["2001:db8::2", "p3"]);
}

#[test]
fn a_port_that_is_removed_takes_its_stations_with_it() {
    use vrouter_dataplane::program::object::{Key, Operation};
    let mut node = bridge();
    go(&mut node, 2, Mac::BROADCAST, station(50));
    node.apply(&[Operation::Delete(Key::Port(2))]).unwrap();
    assert_eq!(
        go(&mut node, 1, station(50), station(1)),
        ["192.0.2.2", "2001:db8::2", "p3"]
    );
}
