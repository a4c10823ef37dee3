//! SCTP common headers (RFC 9260). Chunks are opaque here.

use super::WireError;
use super::view::{fields, view};

/// Bytes of the common header.
pub const HEADER_LEN: usize = 12;

view! {
    /// An SCTP packet.
    Sctp, check
}

fn check(bytes: &[u8]) -> Result<(), WireError> {
    WireError::need("SCTP", HEADER_LEN, bytes.len())
}

fields! {
    Sctp {
        "Source port." src_port, set_src_port: u16 = 0;
        "Destination port." dst_port, set_dst_port: u16 = 2;
        "Verification tag." tag, set_tag: u32 = 4;
    }
}

impl<T: AsRef<[u8]>> Sctp<T> {
    /// The CRC32c field; it goes onto the wire low byte first. Zero where the sender left it to an offload.
    pub fn checksum(&self) -> u32 {
        super::bytes::get_u32(self.as_bytes(), 8).swap_bytes()
    }

    /// The CRC32c that the packet should carry (RFC 9260 appendix A): over all of it, with the field zero.
    pub fn compute_checksum(&self) -> u32 {
        let bytes = self.as_bytes();
        let crc = bytes.iter().enumerate().fold(u32::MAX, |crc, (at, byte)| {
            let byte = if (8..12).contains(&at) { 0 } else { *byte };
            CRC32C[usize::from(crc as u8 ^ byte)] ^ crc >> 8
        });
        !crc
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Sctp<T> {
    /// Changes the ports, and the checksum by what that changes of it: a wrong one stays wrong. A checksum that the sender left to an
    /// offload (zero) is computed. The view must be of the whole packet.
    pub fn change_ports(&mut self, src_port: u16, dst_port: u16) {
        let (old, check) = (super::bytes::get_u32(self.as_bytes(), 0), self.checksum());
        self.set_src_port(src_port);
        self.set_dst_port(dst_port);
        if check == 0 {
            self.fill_checksum();
            return;
        }
        // CRCs are linear: that of the difference, all zeros behind the ports, is the difference of the CRCs.
        let changed = (old ^ super::bytes::get_u32(self.as_bytes(), 0)).to_be_bytes();
        let zeros = std::iter::repeat_n(0, self.as_bytes().len().saturating_sub(changed.len()));
        let difference = changed
            .into_iter()
            .chain(zeros)
            .fold(0, |crc, byte| CRC32C[usize::from(crc as u8 ^ byte)] ^ crc >> 8);
        super::bytes::put_u32(self.buf.as_mut(), 8, (check ^ difference).swap_bytes());
    }

    /// Computes and writes the checksum. Ports are covered by it (addresses are not).
    pub fn fill_checksum(&mut self) {
        let crc = self.compute_checksum();
        super::bytes::put_u32(self.buf.as_mut(), 8, crc.swap_bytes());
    }
}

/// CRC32c of each byte (polynomial 0x1EDC6F41, reflected).
static CRC32C: [u32; 256] = {
    let mut table = [0u32; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { 0x82f6_3b78 ^ crc >> 1 } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc32c_of_known_data() {
        // The vectors of RFC 3720 appendix B.4, seen through a header: their bytes 8..12 must be zero.
        assert_eq!(Sctp::new_checked([0u8; 32]).unwrap().compute_checksum(), 0x8a91_36aa);
        let crc = b"123456789"
            .iter()
            .fold(u32::MAX, |crc, b| CRC32C[usize::from(crc as u8 ^ b)] ^ crc >> 8);
        assert_eq!(!crc, 0xe306_9283, "the check value of the polynomial");
    }

    proptest::proptest! {
        #[test]
        fn changed_ports_keep_the_checksum_as_right_or_wrong_as_it_was(
            mut bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 12..200),
            ports: (u16, u16),
            wrong: u32,
        ) {
            let mut view = Sctp::new_checked(&mut bytes).unwrap();
            view.fill_checksum();
            let check = view.checksum() ^ wrong;
            proptest::prop_assume!(check != 0);
            super::super::bytes::put_u32(view.buf, 8, check.swap_bytes());
            let mut view = Sctp::new_checked(&mut bytes).unwrap();
            view.change_ports(ports.0, ports.1);
            proptest::prop_assert_eq!((view.src_port(), view.dst_port()), ports);
            proptest::prop_assert_eq!(view.checksum(), view.compute_checksum() ^ wrong);
        }
    }

    #[test]
    fn fields_and_checksum() {
        let mut bytes = [0u8; 16];
        let mut view = Sctp::new_checked(&mut bytes).unwrap();
        view.set_src_port(1);
        view.set_dst_port(0x0203);
        view.set_tag(4);
        view.fill_checksum();
        assert_eq!(view.checksum(), view.compute_checksum());
        assert_eq!((view.src_port(), view.dst_port(), view.tag()), (1, 0x0203, 4));
        assert_eq!(
            u32::from_le_bytes(bytes[8..12].try_into().unwrap()),
            Sctp::new_unchecked(&bytes).compute_checksum()
        );
        assert!(Sctp::new_checked([0; 11]).is_err());
    }
}
