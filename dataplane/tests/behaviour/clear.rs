//! The underlay in the clear: floating addresses, translated sources, neighbours, and whatever is not for us.

use std::net::IpAddr;

use vrouter_dataplane::{
    packet::DropReason,
    program::object::{ActionSpec, BackendSpec, Key, Object, Operation, PortSpec, ServiceSpec, SourceNatSpec, VrfSpec},
    wire::Mac,
};

use crate::{
    lab::{
        bytes::{Ip, framed, pseudo, sum},
        node::{Node, SECOND, UPLINK, UPLINK_MAC, VTEP4},
        objects::{ip, next_hop, prefix, route, vni},
        outer::{Shim, address4, address6, encode, mac},
    },
    site::{
        FAMILIES, REMOTE, VRF, all_of, attach, behind, furnish, gateway, host, icmp_error, into, out_of, p, remote,
        routed_port, site,
    },
};

/// The VRF of the underlay.
const OUTSIDE: u32 = 9;
/// Next hops.
const TO_OUTSIDE: u64 = 90;
const ON_LINK: u64 = 91;
const BY_ROUTER: [u64; 2] = [92, 93];
/// Stations on the link.
const STRANGER_MAC: Mac = Mac([2, 6, 0, 0, 0, 1]);
const ROUTER_MAC: Mac = Mac([2, 6, 0, 0, 0, 2]);

/// A host on the link, in a subnet that the uplink has no address in.
fn stranger(v6: bool) -> IpAddr {
    ip(if v6 { "2001:db8:f::9" } else { "203.0.113.9" })
}

/// The router of that subnet.
fn router(v6: bool) -> IpAddr {
    ip(if v6 { "2001:db8:f::fe" } else { "203.0.113.254" })
}

/// Beyond that router.
fn distant(v6: bool) -> IpAddr {
    ip(if v6 { "2001:db8:ffff::1" } else { "198.51.100.1" })
}

/// The floating address of the workload of port 1.
fn floating(v6: bool) -> IpAddr {
    ip(if v6 { "2001:db8:f::70" } else { "203.0.113.70" })
}

/// What all others' sources are translated to.
fn shared(v6: bool) -> IpAddr {
    ip(if v6 { "2001:db8:f::80" } else { "203.0.113.80" })
}

fn source_nat(id: u32, sources: &str, address: IpAddr) -> Object {
    Object::SourceNat(SourceNatSpec {
        id,
        name: format!("nat {id}").into(),
        inside: VRF,
        outside: OUTSIDE,
        prefix: prefix(sources),
        addresses: [address].into(),
        first_port: 0,
        last_port: 0,
        block_size: 0,
        blocks_per_source: 0,
    })
}

fn floating_service(id: u32, v6: bool) -> Object {
    Object::Service(ServiceSpec {
        id,
        name: format!("floating {id}").into(),
        vrf: OUTSIDE,
        address: floating(v6),
        protocol: 0,
        port: 0,
        backends: [BackendSpec {
            address: host(v6, 1),
            port: 0,
            vrf: Some(VRF),
            weight: 1,
            draining: false,
            name: "one".into(),
        }]
        .into(),
        client_affinity: false,
        affinity_seconds: 0,
    })
}

/// What the site has beside its ports to reach, and be reached from, the underlay.
fn outside() -> Vec<Object> {
    let mut objects = vec![
        Object::Vrf(VrfSpec {
            id: OUTSIDE,
            name: "outside".into(),
            underlay: true,
        }),
        next_hop(
            TO_OUTSIDE,
            ActionSpec::Vrf {
                vrf: OUTSIDE,
                untranslated: false,
            },
        ),
        next_hop(ON_LINK, ActionSpec::Underlay { gateway: None }),
    ];
    for v6 in FAMILIES {
        let number = u32::from(v6);
        let (all, subnet, sources) = if v6 {
            ("::/0", "2001:db8:f::/64", "fd00:1::/64")
        } else {
            ("0.0.0.0/0", "203.0.113.0/24", "10.1.0.0/24")
        };
        let by_router = BY_ROUTER[usize::from(v6)];
        objects.extend([
            next_hop(
                by_router,
                ActionSpec::Underlay {
                    gateway: Some(router(v6)),
                },
            ),
            route(VRF, all, TO_OUTSIDE),
            route(OUTSIDE, subnet, ON_LINK),
            route(OUTSIDE, all, by_router),
            source_nat(1 + number, &all_of(host(v6, 1)), floating(v6)),
            source_nat(3 + number, sources, shared(v6)),
            floating_service(1 + number, v6),
        ]);
    }
    objects
}

