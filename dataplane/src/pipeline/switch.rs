//! Switching within a bridge: by destination MAC, programmed or learned; by flooding where that says nothing.

use super::{
    bridged::{self, Passage},
    context::Context,
    forward,
    ingress::{self, destination_mac, source_mac},
    local,
    packet::{Origin, Packet, flow_key},
    rewrite, segment,
};
use crate::{
    packet::{DropReason, Frame, key::hash_words},
    tables::{
        Tables,
        forwarding::Bridge,
        learned::Place,
        next_hop::{Action, Encapsulation, VniTarget},
        port::Role,
        slots::{BridgeSlot, NextHopSlot, PortSlot},
    },
    wire::{IpKind, Mac, Parsed, ethertype, parse},
};

/// Where a frame of a bridge came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// A workload's port of this node.
    Local,
    /// Another node.
    Remote,
}

/// A frame in a bridge.
struct Switched {
    frame: Frame,
    port: PortSlot,
    side: Side,
    slot: BridgeSlot,
}

/// A frame from a workload. Gives a packet if it is for the gateway.
pub(super) fn from_workload(
    context: &mut Context<'_>,
    port: PortSlot,
    slot: BridgeSlot,
    mut frame: Frame,
) -> Option<Packet> {
    let parsed = parse(frame.data());
    if let Ok(parsed) = &parsed {
        rewrite::notice_partial(&mut frame, parsed);
    }
    enter(
        context,
        slot,
        Switched {
            frame,
            port,
            side: Side::Local,
            slot,
        },
        Some(Place::Port(port.raw())),
        parsed.ok(),
    )
}

/// A frame out of a tunnel, from the remote VTEP behind `from` (unknown VTEPs are heard, but nothing is learned of them).
pub(super) fn from_tunnel(
    context: &mut Context<'_>,
    port: PortSlot,
    slot: BridgeSlot,
    frame: Frame,
    from: Option<NextHopSlot>,
) -> Option<Packet> {
    let parsed = parse(frame.data()).ok();
    enter(
        context,
        slot,
        Switched {
            frame,
            port,
            side: Side::Remote,
            slot,
        },
        from.map(|slot| Place::NextHop(slot.raw())),
        parsed,
    )
}

fn enter(
    context: &mut Context<'_>,
    slot: BridgeSlot,
    switched: Switched,
    location: Option<Place>,
    parsed: Option<Parsed>,
) -> Option<Packet> {
    let Switched { frame, port, side, .. } = switched;
    let Some(bridge) = context.tables.bridge(slot) else {
        context.drop_frame(port, None, frame, DropReason::UnknownPort);
        return None;
    };
    if frame.len() < usize::from(forward::ETHERNET) {
        context.drop_frame(port, bridge.vrf, frame, DropReason::TruncatedEthernet);
        return None;
    }
    let (destination, source) = (destination_mac(&frame), source_mac(&frame));
    if source.is_multicast() || is_reserved(destination) {
        context.drop_frame(port, bridge.vrf, frame, DropReason::ReservedMac);
        return None;
    }
    if let Some(location) = location.filter(|_| bridge.learn && source != bridge.gateway_mac)
        && !context.tables.macs.contains_key(&(slot, source))
    {
        context
            .shared
            .learned
            .learn(slot.raw(), source.0, location, context.now_s());
    }
    let switched = Switched {
        frame,
        port,
        side,
        slot,
    };
    let Some(parsed) = parsed else {
        return switch(context, slot, bridge, switched, destination);
    };
    if parsed.ethertype == ethertype::ARP {
        if let Some(frame) = local::arp_bridged(context, port, slot, bridge, switched.frame, side) {
            return switch(context, slot, bridge, Switched { frame, ..switched }, destination);
        }
        return None;
    }
    if local::is_neighbor_discovery(&switched.frame, &parsed) {
        if let Some(frame) = local::nd_bridged(context, port, slot, bridge, switched.frame, side) {
            return switch(context, slot, bridge, Switched { frame, ..switched }, destination);
        }
        return None;
    }
    if destination == bridge.gateway_mac
        && parsed.kind != IpKind::None
        && parsed.vlan.is_none()
        && let Some(vrf) = bridge.vrf
    {
        let origin = if side == Side::Local {
            Origin::Port
        } else {
            Origin::Tunnel
        };
        return ingress::to_router(context, port, vrf, switched.frame, parsed, origin);
    }
    switch(context, slot, bridge, switched, destination)
}

