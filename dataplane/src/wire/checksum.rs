//! The Internet checksum: RFC 1071 sums, RFC 1624 incremental updates, pseudo headers, partial checksums.
//!
//! Two forms of a checksum field exist. A *complete* one is the complement of the sum over pseudo header and payload. A
//! *partial* one (Linux: `CHECKSUM_PARTIAL`) is the uncomplemented sum of the pseudo header alone; whoever sends the packet
//! onto a real wire must complete it. Frames from containers usually carry the second form.

use core::net::{Ipv4Addr, Ipv6Addr};

use super::bytes::{get_u16, put_u16};
use super::proto;

/// A ones' complement sum in the making.
///
/// Kept in the byte order of the machine: RFC 1071 section 2(B) shows that the order only matters when the sum is folded. Any
/// number of packets' worth of data can be added before the 64 bits could overflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sum(u64);

/// Lanes summed side by side: wide enough that LLVM uses the whole vector unit.
const LANES: usize = 8;

/// Bytes summed at once: four in each lane.
const BLOCK: usize = LANES * 4;

/// Adds a block to lanes, none of which can overflow: no data are that long. In plain loops, since iterators laid over each other are not always made one piece by
/// the compiler, and this must be.
#[inline(always)]
fn add_block(lanes: &mut [u64; LANES], block: &[u8; BLOCK]) {
    let mut lane = 0;
    while lane < LANES {
        let at = lane * 4;
        let word = [block[at], block[at + 1], block[at + 2], block[at + 3]];
        lanes[lane] = lanes[lane].wrapping_add(u64::from(u32::from_ne_bytes(word)));
        lane += 1;
    }
}

/// The sum of all lanes.
#[inline(always)]
fn across(lanes: &[u64; LANES]) -> u64 {
    let [a, b, c, d, e, f, g, h] = *lanes;
    a.wrapping_add(b)
        .wrapping_add(c)
        .wrapping_add(d)
        .wrapping_add(e)
        .wrapping_add(f)
        .wrapping_add(g)
        .wrapping_add(h)
}

impl Sum {
    /// The empty sum.
    pub const ZERO: Self = Self(0);

    /// The sum of `data`; a last odd byte counts as if a zero byte followed (RFC 1071).
    #[inline]
    pub fn of(data: &[u8]) -> Self {
        Self::ZERO.add_bytes(data)
    }

    /// Adds `data`, which must start at an even offset of what is summed.
    #[inline]
    #[must_use]
    pub fn add_bytes(self, data: &[u8]) -> Self {
        let (blocks, rest) = data.as_chunks::<BLOCK>();
        let mut lanes = [0; LANES];
        for block in blocks {
            add_block(&mut lanes, block);
        }
        let (words, rest) = rest.as_chunks::<4>();
        let mut sum = self.0.wrapping_add(across(&lanes));
        for word in words {
            sum = sum.wrapping_add(u64::from(u32::from_ne_bytes(*word)));
        }
        Self(sum.wrapping_add(u64::from(ne32(rest))))
    }

    /// Adds `from` as [`add_bytes`](Self::add_bytes) does while copying it to the head of `to`: one pass over memory instead of two.
    /// Of slices of unequal length, as much is copied and added as fits into the shorter.
    #[inline]
    #[must_use]
    pub fn add_copied(self, from: &[u8], to: &mut [u8]) -> Self {
        let len = from.len().min(to.len());
        let (from, to) = (
            from.get(..len).unwrap_or_default(),
            to.get_mut(..len).unwrap_or_default(),
        );
        let (blocks, rest) = from.as_chunks::<BLOCK>();
        let (places, rest_place) = to.as_chunks_mut::<BLOCK>();
        let mut lanes = [0; LANES];
        let count = blocks.len().min(places.len());
        let (blocks, places) = (&blocks[..count], &mut places[..count]);
        for index in 0..count {
            places[index] = blocks[index];
            add_block(&mut lanes, &blocks[index]);
        }
        rest_place.copy_from_slice(rest);
        Self(self.0.wrapping_add(across(&lanes))).add_bytes(rest)
    }

    /// Adds a 16-bit number as it would stand on the wire.
    #[inline]
    #[must_use]
    pub const fn add_u16(self, value: u16) -> Self {
        Self(self.0 + value.to_be() as u64)
    }