/// The site, with the underlay in the clear; the stranger and the router answer.
fn open_site() -> Node {
    let mut node = site();
    for v6 in FAMILIES {
        node.underlay
            .extend([(stranger(v6), STRANGER_MAC), (router(v6), ROUTER_MAC)]);
    }
    node.put(outside());
    node.take();
    node
}

/// As the stranger sends it to the node.
fn from_stranger(packet: &[u8]) -> Vec<u8> {
    framed(UPLINK_MAC, STRANGER_MAC, packet)
}

/// As the node sends it in the clear.
fn to_station(station: Mac, packet: &[u8]) -> Vec<u8> {
    framed(station, UPLINK_MAC, packet)
}

/// The first packet to a neighbour that is not known is lost, and has it looked for.
fn find(node: &mut Node, v6: bool) {
    let packet = out_of(1, &Ip::new(host(v6, 1), stranger(v6)).udp((5, 6), b"?"));
    node.dropped(&p(1), &packet, DropReason::UnderlayUnresolved);
}

#[test]
fn a_floating_address_is_its_workload_both_ways() {
    for v6 in FAMILIES {
        let mut node = open_site();
        find(&mut node, v6);
        // From outside.
        let asked = from_stranger(&Ip::new(stranger(v6), floating(v6)).udp((5000, 53), b"who?"));
        let seen = into(
            1,
            &Ip::new(stranger(v6), host(v6, 1))
                .hop_limit(63)
                .udp((5000, 53), b"who?"),
        );
        assert_eq!(node.one(UPLINK, &asked, &p(1)), seen);
        let answer = out_of(1, &Ip::new(host(v6, 1), stranger(v6)).udp((53, 5000), b"me"));
        let heard = to_station(
            STRANGER_MAC,
            &Ip::new(floating(v6), stranger(v6)).hop_limit(63).udp((53, 5000), b"me"),
        );
        assert_eq!(node.one(&p(1), &answer, UPLINK), heard);
        // Ping from outside reaches the workload, too.
        let ping = from_stranger(&Ip::new(stranger(v6), floating(v6)).ping(7, b"hello"));
        let seen = into(1, &Ip::new(stranger(v6), host(v6, 1)).hop_limit(63).ping(7, b"hello"));
        assert_eq!(node.one(UPLINK, &ping, &p(1)), seen);
        // From inside, to the link and beyond the router.
        for (to, station) in [(stranger(v6), STRANGER_MAC), (distant(v6), ROUTER_MAC)] {
            let asks = out_of(1, &Ip::new(host(v6, 1), to).udp((6000, 80), b"you?"));
            let left = to_station(
                station,
                &Ip::new(floating(v6), to).hop_limit(63).udp((6000, 80), b"you?"),
            );
            assert_eq!(node.one(&p(1), &asks, UPLINK), left);
            let answer = framed(UPLINK_MAC, station, &Ip::new(to, floating(v6)).udp((80, 6000), b"yes"));
            let seen = into(1, &Ip::new(to, host(v6, 1)).hop_limit(63).udp((80, 6000), b"yes"));
            assert_eq!(node.one(UPLINK, &answer, &p(1)), seen);
        }
    }
}

#[test]
fn others_share_an_address_and_get_their_answers() {
    for v6 in FAMILIES {
        let mut node = open_site();
        find(&mut node, v6);
        let asks = out_of(2, &Ip::new(host(v6, 2), stranger(v6)).udp((6000, 80), b"you?"));
        let left = node.one(&p(2), &asks, UPLINK);
        let (source, port) = sender(&left);
        assert_eq!(source, shared(v6));
        let expected = Ip::new(shared(v6), stranger(v6)).hop_limit(63).udp((port, 80), b"you?");
        assert_eq!(left, to_station(STRANGER_MAC, &expected));
        let answer = from_stranger(&Ip::new(stranger(v6), shared(v6)).udp((80, port), b"yes"));
        let seen = into(
            2,
            &Ip::new(stranger(v6), host(v6, 2)).hop_limit(63).udp((80, 6000), b"yes"),
        );
        assert_eq!(node.one(UPLINK, &answer, &p(2)), seen);
    }
}

