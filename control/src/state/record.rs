//! What the store keeps, one record per key.

use std::{net::IpAddr, sync::Arc};

use serde::{Deserialize, Serialize};

use super::Scoped;
use crate::model::{Endpoint, Name, Network, Node, Subnet, Vteps};

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
    /// An address handed out.
    Address(Arc<Allocation>),
    /// What a node's dataplane said of itself.
    Observed(Arc<Observed>),
    /// Where a search for the next free number begins.
    Cursor(Cursor, u128),
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
    /// The endpoint that holds it.
    pub endpoint: Name,
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
    /// Addresses of a subnet.
    Addresses(Scoped),
}

impl Cursor {
    /// Where it begins in a new store. Identifiers that people like to choose by hand come last.
    #[must_use]
    pub fn start(&self) -> u128 {
        match self {
            Self::Vni => 4096,
            Self::Network | Self::Endpoint | Self::Node => 1,
            Self::Addresses(_) => 0,
        }
    }
}
