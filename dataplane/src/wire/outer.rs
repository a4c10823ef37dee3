//! Prebuilt outer headers: everything in front of a tunnelled packet, made once per next hop and patched per packet.
//!
//! Ethernet, at most one VLAN tag, IPv4 or IPv6, UDP, then VXLAN (RFC 7348), VXLAN with an inner Ethernet header for routed
//! packets, or one MPLS label (RFC 7510); or GRE and ERSPAN, for mirrored frames.

use core::net::{Ipv4Addr, Ipv6Addr};

use super::bytes::put_u16;
use super::checksum::{Sum, fill_l4, pseudo_v4, pseudo_v6};
use super::eth::{self, VlanTag};
use super::ipv4::{self, Ipv4Header};
use super::ipv6::{self, Ipv6Header};
use super::mpls::Entry;
use super::{Ipv4, Ipv6, Label, Mac, VlanId, Vni, WireError, erspan, ethertype, proto, udp, vxlan};

/// Bytes set aside for a template; the longest (VLAN, IPv6, routed VXLAN) has 88.
pub const MAX_LEN: usize = 128;

/// Addresses of the tunnel's ends: of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ends {
    /// IPv4 underlay.
    V4 {
        /// Our VTEP.
        src: Ipv4Addr,
        /// Theirs.
        dst: Ipv4Addr,
    },
    /// IPv6 underlay.
    V6 {
        /// Our VTEP.
        src: Ipv6Addr,
        /// Theirs.
        dst: Ipv6Addr,
    },
}

/// What stands between UDP and the inner packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encap {
    /// VXLAN before an Ethernet frame.
    Vxlan {
        /// Network.
        vni: Vni,
    },
    /// VXLAN and an inner Ethernet header before an IP packet (RFC 9135, 9136).
    RoutedVxlan {
        /// Network.
        vni: Vni,
        /// Inner destination: the router MAC of the far end.
        dst: Mac,
        /// Inner source: our router MAC.
        src: Mac,
    },
    /// One MPLS label before an IP packet.
    Mpls {
        /// Label; bottom of stack.
        label: Label,
    },
    /// ERSPAN over GRE before an Ethernet frame: no UDP. Written by [`Outer::apply_erspan`] only.
    Erspan {
        /// Session, 0 to 1023.
        session: u16,
    },
}

impl Encap {
    /// IP protocol that carries it.
    const fn proto(self) -> u8 {
        match self {
            Self::Erspan { .. } => proto::GRE,
            _ => proto::UDP,
        }
    }
}

/// What an outer header is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OuterSpec {
    /// Outer destination: the next hop on the underlay.
    pub dst_mac: Mac,
    /// Outer source: our uplink.
    pub src_mac: Mac,
    /// VLAN of the underlay.
    pub vlan: Option<VlanId>,
    /// Addresses.
    pub ends: Ends,
    /// TTL or hop limit; 64 is customary.
    pub ttl: u8,
    /// Set DF (IPv4 only; IPv6 is never fragmented on the way).
    pub dont_fragment: bool,
    /// Send a real UDP checksum instead of zero. Zero is right for IPv4 (RFC 7348, 7510) and allowed for tunnels over IPv6
    /// (RFC 6935, 6936). [`Outer::fill_udp_checksum`] must then be called once the packet is whole.
    pub udp_checksum: bool,
    /// Encapsulation.
    pub encap: Encap,
}

/// What is different from packet to packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PerPacket {
    /// Bytes behind the header.
    pub inner_len: usize,
    /// UDP source port, see [`udp::entropy_port`]. IPv6: the flow label too (RFC 6438).
    pub entropy_port: u16,
    /// Outer DSCP and ECN. MPLS: the top three bits are the traffic class of the label (RFC 5462).
    pub tos: u8,
    /// MPLS: TTL of the label, that of the inner packet in the uniform model. Unused by VXLAN.
    pub ttl: u8,
    /// IPv4 identification. Zero is right with DF set (RFC 6864).
    pub ip_id: u16,
    /// Routed VXLAN: ethertype of the inner packet. Unused otherwise.
    pub inner_ethertype: u16,
}

