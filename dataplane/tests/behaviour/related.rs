//! ICMP errors about flows: they pass because of the flow, and speak of the packet that its sender knows.

use std::net::IpAddr;

use vrouter_dataplane::{
    packet::DropReason,
    program::object::{Attachment, BackendSpec, Object, PortSpec, Verdict},
};

use crate::{
    lab::{
        bytes::{Ip, pseudo, sum},
        node::Node,
        objects::{
            backend, gateways, ip, policy, port_range, port_spec, route, rule, service, source_nat, to_port, to_vrf,
            vrf,
        },
        outer::{address4, address6},
    },
    site::{FAMILIES, VRF, all_of, host, out_of, p, routed_port, site},
};

const OUTSIDE: u32 = 2;

fn far(v6: bool) -> IpAddr {
    ip(if v6 { "2001:db8:5::3" } else { "198.51.100.3" })
}

fn floating(v6: bool) -> IpAddr {
    ip(if v6 { "2001:db8:5::101" } else { "198.51.100.101" })
}

/// An error about a packet (from its IP header on), all of it quoted: "port unreachable".
fn unreachable(from: IpAddr, to: IpAddr, about: &[u8]) -> Vec<u8> {
    let (kind, code) = if from.is_ipv6() { (1, 4) } else { (3, 3) };
    Ip::new(from, to).icmp(kind, code, &[&[0; 4][..], about].concat())
}

/// Who an error in a frame is from, whom it is for, and what it quotes; its checksums are checked.
fn read(frame: &[u8]) -> (IpAddr, IpAddr, Vec<u8>) {
    let packet = &frame[14..];
    let v6 = packet[0] >> 4 == 6;
    let (source, destination, message) = if v6 {
        (address6(&packet[8..24]), address6(&packet[24..40]), &packet[40..])
    } else {
        assert_eq!(sum(&[&packet[..20]]), 0xffff, "header checksum");
        (address4(&packet[12..16]), address4(&packet[16..20]), &packet[20..])
    };
    let pseudo = if v6 {
        pseudo(source, destination, 58, message.len())
    } else {
        Vec::new()
    };
    assert_eq!(sum(&[&pseudo, message]), 0xffff, "ICMP checksum");
    (source, destination, message[8..].to_vec())
}

#[test]
fn an_error_about_an_allowed_flow_passes_and_others_do_not() {
    for v6 in FAMILIES {
        let mut node = site();
        node.put([policy(1, &[rule(1, &[], &[port_range(17, 53)], Verdict::Allow)], &[])]);
        node.put([Object::Port(PortSpec {
            policy: Some(1),
            ..routed_port(1)
        })]);
        let (one, two) = (host(v6, 1), host(v6, 2));
        let question = Ip::new(one, two).udp((1000, 53), b"?");
        node.send(&p(1), &out_of(1, &question));
        let out = node.one(&p(2), &out_of(2, &unreachable(two, one, &question)), &p(1));
        assert_eq!(read(&out), (two, one, question.clone()));
        let never = Ip::new(one, two).udp((1001, 53), b"?");
        node.dropped(
            &p(2),
            &out_of(2, &unreachable(two, one, &never)),
            DropReason::PolicyDeniedIngress,
        );
        // A flow that is refused by now has no errors either.
        node.put([policy(1, &[], &[])]);
        node.dropped(
            &p(2),
            &out_of(2, &unreachable(two, one, &question)),
            DropReason::PolicyDeniedEgress,
        );
    }
}

