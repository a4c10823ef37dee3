//! Services: addresses from the same pools as endpoints', and backends that can be reached.

use std::net::IpAddr;

use super::{
    Refusal,
    addresses::{self, Claim},
    object::Rules,
    space,
};
use crate::{
    model::{BackendName, Name, Object, ServiceSpec},
    state::{Holder, Transaction},
};

impl Rules for ServiceSpec {
    fn give(
        transaction: &mut Transaction,
        name: &Name,
        spec: &Self,
        existing: Option<&Object<Self>>,
    ) -> Result<Vec<IpAddr>, Refusal> {
        if transaction.network(&spec.network).is_some_and(|n| n.external) {
            let message = format!(
                "{} is external; a service belongs to an inner network; for the outside, forward a port of a floating address to an endpoint",
                spec.network
            );
            return Err(Refusal::invalid("service.network", message));
        }
        // One that lost its backends because they were deleted may be changed otherwise.
        let emptied = existing.is_some_and(|e| e.spec.group.is_none() && e.spec.backends.is_empty());
        if spec.group.is_none() && spec.backends.is_empty() && !emptied {
            let message = "is empty, and so is group: nobody would serve; name a group, or at least one backend";
            return Err(Refusal::invalid("service.backends", message));
        }
        if existing.is_none_or(|e| e.spec.backends != spec.backends) {
            reached(transaction, spec)?;
        }
        let held = existing.map(|e| e.given.as_slice()).unwrap_or_default();
        let given = match existing {
            Some(existing) if existing.spec.addresses == spec.addresses => existing.given.clone(),
            _ => {
                let claim = Claim {
                    field: "service.addresses",
                    network: &spec.network,
                    holder: Holder::Service(name.clone()),
                    outside: true,
                };
                claim.resolve(transaction, &spec.addresses, held)?
            }
        };
        for (index, backend) in spec.backends.iter().enumerate() {
            if let BackendName::Address(address) = &backend.name
                && given.contains(address)
            {
                let message = format!("{address} is the service's own address");
                return Err(Refusal::invalid(&format!("service.backends[{index}].address"), message));
            }
        }
        Ok(given)
    }

    fn verify(transaction: &Transaction, service: &Object<Self>) -> Result<(), Refusal> {
        space::check(transaction, [&service.spec.network], "service.addresses")
    }

    fn give_back(transaction: &mut Transaction, service: &Object<Self>) {
        for address in &service.given {
            addresses::release(transaction, &service.spec.network, *address);
        }
    }
}

/// Refuses backends in networks that the service's network does not reach.
fn reached(transaction: &Transaction, spec: &ServiceSpec) -> Result<(), Refusal> {
    let joined = transaction.joined(&spec.network);
    for (index, backend) in spec.backends.iter().enumerate() {
        if let BackendName::Endpoint(name) = &backend.name
            && name.network != spec.network
            && !joined.contains(&name.network)
        {
            let message = format!(
                "{name} is in network {}, which network {} does not reach; join them with a router first",
                name.network, spec.network
            );
            return Err(Refusal::invalid(
                &format!("service.backends[{index}].endpoint"),
                message,
            ));
        }
    }
    Ok(())
}
