//! Policies of endpoints, merged into policies of ports.
//!
//! The policies that apply to an endpoint are one set. Endpoints of one network with the same set share one dataplane policy: the rules of all of
//! them, the smallest priority first; of equal ones those that deny, then those that audit, then by names. A rule keeps its number while others
//! come and go.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use vrouter_proto::dataplane::{self as pb, object::Object};

use super::{
    ids,
    number::numbers,
    objects::object,
    plan::{Made, Owner, Unit},
    vocabulary::{Choice, Range, Vocabulary},
};
use crate::{
    model::{DefaultVerdict, Direction, Endpoint, Name, Network, Peer, Policy, Rule, RuleAction, Traffic},
    state::State,
};

/// Names of the policies that apply to an endpoint, sorted.
pub(super) type Applied = Arc<[Name]>;

/// What all policies of local endpoints are made into.
#[derive(Debug, Default)]
pub(super) struct Rules {
    ids: BTreeMap<(Name, Applied), u32>,
    pub(super) units: Vec<Unit>,
    words: BTreeMap<Name, Vocabulary>,
}

/// The policies that apply to an endpoint.
pub(super) fn applied(state: &State, endpoint: &Endpoint) -> Applied {
    state
        .policies_for(endpoint)
        .into_iter()
        .map(|policy| policy.name.clone())
        .collect()
}

impl Rules {
    /// Compiles the sets of policies in use, each with the network of the endpoints that it is for.
    pub(super) fn new(state: &State, sets: &BTreeSet<(Name, Applied)>) -> Self {
        let merged: Vec<Merged> = sets.iter().filter_map(|(n, set)| Merged::new(state, n, set)).collect();
        let policy_numbers = numbers(&merged.iter().map(Merged::text).collect(), 1, u32::MAX - 1);
        let ranges: BTreeSet<String> = merged
            .iter()
            .flat_map(Merged::ranges)
            .map(|range| range.to_string())
            .collect();
        let range_numbers = numbers(&ranges, ids::PREFIX_GROUPS, ids::PREFIX_GROUP_COUNT);
        let mut rules = Self::default();
        let mut made: BTreeMap<Name, Made> = BTreeMap::new();
        for policy in &merged {
            let Some(id) = policy_numbers.get(&policy.text()).copied() else {
                continue;
            };
            let words = rules.words.entry(policy.network.name.clone()).or_default();
            let mut translate = |peer: &Peer| match peer {
                Peer::Group(name) => {
                    let choice = Choice::of(state, name)?;
                    let number = choice.number;
                    words.groups.insert(name.clone(), choice);
                    Some(number)
                }
                Peer::Network(name) => {
                    let number = state.network(name)?.number;
                    words.networks.insert(name.clone(), number);
                    Some(ids::network_group(number))
                }
                Peer::Cidr { .. } => {
                    let range = range(peer)?;
                    let number = *range_numbers.get(&range.to_string())?;
                    words.ranges.insert(range, number);
                    Some(number)
                }
            };
            let compiled = policy.compile(id, &mut translate);
            made.entry(policy.network.name.clone()).or_default().own(compiled);
            rules.ids.insert((policy.network.name.clone(), policy.set.clone()), id);
        }
        rules.units = made
            .into_iter()
            .map(|(network, made)| Unit::new(Owner::Policies(network), made))
            .collect();
        rules
    }

    /// The dataplane policy for endpoints of a network that these policies apply to; 0: none is needed.
    pub(super) fn id(&self, network: &Name, set: &Applied) -> u32 {
        self.ids.get(&(network.clone(), set.clone())).copied().unwrap_or(0)
    }

    /// What the policies of a network's endpoints tell apart.
    pub(super) fn words(&self, network: &Name) -> Option<&Vocabulary> {
        self.words.get(network)
    }
}

fn range(peer: &Peer) -> Option<Range> {
    let Peer::Cidr { prefix, except } = peer else {
        return None;
    };
    let mut except: Vec<_> = except.iter().map(|p| p.cidr()).collect();
    except.sort_unstable();
    except.dedup();
    Some(Range {
        cidr: prefix.cidr(),
        except,
    })
}

/// One set of policies in one network.
struct Merged {
    network: Arc<Network>,
    set: Applied,
    policies: Vec<Arc<Policy>>,
}

