//! Networks: each of dockerd's is one of control's, which other nodes' dockerds and other orchestrators may use as well.
//!
//! A network that the plugin made in control goes with the last of dockerds' networks on it. Which those are is noted in its labels, so that all nodes
//! agree without talking to each other: a label for each, and one that says who is just taking it away.

use serde_json::Value;
use vrouter_control::{attach::Error, model::Cidr};
use vrouter_proto::control::{self as pb, Encapsulation};

use crate::{
    control::{OWNER, mask},
    failure::Failure,
    house::{House, check_id},
    pools::{self, ADDRESS_SPACE, NETWORK, control_name},
    protocol::{Done, Options, network},
    records::{Network, Subnet},
};

/// What dockerd calls the options of `-o`, and `--internal`.
const GENERIC: &str = "com.docker.network.generic";
const INTERNAL: &str = "com.docker.network.internal";
/// What dockerd's own drivers call the MTU.
const DOCKER_MTU: &str = "com.docker.network.driver.mtu";
/// Labels of a network: a dockerd's network on it begins so; who is taking it away.
const USER: &str = "docker.network.";
const DELETING: &str = "docker.deleting";
/// How often a change is tried that others' changes overtake.
const TRIES: usize = 8;

/// What `docker network create` says with `-o`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wish {
    name: Option<String>,
    encapsulation: Option<Encapsulation>,
    bridged: Option<bool>,
    vni: Option<u32>,
    mtu: Option<u32>,
    internal: bool,
}

impl Wish {
    fn new(options: &Options) -> Result<Self, Failure> {
        let mut wish = Self {
            internal: options.get(INTERNAL).is_some_and(|value| *value == Value::Bool(true)),
            ..Self::default()
        };
        let generic = options.get(GENERIC).and_then(Value::as_object);
        for (key, value) in generic.into_iter().flatten() {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let number = || {
                text.parse::<u32>()
                    .map_err(|_| Failure::refused(format!("-o {key}={text}: a number would be right")))
            };
            match key.as_str() {
                NETWORK => wish.name = Some(control_name(&text)?),
                "encapsulation" => {
                    wish.encapsulation = Some(match text.as_str() {
                        "vxlan" => Encapsulation::Vxlan,
                        "mpls" => Encapsulation::MplsUdp,
                        _ => {
                            return Err(Failure::refused(format!(
                                "-o {key}={text}: vxlan or mpls would be right"
                            )));
                        }
                    });
                }
                "bridged" => {
                    let parsed = text.parse();
                    let refused = |_| Failure::refused(format!("-o {key}={text}: true or false would be right"));
                    wish.bridged = Some(parsed.map_err(refused)?);
                }
                "vni" => wish.vni = Some(number()?),
                "mtu" | DOCKER_MTU => wish.mtu = Some(number()?),
                other if other.starts_with("com.docker.") => {}
                other => {
                    return Err(Failure::refused(format!(
                        "-o {other} is not known to vrouter; {NETWORK}, encapsulation, bridged, vni and mtu are"
                    )));
                }
            }
        }
        Ok(wish)
    }

    /// Refuses a network that exists and is not as wished.
    fn check(&self, existing: &pb::Network) -> Result<(), Failure> {
        let name = &existing.name;
        let differs = |what: &str, is: String| {
            Err(Failure::refused(format!(
                "network {name} exists already, with {what} {is}; leave -o {what} out"
            )))
        };
        if existing.external {
            return Err(Failure::refused(format!(
                "network {name} is external and has no endpoints"
            )));
        }
        if let Some(by) = existing.labels.get(DELETING) {
            return Err(Failure::refused(format!(
                "network {name} is just being deleted by node {by}; try again"
            )));
        }
        if self.bridged.is_some_and(|bridged| bridged != existing.bridged) {
            return differs("bridged", existing.bridged.to_string());
        }
        if self.vni.is_some_and(|vni| vni != existing.vni) {
            return differs("vni", existing.vni.to_string());
        }
        if self.mtu.is_some_and(|mtu| mtu != existing.mtu) {
            return differs("mtu", existing.mtu.to_string());
        }
        let is = existing.encapsulation();
        let same = |wished: Encapsulation| {
            wished == is || (wished == Encapsulation::Vxlan && is == Encapsulation::Unspecified)
        };
        if !self.encapsulation.is_none_or(same) {
            let is = if is == Encapsulation::MplsUdp { "mpls" } else { "vxlan" };
            return differs("encapsulation", is.to_owned());
        }
        Ok(())
    }
}

