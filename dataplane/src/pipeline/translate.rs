//! Translates a packet in place: addresses, ports, ICMP identifiers, and every checksum that covers them.
//!
//! Checksums are changed by what the fields change of them (RFC 1624), never computed anew: a packet that was damaged before it came
//! here is still found damaged by its receiver. What a packet is to look like is said by a flow key: the other direction's,
//! turned round.

use std::net::IpAddr;

use crate::{
    packet::{FlowKey, Frame},
    wire::{
        Flags, Fragment, IpKind, Parsed, Sctp,
        checksum::{Delta, field_offset},
        proto,
    },
};

/// The packet cannot be translated: part of what a checksum covers is not here (an SCTP datagram in fragments), or it is not of the
/// key's family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Untranslatable;

/// Protocols that put a checksum with a pseudo header at offset 6 and are not parsed otherwise: DCCP (RFC 4340), UDP-Lite (RFC 3828).
const DCCP: u8 = 33;
const UDP_LITE: u8 = 136;

/// Gives the packet in a frame (from its IP header on; `parsed` counts from there) the addresses and ports of `to`. Of fragments, the first
/// has its ports translated and the later ones have none.
#[inline]
pub(super) fn frame(frame: &mut Frame, parsed: &Parsed, to: &FlowKey) -> Result<(), Untranslatable> {
    let open = frame.partial();
    let ip = frame.data_mut();
    let Some(open) = open else {
        return packet(ip, parsed, to);
    };
    // An open checksum covers the addresses of the pseudo header, and no ports.
    let changed = addresses(ip, parsed.kind, to.src(), to.dst())?;
    let l4 = ip.get_mut(open.l4..).ok_or(Untranslatable)?;
    write_ports(l4, (to.src_port(), to.dst_port()), Delta::NONE).ok_or(Untranslatable)?;
    change(l4, open.field, |check| changed.apply_partial(check));
    Ok(())
}

/// As [`packet`], for a plain one ([`Plain`](crate::wire::Plain): whole TCP or UDP, no options), by the key of its answers: what [`packet`] makes of it,
/// in words as they stand in packet and key.
#[inline(always)]
pub(super) fn plain(ip: &mut [u8], v6: bool, protocol: u8, answers: &FlowKey) -> Result<(), Untranslatable> {
    let to = answers.words();
    // The answers' ports, turned round, as they stand in a packet.
    let ports = ((to[4] >> 32) as u32).swap_bytes();
    if v6 {
        let header = ip.first_chunk_mut::<48>().ok_or(Untranslatable)?;
        let mut changed = 0;
        for (at, new) in [(8, to[2]), (16, to[3]), (24, to[0]), (32, to[1])] {
            let (old, new) = (!words::read_u64(header, at), words::write_u64(header, at, new));
            changed += (old >> 32) + (old & 0xffff_ffff) + (new >> 32) + (new & 0xffff_ffff);
        }
        changed += words::exchange_u32(header, 40, ports);
        transport_by(ip, 40, protocol, changed)
    } else {
        let header = ip.first_chunk_mut::<28>().ok_or(Untranslatable)?;
        let changed = words::exchange_u32(header, 12, to[2] as u32) + words::exchange_u32(header, 16, to[0] as u32);
        let check = words::read_u16(header, 10);
        words::write_u16(header, 10, words::checksum(check, changed));
        let changed = changed + words::exchange_u32(header, 20, ports);
        transport_by(ip, 20, protocol, changed)
    }
}

/// Changes the checksum of a TCP or UDP header at `at`.
#[inline(always)]
fn transport_by(ip: &mut [u8], at: usize, protocol: u8, changed: u64) -> Result<(), Untranslatable> {
    let is_tcp = protocol == proto::TCP;
    let field = ip.get_mut(at + if is_tcp { 16 } else { 6 }..);
    let field = field
        .and_then(|rest| rest.first_chunk_mut::<2>())
        .ok_or(Untranslatable)?;
    let old = words::read_u16(field, 0);
    let new = words::checksum(old, changed);
    // Of UDP, zero means that there is no checksum: it stays so, and none becomes so.
    let new = match (is_tcp, old, new) {
        (false, 0, _) => 0,
        (false, _, 0) => 0xffff,
        _ => new,
    };
    words::write_u16(field, 0, new);
    Ok(())
}

