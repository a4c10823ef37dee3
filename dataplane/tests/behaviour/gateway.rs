//! What the gateway answers: ARP, neighbour and router solicitations, pings.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use vrouter_dataplane::{
    packet::DropReason,
    program::object::{Attachment, BridgeSpec, Object, PortSpec},
    wire::Mac,
};

use crate::{
    lab::{
        bytes::{self, Ip, arp, eui64, framed, solicitation},
        objects::{bridge_spec, gateways, ip, neighbor, port_spec, station},
    },
    site::{FAMILIES, VRF, from_one, gateway, into, out_of, p, site},
};

fn v4(address: IpAddr) -> Ipv4Addr {
    let IpAddr::V4(address) = address else {
        panic!("{address}")
    };
    address
}

fn v6(address: IpAddr) -> Ipv6Addr {
    let IpAddr::V6(address) = address else {
        panic!("{address}")
    };
    address
}

#[test]
fn arp_is_answered_for_the_gateway_and_for_everybody_else() {
    let mut node = site();
    let own = v4(crate::site::host(false, 1));
    for target in ["10.1.0.1", "10.1.0.102", "10.9.9.9"] {
        let target = v4(ip(target));
        let request = arp(Mac::BROADCAST, 1, (station(1), own), (Mac::ZERO, target));
        let answer = node.one(&p(1), &request, &p(1));
        assert_eq!(answer, arp(station(1), 2, (Mac::GATEWAY, target), (station(1), own)));
    }
    // A workload that probes for its own address must not hear that it is taken.
    let probe = arp(Mac::BROADCAST, 1, (station(1), Ipv4Addr::UNSPECIFIED), (Mac::ZERO, own));
    node.dropped(&p(1), &probe, DropReason::ArpUnanswered);
}

#[test]
fn neighbor_solicitations_are_answered_for_the_gateway_and_for_everybody_else() {
    let mut node = site();
    let own = v6(crate::site::host(true, 1));
    for target in [v6(gateway(true)), v6(crate::site::host(true, 2)), eui64(Mac::GATEWAY)] {
        let answer = node.one(&p(1), &solicitation((station(1), own), target), &p(1));
        // Router, solicited, override.
        assert_eq!(
            answer,
            bytes::advertisement(Mac::GATEWAY, target, (station(1), own), 0xe0)
        );
    }
    let duplicate = solicitation((station(1), Ipv6Addr::UNSPECIFIED), own);
    node.dropped(&p(1), &duplicate, DropReason::NdUnanswered);
    let others_link_local = solicitation((station(1), own), eui64(station(2)));
    node.dropped(&p(1), &others_link_local, DropReason::NdUnanswered);
}

#[test]
fn a_router_solicitation_gets_prefix_mtu_and_router() {
    let mut node = site();
    let own = eui64(station(1));
    let frame = node.one(&p(1), &bytes::router_solicitation((station(1), own)), &p(1));
    let sliced = etherparse::SlicedPacket::from_ethernet(&frame).unwrap();
    let Some(etherparse::NetSlice::Ipv6(header)) = &sliced.net else {
        panic!("{sliced:?}")
    };
    assert_eq!(header.header().source_addr(), eui64(Mac::GATEWAY));
    assert_eq!(
        (header.header().destination_addr(), header.header().hop_limit()),
        (own, 255)
    );
    let message = &frame[54..];
    assert_eq!((message[0], message[1]), (134, 0));
    assert_ne!(message[6..8], [0, 0], "a default router");
    let options: Vec<_> = options(&message[16..]);
    assert!(
        options.contains(&(1, Mac::GATEWAY.0.to_vec())),
        "the router's MAC: {options:02x?}"
    );
    assert!(options.contains(&(5, [0, 0, 0, 0, 5, 220].to_vec())), "MTU 1500");
    let prefix = options.iter().find(|o| o.0 == 3).unwrap();
    assert_eq!(prefix.1[0], 64);
    assert_eq!(prefix.1[14..], v6(ip("fd00:1::")).octets());
}

fn options(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut options = Vec::new();
    while !bytes.is_empty() {
        let length = usize::from(bytes[1]) * 8;
        options.push((bytes[0], bytes[2..length].to_vec()));
        bytes = &bytes[length..];
    }
    options
}

#[test]
fn the_gateway_answers_pings_of_any_hop_limit() {
    let mut node = site();
    for v6 in FAMILIES {
        for hop_limit in [1, 64] {
            let ping = from_one(v6, gateway(v6)).hop_limit(hop_limit).ping(7, b"abcd");
            let answer = node.one(&p(1), &out_of(1, &ping), &p(1));
            let kind = if v6 { 129 } else { 0 };
            let reply =
                Ip::new(gateway(v6), crate::site::host(v6, 1)).icmp(kind, 0, &[0, 7, 0, 1, b'a', b'b', b'c', b'd']);
            assert_eq!(answer, into(1, &reply));
        }
    }
}

