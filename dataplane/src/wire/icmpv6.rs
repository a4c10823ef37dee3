//! ICMPv6 (RFC 4443). Neighbour discovery has its own file, [`ndisc`](super::ndisc).

use core::net::Ipv6Addr;

use super::WireError;
use super::bytes::put_u32;
use super::checksum::{fill_l4, pseudo_v6, verify_l4};
use super::proto;
use super::view::{fields, view};

/// Bytes of the header of every message that this router reads.
pub const HEADER_LEN: usize = 8;
/// Most bytes of an error message: with its IPv6 header 1280 (RFC 4443 section 2.4(c)).
pub const MAX_ERROR_LEN: usize = 1240;

/// Type: destination unreachable.
pub const UNREACHABLE: u8 = 1;
/// Type: packet too big; the header's second word holds the MTU.
pub const TOO_BIG: u8 = 2;
/// Type: time exceeded.
pub const TIME_EXCEEDED: u8 = 3;
/// Type: parameter problem.
pub const PARAMETER_PROBLEM: u8 = 4;
/// Type: echo request.
pub const ECHO_REQUEST: u8 = 128;
/// Type: echo reply.
pub const ECHO_REPLY: u8 = 129;
/// Type: redirect (RFC 4861), not an error by number but never to be answered either.
pub const REDIRECT: u8 = 137;

/// Code of [`UNREACHABLE`]: no route.
pub const CODE_NO_ROUTE: u8 = 0;
/// Code of [`UNREACHABLE`]: administratively prohibited.
pub const CODE_PROHIBITED: u8 = 1;
/// Code of [`UNREACHABLE`]: the address does not answer.
pub const CODE_ADDRESS: u8 = 3;

view! {
    /// An ICMPv6 message.
    Icmpv6, check
}

fn check(bytes: &[u8]) -> Result<(), WireError> {
    WireError::need("ICMPv6", HEADER_LEN, bytes.len())
}

fields! {
    Icmpv6 {
        "Type." kind, set_kind: u8 = 0;
        "Code." code, set_code: u8 = 1;
        "Checksum." checksum, set_checksum: u16 = 2;
        "The second word of the header as a whole; too big: the MTU." rest, set_rest: u32 = 4;
        "Echo: identifier." ident, set_ident: u16 = 4;
        "Echo: sequence number." seq, set_seq: u16 = 6;
    }
}

impl<T: AsRef<[u8]>> Icmpv6<T> {
    /// Is this an error message? Types below 128 are (RFC 4443 section 2.1); they are never answered with an error.
    pub fn is_error(&self) -> bool {
        self.kind() < 128
    }

    /// What follows the header: echo data, or the head of the packet that an error is about.
    pub fn payload(&self) -> &[u8] {
        self.as_bytes().get(HEADER_LEN..).unwrap_or_default()
    }

    /// Is the checksum over the whole message and the pseudo header right?
    pub fn checksum_ok(&self, src: Ipv6Addr, dst: Ipv6Addr) -> bool {
        let bytes = self.as_bytes();
        verify_l4(
            bytes,
            proto::ICMPV6,
            pseudo_v6(src, dst, proto::ICMPV6, bytes.len() as u32),
        )
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> Icmpv6<T> {
    /// Computes the checksum over the whole message and the pseudo header.
    pub fn fill_checksum(&mut self, src: Ipv6Addr, dst: Ipv6Addr) {
        fill(self.buf.as_mut(), src, dst);
    }
}

/// Computes and writes the checksum of a whole message.
pub(super) fn fill(message: &mut [u8], src: Ipv6Addr, dst: Ipv6Addr) {
    let pseudo = pseudo_v6(src, dst, proto::ICMPV6, message.len() as u32);
    fill_l4(message, proto::ICMPV6, pseudo);
}

/// What an ICMPv6 error says and between whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorHeader {
    /// Type.
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// The second word: the MTU ([`TOO_BIG`]), a pointer ([`PARAMETER_PROBLEM`]), else zero.
    pub rest: u32,
    /// Source address of the packet that will carry it.
    pub src: Ipv6Addr,
    /// Destination address of the packet that will carry it.
    pub dst: Ipv6Addr,
}

/// Writes an ICMPv6 error about `original` (from its IPv6 header on) into `buf`, as much of it as fits and
/// [`MAX_ERROR_LEN`] allows. Returns the length written.
///
/// # Errors
/// `buf` does not hold the header.
pub fn emit_error(buf: &mut [u8], error: &ErrorHeader, original: &[u8]) -> Result<usize, WireError> {
    let have = buf.len();
    let no_room = WireError::NoRoom {
        header: "ICMPv6",
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
    put_u32(message, 0, u32::from(error.kind) << 24 | u32::from(error.code) << 16);
    put_u32(message, 4, error.rest);
    fill(message, error.src, error.dst);
    Ok(len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn errors(room in 0usize..1400, original in proptest::collection::vec(any::<u8>(), 0..1400), rest: u32, a: u128, b: u128) {
            let mut buf = vec![0xaa; room];
            let error = ErrorHeader { kind: TOO_BIG, code: 0, rest, src: a.into(), dst: b.into() };
            match emit_error(&mut buf, &error, &original) {
                Ok(len) => {
                    prop_assert_eq!(len, room.min(MAX_ERROR_LEN).min(HEADER_LEN + original.len()));
                    let view = Icmpv6::new_checked(&buf[..len]).unwrap();
                    prop_assert!(view.is_error() && view.checksum_ok(a.into(), b.into()));
                    prop_assert_eq!((view.kind(), view.rest(), view.payload()), (TOO_BIG, rest, &original[..len - 8]));
                    let e = etherparse::Icmpv6Slice::from_slice(&buf[..len]).unwrap();
                    prop_assert!(e.is_checksum_valid(a.to_be_bytes(), b.to_be_bytes()));
                }
                Err(_) => prop_assert!(room < HEADER_LEN),
            }
        }
    }
}
