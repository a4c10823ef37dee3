//! Policies, once compiled, say what a naive reading of the intent says.

use std::{collections::BTreeSet, net::IpAddr};

use proptest::prelude::*;

use super::{
    steps::{NODES, run, step, world},
    *,
};
use crate::{
    compile::{Owner, compile},
    model::{Cidr, DefaultVerdict, Direction, Endpoint, Peer, RuleAction},
};

/// Protocol and port of a packet.
type Packet = (u8, u16);

/// Whether an endpoint is in a group, by the words of the API.
fn is_in(state: &State, endpoint: &Endpoint, group: &Name) -> bool {
    let spec = &state.group(group).unwrap().spec;
    let selected = (!spec.match_labels.is_empty() || !spec.match_expressions.is_empty())
        && spec.match_labels.iter().all(|(k, v)| endpoint.labels.get(k) == Some(v))
        && spec.match_expressions.iter().all(|e| e.is_met(&endpoint.labels))
        && (spec.networks.is_empty() || spec.networks.contains(&endpoint.network));
    selected
        || spec
            .endpoints
            .iter()
            .any(|e| e.network == endpoint.network && e.name == endpoint.name)
        || spec.groups.iter().any(|inner| is_in(state, endpoint, inner))
}

/// What is to become of a packet between `endpoint` and `address`, which is `peer`'s if it is anybody's.
fn naive(
    state: &State,
    endpoint: &Endpoint,
    direction: Direction,
    peer: Option<&Endpoint>,
    address: IpAddr,
    packet: Packet,
) -> RuleAction {
    let applies = |policy: &&std::sync::Arc<crate::model::Policy>| {
        policy.spec.network.as_ref().is_none_or(|n| *n == endpoint.network)
            && policy
                .spec
                .applies_to
                .as_ref()
                .is_none_or(|g| is_in(state, endpoint, g))
    };
    let policies: Vec<_> = state.policies().filter(applies).collect();
    let is_peer = |wish: &Peer| match wish {
        Peer::Group(group) => peer.is_some_and(|p| is_in(state, p, group)),
        Peer::Network(network) => peer.is_some_and(|p| p.network == *network),
        Peer::Cidr { prefix, except } => {
            prefix.cidr().contains(address) && !except.iter().any(|e| e.cidr().contains(address))
        }
    };
    let mut best = None;
    for policy in &policies {
        for rule in policy.spec.rules.iter().filter(|r| r.direction == direction) {
            let traffic = |t: &crate::model::Traffic| {
                t.protocol.is_none_or(|p| p.number() == packet.0)
                    && t.ports.is_none_or(|p| (p.first()..=p.last()).contains(&packet.1))
            };
            let matches = (rule.peers.is_empty() || rule.peers.iter().any(is_peer))
                && (rule.traffic.is_empty() || rule.traffic.iter().any(traffic));
            let severity = match rule.action {
                RuleAction::Deny => 0,
                RuleAction::Audit => 1,
                RuleAction::Allow => 2,
            };
            let order = (rule.priority, severity);
            if matches && best.is_none_or(|(known, _)| order < known) {
                best = Some((order, rule.action));
            }
        }
    }
    if let Some((_, action)) = best {
        return action;
    }
    let network = state.network(&endpoint.network).unwrap();
    let (isolated, default) = match direction {
        Direction::Ingress => (policies.iter().any(|p| p.spec.isolate_ingress), network.default_ingress),
        Direction::Egress => (policies.iter().any(|p| p.spec.isolate_egress), network.default_egress),
    };
    if isolated || default == DefaultVerdict::Deny {
        RuleAction::Deny
    } else {
        RuleAction::Allow
    }
}

