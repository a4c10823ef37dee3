//! Packets larger than their path: too big, fragments, clamped segments.

use vrouter_dataplane::{
    packet::DropReason,
    program::object::{Object, PortSpec},
};

use crate::{
    lab::{
        bytes::{Ip, pseudo, sum},
        node::UPLINK,
        outer::{Shim, decode, encode, word},
    },
    site::{
        FAMILIES, MPLS4, MPLS6, REMOTE, VXLAN4, VXLAN6, behind, from_one, gateway, host, icmp_error, into, out_of, p,
        remote, routed_port, site,
    },
};

/// MTU of each tunnel over an underlay of 1500 bytes.
const MTU: [(u64, usize); 4] = [(VXLAN4, 1450), (VXLAN6, 1430), (MPLS4, 1468), (MPLS6, 1448)];

/// A packet of this many bytes from its IP header on, not to be fragmented.
fn packet_of(ip: &Ip, size: usize) -> Vec<u8> {
    let header = if ip.source.is_ipv6() { 48 } else { 28 };
    ip.clone().dont_fragment().udp((1, 2), &vec![5; size - header])
}

#[test]
fn too_big_says_the_mtu_of_each_tunnel() {
    let mut node = site();
    for v6 in FAMILIES {
        for (tunnel, mtu) in MTU {
            let ip = from_one(v6, behind(v6, tunnel));
            let fits = node.one(&p(1), &out_of(1, &packet_of(&ip, mtu)), UPLINK);
            assert_eq!(fits.len(), 1514, "the largest inner packet fills the underlay");
            let error = node.one(&p(1), &out_of(1, &packet_of(&ip, mtu + 1)), &p(1));
            let (source, kind, code, word, _) = icmp_error(&error);
            assert_eq!(source, gateway(v6));
            assert_eq!((kind, code), if v6 { (2, 0) } else { (3, 4) });
            assert_eq!(word as usize, mtu, "next hop {tunnel}");
        }
    }
    assert_eq!(node.count(DropReason::TooBig), 8);
}

#[test]
fn too_big_for_a_port_says_the_mtu_of_the_port() {
    let mut node = site();
    node.put([Object::Port(PortSpec {
        mtu: 1300,
        ..routed_port(2)
    })]);
    for v6 in FAMILIES {
        let ip = from_one(v6, host(v6, 2));
        node.one(&p(1), &out_of(1, &packet_of(&ip, 1300)), &p(2));
        let error = node.one(&p(1), &out_of(1, &packet_of(&ip, 1301)), &p(1));
        assert_eq!(icmp_error(&error).3, 1300);
    }
}

/// Puts fragments of an IPv4 packet together.
fn reassemble(fragments: &[Vec<u8>]) -> Vec<u8> {
    let mut payload = Vec::new();
    for (index, fragment) in fragments.iter().enumerate() {
        assert_eq!(sum(&[&fragment[..20]]), 0xffff, "header checksum");
        assert_eq!(usize::from(word(fragment, 2)), fragment.len());
        let (offset, more) = (usize::from(word(fragment, 6) & 0x1fff) * 8, fragment[6] & 0x20 != 0);
        assert_eq!((offset, more), (payload.len(), index + 1 < fragments.len()));
        payload.extend(&fragment[20..]);
    }
    payload
}

#[test]
fn ipv4_without_df_goes_on_in_fragments_by_one_path() {
    let mut node = site();
    for (tunnel, mtu) in MTU {
        let mut ip = from_one(false, behind(false, tunnel));
        ip.id = 77;
        let packet = ip.udp((1, 2), &[6; 1472]);
        let sent = node.send(&p(1), &out_of(1, &packet));
        assert_eq!(sent.len(), 2);
        let outers: Vec<_> = sent.iter().map(|(_, frame)| decode(frame)).collect();
        assert_eq!(outers[0].entropy, outers[1].entropy, "all fragments take one path");
        let strip = if tunnel == VXLAN4 || tunnel == VXLAN6 { 14 } else { 0 };
        let fragments: Vec<_> = outers.iter().map(|outer| outer.inner[strip..].to_vec()).collect();
        assert!(
            fragments
                .iter()
                .all(|f| f.len() <= mtu && f[8] == 63 && word(f, 4) == 77)
        );
        assert_eq!(reassemble(&fragments), packet[20..]);
    }
    let counted: u64 = node.dp.shared.counters.iter().map(|c| c.fragmented.get()).sum();
    assert_eq!(counted, 4);
}

/// The MSS in a TCP packet whose only option it is; its checksum must be right.
fn mss(packet: &[u8], ip: &Ip) -> u16 {
    let l4 = if ip.source.is_ipv6() { 40 } else { 20 };
    let segment = &packet[l4..];
    let pseudo = pseudo(ip.source, ip.destination, 6, segment.len());
    assert_eq!(sum(&[&pseudo, segment]), 0xffff, "TCP checksum");
    word(segment, 22)
}

/// A packet of a workload elsewhere, as it comes by VXLAN over IPv4.
fn tunnelled(packet: &[u8]) -> Vec<u8> {
    encode(
        (crate::lab::node::UPLINK_MAC, REMOTE),
        remote(false),
        crate::lab::node::VTEP4.into(),
        0,
        Shim::Vxlan { vni: 1001 },
        &out_of(9, packet),
    )
}

