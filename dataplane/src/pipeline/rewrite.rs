//! Small changes to a packet in place: hop limit, congestion marks, checksums, segment size.

use crate::{
    packet::{Frame, Partial},
    wire::{IpKind, Parsed, checksum, offload},
};

/// Notices a checksum that the sender's kernel left for hardware to finish (only the pseudo header is summed): what leaves a
/// veth looks so, and nothing tells. It stays open until the packet goes where nobody else will sum it; a receiver on this host
/// need not. `parsed` is of the whole frame.
#[inline]
pub(super) fn notice_partial(frame: &mut Frame, parsed: &Parsed) {
    let Some(partial) = Partial::of(parsed.proto, parsed.l4.into()) else {
        return;
    };
    if parsed.end as usize != frame.len() {
        // Padding behind the packet is not to be summed: it cannot be left to others.
        offload::complete(frame.data_mut(), parsed);
    } else if offload::is_partial(frame.data(), parsed) {
        frame.set_partial(partial);
    }
}

/// Sum of the pseudo header of a packet whose IP header is `ip`.
#[inline]
pub(super) fn pseudo_header(kind: IpKind, ip: &[u8], proto: u8, len: usize) -> checksum::Sum {
    let addresses = match kind {
        IpKind::V6 => ip.get(8..40),
        _ => ip.get(12..20),
    };
    checksum::Sum::of(addresses.unwrap_or_default())
        .add_u32(len as u32)
        .add_u16(u16::from(proto))
}

/// The TTL or hop limit of an IP packet.
#[inline]
pub(super) fn hop_limit(ip: &[u8], v6: bool) -> u8 {
    ip.get(if v6 { 7 } else { 8 }).copied().unwrap_or(0)
}

/// Counts the hop limit down by one. The caller has seen that it is above one.
#[inline]
pub(super) fn decrement_hop_limit(ip: &mut [u8], v6: bool) {
    if v6 {
        if let Some(limit) = ip.get_mut(7) {
            *limit = limit.wrapping_sub(1);
        }
    } else if let Some(header) = ip.first_chunk_mut::<20>() {
        header[8] = header[8].wrapping_sub(1);
        // The TTL is the high byte of its word: the sum went down by 0x0100, so the checksum goes up by it (RFC 1624).
        let check = u32::from(u16::from_be_bytes([header[10], header[11]])) + 0x0100;
        let check = (check + (check >> 16)) as u16;
        [header[10], header[11]] = check.to_be_bytes();
    }
}

/// Counts the hop limit down by one, if it is above one, by the first bytes of an IP header. As [`decrement_hop_limit`], in one look.
#[inline(always)]
pub(super) fn travel_on(ip: &mut [u8; 20], v6: bool) -> bool {
    if v6 {
        let limit = ip[7];
        if limit > 1 {
            ip[7] = limit - 1;
        }
        return limit > 1;
    }
    let limit = ip[8];
    if limit <= 1 {
        return false;
    }
    ip[8] = limit - 1;
    // What the sum of words loses of its high byte the checksum gains, read here as this machine does, with that byte as the low one.
    let (check, carry) = u16::from_le_bytes([ip[10], ip[11]]).overflowing_add(1);
    [ip[10], ip[11]] = check.wrapping_add(u16::from(carry)).to_le_bytes();
    true
}

/// DSCP and ECN of an IP packet, as in the IPv4 header's second byte.
#[inline]
pub(super) fn traffic_class(ip: &[u8], v6: bool) -> u8 {
    match ip.first_chunk::<2>() {
        Some([a, b]) if v6 => a << 4 | b >> 4,
        Some([_, b]) => *b,
        None => 0,
    }
}

/// Sets DSCP and ECN of an IP packet.
#[inline]
pub(super) fn set_traffic_class(ip: &mut [u8], v6: bool, class: u8) {
    if v6 {
        if let Some([a, b, ..]) = ip.first_chunk_mut::<2>() {
            *a = *a & 0xf0 | class >> 4;
            *b = *b & 0x0f | class << 4;
        }
    } else if let Some(header) = ip.first_chunk_mut::<20>() {
        let old = u16::from_be_bytes([header[0], header[1]]);
        header[1] = class;
        let new = u16::from_be_bytes([header[0], header[1]]);
        let check = checksum::update_u16(u16::from_be_bytes([header[10], header[11]]), old, new);
        [header[10], header[11]] = check.to_be_bytes();
    }
}

/// "Don't fragment", or IPv6, where routers never do.
#[inline]
pub(super) fn dont_fragment(ip: &[u8], v6: bool) -> bool {
    v6 || ip.get(6).is_some_and(|flags| flags & 0x40 != 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(ttl: u8, class: u8) -> [u8; 20] {
        let mut header = [0x45, class, 0, 20, 1, 2, 0, 0, ttl, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        let check = checksum::Sum::of(&header).checksum();
        [header[10], header[11]] = check.to_be_bytes();
        header
    }

    proptest! {
        #[test]
        fn incremental_changes_keep_the_ipv4_checksum(ttl in 2..=255_u8, class: u8, new_class: u8) {
            let mut ip = header(ttl, class);
            decrement_hop_limit(&mut ip, false);
            set_traffic_class(&mut ip, false, new_class);
            prop_assert!(checksum::ipv4_header_ok(&ip));
            prop_assert_eq!(hop_limit(&ip, false), ttl - 1);
            prop_assert_eq!(traffic_class(&ip, false), new_class);
        }

        /// In words as byte by byte, down to the end of the way.
        #[test]
        fn hop_limits_are_counted_down_alike(start: [u8; 20], ttl in 0..5_u8, v6: bool) {
            let mut one = start;
            one[if v6 { 7 } else { 8 }] = ttl;
            let mut other = one;
            let goes_on = travel_on(&mut one, v6);
            prop_assert_eq!(goes_on, hop_limit(&other, v6) > 1);
            if goes_on {
                decrement_hop_limit(&mut other, v6);
            }
            prop_assert_eq!(one, other);
        }

        #[test]
        fn ipv6_traffic_class_leaves_version_and_flow_label(start: [u8; 40], class: u8) {
            let mut ip = start;
            set_traffic_class(&mut ip, true, class);
            prop_assert_eq!(traffic_class(&ip, true), class);
            prop_assert_eq!(ip[0] & 0xf0, start[0] & 0xf0);
            prop_assert_eq!(ip[1] & 0x0f, start[1] & 0x0f);
            prop_assert_eq!(&ip[2..], &start[2..]);
        }
    }
}
