//! Patched templates against etherparse's builder, and through our own parse.

use super::*;
use crate::wire::checksum::verify_l4;
use crate::wire::{IpKind, Vxlan, mpls, parse};
use etherparse::PacketBuilder;
use proptest::prelude::*;

fn spec(v6: bool, vlan: bool, encap: Encap) -> OuterSpec {
    OuterSpec {
        dst_mac: Mac([2, 0, 0, 0, 0, 1]),
        src_mac: Mac([2, 0, 0, 0, 0, 2]),
        vlan: vlan.then(|| VlanId::new(77).unwrap()),
        ends: if v6 {
            Ends::V6 {
                src: "2001:db8::1".parse().unwrap(),
                dst: "2001:db8::2".parse().unwrap(),
            }
        } else {
            Ends::V4 {
                src: [192, 0, 2, 1].into(),
                dst: [192, 0, 2, 2].into(),
            }
        },
        ttl: 64,
        dont_fragment: true,
        udp_checksum: false,
        encap,
    }
}

fn encaps() -> impl Strategy<Value = Encap> {
    let vni = (1u32..1 << 24).prop_map(|v| Vni::new(v).unwrap());
    let label = (0u32..1 << 20).prop_map(|v| Label::new(v).unwrap());
    prop_oneof![
        vni.clone().prop_map(|vni| Encap::Vxlan { vni }),
        (vni, any::<[u8; 6]>()).prop_map(|(vni, mac)| Encap::RoutedVxlan {
            vni,
            dst: Mac(mac),
            src: Mac::GATEWAY
        }),
        label.prop_map(|label| Encap::Mpls { label }),
    ]
}

#[test]
fn lengths_are_those_of_the_rfcs() {
    let vni = Vni::new(1).unwrap();
    let routed = Encap::RoutedVxlan {
        vni,
        dst: Mac::GATEWAY,
        src: Mac::GATEWAY,
    };
    let mpls = Encap::Mpls {
        label: Label::FIRST_UNRESERVED,
    };
    let overhead = |v6, encap| Outer::new(&spec(v6, false, encap)).overhead();
    assert_eq!((overhead(false, routed), overhead(true, routed)), (50, 70));
    assert_eq!(
        (
            overhead(false, Encap::Vxlan { vni }),
            overhead(true, Encap::Vxlan { vni })
        ),
        (36, 56)
    );
    assert_eq!((overhead(false, mpls), overhead(true, mpls)), (32, 52));
    let longest = Outer::new(&spec(true, true, routed));
    assert_eq!((longest.len(), longest.l3(), longest.encap_at()), (88, 18, 66));
}

#[test]
fn refuses_what_does_not_fit() {
    let outer = Outer::new(&spec(
        false,
        false,
        Encap::Vxlan {
            vni: Vni::new(1).unwrap(),
        },
    ));
    let mut packet = PerPacket {
        inner_len: 100,
        entropy_port: 50000,
        tos: 0,
        ttl: 0,
        ip_id: 0,
        inner_ethertype: 0,
    };
    let mut buf = [0u8; 51];
    assert_eq!(
        outer.apply(&mut buf, &packet).unwrap_err().to_string(),
        "outer header: writes 50 bytes into a buffer of 51"
    );
    assert!(outer.apply(&mut buf[..49], &packet).is_err());
    packet.inner_len = 65_499;
    assert_eq!(outer.apply(&mut buf[..50], &packet), Ok(()));
    packet.inner_len += 1;
    assert!(outer.apply(&mut buf[..50], &packet).is_err());
    packet.inner_len = usize::MAX;
    assert!(outer.apply(&mut buf[..50], &packet).is_err());
}

