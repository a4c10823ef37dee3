//! The bounded walk over IPv6 extension headers (RFC 8200 section 4): the slow side of [`parse`](super::parse()).

use super::parse::fragment;
use super::{Fragment, ParseError, proto};

/// Most extension headers that are walked. Real packets have one to three.
pub const MAX_HEADERS: usize = 8;
/// Most bytes of extension headers, all together.
pub const MAX_BYTES: usize = 512;

/// Where the extension headers end, and what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Walk {
    /// Protocol of what follows. In a later fragment: what the fragment header names.
    pub proto: u8,
    /// Bytes of extension headers.
    pub len: u16,
    /// What the fragment header, if there is one, makes of the packet.
    pub fragment: Fragment,
}

/// Is this next header value an extension header that is walked?
///
/// ESP hides what follows and counts as L4; mobility, HIP and shim6 headers end the walk too.
#[inline(always)]
pub const fn is_extension(next: u8) -> bool {
    matches!(
        next,
        proto::HOP_BY_HOP | proto::ROUTING | proto::FRAGMENT | proto::DEST_OPTS | proto::AH
    )
}

/// Walks the extension headers at the head of `payload`, the first of which is `next`.
///
/// # Errors
/// Truncation, a bound exceeded, a header out of place, or an impossible fragment.
pub fn walk(mut next: u8, payload: &[u8]) -> Result<Walk, ParseError> {
    let mut at = 0usize;
    let mut state = Fragment::No;
    let mut fragmented = false;
    for count in 0.. {
        if !is_extension(next) {
            break;
        }
        if count == MAX_HEADERS {
            return Err(ParseError::TooManyExtensions);
        }
        let header = payload
            .get(at..)
            .and_then(|rest| rest.first_chunk::<8>())
            .ok_or(ParseError::TruncatedExtension)?;
        let [following, units, f0, f1, ..] = *header;
        let len = match next {
            proto::HOP_BY_HOP if count != 0 => return Err(ParseError::BadExtensionOrder),
            proto::FRAGMENT => 8,
            // AH counts in units of 4 bytes, less 2 (RFC 4302 section 2.2); on IPv6 the whole is a multiple of 8.
            proto::AH => (usize::from(units) + 2) * 4,
            _ => (usize::from(units) + 1) * 8,
        };
        if at + len > MAX_BYTES {
            return Err(ParseError::ExtensionsTooLong);
        }
        if at + len > payload.len() {
            return Err(ParseError::TruncatedExtension);
        }
        at += len;
        if next == proto::FRAGMENT {
            if fragmented {
                return Err(ParseError::BadExtensionOrder);
            }
            fragmented = true;
            let field = u16::from_be_bytes([f0, f1]);
            state = fragment(usize::from(field & 0xfff8), field & 1 != 0, payload.len() - at)?;
            if state == Fragment::Later {
                next = following;
                break;
            }
        }
        next = following;
    }
    Ok(Walk {
        proto: next,
        len: at as u16,
        fragment: state,
    })
}
