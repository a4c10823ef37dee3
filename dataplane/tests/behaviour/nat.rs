//! From one VRF into another: floating addresses, sources behind few addresses, and what has no way out.

use std::{collections::BTreeSet, net::IpAddr};

use vrouter_dataplane::{
    packet::DropReason,
    program::object::{Attachment, BackendSpec, Object, PortSpec, SourceNatSpec},
    tables::flow::STALE,
};

use crate::{
    lab::{
        bytes::Ip,
        node::Node,
        objects::{
            backend, gateways, identity, ip, port_spec, route, service, source_nat, source_nat_spec, to_port, to_vrf,
            to_vrf_untranslated, vrf,
        },
        outer::{address4, address6, word},
    },
    site::{FAMILIES, VRF, all_of, host, into, out_of, p, site},
};

/// The VRF outside, with a workload of its own behind port 3.
const OUTSIDE: u32 = 2;

fn far(v6: bool) -> IpAddr {
    ip(if v6 { "2001:db8:5::3" } else { "198.51.100.3" })
}

/// The floating address of a workload.
fn floating(v6: bool, port: u32) -> IpAddr {
    ip(&if v6 {
        format!("2001:db8:5::10{port}")
    } else {
        format!("198.51.100.10{port}")
    })
}

fn any(v6: bool) -> &'static str {
    if v6 { "::/0" } else { "0.0.0.0/0" }
}

/// The site with a default route into the VRF outside.
fn town() -> Node {
    let mut node = site();
    let outside = PortSpec {
        gateways: gateways(&["198.51.100.1/24", "2001:db8:5::1/64"]),
        ..port_spec(3, Attachment::Vrf(OUTSIDE))
    };
    node.put([vrf(OUTSIDE), Object::Port(outside), to_port(13, 3), to_vrf(40, OUTSIDE)]);
    for v6 in FAMILIES {
        node.put([route(OUTSIDE, &all_of(far(v6)), 13), route(VRF, any(v6), 40)]);
    }
    node
}

/// Gives a workload its floating address.
fn float(node: &mut Node, v6: bool, port: u32) {
    let address = floating(v6, port).to_string();
    let inside = BackendSpec {
        vrf: Some(VRF),
        ..backend(&host(v6, port).to_string(), 0)
    };
    let id = port + if v6 { 10 } else { 0 };
    node.put([
        source_nat(id, (VRF, OUTSIDE), &all_of(host(v6, port)), &[&address]),
        service(id, OUTSIDE, &address, (0, 0), &[inside]),
    ]);
}

fn ends(frame: &[u8]) -> ((IpAddr, u16), (IpAddr, u16)) {
    let ip = &frame[14..];
    let (source, destination, l4) = if ip[0] >> 4 == 6 {
        (address6(&ip[8..24]), address6(&ip[24..40]), &ip[40..])
    } else {
        (address4(&ip[12..16]), address4(&ip[16..20]), &ip[20..])
    };
    ((source, word(l4, 0)), (destination, word(l4, 2)))
}

#[test]
fn a_floating_address_works_both_ways_and_keeps_ports() {
    for v6 in FAMILIES {
        let mut node = town();
        float(&mut node, v6, 1);
        let (inside, outside, far) = (host(v6, 1), floating(v6, 1), far(v6));
        for _ in 0..2 {
            // From inside.
            let out = node.one(&p(1), &out_of(1, &Ip::new(inside, far).udp((7, 8), b"a")), &p(3));
            assert_eq!(out, into(3, &Ip::new(outside, far).hop_limit(63).udp((7, 8), b"a")));
            let back = node.one(&p(3), &out_of(3, &Ip::new(far, outside).udp((8, 7), b"b")), &p(1));
            assert_eq!(back, into(1, &Ip::new(far, inside).hop_limit(63).udp((8, 7), b"b")));
            // From outside.
            let out = node.one(
                &p(3),
                &out_of(3, &Ip::new(far, outside).segment((9, 80), (5, 0), 2, b"")),
                &p(1),
            );
            assert_eq!(
                out,
                into(1, &Ip::new(far, inside).hop_limit(63).segment((9, 80), (5, 0), 2, b""))
            );
            let answer = Ip::new(inside, far).segment((80, 9), (77, 6), 18, b"");
            let back = node.one(&p(1), &out_of(1, &answer), &p(3));
            assert_eq!(
                back,
                into(
                    3,
                    &Ip::new(outside, far).hop_limit(63).segment((80, 9), (77, 6), 18, b"")
                )
            );
            // Ping, both ways with one identifier.
            let out = node.one(&p(1), &out_of(1, &Ip::new(inside, far).ping(3, b"")), &p(3));
            assert_eq!(out, into(3, &Ip::new(outside, far).hop_limit(63).ping(3, b"")));
            let out = node.one(&p(3), &out_of(3, &Ip::new(far, outside).ping(3, b"")), &p(1));
            assert_eq!(out, into(1, &Ip::new(far, inside).hop_limit(63).ping(3, b"")));
            // The next time after a batch of changes: flows are decided anew and stay what they are.
            node.put([vrf(40)]);
        }
        // The other workload has none.
        let none = out_of(2, &Ip::new(host(v6, 2), far).udp((7, 8), b""));
        node.send(&p(2), &none);
        assert_eq!(node.count(DropReason::NoTranslation), 1);
    }
}

