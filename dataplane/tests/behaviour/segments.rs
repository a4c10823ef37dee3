//! TCP packets that are larger than their path are cut into segments that fit.

use std::net::IpAddr;

use vrouter_dataplane::{
    packet::DropReason,
    program::object::{Attachment, BridgeSpec, MacSpec, Object, PortSpec},
};

use crate::{
    lab::{
        bytes::{Ip, framed, pseudo, sum},
        node::{Node, UPLINK},
        objects::{bridge_spec, ip, port_spec, station, to_port, vxlan},
        outer::{decode, word},
        settings,
    },
    site::{
        FAMILIES, MPLS4, MPLS6, REMOTE, VXLAN4, VXLAN6, behind, from_one, furnish, host, icmp_error, out_of, p, remote,
        routed_port,
    },
};

const ACK: u8 = 0x10;
const PSH: u8 = 0x08;
const FIN: u8 = 0x01;
const CWR: u8 = 0x80;

/// Inner MTU of each tunnel over an underlay of 1500 bytes.
const MTU: [(u64, usize); 4] = [(VXLAN4, 1450), (VXLAN6, 1430), (MPLS4, 1468), (MPLS6, 1448)];

/// The site, with frames that hold large packets.
fn site() -> Node {
    furnish(Node::with(&settings(), 1024, 32768))
}

fn segmented(node: &Node) -> u64 {
    node.dp.shared.counters.iter().map(|c| c.segmented.get()).sum()
}

fn data(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 31 + i / 256) as u8).collect()
}

/// Puts the data of segments together. Each must be right, and like the first but for what counts up.
fn assemble(segments: &[Vec<u8>], ip: &Ip, ports: (u16, u16), start: u32) -> (Vec<u8>, Vec<u8>) {
    let v6 = ip.source.is_ipv6();
    let l4 = if v6 { 40 } else { 20 };
    let (mut data, mut flags) = (Vec::new(), Vec::new());
    for (index, segment) in segments.iter().enumerate() {
        let tcp = &segment[l4..];
        if v6 {
            assert_eq!(usize::from(word(segment, 4)), tcp.len());
            assert_eq!((segment[6], segment[7]), (6, 63));
        } else {
            assert_eq!(usize::from(word(segment, 2)), segment.len());
            assert_eq!(sum(&[&segment[..20]]), 0xffff, "header checksum");
            assert_eq!((segment[8], segment[9]), (63, 6), "one hop each");
            assert_eq!(word(segment, 6), ip.fragment);
            assert_eq!(word(segment, 4), ip.id.wrapping_add(index as u16));
        }
        let pseudo = pseudo(ip.source, ip.destination, 6, tcp.len());
        assert_eq!(sum(&[&pseudo, tcp]), 0xffff, "TCP checksum");
        assert_eq!((word(tcp, 0), word(tcp, 2)), ports);
        let sequence = u32::from_be_bytes(tcp[4..8].try_into().unwrap());
        assert_eq!(sequence, start.wrapping_add(data.len() as u32));
        flags.push(tcp[13]);
        data.extend(&tcp[20..]);
    }
    (data, flags)
}

#[test]
fn large_segments_leave_by_each_tunnel_as_segments_that_fit() {
    let mut node = site();
    for v6 in FAMILIES {
        for (tunnel, mtu) in MTU {
            for df in [false, true] {
                let mut ip = from_one(v6, behind(v6, tunnel));
                (ip.id, ip.fragment) = (0xfffe, if df { 0x4000 } else { 0 });
                let packet = ip.segment((1, 2), (u32::MAX - 5000, 7), ACK | PSH | FIN | CWR, &data(30_000));
                let sent = node.send(&p(1), &out_of(1, &packet));
                assert!(sent.iter().all(|(interface, _)| interface == UPLINK));
                let outers: Vec<_> = sent.iter().map(|(_, frame)| decode(frame)).collect();
                assert!(
                    outers.iter().all(|outer| outer.entropy == outers[0].entropy),
                    "one path"
                );
                let strip = if tunnel == VXLAN4 || tunnel == VXLAN6 { 14 } else { 0 };
                let segments: Vec<_> = outers.iter().map(|outer| outer.inner[strip..].to_vec()).collect();
                let room = mtu - if v6 { 60 } else { 40 };
                assert_eq!(segments.len(), 30_000_usize.div_ceil(room));
                assert!(
                    segments[..segments.len() - 1]
                        .iter()
                        .all(|segment| segment.len() == mtu)
                );
                let (got, flags) = assemble(&segments, &ip, (1, 2), u32::MAX - 5000);
                assert_eq!(got, data(30_000));
                let (last, before) = flags.split_last().unwrap();
                assert_eq!((before[0], *last), (ACK | CWR, ACK | PSH | FIN));
                assert!(before[1..].iter().all(|flags| *flags == ACK));
            }
        }
    }
    assert_eq!(segmented(&node), 16);
}

#[test]
fn a_port_with_a_small_mtu_gets_segments() {
    let mut node = site();
    node.put([Object::Port(PortSpec {
        mtu: 1300,
        ..routed_port(2)
    })]);
    for v6 in FAMILIES {
        let ip = from_one(v6, host(v6, 2));
        let sent = node.send(&p(1), &out_of(1, &ip.segment((1, 2), (9, 7), ACK, &data(5000))));
        assert!(
            sent.iter()
                .all(|(interface, frame)| *interface == p(2) && frame.len() <= 1314)
        );
        let segments: Vec<_> = sent.iter().map(|(_, frame)| frame[14..].to_vec()).collect();
        assert_eq!(assemble(&segments, &ip, (1, 2), 9).0, data(5000));
    }
}

