//! UDP headers (RFC 768).

use super::WireError;
use super::view::{fields, view};

/// Bytes of the header.
pub const HEADER_LEN: usize = 8;
/// Destination port of VXLAN (RFC 7348).
pub const PORT_VXLAN: u16 = 4789;
/// Destination port of MPLS over UDP (RFC 7510).
pub const PORT_MPLS: u16 = 6635;
/// Destination port of MPLS over UDP before RFC 7510, which old Tungsten releases send to.
pub const PORT_MPLS_OLD: u16 = 51234;

view! {
    /// A UDP datagram.
    Udp, check
}

fn check(bytes: &[u8]) -> Result<(), WireError> {
    WireError::need("UDP", HEADER_LEN, bytes.len())?;
    let len = usize::from(Udp::new_unchecked(bytes).len());
    if len < HEADER_LEN {
        return Err(WireError::invalid("UDP", "length", len as u32, "at least 8"));
    }
    WireError::need("UDP", len, bytes.len())
}

fields! {
    Udp {
        "Source port." src_port, set_src_port: u16 = 0;
        "Destination port." dst_port, set_dst_port: u16 = 2;
        "Length of header and payload." len, set_len: u16 = 4;
        "Checksum; zero is none." checksum, set_checksum: u16 = 6;
    }
}

impl<T: AsRef<[u8]>> Udp<T> {
    /// What the length field says is payload.
    pub fn payload(&self) -> &[u8] {
        self.as_bytes()
            .get(HEADER_LEN..usize::from(self.len()))
            .unwrap_or_default()
    }

    /// Is there no payload?
    pub fn is_empty(&self) -> bool {
        self.payload().is_empty()
    }
}

/// The bytes of a UDP header with `payload_len` bytes behind it (the length is cut to 16 bits) and no checksum.
#[inline]
pub const fn header(src_port: u16, dst_port: u16, payload_len: usize) -> [u8; HEADER_LEN] {
    let ([a, b], [c, d]) = (src_port.to_be_bytes(), dst_port.to_be_bytes());
    let [e, f] = ((payload_len + HEADER_LEN) as u16).to_be_bytes();
    [a, b, c, d, e, f, 0, 0]
}

/// A source port made of a flow's hash: 49152 to 65535, so that routers on the way spread flows (RFC 7348, 7510, 6335).
#[inline]
pub const fn entropy_port(hash: u32) -> u16 {
    0xc000 | (hash ^ hash >> 16) as u16 & 0x3fff
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn says_what_is_wrong() {
        let error = |bytes: &[u8]| Udp::new_checked(bytes).map(|_| ()).unwrap_err().to_string();
        assert_eq!(error(&[0; 7]), "UDP: needs 8 bytes, only 7 are there");
        assert_eq!(
            error(&[0, 0, 0, 0, 0, 7, 0, 0]),
            "UDP: length is 7, expected at least 8"
        );
        assert_eq!(error(&[0, 0, 0, 0, 0, 9, 0, 0]), "UDP: needs 9 bytes, only 8 are there");
    }

    proptest! {
        #[test]
        fn agrees_with_etherparse(src: u16, dst: u16, payload in proptest::collection::vec(any::<u8>(), 0..50), pad in 0usize..9) {
            let bytes = [&header(src, dst, payload.len())[..], &payload, &vec![1; pad]].concat();
            let view = Udp::new_checked(&bytes).unwrap();
            let e = etherparse::UdpHeaderSlice::from_slice(&bytes).unwrap();
            prop_assert_eq!((view.src_port(), view.dst_port(), view.len()), (e.source_port(), e.destination_port(), e.length()));
            prop_assert_eq!((view.src_port(), view.dst_port(), view.payload()), (src, dst, &payload[..]));
            prop_assert_eq!(view.is_empty(), payload.is_empty());
        }

        #[test]
        fn entropy_stays_in_the_dynamic_range(hash: u32) {
            prop_assert!(entropy_port(hash) >= 49152);
        }
    }
}
