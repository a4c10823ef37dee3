//! An address or a prefix, as filters and sorting need it.

use std::{net::IpAddr, str::FromStr};

/// A prefix; an address is a prefix of full length. The order is IPv4 first, then by address, then by length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Net {
    address: IpAddr,
    length: u8,
}

impl Net {
    /// Prefix length in bits.
    pub(crate) fn length(self) -> u8 {
        self.length
    }

    /// It is one address.
    pub(crate) fn is_host(self) -> bool {
        self.length == Self::full(self.address)
    }

    /// Every address of `other` is one of this prefix.
    pub(crate) fn contains(self, other: Self) -> bool {
        self.length <= other.length
            && self.address.is_ipv4() == other.address.is_ipv4()
            && Self::cut(other.address, self.length) == Self::cut(self.address, self.length)
    }

    fn full(address: IpAddr) -> u8 {
        if address.is_ipv4() { 32 } else { 128 }
    }

    /// The first `length` bits, as a number; families are compared by the caller.
    fn cut(address: IpAddr, length: u8) -> u128 {
        let (bits, full) = match address {
            IpAddr::V4(address) => (u128::from(u32::from(address)), 32),
            IpAddr::V6(address) => (u128::from(address), 128),
        };
        bits.checked_shr(u32::from(full - length.min(full))).unwrap_or(0)
    }
}

impl From<IpAddr> for Net {
    fn from(address: IpAddr) -> Self {
        Self {
            address,
            length: Self::full(address),
        }
    }
}

impl FromStr for Net {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let Some((address, length)) = text.split_once('/') else {
            return text.parse::<IpAddr>().map(Self::from).map_err(drop);
        };
        let address: IpAddr = address.parse().map_err(drop)?;
        let length: u8 = length.parse().map_err(drop)?;
        if length > Self::full(address) {
            return Err(());
        }
        Ok(Self { address, length })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> Net {
        text.parse().unwrap()
    }

    #[test]
    fn prefixes_hold_what_begins_like_them() {
        assert!(net("10.1.0.0/16").contains(net("10.1.2.0/24")));
        assert!(net("0.0.0.0/0").contains(net("255.1.2.3")));
        assert!(net("::/0").contains(net("fd00::1")));
        assert!(net("fd00:1::/64").contains(net("fd00:1::7")));
        assert!(!net("10.1.2.0/24").contains(net("10.1.0.0/16")));
        assert!(!net("10.1.0.0/16").contains(net("10.2.0.1")));
        assert!(!net("0.0.0.0/0").contains(net("fd00::1")));
        assert!(!net("::/0").contains(net("10.0.0.1")));
    }

    #[test]
    fn what_is_no_prefix_is_refused() {
        for text in ["", "10.1.0", "10.1.0.0/33", "fd00::/129", "10.0.0.0/x", "name"] {
            assert!(text.parse::<Net>().is_err(), "{text}");
        }
    }
}
