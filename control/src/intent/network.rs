//! Networks.

use std::sync::Arc;

use super::{Refusal, numbers, references, uid};
use crate::{
    model::{Encapsulation, Mask, Name, Network, NetworkWish, Target},
    state::{Cursor, Key, Record, Transaction},
};

/// Creates a network; idempotent by name.
///
/// # Errors
/// The name is taken by another wish, the VNI by another network; no number is left.
pub fn create_network(transaction: &mut Transaction, wish: NetworkWish) -> Result<Arc<Network>, Refusal> {
    if let Some(existing) = transaction.network(&wish.name) {
        return match difference(existing, &wish) {
            None => Ok(existing.clone()),
            Some(field) => Err(Refusal::taken(
                "network.name",
                format!(
                    "{} exists already, with another {field}; update it, or choose another name",
                    wish.name
                ),
            )),
        };
    }
    check_kind(wish.bridged, wish.encapsulation)?;
    if wish.external {
        check_external(transaction, wish.bridged)?;
    }
    let vni = match wish.vni {
        Some(vni) => match transaction.vni_holder(vni) {
            Some(holder) => {
                return Err(Refusal::taken(
                    "network.vni",
                    format!("{vni} is taken by network {holder}"),
                ));
            }
            None => vni,
        },
        None => numbers::next(transaction, Cursor::Vni, "network.vni", |n| &n.vnis)?,
    };
    let network = Arc::new(Network {
        uid: uid(),
        revision: transaction.revision(),
        number: numbers::next(transaction, Cursor::Network, "network.number", |n| &n.networks)?,
        name: wish.name,
        bridged: wish.bridged,
        encapsulation: wish.encapsulation,
        vni,
        mtu: wish.mtu,
        labels: wish.labels,
        external: wish.external,
        default_ingress: wish.default_ingress,
        default_egress: wish.default_egress,
    });
    transaction.put(Record::Network(network.clone()));
    Ok(network)
}

/// Updates a network.
///
/// # Errors
/// It does not exist, is at another revision, or the wish changes what cannot change.
pub fn update_network(transaction: &mut Transaction, wish: NetworkWish, mask: &Mask) -> Result<Arc<Network>, Refusal> {
    let existing = find(transaction, &wish.name, "network.name")?;
    Refusal::unless_revision("network", wish.revision, existing.revision)?;
    let mut network = existing.as_ref().clone();
    if mask.has("bridged") {
        Refusal::unless_same("network.bridged", Some(wish.bridged), &network.bridged)?;
    }
    if mask.has("vni") {
        Refusal::unless_same("network.vni", wish.vni, &network.vni)?;
    }
    if mask.has("external") {
        Refusal::unless_same("network.external", Some(wish.external), &network.external)?;
    }
    if mask.has("default_ingress") {
        network.default_ingress = wish.default_ingress;
    }
    if mask.has("default_egress") {
        network.default_egress = wish.default_egress;
    }
    if mask.has("encapsulation") {
        check_kind(network.bridged, wish.encapsulation)?;
        network.encapsulation = wish.encapsulation;
    }
    if mask.has("mtu") {
        network.mtu = wish.mtu;
    }
    if mask.has("labels") {
        network.labels = wish.labels;
    }
    if network == *existing {
        return Ok(existing);
    }
    network.revision = transaction.revision();
    let network = Arc::new(network);
    transaction.put(Record::Network(network.clone()));
    Ok(network)
}

/// Deletes a network; whether it was there.
///
/// # Errors
/// Subnets or endpoints are in it, or another object names it.
pub fn delete_network(transaction: &mut Transaction, name: &Name) -> Result<bool, Refusal> {
    if transaction.network(name).is_none() {
        return Ok(false);
    }
    let endpoints = transaction.endpoints_of(name).count();
    let subnets = transaction.subnets_of(name).count();
    if endpoints + subnets > 0 {
        let message = format!("{name} still has {endpoints} endpoints and {subnets} subnets; delete them first");
        return Err(Refusal::in_use("name", message));
    }
    references::unless_used(transaction, &Target::Network(name.clone()), "name")?;
    transaction.delete(Key::Network(name.clone()));
    Ok(true)
}

/// The network that an object refers to in `field`.
pub(super) fn find(transaction: &Transaction, name: &Name, field: &str) -> Result<Arc<Network>, Refusal> {
    transaction.network(name).cloned().ok_or_else(|| {
        let hint = references::network_hint(transaction, name);
        Refusal::not_found(field, format!("there is no network {name}{hint}"))
    })
}

fn check_kind(bridged: bool, encapsulation: Encapsulation) -> Result<(), Refusal> {
    if bridged && encapsulation != Encapsulation::Vxlan {
        return Err(Refusal::invalid(
            "network.encapsulation",
            "a bridged network travels in VXLAN only",
        ));
    }
    Ok(())
}

fn check_external(transaction: &Transaction, bridged: bool) -> Result<(), Refusal> {
    if bridged {
        let message = "a bridged network cannot be external; its addresses are routed on the underlay";
        return Err(Refusal::invalid("network.bridged", message));
    }
    match transaction.networks().find(|n| n.external) {
        Some(other) => Err(Refusal::taken(
            "network.external",
            format!("network {} is external already; one at most is", other.name),
        )),
        None => Ok(()),
    }
}

fn difference(existing: &Network, wish: &NetworkWish) -> Option<&'static str> {
    if existing.bridged != wish.bridged {
        Some("bridged")
    } else if existing.encapsulation != wish.encapsulation {
        Some("encapsulation")
    } else if wish.vni.is_some_and(|vni| vni != existing.vni) {
        Some("vni")
    } else if existing.mtu != wish.mtu {
        Some("mtu")
    } else if existing.labels != wish.labels {
        Some("labels")
    } else if existing.external != wish.external {
        Some("external")
    } else if existing.default_ingress != wish.default_ingress {
        Some("default_ingress")
    } else if existing.default_egress != wish.default_egress {
        Some("default_egress")
    } else {
        None
    }
}