/// Sends the router's own answer to a station of the bridge that is behind a tunnel.
pub(super) fn from_router(
    context: &mut Context<'_>,
    port: PortSlot,
    slot: BridgeSlot,
    bridge: &Bridge,
    frame: Frame,
    to: Mac,
) {
    switch(
        context,
        slot,
        bridge,
        Switched {
            frame,
            port,
            side: Side::Local,
            slot,
        },
        to,
    );
}

/// Sends a frame on by its destination MAC.
fn switch(
    context: &mut Context<'_>,
    slot: BridgeSlot,
    bridge: &Bridge,
    switched: Switched,
    destination: Mac,
) -> Option<Packet> {
    let (tables, learned) = (context.tables, &context.shared.learned);
    if destination.is_multicast() {
        flood(context, bridge, switched);
    } else if let Some(next_hop) = tables.macs.get(&(slot, destination)) {
        to_next_hop(context, bridge, switched, *next_hop);
    } else {
        let place = learned.lookup(slot.raw(), destination.0, context.now_s(), bridge.aging_seconds);
        match place.filter(|place| is_of(tables, slot, *place)) {
            Some(Place::Port(port)) => to_port(context, bridge, switched, PortSlot::from_raw(port)),
            Some(Place::NextHop(slot)) => to_next_hop(context, bridge, switched, NextHopSlot::from_raw(slot)),
            None => flood(context, bridge, switched),
        }
    }
    None
}

/// The place where a station was seen still belongs to the bridge. Ports move between bridges and tunnels change their VNI: what
/// was learned before must not carry frames into another network.
fn is_of(tables: &Tables, slot: BridgeSlot, place: Place) -> bool {
    match place {
        Place::Port(port) => tables
            .port(PortSlot::from_raw(port))
            .is_some_and(|port| port.role == Role::Bridged { bridge: slot }),
        Place::NextHop(next_hop) => match tables.next_hop(NextHopSlot::from_raw(next_hop)).map(|n| &n.action) {
            Some(Action::Tunnel(tunnel)) => match tunnel.encapsulation {
                Encapsulation::Vxlan { vni, .. } => tables.vnis.get(&vni) == Some(&VniTarget::Bridge(slot)),
                Encapsulation::MplsUdp { .. } | Encapsulation::Erspan { .. } => false,
            },
            _ => false,
        },
    }
}

fn to_next_hop(context: &mut Context<'_>, bridge: &Bridge, switched: Switched, next_hop: NextHopSlot) {
    match context.tables.next_hop(next_hop).map(|n| &n.action) {
        Some(Action::Port(hop)) => to_port(context, bridge, switched, hop.port),
        Some(Action::Tunnel(hop)) if switched.side == Side::Local => {
            let Some(switched) = permitted(context, bridge, switched, None) else {
                return;
            };
            let hash = frame_hash(context, &switched.frame);
            forward::frame_to_tunnel(context, switched.port, bridge.vrf, switched.frame, hop, hash);
        }
        // Ingress replication is a full mesh: what one node sent, it sent to all.
        Some(Action::Tunnel(_)) => {
            context.drop_frame(switched.port, bridge.vrf, switched.frame, DropReason::SplitHorizon);
        }
        _ => context.drop_frame(switched.port, bridge.vrf, switched.frame, DropReason::NextHopDrop),
    }
}

fn to_port(context: &mut Context<'_>, bridge: &Bridge, switched: Switched, port: PortSlot) {
    if port == switched.port {
        context.drop_frame(port, bridge.vrf, switched.frame, DropReason::Hairpin);
        return;
    }
    let Some(switched) = permitted(context, bridge, switched, Some(port)) else {
        return;
    };
    let Switched { frame, port: from, .. } = switched;
    let most = context.tables.port(port).map_or(usize::MAX, |port| {
        usize::from(port.mtu) + usize::from(forward::ETHERNET) + frame_tags(&frame)
    });
    if frame.len() <= most {
        context.send(port, bridge.vrf, frame);
        return;
    }
    let whole = segment::segment_frame(context, (from, bridge.vrf), frame, most, |context, piece| {
        context.send(port, bridge.vrf, piece);
    });
    if let Some(frame) = whole {
        context.drop_frame(from, bridge.vrf, frame, DropReason::TooBig);
    }
}

/// One recipient of a flooded frame.
enum Target {
    Port(PortSlot),
    NextHop(NextHopSlot),
}