/// A prebuilt outer header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outer {
    bytes: [u8; MAX_LEN],
    len: u8,
    l3: u8,
    encap_at: u8,
    v6: bool,
    udp_checksum: bool,
    encap: Encap,
    /// IPv4: sum of the header without TOS, total length, identification and checksum.
    partial: Sum,
}

/// Appends to a fixed buffer.
struct Writer {
    bytes: [u8; MAX_LEN],
    len: usize,
}

impl Writer {
    fn push<const N: usize>(&mut self, part: [u8; N]) {
        super::bytes::put(&mut self.bytes, self.len, part);
        self.len += N;
    }
}

impl Outer {
    /// Builds the template.
    pub fn new(spec: &OuterSpec) -> Self {
        let mut w = Writer {
            bytes: [0; MAX_LEN],
            len: 0,
        };
        let ip_type = match spec.ends {
            Ends::V4 { .. } => ethertype::IPV4,
            Ends::V6 { .. } => ethertype::IPV6,
        };
        w.push(eth::header(
            spec.dst_mac,
            spec.src_mac,
            if spec.vlan.is_some() { ethertype::VLAN } else { ip_type },
        ));
        if let Some(vlan) = spec.vlan {
            let [_, _, t0, t1] = VlanTag::new(ethertype::VLAN, vlan).to_bytes();
            w.push([t0, t1]);
            w.push(ip_type.to_be_bytes());
        }
        let l3 = w.len;
        let mut partial = Sum::ZERO;
        match spec.ends {
            Ends::V4 { src, dst } => {
                let header = Ipv4Header {
                    tos: 0,
                    total_len: 0,
                    id: 0,
                    dont_fragment: spec.dont_fragment,
                    ttl: spec.ttl,
                    proto: spec.encap.proto(),
                    src,
                    dst,
                };
                let mut header = header.to_bytes();
                Ipv4::new_unchecked(&mut header).set_checksum(0);
                partial = Sum::of(&header);
                w.push(header);
            }
            Ends::V6 { src, dst } => w.push(
                Ipv6Header {
                    traffic_class: 0,
                    flow_label: 0,
                    payload_len: 0,
                    next_header: spec.encap.proto(),
                    hop_limit: spec.ttl,
                    src,
                    dst,
                }
                .to_bytes(),
            ),
        }
        match spec.encap {
            Encap::Mpls { .. } => w.push(udp::header(0, udp::PORT_MPLS, 0)),
            Encap::Vxlan { .. } | Encap::RoutedVxlan { .. } => w.push(udp::header(0, udp::PORT_VXLAN, 0)),
            Encap::Erspan { .. } => {}
        }
        let encap_at = w.len;
        match spec.encap {
            Encap::Vxlan { vni } => w.push(vxlan::header(vni)),
            Encap::RoutedVxlan { vni, dst, src } => {
                w.push(vxlan::header(vni));
                w.push(eth::header(dst, src, 0));
            }
            Encap::Mpls { label } => w.push(
                Entry {
                    label,
                    tc: 0,
                    bottom: true,
                    ttl: 0,
                }
                .to_bytes(),
            ),
            // All of it is written per copy.
            Encap::Erspan { .. } => w.push([0; erspan::HEADER_LEN]),
        }
        Self {
            bytes: w.bytes,
            len: w.len as u8,
            l3: l3 as u8,
            encap_at: encap_at as u8,
            v6: matches!(spec.ends, Ends::V6 { .. }),
            udp_checksum: spec.udp_checksum && spec.encap.proto() == proto::UDP,
            encap: spec.encap,
            partial,
        }
    }

    /// Length of the header: what [`apply`](Self::apply) writes.
    #[inline]
    #[allow(clippy::len_without_is_empty)] // It never is.
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// Where the outer IP header starts.
    #[inline]
    pub const fn l3(&self) -> usize {
        self.l3 as usize
    }

    /// Where what belongs to one inner packet starts (VXLAN or MPLS). A whole frame of many units for UDP segmentation
    /// repeats the bytes from here on before each unit.
    #[inline]
    pub const fn encap_at(&self) -> usize {
        self.encap_at as usize
    }

