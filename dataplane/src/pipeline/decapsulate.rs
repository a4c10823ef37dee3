//! What comes in by an uplink: tunnel packets for this node, packets in the clear for its own addresses, and the underlay's ARP and
//! neighbour discovery.

use std::net::IpAddr;

use super::{
    clear,
    context::Context,
    hops::{Inside, Number},
    ingress, local,
    packet::{Brief, Origin, Packet, WayIn, reason},
    rewrite, switch,
};
use crate::{
    packet::{DropReason, Frame},
    tables::{
        Tables,
        next_hop::{Action, LabelTarget, VniTarget},
        port::Role,
        slots::{BridgeSlot, NextHopSlot, PortSlot, VrfSlot},
    },
    wire::{
        Ecn, Fragment, IpKind, Mac, Parsed, Plain, addresses, checksum, ecn, ethertype, parse, parse_ip, proto, udp,
    },
};

/// UDP port that old Tungsten Fabric releases use for MPLS over UDP; accepted, never sent to.
const PORT_MPLS_OLD: u16 = 51234;

const UDP_HEADER: u16 = 8;
const VXLAN_HEADER: u16 = 8;
const LABEL_ENTRY: u16 = 4;

/// Labels on a stack that are looked at. One is usual; explicit null may stand above it.
const MAX_LABELS: usize = 4;

/// A frame from the underlay. Gives the inner packet if it is to be routed.
pub(super) fn from_uplink(context: &mut Context<'_>, port: PortSlot, frame: Frame) -> Option<Packet> {
    let parsed = match parse(frame.data()) {
        Ok(parsed) => parsed,
        Err(error) => return refuse(context, port, frame, reason(error)),
    };
    if parsed.ethertype == ethertype::ARP || local::is_neighbor_discovery(&frame, &parsed) {
        context.punt(port, frame);
        return None;
    }
    let remote = match check_outer(context, &frame, &parsed) {
        Ok(remote) => remote,
        Err(reason) => return clear::from_uplink(context, port, frame, parsed, reason),
    };
    let outer_ecn = outer_ecn(&frame, &parsed);
    match parsed.dst_port {
        udp::PORT_VXLAN => vxlan(context, port, frame, &parsed, remote, outer_ecn),
        _ => mpls(context, port, frame, &parsed, outer_ecn),
    }
}

/// A tunnel packet as almost all are: without congestion mark outside, for a VRF, and plain inside. `None`: it must be looked at step by step.
#[inline(always)]
pub(super) fn plain_from_uplink(
    context: &mut Context<'_>,
    way: &WayIn,
    frame: &Frame,
    before: &Brief,
    brief: &mut Brief,
) -> Option<ingress::Inside> {
    let data = frame.data();
    let (ethernet, ip) = data.split_first_chunk::<14>()?;
    // Where the datagram starts, and where it ends.
    let (at, end) = match u16::from_be_bytes([ethernet[12], ethernet[13]]) {
        ethertype::IPV4 => {
            let end = Plain::datagram_v4(ip.first_chunk()?, context.tables.vtep4?)?;
            (20, usize::from(end))
        }
        ethertype::IPV6 => {
            let h = ip.first_chunk::<40>()?;
            let ours = context.tables.vtep6?.octets();
            let good = h[0] >> 4 == 6 && h[1] & 0x30 == 0 && h[6] == proto::UDP && h[24..] == ours;
            (good.then_some(40)?, 40 + usize::from(u16::from_be_bytes([h[4], h[5]])))
        }
        _ => return None,
    };
    let datagram = ip.get(at..end)?;
    // Both tunnels have at least as much.
    let h = datagram.first_chunk::<16>()?;
    if usize::from(u16::from_be_bytes([h[4], h[5]])) != datagram.len() {
        return None;
    }
    if [h[6], h[7]] != [0, 0] && !is_right(ip, at, datagram) {
        return None;
    }
    let (number, skip) = match u16::from_be_bytes([h[2], h[3]]) {
        udp::PORT_VXLAN if h[8] & 0x08 != 0 => (Number::Vni(u32::from_be_bytes([0, h[12], h[13], h[14]])), 16),
        udp::PORT_MPLS if h[10] & 1 != 0 => (Number::Label(u32::from_be_bytes([0, h[8], h[9], h[10]]) >> 4), 12),
        _ => return None,
    };
    let inner = datagram.get(skip..)?;
    let Inside::Vrf(vrf, via) = context.state.doors.behind(context.tables, number) else {
        return None;
    };
    let (ethertype, packet, skip) = if let Number::Vni(_) = number {
        let (ethertype, packet) = Plain::behind_ethernet(inner, Mac::GATEWAY)?;
        (ethertype, packet, skip + 14)
    } else {
        let version = inner.first()? >> 4;
        let ethertype = if version == 4 { ethertype::IPV4 } else { ethertype::IPV6 };
        (ethertype, inner, skip)
    };
    let len = match ethertype {
        ethertype::IPV4 => {
            let plain = Plain::v4(packet).filter(Plain::is_surely_routable)?;
            brief.set(before, &plain, vrf, via, way.seed);
            plain.len
        }
        ethertype::IPV6 => {
            let plain = Plain::v6(packet).filter(Plain::is_surely_routable)?;
            brief.set(before, &plain, vrf, via, way.seed);
            plain.len
        }
        _ => return None,
    };
    Some(ingress::Inside {
        in_front: (14 + at + skip) as u16,
        len,
        // Whose sum it is to be is known to the far end only.
        open: false,
    })
}