#[test]
fn checksums_left_to_be_completed_are_completed_and_wrong_ones_found() {
    let mut node = site();
    for v6 in FAMILIES {
        let ip = from_one(v6, behind(v6, VXLAN4));
        let right = node.send(&p(1), &out_of(1, &ip.tcp((1, 2), ACK, &[], &data(20_000))));
        let partial = node.send(&p(1), &out_of(1, &ip.tcp_partial((1, 2), ACK, &[], &data(20_000))));
        assert_eq!(right, partial);
        for at in [60, 10_000, 20_000] {
            let mut damaged = out_of(1, &ip.tcp((1, 2), ACK, &[], &data(20_000)));
            damaged[at] ^= 1;
            node.dropped(&p(1), &damaged, DropReason::BadTransportChecksum);
        }
    }
    assert_eq!(segmented(&node), 4);
}

#[test]
fn what_cannot_be_cut_is_told_the_size_that_fits() {
    let mut node = site();
    for v6 in FAMILIES {
        let ip = from_one(v6, behind(v6, VXLAN4)).dont_fragment();
        // A reset, urgent data, a datagram.
        let packets = [
            ip.tcp((1, 2), ACK | 0x20, &[], &data(5000)),
            ip.tcp((1, 2), 0x04, &[], &data(5000)),
            ip.udp((1, 2), &data(5000)),
        ];
        for packet in packets {
            let error = node.one(&p(1), &out_of(1, &packet), &p(1));
            assert_eq!(icmp_error(&error).3, 1450);
        }
    }
    assert_eq!(segmented(&node), 0);
}

/// As many segments as a whole batch of large packets makes find room on their way out.
#[test]
fn a_batch_of_large_packets_leaves_whole() {
    let mut node = site();
    for number in 0..40 {
        let packet =
            from_one(number % 2 == 1, behind(number % 2 == 1, VXLAN4)).tcp((number, 2), ACK, &[], &data(20_000));
        assert!(node.dp.send(&p(1), &out_of(1, &packet)));
    }
    node.pump();
    node.check();
    let sent = node.take();
    assert_eq!(sent.len(), 40 * 15, "{:?}", node.drops());
    assert_eq!(segmented(&node), 40);
}

#[test]
fn when_frames_run_out_the_rest_is_dropped_and_counted() {
    for v6 in FAMILIES {
        let mut node = site();
        // Most of the pool waits to be received.
        let mut sent = 0;
        let packet = out_of(
            1,
            &from_one(v6, behind(v6, VXLAN4)).tcp((1, 2), ACK, &[], &data(30_000)),
        );
        while sent < 950 && node.dp.send(&p(1), &packet) {
            sent += 1;
        }
        node.pump();
        node.check();
        assert!(node.count(DropReason::NoFrame) > 0);
        assert_eq!(segmented(&node), sent);
        node.take();
        // All are back.
        assert_eq!(node.send(&p(1), &packet).len(), 22);
    }
}

#[test]
fn frames_of_a_bridge_are_cut_as_well() {
    let mut node = Node::with(&settings(), 1024, 32768);
    node.underlay = vec![(remote(false), REMOTE)];
    let (near, far) = (station(2), station(9));
    node.put([
        Object::Bridge(BridgeSpec {
            learn: false,
            ..bridge_spec(1)
        }),
        Object::Port(port_spec(1, Attachment::Bridge(1))),
        Object::Port(port_spec(2, Attachment::Bridge(1))),
        vxlan(5, remote(false), 77),
        to_port(12, 2),
        Object::Mac(MacSpec {
            bridge: 1,
            mac: far,
            next_hop: 5,
        }),
        Object::Mac(MacSpec {
            bridge: 1,
            mac: near,
            next_hop: 12,
        }),
    ]);
    for v6 in FAMILIES {
        let (source, destination): (IpAddr, IpAddr) = if v6 {
            (ip("fd00::1"), ip("fd00::2"))
        } else {
            (ip("10.0.0.1"), ip("10.0.0.2"))
        };
        // A switch is no hop.
        let header = Ip::new(source, destination).hop_limit(63);
        let packet = header.segment((1, 2), (9, 7), ACK, &data(20_000));
        for (to, mtu, interface) in [(near, 1500, p(2)), (far, 1450, UPLINK.to_string())] {
            let sent = node.send(&p(1), &framed(to, station(1), &packet));
            assert!(sent.iter().all(|(out, _)| *out == interface), "{:?}", node.drops());
            let frames = sent.into_iter().map(|(_, frame)| match interface == UPLINK {
                true => decode(&frame).inner,
                false => frame,
            });
            let frames: Vec<_> = frames.collect();
            assert!(
                frames
                    .iter()
                    .all(|frame| frame[..6] == to.0 && frame[6..12] == station(1).0)
            );
            let segments: Vec<_> = frames.iter().map(|frame| frame[14..].to_vec()).collect();
            assert!(segments.iter().all(|segment| segment.len() <= mtu));
            assert_eq!(assemble(&segments, &header, (1, 2), 9).0, data(20_000));
        }
        let mut damaged = framed(far, station(1), &packet);
        damaged[9000] ^= 1;
        node.dropped(&p(1), &damaged, DropReason::BadTransportChecksum);
        let datagram = framed(far, station(1), &header.udp((1, 2), &data(5000)));
        node.dropped(&p(1), &datagram, DropReason::TooBig);
    }
    assert_eq!(segmented(&node), 4);
}
