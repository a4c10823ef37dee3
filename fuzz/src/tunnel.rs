//! Any bytes inside a tunnel: behind a valid outer header as we write it, and behind valid UDP to a tunnel port.
//!
//! The first byte chooses the outer header, the others are what it carries. What we wrap is what the far end unwraps, whatever it
//! is; what others wrap is at worst refused.

use std::net::{Ipv4Addr, Ipv6Addr};

use vrouter_dataplane::wire::{
    Ecn, Ethernet, IpKind, Label, Mac, ParseError, Parsed, Udp, VlanId, Vni, Vxlan, ecn, ethertype, mpls, offload,
    outer::{Encap, Ends, Outer, OuterSpec, PerPacket},
    parse, parse_ip, udp, vxlan,
};

use crate::packets::{with_header_checksum, with_ip_checksum};

/// The first of two VNIs, and of two labels.
pub(crate) const VNI: u32 = 5000;
pub(crate) const LABEL: u32 = 100;
/// The stations at both ends of the outer header.
pub(crate) const OURS: Mac = Mac([2, 0, 0, 0, 1, 1]);
pub(crate) const THEIRS: Mac = Mac([2, 0, 0, 0, 1, 2]);
/// Longest inner packet that the outer header leaves room for in 65535 bytes.
const MOST: usize = 65_000;

/// Checks one choice and one payload.
///
/// # Panics
/// When a property does not hold.
pub fn check(bytes: &[u8]) {
    let Some((&choice, inner)) = bytes.split_first() else {
        return;
    };
    let inner = &inner[..inner.len().min(MOST)];
    let spec = spec(choice);
    wrapped(&spec, inner, choice);
    foreign(inner);
}

/// An outer header: bit 0 says IPv6, bit 1 a VLAN, bit 2 a UDP checksum, bits 3 and 4 the encapsulation, bit 5 the second of two
/// VNIs or labels.
pub(crate) fn spec(choice: u8) -> OuterSpec {
    let second = u32::from(choice >> 5 & 1);
    let vni = Vni::new(VNI + second).expect("a VNI");
    OuterSpec {
        dst_mac: OURS,
        src_mac: THEIRS,
        vlan: (choice & 2 != 0).then(|| VlanId::new(7).expect("a VLAN id")),
        ends: if choice & 1 != 0 {
            Ends::V6 {
                src: Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2),
                dst: Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1),
            }
        } else {
            Ends::V4 {
                src: Ipv4Addr::new(192, 0, 2, 2),
                dst: Ipv4Addr::new(192, 0, 2, 1),
            }
        },
        ttl: 64,
        dont_fragment: choice & 0x80 != 0,
        udp_checksum: choice & 4 != 0,
        encap: match choice >> 3 & 3 {
            0 => Encap::Vxlan { vni },
            1 => Encap::RoutedVxlan {
                vni,
                dst: Mac::GATEWAY,
                src: THEIRS,
            },
            _ => Encap::Mpls {
                label: Label::new(LABEL + second).expect("a label"),
            },
        },
    }
}

/// The inner bytes behind the outer header.
pub(crate) fn wrap(spec: &OuterSpec, inner: &[u8], tos: u8) -> Vec<u8> {
    let outer = Outer::new(spec);
    let mut packet = vec![0; outer.len()];
    packet.extend(inner);
    let v6 = inner.first().is_some_and(|first| first >> 4 == 6);
    let per_packet = PerPacket {
        inner_len: inner.len(),
        entropy_port: udp::entropy_port(u32::from(tos)),
        tos,
        ttl: 63,
        ip_id: 9,
        inner_ethertype: if v6 { ethertype::IPV6 } else { ethertype::IPV4 },
    };
    outer
        .apply(&mut packet[..outer.len()], &per_packet)
        .expect("room for the outer header");
    outer.fill_udp_checksum(&mut packet);
    packet
}

