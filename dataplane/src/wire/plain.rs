//! Packets as almost all of them are, known in one look: whole TCP or UDP behind an IP header without options or extensions.
//!
//! What [`parse`](super::parse) says of any packet in many steps, this says of such in few, or says nothing: then the packet must take
//! that longer walk, which also knows what is wrong with it. The two never disagree (a property holds it). Words are those of the machine, as they were read:
//! a header is loaded in a few wide reads and never looked at byte by byte.

use core::net::Ipv4Addr;

use super::{Fragment, IpKind, Mac, Parsed, ethertype, parsed::Flags, proto, tcp_flags};

/// What is known of a plain packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plain {
    /// IPv6, not IPv4.
    pub v6: bool,
    /// [`proto::TCP`] or [`proto::UDP`].
    pub proto: u8,
    /// Bits of the TCP flags byte; 0 for UDP.
    pub tcp_flags: u8,
    /// Bytes of the IP packet.
    pub len: u16,
    /// Source address as two words read from the wire, little end first; IPv4: the low half of the first.
    pub source: [u64; 2],
    /// Destination address likewise.
    pub destination: [u64; 2],
    /// Source port, and above it the destination port.
    pub ports: u32,
    /// The checksum holds the sum of the pseudo header only: it is still to be completed.
    pub is_partial: bool,
}

/// Bytes of an IPv4 header without options.
const V4: usize = 20;
/// Bytes of an IPv6 header.
const V6: usize = 40;
/// Bytes of a UDP header.
const UDP: usize = 8;
/// Bytes of a TCP header without options.
const TCP: usize = 20;

