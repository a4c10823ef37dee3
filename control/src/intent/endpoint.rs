//! Endpoints.

use std::sync::Arc;

use super::{
    Refusal,
    addresses::{self, Claim},
    floating_ip, network, numbers, object, references, space, uid,
};
use crate::{
    model::{
        AddressWish, Endpoint, EndpointRef, EndpointWish, InterfaceName, Mac, Mask, Name, Prefix, QosProfileSpec,
        Target, Wish,
    },
    state::{Cursor, Holder, Key, Record, Transaction},
};

/// Creates an endpoint with its addresses, number and MAC; idempotent by name and by client id.
///
/// # Errors
/// The network, node or subnet does not exist; a value is taken; nothing is left to hand out.
pub fn create_endpoint(transaction: &mut Transaction, wish: EndpointWish) -> Result<Arc<Endpoint>, Refusal> {
    let network = network::find(transaction, &wish.network, "endpoint.network")?;
    if network.external {
        let message = format!(
            "{} is external and has no endpoints; a floating address there can stand for one of another network",
            network.name
        );
        return Err(Refusal::invalid("endpoint.network", message));
    }
    let by_id = wish
        .client_id
        .as_ref()
        .and_then(|id| transaction.client_id_holder(&wish.network, id))
        .cloned();
    let field = if by_id.is_some() {
        "endpoint.client_id"
    } else {
        "endpoint.name"
    };
    let name = by_id.unwrap_or_else(|| wish.name.clone());
    if let Some(existing) = transaction.endpoint(&wish.network, &name) {
        return match difference(existing, &wish) {
            None => Ok(existing.clone()),
            Some(differs) => {
                let message = format!(
                    "endpoint {name} of network {} exists already, with another {differs}",
                    wish.network
                );
                Err(Refusal::taken(field, message))
            }
        };
    }
    check_place(
        transaction,
        &wish.network,
        &wish.name,
        wish.node.as_ref(),
        wish.interface.as_ref(),
    )?;
    if let Some((mac, holder)) = wish
        .mac
        .and_then(|mac| Some((mac, transaction.mac_holder(&wish.network, mac)?)))
    {
        return Err(Refusal::taken(
            "endpoint.mac",
            format!("{mac} is taken by endpoint {holder} of the same network"),
        ));
    }
    check_allowed(
        transaction,
        &EndpointRef {
            network: wish.network.clone(),
            name: wish.name.clone(),
        },
        &wish.allowed_addresses,
        &wish.allowed_macs,
    )?;
    check_qos(transaction, wish.qos.as_ref())?;
    let number = numbers::next(transaction, Cursor::Endpoint, "endpoint.number", |n| &n.endpoints)?;
    let mac = match wish.mac {
        Some(mac) => mac,
        None => generate_mac(transaction, &wish.network, number)?,
    };
    let addresses = claim(&wish.network, &wish.name).resolve(transaction, &wish.addresses, &[])?;
    let endpoint = Arc::new(Endpoint {
        uid: uid(),
        revision: transaction.revision(),
        number,
        mac,
        addresses,
        network: wish.network,
        name: wish.name,
        node: wish.node,
        interface: wish.interface,
        wished_addresses: wish.addresses,
        labels: wish.labels,
        client_id: wish.client_id,
        allowed_addresses: wish.allowed_addresses,
        allowed_macs: wish.allowed_macs,
        allow_router: wish.allow_router,
        allow_dhcp_server: wish.allow_dhcp_server,
        qos: wish.qos,
    });
    transaction.put(Record::Endpoint(endpoint.clone()));
    Ok(endpoint)
}

/// Creates an endpoint, and before it, if it is absent, the QoS profile that it names.
///
/// # Errors
/// Those of either; the endpoint names another profile.
pub fn create_endpoint_with(
    transaction: &mut Transaction,
    wish: EndpointWish,
    profile: Option<Wish<QosProfileSpec>>,
) -> Result<Arc<Endpoint>, Refusal> {
    if let Some(profile) = profile {
        if wish.qos.as_ref() != Some(&profile.name) {
            let message = format!("is to name the profile that comes with it, {}", profile.name);
            return Err(Refusal::invalid("endpoint.qos", message));
        }
        object::create(transaction, profile)?;
    }
    create_endpoint(transaction, wish)
}

/// Deletes a QoS profile that was for endpoints which are gone.
fn delete_idle(transaction: &mut Transaction, profile: Option<&Name>) -> Result<(), Refusal> {
    let Some(name) = profile else { return Ok(()) };
    let ephemeral = transaction.qos_profile(name).is_some_and(|p| p.spec.ephemeral);
    let target = Target::QosProfile(name.clone());
    if ephemeral && transaction.users(&target).next().is_none() {
        object::delete::<QosProfileSpec>(transaction, name)?;
    }
    Ok(())
}