#[test]
fn the_gateway_answers_pings_to_its_link_local_address() {
    let mut node = site();
    let ping = Ip::new(eui64(station(1)), eui64(Mac::GATEWAY)).ping(7, b"");
    let reply = Ip::new(eui64(Mac::GATEWAY), eui64(station(1))).icmp(129, 0, &[0, 7, 0, 1]);
    assert_eq!(node.one(&p(1), &out_of(1, &ping), &p(1)), into(1, &reply));
    let to_another = Ip::new(eui64(station(1)), eui64(station(2))).ping(7, b"");
    node.dropped(&p(1), &out_of(1, &to_another), DropReason::LinkLocalUnrouted);
}

/// A bridge with a gateway and two workloads behind ports 3 and 4.
fn bridged_site() -> crate::lab::node::Node {
    let mut node = site();
    let gateways = gateways(&["10.3.0.1/24", "fd00:3::1/64"]);
    let gateway_mac = Mac([2, 3, 3, 3, 3, 3]);
    node.put([Object::Bridge(BridgeSpec {
        vrf: Some(VRF),
        gateway_mac,
        gateways,
        ..bridge_spec(1)
    })]);
    node.put([3, 4].map(|id| {
        Object::Port(PortSpec {
            ..port_spec(id, Attachment::Bridge(1))
        })
    }));
    node.put([
        neighbor(1, ip("10.3.0.4"), station(4)),
        neighbor(1, ip("fd00:3::4"), station(4)),
    ]);
    node
}

#[test]
fn in_a_bridge_questions_for_gateway_and_known_neighbors_are_answered_and_others_flooded() {
    let mut node = bridged_site();
    let (own4, own6) = (v4(ip("10.3.0.3")), v6(ip("fd00:3::3")));
    for (last, mac, flags) in [(1, Mac([2, 3, 3, 3, 3, 3]), 0xe0), (4, station(4), 0x60)] {
        let target = v4(ip(&format!("10.3.0.{last}")));
        let request = arp(Mac::BROADCAST, 1, (station(3), own4), (Mac::ZERO, target));
        assert_eq!(
            node.one(&p(3), &request, &p(3)),
            arp(station(3), 2, (mac, target), (station(3), own4))
        );
        let target = v6(ip(&format!("fd00:3::{last}")));
        let answer = node.one(&p(3), &solicitation((station(3), own6), target), &p(3));
        assert_eq!(answer, bytes::advertisement(mac, target, (station(3), own6), flags));
    }
    let request = arp(Mac::BROADCAST, 1, (station(3), own4), (Mac::ZERO, v4(ip("10.3.0.9"))));
    assert_eq!(node.one(&p(3), &request, &p(4)), request);
    // Known, but asked by itself: it looks for another with its address.
    let probe = arp(
        Mac::BROADCAST,
        1,
        (station(4), Ipv4Addr::UNSPECIFIED),
        (Mac::ZERO, v4(ip("10.3.0.4"))),
    );
    assert_eq!(node.one(&p(4), &probe, &p(3)), probe);
}

#[test]
fn an_arp_reply_in_a_bridge_goes_to_whom_it_is_for() {
    let mut node = bridged_site();
    node.put([Object::Port(port_spec(5, Attachment::Bridge(1)))]);
    // Both are heard first, so that the bridge knows where they are.
    let said = arp(
        Mac::BROADCAST,
        1,
        (station(3), v4(ip("10.3.0.3"))),
        (Mac::ZERO, v4(ip("10.3.0.9"))),
    );
    assert_eq!(node.send(&p(3), &said).len(), 2);
    let reply = arp(
        station(3),
        2,
        (station(5), v4(ip("10.3.0.9"))),
        (station(3), v4(ip("10.3.0.3"))),
    );
    assert_eq!(node.one(&p(5), &reply, &p(3)), reply);
}

#[test]
fn the_gateway_of_a_bridge_routes_and_answers_by_its_own_mac() {
    let mut node = bridged_site();
    let own = Mac([2, 3, 3, 3, 3, 3]);
    for v6 in FAMILIES {
        let source = ip(if v6 { "fd00:3::3" } else { "10.3.0.3" });
        let packet = Ip::new(source, crate::site::host(v6, 1)).udp((1, 2), b"x");
        let forwarded = Ip::new(source, crate::site::host(v6, 1))
            .hop_limit(63)
            .udp((1, 2), b"x");
        assert_eq!(
            node.one(&p(3), &framed(own, station(3), &packet), &p(1)),
            into(1, &forwarded)
        );
    }
    let ping = Ip::new(eui64(station(3)), eui64(own)).ping(7, b"");
    let reply = Ip::new(eui64(own), eui64(station(3))).icmp(129, 0, &[0, 7, 0, 1]);
    assert_eq!(
        node.one(&p(3), &framed(own, station(3), &ping), &p(3)),
        framed(station(3), own, &reply)
    );
}

#[test]
fn unicast_in_a_broadcast_frame_is_not_routed() {
    let mut node = site();
    for v6 in FAMILIES {
        let packet = from_one(v6, crate::site::host(v6, 2)).udp((1, 2), b"x");
        node.dropped(
            &p(1),
            &framed(Mac::BROADCAST, station(1), &packet),
            DropReason::MulticastUnrouted,
        );
    }
}
