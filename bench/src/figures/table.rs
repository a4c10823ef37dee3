//! Which figures there are, and what each is to be.
//!
//! Targets and those of the peer are for IPv4, 64-byte packets, one core. The peer is VPP, measured with its own packet generator on
//! machines of this kind (2.6 GHz), where one vector is one batch of 256 packets unless said otherwise. The IPv6 figure
//! beside each is held against the same numbers.

/// What a figure counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    /// Nanoseconds per packet. Target and peer are in clocks of the time stamp counter.
    Nanoseconds,
    /// Resident bytes per object.
    Bytes,
    /// Seconds of wall time.
    Seconds,
}

impl Unit {
    /// As written in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nanoseconds => "ns",
            Self::Bytes => "bytes",
            Self::Seconds => "s",
        }
    }
}

/// One figure, measured for IPv4 and, with `_v6` behind the name, for IPv6.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Figure {
    /// Its name for IPv4.
    pub name: &'static str,
    /// What is measured, for people.
    pub what: &'static str,
    /// What it counts.
    pub unit: Unit,
    /// What it is to be at most: clocks per packet, or bytes. `None`: there is no target.
    pub target: Option<f64>,
    /// What VPP needs for the same, in the same unit as the target.
    pub peer: Option<f64>,
}

const fn clocks(name: &'static str, what: &'static str, target: u32, peer: u32) -> Figure {
    figure(name, what, Unit::Nanoseconds, Some(target as f64), Some(peer as f64))
}

const fn figure(name: &'static str, what: &'static str, unit: Unit, target: Option<f64>, peer: Option<f64>) -> Figure {
    Figure {
        name,
        what,
        unit,
        target,
        peer,
    }
}

/// All figures, in the order in which they are shown.
pub const FIGURES: [Figure; 18] = [
    clocks("route_1", "plain routing, 1 flow, 1 route", 45, 42),
    clocks(
        "route_1m",
        "plain routing, 1M routes and destinations at random",
        120,
        187,
    ),
    clocks("flow_hit_10k", "stateful policy hit, 10k flows", 55, 81),
    clocks("flow_hit_1m", "stateful policy hit, 1M flows", 110, 187),
    clocks(
        "vxlan_encap_10k",
        "routed VXLAN encapsulation, no policy, 10k flows",
        60,
        99,
    ),
    clocks(
        "vxlan_decap_10k",
        "routed VXLAN decapsulation, no policy, 10k flows",
        80,
        132,
    ),
    clocks(
        "mplsudp_encap_10k",
        "MPLS over UDP encapsulation, no policy, 10k flows",
        60,
        106,
    ),
    clocks(
        "mplsudp_decap_10k",
        "MPLS over UDP decapsulation, no policy, 10k flows",
        80,
        144,
    ),
    clocks(
        "policy_vxlan_encap_10k",
        "stateful policy, route and VXLAN encapsulation, 10k flows",
        80,
        137,
    ),
    clocks(
        "policy_vxlan_encap_1m",
        "stateful policy, route and VXLAN encapsulation, 1M flows",
        150,
        243,
    ),
    clocks("nat_hit_10k", "established source NAT, 10k sessions", 90, 149),
    clocks("nat_hit_1m", "established source NAT, 1M sessions", 180, 431),
    clocks(
        "flow_setup",
        "new flow: policy decided, pair inserted, an old one ended",
        500,
        830,
    ),
    clocks("nat_setup", "new source NAT session, an old one ended", 800, 1500),
    clocks("route_1_batch1", "plain routing, one packet per batch", 120, 649),
    figure(
        "flow_bytes",
        "memory per stateful flow (pair) at 1M",
        Unit::Bytes,
        Some(256.0),
        Some(318.0),
    ),
    figure(
        "route_bytes",
        "memory per route at 1M",
        Unit::Bytes,
        Some(32.0),
        Some(396.0),
    ),
    figure(
        "route_load_1m",
        "1M routes over gRPC into a running vrouterd",
        Unit::Seconds,
        None,
        None,
    ),
];

/// What stands behind the name of a figure that is for IPv6.
pub const V6: &str = "_v6";

/// A name without what says IPv6, and whether it did.
#[must_use]
pub fn family(name: &str) -> (&str, bool) {
    name.strip_suffix(V6).map_or((name, false), |name| (name, true))
}

/// The figure that a name (of either family) means.
#[must_use]
pub fn find(name: &str) -> Option<&'static Figure> {
    let (name, _) = family(name);
    FIGURES.iter().find(|figure| figure.name == name)
}

/// The names of all figures, each for IPv4 and then for IPv6.
pub fn names() -> impl Iterator<Item = String> {
    FIGURES
        .iter()
        .flat_map(|figure| [figure.name.to_owned(), format!("{}{V6}", figure.name)])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Others read the JSON by these names.
    const PROMISED: [&str; 18] = [
        "route_1",
        "route_1m",
        "flow_hit_10k",
        "flow_hit_1m",
        "vxlan_encap_10k",
        "vxlan_decap_10k",
        "mplsudp_encap_10k",
        "mplsudp_decap_10k",
        "policy_vxlan_encap_10k",
        "policy_vxlan_encap_1m",
        "nat_hit_10k",
        "nat_hit_1m",
        "flow_setup",
        "nat_setup",
        "route_1_batch1",
        "flow_bytes",
        "route_bytes",
        "route_load_1m",
    ];

    #[test]
    fn every_promised_name_is_there_with_ipv6_beside_it_and_no_other() {
        let mut found = names();
        for name in PROMISED {
            assert_eq!(found.next().as_deref(), Some(name));
            assert_eq!(found.next(), Some(format!("{name}_v6")));
        }
        assert_eq!(found.next(), None);
    }

    #[test]
    fn a_name_of_either_family_finds_its_figure() {
        for name in names() {
            assert_eq!(find(&name).map(|figure| figure.name), Some(family(&name).0));
        }
        assert_eq!(find("route"), None);
        assert_eq!(find("_v6"), None);
    }
}