/// Words of a packet as this machine reads them, little end first. Sums of ones' complement come out as they are to be written back: they do not mind
/// in which order bytes stand.
mod words {
    #[inline(always)]
    pub(super) fn read_u16<const N: usize>(bytes: &[u8; N], at: usize) -> u16 {
        u16::from_le_bytes([bytes[at], bytes[at + 1]])
    }

    #[inline(always)]
    pub(super) fn write_u16<const N: usize>(bytes: &mut [u8; N], at: usize, word: u16) {
        bytes[at..at + 2].copy_from_slice(&word.to_le_bytes());
    }

    #[inline(always)]
    pub(super) fn read_u64<const N: usize>(bytes: &[u8; N], at: usize) -> u64 {
        let mut word = [0; 8];
        word.copy_from_slice(&bytes[at..at + 8]);
        u64::from_le_bytes(word)
    }

    /// Gives what was written.
    #[inline(always)]
    pub(super) fn write_u64<const N: usize>(bytes: &mut [u8; N], at: usize, word: u64) -> u64 {
        bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
        word
    }

    /// Writes; gives what that adds to a sum.
    #[inline(always)]
    pub(super) fn exchange_u32<const N: usize>(bytes: &mut [u8; N], at: usize, new: u32) -> u64 {
        let mut old = [0; 4];
        old.copy_from_slice(&bytes[at..at + 4]);
        bytes[at..at + 4].copy_from_slice(&new.to_le_bytes());
        u64::from(!u32::from_le_bytes(old)) + u64::from(new)
    }

    /// A checksum once its sum has changed by so much (RFC 1624, equation 3).
    #[inline(always)]
    pub(super) const fn checksum(old: u16, changed: u64) -> u16 {
        let sum = changed + !old as u64;
        let sum = (sum >> 32) + (sum & 0xffff_ffff);
        let sum = (sum >> 16) + (sum & 0xffff);
        let sum = (sum >> 16) + (sum & 0xffff);
        !(((sum >> 16) + sum) as u16)
    }
}

/// As [`frame`], for a packet whose checksums are complete.
#[inline]
pub(super) fn packet(ip: &mut [u8], parsed: &Parsed, to: &FlowKey) -> Result<(), Untranslatable> {
    let changed = addresses(ip, parsed.kind, to.src(), to.dst())?;
    if parsed.fragment == Fragment::Later {
        return Ok(());
    }
    let whole = parsed.fragment == Fragment::No;
    let l4 = ip.get_mut(usize::from(parsed.l4)..).ok_or(Untranslatable)?;
    transport(l4, parsed, whole, changed, (to.src_port(), to.dst_port()))
}

/// Writes the addresses; gives what that changes of a pseudo header.
#[inline]
pub(super) fn addresses(
    ip: &mut [u8],
    kind: IpKind,
    source: IpAddr,
    destination: IpAddr,
) -> Result<Delta, Untranslatable> {
    match (kind, source, destination) {
        (IpKind::V4, IpAddr::V4(source), IpAddr::V4(destination)) => {
            let header = ip.first_chunk_mut::<20>().ok_or(Untranslatable)?;
            let old = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
            let changed = Delta::NONE
                .u32(old(12), source.to_bits())
                .u32(old(16), destination.to_bits());
            let check = changed.apply(u16::from_be_bytes([header[10], header[11]]));
            [header[10], header[11]] = check.to_be_bytes();
            header[12..16].copy_from_slice(&source.octets());
            header[16..].copy_from_slice(&destination.octets());
            Ok(changed)
        }
        (IpKind::V6, IpAddr::V6(source), IpAddr::V6(destination)) => {
            let header = ip.first_chunk_mut::<40>().ok_or(Untranslatable)?;
            let (mut old_source, mut old_destination) = ([0; 16], [0; 16]);
            old_source.copy_from_slice(&header[8..24]);
            old_destination.copy_from_slice(&header[24..]);
            header[8..24].copy_from_slice(&source.octets());
            header[24..].copy_from_slice(&destination.octets());
            Ok(Delta::NONE
                .u128(u128::from_be_bytes(old_source), source.to_bits())
                .u128(u128::from_be_bytes(old_destination), destination.to_bits()))
        }
        _ => Err(Untranslatable),
    }
}

