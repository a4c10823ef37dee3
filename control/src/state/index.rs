//! What is derived from the records: who holds what, and what is free.

use std::net::IpAddr;

use imbl::{OrdMap, OrdSet};

use super::{Allocation, Scoped};
use crate::{
    ipam::Pool,
    model::{ClientId, Endpoint, InterfaceName, Mac, Name, Network, Node, Subnet, number},
};

/// The numbers in use.
#[derive(Debug, Clone)]
pub struct Numbers {
    /// Of networks: 1..=131055, so that each can have an MPLS label below those of endpoints.
    pub networks: Pool,
    /// Of endpoints: 1..=16777215.
    pub endpoints: Pool,
    /// Of nodes: 1..=16777215.
    pub nodes: Pool,
    /// VXLAN network identifiers: 1..=16777215.
    pub vnis: Pool,
}

impl Default for Numbers {
    fn default() -> Self {
        Self {
            networks: Pool::new(1, 131_055),
            endpoints: Pool::new(1, 0xff_ffff),
            nodes: Pool::new(1, 0xff_ffff),
            vnis: Pool::new(1, 0xff_ffff),
        }
    }
}

/// All indices. Changed only along with the records.
#[derive(Debug, Clone, Default)]
pub(super) struct Indices {
    pub(super) numbers: Numbers,
    pub(super) pools: OrdMap<Scoped, Pool>,
    pub(super) vnis: OrdMap<u32, Name>,
    pub(super) macs: OrdMap<(Name, Mac), Name>,
    pub(super) interfaces: OrdMap<(Name, InterfaceName), Scoped>,
    pub(super) client_ids: OrdMap<(Name, ClientId), Name>,
    pub(super) touched: OrdMap<Name, u64>,
    /// Node, network, endpoint.
    placed: OrdSet<(Name, Scoped)>,
}

impl Indices {
    pub(super) fn touch(&mut self, network: &Name, revision: u64) {
        self.touched.insert(network.clone(), revision);
    }

    pub(super) fn add_network(&mut self, network: &Network) {
        self.numbers.networks.take(network.number.into());
        self.numbers.vnis.take(network.vni.into());
        self.vnis.insert(network.vni, network.name.clone());
    }

    pub(super) fn remove_network(&mut self, network: &Network) {
        self.numbers.networks.release(network.number.into());
        self.numbers.vnis.release(network.vni.into());
        self.vnis.remove(&network.vni);
    }

    pub(super) fn add_subnet(&mut self, subnet: &Subnet, taken: impl IntoIterator<Item = IpAddr>) {
        let (first, last) = subnet.cidr.hosts();
        let gateway = number(subnet.gateway);
        let mut pool = Pool::new(first, last).blocking(gateway, gateway);
        for range in &subnet.reserved {
            let (first, last) = range.numbers();
            pool = pool.blocking(first, last);
        }
        for address in taken {
            pool.take(number(address));
        }
        self.pools.insert((subnet.network.clone(), subnet.name.clone()), pool);
    }

    pub(super) fn add_node(&mut self, node: &Node) {
        self.numbers.nodes.take(node.number.into());
    }

    pub(super) fn remove_node(&mut self, node: &Node) {
        self.numbers.nodes.release(node.number.into());
    }

    pub(super) fn add_endpoint(&mut self, endpoint: &Endpoint) {
        let scoped = (endpoint.network.clone(), endpoint.name.clone());
        self.numbers.endpoints.take(endpoint.number.into());
        self.macs
            .insert((endpoint.network.clone(), endpoint.mac), endpoint.name.clone());
        if let Some(id) = &endpoint.client_id {
            self.client_ids
                .insert((endpoint.network.clone(), id.clone()), endpoint.name.clone());
        }
        if let Some(node) = &endpoint.node {
            if let Some(interface) = &endpoint.interface {
                self.interfaces
                    .insert((node.clone(), interface.clone()), scoped.clone());
            }
            self.placed.insert((node.clone(), scoped));
        }
    }

    pub(super) fn remove_endpoint(&mut self, endpoint: &Endpoint) {
        self.numbers.endpoints.release(endpoint.number.into());
        self.macs.remove(&(endpoint.network.clone(), endpoint.mac));
        if let Some(id) = &endpoint.client_id {
            self.client_ids.remove(&(endpoint.network.clone(), id.clone()));
        }
        if let Some(node) = &endpoint.node {
            if let Some(interface) = &endpoint.interface {
                self.interfaces.remove(&(node.clone(), interface.clone()));
            }
            self.placed
                .remove(&(node.clone(), (endpoint.network.clone(), endpoint.name.clone())));
        }
    }

    pub(super) fn add_address(&mut self, subnet: Option<&Subnet>, allocation: &Allocation) {
        if let Some(pool) = self.pool_mut(subnet) {
            pool.take(number(allocation.address));
        }
    }

    pub(super) fn remove_address(&mut self, subnet: Option<&Subnet>, allocation: &Allocation) {
        if let Some(pool) = self.pool_mut(subnet) {
            pool.release(number(allocation.address));
        }
    }

    fn pool_mut(&mut self, subnet: Option<&Subnet>) -> Option<&mut Pool> {
        let subnet = subnet?;
        self.pools.get_mut(&(subnet.network.clone(), subnet.name.clone()))
    }

    pub(super) fn placed_on<'a>(&'a self, node: &'a Name) -> impl Iterator<Item = &'a Scoped> {
        let from = std::ops::Bound::Included((node.clone(), (Name::lowest(), Name::lowest())));
        self.placed
            .range((from, std::ops::Bound::Unbounded))
            .take_while(move |(on, _)| on == node)
            .map(|(_, scoped)| scoped)
    }
}

/// All keys at or after the first possible one of `network`.
pub(super) fn after(network: &Name) -> (std::ops::Bound<Scoped>, std::ops::Bound<Scoped>) {
    (
        std::ops::Bound::Included((network.clone(), Name::lowest())),
        std::ops::Bound::Unbounded,
    )
}
