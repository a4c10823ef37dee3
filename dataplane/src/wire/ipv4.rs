//! IPv4 headers (RFC 791).

use core::net::Ipv4Addr;

use super::bytes::{get_u8, get_u16, put_u16};
use super::checksum::{Delta, Sum, update_u16};
use super::view::{fields, view};
use super::{Dscp, Ecn, WireError};

/// Bytes of a header without options.
pub const HEADER_LEN: usize = 20;

const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET: u16 = 0x1fff;

view! {
    /// An IPv4 packet.
    Ipv4, check
}

fn check(bytes: &[u8]) -> Result<(), WireError> {
    let invalid = |field, value: usize, expected| Err(WireError::invalid("IPv4", field, value as u32, expected));
    WireError::need("IPv4", HEADER_LEN, bytes.len())?;
    let view = Ipv4::new_unchecked(bytes);
    let (header, total) = (view.header_len(), usize::from(view.total_len()));
    if view.version() != 4 {
        return invalid("version", usize::from(view.version()), "4");
    }
    if header < HEADER_LEN {
        return invalid("header length", header, "at least 20 bytes");
    }
    if total < header {
        return invalid("total length", total, "at least the header length");
    }
    WireError::need("IPv4", total, bytes.len())
}

fields! {
    Ipv4 {
        "The TOS byte: DSCP and ECN." tos, set_tos: u8 = 1;
        "Length of header and payload." total_len, set_total_len: u16 = 2;
        "Identification." id, set_id: u16 = 4;
        "Time to live." ttl, set_ttl: u8 = 8;
        "Protocol of the payload." proto, set_proto: u8 = 9;
        "Header checksum." checksum, set_checksum: u16 = 10;
        "Source address." src, set_src: Ipv4Addr = 12;
        "Destination address." dst, set_dst: Ipv4Addr = 16;
    }
}

impl<T: AsRef<[u8]>> Ipv4<T> {
    /// Version nibble.
    pub fn version(&self) -> u8 {
        get_u8(self.as_bytes(), 0) >> 4
    }

    /// Length of the header with options, in bytes.
    pub fn header_len(&self) -> usize {
        usize::from(get_u8(self.as_bytes(), 0) & 15) * 4
    }

    /// Differentiated services code point.
    pub fn dscp(&self) -> Dscp {
        Dscp::from_tos(self.tos())
    }

    /// Explicit congestion notification.
    pub fn ecn(&self) -> Ecn {
        Ecn::from_tos(self.tos())
    }

    fn fragment_field(&self) -> u16 {
        get_u16(self.as_bytes(), 6)
    }

    /// May routers not fragment this?
    pub fn dont_fragment(&self) -> bool {
        self.fragment_field() & DONT_FRAGMENT != 0
    }

    /// Do fragments follow behind this one?
    pub fn more_fragments(&self) -> bool {
        self.fragment_field() & MORE_FRAGMENTS != 0
    }

    /// Where in the whole payload this fragment belongs, in bytes.
    pub fn fragment_offset(&self) -> usize {
        usize::from(self.fragment_field() & OFFSET) * 8
    }

    /// The options, padding included; empty if there are none.
    pub fn options(&self) -> &[u8] {
        self.as_bytes().get(HEADER_LEN..self.header_len()).unwrap_or_default()
    }

    /// What the total length says is payload; without padding.
    pub fn payload(&self) -> &[u8] {
        self.as_bytes()
            .get(self.header_len()..usize::from(self.total_len()))
            .unwrap_or_default()
    }

