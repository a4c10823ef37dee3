//! The two address families and their prefixes. Addresses are host-order integers: `u32` is IPv4, `u128` is IPv6.

use std::fmt;
use std::hash::Hash;
use std::net::{Ipv4Addr, Ipv6Addr};

/// An address that routes can be looked up by: `u32` for IPv4, `u128` for IPv6, both in host order. Sealed.
pub trait Address: family::Family + Copy + Ord + Hash + fmt::Debug + Send + Sync + 'static {
    /// Length of an address, in bits.
    const BITS: u8;
    /// The address as people write it.
    type Display: fmt::Display + From<Self>;
}

impl Address for u32 {
    const BITS: u8 = 32;
    type Display = Ipv4Addr;
}

impl Address for u128 {
    const BITS: u8 = 128;
    type Display = Ipv6Addr;
}

pub(super) mod family {
    //! What the trie must know of a family. Out of the crate's sight, which seals [`super::Address`].

    /// How an address is walked, and how the trie stores its leaves.
    pub trait Family: Sized {
        /// Most nodes on any way from the root down: bounds every walk, even one over garbage.
        const LEVELS: usize;
        /// Longest suffix a leaf can hold, in bits; one more bit marks its end.
        const LEAF_BITS: u32;
        /// Whether the values of leaves stand in the value array (a suffix fills a word) or beside their suffixes.
        const APART: bool;
        /// An address on its way down: what is left to match, from the highest bit.
        type Key: Copy;
        fn key(self) -> Self::Key;
        /// The next 64 bits, zeros after the end.
        fn window(key: Self::Key) -> u64;
        /// Drops the first `bits` (at most 36).
        fn advance(key: Self::Key, bits: u32) -> Self::Key;
        /// From the highest bit of 128.
        fn widen(self) -> u128;
        fn narrow(wide: u128) -> Self;
    }

    impl Family for u32 {
        const LEVELS: usize = 6;
        const LEAF_BITS: u32 = 31;
        const APART: bool = false;
        type Key = u64;

        #[inline(always)]
        fn key(self) -> u64 {
            u64::from(self) << 32
        }
        #[inline(always)]
        fn window(key: u64) -> u64 {
            key
        }
        #[inline(always)]
        fn advance(key: u64, bits: u32) -> u64 {
            key << bits
        }
        fn widen(self) -> u128 {
            u128::from(self) << 96
        }
        fn narrow(wide: u128) -> u32 {
            (wide >> 96) as u32
        }
    }

    impl Family for u128 {
        const LEVELS: usize = 22;
        const LEAF_BITS: u32 = 63;
        const APART: bool = true;
        type Key = u128;

        #[inline(always)]
        fn key(self) -> u128 {
            self
        }
        #[inline(always)]
        fn window(key: u128) -> u64 {
            (key >> 64) as u64
        }
        #[inline(always)]
        fn advance(key: u128, bits: u32) -> u128 {
            key << bits
        }
        fn widen(self) -> u128 {
            self
        }
        fn narrow(wide: u128) -> u128 {
            wide
        }
    }
}

/// A prefix: an address whose bits behind `len` are zero. Ordered as routes are listed: by address, then shorter first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix<A> {
    address: A,
    len: u8,
}

/// Why an address and a length are no prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPrefix {
    /// The length is longer than an address of this family.
    #[error("prefix length {len} is longer than the address: at most {max}")]
    TooLong {
        /// The length that was given.
        len: u8,
        /// The longest of this family.
        max: u8,
    },
    /// Bits behind the prefix are set.
    #[error("address bits behind prefix length {len} must be zero")]
    HostBits {
        /// The length that was given.
        len: u8,
    },
}

impl<A: Address> Prefix<A> {
    /// Everything: the prefix of a default route.
    pub fn default_route() -> Self {
        Prefix {
            address: A::narrow(0),
            len: 0,
        }
    }

    /// Checked: the length fits the family and no bit behind it is set.
    pub fn new(address: A, len: u8) -> Result<Self, BadPrefix> {
        let prefix = Prefix::containing(address, len)?;
        if prefix.address == address {
            Ok(prefix)
        } else {
            Err(BadPrefix::HostBits { len })
        }
    }

    /// The prefix of length `len` that contains `address`: bits behind it are cleared.
    pub fn containing(address: A, len: u8) -> Result<Self, BadPrefix> {
        if len > A::BITS {
            return Err(BadPrefix::TooLong { len, max: A::BITS });
        }
        let kept = address.widen() & !u128::MAX.checked_shr(u32::from(len)).unwrap_or(0);
        Ok(Prefix {
            address: A::narrow(kept),
            len,
        })
    }

    /// A prefix found in the trie: right by construction.
    pub(super) fn from_wide(wide: u128, len: u32) -> Self {
        Prefix {
            address: A::narrow(wide),
            len: len as u8,
        }
    }

    /// The lowest address of the prefix.
    pub fn address(self) -> A {
        self.address
    }

    /// Length in bits.
    pub fn length(self) -> u8 {
        self.len
    }

    /// Whether this is the prefix of a default route.
    pub fn is_default(self) -> bool {
        self.len == 0
    }

    /// Whether `address` lies in the prefix.
    pub fn contains(self, address: A) -> bool {
        let differing = self.address.widen() ^ address.widen();
        differing & !u128::MAX.checked_shr(u32::from(self.len)).unwrap_or(0) == 0
    }
}

impl<A: Address> fmt::Display for Prefix<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", A::Display::from(self.address), self.len)
    }
}

impl<A: Address> fmt::Debug for Prefix<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_checked_and_shown() {
        let ten = Prefix::new(0x0a00_0000u32, 8).unwrap();
        assert_eq!(ten.to_string(), "10.0.0.0/8");
        assert!(ten.contains(0x0aff_ffff) && !ten.contains(0x0b00_0000));
        assert_eq!(Prefix::new(0x0a00_0001u32, 8), Err(BadPrefix::HostBits { len: 8 }));
        assert_eq!(Prefix::new(0u32, 33), Err(BadPrefix::TooLong { len: 33, max: 32 }));
        assert_eq!(Prefix::containing(0x0a01_0203u32, 16).unwrap().address(), 0x0a01_0000);
        let host = Prefix::new(1u128, 128).unwrap();
        assert_eq!(host.to_string(), "::1/128");
        assert!(host.contains(1) && !host.contains(0));
        assert!(Prefix::<u128>::default_route().contains(u128::MAX));
    }
}