/// Source address and port of a frame's packet.
fn sender(frame: &[u8]) -> (IpAddr, u16) {
    let packet = &frame[14..];
    let (address, l4) = if packet[0] >> 4 == 6 {
        (address6(&packet[8..24]), &packet[40..])
    } else {
        (address4(&packet[12..16]), &packet[20..])
    };
    (address, u16::from_be_bytes([l4[0], l4[1]]))
}

#[test]
fn a_shared_address_answers_ping_and_nothing_else() {
    for v6 in FAMILIES {
        let mut node = open_site();
        find(&mut node, v6);
        let flows = |node: &Node| {
            node.dp
                .shared
                .counters
                .iter()
                .map(|c| c.flows_created.get())
                .sum::<u64>()
        };
        let before = flows(&node);
        let ping = from_stranger(&Ip::new(stranger(v6), shared(v6)).ping(7, b"hello"));
        let answer = node.one(UPLINK, &ping, UPLINK);
        assert_eq!((mac(&answer[..6]), mac(&answer[6..12])), (STRANGER_MAC, UPLINK_MAC));
        assert_eq!(sender(&answer).0, shared(v6));
        assert_eq!(answer[14 + if v6 { 40 } else { 20 }], if v6 { 129 } else { 0 });
        for packet in [
            Ip::new(stranger(v6), shared(v6)).udp((5000, 53), b"x"),
            Ip::new(stranger(v6), shared(v6)).tcp((5000, 80), 2, &[], &[]),
        ] {
            node.dropped(UPLINK, &from_stranger(&packet), DropReason::LocalUnhandled);
        }
        assert_eq!(flows(&node), before, "a scan makes no flows");
    }
}

#[test]
fn unfinished_checksums_of_hosts_on_a_veth_are_finished() {
    for v6 in FAMILIES {
        let mut node = open_site();
        let to = Ip::new(stranger(v6), floating(v6));
        let seen = Ip::new(stranger(v6), host(v6, 1)).hop_limit(63);
        let delivered = node.one(UPLINK, &from_stranger(&to.udp_partial((5000, 53), b"x")), &p(1));
        assert_eq!(delivered, into(1, &seen.udp((5000, 53), b"x")));
        let opening = node.one(UPLINK, &from_stranger(&to.tcp_partial((5000, 80), 2, &[], b"")), &p(1));
        let l4 = &opening[14 + if v6 { 40 } else { 20 }..];
        let pseudo = pseudo(stranger(v6), host(v6, 1), 6, l4.len());
        assert_eq!(sum(&[&pseudo, l4]), 0xffff);
    }
}

#[test]
fn an_unfinished_outer_checksum_is_accepted() {
    let mut node = open_site();
    node.put([vni(1001, vrouter_dataplane::program::object::VniTo::Vrf(VRF))]);
    for v6 in FAMILIES {
        for underlay_v6 in FAMILIES {
            let inner = out_of(9, &Ip::new(behind(v6, 21), host(v6, 2)).udp((1, 2), b"x"));
            let own = if underlay_v6 { ip("2001:db8::1") } else { VTEP4.into() };
            let from = remote(underlay_v6);
            let mut outer = encode((UPLINK_MAC, REMOTE), from, own, 0, Shim::Vxlan { vni: 1001 }, &inner);
            let at = 14 + if underlay_v6 { 40 } else { 20 };
            let bare = sum(&[&pseudo(from, own, 17, outer.len() - at)]);
            outer[at + 6..at + 8].copy_from_slice(&bare.to_be_bytes());
            let seen = into(2, &Ip::new(behind(v6, 21), host(v6, 2)).hop_limit(63).udp((1, 2), b"x"));
            assert_eq!(node.one(UPLINK, &outer, &p(2)), seen);
            outer[at + 7] ^= 1;
            node.dropped(UPLINK, &outer, DropReason::BadOuterChecksum);
        }
    }
}

