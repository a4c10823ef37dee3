//! Writing: solicitations and advertisements.

use std::net::Ipv6Addr;

use smoltcp::{
    time::Duration,
    wire::{
        EthernetAddress, Icmpv6Packet, IpProtocol, Ipv6Packet, Ipv6Repr, NdiscNeighborFlags, NdiscOption,
        NdiscOptionRepr, NdiscPrefixInfoFlags, NdiscPrefixInformation, NdiscRepr, NdiscRouterFlags, RawHardwareAddress,
    },
};

use super::{Message, Nd, NdError, Station, link_local, parse, solicited_node};
use crate::{
    packet::Frame,
    service::ethernet,
    wire::{Mac, ethertype},
};

const IPV6_HEADER: usize = 40;

/// IPv6 packet of a neighbour message with its one link-layer address option.
const NEIGHBOR_PACKET: usize = IPV6_HEADER + 24 + 8;

/// Bytes of the frame of a neighbour solicitation or advertisement with its link-layer address.
pub const SOLICITATION: usize = ethernet::HEADER + NEIGHBOR_PACKET;

/// Bytes of a prefix information option.
const PREFIX_OPTION: usize = 32;

/// Hop limit that hosts shall use, and that a router sends with everything but neighbour discovery.
const HOP_LIMIT: u8 = 64;

/// How long hosts may take an address of an advertised prefix for on-link (RFC 4861, section 6.2.1).
const VALID_LIFETIME: Duration = Duration::from_secs(30 * 86400);

/// How long an address of an advertised prefix is preferred (RFC 4861, section 6.2.1).
const PREFERRED_LIFETIME: Duration = Duration::from_secs(7 * 86400);

/// Turns the solicitation in the frame into the advertisement that says its target is at `answer_mac`, which replaces
/// whatever the asker knew. `router` says that the target's owner forwards packets. Tags are kept.
///
/// # Errors
/// [`NdError`] when the frame holds no valid neighbour solicitation or the answer does not fit; it is unchanged then.
pub fn neighbor_advertisement(frame: &mut Frame, answer_mac: Mac, router: bool) -> Result<(), NdError> {
    let solicitation = parse(frame.data())?;
    let (target, to) = answer(&solicitation)?;
    let packet = begin(frame, to.mac, answer_mac, NEIGHBOR_PACKET)?;
    emit_advertisement(packet, target, to, answer_mac, router);
    Ok(())
}

/// As [`neighbor_advertisement`], in an untagged frame of its own.
///
/// # Errors
/// [`NdError::NotASolicitation`] when `solicitation` is none.
pub fn neighbor_advertisement_frame(
    solicitation: &Nd,
    answer_mac: Mac,
    router: bool,
) -> Result<[u8; SOLICITATION], NdError> {
    let (target, to) = answer(solicitation)?;
    let mut frame = [0; SOLICITATION];
    let (header, packet) = frame.split_at_mut(ethernet::HEADER);
    header.copy_from_slice(&ethernet::header(to.mac, answer_mac, ethertype::IPV6));
    emit_advertisement(packet, target, to, answer_mac, router);
    Ok(frame)
}

/// Asks for the MAC of `target`: of all who may own it, or, to confirm what is known, of the station `known`. `from` must
/// have an address: without one its MAC may not be told.
pub fn neighbor_solicitation(from: Station, target: Ipv6Addr, known: Option<Mac>) -> [u8; SOLICITATION] {
    let to = match known {
        Some(mac) => Station { address: target, mac },
        None => {
            let address = solicited_node(target);
            let mac = Mac::for_multicast_v6(address);
            Station { address, mac }
        }
    };
    let mut frame = [0; SOLICITATION];
    let (header, packet) = frame.split_at_mut(ethernet::HEADER);
    header.copy_from_slice(&ethernet::header(to.mac, from.mac, ethertype::IPV6));
    let repr = NdiscRepr::NeighborSolicit {
        target_addr: target,
        lladdr: Some(hardware(from.mac)),
    };
    emit(packet, from.address, to.address, |icmp| repr.emit(icmp));
    frame
}