/// When the decisions about the node's one flow were made, of both directions.
fn stamps(node: &Node) -> Vec<u64> {
    let decided = node.dp.shared.flows.entries().map(|entry| entry.epoch);
    decided.filter(|stamp| *stamp != STALE).collect()
}

#[test]
fn a_translated_flow_is_decided_again_for_changes_in_its_two_vrfs_and_not_elsewhere() {
    for v6 in FAMILIES {
        let mut node = town();
        float(&mut node, v6, 1);
        node.put([vrf(40)]);
        let (inside, outside, far) = (host(v6, 1), floating(v6, 1), far(v6));
        let talk = |node: &mut Node| {
            node.one(&p(1), &out_of(1, &Ip::new(inside, far).udp((7, 8), b"a")), &p(3));
            node.one(&p(3), &out_of(3, &Ip::new(far, outside).udp((8, 7), b"b")), &p(1));
            stamps(node)
        };
        let mut before = talk(&mut node);
        assert_eq!(before.len(), 2);
        let elsewhere = if v6 { "fd00:77::/64" } else { "10.77.0.0/16" };
        node.put([route(40, elsewhere, 13), identity(40, elsewhere, &[1])]);
        assert_eq!(talk(&mut node), before, "nothing that it rests on has changed");
        let changes = [
            route(VRF, elsewhere, 13),
            route(OUTSIDE, elsewhere, 13),
            identity(VRF, elsewhere, &[1]),
            identity(OUTSIDE, elsewhere, &[1]),
            vrf(41),
        ];
        for change in changes {
            node.put([change.clone()]);
            let now = talk(&mut node);
            assert!(
                now.len() == 2 && now.iter().all(|stamp| !before.contains(stamp)),
                "{change:?}"
            );
            before = now;
        }
    }
}

#[test]
fn two_floating_addresses_of_one_node_reach_each_other() {
    for v6 in FAMILIES {
        let mut node = town();
        float(&mut node, v6, 1);
        float(&mut node, v6, 2);
        let (one, two) = (host(v6, 1), host(v6, 2));
        let (fip1, fip2) = (floating(v6, 1), floating(v6, 2));
        for _ in 0..2 {
            let out = node.one(&p(1), &out_of(1, &Ip::new(one, fip2).udp((7, 8), b"a")), &p(2));
            assert_eq!(out, into(2, &Ip::new(fip1, two).hop_limit(63).udp((7, 8), b"a")));
            let back = node.one(&p(2), &out_of(2, &Ip::new(two, fip1).udp((8, 7), b"b")), &p(1));
            assert_eq!(back, into(1, &Ip::new(fip2, one).hop_limit(63).udp((8, 7), b"b")));
            // To its own, too.
            let out = node.one(&p(1), &out_of(1, &Ip::new(one, fip1).udp((7, 9), b"c")), &p(1));
            assert_eq!(out, into(1, &Ip::new(fip1, one).hop_limit(63).udp((7, 9), b"c")));
            node.put([vrf(40)]);
        }
    }
}

