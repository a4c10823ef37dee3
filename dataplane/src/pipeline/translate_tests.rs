//! Translation against computing every checksum from scratch.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;
use crate::{
    packet::{FramePool, Partial},
    pipeline::packet::flow_key,
    wire::{
        checksum::{Sum, fill_l4, pseudo_v4, pseudo_v6, verify_l4},
        offload, parse_ip,
    },
};

/// An IP packet with right checksums.
fn build(source: IpAddr, destination: IpAddr, protocol: u8, l4: &[u8]) -> Vec<u8> {
    let mut l4 = l4.to_vec();
    let len = l4.len() as u32;
    let (mut packet, pseudo) = match (source, destination) {
        (IpAddr::V4(s), IpAddr::V4(d)) => {
            let mut header = vec![0x45, 0, 0, 0, 1, 2, 0, 0, 64, protocol, 0, 0];
            header.extend(s.octets());
            header.extend(d.octets());
            header[2..4].copy_from_slice(&(20 + l4.len() as u16).to_be_bytes());
            let check = Sum::of(&header).checksum();
            header[10..12].copy_from_slice(&check.to_be_bytes());
            let pseudo = if protocol == proto::ICMP {
                Sum::ZERO
            } else {
                pseudo_v4(s, d, protocol, len)
            };
            (header, pseudo)
        }
        (IpAddr::V6(s), IpAddr::V6(d)) => {
            let mut header = vec![0x60, 0, 0, 0];
            header.extend((l4.len() as u16).to_be_bytes());
            header.extend([protocol, 64]);
            header.extend(s.octets());
            header.extend(d.octets());
            (header, pseudo_v6(s, d, protocol, len))
        }
        _ => unreachable!(),
    };
    if protocol == proto::SCTP {
        Sctp::new_checked(&mut l4[..]).unwrap().fill_checksum();
    } else {
        fill_l4(&mut l4, protocol, pseudo);
    }
    packet.extend(l4);
    packet
}

/// Checks header and transport checksums, each computed from scratch.
fn check(packet: &[u8]) {
    let parsed = parse_ip(packet).expect("the IPv4 header checksum holds");
    let l4 = &packet[usize::from(parsed.l4)..];
    let key = flow_key(packet, &parsed, 0).unwrap();
    let pseudo = match (key.src(), key.dst()) {
        _ if parsed.proto == proto::ICMP => Sum::ZERO,
        (IpAddr::V4(s), IpAddr::V4(d)) => pseudo_v4(s, d, parsed.proto, l4.len() as u32),
        (IpAddr::V6(s), IpAddr::V6(d)) => pseudo_v6(s, d, parsed.proto, l4.len() as u32),
        _ => unreachable!(),
    };
    if parsed.proto == proto::SCTP {
        let sctp = Sctp::new_checked(l4).unwrap();
        assert_eq!(sctp.checksum(), sctp.compute_checksum());
    } else {
        assert!(verify_l4(l4, parsed.proto, pseudo), "transport checksum");
    }
}

fn l4_of(protocol: u8, kind: u8, ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let mut l4 = [ports.0.to_be_bytes(), ports.1.to_be_bytes()].concat();
    match protocol {
        proto::TCP => l4.extend([0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x10, 1, 0, 0, 0, 0, 0]),
        proto::UDP => l4.extend([((8 + payload.len()) >> 8) as u8, (8 + payload.len()) as u8, 0, 0]),
        proto::SCTP => l4.extend([0, 0, 0, 1, 0, 0, 0, 0]),
        _ => l4 = [&[kind, 0, 0, 0][..], &ports.0.to_be_bytes(), &[0, 1]].concat(),
    }
    l4.extend(payload);
    l4
}

fn addresses_of(v6: bool, bits: u128) -> IpAddr {
    if v6 {
        Ipv6Addr::from_bits(bits).into()
    } else {
        Ipv4Addr::from_bits(bits as u32).into()
    }
}

