//! The largest IP packet of a network's workloads.

use crate::{
    model::{Family, Network, WorkloadMtu},
    state::State,
};

/// MTU of an underlay that nobody told of: Ethernet's.
const DEFAULT_UNDERLAY: u32 = 1500;

/// What a routed workload's stack hands over at a time: as much as a veth carries best. Nodes cut TCP segments to what a path
/// carries, and tell senders of anything else.
const WHOLE: u32 = 60_000;

/// The largest IP packet of a network's workloads in bytes: as wished, else [`WHOLE`] where it is routed. Where it is bridged, nobody could
/// tell a sender, and it is what every node's underlay carries after encapsulation: where any node lacks an IPv4 tunnel address, or lists
/// IPv6 first, the larger IPv6 header is reckoned with.
#[must_use]
pub fn workload_mtu(state: &State, network: &Network) -> u32 {
    if let Some(wished) = network.mtu {
        return wished.bytes();
    }
    if !network.bridged {
        return WHOLE;
    }
    let mut underlay = u32::MAX;
    let mut family = Family::V4;
    for node in state.nodes() {
        let said = state.observed(&node.name).map_or(0, |o| o.underlay_mtu);
        if said > 0 {
            underlay = underlay.min(said);
        }
        if state
            .vteps(node)
            .addresses()
            .first()
            .is_some_and(|first| Family::of(*first) == Family::V6)
        {
            family = Family::V6;
        }
    }
    if underlay == u32::MAX {
        underlay = DEFAULT_UNDERLAY;
    }
    underlay
        .saturating_sub(network.encapsulation.overhead(family))
        .clamp(WorkloadMtu::MIN, WorkloadMtu::MAX)
}
