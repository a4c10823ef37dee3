//! The one walk over a frame that every packet takes: where each header starts, what the packet is, and whether it may be
//! believed. Only structure is judged here: addresses, ports and fates are for the rooms above, and L4 checksums and the UDP
//! length are for the receiver.
//!
//! Facts travel between the functions here as small values that stay in registers, and a [`Parsed`] is put together only once:
//! narrow writes to memory that are read back wide would stall the store buffer, which costs as much as the walk itself.

use super::checksum::{self, Sum};
use super::{Flags, Fragment, IpKind, ParseError, Parsed, VlanId, ethertype, ipv6_walk, proto};

/// Most VLAN tags before the ethertype: one customer and one service tag.
pub const MAX_VLAN_TAGS: usize = 2;

/// What is known before the IP header.
#[derive(Clone, Copy)]
struct L2 {
    l3: u16,
    ethertype: u16,
    vlan: Option<VlanId>,
    flags: Flags,
}

/// What the IP header says.
#[derive(Clone, Copy)]
struct L3 {
    kind: IpKind,
    proto: u8,
    fragment: Fragment,
    flags: Flags,
}

/// What the L4 header says.
#[derive(Clone, Copy)]
struct L4 {
    src_port: u16,
    dst_port: u16,
    tcp_flags: u8,
    flags: Flags,
}

impl L4 {
    /// No ports.
    const NONE: Self = Self {
        src_port: 0,
        dst_port: 0,
        tcp_flags: 0,
        flags: Flags::NONE,
    };

    /// Just ports: they stand at the same place in TCP, UDP and SCTP.
    #[inline(always)]
    fn ports([a, b, c, d]: [u8; 4]) -> Self {
        Self {
            src_port: u16::from_be_bytes([a, b]),
            dst_port: u16::from_be_bytes([c, d]),
            ..Self::NONE
        }
    }
}

/// Puts the parts together.
#[inline(always)]
fn parsed(l2: L2, l3: L3, l4: L4, l4_at: u16, end: u32) -> Parsed {
    Parsed {
        end,
        l3: l2.l3,
        l4: l4_at,
        ethertype: l2.ethertype,
        src_port: l4.src_port,
        dst_port: l4.dst_port,
        vlan: l2.vlan,
        proto: l3.proto,
        kind: l3.kind,
        fragment: l3.fragment,
        flags: l2.flags.or(l3.flags).or(l4.flags),
        tcp_flags: l4.tcp_flags,
    }
}

/// The result for a frame of `len` bytes that is not IP.
fn not_ip(l2: L2, len: usize) -> Parsed {
    let l3 = L3 {
        kind: IpKind::None,
        proto: 0,
        fragment: Fragment::No,
        flags: Flags::NONE,
    };
    parsed(l2, l3, L4::NONE, l2.l3, u32::try_from(len).unwrap_or(u32::MAX))
}

/// Walks an Ethernet frame. An unknown ethertype is no error: the kind is then [`IpKind::None`].
///
/// # Errors
/// The first cause found, outermost header first.
#[inline]
pub fn parse(frame: &[u8]) -> Result<Parsed, ParseError> {
    let Some((eth, rest)) = frame.split_first_chunk::<14>() else {
        return Err(ParseError::TruncatedEthernet);
    };
    let [d0, d1, d2, d3, d4, d5, _, _, _, _, _, _, e0, e1] = *eth;
    let flags = match (d0 & 1 != 0, [d0, d1, d2, d3, d4, d5] == [0xff; 6]) {
        (false, _) => Flags::NONE,
        (true, false) => Flags::L2_MULTICAST,
        (true, true) => Flags::L2_MULTICAST.or(Flags::L2_BROADCAST),
    };
    let l2 = L2 {
        l3: 14,
        ethertype: u16::from_be_bytes([e0, e1]),
        vlan: None,
        flags,
    };
    match l2.ethertype {
        ethertype::IPV4 => v4(rest, l2),
        ethertype::IPV6 => v6(rest, l2),
        ethertype::VLAN | ethertype::QINQ | ethertype::QINQ_OLD => tagged(frame, flags),
        _ => Ok(not_ip(l2, frame.len())),
    }
}