#[test]
fn only_what_is_sent_to_our_own_addresses_comes_in() {
    for v6 in FAMILIES {
        let mut node = open_site();
        let packet = Ip::new(stranger(v6), floating(v6)).udp((5000, 53), b"x");
        let elsewhere = Mac([2, 7, 7, 7, 7, 7]);
        node.dropped(UPLINK, &framed(elsewhere, STRANGER_MAC, &packet), DropReason::NotOurMac);
        let all = framed(Mac::BROADCAST, STRANGER_MAC, &packet);
        node.dropped(UPLINK, &all, DropReason::MulticastUnrouted);
        let mut tagged = from_stranger(&packet);
        tagged.splice(12..12, [0x81, 0, 0, 5]);
        node.dropped(UPLINK, &tagged, DropReason::UnknownVlan);
        for other in [router(v6), host(v6, 1), gateway(v6)] {
            let packet = Ip::new(stranger(v6), other).udp((5000, 53), b"x");
            node.dropped(UPLINK, &from_stranger(&packet), DropReason::NotOurVtep);
        }
        // A tunnel's port is a port like others here.
        let vxlan = Ip::new(stranger(v6), floating(v6)).udp((5000, 4789), b"no tunnel");
        node.one(UPLINK, &from_stranger(&vxlan), &p(1));
        // Without the service and the translation the address is nobody's.
        let number = u32::from(v6);
        node.apply(&[
            Operation::Delete(Key::Service(1 + number)),
            Operation::Delete(Key::SourceNat(1 + number)),
        ])
        .unwrap();
        node.dropped(UPLINK, &from_stranger(&packet), DropReason::NotOurVtep);
        // Nor are all others, when the VRF is not the underlay's any more.
        let closed = VrfSpec {
            id: OUTSIDE,
            name: "outside".into(),
            underlay: false,
        };
        node.put([Object::Vrf(closed)]);
        let packet = Ip::new(stranger(v6), shared(v6)).ping(7, b"x");
        node.dropped(UPLINK, &from_stranger(&packet), DropReason::NotATunnel);
    }
}

#[test]
fn errors_come_from_the_address_that_was_spoken_to() {
    for v6 in FAMILIES {
        let mut node = furnish(Node::new());
        node.put(outside());
        node.underlay.extend([(stranger(v6), STRANGER_MAC)]);
        node.put(attach(PortSpec {
            mtu: 1300,
            ..routed_port(1)
        }));
        find(&mut node, v6);
        let to = Ip::new(stranger(v6), floating(v6));
        let late = node.one(UPLINK, &from_stranger(&to.hop_limit(1).udp((1, 2), b"x")), UPLINK);
        assert_eq!(sender(&late).0, floating(v6));
        assert_eq!(mac(&late[..6]), STRANGER_MAC);
        assert_eq!(late[14 + if v6 { 40 } else { 20 }], if v6 { 3 } else { 11 });
        let big = Ip::new(stranger(v6), floating(v6))
            .dont_fragment()
            .udp((1, 2), &[7; 1400]);
        let refused = node.one(UPLINK, &from_stranger(&big), UPLINK);
        assert_eq!(sender(&refused).0, floating(v6));
        assert_eq!(refused[14 + if v6 { 40 } else { 20 }], if v6 { 2 } else { 3 });
    }
}

#[test]
fn a_neighbor_that_does_not_answer_is_said_to_be_unreachable() {
    for v6 in FAMILIES {
        let mut node = open_site();
        let absent = ip(if v6 { "2001:db8:f::99" } else { "203.0.113.99" });
        let packet = out_of(1, &Ip::new(host(v6, 1), absent).udp((1, 2), b"x"));
        node.dropped(&p(1), &packet, DropReason::UnderlayUnresolved);
        node.dropped(&p(1), &packet, DropReason::UnderlayUnresolved);
        for _ in 0..4 {
            node.advance(SECOND / 4);
            node.pump();
        }
        node.take();
        let error = node.one(&p(1), &packet, &p(1));
        let (source, kind, code, _, quoted) = icmp_error(&error);
        assert_eq!(
            (source, kind, code),
            if v6 { (gateway(v6), 1, 3) } else { (gateway(v6), 3, 1) }
        );
        // About the packet as its sender knows it.
        let from = if v6 {
            address6(&quoted[8..24])
        } else {
            address4(&quoted[12..16])
        };
        assert_eq!(from, host(v6, 1));
        // It comes.
        node.underlay.push((absent, STRANGER_MAC));
        for _ in 0..20 {
            node.advance(SECOND);
            node.pump();
        }
        node.take();
        let _ = node.send(&p(1), &packet);
        assert_eq!(mac(&node.one(&p(1), &packet, UPLINK)[..6]), STRANGER_MAC);
    }
}