    /// Bytes by which this makes an inner packet longer for the underlay's IP MTU. With [`Encap::Vxlan`] the inner Ethernet
    /// header comes on top.
    #[inline]
    pub const fn overhead(&self) -> usize {
        self.len() - self.l3()
    }

    /// Must [`fill_udp_checksum`](Self::fill_udp_checksum) be called?
    #[inline]
    pub const fn wants_udp_checksum(&self) -> bool {
        self.udp_checksum
    }

    /// Writes the header, fit for one packet, into `dst`: the [`len`](Self::len) bytes right before it.
    ///
    /// # Errors
    /// `dst` has another length, or the outer IP packet would be longer than 65535 bytes, or this is for mirrored frames. What
    /// stands in `dst` then means nothing.
    #[inline]
    pub fn apply(&self, dst: &mut [u8], packet: &PerPacket) -> Result<(), WireError> {
        let (need, have) = (self.len(), dst.len());
        let template = self.bytes.get(..need).unwrap_or_default();
        if have != need {
            return Err(WireError::NoRoom {
                header: "outer header",
                need,
                have,
            });
        }
        let ip_len = self.overhead().saturating_add(packet.inner_len);
        if ip_len > 0xffff {
            return Err(too_long(ip_len));
        }
        dst.copy_from_slice(template);
        let Some((_, ip)) = dst.split_at_mut_checked(self.l3()) else {
            return Ok(());
        };
        let tail = if self.v6 {
            self.patch_v6(ip, ip_len, packet)
        } else {
            self.patch_v4(ip, ip_len, packet)
        };
        match self.encap {
            Encap::Vxlan { .. } => {}
            Encap::RoutedVxlan { .. } => put_u16(tail, vxlan::HEADER_LEN + 12, packet.inner_ethertype),
            Encap::Mpls { .. } => {
                if let Some([_, _, label_tc_s, ttl]) = tail.first_chunk_mut::<4>() {
                    *label_tc_s |= packet.tos >> 5 << 1;
                    *ttl = packet.ttl;
                }
            }
            Encap::Erspan { .. } => {
                return Err(WireError::invalid(
                    "outer header",
                    "encapsulation",
                    0,
                    "not that of mirrored frames",
                ));
            }
        }
        Ok(())
    }

    /// As [`apply`](Self::apply), for a mirrored frame in ERSPAN.
    ///
    /// # Errors
    /// As [`apply`](Self::apply), and when this is not ERSPAN.
    pub fn apply_erspan(&self, dst: &mut [u8], copy: &erspan::PerCopy) -> Result<(), WireError> {
        let Encap::Erspan { session } = self.encap else {
            return Err(WireError::invalid("outer header", "encapsulation", 0, "ERSPAN"));
        };
        let (need, have) = (self.len(), dst.len());
        let template = self.bytes.get(..need).unwrap_or_default();
        if have != need {
            return Err(WireError::NoRoom {
                header: "outer header",
                need,
                have,
            });
        }
        let ip_len = self.overhead().saturating_add(copy.inner_len);
        if ip_len > 0xffff {
            return Err(too_long(ip_len));
        }
        dst.copy_from_slice(template);
        let ip_at = self.l3();
        if self.v6 {
            put_u16(dst, ip_at + 4, (ip_len - ipv6::HEADER_LEN) as u16);
        } else {
            put_u16(dst, ip_at + 2, ip_len as u16);
            put_u16(dst, ip_at + 10, self.partial.add_u16(ip_len as u16).checksum());
        }
        super::bytes::put(dst, usize::from(self.encap_at), erspan::header(session, copy));
        Ok(())
    }

