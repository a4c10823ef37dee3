//! Kinds of traffic, as policies and mirrors name them.

use std::fmt;

use serde::{Deserialize, Serialize};
use vrouter_proto::control as pb;

use super::error::{InField, Invalid};

/// An IP protocol by its number, 1..=255. Written `tcp`, `udp`, `icmp`, `icmpv6`, `sctp`, or as the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Protocol(u8);

const NAMES: &[(&str, Protocol)] = &[
    ("tcp", Protocol::TCP),
    ("udp", Protocol::UDP),
    ("icmp", Protocol::ICMP),
    ("icmpv6", Protocol::ICMPV6),
    ("sctp", Protocol::SCTP),
];

impl Protocol {
    /// RFC 9293.
    pub const TCP: Self = Self(6);
    /// RFC 768.
    pub const UDP: Self = Self(17);
    /// RFC 792.
    pub const ICMP: Self = Self(1);
    /// RFC 4443.
    pub const ICMPV6: Self = Self(58);
    /// RFC 9260.
    pub const SCTP: Self = Self(132);

    /// Reads `text`, in any case.
    ///
    /// # Errors
    /// In words, when it is neither a name known here nor a number.
    pub fn new(text: &str) -> Result<Self, String> {
        if let Some((_, known)) = NAMES.iter().find(|(name, _)| text.eq_ignore_ascii_case(name)) {
            return Ok(*known);
        }
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        match text.parse::<u8>() {
            Ok(number) if digits && number != 0 => Ok(Self(number)),
            _ => Err(format!(
                "{text:?} is no protocol; tcp, udp, icmp, icmpv6, sctp or a number from 1 to 255 would be right"
            )),
        }
    }

    /// A protocol that has ports, and that addresses can be translated for.
    ///
    /// # Errors
    /// In words, when it is another one.
    pub fn with_ports(text: &str) -> Result<Self, String> {
        let protocol = Self::new(text)?;
        if protocol.has_ports() {
            Ok(protocol)
        } else {
            Err(format!("{protocol} has no ports; tcp, udp or sctp would be right"))
        }
    }

    /// Its number.
    #[must_use]
    pub fn number(self) -> u8 {
        self.0
    }

    /// Whether it has ports: TCP, UDP and SCTP.
    #[must_use]
    pub fn has_ports(self) -> bool {
        matches!(self, Self::TCP | Self::UDP | Self::SCTP)
    }

    fn is_icmp(self) -> bool {
        matches!(self, Self::ICMP | Self::ICMPV6)
    }
}

impl TryFrom<String> for Protocol {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::new(&text)
    }
}

impl From<Protocol> for String {
    fn from(protocol: Protocol) -> Self {
        protocol.to_string()
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(_, known)| known == self) {
            Some((name, _)) => f.pad(name),
            None => write!(f, "{}", self.0),
        }
    }
}

/// Checks a port.
pub(super) fn port(value: u32) -> Result<u16, String> {
    match u16::try_from(value) {
        Ok(port) if port != 0 => Ok(port),
        _ => Err(format!("{value} is no port; 1 to 65535 would be right")),
    }
}

/// One port or a range of them, both ends included. Written `443` or `8000-8999`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// Reads `text`.
    ///
    /// # Errors
    /// In words: what is wrong and what would be right.
    pub fn new(text: &str) -> Result<Self, String> {
        let number = |part: &str| {
            let part = part.trim();
            let digits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
            match part.parse::<u16>() {
                Ok(port) if digits && port != 0 => Ok(port),
                _ => Err(format!(
                    "{text:?} is neither a port nor a range of ports; 443 or 8000-8999 would be right, from 1 to 65535"
                )),
            }
        };
        let (first, last) = match text.split_once('-') {
            Some((first, last)) => (number(first)?, number(last)?),
            None => (number(text)?, number(text)?),
        };
        if first > last {
            return Err(format!("{text:?} ends before it starts; {last}-{first} would be right"));
        }
        Ok(Self { first, last })
    }

    /// The lowest port.
    #[must_use]
    pub fn first(self) -> u16 {
        self.first
    }

    /// The highest port.
    #[must_use]
    pub fn last(self) -> u16 {
        self.last
    }
}

impl TryFrom<String> for PortRange {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::new(&text)
    }
}

impl From<PortRange> for String {
    fn from(range: PortRange) -> Self {
        range.to_string()
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

/// Some of all traffic. What is `None` is not looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Traffic {
    /// IP protocol.
    pub protocol: Option<Protocol>,
    /// Destination ports. Only with a protocol that has ports.
    pub ports: Option<PortRange>,
    /// ICMP or ICMPv6 type.
    pub icmp_type: Option<u8>,
    /// ICMP or ICMPv6 code. Only with a type.
    pub icmp_code: Option<u8>,
}

impl Traffic {
    /// Most of them in one rule or mirror.
    pub(super) const MAX: usize = 1024;

