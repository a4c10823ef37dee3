//! Subnets.

use std::sync::Arc;

use super::{Refusal, network, space, uid};
use crate::{
    model::{AddressRange, Mask, Name, Subnet, SubnetWish},
    state::{Cursor, Key, Record, Transaction},
};

/// Creates a subnet; idempotent by name.
///
/// # Errors
/// The network does not exist; the range overlaps another of the network, or of one that it reaches; the name is taken by another wish.
pub fn create_subnet(transaction: &mut Transaction, wish: SubnetWish) -> Result<Arc<Subnet>, Refusal> {
    let network = network::find(transaction, &wish.network, "subnet.network")?;
    let cidr = wish
        .cidr
        .ok_or_else(|| Refusal::invalid("subnet.cidr", "is missing; 10.1.0.0/24 or fd00:1::/64 would be right"))?;
    if let Some(existing) = transaction.subnet(&wish.network, &wish.name) {
        let same = existing.cidr == cidr
            && wish.gateway.is_none_or(|gateway| gateway == existing.gateway)
            && existing.reserved == wish.reserved;
        return if same {
            Ok(existing.clone())
        } else {
            let message = format!(
                "{} of network {} exists already, with another wish",
                wish.name, wish.network
            );
            Err(Refusal::taken("subnet.name", message))
        };
    }
    if let Some(other) = transaction
        .subnets_of(&wish.network)
        .find(|other| other.cidr.overlaps(cidr))
    {
        let message = format!("{cidr} overlaps {} of subnet {}", other.cidr, other.name);
        return Err(Refusal::taken("subnet.cidr", message));
    }
    let gateway = wish
        .gateway_in(cidr)
        .ok_or_else(|| Refusal::invalid("subnet.gateway", format!("{cidr} has no address for it")))?;
    let subnet = Arc::new(Subnet {
        uid: uid(),
        revision: transaction.revision(),
        network: wish.network,
        name: wish.name,
        cidr,
        gateway,
        reserved: wish.reserved,
    });
    if let Some(node) = transaction.nat_address_holder(gateway).filter(|_| network.external) {
        let message = format!("{gateway} is in use by node {node}, which translates sources behind it");
        return Err(Refusal::taken("subnet.gateway", message));
    }
    space::check_handed_out(transaction, &subnet)?;
    transaction.put(Record::Subnet(subnet.clone()));
    space::check(transaction, [&subnet.network], "subnet.cidr")?;
    Ok(subnet)
}

/// Updates a subnet: its reserved ranges.
///
/// # Errors
/// It does not exist, is at another revision, the wish changes what cannot change, or reserves an address that is in use.
pub fn update_subnet(transaction: &mut Transaction, wish: SubnetWish, mask: &Mask) -> Result<Arc<Subnet>, Refusal> {
    network::find(transaction, &wish.network, "subnet.network")?;
    let existing = transaction.subnet(&wish.network, &wish.name).cloned().ok_or_else(|| {
        Refusal::not_found(
            "subnet.name",
            format!("there is no subnet {} in network {}", wish.name, wish.network),
        )
    })?;
    Refusal::unless_revision("subnet", wish.revision, existing.revision)?;
    if mask.has("cidr") {
        Refusal::unless_same("subnet.cidr", wish.cidr, &existing.cidr)?;
    }
    if mask.has("gateway") {
        Refusal::unless_same("subnet.gateway", wish.gateway, &existing.gateway)?;
    }
    if !mask.has("reserved") || wish.reserved == existing.reserved {
        return Ok(existing);
    }
    wish.check_within(existing.cidr)?;
    check_unused(transaction, &existing, &wish.reserved)?;
    let mut subnet = existing.as_ref().clone();
    subnet.reserved = wish.reserved;
    subnet.revision = transaction.revision();
    let subnet = Arc::new(subnet);
    transaction.put(Record::Subnet(subnet.clone()));
    Ok(subnet)
}

/// Deletes a subnet; whether it was there.
///
/// # Errors
/// Addresses of it are in use.
pub fn delete_subnet(transaction: &mut Transaction, network: &Name, name: &Name) -> Result<bool, Refusal> {
    let Some(subnet) = transaction.subnet(network, name).cloned() else {
        return Ok(false);
    };
    let mut allocations = transaction.allocations_in(&subnet);
    if let Some(first) = allocations.next() {
        let message = format!(
            "{name} still has {} addresses in use, {} by {} among them",
            allocations.count() + 1,
            first.address,
            first.holder
        );
        return Err(Refusal::in_use("name", message));
    }
    drop(allocations);
    let scoped = (network.clone(), name.clone());
    transaction.delete(Key::Cursor(Cursor::Addresses(scoped.clone())));
    transaction.delete(Key::Subnet(scoped));
    Ok(true)
}

fn check_unused(transaction: &Transaction, subnet: &Subnet, reserved: &[AddressRange]) -> Result<(), Refusal> {
    let used = transaction
        .allocations_in(subnet)
        .find(|a| reserved.iter().any(|range| range.contains(a.address)));
    match used {
        Some(used) => {
            let message = format!("{} is in use by {}", used.address, used.holder);
            Err(Refusal::in_use("subnet.reserved", message))
        }
        None => Ok(()),
    }
}