    /// Patches IPv4 and UDP; returns what follows them.
    #[inline(always)]
    fn patch_v4<'a>(&self, ip: &'a mut [u8], ip_len: usize, packet: &PerPacket) -> &'a mut [u8] {
        const UDP: usize = ipv4::HEADER_LEN;
        let Some((h, tail)) = ip.split_first_chunk_mut::<{ UDP + udp::HEADER_LEN }>() else {
            return &mut [];
        };
        let total = ip_len as u16;
        let udp_len = total - UDP as u16;
        let sum = self
            .partial
            .add_u16(u16::from(packet.tos))
            .add_u16(total)
            .add_u16(packet.ip_id);
        h[1] = packet.tos;
        [h[2], h[3]] = total.to_be_bytes();
        [h[4], h[5]] = packet.ip_id.to_be_bytes();
        [h[10], h[11]] = sum.checksum().to_be_bytes();
        [h[UDP], h[UDP + 1]] = packet.entropy_port.to_be_bytes();
        [h[UDP + 4], h[UDP + 5]] = udp_len.to_be_bytes();
        tail
    }

    /// Patches IPv6 and UDP; returns what follows them.
    #[inline(always)]
    fn patch_v6<'a>(&self, ip: &'a mut [u8], ip_len: usize, packet: &PerPacket) -> &'a mut [u8] {
        const UDP: usize = ipv6::HEADER_LEN;
        let Some((h, tail)) = ip.split_first_chunk_mut::<{ UDP + udp::HEADER_LEN }>() else {
            return &mut [];
        };
        let udp_len = (ip_len - UDP) as u16;
        let first = 6u32 << 28 | u32::from(packet.tos) << 20 | u32::from(packet.entropy_port);
        [h[0], h[1], h[2], h[3]] = first.to_be_bytes();
        [h[4], h[5]] = udp_len.to_be_bytes();
        [h[UDP], h[UDP + 1]] = packet.entropy_port.to_be_bytes();
        [h[UDP + 4], h[UDP + 5]] = udp_len.to_be_bytes();
        tail
    }

    /// Computes the real UDP checksum of a whole packet: the header that [`apply`](Self::apply) wrote and the inner packet
    /// behind it. Does nothing if the template was not made with one.
    pub fn fill_udp_checksum(&self, packet: &mut [u8]) {
        if !self.udp_checksum {
            return;
        }
        let Some(ip) = packet.get_mut(self.l3()..) else { return };
        let at = if self.v6 { ipv6::HEADER_LEN } else { ipv4::HEADER_LEN };
        let len = ip.len().saturating_sub(at) as u32;
        let pseudo = if self.v6 {
            let view = Ipv6::new_unchecked(&*ip);
            pseudo_v6(view.src(), view.dst(), proto::UDP, len)
        } else {
            let view = Ipv4::new_unchecked(&*ip);
            pseudo_v4(view.src(), view.dst(), proto::UDP, len)
        };
        fill_l4(ip.get_mut(at..).unwrap_or_default(), proto::UDP, pseudo);
    }
}

/// Most bytes that [`Wide`] writes: the longest of all outer headers fits.
pub const WIDE: usize = 96;

/// Bytes that [`Wide`] writes where they are enough: IPv4 without VLAN tag, or no inner Ethernet header.
pub const WIDE_SHORT: usize = 64;

/// A prebuilt outer header for whole packets to be routed, ready to be written in a few wide stores of a fixed number of bytes: the header
/// stands at their end, and those before it mean nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[repr(C)]
pub struct Wide {
    partial: Sum,
    len: u8,
    /// Bytes from the start of the outer IP header to the inner packet.
    overhead: u8,
    v6: bool,
    mpls: bool,
    /// The first eight bytes of the IP header, and the UDP header, as words read little end first, without what differs from packet to packet.
    head: u64,
    udp: u64,
    bytes: [u8; WIDE],
}

impl Wide {
    /// No header.
    pub const EMPTY: Self = Self {
        partial: Sum::ZERO,
        len: 0,
        overhead: 0,
        v6: false,
        mpls: false,
        head: 0,
        udp: 0,
        bytes: [0; WIDE],
    };