    /// Adds a 32-bit number as it would stand on the wire.
    #[inline]
    #[must_use]
    pub const fn add_u32(self, value: u32) -> Self {
        Self(self.0 + value.to_be() as u64)
    }

    /// Adds another sum, of data of even length.
    #[inline]
    #[must_use]
    pub const fn add_sum(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    /// The sum folded to 16 bits, as a number (not complemented): what a partial checksum field holds.
    #[inline]
    pub const fn fold(self) -> u16 {
        u16::from_be(self.fold_ne())
    }

    /// The checksum: the complement of the folded sum.
    #[inline]
    pub const fn checksum(self) -> u16 {
        !self.fold()
    }

    /// Is this the sum of data whose checksum field is right? (All ones once folded.)
    #[inline]
    pub const fn is_valid(self) -> bool {
        self.fold_ne() == 0xffff
    }

    const fn fold_ne(self) -> u16 {
        let s = (self.0 & 0xffff_ffff) + (self.0 >> 32);
        let s = (s & 0xffff) + (s >> 16);
        let s = (s & 0xffff) + (s >> 16);
        ((s & 0xffff) + (s >> 16)) as u16
    }
}

/// Up to four bytes as a number in machine order, zero-padded behind.
#[inline(always)]
fn ne32(word: &[u8]) -> u32 {
    match *word {
        [a, b, c, d] => u32::from_ne_bytes([a, b, c, d]),
        [a, b, c] => u32::from_ne_bytes([a, b, c, 0]),
        [a, b] => u32::from_ne_bytes([a, b, 0, 0]),
        [a] => u32::from_ne_bytes([a, 0, 0, 0]),
        _ => 0,
    }
}

/// Is the checksum of this plain 20-byte IPv4 header right?
#[inline(always)]
pub fn ipv4_header_ok(header: &[u8; 20]) -> bool {
    let mut sum = 0u64;
    for word in header.chunks_exact(4) {
        sum += u64::from(ne32(word));
    }
    Sum(sum).is_valid()
}

/// The pseudo header sum for IPv4 (RFC 768, 9293): `len` is that of the L4 header and payload.
#[inline]
pub const fn pseudo_v4(src: Ipv4Addr, dst: Ipv4Addr, proto: u8, len: u32) -> Sum {
    Sum::ZERO
        .add_u32(src.to_bits())
        .add_u32(dst.to_bits())
        .add_u32(len)
        .add_u16(proto as u16)
}

/// The pseudo header sum for IPv6 (RFC 8200 section 8.1): `len` is that of the L4 header and payload, `proto` the last next
/// header.
#[inline]
pub const fn pseudo_v6(src: Ipv6Addr, dst: Ipv6Addr, proto: u8, len: u32) -> Sum {
    add_u128(add_u128(Sum::ZERO, src.to_bits()), dst.to_bits())
        .add_u32(len)
        .add_u16(proto as u16)
}

const fn add_u128(sum: Sum, value: u128) -> Sum {
    let (high, low) = ((value >> 64) as u64, value as u64);
    sum.add_u32((high >> 32) as u32)
        .add_u32(high as u32)
        .add_u32((low >> 32) as u32)
        .add_u32(low as u32)
}

/// What rewriting some fields does to a checksum that covers them (RFC 1624): gather the changes, then apply once to each
/// checksum concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Delta(Sum);

impl Delta {
    /// No change.
    pub const NONE: Self = Self(Sum::ZERO);

    /// A 16-bit field changes.
    #[inline]
    #[must_use]
    pub const fn u16(self, old: u16, new: u16) -> Self {
        Self(self.0.add_u16(!old).add_u16(new))
    }

    /// A 32-bit field (a v4 address) changes.
    #[inline]
    #[must_use]
    pub const fn u32(self, old: u32, new: u32) -> Self {
        Self(self.0.add_u32(!old).add_u32(new))
    }

    /// A 128-bit field (a v6 address) changes.
    #[inline]
    #[must_use]
    pub const fn u128(self, old: u128, new: u128) -> Self {
        Self(add_u128(add_u128(self.0, !old), new))
    }

    /// The new value of a complete checksum: `HC' = ~(~HC + ~m + m')`, equation 3 of RFC 1624.
    #[inline]
    pub const fn apply(self, check: u16) -> u16 {
        self.0.add_u16(!check).checksum()
    }