/// Writes a router advertisement to `to` (see [`Nd::reply_to`]; [`Station::ALL_NODES`] when nobody asked): the gateway at
/// the link-local address of `router_mac` is a default router for `lifetime` seconds (0: none), the link carries packets of
/// `mtu` bytes, and addresses in `prefixes` are on the link but are not to be made up by hosts (autonomous flag clear).
///
/// What was in the frame is overwritten except its tags; an empty frame gets an untagged header.
///
/// # Errors
/// [`NdError::NoRoom`] when there are more prefixes than the frame holds; it is unchanged then.
pub fn router_advertisement(
    frame: &mut Frame,
    to: Station,
    router_mac: Mac,
    prefixes: &[(Ipv6Addr, u8)],
    mtu: u32,
    lifetime: u16,
) -> Result<(), NdError> {
    let repr = NdiscRepr::RouterAdvert {
        hop_limit: HOP_LIMIT,
        flags: NdiscRouterFlags::empty(),
        router_lifetime: Duration::from_secs(u64::from(lifetime)),
        // Zero: the router says nothing of these, hosts keep their own.
        reachable_time: Duration::ZERO,
        retrans_time: Duration::ZERO,
        lladdr: Some(hardware(router_mac)),
        mtu: Some(mtu),
        prefix_info: None,
    };
    let fixed = repr.buffer_len();
    let packet = begin(
        frame,
        to.mac,
        router_mac,
        IPV6_HEADER + fixed + prefixes.len() * PREFIX_OPTION,
    )?;
    emit(packet, link_local(router_mac), to.address, |icmp| {
        repr.emit(icmp);
        // Source link-layer address and MTU come first, then the prefixes; `payload_mut` begins with the options.
        let options = icmp.payload_mut().get_mut(16..).unwrap_or_default();
        for (option, &(address, length)) in options.chunks_exact_mut(PREFIX_OPTION).zip(prefixes) {
            let length = length.min(128);
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            NdiscOptionRepr::PrefixInformation(NdiscPrefixInformation {
                prefix_len: length,
                flags: NdiscPrefixInfoFlags::ON_LINK,
                valid_lifetime: VALID_LIFETIME,
                preferred_lifetime: PREFERRED_LIFETIME,
                prefix: Ipv6Addr::from_bits(address.to_bits() & mask),
            })
            .emit(&mut NdiscOption::new_unchecked(option));
        }
    });
    Ok(())
}

/// Target of a solicitation and where the answer goes.
fn answer(solicitation: &Nd) -> Result<(Ipv6Addr, Station), NdError> {
    match solicitation.message {
        Message::NeighborSolicitation { target, .. } => Ok((target, solicitation.reply_to())),
        _ => Err(NdError::NotASolicitation),
    }
}

/// Addresses the frame, sizes it for an IPv6 packet of `length` bytes and gives the room for it.
fn begin(frame: &mut Frame, destination: Mac, source: Mac, length: usize) -> Result<&mut [u8], NdError> {
    let tagged = ethernet::payload(frame.data()).map(|(_, offset)| offset);
    let offset = tagged.unwrap_or(ethernet::HEADER);
    frame.place(frame.start(), offset + length)?;
    let data = frame.data_mut();
    ethernet::address(data, destination, source);
    let (header, packet) = data.split_at_mut_checked(offset).unwrap_or_default();
    if let Some(ethertype) = header.last_chunk_mut() {
        *ethertype = ethertype::IPV6.to_be_bytes();
    }
    Ok(packet)
}

fn emit_advertisement(packet: &mut [u8], target: Ipv6Addr, to: Station, answer_mac: Mac, router: bool) {
    let mut flags = NdiscNeighborFlags::OVERRIDE;
    flags.set(NdiscNeighborFlags::ROUTER, router);
    // RFC 4861, section 7.2.4: an answer to all nodes is not solicited.
    flags.set(NdiscNeighborFlags::SOLICITED, !to.address.is_multicast());
    let repr = NdiscRepr::NeighborAdvert {
        flags,
        target_addr: target,
        lladdr: Some(hardware(answer_mac)),
    };
    emit(packet, target, to.address, |icmp| repr.emit(icmp));
}

/// Fills `packet` with an IPv6 header and the ICMPv6 message that `write` writes, checksum included.
fn emit(packet: &mut [u8], source: Ipv6Addr, destination: Ipv6Addr, write: impl FnOnce(&mut Icmpv6Packet<&mut [u8]>)) {
    let Some((header, message)) = packet.split_at_mut_checked(IPV6_HEADER) else {
        return;
    };
    // Reserved fields are not written below, and must be zero: nothing of what was in the frame before may get out.
    message.fill(0);
    Ipv6Repr {
        src_addr: source,
        dst_addr: destination,
        next_header: IpProtocol::Icmpv6,
        payload_len: message.len(),
        // What shows the receiver that the sender is on the link.
        hop_limit: 255,
    }
    .emit(&mut Ipv6Packet::new_unchecked(header));
    let mut icmp = Icmpv6Packet::new_unchecked(message);
    write(&mut icmp);
    icmp.fill_checksum(&source, &destination);
}

fn hardware(mac: Mac) -> RawHardwareAddress {
    EthernetAddress(mac.0).into()
}