/// The datagram of a frame that must be one, to a tunnel port.
fn datagram<'a>(packet: &'a [u8], spec: &OuterSpec) -> (&'a [u8], Parsed) {
    let parsed = parse(packet).expect("an outer header that we wrote");
    assert_eq!(parsed.end as usize, packet.len());
    assert_eq!(parsed.vlan, spec.vlan);
    assert!(offload::is_right(packet, &parsed), "{parsed:?}");
    let datagram = &packet[usize::from(parsed.l4)..parsed.end as usize];
    let view = Udp::new_checked(datagram).expect("a whole datagram");
    assert_eq!(usize::from(view.len()), datagram.len());
    assert!((49152..=65535).contains(&parsed.src_port));
    (&datagram[8..], parsed)
}

/// What we wrap comes out again as it was.
fn wrapped(spec: &OuterSpec, inner: &[u8], tos: u8) {
    let packet = wrap(spec, inner, tos);
    let (payload, parsed) = datagram(&packet, spec);
    let ip = match spec.ends {
        Ends::V4 { .. } => IpKind::V4,
        Ends::V6 { .. } => IpKind::V6,
    };
    assert_eq!(parsed.kind, ip);
    match spec.encap {
        Encap::Vxlan { vni } => {
            assert_eq!(parsed.dst_port, udp::PORT_VXLAN);
            let view = Vxlan::new_checked(payload).expect("a VXLAN header");
            assert_eq!((view.vni(), view.payload()), (Some(vni), inner));
        }
        Encap::RoutedVxlan { vni, dst, src } => {
            let view = Vxlan::new_checked(payload).expect("a VXLAN header");
            assert_eq!(view.vni(), Some(vni));
            let frame = Ethernet::new_checked(view.payload()).expect("an inner Ethernet header");
            assert_eq!((frame.dst(), frame.src(), &view.payload()[14..]), (dst, src, inner));
        }
        Encap::Mpls { label } => {
            assert_eq!(parsed.dst_port, udp::PORT_MPLS);
            let (entry, rest) = mpls::pop(payload).expect("a label");
            assert_eq!((entry.label, entry.bottom, entry.ttl), (label, true, 63));
            assert_eq!((rest, mpls::payload(payload).ok()), (inner, Some(inner)));
        }
        Encap::Erspan { .. } => unreachable!("never made here: mirrors have a way of their own"),
    }
    congestion(tos);
}

/// RFC 6040: a mark is never lost, and a sender without ECN never gets one.
fn congestion(tos: u8) {
    let (inner, outer) = (Ecn::from_tos(tos), Ecn::from_tos(tos >> 2));
    match ecn::decapsulate(inner, outer) {
        Some(out) => {
            assert!((inner == Ecn::NotEct) == (out == Ecn::NotEct));
            assert!(outer != Ecn::Ce || out == Ecn::Ce);
            assert!(inner != Ecn::Ce || out == Ecn::Ce);
        }
        None => assert_eq!((inner, outer), (Ecn::NotEct, Ecn::Ce)),
    }
    assert_eq!(ecn::decapsulate(inner, ecn::encapsulate(inner)), Some(inner));
}

/// The bytes right behind UDP: what a stranger may send to a tunnel port.
fn foreign(bytes: &[u8]) {
    if let Ok(view) = Vxlan::new_checked(bytes) {
        assert_eq!(view.payload(), &bytes[vxlan::HEADER_LEN..]);
        assert_eq!(view.vni().map_or(0, Vni::get), view.vni_raw());
        within(view.payload(), parse(&with_header_checksum(view.payload())));
    }
    if let Ok(payload) = mpls::payload(bytes) {
        within(payload, parse_ip(&with_ip_checksum(payload, 0)));
    }
}

fn within(bytes: &[u8], parsed: Result<Parsed, ParseError>) {
    assert!(parsed.is_err() || parsed.is_ok_and(|p| p.end as usize <= bytes.len()));
}
