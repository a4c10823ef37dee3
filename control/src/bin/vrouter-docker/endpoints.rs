//! Endpoints: what connects a container to a network. Made by dockerd before the container has its namespace, gone when it leaves.

use std::{net::IpAddr, sync::Arc};

use serde_json::{Value, json};
use vrouter_control::{
    attach::{self, links, names},
    model::{Family, Mac},
};
use vrouter_proto::control as pb;

use crate::{
    control, describe,
    failure::Failure,
    house::{House, Undo, check_id, now},
    protocol::{Done, Options, network},
    publish,
    records::{DockerEndpoint, Endpoint, Phase, key, name_of},
};

/// What the name of the interface in the container begins with.
const PREFIX: &str = "eth";
/// What is noted at the links, for people, and for whoever looks for links without owners.
pub(crate) const ALIAS: &str = "vrouter-docker ";

/// `CreateEndpoint`.
pub(crate) async fn create(house: &Arc<House>, asked: network::CreateEndpoint) -> Result<network::Created, Failure> {
    check_id(&asked.endpoint, "an endpoint")?;
    let network = house.networks.get(&asked.network).filter(|network| !network.deleting);
    let network = network.ok_or_else(|| unknown_network(&asked.network))?;
    let mac = match asked.interface.mac.as_str() {
        "" => None,
        text => Some(Mac::new(text).map_err(|error| Failure::refused(format!("--mac-address: {error}")))?),
    };
    let mut addresses = Vec::new();
    for text in [&asked.interface.address, &asked.interface.address_ipv6] {
        if !text.is_empty() {
            let address: Result<IpAddr, _> = text.split('/').next().unwrap_or_default().parse();
            addresses.push(address.map_err(|_| Failure::refused(format!("{text:?} is no address")))?);
        }
    }
    let name = match mac {
        Some(mac) => name_of(&mac.to_string()),
        None => names::endpoint(&asked.endpoint, "docker"),
    };
    let key = key(&network.name, &name);
    let _alone = house.alone(&key).await;
    let docker = DockerEndpoint {
        endpoint: asked.endpoint.clone(),
        network: asked.network.clone(),
    };
    control::finish_locked(house, &key).await?;
    let kept = house.endpoints.get(&key);
    let reserved = kept.is_some();
    let base = match kept {
        Some(kept) if kept.phase == Phase::Reserved => {
            if !addresses.iter().all(|address| kept.addresses.contains(address)) {
                return Err(Failure::refused(format!(
                    "addresses {addresses:?} were not asked for with MAC address {}",
                    kept.mac
                )));
            }
            kept
        }
        Some(_) => {
            return Err(Failure::refused(format!(
                "{} is the MAC address of another container in network {}",
                asked.interface.mac, network.name
            )));
        }
        None => Endpoint {
            addresses,
            ..Endpoint::reserved(
                &network.name,
                &name,
                mac.map(|mac| mac.to_string()).unwrap_or_default(),
                now(),
            )
        },
    };
    let endpoint = Endpoint {
        phase: Phase::Claimed,
        link: Some(names::host_interface(&asked.endpoint, "host")),
        peer: Some(names::host_interface(&asked.endpoint, "container")),
        docker: Some(docker),
        ..base
    };
    // From here on, whatever does not come to its end is undone: dockerd does not delete an endpoint that it could not create.
    house.endpoints.put(&key, endpoint.clone())?;
    let undo = Undo::unless_told(house, &key);
    let (endpoint, made) = build(house, endpoint, reserved, network.internal)
        .await
        .map_err(|failure| explained(failure, network.own_addresses))?;
    house.endpoints.put(&key, endpoint.clone())?;
    undo.forget();
    tracing::info!(endpoint = key, docker = asked.endpoint, addresses = ?endpoint.addresses, "endpoint created");
    Ok(network::Created {
        interface: left_open(&asked.interface, &made)?,
    })
}

