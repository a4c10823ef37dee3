//! The leak check: addresses handed out against the objects that hold them.

use crate::{
    model::number,
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
            match state.allocation(network, *address) {
                Some(allocation) if allocation.holder == Holder::Endpoint(name.clone()) => {}
                Some(other) => {
                    let holder = &other.holder;
                    report.findings.push(format!(
                        "{address} of network {network} is held by endpoint {name}, but handed out to {holder}"
                    ));
                }
                None => {
                    report.findings.push(format!(
                        "{address} of network {network} is held by endpoint {name}, but not handed out"
                    ));
                }
            }
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
    report
}
