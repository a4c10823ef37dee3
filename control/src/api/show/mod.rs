//! Objects as the API shows them: what is stored, and what is derived.

pub(super) mod objects;

use vrouter_proto::control as pb;

use crate::{
    compile::workload_mtu,
    model::{Endpoint, Name, Network, Node, Subnet},
    reconcile::Board,
    state::State,
};

pub(super) fn network(network: &Network) -> pb::Network {
    pb::Network {
        name: network.name.to_string(),
        uid: network.uid.clone(),
        revision: network.revision,
        bridged: network.bridged,
        encapsulation: network.encapsulation.to_proto().into(),
        vni: network.vni,
        mtu: network.mtu.map_or(0, crate::model::WorkloadMtu::bytes),
        labels: network.labels.clone().into_iter().collect(),
        number: network.number,
        external: network.external,
        default_ingress: network.default_ingress.to_proto().into(),
        default_egress: network.default_egress.to_proto().into(),
    }
}

pub(super) fn subnet(state: &State, subnet: &Subnet) -> pb::Subnet {
    pb::Subnet {
        network: subnet.network.to_string(),
        name: subnet.name.to_string(),
        uid: subnet.uid.clone(),
        revision: subnet.revision,
        cidr: subnet.cidr.to_string(),
        gateway: subnet.gateway.to_string(),
        reserved: subnet.reserved.iter().map(ToString::to_string).collect(),
        allocated: state.pool(subnet).map_or(0, crate::ipam::Pool::taken),
    }
}

pub(super) fn endpoint(state: &State, board: &Board, endpoint: &Endpoint) -> pb::Endpoint {
    let mut gateways: Vec<String> = Vec::new();
    for address in &endpoint.addresses {
        let gateway = state
            .subnet_around(&endpoint.network, *address)
            .map(|s| s.gateway_with_length());
        gateways.extend(gateway.filter(|g| !gateways.contains(g)));
    }
    let (programmed, error) = board.endpoint(endpoint);
    pb::Endpoint {
        network: endpoint.network.to_string(),
        name: endpoint.name.to_string(),
        uid: endpoint.uid.clone(),
        revision: endpoint.revision,
        node: endpoint.node.as_ref().map(ToString::to_string).unwrap_or_default(),
        interface: endpoint.interface.as_ref().map(ToString::to_string).unwrap_or_default(),
        mac: endpoint.mac.to_string(),
        addresses: endpoint.addresses.iter().map(ToString::to_string).collect(),
        labels: endpoint.labels.clone().into_iter().collect(),
        number: endpoint.number,
        gateways,
        mtu: state
            .network(&endpoint.network)
            .map_or(0, |network| workload_mtu(state, network)),
        client_id: endpoint.client_id.as_ref().map(ToString::to_string).unwrap_or_default(),
        programmed,
        error,
        allowed_addresses: endpoint.allowed_addresses.iter().map(ToString::to_string).collect(),
        allowed_macs: endpoint.allowed_macs.iter().map(ToString::to_string).collect(),
        allow_router: endpoint.allow_router,
        allow_dhcp_server: endpoint.allow_dhcp_server,
        qos: endpoint.qos.as_ref().map(ToString::to_string).unwrap_or_default(),
    }
}

pub(super) fn node(state: &State, board: &Board, node: &Node) -> pb::Node {
    pb::Node {
        name: node.name.to_string(),
        uid: node.uid.clone(),
        revision: node.revision,
        vtep_addresses: node.vteps.addresses().iter().map(ToString::to_string).collect(),
        labels: node.labels.clone().into_iter().collect(),
        number: node.number,
        dataplane: dataplane(board, &node.name),
        external: node.external,
        effective_vtep_addresses: state.vteps(node).addresses().iter().map(ToString::to_string).collect(),
        nat_addresses: node.nat_addresses.iter().map(ToString::to_string).collect(),
    }
}

pub(super) fn dataplane(board: &Board, node: &Name) -> Option<pb::DataplaneStatus> {
    board.status(node).map(|(address, status)| pb::DataplaneStatus {
        node: node.to_string(),
        address: address.to_string(),
        connected: status.connected,
        synced_revision: status.synced_revision,
        error: status.error,
        refused: status.refused,
    })
}