/// Makes the endpoint in control, if no address was kept for it, then the veth pair, and then says that they belong together: a dataplane that is told of
/// a link too early tries again only after a while.
async fn build(
    house: &House,
    mut endpoint: Endpoint,
    reserved: bool,
    internal: bool,
) -> Result<(Endpoint, pb::Endpoint), Failure> {
    let (Some(link), Some(peer)) = (endpoint.link.clone(), endpoint.peer.clone()) else {
        return Err(Failure::refused("the endpoint has no names for its links"));
    };
    let made = if reserved {
        let found = house.control.endpoint(&endpoint.network, &endpoint.name).await?;
        found.ok_or_else(|| {
            Failure::Unknown(format!(
                "endpoint {}/{} was deleted by somebody else",
                endpoint.network, endpoint.name
            ))
        })?
    } else {
        control::make(house, &endpoint).await?
    };
    let addressing = attach::addressing(&made)?;
    endpoint.mac.clone_from(&made.mac);
    endpoint.addresses = addressing.iter().map(|one| one.address).collect();
    endpoint.gateways = match internal {
        true => Vec::new(),
        false => addressing.iter().map(|one| one.gateway).collect(),
    };
    let mac = octets(&made.mac)?;
    // Of a container of the same identifier there is at most a broken rest.
    links::remove_link(&link).await?;
    let pair = links::Pair {
        host: link.clone(),
        peer,
        mac,
        mtu: made.mtu,
        alias: format!("{ALIAS}{}/{}", endpoint.network, endpoint.name),
    };
    links::create_pair(&pair, None).await?;
    let made = control::place(house, &endpoint, &link).await?;
    endpoint.phase = Phase::Attached;
    Ok((endpoint, made))
}

/// What the request left open: dockerd takes nothing else.
fn left_open(asked: &network::Interface, made: &pb::Endpoint) -> Result<network::Interface, Failure> {
    let mut open = network::Interface::default();
    if asked.mac.is_empty() {
        open.mac.clone_from(&made.mac);
    }
    if asked.address.is_empty() && asked.address_ipv6.is_empty() {
        for one in attach::addressing(made)? {
            let text = format!("{}/{}", one.address, one.length);
            match Family::of(one.address) {
                Family::V4 => open.address = text,
                Family::V6 => open.address_ipv6 = text,
            }
        }
    }
    Ok(open)
}

/// A collision of addresses, for somebody who has them from dockerd's own IPAM driver.
fn explained(failure: Failure, own_addresses: bool) -> Failure {
    match failure {
        Failure::Attach(attach::Error::Refused { code, message })
            if !own_addresses && message.starts_with("endpoint.addresses") =>
        {
            let message = format!(
                "{message}. Docker's own IPAM driver knows only its own node: create the network with --ipam-driver vrouter on all nodes, or give each \
                 node an --ip-range of its own"
            );
            Failure::Attach(attach::Error::Refused { code, message })
        }
        other => other,
    }
}

fn octets(mac: &str) -> Result<[u8; 6], Failure> {
    let mut octets = [0; 6];
    let mut texts = mac.split(':');
    for octet in &mut octets {
        let text = texts.next().unwrap_or_default();
        *octet = u8::from_str_radix(text, 16)
            .map_err(|_| attach::Error::Nonsense(format!("control says {mac:?} for a MAC address")))?;
    }
    Ok(octets)
}

fn unknown_network(id: &str) -> Failure {
    let shown: String = id.chars().take(64).collect();
    Failure::Unknown(format!(
        "vrouter does not know Docker's network {shown:?}; was the plugin's state directory removed? Delete the network and create it again"
    ))
}

fn find(house: &House, asked: &str) -> Result<(String, Endpoint), Failure> {
    let found = house
        .endpoints
        .find(|endpoint| endpoint.is(asked) && endpoint.phase != Phase::Deleting);
    found.ok_or_else(|| {
        let shown: String = asked.chars().take(64).collect();
        Failure::Unknown(format!("vrouter does not know Docker's endpoint {shown:?}"))
    })
}

