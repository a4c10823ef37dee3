//! What a frame is and where it belongs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{
    arrival,
    context::Context,
    decapsulate,
    forward::ETHERNET,
    fragments, local,
    packet::{Brief, Origin, Packet, Routed, WayIn, reason},
    rewrite, switch,
};
use crate::{
    packet::{DropReason, Frame, Partial},
    tables::{
        guard::Guard,
        port::{Port, Role},
        slots::{PortSlot, VrfSlot},
    },
    wire::{IpKind, Mac, Parsed, Plain, ethertype, parse},
};

/// Sorts a batch: what is to be routed goes to `routed`; all else is done with here.
pub(super) fn classify(context: &mut Context<'_>, port: PortSlot, batch: &mut Vec<Frame>, routed: &mut Routed) {
    let counters = context.counters.port(port);
    counters.rx_packets.add(batch.len() as u64);
    counters
        .rx_bytes
        .add(batch.iter().map(|frame| frame.len() as u64).sum());
    let tables = context.tables;
    let Some(from) = tables.port(port) else {
        for frame in batch.drain(..) {
            context.drop_frame(port, None, frame, DropReason::UnknownPort);
        }
        return;
    };
    let concerned = arrival::concerns(from);
    let plain = plain_ones(context, port, from, batch, routed);
    if plain == batch.len() && routed.frames.is_empty() {
        std::mem::swap(batch, &mut routed.frames);
        return;
    }
    routed.frames.extend(batch.drain(..plain));
    for mut frame in batch.drain(..) {
        if concerned {
            match arrival::admit(context, port, from, frame) {
                Some(admitted) => frame = admitted,
                None => continue,
            }
        }
        let packet = match from.role {
            Role::Routed { vrf } => from_workload(context, port, vrf, frame),
            Role::Bridged { bridge } => switch::from_workload(context, port, bridge, frame),
            Role::Uplink => decapsulate::from_uplink(context, port, frame),
        };
        let packet = match packet {
            Some(packet) if packet.parsed.is_fragment() => fragments::admit(context, packet),
            packet => packet,
        };
        if let Some(packet) = packet {
            context.shared.flows.prefetch(packet.hash);
            routed.push(packet);
        }
    }
}

/// So many packets are read in a row, while the first lines of the next so many are under way, and the buckets of their flows: behind each row, the records
/// of those before it are asked for. (Packets are often a power of two apart, and all in the same few sets of the nearest cache: those of a whole batch
/// would push each other out of it.)
const ROW: usize = 8;

/// Reads plain packets, from the first to before the first that is not plain; gives how many. Leaves in each frame its IP packet.
#[inline]
fn plain_ones(
    context: &mut Context<'_>,
    port: PortSlot,
    from: &Port,
    batch: &mut [Frame],
    routed: &mut Routed,
) -> usize {
    let seed = context.shared.seed;
    match from.role {
        Role::Routed { vrf } if arrival::is_guarded_only(from) => {
            routed.way = WayIn::new(port, Origin::Port, seed);
            let workload = Workload {
                vrf,
                seed,
                guard: from.guard.as_deref(),
            };
            // Each family in a loop of its own: what is the same in all packets of one is not carried about.
            let mut count = 0;
            loop {
                let before = count;
                count = leading(context, batch, count, routed, |_, frame, before, brief| {
                    workload.plain::<false>(frame, before, brief)
                });
                if count == batch.len() {
                    return count;
                }
                count = leading(context, batch, count, routed, |_, frame, before, brief| {
                    workload.plain::<true>(frame, before, brief)
                });
                if count == batch.len() || count == before {
                    return count;
                }
            }
        }
        Role::Uplink if !arrival::concerns(from) => {
            let way = WayIn::new(port, Origin::Tunnel, seed);
            routed.way = way;
            leading(context, batch, 0, routed, |context, frame, before, brief| {
                decapsulate::plain_from_uplink(context, &way, frame, before, brief)
            })
        }
        _ => 0,
    }
}

