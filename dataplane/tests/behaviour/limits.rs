//! Limits and marks: policers, shapers, DSCP.

use vrouter_dataplane::{
    packet::DropReason,
    program::object::PortSpec,
    tables::qos::{QosSpec, Rate},
};

use crate::{
    lab::{
        bytes::sum,
        node::{Node, SECOND, UPLINK},
        outer::decode,
    },
    site::{FAMILIES, VXLAN4, attach, behind, from_one, host, out_of, p, routed_port, site},
};

/// A node whose port `id` has these limits.
fn limited(id: u32, qos: QosSpec) -> Node {
    let mut node = site();
    put(&mut node, id, Some(qos));
    node
}

fn put(node: &mut Node, id: u32, qos: Option<QosSpec>) {
    node.put(attach(PortSpec { qos, ..routed_port(id) }));
}

/// Eight Mbit/s, a byte a microsecond, and a burst of 10,000 bytes.
const RATE: Rate = Rate {
    bits_per_second: 8_000_000,
    packets_per_second: 0,
    burst_bytes: 10_000,
    burst_packets: 0,
    shape: false,
    queue_bytes: 20_000,
};

/// A frame of 1000 bytes from port 1 to port 2, with a number.
fn frame(v6: bool, number: u8) -> Vec<u8> {
    let header = if v6 { 14 + 40 + 8 } else { 14 + 20 + 8 };
    let mut payload = vec![0; 1000 - header];
    payload[0] = number;
    out_of(1, &from_one(v6, host(v6, 2)).udp((1, 2), &payload))
}

fn number(v6: bool, frame: &[u8]) -> u8 {
    frame[if v6 { 14 + 40 + 8 } else { 14 + 20 + 8 }]
}

#[test]
fn what_is_beyond_the_limit_is_dropped_both_ways() {
    for v6 in FAMILIES {
        for (id, from_workload, to_workload) in [(1, Some(RATE), None), (2, None, Some(RATE))] {
            let mut node = limited(
                id,
                QosSpec {
                    from_workload,
                    to_workload,
                    dscp: None,
                },
            );
            for _ in 0..10 {
                node.one(&p(1), &frame(v6, 0), &p(2));
            }
            node.dropped(&p(1), &frame(v6, 0), DropReason::PolicerExceeded);
            node.advance(1_000_000);
            node.one(&p(1), &frame(v6, 0), &p(2));
            node.dropped(&p(1), &frame(v6, 0), DropReason::PolicerExceeded);
            // An update of something else gives no new burst; another limit does.
            put(
                &mut node,
                id,
                Some(QosSpec {
                    from_workload,
                    to_workload,
                    dscp: Some(1),
                }),
            );
            node.dropped(&p(1), &frame(v6, 0), DropReason::PolicerExceeded);
            put(&mut node, id, None);
            node.one(&p(1), &frame(v6, 0), &p(2));
        }
    }
}

#[test]
fn packets_are_counted_whatever_their_size() {
    let rate = Rate {
        packets_per_second: 100,
        burst_packets: 3,
        ..Rate::default()
    };
    let mut node = limited(
        1,
        QosSpec {
            from_workload: Some(rate),
            ..QosSpec::default()
        },
    );
    for v6 in [false, true, true] {
        node.one(&p(1), &frame(v6, 0), &p(2));
    }
    node.dropped(&p(1), &frame(false, 0), DropReason::PolicerExceeded);
    node.advance(SECOND / 100);
    node.one(&p(1), &frame(false, 0), &p(2));
}

#[test]
fn a_shaper_holds_back_in_order_and_drops_beyond_its_queue() {
    for v6 in FAMILIES {
        let rate = Rate { shape: true, ..RATE };
        let mut node = limited(
            2,
            QosSpec {
                to_workload: Some(rate),
                ..QosSpec::default()
            },
        );
        let mut out = Vec::new();
        for number in 0..30 {
            out.extend(node.send(&p(1), &frame(v6, number)));
        }
        assert_eq!((out.len(), node.held()), (10, 20));
        node.dropped(&p(1), &frame(v6, 99), DropReason::ShaperFull);
        // A frame a millisecond.
        for passed in 1..=20 {
            node.advance(1_000_000);
            node.pump();
            node.check();
            out.extend(node.take());
            assert_eq!((out.len(), node.held()), (10 + passed, 20 - passed as u64));
        }
        let numbers: Vec<_> = out.iter().map(|(_, frame)| number(v6, frame)).collect();
        assert!(numbers.iter().copied().eq(0..30), "{numbers:?}");
        assert!(out.iter().all(|(interface, _)| *interface == p(2)));
    }
}

#[test]
fn without_its_limit_what_was_held_goes_first() {
    let rate = Rate { shape: true, ..RATE };
    let mut node = limited(
        2,
        QosSpec {
            to_workload: Some(rate),
            ..QosSpec::default()
        },
    );
    let mut out = Vec::new();
    for number in 0..15 {
        out.extend(node.send(&p(1), &frame(false, number)));
    }
    assert_eq!(node.held(), 5);
    put(&mut node, 2, None);
    out.extend(node.send(&p(1), &frame(false, 15)));
    node.advance(1);
    node.pump();
    node.check();
    out.extend(node.take());
    let numbers: Vec<_> = out.iter().map(|(_, frame)| number(false, frame)).collect();
    assert!(numbers.iter().copied().eq(0..16), "{numbers:?}");
    assert_eq!(node.held(), 0);
}

#[test]
fn a_port_that_goes_away_gives_back_what_it_held() {
    use vrouter_dataplane::program::object::{Key, Operation};
    let rate = Rate { shape: true, ..RATE };
    let mut node = limited(
        2,
        QosSpec {
            to_workload: Some(rate),
            ..QosSpec::default()
        },
    );
    for number in 0..15 {
        node.send(&p(1), &frame(true, number));
    }
    let routes = FAMILIES.map(|v6| crate::lab::objects::route_key(crate::site::VRF, &crate::site::all_of(host(v6, 2))));
    let keys = routes.into_iter().chain([Key::NextHop(12), Key::Port(2)]);
    node.apply(&keys.map(Operation::Delete).collect::<Vec<_>>()).unwrap();
    assert_eq!(node.held(), 0);
    assert_eq!(node.dp.pool.free(), node.dp.pool.total() as usize);
}

#[test]
fn what_the_workload_sends_is_marked() {
    let mut node = limited(
        1,
        QosSpec {
            dscp: Some(46),
            ..QosSpec::default()
        },
    );
    for v6 in FAMILIES {
        for ecn in 0..4 {
            let packet = from_one(v6, host(v6, 2)).tos(0x28 | ecn).udp((1, 2), b"x");
            let out = node.one(&p(1), &out_of(1, &packet), &p(2));
            let ip = &out[14..];
            let class = if v6 { ip[0] << 4 | ip[1] >> 4 } else { ip[1] };
            assert_eq!(class, 46 << 2 | ecn);
            if !v6 {
                assert_eq!(sum(&[&ip[..20]]), 0xffff, "header checksum");
            }
        }
        let packet = from_one(v6, behind(v6, VXLAN4)).udp((1, 2), b"x");
        assert_eq!(decode(&node.one(&p(1), &out_of(1, &packet), UPLINK)).tos, 46 << 2);
    }
}
