//! Sends a packet to its next hop: size, hop limit, headers, encapsulation.

use super::{
    clear,
    context::Context,
    local,
    packet::{Origin, Packet},
    rewrite, segment, segment_size, train, translate,
};
use crate::{
    packet::{DropReason, FlowKey, Frame, key::entropy_port},
    service::{fragment::Fragmenter, icmp::IcmpError},
    tables::{
        next_hop::{Action, PortHop, TunnelHop, TunnelPath},
        port::{Port, Role},
        slots::{NextHopSlot, PortSlot, VrfSlot},
    },
    wire::{
        Mac, ethertype,
        outer::{Outer, PerPacket},
        parse_ip,
    },
};

/// Bytes of an Ethernet header.
pub(super) const ETHERNET: u16 = 14;

/// Sends a packet to a next hop that is decided.
#[inline]
pub(super) fn forward(context: &mut Context<'_>, packet: Packet, next_hop: NextHopSlot) {
    forward_as(context, packet, next_hop, None);
}

/// As [`forward`], but the packet leaves with the addresses and ports of `to`. It keeps its own until it is sure to leave: what the
/// router has to say about it is said to its sender, about the packet that the sender knows.
#[inline]
pub(super) fn forward_as(context: &mut Context<'_>, packet: Packet, next_hop: NextHopSlot, to: Option<&FlowKey>) {
    let tables = context.tables;
    match tables.next_hop(next_hop).map(|n| &n.action) {
        Some(Action::Port(hop)) => match tables.port(hop.port) {
            Some(port) => {
                if let Some(packet) = routed_hop(context, packet, next_hop, port.mtu, to) {
                    to_port(context, packet, hop, port);
                }
            }
            None => context.drop_packet(packet, DropReason::PortDown),
        },
        Some(Action::Tunnel(hop)) => match &hop.path {
            Some(path) if packet.frame.len() > usize::from(path.mtu) && train::takes(context, &packet, path) => {
                if let Some(mut packet) = routed_hop(context, packet, next_hop, u16::MAX, to) {
                    train::mark(&mut packet.frame, &path.routed, path.mtu, false);
                    to_tunnel(context, packet, path);
                }
            }
            Some(path) => {
                if let Some(packet) = routed_hop(context, packet, next_hop, path.mtu, to) {
                    to_tunnel(context, packet, path);
                }
            }
            None => local::fail(
                context,
                packet,
                DropReason::UnderlayUnresolved,
                IcmpError::AddressUnreachable,
            ),
        },
        Some(Action::Underlay { gateway }) => clear::forward(context, packet, next_hop, *gateway, to),
        Some(Action::Local) => local::deliver(context, packet),
        Some(Action::Unreachable) => local::fail(
            context,
            packet,
            DropReason::AddressUnreachable,
            IcmpError::AddressUnreachable,
        ),
        _ => context.drop_packet(packet, DropReason::NextHopDrop),
    }
}

/// Delivers a routed packet to a workload.
#[inline]
fn to_port(context: &mut Context<'_>, packet: Packet, hop: &PortHop, to: &Port) {
    let Packet { mut frame, facts } = packet;
    let (port, vrf) = (facts.port, facts.vrf);
    // The MAC that the workload knows as its gateway's.
    let source = match &to.role {
        Role::Bridged { bridge } => context.tables.bridge(*bridge).map_or(Mac::GATEWAY, |b| b.gateway_mac),
        _ => Mac::GATEWAY,
    };
    let Ok(data) = frame.prepend(ETHERNET) else {
        context.drop_bare(port, Some(vrf), frame, DropReason::NoHeadroom);
        return;
    };
    write_ethernet(data, hop.mac.unwrap_or(to.mac), source, facts.parsed.ethertype);
    context.send(hop.port, Some(vrf), frame);
}

/// Wraps a routed packet for another node.
#[inline]
fn to_tunnel(context: &mut Context<'_>, packet: Packet, path: &TunnelPath) {
    let v6 = packet.is_v6();
    let ip = packet.frame.data();
    let fields = PerPacket {
        inner_len: ip.len(),
        entropy_port: entropy_port(packet.hash),
        tos: rewrite::traffic_class(ip, v6),
        ttl: rewrite::hop_limit(ip, v6),
        ip_id: 0,
        inner_ethertype: packet.parsed.ethertype,
    };
    let (port, vrf, frame) = (packet.port, packet.vrf, packet.frame);
    wrap(context, port, Some(vrf), frame, path.port, &path.routed, &fields);
}

/// Wraps a whole frame of a bridge for another node.
pub(super) fn frame_to_tunnel(
    context: &mut Context<'_>,
    port: PortSlot,
    vrf: Option<VrfSlot>,
    mut frame: Frame,
    hop: &TunnelHop,
    hash: u64,
) {
    let Some((path, template)) = hop.path.as_ref().and_then(|path| Some((path, path.bridged.as_ref()?))) else {
        context.drop_frame(port, vrf, frame, DropReason::UnderlayUnresolved);
        return;
    };
    let most = usize::from(path.mtu) + usize::from(ETHERNET);
    if frame.len() > most && train::takes_frame(context, &frame, path, template, most) {
        train::mark(&mut frame, template, most as u16, true);
    } else if frame.len() > most {
        let whole = segment::segment_frame(context, (port, vrf), frame, most, |context, piece| {
            frame_to_tunnel(context, port, vrf, piece, hop, hash);
        });
        if let Some(frame) = whole {
            context.drop_frame(port, vrf, frame, DropReason::TooBig);
        }
        return;
    }
    let fields = PerPacket {
        inner_len: frame.len(),
        entropy_port: entropy_port(hash),
        tos: frame_traffic_class(frame.data()),
        ttl: 0,
        ip_id: 0,
        inner_ethertype: 0,
    };
    wrap(context, port, vrf, frame, path.port, template, &fields);
}

