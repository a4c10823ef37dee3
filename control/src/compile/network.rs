//! The objects of a network itself.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use vrouter_proto::dataplane as pb;

use super::{
    frame::{Frame, Place},
    ids, objects,
};
use crate::model::{Encapsulation, Endpoint, Name, Node};

/// The other nodes that a shared tunnel is needed to.
pub(super) type Peers = BTreeMap<Name, (Arc<Node>, IpAddr)>;

/// Finds the nodes that a network needs shared tunnels to; `None` when the network is not hosted here.
pub(super) fn peers<'a>(frame: &Frame, endpoints: impl Iterator<Item = &'a Arc<Endpoint>>) -> Option<Peers> {
    let mut hosted_here = false;
    let mut peers = Peers::new();
    if frame.network.bridged {
        // Kernel VTEPs and switches do not tell what they host: they get every flood.
        peers.extend(
            frame
                .others
                .iter()
                .filter(|(_, (node, _))| node.external)
                .map(|(name, at)| (name.clone(), at.clone())),
        );
    }
    for endpoint in endpoints {
        match frame.place(endpoint) {
            Place::Here(_) => hosted_here = true,
            Place::There(node, _) if needs_shared_tunnel(frame, endpoint) && !peers.contains_key(&node.name) => {
                peers.extend(
                    frame
                        .others
                        .get_key_value(&node.name)
                        .map(|(name, at)| (name.clone(), at.clone())),
                );
            }
            Place::There(..) | Place::Nowhere => {}
        }
    }
    hosted_here.then_some(peers)
}

/// Whether an endpoint elsewhere has no tunnel of its own.
pub(super) fn needs_shared_tunnel(frame: &Frame, endpoint: &Endpoint) -> bool {
    frame.network.encapsulation == Encapsulation::Vxlan || ids::endpoint_label(endpoint.number).is_none()
}

/// The network's own objects on a node that hosts it.
pub(super) fn compile(frame: &Frame, peers: &Peers) -> Vec<pb::Object> {
    let network = &frame.network;
    let mut made = vec![objects::vrf(network), objects::vni(network)];
    let tunnels: Vec<u64> = peers
        .values()
        .map(|(node, _)| ids::shared_tunnel(network.number, node.number))
        .collect();
    made.extend(
        peers
            .values()
            .map(|(node, remote)| objects::shared_tunnel(network, node, *remote)),
    );
    if network.bridged {
        let gateways = frame.subnets.iter().map(|s| s.gateway_with_length()).collect();
        let flood = if tunnels.is_empty() {
            0
        } else {
            ids::flood(network.number)
        };
        if flood != 0 {
            made.push(objects::flood(network, tunnels));
        }
        made.push(objects::bridge(network, gateways, flood));
    } else {
        made.push(objects::network_label(network));
    }
    made.extend(
        frame
            .subnets
            .iter()
            .map(|s| objects::host_route(network.number, s.gateway, ids::LOCAL)),
    );
    made
}
