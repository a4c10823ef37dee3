//! What is derived from the records: who holds what, and what is free.

use std::net::IpAddr;

use imbl::{OrdMap, OrdSet};

use super::{
    Allocation, Key, Scoped,
    membership::{Membership, add_to, drop_from},
};
use crate::{
    ipam::Pool,
    model::{ClientId, Endpoint, InterfaceName, Mac, Name, Network, Node, Policy, Subnet, Target, number},
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
    /// Of groups: 1..=16777215.
    pub groups: Pool,
    /// Of policies: 1..=16777215.
    pub policies: Pool,
    /// Of routers: 1..=16777215.
    pub routers: Pool,
    /// Of floating addresses: 1..=16777215.
    pub floating_ips: Pool,
    /// Of services: 1..=16777215.
    pub services: Pool,
    /// Of QoS profiles: 1..=16777215.
    pub qos_profiles: Pool,
    /// Of mirrors: 1..=16777215.
    pub mirrors: Pool,
}

impl Default for Numbers {
    fn default() -> Self {
        let all = Pool::new(1, 0xff_ffff);
        Self {
            networks: Pool::new(1, 131_055),
            endpoints: all.clone(),
            nodes: all.clone(),
            vnis: all.clone(),
            groups: all.clone(),
            policies: all.clone(),
            routers: all.clone(),
            floating_ips: all.clone(),
            services: all.clone(),
            qos_profiles: all.clone(),
            mirrors: all,
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
    pub(super) membership: Membership,
    /// Who refers to what.
    pub(super) users: OrdMap<Target, OrdSet<Key>>,
    /// Policies that ask for neither a group nor a network.
    pub(super) policies_for_all: OrdSet<Name>,
    /// Nodes by the addresses that they translate sources behind.
    pub(super) nat_addresses: OrdMap<IpAddr, Name>,
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
        for address in &node.nat_addresses {
            self.nat_addresses.insert(*address, node.name.clone());
        }
    }

    pub(super) fn remove_node(&mut self, node: &Node) {
        self.numbers.nodes.release(node.number.into());
        for address in &node.nat_addresses {
            self.nat_addresses.remove(address);
        }
    }

    pub(super) fn add_endpoint(&mut self, endpoint: &Endpoint) {
        let scoped = (endpoint.network.clone(), endpoint.name.clone());
        self.numbers.endpoints.take(endpoint.number.into());
        if let Some(qos) = &endpoint.qos {
            add_to(
                &mut self.users,
                &Target::QosProfile(qos.clone()),
                &Key::Endpoint(scoped.clone()),
            );
        }
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
        if let Some(qos) = &endpoint.qos {
            let key = Key::Endpoint((endpoint.network.clone(), endpoint.name.clone()));
            drop_from(&mut self.users, &Target::QosProfile(qos.clone()), &key);
        }
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

    pub(super) fn add_references(&mut self, key: &Key, references: &[(String, Target)]) {
        for (_, target) in references {
            add_to(&mut self.users, target, key);
        }
    }

    pub(super) fn remove_references(&mut self, key: &Key, references: &[(String, Target)]) {
        for (_, target) in references {
            drop_from(&mut self.users, target, key);
        }
    }

    pub(super) fn add_policy(&mut self, policy: &Policy) {
        if policy.spec.applies_to.is_none() && policy.spec.network.is_none() {
            self.policies_for_all.insert(policy.name.clone());
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
