//! Where the router answers for itself: ARP and neighbour discovery for its addresses, ping, and ICMP errors.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{
    context::Context,
    decide, forward,
    packet::{Origin, Packet},
    switch::Side,
};
use crate::{
    packet::{DropReason, Frame},
    service::{
        arp,
        icmp::{self, IcmpError},
        nd::{self, Message, Nd},
    },
    tables::{
        forwarding::{Bridge, Vrf},
        next_hop::Action,
        port::{Gateway, Port, Role},
        slots::{BridgeSlot, PortSlot, VrfSlot},
    },
    wire::{IpKind, Mac, Parsed, parse_ip, proto},
};

/// The router's link-local address on every workload port: EUI-64 of [`Mac::GATEWAY`].
pub(super) const LINK_LOCAL: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0x0200, 0x5eff, 0xfe00, 0x0100));

/// Seconds for which a router advertisement makes the gateway a default router. Workloads ask again when it ends.
const ROUTER_LIFETIME: u16 = 9000;

/// Source of IPv4 errors where the router has no address of its own: the dummy address of RFC 7600 section 4.8.
const DUMMY: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 0, 8));

/// The MAC by which the workload of a port knows its gateway.
pub(super) fn mac_on(context: &Context<'_>, port: PortSlot) -> Mac {
    match context.tables.port(port).map(|p| &p.role) {
        Some(Role::Bridged { bridge }) => context.tables.bridge(*bridge).map_or(Mac::GATEWAY, |b| b.gateway_mac),
        _ => Mac::GATEWAY,
    }
}

/// Neighbour solicitation and advertisement, router solicitation and advertisement, redirect.
#[inline]
pub(super) fn is_neighbor_discovery(frame: &Frame, parsed: &Parsed) -> bool {
    parsed.kind == IpKind::V6
        && parsed.proto == proto::ICMPV6
        && !parsed.is_fragment()
        && frame
            .data()
            .get(usize::from(parsed.l4))
            .is_some_and(|kind| (133..=137).contains(kind))
}

/// ARP in a routed network: the router answers for every address but the workload's own, because everything is reached
/// through it.
pub(super) fn arp_routed(context: &mut Context<'_>, port: PortSlot, vrf: VrfSlot, mut frame: Frame) {
    let answered = arp::parse_request(frame.data()).is_ok_and(|request| {
        !request.is_gratuitous()
            && !is_own(context, port, vrf, request.target_ip.into())
            && arp::reply(&mut frame, Mac::GATEWAY).is_ok()
    });
    if answered {
        context.send(port, Some(vrf), frame);
    } else {
        context.drop_frame(port, Some(vrf), frame, DropReason::ArpUnanswered);
    }
}

/// ARP in a bridge: answered for the gateway, and, towards local workloads, for known neighbours. Gives the frame back when
/// it is for others to hear.
pub(super) fn arp_bridged(
    context: &mut Context<'_>,
    port: PortSlot,
    slot: BridgeSlot,
    bridge: &Bridge,
    mut frame: Frame,
    side: Side,
) -> Option<Frame> {
    let Ok(request) = arp::parse_request(frame.data()) else {
        return Some(frame);
    };
    let target = IpAddr::V4(request.target_ip);
    let Some(mac) = answer_in_bridge(context, slot, bridge, target, request.sender_mac, side) else {
        return Some(frame);
    };
    if request.is_gratuitous() || arp::reply(&mut frame, mac).is_err() {
        return Some(frame);
    }
    back(context, port, slot, bridge, frame, request.sender_mac, side);
    None
}

/// Neighbour discovery in a routed network, as [`arp_routed`]; router solicitations get an advertisement.
pub(super) fn nd_routed(context: &mut Context<'_>, port: PortSlot, vrf: VrfSlot, mut frame: Frame) {
    let answered = match nd::parse(frame.data()) {
        Ok(Nd {
            message: Message::NeighborSolicitation { target, .. },
            ..
        }) => {
            !is_own(context, port, vrf, target.into())
                && (!target.is_unicast_link_local() || IpAddr::V6(target) == LINK_LOCAL)
                && nd::neighbor_advertisement(&mut frame, Mac::GATEWAY, true).is_ok()
        }
        Ok(
            asked @ Nd {
                message: Message::RouterSolicitation { .. },
                ..
            },
        ) => context
            .tables
            .port(port)
            .is_some_and(|p| advertise(&mut frame, &asked, Mac::GATEWAY, &p.gateways, p.mtu)),
        _ => false,
    };
    if answered {
        context.send(port, Some(vrf), frame);
    } else {
        context.drop_frame(port, Some(vrf), frame, DropReason::NdUnanswered);
    }
}

