//! Services: addresses and ports with backends behind them, and the questions whether backends are well.
//!
//! A service is programmed on every node that hosts its network, and, in the VRFs of networks that reach it, on theirs. Each VRF gets the backends that it
//! reaches itself: a network that reaches a service, but not one of its backends, is not sent there.
//!
//! Where nodes are to prefer backends of their own, the others stay in the table as draining: what is on them stays, new flows go to the own ones.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use vrouter_proto::dataplane::{self as pb, object::Object};

use super::{
    Health, Probe, ids,
    objects::{self, full_name, object},
    plan::{Made, Owner, Strength},
    reach::Reach,
    vocabulary::host,
};
use crate::{
    model::{BackendName, Endpoint, Family, HealthKind, Name, Service},
    state::{Scoped, State},
};

/// One who may serve, at one address.
#[derive(Debug, Clone, PartialEq)]
pub struct Backend {
    /// "network/name", or the address of a backend that is no endpoint.
    pub name: String,
    /// The endpoint that it is.
    pub endpoint: Option<Arc<Endpoint>>,
    /// Where it serves.
    pub address: IpAddr,
    /// Its share of new connections, 1..=255.
    pub weight: u8,
    /// It gets no new connections.
    pub draining: bool,
    /// What is asked after, where the service wants its backends asked and this one can be.
    pub probe: Option<Probe>,
}

impl Backend {
    /// Whether it may be used, and why not: it is attached and, where that is asked for, known to be well.
    #[must_use]
    pub fn condition(&self, service: &Service, health: &Health) -> (bool, String) {
        if let Some(endpoint) = &self.endpoint
            && endpoint.node.is_none()
        {
            return (false, "not on any node".to_owned());
        }
        if service.spec.health_check.is_none() {
            return (true, String::new());
        }
        let Some(probe) = &self.probe else {
            return (false, "nobody can ask it: it is no endpoint".to_owned());
        };
        match health.get(probe) {
            Some(condition) => (condition.healthy, condition.detail.clone()),
            None => (false, "not asked yet".to_owned()),
        }
    }
}

/// All who may serve a service at its addresses' families, in the order of their names. `members`: the members of its group.
#[must_use]
pub fn backends<'a>(state: &State, service: &Service, members: impl IntoIterator<Item = &'a Scoped>) -> Vec<Backend> {
    let families: BTreeSet<Family> = service.given.iter().map(|a| Family::of(*a)).collect();
    let mut found: BTreeMap<(String, IpAddr), Backend> = BTreeMap::new();
    let mut add = |endpoint: &Arc<Endpoint>, address: IpAddr, weight: u8, draining: bool| {
        let probe = service.spec.health_check.as_ref().and_then(|_| {
            let network = state.network(&endpoint.network)?.number;
            Some(Probe {
                service: service.number,
                network,
                address,
            })
        });
        let backend = Backend {
            name: full_name(endpoint),
            endpoint: Some(endpoint.clone()),
            address,
            weight,
            draining,
            probe,
        };
        found.insert((backend.name.clone(), address), backend);
    };
    let addresses = |endpoint: &Endpoint| -> Vec<IpAddr> {
        families.iter().filter_map(|family| endpoint.address_of(*family)).collect()
    };
    for (network, name) in members {
        if let Some(endpoint) = state.endpoint(network, name) {
            for address in addresses(endpoint) {
                add(endpoint, address, 1, false);
            }
        }
    }
    let mut plain = Vec::new();
    // What is said of one by name counts, should it be a member of the group, too.
    for backend in &service.spec.backends {
        match &backend.name {
            BackendName::Endpoint(name) => {
                if let Some(endpoint) = state.endpoint(&name.network, &name.name) {
                    for address in addresses(endpoint) {
                        add(endpoint, address, backend.weight, backend.draining);
                    }
                }
            }
            BackendName::Address(address) if families.contains(&Family::of(*address)) => {
                match state.endpoint_at(&service.spec.network, *address) {
                    Some(endpoint) => add(endpoint, *address, backend.weight, backend.draining),
                    None => plain.push(Backend {
                        name: address.to_string(),
                        endpoint: None,
                        address: *address,
                        weight: backend.weight,
                        draining: backend.draining,
                        probe: None,
                    }),
                }
            }
            BackendName::Address(_) => {}
        }
    }
    found.into_values().chain(plain).collect()
}

/// What services are compiled into on one node.
#[derive(Debug, Default)]
pub(super) struct Services {
    pub(super) made: Vec<(Owner, Made)>,
    pub(super) services: Vec<(Owner, Vec<(IpAddr, Probe)>, pb::Service)>,
    pub(super) checks: Vec<(Owner, Probe, pb::HealthCheck)>,
}

/// Everything that services are compiled with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Given<'a> {
    pub(super) state: &'a State,
    pub(super) here: &'a Name,
    pub(super) hosted: &'a BTreeSet<Name>,
    pub(super) reach: &'a Reach,
    pub(super) members: &'a BTreeMap<Name, BTreeSet<Scoped>>,
    pub(super) health: &'a Health,
}

