//! Programming under traffic: packets lose nothing, and readers of old revisions keep what they read.

use std::net::Ipv4Addr;

use vrouter_dataplane::{
    engine::Settings,
    program::{
        Dumped, Limits,
        object::{ActionSpec, Attachment, Object, Operation},
    },
    wire::Mac,
};

use crate::lab::{
    bytes::{Ip, framed},
    node::Node,
    objects::{next_hop, port_spec, route, route_key, station, to_port, vrf},
    settings,
};

const ROUTES: u32 = 100_000;

fn node() -> Node {
    let limits = Limits {
        route_bytes: 256 << 20,
        ..settings().limits
    };
    let mut node = Node::with(&Settings { limits, ..settings() }, 1024, 2048);
    node.put([vrf(1), next_hop(1, ActionSpec::Drop)]);
    node.put([1, 2, 3].map(|id| Object::Port(port_spec(id, Attachment::Vrf(1)))));
    node.put([2, 3].map(|port| to_port(u64::from(port), port)));
    node
}

fn address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x0a00_0000 + number * 16)
}

/// The route of a number, as text.
fn to(number: u32) -> String {
    format!("{}/28", address(number))
}

fn batch(numbers: std::ops::Range<u32>, next_hop: u64) -> Vec<Operation> {
    numbers.map(|n| Operation::Put(route(1, &to(n), next_hop))).collect()
}

#[test]
fn a_hundred_thousand_routes_are_replaced_under_traffic_and_no_packet_is_lost() {
    let mut node = node();
    for start in (0..ROUTES).step_by(10_000) {
        node.dp.apply(&batch(start..start + 10_000, 2)).unwrap();
    }
    let source = Ipv4Addr::new(192, 168, 0, 1);
    let frame = |number: u32| {
        let packet = Ip::new(source, address(number)).udp((number as u16, 2), b"x");
        framed(Mac::GATEWAY, station(1), &packet)
    };
    let (mut sent, mut received) = (0_u32, [0_u32; 2]);
    for (round, start) in (0..ROUTES).step_by(500).enumerate() {
        // Some on both sides of what is being replaced, old flows and new ones.
        for step in 0..20 {
            assert!(
                node.dp
                    .send("p1", &frame((start + step * 4_999 + round as u32) % ROUTES))
            );
            sent += 1;
        }
        if round % 2 == 0 {
            node.dp.step();
        }
        node.dp.apply(&batch(start..start + 500, 3)).unwrap();
        node.dp.settle();
        for (port, count) in ["p2", "p3"].into_iter().zip(&mut received) {
            while node.dp.receive(port).is_some() {
                *count += 1;
            }
        }
    }
    assert_eq!(received[0] + received[1], sent, "drops: {:?}", node.drops());
    assert!(
        received[0] > 0 && received[1] > 0,
        "both the old and the new routes were used: {received:?}"
    );
    node.pump();
    node.check();
    // And each packet goes where its route leads now.
    for number in [0, 1, ROUTES / 2, ROUTES - 1] {
        node.one("p1", &frame(number), "p3");
    }
    let snapshot = node.dp.programmer.snapshot();
    assert_eq!(snapshot.routes(None).count(), ROUTES as usize);
    let new = |dumped: Dumped| matches!(dumped, Dumped::Route { spec, active: true } if spec.next_hop == 3);
    assert!(snapshot.routes(None).all(new));
}

#[test]
fn a_snapshot_keeps_its_revision_readable_while_the_programmer_goes_on() {
    let mut node = node();
    node.dp.apply(&batch(0..5_000, 2)).unwrap();
    let old = node.dp.programmer.snapshot();
    let expected: Vec<_> = old.routes(None).map(|dumped| format!("{dumped:?}")).collect();
    assert_eq!(expected.len(), 5_000);
    let mut reading = old.routes(None);
    for round in 0..20_u32 {
        // Everything is replaced, deleted and put again, again and again; memory would be used again if it were free.
        let operations: Vec<_> = (0..5_000).map(|n| Operation::Delete(route_key(1, &to(n)))).collect();
        node.dp.apply(&operations).unwrap();
        node.dp.apply(&batch(round * 100..round * 100 + 5_000, 3)).unwrap();
        let back: Vec<_> = (5_000..round * 100 + 5_000)
            .map(|n| Operation::Delete(route_key(1, &to(n))))
            .collect();
        node.dp.apply(&back).unwrap();
        node.dp.settle();
        for line in expected.iter().skip(round as usize * 100).take(100) {
            assert_eq!(reading.next().map(|dumped| format!("{dumped:?}")).as_ref(), Some(line));
        }
    }
    assert_eq!(
        old.routes(None).map(|dumped| format!("{dumped:?}")).collect::<Vec<_>>(),
        expected
    );
    assert_eq!(old.revision() + 60, node.dp.programmer.revision());
}

#[test]
fn route_memory_is_used_again_when_nobody_reads_it() {
    // Room for the routes a few times, not for hundreds of them.
    let limits = Limits {
        route_bytes: 4 << 20,
        ..settings().limits
    };
    let mut node = Node::with(&Settings { limits, ..settings() }, 1024, 2048);
    node.put([vrf(1), next_hop(1, ActionSpec::Drop), next_hop(2, ActionSpec::Drop)]);
    for round in 0..300_u64 {
        node.dp
            .apply(&batch(0..2_000, 1 + round % 2))
            .unwrap_or_else(|p| panic!("round {round}: {}", p[0]));
        node.dp.settle();
    }
}
