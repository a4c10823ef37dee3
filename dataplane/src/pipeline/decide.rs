//! What to do with a packet, by the tables of one revision. Pure: nothing here changes anything.

use std::net::IpAddr;

use crate::tables::{Tables, forwarding::Vrf, next_hop::Action, slots::NextHopSlot};

/// The next hop for a destination: a port, a tunnel, the router itself or a drop; groups are resolved. A flow that was on a
/// member before stays there as long as it is one. `None`: no route.
pub(super) fn next_hop(
    tables: &Tables,
    vrf: &Vrf,
    destination: IpAddr,
    hash: u64,
    before: Option<NextHopSlot>,
) -> Option<NextHopSlot> {
    tables
        .route(vrf, destination)
        .map(|slot| member(tables, slot, hash, before))
}

/// The member of a group that a flow takes; any other next hop is its own.
pub(super) fn member(tables: &Tables, slot: NextHopSlot, hash: u64, before: Option<NextHopSlot>) -> NextHopSlot {
    match tables.next_hop(slot).map(|n| &n.action) {
        Some(Action::Group(group)) => before
            .filter(|before| group.members.iter().any(|m| m.0 == *before))
            .unwrap_or_else(|| group.pick(hash)),
        _ => slot,
    }
}
