//! What policies tell apart: the groups, networks and prefixes that they name as peers. Only what policies of local endpoints name is in a
//! dataplane's identities, so a group costs nothing where nobody speaks of it, and a policy is as large for 10,000 members as for one.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
};

use super::ids;
use crate::{
    model::{Cidr, Family, Name},
    state::State,
};

/// A prefix less its exceptions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Range {
    pub(super) cidr: Cidr,
    /// Sorted.
    pub(super) except: Vec<Cidr>,
}

impl Range {
    /// Whether all of `cidr` is in it. Of prefixes, one contains the other or they have nothing in common; so, where every exception is looked up
    /// as a prefix of its own, nothing is ever half in it.
    fn contains(&self, cidr: Cidr) -> bool {
        self.cidr.covers(cidr) && !self.except.iter().any(|except| except.covers(cidr))
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.cidr)?;
        self.except.iter().try_for_each(|except| write!(f, " except {except}"))
    }
}

/// The prefix of one address.
pub(super) fn host(address: IpAddr) -> Cidr {
    Cidr::covering(address, Family::of(address).bits())
}

/// Whether a prefix is of one address.
pub(super) fn is_host(cidr: Cidr) -> bool {
    cidr.length() == cidr.family().bits()
}

/// A group as of one revision of it and of all groups within it: equal where the members by name and label are chosen alike.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Choice {
    pub(super) number: u32,
    revisions: Vec<u64>,
}

impl Choice {
    /// `None`: there is no such group.
    pub(super) fn of(state: &State, name: &Name) -> Option<Self> {
        let number = state.group(name)?.number;
        let mut seen = BTreeSet::new();
        let mut revisions = Vec::new();
        let mut next = vec![name];
        while let Some(name) = next.pop() {
            if let Some(group) = state.group(name).filter(|_| seen.insert(name)) {
                revisions.push(group.revision);
                next.extend(&group.spec.groups);
            }
        }
        Some(Self { number, revisions })
    }
}

/// The peers that policies name, with the groups that stand for them in a dataplane.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Vocabulary {
    pub(super) groups: BTreeMap<Name, Choice>,
    pub(super) networks: BTreeMap<Name, u32>,
    pub(super) ranges: BTreeMap<Range, u32>,
}

