//! Addresses of hosts as people write them: which can be a host's, and those with the length of their subnet's prefix.

use std::{fmt, net::IpAddr, str::FromStr};

use super::port::Gateway;
use crate::wire::IpPrefix;

/// Why no host can have this address; `None` if one can.
pub fn not_a_host(address: IpAddr) -> Option<&'static str> {
    if address.is_unspecified() {
        Some("the unspecified address")
    } else if address.is_multicast() {
        Some("a multicast address")
    } else if address.is_loopback() {
        Some("a loopback address")
    } else if address == IpAddr::V4(std::net::Ipv4Addr::BROADCAST) {
        Some("the broadcast address")
    } else {
        None
    }
}

/// A text that is no address of a host with a prefix length.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GatewayError {
    /// Not of the form.
    #[error("{0:?} is no address with prefix length: write one like 10.1.0.1/24 or 2001:db8::1/64")]
    Form(String),
    /// An address alone.
    #[error("{0} has no prefix length: write one like {0}/{most}", most = if .0.is_ipv4() { 24 } else { 64 })]
    NoLength(IpAddr),
    /// The length is out of range.
    #[error("prefix length of {address} is out of range: it must be from 1 to {most}")]
    Length {
        /// The address.
        address: IpAddr,
        /// Longest length of its family.
        most: u8,
    },
    /// No host has this address.
    #[error("{address} is {what}; give the address of one host")]
    NotAHost {
        /// The address.
        address: IpAddr,
        /// What it is instead.
        what: &'static str,
    },
}

impl Gateway {
    /// The subnet that the address lies in.
    pub fn subnet(&self) -> Option<IpPrefix> {
        IpPrefix::containing(self.address, self.prefix_len).ok()
    }
}

impl FromStr for Gateway {
    type Err = GatewayError;

    fn from_str(text: &str) -> Result<Self, GatewayError> {
        // Texts come from anywhere: no more of one is repeated than a person needs to recognise it.
        let form = || GatewayError::Form(text.chars().take(64).collect());
        let Some((address, length)) = text.split_once('/') else {
            return Err(text.parse().map_or_else(|_| form(), GatewayError::NoLength));
        };
        let address: IpAddr = address.parse().map_err(|_| form())?;
        if length.is_empty() || !length.bytes().all(|c| c.is_ascii_digit()) {
            return Err(form());
        }
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix_len = length.parse().ok().filter(|length| (1..=most).contains(length));
        let prefix_len = prefix_len.ok_or(GatewayError::Length { address, most })?;
        let subnet = IpPrefix::containing(address, prefix_len);
        let what = not_a_host(address).or_else(|| {
            // Point-to-point links (/31, RFC 3021) and single addresses have neither.
            let subnet = subnet.ok().filter(|s| s.is_v4() && s.prefix_len() < 31)?;
            if subnet.addr() == address {
                Some("the network's own address")
            } else {
                (subnet.last() == address).then_some("the network's broadcast address")
            }
        });
        match what {
            Some(what) => Err(GatewayError::NotAHost { address, what }),
            None => Ok(Self { address, prefix_len }),
        }
    }
}

impl fmt::Display for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_with_lengths_are_read_and_written_alike() {
        for text in [
            "10.1.0.1/24",
            "169.254.1.1/32",
            "192.0.2.0/31",
            "fd00::1/64",
            "fd00::/64",
            "fe80::1/128",
        ] {
            assert_eq!(text.parse::<Gateway>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_what_would_be_right() {
        let error = |text: &str| text.parse::<Gateway>().unwrap_err().to_string();
        for text in [
            "",
            "x",
            "/24",
            "10.1.0.1/",
            "10.1.0.1/+8",
            "10.1.0/24",
            "10.1.0.1/24/1",
            "fe80::1%eth0/64",
        ] {
            assert!(error(text).contains("write one like"), "{text}: {}", error(text));
        }
        assert_eq!(
            error("10.1.0.1"),
            "10.1.0.1 has no prefix length: write one like 10.1.0.1/24"
        );
        assert!(error("10.1.0.1/33").ends_with("from 1 to 32"));
        assert!(error("10.1.0.1/0").ends_with("from 1 to 32"));
        assert!(error("fd00::1/999").ends_with("from 1 to 128"));
        assert!(error("10.1.0.0/24").contains("network's own"));
        assert!(error("10.1.0.255/24").contains("broadcast"));
        assert!(error("224.0.0.1/24").contains("multicast"));
        assert!(error("ff02::1/64").contains("multicast"));
        assert!(error("0.0.0.0/8").contains("unspecified"));
        assert!(error("::1/64").contains("loopback"));
        assert!(error(&"9".repeat(10_000)).len() < 200);
    }
}
