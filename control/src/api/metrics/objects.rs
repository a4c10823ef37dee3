//! Of what is wished for: objects by kind, addresses by subnet, backends by service.

use vrouter_metrics::{Page, Value};

use super::OTHER;
use crate::{api::show::objects::status, reconcile::Board, state::State};

pub(super) fn put(page: &mut Page, state: &State, board: &Board, named: usize) {
    let mut family = page.gauge("vrouter_control_objects", "Objects of intent, by kind.");
    for (kind, count) in [
        ("network", state.networks().count()),
        ("subnet", state.subnets().count()),
        ("endpoint", state.endpoints().count()),
        ("node", state.nodes().count()),
        ("group", state.groups().count()),
        ("policy", state.policies().count()),
        ("router", state.routers().count()),
        ("floating_ip", state.floating_ips().count()),
        ("service", state.services().count()),
        ("qos_profile", state.qos_profiles().count()),
        ("mirror", state.mirrors().count()),
    ] {
        family.put(&[("kind", kind)], count);
    }
    addresses(page, state, named);
    backends(page, state, board, named);
}

/// Addresses handed out. IPv6 pools are larger than whole numbers of this format.
#[allow(clippy::cast_precision_loss)]
fn addresses(page: &mut Page, state: &State, named: usize) {
    let all: Vec<(&str, &str, f64, f64)> = state
        .subnets()
        .filter_map(|subnet| {
            let pool = state.pool(subnet)?;
            let (network, name) = (subnet.network.as_str(), subnet.name.as_str());
            Some((network, name, pool.taken() as f64, pool.size() as f64))
        })
        .collect();
    let (own, rest) = all.split_at(named.min(all.len()));
    let mut family = page.gauge(
        "vrouter_control_subnet_addresses",
        "Addresses that a subnet can hand out in all.",
    );
    for (network, subnet, _, size) in own {
        family.put(&[("network", network), ("subnet", subnet)], Value::Real(*size));
    }
    if !rest.is_empty() {
        let size: f64 = rest.iter().map(|one| one.3).sum();
        family.put(&[("network", OTHER), ("subnet", OTHER)], Value::Real(size));
    }
    let mut family = page.gauge(
        "vrouter_control_subnet_addresses_used",
        "Addresses of a subnet that are handed out.",
    );
    for (network, subnet, taken, _) in own {
        family.put(&[("network", network), ("subnet", subnet)], Value::Real(*taken));
    }
    if !rest.is_empty() {
        let taken: f64 = rest.iter().map(|one| one.2).sum();
        family.put(&[("network", OTHER), ("subnet", OTHER)], Value::Real(taken));
    }
}

/// How backends are doing: each of a service's addresses counts.
fn backends(page: &mut Page, state: &State, board: &Board, named: usize) {
    let mut family = page.gauge(
        "vrouter_control_service_backends",
        "Backends of a service, each address counted: they get connections, they drain, or they are not well.",
    );
    let mut other = [0_u64; 3];
    for (place, service) in state.services().enumerate() {
        let mut counts = [0_u64; 3];
        for backend in status(state, board, service) {
            let state = match (backend.healthy, backend.draining) {
                (true, false) => 0,
                (true, true) => 1,
                (false, _) => 2,
            };
            counts[state] += 1;
        }
        if place < named {
            put_backends(
                &mut family,
                service.spec.network.as_str(),
                service.name.as_str(),
                counts,
            );
        } else {
            other.iter_mut().zip(counts).for_each(|(sum, more)| *sum += more);
        }
    }
    if state.services().count() > named {
        put_backends(&mut family, OTHER, OTHER, other);
    }
}

fn put_backends(family: &mut vrouter_metrics::Family<'_>, network: &str, service: &str, counts: [u64; 3]) {
    for (state, count) in ["healthy", "draining", "unhealthy"].into_iter().zip(counts) {
        family.put(&[("network", network), ("service", service), ("state", state)], count);
    }
}
