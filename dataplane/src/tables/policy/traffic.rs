//! Kinds of traffic: what a packet is, and what a rule says it matches.

use crate::wire::proto;

/// What policies ask of a packet beside its peer. Not for fragments whose ports are unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Traffic {
    /// IP protocol number.
    pub protocol: u8,
    /// Destination port of TCP, UDP and SCTP; type of ICMP and ICMPv6; 0 of all else.
    pub first_port: u16,
    /// Code of ICMP and ICMPv6; 0 of all else.
    pub code: u8,
}

/// One kind of traffic that a rule matches. The default matches all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TrafficMatch {
    /// IP protocol number. 0: every protocol that can have what the other fields ask for.
    pub protocol: u8,
    /// First destination port (TCP, UDP, SCTP). 0 in both: all ports, and protocols without ports, too.
    pub first_port: u16,
    /// Last destination port.
    pub last_port: u16,
    /// ICMP or ICMPv6 type. `None`: all, and other protocols, too.
    pub icmp_type: Option<u8>,
    /// ICMP or ICMPv6 code. `None`: all.
    pub icmp_code: Option<u8>,
}

/// Why a kind of traffic is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTraffic {
    /// The range is empty.
    #[error("port {last} comes before the first port, {first}")]
    Range {
        /// First port.
        first: u16,
        /// Last port.
        last: u16,
    },
    /// Ports of a protocol that has none.
    #[error("protocol {0} has no ports: only TCP (6), UDP (17) and SCTP (132) have")]
    NoPorts(u8),
    /// Types or codes of a protocol that has none.
    #[error("protocol {0} has no types and codes: only ICMP (1) and ICMPv6 (58) have")]
    NoTypes(u8),
    /// Both at once.
    #[error("ports and ICMP types are asked for together: no packet has both")]
    Both,
    /// A code without its type.
    #[error("an ICMP code means nothing without its type: say the type, too")]
    CodeAlone,
}

/// What stands beside the protocol in packets of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// A destination port.
    Ports,
    /// A type and a code.
    Types,
    /// Nothing.
    Bare,
}

/// The protocols that are not [`Shape::Bare`].
pub(super) const SHAPED: [u8; 5] = [proto::ICMP, proto::TCP, proto::UDP, proto::ICMPV6, proto::SCTP];

impl Shape {
    pub(super) fn of(protocol: u8) -> Self {
        match protocol {
            proto::TCP | proto::UDP | proto::SCTP => Self::Ports,
            proto::ICMP | proto::ICMPV6 => Self::Types,
            _ => Self::Bare,
        }
    }
}

impl Traffic {
    /// Port, or type and code, as one number: what rules' intervals are made of.
    #[inline]
    pub(super) fn value(&self) -> u16 {
        match Shape::of(self.protocol) {
            Shape::Ports => self.first_port,
            Shape::Types => self.first_port << 8 | u16::from(self.code),
            Shape::Bare => 0,
        }
    }
}

impl TrafficMatch {
    /// All traffic.
    pub const ALL: Self = Self {
        protocol: 0,
        first_port: 0,
        last_port: 0,
        icmp_type: None,
        icmp_code: None,
    };

    /// All of one protocol.
    pub const fn protocol(protocol: u8) -> Self {
        Self { protocol, ..Self::ALL }
    }

    /// Ports of one protocol, `first` to `last`.
    pub const fn ports(protocol: u8, first: u16, last: u16) -> Self {
        Self {
            protocol,
            first_port: first,
            last_port: last,
            ..Self::ALL
        }
    }

