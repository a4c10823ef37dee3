//! ICMP errors: what they say, when they must not be sent, and how much of the packet they quote.

use std::net::IpAddr;

use smoltcp::{
    phy::ChecksumCapabilities,
    wire::{IpProtocol, Ipv4Packet, Ipv4Repr, Ipv6Packet, Ipv6Repr},
};

use super::HOP_LIMIT;
use crate::{
    packet::{Frame, frame::NoRoom},
    wire::{
        Fragment, IpKind, ParseError, Parsed,
        checksum::{Sum, fill_l4, pseudo_v6},
        ipv6_walk, parse_ip, proto,
    },
};

/// Longest ICMP error over IPv4, IP header included, bytes (RFC 1812, section 4.3.2.3).
pub const MAX_ERROR_V4: usize = 576;

/// Longest ICMPv6 error, IP header included, bytes: the least MTU (RFC 4443, section 2.4(c)).
pub const MAX_ERROR_V6: usize = 1280;

const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
const ICMP_HEADER: usize = 8;

/// DSCP CS6 (precedence "internetwork control"), which RFC 1812, section 4.3.2.5 wants of errors over IPv4.
const CONTROL_DSCP: u8 = 48;

/// What went wrong with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IcmpError {
    /// TTL or hop limit used up.
    TimeExceeded,
    /// No route to the destination.
    NoRoute,
    /// There is a route, but the destination does not answer on its link.
    AddressUnreachable,
    /// Forbidden by policy.
    AdminProhibited,
    /// Larger than the path carries and not to be fragmented.
    TooBig {
        /// Largest packet that the path carries, bytes from the IP header on. Over IPv4 at most 65535 can be said.
        mtu: u32,
    },
    /// Nobody listens at the destination port.
    PortUnreachable,
    /// The destination does not speak the protocol.
    ProtocolUnreachable,
}

impl IcmpError {
    /// Type, code and the word behind the checksum, for IPv4 (RFC 792, 1191, 1812).
    fn v4(self) -> (u8, u8, u32) {
        match self {
            Self::TimeExceeded => (11, 0, 0),
            Self::NoRoute => (3, 0, 0),
            Self::AddressUnreachable => (3, 1, 0),
            Self::ProtocolUnreachable => (3, 2, 0),
            Self::PortUnreachable => (3, 3, 0),
            Self::TooBig { mtu } => (3, 4, mtu.min(0xffff)),
            Self::AdminProhibited => (3, 13, 0),
        }
    }

    /// Type, code and the word behind the checksum, for IPv6 (RFC 4443). A protocol unreachable is a parameter problem there,
    /// with a pointer to the next header field in question.
    fn v6(self, original: &[u8]) -> (u8, u8, u32) {
        match self {
            Self::TimeExceeded => (3, 0, 0),
            Self::NoRoute => (1, 0, 0),
            Self::AdminProhibited => (1, 1, 0),
            Self::AddressUnreachable => (1, 3, 0),
            Self::PortUnreachable => (1, 4, 0),
            Self::TooBig { mtu } => (2, 0, mtu),
            Self::ProtocolUnreachable => (4, 1, last_next_header(original)),
        }
    }
}

/// Why no error is sent for a packet (RFC 1122, section 3.2.2; RFC 4443, section 2.4(e)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Suppressed {
    /// The packet contradicts itself.
    #[error(transparent)]
    Malformed(#[from] ParseError),
    /// It is an ICMP error (or redirect) itself.
    #[error("no ICMP error about an ICMP error")]
    AboutAnError,
    /// It is not the first fragment.
    #[error("no ICMP error about a fragment other than the first")]
    LaterFragment,
    /// Its source is not one host.
    #[error("no ICMP error to {0}, which is not the address of one host")]
    Source(IpAddr),
    /// It went to many.
    #[error("no ICMP error about a packet to {0}, which is not the address of one host")]
    Destination(IpAddr),
    /// The router's address given is of the other family.
    #[error("the router's address {0} is not of the packet's family")]
    OtherFamily(IpAddr),
    /// The frame for the error is too small.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
}

