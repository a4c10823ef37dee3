//! Packets that cross the underlay in the clear: in by an uplink for an address that is this node's alone, out by an uplink to a neighbour.

use std::net::IpAddr;

use super::{
    context::Context,
    forward, ingress, local,
    packet::{Origin, Packet},
    rewrite,
};
use crate::{
    packet::{DropReason, FlowKey, Frame},
    service::icmp::IcmpError,
    tables::{
        slots::{NextHopSlot, PortSlot},
        underlay::{UnderlayNeighbor, UnderlayPath},
    },
    wire::{Parsed, addresses},
};

/// A frame from the underlay that is no tunnel packet for this node, for the `reason` given. If it is for an address of ours, gives its packet to
/// be routed in the underlay's VRF; nothing else is for us.
pub(super) fn from_uplink(
    context: &mut Context<'_>,
    port: PortSlot,
    mut frame: Frame,
    parsed: Parsed,
    reason: DropReason,
) -> Option<Packet> {
    let elsewhere = matches!(
        reason,
        DropReason::NotOurVtep | DropReason::NotATunnel | DropReason::FragmentedTunnel
    );
    let destination = frame
        .data()
        .get(usize::from(parsed.l3)..)
        .and_then(|ip| addresses::of(ip, parsed.kind))
        .map(|(_, destination)| destination);
    let Some(vrf) = destination
        .filter(|_| elsewhere && parsed.vlan.is_none())
        .and_then(|destination| context.tables.owner(destination))
    else {
        context.drop_frame(port, None, frame, reason);
        return None;
    };
    let mac = ingress::destination_mac(&frame);
    if context.tables.port(port).is_none_or(|port| port.mac != mac) {
        // What was sent to all stations of a link is never routed, whatever its IP destination (RFC 1812, section 5.3.4).
        let reason = if mac.is_multicast() {
            DropReason::MulticastUnrouted
        } else {
            DropReason::NotOurMac
        };
        context.drop_frame(port, Some(vrf), frame, reason);
        return None;
    }
    rewrite::notice_partial(&mut frame, &parsed);
    ingress::to_router(context, port, vrf, frame, parsed, Origin::Underlay)
}

/// Nothing behind an address of ours wants this packet: it is not worth a flow.
#[inline]
pub(super) fn is_unwanted(context: &Context<'_>, packet: &Packet, to: Option<&FlowKey>) -> bool {
    packet.origin == Origin::Underlay && context.tables.owned.contains_key(&destination(packet, to))
}

/// Where the packet goes to once it is translated.
fn destination(packet: &Packet, to: Option<&FlowKey>) -> IpAddr {
    to.map_or_else(|| packet.destination(), FlowKey::dst)
}

/// Sends a packet to its destination or, where there is one, to a gateway on the underlay's link. It leaves with the addresses and ports of `to`.
#[inline]
pub(super) fn forward(
    context: &mut Context<'_>,
    packet: Packet,
    next_hop: NextHopSlot,
    gateway: Option<IpAddr>,
    to: Option<&FlowKey>,
) {
    let tables = context.tables;
    let destination = destination(&packet, to);
    if packet.origin == Origin::Underlay && tables.owned.contains_key(&destination) {
        // Nothing behind this address wanted it: out again, it would only come back.
        local::deliver_owned(context, packet);
        return;
    }
    let neighbor = gateway.unwrap_or(destination);
    match tables.underlay_neighbors.get(&neighbor) {
        Some(UnderlayNeighbor::Reached(path)) => {
            path.touch(context.now_s());
            if let Some(packet) = forward::routed_hop(context, packet, next_hop, path.mtu, to) {
                send(context, packet, path);
            }
        }
        Some(UnderlayNeighbor::Silent) => local::fail(
            context,
            packet,
            DropReason::UnderlayUnresolved,
            IcmpError::AddressUnreachable,
        ),
        None if tables.owned.contains_key(&destination) => local::deliver_owned(context, packet),
        None => {
            // Nothing is said to the sender: it tries again, and by then the neighbour is known or known to be silent.
            let _ = context.shared.wanted.push(neighbor);
            context.drop_packet(packet, DropReason::UnderlayUnresolved);
        }
    }
}

#[inline]
fn send(context: &mut Context<'_>, packet: Packet, path: &UnderlayPath) {
    let Packet { mut frame, facts } = packet;
    let (port, vrf) = (facts.port, facts.vrf);
    let Ok(data) = frame.prepend(forward::ETHERNET) else {
        context.drop_bare(port, Some(vrf), frame, DropReason::NoHeadroom);
        return;
    };
    forward::write_ethernet(data, path.mac, path.source_mac, facts.parsed.ethertype);
    context.send(path.port, Some(vrf), frame);
}
