//! What a guarded workload may not say: other MACs and addresses, in any protocol, routed and bridged.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use vrouter_dataplane::{
    packet::DropReason,
    program::object::{Attachment, GuardSpec, Object, PortSpec},
    wire::Mac,
};

use crate::{
    lab::{
        bytes::{Ip, advertisement, arp, ethernet, eui64, framed, multicast_mac, router_solicitation, solicitation},
        node::Node,
        objects::{bridge_spec, ip, port_spec, prefix, station},
    },
    site::{FAMILIES, attach, from_one, gateway, host, into, out_of, p, routed_port, site},
};

/// MAC and address that are not the workload's.
const OTHER: Mac = Mac([2, 0, 0, 0, 0, 2]);

fn guard(id: u32) -> GuardSpec {
    let own = FAMILIES.map(|v6| prefix(&crate::site::all_of(host(v6, id))));
    GuardSpec {
        addresses: own.into(),
        ..GuardSpec::default()
    }
}

fn guarded(port: PortSpec, guard: GuardSpec) -> PortSpec {
    PortSpec {
        guard: Some(guard.into()),
        ..port
    }
}

/// Ports 1 and 2 routed, 1 guarded.
fn routed() -> Node {
    let mut node = site();
    node.put(attach(guarded(routed_port(1), guard(1))));
    node
}

/// Ports 1 and 2 in a bridge, 1 guarded.
fn bridged(guard: GuardSpec) -> Node {
    let mut node = Node::new();
    node.put([Object::Bridge(bridge_spec(1))]);
    let port = |id| port_spec(id, Attachment::Bridge(1));
    node.put([Object::Port(guarded(port(1), guard)), Object::Port(port(2))]);
    node
}

fn v4(address: IpAddr) -> Ipv4Addr {
    match address {
        IpAddr::V4(address) => address,
        IpAddr::V6(_) => panic!("IPv4"),
    }
}

fn v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V6(address) => address,
        IpAddr::V4(_) => panic!("IPv6"),
    }
}

#[test]
fn a_workload_sends_as_itself_only() {
    let mut node = routed();
    for family in FAMILIES {
        let own = from_one(family, host(family, 2)).udp((1, 2), b"x");
        node.one(&p(1), &out_of(1, &own), &p(2));
        let stolen = framed(Mac::GATEWAY, OTHER, &own);
        node.dropped(&p(1), &stolen, DropReason::SpoofedMac);
        // Another's address, even in a flow that its owner has made: it comes in by another port.
        let theirs = Ip::new(host(family, 2), host(family, 1)).udp((2, 1), b"x");
        node.one(&p(2), &out_of(2, &theirs), &p(1));
        node.dropped(&p(1), &out_of(1, &theirs), DropReason::SpoofedIp);
        let foreign = ip(if family { "fd00:99::1" } else { "10.99.0.1" });
        let foreign = Ip::new(foreign, host(family, 2)).udp((1, 2), b"x");
        node.dropped(&p(1), &out_of(1, &foreign), DropReason::SpoofedIp);
    }
    // Its link-local address is its own; another's is not.
    let to_gateway = |from| Ip::new(from, eui64(Mac::GATEWAY)).ping(1, b"x");
    assert_eq!(node.send(&p(1), &out_of(1, &to_gateway(eui64(station(1))))).len(), 1);
    node.dropped(&p(1), &out_of(1, &to_gateway(eui64(OTHER))), DropReason::SpoofedIp);
}

#[test]
fn between_stations_of_a_bridge_sources_are_looked_at_too() {
    let mut node = bridged(guard(1));
    for family in FAMILIES {
        let to_two = |packet: &[u8]| framed(station(2), station(1), packet);
        let own = to_two(&from_one(family, host(family, 2)).udp((1, 2), b"x"));
        node.one(&p(1), &own, &p(2));
        let theirs = to_two(&Ip::new(host(family, 3), host(family, 2)).udp((1, 2), b"x"));
        node.dropped(&p(1), &theirs, DropReason::SpoofedIp);
        let ports = if family { (547, 546) } else { (67, 68) };
        let offer = to_two(&from_one(family, host(family, 2)).udp(ports, b"x"));
        node.dropped(&p(1), &offer, DropReason::RogueDhcp);
        // A tag hides nothing.
        let tagged = [&theirs[..12], &[0x81, 0, 0, 5], &theirs[12..]].concat();
        node.dropped(&p(1), &tagged, DropReason::SpoofedIp);
    }
    // What is no IP at all is switched by MAC alone.
    node.one(&p(1), &ethernet(station(2), station(1), 0x88b5, &[1; 46]), &p(2));
}

