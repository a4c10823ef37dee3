//! Nodes.

use std::{net::IpAddr, sync::Arc};

use super::{Refusal, numbers, uid};
use crate::{
    model::{Mask, Name, Node, NodeWish, Vteps},
    state::{Cursor, Key, Observed, Record, Transaction},
};

/// Creates a node; idempotent by name. A node that the server made by itself takes on the wish.
///
/// # Errors
/// The name is taken by another wish, a tunnel address by another node; an external node needs an address.
pub fn create_node(transaction: &mut Transaction, wish: NodeWish) -> Result<Arc<Node>, Refusal> {
    check_external(&wish)?;
    let existing = transaction.node(&wish.name).cloned();
    if let Some(existing) = existing.as_ref().filter(|node| !node.implicit) {
        let same = existing.external == wish.external
            && existing.vteps == wish.vteps
            && existing.labels == wish.labels
            && existing.nat_addresses == wish.nat_addresses;
        return if same {
            Ok(existing.clone())
        } else {
            Err(Refusal::taken(
                "node.name",
                format!("{} exists already, with another wish; update it", wish.name),
            ))
        };
    }
    check_vteps(transaction, &wish.name, wish.vteps.addresses())?;
    check_nat_addresses(transaction, &wish.name, wish.external, &wish.nat_addresses)?;
    let (uid, number) = match existing {
        Some(implicit) => (implicit.uid.clone(), implicit.number),
        None => (
            uid(),
            numbers::next(transaction, Cursor::Node, "node.number", |n| &n.nodes)?,
        ),
    };
    let node = Node {
        uid,
        number,
        revision: transaction.revision(),
        name: wish.name,
        vteps: wish.vteps,
        labels: wish.labels,
        external: wish.external,
        implicit: false,
        nat_addresses: wish.nat_addresses,
    };
    both(&node)?;
    let node = Arc::new(node);
    transaction.put(Record::Node(node.clone()));
    Ok(node)
}

/// Updates a node: its tunnel addresses and labels.
///
/// # Errors
/// It does not exist, is at another revision, or the wish changes what cannot change or wants what is taken.
pub fn update_node(transaction: &mut Transaction, wish: NodeWish, mask: &Mask) -> Result<Arc<Node>, Refusal> {
    let existing = transaction
        .node(&wish.name)
        .cloned()
        .ok_or_else(|| Refusal::not_found("node.name", format!("there is no node {}", wish.name)))?;
    Refusal::unless_revision("node", wish.revision, existing.revision)?;
    let mut node = existing.as_ref().clone();
    if mask.has("external") {
        Refusal::unless_same("node.external", Some(wish.external), &node.external)?;
    }
    if mask.has("vtep_addresses") {
        if node.external && wish.vteps.is_empty() {
            return Err(Refusal::invalid(
                "node.vtep_addresses",
                "an external node needs at least one",
            ));
        }
        check_vteps(transaction, &node.name, wish.vteps.addresses())?;
        node.vteps = wish.vteps;
    }
    if mask.has("labels") {
        node.labels = wish.labels;
    }
    if mask.has("nat_addresses") {
        check_nat_addresses(transaction, &node.name, node.external, &wish.nat_addresses)?;
        node.nat_addresses = wish.nat_addresses;
    }
    both(&node)?;
    if node == *existing {
        return Ok(existing);
    }
    node.implicit = false;
    node.revision = transaction.revision();
    let node = Arc::new(node);
    transaction.put(Record::Node(node.clone()));
    Ok(node)
}

/// Deletes a node; whether it was there.
///
/// # Errors
/// Endpoints live on it.
pub fn delete_node(transaction: &mut Transaction, name: &Name) -> Result<bool, Refusal> {
    if transaction.node(name).is_none() {
        return Ok(false);
    }
    let mut endpoints = transaction.endpoints_on(name);
    if let Some(first) = endpoints.next() {
        let message = format!(
            "{} endpoints live on {name}, {}/{} among them",
            endpoints.count() + 1,
            first.network,
            first.name
        );
        return Err(Refusal::in_use("name", message));
    }
    drop(endpoints);
    transaction.delete(Key::Observed(name.clone()));
    transaction.delete(Key::Node(name.clone()));
    Ok(true)
}

