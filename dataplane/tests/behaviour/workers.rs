//! Several workers, and ports that come and go under traffic.

use vrouter_dataplane::{
    engine::Settings,
    packet::DropReason,
    program::{
        Dumped,
        object::{Key, Object, Operation},
    },
};

use crate::{
    lab::{
        bytes::Ip,
        node::{Node, UPLINK},
        objects::route_key,
        outer::decode,
        settings,
    },
    site::{
        FAMILIES, VRF, VXLAN4, VXLAN6, all_of, attach, behind, from_one, furnish, host, into, out_of, p, routed_port,
    },
};

fn two_workers() -> Node {
    furnish(Node::with(
        &Settings {
            workers: 2,
            ..settings()
        },
        1024,
        2048,
    ))
}

/// The worker that owns a port's queue.
fn owner(node: &Node, id: u32) -> usize {
    let snapshot = node.dp.programmer.snapshot();
    let owners = snapshot.ports().find_map(|dumped| match dumped {
        Dumped::Port {
            spec,
            status: Some(status),
            ..
        } if spec.id == id => Some(status.workers[0]),
        _ => None,
    });
    owners.unwrap()
}

#[test]
fn the_ports_of_one_batch_are_spread_over_workers() {
    let mut node = two_workers();
    node.put((3..=6).map(|id| Object::Port(routed_port(id))));
    let mut counts = [0; 2];
    (1..=6).for_each(|id| counts[owner(&node, id)] += 1);
    assert!(counts[0] == 3 && counts[1] == 3, "{counts:?}");
}

#[test]
fn a_queue_that_wakes_up_beside_a_busy_one_is_seen_to_within_a_few_turns() {
    for v6 in FAMILIES {
        let mut node = furnish(Node::new());
        let (busy, quiet) = (
            out_of(1, &from_one(v6, host(v6, 2)).udp((1, 2), b"")),
            out_of(2, &Ip::new(host(v6, 2), host(v6, 1)).udp((5, 6), b"")),
        );
        for woken in 0..20 {
            // Long enough for the other queue to count as idle.
            for _ in 0..50 + woken {
                assert!(node.dp.send(&p(1), &busy));
                assert_eq!(node.dp.step().received, 1);
                assert!(node.dp.receive(&p(2)).is_some());
            }
            assert!(node.dp.send(&p(2), &quiet));
            let turns = (1..).find(|_| {
                assert!(node.dp.send(&p(1), &busy));
                node.dp.step();
                assert!(node.dp.receive(&p(2)).is_some());
                node.dp.receive(&p(1)).is_some()
            });
            assert!(turns.is_some_and(|turns| turns <= 4), "{turns:?}");
        }
        // Where the busy one has nothing any more, at once.
        for _ in 0..50 {
            assert!(node.dp.send(&p(1), &busy));
            node.dp.step();
        }
        assert!(node.dp.send(&p(2), &quiet));
        assert_eq!(node.dp.step().received, 1);
        node.pump();
        node.check();
    }
}

#[test]
fn the_worker_of_a_port_holds_back_what_others_forward() {
    use vrouter_dataplane::{
        program::object::PortSpec,
        tables::qos::{QosSpec, Rate},
    };
    let mut node = two_workers();
    assert_ne!(owner(&node, 1), owner(&node, 2));
    let rate = Rate {
        packets_per_second: 1000,
        burst_packets: 2,
        shape: true,
        ..Rate::default()
    };
    node.put(attach(PortSpec {
        qos: Some(QosSpec {
            to_workload: Some(rate),
            ..QosSpec::default()
        }),
        ..routed_port(2)
    }));
    let packet = |number| from_one(false, host(false, 2)).udp((number, 2), b"x");
    let mut out = Vec::new();
    for number in 0..10 {
        out.extend(node.send(&p(1), &out_of(1, &packet(number))));
    }
    let shaped = |node: &Node, id| node.dp.shared.counters[owner(node, id)].shaped.get();
    assert_eq!((out.len(), shaped(&node, 1), shaped(&node, 2)), (2, 0, 8));
    for passed in 1..=8 {
        node.advance(1_000_000);
        node.pump();
        node.check();
        out.extend(node.take());
        assert_eq!(out.len(), 2 + passed);
    }
    let ports = out.iter().map(|(_, frame)| u16::from_be_bytes([frame[34], frame[35]]));
    assert!(ports.eq(0..10), "in order");
}

