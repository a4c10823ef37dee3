//! Routes: offers of prefixes.

use crate::wire::IpPrefix;

/// A route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteSpec {
    /// VRF.
    pub vrf: u32,
    /// Destinations.
    pub prefix: IpPrefix,
    /// Next hop.
    pub next_hop: u64,
    /// Who offers it, 0..=15.
    pub source: u8,
    /// Smallest wins, 0..=15.
    pub preference: u8,
}

/// Key of a route: one offer of one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RouteKey {
    /// VRF.
    pub vrf: u32,
    /// Destinations.
    pub prefix: IpPrefix,
    /// Who offers it.
    pub source: u8,
}