/// Neighbour discovery in a bridge, as [`arp_bridged`].
pub(super) fn nd_bridged(
    context: &mut Context<'_>,
    port: PortSlot,
    slot: BridgeSlot,
    bridge: &Bridge,
    mut frame: Frame,
    side: Side,
) -> Option<Frame> {
    let sender = super::ingress::source_mac(&frame);
    match nd::parse(frame.data()) {
        Ok(Nd {
            message: Message::NeighborSolicitation { target, .. },
            ..
        }) => {
            let mac = answer_in_bridge(context, slot, bridge, target.into(), sender, side);
            let Some(mac) = mac else { return Some(frame) };
            if nd::neighbor_advertisement(&mut frame, mac, mac == bridge.gateway_mac).is_err() {
                return Some(frame);
            }
        }
        Ok(
            asked @ Nd {
                message: Message::RouterSolicitation { .. },
                ..
            },
        ) if side == Side::Local && bridge.gateway(true).is_some() => {
            let mtu = context.tables.port(port).map_or(0, |p| p.mtu);
            if !advertise(&mut frame, &asked, bridge.gateway_mac, &bridge.gateways, mtu) {
                return Some(frame);
            }
        }
        _ => return Some(frame),
    }
    back(context, port, slot, bridge, frame, sender, side);
    None
}

/// The MAC to answer with for `target` in a bridge, if the router knows it and may answer.
fn answer_in_bridge(
    context: &Context<'_>,
    slot: BridgeSlot,
    bridge: &Bridge,
    target: IpAddr,
    asker: Mac,
    side: Side,
) -> Option<Mac> {
    // Every node is the gateway for its own workloads. What comes from a tunnel was already answered at its own node, unless
    // that is no vrouter: then this one answers for the gateway, too.
    if bridge.is_gateway(target)
        || (target == IpAddr::V6(bridge.gateway_mac.link_local()) && bridge.gateway(true).is_some())
    {
        return Some(bridge.gateway_mac);
    }
    let known = context.tables.neighbors.get(&(slot, target)).copied()?;
    // A workload that probes for its own address must not be told that it is taken.
    (side == Side::Local && known != asker).then_some(known)
}

/// Sends an answer back to where the question came from.
fn back(
    context: &mut Context<'_>,
    port: PortSlot,
    slot: BridgeSlot,
    bridge: &Bridge,
    frame: Frame,
    asker: Mac,
    side: Side,
) {
    match side {
        Side::Local => context.send(port, bridge.vrf, frame),
        Side::Remote => super::switch::from_router(context, port, slot, bridge, frame, asker),
    }
}

/// Turns a router solicitation into the advertisement for a port with these gateways.
fn advertise(frame: &mut Frame, asked: &Nd, mac: Mac, gateways: &[Gateway], mtu: u16) -> bool {
    const PREFIXES: usize = 8;
    let mut prefixes = [(Ipv6Addr::UNSPECIFIED, 0); PREFIXES];
    let mut count = 0;
    for (gateway, place) in gateways.iter().filter(|g| g.address.is_ipv6()).zip(&mut prefixes) {
        if let IpAddr::V6(address) = gateway.address {
            *place = (address, gateway.prefix_len);
            count += 1;
        }
    }
    count > 0 && {
        let (to, prefixes) = (asked.reply_to(), &prefixes[..count]);
        nd::router_advertisement(frame, to, mac, prefixes, u32::from(mtu), ROUTER_LIFETIME).is_ok()
    }
}

/// The address is the workload's own: its route leads back to the port it asks from.
fn is_own(context: &Context<'_>, port: PortSlot, vrf: VrfSlot, address: IpAddr) -> bool {
    let tables = context.tables;
    let next_hop = tables
        .vrf(vrf)
        .and_then(|vrf| tables.route(vrf, address))
        .and_then(|slot| tables.next_hop(slot));
    matches!(next_hop.map(|n| &n.action), Some(Action::Port(hop)) if hop.port == port)
}

/// A packet for the router itself: ping is answered, answers go to whoever asked, all else is refused.
pub(super) fn deliver(context: &mut Context<'_>, mut packet: Packet) {
    if packet.origin == Origin::Router {
        context.drop_packet(packet, DropReason::LocalUnhandled);
        return;
    }
    if icmp::echo_reply(&mut packet.frame, 0).is_ok() {
        let on_link = matches!(packet.source(), IpAddr::V6(source) if source.is_unicast_link_local());
        let (port, vrf, frame) = (packet.port, packet.vrf, packet.frame);
        if on_link {
            to_neighbor(context, port, vrf, frame);
        } else {
            say(context, port, vrf, frame);
        }
        return;
    }
    if packet.parsed.proto == proto::TCP
        && packet.origin == Origin::Port
        && context.shared.answers.expects(packet.key.dst_port(), packet.port)
    {
        hand_over(context, packet);
        return;
    }
    let error = match packet.parsed.proto {
        proto::ICMP | proto::ICMPV6 => {
            context.drop_packet(packet, DropReason::LocalUnhandled);
            return;
        }
        proto::TCP | proto::UDP => IcmpError::PortUnreachable,
        _ => IcmpError::ProtocolUnreachable,
    };
    fail(context, packet, DropReason::LocalUnhandled, error);
}

