//! Fragments on their way: ports of their head, waiting, quotas, contradictions.

use vrouter_dataplane::packet::DropReason;

use crate::{
    lab::{
        bytes::Ip,
        node::{Node, SECOND, UPLINK, UPLINK_MAC, VTEP4},
        objects::vni,
        outer::{Shim, decode, encode},
    },
    site::{FAMILIES, REMOTE, VRF, VXLAN4, behind, from_one, host, out_of, p, remote, site},
};
use vrouter_dataplane::program::object::VniTo;

/// A UDP datagram of 48 bytes of payload, from these ports, in fragments: of 24 bytes, 24, and 8.
fn cut(ip: &Ip, ports: (u16, u16), id: u16) -> [Vec<u8>; 3] {
    let header = if ip.source.is_ipv6() { 40 } else { 20 };
    let datagram = ip.udp(ports, &[7; 48])[header..].to_vec();
    [(0_u16, 24), (24, 48), (48, 56)].map(|(from, to)| piece(ip, id, from, &datagram[usize::from(from)..to], to < 56))
}

fn piece(ip: &Ip, id: u16, offset: u16, part: &[u8], more: bool) -> Vec<u8> {
    let mut ip = ip.clone();
    if ip.source.is_ipv6() {
        let field = (offset | u16::from(more)).to_be_bytes();
        let id = id.to_be_bytes();
        return ip.packet(44, &[&[17, 0, field[0], field[1], 0, 0, id[0], id[1]], part].concat());
    }
    ip.id = id;
    ip.fragment = (offset / 8) | (u16::from(more) << 13);
    ip.packet(17, part)
}

fn counts(node: &Node) -> (u64, u64, u64) {
    let sum = |of: fn(&vrouter_dataplane::pipeline::counters::Counters) -> u64| {
        node.dp.shared.counters.iter().map(of).sum::<u64>()
    };
    (
        sum(|c| c.fragment_datagrams.get()),
        sum(|c| c.fragments_held.get()),
        sum(|c| c.fragments_tracked.get()),
    )
}

#[test]
fn fragments_take_the_path_of_whole_packets_of_their_flow() {
    let mut node = site();
    for v6 in FAMILIES {
        let ip = from_one(v6, behind(v6, VXLAN4));
        let mut seen = std::collections::BTreeSet::new();
        for port in 1..20 {
            let whole = decode(&node.one(&p(1), &out_of(1, &ip.udp((port, 2), b"x")), UPLINK)).entropy;
            for fragment in cut(&ip, (port, 2), port) {
                assert_eq!(decode(&node.one(&p(1), &out_of(1, &fragment), UPLINK)).entropy, whole);
            }
            seen.insert(whole);
        }
        assert!(seen.len() > 15, "flows are told apart by ports");
    }
}

#[test]
fn early_fragments_wait_and_follow_their_head() {
    let mut node = site();
    for v6 in FAMILIES {
        let ip = from_one(v6, host(v6, 2));
        let tracked = counts(&node).2;
        let [head, middle, last] = cut(&ip, (1, 2), 5);
        assert_eq!(node.send(&p(1), &out_of(1, &last)), []);
        assert_eq!(node.send(&p(1), &out_of(1, &middle)), []);
        assert_eq!(counts(&node), (1, 2, tracked + 1));
        let out = node.send(&p(1), &out_of(1, &head));
        let sizes: Vec<_> = out.iter().map(|(_, frame)| frame.len()).collect();
        let fixed = if v6 { 14 + 40 + 8 } else { 14 + 20 };
        assert_eq!(sizes, [fixed + 24, fixed + 8, fixed + 24]);
        assert!(out.iter().all(|(interface, _)| *interface == p(2)));
        assert_eq!(counts(&node), (0, 0, tracked + 1));
    }
}

#[test]
fn fragments_out_of_tunnels_wait_too() {
    let mut node = site();
    node.put([vni(1001, VniTo::Vrf(VRF))]);
    for v6 in FAMILIES {
        let ip = Ip::new(behind(v6, VXLAN4), host(v6, 1));
        let wrapped = cut(&ip, (1, 2), 5).map(|packet| {
            let inner = crate::lab::bytes::framed(vrouter_dataplane::wire::Mac::GATEWAY, REMOTE, &packet);
            encode(
                (UPLINK_MAC, REMOTE),
                remote(false),
                VTEP4.into(),
                0,
                Shim::Vxlan { vni: 1001 },
                &inner,
            )
        });
        assert_eq!(node.send(UPLINK, &wrapped[1]), []);
        assert_eq!(node.send(UPLINK, &wrapped[0]).len(), 2);
        assert_eq!(node.send(UPLINK, &wrapped[2]).len(), 1);
    }
}