fn small(v6: bool, last_port: u16) -> SourceNatSpec {
    let of = if v6 { "fd00:1::/64" } else { "10.1.0.0/24" };
    SourceNatSpec {
        first_port: 1024,
        last_port,
        block_size: 8,
        blocks_per_source: 1,
        ..source_nat_spec(30, (VRF, OUTSIDE), of, &[&floating(v6, 9).to_string()])
    }
}

#[test]
fn sources_share_an_address_and_answers_find_them() {
    for v6 in FAMILIES {
        let mut node = town();
        node.put([Object::SourceNat(small(v6, 1055))]);
        let far = far(v6);
        let mut used = BTreeSet::new();
        for port in [1, 2] {
            for number in 0..8 {
                let inside = host(v6, port);
                let question = Ip::new(inside, far).udp((5000 + number, 53), b"?");
                let (source, to) = ends(&node.one(&p(port), &out_of(port, &question), &p(3)));
                assert_eq!((source.0, to), (floating(v6, 9), (far, 53)));
                assert!((1024..=1055).contains(&source.1) && used.insert((port, source.1)));
                let answer = Ip::new(far, source.0).udp((53, source.1), b"!");
                let back = node.one(&p(3), &out_of(3, &answer), &p(port));
                assert_eq!(
                    back,
                    into(port, &Ip::new(far, inside).hop_limit(63).udp((53, 5000 + number), b"!"))
                );
                // Decided anew, the same.
                node.put([vrf(40 + u32::from(number))]);
                let again = node.one(&p(port), &out_of(port, &question), &p(3));
                assert_eq!(ends(&again), (source, to));
            }
        }
        // Ping has its identifier translated.
        let ping = node.one(&p(1), &out_of(1, &Ip::new(host(v6, 1), far).ping(77, b"x")), &p(3));
        let id = word(&ping[14 + if v6 { 44 } else { 24 }..], 0);
        assert_eq!(
            ping,
            into(3, &Ip::new(floating(v6, 9), far).hop_limit(63).ping(id, b"x"))
        );
        let reply = [&id.to_be_bytes()[..], &[0, 1], b"x"].concat();
        let kind = if v6 { 129 } else { 0 };
        let back = node.one(
            &p(3),
            &out_of(3, &Ip::new(far, floating(v6, 9)).icmp(kind, 0, &reply)),
            &p(1),
        );
        let reply = [&77_u16.to_be_bytes()[..], &[0, 1], b"x"].concat();
        assert_eq!(
            back,
            into(1, &Ip::new(far, host(v6, 1)).hop_limit(63).icmp(kind, 0, &reply))
        );
        // Nobody outside can begin towards it.
        let stray = Ip::new(far, floating(v6, 9)).udp((54, 1030), b"");
        assert!(node.send(&p(3), &out_of(3, &stray)).iter().all(|(at, _)| *at == p(3)));
    }
}

#[test]
fn used_up_ports_are_refused_to_new_flows_only_and_come_back() {
    for v6 in FAMILIES {
        let mut node = town();
        node.put([Object::SourceNat(small(v6, 1031))]);
        let far = far(v6);
        let send = |node: &mut Node, port: u32, number: u16| {
            let question = Ip::new(host(v6, port), far).udp((5000 + number, 53), b"?");
            let out = node.send(&p(port), &out_of(port, &question));
            out.into_iter()
                .find(|(at, _)| *at == p(3))
                .map(|(_, frame)| ends(&frame))
        };
        let mut first = Vec::new();
        for number in 0.. {
            match send(&mut node, 1, number) {
                Some(ends) => first.push(ends),
                None => break,
            }
        }
        assert!((8..=16).contains(&first.len()), "one block of eight: {}", first.len());
        assert_eq!(node.count(DropReason::NatExhausted), 1);
        assert_eq!(send(&mut node, 2, 0), None, "no block is left");
        for (number, ends) in first.iter().enumerate() {
            assert_eq!(send(&mut node, 1, number as u16), Some(*ends), "unharmed");
        }
        node.advance(1_000_000_000_000);
        for _ in 0..400 {
            node.dp.step();
        }
        assert_eq!(node.dp.shared.flows.used(), 0);
        assert!(
            send(&mut node, 2, 0).is_some(),
            "the block is free again: {:?}",
            node.drops()
        );
    }
}