#[test]
fn a_port_for_large_packets_is_offered_many_segments_of_the_path_behind() {
    let mut node = site();
    node.put([Object::Port(PortSpec {
        mtu: 60_000,
        ..routed_port(2)
    })]);
    node.put([crate::lab::objects::vni(
        1001,
        vrouter_dataplane::program::object::VniTo::Vrf(1),
    )]);
    for v6 in FAMILIES {
        // The path carries 1450 bytes; all but the headers and the timestamps are data.
        let (full, unit) = if v6 { (1390_u16, 1378) } else { (1410, 1398) };
        let ip = Ip::new(behind(v6, VXLAN4), host(v6, 2));
        for flags in [0x02, 0x12] {
            for (said, told) in [
                (full, 16 * unit + 12),
                (9000, 16 * unit + 12),
                (full - 1, full - 1),
                (536, 536),
            ] {
                let [high, low] = said.to_be_bytes();
                let syn = tunnelled(&ip.tcp((1, 2), flags, &[2, 4, high, low], b""));
                assert_eq!(mss(&node.one(UPLINK, &syn, &p(2))[14..], &ip), told, "{said}");
            }
        }
        // From a neighbour with an ordinary port, as many of its segments.
        let ip = from_one(v6, host(v6, 2));
        let syn = ip.tcp((1, 2), 0x02, &[2, 4, 0x05, 0xb4], b"");
        let unit = if v6 { 1428 } else { 1448 };
        assert_eq!(
            mss(&node.one(&p(1), &out_of(1, &syn), &p(2))[14..], &ip),
            16 * unit + 12
        );
    }
}

#[test]
fn mss_is_clamped_on_syn_and_syn_ack_in_both_directions() {
    const OFFER: [u8; 4] = [2, 4, 0x23, 0x28]; // 9000
    let mut node = site();
    node.put([Object::Port(PortSpec {
        mtu: 1300,
        ..routed_port(2)
    })]);
    node.put([crate::lab::objects::vni(
        1001,
        vrouter_dataplane::program::object::VniTo::Vrf(1),
    )]);
    for v6 in FAMILIES {
        let headers = if v6 { 60 } else { 40 };
        for flags in [0x02, 0x12] {
            for (tunnel, mtu) in MTU {
                let ip = from_one(v6, behind(v6, tunnel));
                let outer = decode(&node.one(&p(1), &out_of(1, &ip.tcp((1, 2), flags, &OFFER, b"")), UPLINK));
                let strip = if matches!(outer.shim, Shim::Vxlan { .. }) {
                    14
                } else {
                    0
                };
                assert_eq!(mss(&outer.inner[strip..], &ip), mtu as u16 - headers);
            }
            // To a port, from its neighbour and from a tunnel.
            let ip = from_one(v6, host(v6, 2));
            let got = node.one(&p(1), &out_of(1, &ip.tcp((1, 2), flags, &OFFER, b"")), &p(2));
            assert_eq!(mss(&got[14..], &ip), 1300 - headers);
            let ip = Ip::new(behind(v6, VXLAN4), host(v6, 2));
            let frame = tunnelled(&ip.tcp((1, 2), flags, &OFFER, b""));
            let got = node.one(UPLINK, &frame, &p(2));
            assert_eq!(mss(&got[14..], &ip), 1300 - headers);
            // What is small enough stays, and data segments are not touched.
            let small = from_one(v6, host(v6, 2)).tcp((1, 2), flags, &[2, 4, 2, 0], b"");
            assert_eq!(
                mss(
                    &node.one(&p(1), &out_of(1, &small), &p(2))[14..],
                    &from_one(v6, host(v6, 2))
                ),
                512
            );
        }
        let ip = from_one(v6, host(v6, 2));
        let data = node.one(&p(1), &out_of(1, &ip.tcp((1, 2), 0x10, &OFFER, b"")), &p(2));
        assert_eq!(mss(&data[14..], &ip), 9000);
    }
}

#[test]
fn what_the_router_says_itself_fits_its_path_too() {
    let mut node = site();
    // The answer to a large ping goes back by a smaller path than the question came.
    node.put([Object::Port(PortSpec {
        mtu: 1000,
        ..routed_port(1)
    })]);
    let ping = from_one(false, gateway(false)).ping(7, &[1; 1200]);
    let sent = node.send(&p(1), &out_of(1, &ping));
    let fragments: Vec<_> = sent.iter().map(|(_, frame)| frame[14..].to_vec()).collect();
    assert!(fragments.len() == 2 && fragments.iter().all(|f| f.len() <= 1000));
    assert_eq!(reassemble(&fragments)[8..], [1; 1200]);
    let ping = from_one(true, gateway(true)).ping(7, &[1; 1200]);
    node.dropped(&p(1), &out_of(1, &ping), DropReason::TooBig);
    let small = from_one(true, gateway(true)).ping(7, b"");
    let reply = Ip::new(gateway(true), host(true, 1)).icmp(129, 0, &[0, 7, 0, 1]);
    assert_eq!(node.one(&p(1), &out_of(1, &small), &p(1)), into(1, &reply));
}
