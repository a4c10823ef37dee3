//! The single tests that an expression is made of, and running one.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::layer::{ARP, IPV4, IPV6, Layer, RARP, Shift};
use crate::wire::{Mac, proto};

/// Which end of a packet a test is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Source,
    Destination,
    Either,
    Both,
}

impl End {
    #[inline]
    fn ask(self, source: impl FnOnce() -> bool, destination: impl FnOnce() -> bool) -> bool {
        match self {
            Self::Source => source(),
            Self::Destination => destination(),
            Self::Either => source() || destination(),
            Self::Both => source() && destination(),
        }
    }
}

/// What may carry IPv4 addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Carriers {
    pub(super) ip: bool,
    pub(super) arp: bool,
    pub(super) rarp: bool,
}

/// A set of the protocols with ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Transports {
    pub(super) tcp: bool,
    pub(super) udp: bool,
    pub(super) sctp: bool,
}

impl Transports {
    pub(super) const ALL: Self = Self {
        tcp: true,
        udp: true,
        sctp: true,
    };

    #[inline]
    fn has(self, protocol: u8) -> bool {
        match protocol {
            proto::TCP => self.tcp,
            proto::UDP => self.udp,
            proto::SCTP => self.sctp,
            _ => false,
        }
    }
}

/// A single test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Test {
    /// The Ethernet type.
    Type(u16),
    /// The protocol in IPv4, in IPv6 or in either.
    Protocol { ip: bool, ip6: bool, number: u8 },
    /// An IPv4 address within a prefix.
    V4 {
        end: End,
        carriers: Carriers,
        address: u32,
        mask: u32,
    },
    /// An IPv6 address within a prefix.
    V6 { end: End, address: u128, mask: u128 },
    /// A port within a range.
    Port {
        end: End,
        transports: Transports,
        low: u16,
        high: u16,
    },
    /// A MAC address.
    Mac { end: End, address: Mac },
    /// A tag, a VXLAN or an MPLS header, with this number if one is said.
    Shift(Shift, Option<u32>),
    /// Bytes from the Ethernet header on, from so many to so many.
    Length(u32, u32),
}

impl Test {
    /// The packet is as the test says.
    #[inline]
    pub(super) fn run(&self, layer: &Layer<'_>) -> bool {
        match *self {
            Self::Type(kind) => layer.kind() == kind,
            Self::Protocol { ip, ip6, number } => match layer.kind() {
                IPV4 => ip && layer.at(9) == Some(number),
                // A fragment tells of what it is part behind its header.
                IPV6 => {
                    ip6 && match layer.at(6) {
                        Some(next) if next == number => true,
                        Some(proto::FRAGMENT) => layer.at(40) == Some(number),
                        _ => false,
                    }
                }
                _ => false,
            },
            Self::V4 {
                end,
                carriers,
                address,
                mask,
            } => {
                let (source, destination) = match layer.kind() {
                    IPV4 if carriers.ip => (12, 16),
                    ARP if carriers.arp => (14, 24),
                    RARP if carriers.rarp => (14, 24),
                    _ => return false,
                };
                let within = |at| layer.word(at).is_some_and(|word| word & mask == address);
                end.ask(|| within(source), || within(destination))
            }
            Self::V6 { end, address, mask } => {
                let within = |at| {
                    layer
                        .bytes::<16>(at)
                        .is_some_and(|bytes| u128::from_be_bytes(bytes) & mask == address)
                };
                layer.kind() == IPV6 && end.ask(|| within(8), || within(24))
            }
            Self::Port {
                end,
                transports,
                low,
                high,
            } => {
                let Some(start) = layer.transport(|protocol| transports.has(protocol)) else {
                    return false;
                };
                let within = |at| {
                    layer
                        .bytes::<2>(at)
                        .is_some_and(|bytes| (low..=high).contains(&u16::from_be_bytes(bytes)))
                };
                end.ask(|| within(start), || within(start + 2))
            }
            Self::Mac { end, address } => {
                let (destination, source) = (layer.mac(0), layer.mac(6));
                end.ask(|| source == Some(address.0), || destination == Some(address.0))
            }
            Self::Shift(shift, number) => shift
                .find(layer)
                .is_some_and(|(found, _)| number.is_none_or(|number| number == found)),
            Self::Length(least, most) => (least as usize..=most as usize).contains(&layer.frame_len()),
        }
    }
}

/// An IPv4 prefix as a test asks for it.
pub(super) fn v4(end: End, carriers: Carriers, address: Ipv4Addr, len: u8) -> Test {
    let mask = u32::MAX.checked_shl(32 - u32::from(len.min(32))).unwrap_or(0);
    Test::V4 {
        end,
        carriers,
        address: address.to_bits() & mask,
        mask,
    }
}

/// An IPv6 prefix as a test asks for it.
pub(super) fn v6(end: End, address: Ipv6Addr, len: u8) -> Test {
    let mask = u128::MAX.checked_shl(128 - u32::from(len.min(128))).unwrap_or(0);
    Test::V6 {
        end,
        address: address.to_bits() & mask,
        mask,
    }
}