proptest! {
    #[test]
    fn translated_packets_have_right_checksums_and_the_wanted_key(
        v6: bool,
        which in 0..5_usize,
        from: (u128, u128), to: (u128, u128),
        ports: (u16, u16), new_ports: (u16, u16),
        mut payload in prop::collection::vec(any::<u8>(), 0..90),
    ) {
        let (protocol, kind) = match (which, v6) {
            (0, _) => (proto::TCP, 0),
            (1, _) => (proto::UDP, 0),
            (2, _) => (proto::SCTP, 0),
            (3, false) => (proto::ICMP, 8),
            (3, true) => (proto::ICMPV6, 128),
            (_, false) => (proto::ICMP, 0),
            (_, true) => (proto::ICMPV6, 129),
        };
        if protocol == proto::SCTP {
            // Zero means "not computed" in SCTP only by chance, once in 2^32.
            payload.push(1);
        }
        let mut bytes = build(
            addresses_of(v6, from.0), addresses_of(v6, from.1), protocol, &l4_of(protocol, kind, ports, &payload),
        );
        check(&bytes);
        let new_ports = match (which, kind) {
            (3, _) => (new_ports.0, 0),
            (4, _) => (0, new_ports.1),
            _ => new_ports,
        };
        let to = FlowKey::between(0, addresses_of(v6, to.0), addresses_of(v6, to.1), protocol, new_ports).unwrap();
        let parsed = parse_ip(&bytes).unwrap();
        packet(&mut bytes, &parsed, &to).unwrap();
        check(&bytes);
        prop_assert_eq!(flow_key(&bytes, &parse_ip(&bytes).unwrap(), 0), Some(to));
        prop_assert!(bytes.ends_with(&payload));
    }

    /// Plain packets by words, whatever stands in their checksums.
    #[test]
    fn plain_packets_are_translated_as_all_others(
        v6: bool, tcp: bool,
        from: (u128, u128), to: (u128, u128),
        ports: (u16, u16), new_ports: (u16, u16),
        checks in prop::collection::vec(prop_oneof![Just(0), Just(0xffff), any::<u16>()], 2),
        payload in prop::collection::vec(any::<u8>(), 0..9),
    ) {
        let protocol = if tcp { proto::TCP } else { proto::UDP };
        let mut bytes = build(
            addresses_of(v6, from.0), addresses_of(v6, from.1), protocol, &l4_of(protocol, 0, ports, &payload),
        );
        let parsed = parse_ip(&bytes).unwrap();
        let field = usize::from(parsed.l4) + if tcp { 16 } else { 6 };
        bytes[field..field + 2].copy_from_slice(&checks[0].to_be_bytes());
        if !v6 {
            bytes[10..12].copy_from_slice(&checks[1].to_be_bytes());
        }
        let to = FlowKey::between(0, addresses_of(v6, to.0), addresses_of(v6, to.1), protocol, new_ports).unwrap();
        let mut other = bytes.clone();
        packet(&mut bytes, &parsed, &to).unwrap();
        plain(&mut other, v6, protocol, &to.reversed()).unwrap();
        prop_assert_eq!(other, bytes);
    }

    #[test]
    fn damage_stays_damage(from: (u32, u32), to: (u32, u32), flip in 1..=255_u8) {
        let address = |bits| addresses_of(false, u128::from(bits));
        let mut bytes = build(address(from.0), address(from.1), proto::TCP, &l4_of(proto::TCP, 0, (1, 2), b"data"));
        let last = bytes.len() - 1;
        bytes[last] ^= flip;
        let to = FlowKey::between(0, address(to.0), address(to.1), proto::TCP, (3, 4)).unwrap();
        let parsed = parse_ip(&bytes).unwrap();
        packet(&mut bytes, &parsed, &to).unwrap();
        let pseudo = match (to.src(), to.dst()) {
            (IpAddr::V4(s), IpAddr::V4(d)) => pseudo_v4(s, d, proto::TCP, 24),
            _ => unreachable!(),
        };
        prop_assert!(!verify_l4(&bytes[20..], proto::TCP, pseudo));
    }
}

#[test]
fn a_udp_checksum_of_zero_stays_zero() {
    let address = |last: u8| IpAddr::from([10, 0, 0, last]);
    let mut bytes = build(address(1), address(2), proto::UDP, &l4_of(proto::UDP, 0, (5, 6), b"x"));
    bytes[26..28].fill(0);
    let parsed = parse_ip(&bytes).unwrap();
    let to = FlowKey::between(0, address(3), address(4), proto::UDP, (7, 8)).unwrap();
    packet(&mut bytes, &parsed, &to).unwrap();
    assert_eq!(bytes[26..28], [0, 0]);
    assert_eq!(flow_key(&bytes, &parse_ip(&bytes).unwrap(), 0), Some(to));
}

/// Sets flags and offset of an IPv4 header.
fn fragment_at(bytes: &mut [u8], field: u16) {
    bytes[6..8].copy_from_slice(&field.to_be_bytes());
    bytes[10..12].fill(0);
    let check = Sum::of(&bytes[..20]).checksum();
    bytes[10..12].copy_from_slice(&check.to_be_bytes());
}