#[test]
fn a_head_that_does_not_come_is_not_waited_for_for_ever() {
    let mut node = site();
    for v6 in FAMILIES {
        let [head, middle, _] = cut(&from_one(v6, host(v6, 2)), (1, 2), 5);
        assert_eq!(node.send(&p(1), &out_of(1, &middle)), []);
        let before = node.count(DropReason::FragmentTimeout);
        node.advance(5 * SECOND - 1);
        node.pump();
        assert_eq!((node.held(), node.count(DropReason::FragmentTimeout)), (1, before));
        node.advance(1);
        node.pump();
        node.check();
        assert_eq!((node.held(), node.count(DropReason::FragmentTimeout)), (0, before + 1));
        // Late, it goes alone.
        node.one(&p(1), &out_of(1, &head), &p(2));
        node.advance(6 * SECOND);
        node.pump();
        assert_eq!(counts(&node).0, 0);
    }
}

#[test]
fn contradictions_lose_the_datagram() {
    let mut node = site();
    for v6 in FAMILIES {
        let ip = from_one(v6, host(v6, 2));
        let [head, middle, last] = cut(&ip, (1, 2), 5);
        assert_eq!(node.send(&p(1), &out_of(1, &middle)), []);
        let before = node.count(DropReason::FragmentOverlap);
        // Eight bytes of it again, with other content.
        let again = piece(&ip, 5, 40, &[9; 16], true);
        assert_eq!(node.send(&p(1), &out_of(1, &again)), []);
        assert_eq!((node.held(), node.count(DropReason::FragmentOverlap)), (0, before + 2));
        for late in [head, last] {
            node.dropped(&p(1), &out_of(1, &late), DropReason::FragmentOverlap);
        }
        let nothing = piece(&ip, 6, 40, &[], true);
        node.dropped(&p(1), &out_of(1, &nothing), DropReason::BadFragment);
    }
    // Where the flags of TCP would be (RFC 1858).
    let mut tiny = from_one(false, host(false, 2));
    tiny.fragment = 0x2001;
    node.dropped(
        &p(1),
        &out_of(1, &tiny.packet(6, &[0; 16])),
        DropReason::FragmentOverlap,
    );
}

#[test]
fn a_port_that_floods_with_fragments_harms_itself_only() {
    let mut node = site();
    for v6 in FAMILIES {
        let [head, middle, _] = cut(&Ip::new(host(v6, 2), host(v6, 1)), (1, 2), 7);
        assert_eq!(node.send(&p(2), &out_of(2, &middle)), []);
        let before = node.count(DropReason::FragmentQuota);
        for id in 0..500 {
            let [_, middle, _] = cut(&from_one(v6, host(v6, 2)), (1, 2), id);
            assert_eq!(node.send(&p(1), &out_of(1, &middle)), []);
        }
        assert!(node.held() <= 17, "{} are held", node.held());
        assert_eq!(node.count(DropReason::FragmentQuota) - before, 501 - node.held());
        assert_eq!(
            node.send(&p(2), &out_of(2, &head)).len(),
            2,
            "the other port's datagram is untouched"
        );
        node.advance(6 * SECOND);
        node.pump();
        node.check();
        assert_eq!(node.held(), 0);
    }
}

#[test]
fn a_port_that_goes_away_takes_its_fragments_along() {
    use vrouter_dataplane::program::object::{Key, Operation};
    let mut node = site();
    let [_, middle, _] = cut(&from_one(false, host(false, 2)), (1, 2), 7);
    assert_eq!(node.send(&p(1), &out_of(1, &middle)), []);
    let keys = [
        crate::lab::objects::route_key(VRF, &crate::site::all_of(host(false, 1))),
        crate::lab::objects::route_key(VRF, &crate::site::all_of(host(true, 1))),
        Key::NextHop(11),
        Key::Port(1),
    ];
    node.apply(&keys.map(Operation::Delete)).unwrap();
    assert_eq!(node.held(), 0);
    assert_eq!(node.dp.pool.free(), node.dp.pool.total() as usize);
}

#[test]
fn fragmented_pings_pass_whole() {
    let mut node = site();
    for v6 in FAMILIES {
        let ip = from_one(v6, host(v6, 2));
        let (header, proto) = if v6 { (40, 58) } else { (20, 1) };
        let message = ip.ping(9, &[1; 40])[header..].to_vec();
        let cut = |offset: u16, part: &[u8], more: bool| {
            let mut packet = piece(&ip, 3, offset, part, more);
            if v6 {
                packet[40] = proto;
            } else {
                packet[9] = proto;
                crate::lab::bytes::fix_v4(&mut packet);
            }
            packet
        };
        assert_eq!(node.send(&p(1), &out_of(1, &cut(24, &message[24..], false))), []);
        assert_eq!(node.send(&p(1), &out_of(1, &cut(0, &message[..24], true))).len(), 2);
    }
}