/// Writes the ports of an L4 header, and its checksum. `addresses`: what changed of the pseudo header.
#[inline]
fn transport(
    l4: &mut [u8],
    parsed: &Parsed,
    whole: bool,
    addresses: Delta,
    ports: (u16, u16),
) -> Result<(), Untranslatable> {
    match parsed.proto {
        proto::TCP => {
            let changed = write_ports(l4, ports, addresses).ok_or(Untranslatable)?;
            change(l4, 16, |check| changed.apply(check));
        }
        proto::UDP => {
            let changed = write_ports(l4, ports, addresses).ok_or(Untranslatable)?;
            change(l4, 6, |check| changed.apply_udp(check));
        }
        proto::ICMP => {
            // No pseudo header here: addresses do not matter.
            let changed = identifier(l4, parsed, ports, Delta::NONE);
            change(l4, 2, |check| changed.apply(check));
        }
        proto::ICMPV6 => {
            let changed = identifier(l4, parsed, ports, addresses);
            change(l4, 2, |check| changed.apply(check));
        }
        proto::SCTP => {
            let mut view = Sctp::new_checked(l4).map_err(|_| Untranslatable)?;
            if (view.src_port(), view.dst_port()) != ports {
                if !whole {
                    return Err(Untranslatable);
                }
                view.change_ports(ports.0, ports.1);
            }
        }
        DCCP | UDP_LITE => change(l4, 6, |check| addresses.apply(check)),
        _ => {}
    }
    Ok(())
}

/// Where the checksum stands in the header of a protocol that has one which covers addresses or identifiers.
pub(super) fn transport_checksum(protocol: u8) -> Option<usize> {
    match protocol {
        DCCP | UDP_LITE => Some(6),
        _ => field_offset(protocol),
    }
}

/// Writes the two ports at the head of TCP and UDP; adds what that changes.
#[inline]
fn write_ports(l4: &mut [u8], (source, destination): (u16, u16), changed: Delta) -> Option<Delta> {
    let ports = l4.first_chunk_mut::<4>()?;
    let new = u32::from(source) << 16 | u32::from(destination);
    let changed = changed.u32(u32::from_be_bytes(*ports), new);
    *ports = new.to_be_bytes();
    Some(changed)
}

/// Writes the identifier of an echo request or reply; adds what that changes. A request's key has it as source port, a reply's as
/// destination port; the other is zero.
fn identifier(l4: &mut [u8], parsed: &Parsed, ports: (u16, u16), changed: Delta) -> Delta {
    let Some([kind, _, _, _, a, b, ..]) = l4.first_chunk_mut::<8>() else {
        return changed;
    };
    if !parsed.flags.has(Flags::ICMP_ECHO) {
        return changed;
    }
    let new = if is_echo_request(*kind) { ports.0 } else { ports.1 };
    let changed = changed.u16(u16::from_be_bytes([*a, *b]), new);
    [*a, *b] = new.to_be_bytes();
    changed
}

/// The ICMP type of an echo request of either family.
#[inline]
pub(super) const fn is_echo_request(kind: u8) -> bool {
    matches!(kind, 8 | 128)
}

/// Changes a checksum field, if it is there.
#[inline]
pub(super) fn change(l4: &mut [u8], at: usize, new: impl FnOnce(u16) -> u16) {
    if let Some(field) = l4.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<2>()) {
        *field = new(u16::from_be_bytes(*field)).to_be_bytes();
    }
}

#[cfg(test)]
#[path = "translate_tests.rs"]
mod tests;
