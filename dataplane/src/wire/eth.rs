//! Ethernet II headers and IEEE 802.1Q / 802.1ad tags.

use super::view::{fields, view};
use super::{Mac, VlanId, WireError, ethertype};

/// Bytes of an Ethernet header without tags.
pub const HEADER_LEN: usize = 14;
/// Bytes of one VLAN tag.
pub const TAG_LEN: usize = 4;

view! {
    /// An Ethernet frame, without its check sequence.
    Ethernet, check
}

fn check(bytes: &[u8]) -> Result<(), WireError> {
    WireError::need("Ethernet", HEADER_LEN, bytes.len())
}

fields! {
    Ethernet {
        "Destination address." dst, set_dst: Mac = 0;
        "Source address." src, set_src: Mac = 6;
        "The type right behind the addresses: a TPID if the frame is tagged." ethertype, set_ethertype: u16 = 12;
    }
}

impl<T: AsRef<[u8]>> Ethernet<T> {
    /// What follows the header; starts with the tag if there is one.
    pub fn payload(&self) -> &[u8] {
        self.as_bytes().get(HEADER_LEN..).unwrap_or_default()
    }

    /// The outer VLAN tag.
    pub fn tag(&self) -> Option<VlanTag> {
        let (tci, _) = self.payload().split_first_chunk::<2>()?;
        is_tpid(self.ethertype()).then(|| VlanTag::from_tci(self.ethertype(), u16::from_be_bytes(*tci)))
    }
}

/// Does this ethertype announce a VLAN tag?
#[inline]
pub const fn is_tpid(value: u16) -> bool {
    matches!(value, ethertype::VLAN | ethertype::QINQ | ethertype::QINQ_OLD)
}

/// The bytes of an Ethernet header.
#[inline]
pub const fn header(dst: Mac, src: Mac, ethertype: u16) -> [u8; HEADER_LEN] {
    let ([a, b, c, d, e, f], [g, h, i, j, k, l]) = (dst.0, src.0);
    let [t0, t1] = ethertype.to_be_bytes();
    [a, b, c, d, e, f, g, h, i, j, k, l, t0, t1]
}

/// One VLAN tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VlanTag {
    /// Tag protocol identifier.
    pub tpid: u16,
    /// Priority code point, 0..=7.
    pub pcp: u8,
    /// Drop eligible indicator.
    pub dei: bool,
    /// VLAN; none for a priority tag (id 0), and for the reserved id 4095.
    pub vlan: Option<VlanId>,
}

impl VlanTag {
    /// A tag of priority 0.
    pub const fn new(tpid: u16, vlan: VlanId) -> Self {
        Self {
            tpid,
            pcp: 0,
            dei: false,
            vlan: Some(vlan),
        }
    }

    /// The tag with this TPID and tag control information.
    pub fn from_tci(tpid: u16, tci: u16) -> Self {
        let vlan = VlanId::new(u32::from(tci & 0x0fff)).ok();
        Self {
            tpid,
            pcp: (tci >> 13) as u8,
            dei: tci & 0x1000 != 0,
            vlan,
        }
    }

    /// Tag control information.
    pub const fn tci(self) -> u16 {
        let vid = match self.vlan {
            Some(vlan) => vlan.get_u16(),
            None => 0,
        };
        (self.pcp as u16 & 7) << 13 | (self.dei as u16) << 12 | vid
    }

    /// The four bytes that go between the addresses and the ethertype.
    pub const fn to_bytes(self) -> [u8; TAG_LEN] {
        let ([a, b], [c, d]) = (self.tpid.to_be_bytes(), self.tci().to_be_bytes());
        [a, b, c, d]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn short() {
        let error = Ethernet::new_checked([0u8; 13]).unwrap_err();
        assert_eq!(error.to_string(), "Ethernet: needs 14 bytes, only 13 are there");
        let mut view = Ethernet::new_unchecked([0u8; 3]);
        view.set_src(Mac::BROADCAST);
        assert_eq!((view.src(), view.tag(), view.payload()), (Mac::ZERO, None, &[][..]));
    }

    proptest! {
        #[test]
        fn header_and_view_agree(dst: [u8; 6], src: [u8; 6], kind: u16, tpid: u16, tci: u16) {
            let mut bytes = header(Mac(dst), Mac(src), kind);
            let view = Ethernet::new_checked(&bytes).unwrap();
            prop_assert_eq!((view.dst(), view.src(), view.ethertype()), (Mac(dst), Mac(src), kind));
            let sliced = etherparse::Ethernet2HeaderSlice::from_slice(&bytes).unwrap();
            prop_assert_eq!((sliced.destination(), sliced.source(), sliced.ether_type().0), (dst, src, kind));
            let mut view = Ethernet::new_checked(&mut bytes).unwrap();
            view.set_dst(Mac(src));
            view.set_src(Mac(dst));
            view.set_ethertype(tpid);
            prop_assert_eq!(bytes, header(Mac(src), Mac(dst), tpid));

            let tag = VlanTag::from_tci(tpid, tci);
            let back = if matches!(tci & 0xfff, 0 | 0xfff) { tci & 0xf000 } else { tci };
            prop_assert_eq!(tag.tci(), back);
            prop_assert_eq!(&tag.to_bytes()[..], &[tpid.to_be_bytes(), back.to_be_bytes()].concat()[..]);
        }
    }

    #[test]
    fn finds_the_outer_tag() {
        let frame = [
            &header(Mac::ZERO, Mac::ZERO, ethertype::QINQ)[..],
            &[0xb0, 0x05, 0x81, 0x00],
        ]
        .concat();
        let tag = Ethernet::new_checked(&frame).unwrap().tag().unwrap();
        assert_eq!(
            (tag.tpid, tag.pcp, tag.dei, tag.vlan),
            (ethertype::QINQ, 5, true, VlanId::new(5).ok())
        );
        assert_eq!(Ethernet::new_checked(&frame[..15]).unwrap().tag(), None);
    }
}
