//! The underlay: neighbours that move, that never answer; packets that are not for us.

use std::net::IpAddr;

use vrouter_dataplane::{
    packet::DropReason,
    program::object::{Attachment, BridgeSpec, LabelTo, Object, VniTo},
    wire::Mac,
};

use crate::{
    lab::{
        bytes::{Ip, advertisement, arp, ethernet, framed},
        node::{Node, SECOND, UPLINK, UPLINK_MAC, VTEP4, VTEP6},
        objects::{bridge_spec, flood, label, mpls, port_spec, route, station, vni, vxlan},
        outer::{Shim, decode, encode, fill_udp_checksum},
    },
    site::{
        FAMILIES, MPLS4, MPLS6, REMOTE, VRF, VXLAN4, VXLAN6, all_of, behind, from_one, gateway, host, icmp_error, into,
        out_of, p, remote, site,
    },
};

fn own(v6: bool) -> IpAddr {
    if v6 { VTEP6.into() } else { VTEP4.into() }
}

#[test]
fn a_neighbor_that_moves_changes_the_outer_mac_at_once() {
    const NEW: Mac = Mac([2, 5, 0, 0, 0, 9]);
    let mut node = site();
    for v6 in FAMILIES {
        let tunnels = if v6 { [VXLAN6, MPLS6] } else { [VXLAN4, MPLS4] };
        let packet = |tunnel| out_of(1, &from_one(v6, behind(v6, tunnel)).udp((1, 2), b"x"));
        for tunnel in tunnels {
            assert_eq!(
                decode(&node.one(&p(1), &packet(tunnel), UPLINK)).macs,
                (REMOTE, UPLINK_MAC)
            );
        }
        // It says so: gratuitous ARP, unsolicited advertisement.
        let said = match (remote(v6), "ff02::1".parse().unwrap()) {
            (IpAddr::V4(address), _) => arp(Mac::BROADCAST, 1, (NEW, address), (Mac::ZERO, address)),
            (IpAddr::V6(address), all) => advertisement(NEW, address, (Mac([0x33, 0x33, 0, 0, 0, 1]), all), 0x20),
        };
        node.underlay
            .iter_mut()
            .filter(|(a, _)| *a == remote(v6))
            .for_each(|(_, mac)| *mac = NEW);
        assert_eq!(node.send(UPLINK, &said), []);
        for tunnel in tunnels {
            let outer = decode(&node.one(&p(1), &packet(tunnel), UPLINK));
            assert_eq!((outer.macs, outer.destination), ((NEW, UPLINK_MAC), remote(v6)));
        }
    }
}

#[test]
fn an_unresolved_tunnel_is_a_reason_and_an_error() {
    for v6 in FAMILIES {
        for underlay_v6 in FAMILIES {
            let mut node = site();
            let absent = crate::lab::objects::ip(if underlay_v6 { "2001:db8::99" } else { "192.0.2.99" });
            node.put([vxlan(50, absent, 1001), mpls(51, absent, 77)]);
            node.put([50, 51].map(|t| route(VRF, &all_of(behind(v6, t)), t)));
            for tunnel in [50, 51] {
                let packet = out_of(1, &from_one(v6, behind(v6, tunnel)).udp((1, 2), b"x"));
                let error = node.one(&p(1), &packet, &p(1));
                let (source, kind, code, _, _) = icmp_error(&error);
                assert_eq!(
                    (source, kind, code),
                    if v6 { (gateway(v6), 1, 3) } else { (gateway(v6), 3, 1) }
                );
            }
            assert_eq!(node.count(DropReason::UnderlayUnresolved), 2);
            // It appears: it was still asked for, and the next packet goes.
            node.underlay.push((absent, Mac([2, 5, 0, 0, 0, 7])));
            for _ in 0..10 {
                node.advance(SECOND);
                node.pump();
            }
            let packet = out_of(1, &from_one(v6, behind(v6, 50)).udp((1, 2), b"x"));
            assert_eq!(
                decode(&node.one(&p(1), &packet, UPLINK)).macs.0,
                Mac([2, 5, 0, 0, 0, 7])
            );
        }
    }
}