#[test]
fn a_prefix_and_further_macs_may_be_allowed() {
    let mut node = site();
    let wide = GuardSpec {
        addresses: [prefix("10.50.0.0/16"), prefix("fd00:50::/32")].into(),
        macs: [OTHER].into(),
        ..GuardSpec::default()
    };
    node.put(attach(guarded(routed_port(1), wide)));
    for family in FAMILIES {
        let from = ip(if family { "fd00:50::9" } else { "10.50.7.9" });
        let packet = Ip::new(from, host(family, 2)).udp((1, 2), b"x");
        node.one(&p(1), &framed(Mac::GATEWAY, OTHER, &packet), &p(2));
        let own = from_one(family, host(family, 2)).udp((1, 2), b"x");
        node.dropped(&p(1), &out_of(1, &own), DropReason::SpoofedIp);
    }
}

#[test]
fn arp_speaks_of_the_workload_only() {
    let (own, other) = (v4(host(false, 1)), v4(host(false, 2)));
    let asked = (Mac::ZERO, v4(gateway(false)));
    let mut node = routed();
    node.one(&p(1), &arp(Mac::BROADCAST, 1, (station(1), own), asked), &p(1));
    let mut bridge = bridged(guard(1));
    for node in [&mut node, &mut bridge] {
        for forged in [
            arp(Mac::BROADCAST, 1, (station(1), other), asked),
            arp(OTHER, 2, (station(1), other), (OTHER, own)),
            // An address may be probed before it is used, but only one's own.
            arp(
                Mac::BROADCAST,
                1,
                (station(1), Ipv4Addr::UNSPECIFIED),
                (Mac::ZERO, other),
            ),
            ethernet(Mac::BROADCAST, station(1), 0x0806, &[0; 46]),
        ] {
            node.dropped(&p(1), &forged, DropReason::SpoofedArp);
        }
        // The sender within the message is another than that of the frame.
        let mut inner = arp(Mac::BROADCAST, 1, (OTHER, own), asked);
        inner[6..12].copy_from_slice(&station(1).0);
        node.dropped(&p(1), &inner, DropReason::SpoofedArp);
    }
    let probe = arp(Mac::BROADCAST, 1, (station(1), Ipv4Addr::UNSPECIFIED), (Mac::ZERO, own));
    bridge.one(&p(1), &probe, &p(2));
    let announcement = arp(Mac::BROADCAST, 1, (station(1), own), (Mac::ZERO, own));
    bridge.one(&p(1), &announcement, &p(2));
}

#[test]
fn neighbour_discovery_speaks_of_the_workload_only() {
    let (own, other) = (v6(host(true, 1)), v6(host(true, 2)));
    let all = (Mac([0x33, 0x33, 0, 0, 0, 1]), "ff02::1".parse().unwrap());
    let mut bridge = bridged(guard(1));
    for right in [
        solicitation((station(1), own), other),
        solicitation((station(1), eui64(station(1))), other),
        solicitation((station(1), Ipv6Addr::UNSPECIFIED), own),
        advertisement(station(1), own, all, 0x20),
        router_solicitation((station(1), Ipv6Addr::UNSPECIFIED)),
    ] {
        bridge.one(&p(1), &right, &p(2));
    }
    let with_mac = |frame: Vec<u8>| [&frame[..6], &station(1).0, &frame[12..]].concat();
    let mut node = routed();
    for node in [&mut bridge, &mut node] {
        for forged in [
            solicitation((station(1), other), own),
            // To see whether another's address is free, while its owner does.
            solicitation((station(1), Ipv6Addr::UNSPECIFIED), other),
            advertisement(station(1), other, all, 0x20),
            // The link-layer address within is another's.
            with_mac(solicitation((OTHER, own), other)),
            with_mac(advertisement(OTHER, own, all, 0x20)),
            with_mac(router_solicitation((OTHER, own))),
            router_solicitation((station(1), other)),
        ] {
            node.dropped(&p(1), &forged, DropReason::SpoofedNd);
        }
    }
    // Hidden behind an extension header it is none the better.
    let plain = advertisement(station(1), other, all, 0x20);
    let mut hidden = [&plain[..54], &[58, 0, 1, 4, 0, 0, 0, 0], &plain[54..]].concat();
    hidden[20] = 0;
    let len = (hidden.len() - 54) as u16;
    hidden[18..20].copy_from_slice(&len.to_be_bytes());
    bridge.dropped(&p(1), &hidden, DropReason::SpoofedNd);
    // Nor in fragments (RFC 6980).
    let right = advertisement(station(1), own, all, 0x20);
    let mut cut = [&right[..54], &[58, 0, 0, 1, 0, 0, 0, 9], &right[54..]].concat();
    cut[20] = 44;
    let len = (cut.len() - 54) as u16;
    cut[18..20].copy_from_slice(&len.to_be_bytes());
    bridge.dropped(&p(1), &cut, DropReason::SpoofedNd);
}

