//! Services: addresses and ports with backends behind them, and the questions whether backends are well.
//!
//! A service is programmed on every node that hosts its network, and, in the VRFs of networks that reach it, on theirs. Each VRF gets the backends that it
//! reaches itself: a network that reaches a service, but not one of its backends, is not sent there.
//!
//! Where nodes are to prefer backends of their own, the others stay in the table as draining: what is on them stays, new flows go to the own ones.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use vrouter_proto::dataplane::{self as pb, object::Object};

use super::{
    Condition, Health, Probe, ids,
    objects::{self, object},
    plan::{Made, Owner, Strength},
    reach::Reach,
    vocabulary::host,
};
use crate::{
    model::{Endpoint, Family, HealthKind, Name, Service},
    state::{Backend, Holder, State},
};

/// One who may serve, at one address.
#[derive(Debug)]
struct Candidate<'a> {
    backend: &'a Backend,
    address: IpAddr,
    /// What is asked after, where the service wants its backends asked and this one can be.
    probe: Option<Probe>,
}

impl Candidate<'_> {
    fn endpoint(&self) -> Option<&Arc<Endpoint>> {
        self.backend.endpoint.as_ref()
    }
}

/// What is asked after, of each address of a backend that clients of the service can be sent to. Empty where nobody is asked: the service has no health check, or
/// the backend is no endpoint.
#[must_use]
pub fn probes(state: &State, service: &Service, backend: &Backend) -> Vec<Probe> {
    candidates(state, service, std::slice::from_ref(backend))
        .iter()
        .filter_map(|candidate| candidate.probe)
        .collect()
}

/// Whether a backend at one address may get connections, and why not.
#[must_use]
pub fn condition(service: &Service, probe: Option<&Probe>, health: &Health) -> Condition {
    let unwell = |detail: &str| Condition {
        healthy: false,
        detail: detail.to_owned(),
    };
    if service.spec.health_check.is_none() {
        return Condition {
            healthy: true,
            detail: String::new(),
        };
    }
    let Some(probe) = probe else {
        return unwell("nobody can ask it: it is no endpoint");
    };
    health.get(probe).cloned().unwrap_or_else(|| unwell("not asked yet"))
}

fn candidates<'a>(state: &State, service: &Service, backends: &'a [Backend]) -> Vec<Candidate<'a>> {
    let families: BTreeSet<Family> = service.given.iter().map(|a| Family::of(*a)).collect();
    let probe = |backend: &Backend, address: IpAddr| {
        service.spec.health_check.as_ref()?;
        // A backend that is named by its address can be asked where an endpoint has it.
        backend
            .endpoint
            .as_ref()
            .or_else(|| endpoint_at(state, &backend.network, address))?;
        Some(Probe {
            service: service.number,
            network: state.network(&backend.network)?.number,
            address,
        })
    };
    let of = |backend: &'a Backend| {
        let addresses = backend.addresses.iter().filter(|a| families.contains(&Family::of(**a)));
        addresses.map(move |address| (backend, *address))
    };
    backends
        .iter()
        .flat_map(of)
        .map(|(backend, address)| Candidate {
            backend,
            address,
            probe: probe(backend, address),
        })
        .collect()
}

fn endpoint_at<'a>(state: &'a State, network: &Name, address: IpAddr) -> Option<&'a Arc<Endpoint>> {
    match &state.allocation(network, address)?.holder {
        Holder::Endpoint(name) => state.endpoint(network, name),
        Holder::Service(_) | Holder::FloatingIp(_) => None,
    }
}

/// Most backends that a dataplane takes for one service; more are left out, the last by name.
const MAX_BACKENDS: usize = 4096;

/// What services are compiled into on one node.
#[derive(Debug, Default)]
pub(super) struct Services {
    pub(super) made: Vec<(Owner, Made)>,
    /// Whose identifiers are to be given.
    pub(super) services: Vec<Programmed>,
    pub(super) checks: Vec<(Owner, Probe, pb::HealthCheck)>,
}

/// One address and port of a service in one VRF.
#[derive(Debug)]
pub(super) struct Programmed {
    pub(super) owner: Owner,
    pub(super) service: pb::Service,
    /// All who could serve there and are asked, whether or not they are well.
    pub(super) asked: Vec<(IpAddr, Probe)>,
}

/// Everything that services are compiled with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Given<'a> {
    pub(super) state: &'a State,
    pub(super) here: &'a Name,
    pub(super) hosted: &'a BTreeSet<Name>,
    pub(super) reach: &'a Reach,
    pub(super) health: &'a Health,
}