/// Updates an endpoint: moves it, attaches or detaches it, changes its addresses or labels.
///
/// # Errors
/// It, its node or a subnet does not exist, it is at another revision, the wish changes what cannot change, or wants what is taken.
pub fn update_endpoint(
    transaction: &mut Transaction,
    wish: EndpointWish,
    mask: &Mask,
) -> Result<Arc<Endpoint>, Refusal> {
    network::find(transaction, &wish.network, "endpoint.network")?;
    let existing = transaction
        .endpoint(&wish.network, &wish.name)
        .cloned()
        .ok_or_else(|| {
            Refusal::not_found(
                "endpoint.name",
                format!("there is no endpoint {} in network {}", wish.name, wish.network),
            )
        })?;
    Refusal::unless_revision("endpoint", wish.revision, existing.revision)?;
    let mut endpoint = existing.as_ref().clone();
    if mask.has("mac") {
        Refusal::unless_same("endpoint.mac", wish.mac, &endpoint.mac)?;
    }
    if mask.has("client_id") && wish.client_id.is_some() && wish.client_id != endpoint.client_id {
        return Err(Refusal::invalid("endpoint.client_id", "cannot change"));
    }
    if mask.has("node") {
        endpoint.node = wish.node;
    }
    if mask.has("interface") {
        endpoint.interface = wish.interface;
    }
    if mask.has("labels") {
        endpoint.labels = wish.labels;
    }
    check_place(
        transaction,
        &endpoint.network,
        &endpoint.name,
        endpoint.node.as_ref(),
        endpoint.interface.as_ref(),
    )?;
    if mask.has("allowed_addresses") {
        endpoint.allowed_addresses = wish.allowed_addresses;
    }
    if mask.has("allowed_macs") {
        endpoint.allowed_macs = wish.allowed_macs;
    }
    if mask.has("allow_router") {
        endpoint.allow_router = wish.allow_router;
    }
    if mask.has("allow_dhcp_server") {
        endpoint.allow_dhcp_server = wish.allow_dhcp_server;
    }
    if mask.has("qos") {
        check_qos(transaction, wish.qos.as_ref())?;
        endpoint.qos = wish.qos;
    }
    if endpoint.allowed_addresses != existing.allowed_addresses || endpoint.allowed_macs != existing.allowed_macs {
        check_allowed(
            transaction,
            &EndpointRef::of(&endpoint),
            &endpoint.allowed_addresses,
            &endpoint.allowed_macs,
        )?;
    }
    // Sending back the addresses that were read is no new wish.
    if mask.has("addresses") && !AddressWish::name_exactly(&wish.addresses, &endpoint.addresses) {
        endpoint.addresses =
            claim(&existing.network, &existing.name).resolve(transaction, &wish.addresses, &existing.addresses)?;
        endpoint.wished_addresses = wish.addresses;
    }
    if endpoint == *existing {
        return Ok(existing);
    }
    endpoint.revision = transaction.revision();
    let endpoint = Arc::new(endpoint);
    transaction.put(Record::Endpoint(endpoint.clone()));
    if endpoint.addresses != existing.addresses {
        floating_ip::check_endpoint(transaction, &endpoint)?;
    }
    if endpoint.qos != existing.qos {
        delete_idle(transaction, existing.qos.as_ref())?;
    }
    Ok(endpoint)
}

/// Deletes an endpoint and gives its addresses back; whether it was there. Floating addresses that stand for it stand for nobody then,
/// their forwards to it go, and so does its name in groups, services and mirrors.
///
/// # Errors
/// It is where a mirror's copies go.
pub fn delete_endpoint(transaction: &mut Transaction, network: &Name, name: &Name) -> Result<bool, Refusal> {
    let Some(endpoint) = transaction.endpoint(network, name).cloned() else {
        return Ok(false);
    };
    references::detach_endpoint(transaction, &EndpointRef::of(&endpoint))?;
    for address in &endpoint.addresses {
        addresses::release(transaction, network, *address);
    }
    transaction.delete(Key::Endpoint((network.clone(), name.clone())));
    delete_idle(transaction, endpoint.qos.as_ref())?;
    Ok(true)
}

fn claim<'a>(network: &'a Name, name: &Name) -> Claim<'a> {
    Claim {
        field: "endpoint.addresses",
        network,
        holder: Holder::Endpoint(name.clone()),
        outside: false,
    }
}