/// Where in a frame a plain packet is.
pub(super) struct Inside {
    /// Bytes in front of it.
    pub in_front: u16,
    /// Its bytes.
    pub len: u16,
    /// Its checksum is still to be completed.
    pub open: bool,
}

/// Reads packets, from the one at `count` on, as long as `read` says where each is; gives up to where.
#[inline(always)]
fn leading(
    context: &mut Context<'_>,
    batch: &mut [Frame],
    mut count: usize,
    routed: &mut Routed,
    read: impl Fn(&mut Context<'_>, &Frame, &Brief, &mut Brief) -> Option<Inside>,
) -> usize {
    let flows = &context.shared.flows;
    let beside = context.state.needs_siblings;
    let (mut hinted, mut news) = (routed.hinted, routed.news);
    let briefs = routed.room(batch.len());
    let mut row = batch.get_mut(count..).unwrap_or_default();
    row.iter().take(ROW).for_each(Frame::prefetch);
    let mut all = true;
    while all && !row.is_empty() {
        let (frames, next) = row.split_at_mut(row.len().min(ROW));
        next.iter().take(ROW).for_each(Frame::prefetch);
        row = next;
        let (done, rest) = briefs.split_at_mut(count.min(briefs.len()));
        let mut before: &Brief = done.last().unwrap_or(&Brief::NONE);
        for (frame, brief) in frames.iter_mut().zip(rest) {
            let inside = if frame.is_partial() {
                None
            } else {
                read(context, frame, before, brief)
            };
            let Some(inside) = inside.filter(|inside| frame.narrow(inside.in_front, inside.len)) else {
                all = false;
                break;
            };
            if inside.open {
                leave_open(frame, brief);
            }
            if !brief.is_again() {
                flows.prefetch(brief.hash);
            }
            before = brief;
            count += 1;
        }
        if let Some(briefs) = briefs.get_mut(hinted..count.saturating_sub(ROW)) {
            hinted += briefs.len();
            for brief in briefs {
                news |= brief.look_ahead(flows, beside);
            }
        }
    }
    (routed.hinted, routed.news) = (hinted, news);
    count
}

/// Notes that the checksum of a plain packet is still to be completed.
#[inline(never)]
fn leave_open(frame: &mut Frame, brief: &Brief) {
    if let Some(partial) = Partial::of(brief.key.protocol(), if brief.is_v6() { 40 } else { 20 }) {
        frame.set_partial(partial);
    }
}

/// What packets of a routed port have in common.
struct Workload<'a> {
    vrf: VrfSlot,
    seed: u64,
    guard: Option<&'a Guard>,
}

impl Workload<'_> {
    /// A plain packet of one family. `None`: it is of the other, or must be looked at step by step.
    #[inline(always)]
    fn plain<const V6: bool>(&self, frame: &Frame, before: &Brief, brief: &mut Brief) -> Option<Inside> {
        let (ethertype, ip) = Plain::behind_ethernet(frame.data(), Mac::GATEWAY)?;
        let plain = match ethertype {
            ethertype::IPV4 if !V6 => Plain::v4(ip)?,
            ethertype::IPV6 if V6 => Plain::v6(ip)?,
            _ => return None,
        };
        if self.guard.is_some_and(|guard| !arrival::lets_pass_plain(guard, frame)) || !plain.is_surely_routable() {
            return None;
        }
        // An open checksum may stay open, if nothing is behind the packet that is not to be summed.
        let open = plain.is_partial;
        if open && ip.len() != usize::from(plain.len) {
            return None;
        }
        brief.set(before, &plain, self.vrf, None, self.seed);
        Some(Inside {
            in_front: ETHERNET,
            len: plain.len,
            open,
        })
    }
}

