//! The objects of a network itself.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use super::{
    frame::{Frame, Place},
    ids, objects,
    plan::{Made, Strength},
    vocabulary::host,
};
use crate::model::{Encapsulation, Endpoint, Name, Node};

/// The other nodes that a shared tunnel is needed to.
pub(super) type Peers = BTreeMap<Name, (Arc<Node>, IpAddr)>;

/// Finds the nodes that a network needs shared tunnels to.
pub(super) fn peers<'a>(frame: &Frame, endpoints: impl Iterator<Item = &'a Arc<Endpoint>>) -> Peers {
    let mut peers = Peers::new();
    if frame.network.bridged && frame.part.hosted {
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
            Place::There(node, _) if needs_shared_tunnel(frame, endpoint) && !peers.contains_key(&node.name) => {
                peers.extend(
                    frame
                        .others
                        .get_key_value(&node.name)
                        .map(|(name, at)| (name.clone(), at.clone())),
                );
            }
            Place::Here(_) | Place::There(..) | Place::Nowhere => {}
        }
    }
    peers
}

/// Whether the tunnel that is shared is used for an endpoint elsewhere: it has none of its own, or its frames are switched here.
pub(super) fn needs_shared_tunnel(frame: &Frame, endpoint: &Endpoint) -> bool {
    if frame.network.bridged && !frame.part.hosted {
        return false;
    }
    frame.network.encapsulation == Encapsulation::Vxlan || ids::endpoint_label(endpoint.number).is_none()
}

/// The network's own objects on a node that hosts it, and what others see of it.
pub(super) fn compile(frame: &Frame, peers: &Peers) -> Made {
    let network = &frame.network;
    let mut made = Made::default();
    let tunnels: Vec<u64> = peers
        .values()
        .map(|(node, _)| ids::shared_tunnel(network.number, node.number))
        .collect();
    for (node, remote) in peers.values() {
        made.own(objects::shared_tunnel(network, node, *remote));
    }
    if frame.part.hosted {
        made.own(objects::vrf(network));
        made.own(objects::vni(network));
        if network.bridged {
            let gateways = frame.subnets.iter().map(|s| s.gateway_with_length()).collect();
            let flood = if tunnels.is_empty() {
                0
            } else {
                ids::flood(network.number)
            };
            if flood != 0 {
                made.own(objects::flood(network, tunnels));
            }
            made.own(objects::bridge(network, gateways, flood));
        } else {
            made.own(objects::network_label(network));
        }
    }
    for target in &frame.part.targets {
        let gateways = frame.subnets.iter().map(|s| s.gateway);
        for gateway in gateways.filter(|g| target.filter.admits(host(*g))) {
            let strength = Strength::Network.joined(target.joined);
            made.add(strength, objects::host_route(target.vrf, gateway, ids::LOCAL));
        }
        // What is not given must not go where a default route leads: that is somebody else's.
        let subnets = frame.subnets.iter().map(|s| s.cidr);
        for subnet in subnets.filter(|s| target.filter.admits(*s)) {
            made.add(Strength::Nobody, objects::last_route(target.vrf, subnet, ids::NOBODY));
        }
    }
    made
}