pub(super) fn compile(given: Given) -> Services {
    let mut made = Services::default();
    for service in given.state.services() {
        let backends = given.state.backends(service);
        let candidates = candidates(given.state, service, &backends);
        for name in given.hosted {
            made.program(given, service, &candidates, name);
        }
        made.ask(given, service, &candidates);
    }
    made
}

fn owner(service: &Service) -> Owner {
    Owner::Service((service.spec.network.clone(), service.name.clone()))
}

impl Services {
    /// A service in the VRF of network `by`.
    fn program(&mut self, given: Given, service: &Service, candidates: &[Candidate], by: &Name) {
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
            let reached = |c: &&Candidate| match c.endpoint() {
                None => true,
                Some(e) => given
                    .reach
                    .filter(by, &e.network)
                    .is_some_and(|f| f.admits(host(c.address))),
            };
            let seen: Vec<&Candidate> = candidates
                .iter()
                .filter(|c| Family::of(c.address) == Family::of(*address))
                .filter(reached)
                .collect();
            let usable = usable(given, service, &seen);
            for port in &service.spec.ports {
                let at = |(candidate, draining): &(&Candidate, bool)| pb::Backend {
                    address: candidate.address.to_string(),
                    port: port.target_port.into(),
                    vrf: network.number,
                    weight: candidate.backend.weight.into(),
                    draining: *draining,
                    name: candidate.backend.name.to_string(),
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
                self.services.push(Programmed {
                    owner: owner(service),
                    service: object,
                    asked: probes,
                });
            }
        }
        self.made.push((owner(service), routes));
    }

    /// The questions to backends that live here.
    fn ask(&mut self, given: Given, service: &Service, candidates: &[Candidate]) {
        let Some((check, port)) = service.spec.health_check.as_ref().zip(service.spec.health_port()) else {
            return;
        };
        for candidate in candidates {
            let network = &candidate.backend.network;
            let endpoint = candidate
                .endpoint()
                .or_else(|| endpoint_at(given.state, network, candidate.address));
            let (Some(probe), Some(endpoint)) = (candidate.probe, endpoint) else {
                continue;
            };
            let reached = given.reach.filter(&service.spec.network, network).is_some();
            if endpoint.attached_to() != Some(given.here) || !reached {
                continue;
            }
            let kind = match check.kind {
                HealthKind::Tcp => pb::health_check::Kind::Tcp,
                HealthKind::Http => pb::health_check::Kind::Http,
                HealthKind::Grpc => pb::health_check::Kind::Grpc,
            };
            let target = match check.kind {
                // What the dataplane would ask for anyway.
                HealthKind::Http if check.target.is_empty() => "/".to_owned(),
                _ => check.target.clone(),
            };
            let object = pb::HealthCheck {
                id: 0,
                name: format!(
                    "{}/{} at {}",
                    service.spec.network, service.name, candidate.backend.name
                ),
                vrf: probe.network,
                address: probe.address.to_string(),
                port: port.into(),
                kind: kind.into(),
                target,
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
fn usable<'a>(given: Given, service: &Service, candidates: &[&'a Candidate<'a>]) -> Vec<(&'a Candidate<'a>, bool)> {
    let placed = |candidate: &Candidate| match candidate.endpoint() {
        None => true,
        Some(endpoint) => endpoint
            .node
            .as_ref()
            .is_some_and(|node| endpoint.interface.is_some() || given.state.node(node).is_some_and(|n| n.external)),
    };
    let here = |candidate: &Candidate| candidate.endpoint().and_then(|e| e.attached_to()) == Some(given.here);
    let mut well: Vec<&Candidate> = candidates
        .iter()
        .copied()
        .filter(|c| placed(c) && condition(service, c.probe.as_ref(), given.health).healthy)
        .collect();
    // In an order that does not depend on who was named first.
    well.sort_by(|a, b| (&a.backend.name, a.address).cmp(&(&b.backend.name, b.address)));
    // One that is named twice, as an endpoint and by its address, is one.
    let mut seen = BTreeSet::new();
    well.retain(|c| seen.insert(c.address));
    well.truncate(MAX_BACKENDS);
    let own_ones = service.spec.prefer_local && well.iter().any(|c| here(c) && !c.backend.draining);
    well.into_iter()
        .map(|c| (c, c.backend.draining || (own_ones && !here(c))))
        .collect()
}

/// What a health check is numbered by.
pub(super) fn check_text(probe: &Probe) -> String {
    format!("{} {} {}", probe.service, probe.network, probe.address)
}

pub(super) fn check(check: pb::HealthCheck) -> pb::Object {
    object(Object::HealthCheck(check))
}
