//! What one walk over a frame finds: [`Parsed`], or the [`ParseError`] that says why the frame cannot be believed.

use super::VlanId;

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
    /// More than [`MAX_VLAN_TAGS`](super::parse::MAX_VLAN_TAGS) tags.
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
    /// No flag.
    pub const NONE: Self = Self(0);
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

    /// Those of both.
    #[inline(always)]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What one walk over a frame found. Offsets count from the first byte given to [`parse`](super::parse()) or
/// [`parse_ip`](super::parse_ip). Addresses are not
/// copied: read them at [`l3`](Self::l3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parsed {
    /// Where the IP packet ends; what lies behind is padding. Without IP: the length of the frame.
    pub end: u32,
    /// Where the L3 header starts: behind Ethernet and VLAN tags.
    pub l3: u16,
    /// Where the L4 header (in a later fragment: the rest of the payload) starts. Without IP: `l3`.
    pub l4: u16,
    /// The ethertype behind the VLAN tags. From [`parse_ip`](super::parse_ip): that of the IP found.
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
    /// Of nothing.
    pub const NOTHING: Self = Self {
        end: 0,
        l3: 0,
        l4: 0,
        ethertype: 0,
        src_port: 0,
        dst_port: 0,
        vlan: None,
        proto: 0,
        kind: IpKind::None,
        fragment: Fragment::No,
        flags: Flags::NONE,
        tcp_flags: 0,
    };

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

    /// How many VLAN tags stand before the ethertype (0..=2). Meaningless after [`parse_ip`](super::parse_ip).
    #[inline]
    pub const fn vlan_tags(&self) -> usize {
        (self.l3 as usize).saturating_sub(14) / 4
    }
}
