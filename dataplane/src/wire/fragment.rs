//! Which part of its datagram a fragment is (RFC 791 section 3.2, RFC 8200 section 4.5).

use super::{IpKind, Parsed, bytes::get, ipv6_walk, proto};

/// What a fragment says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FragmentInfo {
    /// Tells the datagrams of one sender apart. 16 bits in IPv4, 32 in IPv6.
    pub identification: u32,
    /// First byte of the datagram's payload that is here, a multiple of 8.
    pub offset: u16,
    /// Bytes of the datagram's payload that are here.
    pub len: u16,
    /// More follow.
    pub more: bool,
}

/// Reads it from a fragment that [`parse_ip`](super::parse_ip) has found right; `ip` starts at the IP header, and `parsed` counts from
/// there. `None` when it is no fragment.
pub fn fragment_info(ip: &[u8], parsed: &Parsed) -> Option<FragmentInfo> {
    if !parsed.is_fragment() {
        return None;
    }
    let end = parsed.end as usize;
    match parsed.kind {
        IpKind::V4 => {
            let [i0, i1, f0, f1] = get(ip, 4);
            let field = u16::from_be_bytes([f0, f1]);
            Some(FragmentInfo {
                identification: u32::from(u16::from_be_bytes([i0, i1])),
                offset: (field & 0x1fff) << 3,
                len: end.checked_sub(usize::from(parsed.l4))? as u16,
                more: field & 0x2000 != 0,
            })
        }
        IpKind::V6 => {
            let at = fragment_header(ip)?;
            let [_, _, f0, f1, i0, i1, i2, i3] = get(ip, at);
            let field = u16::from_be_bytes([f0, f1]);
            Some(FragmentInfo {
                identification: u32::from_be_bytes([i0, i1, i2, i3]),
                offset: field & 0xfff8,
                // What follows the fragment header, further extension headers too, is the datagram's payload.
                len: end.checked_sub(at + 8)? as u16,
                more: field & 1 != 0,
            })
        }
        IpKind::None => None,
    }
}

/// Where the fragment header of an IPv6 packet is.
fn fragment_header(ip: &[u8]) -> Option<usize> {
    let (mut next, mut at) = (*ip.get(6)?, 40);
    for _ in 0..ipv6_walk::MAX_HEADERS {
        if next == proto::FRAGMENT {
            return Some(at);
        }
        if !ipv6_walk::is_extension(next) {
            return None;
        }
        let [following, units] = get(ip, at);
        at += match next {
            proto::AH => (usize::from(units) + 2) * 4,
            _ => (usize::from(units) + 1) * 8,
        };
        next = following;
    }
    None
}

#[cfg(test)]
mod tests {
    use etherparse::{
        IpFragOffset, IpNumber, Ipv4Header, Ipv6Extensions, Ipv6FragmentHeader, Ipv6Header, Ipv6RawExtHeader,
    };
    use proptest::prelude::*;

    use super::*;
    use crate::wire::parse_ip;

    proptest! {
        #[test]
        fn reads_what_etherparse_writes(
            units in 0_u16..100, more: bool, count in 1_u16..50, tail in 0_u16..8, identification: u32, v6: bool, options: bool,
        ) {
            let len = count * 8 + if more { 0 } else { tail };
            prop_assume!(more || units > 0);
            let payload = vec![0x11; usize::from(len)];
            let offset = IpFragOffset::try_new(units).unwrap();
            let mut packet = Vec::new();
            if v6 {
                let exts = Ipv6Extensions {
                    hop_by_hop_options: options.then(|| Ipv6RawExtHeader::new_raw(IpNumber::IPV6_FRAGMENTATION_HEADER, &[0; 14]).unwrap()),
                    fragment: Some(Ipv6FragmentHeader::new(IpNumber(253), offset, more, identification)),
                    ..Default::default()
                };
                let first = if options { IpNumber::IPV6_HEADER_HOP_BY_HOP } else { IpNumber::IPV6_FRAGMENTATION_HEADER };
                Ipv6Header {
                    payload_length: exts.header_len() as u16 + len,
                    next_header: first,
                    hop_limit: 64,
                    ..Default::default()
                }.write(&mut packet).unwrap();
                exts.write(&mut packet, first).unwrap();
            } else {
                let mut header = Ipv4Header::new(len, 64, IpNumber(253), [10, 0, 0, 1], [10, 0, 0, 2]).unwrap();
                header.dont_fragment = false;
                header.identification = identification as u16;
                header.fragment_offset = offset;
                header.more_fragments = more;
                if options {
                    header.options = [1_u8; 8].into();
                    header.total_len = 28 + len;
                }
                header.write(&mut packet).unwrap();
            }
            packet.extend(&payload);
            // Padding is no part of it.
            packet.extend([0; 3]);
            let parsed = parse_ip(&packet).unwrap();
            let expected = FragmentInfo {
                identification: if v6 { identification } else { identification & 0xffff },
                offset: units * 8,
                len,
                more,
            };
            prop_assert_eq!(fragment_info(&packet, &parsed), Some(expected));
        }
    }

    #[test]
    fn a_whole_packet_is_none() {
        let packet = [
            0x45, 0, 0, 20, 0, 7, 0x40, 0, 64, 253, 0x25, 0xd9, 10, 0, 0, 1, 10, 0, 0, 2,
        ];
        let mut whole = packet;
        whole[10..12].copy_from_slice(&[0, 0]);
        let check = crate::wire::checksum::Sum::of(&whole).checksum();
        whole[10..12].copy_from_slice(&check.to_be_bytes());
        let parsed = parse_ip(&whole).unwrap();
        assert_eq!(fragment_info(&whole, &parsed), None);
    }
}
