//! What the plugin asks of control, and how what it made there is taken away again.

use std::collections::HashMap;

use vrouter_control::{
    attach::{Error, links},
    model::Cidr,
    reservation,
};
use vrouter_proto::control as pb;

use crate::{
    failure::Failure,
    house::House,
    records::{DockerEndpoint, Endpoint, Phase},
};

/// Label of all endpoints that this plugin makes.
pub(crate) const OWNER: (&str, &str) = ("vrouter.owner", "vrouter-docker");
/// Labels with dockerd's identifiers.
pub(crate) const ENDPOINT_LABEL: &str = "docker.endpoint";
pub(crate) const NETWORK_LABEL: &str = "docker.network";

/// Keeps a first address for an endpoint: the endpoint itself, attached to nothing.
pub(crate) async fn reserve(house: &House, endpoint: &Endpoint, wish: String) -> Result<pb::Endpoint, Failure> {
    let mut labels = labels(None);
    labels.insert(reservation::LABEL.to_owned(), endpoint.since.to_string());
    let wish = pb::Endpoint {
        network: endpoint.network.clone(),
        name: endpoint.name.clone(),
        node: house.node.clone(),
        mac: endpoint.mac.clone(),
        addresses: vec![wish],
        labels,
        ..Default::default()
    };
    Ok(house.control.create_endpoint(wish, None).await?)
}

/// Keeps one more address for an endpoint.
pub(crate) async fn reserve_more(house: &House, endpoint: &Endpoint, wish: String) -> Result<pb::Endpoint, Failure> {
    let mut addresses: Vec<String> = endpoint.addresses.iter().map(ToString::to_string).collect();
    addresses.push(wish);
    let wish = pb::Endpoint {
        network: endpoint.network.clone(),
        name: endpoint.name.clone(),
        addresses,
        ..Default::default()
    };
    update(house, wish, &["addresses"]).await
}

/// Makes an endpoint that nothing was kept for. No addresses: one of each family that the network has.
pub(crate) async fn make(house: &House, endpoint: &Endpoint) -> Result<pb::Endpoint, Failure> {
    let wish = pb::Endpoint {
        network: endpoint.network.clone(),
        name: endpoint.name.clone(),
        node: house.node.clone(),
        mac: endpoint.mac.clone(),
        addresses: endpoint.addresses.iter().map(ToString::to_string).collect(),
        labels: labels(endpoint.docker.as_ref()),
        ..Default::default()
    };
    Ok(house.control.create_endpoint(wish, None).await?)
}

/// Says behind which link an endpoint is, and which of dockerd's it is. A reservation ends with it.
pub(crate) async fn place(house: &House, endpoint: &Endpoint, link: &str) -> Result<pb::Endpoint, Failure> {
    let wish = pb::Endpoint {
        network: endpoint.network.clone(),
        name: endpoint.name.clone(),
        node: house.node.clone(),
        interface: link.to_owned(),
        labels: labels(endpoint.docker.as_ref()),
        ..Default::default()
    };
    update(house, wish, &["node", "interface", "labels"]).await
}

/// Changes some fields of an endpoint.
pub(crate) async fn update(house: &House, wish: pb::Endpoint, fields: &[&str]) -> Result<pb::Endpoint, Failure> {
    let request = pb::UpdateEndpointRequest {
        endpoint: Some(wish),
        update_mask: Some(mask(fields)),
    };
    let answer = house.control.call(async |mut api| api.update_endpoint(request).await);
    Ok(answer.await?)
}

pub(crate) fn mask(fields: &[&str]) -> prost_types::FieldMask {
    prost_types::FieldMask {
        paths: fields.iter().map(|field| (*field).to_owned()).collect(),
    }
}

/// Labels that the plugin itself gives an endpoint.
pub(crate) fn labels(docker: Option<&DockerEndpoint>) -> HashMap<String, String> {
    let mut labels = HashMap::from([(OWNER.0.to_owned(), OWNER.1.to_owned())]);
    if let Some(docker) = docker {
        labels.insert(ENDPOINT_LABEL.to_owned(), docker.endpoint.clone());
        labels.insert(NETWORK_LABEL.to_owned(), docker.network.clone());
    }
    labels
}

/// The name of the subnet of a prefix in a network of control's.
pub(crate) fn subnet_name(house: &House, network: &str, cidr: Cidr) -> Result<String, Failure> {
    let of_network = house
        .networks
        .find(|known| known.name == network && known.subnet(cidr).is_some());
    let name = of_network.and_then(|(_, known)| known.subnet(cidr).map(str::to_owned));
    name.ok_or_else(|| Failure::Unknown(format!("network {network} has no subnet {cidr} that vrouter knows")))
}

/// Takes away what there is of an endpoint that nobody needs any more: its link, the endpoint in control, and then its record.
pub(crate) async fn finish(house: &House, key: &str) -> Result<(), Failure> {
    let _alone = house.alone(key).await;
    finish_locked(house, key).await
}

/// The same, for whoever works on it alone already.
pub(crate) async fn finish_locked(house: &House, key: &str) -> Result<(), Failure> {
    let Some(endpoint) = house
        .endpoints
        .get(key)
        .filter(|endpoint| endpoint.phase == Phase::Deleting)
    else {
        return Ok(());
    };
    unlink(&endpoint).await?;
    house.control.delete_endpoint(&endpoint.network, &endpoint.name).await?;
    house.endpoints.remove(key)?;
    tracing::info!(endpoint = key, "endpoint is gone");
    Ok(())
}

/// Removes an endpoint's veth pair, if it is there.
pub(crate) async fn unlink(endpoint: &Endpoint) -> Result<(), Error> {
    match &endpoint.link {
        Some(link) => links::remove_link(link).await.map(drop),
        None => Ok(()),
    }
}
