//! Prefixes that are matched against, not handed out from.

use std::{fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Serialize};

use super::cidr::{BadCidr, Cidr, Family};

/// Any IPv4 or IPv6 prefix without host bits: unlike a [`Cidr`] to hand addresses out from, it may be everything (`0.0.0.0/0`), a range of
/// multicast addresses, or be written as a single address (`192.0.2.7` is `192.0.2.7/32`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Prefix(Cidr);

impl Prefix {
    /// Reads `text`.
    ///
    /// # Errors
    /// [`BadCidr`] tells what is wrong and what would be right.
    pub fn new(text: &str) -> Result<Self, BadCidr> {
        match text.parse::<IpAddr>() {
            Ok(address) => Ok(Self::host(address)),
            Err(_) => Cidr::any(text).map(Self),
        }
    }

    /// The prefix of this one address.
    #[must_use]
    pub fn host(address: IpAddr) -> Self {
        Self(Cidr::covering(address, Family::of(address).bits()))
    }

    /// As a range of addresses.
    #[must_use]
    pub fn cidr(self) -> Cidr {
        self.0
    }

    /// The address family.
    #[must_use]
    pub fn family(self) -> Family {
        self.0.family()
    }

    /// Whether it is one address only; which.
    #[must_use]
    pub fn as_host(self) -> Option<IpAddr> {
        let family = self.family();
        (self.0.length() == family.bits())
            .then(|| family.address(self.0.first()))
            .flatten()
    }

    /// Whether all of `other` is in it.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        self.0.covers(other.0)
    }
}

impl FromStr for Prefix {
    type Err = BadCidr;
    fn from_str(text: &str) -> Result<Self, BadCidr> {
        Self::new(text)
    }
}

impl TryFrom<String> for Prefix {
    type Error = BadCidr;
    fn try_from(text: String) -> Result<Self, BadCidr> {
        Self::new(&text)
    }
}

impl From<Prefix> for String {
    fn from(prefix: Prefix) -> Self {
        prefix.to_string()
    }
}

impl From<Cidr> for Prefix {
    fn from(cidr: Cidr) -> Self {
        Self(cidr)
    }
}

/// With its length: `192.0.2.7/32`.
impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_and_single_addresses_are_prefixes() {
        let show = |text: &str| Prefix::new(text).unwrap().to_string();
        assert_eq!(show("0.0.0.0/0"), "0.0.0.0/0");
        assert_eq!(show("::/0"), "::/0");
        assert_eq!(show("192.0.2.7"), "192.0.2.7/32");
        assert_eq!(show("fd00::1"), "fd00::1/128");
        assert_eq!(show("224.0.0.0/4"), "224.0.0.0/4");
        let says = Prefix::new("10.0.0.1/8").unwrap_err().to_string();
        assert_eq!(says, "10.0.0.1/8 has host bits set; 10.0.0.0/8 would be right");
        assert!(Prefix::new("10.0.0.0/33").is_err() && Prefix::new("web").is_err());
    }

    #[test]
    fn a_prefix_covers_its_parts_of_its_own_family() {
        let prefix = |text: &str| Prefix::new(text).unwrap();
        assert!(prefix("0.0.0.0/0").covers(prefix("10.0.0.0/8")));
        assert!(prefix("10.0.0.0/8").covers(prefix("10.0.0.0/8")));
        assert!(!prefix("10.0.0.0/9").covers(prefix("10.0.0.0/8")));
        assert!(!prefix("0.0.0.0/0").covers(prefix("fd00::/8")));
        assert_eq!(prefix("10.0.0.0/31").as_host(), None);
        assert_eq!(prefix("fd00::7").as_host(), Some("fd00::7".parse().unwrap()));
    }
}