fn check_place(
    transaction: &Transaction,
    network: &Name,
    name: &Name,
    node: Option<&Name>,
    interface: Option<&InterfaceName>,
) -> Result<(), Refusal> {
    let Some(node) = node else {
        return match interface {
            Some(interface) => Err(Refusal::invalid(
                "endpoint.node",
                format!("is missing; on which node is {interface}?"),
            )),
            None => Ok(()),
        };
    };
    if transaction.node(node).is_none() {
        return Err(Refusal::not_found("endpoint.node", format!("there is no node {node}")));
    }
    let holder = interface.and_then(|interface| transaction.interface_holder(node, interface).zip(Some(interface)));
    match holder {
        Some((holder, interface)) if (&holder.0, &holder.1) != (network, name) => Err(Refusal::taken(
            "endpoint.interface",
            format!(
                "{interface} on node {node} belongs to endpoint {} of network {}",
                holder.1, holder.0
            ),
        )),
        _ => Ok(()),
    }
}

fn check_qos(transaction: &Transaction, qos: Option<&Name>) -> Result<(), Refusal> {
    match qos {
        Some(name) => references::exists(transaction, &Target::QosProfile(name.clone()), "endpoint.qos"),
        None => Ok(()),
    }
}

/// Refuses to let an endpoint send from what is somebody else's.
fn check_allowed(
    transaction: &Transaction,
    name: &EndpointRef,
    prefixes: &[Prefix],
    macs: &[Mac],
) -> Result<(), Refusal> {
    let network = &name.network;
    for (index, prefix) in prefixes.iter().enumerate() {
        let taken = |by: String| {
            let field = format!("endpoint.allowed_addresses[{index}]");
            Err(Refusal::taken(&field, format!("{prefix} is {by}")))
        };
        if let Some(address) = prefix.as_host() {
            let own = Holder::Endpoint(name.name.clone());
            let holder = transaction.allocation(network, address).map(|a| &a.holder);
            if let Some(other) = holder.filter(|holder| **holder != own) {
                return taken(format!("in use by {other}"));
            }
            let around = transaction.subnet_around(network, address);
            if let Some(subnet) = around.filter(|s| s.gateway == address) {
                return taken(format!("the gateway of subnet {}", subnet.name));
            }
        }
        if let Some((other, cidr)) = space::foreign(transaction, network, *prefix) {
            return taken(format!(
                "in {cidr} of network {other}, which a router joins with network {network}"
            ));
        }
    }
    for (index, mac) in macs.iter().enumerate() {
        let holder = transaction.mac_holder(network, *mac);
        if let Some(holder) = holder.filter(|holder| **holder != name.name) {
            let field = format!("endpoint.allowed_macs[{index}]");
            let message = format!("{mac} is the address of endpoint {holder} of the same network");
            return Err(Refusal::taken(&field, message));
        }
    }
    Ok(())
}

/// A MAC address made of the endpoint's number, which is unique; steps aside where a client chose just that one for another endpoint.
fn generate_mac(transaction: &Transaction, network: &Name, number: u32) -> Result<Mac, Refusal> {
    // "v", and any tag after it.
    (0..=u8::MAX)
        .map(|step| Mac::generated(0x76_u8.wrapping_add(step), number))
        .find(|mac| transaction.mac_holder(network, *mac).is_none())
        .ok_or_else(|| Refusal::exhausted("endpoint.mac", "no address is left for this endpoint; choose one"))
}

fn difference(existing: &Endpoint, wish: &EndpointWish) -> Option<&'static str> {
    let same_addresses =
        wish.addresses == existing.wished_addresses || AddressWish::name_exactly(&wish.addresses, &existing.addresses);
    if existing.node != wish.node {
        Some("node")
    } else if existing.interface != wish.interface {
        Some("interface")
    } else if wish.mac.is_some_and(|mac| mac != existing.mac) {
        Some("mac")
    } else if !same_addresses {
        Some("addresses")
    } else if existing.labels != wish.labels {
        Some("labels")
    } else if wish.client_id.is_some() && existing.client_id != wish.client_id {
        Some("client_id")
    } else if existing.allowed_addresses != wish.allowed_addresses {
        Some("allowed_addresses")
    } else if existing.allowed_macs != wish.allowed_macs {
        Some("allowed_macs")
    } else if existing.allow_router != wish.allow_router {
        Some("allow_router")
    } else if existing.allow_dhcp_server != wish.allow_dhcp_server {
        Some("allow_dhcp_server")
    } else if existing.qos != wish.qos {
        Some("qos")
    } else {
        None
    }
}
