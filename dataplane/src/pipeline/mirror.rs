//! Copies for mirrors: made when a frame is free for them, sent to a port or through a tunnel, never copied again.

use super::{context::Context, forward, switch};
use crate::{
    packet::{DropReason, Frame, key::entropy_port},
    tables::{
        mirror::{Mirror, Sight},
        next_hop::{Action, Encapsulation, TunnelHop},
        port::Port,
        slots::PortSlot,
    },
    wire::{Flags, Fragment, Parsed, addresses, erspan::PerCopy, ethertype, offload, outer::PerPacket, parse, proto},
};

/// Which way a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// The workload sent it.
    FromWorkload,
    /// It is delivered to the workload.
    ToWorkload,
}

/// Gives each mirror of the port that wants this frame a copy.
#[inline(never)]
pub(super) fn copy(context: &mut Context<'_>, slot: PortSlot, port: &Port, direction: Direction, frame: &Frame) {
    if frame.is_copy() {
        return;
    }
    let parsed = parse(frame.data()).ok();
    let sight = parsed.as_ref().and_then(|parsed| sight(frame.data(), parsed));
    for mirror in port.mirrors.iter() {
        let asked = match direction {
            Direction::FromWorkload => mirror.from_workload,
            Direction::ToWorkload => mirror.to_workload,
        };
        if asked && mirror.wants(sight.as_ref()) {
            one(context, slot, mirror, frame, parsed.as_ref());
        }
    }
}

fn one(context: &mut Context<'_>, slot: PortSlot, mirror: &Mirror, frame: &Frame, parsed: Option<&Parsed>) {
    let tables = context.tables;
    let action = tables.next_hop(mirror.next_hop).map(|n| &n.action);
    // What the way to the collector carries, too, is better cut than lost.
    let fits = match action {
        Some(Action::Port(hop)) => tables.port(hop.port).map_or(0, |port| usize::from(port.mtu)),
        Some(Action::Tunnel(hop)) => hop.path.as_ref().map_or(0, |path| usize::from(path.mtu)),
        _ => 0,
    } + usize::from(forward::ETHERNET);
    let room = context.state.frames.pool().max_packet();
    let len = frame.len().min(mirror.snap_length).min(fits).min(room);
    let truncated = len < frame.len();
    let Some(mut copy) = context.originate() else {
        context.count(|c| &c.mirror_lost);
        return;
    };
    if copy.copy_from(frame.data().get(..len).unwrap_or_default()).is_err() {
        context.count(|c| &c.mirror_lost);
        context.drop_frame(slot, None, copy, DropReason::NoFrame);
        return;
    }
    copy.mark_copy();
    if let Some(parsed) = parsed.filter(|_| !truncated) {
        offload::complete(copy.data_mut(), parsed);
    }
    context.count(|c| &c.mirrored);
    match action {
        Some(Action::Port(hop)) if hop.port != slot => context.send(hop.port, None, copy),
        Some(Action::Tunnel(hop)) => to_tunnel(context, slot, mirror, hop, copy, truncated),
        _ => context.drop_frame(slot, None, copy, DropReason::NextHopDrop),
    }
}

fn to_tunnel(
    context: &mut Context<'_>,
    slot: PortSlot,
    mirror: &Mirror,
    hop: &TunnelHop,
    mut copy: Frame,
    truncated: bool,
) {
    let Some((path, template)) = hop.path.as_ref().and_then(|path| Some((path, path.bridged.as_ref()?))) else {
        context.drop_frame(slot, None, copy, DropReason::UnderlayUnresolved);
        return;
    };
    if !matches!(hop.encapsulation, Encapsulation::Erspan { .. }) {
        let fields = PerPacket {
            inner_len: copy.len(),
            entropy_port: entropy_port(switch::frame_hash(context, &copy)),
            tos: 0,
            ttl: 0,
            ip_id: 0,
            inner_ethertype: 0,
        };
        forward::wrap(context, slot, None, copy, path.port, template, &fields);
        return;
    }
    let fields = PerCopy {
        inner_len: copy.len(),
        sequence: if context.is_trace() {
            mirror.sequence()
        } else {
            mirror.next_sequence()
        },
        truncated,
        tagged: is_tagged(copy.data()),
    };
    let len = template.len();
    let wrapped = copy.prepend(len as u16).is_ok_and(|data| {
        data.get_mut(..len)
            .is_some_and(|header| template.apply_erspan(header, &fields).is_ok())
    });
    if wrapped {
        context.send(path.port, None, copy);
    } else {
        context.drop_frame(slot, None, copy, DropReason::NoHeadroom);
    }
}

fn is_tagged(frame: &[u8]) -> bool {
    let kind = frame.get(12..14).and_then(|bytes| bytes.first_chunk::<2>());
    matches!(
        kind.map(|bytes| u16::from_be_bytes(*bytes)),
        Some(ethertype::VLAN | ethertype::QINQ | ethertype::QINQ_OLD)
    )
}

/// What filters ask of a packet.
fn sight(data: &[u8], parsed: &Parsed) -> Option<Sight> {
    let ip = data.get(usize::from(parsed.l3)..)?;
    let (source, destination) = addresses::of(ip, parsed.kind)?;
    let is_icmp = matches!(parsed.proto, proto::ICMP | proto::ICMPV6);
    let has_header = parsed.fragment != Fragment::Later;
    let has_ports = has_header && matches!(parsed.proto, proto::TCP | proto::UDP | proto::SCTP);
    debug_assert!(!(has_ports && parsed.flags.has(Flags::ICMP_ECHO)));
    let l4 = data
        .get(usize::from(parsed.l4)..)
        .and_then(|rest| rest.first_chunk::<2>());
    Some(Sight {
        source,
        destination,
        protocol: parsed.proto,
        ports: has_ports.then_some((parsed.src_port, parsed.dst_port)),
        icmp: l4.filter(|_| is_icmp && has_header).map(|[kind, code]| (*kind, *code)),
    })
}