/// The site with a floating address for workload 1, and a workload outside.
fn town(v6: bool) -> Node {
    let mut node = site();
    let outside = PortSpec {
        gateways: gateways(&["198.51.100.1/24", "2001:db8:5::1/64"]),
        ..port_spec(3, Attachment::Vrf(OUTSIDE))
    };
    let inside = BackendSpec {
        vrf: Some(VRF),
        ..backend(&host(v6, 1).to_string(), 0)
    };
    node.put([vrf(OUTSIDE), Object::Port(outside), to_port(13, 3), to_vrf(40, OUTSIDE)]);
    let out_there = if v6 { "2001:db8:5::/64" } else { "198.51.100.0/24" };
    node.put([
        route(OUTSIDE, out_there, 13),
        route(VRF, if v6 { "::/0" } else { "0.0.0.0/0" }, 40),
        source_nat(1, (VRF, OUTSIDE), &all_of(host(v6, 1)), &[&floating(v6).to_string()]),
        service(1, OUTSIDE, &floating(v6).to_string(), (0, 0), &[inside]),
    ]);
    node
}

#[test]
fn errors_come_back_through_source_translation() {
    for v6 in FAMILIES {
        let mut node = town(v6);
        let (one, far) = (host(v6, 1), far(v6));
        let router = ip(if v6 { "2001:db8:5::99" } else { "198.51.100.99" });
        for packet in [
            Ip::new(one, far).udp((1000, 53), b"question"),
            Ip::new(one, far).segment((1000, 80), (1, 0), 2, b""),
            Ip::new(one, far).ping(9, b"question"),
        ] {
            let sent = node.one(&p(1), &out_of(1, &packet), &p(3));
            let mut seen = sent[14..].to_vec();
            // From the destination itself, from a router on the way, and of a quotation cut short.
            for (from, bytes) in [
                (far, seen.len()),
                (router, seen.len()),
                (router, seen.len().min(if v6 { 48 } else { 28 })),
            ] {
                let error = unreachable(from, floating(v6), &seen[..bytes]);
                let out = node.one(&p(3), &out_of(3, &error), &p(1));
                // The hop limit is as it was when the packet was seen outside.
                let mut expected = packet.clone();
                if v6 {
                    expected[7] = 63;
                } else {
                    expected[8] = 63;
                    crate::lab::bytes::fix_v4(&mut expected);
                }
                expected.truncate(bytes);
                assert_eq!(read(&out), (from, one, expected));
            }
            seen.clear();
        }
    }
}

#[test]
fn errors_go_out_through_translation_under_the_name_that_is_known_outside() {
    for v6 in FAMILIES {
        let mut node = town(v6);
        let (one, far) = (host(v6, 1), far(v6));
        let question = Ip::new(far, floating(v6)).udp((1000, 53), b"question");
        let seen = node.one(&p(3), &out_of(3, &question), &p(1))[14..].to_vec();
        // The first answer is an error: its direction has not been decided before.
        let error = unreachable(one, far, &seen);
        let out = node.one(&p(1), &out_of(1, &error), &p(3));
        let mut expected = question.clone();
        if v6 {
            expected[7] = 63;
        } else {
            expected[8] = 63;
            crate::lab::bytes::fix_v4(&mut expected);
        }
        assert_eq!(read(&out), (floating(v6), far, expected));
        assert_eq!(node.send(&p(3), &out_of(3, &question)).len(), 1, "the flow lives on");
    }
}

#[test]
fn errors_of_a_backend_come_from_its_service() {
    for v6 in FAMILIES {
        let mut node = site();
        let address = ip(if v6 { "fd00:99::1" } else { "10.99.0.1" });
        node.put([service(
            1,
            VRF,
            &address.to_string(),
            (17, 53),
            &[backend(&host(v6, 2).to_string(), 5353)],
        )]);
        let question = Ip::new(host(v6, 1), address).hop_limit(65).udp((1000, 53), b"?");
        let seen = node.one(&p(1), &out_of(1, &question), &p(2))[14..].to_vec();
        let error = unreachable(host(v6, 2), host(v6, 1), &seen);
        let out = node.one(&p(2), &out_of(2, &error), &p(1));
        let expected = Ip::new(host(v6, 1), address).hop_limit(64).udp((1000, 53), b"?");
        assert_eq!(read(&out), (address, host(v6, 1), expected));
    }
}