/// `EndpointOperInfo`.
pub(crate) fn info(house: &House, asked: &network::EndpointOnly) -> Result<network::EndpointInfo, Failure> {
    let (_, endpoint) = find(house, &asked.endpoint)?;
    let text = |text: &str| Value::from(text);
    let mut value = Options::from([
        ("com.docker.network.endpoint.macaddress".to_owned(), text(&endpoint.mac)),
        ("vrouter.network".to_owned(), text(&endpoint.network)),
        ("vrouter.endpoint".to_owned(), text(&endpoint.name)),
        ("vrouter.node".to_owned(), text(&house.node)),
        ("vrouter.interface".to_owned(), json!(endpoint.link)),
    ]);
    if !endpoint.published.is_empty() {
        value.insert("vrouter.published".to_owned(), json!(endpoint.published));
    }
    Ok(network::EndpointInfo { value })
}

/// `Join`: where the interface is, and how to get out.
pub(crate) async fn join(house: &Arc<House>, asked: &network::Join) -> Result<network::Joined, Failure> {
    let (key, endpoint) = find(house, &asked.endpoint)?;
    let peer = endpoint.peer.clone().unwrap_or_default();
    if links::link(&peer, None).await?.is_none() {
        return Err(Failure::refused(format!(
            "the link {peer} of endpoint {key} is gone; start the container again"
        )));
    }
    // The container may speak with its first instruction.
    let patience = house.answer_within * 3 / 5;
    house
        .control
        .wait_programmed(&endpoint.network, &endpoint.name, patience)
        .await?;
    describe::later(house, endpoint.clone());
    Ok(network::Joined {
        interface_name: network::InterfaceName {
            src_name: peer,
            dst_prefix: PREFIX,
        },
        gateway: endpoint.gateway(Family::V4),
        gateway_ipv6: endpoint.gateway(Family::V6),
        disable_gateway_service: true,
    })
}

/// `Leave`: dockerd takes the interface out of the container. It stays usable until the endpoint is deleted.
pub(crate) fn leave(house: &House, asked: &network::EndpointOnly) -> Result<Done, Failure> {
    if find(house, &asked.endpoint).is_err() {
        tracing::info!(
            endpoint = asked.endpoint.chars().take(64).collect::<String>(),
            "left an endpoint that is not known"
        );
    }
    Ok(Done {})
}

/// `DeleteEndpoint`. What is not there is deleted; what control does not hear of now it hears of later.
pub(crate) async fn delete(house: &House, asked: &network::EndpointOnly) -> Result<Done, Failure> {
    let Some((key, _)) = house.endpoints.find(|endpoint| endpoint.is(&asked.endpoint)) else {
        return Ok(Done {});
    };
    // It is on record before anything is asked of anybody.
    house.discard(&key)?;
    let soon = house.answer_within * 4 / 5;
    match tokio::time::timeout(soon, control::finish(house, &key)).await {
        Ok(Ok(())) => {}
        Ok(Err(failure)) => tracing::warn!(%failure, endpoint = key, "control hears later that this endpoint is gone"),
        Err(_) => tracing::warn!(
            endpoint = key,
            "control is slow; it hears later that this endpoint is gone"
        ),
    }
    Ok(Done {})
}

/// Whether an endpoint has ports to be published, and is of a network that lets nobody out.
pub(crate) fn publishable(house: &House, asked: &network::Join) -> Result<Option<(String, Endpoint)>, Failure> {
    let (key, endpoint) = find(house, &asked.endpoint)?;
    let internal = house
        .networks
        .get(&asked.network)
        .is_some_and(|network| network.internal);
    Ok((!internal && publish::wanted(&asked.options)).then_some((key, endpoint)))
}
