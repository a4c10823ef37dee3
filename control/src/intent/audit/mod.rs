//! The leak check: addresses handed out against the objects that hold them; and what is wished for, but cannot work as things are.

mod relations;

use std::net::IpAddr;

use crate::{
    model::{Name, number},
    state::{Holder, State},
};

/// What an audit found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditReport {
    /// Each finding in words; empty when all agrees.
    pub findings: Vec<String>,
    /// Addresses handed out.
    pub addresses: u64,
    /// Endpoints there are.
    pub endpoints: u64,
    /// Other objects there are.
    pub counts: Counts,
}

/// How many objects of each kind there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Groups.
    pub groups: u64,
    /// Policies.
    pub policies: u64,
    /// Routers.
    pub routers: u64,
    /// Floating addresses.
    pub floating_ips: u64,
    /// Services.
    pub services: u64,
    /// QoS profiles.
    pub qos_profiles: u64,
    /// Mirrors.
    pub mirrors: u64,
}

/// Compares every address handed out with the endpoint that should hold it, every endpoint's addresses with what is handed out, and the
/// free lists with both.
#[must_use]
pub fn audit(state: &State) -> AuditReport {
    let mut report = AuditReport::default();
    for allocation in state.allocations() {
        report.addresses += 1;
        let (network, address, holder) = (&allocation.network, allocation.address, &allocation.holder);
        let held = match holder {
            Holder::Endpoint(name) => state
                .endpoint(network, name)
                .is_some_and(|e| e.addresses.contains(&address)),
            Holder::Service(name) => state.service(network, name).is_some_and(|s| s.given.contains(&address)),
            Holder::FloatingIp(name) => state
                .floating_ip(name)
                .is_some_and(|f| f.given.network == *network && f.given.address == address),
        };
        if !held {
            report.findings.push(format!(
                "{address} of network {network} is leaked: {holder} does not hold it"
            ));
        }
        let free = match state.subnet_around(network, address) {
            Some(subnet) => state.pool(subnet).is_none_or(|p| p.is_free(number(address))),
            // Services may have addresses outside of all subnets.
            None => !matches!(holder, Holder::Service(_)),
        };
        if free {
            report.findings.push(format!(
                "{address} of network {network} is handed out, but free in its subnet"
            ));
        }
    }
    for endpoint in state.endpoints() {
        report.endpoints += 1;
        let (network, name) = (&endpoint.network, &endpoint.name);
        for address in &endpoint.addresses {
            check_holder(state, network, *address, &Holder::Endpoint(name.clone()), &mut report);
        }
        if state.network(network).is_none() {
            report
                .findings
                .push(format!("endpoint {name} is in network {network}, which does not exist"));
        }
        if let Some(node) = endpoint.node.as_ref().filter(|node| state.node(node).is_none()) {
            report.findings.push(format!(
                "endpoint {network}/{name} lives on node {node}, which does not exist"
            ));
        }
    }
    for subnet in state.subnets() {
        let handed_out = state.allocations_in(subnet).count() as u64;
        let taken = state.pool(subnet).map_or(0, crate::ipam::Pool::taken);
        if handed_out != taken {
            let (network, name) = (&subnet.network, &subnet.name);
            report.findings.push(format!(
                "subnet {network}/{name}: {taken} addresses are taken, {handed_out} handed out"
            ));
        }
    }
    for service in state.services() {
        let network = &service.spec.network;
        let holder = Holder::Service(service.name.clone());
        for address in &service.given {
            check_holder(state, network, *address, &holder, &mut report);
        }
    }
    for floating in state.floating_ips() {
        let holder = Holder::FloatingIp(floating.name.clone());
        let given = &floating.given;
        check_holder(state, &given.network, given.address, &holder, &mut report);
    }
    report.counts = Counts {
        groups: state.groups().count() as u64,
        policies: state.policies().count() as u64,
        routers: state.routers().count() as u64,
        floating_ips: state.floating_ips().count() as u64,
        services: state.services().count() as u64,
        qos_profiles: state.qos_profiles().count() as u64,
        mirrors: state.mirrors().count() as u64,
    };
    report.findings.extend(relations::findings(state));
    report
}

/// Whether an address that somebody holds is handed out to them.
fn check_holder(state: &State, network: &Name, address: IpAddr, holder: &Holder, report: &mut AuditReport) {
    match state.allocation(network, address) {
        Some(allocation) if allocation.holder == *holder => {}
        Some(other) => report.findings.push(format!(
            "{address} of network {network} is held by {holder}, but handed out to {}",
            other.holder
        )),
        None => report.findings.push(format!(
            "{address} of network {network} is held by {holder}, but not handed out"
        )),
    }
}