proptest! {
    #[test]
    fn wide_stores_write_the_same_header(
        v6: bool, vlan: bool, encap in encaps(), udp_checksum: bool, entropy in 49152u16.., tos: u8, ttl: u8, ip_id: u16,
        inner_len in 0..65_600_usize, inner_ethertype: u16,
    ) {
        let outer = Outer::new(&OuterSpec { udp_checksum, ..spec(v6, vlan, encap) });
        let packet = PerPacket { inner_len, entropy_port: entropy, tos, ttl, ip_id, inner_ethertype };
        let Some(wide) = Wide::new(&outer) else {
            let none = udp_checksum || matches!(encap, Encap::Vxlan { .. });
            prop_assert!(none);
            return Ok(());
        };
        let mut expected = vec![0; outer.len()];
        let fits = outer.apply(&mut expected, &packet).is_ok();
        let mut long = [0xaa; WIDE];
        prop_assert_eq!(wide.apply(&mut long, &packet), fits);
        let mut short = [0xaa; WIDE_SHORT];
        prop_assert_eq!(wide.apply(&mut short, &packet), fits && wide.is_short());
        if fits {
            prop_assert_eq!(&long[WIDE - wide.len()..], &expected[..]);
        }
        if fits && wide.is_short() {
            prop_assert_eq!(&short[WIDE_SHORT - wide.len()..], &expected[..]);
        }
    }

    #[test]
    fn is_what_etherparse_builds(
        v6: bool, vlan: bool, encap in encaps(), dont_fragment: bool, udp_checksum: bool, entropy in 49152u16.., tos: u8, ttl: u8,
        ip_id: u16, ipv4_inside: bool, inner in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let spec = OuterSpec { dont_fragment, udp_checksum, ..spec(v6, vlan, encap) };
        let outer = Outer::new(&spec);
        let inner_ethertype = if ipv4_inside { ethertype::IPV4 } else { ethertype::IPV6 };
        let packet = PerPacket { inner_len: inner.len(), entropy_port: entropy, tos, ttl, ip_id, inner_ethertype };
        let mut frame = [vec![0xaa; outer.len()], inner.clone()].concat();
        outer.apply(&mut frame[..outer.len()], &packet).unwrap();
        outer.fill_udp_checksum(&mut frame);

        // The tail, by hand.
        let vxlan = |vni: Vni| (u64::from(vni.get()) << 8 | 0x0800_0000 << 32).to_be_bytes().to_vec();
        let (port, mut tail) = match encap {
            Encap::Erspan { .. } => unreachable!("has a test of its own"),
            Encap::Vxlan { vni } => (4789, vxlan(vni)),
            Encap::RoutedVxlan { vni, dst, src } => {
                (4789, [vxlan(vni), dst.0.to_vec(), src.0.to_vec(), inner_ethertype.to_be_bytes().to_vec()].concat())
            }
            Encap::Mpls { label } => {
                (6635, (label.get() << 12 | u32::from(tos >> 5) << 9 | 1 << 8 | u32::from(ttl)).to_be_bytes().to_vec())
            }
        };
        tail.extend(&inner);

        // The rest, by etherparse.
        let eth = PacketBuilder::ethernet2(spec.src_mac.0, spec.dst_mac.0);
        let mut expected = Vec::new();
        let ip = match spec.ends {
            Ends::V4 { src, dst } => {
                let mut h = etherparse::Ipv4Header::new(0, 64, etherparse::IpNumber::UDP, src.octets(), dst.octets()).unwrap();
                h.dscp = etherparse::IpDscp::try_new(tos >> 2).unwrap();
                h.ecn = etherparse::IpEcn::try_new(tos & 3).unwrap();
                h.identification = ip_id;
                h.dont_fragment = dont_fragment;
                etherparse::IpHeaders::Ipv4(h, Default::default())
            }
            Ends::V6 { src, dst } => etherparse::IpHeaders::Ipv6(
                etherparse::Ipv6Header {
                    traffic_class: tos,
                    flow_label: etherparse::Ipv6FlowLabel::try_new(entropy.into()).unwrap(),
                    hop_limit: 64,
                    source: src.octets(),
                    destination: dst.octets(),
                    ..Default::default()
                },
                Default::default(),
            ),
        };
        let builder = if vlan { eth.single_vlan(77.try_into().unwrap()).ip(ip) } else { eth.ip(ip) };
        builder.udp(entropy, port).write(&mut expected, &tail).unwrap();
        let udp = outer.encap_at() - 8;
        if !udp_checksum {
            expected[udp + 6..udp + 8].fill(0);
        }
        prop_assert_eq!(&frame, &expected);

        // And we read it ourselves.
        let p = parse(&frame).unwrap();
        prop_assert_eq!((p.l3 as usize, p.l4 as usize, p.end as usize), (outer.l3(), udp, frame.len()));
        prop_assert_eq!((p.src_port, p.dst_port, p.kind), (entropy, port, if v6 { IpKind::V6 } else { IpKind::V4 }));
        let behind = &frame[outer.encap_at()..];
        match encap {
            Encap::Erspan { .. } => unreachable!("has a test of its own"),
            Encap::Mpls { label } => {
                let (entry, rest) = mpls::pop(behind).unwrap();
                prop_assert_eq!((entry.label, entry.ttl, entry.bottom, rest), (label, ttl, true, &inner[..]));
            }
            Encap::Vxlan { vni } | Encap::RoutedVxlan { vni, .. } => {
                prop_assert_eq!(Vxlan::new_checked(behind).unwrap().vni(), Some(vni));
            }
        }
        if udp_checksum {
            let len = (frame.len() - udp) as u32;
            let pseudo = match spec.ends {
                Ends::V4 { src, dst } => pseudo_v4(src, dst, proto::UDP, len),
                Ends::V6 { src, dst } => pseudo_v6(src, dst, proto::UDP, len),
            };
            prop_assert!(frame[udp + 6..udp + 8] != [0, 0] && verify_l4(&frame[udp..], proto::UDP, pseudo));
        }
    }
}

