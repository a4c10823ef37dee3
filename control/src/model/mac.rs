//! MAC addresses.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A unicast MAC address. Written `02:00:00:00:00:01`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac([u8; 6]);

/// Why a text is not a [`Mac`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadMac {
    /// Not six hexadecimal pairs.
    #[error("{0:?} is no MAC address; six pairs of hexadecimal digits would be right, like 02:00:00:00:00:01")]
    Syntax(String),
    /// Multicast, broadcast or zero: nothing that one workload can have.
    #[error("{0} is no unicast address; the lowest bit of the first byte has to be 0, and not all may be zero")]
    NotUnicast(String),
    /// The address of the gateway.
    #[error("{0} is the gateway's address")]
    Gateway(String),
}

impl Mac {
    /// What every gateway answers with: 00:00:5e:00:01:00.
    pub const GATEWAY: Self = Self([0x00, 0x00, 0x5e, 0x00, 0x01, 0x00]);

    /// A locally administered address made of two tag bytes and a number: `02:TAG:n:n:n:n`.
    #[must_use]
    pub fn generated(tag: u8, number: u32) -> Self {
        let [a, b, c, d] = number.to_be_bytes();
        Self([0x02, tag, a, b, c, d])
    }

    /// Its six bytes.
    #[must_use]
    pub fn octets(self) -> [u8; 6] {
        self.0
    }

    /// Reads a workload's address.
    ///
    /// # Errors
    /// [`BadMac`] when it is malformed, not unicast, or the gateway's.
    pub fn new(text: &str) -> Result<Self, BadMac> {
        let syntax = || BadMac::Syntax(text.to_owned());
        let mut bytes = [0_u8; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut bytes {
            let part = parts.next().ok_or_else(syntax)?;
            if part.len() != 2 || !part.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(syntax());
            }
            *byte = u8::from_str_radix(part, 16).map_err(|_| syntax())?;
        }
        if parts.next().is_some() {
            return Err(syntax());
        }
        let mac = Self(bytes);
        if bytes[0] & 1 == 1 || bytes == [0; 6] {
            return Err(BadMac::NotUnicast(mac.to_string()));
        }
        if mac == Self::GATEWAY {
            return Err(BadMac::Gateway(mac.to_string()));
        }
        Ok(mac)
    }
}

impl FromStr for Mac {
    type Err = BadMac;
    fn from_str(text: &str) -> Result<Self, BadMac> {
        Self::new(text)
    }
}

impl TryFrom<String> for Mac {
    type Error = BadMac;
    fn try_from(text: String) -> Result<Self, BadMac> {
        Self::new(&text)
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> Self {
        mac.to_string()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macs_are_read_and_written() {
        assert_eq!(Mac::new("02:AB:00-00:00:01").unwrap().to_string(), "02:ab:00:00:00:01");
        assert_eq!(Mac::generated(0x76, 0x0102).to_string(), "02:76:00:00:01:02");
        for bad in [
            "",
            "02:00:00:00:00",
            "02:00:00:00:00:01:02",
            "0200.0000.0001",
            "2:0:0:0:0:1",
            "02:00:00:00:00:0g",
            "+2:00:00:00:00:01",
        ] {
            assert_eq!(Mac::new(bad), Err(BadMac::Syntax(bad.into())));
        }
        assert!(matches!(Mac::new("ff:ff:ff:ff:ff:ff"), Err(BadMac::NotUnicast(_))));
        assert!(matches!(Mac::new("00:00:00:00:00:00"), Err(BadMac::NotUnicast(_))));
        assert!(matches!(Mac::new("00:00:5e:00:01:00"), Err(BadMac::Gateway(_))));
    }
}
