//! Prefixes, and addresses as numbers.

use std::{fmt, net::IpAddr, net::Ipv4Addr, net::Ipv6Addr, str::FromStr};

use serde::{Deserialize, Serialize};

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// Bits of an address: 32 or 128.
    #[must_use]
    pub fn bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }

    /// The address that has this number within the family; `None` when it has too many bits.
    #[must_use]
    pub fn address(self, number: u128) -> Option<IpAddr> {
        match self {
            Self::V4 => Some(IpAddr::V4(Ipv4Addr::from(u32::try_from(number).ok()?))),
            Self::V6 => Some(IpAddr::V6(Ipv6Addr::from(number))),
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// Reads an address that a host may have.
///
/// # Errors
/// In words, when it is no address, or one no host can have (unspecified, loopback, multicast, broadcast).
pub fn parse_address(text: &str) -> Result<IpAddr, String> {
    let address: IpAddr = text
        .parse()
        .map_err(|_| format!("{text:?} is no IP address; 10.1.0.7 or fd00:1::7 would be right"))?;
    match unusable(address) {
        Some(kind) => Err(format!("{address} is {kind}; an address of a host would be right")),
        None => Ok(address),
    }
}

fn unusable(address: IpAddr) -> Option<&'static str> {
    if address.is_unspecified() {
        Some("the unspecified address")
    } else if address.is_loopback() {
        Some("a loopback address")
    } else if address.is_multicast() {
        Some("a multicast address")
    } else if matches!(address, IpAddr::V4(v4) if v4.is_broadcast()) {
        Some("the broadcast address")
    } else {
        None
    }
}

/// An IPv4 or IPv6 prefix without host bits, of the ranges that hosts have.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr {
    network: IpAddr,
    length: u8,
}

/// Why a text is not a [`Cidr`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadCidr {
    /// Not an address, a slash and a length.
    #[error("{0:?} is no prefix; 10.1.0.0/24 or fd00:1::/64 would be right")]
    Syntax(String),
    /// The length is beyond the family's bits.
    #[error("/{length} is too long; {family} prefixes go up to /{max}", max = family.bits())]
    Length {
        /// What was asked for.
        length: u32,
        /// Of which family.
        family: Family,
    },
    /// Bits below the length are set.
    #[error("{given} has host bits set; {right} would be right")]
    HostBits {
        /// What was given.
        given: String,
        /// The prefix without them.
        right: Cidr,
    },
    /// A range that hosts cannot have addresses of.
    #[error("{0} is {1}; no host can have an address of it")]
    Unusable(String, &'static str),
}

impl Cidr {
    /// Reads `text`.
    ///
    /// # Errors
    /// [`BadCidr`] tells what is wrong and what would be right.
    pub fn new(text: &str) -> Result<Self, BadCidr> {
        let cidr = Self::any(text)?;
        if cidr.length == 0 {
            return Err(BadCidr::Unusable(text.to_owned(), "everything"));
        }
        match unusable(cidr.network) {
            Some(kind) => Err(BadCidr::Unusable(text.to_owned(), kind)),
            None => Ok(cidr),
        }
    }

    /// Reads `text`, whether or not hosts can have addresses of it.
    pub(super) fn any(text: &str) -> Result<Self, BadCidr> {
        let syntax = || BadCidr::Syntax(text.to_owned());
        let (address, length) = text.split_once('/').ok_or_else(syntax)?;
        let address: IpAddr = address.parse().map_err(|_| syntax())?;
        if length.is_empty() || !length.bytes().all(|b| b.is_ascii_digit()) {
            return Err(syntax());
        }
        let length: u32 = length.parse().map_err(|_| syntax())?;
        let family = Family::of(address);
        let length = u8::try_from(length)
            .ok()
            .filter(|&l| l <= family.bits())
            .ok_or(BadCidr::Length { length, family })?;
        let right = Self::covering(address, length);
        if right.network != address {
            return Err(BadCidr::HostBits {
                given: text.to_owned(),
                right,
            });
        }
        Ok(right)
    }

    /// The prefix of this length that covers `address`. A length beyond the family's bits means all of them.
    #[must_use]
    pub fn covering(address: IpAddr, length: u8) -> Self {
        let family = Family::of(address);
        let length = length.min(family.bits());
        let number = number(address) & !host_mask(family, length);
        Self {
            network: family.address(number).unwrap_or(address),
            length,
        }
    }

    /// The address family.
    #[must_use]
    pub fn family(self) -> Family {
        Family::of(self.network)
    }

    /// Prefix length in bits.
    #[must_use]
    pub fn length(self) -> u8 {
        self.length
    }