#[test]
fn packets_are_handed_to_the_worker_of_their_port_in_order() {
    let mut node = two_workers();
    assert_ne!(
        owner(&node, 1),
        owner(&node, 2),
        "the two workloads have different workers"
    );
    for v6 in FAMILIES {
        for (from, to) in [(1, 2), (2, 1)] {
            let ip = |hop_limit| Ip::new(host(v6, from), host(v6, to)).hop_limit(hop_limit);
            for number in 0..150_u16 {
                assert!(node.dp.send(&p(from), &out_of(from, &ip(64).udp((number, 2), b"x"))));
            }
            node.pump();
            node.check();
            let expected: Vec<_> = (0..150).map(|n| (p(to), into(to, &ip(63).udp((n, 2), b"x")))).collect();
            assert_eq!(node.take(), expected, "all of them, in their order");
        }
        // Out of tunnels, too, whoever owns the uplink.
        for from in [1, 2] {
            for tunnel in [VXLAN4, VXLAN6] {
                let packet = Ip::new(host(v6, from), behind(v6, tunnel)).udp((1, 2), b"x");
                decode(&node.one(&p(from), &out_of(from, &packet), UPLINK));
            }
        }
    }
}

#[test]
fn a_flow_is_one_whichever_worker_sees_it() {
    let mut node = two_workers();
    for v6 in FAMILIES {
        let before = node.dp.shared.flows.used();
        let (there, back) = (from_one(v6, host(v6, 2)), Ip::new(host(v6, 2), host(v6, 1)));
        node.one(&p(1), &out_of(1, &there.udp((1, 2), b"x")), &p(2));
        node.one(&p(2), &out_of(2, &back.udp((2, 1), b"x")), &p(1));
        assert_eq!(node.dp.shared.flows.used(), before + 1);
    }
}

/// Everything that leads to port 2, and the port.
fn remove_two() -> Vec<Operation> {
    let routes = FAMILIES.map(|v6| route_key(VRF, &all_of(host(v6, 2))));
    let keys = routes.into_iter().chain([Key::NextHop(12), Key::Port(2)]);
    keys.map(Operation::Delete).collect()
}

#[test]
fn ports_come_and_go_while_packets_are_in_flight() {
    for workers in [1, 2] {
        let mut node = furnish(Node::with(&Settings { workers, ..settings() }, 1024, 2048));
        for round in 0..20_u16 {
            for v6 in FAMILIES {
                // In both directions, half of them not yet looked at when the port goes.
                for number in 0..40 {
                    let there = from_one(v6, host(v6, 2)).udp((number, round), b"x");
                    let back = Ip::new(host(v6, 2), host(v6, 1)).udp((round, number), b"x");
                    assert!(node.dp.send(&p(1), &out_of(1, &there)));
                    assert!(node.dp.send(&p(2), &out_of(2, &back)));
                    if number == 20 {
                        let clock = node.dp.clock.clone();
                        node.dp.worker(usize::from(round) % workers).unwrap().turn(&clock);
                    }
                }
            }
            // What came out of port 2 so far is taken before its outside end is replaced.
            while node.dp.receive(&p(2)).is_some() {}
            node.dp.apply(&remove_two()).unwrap();
            node.pump();
            node.take();
            node.check();
            // It is gone: no route, whatever flows there were.
            let before = node.count(DropReason::NoRoute);
            let packet = from_one(false, host(false, 2)).udp((1, round), b"x");
            node.send(&p(1), &out_of(1, &packet));
            assert_eq!(node.count(DropReason::NoRoute), before + 1);
            // It comes back, and is reached with the next packet.
            node.put(attach(routed_port(2)));
            node.one(&p(1), &out_of(1, &packet), &p(2));
        }
    }
}

#[test]
fn all_frames_come_back_when_everything_is_removed() {
    let mut node = two_workers();
    for v6 in FAMILIES {
        for number in 0..100 {
            assert!(
                node.dp
                    .send(&p(1), &out_of(1, &from_one(v6, host(v6, 2)).udp((number, 2), b"x")))
            );
        }
    }
    let mut operations = remove_two();
    operations.extend(FAMILIES.map(|v6| Operation::Delete(route_key(VRF, &all_of(host(v6, 1))))));
    operations.extend([Key::NextHop(11), Key::Port(1)].map(Operation::Delete));
    node.apply(&operations).unwrap();
    node.take();
    node.check();
    assert_eq!(node.dp.programmer.closing(), 0);
}
