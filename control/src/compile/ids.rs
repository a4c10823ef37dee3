//! How numbers of the intent become identifiers of the dataplane. Ports, VRFs and bridges carry the number of their endpoint or network as
//! it is. Next hops are numbered in decimal fields, so that a person can read them:
//!
//! | identifier | next hop |
//! |---|---|
//! | 1 | the router itself |
//! | 2 | nobody: addresses of a network's subnets that no endpoint has |
//! | 1,000,000,000 + E | port of endpoint E |
//! | 2,000,000,000 + E | endpoint E, elsewhere |
//! | 3,000,000,000 + N | flood of network N |
//! | 4,000,000,000 + N | VRF of the external network N, sources translated |
//! | 5,000,000,000 + N | the underlay's link, for the external network N |
//! | 6,000,000,000 + 10 * N + 4 (or 6) | the underlay's IPv4 (or IPv6) router, for the external network N |
//! | 7,000,000,000 + M | collector of mirror M |
//! | 1,000,000,000,000,000 + N * 1,000,000,000 + K | node K, in network N |
//!
//! Identifiers outside of these ranges belong to somebody else (a BGP speaker, say) and are left alone.
//!
//! Mirrors carry the number of the intent's mirror. Policies, services, source translations and health checks come of several wishes at once, so
//! they are numbered by what they are made for (`number`). Groups, as identities and policies name them:
//!
//! | group | who |
//! |---|---|
//! | below 16,777,216 (2^24) | the group of that number |
//! | 2^24 and more, below 2^28 | a prefix, less its exceptions, that a policy names; numbered by its text |
//! | 2^28 + N | all endpoints of network N |

use crate::model::Family;

const ENDPOINT_PORT: u64 = 1_000_000_000;
const ENDPOINT_ELSEWHERE: u64 = 2_000_000_000;
const FLOOD: u64 = 3_000_000_000;
const TO_VRF: u64 = 4_000_000_000;
const LINK: u64 = 5_000_000_000;
const ROUTER: u64 = 6_000_000_000;
const COLLECTOR: u64 = 7_000_000_000;
const COLLECTOR_END: u64 = 8_000_000_000;
const TUNNEL: u64 = 1_000_000_000_000_000;
const TUNNEL_END: u64 = 2_000_000_000_000_000;

/// First label that is not special (RFC 3032).
const FIRST_LABEL: u32 = 16;
/// First label of endpoints; below are networks.
const ENDPOINT_LABELS: u32 = 1 << 17;
const LABEL_END: u32 = 1 << 20;

/// The router itself.
pub(super) const LOCAL: u64 = 1;
/// Nobody.
pub(super) const NOBODY: u64 = 2;

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

/// The VRF of an external network, with sources translated.
pub(super) fn to_vrf(network: u32) -> u64 {
    TO_VRF + u64::from(network)
}

/// The underlay's link, for an external network.
pub(super) fn link(network: u32) -> u64 {
    LINK + u64::from(network)
}

/// The underlay's router, for an external network.
pub(super) fn router(network: u32, family: Family) -> u64 {
    let family = match family {
        Family::V4 => 4,
        Family::V6 => 6,
    };
    ROUTER + 10 * u64::from(network) + family
}

/// Where a mirror's copies go, when that is not an endpoint.
pub(super) fn collector(mirror: u32) -> u64 {
    COLLECTOR + u64::from(mirror)
}

/// First number of the groups that stand for prefixes.
pub(super) const PREFIX_GROUPS: u32 = 1 << 24;
/// How many there may be.
pub(super) const PREFIX_GROUP_COUNT: u32 = NETWORK_GROUPS - PREFIX_GROUPS;
const NETWORK_GROUPS: u32 = 1 << 28;

/// The group of all endpoints of a network.
pub(super) fn network_group(network: u32) -> u32 {
    NETWORK_GROUPS + network
}

/// The tunnel to a node that all endpoints of a network there share.
#[must_use]
pub fn shared_tunnel(network: u32, node: u32) -> u64 {
    TUNNEL + u64::from(network) * 1_000_000_000 + u64::from(node)
}

/// Whether a next hop's identifier is one that is given here.
#[must_use]
pub fn is_ours(next_hop: u64) -> bool {
    matches!(next_hop, LOCAL | NOBODY)
        || (ENDPOINT_PORT..COLLECTOR_END).contains(&next_hop)
        || (TUNNEL..TUNNEL_END).contains(&next_hop)
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
            (LOCAL, NOBODY),
            (port(1), port(most)),
            (elsewhere(1), elsewhere(most)),
            (flood(1), flood(networks)),
            (to_vrf(1), to_vrf(networks)),
            (link(1), link(networks)),
            (router(1, Family::V4), router(networks, Family::V6)),
            (collector(1), collector(most)),
            (shared_tunnel(1, 1), shared_tunnel(networks, most)),
        ];
        assert!(ends.windows(2).all(|w| w[0].1 < w[1].0));
        assert!(ends.iter().all(|(a, b)| is_ours(*a) && is_ours(*b)));
        assert!(shared_tunnel(1, most) < shared_tunnel(2, 1));
        assert!(!is_ours(3) && !is_ours(8_000_000_000) && !is_ours(u64::MAX));
        assert!(router(1, Family::V4) < router(1, Family::V6) && router(1, Family::V6) < router(2, Family::V4));
        assert!(PREFIX_GROUPS > most && PREFIX_GROUPS + PREFIX_GROUP_COUNT <= network_group(1));
        assert!(network_label(1) >= 16 && network_label(networks) < ENDPOINT_LABELS);
        assert_eq!(endpoint_label(917_503), Some(1_048_575));
        assert_eq!(endpoint_label(917_504), None);
    }
}