/// The checksum of a UDP datagram, the bytes from `at` on of this IP packet, is right; or still open, as the kernel of a node at the other end of a
/// veth leaves it to hardware that is not there.
#[inline(never)]
pub(super) fn is_right(ip: &[u8], at: usize, datagram: &[u8]) -> bool {
    let kind = if at == 20 { IpKind::V4 } else { IpKind::V6 };
    let pseudo = rewrite::pseudo_header(kind, ip, proto::UDP, datagram.len());
    checksum::is_partial(datagram, proto::UDP, pseudo) || checksum::verify_l4(datagram, proto::UDP, pseudo)
}

/// The outer packet is a whole UDP datagram for one of our tunnels. Gives its sender.
#[inline]
fn check_outer(context: &Context<'_>, frame: &Frame, parsed: &Parsed) -> Result<IpAddr, DropReason> {
    let data = frame.data();
    let (l3, l4) = (usize::from(parsed.l3), usize::from(parsed.l4));
    let ip = data.get(l3..).unwrap_or_default();
    let tables = context.tables;
    let (remote, ours) = match parsed.kind {
        IpKind::V4 => addresses::v4(ip).map(|(from, to)| (IpAddr::from(from), tables.vtep4 == Some(to))),
        IpKind::V6 => addresses::v6(ip).map(|(from, to)| (IpAddr::from(from), tables.vtep6 == Some(to))),
        IpKind::None => None,
    }
    .ok_or(DropReason::NotATunnel)?;
    if parsed.vlan.is_some() {
        return Err(DropReason::UnknownVlan);
    }
    if parsed.proto != proto::UDP {
        return Err(DropReason::NotATunnel);
    }
    if !ours {
        return Err(DropReason::NotOurVtep);
    }
    if parsed.fragment != Fragment::No {
        return Err(DropReason::FragmentedTunnel);
    }
    if !matches!(parsed.dst_port, udp::PORT_VXLAN | udp::PORT_MPLS | PORT_MPLS_OLD) {
        return Err(DropReason::NotATunnel);
    }
    let datagram = data
        .get(l4..parsed.end as usize)
        .ok_or(DropReason::TruncatedTransport)?;
    let header = datagram.first_chunk::<8>().ok_or(DropReason::TruncatedTransport)?;
    let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
    // Bytes behind the UDP length would be taken for payload.
    if length != datagram.len() {
        return Err(DropReason::BadTransport);
    }
    if header[6..] != [0, 0] {
        let at = if parsed.kind == IpKind::V4 { 20 } else { 40 };
        if !is_right(ip, at, datagram) {
            return Err(DropReason::BadOuterChecksum);
        }
    }
    Ok(remote)
}

#[inline]
fn outer_ecn(frame: &Frame, parsed: &Parsed) -> Ecn {
    let ip = frame.data().get(usize::from(parsed.l3)..).unwrap_or_default();
    Ecn::from_tos(rewrite::traffic_class(ip, parsed.kind == IpKind::V6))
}

