//! L4 checksums of parsed packets: what a sender with checksum offload left undone, and rewriting that must respect it.

use super::checksum::{self, Sum, complete_l4, pseudo_v4, pseudo_v6};
use super::{Fragment, IpKind, Ipv4, Ipv6, Parsed, Sctp, Tcp, proto};

/// The pseudo header sum of a whole packet. None without IP and for fragments, whose length it needs is not known.
///
/// With an IPv6 routing header that has segments left the destination is not the final one, and neither is the sum.
#[inline]
pub fn pseudo_header(frame: &[u8], p: &Parsed) -> Option<Sum> {
    if p.is_fragment() {
        return None;
    }
    let len = p.end.saturating_sub(u32::from(p.l4));
    let ip = frame.get(usize::from(p.l3)..)?;
    match p.kind {
        IpKind::V4 => {
            let view = Ipv4::new_unchecked(ip);
            Some(pseudo_v4(view.src(), view.dst(), p.proto, len))
        }
        IpKind::V6 => {
            let view = Ipv6::new_unchecked(ip);
            Some(pseudo_v6(view.src(), view.dst(), p.proto, len))
        }
        IpKind::None => None,
    }
}

/// Is the checksum of this packet only the pseudo header sum, as senders with checksum offload leave it? See
/// [`checksum::is_partial`]; SCTP: is its CRC32c field zero?
#[inline]
pub fn is_partial(frame: &[u8], p: &Parsed) -> bool {
    let Some(l4) = frame.get(usize::from(p.l4)..p.end as usize) else {
        return false;
    };
    match p.proto {
        proto::TCP | proto::UDP => {
            pseudo_header(frame, p).is_some_and(|pseudo| checksum::is_partial(l4, p.proto, pseudo))
        }
        proto::SCTP => !p.is_fragment() && Sctp::new_checked(l4).is_ok_and(|view| view.checksum() == 0),
        _ => false,
    }
}

/// Completes the checksum if it is partial, for a packet that goes where nobody else will. True if it was.
pub fn complete(frame: &mut [u8], p: &Parsed) -> bool {
    if !is_partial(frame, p) {
        return false;
    }
    let Some(l4) = frame.get_mut(usize::from(p.l4)..p.end as usize) else {
        return false;
    };
    match p.proto {
        proto::SCTP => Sctp::new_unchecked(l4).fill_checksum(),
        _ => complete_l4(l4, p.proto),
    }
    true
}

/// Is the complete L4 checksum right? UDP without one counts as right, and so does what cannot be told: fragments, protocols
/// without an Internet checksum, and packets that are not IP.
pub fn is_right(frame: &[u8], p: &Parsed) -> bool {
    let Some(l4) = frame.get(usize::from(p.l4)..p.end as usize) else {
        return true;
    };
    match (pseudo_header(frame, p), p.kind, p.proto) {
        (None, ..) => true,
        (Some(_), IpKind::V4, proto::ICMP) => checksum::verify_l4(l4, p.proto, Sum::ZERO),
        // Each ICMP belongs to its own IP; under the other it is opaque.
        (Some(_), IpKind::V4, proto::ICMPV6) | (Some(_), IpKind::V6, proto::ICMP) => true,
        (Some(pseudo), ..) => checksum::verify_l4(l4, p.proto, pseudo),
    }
}

