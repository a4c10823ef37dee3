//! What the two ends of a TCP connection agree on: how large their segments may be (RFC 9293, section 3.7.1).
//!
//! Nobody may be led to send what its path cannot carry: on the way out, a SYN says no more than the next hop carries. And nobody need
//! send less than its own port carries: towards a port with a large MTU, a SYN says as many full segments of the path behind us as fit,
//! for they are cut out of the large ones here ([`segment`](super::segment)).

use super::{context::Context, decide, packet::Packet};
use crate::{
    tables::{next_hop::Action, slots::NextHopSlot},
    wire::Tcp,
};

/// Bytes of the timestamps option (RFC 7323) with its padding, which nearly every segment has.
const TIMESTAMPS: u16 = 12;

/// Segments of the path that one segment of the workload becomes at most. A lost one is sent again as a whole, and congestion
/// windows count in these units.
const MOST_UNITS: u16 = 16;

/// Adapts the segment size that a SYN or SYN-ACK tells the receiver, whose next hop carries `mtu` bytes.
#[cold]
pub(super) fn agree(context: &Context<'_>, packet: &mut Packet, next_hop: NextHopSlot, mtu: u16) {
    let headers = if packet.is_v6() { 60 } else { 40 };
    let behind = path_behind(context, packet, next_hop, mtu);
    let (l4, partial) = (usize::from(packet.parsed.l4), packet.frame.is_partial());
    let Some(Ok(mut segment)) = packet.frame.data_mut().get_mut(l4..).map(Tcp::new_checked) else {
        return;
    };
    let most = mtu.saturating_sub(headers);
    match (behind, segment.mss()) {
        // Who says less than its path carries has a reason: its segments are not ours to cut.
        (Some(behind), Some(said)) if said >= behind.saturating_sub(headers) => {
            segment.set_mss(raised(behind.saturating_sub(headers), most), partial);
        }
        _ => {
            segment.clamp_mss(most, partial);
        }
    }
}

/// The most that a path with room for `unit` bytes of segment is worth where `most` fit.
fn raised(unit: u16, most: u16) -> u16 {
    let data = unit.saturating_sub(TIMESTAMPS).max(1);
    let units = (most.saturating_sub(TIMESTAMPS) / data).min(MOST_UNITS);
    (units * data).saturating_add(TIMESTAMPS).max(unit.min(most))
}

/// The MTU of the path that answers to this packet take, where it is less than that of the workload's port which the packet goes to.
fn path_behind(context: &Context<'_>, packet: &Packet, next_hop: NextHopSlot, mtu: u16) -> Option<u16> {
    let tables = context.tables;
    let carries_whole = |slot: NextHopSlot| match &tables.next_hop(slot)?.action {
        Action::Port(hop) => Some(tables.port(hop.port)?.carries_whole()),
        _ => None,
    };
    carries_whole(next_hop).filter(|whole| *whole)?;
    let back = decide::next_hop(tables, tables.vrf(packet.vrf)?, packet.source(), packet.hash, None)?;
    let behind = match &tables.next_hop(back)?.action {
        Action::Port(hop) => tables.port(hop.port)?.mtu,
        Action::Tunnel(hop) => hop.path.as_ref()?.mtu,
        _ => return None,
    };
    (behind < mtu).then_some(behind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_segment_is_so_many_full_ones() {
        // 1398 bytes of data and the timestamps in each.
        assert_eq!(raised(1410, 59_960), 16 * 1398 + 12);
        assert_eq!(raised(1410, 9000), 6 * 1398 + 12);
        assert_eq!(raised(8910, 59_960), 6 * 8898 + 12);
        // Not even two fit.
        assert_eq!(raised(1410, 2000), 1410);
        assert_eq!(raised(1410, 1000), 1000);
        assert_eq!(raised(0, 59_960), 16 + 12);
        assert_eq!(raised(u16::MAX, u16::MAX), u16::MAX);
    }
}
