//! What happens to a frame of a workload before anything else, where its port asks for it: it is copied for mirrors, must be the
//! workload's own, must be within the port's limit, and gets its mark.
//!
//! Sources of IP packets to be routed are not looked at here: that is part of the decision about their flow, so that it costs a known
//! flow nothing. In a bridge, frames are looked at one by one: most have no flow.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{
    context::Context,
    ingress::{destination_mac, source_mac},
    mirror,
    packet::{flow_key, reason},
    rewrite,
};
use crate::{
    packet::{DropReason, Frame},
    tables::{
        guard::Guard,
        port::{Port, Role},
        slots::{PortSlot, VrfSlot},
    },
    wire::{Arp, Fragment, IpKind, Mac, Parsed, arp, ethertype, ipv6_walk, parse, proto},
};

/// ICMPv6 types of neighbour discovery (RFC 4861).
const ROUTER_SOLICITATION: u8 = 133;
const ROUTER_ADVERTISEMENT: u8 = 134;
const NEIGHBOR_SOLICITATION: u8 = 135;
const NEIGHBOR_ADVERTISEMENT: u8 = 136;
const REDIRECT: u8 = 137;

/// Something here is to be done with the frames of this port.
#[inline]
pub(super) fn concerns(port: &Port) -> bool {
    port.guard.is_some() || port.qos.is_some() || !port.mirrors.is_empty()
}

/// At most a guard is to be asked.
#[inline]
pub(super) fn is_guarded_only(port: &Port) -> bool {
    port.qos.is_none() && port.mirrors.is_empty()
}

/// The guard lets this frame of a routed port pass, which holds a plain packet for the gateway: such need no second look.
#[inline(always)]
pub(super) fn lets_pass_plain(guard: &Guard, frame: &Frame) -> bool {
    guard.permits_mac(source_mac(frame))
}

/// Does it. Gives the frame back if it may come in.
pub(super) fn admit(context: &mut Context<'_>, slot: PortSlot, port: &Port, mut frame: Frame) -> Option<Frame> {
    if port.mirrors.iter().any(|mirror| mirror.from_workload) {
        mirror::copy(context, slot, port, mirror::Direction::FromWorkload, &frame);
    }
    if let Some(guard) = &port.guard
        && let Err(reason) = check(guard, matches!(port.role, Role::Bridged { .. }), &frame)
    {
        context.drop_frame(slot, vrf_of(context, port), frame, reason);
        return None;
    }
    if let Some(qos) = &port.qos {
        if let Some(meter) = &qos.from_workload
            && !context.is_trace()
            && meter.pass(frame.len(), context.now).is_err()
        {
            context.drop_frame(slot, vrf_of(context, port), frame, DropReason::PolicerExceeded);
            return None;
        }
        if let Some(dscp) = qos.dscp {
            mark(&mut frame, dscp);
        }
    }
    Some(frame)
}

/// The VRF that a port's drops count in.
fn vrf_of(context: &Context<'_>, port: &Port) -> Option<VrfSlot> {
    match port.role {
        Role::Routed { vrf } => Some(vrf),
        Role::Bridged { bridge } => context.tables.bridge(bridge)?.vrf,
        Role::Uplink => None,
    }
}

/// Writes a DSCP into an IP packet, tagged or not; congestion marks stay.
fn mark(frame: &mut Frame, dscp: u8) {
    let Ok(parsed) = parse(frame.data()) else { return };
    let v6 = match parsed.kind {
        IpKind::V4 => false,
        IpKind::V6 => true,
        IpKind::None => return,
    };
    if let Some(ip) = frame.data_mut().get_mut(usize::from(parsed.l3)..) {
        let class = rewrite::traffic_class(ip, v6);
        rewrite::set_traffic_class(ip, v6, dscp << 2 | class & 3);
    }
}

/// Is the frame the workload's own, as far as its MAC, ARP, neighbour discovery and what it says to groups, or to anybody in a
/// bridge, tell?
#[inline]
fn check(guard: &Guard, bridged: bool, frame: &Frame) -> Result<(), DropReason> {
    let data = frame.data();
    let Some(header) = data.first_chunk::<14>() else {
        return Err(DropReason::TruncatedEthernet);
    };
    if !guard.permits_mac(source_mac(frame)) {
        return Err(DropReason::SpoofedMac);
    }
    if bridged {
        return look(guard, true, data);
    }
    // Unicast TCP and UDP need no second look here.
    let next = match u16::from_be_bytes([header[12], header[13]]) {
        ethertype::IPV4 => 0,
        ethertype::IPV6 => data.get(20).copied().unwrap_or(proto::ICMPV6),
        _ => proto::ICMPV6,
    };
    let ipv4 = u16::from_be_bytes([header[12], header[13]]) == ethertype::IPV4;
    let needs_look =
        destination_mac(frame).is_multicast() || !ipv4 && (next == proto::ICMPV6 || ipv6_walk::is_extension(next));
    if needs_look {
        look(guard, destination_mac(frame).is_multicast(), data)
    } else {
        Ok(())
    }
}