/// Lowers the maximum segment size of a SYN or SYN-ACK to `max`; see [`Tcp::clamp_mss`]. True if something changed. Does
/// nothing to other packets.
#[inline]
pub fn clamp_mss(frame: &mut [u8], p: &Parsed, max: u16) -> bool {
    if !p.is_tcp_syn() || p.fragment == Fragment::Later {
        return false;
    }
    let partial = is_partial(frame, p);
    match frame.get_mut(usize::from(p.l4)..p.end as usize) {
        Some(l4) => Tcp::new_unchecked(l4).clamp_mss(max, partial),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::parse;
    use etherparse::PacketBuilder;
    use etherparse::TcpOptionElement::{MaximumSegmentSize, Noop};
    use proptest::prelude::*;

    /// A frame as etherparse, which computes checksums itself, builds it.
    fn frame(v6: bool, tcp: bool, payload: &[u8]) -> Vec<u8> {
        let eth = PacketBuilder::ethernet2([2; 6], [4; 6]);
        let ip = if v6 {
            eth.ipv6([0x20; 16], [0x21; 16], 9)
        } else {
            eth.ipv4([10, 0, 0, 1], [10, 0, 0, 2], 9)
        };
        let mut out = Vec::new();
        if tcp {
            let options = [Noop, MaximumSegmentSize(1460), Noop];
            ip.tcp(80, 81, 1, 2)
                .syn()
                .options(&options)
                .unwrap()
                .write(&mut out, payload)
                .unwrap();
        } else {
            ip.udp(80, 81).write(&mut out, payload).unwrap();
        }
        // Ethernet padding is never part of a checksum.
        out.extend([0xee; 5]);
        out
    }

    proptest! {
        #[test]
        fn partial_is_found_and_completed(v6: bool, tcp: bool, payload in proptest::collection::vec(any::<u8>(), 0..100)) {
            let full = frame(v6, tcp, &payload);
            let p = parse(&full).unwrap();
            prop_assert!(is_right(&full, &p));
            let mut partial = full.clone();
            let at = usize::from(p.l4) + checksum::field_offset(p.proto).unwrap();
            let pseudo = pseudo_header(&full, &p).unwrap().fold();
            partial[at..at + 2].copy_from_slice(&pseudo.to_be_bytes());
            prop_assert!(is_partial(&partial, &p));
            prop_assert!(complete(&mut partial, &p));
            prop_assert_eq!(&partial, &full);
            if pseudo != u16::from_be_bytes([full[at], full[at + 1]]) {
                prop_assert!(!is_partial(&full, &p) && !complete(&mut partial, &p));
            }
        }

        #[test]
        fn clamping_before_and_after_completion_is_the_same(v6: bool, max: u16, payload in proptest::collection::vec(any::<u8>(), 0..9)) {
            let mut full = frame(v6, true, &payload);
            let p = parse(&full).unwrap();
            let mut partial = full.clone();
            let at = usize::from(p.l4) + 16;
            partial[at..at + 2].copy_from_slice(&pseudo_header(&full, &p).unwrap().fold().to_be_bytes());
            prop_assert_eq!(clamp_mss(&mut full, &p, max), max < 1460);
            prop_assert_eq!(clamp_mss(&mut partial, &p, max), max < 1460);
            prop_assert!(is_right(&full, &p));
            complete(&mut partial, &p);
            prop_assert_eq!(partial, full);
        }

        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..100), other in proptest::collection::vec(any::<u8>(), 0..100)) {
            // Even with what was parsed from another packet.
            for v6 in [false, true] {
                let p = parse(&frame(v6, true, &other)).unwrap();
                let mut bytes = bytes.clone();
                let _ = (is_right(&bytes, &p), complete(&mut bytes, &p), clamp_mss(&mut bytes, &p, 5));
            }
        }
    }

    #[test]
    fn sctp_left_to_an_offload() {
        let mut bytes = frame(false, false, &[7; 12]);
        // Turn UDP into SCTP: 20 bytes of L4, CRC field zero.
        bytes[23] = proto::SCTP;
        bytes[42..46].fill(0);
        Ipv4::new_unchecked(&mut bytes[14..]).fill_checksum();
        let p = parse(&bytes).unwrap();
        assert!(complete(&mut bytes, &p) && !is_partial(&bytes, &p));
        let sctp = Sctp::new_checked(&bytes[34..p.end as usize]).unwrap();
        assert_eq!(sctp.checksum(), sctp.compute_checksum());
    }

    #[test]
    fn icmp_is_judged_by_its_own_rules() {
        let mut bytes = Vec::new();
        let builder = PacketBuilder::ethernet2([2; 6], [4; 6])
            .ipv4([1; 4], [2; 4], 9)
            .icmpv4_echo_request(1, 2);
        builder.write(&mut bytes, b"abc").unwrap();
        let p = parse(&bytes).unwrap();
        assert!(is_right(&bytes, &p));
        bytes[44] ^= 1;
        assert!(!is_right(&bytes, &p) && !is_partial(&bytes, &p));
        let mut bytes = Vec::new();
        let builder = PacketBuilder::ethernet2([2; 6], [4; 6])
            .ipv6([1; 16], [2; 16], 9)
            .icmpv6_echo_request(1, 2);
        builder.write(&mut bytes, b"abc").unwrap();
        let p = parse(&bytes).unwrap();
        assert!(is_right(&bytes, &p));
        bytes[64] ^= 1;
        assert!(!is_right(&bytes, &p));
    }
}
