//! Floating addresses: taken from the external network's subnets, and each endpoint address behind one of them at most.

use std::net::IpAddr;

use super::{
    Refusal,
    addresses::{self, Claim},
    object::Rules,
    references,
};
use crate::{
    model::{Endpoint, EndpointRef, Family, FloatingIp, FloatingIpGiven, FloatingIpSpec, Name, Object, Target},
    state::{Holder, Key, State, Transaction},
};

impl Rules for FloatingIpSpec {
    fn give(
        transaction: &mut Transaction,
        name: &Name,
        spec: &Self,
        existing: Option<&Object<Self>>,
    ) -> Result<FloatingIpGiven, Refusal> {
        if let Some(existing) = existing {
            return Ok(existing.given.clone());
        }
        let network = spec.network.clone().ok_or_else(|| {
            let message = "is missing; the name of the external network would be right";
            Refusal::invalid("floating_ip.network", message)
        })?;
        if !transaction.network(&network).is_some_and(|n| n.external) {
            let message =
                format!("{network} is not external; floating addresses are addresses of the external network");
            return Err(Refusal::invalid("floating_ip.network", message));
        }
        let address = take(transaction, name, &network, spec)?;
        Ok(FloatingIpGiven { network, address })
    }

    fn verify(transaction: &Transaction, floating: &Object<Self>) -> Result<(), Refusal> {
        let family = Family::of(floating.given.address);
        if let Some(name) = &floating.spec.endpoint {
            let endpoint = found(transaction, name, "floating_ip.endpoint")?;
            if let Some(fixed) = floating.spec.fixed_address {
                if !endpoint.addresses.contains(&fixed) {
                    let message = format!("{fixed} is no address of {name}, which has {}", all(endpoint));
                    return Err(Refusal::invalid("floating_ip.fixed_address", message));
                }
                if Family::of(fixed) != family {
                    let message = format!("{fixed} is no {family} address, as {} is", floating.given.address);
                    return Err(Refusal::invalid("floating_ip.fixed_address", message));
                }
            }
            has_family(endpoint, name, family, "floating_ip.endpoint")?;
            alone(transaction, floating, name)?;
        }
        for (index, forward) in floating.spec.forwards.iter().enumerate() {
            let field = format!("floating_ip.forwards[{index}].endpoint");
            let endpoint = found(transaction, &forward.endpoint, &field)?;
            has_family(endpoint, &forward.endpoint, family, &field)?;
        }
        Ok(())
    }

    fn give_back(transaction: &mut Transaction, floating: &Object<Self>) {
        addresses::release(transaction, &floating.given.network, floating.given.address);
    }
}

/// Refuses a change of an endpoint, which is in the transaction already, that a floating address cannot live with.
pub(super) fn check_endpoint(transaction: &Transaction, endpoint: &Endpoint) -> Result<(), Refusal> {
    let name = EndpointRef::of(endpoint);
    for user in transaction.users(&Target::Endpoint(name.clone())) {
        let Key::FloatingIp(id) = user else { continue };
        let Some(floating) = transaction.floating_ip(id) else {
            continue;
        };
        let stands = floating.spec.endpoint.as_ref() == Some(&name);
        let family = Family::of(floating.given.address);
        let kept = if stands {
            transaction.fixed_address(floating).is_some()
        } else {
            endpoint.address_of(family).is_some()
        };
        if !kept || (stands && alone(transaction, floating, &name).is_err()) {
            let message = format!(
                "floating address {} ({}) needs an address of {name} that would go; detach it first",
                floating.name, floating.given.address
            );
            return Err(Refusal::in_use("endpoint.addresses", message));
        }
    }
    Ok(())
}

fn take(transaction: &mut Transaction, name: &Name, network: &Name, spec: &FloatingIpSpec) -> Result<IpAddr, Refusal> {
    let claim = Claim {
        field: "floating_ip.address",
        network,
        holder: Holder::FloatingIp(name.clone()),
        outside: false,
    };
    if let Some(address) = spec.address {
        if let Some(node) = transaction.nat_address_holder(address) {
            let message = format!("{address} is in use by node {node}, which translates sources behind it");
            return Err(Refusal::taken(claim.field, message));
        }
        return claim.this(transaction, address, claim.field);
    }
    let families = match spec.family {
        Some(family) => vec![Family::from(family)],
        None => vec![Family::V4, Family::V6],
    };
    let avoid: Vec<IpAddr> = transaction.nat_addresses().collect();
    for family in &families {
        if let Some(address) = claim.any_of_family(transaction, *family, &avoid)? {
            return Ok(address);
        }
    }
    let message = match spec.family {
        Some(family) => format!("network {network} has no {} subnet", Family::from(family)),
        None => format!("network {network} has no subnet yet; create one first"),
    };
    let field = if spec.family.is_some() {
        "floating_ip.family"
    } else {
        claim.field
    };
    Err(Refusal::invalid(field, message))
}

fn found<'a>(state: &'a State, name: &EndpointRef, field: &str) -> Result<&'a Endpoint, Refusal> {
    references::exists(state, &Target::Endpoint(name.clone()), field)?;
    let endpoint = state.by_ref(name).map(AsRef::as_ref);
    endpoint.ok_or_else(|| Refusal::not_found(field, format!("there is no endpoint {name}")))
}

fn has_family(endpoint: &Endpoint, name: &EndpointRef, family: Family, field: &str) -> Result<(), Refusal> {
    if endpoint.address_of(family).is_some() {
        return Ok(());
    }
    let message = format!("{name} has no {family} address, only {}", all(endpoint));
    Err(Refusal::invalid(field, message))
}

/// Refuses when another floating address stands for the same address of the endpoint.
fn alone(state: &State, floating: &FloatingIp, name: &EndpointRef) -> Result<(), Refusal> {
    let Some(fixed) = state.fixed_address(floating) else {
        return Ok(());
    };
    let others = state
        .users(&Target::Endpoint(name.clone()))
        .filter_map(|user| match user {
            Key::FloatingIp(id) if *id != floating.name => state.floating_ip(id),
            _ => None,
        });
    let same = |other: &&std::sync::Arc<FloatingIp>| {
        other.spec.endpoint.as_ref() == Some(name) && state.fixed_address(other) == Some(fixed)
    };
    match { others }.find(same) {
        None => Ok(()),
        Some(other) => {
            let message = format!(
                "floating address {} ({}) stands for {fixed} of {name} already; which one should its packets come from?",
                other.name, other.given.address
            );
            Err(Refusal::taken("floating_ip.endpoint", message))
        }
    }
}

fn all(endpoint: &Endpoint) -> String {
    let all: Vec<String> = endpoint.addresses.iter().map(ToString::to_string).collect();
    if all.is_empty() {
        "none at all".to_owned()
    } else {
        all.join(", ")
    }
}
