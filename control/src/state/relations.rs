//! What follows from several objects together: who is in a group, whom a policy is for, which networks reach each other.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use imbl::OrdSet;

use super::{Key, Scoped, State};
use crate::model::{
    BackendName, Endpoint, EndpointRef, Family, FloatingIp, GroupSpec, Name, Policy, Router, Service, Target,
};

/// One who serves, as a service has it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// Who it is.
    pub name: BackendName,
    /// The endpoint, unless it is known by address only.
    pub endpoint: Option<Arc<Endpoint>>,
    /// Its network: the endpoint's, else the service's own.
    pub network: Name,
    /// Its addresses: at most one of each family.
    pub addresses: Vec<IpAddr>,
    /// Its share of new connections against the others', 1..=255.
    pub weight: u8,
    /// It gets no new connections.
    pub draining: bool,
}

impl State {
    /// Everything that refers to an object, by key.
    pub fn users<'a>(&'a self, target: &Target) -> impl Iterator<Item = &'a Key> + use<'a> {
        self.indices.users.get(target).into_iter().flatten()
    }

    /// All members of a group, those of the groups in it among them.
    #[must_use]
    pub fn members(&self, group: &Name) -> OrdSet<Scoped> {
        let mut all = OrdSet::new();
        let mut seen = BTreeSet::new();
        let mut open = vec![group.clone()];
        while let Some(name) = open.pop() {
            let Some(group) = self.group(&name).filter(|_| seen.insert(name.clone())) else {
                continue;
            };
            let direct = self.indices.membership.members(&name).cloned().unwrap_or_default();
            all = if all.is_empty() { direct } else { all.union(direct) };
            open.extend(group.spec.groups.iter().cloned());
        }
        all
    }

    /// All groups that an endpoint is a member of, those that contain such a group among them.
    #[must_use]
    pub fn groups_of(&self, endpoint: &Scoped) -> BTreeSet<Name> {
        let mut all = BTreeSet::new();
        let direct = self.indices.membership.groups(endpoint);
        let mut open: Vec<Name> = direct.into_iter().flatten().cloned().collect();
        while let Some(name) = open.pop() {
            if all.insert(name.clone()) {
                let parents = self.users(&Target::Group(name)).filter_map(|user| match user {
                    Key::Group(parent) => Some(parent.clone()),
                    _ => None,
                });
                open.extend(parents);
            }
        }
        all
    }

    /// How often, ever, a group was asked whether an endpoint is a member of it: what changes cost.
    #[must_use]
    pub fn membership_questions(&self) -> u64 {
        self.indices.membership.asked()
    }

    /// Every key of a label that an endpoint has.
    pub fn label_keys(&self) -> impl Iterator<Item = &str> {
        self.indices.membership.labels().map(|(key, _)| key)
    }

    /// The endpoints that have a label with this value, by network and name.
    pub fn labelled(&self, key: &str, value: &str) -> impl Iterator<Item = &Arc<Endpoint>> {
        let found = self.indices.membership.labelled(key, value).into_iter().flatten();
        found.filter_map(|(network, name)| self.endpoint(network, name))
    }

    /// Every value that an endpoint has for a label; `None`: no endpoint has the label.
    #[must_use]
    pub fn label_values(&self, key: &str) -> Option<impl Iterator<Item = &str>> {
        self.indices.membership.values(key)
    }

    /// The policies that apply to an endpoint, by name.
    #[must_use]
    pub fn policies_for(&self, endpoint: &Endpoint) -> Vec<&Arc<Policy>> {
        let mut found = BTreeMap::new();
        let mut consider = |name: &Name, group: Option<&Name>| {
            let applies = |p: &&Arc<Policy>| {
                p.spec.applies_to.as_ref() == group
                    && p.spec
                        .network
                        .as_ref()
                        .is_none_or(|network| *network == endpoint.network)
            };
            if let Some(policy) = self.policy(name).filter(applies) {
                found.insert(policy.name.clone(), policy);
            }
        };
        for name in &self.indices.policies_for_all {
            consider(name, None);
        }
        for user in self.users(&Target::Network(endpoint.network.clone())) {
            if let Key::Policy(name) = user {
                consider(name, None);
            }
        }
        for group in self.groups_of(&(endpoint.network.clone(), endpoint.name.clone())) {
            for user in self.users(&Target::Group(group.clone())) {
                if let Key::Policy(name) = user {
                    consider(name, Some(&group));
                }
            }
        }
        found.into_values().collect()
    }

    /// How many endpoints a policy applies to.
    #[must_use]
    pub fn policy_endpoints(&self, policy: &Policy) -> usize {
        match (&policy.spec.applies_to, &policy.spec.network) {
            (None, None) => self.endpoints.len(),
            (None, Some(network)) => self.endpoints_of(network).count(),
            (Some(group), None) => self.members(group).len(),
            (Some(group), Some(network)) => self.members(group).iter().filter(|id| id.0 == *network).count(),
        }
    }

    /// The routers that a network has to do with: that join it, lead out to it, or leak from or to it; by name.
    pub fn routers_of<'a>(&'a self, network: &Name) -> impl Iterator<Item = &'a Arc<Router>> + use<'a> {
        self.users(&Target::Network(network.clone()))
            .filter_map(|user| match user {
                Key::Router(name) => self.router(name),
                _ => None,
            })
    }

    /// The networks that routers join with this one, itself not among them. Leaks are not counted, and neither are external networks.
    #[must_use]
    pub fn joined(&self, network: &Name) -> BTreeSet<Name> {
        let mut all: BTreeSet<Name> = self
            .routers_of(network)
            .filter(|r| r.spec.networks.contains(network))
            .flat_map(|r| r.spec.networks.iter().cloned())
            .collect();
        all.remove(network);
        all
    }

    /// The router that leads out of a network, and the external network it leads to.
    #[must_use]
    pub fn way_out<'a>(&'a self, network: &Name) -> Option<(&'a Arc<Router>, &'a Name)> {
        self.routers_of(network)
            .filter(|r| r.spec.networks.contains(network))
            .find_map(|r| Some((r, r.spec.external_network.as_ref()?)))
    }

    /// The endpoint address that a floating address stands for with all ports.
    #[must_use]
    pub fn fixed_address(&self, floating: &FloatingIp) -> Option<IpAddr> {
        let endpoint = self.by_ref(floating.spec.endpoint.as_ref()?)?;
        let family = Family::of(floating.given.address);
        match floating.spec.fixed_address {
            Some(address) => endpoint.addresses.contains(&address).then_some(address),
            None => endpoint.address_of(family),
        }
    }

    /// The endpoint that a reference names.
    #[must_use]
    pub fn by_ref(&self, reference: &EndpointRef) -> Option<&Arc<Endpoint>> {
        self.endpoint(&reference.network, &reference.name)
    }

    /// Those who serve: the endpoints and addresses that a service names, in its order, then the members of its group, by name. Members of
    /// networks that the service's network does not reach are left out. An endpoint that is both is as it is named.
    #[must_use]
    pub fn backends(&self, service: &Service) -> Vec<Backend> {
        let own = &service.spec.network;
        let joined = self.joined(own);
        let of_endpoint = |endpoint: &Arc<Endpoint>, weight, draining| Backend {
            name: BackendName::Endpoint(EndpointRef::of(endpoint)),
            endpoint: Some(endpoint.clone()),
            network: endpoint.network.clone(),
            addresses: [Family::V4, Family::V6]
                .into_iter()
                .filter_map(|family| endpoint.address_of(family))
                .collect(),
            weight,
            draining,
        };
        let mut all = Vec::new();
        let mut named = BTreeSet::new();
        for backend in &service.spec.backends {
            match &backend.name {
                BackendName::Endpoint(name) => {
                    named.insert(name.scoped());
                    let endpoint = self.by_ref(name);
                    all.extend(endpoint.map(|e| of_endpoint(e, backend.weight, backend.draining)));
                }
                BackendName::Address(address) => all.push(Backend {
                    name: backend.name.clone(),
                    endpoint: None,
                    network: own.clone(),
                    addresses: vec![*address],
                    weight: backend.weight,
                    draining: backend.draining,
                }),
            }
        }
        let members = service.spec.group.as_ref().map(|group| self.members(group));
        for id in members.into_iter().flatten().filter(|id| !named.contains(id)) {
            let reached = id.0 == *own || joined.contains(&id.0);
            let endpoint = self.endpoint(&id.0, &id.1).filter(|_| reached);
            all.extend(endpoint.map(|e| of_endpoint(e, 1, false)));
        }
        all
    }

    /// Whether a group would contain itself if it contained `groups`: the way from it back to it.
    #[must_use]
    pub fn group_cycle(&self, name: &Name, spec: &GroupSpec) -> Option<Vec<Name>> {
        // Each group that was reached, with the one it was reached from.
        let mut from: BTreeMap<Name, Name> = BTreeMap::new();
        let mut open: Vec<(Name, Name)> = spec.groups.iter().map(|g| (g.clone(), name.clone())).collect();
        while let Some((group, parent)) = open.pop() {
            if from.contains_key(&group) {
                continue;
            }
            from.insert(group.clone(), parent);
            if group == *name {
                let mut way = vec![name.clone()];
                let mut at = from.get(name);
                while let Some(step) = at.filter(|step| *step != name) {
                    way.push(step.clone());
                    at = from.get(step);
                }
                way.push(name.clone());
                way.reverse();
                return Some(way);
            }
            let nested = self.group(&group).into_iter().flat_map(|g| &g.spec.groups);
            open.extend(nested.map(|inner| (inner.clone(), group.clone())));
        }
        None
    }
}
