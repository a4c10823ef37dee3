//! Ranges of addresses that are never handed out.

use std::{fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Serialize};

use super::cidr::{Family, number};

/// One address, or a range of them, both ends included. Written `10.1.0.9` or `10.1.0.200-10.1.0.250`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AddressRange {
    first: IpAddr,
    last: IpAddr,
}

impl AddressRange {
    /// Reads `text`.
    ///
    /// # Errors
    /// In words: what is wrong and what would be right.
    pub fn new(text: &str) -> Result<Self, String> {
        let address = |part: &str| {
            part.trim().parse::<IpAddr>().map_err(|_| {
                format!("{text:?} is neither an address nor a range; 10.1.0.9 or 10.1.0.200-10.1.0.250 would be right")
            })
        };
        let (first, last) = match text.split_once('-') {
            Some((first, last)) => (address(first)?, address(last)?),
            None => (address(text)?, address(text)?),
        };
        if Family::of(first) != Family::of(last) {
            return Err(format!("{text:?} mixes IPv4 and IPv6"));
        }
        if first > last {
            return Err(format!("{text:?} ends before it starts; {last}-{first} would be right"));
        }
        Ok(Self { first, last })
    }

    /// Numbers of the first and last address.
    #[must_use]
    pub fn numbers(self) -> (u128, u128) {
        (number(self.first), number(self.last))
    }

    /// First and last address.
    #[must_use]
    pub fn ends(self) -> (IpAddr, IpAddr) {
        (self.first, self.last)
    }

    /// Whether `address` is in it.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        Family::of(address) == Family::of(self.first) && (self.first..=self.last).contains(&address)
    }
}

impl FromStr for AddressRange {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::new(text)
    }
}

impl TryFrom<String> for AddressRange {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::new(&text)
    }
}

impl From<AddressRange> for String {
    fn from(range: AddressRange) -> Self {
        range.to_string()
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}