#[test]
fn a_bridge_drops_what_has_no_way_and_floods_the_others() {
    let mut node = site();
    node.put([
        vxlan(50, crate::lab::objects::ip("192.0.2.99"), 2001),
        vxlan(51, remote(true), 2001),
        flood(60, &[50, 51]),
    ]);
    node.put([
        Object::Bridge(BridgeSpec {
            flood: Some(60),
            ..bridge_spec(1)
        }),
        vni(2001, VniTo::Bridge(1)),
    ]);
    node.put([Object::Port(port_spec(3, Attachment::Bridge(1)))]);
    let frame = ethernet(Mac::BROADCAST, station(3), 0x88b5, &[3; 50]);
    assert_eq!(decode(&node.one(&p(3), &frame, UPLINK)).inner, frame);
    assert_eq!(node.count(DropReason::UnderlayUnresolved), 1);
}

#[test]
fn what_is_unknown_is_dropped() {
    let mut node = site();
    node.put([vni(1001, VniTo::Vrf(VRF)), label(501, LabelTo::Vrf(VRF))]);
    for v6 in FAMILIES {
        let packet = Ip::new(behind(v6, VXLAN4), host(v6, 1)).udp((1, 2), b"x");
        let inner = out_of(9, &packet);
        for underlay_v6 in FAMILIES {
            let macs = (UPLINK_MAC, REMOTE);
            let vxlan_of = |vni, to, inner: &[u8]| encode(macs, remote(underlay_v6), to, 0, Shim::Vxlan { vni }, inner);
            let mpls_of = |label| {
                encode(
                    macs,
                    remote(underlay_v6),
                    own(underlay_v6),
                    0,
                    Shim::Mpls { label, tc: 0, ttl: 9 },
                    &packet,
                )
            };
            let good = vxlan_of(1001, own(underlay_v6), &inner);
            let delivered = into(
                1,
                &Ip::new(behind(v6, VXLAN4), host(v6, 1)).hop_limit(63).udp((1, 2), b"x"),
            );
            assert_eq!(node.one(UPLINK, &good, &p(1)), delivered);
            assert_eq!(node.one(UPLINK, &mpls_of(501), &p(1)), delivered);
            node.dropped(
                UPLINK,
                &vxlan_of(1002, own(underlay_v6), &inner),
                DropReason::UnknownVni,
            );
            node.dropped(UPLINK, &mpls_of(502), DropReason::UnknownLabel);
            node.dropped(
                UPLINK,
                &vxlan_of(1001, remote(underlay_v6), &inner),
                DropReason::NotOurVtep,
            );
            let elsewhere = framed(station(1), station(9), &packet);
            node.dropped(
                UPLINK,
                &vxlan_of(1001, own(underlay_v6), &elsewhere),
                DropReason::NotOurMac,
            );
            let at = if underlay_v6 { 62 } else { 42 };
            let mut no_flag = good.clone();
            no_flag[at] = 0;
            node.dropped(UPLINK, &no_flag, DropReason::BadVxlan);
            let mut checked = good.clone();
            fill_udp_checksum(&mut checked);
            assert_eq!(node.one(UPLINK, &checked, &p(1)), delivered, "a right outer checksum");
            checked[at - 1] ^= 1;
            node.dropped(UPLINK, &checked, DropReason::BadOuterChecksum);
            let mut tagged = good.clone();
            tagged.splice(12..12, [0x81, 0, 0, 5]);
            node.dropped(UPLINK, &tagged, DropReason::UnknownVlan);
        }
        node.dropped(UPLINK, &framed(UPLINK_MAC, REMOTE, &packet), DropReason::NotOurVtep);
        node.dropped(
            &p(1),
            &ethernet(Mac::GATEWAY, station(1), 0x8847, &[0; 50]),
            DropReason::UnknownEthertype,
        );
    }
}

#[test]
fn a_workload_cannot_reach_tunnels_from_its_port() {
    // A crafted tunnel packet is a packet like others: routed by its addresses, never opened.
    let mut node: Node = site();
    node.put([vni(1001, VniTo::Vrf(VRF))]);
    for v6 in FAMILIES {
        let inner = out_of(9, &Ip::new(behind(v6, VXLAN4), host(v6, 2)).udp((1, 2), b"x"));
        let crafted = encode(
            (Mac::GATEWAY, station(1)),
            host(v6, 1),
            own(v6),
            0,
            Shim::Vxlan { vni: 1001 },
            &inner,
        );
        let error = node.one(&p(1), &crafted, &p(1));
        assert_eq!(
            icmp_error(&error).1,
            if v6 { 1 } else { 3 },
            "no route to the underlay from a VRF"
        );
    }
    assert_eq!(node.count(DropReason::NoRoute), 2);
}
