//! Flows: how long they live, whose they are, and that none outlives the tables it was decided by.

use vrouter_dataplane::{
    engine::Settings,
    packet::DropReason,
    program::object::{ActionSpec, Key, LabelTo, Object, Operation, PortSpec},
    tables::policy::Verdict,
    wire::Mac,
};

use crate::{
    lab::{
        bytes::{Ip, framed},
        node::{Node, UPLINK, UPLINK_MAC, VTEP4, VTEP6},
        objects::{label, next_hop, policy, route, route_key, rule, station, to_port},
        outer::{Shim, decode, encode},
        settings,
    },
    site::{
        FAMILIES, MPLS4, REMOTE, VRF, VXLAN4, all_of, behind, from_one, furnish, host, icmp_error, into, out_of, p,
        remote, routed_port, site,
    },
};

const MILLISECOND: u64 = 1_000_000;

/// Lets the workers look at every flow.
fn sweep(node: &mut Node) {
    for _ in 0..200 {
        node.dp.step();
    }
}

/// Goes to each of these times, in milliseconds since the beginning, and finds so many flows left.
fn left_after(node: &mut Node, times: &[(u64, usize)]) {
    for (at_ms, left) in times {
        let now = vrouter_dataplane::worker::Clock::now(&node.dp.clock);
        node.advance(at_ms * MILLISECOND - now);
        sweep(node);
        assert_eq!(node.dp.shared.flows.used(), *left, "after {at_ms} ms");
    }
}

/// The site, where port 1 may begin what it likes and nothing may be begun towards it.
fn client_site(max_flows: u32) -> Node {
    let mut node = site();
    node.put([policy(5, &[rule(1, &[], &[], Verdict::Allow)], &[])]);
    node.put([Object::Port(PortSpec {
        policy: Some(5),
        max_flows,
        ..routed_port(1)
    })]);
    node
}

const SYN: u8 = 2;
const ACK: u8 = 16;

/// Brings a TCP connection from port 1 to port 2 to where both have the other's sequence numbers.
fn connect(node: &mut Node, v6: bool, ports: (u16, u16)) {
    let (there, back) = (from_one(v6, host(v6, 2)), Ip::new(host(v6, 2), host(v6, 1)));
    let turned = (ports.1, ports.0);
    node.one(&p(1), &out_of(1, &there.tcp(ports, SYN, &[], b"")), &p(2));
    node.one(&p(2), &out_of(2, &back.tcp(turned, SYN | ACK, &[], b"")), &p(1));
    node.one(&p(1), &out_of(1, &there.tcp(ports, ACK, &[], b"")), &p(2));
}

#[test]
fn idle_flows_without_state_are_forgotten_after_two_minutes() {
    for v6 in FAMILIES {
        let mut node = site();
        let ip = from_one(v6, host(v6, 2));
        for packet in [ip.tcp((1, 2), 0x10, &[], b""), ip.udp((1, 2), b""), ip.ping(7, b"")] {
            node.one(&p(1), &out_of(1, &packet), &p(2));
        }
        left_after(&mut node, &[(119_900, 3), (120_100, 0)]);
    }
}

#[test]
fn each_packet_of_a_batch_is_counted_once_though_those_before_it_change_its_flow() {
    const LABELS: [u32; 2] = [501, 502];
    let mut node = site();
    // Packets of one flow that are for one workload or the other, by what their label names: each decides the flow anew.
    node.put(
        [11, 12]
            .into_iter()
            .zip(LABELS)
            .map(|(hop, number)| label(number, LabelTo::NextHop(hop))),
    );
    for v6 in FAMILIES {
        let packet = Ip::new(behind(v6, MPLS4), host(v6, 1)).udp((1, 2), b"");
        let labelled = |label| {
            let own = if v6 { VTEP6.into() } else { VTEP4.into() };
            let shim = Shim::Mpls { label, tc: 0, ttl: 9 };
            encode((UPLINK_MAC, REMOTE), remote(v6), own, 0, shim, &packet)
        };
        let mut sent = 0;
        for batch in ["1", "21", "2112", "11", "12221121", "2222", "1112"] {
            let labels = batch.bytes().map(|which| usize::from(which - b'1'));
            for which in labels.clone() {
                assert!(node.dp.send(UPLINK, &labelled(LABELS[which])));
                sent += 1;
            }
            node.pump();
            let mut got: Vec<_> = node.take().into_iter().map(|(interface, _)| interface).collect();
            let mut expected: Vec<_> = labels.map(|which| p(which as u32 + 1)).collect();
            got.sort();
            expected.sort();
            assert_eq!(got, expected, "{batch}");
            let flows = node
                .dp
                .shared
                .flows
                .entries()
                .filter(|flow| flow.key.dst() == host(v6, 1));
            let counted: (u64, u64) = flows.fold((0, 0), |sum, flow| (sum.0 + flow.packets, sum.1 + flow.bytes));
            assert_eq!(counted, (sent, sent * packet.len() as u64), "{batch}");
        }
        node.check();
    }
}

