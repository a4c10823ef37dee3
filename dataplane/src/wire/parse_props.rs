//! The walk against arbitrary bytes, and against etherparse's reading of generated packets.

use super::tests::{MAC_A, MAC_B, fix4};
use super::*;
use etherparse::SlicedPacket;
use proptest::prelude::*;

/// Frames whose head is likely to lead somewhere, followed by arbitrary bytes.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let types = prop_oneof![
        Just([8u8, 0]),
        Just([0x86, 0xdd]),
        Just([0x81, 0]),
        Just([0x88, 0xa8]),
        any::<[u8; 2]>()
    ];
    let heads = prop_oneof![Just(0x45u8), Just(0x46), Just(0x60), any::<u8>()];
    let nexts = prop_oneof![
        Just(0u8),
        Just(6),
        Just(17),
        Just(43),
        Just(44),
        Just(51),
        Just(58),
        Just(60),
        any::<u8>()
    ];
    (
        types,
        heads,
        nexts,
        proptest::collection::vec(any::<u8>(), 0..200),
        any::<bool>(),
    )
        .prop_map(|(kind, head, next, mut body, fix)| {
            let len = body.len() as u16;
            if body.len() > 20 {
                body[0] = head;
                if head >> 4 == 6 {
                    body[4..6].copy_from_slice(&len.saturating_sub(40).to_be_bytes());
                    body[6] = next;
                } else {
                    body[2..4].copy_from_slice(&len.to_be_bytes());
                    body[9] = next;
                }
            }
            let mut f = [&[2; 12][..], &kind, &body].concat();
            if fix && head == 0x45 && f.len() > 34 {
                fix4(&mut f);
            }
            f
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn never_panics_and_stays_within(frame in any_frame()) {
        for (parsed, len) in [(parse(&frame), frame.len()), (parse_ip(&frame), frame.len())] {
            if let Ok(p) = parsed {
                prop_assert!(p.l3 <= p.l4 && u32::from(p.l4) <= p.end && p.end as usize <= len, "{:?}", p);
                let l4_len = p.end - u32::from(p.l4);
                let least = match (p.kind, p.fragment, p.proto) {
                    (IpKind::None, ..) | (_, Fragment::Later, _) => 0,
                    (_, _, proto::TCP) => 20,
                    (_, _, proto::UDP) => 8,
                    (_, _, proto::SCTP) => 12,
                    _ => 0,
                };
                prop_assert!(l4_len >= least);
            }
        }
    }

    #[test]
    fn what_is_believed_etherparse_believes_too(frame in any_frame()) {
        if let Ok(p) = parse(&frame) {
            if p.kind == IpKind::None || p.is_fragment() || p.flags.has(Flags::V6_EXTENSIONS) || p.proto == proto::AH {
                return Ok(());
            }
            // The UDP length is the receiver's business, not that of a router on the way.
            let udp_len = usize::from(crate::wire::bytes::get_u16(&frame, usize::from(p.l4) + 4));
            if p.proto == proto::UDP && !(8..=p.end as usize - usize::from(p.l4)).contains(&udp_len) {
                return Ok(());
            }
            let e = SlicedPacket::from_ethernet(&frame);
            prop_assert!(e.is_ok(), "{:?}: {:?}", p, e.err());
        }
    }
}

proptest! {
    #[test]
    fn agrees_with_etherparse(
        v6: bool, tcp: bool, vlans in 0usize..3, vid in 1u16..4095, sport: u16, dport: u16, options in 0usize..11,
        fragment in prop_oneof![3 => Just((0u16, false)), 1 => (0u16..100, any::<bool>())],
        extensions: bool, payload in proptest::collection::vec(any::<u8>(), 0..64), pad in 0usize..20,
    ) {
        use etherparse::*;
        let payload = &payload[..payload.len() & !7];
        let mut l4 = Vec::new();
        if tcp {
            TcpHeader::new(sport, dport, 1, 2).write(&mut l4).unwrap();
            l4.extend([0; 4]);
            l4[12] = 0x60;
        } else {
            UdpHeader { source_port: sport, destination_port: dport, length: 8 + payload.len() as u16, checksum: 1 }
                .write(&mut l4).unwrap();
        }
        l4.extend(payload);
        let number = if tcp { IpNumber::TCP } else { IpNumber::UDP };
        let (offset, more) = fragment;
        let mut ip = Vec::new();
        if v6 {
            let mut exts = Ipv6Extensions::default();
            if extensions {
                exts.hop_by_hop_options = Some(Ipv6RawExtHeader::new_raw(IpNumber::UDP, &[1, 4, 0, 0, 0, 0]).unwrap());
                exts.destination_options = Some(Ipv6RawExtHeader::new_raw(IpNumber::UDP, &[1; 14]).unwrap());
            }
            if offset != 0 || more {
                exts.fragment = Some(Ipv6FragmentHeader::new(number, IpFragOffset::try_new(offset).unwrap(), more, 9));
            }
            let next = exts.set_next_headers(number);
            let mut body = Vec::new();
            exts.write(&mut body, next).unwrap();
            body.extend(&l4);
            Ipv6Header { payload_length: body.len() as u16, next_header: next, hop_limit: 3, source: [7; 16],
                destination: [8; 16], ..Default::default() }.write(&mut ip).unwrap();
            ip.extend(body);
        } else {
            let mut h = Ipv4Header::new(l4.len() as u16, 9, number, [1; 4], [2; 4]).unwrap();
            h.options = Ipv4Options::try_from(&vec![1u8; options * 4][..]).unwrap();
            h.set_payload_len(l4.len()).unwrap();
            h.more_fragments = more;
            h.dont_fragment = false;
            h.fragment_offset = IpFragOffset::try_new(offset).unwrap();
            h.header_checksum = h.calc_header_checksum();
            h.write(&mut ip).unwrap();
            ip.extend(&l4);
        }
        let mut frame = [MAC_B, MAC_A].concat();
        for _ in 0..vlans {
            frame.extend([0x81, 0x00]);
            frame.extend(vid.to_be_bytes());
        }
        frame.extend(if v6 { [0x86, 0xdd] } else { [0x08, 0x00] });
        let l3 = frame.len();
        frame.extend(&ip);
        frame.extend(vec![0; pad]);

        let p = parse(&frame).unwrap();
        let e = PacketHeaders::from_ethernet_slice(&frame).unwrap();
        prop_assert_eq!(usize::from(p.l3), l3);
        prop_assert_eq!(p.vlan.map(super::VlanId::get_u16), (vlans > 0).then_some(vid));
        prop_assert_eq!(p.end as usize, l3 + ip.len());
        prop_assert_eq!(p.kind, if v6 { IpKind::V6 } else { IpKind::V4 });
        prop_assert_eq!(p.flags.has(Flags::V4_OPTIONS), !v6 && options > 0);
        let (ports, tcp_found) = match e.transport {
            Some(TransportHeader::Udp(u)) => ((u.source_port, u.destination_port), false),
            Some(TransportHeader::Tcp(t)) => ((t.source_port, t.destination_port), true),
            _ => ((0, 0), false),
        };
        match (offset, more) {
            (0, false) => {
                prop_assert_eq!(p.fragment, Fragment::No);
                prop_assert_eq!((p.src_port, p.dst_port), ports);
                prop_assert_eq!(tcp, tcp_found);
                prop_assert_eq!(usize::from(p.l4), l3 + ip.len() - l4.len());
            }
            (0, true) => {
                prop_assert_eq!(p.fragment, Fragment::First);
                prop_assert_eq!((p.src_port, p.dst_port), (sport, dport));
            }
            _ => {
                prop_assert_eq!(p.fragment, Fragment::Later);
                prop_assert_eq!((p.src_port, p.dst_port), (0, 0));
            }
        }
    }
}
