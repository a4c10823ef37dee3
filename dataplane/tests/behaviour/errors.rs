//! ICMP errors: from the gateway, to the sender, and not too many.

use std::net::IpAddr;

use vrouter_dataplane::packet::DropReason;

use crate::{
    lab::{
        node::{Node, SECOND},
        objects::ip,
    },
    site::{FAMILIES, from_one, gateway, host, icmp_error, out_of, p, site},
};

/// Sends a packet that is dropped for a reason, and gives type, code and word of the error about it.
fn refused(node: &mut Node, v6: bool, packet: &[u8], reason: DropReason) -> (u8, u8, u32) {
    let before = node.count(reason);
    let error = node.one(&p(1), &out_of(1, packet), &p(1));
    assert_eq!(node.count(reason), before + 1);
    let (source, kind, code, word, quoted) = icmp_error(&error);
    assert_eq!(source, gateway(v6), "from the gateway that the sender knows");
    assert!(
        packet.starts_with(&quoted) && quoted.len() >= packet.len().min(500),
        "the packet as it was sent"
    );
    (kind, code, word)
}

#[test]
fn time_exceeded() {
    let mut node = site();
    for hop_limit in [0, 1] {
        let packet = |v6| from_one(v6, host(v6, 2)).hop_limit(hop_limit).udp((1, 2), b"x");
        assert_eq!(
            refused(&mut node, false, &packet(false), DropReason::HopLimitExceeded),
            (11, 0, 0)
        );
        assert_eq!(
            refused(&mut node, true, &packet(true), DropReason::HopLimitExceeded),
            (3, 0, 0)
        );
    }
}

#[test]
fn no_route() {
    let mut node = site();
    let packet = |v6, to| from_one(v6, ip(to)).udp((1, 2), b"x");
    assert_eq!(
        refused(&mut node, false, &packet(false, "10.200.0.1"), DropReason::NoRoute),
        (3, 0, 0)
    );
    assert_eq!(
        refused(&mut node, true, &packet(true, "fd00:200::1"), DropReason::NoRoute),
        (1, 0, 0)
    );
}

#[test]
fn port_and_protocol_unreachable_at_the_gateway() {
    let mut node = site();
    for tcp in [false, true] {
        let packet = |v6| {
            let ip = from_one(v6, gateway(v6));
            if tcp {
                ip.tcp((1, 2), 0x10, &[], b"")
            } else {
                ip.udp((1, 2), b"x")
            }
        };
        assert_eq!(
            refused(&mut node, false, &packet(false), DropReason::LocalUnhandled),
            (3, 3, 0)
        );
        assert_eq!(
            refused(&mut node, true, &packet(true), DropReason::LocalUnhandled),
            (1, 4, 0)
        );
    }
    let gre = |v6| from_one(v6, gateway(v6)).packet(47, &[0; 12]);
    assert_eq!(
        refused(&mut node, false, &gre(false), DropReason::LocalUnhandled),
        (3, 2, 0)
    );
    // IPv6 says it as a parameter problem that points at the next header field.
    assert_eq!(
        refused(&mut node, true, &gre(true), DropReason::LocalUnhandled),
        (4, 1, 6)
    );
}

#[test]
fn nothing_is_said_about_errors_and_later_fragments() {
    let mut node = site();
    for v6 in FAMILIES {
        let nowhere = ip(if v6 { "fd00:200::1" } else { "10.200.0.1" });
        let error = from_one(v6, nowhere).icmp(if v6 { 1 } else { 3 }, 0, &[0; 48]);
        node.dropped(&p(1), &out_of(1, &error), DropReason::NoRoute);
    }
    // The first fragment is told of; the later one is not.
    let mut fragment = from_one(false, ip("10.200.0.1"));
    fragment.fragment = 0x2000;
    let told = node.send(&p(1), &out_of(1, &fragment.packet(17, &[0; 16])));
    assert_eq!(told.len(), 1);
    fragment.fragment = 0x2002;
    node.dropped(&p(1), &out_of(1, &fragment.packet(17, &[0; 16])), DropReason::NoRoute);
}

#[test]
fn errors_are_limited_for_one_source_and_not_for_the_next() {
    let mut node = site();
    for v6 in FAMILIES {
        node.advance(10 * SECOND);
        let before: u64 = withheld(&node);
        let packet = from_one(v6, ip(if v6 { "fd00:200::1" } else { "10.200.0.1" })).udp((1, 2), b"x");
        let mut said = 0;
        for _ in 0..500 {
            said += node.send(&p(1), &out_of(1, &packet)).len() as u64;
        }
        assert!((1..=100).contains(&said), "{said} errors at one moment");
        assert_eq!(withheld(&node) - before, 500 - said);
        node.advance(SECOND);
        assert_eq!(
            node.send(&p(1), &out_of(1, &packet)).len(),
            1,
            "after a second there is room again"
        );
    }
    assert_eq!(
        node.count(DropReason::NoRoute),
        2 * 501,
        "each packet is counted, whether its sender was told or not"
    );
}

fn withheld(node: &Node) -> u64 {
    node.dp.shared.counters.iter().map(|c| c.errors_withheld.get()).sum()
}

#[test]
fn what_no_router_forwards_is_dropped_in_silence() {
    let mut node = site();
    let cases: [(&str, &str, DropReason); 10] = [
        ("127.0.0.1", "10.1.0.102", DropReason::MartianSource),
        ("0.0.0.0", "10.1.0.102", DropReason::MartianSource),
        ("224.0.0.1", "10.1.0.102", DropReason::MartianSource),
        ("10.1.0.101", "224.0.0.251", DropReason::MulticastUnrouted),
        ("10.1.0.101", "255.255.255.255", DropReason::MulticastUnrouted),
        ("169.254.0.1", "10.1.0.102", DropReason::LinkLocalUnrouted),
        ("::1", "fd00:1::1:2", DropReason::MartianSource),
        ("::", "fd00:1::1:2", DropReason::MartianSource),
        ("fd00:1::1:1", "ff0e::1", DropReason::MulticastUnrouted),
        ("fe80::1", "fd00:1::1:2", DropReason::LinkLocalUnrouted),
    ];
    for (source, destination, reason) in cases {
        let (source, destination): (IpAddr, IpAddr) = (ip(source), ip(destination));
        let packet = crate::lab::bytes::Ip::new(source, destination).udp((1, 2), b"x");
        node.dropped(&p(1), &out_of(1, &packet), reason);
    }
}
