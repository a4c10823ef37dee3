//! Reading: every rule of RFC 4861, sections 6.1.1, 7.1.1 and 7.1.2.

use std::net::Ipv6Addr;

use smoltcp::wire::{
    Icmpv6Message, Icmpv6Packet, IpProtocol, Ipv6Packet, NdiscNeighborFlags, NdiscOption, NdiscOptionType,
};

use super::{Message, Nd, NdError, solicited_node};
use crate::{
    service::ethernet,
    wire::{Mac, ethertype},
};

/// Bytes of a solicitation or advertisement of a neighbour before its options.
const NEIGHBOR_MESSAGE: usize = 24;

/// Reads the neighbour discovery message of a frame, tagged or not. Extension headers are not looked behind: nobody puts any
/// before neighbour discovery, and fragments are forbidden there (RFC 6980).
///
/// # Errors
/// [`NdError`] for anything that is not a valid router solicitation, neighbour solicitation or neighbour advertisement.
pub fn parse(frame: &[u8]) -> Result<Nd, NdError> {
    let (kind, offset) = ethernet::payload(frame).ok_or(NdError::NotIcmpv6)?;
    let ethernet_source = ethernet::source(frame).ok_or(NdError::NotIcmpv6)?;
    if kind != ethertype::IPV6 {
        return Err(NdError::NotIcmpv6);
    }
    let packet = frame.get(offset..).unwrap_or_default();
    let ip = Ipv6Packet::new_checked(packet).map_err(|_| NdError::Truncated)?;
    if ip.version() != 6 || ip.next_header() != IpProtocol::Icmpv6 {
        return Err(NdError::NotIcmpv6);
    }
    let (source, destination) = (ip.src_addr(), ip.dst_addr());
    let bytes = ip.payload();
    let kind = *bytes.first().ok_or(NdError::Truncated)?;
    let kind @ (Icmpv6Message::RouterSolicit | Icmpv6Message::NeighborSolicit | Icmpv6Message::NeighborAdvert) =
        Icmpv6Message::from(kind)
    else {
        return Err(NdError::Type(kind));
    };
    if ip.hop_limit() != 255 {
        return Err(NdError::HopLimit(ip.hop_limit()));
    }
    let icmp = Icmpv6Packet::new_checked(bytes).map_err(|_| NdError::Truncated)?;
    if !icmp.verify_checksum(&source, &destination) {
        return Err(NdError::Checksum);
    }
    if icmp.msg_code() != 0 {
        return Err(NdError::Code(icmp.msg_code()));
    }
    if source.is_multicast() || source.is_loopback() {
        return Err(NdError::Source(source));
    }
    if !ethernet_source.is_unicast() {
        return Err(NdError::SourceMac(ethernet_source));
    }
    let message = match kind {
        Icmpv6Message::RouterSolicit => Message::RouterSolicitation {
            source_mac: source_mac(source, icmp.payload())?,
        },
        Icmpv6Message::NeighborSolicit => {
            let target = target(&icmp, bytes)?;
            if source.is_unspecified() && destination != solicited_node(target) {
                return Err(NdError::Destination(destination));
            }
            Message::NeighborSolicitation {
                target,
                source_mac: source_mac(source, icmp.payload())?,
            }
        }
        _ => {
            let target = target(&icmp, bytes)?;
            let flags = icmp.neighbor_flags();
            let solicited = flags.contains(NdiscNeighborFlags::SOLICITED);
            if destination.is_multicast() && solicited {
                return Err(NdError::Destination(destination));
            }
            if source.is_unspecified() {
                return Err(NdError::Source(source));
            }
            Message::NeighborAdvertisement {
                target,
                target_mac: link_layer_address(icmp.payload(), NdiscOptionType::TargetLinkLayerAddr)?,
                router: flags.contains(NdiscNeighborFlags::ROUTER),
                solicited,
                override_known: flags.contains(NdiscNeighborFlags::OVERRIDE),
            }
        }
    };
    Ok(Nd {
        source,
        destination,
        ethernet_source,
        message,
    })
}

/// The target address of a neighbour message.
fn target(icmp: &Icmpv6Packet<&[u8]>, bytes: &[u8]) -> Result<Ipv6Addr, NdError> {
    if bytes.len() < NEIGHBOR_MESSAGE {
        return Err(NdError::Truncated);
    }
    let target = icmp.target_addr();
    if target.is_multicast() || target.is_unspecified() {
        return Err(NdError::Target(target));
    }
    Ok(target)
}

/// The source link-layer address option, which a sender without an address may not have.
fn source_mac(source: Ipv6Addr, options: &[u8]) -> Result<Option<Mac>, NdError> {
    let mac = link_layer_address(options, NdiscOptionType::SourceLinkLayerAddr)?;
    if mac.is_some() && source.is_unspecified() {
        return Err(NdError::UnspecifiedWithOption);
    }
    Ok(mac)
}

/// The first option of the kind; all options are checked for their lengths, unknown ones are passed over.
fn link_layer_address(mut options: &[u8], wanted: NdiscOptionType) -> Result<Option<Mac>, NdError> {
    let mut found = None;
    while let [kind, units, ..] = *options {
        let length = usize::from(units) * 8;
        let option = options
            .get(..length)
            .filter(|option| !option.is_empty())
            .ok_or(NdError::Option)?;
        if NdiscOptionType::from(kind) == wanted && found.is_none() {
            // An Ethernet address fills an option of one unit (RFC 2464, section 6).
            let option = NdiscOption::new_checked(option).map_err(|_| NdError::Option)?;
            let address = option.link_layer_addr();
            let mac = address
                .as_bytes()
                .first_chunk()
                .copied()
                .map(Mac)
                .ok_or(NdError::Option)?;
            if units != 1 || !mac.is_unicast() {
                return Err(NdError::Option);
            }
            found = Some(mac);
        }
        options = options.get(length..).unwrap_or_default();
    }
    if options.is_empty() {
        Ok(found)
    } else {
        Err(NdError::Option)
    }
}