    /// The new value of a complete UDP checksum: zero means "none" and stays, and a computed zero is written as all ones
    /// (RFC 768).
    #[inline]
    pub const fn apply_udp(self, check: u16) -> u16 {
        if check == 0 { 0 } else { nonzero(self.apply(check)) }
    }

    /// The new value of a partial checksum, where the changed fields belong to the pseudo header.
    #[inline]
    pub const fn apply_partial(self, check: u16) -> u16 {
        self.0.add_u16(check).fold()
    }
}

/// All ones for zero: the two are the same number in ones' complement, and UDP needs the former.
const fn nonzero(check: u16) -> u16 {
    if check == 0 { 0xffff } else { check }
}

/// A checksum after one 16-bit field changed (RFC 1624).
#[inline]
pub const fn update_u16(check: u16, old: u16, new: u16) -> u16 {
    Delta::NONE.u16(old, new).apply(check)
}

/// A checksum after one 32-bit field changed (RFC 1624).
#[inline]
pub const fn update_u32(check: u16, old: u32, new: u32) -> u16 {
    Delta::NONE.u32(old, new).apply(check)
}

/// A checksum after one 128-bit field changed (RFC 1624).
#[inline]
pub const fn update_u128(check: u16, old: u128, new: u128) -> u16 {
    Delta::NONE.u128(old, new).apply(check)
}

/// Where the checksum field stands in the header of `proto`, for those whose checksum is an Internet checksum.
#[inline]
pub const fn field_offset(proto: u8) -> Option<usize> {
    match proto {
        proto::TCP => Some(16),
        proto::UDP => Some(6),
        proto::ICMP | proto::ICMPV6 => Some(2),
        _ => None,
    }
}

/// Is the checksum field of this TCP or UDP header only the sum of the pseudo header `pseudo` (partial)?
///
/// One complete checksum in 65535 looks the same by chance. That does no harm: [`complete_l4`] leaves exactly those as they
/// are, and a sender that is told to complete them arrives at the same value.
#[inline]
pub fn is_partial(l4: &[u8], proto: u8, pseudo: Sum) -> bool {
    match (proto, field_offset(proto)) {
        (proto::TCP | proto::UDP, Some(at)) if l4.len() >= at + 2 => {
            let field = get_u16(l4, at);
            // UDP zero is "no checksum"; a pseudo header sum of a real packet is never zero.
            field == pseudo.fold() && field != 0
        }
        _ => false,
    }
}

/// Completes a partial checksum: `l4` is the whole L4 header and payload, its checksum field holding the pseudo header sum.
/// Does nothing for protocols other than TCP and UDP.
pub fn complete_l4(l4: &mut [u8], proto: u8) {
    let Some(at) = field_offset(proto).filter(|_| matches!(proto, proto::TCP | proto::UDP)) else {
        return;
    };
    complete_at(l4, at);
}

/// As [`complete_l4`], of a header whose checksum stands at `field`: 16 for TCP, 6 for UDP.
#[inline]
pub fn complete_at(l4: &mut [u8], field: usize) {
    let check = Sum::of(l4).checksum();
    // Zero says "none" in UDP, and there alone.
    let is_udp = field_offset(proto::UDP) == Some(field);
    put_u16(l4, field, if is_udp { nonzero(check) } else { check });
}

/// Computes and writes the checksum of an L4 header and payload from scratch. ICMP (v4) has no pseudo header: give
/// [`Sum::ZERO`]. Does nothing for protocols without an Internet checksum.
pub fn fill_l4(l4: &mut [u8], proto: u8, pseudo: Sum) {
    let Some(at) = field_offset(proto) else { return };
    put_u16(l4, at, 0);
    let check = pseudo.add_bytes(l4).checksum();
    put_u16(l4, at, if proto == proto::UDP { nonzero(check) } else { check });
}

/// Is the complete checksum of an L4 header and payload right? UDP zero ("none") counts as right; whether it is allowed is
/// for the caller to say (over IPv6 only in tunnels, RFC 6935).
pub fn verify_l4(l4: &[u8], proto: u8, pseudo: Sum) -> bool {
    match field_offset(proto) {
        Some(at) if l4.len() >= at + 2 => {
            (proto == proto::UDP && get_u16(l4, at) == 0) || pseudo.add_bytes(l4).is_valid()
        }
        Some(_) => false,
        None => true,
    }
}

#[cfg(test)]
#[path = "checksum_tests.rs"]
mod tests;
