//! The answer to a ping, made in the frame of the request.

use std::net::IpAddr;

use smoltcp::wire::{IpProtocol, Ipv4Packet, Ipv6Packet};

use super::HOP_LIMIT;
use crate::{
    packet::Frame,
    wire::{
        Fragment, IpKind, ParseError, Parsed,
        checksum::{Sum, fill_l4, pseudo_v6, update_u16, verify_l4},
        ipv6_walk, parse_ip, proto,
    },
};

/// Why a packet is not answered as an echo request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EchoError {
    /// The packet contradicts itself.
    #[error(transparent)]
    Malformed(#[from] ParseError),
    /// Another protocol or ICMP message.
    #[error("not an echo request")]
    NotAnEchoRequest,
    /// Only a part of it is here.
    #[error("the echo request is a fragment: the router does not reassemble")]
    Fragment,
    /// The ICMP checksum is wrong.
    #[error("the ICMP checksum is wrong")]
    Checksum,
    /// Source or destination is not the address of one host, so that they cannot change places.
    #[error("{0} is not the address of one host")]
    Address(IpAddr),
    /// A source route, or an IPv6 option or header that says to drop the packet if it is not understood.
    #[error("the echo request has options that the router does not process")]
    Options,
}

/// Turns the echo request whose IP header is at `l3` into its reply: addresses change places, TTL or hop limit becomes 64,
/// options and extension headers are taken out. What lies before `l3` is kept (it moves with the packet when something was
/// taken out): the caller addresses it, see [`turn_around`](crate::service::ethernet::turn_around).
///
/// # Errors
/// [`EchoError`] when this is no request or cannot be answered; the frame is unchanged then.
pub fn echo_reply(frame: &mut Frame, l3: usize) -> Result<(), EchoError> {
    let packet = frame.data().get(l3..).ok_or(ParseError::TruncatedIp)?;
    let parsed = parse_ip(packet)?;
    let (fixed, old_word, new_word) = match (parsed.kind, parsed.proto) {
        (IpKind::V4, proto::ICMP) => (20, [8, 0], [0, 0]),
        (IpKind::V6, proto::ICMPV6) => (40, [128, 0], [129, 0]),
        _ => return Err(EchoError::NotAnEchoRequest),
    };
    if parsed.fragment == Fragment::Later {
        return Err(EchoError::Fragment);
    }
    let l4 = usize::from(parsed.l4);
    let icmp = packet.get(l4..parsed.end as usize).unwrap_or_default();
    if !icmp.starts_with(&old_word) {
        return Err(EchoError::NotAnEchoRequest);
    }
    if parsed.fragment != Fragment::No {
        return Err(EchoError::Fragment);
    }
    check(packet, &parsed, icmp)?;
    let icmp_len = icmp.len();

    // Move what stays in front over what goes.
    let excess = l4.saturating_sub(fixed);
    if excess > 0 {
        frame.data_mut().copy_within(..l3 + fixed, excess);
        frame.strip(excess as u16);
    }
    let packet = frame.data_mut().get_mut(l3..).unwrap_or_default();
    let (header, rest) = packet.split_at_mut_checked(fixed).unwrap_or_default();
    if parsed.kind == IpKind::V4 {
        let mut ip = Ipv4Packet::new_unchecked(header);
        let (source, destination) = (ip.src_addr(), ip.dst_addr());
        ip.set_src_addr(destination);
        ip.set_dst_addr(source);
        ip.set_header_len(20);
        ip.set_total_len(ip.total_len() - excess as u16);
        // RFC 1812, section 4.3.2.5: the type of service of the request; but no congestion was met yet.
        ip.set_ecn(0);
        ip.set_hop_limit(HOP_LIMIT);
        ip.fill_checksum();
    } else {
        let mut ip = Ipv6Packet::new_unchecked(header);
        let (source, destination) = (ip.src_addr(), ip.dst_addr());
        ip.set_src_addr(destination);
        ip.set_dst_addr(source);
        ip.set_payload_len(ip.payload_len() - excess as u16);
        ip.set_next_header(IpProtocol::Icmpv6);
        ip.set_traffic_class(ip.traffic_class() & !3);
        ip.set_hop_limit(HOP_LIMIT);
    }
    if let Some([kind, code, high, low]) = rest.first_chunk_mut() {
        // The pseudo header of ICMPv6 sums to the same when the addresses change places.
        let sum = update_u16(
            u16::from_be_bytes([*high, *low]),
            u16::from_be_bytes(old_word),
            u16::from_be_bytes(new_word),
        );
        [*kind, *code] = new_word;
        [*high, *low] = sum.to_be_bytes();
        // An update cannot tell the two zeros of ones' complement apart, and a message of nothing but zeros (no pseudo header:
        // ICMP over IPv4 only) is the one that receivers tell apart.
        if sum == 0 && parsed.kind == IpKind::V4 {
            fill_l4(rest.get_mut(..icmp_len).unwrap_or_default(), proto::ICMP, Sum::ZERO);
        }
    }
    Ok(())
}