#[test]
fn idle_flows_with_state_are_forgotten_each_in_its_time() {
    for v6 in FAMILIES {
        let mut node = client_site(0);
        let (there, back) = (from_one(v6, host(v6, 2)), Ip::new(host(v6, 2), host(v6, 1)));
        connect(&mut node, v6, (1, 2));
        for packet in [
            there.tcp((3, 2), SYN, &[], b""),
            there.udp((1, 2), b""),
            there.udp((3, 2), b""),
            there.ping(7, b""),
        ] {
            node.one(&p(1), &out_of(1, &packet), &p(2));
        }
        node.one(&p(2), &out_of(2, &back.udp((2, 1), b"")), &p(1));
        node.dropped(
            &p(2),
            &out_of(2, &back.udp((9, 9), b"")),
            DropReason::PolicyDeniedIngress,
        );
        let times = [
            (9_900, 6),
            (10_100, 5), // the refused one
            (29_900, 5),
            (30_100, 3), // the half-open one, and UDP without an answer
            (59_900, 3),
            (60_100, 2), // the echo request
            (179_900, 2),
            (180_100, 1), // UDP with an answer
            (7_439_900, 1),
            (7_440_100, 0), // the connection
        ];
        left_after(&mut node, &times);
        let ended: u64 = node.dp.shared.counters.iter().map(|c| c.flows_expired.get()).sum();
        assert_eq!(ended, 6);
    }
}

#[test]
fn a_flood_of_half_open_connections_costs_its_own_port_the_oldest_of_them() {
    for v6 in FAMILIES {
        let mut node = client_site(20);
        connect(&mut node, v6, (1, 2));
        let there = from_one(v6, host(v6, 2));
        for port in 1000..1500 {
            node.one(&p(1), &out_of(1, &there.tcp((port, 80), SYN, &[], b"")), &p(2));
        }
        // The youngest and the established one are still known: what belongs to them passes.
        let back = Ip::new(host(v6, 2), host(v6, 1));
        node.one(&p(2), &out_of(2, &back.tcp((80, 1499), SYN | ACK, &[], b"")), &p(1));
        node.one(&p(2), &out_of(2, &back.tcp((2, 1), ACK, &[], b"data")), &p(1));
        // The oldest is not: its answer begins something, which nothing may towards port 1.
        let late = out_of(2, &back.tcp((80, 1000), SYN | ACK, &[], b""));
        node.dropped(&p(2), &late, DropReason::PolicyDeniedIngress);
        let sum = |of: fn(&vrouter_dataplane::pipeline::counters::Counters) -> u64| -> u64 {
            node.dp.shared.counters.iter().map(of).sum()
        };
        assert_eq!(
            (sum(|c| c.flows_evicted.get()), sum(|c| c.flows_refused.get())),
            (481, 0)
        );
    }
}

#[test]
fn traffic_of_either_direction_keeps_a_flow() {
    for v6 in FAMILIES {
        let mut node = site();
        let (there, back) = (
            from_one(v6, host(v6, 2)).udp((1, 2), b""),
            Ip::new(host(v6, 2), host(v6, 1)).udp((2, 1), b""),
        );
        node.one(&p(1), &out_of(1, &there), &p(2));
        for _ in 0..5 {
            node.advance(110_000 * MILLISECOND);
            node.one(&p(2), &out_of(2, &back), &p(1));
            sweep(&mut node);
            assert_eq!(node.dp.shared.flows.used(), 1);
        }
        node.advance(121_000 * MILLISECOND);
        sweep(&mut node);
        assert_eq!(node.dp.shared.flows.used(), 0);
    }
}