/// The second look: at all that may be ARP or neighbour discovery, and, if asked, at where IP packets are from.
#[inline(never)]
fn look(guard: &Guard, source: bool, data: &[u8]) -> Result<(), DropReason> {
    // What cannot be read cannot be judged.
    let parsed = parse(data).map_err(reason)?;
    let packet = data.get(usize::from(parsed.l3)..).unwrap_or_default();
    match parsed.kind {
        IpKind::None if parsed.ethertype == ethertype::ARP => check_arp(guard, packet),
        IpKind::None => Ok(()),
        IpKind::V6 if parsed.proto == proto::ICMPV6 && parsed.fragment != Fragment::Later => {
            let message = data
                .get(usize::from(parsed.l4)..parsed.end as usize)
                .unwrap_or_default();
            match message.first() {
                Some(ROUTER_SOLICITATION..=REDIRECT) => check_nd(guard, packet, message, &parsed),
                _ => check_source(guard, source, packet, &parsed),
            }
        }
        _ => check_source(guard, source, packet, &parsed),
    }
}

/// Packets to groups and to all, and those that are switched, belong to no flow that would be decided: their source is looked at here.
fn check_source(guard: &Guard, asked: bool, packet: &[u8], parsed: &Parsed) -> Result<(), DropReason> {
    if !asked {
        return Ok(());
    }
    let whole = Parsed {
        l4: parsed.l4 - parsed.l3,
        l3: 0,
        ..*parsed
    };
    match flow_key(packet, &whole, 0) {
        // The ports of a head are its datagram's.
        Some(key) => guard.check(&key.with_transport(parsed.proto, parsed.src_port, parsed.dst_port)),
        None => Ok(()),
    }
}

/// The sender of an ARP message must be the workload. Without an address it may ask (RFC 5227), but only about its own.
fn check_arp(guard: &Guard, message: &[u8]) -> Result<(), DropReason> {
    let message = Arp::new_checked(message).map_err(|_| DropReason::SpoofedArp)?;
    let (sender, target) = (message.sender_ip(), message.target_ip());
    let claimed = if sender == Ipv4Addr::UNSPECIFIED && message.operation() == arp::REQUEST {
        target
    } else {
        sender
    };
    if guard.permits_mac(message.sender_mac()) && guard.permits_v4(claimed) {
        Ok(())
    } else {
        Err(DropReason::SpoofedArp)
    }
}

/// Neighbour discovery must come from the workload, and speak of the workload's addresses and MACs.
fn check_nd(guard: &Guard, packet: &[u8], message: &[u8], parsed: &Parsed) -> Result<(), DropReason> {
    let kind = message.first().copied().unwrap_or(0);
    if matches!(kind, ROUTER_ADVERTISEMENT | REDIRECT) && !guard.allows_router() {
        return Err(DropReason::RogueRa);
    }
    let address = |bytes: &[u8], at: usize| {
        let bytes = bytes.get(at..).and_then(|rest| rest.first_chunk::<16>());
        bytes.copied().map(Ipv6Addr::from)
    };
    let (Some(source), target) = (address(packet, 8), address(message, 8)) else {
        return Err(DropReason::SpoofedNd);
    };
    // No host may send it in fragments (RFC 6980), and here its end would not be seen.
    if parsed.is_fragment() {
        return Err(DropReason::SpoofedNd);
    }
    let unspecified = source.is_unspecified();
    let good = match kind {
        ROUTER_SOLICITATION => unspecified || guard.permits_v6(source),
        // Without an address, to see whether its own is free (RFC 4862, section 5.4.2).
        NEIGHBOR_SOLICITATION if unspecified => target.is_some_and(|target| guard.permits_v6(target)),
        NEIGHBOR_ADVERTISEMENT => guard.permits_v6(source) && target.is_some_and(|target| guard.permits_v6(target)),
        _ => guard.permits_v6(source),
    };
    let options = match kind {
        ROUTER_SOLICITATION => 8,
        ROUTER_ADVERTISEMENT => 16,
        NEIGHBOR_SOLICITATION | NEIGHBOR_ADVERTISEMENT => 24,
        // A redirect's target is another station, and rightly so.
        _ => message.len(),
    };
    if good && link_layer_addresses_permitted(guard, message.get(options..).unwrap_or_default()) {
        Ok(())
    } else {
        Err(DropReason::SpoofedNd)
    }
}

/// All source and target link-layer addresses among the options are the workload's. Malformed options are nobody's.
fn link_layer_addresses_permitted(guard: &Guard, mut options: &[u8]) -> bool {
    const SOURCE: u8 = 1;
    const TARGET: u8 = 2;
    while let [kind, units, ..] = *options {
        let Some((option, rest)) = options
            .split_at_checked(usize::from(units) * 8)
            .filter(|(option, _)| !option.is_empty())
        else {
            return false;
        };
        if matches!(kind, SOURCE | TARGET) {
            let mac = option.get(2..).and_then(|rest| rest.first_chunk::<6>());
            if !mac.is_some_and(|mac| guard.permits_mac(Mac(*mac))) {
                return false;
            }
        }
        options = rest;
    }
    options.is_empty()
}
