//! ICMP for IPv4 (RFC 792).

use super::WireError;
use super::bytes::put_u32;
use super::checksum::{Sum, fill_l4, verify_l4};
use super::proto;
use super::view::{fields, view};

/// Bytes of the header of every message.
pub const HEADER_LEN: usize = 8;
/// Most bytes of an error message: with its IPv4 header 576 (RFC 1812 section 4.3.2.3).
pub const MAX_ERROR_LEN: usize = 556;

/// Type: echo reply.
pub const ECHO_REPLY: u8 = 0;
/// Type: destination unreachable.
pub const UNREACHABLE: u8 = 3;
/// Type: redirect.
pub const REDIRECT: u8 = 5;
/// Type: echo request.
pub const ECHO_REQUEST: u8 = 8;
/// Type: time exceeded.
pub const TIME_EXCEEDED: u8 = 11;
/// Type: parameter problem.
pub const PARAMETER_PROBLEM: u8 = 12;
/// Type: source quench (RFC 6633: never sent, still an error).
const SOURCE_QUENCH: u8 = 4;

/// Code of [`UNREACHABLE`]: no route to the network.
pub const CODE_NET: u8 = 0;
/// Code of [`UNREACHABLE`]: the host does not answer.
pub const CODE_HOST: u8 = 1;
/// Code of [`UNREACHABLE`]: fragmentation needed and DF set; the header's second word holds the MTU (RFC 1191).
pub const CODE_TOO_BIG: u8 = 4;
/// Code of [`UNREACHABLE`]: administratively prohibited (RFC 1812).
pub const CODE_PROHIBITED: u8 = 13;

view! {
    /// An ICMP message.
    Icmpv4, check
}

fn check(bytes: &[u8]) -> Result<(), WireError> {
    WireError::need("ICMP", HEADER_LEN, bytes.len())
}

fields! {
    Icmpv4 {
        "Type." kind, set_kind: u8 = 0;
        "Code." code, set_code: u8 = 1;
        "Checksum." checksum, set_checksum: u16 = 2;
        "The second word of the header as a whole." rest, set_rest: u32 = 4;
        "Echo: identifier." ident, set_ident: u16 = 4;
        "Echo: sequence number." seq, set_seq: u16 = 6;
        "Too big: MTU of the next hop." mtu, set_mtu: u16 = 6;
    }
}

impl<T: AsRef<[u8]>> Icmpv4<T> {
    /// Is this an error message? Errors are never answered with an error (RFC 1122 section 3.2.2), and carry a packet.
    pub fn is_error(&self) -> bool {
        matches!(
            self.kind(),
            UNREACHABLE | SOURCE_QUENCH | REDIRECT | TIME_EXCEEDED | PARAMETER_PROBLEM
        )
    }

    /// What follows the header: echo data, or the head of the packet that an error is about.
    pub fn payload(&self) -> &[u8] {
        self.as_bytes().get(HEADER_LEN..).unwrap_or_default()
    }

    /// Is the checksum over the whole message right?
    pub fn checksum_ok(&self) -> bool {
        verify_l4(self.as_bytes(), proto::ICMP, Sum::ZERO)
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Icmpv4<T> {
    /// Computes the checksum over the whole message.
    pub fn fill_checksum(&mut self) {
        fill_l4(self.buf.as_mut(), proto::ICMP, Sum::ZERO);
    }
}

/// Writes an ICMP error about `original` (from its IPv4 header on) into `buf`, as much of it as fits and
/// [`MAX_ERROR_LEN`] allows. `rest` is the second word: for [`CODE_TOO_BIG`] the MTU. Returns the length written.
///
/// # Errors
/// `buf` does not hold the header.
pub fn emit_error(buf: &mut [u8], kind: u8, code: u8, rest: u32, original: &[u8]) -> Result<usize, WireError> {
    let have = buf.len();
    let no_room = WireError::NoRoom {
        header: "ICMP",
        need: HEADER_LEN,
        have,
    };
    let quoted = have
        .min(MAX_ERROR_LEN)
        .checked_sub(HEADER_LEN)
        .ok_or(no_room)?
        .min(original.len());
    let len = HEADER_LEN + quoted;
    let message = buf.get_mut(..len).ok_or(no_room)?;
    if let (Some(to), Some(from)) = (message.get_mut(HEADER_LEN..), original.get(..quoted)) {
        to.copy_from_slice(from);
    }
    put_u32(message, 0, u32::from(kind) << 24 | u32::from(code) << 16);
    put_u32(message, 4, rest);
    fill_l4(message, proto::ICMP, Sum::ZERO);
    Ok(len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn errors(room in 0usize..700, original in proptest::collection::vec(any::<u8>(), 0..700), mtu: u16) {
            let mut buf = vec![0xaa; room];
            match emit_error(&mut buf, UNREACHABLE, CODE_TOO_BIG, mtu.into(), &original) {
                Ok(len) => {
                    prop_assert_eq!(len, room.min(MAX_ERROR_LEN).min(HEADER_LEN + original.len()));
                    let view = Icmpv4::new_checked(&buf[..len]).unwrap();
                    prop_assert!(view.is_error() && view.checksum_ok());
                    prop_assert_eq!((view.kind(), view.code(), view.mtu()), (3, 4, mtu));
                    prop_assert_eq!(view.payload(), &original[..len - 8]);
                    prop_assert!(buf[len..].iter().all(|b| *b == 0xaa));
                    let e = etherparse::Icmpv4Slice::from_slice(&buf[..len]).unwrap();
                    prop_assert_eq!(e.icmp_type().calc_checksum(e.payload()), e.checksum());
                }
                Err(_) => prop_assert!(room < HEADER_LEN),
            }
        }

        #[test]
        fn echo(ident: u16, seq: u16, data in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut bytes = [&[0u8; 8][..], &data].concat();
            let mut view = Icmpv4::new_checked(&mut bytes).unwrap();
            view.set_kind(ECHO_REQUEST);
            view.set_ident(ident);
            view.set_seq(seq);
            view.fill_checksum();
            prop_assert!(view.checksum_ok() && !view.is_error());
            prop_assert_eq!((view.ident(), view.seq(), view.rest()), (ident, seq, u32::from(ident) << 16 | u32::from(seq)));
            bytes[0] ^= 1;
            prop_assert!(!Icmpv4::new_checked(&bytes).unwrap().checksum_ok());
        }
    }
}
