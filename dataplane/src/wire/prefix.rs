//! IP prefixes, v4 and v6.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

/// An IPv4 or IPv6 prefix. Bits beyond its length are always zero.
///
/// Ordered by family (v4 first), then address, then length: a prefix comes right before those it covers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IpPrefix {
    addr: IpAddr,
    len: u8,
}

/// Why an address and a length, or a text, are not a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// The length is more than the family has bits.
    #[error("prefix length /{len} is too long: {addr} has {max} bits")]
    TooLong {
        /// The address.
        addr: IpAddr,
        /// The length given.
        len: u8,
        /// The longest legal one.
        max: u8,
    },
    /// Address bits beyond the length are set.
    #[error("{addr}/{len} has host bits set: the prefix is {right}")]
    HostBits {
        /// The address given.
        addr: IpAddr,
        /// The length given.
        len: u8,
        /// The prefix in which the address lies.
        right: IpPrefix,
    },
    /// An address stands alone.
    #[error("{0} has no prefix length: write {0}/{bits} for this address alone", bits = max_len(.0))]
    NoLength(IpAddr),
    /// The text before the slash is no address.
    #[error("not an IP prefix: write ADDRESS/LENGTH, like 10.1.0.0/16 or 2001:db8::/32")]
    NotAPrefix,
    /// The text behind the slash is no length.
    #[error("prefix length of {addr} is not a number from 0 to {max}")]
    BadLength {
        /// The address.
        addr: IpAddr,
        /// The longest legal length.
        max: u8,
    },
}

const fn max_len(addr: &IpAddr) -> u8 {
    match addr {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// The netmask of a v4 prefix length (0..=32).
fn mask4(len: u8) -> u32 {
    u32::MAX.checked_shl(32u32.saturating_sub(u32::from(len))).unwrap_or(0)
}

/// The netmask of a v6 prefix length (0..=128).
fn mask6(len: u8) -> u128 {
    u128::MAX
        .checked_shl(128u32.saturating_sub(u32::from(len)))
        .unwrap_or(0)
}

impl IpPrefix {
    /// `0.0.0.0/0`.
    pub const V4_DEFAULT: Self = Self {
        addr: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        len: 0,
    };
    /// `::/0`.
    pub const V6_DEFAULT: Self = Self {
        addr: IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        len: 0,
    };

    /// A prefix whose address has no bit set beyond `len`.
    ///
    /// # Errors
    /// [`PrefixError::TooLong`] and [`PrefixError::HostBits`].
    pub fn new(addr: IpAddr, len: u8) -> Result<Self, PrefixError> {
        let right = Self::containing(addr, len)?;
        if right.addr == addr {
            Ok(right)
        } else {
            Err(PrefixError::HostBits { addr, len, right })
        }
    }

    /// The prefix of length `len` in which `addr` lies: host bits are cleared.
    ///
    /// # Errors
    /// [`PrefixError::TooLong`].
    pub fn containing(addr: IpAddr, len: u8) -> Result<Self, PrefixError> {
        let max = max_len(&addr);
        if len > max {
            return Err(PrefixError::TooLong { addr, len, max });
        }
        let addr = match addr {
            IpAddr::V4(a) => IpAddr::V4(Ipv4Addr::from_bits(a.to_bits() & mask4(len))),
            IpAddr::V6(a) => IpAddr::V6(Ipv6Addr::from_bits(a.to_bits() & mask6(len))),
        };
        Ok(Self { addr, len })
    }

    /// The prefix that holds just `addr`: /32 or /128.
    pub const fn host(addr: IpAddr) -> Self {
        Self {
            addr,
            len: max_len(&addr),
        }
    }

    /// The first address.
    pub const fn addr(&self) -> IpAddr {
        self.addr
    }

    /// The length in bits: 0..=32 or 0..=128.
    pub const fn prefix_len(&self) -> u8 {
        self.len
    }

    /// The last address (of a v4 subnet: its broadcast address).
    pub fn last(&self) -> IpAddr {
        match self.addr {
            IpAddr::V4(a) => IpAddr::V4(Ipv4Addr::from_bits(a.to_bits() | !mask4(self.len))),
            IpAddr::V6(a) => IpAddr::V6(Ipv6Addr::from_bits(a.to_bits() | !mask6(self.len))),
        }
    }

    /// Is this an IPv4 prefix?
    pub const fn is_v4(&self) -> bool {
        matches!(self.addr, IpAddr::V4(_))
    }

    /// Is this the whole of a family, /0?
    pub const fn is_default(&self) -> bool {
        self.len == 0
    }

    /// Is this a single address, /32 or /128?
    pub const fn is_host(&self) -> bool {
        self.len == max_len(&self.addr)
    }

    /// Does `addr` lie in this prefix? An address of the other family never does, a v4-mapped one included.
    pub fn contains(&self, addr: IpAddr) -> bool {
        match (self.addr, addr) {
            (IpAddr::V4(p), IpAddr::V4(a)) => (p.to_bits() ^ a.to_bits()) & mask4(self.len) == 0,
            (IpAddr::V6(p), IpAddr::V6(a)) => (p.to_bits() ^ a.to_bits()) & mask6(self.len) == 0,
            _ => false,
        }
    }

    /// Does every address of `other` lie in this prefix?
    pub fn covers(&self, other: &Self) -> bool {
        self.len <= other.len && self.contains(other.addr)
    }

    /// Is there an address in both?
    pub fn overlaps(&self, other: &Self) -> bool {
        self.covers(other) || other.covers(self)
    }
}

impl fmt::Display for IpPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.addr, self.len)
    }
}