/// What a dataplane would make of it: the port's policy, asked about the groups of the longest prefix around the address.
fn programmed(
    plan: &Plan,
    endpoint: &Endpoint,
    vrf: u32,
    direction: Direction,
    address: IpAddr,
    packet: Packet,
) -> RuleAction {
    let port = |planned: &&crate::compile::Planned| match planned.object.object.as_ref() {
        Some(Object::Port(port)) if port.id == endpoint.number => Some(port.policy),
        _ => None,
    };
    let id = plan.values().find_map(|p| port(&p)).unwrap();
    if id == 0 {
        return RuleAction::Allow;
    }
    let Some(Object::Policy(policy)) = plan[&ObjectKey::Policy(id)].object.object.clone() else {
        panic!("no policy {id}");
    };
    let groups: BTreeSet<u32> = plan
        .iter()
        .filter_map(|(key, planned)| match (key, planned.object.object.as_ref()) {
            (ObjectKey::Identity(of, prefix, length), Some(Object::Identity(identity)))
                if *of == vrf && Cidr::covering(*prefix, *length).contains(address) =>
            {
                Some((*length, identity.groups.iter().copied().collect()))
            }
            _ => None,
        })
        .max_by_key(|(length, _): &(u8, BTreeSet<u32>)| *length)
        .map(|(_, groups)| groups)
        .unwrap_or_default();
    let (rules, default) = match direction {
        Direction::Egress => (&policy.egress, policy.egress_default()),
        Direction::Ingress => (&policy.ingress, policy.ingress_default()),
    };
    let traffic = |t: &pb::Traffic| {
        (t.protocol == 0 || t.protocol == u32::from(packet.0))
            && (t.first_port == 0 || (t.first_port..=t.last_port).contains(&u32::from(packet.1)))
    };
    let verdict = rules
        .iter()
        .find(|rule| {
            (rule.groups.is_empty() || rule.groups.iter().any(|g| groups.contains(g)))
                && (rule.traffic.is_empty() || rule.traffic.iter().any(traffic))
        })
        .map_or(default, pb::Rule::verdict);
    match verdict {
        pb::Verdict::Allow => RuleAction::Allow,
        pb::Verdict::Audit => RuleAction::Audit,
        pb::Verdict::Deny | pb::Verdict::Unspecified => RuleAction::Deny,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn compiled_policies_say_what_the_intent_says(steps in prop::collection::vec(step(), 20..90)) {
        let mut world = world();
        steps.into_iter().for_each(|step| run(&mut world, step));
        let state = &world.state;
        for node in NODES {
            let here = Name::new(node).unwrap();
            let plan = compile(state, &here, &world.health);
            for endpoint in state.endpoints_on(&here).filter(|e| e.interface.is_some()) {
                let vrf = state.network(&endpoint.network).unwrap().number;
                // Everybody whom a route leads to, and some who are nobody.
                let mut peers: Vec<(Option<&Endpoint>, IpAddr)> = Vec::new();
                for peer in state.endpoints() {
                    let joined = state.joined(&endpoint.network).contains(&peer.network);
                    if peer.network == endpoint.network || joined {
                        // Others may use the address of one that cannot be reached from here.
                        let owner = Owner::Endpoint((peer.network.clone(), peer.name.clone()));
                        let reached = |a: &&IpAddr| {
                            let length = if a.is_ipv4() { 32 } else { 128 };
                            plan.get(&ObjectKey::Route(vrf, **a, length)).is_some_and(|route| *route.owner == owner)
                        };
                        let attached = peer.attached_to().is_some();
                        peers.extend(peer.addresses.iter().filter(reached).filter(|_| attached).map(|a| (Some(peer.as_ref()), *a)));
                    }
                }
                for nobody in ["198.51.100.7", "203.0.113.9", "2001:db8::77"] {
                    peers.push((None, nobody.parse().unwrap()));
                }
                for (peer, address) in peers {
                    for packet in [(6, 80), (6, 443), (17, 53), (1, 0)] {
                        for direction in [Direction::Ingress, Direction::Egress] {
                            let wished = naive(state, endpoint, direction, peer, address, packet);
                            let found = programmed(&plan, endpoint, vrf, direction, address, packet);
                            prop_assert_eq!(
                                wished, found, "{} {:?} {} {:?} at {}", endpoint.name, direction, address, packet, node
                            );
                        }
                    }
                }
            }
        }
    }
}