#[test]
fn who_asks_for_our_address_gets_its_first_answer() {
    use crate::lab::bytes::{arp, solicitation};
    for v6 in FAMILIES {
        let mut node = open_site();
        let question = match (stranger(v6), floating(v6)) {
            (IpAddr::V4(own), IpAddr::V4(target)) => arp(Mac::BROADCAST, 1, (STRANGER_MAC, own), (Mac::ZERO, target)),
            (IpAddr::V6(own), IpAddr::V6(target)) => solicitation((STRANGER_MAC, own), target),
            _ => unreachable!("one family"),
        };
        assert!(node.dp.send(UPLINK, &question));
        node.pump();
        node.take();
        let asked = from_stranger(&Ip::new(stranger(v6), floating(v6)).udp((5000, 53), b"who?"));
        node.one(UPLINK, &asked, &p(1));
        let answer = out_of(1, &Ip::new(host(v6, 1), stranger(v6)).udp((53, 5000), b"me"));
        assert_eq!(mac(&node.one(&p(1), &answer, UPLINK)[..6]), STRANGER_MAC);
    }
}

#[test]
fn fragments_to_a_floating_address_arrive() {
    let mut node = open_site();
    let whole = Ip::new(stranger(false), floating(false)).udp((5000, 53), &[7; 600]);
    // Cut by hand: 24 + 584 bytes behind the header.
    let cut = |offset: u16, more: bool, bytes: &[u8]| {
        let mut packet = [&whole[..20], bytes].concat();
        let length = packet.len() as u16;
        packet[2..4].copy_from_slice(&length.to_be_bytes());
        packet[6..8].copy_from_slice(&((offset / 8) | (u16::from(more) << 13)).to_be_bytes());
        crate::lab::bytes::fix_v4(&mut packet[..20]);
        packet
    };
    let fragments = [cut(0, true, &whole[20..44]), cut(24, false, &whole[44..])];
    for fragment in fragments {
        let out = node.one(UPLINK, &from_stranger(&fragment), &p(1));
        assert_eq!(address4(&out[14 + 16..14 + 20]), host(false, 1));
    }
}

#[test]
fn next_hops_in_the_clear_say_how_they_are() {
    use vrouter_dataplane::program::Change;
    let mut node = site();
    node.dp.programmer.changes();
    node.put(outside());
    let status = |node: &Node, id| node.dp.programmer.snapshot().next_hop_status_of(id).unwrap();
    assert!(status(&node, ON_LINK).resolved);
    assert_eq!(status(&node, ON_LINK).mtu, 1500);
    for (v6, id) in FAMILIES.into_iter().zip(BY_ROUTER) {
        assert!(!status(&node, id).resolved);
        node.underlay.push((router(v6), ROUTER_MAC));
    }
    for _ in 0..10 {
        node.advance(SECOND);
        node.pump();
    }
    let changes = node.dp.programmer.changes();
    for (v6, id) in FAMILIES.into_iter().zip(BY_ROUTER) {
        let status = status(&node, id);
        assert!(
            status.resolved && status.detail.contains(&router(v6).to_string()),
            "{status:?}"
        );
        assert!(changes.contains(&Change::NextHop(id)));
    }
}

#[test]
fn addresses_that_the_host_needs_are_refused() {
    let mut node = open_site();
    for (v6, own) in FAMILIES.into_iter().zip(["192.0.2.1", "2001:db8::1"]) {
        let sources = if v6 { "fd00:2::/64" } else { "10.2.0.0/24" };
        let operation = Operation::Put(source_nat(50, sources, ip(own)));
        let problems = node.apply(&[operation]).unwrap_err();
        assert!(
            problems[0].message.contains("tunnel address"),
            "{}",
            problems[0].message
        );
    }
}
