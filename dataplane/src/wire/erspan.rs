//! ERSPAN type II over GRE (draft-foschiano-erspan-03, RFC 2784, RFC 2890): how mirrored frames travel to a collector.

/// Bytes of the GRE header with sequence number and of the ERSPAN header behind it.
pub const HEADER_LEN: usize = 16;

/// GRE's protocol type of ERSPAN type II.
pub const PROTOCOL: u16 = 0x88be;

/// Largest session: ten bits.
pub const MAX_SESSION: u16 = 1023;

/// GRE flag: a sequence number is present.
const SEQUENCE_PRESENT: u16 = 0x1000;

/// What is different from copy to copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PerCopy {
    /// Bytes of the mirrored frame.
    pub inner_len: usize,
    /// Grows by one with every copy of a session.
    pub sequence: u32,
    /// The frame was longer.
    pub truncated: bool,
    /// The frame has a VLAN tag of its own.
    pub tagged: bool,
}

/// The bytes of both headers. Of `session` ten bits are used.
pub fn header(session: u16, copy: &PerCopy) -> [u8; HEADER_LEN] {
    let encapsulation: u16 = if copy.tagged { 0b11 } else { 0b00 };
    let gre = u64::from(SEQUENCE_PRESENT) << 48 | u64::from(PROTOCOL) << 32 | u64::from(copy.sequence);
    // Version 1 is type II. VLAN, class of service and index are the mirroring switch's own business: zero.
    let second = encapsulation << 11 | u16::from(copy.truncated) << 10 | session & MAX_SESSION;
    let erspan = 1_u64 << 60 | u64::from(second) << 32;
    let mut bytes = [0; HEADER_LEN];
    bytes[..8].copy_from_slice(&gre.to_be_bytes());
    bytes[8..].copy_from_slice(&erspan.to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_where_the_draft_has_them() {
        let mut copy = PerCopy {
            inner_len: 0,
            sequence: 0x0102_0304,
            truncated: false,
            tagged: false,
        };
        assert_eq!(
            header(0x2aa, &copy),
            [0x10, 0, 0x88, 0xbe, 1, 2, 3, 4, 0x10, 0, 0x02, 0xaa, 0, 0, 0, 0]
        );
        copy.truncated = true;
        assert_eq!(header(1023, &copy)[10..12], [0x07, 0xff]);
        copy.tagged = true;
        assert_eq!(header(0xffff, &copy)[10..12], [0x1f, 0xff]);
    }
}
