//! The objects of one endpoint, here or elsewhere.

use vrouter_proto::dataplane as pb;

use super::{
    frame::{Frame, Place},
    ids, network, objects,
};
use crate::model::{Encapsulation, Endpoint};

/// What an endpoint of a network needs on a node that hosts the network.
pub(super) fn compile(frame: &Frame, endpoint: &Endpoint) -> Vec<pb::Object> {
    let network = &frame.network;
    let mut made = Vec::with_capacity(4 + 2 * endpoint.addresses.len());
    // Where routed packets and where frames go.
    let (routed, switched) = match frame.place(endpoint) {
        Place::Nowhere => return made,
        Place::Here(interface) => {
            let gateways = if network.bridged {
                Vec::new()
            } else {
                frame.gateways_of(endpoint)
            };
            made.push(objects::port(network, endpoint, interface, gateways));
            made.push(objects::to_port(endpoint));
            if let Some(label) = ids::endpoint_label(endpoint.number).filter(|_| !network.bridged) {
                made.push(objects::endpoint_label(endpoint, label));
            }
            (ids::port(endpoint.number), ids::port(endpoint.number))
        }
        Place::There(node, remote) => {
            let shared = ids::shared_tunnel(network.number, node.number);
            if network.bridged {
                made.push(objects::mac_tunnel(network, endpoint, remote));
                (ids::elsewhere(endpoint.number), shared)
            } else if network::needs_shared_tunnel(frame, endpoint) {
                (shared, shared)
            } else {
                debug_assert_eq!(network.encapsulation, Encapsulation::MplsUdp);
                made.extend(
                    ids::endpoint_label(endpoint.number).map(|label| objects::label_tunnel(endpoint, remote, label)),
                );
                (ids::elsewhere(endpoint.number), shared)
            }
        }
    };
    made.extend(
        endpoint
            .addresses
            .iter()
            .map(|a| objects::host_route(network.number, *a, routed)),
    );
    if network.bridged {
        made.push(objects::mac(network, endpoint, switched));
        made.extend(
            endpoint
                .addresses
                .iter()
                .map(|a| objects::neighbor(network, endpoint, *a)),
        );
    }
    made
}