/// A frame from the workload of a routed port: everything it sends is for the router.
fn from_workload(context: &mut Context<'_>, port: PortSlot, vrf: VrfSlot, mut frame: Frame) -> Option<Packet> {
    let parsed = match parse(frame.data()) {
        Ok(parsed) => parsed,
        Err(error) => {
            context.drop_frame(port, Some(vrf), frame, reason(error));
            return None;
        }
    };
    if parsed.vlan.is_some() {
        context.drop_frame(port, Some(vrf), frame, DropReason::UnknownVlan);
        return None;
    }
    if parsed.kind == IpKind::None {
        if parsed.ethertype == ethertype::ARP {
            local::arp_routed(context, port, vrf, frame);
        } else {
            context.drop_frame(port, Some(vrf), frame, DropReason::UnknownEthertype);
        }
        return None;
    }
    let destination = destination_mac(&frame);
    if destination != Mac::GATEWAY && !destination.is_multicast() {
        context.drop_frame(port, Some(vrf), frame, DropReason::NotOurMac);
        return None;
    }
    if local::is_neighbor_discovery(&frame, &parsed) {
        local::nd_routed(context, port, vrf, frame);
        return None;
    }
    // What was sent to all stations of a link is never routed, whatever its IP destination (RFC 1812, section 5.3.4).
    if destination.is_multicast() {
        context.drop_frame(port, Some(vrf), frame, DropReason::MulticastUnrouted);
        return None;
    }
    rewrite::notice_partial(&mut frame, &parsed);
    to_router(context, port, vrf, frame, parsed, Origin::Port)
}

/// A parsed frame whose IP packet is to be routed in `vrf`, unless its addresses forbid it.
#[inline]
pub(super) fn to_router(
    context: &mut Context<'_>,
    port: PortSlot,
    vrf: VrfSlot,
    frame: Frame,
    parsed: Parsed,
    origin: Origin,
) -> Option<Packet> {
    let packet = match Packet::new(frame, parsed, port, vrf, origin, context.shared.seed) {
        Ok(packet) => packet,
        Err(frame) => {
            context.drop_frame(port, Some(vrf), frame, DropReason::UnknownEthertype);
            return None;
        }
    };
    match unroutable(packet.source(), packet.destination()) {
        None => Some(packet),
        // A host may talk to its router by link-local address: ping fe80::…
        Some(DropReason::LinkLocalUnrouted)
            if origin == Origin::Port
                && packet.destination() == IpAddr::V6(local::mac_on(context, port).link_local()) =>
        {
            // No flow is decided for it that would ask.
            let guard = context.tables.port(port).and_then(|port| port.guard.as_deref());
            if let Some(Err(reason)) = guard.map(|guard| guard.check(&packet.key)) {
                context.drop_packet(packet, reason);
                return None;
            }
            local::deliver(context, packet);
            None
        }
        Some(reason) => {
            context.drop_packet(packet, reason);
            None
        }
    }
}

/// Destination MAC of a frame that is known to have one.
#[inline]
pub(super) fn destination_mac(frame: &Frame) -> Mac {
    frame.data().first_chunk::<6>().copied().map_or(Mac::ZERO, Mac)
}

/// Source MAC of a frame that is known to have one.
#[inline]
pub(super) fn source_mac(frame: &Frame) -> Mac {
    frame
        .data()
        .get(6..)
        .and_then(|rest| rest.first_chunk::<6>())
        .copied()
        .map_or(Mac::ZERO, Mac)
}

/// Why a packet between these addresses is never routed (RFC 1812 section 5.3.7, RFC 4291 section 2.5, 2.7).
#[inline]
fn unroutable(source: IpAddr, destination: IpAddr) -> Option<DropReason> {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => unroutable_v4(source, destination),
        (IpAddr::V6(source), IpAddr::V6(destination)) => unroutable_v6(source, destination),
        _ => Some(DropReason::BadIpVersion),
    }
}

#[inline]
fn unroutable_v4(source: Ipv4Addr, destination: Ipv4Addr) -> Option<DropReason> {
    let first = destination.octets()[0];
    if first >= 224 {
        return Some(DropReason::MulticastUnrouted);
    }
    match source.octets()[0] {
        0 | 127 | 224.. => Some(DropReason::MartianSource),
        _ if first == 0 || first == 127 => Some(DropReason::NoRoute),
        169 if source.is_link_local() => Some(DropReason::LinkLocalUnrouted),
        _ if first == 169 && destination.is_link_local() => Some(DropReason::LinkLocalUnrouted),
        _ => None,
    }
}

