//! IPv6 headers (RFC 8200). Extension headers are walked by [`ipv6_walk`](super::ipv6_walk).

use core::net::Ipv6Addr;

use super::bytes::{get_u32, put_u32};
use super::checksum::Delta;
use super::view::{fields, view};
use super::{Dscp, Ecn, WireError};

/// Bytes of the fixed header.
pub const HEADER_LEN: usize = 40;

view! {
    /// An IPv6 packet.
    Ipv6, check
}

fn check(bytes: &[u8]) -> Result<(), WireError> {
    WireError::need("IPv6", HEADER_LEN, bytes.len())?;
    let view = Ipv6::new_unchecked(bytes);
    if view.version() != 6 {
        return Err(WireError::invalid("IPv6", "version", u32::from(view.version()), "6"));
    }
    WireError::need("IPv6", HEADER_LEN + usize::from(view.payload_len()), bytes.len())
}

fields! {
    Ipv6 {
        "Length of all behind the fixed header." payload_len, set_payload_len: u16 = 4;
        "Type of what follows the fixed header." next_header, set_next_header: u8 = 6;
        "Hop limit." hop_limit, set_hop_limit: u8 = 7;
        "Source address." src, set_src: Ipv6Addr = 8;
        "Destination address." dst, set_dst: Ipv6Addr = 24;
    }
}

impl<T: AsRef<[u8]>> Ipv6<T> {
    fn first_word(&self) -> u32 {
        get_u32(self.as_bytes(), 0)
    }

    /// Version nibble.
    pub fn version(&self) -> u8 {
        (self.first_word() >> 28) as u8
    }

    /// Traffic class: DSCP and ECN, laid out like the TOS byte of IPv4.
    pub fn traffic_class(&self) -> u8 {
        (self.first_word() >> 20) as u8
    }

    /// Differentiated services code point.
    pub fn dscp(&self) -> Dscp {
        Dscp::from_tos(self.traffic_class())
    }

    /// Explicit congestion notification.
    pub fn ecn(&self) -> Ecn {
        Ecn::from_tos(self.traffic_class())
    }

    /// Flow label, 20 bits.
    pub fn flow_label(&self) -> u32 {
        self.first_word() & 0x000f_ffff
    }

    /// What the payload length says is payload (extension headers included); without padding.
    pub fn payload(&self) -> &[u8] {
        self.as_bytes()
            .get(HEADER_LEN..HEADER_LEN + usize::from(self.payload_len()))
            .unwrap_or_default()
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Ipv6<T> {
    /// Sets the traffic class. No checksum covers it.
    #[inline]
    pub fn set_traffic_class(&mut self, value: u8) {
        let rest = self.first_word() & !0x0ff0_0000;
        put_u32(self.buf.as_mut(), 0, rest | u32::from(value) << 20);
    }

    /// Sets the flow label; bits above the 20th are cut.
    #[inline]
    pub fn set_flow_label(&mut self, value: u32) {
        let rest = self.first_word() & !0x000f_ffff;
        put_u32(self.buf.as_mut(), 0, rest | (value & 0x000f_ffff));
    }

    /// Takes one from the hop limit. False, and nothing changed, if it would not live on (0 or 1).
    #[inline]
    pub fn decrement_hop_limit(&mut self) -> bool {
        let old = self.hop_limit();
        if old < 2 {
            return false;
        }
        self.set_hop_limit(old - 1);
        true
    }

    /// Replaces the source address. Returns the change for checksums over the pseudo header.
    #[inline]
    #[must_use]
    pub fn replace_src(&mut self, src: Ipv6Addr) -> Delta {
        let delta = Delta::NONE.u128(self.src().to_bits(), src.to_bits());
        self.set_src(src);
        delta
    }

    /// Replaces the destination address. Returns the change for checksums over the pseudo header.
    #[inline]
    #[must_use]
    pub fn replace_dst(&mut self, dst: Ipv6Addr) -> Delta {
        let delta = Delta::NONE.u128(self.dst().to_bits(), dst.to_bits());
        self.set_dst(dst);
        delta
    }
}

/// An IPv6 header, to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ipv6Header {
    /// DSCP and ECN.
    pub traffic_class: u8,
    /// Flow label, 20 bits.
    pub flow_label: u32,
    /// Length of all behind this header.
    pub payload_len: u16,
    /// Type of what follows.
    pub next_header: u8,
    /// Hop limit.
    pub hop_limit: u8,
    /// Source address.
    pub src: Ipv6Addr,
    /// Destination address.
    pub dst: Ipv6Addr,
}

impl Ipv6Header {
    /// Its bytes.
    pub fn to_bytes(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[0] = 0x60;
        let mut view = Ipv6::new_unchecked(&mut bytes);
        view.set_traffic_class(self.traffic_class);
        view.set_flow_label(self.flow_label);
        view.set_payload_len(self.payload_len);
        view.set_next_header(self.next_header);
        view.set_hop_limit(self.hop_limit);
        view.set_src(self.src);
        view.set_dst(self.dst);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_etherparse(traffic_class: u8, flow_label in 0u32..1 << 20, next_header: u8, hop_limit: u8, src: [u8; 16],
            dst: [u8; 16], payload in proptest::collection::vec(any::<u8>(), 0..50), pad in 0usize..9)
        {
            let header = Ipv6Header { traffic_class, flow_label, payload_len: payload.len() as u16, next_header, hop_limit,
                src: src.into(), dst: dst.into() };
            let mut bytes = [&header.to_bytes()[..], &payload, &vec![0; pad]].concat();
            let e = etherparse::Ipv6HeaderSlice::from_slice(&bytes).unwrap().to_header();
            prop_assert_eq!((e.traffic_class, e.flow_label.value(), e.payload_length), (traffic_class, flow_label, payload.len() as u16));
            prop_assert_eq!((e.next_header.0, e.hop_limit, e.source, e.destination), (next_header, hop_limit, src, dst));
            let view = Ipv6::new_checked(&bytes).unwrap();
            prop_assert_eq!(view.payload(), &payload[..]);
            prop_assert_eq!((view.version(), view.traffic_class(), view.flow_label()), (6, traffic_class, flow_label));

            let mut view = Ipv6::new_checked(&mut bytes).unwrap();
            prop_assert_eq!(view.decrement_hop_limit(), hop_limit > 1);
            let delta = view.replace_src(dst.into());
            prop_assert_eq!(delta, Delta::NONE.u128(u128::from_be_bytes(src), u128::from_be_bytes(dst)));
            prop_assert_eq!(view.src(), Ipv6Addr::from(dst));
        }

        #[test]
        fn never_panics(mut bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let mut view = Ipv6::new_unchecked(&mut bytes);
            view.set_flow_label(u32::MAX);
            view.decrement_hop_limit();
            let _ = view.payload();
            if let Ok(view) = Ipv6::new_checked(&bytes) {
                prop_assert_eq!(view.payload().len(), usize::from(view.payload_len()));
            }
        }
    }

    #[test]
    fn says_what_is_wrong() {
        let mut bytes = [0u8; 40];
        assert_eq!(
            Ipv6::new_checked(bytes).unwrap_err().to_string(),
            "IPv6: version is 0, expected 6"
        );
        bytes[0] = 0x60;
        bytes[5] = 1;
        assert_eq!(
            Ipv6::new_checked(bytes).unwrap_err().to_string(),
            "IPv6: needs 41 bytes, only 40 are there"
        );
    }
}
