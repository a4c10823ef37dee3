//! Publishing: several who know nothing of each other share floating addresses, each with ports of its own. Every step is one
//! transaction, so nobody's ports are lost, and an address that was made for ports goes with the last of them.

use std::{collections::HashMap, sync::Arc};

use super::{Refusal, object, references::edit};
use crate::{
    model::{
        EndpointRef, FloatingIp, FloatingIpSpec, Mask, Name, PortForward, Protocol, Publication, PublishedPort, Target,
        Wish, Withdrawal,
    },
    state::{Holder, Key, State, Transaction},
};

/// Where a port is looked for that may be any: the range that Linux gives to connections by default.
const ANY: std::ops::RangeInclusive<u16> = 32768..=60999;

/// Adds ports to a floating address, which is made when it is absent. What leads to the same place already stays as it is.
///
/// # Errors
/// A port leads elsewhere; none is left; the address stands for an endpoint with all ports; those of creating and updating it.
pub fn publish_ports(transaction: &mut Transaction, publication: Publication) -> Result<Arc<FloatingIp>, Refusal> {
    let Publication { mut floating, ports } = publication;
    if floating.spec.network.is_none() {
        floating.spec.network = transaction.networks().find(|n| n.external).map(|n| n.name.clone());
    }
    let Some(network) = floating.spec.network.clone() else {
        let message = "there is no external network; its addresses are those that ports are published at";
        return Err(Refusal::not_found("floating_ip.network", message));
    };
    let name = existing(transaction, &network, &floating);
    let forwards = match name.as_ref().and_then(|name| transaction.floating_ip(name)) {
        Some(existing) => {
            if let Some(endpoint) = &existing.spec.endpoint {
                let message = format!(
                    "floating address {} ({}) stands for {endpoint} with all ports",
                    existing.name, existing.given.address
                );
                return Err(Refusal::taken("floating_ip.name", message));
            }
            if let Some(address) = floating.spec.address.filter(|wished| *wished != existing.given.address) {
                let message = format!(
                    "{} is {}, not {address}; choose another name",
                    existing.name, existing.given.address
                );
                return Err(Refusal::taken("floating_ip.name", message));
            }
            existing.spec.forwards.clone()
        }
        None => Vec::new(),
    };
    floating.spec.forwards = add(forwards, &ports)?;
    match name {
        None => object::create(transaction, floating),
        Some(name) => {
            floating.name = name;
            floating.revision = 0;
            object::update(transaction, floating, &Mask::only("forwards"))
        }
    }
}

/// Takes ports away that lead to an endpoint; how many there were.
///
/// # Errors
/// None by now; what changes a floating address may refuse.
pub fn withdraw_ports(transaction: &mut Transaction, withdrawal: &Withdrawal) -> Result<u32, Refusal> {
    let goes = |forward: &PortForward| {
        let named = |(protocol, port, target): &(Protocol, u16, Option<u16>)| {
            (*protocol, *port) == (forward.protocol, forward.port)
                && target.is_none_or(|target| target == forward.target_port)
        };
        forward.endpoint == withdrawal.endpoint && (withdrawal.ports.is_empty() || withdrawal.ports.iter().any(named))
    };
    let mut withdrawn = 0;
    for name in published(transaction, &withdrawal.endpoint) {
        let count = |f: &FloatingIp| f.spec.forwards.iter().filter(|f| goes(f)).count();
        let here = transaction.floating_ip(&name).map_or(0, |floating| count(floating));
        if here > 0 {
            withdrawn += u32::try_from(here).unwrap_or(u32::MAX);
            edit(transaction, &name, |spec: &mut FloatingIpSpec| {
                spec.forwards.retain(|forward| !goes(forward));
            });
            delete_idle(transaction, &name)?;
        }
    }
    Ok(withdrawn)
}

/// Deletes a floating address that was made for forwards which are gone.
pub(super) fn delete_idle(transaction: &mut Transaction, name: &Name) -> Result<(), Refusal> {
    let idle = |f: &Arc<FloatingIp>| f.spec.ephemeral && f.spec.endpoint.is_none() && f.spec.forwards.is_empty();
    if transaction.floating_ip(name).is_some_and(idle) {
        object::delete::<FloatingIpSpec>(transaction, name)?;
    }
    Ok(())
}

/// The floating address that a publication is about: by address, where one has that, else by name.
fn existing(state: &State, network: &Name, wish: &Wish<FloatingIpSpec>) -> Option<Name> {
    let holder = |address| state.allocation(network, address).map(|a| &a.holder);
    match wish.spec.address.and_then(holder) {
        Some(Holder::FloatingIp(name)) => Some(name.clone()),
        _ => state.floating_ip(&wish.name).map(|found| found.name.clone()),
    }
}

/// The floating addresses with ports that lead to an endpoint.
fn published(state: &State, endpoint: &EndpointRef) -> Vec<Name> {
    let target = Target::Endpoint(endpoint.clone());
    let floating = |user: &Key| match user {
        Key::FloatingIp(name) => Some(name.clone()),
        _ => None,
    };
    state.users(&target).filter_map(floating).collect()
}

fn add(mut forwards: Vec<PortForward>, ports: &[PublishedPort]) -> Result<Vec<PortForward>, Refusal> {
    let mut taken: HashMap<(Protocol, u16), usize> = HashMap::new();
    for (index, forward) in forwards.iter().enumerate() {
        taken.insert((forward.protocol, forward.port), index);
    }
    for (index, wished) in ports.iter().enumerate() {
        let same = |forward: &PortForward| {
            forward.protocol == wished.protocol
                && forward.endpoint == wished.endpoint
                && forward.target_port == wished.target_port
        };
        let port = match wished.port {
            Some(port) => match taken.get(&(wished.protocol, port)).and_then(|at| forwards.get(*at)) {
                Some(there) if same(there) => continue,
                Some(there) => {
                    let message = format!(
                        "{} port {port} leads to port {} of {} already",
                        wished.protocol, there.target_port, there.endpoint
                    );
                    let field = format!("floating_ip.forwards[{index}].port");
                    return Err(Refusal::taken(&field, message));
                }
                None => port,
            },
            None if forwards.iter().any(same) => continue,
            None => {
                let mut free = ANY.filter(|port| !taken.contains_key(&(wished.protocol, *port)));
                free.next().ok_or_else(|| {
                    let message = format!(
                        "no {} port of {} to {} is free",
                        wished.protocol,
                        ANY.start(),
                        ANY.end()
                    );
                    Refusal::exhausted(&format!("floating_ip.forwards[{index}].port"), message)
                })?
            }
        };
        taken.insert((wished.protocol, port), forwards.len());
        forwards.push(PortForward {
            protocol: wished.protocol,
            port,
            endpoint: wished.endpoint.clone(),
            target_port: wished.target_port,
        });
    }
    if forwards.len() > FloatingIpSpec::MAX_FORWARDS {
        let message = format!("{} forwards; at most {}", forwards.len(), FloatingIpSpec::MAX_FORWARDS);
        return Err(Refusal::exhausted("floating_ip.forwards", message));
    }
    Ok(forwards)
}