#[test]
fn mirrored_frames_have_a_way_of_their_own() {
    let erspan = Outer::new(&spec(false, false, Encap::Erspan { session: 5 }));
    let vxlan = Outer::new(&spec(
        false,
        false,
        Encap::Vxlan {
            vni: Vni::new(1).unwrap(),
        },
    ));
    let copy = erspan::PerCopy {
        inner_len: 65_535 - 36,
        sequence: 1,
        truncated: false,
        tagged: false,
    };
    let mut header = [0; 50];
    assert_eq!((erspan.len(), erspan.overhead()), (50, 36));
    assert_eq!(erspan.apply_erspan(&mut header, &copy), Ok(()));
    assert!(erspan.apply_erspan(&mut header[..49], &copy).is_err());
    let longer = erspan::PerCopy {
        inner_len: copy.inner_len + 1,
        ..copy
    };
    assert!(erspan.apply_erspan(&mut header, &longer).is_err());
    assert!(vxlan.apply_erspan(&mut header, &copy).is_err());
    let packet = PerPacket {
        inner_len: 100,
        entropy_port: 50000,
        tos: 0,
        ttl: 0,
        ip_id: 0,
        inner_ethertype: 0,
    };
    assert!(
        erspan.apply(&mut header, &packet).is_err(),
        "routed packets are no mirrored frames"
    );
}

proptest! {
    #[test]
    fn erspan_is_gre_over_what_etherparse_reads(
        v6: bool, vlan: bool, dont_fragment: bool, session in 0_u16..1024, sequence: u32, truncated: bool, tagged: bool,
        inner in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let spec = OuterSpec { dont_fragment, udp_checksum: true, ..spec(v6, vlan, Encap::Erspan { session }) };
        let outer = Outer::new(&spec);
        prop_assert!(!outer.wants_udp_checksum());
        let copy = erspan::PerCopy { inner_len: inner.len(), sequence, truncated, tagged };
        let mut frame = [vec![0xaa; outer.len()], inner.clone()].concat();
        outer.apply_erspan(&mut frame[..outer.len()], &copy).unwrap();
        let read = etherparse::SlicedPacket::from_ethernet(&frame).unwrap();
        let ip = read.net.unwrap();
        let payload = ip.ip_payload_ref().unwrap();
        prop_assert_eq!(payload.ip_number, etherparse::IpNumber::GRE);
        let (header, rest) = payload.payload.split_at(erspan::HEADER_LEN);
        prop_assert_eq!(header, erspan::header(session, &copy));
        prop_assert_eq!(rest, &inner[..]);
        match ip {
            etherparse::NetSlice::Ipv4(ip) => {
                let header = ip.header().to_header();
                prop_assert_eq!(header.header_checksum, header.calc_header_checksum());
                prop_assert_eq!((header.time_to_live, header.dont_fragment), (64, dont_fragment));
            }
            etherparse::NetSlice::Ipv6(ip) => prop_assert_eq!(ip.header().hop_limit(), 64),
            _ => prop_assert!(false, "not IP"),
        }
    }
}