#[test]
fn only_a_router_advertises_and_only_a_server_answers_dhcp() {
    let all: (Mac, Ipv6Addr) = (multicast_mac("ff02::1".parse().unwrap()), "ff02::1".parse().unwrap());
    let advertisement = |from| {
        framed(
            all.0,
            station(1),
            &Ip::new(from, all.1).hop_limit(255).icmp(134, 0, &[64; 12]),
        )
    };
    let own = eui64(station(1));
    let redirect = framed(
        all.0,
        station(1),
        &Ip::new(own, all.1).hop_limit(255).icmp(137, 0, &[0; 36]),
    );
    let offers = [
        framed(
            Mac::BROADCAST,
            station(1),
            &Ip::new(host(false, 1), Ipv4Addr::BROADCAST).udp((67, 68), &[2; 240]),
        ),
        framed(
            multicast_mac(all.1),
            station(1),
            &Ip::new(own, all.1).udp((547, 546), &[7; 20]),
        ),
    ];
    let mut node = bridged(guard(1));
    node.dropped(&p(1), &advertisement(own), DropReason::RogueRa);
    node.dropped(&p(1), &redirect, DropReason::RogueRa);
    for offer in &offers {
        node.dropped(&p(1), offer, DropReason::RogueDhcp);
    }
    // A client without address may ask, and nothing else may come from nowhere.
    let from_nowhere = |ports| {
        let packet = Ip::new(Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST).udp(ports, &[1; 240]);
        framed(Mac::BROADCAST, station(1), &packet)
    };
    node.one(&p(1), &from_nowhere((68, 67)), &p(2));
    node.dropped(&p(1), &from_nowhere((5000, 5000)), DropReason::SpoofedIp);
    // Broadcast from another's address.
    let theirs = Ip::new(host(false, 2), Ipv4Addr::BROADCAST).udp((5000, 5000), b"x");
    node.dropped(
        &p(1),
        &framed(Mac::BROADCAST, station(1), &theirs),
        DropReason::SpoofedIp,
    );

    let mut node = bridged(GuardSpec {
        allow_router: true,
        allow_dhcp_server: true,
        ..guard(1)
    });
    node.one(&p(1), &advertisement(own), &p(2));
    node.dropped(&p(1), &advertisement(eui64(OTHER)), DropReason::SpoofedNd);
    for offer in &offers {
        node.one(&p(1), offer, &p(2));
    }
    // Routed, to one station: part of the decision about its flow.
    let mut node = routed();
    for (family, ports) in [(false, (67, 68)), (true, (547, 546))] {
        let offer = from_one(family, host(family, 2)).udp(ports, b"x");
        node.dropped(&p(1), &out_of(1, &offer), DropReason::RogueDhcp);
        let packet = Ip::new(host(family, 2), host(family, 1)).udp(ports, b"x");
        assert_eq!(
            node.one(&p(2), &out_of(2, &packet), &p(1)),
            into(1, &packet.clone_with_hop())
        );
    }
}

/// A packet one hop further.
trait Hop {
    fn clone_with_hop(&self) -> Vec<u8>;
}

impl Hop for Vec<u8> {
    fn clone_with_hop(&self) -> Vec<u8> {
        let mut packet = self.clone();
        if packet[0] >> 4 == 6 {
            packet[7] -= 1;
        } else {
            packet[8] -= 1;
            crate::lab::bytes::fix_v4(&mut packet);
        }
        packet
    }
}

#[test]
fn a_guard_that_changes_is_heeded_by_the_next_packet() {
    let mut node = site();
    for family in FAMILIES {
        let packet = out_of(1, &from_one(family, host(family, 2)).udp((1, 2), b"x"));
        node.one(&p(1), &packet, &p(2));
        node.put(attach(guarded(routed_port(1), GuardSpec::default())));
        node.dropped(&p(1), &packet, DropReason::SpoofedIp);
        node.put(attach(routed_port(1)));
        node.one(&p(1), &packet, &p(2));
    }
}

#[test]
fn what_cannot_be_read_is_not_switched_for_a_guarded_workload() {
    let mut node = bridged(guard(1));
    let packet = from_one(false, host(false, 2)).udp((1, 2), b"x");
    let mut damaged = framed(station(2), station(1), &packet);
    damaged[24] ^= 1;
    node.dropped(&p(1), &damaged, DropReason::BadIpv4Checksum);
    // Without guard a bridge carries what it does not understand.
    let mut reply = framed(station(1), station(2), &packet);
    reply[24] ^= 1;
    assert_eq!(node.one(&p(2), &reply, &p(1)), reply);
}