/// Writes to `out` the IP packet that tells the sender of `original` (from its IP header on, as it was received) of `error`,
/// from the router's address `source`. Only the IP packet: Ethernet or tunnel headers are for the caller to put in front.
///
/// Two conditions are for the caller to judge, who alone can know: the packet came as a link-layer broadcast or multicast, or
/// went to the broadcast address of a subnet. And how often: see [`RateLimit`](super::RateLimit).
///
/// # Errors
/// [`Suppressed`] when there must be no error, or it does not fit; `out` is unchanged then.
pub fn error(original: &[u8], source: IpAddr, error: IcmpError, out: &mut Frame) -> Result<(), Suppressed> {
    let parsed = parse_ip(original)?;
    let original = original.get(..parsed.end as usize).unwrap_or(original);
    if parsed.fragment == Fragment::Later {
        return Err(Suppressed::LaterFragment);
    }
    if is_icmp_error(original, &parsed) {
        return Err(Suppressed::AboutAnError);
    }
    match (parsed.kind, source) {
        (IpKind::V4, IpAddr::V4(source)) => {
            let ip = Ipv4Packet::new_unchecked(original);
            let (to, destination) = (ip.src_addr(), ip.dst_addr());
            let network = to.octets()[0];
            if network == 0 || network >= 224 || to.is_loopback() {
                return Err(Suppressed::Source(to.into()));
            }
            if destination.is_multicast() || destination.is_broadcast() || destination.is_unspecified() {
                return Err(Suppressed::Destination(destination.into()));
            }
            let quote = original
                .get(..MAX_ERROR_V4 - IPV4_HEADER - ICMP_HEADER)
                .unwrap_or(original);
            let packet = out.fill_zero(IPV4_HEADER + ICMP_HEADER + quote.len())?;
            let (header, message) = packet.split_at_mut_checked(IPV4_HEADER).unwrap_or_default();
            write_message(message, error.v4(), quote);
            fill_l4(message, proto::ICMP, Sum::ZERO);
            let mut ip = Ipv4Packet::new_unchecked(header);
            Ipv4Repr {
                src_addr: source,
                dst_addr: to,
                next_header: IpProtocol::Icmp,
                payload_len: message.len(),
                hop_limit: HOP_LIMIT,
            }
            .emit(&mut ip, &ChecksumCapabilities::ignored());
            ip.set_dscp(CONTROL_DSCP);
            ip.fill_checksum();
        }
        (IpKind::V6, IpAddr::V6(source)) => {
            let ip = Ipv6Packet::new_unchecked(original);
            let (to, destination) = (ip.src_addr(), ip.dst_addr());
            if to.is_unspecified() || to.is_multicast() || to.is_loopback() {
                return Err(Suppressed::Source(to.into()));
            }
            // Path MTU discovery works for multicast too: the one exception (RFC 4443, section 2.4(e.3)).
            let too_big = matches!(error, IcmpError::TooBig { .. });
            if destination.is_unspecified() || (destination.is_multicast() && !too_big) {
                return Err(Suppressed::Destination(destination.into()));
            }
            let quote = original
                .get(..MAX_ERROR_V6 - IPV6_HEADER - ICMP_HEADER)
                .unwrap_or(original);
            let packet = out.fill_zero(IPV6_HEADER + ICMP_HEADER + quote.len())?;
            let (header, message) = packet.split_at_mut_checked(IPV6_HEADER).unwrap_or_default();
            write_message(message, error.v6(original), quote);
            let pseudo = pseudo_v6(source, to, proto::ICMPV6, message.len() as u32);
            fill_l4(message, proto::ICMPV6, pseudo);
            Ipv6Repr {
                src_addr: source,
                dst_addr: to,
                next_header: IpProtocol::Icmpv6,
                payload_len: message.len(),
                hop_limit: HOP_LIMIT,
            }
            .emit(&mut Ipv6Packet::new_unchecked(header));
        }
        _ => return Err(Suppressed::OtherFamily(source)),
    }
    Ok(())
}

/// ICMP header (checksum still zero) and quote.
fn write_message(message: &mut [u8], (kind, code, word): (u8, u8, u32), quote: &[u8]) {
    if let Some((header, rest)) = message.split_first_chunk_mut::<ICMP_HEADER>() {
        header[0] = kind;
        header[1] = code;
        header[4..].copy_from_slice(&word.to_be_bytes());
        rest.copy_from_slice(quote);
    }
}

/// Is the packet an ICMP error or redirect?
fn is_icmp_error(packet: &[u8], parsed: &Parsed) -> bool {
    let kind = packet.get(usize::from(parsed.l4)).copied();
    match (parsed.kind, parsed.proto) {
        (IpKind::V4, proto::ICMP) => matches!(kind, None | Some(3 | 4 | 5 | 11 | 12)),
        (IpKind::V6, proto::ICMPV6) => matches!(kind, None | Some(..128 | 137)),
        _ => false,
    }
}

/// Offset of the next header field that names what follows the last extension header.
fn last_next_header(packet: &[u8]) -> u32 {
    let byte = |at: usize| packet.get(at).copied().unwrap_or(proto::NO_NEXT);
    // The field in the IPv6 header itself, and where the header that it names starts.
    let (mut field, mut at) = (6, IPV6_HEADER);
    while ipv6_walk::is_extension(byte(field)) && at < packet.len() {
        let units = usize::from(byte(at + 1));
        let length = match byte(field) {
            proto::FRAGMENT => 8,
            proto::AH => (units + 2) * 4,
            _ => (units + 1) * 8,
        };
        field = at;
        at += length;
    }
    field as u32
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