#[inline]
fn unroutable_v6(source: Ipv6Addr, destination: Ipv6Addr) -> Option<DropReason> {
    let (source, destination) = (source.to_bits(), destination.to_bits());
    let (source_high, destination_high) = ((source >> 112) as u16, (destination >> 112) as u16);
    if destination_high >= 0xff00 {
        return Some(DropReason::MulticastUnrouted);
    }
    if source_high >= 0xff00 || source <= 1 {
        return Some(DropReason::MartianSource);
    }
    if source_high & 0xffc0 == 0xfe80 || destination_high & 0xffc0 == 0xfe80 {
        return Some(DropReason::LinkLocalUnrouted);
    }
    (destination <= 1).then_some(DropReason::NoRoute)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::proto;

    #[test]
    fn addresses_that_no_router_forwards() {
        let why = |source: &str, destination: &str| unroutable(source.parse().unwrap(), destination.parse().unwrap());
        assert_eq!(why("10.0.0.1", "10.0.0.2"), None);
        assert_eq!(why("10.0.0.1", "224.0.0.251"), Some(DropReason::MulticastUnrouted));
        assert_eq!(why("0.0.0.0", "255.255.255.255"), Some(DropReason::MulticastUnrouted));
        assert_eq!(why("127.0.0.1", "10.0.0.2"), Some(DropReason::MartianSource));
        assert_eq!(why("240.0.0.1", "10.0.0.2"), Some(DropReason::MartianSource));
        assert_eq!(why("10.0.0.1", "127.0.0.1"), Some(DropReason::NoRoute));
        assert_eq!(why("169.254.1.1", "10.0.0.2"), Some(DropReason::LinkLocalUnrouted));
        assert_eq!(why("169.253.1.1", "169.255.0.1"), None);
        assert_eq!(why("fd00::1", "fd00::2"), None);
        assert_eq!(why("fd00::1", "ff02::1"), Some(DropReason::MulticastUnrouted));
        assert_eq!(why("::", "fd00::2"), Some(DropReason::MartianSource));
        assert_eq!(why("::1", "fd00::2"), Some(DropReason::MartianSource));
        assert_eq!(why("fe80::1", "fd00::2"), Some(DropReason::LinkLocalUnrouted));
        assert_eq!(why("febf::1", "fd00::2"), Some(DropReason::LinkLocalUnrouted));
        assert_eq!(why("fec0::1", "fd00::2"), None);
        assert_eq!(why("fd00::1", "::"), Some(DropReason::NoRoute));
    }

    proptest::proptest! {
        /// What plain packets are let through by is never let through wrongly.
        #[test]
        fn what_is_surely_routable_is_routed(
            source in proptest::prelude::any::<[u8; 16]>(), destination in proptest::prelude::any::<[u8; 16]>(), zeros in 0..17_usize, special: u8,
        ) {
            let mut address = destination;
            address[..zeros].fill(0);
            address[0] = if zeros == 0 { special } else { address[0] };
            for (source, destination) in [(source, address), (address, source)] {
                let four = |a: [u8; 16]| [a[0], a[1], a[2], a[3]];
                let mut v4 = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 64, proto::UDP, 0, 0];
                v4.extend(four(source));
                v4.extend(four(destination));
                let check = crate::wire::checksum::Sum::of(&v4).checksum();
                v4[10..12].copy_from_slice(&check.to_be_bytes());
                v4.extend([0; 8]);
                let plain = Plain::v4(&v4).unwrap();
                let refused = unroutable_v4(four(source).into(), four(destination).into());
                proptest::prop_assert!(!plain.is_surely_routable() || refused.is_none());
                let mut v6 = vec![0x60, 0, 0, 0, 0, 8, proto::UDP, 64];
                v6.extend(source);
                v6.extend(destination);
                v6.extend([0; 8]);
                let plain = Plain::v6(&v6).unwrap();
                let refused = unroutable_v6(source.into(), destination.into());
                proptest::prop_assert!(!plain.is_surely_routable() || refused.is_none());
            }
        }
    }
}
