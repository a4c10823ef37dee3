//! Virtual reassembly in the way of packets: a fragment goes on with the ports of its datagram's head in its flow key, so that all
//! fragments of a datagram meet one flow; those that come before their head are held.
//!
//! Held packets were parsed under an older revision than the one that routes them. That is safe: where they came in and which VRF they
//! are in is part of what they are matched by.

use super::{
    BATCH,
    context::Context,
    packet::{Origin, Packet, Routed, echo_ports},
    route,
};
use crate::{
    packet::DropReason,
    tables::{
        fragments::{Head, Identity, Lost, Outcome, Piece},
        slots::PortSlot,
    },
    wire::{Flags, Fragment, fragment::fragment_info},
};

/// Takes a fragment. Gives it back when its ports are known: its key has them then.
#[inline(never)]
pub(super) fn admit(context: &mut Context<'_>, packet: Packet) -> Option<Packet> {
    let info = fragment_info(packet.frame.data(), &packet.parsed).filter(|info| info.len > 0);
    let Some(info) = info else {
        context.drop_packet(packet, DropReason::BadFragment);
        return None;
    };
    let owner = match packet.origin {
        Origin::Port => owner_of(packet.port),
        // What comes from other nodes is their workloads': no port here has sent it, and each VRF has its own share.
        _ => 1 << 16 | u32::from(packet.vrf.raw()),
    };
    let identity = Identity::new(&packet.key, info.identification, owner);
    let piece = Piece {
        offset: info.offset,
        len: info.len,
        more: info.more,
        protocol: packet.parsed.proto,
    };
    let head = (packet.parsed.fragment == Fragment::First).then(|| head(&packet));
    let now = context.now;
    let fragments = &mut context.state.fragments;
    let (outcome, refused) = match fragments.admit(&identity, piece, head, now, packet) {
        Outcome::Pass(packet, head) => (Some(with_head(packet, head, context.shared.seed)), None),
        Outcome::Held => (None, None),
        Outcome::Refused(packet, lost) => (None, Some((packet, lost))),
    };
    if let Some((packet, lost)) = refused {
        context.drop_packet(packet, reason(lost));
    }
    drop_lost(context);
    outcome
}

/// Sends on what waited for a head that has come, a batch at a time, and gives up what waited in vain.
pub(super) fn tend(context: &mut Context<'_>, routed: &mut Routed) {
    context.state.fragments.expire(context.now);
    drop_lost(context);
    release(context, routed);
}

/// Sends on what waited for a head that has come, a batch at most.
pub(super) fn release(context: &mut Context<'_>, routed: &mut Routed) {
    let seed = context.shared.seed;
    let fragments = &mut context.state.fragments;
    let ready = std::iter::from_fn(|| fragments.next_ready()).take(BATCH);
    ready.for_each(|(packet, head)| routed.push(with_head(packet, head, seed)));
    route::run(context, routed);
}

/// The name under which a port's fragments are counted.
pub(super) fn owner_of(port: PortSlot) -> u32 {
    u32::from(port.raw())
}

/// Why a lost fragment is dropped.
pub(super) fn reason(lost: Lost) -> DropReason {
    match lost {
        Lost::Overlap => DropReason::FragmentOverlap,
        Lost::Timeout => DropReason::FragmentTimeout,
        Lost::Quota => DropReason::FragmentQuota,
    }
}

fn drop_lost(context: &mut Context<'_>) {
    while let Some((packet, lost)) = context.state.fragments.next_lost() {
        context.drop_packet(packet, reason(lost));
    }
}

/// What a head says.
fn head(packet: &Packet) -> Head {
    let parsed = &packet.parsed;
    let is_echo = parsed.flags.has(Flags::ICMP_ECHO);
    let (source_port, destination_port) = if is_echo {
        let kind = packet.frame.data().get(usize::from(parsed.l4)).copied();
        echo_ports(kind.unwrap_or(0), parsed.src_port)
    } else {
        (parsed.src_port, parsed.dst_port)
    };
    Head {
        protocol: parsed.proto,
        source_port,
        destination_port,
        is_echo,
    }
}

/// The packet with the flow key of its datagram.
fn with_head(mut packet: Packet, head: Head, seed: u64) -> Packet {
    packet.parsed.proto = head.protocol;
    if head.is_echo {
        packet.parsed.flags = packet.parsed.flags.or(Flags::ICMP_ECHO);
    }
    packet.key = packet
        .key
        .with_transport(head.protocol, head.source_port, head.destination_port);
    packet.hash = packet.key.hash(seed);
    packet
}
