//! What all objects of one network on one node have in common.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use super::{reach::Filter, vocabulary::Vocabulary};
use crate::{
    model::{Endpoint, Name, Network, Node, Subnet, Vteps},
    state::State,
};

/// A VRF that the endpoints of a network are in: their own network's, or that of a network that is joined to it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Target {
    /// The network whose VRF it is.
    pub(super) network: Name,
    pub(super) vrf: u32,
    /// The part of the endpoints' network that is seen there.
    pub(super) filter: Filter,
    /// It is another network's.
    pub(super) joined: bool,
    /// What policies tell apart there.
    pub(super) words: Arc<Vocabulary>,
    /// Every address has an identity of its own: endpoints may use addresses beside their own there, which may be others'.
    pub(super) spell_all: bool,
}

/// What a node has to do with a network.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Part {
    /// An attached endpoint of it lives here.
    pub(super) hosted: bool,
    /// The VRFs here that its endpoints are in.
    pub(super) targets: Vec<Target>,
}

/// A network as seen from one node.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) here: Name,
    pub(super) network: Arc<Network>,
    pub(super) part: Arc<Part>,
    pub(super) subnets: Vec<Arc<Subnet>>,
    /// The other nodes, with the address to send to; those that cannot be reached are left out.
    pub(super) others: BTreeMap<Name, (Arc<Node>, IpAddr)>,
}

/// Equal for frames that are equal.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FrameKey {
    network: u64,
    part: Arc<Part>,
    subnets: Vec<u64>,
    nodes: u64,
}

impl Frame {
    pub(super) fn key(state: &State, network: &Network, part: &Arc<Part>) -> FrameKey {
        FrameKey {
            network: network.revision,
            part: part.clone(),
            subnets: state.subnets_of(&network.name).map(|s| s.revision).collect(),
            nodes: state.nodes_revision(),
        }
    }

    pub(super) fn new(state: &State, here: &Name, network: &Arc<Network>, part: &Arc<Part>) -> Self {
        let vteps = state.node(here).map_or_else(Vteps::default, |node| state.vteps(node));
        let others = state
            .nodes()
            .filter(|node| node.name != *here)
            .filter_map(|node| Some((node.name.clone(), (node.clone(), vteps.towards(&state.vteps(node))?))))
            .collect();
        Self {
            here: here.clone(),
            network: network.clone(),
            part: part.clone(),
            subnets: state.subnets_of(&network.name).cloned().collect(),
            others,
        }
    }

    /// Gateways, with prefix length, of the subnets that an endpoint has addresses of.
    pub(super) fn gateways_of(&self, endpoint: &Endpoint) -> Vec<String> {
        let has = |subnet: &Subnet| endpoint.addresses.iter().any(|a| subnet.cidr.contains(*a));
        self.subnets
            .iter()
            .filter(|s| has(s))
            .map(|s| s.gateway_with_length())
            .collect()
    }

    /// Where an endpoint is, as seen from here.
    pub(super) fn place<'a>(&'a self, endpoint: &'a Endpoint) -> Place<'a> {
        let Some(node) = &endpoint.node else {
            return Place::Nowhere;
        };
        if *node == self.here {
            return endpoint
                .interface
                .as_ref()
                .map_or(Place::Nowhere, |i| Place::Here(i.as_str()));
        }
        match self.others.get(node) {
            // On an external node nothing is attached by us: the endpoint is there when it is said to be.
            Some((other, remote)) if other.external || endpoint.interface.is_some() => Place::There(other, *remote),
            _ => Place::Nowhere,
        }
    }
}

/// Where an endpoint is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place<'a> {
    /// On this node, behind this interface.
    Here(&'a str),
    /// On another node, which is reached at this address.
    There(&'a Node, IpAddr),
    /// Not attached, or its node cannot be reached.
    Nowhere,
}