#[test]
fn fragments_put_together_are_the_translated_datagram() {
    let address = |last: u8| IpAddr::from([10, 0, 0, last]);
    let payload: Vec<u8> = (0..100).collect();
    let datagram = build(
        address(1),
        address(2),
        proto::UDP,
        &l4_of(proto::UDP, 0, (5, 6), &payload),
    );
    let to = FlowKey::between(0, address(3), address(4), proto::UDP, (7, 8)).unwrap();
    let mut whole = datagram.clone();
    let parsed = parse_ip(&whole).unwrap();
    packet(&mut whole, &parsed, &to).unwrap();
    let cut = |from: usize, until: usize, more: bool| {
        let mut piece = [&datagram[..20], &datagram[20 + from..20 + until]].concat();
        let total = piece.len() as u16;
        piece[2..4].copy_from_slice(&total.to_be_bytes());
        fragment_at(&mut piece, (from / 8) as u16 | u16::from(more) << 13);
        let parsed = parse_ip(&piece).unwrap();
        packet(&mut piece, &parsed, &to).unwrap();
        parse_ip(&piece).expect("the header checksum holds");
        assert_eq!(piece[12..20], [10, 0, 0, 3, 10, 0, 0, 4]);
        piece[20..].to_vec()
    };
    let pieces = [cut(0, 40, true), cut(40, 80, true), cut(80, 108, false)].concat();
    assert_eq!(pieces, whole[20..]);
}

#[test]
fn a_fragmented_sctp_datagram_keeps_its_ports_or_is_refused() {
    let address = |last: u8| IpAddr::from([10, 0, 0, last]);
    let mut bytes = build(
        address(1),
        address(2),
        proto::SCTP,
        &l4_of(proto::SCTP, 0, (5, 6), &[0; 12]),
    );
    fragment_at(&mut bytes, 0x2000);
    let parsed = parse_ip(&bytes).unwrap();
    let key = |ports| FlowKey::between(0, address(3), address(4), proto::SCTP, ports).unwrap();
    assert_eq!(packet(&mut bytes.clone(), &parsed, &key((5, 6))), Ok(()));
    assert_eq!(packet(&mut bytes, &parsed, &key((5, 7))), Err(Untranslatable));
}

#[test]
fn families_do_not_mix() {
    let address = |last: u8| IpAddr::from([10, 0, 0, last]);
    let mut bytes = build(address(1), address(2), proto::UDP, &l4_of(proto::UDP, 0, (5, 6), b""));
    let parsed = parse_ip(&bytes).unwrap();
    let six = IpAddr::V6(Ipv6Addr::LOCALHOST);
    let to = FlowKey::between(0, six, six, proto::UDP, (1, 2)).unwrap();
    assert_eq!(packet(&mut bytes, &parsed, &to), Err(Untranslatable));
}

proptest! {
    #[test]
    fn an_open_checksum_is_right_once_it_is_completed(
        v6: bool, tcp: bool, from: (u128, u128), to: (u128, u128), ports: (u16, u16), new_ports: (u16, u16),
        payload in prop::collection::vec(any::<u8>(), 0..90),
    ) {
        let protocol = if tcp { proto::TCP } else { proto::UDP };
        let mut bytes = build(
            addresses_of(v6, from.0), addresses_of(v6, from.1), protocol, &l4_of(protocol, 0, ports, &payload),
        );
        let parsed = parse_ip(&bytes).unwrap();
        let partial = Partial::of(protocol, parsed.l4.into()).unwrap();
        let pseudo = offload::pseudo_header(&bytes, &parsed).unwrap().fold();
        let field = partial.l4 + partial.field;
        bytes[field..field + 2].copy_from_slice(&pseudo.to_be_bytes());
        let pool = FramePool::new(64, 2048).unwrap();
        let mut cache = pool.cache();
        let mut packet = cache.take().unwrap();
        packet.copy_from(&bytes).unwrap();
        packet.set_partial(partial);
        let to = FlowKey::between(0, addresses_of(v6, to.0), addresses_of(v6, to.1), protocol, new_ports).unwrap();
        prop_assert_eq!(frame(&mut packet, &parsed, &to), Ok(()));
        packet.complete();
        check(packet.data());
        prop_assert_eq!(flow_key(packet.data(), &parse_ip(packet.data()).unwrap(), 0), Some(to));
        cache.free(packet);
    }
}