    /// Number of the first address, the network's own.
    #[must_use]
    pub fn first(self) -> u128 {
        number(self.network)
    }

    /// Number of the last address.
    #[must_use]
    pub fn last(self) -> u128 {
        self.first() | host_mask(self.family(), self.length)
    }

    /// Numbers of the first and last address that a host may have: without the network and broadcast address of IPv4 (but for /31 and
    /// /32, RFC 3021) and without the subnet-router anycast address of IPv6 (but for /127 and /128, RFC 4291, RFC 6164).
    #[must_use]
    pub fn hosts(self) -> (u128, u128) {
        let spare = self.family().bits() - self.length;
        match self.family() {
            _ if spare < 2 => (self.first(), self.last()),
            Family::V4 => (self.first() + 1, self.last() - 1),
            Family::V6 => (self.first() + 1, self.last()),
        }
    }

    /// Whether `address` is in it.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        Family::of(address) == self.family() && (self.first()..=self.last()).contains(&number(address))
    }

    /// Whether all of `other` is in it.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        self.family() == other.family() && self.first() <= other.first() && other.last() <= self.last()
    }

    /// Whether they have an address in common.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.family() == other.family() && self.first() <= other.last() && other.first() <= self.last()
    }
}

/// The address as a number within its family.
#[must_use]
pub(crate) fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

fn host_mask(family: Family, length: u8) -> u128 {
    let spare = u32::from(family.bits() - length);
    if spare == 0 { 0 } else { u128::MAX >> (128 - spare) }
}

impl FromStr for Cidr {
    type Err = BadCidr;
    fn from_str(text: &str) -> Result<Self, BadCidr> {
        Self::new(text)
    }
}

impl TryFrom<String> for Cidr {
    type Error = BadCidr;
    fn try_from(text: String) -> Result<Self, BadCidr> {
        Self::new(&text)
    }
}

impl From<Cidr> for String {
    fn from(cidr: Cidr) -> Self {
        cidr.to_string()
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.length)
    }
}

impl fmt::Debug for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> Cidr {
        Cidr::new(text).unwrap()
    }

    #[test]
    fn errors_tell_what_would_be_right() {
        let text = |t: &str| Cidr::new(t).unwrap_err().to_string();
        assert_eq!(
            text("10.1.0.5/24"),
            "10.1.0.5/24 has host bits set; 10.1.0.0/24 would be right"
        );
        assert_eq!(
            text("fd00::1/64"),
            "fd00::1/64 has host bits set; fd00::/64 would be right"
        );
        assert_eq!(text("10.0.0.0/33"), "/33 is too long; IPv4 prefixes go up to /32");
        assert!(text("10.0.0.0").contains("is no prefix"));
        assert!(text("10.0.0.0/+8").contains("is no prefix"));
        assert!(text("0.0.0.0/0").contains("everything"));
        assert!(text("224.0.0.0/8").contains("multicast"));
        assert!(text("ff00::/8").contains("multicast"));
    }

    #[test]
    fn hosts_leave_out_the_special_addresses() {
        let hosts = |t: &str| {
            let c = cidr(t);
            let (a, b) = c.hosts();
            let show = |n| c.family().address(n).unwrap().to_string();
            (show(a), show(b))
        };
        assert_eq!(hosts("10.1.0.0/24"), ("10.1.0.1".into(), "10.1.0.254".into()));
        assert_eq!(hosts("10.1.0.0/31"), ("10.1.0.0".into(), "10.1.0.1".into()));
        assert_eq!(hosts("10.1.0.7/32"), ("10.1.0.7".into(), "10.1.0.7".into()));
        assert_eq!(
            hosts("fd00::/64"),
            ("fd00::1".into(), "fd00::ffff:ffff:ffff:ffff".into())
        );
        assert_eq!(hosts("fd00::/127"), ("fd00::".into(), "fd00::1".into()));
    }

    #[test]
    fn overlap_is_symmetric_and_by_family() {
        assert!(cidr("10.0.0.0/8").overlaps(cidr("10.1.0.0/24")));
        assert!(cidr("10.1.0.0/24").overlaps(cidr("10.0.0.0/8")));
        assert!(!cidr("10.1.0.0/24").overlaps(cidr("10.1.1.0/24")));
        assert!(!cidr("10.0.0.0/8").overlaps(cidr("fd00::/8")));
        assert!(cidr("fd00::/64").contains("fd00::5".parse().unwrap()));
        assert!(!cidr("fd00::/64").contains("10.0.0.1".parse().unwrap()));
    }
}