/// Addresses, options and checksum of a request.
fn check(packet: &[u8], parsed: &Parsed, icmp: &[u8]) -> Result<(), EchoError> {
    let pseudo = if parsed.kind == IpKind::V4 {
        let ip = Ipv4Packet::new_unchecked(packet);
        let (source, destination) = (ip.src_addr(), ip.dst_addr());
        for address in [source, destination] {
            if address.is_unspecified() || address.is_multicast() || address.is_broadcast() {
                return Err(EchoError::Address(address.into()));
            }
        }
        let options = packet.get(20..usize::from(parsed.l4)).unwrap_or_default();
        if has_source_route(options) {
            return Err(EchoError::Options);
        }
        Sum::ZERO
    } else {
        let ip = Ipv6Packet::new_unchecked(packet);
        let (source, destination) = (ip.src_addr(), ip.dst_addr());
        for address in [source, destination] {
            if address.is_unspecified() || address.is_multicast() {
                return Err(EchoError::Address(address.into()));
            }
        }
        let extensions = packet.get(40..usize::from(parsed.l4)).unwrap_or_default();
        if !may_ignore(ip.next_header().into(), extensions) {
            return Err(EchoError::Options);
        }
        pseudo_v6(source, destination, proto::ICMPV6, icmp.len() as u32)
    };
    if verify_l4(icmp, parsed.proto, pseudo) {
        Ok(())
    } else {
        Err(EchoError::Checksum)
    }
}

/// Is there a loose or strict source route among IPv4 options (or anything that cannot be read)? Its answer would have to go
/// back the same way (RFC 1122, section 3.2.2.6), which nobody wants of a router today (RFC 7126).
fn has_source_route(mut options: &[u8]) -> bool {
    loop {
        options = match *options {
            [] | [0, ..] => return false,
            [1, ..] => options.get(1..).unwrap_or_default(),
            [131 | 137, ..] | [_] => return true,
            [_, length, ..] => match options.get(usize::from(length)..) {
                Some(rest) if length >= 2 => rest,
                _ => return true,
            },
        };
    }
}

/// May a receiver that understands none of these extension headers' options go on to the payload (RFC 8200, section 4)?
fn may_ignore(mut next: u8, mut extensions: &[u8]) -> bool {
    while ipv6_walk::is_extension(next) {
        let [following, units, _, segments_left, ..] = *extensions else {
            return false;
        };
        let length = if next == proto::FRAGMENT {
            8
        } else {
            (usize::from(units) + 1) * 8
        };
        let Some((header, rest)) = extensions.split_at_checked(length) else {
            return false;
        };
        let harmless = match next {
            proto::HOP_BY_HOP | proto::DEST_OPTS => options_may_be_skipped(header.get(2..).unwrap_or_default()),
            proto::ROUTING => segments_left == 0,
            // A fragment header that makes no fragment.
            proto::FRAGMENT => true,
            // Authentication that nobody checks is none.
            _ => false,
        };
        if !harmless {
            return false;
        }
        next = following;
        extensions = rest;
    }
    true
}

/// All options have the highest two bits of their type clear: skip if unknown (RFC 8200, section 4.2).
fn options_may_be_skipped(mut options: &[u8]) -> bool {
    loop {
        options = match *options {
            [] => return true,
            [0, ..] => options.get(1..).unwrap_or_default(),
            [kind, length, ..] if kind >> 6 == 0 => match options.get(2 + usize::from(length)..) {
                Some(rest) => rest,
                None => return false,
            },
            _ => return false,
        };
    }
}

#[cfg(test)]
#[path = "echo_tests.rs"]
mod tests;