#[test]
fn one_port_cannot_take_the_flows_of_others() {
    let mut node = site();
    node.put([Object::Port(PortSpec {
        max_flows: 50,
        ..routed_port(1)
    })]);
    for v6 in FAMILIES {
        for port in 0..200 {
            // Beyond its share, packets go on all the same: each is decided for itself.
            let packet = from_one(v6, behind(v6, VXLAN4)).udp((port, 2), b"x");
            node.one(&p(1), &out_of(1, &packet), UPLINK);
        }
    }
    assert_eq!(node.dp.shared.flows.used(), 50);
    let uncached: u64 = node.dp.shared.counters.iter().map(|c| c.uncached.get()).sum();
    assert_eq!(uncached, 350);
    for v6 in FAMILIES {
        for port in 0..20 {
            let packet = Ip::new(host(v6, 2), behind(v6, VXLAN4)).udp((port, 2), b"x");
            node.one(&p(2), &out_of(2, &packet), UPLINK);
        }
    }
    assert_eq!(node.dp.shared.flows.used(), 90, "another port has its own share");
}

#[test]
fn nobody_may_have_all_flows_unless_told_so() {
    let mut node = furnish(Node::with(
        &Settings {
            flows: 1024,
            ..settings()
        },
        1024,
        2048,
    ));
    for port in 0..500 {
        let packet = from_one(false, behind(false, VXLAN4)).udp((port, 2), b"x");
        node.one(&p(1), &out_of(1, &packet), UPLINK);
    }
    assert!(
        node.dp.shared.flows.used() <= 1024 / 16,
        "{}",
        node.dp.shared.flows.used()
    );
}

#[test]
fn a_deleted_route_is_gone_with_the_next_packet() {
    for v6 in FAMILIES {
        let mut node = site();
        let packet = out_of(1, &from_one(v6, host(v6, 2)).udp((1, 2), b"x"));
        node.one(&p(1), &packet, &p(2));
        node.one(&p(1), &packet, &p(2));
        node.apply(&[Operation::Delete(route_key(VRF, &all_of(host(v6, 2))))])
            .unwrap();
        let error = node.one(&p(1), &packet, &p(1));
        assert_eq!(icmp_error(&error).1, if v6 { 1 } else { 3 });
        assert_eq!(node.count(DropReason::NoRoute), 1);
        // A more specific route, a less specific one: always the longest that there is.
        node.put([route(VRF, if v6 { "::/0" } else { "0.0.0.0/0" }, VXLAN4)]);
        node.one(&p(1), &packet, UPLINK);
        node.put([route(VRF, &all_of(host(v6, 2)), 12)]);
        node.one(&p(1), &packet, &p(2));
    }
}

#[test]
fn a_changed_next_hop_is_used_by_the_next_packet() {
    for v6 in FAMILIES {
        let mut node = site();
        let ip = from_one(v6, host(v6, 2));
        let (packet, after) = (out_of(1, &ip.udp((1, 2), b"x")), ip.hop_limit(63).udp((1, 2), b"x"));
        assert_eq!(node.one(&p(1), &packet, &p(2)), into(2, &after));
        node.put([next_hop(
            12,
            ActionSpec::Port {
                port: 2,
                mac: Some(station(99)),
            },
        )]);
        assert_eq!(
            node.one(&p(1), &packet, &p(2)),
            framed(station(99), Mac::GATEWAY, &after)
        );
        // The port's MAC, where the next hop names none.
        node.put([
            to_port(12, 2),
            Object::Port(PortSpec {
                mac: station(98),
                ..routed_port(2)
            }),
        ]);
        assert_eq!(
            node.one(&p(1), &packet, &p(2)),
            framed(station(98), Mac::GATEWAY, &after)
        );
        // Another next hop in the place of one that is gone, perhaps in its slot.
        node.put([route(VRF, &all_of(host(v6, 2)), MPLS4)]);
        assert_eq!(decode(&node.one(&p(1), &packet, UPLINK)).inner, after);
        let other = route_key(VRF, &all_of(host(!v6, 2)));
        node.apply(&[Operation::Delete(other), Operation::Delete(Key::NextHop(12))])
            .unwrap();
        node.put([next_hop(40, ActionSpec::Drop)]);
        assert_eq!(decode(&node.one(&p(1), &packet, UPLINK)).inner, after);
    }
}