#[inline(always)]
fn u64_at<const N: usize>(bytes: &[u8; N], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

#[inline(always)]
fn u32_at<const N: usize>(bytes: &[u8; N], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

/// The sum of an IPv4 header without options, of ones' complement.
#[inline(always)]
const fn sum_of(a: u64, b: u64, destination: u32) -> u64 {
    // With the carry, which no sum of two leaves no room for.
    let (sum, carry) = a.overflowing_add(b);
    let (sum, more) = (sum + carry as u64).overflowing_add(destination as u64);
    sum + more as u64
}

/// A sum of ones' complement is right if it is a multiple of 65535, other than zero; there is a version in it. (A multiplication by the inverse modulo
/// 2^64 makes small numbers of multiples, and of nothing else. Left to itself, the compiler takes the remainder, which takes thrice as long.)
#[inline(always)]
const fn is_right(sum: u64) -> bool {
    const INVERSE: u64 = 0xfffe_fffe_fffe_ffff;
    const { assert!(INVERSE.wrapping_mul(0xffff) == 1) };
    sum.wrapping_mul(INVERSE) <= u64::MAX / 0xffff
}

/// First bytes of IPv4 addresses that are surely those of single stations beyond the link.
const ROUTABLE_V4: [bool; 256] = {
    let mut routable = [false; 256];
    let mut first = 1;
    while first < 224 {
        routable[first] = first != 127 && first != 169;
        first += 1;
    }
    routable
};

/// The two 32-bit halves, to be summed.
#[inline(always)]
const fn halves(word: u64) -> u64 {
    (word & 0xffff_ffff) + (word >> 32)
}

/// Two ports as they were read, in the order of numbers.
#[inline(always)]
const fn ports(raw: u32) -> u32 {
    (raw & 0x00ff_00ff) << 8 | (raw >> 8) & 0x00ff_00ff
}

impl Plain {
    /// The ethertype of a frame to this one station, and what is behind it.
    #[inline(always)]
    pub fn behind_ethernet(frame: &[u8], to: Mac) -> Option<(u16, &[u8])> {
        let (ethernet, rest) = frame.split_first_chunk::<14>()?;
        let [a, b, c, d, e, f] = to.0;
        let to = u64::from_le_bytes([a, b, c, d, e, f, 0, 0]);
        // Of the eight bytes read, two are the source's.
        ((u64_at(ethernet, 0) ^ to) << 16 == 0).then_some((u16::from_be_bytes([ethernet[12], ethernet[13]]), rest))
    }

    /// The total length of an IPv4 packet that has no options, is no fragment, has no congestion mark, carries UDP and is for this station.
    #[inline(always)]
    pub fn datagram_v4(header: &[u8; V4], to: Ipv4Addr) -> Option<u16> {
        let (a, b, destination) = (u64_at(header, 0), u64_at(header, 8), u32_at(header, 16));
        // Version and length, ECN, "more fragments" and the offset: bytes 0, 1, 6 and 7.
        let is_plain = a & 0xff3f_0000_0000_03ff == 0x45 && (b >> 8) as u8 == proto::UDP;
        let ours = destination == u32::from_le_bytes(to.octets());
        (is_plain && ours && is_right(sum_of(a, b, destination))).then_some(((a >> 16) as u16).swap_bytes())
    }

    /// An IPv4 packet, perhaps with padding behind.
    #[inline(always)]
    pub fn v4(ip: &[u8]) -> Option<Self> {
        let header = ip.first_chunk::<{ V4 + UDP }>()?;
        let (a, b, destination) = (u64_at(header, 0), u64_at(header, 8), u32_at(header, 16));
        let sum = sum_of(a, b, destination);
        let len = ((a >> 16) as u16).swap_bytes();
        // Version and length of the header, "more fragments" and the offset: bytes 0, 6 and 7.
        if a & 0xff3f_0000_0000_00ff != 0x45 || usize::from(len) > ip.len() || !is_right(sum) {
            return None;
        }
        let source = (b >> 32) as u32;
        let pseudo = u64::from(source) + u64::from(destination);
        let plain = Self {
            v6: false,
            proto: (b >> 8) as u8,
            tcp_flags: 0,
            len,
            source: [u64::from(source), 0],
            destination: [u64::from(destination), 0],
            ports: ports(u32_at(header, 20)),
            is_partial: false,
        };
        plain.transport(ip, V4, u32_at(header, 24) >> 16, pseudo)
    }

    /// An IPv6 packet, perhaps with padding behind.
    #[inline(always)]
    pub fn v6(ip: &[u8]) -> Option<Self> {
        let header = ip.first_chunk::<{ V6 + UDP }>()?;
        let first = u64_at(header, 0);
        let payload = ((first >> 32) as u16).swap_bytes();
        let len = u32::from(payload) + V6 as u32;
        if first as u8 >> 4 != 6 || len as usize > ip.len() || len > 0xffff {
            return None;
        }
        let source = [u64_at(header, 8), u64_at(header, 16)];
        let destination = [u64_at(header, 24), u64_at(header, 32)];
        let pseudo = halves(source[0]) + halves(source[1]) + halves(destination[0]) + halves(destination[1]);
        let plain = Self {
            v6: true,
            proto: (first >> 48) as u8,
            tcp_flags: 0,
            len: len as u16,
            source,
            destination,
            ports: ports(u32_at(header, V6)),
            is_partial: false,
        };
        plain.transport(ip, V6, u32_at(header, V6 + 4) >> 16, pseudo)
    }

    /// Looks at the header behind the IP header of `at` bytes; `pseudo` is the sum of the addresses, `udp_check` what stands where UDP has its
    /// checksum.
    #[inline(always)]
    fn transport(mut self, ip: &[u8], at: usize, udp_check: u32, pseudo: u64) -> Option<Self> {
        let len = usize::from(self.len).checked_sub(at)?;
        let check = if self.proto == proto::UDP {
            if len < UDP {
                return None;
            }
            udp_check
        } else if self.proto == proto::TCP {
            let header = ip.get(at..)?.first_chunk::<TCP>()?;
            let header_len = usize::from(header[12] >> 4) * 4;
            if header_len < TCP || header_len > len {
                return None;
            }
            self.tcp_flags = header[13];
            u32_at(header, 16) & 0xffff
        } else {
            return None;
        };
        // All in the order in which it was read, so that nothing but these two has to be turned.
        let pseudo = pseudo + u64::from((len as u16).swap_bytes()) + (u64::from(self.proto) << 8);
        // Equal as numbers of ones' complement; neither is zero.
        self.is_partial = check != 0 && (pseudo + 0xffff - u64::from(check)).is_multiple_of(0xffff);
        Some(self)
    }

    /// A TCP segment with SYN set.
    #[inline(always)]
    pub const fn is_tcp_syn(&self) -> bool {
        self.tcp_flags & tcp_flags::SYN != 0
    }

    /// Both addresses are surely those of single stations beyond the link, which are routed without a second thought. (Some that are routed are not
    /// told so here: all of 169.0.0.0/8 and of ::/64, for one.)
    #[inline(always)]
    pub fn is_surely_routable(&self) -> bool {
        let (source, destination) = (self.source[0], self.destination[0]);
        if self.v6 {
            // ff00::/8, fe80::/10 and more; ::, ::1 and more.
            let surely = |address: u64| (address as u8) < 0xfe && address != 0;
            surely(source) & surely(destination)
        } else {
            ROUTABLE_V4[usize::from(source as u8)] & ROUTABLE_V4[usize::from(destination as u8)]
        }
    }

    /// As the long walk over the IP packet says it.
    #[inline]
    pub fn parsed(&self) -> Parsed {
        let ports = [self.ports as u16, (self.ports >> 16) as u16];
        Self::parsed_as(self.v6, self.proto, self.tcp_flags, self.len.into(), ports)
    }

    /// What the long walk says of a plain packet of this family and protocol, with these TCP flags, of so many bytes, between these ports.
    #[inline]
    pub fn parsed_as(v6: bool, proto: u8, tcp_flags: u8, len: u32, [src_port, dst_port]: [u16; 2]) -> Parsed {
        let (kind, l4, ethertype) = if v6 {
            (IpKind::V6, V6 as u16, ethertype::IPV6)
        } else {
            (IpKind::V4, V4 as u16, ethertype::IPV4)
        };
        Parsed {
            end: len,
            l3: 0,
            l4,
            ethertype,
            src_port,
            dst_port,
            vlan: None,
            proto,
            kind,
            fragment: Fragment::No,
            flags: Flags::NONE,
            tcp_flags,
        }
    }
}

#[cfg(test)]
#[path = "plain_tests.rs"]
mod tests;
