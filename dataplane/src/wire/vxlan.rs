//! VXLAN headers (RFC 7348).

use super::bytes::{get_u8, get_u32};
use super::view::view;
use super::{Vni, WireError};

/// Bytes of the header.
pub const HEADER_LEN: usize = 8;

/// The flag that says the VNI is valid.
const FLAG_VNI: u8 = 0x08;

view! {
    /// A VXLAN header and the Ethernet frame behind it.
    Vxlan, check
}

/// The I bit is required; reserved bits are ignored, as section 5 asks.
fn check(bytes: &[u8]) -> Result<(), WireError> {
    WireError::need("VXLAN", HEADER_LEN, bytes.len())?;
    let flags = get_u8(bytes, 0);
    if flags & FLAG_VNI == 0 {
        return Err(WireError::invalid(
            "VXLAN",
            "flags",
            u32::from(flags),
            "the I bit (8) set",
        ));
    }
    Ok(())
}

impl<T: AsRef<[u8]>> Vxlan<T> {
    /// The VNI as it stands on the wire, 0 to 2^24 - 1.
    pub fn vni_raw(&self) -> u32 {
        get_u32(self.as_bytes(), 4) >> 8
    }

    /// The VNI; none for zero, which is legal on the wire but never bound to anything.
    pub fn vni(&self) -> Option<Vni> {
        Vni::new(self.vni_raw()).ok()
    }

    /// The inner Ethernet frame.
    pub fn payload(&self) -> &[u8] {
        self.as_bytes().get(HEADER_LEN..).unwrap_or_default()
    }
}

/// The bytes of a VXLAN header.
#[inline]
pub const fn header(vni: Vni) -> [u8; HEADER_LEN] {
    let [_, a, b, c] = vni.get().to_be_bytes();
    [FLAG_VNI, 0, 0, 0, a, b, c, 0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_and_refuses() {
        let vni = Vni::new(0x00ab_cdef).unwrap();
        let mut bytes = header(vni);
        assert_eq!(bytes, [8, 0, 0, 0, 0xab, 0xcd, 0xef, 0]);
        assert_eq!(Vxlan::new_checked(bytes).unwrap().vni(), Some(vni));
        bytes = [0xff; 8];
        assert_eq!(
            Vxlan::new_checked(bytes).unwrap().vni_raw(),
            Vni::MAX,
            "reserved bits are ignored"
        );
        assert_eq!(Vxlan::new_checked([8, 0, 0, 0, 0, 0, 0, 1]).unwrap().vni(), None);
        bytes[0] = 0xf7;
        assert_eq!(
            Vxlan::new_checked(bytes).unwrap_err().to_string(),
            "VXLAN: flags is 247, expected the I bit (8) set"
        );
        assert!(Vxlan::new_checked([8; 7]).is_err());
    }
}
