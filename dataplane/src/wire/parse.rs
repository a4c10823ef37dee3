//! The one walk over a frame that every packet takes: where each header starts, what the packet is, and whether it may be
//! believed. Only structure is judged here: addresses, ports and fates are for the rooms above, and L4 checksums and the UDP
//! length are for the receiver.

use super::checksum::{self, Sum};
use super::{VlanId, ethertype, ipv6_walk, proto};

/// Most VLAN tags before the ethertype: one customer and one service tag.
pub const MAX_VLAN_TAGS: usize = 2;

/// Which IP a packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum IpKind {
    /// Neither: ARP, MPLS, or an ethertype unknown here.
    None = 0,
    /// IPv4.
    V4 = 4,
    /// IPv6.
    V6 = 6,
}

/// Whether a packet is a fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Fragment {
    /// A whole packet; an IPv6 "atomic fragment" (RFC 6946) counts as one.
    No = 0,
    /// The first fragment: it has the L4 header, its ports are known, but its sisters have none.
    First = 1,
    /// A later fragment: no L4 header, ports are zero.
    Later = 2,
}

/// Why a frame cannot be believed. Each is a reason to drop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[repr(u8)]
pub enum ParseError {
    /// Shorter than an Ethernet header.
    #[error("truncated Ethernet header")]
    TruncatedEthernet = 0,
    /// Ends within a VLAN tag.
    #[error("truncated VLAN tag")]
    TruncatedVlan,
    /// More than [`MAX_VLAN_TAGS`] tags.
    #[error("more than two VLAN tags")]
    TooManyVlanTags,
    /// The reserved VLAN id 4095.
    #[error("reserved VLAN id 4095")]
    BadVlanId,
    /// Ends within the fixed IP header, or within the IPv4 options.
    #[error("truncated IP header")]
    TruncatedIp,
    /// The version nibble is not what the ethertype (or, without one, any IP) says.
    #[error("bad IP version")]
    BadIpVersion,
    /// IPv4 header length below 20 bytes, or beyond the total length.
    #[error("bad IPv4 header length")]
    BadIpHeaderLength,
    /// The total (v4) or payload (v6) length is beyond the frame, or is zero where that is not allowed (jumbograms are not
    /// supported).
    #[error("bad IP total length")]
    BadTotalLength,
    /// The IPv4 header checksum is wrong.
    #[error("bad IPv4 header checksum")]
    BadIpv4Checksum,
    /// A fragment that ends beyond 65535 bytes, or one with more to follow whose length is no multiple of 8.
    #[error("bad fragment offset or length")]
    BadFragment,
    /// Ends within an IPv6 extension header.
    #[error("truncated IPv6 extension header")]
    TruncatedExtension,
    /// More than [`ipv6_walk::MAX_HEADERS`](super::ipv6_walk::MAX_HEADERS) extension headers.
    #[error("too many IPv6 extension headers")]
    TooManyExtensions,
    /// Extension headers longer together than [`ipv6_walk::MAX_BYTES`](super::ipv6_walk::MAX_BYTES).
    #[error("IPv6 extension headers too long")]
    ExtensionsTooLong,
    /// Hop-by-hop options elsewhere than right behind the IPv6 header, or a second fragment header (RFC 8200 section 4.1).
    #[error("IPv6 extension header out of place")]
    BadExtensionOrder,
    /// Ends within the L4 header (TCP options included), and is not a later fragment.
    #[error("truncated L4 header")]
    TruncatedL4,
    /// TCP data offset below 5.
    #[error("bad TCP header length")]
    BadTcpHeaderLength,
}

impl ParseError {
    /// How many causes there are: values are `0..COUNT`.
    pub const COUNT: usize = Self::BadTcpHeaderLength as usize + 1;
}

/// Facts about a packet, beside those that have their own field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags(u8);

impl Flags {
    /// The IPv4 header has options.
    pub const V4_OPTIONS: Self = Self(1);
    /// The IPv6 packet has extension headers.
    pub const V6_EXTENSIONS: Self = Self(1 << 1);
    /// The destination MAC is a group (broadcast too).
    pub const L2_MULTICAST: Self = Self(1 << 2);
    /// The destination MAC is broadcast.
    pub const L2_BROADCAST: Self = Self(1 << 3);
    /// An ICMP or ICMPv6 echo request or reply: both ports are its identifier.
    pub const ICMP_ECHO: Self = Self(1 << 4);

    /// Is the flag (are all flags of the set) there?
    #[inline]
    pub const fn has(self, flag: Self) -> bool {
        self.0 & flag.0 == flag.0
    }

    #[inline(always)]
    fn set(&mut self, flag: Self, on: bool) {
        self.0 |= if on { flag.0 } else { 0 };
    }
}