/// Walks a packet that starts with its IP header, like the payload of an MPLS label.
///
/// # Errors
/// As [`parse`]; [`ParseError::BadIpVersion`] if the version nibble is neither 4 nor 6.
#[inline]
pub fn parse_ip(packet: &[u8]) -> Result<Parsed, ParseError> {
    let l2 = |ethertype| L2 {
        l3: 0,
        ethertype,
        vlan: None,
        flags: Flags::NONE,
    };
    match packet.first().map(|b| b >> 4) {
        Some(4) => v4(packet, l2(ethertype::IPV4)),
        Some(6) => v6(packet, l2(ethertype::IPV6)),
        Some(_) => Err(ParseError::BadIpVersion),
        None => Err(ParseError::TruncatedIp),
    }
}

/// Walks one or two VLAN tags and what follows, in a frame whose first ethertype is known to be a TPID.
#[inline(never)]
fn tagged(frame: &[u8], flags: Flags) -> Result<Parsed, ParseError> {
    let mut l2 = L2 {
        l3: 14,
        ethertype: 0,
        vlan: None,
        flags,
    };
    let mut rest = frame.get(14..).unwrap_or_default();
    for depth in 0..MAX_VLAN_TAGS {
        let Some((tag, behind)) = rest.split_first_chunk::<4>() else {
            return Err(ParseError::TruncatedVlan);
        };
        let [t0, t1, e0, e1] = *tag;
        let vid = u16::from_be_bytes([t0, t1]) & 0x0fff;
        if vid == 0x0fff {
            return Err(ParseError::BadVlanId);
        }
        if depth == 0 {
            l2.vlan = VlanId::new(u32::from(vid)).ok();
        }
        l2.ethertype = u16::from_be_bytes([e0, e1]);
        l2.l3 += 4;
        rest = behind;
        match l2.ethertype {
            ethertype::IPV4 => return v4(rest, l2),
            ethertype::IPV6 => return v6(rest, l2),
            ethertype::VLAN | ethertype::QINQ | ethertype::QINQ_OLD => {}
            _ => return Ok(not_ip(l2, frame.len())),
        }
    }
    Err(ParseError::TooManyVlanTags)
}

/// Walks an IPv4 packet.
#[inline(always)]
fn v4(ip: &[u8], l2: L2) -> Result<Parsed, ParseError> {
    let Some(header) = ip.first_chunk::<20>() else {
        return Err(ParseError::TruncatedIp);
    };
    let [first, _, t0, t1, _, _, f0, f1, _, proto, ..] = *header;
    let total = usize::from(u16::from_be_bytes([t0, t1]));
    let (header_len, flags) = if first == 0x45 {
        if !checksum::ipv4_header_ok(header) {
            return Err(ParseError::BadIpv4Checksum);
        }
        (20, Flags::NONE)
    } else {
        (v4_with_options(ip, first)?, Flags::V4_OPTIONS)
    };
    if total < header_len {
        // A total length that does not even hold the header: say which of the two is the odd one.
        return Err(if total < 20 {
            ParseError::BadTotalLength
        } else {
            ParseError::BadIpHeaderLength
        });
    }
    let Some(payload) = ip.get(header_len..total) else {
        return Err(ParseError::BadTotalLength);
    };
    let mut l3 = L3 {
        kind: IpKind::V4,
        proto,
        fragment: Fragment::No,
        flags,
    };
    let (l4_at, end) = (l2.l3 + header_len as u16, u32::from(l2.l3) + total as u32);

    let frag = u16::from_be_bytes([f0, f1]);
    // MF or an offset.
    if frag & 0x3fff != 0 {
        l3.fragment = fragment(usize::from(frag & 0x1fff) * 8, frag & 0x2000 != 0, payload.len())?;
        if l3.fragment == Fragment::Later {
            return Ok(parsed(l2, l3, L4::NONE, l4_at, end));
        }
    }
    Ok(parsed(l2, l3, l4(payload, l3)?, l4_at, end))
}

/// The header length of an IPv4 header that is not plain, once version, length and checksum have been found right.
#[cold]
fn v4_with_options(ip: &[u8], first: u8) -> Result<usize, ParseError> {
    if first >> 4 != 4 {
        return Err(ParseError::BadIpVersion);
    }
    let len = usize::from(first & 0x0f) * 4;
    if len < 20 {
        return Err(ParseError::BadIpHeaderLength);
    }
    let header = ip.get(..len).ok_or(ParseError::TruncatedIp)?;
    if Sum::of(header).is_valid() {
        Ok(len)
    } else {
        Err(ParseError::BadIpv4Checksum)
    }
}