/// The frame, if policies let it pass to this port, or to another node.
#[inline]
fn permitted(context: &mut Context<'_>, bridge: &Bridge, switched: Switched, to: Option<PortSlot>) -> Option<Switched> {
    let from = (switched.side == Side::Local).then_some(switched.port);
    let asked = |port: Option<PortSlot>| port.and_then(|port| context.tables.port(port)?.policy.as_deref());
    if asked(from).is_none() && asked(to).is_none() {
        return Some(switched);
    }
    let passage = Passage {
        slot: switched.slot,
        bridge,
        port: switched.port,
        from,
        to,
    };
    match bridged::admit(context, &switched.frame, &passage) {
        Ok(()) => Some(switched),
        Err(reason) => {
            if context.state.taps.on_drops()
                && let Some(blame) = bridged::blame(context, &switched.frame, &passage)
            {
                context.state.taps.accuse(|| blame);
            }
            context.drop_frame(switched.port, bridge.vrf, switched.frame, reason);
            None
        }
    }
}

/// Sends the frame to every other port of the bridge, and, if it came from one, to every other node. The last recipient gets
/// the frame itself, the others copies.
fn flood(context: &mut Context<'_>, bridge: &Bridge, switched: Switched) {
    let Switched {
        frame,
        port: from,
        side,
        slot,
    } = switched;
    let tables = context.tables;
    let remotes = match bridge.flood.and_then(|flood| tables.next_hop(flood)).map(|n| &n.action) {
        Some(Action::Flood(members)) if side == Side::Local => &members[..],
        _ => &[],
    };
    let ports = bridge
        .ports
        .iter()
        .copied()
        .filter(|port| *port != from)
        .map(Target::Port);
    let mut targets = ports.chain(remotes.iter().copied().map(Target::NextHop)).peekable();
    while let Some(target) = targets.next() {
        if targets.peek().is_none() {
            to_target(
                context,
                bridge,
                Switched {
                    frame,
                    port: from,
                    side,
                    slot,
                },
                target,
            );
            return;
        }
        if let Some(copy) = copy(context, from, bridge, &frame) {
            to_target(
                context,
                bridge,
                Switched {
                    frame: copy,
                    port: from,
                    side,
                    slot,
                },
                target,
            );
        }
    }
    context.drop_frame(from, bridge.vrf, frame, DropReason::NoFloodTarget);
}

fn to_target(context: &mut Context<'_>, bridge: &Bridge, switched: Switched, target: Target) {
    match target {
        Target::Port(port) => to_port(context, bridge, switched, port),
        Target::NextHop(next_hop) => to_next_hop(context, bridge, switched, next_hop),
    }
}

/// A copy of a frame, or a counted drop in its place.
fn copy(context: &mut Context<'_>, from: PortSlot, bridge: &Bridge, frame: &Frame) -> Option<Frame> {
    let Some(mut copy) = context.originate_for(frame.len()) else {
        context.count_drop(from, bridge.vrf, DropReason::NoFrame);
        return None;
    };
    match copy.copy_from(frame.data()) {
        Ok(()) => {
            if let Some(partial) = frame.partial() {
                copy.set_partial(partial);
            }
            Some(copy)
        }
        Err(_) => {
            context.drop_frame(from, bridge.vrf, copy, DropReason::NoFrame);
            None
        }
    }
}

/// Frames to 01:80:c2:00:00:0x are for the next bridge only and never forwarded (IEEE 802.1D, table 7-10).
fn is_reserved(mac: Mac) -> bool {
    mac.0[..5] == [0x01, 0x80, 0xc2, 0x00, 0x00] && mac.0[5] & 0xf0 == 0
}

/// Bytes of VLAN tags, which count on top of the Ethernet header.
fn frame_tags(frame: &Frame) -> usize {
    parse(frame.data()).map_or(0, |p| usize::from(p.l3).saturating_sub(usize::from(forward::ETHERNET)))
}

/// Spreads a bridge's frames over paths of the underlay: by flow for IP, else by the two MACs.
pub(super) fn frame_hash(context: &Context<'_>, frame: &Frame) -> u64 {
    let data = frame.data();
    let key = parse(data)
        .ok()
        .and_then(|parsed| flow_key(data.get(usize::from(parsed.l3)..)?, &parsed, 0));
    match key {
        Some(key) => key.hash(context.shared.seed),
        None => {
            let (to, from) = (destination_mac(frame).to_u64(), source_mac(frame).to_u64());
            hash_words(&[to, from, 0, 0, 0, 0], context.shared.seed)
        }
    }
}
