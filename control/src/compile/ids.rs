//! How numbers of the intent become identifiers of the dataplane. Ports, VRFs and bridges carry the number of their endpoint or network as
//! it is. Next hops are numbered in decimal fields, so that a person can read them:
//!
//! | identifier | next hop |
//! |---|---|
//! | 1 | the router itself |
//! | 1,000,000,000 + E | port of endpoint E |
//! | 2,000,000,000 + E | endpoint E, elsewhere |
//! | 3,000,000,000 + N | flood of network N |
//! | 1,000,000,000,000,000 + N * 1,000,000,000 + K | node K, in network N |
//!
//! Identifiers outside of these ranges belong to somebody else (a BGP speaker, say) and are left alone.

const ENDPOINT_PORT: u64 = 1_000_000_000;
const ENDPOINT_ELSEWHERE: u64 = 2_000_000_000;
const FLOOD: u64 = 3_000_000_000;
const FLOOD_END: u64 = 4_000_000_000;
const TUNNEL: u64 = 1_000_000_000_000_000;
const TUNNEL_END: u64 = 2_000_000_000_000_000;

/// First label that is not special (RFC 3032).
const FIRST_LABEL: u32 = 16;
/// First label of endpoints; below are networks.
const ENDPOINT_LABELS: u32 = 1 << 17;
const LABEL_END: u32 = 1 << 20;

/// The router itself.
pub(super) const LOCAL: u64 = 1;

/// The port of an endpoint.
pub(super) fn port(endpoint: u32) -> u64 {
    ENDPOINT_PORT + u64::from(endpoint)
}

/// An endpoint elsewhere.
pub(super) fn elsewhere(endpoint: u32) -> u64 {
    ENDPOINT_ELSEWHERE + u64::from(endpoint)
}

/// Ingress replication of a network.
pub(super) fn flood(network: u32) -> u64 {
    FLOOD + u64::from(network)
}

/// The tunnel to a node that all endpoints of a network there share.
#[must_use]
pub fn shared_tunnel(network: u32, node: u32) -> u64 {
    TUNNEL + u64::from(network) * 1_000_000_000 + u64::from(node)
}

/// Whether a next hop's identifier is one that is given here.
#[must_use]
pub fn is_ours(next_hop: u64) -> bool {
    next_hop == LOCAL || (ENDPOINT_PORT..FLOOD_END).contains(&next_hop) || (TUNNEL..TUNNEL_END).contains(&next_hop)
}

/// The label that every node hosting a network binds to its VRF.
pub(super) fn network_label(network: u32) -> u32 {
    FIRST_LABEL + network
}

/// The label that an endpoint's node binds to its port; `None` beyond the label space.
pub(super) fn endpoint_label(endpoint: u32) -> Option<u32> {
    ENDPOINT_LABELS.checked_add(endpoint).filter(|label| *label < LABEL_END)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_do_not_meet() {
        let (most, networks) = (0xff_ffff, 131_055);
        let ends = [
            (LOCAL, LOCAL),
            (port(1), port(most)),
            (elsewhere(1), elsewhere(most)),
            (flood(1), flood(networks)),
            (shared_tunnel(1, 1), shared_tunnel(networks, most)),
        ];
        assert!(ends.windows(2).all(|w| w[0].1 < w[1].0));
        assert!(ends.iter().all(|(a, b)| is_ours(*a) && is_ours(*b)));
        assert!(shared_tunnel(1, most) < shared_tunnel(2, 1));
        assert!(!is_ours(2) && !is_ours(7_000_000_000) && !is_ours(u64::MAX));
        assert!(network_label(1) >= 16 && network_label(networks) < ENDPOINT_LABELS);
        assert_eq!(endpoint_label(917_503), Some(1_048_575));
        assert_eq!(endpoint_label(917_504), None);
    }
}