pub(super) fn compile(given: Given) -> Services {
    let mut made = Services::default();
    for service in given.state.services() {
        let members = service.spec.group.as_ref().and_then(|group| given.members.get(group));
        let backends = backends(given.state, service, members.into_iter().flatten());
        for name in given.hosted {
            made.program(given, service, &backends, name);
        }
        made.ask(given, service, &backends);
    }
    made
}

fn owner(service: &Service) -> Owner {
    Owner::Service((service.spec.network.clone(), service.name.clone()))
}

impl Services {
    /// A service in the VRF of network `by`.
    fn program(&mut self, given: Given, service: &Service, backends: &[Backend], by: &Name) {
        let of = &service.spec.network;
        let (Some(filter), Some(network)) = (given.reach.filter(by, of), given.state.network(by)) else {
            return;
        };
        let mut routes = Made::default();
        for address in service.given.iter().filter(|a| filter.admits(host(**a))) {
            let route = objects::host_route(network.number, *address, ids::LOCAL);
            routes.add(Strength::Service.joined(by != of), route);
            if network.bridged && by == of {
                // Clients on the same subnet ask for its MAC: the gateway's, which routes.
                let neighbor = objects::neighbor_at(network, *address, crate::model::Mac::GATEWAY);
                routes.add(Strength::Service, neighbor);
            }
            let seen: Vec<&Backend> = backends
                .iter()
                .filter(|b| Family::of(b.address) == Family::of(*address))
                .filter(|b| match &b.endpoint {
                    None => true,
                    Some(e) => given.reach.filter(by, &e.network).is_some_and(|f| f.admits(host(b.address))),
                })
                .collect();
            let usable = usable(given, service, &seen);
            for port in &service.spec.ports {
                let at = |(backend, draining): &(&Backend, bool)| pb::Backend {
                    address: backend.address.to_string(),
                    port: port.target_port.into(),
                    vrf: network.number,
                    weight: backend.weight.into(),
                    draining: *draining,
                    name: backend.name.clone(),
                };
                let object = pb::Service {
                    id: 0,
                    name: match &port.name {
                        Some(name) => format!("{of}/{} {name}", service.name),
                        None => format!("{of}/{}", service.name),
                    },
                    vrf: network.number,
                    address: address.to_string(),
                    protocol: port.protocol.number().into(),
                    port: port.port.into(),
                    backends: usable.iter().map(at).collect(),
                    client_affinity: service.spec.affinity_seconds != 0,
                    affinity_seconds: service.spec.affinity_seconds,
                };
                let probes = seen.iter().filter_map(|b| Some((b.address, b.probe?))).collect();
                self.services.push((owner(service), probes, object));
            }
        }
        self.made.push((owner(service), routes));
    }

    /// The questions to backends that live here.
    fn ask(&mut self, given: Given, service: &Service, backends: &[Backend]) {
        let Some((check, port)) = service.spec.health_check.as_ref().zip(service.spec.health_port()) else {
            return;
        };
        for backend in backends {
            let (Some(probe), Some(endpoint)) = (backend.probe, &backend.endpoint) else {
                continue;
            };
            if endpoint.attached_to() != Some(given.here)
                || given.reach.filter(&service.spec.network, &endpoint.network).is_none()
            {
                continue;
            }
            let kind = match check.kind {
                HealthKind::Tcp => pb::health_check::Kind::Tcp,
                HealthKind::Http => pb::health_check::Kind::Http,
                HealthKind::Grpc => pb::health_check::Kind::Grpc,
            };
            let object = pb::HealthCheck {
                id: 0,
                name: format!("{}/{} at {}", service.spec.network, service.name, backend.name),
                vrf: probe.network,
                address: probe.address.to_string(),
                port: port.into(),
                kind: kind.into(),
                target: check.target.clone(),
                interval_ms: check.interval_ms,
                timeout_ms: check.timeout_ms,
                rise: check.rise,
                fall: check.fall,
                state: None,
            };
            self.checks.push((owner(service), probe, object));
        }
    }
}

/// Those that are used, each with whether it is draining here.
fn usable<'a>(given: Given, service: &Service, backends: &[&'a Backend]) -> Vec<(&'a Backend, bool)> {
    let placed = |backend: &Backend| match &backend.endpoint {
        None => true,
        Some(endpoint) => endpoint.node.as_ref().is_some_and(|node| {
            endpoint.interface.is_some() || given.state.node(node).is_some_and(|n| n.external)
        }),
    };
    let here = |backend: &Backend| backend.endpoint.as_ref().and_then(|e| e.attached_to()) == Some(given.here);
    let well: Vec<&Backend> = backends
        .iter()
        .copied()
        .filter(|b| placed(b) && b.condition(service, given.health).0)
        .collect();
    let own_ones = service.spec.prefer_local && well.iter().any(|b| here(b) && !b.draining);
    well.into_iter()
        .map(|b| (b, b.draining || (own_ones && !here(b))))
        .collect()
}

/// What a health check is numbered by.
pub(super) fn check_text(probe: &Probe) -> String {
    format!("{} {} {}", probe.service, probe.network, probe.address)
}

pub(super) fn check(check: pb::HealthCheck) -> pb::Object {
    object(Object::HealthCheck(check))
}