/// Puts a prebuilt outer header in front and sends the result by the uplink.
#[inline]
pub(super) fn wrap(
    context: &mut Context<'_>,
    port: PortSlot,
    vrf: Option<VrfSlot>,
    mut frame: Frame,
    uplink: PortSlot,
    template: &Outer,
    fields: &PerPacket,
) {
    let cut = frame.cut().is_some();
    if !cut {
        // Nobody looks for an open checksum within a tunnel.
        frame.complete();
    }
    let len = template.len();
    let wrapped = frame.prepend(len as u16).is_ok_and(|data| {
        data.get_mut(..len)
            .is_some_and(|header| template.apply(header, fields).is_ok())
    });
    if !wrapped {
        if fields.inner_ethertype == 0 {
            context.drop_frame(port, vrf, frame, DropReason::NoHeadroom);
        } else {
            context.drop_bare(port, vrf, frame, DropReason::NoHeadroom);
        }
        return;
    }
    if template.wants_udp_checksum() && !cut {
        template.fill_udp_checksum(frame.data_mut());
    }
    context.send(uplink, vrf, frame);
}

/// What every routed hop does, whatever follows: the packet must fit, must not have travelled too far, and must not agree on
/// segments that will not fit. Then it is translated.
#[inline]
pub(super) fn routed_hop(
    context: &mut Context<'_>,
    mut packet: Packet,
    next_hop: NextHopSlot,
    mtu: u16,
    to: Option<&FlowKey>,
) -> Option<Packet> {
    let v6 = packet.is_v6();
    let own = packet.origin == Origin::Router;
    if !own && rewrite::hop_limit(packet.frame.data(), v6) <= 1 {
        local::fail(context, packet, DropReason::HopLimitExceeded, IcmpError::TimeExceeded);
        return None;
    }
    if packet.frame.len() > usize::from(mtu) {
        too_big(context, packet, next_hop, mtu, to);
        return None;
    }
    if !own {
        rewrite::decrement_hop_limit(packet.frame.data_mut(), v6);
    }
    if packet.parsed.is_tcp_syn() && !packet.parsed.is_fragment() {
        segment_size::agree(context, &mut packet, next_hop, mtu);
    }
    if let Some(to) = to
        && translate::frame(&mut packet.frame, &packet.facts.parsed, to).is_err()
    {
        context.drop_packet(packet, DropReason::Untranslatable);
        return None;
    }
    Some(packet)
}

/// A packet larger than its path: TCP goes on in smaller segments, IPv4 that allows it in fragments, all else is refused with the size
/// that would fit.
#[cold]
fn too_big(context: &mut Context<'_>, packet: Packet, next_hop: NextHopSlot, mtu: u16, to: Option<&FlowKey>) {
    let whole = segment::segment(context, packet, mtu, |context, piece| {
        forward_as(context, piece, next_hop, to);
    });
    let Some(mut packet) = whole else { return };
    // What is cut below it is covered by one checksum.
    packet.frame.complete();
    let cutter = if rewrite::dont_fragment(packet.frame.data(), packet.is_v6()) {
        None
    } else {
        Fragmenter::new(packet.frame.data(), mtu).ok()
    };
    let Some(mut cutter) = cutter else {
        local::fail(
            context,
            packet,
            DropReason::TooBig,
            IcmpError::TooBig { mtu: u32::from(mtu) },
        );
        return;
    };
    while !cutter.is_done() {
        let Some(mut frame) = context.originate() else {
            context.count_drop(packet.port, Some(packet.vrf), DropReason::NoFrame);
            break;
        };
        let parsed = cutter
            .write_next(&mut frame)
            .ok()
            .and_then(|()| parse_ip(frame.data()).ok());
        let Some(parsed) = parsed else {
            context.drop_frame(packet.port, Some(packet.vrf), frame, DropReason::NoFrame);
            break;
        };
        match Packet::new(
            frame,
            parsed,
            packet.port,
            packet.vrf,
            packet.origin,
            context.shared.seed,
        ) {
            Ok(mut fragment) => {
                // All fragments take the path of the whole.
                (fragment.facts.key, fragment.facts.hash) = (packet.key, packet.hash);
                forward_as(context, fragment, next_hop, to);
            }
            Err(frame) => context.drop_bare(packet.port, Some(packet.vrf), frame, DropReason::BadFragment),
        }
    }
    context.count(|c| &c.fragmented);
    context.state.frames.free(packet.frame);
}

/// Writes an untagged Ethernet header.
#[inline]
pub(super) fn write_ethernet(data: &mut [u8], destination: Mac, source: Mac, ethertype: u16) {
    if let Some(header) = data.first_chunk_mut::<14>() {
        header[..6].copy_from_slice(&destination.0);
        header[6..12].copy_from_slice(&source.0);
        header[12..].copy_from_slice(&ethertype.to_be_bytes());
    }
}

/// DSCP and ECN of the IP packet in an untagged frame; 0 where there is none.
fn frame_traffic_class(frame: &[u8]) -> u8 {
    let Some((ethernet, packet)) = frame.split_first_chunk::<14>() else {
        return 0;
    };
    match u16::from_be_bytes([ethernet[12], ethernet[13]]) {
        ethertype::IPV4 => rewrite::traffic_class(packet, false),
        ethertype::IPV6 => rewrite::traffic_class(packet, true),
        _ => 0,
    }
}