/// `GwAllocCheck`: dockerd is to have gateways from its IPAM driver: from this plugin's, they are the routers; from its own, they must not be given to
/// containers.
pub(crate) fn gateway_check(asked: &network::GatewayCheck) -> Result<network::GatewayNeeds, Failure> {
    Wish::new(&asked.options)?;
    Ok(network::GatewayNeeds::default())
}

/// `AllocateNetwork`: managers of a swarm ask; nothing is theirs to give.
pub(crate) fn allocate(_: &network::CreateNetwork) -> network::Allocated {
    network::Allocated::default()
}

/// `CreateNetwork`.
pub(crate) async fn create(house: &House, asked: network::CreateNetwork) -> Result<Done, Failure> {
    check_id(&asked.network, "a network")?;
    let wish = Wish::new(&asked.options)?;
    let mut given = Vec::new();
    for data in asked.ipv4.iter().chain(&asked.ipv6) {
        // The null IPAM driver says "everything": addresses are the network driver's choice.
        if data.pool.is_empty() || data.pool.ends_with("/0") {
            continue;
        }
        let cidr = Cidr::new(&data.pool).map_err(|error| Failure::refused(error.to_string()))?;
        given.push((cidr, data));
    }
    let pools: Vec<_> = given
        .iter()
        .filter(|(_, data)| data.address_space == ADDRESS_SPACE)
        .map(|(cidr, _)| {
            let known = pools::waiting(house, *cidr, wish.name.as_deref());
            let lost = || Failure::Unknown(format!("vrouter gave no pool {cidr} for this network"));
            known.ok_or_else(lost)
        })
        .collect::<Result<_, _>>()?;
    let by_pool = pools.iter().find_map(|(_, pool)| pool.network.clone());
    let short: String = asked.network.chars().take(12).collect();
    let name = match wish.name.clone().or(by_pool) {
        Some(name) => name,
        None => control_name(&format!("docker-{}", short.to_lowercase()))?,
    };
    let other = pools
        .iter()
        .filter_map(|(_, pool)| pool.network.as_ref())
        .find(|other| **other != name);
    if let Some(other) = other {
        return Err(Failure::refused(format!(
            "-o {NETWORK}={name}, but --ipam-opt {NETWORK}={other}: one name would be right"
        )));
    }
    let _alone = house.alone(&format!("network {name}")).await;
    let network = Network {
        name: name.clone(),
        internal: wish.internal,
        own_addresses: !pools.is_empty(),
        subnets: Vec::new(),
        deleting: false,
    };
    // On record first: if this request fails half-way, it is taken back as if it was deleted.
    house.networks.put(
        &asked.network,
        Network {
            deleting: true,
            ..network.clone()
        },
    )?;
    let built = build(house, &asked.network, &name, &wish, &given, !pools.is_empty()).await;
    let subnets = match built {
        Ok(subnets) => subnets,
        Err(failure) => {
            if let Err(later) = finish_locked(house, &asked.network).await {
                tracing::info!(%later, network = name, "what was made of a network goes later");
            }
            return Err(failure);
        }
    };
    for (record, _) in &pools {
        house
            .pools
            .update(record, |pool| pool.docker_network = Some(asked.network.clone()))?;
    }
    house.networks.put(&asked.network, Network { subnets, ..network })?;
    tracing::info!(network = name, docker = asked.network, "network created");
    Ok(Done {})
}

