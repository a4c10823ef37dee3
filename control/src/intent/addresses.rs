//! Addresses of endpoints: handing out and taking back, within the endpoint's own transaction.

use std::net::IpAddr;

use super::Refusal;
use crate::{
    model::{AddressWish, Family, Name, Subnet, number},
    state::{Allocation, Cursor, Key, Record, Transaction},
};

const FIELD: &str = "endpoint.addresses";

/// Turns a wish into addresses and takes those that the endpoint does not hold yet; gives back those it holds and does not need any more.
/// `held` are its addresses so far; those that meet the wish stay.
pub(super) fn resolve(
    transaction: &mut Transaction,
    network: &Name,
    endpoint: &Name,
    wishes: &[AddressWish],
    held: &[IpAddr],
) -> Result<Vec<IpAddr>, Refusal> {
    let mut spare: Vec<IpAddr> = held.to_vec();
    let mut chosen: Vec<IpAddr> = Vec::with_capacity(wishes.len().max(2));
    let explicit: Vec<IpAddr> = wishes
        .iter()
        .filter_map(|w| {
            if let AddressWish::Address(a) = w {
                Some(*a)
            } else {
                None
            }
        })
        .collect();
    // What is asked for by address is not available to wishes that any address meets.
    spare.retain(|address| !explicit.contains(address));
    if wishes.is_empty() {
        for family in [Family::V4, Family::V6] {
            if let Some(position) = spare.iter().position(|a| Family::of(*a) == family) {
                chosen.push(spare.swap_remove(position));
            } else if let Some(address) = any_of_family(transaction, network, endpoint, family)? {
                chosen.push(address);
            }
        }
        if chosen.is_empty() {
            return Err(Refusal::invalid(
                FIELD,
                format!("network {network} has no subnet yet; create one first"),
            ));
        }
    }
    for (index, wish) in wishes.iter().enumerate() {
        let field = format!("{FIELD}[{index}]");
        chosen.push(match wish {
            AddressWish::Address(address) if held.contains(address) => *address,
            AddressWish::Address(address) => this(transaction, network, endpoint, *address, &field)?,
            AddressWish::Subnet(name) => {
                let subnet = transaction.subnet(network, name).cloned().ok_or_else(|| {
                    Refusal::not_found(&field, format!("there is no subnet {name} in network {network}"))
                })?;
                match spare.iter().position(|a| subnet.cidr.contains(*a)) {
                    Some(position) => spare.swap_remove(position),
                    None => any_of(transaction, &subnet, endpoint, &explicit)
                        .ok_or_else(|| exhausted(transaction, &[&subnet], &field))?,
                }
            }
        });
    }
    for address in held.iter().filter(|address| !chosen.contains(address)) {
        release(transaction, network, *address);
    }
    Ok(chosen)
}

/// Gives an address back.
pub(super) fn release(transaction: &mut Transaction, network: &Name, address: IpAddr) {
    transaction.delete(Key::Address(network.clone(), address));
}

/// The next free address of the family, from the first subnet (by name) that has one. `None`: no subnet of this family.
fn any_of_family(
    transaction: &mut Transaction,
    network: &Name,
    endpoint: &Name,
    family: Family,
) -> Result<Option<IpAddr>, Refusal> {
    let subnets: Vec<_> = transaction
        .subnets_of(network)
        .filter(|s| s.cidr.family() == family)
        .cloned()
        .collect();
    for subnet in &subnets {
        if let Some(address) = any_of(transaction, subnet, endpoint, &[]) {
            return Ok(Some(address));
        }
    }
    if subnets.is_empty() {
        return Ok(None);
    }
    let all: Vec<&Subnet> = subnets.iter().map(AsRef::as_ref).collect();
    Err(exhausted(transaction, &all, FIELD))
}

fn any_of(transaction: &mut Transaction, subnet: &Subnet, endpoint: &Name, avoid: &[IpAddr]) -> Option<IpAddr> {
    let cursor = Cursor::Addresses((subnet.network.clone(), subnet.name.clone()));
    let mut from = transaction.cursor(&cursor);
    // Addresses that the same wish names elsewhere are stepped over, once each.
    for _ in 0..=avoid.len() {
        let free = transaction.pool(subnet)?.next_free(from)?;
        let address = subnet.cidr.family().address(free)?;
        from = free.saturating_add(1);
        if !avoid.contains(&address) {
            take(transaction, subnet, endpoint, address);
            transaction.put(Record::Cursor(cursor, from));
            return Some(address);
        }
    }
    None
}

fn this(
    transaction: &mut Transaction,
    network: &Name,
    endpoint: &Name,
    address: IpAddr,
    field: &str,
) -> Result<IpAddr, Refusal> {
    let Some(subnet) = transaction.subnet_around(network, address).cloned() else {
        let known: Vec<String> = transaction
            .subnets_of(network)
            .map(|s| format!("{} ({})", s.cidr, s.name))
            .collect();
        let known = if known.is_empty() {
            "it has none".to_owned()
        } else {
            known.join(", ")
        };
        return Err(Refusal::invalid(
            field,
            format!("{address} is in no subnet of network {network}: {known}"),
        ));
    };
    if let Some(holder) = transaction.allocation(network, address) {
        return Err(Refusal::taken(
            field,
            format!("{address} is in use by endpoint {}", holder.endpoint),
        ));
    }
    if address == subnet.gateway {
        return Err(Refusal::invalid(
            field,
            format!("{address} is the gateway of subnet {}", subnet.name),
        ));
    }
    if subnet.reserved.iter().any(|range| range.contains(address)) {
        return Err(Refusal::invalid(
            field,
            format!("{address} is reserved in subnet {}", subnet.name),
        ));
    }
    if !transaction
        .pool(&subnet)
        .is_some_and(|pool| pool.is_free(number(address)))
    {
        return Err(Refusal::invalid(
            field,
            format!("{address} is no host address of {}", subnet.cidr),
        ));
    }
    take(transaction, &subnet, endpoint, address);
    Ok(address)
}

fn take(transaction: &mut Transaction, subnet: &Subnet, endpoint: &Name, address: IpAddr) {
    let allocation = Allocation {
        network: subnet.network.clone(),
        address,
        endpoint: endpoint.clone(),
    };
    transaction.put(Record::Address(allocation.into()));
}

fn exhausted(transaction: &Transaction, subnets: &[&Subnet], field: &str) -> Refusal {
    let all: Vec<String> = subnets
        .iter()
        .map(|subnet| {
            let taken = transaction.pool(subnet).map_or(0, crate::ipam::Pool::taken);
            format!(
                "subnet {} ({}) has no free address left, {taken} in use",
                subnet.name, subnet.cidr
            )
        })
        .collect();
    Refusal::exhausted(field, all.join("; "))
}
