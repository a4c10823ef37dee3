//! MPLS label stacks (RFC 3032, 5462).

use super::{Label, WireError};

/// Bytes of a label stack entry.
pub const ENTRY_LEN: usize = 4;
/// Deepest stack that is walked.
pub const MAX_DEPTH: usize = 8;

/// One label stack entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Entry {
    /// The label.
    pub label: Label,
    /// Traffic class, 0..=7.
    pub tc: u8,
    /// Bottom of stack.
    pub bottom: bool,
    /// Time to live.
    pub ttl: u8,
}

impl Entry {
    /// The entry in these four bytes: all bytes are one.
    #[inline]
    pub const fn from_bytes(bytes: [u8; ENTRY_LEN]) -> Self {
        let word = u32::from_be_bytes(bytes);
        Self {
            label: Label::from_entry(word),
            tc: (word >> 9) as u8 & 7,
            bottom: word & 0x100 != 0,
            ttl: word as u8,
        }
    }

    /// Its bytes.
    #[inline]
    pub const fn to_bytes(self) -> [u8; ENTRY_LEN] {
        let word = self.label.get() << 12 | (self.tc as u32 & 7) << 9 | (self.bottom as u32) << 8 | self.ttl as u32;
        word.to_be_bytes()
    }
}

/// The top entry and what follows it.
///
/// # Errors
/// Fewer than four bytes.
#[inline]
pub fn pop(bytes: &[u8]) -> Result<(Entry, &[u8]), WireError> {
    match bytes.split_first_chunk::<ENTRY_LEN>() {
        Some((entry, rest)) => Ok((Entry::from_bytes(*entry), rest)),
        None => Err(WireError::Truncated {
            header: "MPLS",
            need: ENTRY_LEN,
            have: bytes.len(),
        }),
    }
}

/// What follows the whole stack: the payload behind the entry marked as bottom.
///
/// # Errors
/// The bytes end before the bottom, or the stack is deeper than [`MAX_DEPTH`].
pub fn payload(mut bytes: &[u8]) -> Result<&[u8], WireError> {
    for _ in 0..MAX_DEPTH {
        let (entry, rest) = pop(bytes)?;
        if entry.bottom {
            return Ok(rest);
        }
        bytes = rest;
    }
    Err(WireError::invalid(
        "MPLS",
        "stack depth",
        MAX_DEPTH as u32 + 1,
        "at most 8",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn walks_to_the_bottom_with_a_bound() {
        let entry = |bottom| {
            Entry {
                label: Label::FIRST_UNRESERVED,
                tc: 5,
                bottom,
                ttl: 64,
            }
            .to_bytes()
        };
        assert_eq!(entry(true), [0x00, 0x01, 0x0b, 64]);
        let stack = |depth: usize| {
            [vec![entry(false); depth - 1], vec![entry(true)], vec![*b"abcd"]]
                .concat()
                .concat()
        };
        assert_eq!(payload(&stack(1)), Ok(&b"abcd"[..]));
        assert_eq!(payload(&stack(8)), Ok(&b"abcd"[..]));
        assert_eq!(
            payload(&stack(9)).unwrap_err().to_string(),
            "MPLS: stack depth is 9, expected at most 8"
        );
        assert!(payload(&entry(false)).is_err());
        assert!(pop(&[0; 3]).is_err());
    }

    proptest! {
        #[test]
        fn round_trips(bytes: [u8; 4], rest: [u8; 3]) {
            prop_assert_eq!(Entry::from_bytes(bytes).to_bytes(), bytes);
            let all = [&bytes[..], &rest].concat();
            prop_assert_eq!(pop(&all).unwrap(), (Entry::from_bytes(bytes), &rest[..]));
        }
    }
}