impl Merged {
    /// `None`: nothing is ever refused, so no policy is needed.
    fn new(state: &State, network: &Name, set: &Applied) -> Option<Self> {
        let network = state.network(network)?.clone();
        let policies: Vec<_> = set.iter().filter_map(|name| state.policy(name).cloned()).collect();
        let open = network.default_ingress == DefaultVerdict::Allow && network.default_egress == DefaultVerdict::Allow;
        (!policies.is_empty() || !open).then(|| Self {
            network,
            set: set.clone(),
            policies,
        })
    }

    /// What it is numbered by.
    fn text(&self) -> String {
        let policies: Vec<String> = self.policies.iter().map(|p| p.number.to_string()).collect();
        format!("network {} policies {}", self.network.number, policies.join(" "))
    }

    fn rules(&self) -> impl Iterator<Item = (&Name, &Rule)> {
        self.policies
            .iter()
            .flat_map(|policy| policy.spec.rules.iter().map(|rule| (&policy.name, rule)))
    }

    fn ranges(&self) -> impl Iterator<Item = Range> {
        self.rules().flat_map(|(_, rule)| rule.peers.iter().filter_map(range))
    }

    fn compile(&self, id: u32, translate: &mut impl FnMut(&Peer) -> Option<u32>) -> pb::Object {
        let names = self.rules().map(|(policy, rule)| full_name(policy, rule)).collect();
        let rule_numbers = numbers(&names, 1, u32::MAX - 1);
        let mut side = |direction: Direction| {
            let mut rules: Vec<(&Name, &Rule)> = self.rules().filter(|(_, r)| r.direction == direction).collect();
            rules.sort_by_key(|(policy, rule)| (rule.priority, rank(rule.action), *policy, &rule.name));
            rules
                .into_iter()
                .filter_map(|(policy, rule)| {
                    let name = full_name(policy, rule);
                    let id = *rule_numbers.get(&name)?;
                    let mut groups: Vec<u32> = rule.peers.iter().filter_map(&mut *translate).collect();
                    if groups.is_empty() && !rule.peers.is_empty() {
                        // Its peers are all gone. Without groups it would be about anybody.
                        return None;
                    }
                    groups.sort_unstable();
                    groups.dedup();
                    Some(pb::Rule {
                        id,
                        name,
                        groups,
                        traffic: rule.traffic.iter().map(traffic).collect(),
                        verdict: verdict(rule.action).into(),
                        log: rule.log,
                    })
                })
                .collect()
        };
        let (egress, ingress) = (side(Direction::Egress), side(Direction::Ingress));
        let default = |isolated: bool, default: DefaultVerdict| match default {
            DefaultVerdict::Allow if !isolated => pb::Verdict::Allow.into(),
            DefaultVerdict::Allow | DefaultVerdict::Deny => pb::Verdict::Deny.into(),
        };
        let isolated = |of: fn(&Policy) -> bool| self.policies.iter().any(|p| of(p));
        let names: Vec<&str> = self.policies.iter().map(|p| p.name.as_str()).collect();
        object(Object::Policy(pb::Policy {
            id,
            name: format!("{}: {}", self.network.name, names.join(" + ")),
            egress,
            ingress,
            egress_default: default(isolated(|p| p.spec.isolate_egress), self.network.default_egress),
            ingress_default: default(isolated(|p| p.spec.isolate_ingress), self.network.default_ingress),
        }))
    }
}

fn full_name(policy: &Name, rule: &Rule) -> String {
    format!("{policy}/{}", rule.name)
}

fn rank(action: RuleAction) -> u8 {
    match action {
        RuleAction::Deny => 0,
        RuleAction::Audit => 1,
        RuleAction::Allow => 2,
    }
}

fn verdict(action: RuleAction) -> pb::Verdict {
    match action {
        RuleAction::Allow => pb::Verdict::Allow,
        RuleAction::Deny => pb::Verdict::Deny,
        RuleAction::Audit => pb::Verdict::Audit,
    }
}

pub(super) fn traffic(traffic: &Traffic) -> pb::Traffic {
    pb::Traffic {
        protocol: traffic.protocol.map_or(0, |p| p.number().into()),
        first_port: traffic.ports.map_or(0, |p| p.first().into()),
        last_port: traffic.ports.map_or(0, |p| p.last().into()),
        icmp_type: traffic.icmp_type.map(u32::from),
        icmp_code: traffic.icmp_code.map(u32::from),
    }
}