/// VXLAN (RFC 7348): the VNI says which bridge or VRF.
#[inline]
fn vxlan(
    context: &mut Context<'_>,
    port: PortSlot,
    mut frame: Frame,
    outer: &Parsed,
    remote: IpAddr,
    outer_ecn: Ecn,
) -> Option<Packet> {
    let at = usize::from(outer.l4 + UDP_HEADER);
    let Some(&[flags, _, _, _, v0, v1, v2, _]) = frame.data().get(at..).and_then(|d| d.first_chunk::<8>()) else {
        return refuse(context, port, frame, DropReason::BadVxlan);
    };
    if flags & 0x08 == 0 {
        return refuse(context, port, frame, DropReason::BadVxlan);
    }
    let vni = u32::from_be_bytes([0, v0, v1, v2]);
    let Some(target) = context.tables.vnis.get(&vni).copied() else {
        return refuse(context, port, frame, DropReason::UnknownVni);
    };
    frame.truncate(outer.end as usize);
    frame.strip(outer.l4 + UDP_HEADER + VXLAN_HEADER);
    match target {
        VniTarget::Vrf(vrf) => vxlan_routed(context, port, vrf, frame, outer_ecn),
        VniTarget::Bridge(bridge) => {
            let from = context.tables.remote_vteps.get(&(vni, remote)).copied();
            vxlan_bridged(context, port, bridge, frame, from, outer_ecn)
        }
    }
}

fn vxlan_routed(
    context: &mut Context<'_>,
    port: PortSlot,
    vrf: VrfSlot,
    mut frame: Frame,
    outer_ecn: Ecn,
) -> Option<Packet> {
    let parsed = match parse(frame.data()) {
        Ok(parsed) if parsed.vlan.is_some() => return refuse_in(context, port, vrf, frame, DropReason::UnknownVlan),
        Ok(parsed) if parsed.kind != IpKind::None => parsed,
        Ok(_) => return refuse_in(context, port, vrf, frame, DropReason::UnknownEthertype),
        Err(error) => return refuse_in(context, port, vrf, frame, reason(error)),
    };
    if ingress::destination_mac(&frame) != Mac::GATEWAY {
        return refuse_in(context, port, vrf, frame, DropReason::NotOurMac);
    }
    if !combine_ecn(&mut frame, &parsed, outer_ecn) {
        return refuse_in(context, port, vrf, frame, DropReason::EcnConflict);
    }
    ingress::to_router(context, port, vrf, frame, parsed, Origin::Tunnel)
}

fn vxlan_bridged(
    context: &mut Context<'_>,
    port: PortSlot,
    bridge: BridgeSlot,
    mut frame: Frame,
    from: Option<NextHopSlot>,
    outer_ecn: Ecn,
) -> Option<Packet> {
    // A bridge carries what it does not understand, too: only what is IP has a congestion mark.
    if let Ok(parsed) = parse(frame.data())
        && parsed.kind != IpKind::None
        && !combine_ecn(&mut frame, &parsed, outer_ecn)
    {
        return refuse(context, port, frame, DropReason::EcnConflict);
    }
    switch::from_tunnel(context, port, bridge, frame, from)
}

/// MPLS over UDP (RFC 7510): the label at the bottom of the stack says which VRF or next hop.
#[inline]
fn mpls(context: &mut Context<'_>, port: PortSlot, mut frame: Frame, outer: &Parsed, outer_ecn: Ecn) -> Option<Packet> {
    let start = outer.l4 + UDP_HEADER;
    let Some((label, depth)) = bottom_label(frame.data().get(usize::from(start)..outer.end as usize)) else {
        return refuse(context, port, frame, DropReason::BadMpls);
    };
    let Some(target) = context.tables.labels.get(&label).copied() else {
        return refuse(context, port, frame, DropReason::UnknownLabel);
    };
    frame.truncate(outer.end as usize);
    frame.strip(start + depth * LABEL_ENTRY);
    let parsed = match parse_ip(frame.data()) {
        Ok(parsed) => parsed,
        Err(error) => return refuse_bare(context, port, frame, reason(error)),
    };
    if !combine_ecn(&mut frame, &parsed, outer_ecn) {
        return refuse_bare(context, port, frame, DropReason::EcnConflict);
    }
    match target {
        LabelTarget::Vrf(vrf) => ingress::to_router(context, port, vrf, frame, parsed, Origin::Tunnel),
        LabelTarget::NextHop(next_hop) => {
            // The label has done the lookup. The VRF is that of the workload it leads to.
            let Some(vrf) = vrf_behind(context.tables, next_hop) else {
                return refuse_bare(context, port, frame, DropReason::NextHopDrop);
            };
            let mut packet = ingress::to_router(context, port, vrf, frame, parsed, Origin::Tunnel)?;
            packet.facts.via = Some(next_hop);
            Some(packet)
        }
    }
}

