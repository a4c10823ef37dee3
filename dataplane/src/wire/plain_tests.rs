use core::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;
use crate::wire::{
    checksum::{self, Sum, pseudo_v4, pseudo_v6},
    parse_ip,
};

/// A good packet with `payload` behind a TCP or UDP header, its transport checksum complete, partial or anything.
fn packet(v6: bool, tcp: bool, source: u128, destination: u128, ports: [u8; 4], payload: &[u8], check: u16) -> Vec<u8> {
    let mut l4 = ports.to_vec();
    let proto = if tcp {
        l4.extend([0; 8]);
        l4.extend([0x50, check as u8, 0, 0, 0, 0, 0, 0]);
        proto::TCP
    } else {
        l4.extend([0; 4]);
        proto::UDP
    };
    l4.extend(payload);
    let len = l4.len();
    let mut ip = Vec::new();
    let pseudo = if v6 {
        let (source, destination) = (Ipv6Addr::from_bits(source), Ipv6Addr::from_bits(destination));
        ip.extend([0x6a, 1, 2, 3, (len >> 8) as u8, len as u8, proto, 64]);
        ip.extend(source.octets());
        ip.extend(destination.octets());
        pseudo_v6(source, destination, proto, len as u32)
    } else {
        let (source, destination) = (
            Ipv4Addr::from_bits(source as u32),
            Ipv4Addr::from_bits(destination as u32),
        );
        let total = (len + 20) as u16;
        ip.extend([0x45, 3, (total >> 8) as u8, total as u8, 9, 9, 0x40, 0, 64, proto, 0, 0]);
        ip.extend(source.octets());
        ip.extend(destination.octets());
        fix_header(&mut ip);
        pseudo_v4(source, destination, proto, len as u32)
    };
    let at = if tcp { 16 } else { 6 };
    let check = match check % 3 {
        0 => pseudo.fold(),
        1 => check,
        _ => 0,
    };
    l4[at..at + 2].copy_from_slice(&check.to_be_bytes());
    ip.extend(l4);
    ip
}

fn fix_header(ip: &mut [u8]) {
    ip[10..12].fill(0);
    let check = Sum::of(&ip[..20]).checksum();
    ip[10..12].copy_from_slice(&check.to_be_bytes());
}

fn of_ip(ip: &[u8]) -> Option<Plain> {
    match ip.first()? >> 4 {
        4 => Plain::v4(ip),
        6 => Plain::v6(ip),
        _ => None,
    }
}

/// Addresses and ports as the header has them.
fn fields(ip: &[u8], plain: &Plain) -> bool {
    let word = |at: usize| u64::from_le_bytes(ip[at..at + 8].try_into().unwrap());
    let half = |at: usize| u64::from(u32::from_le_bytes(ip[at..at + 4].try_into().unwrap()));
    if plain.v6 {
        plain.source == [word(8), word(16)] && plain.destination == [word(24), word(32)]
    } else {
        plain.source == [half(12), 0] && plain.destination == [half(16), 0]
    }
}

fn partial(ip: &[u8], parsed: &Parsed) -> bool {
    let l4 = &ip[usize::from(parsed.l4)..parsed.end as usize];
    let pseudo = if parsed.kind == IpKind::V6 {
        Sum::of(&ip[8..40])
    } else {
        Sum::of(&ip[12..20])
    };
    let pseudo = pseudo.add_u32(l4.len() as u32).add_u16(parsed.proto.into());
    checksum::is_partial(l4, parsed.proto, pseudo)
}

proptest! {
    /// Outer headers in words as byte by byte.
    #[test]
    fn datagrams_in_few_words_are_those_of_many(
        to: u32, len: u16, tos: u8, flags in prop_oneof![Just(0_u8), Just(0x40), Just(0x80), any::<u8>()],
        offset in 0..2_u8, udp: bool, own: bool, flip: Option<(prop::sample::Index, u8)>,
    ) {
        let mut header = [0; 20];
        header[..10].copy_from_slice(&[
            0x45, tos, (len >> 8) as u8, len as u8, 1, 2, flags, offset, 64, if udp { proto::UDP } else { proto::TCP },
        ]);
        header[12..16].copy_from_slice(&[192, 0, 2, 7]);
        header[16..].copy_from_slice(&to.to_be_bytes());
        fix_header(&mut header);
        if let Some((at, bits)) = flip {
            header[at.index(20)] ^= bits;
        }
        let ours = Ipv4Addr::from_bits(if own { to } else { to ^ 1 });
        let h = &header;
        let good = h[0] == 0x45 && h[1] & 3 == 0 && [h[6] & 0x3f, h[7]] == [0, 0] && h[9] == proto::UDP
            && h[16..] == ours.octets() && checksum::ipv4_header_ok(h);
        let wanted = good.then(|| u16::from_be_bytes([h[2], h[3]]));
        prop_assert_eq!(Plain::datagram_v4(&header, ours), wanted);
    }
}

proptest! {
    /// Whatever happened to a packet: the short look says what the long walk says, or nothing; of a good packet, it says it.
    #[test]
    fn never_disagrees_with_the_long_walk(
        (v6, tcp, source, destination, ports, check) in any::<(bool, bool, u128, u128, [u8; 4], u16)>(),
        payload in prop::collection::vec(any::<u8>(), 0..40),
        padding in prop::collection::vec(any::<u8>(), 0..12),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        repaired: bool,
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut ip = packet(v6, tcp, source, destination, ports, &payload, check);
        let whole = ip.len();
        ip.extend(&padding);
        let plain = of_ip(&ip);
        prop_assert_eq!(plain.map(|plain| usize::from(plain.len)), Some(whole));

        for (index, byte) in &damage {
            // Headers more often than not.
            let at = index.index(if *byte & 1 == 0 { 24 } else { ip.len() });
            ip[at] = *byte;
        }
        if repaired && !v6 {
            fix_header(&mut ip);
        }
        if let Some(cut) = cut {
            ip.truncate(cut.index(ip.len()));
        }
        if let Some(plain) = of_ip(&ip) {
            prop_assert_eq!(parse_ip(&ip), Ok(plain.parsed()));
            prop_assert!(fields(&ip, &plain));
            prop_assert_eq!(plain.is_partial, partial(&ip, &plain.parsed()));
            prop_assert_eq!(plain.is_tcp_syn(), plain.parsed().is_tcp_syn());
        }
    }

    #[test]
    fn a_frame_is_for_one_station_only(to: [u8; 6], flip in 0..48_u8, ethertype: u16, rest: [u8; 4]) {
        let mut frame = to.to_vec();
        frame.extend([7; 6]);
        frame.extend(ethertype.to_be_bytes());
        prop_assert_eq!(Plain::behind_ethernet(&frame[..13], Mac(to)), None);
        frame.extend(rest);
        prop_assert_eq!(Plain::behind_ethernet(&frame, Mac(to)), Some((ethertype, &rest[..])));
        frame[usize::from(flip / 8)] ^= 1 << (flip % 8);
        prop_assert_eq!(Plain::behind_ethernet(&frame, Mac(to)), None);
    }
}
