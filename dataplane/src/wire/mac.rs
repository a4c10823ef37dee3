//! Ethernet addresses.

use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

/// A 48-bit Ethernet address in wire order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// All zeros: "not known", never a legal station.
    pub const ZERO: Self = Self([0; 6]);
    /// Every station.
    pub const BROADCAST: Self = Self([0xff; 6]);
    /// What the router answers for gateways where nothing else is configured (the VRRP IPv4 range, RFC 5798, VRID 0).
    pub const GATEWAY: Self = Self([0x00, 0x00, 0x5e, 0x00, 0x01, 0x00]);

    /// The address as a number below 2^48, first byte highest.
    #[inline]
    pub const fn to_u64(self) -> u64 {
        let b = self.0;
        u64::from_be_bytes([0, 0, b[0], b[1], b[2], b[3], b[4], b[5]])
    }

    /// The low 48 bits of a number as an address.
    #[inline]
    pub const fn from_u64(value: u64) -> Self {
        let [_, _, a, b, c, d, e, f] = value.to_be_bytes();
        Self([a, b, c, d, e, f])
    }

    /// Group bit set (broadcast included).
    #[inline]
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// All ones.
    #[inline]
    pub const fn is_broadcast(self) -> bool {
        self.to_u64() == 0xffff_ffff_ffff
    }

    /// All zeros.
    #[inline]
    pub const fn is_zero(self) -> bool {
        self.to_u64() == 0
    }

    /// One station: group bit clear and not zero. Only such an address may be a source.
    #[inline]
    pub const fn is_unicast(self) -> bool {
        !self.is_multicast() && !self.is_zero()
    }

    /// Locally administered bit set.
    #[inline]
    pub const fn is_local(self) -> bool {
        self.0[0] & 2 != 0
    }

    /// The group address of an IPv4 multicast group (RFC 1112 section 6.4).
    pub const fn for_multicast_v4(group: Ipv4Addr) -> Self {
        let [_, b, c, d] = group.octets();
        Self([0x01, 0x00, 0x5e, b & 0x7f, c, d])
    }

    /// The group address of an IPv6 multicast group (RFC 2464 section 7).
    pub const fn for_multicast_v6(group: Ipv6Addr) -> Self {
        let o = group.octets();
        Self([0x33, 0x33, o[12], o[13], o[14], o[15]])
    }

    /// The link-local IPv6 address formed from this address (RFC 4291 appendix A, modified EUI-64).
    pub fn link_local(self) -> Ipv6Addr {
        let [a, b, c, d, e, f] = self.0;
        Ipv6Addr::from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f])
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not an Ethernet address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an Ethernet address: write six bytes in hexadecimal, like 02:00:00:00:00:01")]
pub struct MacError;

impl FromStr for Mac {
    type Err = MacError;

    /// Six two-digit hexadecimal bytes joined by `:` or by `-`, not mixed.
    fn from_str(text: &str) -> Result<Self, MacError> {
        let text = text.as_bytes();
        if text.len() != 17 {
            return Err(MacError);
        }
        let separator = text
            .get(2)
            .copied()
            .filter(|c| matches!(c, b':' | b'-'))
            .ok_or(MacError)?;
        let mut mac = [0u8; 6];
        for (byte, part) in mac.iter_mut().zip(text.chunks(3)) {
            let digit = |at: usize| part.get(at).and_then(|c| char::from(*c).to_digit(16)).ok_or(MacError);
            *byte = u8::try_from(digit(0)? << 4 | digit(1)?).map_err(|_| MacError)?;
            if part.get(2).is_some_and(|c| *c != separator) {
                return Err(MacError);
            }
        }
        Ok(Self(mac))
    }
}

impl From<[u8; 6]> for Mac {
    fn from(bytes: [u8; 6]) -> Self {
        Self(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn kinds() {
        assert!(Mac::BROADCAST.is_multicast() && Mac::BROADCAST.is_broadcast() && !Mac::BROADCAST.is_unicast());
        assert!(Mac::GATEWAY.is_unicast() && !Mac::GATEWAY.is_local());
        assert!(!Mac::ZERO.is_unicast() && Mac::ZERO.is_zero());
        assert!(Mac([0x02, 0, 0, 0, 0, 1]).is_local());
    }

    #[test]
    fn derived_addresses() {
        // RFC 2464 section 7 and RFC 1112 section 6.4: the low bits of the group.
        assert_eq!(
            Mac::for_multicast_v4(Ipv4Addr::new(239, 129, 2, 3)).to_string(),
            "01:00:5e:01:02:03"
        );
        let solicited: Ipv6Addr = "ff02::1:ff28:9c5a".parse().unwrap();
        assert_eq!(Mac::for_multicast_v6(solicited).to_string(), "33:33:ff:28:9c:5a");
        // RFC 2464 section 4: the EUI-64 example 34-56-78-9A-BC-DE.
        let mac: Mac = "34-56-78-9A-BC-DE".parse().unwrap();
        assert_eq!(
            mac.link_local(),
            "fe80::3656:78ff:fe9a:bcde".parse::<Ipv6Addr>().unwrap()
        );
    }

    #[test]
    fn refuses_what_is_not_an_address() {
        for bad in [
            "",
            "02:00:00:00:00",
            "02:00:00:00:00:1",
            "02:00:00:00:00:0g",
            "02:00-00:00:00:01",
            "02000000000001000",
            "02:00:00:00:00:01:",
            "+2:00:00:00:00:01",
            "é2:00:00:00:00:0",
        ] {
            assert_eq!(bad.parse::<Mac>(), Err(MacError), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn round_trips(bytes: [u8; 6]) {
            let mac = Mac(bytes);
            prop_assert_eq!(mac.to_string().parse::<Mac>(), Ok(mac));
            prop_assert_eq!(Mac::from_u64(mac.to_u64()), mac);
        }
    }
}