/// What a fragment of `len` bytes at `offset` is.
#[inline]
pub(super) fn fragment(offset: usize, more: bool, len: usize) -> Result<Fragment, ParseError> {
    if offset + len > 0xffff || (more && !len.is_multiple_of(8)) {
        return Err(ParseError::BadFragment);
    }
    Ok(match (offset, more) {
        (0, false) => Fragment::No,
        (0, true) => Fragment::First,
        _ => Fragment::Later,
    })
}

/// Walks an IPv6 packet.
#[inline(always)]
fn v6(ip: &[u8], l2: L2) -> Result<Parsed, ParseError> {
    let Some((header, rest)) = ip.split_first_chunk::<40>() else {
        return Err(ParseError::TruncatedIp);
    };
    let [first, _, _, _, l0, l1, next, ..] = *header;
    if first >> 4 != 6 {
        return Err(ParseError::BadIpVersion);
    }
    let len = usize::from(u16::from_be_bytes([l0, l1]));
    let Some(payload) = rest.get(..len) else {
        return Err(ParseError::BadTotalLength);
    };
    if ipv6_walk::is_extension(next) {
        return v6_extensions(payload, l2, next);
    }
    let l3 = L3 {
        kind: IpKind::V6,
        proto: next,
        fragment: Fragment::No,
        flags: Flags::NONE,
    };
    let l4_at = l2.l3 + 40;
    Ok(parsed(l2, l3, l4(payload, l3)?, l4_at, u32::from(l4_at) + len as u32))
}

/// Walks IPv6 extension headers and what follows.
#[cold]
fn v6_extensions(payload: &[u8], l2: L2, next: u8) -> Result<Parsed, ParseError> {
    if payload.is_empty() {
        // A jumbogram (RFC 2675), or a header that is not there.
        return Err(ParseError::BadTotalLength);
    }
    let walk = ipv6_walk::walk(next, payload)?;
    let l3 = L3 {
        kind: IpKind::V6,
        proto: walk.proto,
        fragment: walk.fragment,
        flags: Flags::V6_EXTENSIONS,
    };
    let head = if walk.fragment == Fragment::Later {
        L4::NONE
    } else {
        l4(payload.get(usize::from(walk.len)..).unwrap_or_default(), l3)?
    };
    let end = u32::from(l2.l3) + 40 + payload.len() as u32;
    Ok(parsed(l2, l3, head, l2.l3 + 40 + walk.len, end))
}

/// Reads ports, or what stands for them, from an L4 header.
#[inline(always)]
fn l4(payload: &[u8], l3: L3) -> Result<L4, ParseError> {
    if l3.proto == proto::TCP {
        let Some(header) = payload.first_chunk::<20>() else {
            return Err(ParseError::TruncatedL4);
        };
        let [a, b, c, d, _, _, _, _, _, _, _, _, offset, tcp_flags, ..] = *header;
        let header_len = usize::from(offset >> 4) * 4;
        if header_len < 20 {
            return Err(ParseError::BadTcpHeaderLength);
        }
        if header_len > payload.len() {
            return Err(ParseError::TruncatedL4);
        }
        return Ok(L4 {
            tcp_flags,
            ..L4::ports([a, b, c, d])
        });
    }
    if l3.proto == proto::UDP {
        let Some([a, b, c, d, ..]) = payload.first_chunk::<8>() else {
            return Err(ParseError::TruncatedL4);
        };
        return Ok(L4::ports([*a, *b, *c, *d]));
    }
    other_l4(payload, l3.kind, l3.proto)
}

/// L4 protocols less common than TCP and UDP. Those unknown here are opaque: no ports, no least length.
#[inline(never)]
fn other_l4(payload: &[u8], kind: IpKind, proto: u8) -> Result<L4, ParseError> {
    let is_echo = match (kind, proto) {
        (_, proto::SCTP) => {
            let Some([a, b, c, d, ..]) = payload.first_chunk::<12>() else {
                return Err(ParseError::TruncatedL4);
            };
            return Ok(L4::ports([*a, *b, *c, *d]));
        }
        (IpKind::V4, proto::ICMP) => |kind| matches!(kind, 0 | 8),
        (IpKind::V6, proto::ICMPV6) => |kind| matches!(kind, 128 | 129),
        _ => return Ok(L4::NONE),
    };
    let Some([kind, _, _, _, a, b, ..]) = payload.first_chunk::<8>() else {
        return Err(ParseError::TruncatedL4);
    };
    if is_echo(*kind) {
        return Ok(L4 {
            flags: Flags::ICMP_ECHO,
            ..L4::ports([*a, *b, *a, *b])
        });
    }
    Ok(L4::NONE)
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "parse_props.rs"]
mod props;