impl Vocabulary {
    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty() && self.networks.is_empty() && self.ranges.is_empty()
    }

    /// The groups that stand for an endpoint of `network` that is in `groups`, whatever its addresses; sorted.
    pub(super) fn of_endpoint(&self, network: &Name, groups: &BTreeSet<Name>) -> Vec<u32> {
        let mut all: Vec<u32> = groups
            .iter()
            .filter_map(|name| Some(self.groups.get(name)?.number))
            .chain(self.networks.get(network).map(|n| ids::network_group(*n)))
            .collect();
        all.sort_unstable();
        all
    }

    /// `groups` and those that stand for prefixes around `cidr`; sorted.
    pub(super) fn with_ranges(&self, groups: &[u32], cidr: Cidr) -> Vec<u32> {
        let around = self.ranges.iter().filter(|(range, _)| range.contains(cidr));
        let mut all: Vec<u32> = groups.iter().copied().chain(around.map(|(_, n)| *n)).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The identities of all prefixes: those that policies name, their exceptions, and `wide`, prefixes that endpoints may use, with the groups
    /// of these endpoints. The groups of a prefix are those of its smallest wide prefix and of all ranges around it.
    pub(super) fn prefixes(&self, wide: &BTreeMap<Cidr, BTreeSet<u32>>) -> BTreeMap<Cidr, Vec<u32>> {
        let named = self
            .ranges
            .keys()
            .flat_map(|range| range.except.iter().copied().chain([range.cidr]));
        let all: BTreeSet<Cidr> = named.chain(wide.keys().copied()).collect();
        all.into_iter()
            .map(|cidr| {
                let owner = wide
                    .iter()
                    .filter(|(of, _)| of.covers(cidr))
                    .max_by_key(|(of, _)| of.length());
                let groups: Vec<u32> = owner
                    .into_iter()
                    .flat_map(|(_, groups)| groups.iter().copied())
                    .collect();
                (cidr, self.with_ranges(&groups, cidr))
            })
            .collect()
    }

    pub(super) fn extend(&mut self, other: &Self) {
        self.groups
            .extend(other.groups.iter().map(|(n, c)| (n.clone(), c.clone())));
        self.networks
            .extend(other.networks.iter().map(|(n, g)| (n.clone(), *g)));
        self.ranges.extend(other.ranges.iter().map(|(r, g)| (r.clone(), *g)));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cidr(text: &str) -> Cidr {
        let (address, length) = text.split_once('/').unwrap();
        Cidr::covering(address.parse().unwrap(), length.parse().unwrap())
    }

    fn range(text: &str, except: &[&str]) -> Range {
        Range {
            cidr: cidr(text),
            except: except.iter().map(|t| cidr(t)).collect(),
        }
    }

    fn vocabulary(ranges: &[Range]) -> Vocabulary {
        Vocabulary {
            ranges: ranges.iter().cloned().zip(100..).collect(),
            ..Vocabulary::default()
        }
    }

    fn lines(found: &BTreeMap<Cidr, Vec<u32>>) -> Vec<String> {
        found.iter().map(|(c, g)| format!("{c} {g:?}")).collect()
    }

    #[test]
    fn an_exception_is_a_hole_and_inner_prefixes_carry_the_outer_ones() {
        let words = vocabulary(&[
            range("0.0.0.0/0", &["10.0.0.0/8"]),
            range("10.1.0.0/16", &[]),
            range("fd00::/8", &["fd00:1::/32"]),
        ]);
        assert_eq!(
            lines(&words.prefixes(&BTreeMap::new())),
            [
                "0.0.0.0/0 [100]",
                "10.0.0.0/8 []",
                "10.1.0.0/16 [101]",
                "fd00::/8 [102]",
                "fd00:1::/32 []",
            ]
        );
        assert_eq!(words.with_ranges(&[7], cidr("10.1.2.3/32")), [7, 101]);
        assert_eq!(words.with_ranges(&[7], cidr("192.0.2.1/32")), [7, 100]);
        assert_eq!(words.with_ranges(&[], cidr("fd00:1::5/128")), [0_u32; 0]);
    }

    #[test]
    fn a_prefix_within_what_an_endpoint_may_use_keeps_the_endpoints_groups() {
        let words = vocabulary(&[range("10.9.0.0/28", &[])]);
        let wide = BTreeMap::from([(cidr("10.9.0.0/24"), BTreeSet::from([5, 6]))]);
        assert_eq!(
            lines(&words.prefixes(&wide)),
            ["10.9.0.0/24 [5, 6]", "10.9.0.0/28 [5, 6, 100]"]
        );
    }

    fn any_cidr() -> impl Strategy<Value = Cidr> {
        (any::<u8>(), 24_u8..=32).prop_map(|(host, length)| Cidr::covering([10, 0, 0, host].into(), length))
    }

    proptest! {
        /// The longest prefix says of every address what asking every range would say.
        #[test]
        fn the_longest_prefix_agrees_with_every_range(
            ranges in prop::collection::vec((any_cidr(), prop::collection::vec(any_cidr(), 0..3)), 0..6),
        ) {
            let ranges: BTreeSet<Range> = ranges.into_iter().map(|(cidr, except)| Range { cidr, except }).collect();
            let ranges: Vec<Range> = ranges.into_iter().collect();
            let words = vocabulary(&ranges);
            let prefixes = words.prefixes(&BTreeMap::new());
            for host in 0..=255_u8 {
                let address: IpAddr = [10, 0, 0, host].into();
                let longest = prefixes.iter().filter(|(c, _)| c.contains(address)).max_by_key(|(c, _)| c.length());
                let found = longest.map(|(_, groups)| groups.clone()).unwrap_or_default();
                let asked: Vec<u32> = words.ranges.iter()
                    .filter(|(r, _)| r.cidr.contains(address) && !r.except.iter().any(|e| e.contains(address)))
                    .map(|(_, n)| *n).collect();
                let mut asked = asked;
                asked.sort_unstable();
                prop_assert_eq!(found, asked);
            }
        }
    }
}