impl fmt::Debug for IpPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for IpPrefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let (addr, len) = match text.split_once('/') {
            Some((addr, len)) => (addr, Some(len)),
            None => (text, None),
        };
        let addr: IpAddr = addr.parse().map_err(|_| PrefixError::NotAPrefix)?;
        let len = len.ok_or(PrefixError::NoLength(addr))?;
        let bad = PrefixError::BadLength {
            addr,
            max: max_len(&addr),
        };
        if !len.bytes().all(|c| c.is_ascii_digit()) {
            return Err(bad);
        }
        Self::new(addr, len.parse().map_err(|_| bad)?)
    }
}

impl From<IpAddr> for IpPrefix {
    fn from(addr: IpAddr) -> Self {
        Self::host(addr)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn p(text: &str) -> IpPrefix {
        text.parse().unwrap()
    }

    fn error(text: &str) -> String {
        text.parse::<IpPrefix>().unwrap_err().to_string()
    }

    #[test]
    fn errors_say_what_is_right() {
        assert_eq!(
            error("10.1.2.3/24"),
            "10.1.2.3/24 has host bits set: the prefix is 10.1.2.0/24"
        );
        assert_eq!(
            error("2001:db8::1/64"),
            "2001:db8::1/64 has host bits set: the prefix is 2001:db8::/64"
        );
        assert_eq!(
            error("10.0.0.1"),
            "10.0.0.1 has no prefix length: write 10.0.0.1/32 for this address alone"
        );
        assert_eq!(
            error("10.0.0.0/33"),
            "prefix length /33 is too long: 10.0.0.0 has 32 bits"
        );
        for bad in [
            "::/129",
            "::/x",
            "::/",
            "::/+1",
            "10.0.0.0/256",
            "10.0.0/8",
            "",
            "/",
            "10.0.0.0/8/8",
        ] {
            assert!(bad.parse::<IpPrefix>().is_err(), "{bad}");
        }
    }

    #[test]
    fn containment() {
        assert!(p("10.1.0.0/16").contains("10.1.255.255".parse().unwrap()));
        assert!(!p("10.1.0.0/16").contains("10.2.0.0".parse().unwrap()));
        assert!(IpPrefix::V4_DEFAULT.contains("255.0.0.1".parse().unwrap()));
        assert!(!IpPrefix::V6_DEFAULT.contains("10.0.0.1".parse().unwrap()));
        assert!(p("2001:db8::/32").covers(&p("2001:db8:1::/48")) && !p("2001:db8:1::/48").covers(&p("2001:db8::/32")));
        assert!(p("2001:db8:1::/48").overlaps(&p("2001:db8::/32")) && !p("10.0.0.0/9").overlaps(&p("10.128.0.0/9")));
        assert_eq!(p("10.1.2.0/23").last(), "10.1.3.255".parse::<IpAddr>().unwrap());
        assert_eq!(
            p("::/0").last(),
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff".parse::<IpAddr>().unwrap()
        );
        assert!(p("10.0.0.1/32").is_host() && p("::/0").is_default());
    }

    fn any_addr() -> impl Strategy<Value = IpAddr> {
        prop_oneof![
            any::<Ipv4Addr>().prop_map(IpAddr::V4),
            any::<Ipv6Addr>().prop_map(IpAddr::V6)
        ]
    }

    proptest! {
        #[test]
        fn round_trips_and_bounds(addr in any_addr(), len in 0u8..=128) {
            match IpPrefix::containing(addr, len) {
                Ok(prefix) => {
                    prop_assert_eq!(prefix.to_string().parse::<IpPrefix>(), Ok(prefix));
                    prop_assert!(prefix.contains(addr) && prefix.addr() <= addr && addr <= prefix.last());
                    prop_assert!(prefix.covers(&IpPrefix::host(addr)));
                }
                Err(_) => prop_assert!(addr.is_ipv4() && len > 32),
            }
        }
    }
}
