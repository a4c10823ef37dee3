//! The packet that an ICMP error quotes: whose it was, and its translation in place (RFC 5508, section 4.2).
//!
//! A quote is cut short, as a rule: it is read as far as ports reach, and nothing is believed of its lengths.

use std::net::IpAddr;

use super::{
    packet::{echo_ports, flow_key},
    translate::{change, is_echo_request, transport_checksum},
};
use crate::{
    packet::FlowKey,
    wire::{Flags, Fragment, IpKind, Parsed, checksum::Delta, ipv6_walk, proto},
};

/// Bytes of an ICMP error in front of the packet it quotes.
const ICMP_HEADER: usize = 8;

/// Where things are in an ICMP error, counted from its IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quote {
    /// ICMP header of the error.
    icmp: usize,
    /// IP header of the quoted packet.
    ip: usize,
    /// Its L4 header.
    l4: usize,
    /// Its protocol.
    protocol: u8,
    /// IPv6.
    v6: bool,
    /// An echo request: its key has the identifier as source port.
    asks: bool,
}

impl Quote {
    /// Reads an ICMP error that can be about a flow, with the key of the packet it quotes: of a destination that cannot be reached, time or
    /// size exceeded, a parameter problem. (Not a redirect: those are for the link that they come from.)
    pub(super) fn read(ip: &[u8], parsed: &Parsed, context: u32) -> Option<(Self, FlowKey)> {
        if parsed.fragment != Fragment::No {
            return None;
        }
        let icmp = usize::from(parsed.l4);
        let kind = *ip.get(icmp)?;
        let start = icmp + ICMP_HEADER;
        let (v6, quoted) = (parsed.kind == IpKind::V6, ip.get(start..parsed.end as usize)?);
        let (l4, protocol) = match (v6, kind) {
            (false, 3 | 4 | 11 | 12) => walk_v4(quoted)?,
            (true, 1..=4) => walk_v6(quoted)?,
            _ => return None,
        };
        let rest = quoted.get(l4..)?;
        let [a, b, c, d] = *rest.first_chunk::<4>()?;
        let (src_port, dst_port) = match protocol {
            proto::TCP | proto::UDP | proto::SCTP => (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])),
            proto::ICMP | proto::ICMPV6 => {
                let (request, reply) = if v6 { (128, 129) } else { (8, 0) };
                if a != request && a != reply {
                    return None;
                }
                let [.., e, f, _, _] = *rest.first_chunk::<8>()?;
                echo_ports(a, u16::from_be_bytes([e, f]))
            }
            _ => (0, 0),
        };
        let found = Parsed {
            end: quoted.len() as u32,
            l3: 0,
            l4: l4 as u16,
            src_port,
            dst_port,
            proto: protocol,
            flags: Flags::NONE,
            tcp_flags: 0,
            ..*parsed
        };
        let key = flow_key(quoted, &found, context)?;
        let quote = Self {
            icmp,
            ip: start,
            l4: start + l4,
            protocol,
            v6,
            asks: is_echo_request(a),
        };
        Some((quote, key))
    }

    /// Makes the quoted packet one with the addresses and ports of `to`, which is of the same IP version; its checksums and the
    /// error's own follow, as far as they are there.
    pub(super) fn translate(&self, packet: &mut [u8], to: &FlowKey) {
        // Of the error, of an IPv4 header, of the transport.
        let (mut error, mut header, mut transport) = (Delta::NONE, Delta::NONE, Delta::NONE);
        let at = if self.v6 { [8, 24] } else { [12, 16] };
        for (at, address) in at.into_iter().zip([to.src(), to.dst()]) {
            let write = |old, new| {
                error = error.u16(old, new);
                header = header.u16(old, new);
            };
            match address {
                IpAddr::V4(new) if !self.v6 => replace(packet, self.ip + at, &new.octets(), write),
                IpAddr::V6(new) if self.v6 => replace(packet, self.ip + at, &new.octets(), write),
                _ => return,
            }
        }
        if !self.v6 {
            let check = |old| header.apply(old);
            fix(packet, self.ip + 10, &mut error, check);
        }
        if self.protocol != proto::ICMP {
            // All others have a pseudo header.
            transport = header;
        }
        let mut write = |at: usize, port: u16| {
            replace(packet, at, &port.to_be_bytes(), |old, new| {
                error = error.u16(old, new);
                transport = transport.u16(old, new);
            });
        };
        match self.protocol {
            proto::TCP | proto::UDP | proto::SCTP => {
                write(self.l4, to.src_port());
                write(self.l4 + 2, to.dst_port());
            }
            proto::ICMP | proto::ICMPV6 => write(self.l4 + 4, if self.asks { to.src_port() } else { to.dst_port() }),
            _ => {}
        }
        if let Some(at) = transport_checksum(self.protocol) {
            let udp = self.protocol == proto::UDP;
            fix(packet, self.l4 + at, &mut error, |check| {
                if udp {
                    transport.apply_udp(check)
                } else {
                    transport.apply(check)
                }
            });
        }
        if let Some(message) = packet.get_mut(self.icmp..) {
            change(message, 2, |check| error.apply(check));
        }
    }
}

/// Where the L4 header of a quoted IPv4 packet starts, and its protocol. Not of a later fragment, which has none.
fn walk_v4(quoted: &[u8]) -> Option<(usize, u8)> {
    let header = quoted.first_chunk::<20>()?;
    let later = u16::from_be_bytes([header[6], header[7]]) & 0x1fff != 0;
    let len = usize::from(header[0] & 15) * 4;
    (header[0] >> 4 == 4 && len >= 20 && !later).then_some((len, header[9]))
}

/// The same of IPv6.
fn walk_v6(quoted: &[u8]) -> Option<(usize, u8)> {
    let (header, rest) = quoted.split_first_chunk::<40>()?;
    if header[0] >> 4 != 6 {
        return None;
    }
    if !ipv6_walk::is_extension(header[6]) {
        return Some((40, header[6]));
    }
    let walk = ipv6_walk::walk(header[6], rest).ok()?;
    (walk.fragment != Fragment::Later).then_some((40 + usize::from(walk.len), walk.proto))
}

/// Writes `new` at `at`, if there is room, and tells each word of 16 bits that changes. `at` is at an even place of all checksums.
fn replace(packet: &mut [u8], at: usize, new: &[u8], mut tell: impl FnMut(u16, u16)) {
    let Some(place) = packet.get_mut(at..at + new.len()) else {
        return;
    };
    for (old, new) in place.chunks_exact_mut(2).zip(new.chunks_exact(2)) {
        if let ([a, b], [c, d]) = (old, new) {
            tell(u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]));
            (*a, *b) = (*c, *d);
        }
    }
}

/// Changes a checksum within the quote, if it is there; that changes the error's, too.
fn fix(packet: &mut [u8], at: usize, error: &mut Delta, new: impl FnOnce(u16) -> u16) {
    if let Some(field) = packet.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<2>()) {
        let old = u16::from_be_bytes(*field);
        let new = new(old);
        *field = new.to_be_bytes();
        *error = error.u16(old, new);
    }
}

#[cfg(test)]
#[path = "quote_tests.rs"]
mod tests;
