//! What this orchestrator wishes for: workloads with the role `db` may be reached by those with the role `web`, and by nobody else.

use std::{collections::HashMap, str::FromStr};

use anyhow::{Context as _, Result};
use serde_json::json;
use tonic::Code;
use vrouter_proto::control::{
    CreateEndpointRequest, CreateGroupRequest, CreateNetworkRequest, CreateNodeRequest, CreatePolicyRequest,
    CreateSubnetRequest, DeleteEndpointRequest, DeleteGroupRequest, DeleteNetworkRequest, DeletePolicyRequest,
    DeleteSubnetRequest, Endpoint, Group, Network, Node, Peer, Policy, PolicyRule, Subnet, peer,
    policy_rule::{Action, Direction},
};

use crate::{control::Control, tell};

/// Names of groups begin with the network's: they are known everywhere.
const ROLES: [&str; 2] = ["web", "db"];
/// Name and range of each subnet.
const SUBNETS: [(&str, &str); 2] = [("v4", "10.77.0.0/24"), ("v6", "fd00:77::/64")];

/// A workload: `web-1=web@node1/veth-web1`.
#[derive(Clone, Debug)]
pub(crate) struct Workload {
    pub(crate) name: String,
    role: String,
    node: String,
    interface: String,
}

impl FromStr for Workload {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('=').and_then(|(name, rest)| {
            let (role, rest) = rest.split_once('@')?;
            let (node, interface) = rest.split_once('/')?;
            Some([name, role, node, interface].map(str::to_owned))
        });
        let [name, role, node, interface] = parts.ok_or("NAME=ROLE@NODE/INTERFACE would be right")?;
        Ok(Self {
            name,
            role,
            node,
            interface,
        })
    }
}

/// Makes it all. Done twice, or after half of it was done, it comes to the same.
pub(crate) async fn make(control: &Control, network: &str, workloads: &[Workload]) -> Result<()> {
    let name = network.to_owned();
    let wish = CreateNetworkRequest {
        network: Some(Network {
            name: name.clone(),
            ..Default::default()
        }),
    };
    let made = control.call(
        wish,
        |mut client, wish| async move { client.create_network(wish).await },
    );
    made.await.context("network")?;
    for (subnet, cidr) in SUBNETS {
        let wish = CreateSubnetRequest {
            subnet: Some(Subnet {
                network: name.clone(),
                name: subnet.to_owned(),
                cidr: cidr.to_owned(),
                ..Default::default()
            }),
        };
        let made = control.call(wish, |mut client, wish| async move { client.create_subnet(wish).await });
        made.await.with_context(|| format!("subnet {cidr}"))?;
    }
    for workload in workloads {
        node(control, &workload.node).await?;
        let endpoint = endpoint(control, &name, workload).await?;
        tell(&json!({
            "event": "endpoint",
            "name": endpoint.name,
            "mac": endpoint.mac,
            "addresses": endpoint.addresses,
            "gateways": endpoint.gateways,
            "mtu": endpoint.mtu,
        }));
    }
    for role in ROLES {
        let wish = CreateGroupRequest {
            group: Some(Group {
                name: format!("{network}-{role}"),
                match_labels: HashMap::from([("role".to_owned(), role.to_owned())]),
                networks: vec![name.clone()],
                ..Default::default()
            }),
            // There may be no workload of this role yet.
            allow_unknown_labels: true,
        };
        let made = control.call(wish, |mut client, wish| async move { client.create_group(wish).await });
        made.await.with_context(|| format!("group {role}"))?;
    }
    let wish = CreatePolicyRequest {
        policy: Some(Policy {
            name: format!("{network}-db"),
            applies_to: format!("{network}-db"),
            isolate_ingress: true,
            rules: vec![PolicyRule {
                name: "web".to_owned(),
                direction: Direction::Ingress.into(),
                action: Action::Allow.into(),
                peers: vec![Peer {
                    peer: Some(peer::Peer::Group(format!("{network}-web"))),
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..Default::default()
        }),
    };
    let made = control.call(wish, |mut client, wish| async move { client.create_policy(wish).await });
    made.await.context("policy")?;
    Ok(())
}

/// Nodes are not ours: one that is there may have been made by another wish.
async fn node(control: &Control, name: &str) -> Result<()> {
    let wish = CreateNodeRequest {
        node: Some(Node {
            name: name.to_owned(),
            ..Default::default()
        }),
    };
    let made = control.call(wish, |mut client, wish| async move { client.create_node(wish).await });
    match made.await {
        Err(status) if status.code() != Code::AlreadyExists => Err(status).with_context(|| format!("node {name}")),
        _ => Ok(()),
    }
}

async fn endpoint(control: &Control, network: &str, workload: &Workload) -> Result<Endpoint> {
    let wish = CreateEndpointRequest {
        endpoint: Some(Endpoint {
            network: network.to_owned(),
            name: workload.name.clone(),
            node: workload.node.clone(),
            interface: workload.interface.clone(),
            labels: HashMap::from([("role".to_owned(), workload.role.clone())]),
            // Our own key: a second attempt gets the same endpoint, with the same addresses.
            client_id: format!("example/{network}/{}", workload.name),
            ..Default::default()
        }),
        ..Default::default()
    };
    let made = control.call(
        wish,
        |mut client, wish| async move { client.create_endpoint(wish).await },
    );
    made.await.with_context(|| format!("endpoint {}", workload.name))
}

/// Takes away what [`make`] makes, in the reverse order. What is not there is no error.
pub(crate) async fn take_away(control: &Control, network: &str, workloads: &[Workload]) -> Result<()> {
    let wish = DeletePolicyRequest {
        name: format!("{network}-db"),
    };
    control
        .call(wish, |mut client, wish| async move { client.delete_policy(wish).await })
        .await?;
    for role in ROLES {
        let wish = DeleteGroupRequest {
            name: format!("{network}-{role}"),
        };
        control
            .call(wish, |mut client, wish| async move { client.delete_group(wish).await })
            .await?;
    }
    for workload in workloads {
        let wish = DeleteEndpointRequest {
            network: network.to_owned(),
            name: workload.name.clone(),
        };
        control
            .call(
                wish,
                |mut client, wish| async move { client.delete_endpoint(wish).await },
            )
            .await?;
    }
    for (subnet, _) in SUBNETS {
        let wish = DeleteSubnetRequest {
            network: network.to_owned(),
            name: subnet.to_owned(),
        };
        control
            .call(wish, |mut client, wish| async move { client.delete_subnet(wish).await })
            .await?;
    }
    let wish = DeleteNetworkRequest {
        name: network.to_owned(),
    };
    control
        .call(
            wish,
            |mut client, wish| async move { client.delete_network(wish).await },
        )
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workloads_are_written_as_name_role_node_and_interface() {
        let workload: Workload = "web-1=web@node1/veth-web1".parse().unwrap();
        assert_eq!(
            [workload.name, workload.role, workload.node, workload.interface],
            ["web-1", "web", "node1", "veth-web1"]
        );
        for wrong in ["web-1", "web-1=web", "web-1=web@node1", ""] {
            assert!(wrong.parse::<Workload>().unwrap_err().contains("NAME=ROLE"), "{wrong}");
        }
    }
}