    /// Refuses what could never match, and codes without types.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), BadTraffic> {
        let (first, last, protocol) = (self.first_port, self.last_port, self.protocol);
        if last < first {
            return Err(BadTraffic::Range { first, last });
        }
        if self.has_ports() && self.has_types() {
            return Err(BadTraffic::Both);
        }
        if self.icmp_code.is_some() && self.icmp_type.is_none() {
            return Err(BadTraffic::CodeAlone);
        }
        match Shape::of(protocol) {
            _ if protocol == 0 => Ok(()),
            shape if self.has_ports() && shape != Shape::Ports => Err(BadTraffic::NoPorts(protocol)),
            shape if self.has_types() && shape != Shape::Types => Err(BadTraffic::NoTypes(protocol)),
            _ => Ok(()),
        }
    }

    /// The packet is of this kind.
    pub fn matches(&self, traffic: &Traffic) -> bool {
        if self.protocol != 0 && self.protocol != traffic.protocol {
            return false;
        }
        match Shape::of(traffic.protocol) {
            Shape::Ports => {
                !self.has_types()
                    && (!self.has_ports() || (self.first_port..=self.last_port).contains(&traffic.first_port))
            }
            Shape::Types => {
                !self.has_ports()
                    && self.icmp_type.is_none_or(|t| u16::from(t) == traffic.first_port)
                    && self.icmp_code.is_none_or(|c| c == traffic.code)
            }
            Shape::Bare => !self.has_ports() && !self.has_types(),
        }
    }

    fn has_ports(&self) -> bool {
        (self.first_port, self.last_port) != (0, 0)
    }

    fn has_types(&self) -> bool {
        self.icmp_type.is_some() || self.icmp_code.is_some()
    }

    /// This says more than a protocol.
    pub(super) fn is_narrow(&self) -> bool {
        self.has_ports() || self.has_types()
    }

    /// The [values](Traffic::value) of packets of this protocol (its own where it has one) that are matched, as closed intervals.
    pub(super) fn intervals(&self, protocol: u8, mut each: impl FnMut(u16, u16)) {
        if self.protocol != 0 && self.protocol != protocol {
            return;
        }
        match (Shape::of(protocol), self.has_ports(), self.has_types()) {
            (_, false, false) => each(0, u16::MAX),
            (Shape::Ports, true, false) if self.first_port <= self.last_port => each(self.first_port, self.last_port),
            (Shape::Types, false, true) => match (self.icmp_type, self.icmp_code) {
                (Some(kind), None) => each(u16::from(kind) << 8, u16::from(kind) << 8 | 0xff),
                (Some(kind), Some(code)) => {
                    let value = u16::from(kind) << 8 | u16::from(code);
                    each(value, value);
                }
                (None, Some(code)) => (0..=0xff).for_each(|kind| {
                    let value = kind << 8 | u16::from(code);
                    each(value, value);
                }),
                (None, None) => {}
            },
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_match_is_refused_in_words() {
        let icmp = |icmp_type, icmp_code| TrafficMatch {
            icmp_type,
            icmp_code,
            ..TrafficMatch::protocol(proto::ICMPV6)
        };
        for good in [
            TrafficMatch::ALL,
            TrafficMatch::protocol(proto::GRE),
            TrafficMatch::ports(proto::TCP, 0, 80),
            TrafficMatch::ports(0, 53, 53),
            icmp(Some(128), None),
            icmp(Some(1), Some(4)),
        ] {
            assert_eq!(good.check(), Ok(()));
        }
        for (bad, why) in [
            (
                TrafficMatch::ports(proto::UDP, 8, 7),
                BadTraffic::Range { first: 8, last: 7 },
            ),
            (TrafficMatch::ports(proto::GRE, 1, 2), BadTraffic::NoPorts(proto::GRE)),
            (icmp(None, Some(1)), BadTraffic::CodeAlone),
            (
                TrafficMatch {
                    icmp_type: Some(8),
                    ..TrafficMatch::protocol(proto::TCP)
                },
                BadTraffic::NoTypes(proto::TCP),
            ),
            (
                TrafficMatch {
                    icmp_type: Some(8),
                    ..TrafficMatch::ports(0, 1, 1)
                },
                BadTraffic::Both,
            ),
        ] {
            assert_eq!(bad.check(), Err(why));
        }
    }

    #[test]
    fn ports_without_a_protocol_are_those_of_all_that_have_ports() {
        let dns = TrafficMatch::ports(0, 53, 53);
        let traffic = |protocol, first_port| Traffic {
            protocol,
            first_port,
            code: 0,
        };
        assert!(dns.matches(&traffic(proto::UDP, 53)) && dns.matches(&traffic(proto::TCP, 53)));
        assert!(!dns.matches(&traffic(proto::UDP, 54)) && !dns.matches(&traffic(proto::ICMP, 53)));
        assert!(!dns.matches(&traffic(proto::GRE, 0)));
    }
}
