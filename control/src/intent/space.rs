//! Address space that networks share because routers join them: an address may mean one thing only, wherever it can be reached from.

use std::collections::BTreeSet;

use super::Refusal;
use crate::{
    model::{Cidr, Name, Prefix, RouteLeak, number},
    state::State,
};

/// Addresses that mean something in a network.
#[derive(Debug, Clone)]
struct Part {
    cidr: Cidr,
    network: Name,
    /// In words: "subnet v4".
    what: String,
}

/// The addresses of a network itself: its subnets, and the addresses of its services that are in none.
fn own(state: &State, network: &Name) -> Vec<Part> {
    let part = |cidr, what| Part {
        cidr,
        network: network.clone(),
        what,
    };
    let mut all: Vec<Part> = state
        .subnets_of(network)
        .map(|s| part(s.cidr, format!("subnet {}", s.name)))
        .collect();
    for service in state.services_of(network) {
        let outside = service
            .given
            .iter()
            .filter(|a| state.subnet_around(network, **a).is_none());
        all.extend(outside.map(|a| part(Prefix::host(*a).cidr(), format!("service {}", service.name))));
    }
    all
}

/// The parts of a network's subnets that a leak names.
pub(super) fn leaked(state: &State, leak: &RouteLeak) -> Vec<Cidr> {
    let prefix = leak.prefix.cidr();
    state
        .subnets_of(&leak.from)
        .filter_map(|s| {
            if s.cidr.covers(prefix) {
                Some(prefix)
            } else {
                prefix.covers(s.cidr).then_some(s.cidr)
            }
        })
        .collect()
}

/// Networks that see something of this one: itself, those joined with it, and those that something of it is leaked to.
fn seen_from(state: &State, network: &Name) -> BTreeSet<Name> {
    let mut all = state.joined(network);
    all.insert(network.clone());
    for router in state.routers_of(network) {
        let leaks = router.spec.leaks.iter().filter(|leak| leak.from == *network);
        all.extend(leaks.map(|leak| leak.to.clone()));
    }
    all
}

/// Refuses when, after a change of `networks`, an address means two things in one of the networks that see them.
pub(super) fn check<'a>(
    state: &State,
    networks: impl IntoIterator<Item = &'a Name>,
    field: &str,
) -> Result<(), Refusal> {
    let mut viewers = BTreeSet::new();
    for network in networks {
        viewers.extend(seen_from(state, network));
    }
    let mut done = BTreeSet::new();
    for viewer in viewers {
        let mut seen = state.joined(&viewer);
        seen.insert(viewer.clone());
        let leaks: Vec<&RouteLeak> = state
            .routers_of(&viewer)
            .flat_map(|r| &r.spec.leaks)
            .filter(|leak| leak.to == viewer)
            .collect();
        // Networks that one router joins see the same: once is enough.
        if leaks.is_empty() && !done.insert(seen.clone()) {
            continue;
        }
        let mut parts: Vec<Part> = seen.iter().flat_map(|network| own(state, network)).collect();
        for leak in leaks {
            parts.extend(leaked(state, leak).into_iter().map(|cidr| Part {
                cidr,
                network: leak.from.clone(),
                what: "what is leaked".to_owned(),
            }));
        }
        if let Some((one, other)) = conflict(parts) {
            let message = format!(
                "{} ({} of network {}) overlaps {} ({} of network {}), and network {viewer} would reach both",
                other.cidr, other.what, other.network, one.cidr, one.what, one.network
            );
            return Err(Refusal::taken(field, message));
        }
    }
    Ok(())
}

/// Two parts of different networks that overlap.
fn conflict(mut parts: Vec<Part>) -> Option<(Part, Part)> {
    parts.sort_by_key(|p| (p.cidr.family(), p.cidr.first(), u128::MAX - p.cidr.last()));
    // Prefixes nest or are apart: those around the current one form a stack.
    let mut around: Vec<Part> = Vec::new();
    for part in parts {
        while around.last().is_some_and(|outer| !outer.cidr.covers(part.cidr)) {
            around.pop();
        }
        if let Some(other) = around.iter().find(|outer| outer.network != part.network) {
            return Some((other.clone(), part));
        }
        around.push(part);
    }
    None
}

/// The subnet of another network, joined with `network`, that all of `prefix` is in; with its network's name.
pub(super) fn foreign(state: &State, network: &Name, prefix: Prefix) -> Option<(Name, Cidr)> {
    let joined = state.joined(network);
    let around = |n: &Name| {
        let subnet = state.subnets_of(n).find(|s| s.cidr.covers(prefix.cidr()))?;
        Some((n.clone(), subnet.cidr))
    };
    joined.iter().find_map(around)
}

/// Refuses a new subnet that addresses handed out already (of services, which may be outside of subnets) do not fit into.
pub(super) fn check_handed_out(state: &State, subnet: &crate::model::Subnet) -> Result<(), Refusal> {
    let (first, last) = subnet.cidr.hosts();
    for allocation in state.allocations_in(subnet) {
        let (address, holder) = (allocation.address, &allocation.holder);
        let message = if address == subnet.gateway {
            format!("{address} would be its gateway, but is in use by {holder}")
        } else if subnet.reserved.iter().any(|range| range.contains(address)) {
            format!("{address} would be reserved, but is in use by {holder}")
        } else if !(first..=last).contains(&number(address)) {
            format!("{address} is in use by {holder}, but would be no host address of it")
        } else {
            continue;
        };
        return Err(Refusal::taken("subnet.cidr", message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The stack finds an overlap exactly when comparing each with each does.
        #[test]
        fn overlaps_are_found(parts in prop::collection::vec((0_u32..64, 24_u8..=32, 0_u8..3, any::<bool>()), 0..12)) {
            let parts: Vec<Part> = parts
                .into_iter()
                .map(|(low, length, network, six)| {
                    let address = if six {
                        std::net::Ipv6Addr::from(u128::from(low)).into()
                    } else {
                        std::net::Ipv4Addr::from(low).into()
                    };
                    let length = if six { length + 96 } else { length };
                    Part {
                        cidr: Cidr::covering(address, length),
                        network: Name::new(&format!("n{network}")).unwrap(),
                        what: String::new(),
                    }
                })
                .collect();
            let naive = parts
                .iter()
                .any(|a| parts.iter().any(|b| a.network != b.network && a.cidr.overlaps(b.cidr)));
            let found = conflict(parts);
            prop_assert_eq!(found.is_some(), naive);
            if let Some((one, other)) = found {
                prop_assert!(one.network != other.network && one.cidr.overlaps(other.cidr));
            }
        }
    }
}