/// The VRF of the workload that a next hop delivers to.
pub(super) fn vrf_behind(tables: &Tables, next_hop: NextHopSlot) -> Option<VrfSlot> {
    let Action::Port(hop) = &tables.next_hop(next_hop)?.action else {
        return None;
    };
    match tables.port(hop.port)?.role {
        Role::Routed { vrf } => Some(vrf),
        Role::Bridged { bridge } => tables.bridge(bridge)?.vrf,
        Role::Uplink => None,
    }
}

/// The label at the bottom of the stack, and how many entries the stack has. Only explicit nulls may stand above it: any other
/// label would be for another router to act on.
fn bottom_label(stack: Option<&[u8]>) -> Option<(u32, u16)> {
    let mut entries = stack?.chunks_exact(usize::from(LABEL_ENTRY)).take(MAX_LABELS);
    let mut depth = 0;
    loop {
        let &[a, b, c, _] = entries.next()? else { return None };
        depth += 1;
        let label = u32::from_be_bytes([0, a, b, c]) >> 4;
        if c & 1 != 0 {
            return Some((label, depth));
        }
        if !matches!(label, 0 | 2) {
            return None;
        }
    }
}

/// Brings the outer header's congestion mark to the inner packet (RFC 6040 section 4.2). `false`: the packet must be dropped.
#[inline]
fn combine_ecn(frame: &mut Frame, parsed: &Parsed, outer: Ecn) -> bool {
    if outer == Ecn::NotEct {
        // Nothing to bring: every inner mark stays.
        return true;
    }
    let v6 = parsed.kind == IpKind::V6;
    let Some(ip) = frame.data_mut().get_mut(usize::from(parsed.l3)..) else {
        return false;
    };
    let class = rewrite::traffic_class(ip, v6);
    let inner = Ecn::from_tos(class);
    match ecn::decapsulate(inner, outer) {
        Some(combined) if combined == inner => true,
        Some(combined) => {
            rewrite::set_traffic_class(ip, v6, class & !3 | combined as u8);
            true
        }
        None => false,
    }
}

#[inline(never)]
fn refuse(context: &mut Context<'_>, port: PortSlot, frame: Frame, reason: DropReason) -> Option<Packet> {
    context.drop_frame(port, None, frame, reason);
    None
}

/// As [`refuse`], what is left of the frame being an IP packet.
#[inline(never)]
fn refuse_bare(context: &mut Context<'_>, port: PortSlot, frame: Frame, reason: DropReason) -> Option<Packet> {
    context.drop_bare(port, None, frame, reason);
    None
}

#[inline(never)]
fn refuse_in(
    context: &mut Context<'_>,
    port: PortSlot,
    vrf: VrfSlot,
    frame: Frame,
    reason: DropReason,
) -> Option<Packet> {
    context.drop_frame(port, Some(vrf), frame, reason);
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_stacks() {
        let entry = |label: u32, bottom: u32| (label << 12 | bottom << 8 | 64).to_be_bytes();
        let stack = |entries: &[[u8; 4]]| entries.concat();
        assert_eq!(bottom_label(Some(&stack(&[entry(17, 1)]))), Some((17, 1)));
        assert_eq!(bottom_label(Some(&stack(&[entry(0, 0), entry(17, 1)]))), Some((17, 2)));
        assert_eq!(bottom_label(Some(&stack(&[entry(99, 0), entry(17, 1)]))), None);
        assert_eq!(bottom_label(Some(&stack(&[entry(0, 0); 5]))), None);
        assert_eq!(bottom_label(Some(&entry(17, 0))), None);
        assert_eq!(bottom_label(Some(&[0, 1])), None);
        assert_eq!(bottom_label(None), None);
    }
}