/// What one walk over a frame found. Offsets count from the first byte given to [`parse`] or [`parse_ip`]. Addresses are not
/// copied: read them at [`l3`](Self::l3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parsed {
    /// Where the IP packet ends; what lies behind is padding. Without IP: the length of the frame.
    pub end: u32,
    /// Where the L3 header starts: behind Ethernet and VLAN tags.
    pub l3: u16,
    /// Where the L4 header (in a later fragment: the rest of the payload) starts. Without IP: `l3`.
    pub l4: u16,
    /// The ethertype behind the VLAN tags. From [`parse_ip`]: that of the IP found.
    pub ethertype: u16,
    /// L4 source port in host order. ICMP echo: the identifier. Zero for later fragments and where there are no ports.
    pub src_port: u16,
    /// L4 destination port, likewise.
    pub dst_port: u16,
    /// The outer VLAN id. None if untagged, or only priority-tagged (id 0).
    pub vlan: Option<VlanId>,
    /// L4 protocol: for IPv6 the last next header; for its later fragments the one which the fragment header names.
    pub proto: u8,
    /// IP or not.
    pub kind: IpKind,
    /// Fragment or not.
    pub fragment: Fragment,
    /// More facts.
    pub flags: Flags,
    /// The TCP flags byte, zero if there is no TCP header.
    pub tcp_flags: u8,
}

impl Parsed {
    /// Must this packet be keyed without ports, so that it meets the same decision as its sister fragments?
    #[inline]
    pub const fn is_fragment(&self) -> bool {
        !matches!(self.fragment, Fragment::No)
    }

    /// A TCP segment with SYN set (SYN-ACK included).
    #[inline]
    pub const fn is_tcp_syn(&self) -> bool {
        self.tcp_flags & super::tcp_flags::SYN != 0
    }

    /// How many VLAN tags stand before the ethertype (0..=2). Meaningless after [`parse_ip`].
    #[inline]
    pub const fn vlan_tags(&self) -> usize {
        (self.l3 as usize).saturating_sub(14) / 4
    }
}

/// Walks an Ethernet frame. An unknown ethertype is no error: the kind is then [`IpKind::None`].
///
/// # Errors
/// The first cause found, outermost header first.
#[inline]
pub fn parse(frame: &[u8]) -> Result<Parsed, ParseError> {
    let Some((eth, l3)) = frame.split_first_chunk::<14>() else {
        return Err(ParseError::TruncatedEthernet);
    };
    let [d0, d1, d2, d3, d4, d5, _, _, _, _, _, _, e0, e1] = *eth;
    let mut p = Parsed::at(14, frame.len(), u16::from_be_bytes([e0, e1]));
    if d0 & 1 != 0 {
        p.flags.set(Flags::L2_MULTICAST, true);
        p.flags.set(Flags::L2_BROADCAST, [d0, d1, d2, d3, d4, d5] == [0xff; 6]);
    }
    match p.ethertype {
        ethertype::IPV4 => v4(l3, p),
        ethertype::IPV6 => v6(l3, p),
        ethertype::VLAN | ethertype::QINQ | ethertype::QINQ_OLD => tagged(l3, p),
        _ => Ok(p),
    }
}

/// Walks a packet that starts with its IP header, like the payload of an MPLS label.
///
/// # Errors
/// As [`parse`]; [`ParseError::BadIpVersion`] if the version nibble is neither 4 nor 6.
#[inline]
pub fn parse_ip(packet: &[u8]) -> Result<Parsed, ParseError> {
    match packet.first().map(|b| b >> 4) {
        Some(4) => v4(packet, Parsed::at(0, packet.len(), ethertype::IPV4)),
        Some(6) => v6(packet, Parsed::at(0, packet.len(), ethertype::IPV6)),
        Some(_) => Err(ParseError::BadIpVersion),
        None => Err(ParseError::TruncatedIp),
    }
}

impl Parsed {
    #[inline(always)]
    fn at(l3: u16, len: usize, ethertype: u16) -> Self {
        Self {
            end: u32::try_from(len).unwrap_or(u32::MAX),
            l3,
            l4: l3,
            ethertype,
            src_port: 0,
            dst_port: 0,
            vlan: None,
            proto: 0,
            kind: IpKind::None,
            fragment: Fragment::No,
            flags: Flags(0),
            tcp_flags: 0,
        }
    }
}

/// Walks one or two VLAN tags and what follows. `rest` starts behind the first TPID.
#[inline(never)]
fn tagged(mut rest: &[u8], mut p: Parsed) -> Result<Parsed, ParseError> {
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
            p.vlan = VlanId::new(u32::from(vid)).ok();
        }
        p.ethertype = u16::from_be_bytes([e0, e1]);
        p.l3 += 4;
        p.l4 = p.l3;
        rest = behind;
        match p.ethertype {
            ethertype::IPV4 => return v4(rest, p),
            ethertype::IPV6 => return v6(rest, p),
            ethertype::VLAN | ethertype::QINQ | ethertype::QINQ_OLD => {}
            _ => return Ok(p),
        }
    }
    Err(ParseError::TooManyVlanTags)
}