/// Makes, or joins, control's network and its subnets.
async fn build(
    house: &House,
    docker: &str,
    name: &str,
    wish: &Wish,
    given: &[(Cidr, &network::IpamData)],
    own_addresses: bool,
) -> Result<Vec<Subnet>, Failure> {
    let existing = match house.control.network(name).await? {
        Some(existing) => existing,
        None => {
            let network = pb::Network {
                name: name.to_owned(),
                bridged: wish.bridged.unwrap_or_default(),
                encapsulation: wish.encapsulation.unwrap_or(Encapsulation::Vxlan).into(),
                vni: wish.vni.unwrap_or_default(),
                mtu: wish.mtu.unwrap_or_default(),
                labels: [
                    (OWNER.0.to_owned(), OWNER.1.to_owned()),
                    (user_label(docker), house.node.clone()),
                ]
                .into(),
                ..Default::default()
            };
            let made = house.control.create_network(network, Vec::new()).await;
            match made {
                // Another node was faster.
                Err(error) if error.is_taken() => house.control.network(name).await?.ok_or(error)?,
                made => made?,
            }
        }
    };
    wish.check(&existing)?;
    let ours = is_ours(&existing);
    note_user(house, name, docker).await?;
    let there = house.control.subnets(name).await?;
    let mut subnets = Vec::new();
    for (cidr, data) in given {
        let gateway = data.gateway.split('/').next().unwrap_or_default();
        let text = cidr.to_string();
        let same_family =
            |subnet: &&pb::Subnet| Cidr::new(&subnet.cidr).is_ok_and(|other| other.family() == cidr.family());
        let subnet = match there.iter().find(|subnet| subnet.cidr == text) {
            Some(subnet) => subnet.clone(),
            None => {
                if let Some(other) = there.iter().find(same_family).filter(|_| !ours || own_addresses) {
                    return Err(Failure::refused(format!(
                        "network {name} exists already, with the subnet {}; --subnet {} would be right",
                        other.cidr, other.cidr
                    )));
                }
                if !ours {
                    return Err(Failure::refused(format!(
                        "network {name} was not made by Docker and has no {} subnet; create one with vrctl, or leave it out",
                        cidr.family()
                    )));
                }
                let subnet = pb::Subnet {
                    network: name.to_owned(),
                    name: subnet_name(*cidr),
                    cidr: text,
                    gateway: gateway.to_owned(),
                    ..Default::default()
                };
                let request = pb::CreateSubnetRequest { subnet: Some(subnet) };
                house
                    .control
                    .call(async |mut api| api.create_subnet(request).await)
                    .await?
            }
        };
        if !gateway.is_empty() && gateway != subnet.gateway {
            return Err(Failure::refused(format!(
                "the gateway of {} in network {name} is {}; --gateway {} would be right",
                subnet.cidr, subnet.gateway, subnet.gateway
            )));
        }
        let auxiliary = data.aux_addresses.values().filter_map(Value::as_str);
        exclude(house, &subnet, auxiliary.filter_map(|text| text.split('/').next())).await?;
        subnets.push(Subnet {
            cidr: *cidr,
            name: subnet.name,
        });
    }
    Ok(subnets)
}

/// The name of a subnet follows from its prefix: two nodes that make the same one make one.
fn subnet_name(cidr: Cidr) -> String {
    format!("docker-{}", cidr.to_string().replace([':', '/'], "-"))
}

/// Has addresses of a subnet never given to anybody.
async fn exclude(house: &House, subnet: &pb::Subnet, addresses: impl Iterator<Item = &str>) -> Result<(), Failure> {
    let mut reserved = subnet.reserved.clone();
    for address in addresses {
        if !reserved.iter().any(|range| range == address) {
            reserved.push(address.to_owned());
        }
    }
    if reserved.len() == subnet.reserved.len() {
        return Ok(());
    }
    let request = pb::UpdateSubnetRequest {
        subnet: Some(pb::Subnet {
            network: subnet.network.clone(),
            name: subnet.name.clone(),
            revision: subnet.revision,
            reserved,
            ..Default::default()
        }),
        update_mask: Some(mask(&["reserved"])),
    };
    house
        .control
        .call(async |mut api| api.update_subnet(request).await)
        .await?;
    Ok(())
}