/// Notes what a node's dataplane says of itself; makes the node when there is none yet.
///
/// # Errors
/// No node number is left.
pub fn observe_node(
    transaction: &mut Transaction,
    name: &Name,
    observed: Option<(Vec<IpAddr>, u32)>,
) -> Result<(), Refusal> {
    if transaction.node(name).is_none() {
        let node = Node {
            uid: uid(),
            number: numbers::next(transaction, Cursor::Node, "node.number", |n| &n.nodes)?,
            revision: transaction.revision(),
            name: name.clone(),
            vteps: Vteps::default(),
            labels: crate::model::Labels::default(),
            external: false,
            implicit: true,
            nat_addresses: Vec::new(),
        };
        transaction.put(Record::Node(node.into()));
    }
    if let Some((addresses, underlay_mtu)) = observed {
        let observed = Observed {
            node: name.clone(),
            vteps: Vteps::first_of_each(addresses),
            underlay_mtu,
        };
        if transaction.observed(name).is_none_or(|known| **known != observed) {
            transaction.put(Record::Observed(observed.into()));
        }
    }
    Ok(())
}

fn check_external(wish: &NodeWish) -> Result<(), Refusal> {
    if wish.external && wish.vteps.is_empty() {
        return Err(Refusal::invalid(
            "node.vtep_addresses",
            "an external node needs at least one; nobody else says what it is",
        ));
    }
    Ok(())
}

fn check_vteps(transaction: &Transaction, name: &Name, addresses: &[IpAddr]) -> Result<(), Refusal> {
    for address in addresses {
        let holder = transaction
            .nodes()
            .find(|other| other.name != *name && transaction.vteps(other).addresses().contains(address));
        if let Some(holder) = holder {
            let message = format!("{address} is the tunnel address of node {}", holder.name);
            return Err(Refusal::taken("node.vtep_addresses", message));
        }
        if let Some(node) = transaction.nat_address_holder(*address).filter(|node| *node != name) {
            let message = format!("{address} is in use by node {node}, which translates sources behind it");
            return Err(Refusal::taken("node.vtep_addresses", message));
        }
    }
    Ok(())
}

/// Refuses addresses to translate behind that anybody else has.
fn check_nat_addresses(
    transaction: &Transaction,
    name: &Name,
    external: bool,
    addresses: &[IpAddr],
) -> Result<(), Refusal> {
    if external && !addresses.is_empty() {
        let message = "an external node runs no vrouter that could translate";
        return Err(Refusal::invalid("node.nat_addresses", message));
    }
    let underlay = transaction.networks().find(|n| n.external);
    for (index, address) in addresses.iter().enumerate() {
        let taken = |by: String| {
            let message = format!("{address} is {by}");
            Err(Refusal::taken(&format!("node.nat_addresses[{index}]"), message))
        };
        if let Some(other) = transaction.nat_address_holder(*address).filter(|n| *n != name) {
            return taken(format!("in use by node {other}, which translates sources behind it"));
        }
        let tunnel = transaction
            .nodes()
            .find(|other| other.name != *name && transaction.vteps(other).addresses().contains(address));
        if let Some(other) = tunnel {
            return taken(format!("the tunnel address of node {}", other.name));
        }
        let Some(network) = underlay else { continue };
        if let Some(allocation) = transaction.allocation(&network.name, *address) {
            return taken(format!("in use by {}", allocation.holder));
        }
        let gateway = transaction.subnets_of(&network.name).find(|s| s.gateway == *address);
        if let Some(subnet) = gateway {
            let message = format!("the gateway of subnet {} of network {}", subnet.name, network.name);
            return taken(message);
        }
    }
    Ok(())
}

/// Refuses an address that a node has for tunnels and to translate behind: the host has the one, nobody may have the other.
fn both(node: &Node) -> Result<(), Refusal> {
    let vteps = node.vteps.addresses();
    match node.nat_addresses.iter().find(|a| vteps.contains(a)) {
        None => Ok(()),
        Some(address) => Err(Refusal::taken(
            "node.nat_addresses",
            format!("{address} is its own tunnel address; an address that no host has would be right"),
        )),
    }
}