    pub(super) fn list(field: &str, traffic: &[pb::Traffic]) -> Result<Vec<Self>, Invalid> {
        if traffic.len() > Self::MAX {
            let message = format!("{} kinds of traffic; at most {}", traffic.len(), Self::MAX);
            return Err(Invalid::new(field, message));
        }
        let one = |(index, traffic)| Self::from_proto(&format!("{field}[{index}]"), traffic);
        traffic.iter().enumerate().map(one).collect()
    }

    fn from_proto(field: &str, traffic: &pb::Traffic) -> Result<Self, Invalid> {
        let at = |name: &str| format!("{field}.{name}");
        let protocol = super::reference::optional(&traffic.protocol, Protocol::new).in_field(&at("protocol"))?;
        let ports = super::reference::optional(&traffic.ports, PortRange::new).in_field(&at("ports"))?;
        let byte = |name: &str, value: Option<u32>| match value {
            None => Ok(None),
            Some(value) => u8::try_from(value)
                .map(Some)
                .map_err(|_| Invalid::new(at(name), format!("{value} is out of range; 0 to 255 would be right"))),
        };
        let read = Self {
            protocol,
            ports,
            icmp_type: byte("icmp_type", traffic.icmp_type)?,
            icmp_code: byte("icmp_code", traffic.icmp_code)?,
        };
        if read.ports.is_some() && !protocol.is_some_and(Protocol::has_ports) {
            let message = match protocol {
                None => "ports need a protocol; tcp, udp or sctp would be right".to_owned(),
                Some(protocol) => format!("{protocol} has no ports; tcp, udp or sctp would be right"),
            };
            return Err(Invalid::new(at("ports"), message));
        }
        if read.icmp_type.is_some() && !protocol.is_some_and(Protocol::is_icmp) {
            let message = "needs the protocol icmp or icmpv6";
            return Err(Invalid::new(at("icmp_type"), message));
        }
        if read.icmp_code.is_some() && read.icmp_type.is_none() {
            return Err(Invalid::new(at("icmp_code"), "needs an icmp_type"));
        }
        Ok(read)
    }

    /// As the API says it.
    #[must_use]
    pub fn to_proto(&self) -> pb::Traffic {
        pb::Traffic {
            protocol: self.protocol.map(|p| p.to_string()).unwrap_or_default(),
            ports: self.ports.map(|p| p.to_string()).unwrap_or_default(),
            icmp_type: self.icmp_type.map(u32::from),
            icmp_code: self.icmp_code.map(u32::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(protocol: &str, ports: &str, icmp_type: Option<u32>, icmp_code: Option<u32>) -> Result<Traffic, String> {
        let traffic = pb::Traffic {
            protocol: protocol.into(),
            ports: ports.into(),
            icmp_type,
            icmp_code,
        };
        Traffic::from_proto("t", &traffic).map_err(|e| e.to_string())
    }

    #[test]
    fn what_is_read_is_written_the_same() {
        for (protocol, ports, icmp_type, icmp_code) in [
            ("tcp", "443", None, None),
            ("udp", "8000-8999", None, None),
            ("icmp", "", Some(8), Some(0)),
            ("icmpv6", "", Some(128), None),
            ("47", "", None, None),
            ("", "", None, None),
        ] {
            let traffic = read(protocol, ports, icmp_type, icmp_code).unwrap();
            let shown = traffic.to_proto();
            assert_eq!((shown.protocol.as_str(), shown.ports.as_str()), (protocol, ports));
            assert_eq!((shown.icmp_type, shown.icmp_code), (icmp_type, icmp_code));
            let stored = serde_json::to_string(&traffic).unwrap();
            assert_eq!(serde_json::from_str::<Traffic>(&stored).unwrap(), traffic);
        }
        assert_eq!(Protocol::new("TCP"), Protocol::new("6"));
    }

    #[test]
    fn nonsense_is_refused_at_its_field() {
        for (protocol, ports, icmp_type, icmp_code, says) in [
            ("tpc", "", None, None, "t.protocol: \"tpc\" is no protocol"),
            ("0", "", None, None, "t.protocol: "),
            ("256", "", None, None, "t.protocol: "),
            ("+6", "", None, None, "t.protocol: "),
            ("tcp", "0", None, None, "t.ports: "),
            ("tcp", "65536", None, None, "t.ports: "),
            ("tcp", "90-80", None, None, "80-90 would be right"),
            ("tcp", "http", None, None, "443 or 8000-8999"),
            ("", "80", None, None, "t.ports: ports need a protocol"),
            ("icmp", "80", None, None, "icmp has no ports"),
            ("tcp", "", Some(8), None, "t.icmp_type: "),
            ("icmp", "", Some(256), None, "t.icmp_type: 256"),
            ("icmp", "", None, Some(0), "t.icmp_code: needs"),
        ] {
            let error = read(protocol, ports, icmp_type, icmp_code).unwrap_err();
            assert!(error.contains(says), "{error} says {says}");
        }
    }
}