fn is_ours(network: &pb::Network) -> bool {
    network.labels.get(OWNER.0).is_some_and(|owner| owner == OWNER.1)
}

fn user_label(docker: &str) -> String {
    format!("{USER}{docker}")
}

/// Notes that a network of dockerd's is on control's network.
async fn note_user(house: &House, name: &str, docker: &str) -> Result<(), Failure> {
    let label = user_label(docker);
    change_labels(house, name, |network| {
        if let Some(by) = network.labels.get(DELETING) {
            return Err(Failure::refused(format!(
                "network {name} is just being deleted by node {by}; try again"
            )));
        }
        network.labels.insert(label.clone(), house.node.clone());
        Ok(())
    })
    .await?
    .ok_or_else(|| Failure::refused(format!("network {name} was just deleted; try again")))?;
    Ok(())
}

/// Changes a network's labels, as often as others change it at the same time. `None`: there is no such network.
async fn change_labels(
    house: &House,
    name: &str,
    change: impl Fn(&mut pb::Network) -> Result<(), Failure>,
) -> Result<Option<pb::Network>, Failure> {
    let mut tries = TRIES;
    loop {
        let Some(before) = house.control.network(name).await? else {
            return Ok(None);
        };
        let mut network = before.clone();
        change(&mut network)?;
        if network.labels == before.labels {
            return Ok(Some(network));
        }
        let request = pb::UpdateNetworkRequest {
            network: Some(network),
            update_mask: Some(mask(&["labels"])),
        };
        let answer = house
            .control
            .call(async |mut api| api.update_network(request).await)
            .await;
        match answer {
            Err(Error::Refused { code, .. }) if code == tonic::Code::Aborted && tries > 0 => tries -= 1,
            Err(error) if error.is_not_found() => return Ok(None),
            answer => return Ok(Some(answer?)),
        }
    }
}

/// `DeleteNetwork`. What is not there is deleted; what control does not hear of now it hears of later.
pub(crate) async fn delete(house: &House, asked: &network::NetworkOnly) -> Result<Done, Failure> {
    let known = house
        .networks
        .update(&asked.network, |network| network.deleting = true)?;
    house.work.notify_one();
    if let Some(network) = known {
        let _alone = house.alone(&format!("network {}", network.name)).await;
        if let Err(failure) = finish_locked(house, &asked.network).await {
            tracing::warn!(%failure, network = network.name, "control hears later that this network was deleted");
        }
    }
    Ok(Done {})
}

/// Takes away what there is of a network that dockerd has deleted.
pub(crate) async fn finish(house: &House, docker: &str) -> Result<(), Failure> {
    let Some(network) = house.networks.get(docker) else {
        return Ok(());
    };
    let _alone = house.alone(&format!("network {}", network.name)).await;
    finish_locked(house, docker).await
}

async fn finish_locked(house: &House, docker: &str) -> Result<(), Failure> {
    let Some(network) = house.networks.get(docker).filter(|network| network.deleting) else {
        return Ok(());
    };
    let name = &network.name;
    let left = house
        .endpoints
        .find(|endpoint| endpoint.network == *name && endpoint.docker.as_ref().is_none_or(|d| d.network == docker));
    if let Some((key, _)) = left {
        // Endpoints first; they are on their way.
        return Err(Failure::refused(format!("endpoint {key} is still there")));
    }
    let label = user_label(docker);
    let node = &house.node;
    let changed = change_labels(house, name, |network| {
        network.labels.remove(&label);
        let used = network.labels.keys().any(|key| key.starts_with(USER));
        // Who died in the middle of it goes on.
        if is_ours(network) && !used {
            network.labels.insert(DELETING.to_owned(), node.clone());
        }
        Ok(())
    })
    .await?;
    if changed.is_some_and(|network| network.labels.get(DELETING) == Some(node)) {
        demolish(house, name).await?;
    }
    house.networks.remove(docker)?;
    tracing::info!(network = name, docker, "network deleted");
    Ok(())
}