/// Leaves an answer to whoever asked.
fn hand_over(context: &mut Context<'_>, mut packet: Packet) {
    packet.frame.complete();
    let (port, vrf, local_port) = (packet.port, packet.vrf, packet.key.dst_port());
    match context.shared.answers.put(local_port, port, packet.frame) {
        Ok(()) => context.count(|c| &c.punted),
        Err(frame) => context.drop_bare(port, Some(vrf), frame, DropReason::HandoffQueueFull),
    }
}

/// A packet to an address of ours in the underlay behind which nothing wanted it: an address that sources are translated to, and no flow of
/// theirs. The address answers ping, so that people can see that it is there; about all else nothing is said to strangers.
pub(super) fn deliver_owned(context: &mut Context<'_>, mut packet: Packet) {
    if packet.origin != Origin::Router && icmp::echo_reply(&mut packet.frame, 0).is_ok() {
        let (port, vrf, frame) = (packet.port, packet.vrf, packet.frame);
        say(context, port, vrf, frame);
    } else {
        context.drop_packet(packet, DropReason::LocalUnhandled);
    }
}

/// Drops a packet and tells its sender why.
#[inline(never)]
pub(super) fn fail(context: &mut Context<'_>, mut packet: Packet, reason: DropReason, error: IcmpError) {
    // It is quoted as it would have left.
    packet.frame.complete();
    let (port, vrf) = (packet.port, packet.vrf);
    if packet.origin != Origin::Router
        && let Some(source) = own_address(context, &packet)
    {
        tell(context, &packet, source, error);
    }
    context.drop_bare(port, Some(vrf), packet.frame, reason);
}

fn tell(context: &mut Context<'_>, packet: &Packet, source: IpAddr, error: IcmpError) {
    let Some(mut answer) = context.state.frames.take() else {
        context.count(|c| &c.errors_withheld);
        return;
    };
    if icmp::error(packet.frame.data(), source, error, &mut answer).is_err() {
        // Not to be told: an error about an error, a broadcast, a later fragment.
        context.state.frames.free(answer);
    } else if context.state.icmp.allow(packet.source(), context.now) {
        context.count(|c| &c.originated);
        say(context, packet.port, packet.vrf, answer);
    } else {
        context.count(|c| &c.errors_withheld);
        context.state.frames.free(answer);
    }
}

/// Routes a packet that the router itself says in `vrf`.
fn say(context: &mut Context<'_>, port: PortSlot, vrf: VrfSlot, frame: Frame) {
    let tables = context.tables;
    let parsed = parse_ip(frame.data());
    let (Ok(parsed), Some(table)) = (parsed, tables.vrf(vrf)) else {
        context.drop_bare(port, Some(vrf), frame, DropReason::LocalUnhandled);
        return;
    };
    let packet = match Packet::new(frame, parsed, port, vrf, Origin::Router, context.shared.seed) {
        Ok(packet) => packet,
        Err(frame) => {
            context.drop_bare(port, Some(vrf), frame, DropReason::LocalUnhandled);
            return;
        }
    };
    match decide::next_hop(tables, table, packet.destination(), packet.hash, None) {
        Some(next_hop) => forward::forward(context, packet, next_hop),
        None => context.drop_packet(packet, DropReason::NoRoute),
    }
}

/// Sends an IP packet of the router to the workload behind `port`, without a route: for link-local addresses.
fn to_neighbor(context: &mut Context<'_>, port: PortSlot, vrf: VrfSlot, mut frame: Frame) {
    let mac = context.tables.port(port).map_or(Mac::ZERO, |p| p.mac);
    let own = mac_on(context, port);
    match frame.prepend(forward::ETHERNET) {
        Ok(data) => forward::write_ethernet(data, mac, own, crate::wire::ethertype::IPV6),
        Err(_) => {
            context.drop_bare(port, Some(vrf), frame, DropReason::NoHeadroom);
            return;
        }
    }
    context.send(port, Some(vrf), frame);
}

/// The router's address to speak from about a packet: the gateway the sender knows, else any of the VRF.
fn own_address(context: &Context<'_>, packet: &Packet) -> Option<IpAddr> {
    let (tables, v6) = (context.tables, packet.is_v6());
    let of_port = |port: &Port| match &port.role {
        Role::Bridged { bridge } => tables.bridge(*bridge).and_then(|b| b.gateway(v6)),
        Role::Routed { .. } => port.gateway(v6),
        Role::Uplink => None,
    };
    let of_vrf = |vrf: &Vrf| {
        if v6 {
            vrf.gateway6.map(IpAddr::V6)
        } else {
            vrf.gateway4.map(IpAddr::V4)
        }
    };
    if packet.origin == Origin::Underlay {
        // Whom the sender spoke to.
        return Some(packet.destination());
    }
    tables
        .port(packet.port)
        .and_then(of_port)
        .or_else(|| tables.vrf(packet.vrf).and_then(of_vrf))
        .or((!v6).then_some(DUMMY))
}