    /// Of a template for routed packets. `None`: it is of another kind, or its UDP checksum must be filled.
    pub fn new(outer: &Outer) -> Option<Self> {
        let mpls = match outer.encap {
            Encap::RoutedVxlan { .. } => false,
            Encap::Mpls { .. } => true,
            Encap::Vxlan { .. } | Encap::Erspan { .. } => return None,
        };
        if outer.udp_checksum {
            return None;
        }
        let mut bytes = [0; WIDE];
        let at = WIDE.checked_sub(outer.len())?;
        bytes.get_mut(at..)?.copy_from_slice(outer.bytes.get(..outer.len())?);
        let word = |at: usize| Some(u64::from_le_bytes(*outer.bytes.get(at..)?.first_chunk()?));
        let ip_header = if outer.v6 { ipv6::HEADER_LEN } else { ipv4::HEADER_LEN };
        Some(Self {
            head: word(outer.l3())?,
            // The destination port; there is no checksum.
            udp: word(outer.l3() + ip_header)? & 0xffff_0000,
            partial: outer.partial,
            len: outer.len,
            overhead: outer.overhead() as u8,
            v6: outer.v6,
            mpls,
            bytes,
        })
    }

    /// Length of the header.
    #[inline(always)]
    #[allow(clippy::len_without_is_empty)] // It never is.
    pub const fn len(&self) -> usize {
        self.len as usize
    }

    /// [`WIDE_SHORT`] bytes are enough.
    pub const fn is_short(&self) -> bool {
        self.len() <= WIDE_SHORT
    }

    /// Writes the header, fit for one packet, to the end of `front`, the bytes before the packet: what [`Outer::apply`] writes.
    /// `false`: the outer IP packet would be longer than 65535 bytes, or the header than `front`.
    #[inline(always)]
    pub fn apply<const N: usize>(&self, front: &mut [u8; N], packet: &PerPacket) -> bool {
        let overhead = usize::from(self.overhead);
        let ip_len = overhead + packet.inner_len;
        let (Some(bytes), true) = (self.bytes.last_chunk::<N>(), ip_len <= 0xffff && self.len() <= N) else {
            return false;
        };
        *front = *bytes;
        // In range: `new` made them so.
        let Some(ip) = front.get_mut(N.wrapping_sub(overhead)..) else {
            return false;
        };
        let len = (ip_len as u16).to_be();
        let port = u64::from(packet.entropy_port.to_be());
        if self.v6 {
            const UDP: usize = ipv6::HEADER_LEN;
            let Some(h) = ip.first_chunk_mut::<{ UDP + udp::HEADER_LEN }>() else {
                return false;
            };
            let udp_len = u64::from(((ip_len - UDP) as u16).to_be());
            let first = (u32::from(packet.tos) << 20 | u32::from(packet.entropy_port)).to_be();
            put_word(h, 0, self.head | u64::from(first) | udp_len << 32);
            put_word(h, UDP, self.udp | port | udp_len << 32);
        } else {
            const UDP: usize = ipv4::HEADER_LEN;
            let Some(h) = ip.first_chunk_mut::<{ UDP + udp::HEADER_LEN }>() else {
                return false;
            };
            let udp_len = u64::from(((ip_len - UDP) as u16).to_be());
            let sum = self
                .partial
                .add_u16(u16::from(packet.tos))
                .add_u16(ip_len as u16)
                .add_u16(packet.ip_id);
            let variable = u64::from(packet.tos) << 8 | u64::from(len) << 16 | u64::from(packet.ip_id.to_be()) << 32;
            put_word(h, 0, self.head | variable);
            h[10..12].copy_from_slice(&sum.checksum().to_be_bytes());
            put_word(h, UDP, self.udp | port | udp_len << 32);
        }
        let Some([a, b]) = front.last_chunk_mut::<2>() else {
            return false;
        };
        if self.mpls {
            *a |= packet.tos >> 5 << 1;
            *b = packet.ttl;
        } else {
            [*a, *b] = packet.inner_ethertype.to_be_bytes();
        }
        true
    }
}

/// Writes eight bytes that were made in the order in which this machine reads them: all of a header that varies, with what does not, in one store.
#[inline(always)]
fn put_word<const N: usize>(header: &mut [u8; N], at: usize, word: u64) {
    header[at..at + 8].copy_from_slice(&word.to_le_bytes());
}

#[cold]
fn too_long(ip_len: usize) -> WireError {
    WireError::invalid(
        "outer header",
        "IP length",
        u32::try_from(ip_len).unwrap_or(u32::MAX),
        "at most 65535",
    )
}

#[cfg(test)]
#[path = "outer_tests.rs"]
mod tests;