/// Walks an IPv4 packet.
#[inline(always)]
fn v4(ip: &[u8], mut p: Parsed) -> Result<Parsed, ParseError> {
    let Some(header) = ip.first_chunk::<20>() else {
        return Err(ParseError::TruncatedIp);
    };
    let [first, _, t0, t1, _, _, f0, f1, _, proto, ..] = *header;
    let total = usize::from(u16::from_be_bytes([t0, t1]));
    let mut header_len = 20;
    if first == 0x45 {
        if !checksum::ipv4_header_ok(header) {
            return Err(ParseError::BadIpv4Checksum);
        }
    } else {
        header_len = v4_with_options(ip, first)?;
        p.flags.set(Flags::V4_OPTIONS, true);
    }
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
    p.kind = IpKind::V4;
    p.proto = proto;
    p.end = u32::from(p.l3) + total as u32;
    p.l4 = p.l3 + header_len as u16;

    let frag = u16::from_be_bytes([f0, f1]);
    // MF or an offset.
    if frag & 0x3fff != 0 {
        p.fragment = fragment(usize::from(frag & 0x1fff) * 8, frag & 0x2000 != 0, payload.len())?;
        if p.fragment == Fragment::Later {
            return Ok(p);
        }
    }
    l4(payload, p)
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
    if offset + len > 0xffff || (more && len % 8 != 0) {
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
fn v6(ip: &[u8], mut p: Parsed) -> Result<Parsed, ParseError> {
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
    p.kind = IpKind::V6;
    p.proto = next;
    p.l4 = p.l3 + 40;
    p.end = u32::from(p.l4) + len as u32;
    if ipv6_walk::is_extension(next) {
        return v6_extensions(payload, p);
    }
    l4(payload, p)
}

/// Walks IPv6 extension headers and what follows.
#[cold]
fn v6_extensions(payload: &[u8], mut p: Parsed) -> Result<Parsed, ParseError> {
    if payload.is_empty() {
        // A jumbogram (RFC 2675), or a header that is not there.
        return Err(ParseError::BadTotalLength);
    }
    let walk = ipv6_walk::walk(p.proto, payload)?;
    p.flags.set(Flags::V6_EXTENSIONS, true);
    p.proto = walk.proto;
    p.l4 += walk.len;
    p.fragment = walk.fragment;
    if p.fragment == Fragment::Later {
        return Ok(p);
    }
    l4(payload.get(usize::from(walk.len)..).unwrap_or_default(), p)
}

/// Reads ports, or what stands for them, from an L4 header.
#[inline(always)]
fn l4(payload: &[u8], mut p: Parsed) -> Result<Parsed, ParseError> {
    if p.proto == proto::TCP {
        let Some(header) = payload.first_chunk::<20>() else {
            return Err(ParseError::TruncatedL4);
        };
        let header_len = usize::from(header[12] >> 4) * 4;
        if header_len < 20 {
            return Err(ParseError::BadTcpHeaderLength);
        }
        if header_len > payload.len() {
            return Err(ParseError::TruncatedL4);
        }
        p.tcp_flags = header[13];
        p.src_port = u16::from_be_bytes([header[0], header[1]]);
        p.dst_port = u16::from_be_bytes([header[2], header[3]]);
        return Ok(p);
    }
    if p.proto == proto::UDP {
        let Some(header) = payload.first_chunk::<8>() else {
            return Err(ParseError::TruncatedL4);
        };
        p.src_port = u16::from_be_bytes([header[0], header[1]]);
        p.dst_port = u16::from_be_bytes([header[2], header[3]]);
        return Ok(p);
    }
    other_l4(payload, p)
}

/// L4 protocols less common than TCP and UDP. Those unknown here are opaque: no ports, no least length.
fn other_l4(payload: &[u8], mut p: Parsed) -> Result<Parsed, ParseError> {
    match (p.kind, p.proto) {
        (_, proto::SCTP) => {
            let Some(header) = payload.first_chunk::<12>() else {
                return Err(ParseError::TruncatedL4);
            };
            p.src_port = u16::from_be_bytes([header[0], header[1]]);
            p.dst_port = u16::from_be_bytes([header[2], header[3]]);
        }
        (IpKind::V4, proto::ICMP) | (IpKind::V6, proto::ICMPV6) => {
            let Some(header) = payload.first_chunk::<8>() else {
                return Err(ParseError::TruncatedL4);
            };
            let echo = match p.kind {
                IpKind::V4 => matches!(header[0], 0 | 8),
                _ => matches!(header[0], 128 | 129),
            };
            if echo {
                p.flags.set(Flags::ICMP_ECHO, true);
                p.src_port = u16::from_be_bytes([header[4], header[5]]);
                p.dst_port = p.src_port;
            }
        }
        _ => {}
    }
    Ok(p)
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