    /// Is the header checksum right?
    pub fn checksum_ok(&self) -> bool {
        self.as_bytes()
            .get(..self.header_len())
            .is_some_and(|header| Sum::of(header).is_valid())
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Ipv4<T> {
    /// Sets the "don't fragment" bit.
    pub fn set_dont_fragment(&mut self, on: bool) {
        let rest = self.fragment_field() & !DONT_FRAGMENT;
        put_u16(self.buf.as_mut(), 6, rest | if on { DONT_FRAGMENT } else { 0 });
    }

    /// Computes the header checksum afresh.
    pub fn fill_checksum(&mut self) {
        self.set_checksum(0);
        let sum = Sum::of(self.as_bytes().get(..self.header_len()).unwrap_or_default());
        self.set_checksum(sum.checksum());
    }

    /// Takes one from the TTL and keeps the checksum right. False, and nothing changed, if it would not live on (RFC 1812
    /// section 5.3.1: a TTL of 0 or 1 must not be forwarded).
    #[inline]
    pub fn decrement_ttl(&mut self) -> bool {
        let old = get_u16(self.as_bytes(), 8);
        if old < 0x0200 {
            return false;
        }
        let check = update_u16(self.checksum(), old, old - 0x0100);
        self.set_ttl((old >> 8) as u8 - 1);
        self.set_checksum(check);
        true
    }

    /// Replaces the TOS byte and keeps the checksum right.
    #[inline]
    pub fn replace_tos(&mut self, tos: u8) {
        let check = update_u16(self.checksum(), u16::from(self.tos()), u16::from(tos));
        self.set_tos(tos);
        self.set_checksum(check);
    }

    /// Replaces the source address and keeps the checksum right. Returns the change for checksums over the pseudo header.
    #[inline]
    #[must_use]
    pub fn replace_src(&mut self, src: Ipv4Addr) -> Delta {
        let delta = Delta::NONE.u32(self.src().to_bits(), src.to_bits());
        self.set_src(src);
        self.set_checksum(delta.apply(self.checksum()));
        delta
    }

    /// Replaces the destination address and keeps the checksum right. Returns the change for checksums over the pseudo header.
    #[inline]
    #[must_use]
    pub fn replace_dst(&mut self, dst: Ipv4Addr) -> Delta {
        let delta = Delta::NONE.u32(self.dst().to_bits(), dst.to_bits());
        self.set_dst(dst);
        self.set_checksum(delta.apply(self.checksum()));
        delta
    }
}

/// An IPv4 header without options, to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ipv4Header {
    /// DSCP and ECN.
    pub tos: u8,
    /// Length of header and payload.
    pub total_len: u16,
    /// Identification; zero is right where `dont_fragment` is set (RFC 6864).
    pub id: u16,
    /// May routers not fragment it?
    pub dont_fragment: bool,
    /// Time to live.
    pub ttl: u8,
    /// Protocol of the payload.
    pub proto: u8,
    /// Source address.
    pub src: Ipv4Addr,
    /// Destination address.
    pub dst: Ipv4Addr,
}

impl Ipv4Header {
    /// Its bytes, checksum included.
    pub fn to_bytes(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[0] = 0x45;
        let mut view = Ipv4::new_unchecked(&mut bytes);
        view.set_tos(self.tos);
        view.set_total_len(self.total_len);
        view.set_id(self.id);
        view.set_dont_fragment(self.dont_fragment);
        view.set_ttl(self.ttl);
        view.set_proto(self.proto);
        view.set_src(self.src);
        view.set_dst(self.dst);
        view.fill_checksum();
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn says_what_is_wrong() {
        let good = Ipv4Header {
            tos: 0,
            total_len: 20,
            id: 0,
            dont_fragment: true,
            ttl: 64,
            proto: 17,
            src: [10, 0, 0, 1].into(),
            dst: [10, 0, 0, 2].into(),
        }
        .to_bytes();
        let with = |at: usize, value: u8| {
            let mut bytes = good;
            bytes[at] = value;
            Ipv4::new_checked(bytes).map(|_| ()).map_err(|e| e.to_string())
        };
        assert_eq!(with(1, 3), Ok(()));
        assert_eq!(with(0, 0x55), Err("IPv4: version is 5, expected 4".into()));
        assert_eq!(
            with(0, 0x44),
            Err("IPv4: header length is 16, expected at least 20 bytes".into())
        );
        assert_eq!(
            with(0, 0x46),
            Err("IPv4: total length is 20, expected at least the header length".into())
        );
        assert_eq!(with(3, 21), Err("IPv4: needs 21 bytes, only 20 are there".into()));
        assert!(Ipv4::new_checked(&good[..19]).is_err());
    }

    #[test]
    fn ttl_ends() {
        let mut header = [0u8; 20];
        for ttl in [0, 1] {
            header[8] = ttl;
            assert!(!Ipv4::new_unchecked(&mut header).decrement_ttl());
            assert_eq!(header[8], ttl);
        }
    }

    proptest! {
        #[test]
        fn agrees_with_etherparse(tos: u8, id: u16, df: bool, ttl: u8, proto: u8, src: [u8; 4], dst: [u8; 4],
            payload in proptest::collection::vec(any::<u8>(), 0..50), pad in 0usize..9)
        {
            let header = Ipv4Header { tos, total_len: 20 + payload.len() as u16, id, dont_fragment: df, ttl, proto,
                src: src.into(), dst: dst.into() };
            let mut bytes = [&header.to_bytes()[..], &payload, &vec![0; pad]].concat();
            let e = etherparse::Ipv4HeaderSlice::from_slice(&bytes).unwrap().to_header();
            prop_assert_eq!(e.calc_header_checksum(), e.header_checksum);
            prop_assert_eq!((e.dscp.value(), e.ecn.value()), (tos >> 2, tos & 3));
            prop_assert_eq!((e.identification, e.dont_fragment, e.time_to_live, e.protocol.0), (id, df, ttl, proto));
            prop_assert_eq!((e.source, e.destination), (src, dst));

            let view = Ipv4::new_checked(&bytes).unwrap();
            prop_assert!(view.checksum_ok() && view.options().is_empty());
            prop_assert_eq!(view.payload(), &payload[..]);
            prop_assert_eq!((view.id(), view.dont_fragment(), view.more_fragments(), view.fragment_offset()), (id, df, false, 0));

            // Every replacement keeps the checksum right.
            let mut view = Ipv4::new_checked(&mut bytes).unwrap();
            prop_assert_eq!(view.decrement_ttl(), ttl > 1);
            view.replace_tos(!tos);
            let there = view.replace_src(dst.into());
            let _ = view.replace_dst(src.into());
            prop_assert!(view.checksum_ok());
            prop_assert_eq!((view.src(), view.dst(), view.tos()), (dst.into(), src.into(), !tos));
            prop_assert_eq!(there, Delta::NONE.u32(u32::from_be_bytes(src), u32::from_be_bytes(dst)));
        }

        #[test]
        fn never_panics(mut bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let mut view = Ipv4::new_unchecked(&mut bytes);
            let _ = (view.options(), view.payload(), view.checksum_ok(), view.fragment_offset());
            view.fill_checksum();
            view.decrement_ttl();
            if let Ok(view) = Ipv4::new_checked(&bytes) {
                prop_assert_eq!(view.header_len() + view.payload().len(), usize::from(view.total_len()));
            }
        }
    }
}