#[test]
fn joined_vrfs_answer_each_other_with_and_without_policy() {
    for v6 in FAMILIES {
        for guarded in [false, true] {
            let mut node = town();
            let near = host(v6, 1);
            // Each VRF knows the other's address; nothing is translated.
            node.put([route(VRF, &all_of(far(v6)), 13), route(OUTSIDE, &all_of(near), 11)]);
            if guarded {
                let all = crate::lab::objects::rule(1, &[], &[], vrouter_dataplane::program::object::Verdict::Allow);
                node.put([crate::lab::objects::policy(1, &[all], &[])]);
                node.put([Object::Port(PortSpec {
                    policy: Some(1),
                    ..crate::site::routed_port(1)
                })]);
                let begun = out_of(3, &Ip::new(far(v6), near).udp((8, 9), b""));
                node.dropped(&p(3), &begun, DropReason::PolicyDeniedIngress);
            }
            for _ in 0..2 {
                let out = node.one(&p(1), &out_of(1, &Ip::new(near, far(v6)).udp((7, 8), b"a")), &p(3));
                assert_eq!(out, into(3, &Ip::new(near, far(v6)).hop_limit(63).udp((7, 8), b"a")));
                let back = node.one(&p(3), &out_of(3, &Ip::new(far(v6), near).udp((8, 7), b"b")), &p(1));
                assert_eq!(back, into(1, &Ip::new(far(v6), near).hop_limit(63).udp((8, 7), b"b")));
                node.put([vrf(40)]);
            }
        }
    }
}

#[test]
fn vrfs_that_lead_to_each_other_in_a_ring_lead_nowhere() {
    for v6 in FAMILIES {
        let mut node = town();
        node.put([
            to_vrf_untranslated(40, OUTSIDE),
            to_vrf_untranslated(41, VRF),
            route(OUTSIDE, any(v6), 41),
        ]);
        let lost = Ip::new(host(v6, 1), floating(v6, 7)).udp((7, 8), b"");
        node.dropped(&p(1), &out_of(1, &lost), DropReason::RoutingLoop);
    }
}

#[test]
fn large_packets_are_fragmented_after_translation_is_known_and_errors_speak_of_the_senders_packet() {
    for v6 in FAMILIES {
        let mut node = town();
        float(&mut node, v6, 1);
        node.put([Object::Port(PortSpec {
            mtu: 1300,
            gateways: gateways(&["198.51.100.1/24", "2001:db8:5::1/64"]),
            ..port_spec(3, Attachment::Vrf(OUTSIDE))
        })]);
        let packet = Ip::new(host(v6, 1), far(v6)).dont_fragment().udp((7, 8), &[1; 1400]);
        let out = node.send(&p(1), &out_of(1, &packet));
        let (_, kind, _, mtu, quoted) = crate::site::icmp_error(&out[0].1);
        assert_eq!((kind, mtu & 0xffff), if v6 { (2, 1300) } else { (3, 1300) });
        assert!(packet.starts_with(&quoted[..20.min(quoted.len())]));
        if !v6 {
            let packet = Ip::new(host(v6, 1), far(v6)).udp((7, 8), &[1; 1400]);
            let out = node.send(&p(1), &out_of(1, &packet));
            assert_eq!(out.len(), 2);
            for (at, frame) in out {
                assert_eq!((at, address4(&frame[26..30])), (p(3), floating(v6, 1)));
            }
        }
    }
}

#[test]
fn flows_leave_an_address_that_their_translation_has_no_more() {
    for v6 in FAMILIES {
        let mut node = town();
        let question = out_of(1, &Ip::new(host(v6, 1), far(v6)).udp((5000, 53), b"?"));
        for change in 0..200_u32 {
            let address = floating(v6, 3 + change % 7);
            node.put([Object::SourceNat(SourceNatSpec {
                addresses: [address].into(),
                ..small(v6, 1055)
            })]);
            // Sometimes several changes come between two packets.
            if matches!(change % 5, 0 | 2) {
                let (source, _) = ends(&node.one(&p(1), &question, &p(3)));
                assert_eq!(source.0, address, "after {change} changes");
            }
        }
    }
}