/// Deletes a network of control's that no dockerd uses any more, unless somebody else does: then it is theirs.
async fn demolish(house: &House, name: &str) -> Result<(), Failure> {
    let delete = async || -> Result<(), Error> {
        let subnets = house.control.subnets(name).await?;
        if let Some(used) = subnets.iter().find(|subnet| subnet.allocated > 0) {
            // Before any of its subnets goes.
            return Err(Error::Refused {
                code: tonic::Code::FailedPrecondition,
                message: format!("{} addresses of subnet {} are in use", used.allocated, used.name),
            });
        }
        for subnet in subnets {
            let request = pb::DeleteSubnetRequest {
                network: name.to_owned(),
                name: subnet.name,
            };
            house
                .control
                .call(async |mut api| api.delete_subnet(request).await)
                .await?;
        }
        let request = pb::DeleteNetworkRequest { name: name.to_owned() };
        house
            .control
            .call(async |mut api| api.delete_network(request).await)
            .await?;
        Ok(())
    };
    match delete().await {
        Err(Error::Refused { message, .. }) => {
            tracing::info!(network = name, why = message, "the network stays: others use it");
            change_labels(house, name, |network| {
                network.labels.remove(DELETING);
                network.labels.remove(OWNER.0);
                Ok(())
            })
            .await?;
            Ok(())
        }
        done => Ok(done?),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wish(generic: Value) -> Result<Wish, Failure> {
        Wish::new(&[(GENERIC.to_owned(), generic), (INTERNAL.to_owned(), json!(true))].into())
    }

    #[test]
    fn options_are_read_and_typing_errors_are_told() {
        let read = wish(json!({"network": "blue", "encapsulation": "mpls", "vni": "7", "mtu": 1400})).unwrap();
        assert_eq!(read.name.as_deref(), Some("blue"));
        assert_eq!((read.vni, read.mtu, read.internal), (Some(7), Some(1400), true));
        assert!(wish(json!(null)).unwrap().name.is_none());
        assert!(wish(json!({"com.docker.network.bridge.name": "br0"})).is_ok());
        // What --help tells of is understood.
        for line in crate::config::NETWORK_OPTIONS.lines().skip(1) {
            let (key, _) = line.trim().split_once('=').unwrap();
            let error = wish(json!({ key: "x y" })).unwrap_err().to_string();
            assert!(!error.contains("not known"), "{error}");
        }
        for (bad, words) in [
            (json!({"netwrok": "x"}), "-o netwrok is not known"),
            (json!({"network": "Blue"}), "network:"),
            (json!({"vni": "x"}), "a number would be right"),
            (json!({"bridged": "yes"}), "true or false"),
            (json!({"encapsulation": "gre"}), "vxlan or mpls"),
        ] {
            let error = wish(bad).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn a_network_that_differs_is_not_joined() {
        let existing = pb::Network {
            name: "blue".into(),
            vni: 7,
            encapsulation: Encapsulation::MplsUdp.into(),
            ..Default::default()
        };
        let check = |generic: Value| wish(generic).unwrap().check(&existing).map_err(|e| e.to_string());
        assert_eq!(
            check(json!({"vni": 7, "encapsulation": "mpls", "bridged": false})),
            Ok(())
        );
        assert!(check(json!({"vni": 8})).unwrap_err().contains("vni 7"));
        assert!(
            check(json!({"encapsulation": "vxlan"}))
                .unwrap_err()
                .contains("encapsulation mpls")
        );
        let going = pb::Network {
            labels: [(DELETING.to_owned(), "node2".to_owned())].into(),
            ..existing
        };
        assert!(wish(json!({})).unwrap().check(&going).is_err());
    }

    #[test]
    fn names_of_subnets_are_names() {
        for (cidr, name) in [
            ("10.1.0.0/24", "docker-10.1.0.0-24"),
            ("fd00:1::/64", "docker-fd00-1---64"),
        ] {
            let made = subnet_name(Cidr::new(cidr).unwrap());
            assert_eq!(made, name);
            assert!(vrouter_control::model::Name::new(&made).is_ok());
        }
    }
}
