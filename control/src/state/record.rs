//! What the store keeps, one record per key.

use std::{net::IpAddr, sync::Arc};

use serde::{Deserialize, Serialize};

use super::Scoped;
use crate::model::{
    Endpoint, FloatingIp, Group, Mirror, Name, Network, Node, Policy, QosProfile, Router, Service, Subnet, Vteps,
};

/// Names one record. The order is one in which records can be put.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// A network by name.
    Network(Name),
    /// A subnet by network and name.
    Subnet(Scoped),
    /// A node by name.
    Node(Name),
    /// An endpoint by network and name.
    Endpoint(Scoped),
    /// A group by name.
    Group(Name),
    /// A policy by name.
    Policy(Name),
    /// A router by name.
    Router(Name),
    /// A floating address by name.
    FloatingIp(Name),
    /// A service by network and name.
    Service(Scoped),
    /// A QoS profile by name.
    QosProfile(Name),
    /// A mirror by name.
    Mirror(Name),
    /// An address handed out, by network.
    Address(Name, IpAddr),
    /// What a node's dataplane said of itself.
    Observed(Name),
    /// Where a search for the next free number begins.
    Cursor(Cursor),
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A network.
    Network(Arc<Network>),
    /// A subnet.
    Subnet(Arc<Subnet>),
    /// A node.
    Node(Arc<Node>),
    /// An endpoint.
    Endpoint(Arc<Endpoint>),
    /// A group.
    Group(Arc<Group>),
    /// A policy.
    Policy(Arc<Policy>),
    /// A router.
    Router(Arc<Router>),
    /// A floating address.
    FloatingIp(Arc<FloatingIp>),
    /// A service.
    Service(Arc<Service>),
    /// A QoS profile.
    QosProfile(Arc<QosProfile>),
    /// A mirror.
    Mirror(Arc<Mirror>),
    /// An address handed out.
    Address(Arc<Allocation>),
    /// What a node's dataplane said of itself.
    Observed(Arc<Observed>),
    /// Where a search for the next free number begins.
    Cursor(Cursor, u128),
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scoped = |f: &mut std::fmt::Formatter<'_>, kind: &str, (network, name): &Scoped| {
            write!(f, "{kind} {network}/{name}")
        };
        match self {
            Self::Network(name) => write!(f, "network {name}"),
            Self::Subnet(id) => scoped(f, "subnet", id),
            Self::Node(name) => write!(f, "node {name}"),
            Self::Endpoint(id) => scoped(f, "endpoint", id),
            Self::Group(name) => write!(f, "group {name}"),
            Self::Policy(name) => write!(f, "policy {name}"),
            Self::Router(name) => write!(f, "router {name}"),
            Self::FloatingIp(name) => write!(f, "floating address {name}"),
            Self::Service(id) => scoped(f, "service", id),
            Self::QosProfile(name) => write!(f, "QoS profile {name}"),
            Self::Mirror(name) => write!(f, "mirror {name}"),
            Self::Address(network, address) => write!(f, "address {address} of network {network}"),
            Self::Observed(name) => write!(f, "what node {name} said of itself"),
            Self::Cursor(cursor) => write!(f, "cursor {cursor:?}"),
        }
    }
}

impl Record {
    /// The key it is kept under.
    #[must_use]
    pub fn key(&self) -> Key {
        match self {
            Self::Network(o) => Key::Network(o.name.clone()),
            Self::Subnet(o) => Key::Subnet((o.network.clone(), o.name.clone())),
            Self::Node(o) => Key::Node(o.name.clone()),
            Self::Endpoint(o) => Key::Endpoint((o.network.clone(), o.name.clone())),
            Self::Group(o) => Key::Group(o.name.clone()),
            Self::Policy(o) => Key::Policy(o.name.clone()),
            Self::Router(o) => Key::Router(o.name.clone()),
            Self::FloatingIp(o) => Key::FloatingIp(o.name.clone()),
            Self::Service(o) => Key::Service((o.spec.network.clone(), o.name.clone())),
            Self::QosProfile(o) => Key::QosProfile(o.name.clone()),
            Self::Mirror(o) => Key::Mirror(o.name.clone()),
            Self::Address(o) => Key::Address(o.network.clone(), o.address),
            Self::Observed(o) => Key::Observed(o.node.clone()),
            Self::Cursor(cursor, _) => Key::Cursor(cursor.clone()),
        }
    }
}

/// An address handed out. It has a record of its own, so that the address is taken by the same commit as its holder is made, in any
/// store, and so that a leak can be seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allocation {
    /// The network whose address it is.
    pub network: Name,
    /// The address.
    pub address: IpAddr,
    /// Who holds it.
    #[serde(flatten)]
    pub holder: Holder,
}

/// Who holds an address, by name. Stored beside the address as `"endpoint": "web-1"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Holder {
    /// An endpoint of the network.
    Endpoint(Name),
    /// A service of the network.
    Service(Name),
    /// A floating address.
    FloatingIp(Name),
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Endpoint(name) => write!(f, "endpoint {name}"),
            Self::Service(name) => write!(f, "service {name}"),
            Self::FloatingIp(name) => write!(f, "floating address {name}"),
        }
    }
}

/// What a node's dataplane said of itself when it was last connected. Kept, so that other nodes can be programmed while it is away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// The node.
    pub node: Name,
    /// Its tunnel addresses.
    pub vteps: Vteps,
    /// MTU of its underlay in bytes; 0: unknown.
    pub underlay_mtu: u32,
}

/// A range of numbers that is handed out in turn. Going round, instead of taking the lowest free one, keeps a number that was just
/// released out of use for as long as possible: peers may not have heard yet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cursor {
    /// Network numbers.
    Network,
    /// Endpoint numbers.
    Endpoint,
    /// Node numbers.
    Node,
    /// VXLAN network identifiers.
    Vni,
    /// Group numbers.
    Group,
    /// Policy numbers.
    Policy,
    /// Router numbers.
    Router,
    /// Floating address numbers.
    FloatingIp,
    /// Service numbers.
    Service,
    /// QoS profile numbers.
    QosProfile,
    /// Mirror numbers.
    Mirror,
    /// Addresses of a subnet.
    Addresses(Scoped),
}

impl Cursor {
    /// Where it begins in a new store. Identifiers that people like to choose by hand come last.
    #[must_use]
    pub fn start(&self) -> u128 {
        match self {
            Self::Vni => 4096,
            Self::Addresses(_) => 0,
            _ => 1,
        }
    }
}
