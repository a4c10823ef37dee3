//! Everything that is wished for and handed out, as one persistent value.
//!
//! A [`State`] is cheap to clone and never changes under a reader. Its maps are what the store keeps; its indices are derived from
//! them by [`State::put`] and [`State::remove`] alone, so that a transaction, a reload from disk and a feed from elsewhere give the
//! same. A [`Transaction`] is a clone being changed. No I/O in here.

mod index;
mod kind;
mod membership;
mod record;
mod relations;
mod transaction;

use std::{net::IpAddr, sync::Arc};

use imbl::OrdMap;

pub use index::Numbers;
pub use kind::Kind;
pub use record::{Allocation, Cursor, Holder, Key, Observed, Record};
pub use relations::Backend;
pub use transaction::{Change, Transaction};

use crate::{
    ipam::Pool,
    model::{
        ClientId, Endpoint, FloatingIp, FloatingIpSpec, Group, GroupSpec, InterfaceName, Mac, Mirror, MirrorSpec, Name,
        Network, Node, Object, Policy, PolicySpec, QosProfile, QosProfileSpec, Router, RouterSpec, Service,
        ServiceSpec, Subnet, Vteps,
    },
};
use index::Indices;
use kind::Table;

/// Network and name of an object within it.
pub type Scoped = (Name, Name);

/// All objects at one revision.
#[derive(Debug, Clone, Default)]
pub struct State {
    revision: u64,
    nodes_revision: u64,
    policy_revision: u64,
    networks: OrdMap<Name, Arc<Network>>,
    subnets: OrdMap<Scoped, Arc<Subnet>>,
    endpoints: OrdMap<Scoped, Arc<Endpoint>>,
    nodes: OrdMap<Name, Arc<Node>>,
    groups: Table<GroupSpec>,
    policies: Table<PolicySpec>,
    routers: Table<RouterSpec>,
    floating_ips: Table<FloatingIpSpec>,
    services: Table<ServiceSpec>,
    qos_profiles: Table<QosProfileSpec>,
    mirrors: Table<MirrorSpec>,
    observed: OrdMap<Name, Arc<Observed>>,
    addresses: OrdMap<(Name, IpAddr), Arc<Allocation>>,
    cursors: OrdMap<Cursor, u128>,
    indices: Indices,
}

impl State {
    /// The store's revision that this is.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Revision of the last change of any node or of what is observed of one.
    #[must_use]
    pub fn nodes_revision(&self) -> u64 {
        self.nodes_revision
    }

    /// Revision of the last change of a network, its subnets or its endpoints. 0: never heard of.
    #[must_use]
    pub fn touched(&self, network: &Name) -> u64 {
        self.indices.touched.get(network).copied().unwrap_or(0)
    }

    /// Revision of the last change of any group, policy, router, floating address, service, QoS profile or mirror.
    #[must_use]
    pub fn policy_revision(&self) -> u64 {
        self.policy_revision
    }

    /// Revision of the last time that an endpoint joined or left a group by its labels or name.
    #[must_use]
    pub fn membership_revision(&self) -> u64 {
        self.indices.membership.revision()
    }

    /// One object of a kind.
    #[must_use]
    pub fn object<K: Kind>(&self, id: &K::Id) -> Option<&Arc<Object<K>>> {
        K::table(self).get(id)
    }

    /// All objects of a kind in order of their names.
    pub fn objects<K: Kind>(&self) -> impl Iterator<Item = &Arc<Object<K>>> {
        K::table(self).values()
    }

    /// One group.
    #[must_use]
    pub fn group(&self, name: &Name) -> Option<&Arc<Group>> {
        self.groups.get(name)
    }

    /// All groups in order of their names.
    pub fn groups(&self) -> impl Iterator<Item = &Arc<Group>> {
        self.groups.values()
    }

    /// One policy.
    #[must_use]
    pub fn policy(&self, name: &Name) -> Option<&Arc<Policy>> {
        self.policies.get(name)
    }

    /// All policies in order of their names.
    pub fn policies(&self) -> impl Iterator<Item = &Arc<Policy>> {
        self.policies.values()
    }

    /// One router.
    #[must_use]
    pub fn router(&self, name: &Name) -> Option<&Arc<Router>> {
        self.routers.get(name)
    }

    /// All routers in order of their names.
    pub fn routers(&self) -> impl Iterator<Item = &Arc<Router>> {
        self.routers.values()
    }

    /// One floating address.
    #[must_use]
    pub fn floating_ip(&self, name: &Name) -> Option<&Arc<FloatingIp>> {
        self.floating_ips.get(name)
    }

    /// All floating addresses in order of their names.
    pub fn floating_ips(&self) -> impl Iterator<Item = &Arc<FloatingIp>> {
        self.floating_ips.values()
    }

    /// One service.
    #[must_use]
    pub fn service(&self, network: &Name, name: &Name) -> Option<&Arc<Service>> {
        self.services.get(&(network.clone(), name.clone()))
    }

    /// All services in order of network and name.
    pub fn services(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.services.values()
    }

    /// The services of one network, by name.
    pub fn services_of(&self, network: &Name) -> impl Iterator<Item = &Arc<Service>> {
        scope(&self.services, network)
    }

    /// One QoS profile.
    #[must_use]
    pub fn qos_profile(&self, name: &Name) -> Option<&Arc<QosProfile>> {
        self.qos_profiles.get(name)
    }

    /// All QoS profiles in order of their names.
    pub fn qos_profiles(&self) -> impl Iterator<Item = &Arc<QosProfile>> {
        self.qos_profiles.values()
    }

    /// One mirror.
    #[must_use]
    pub fn mirror(&self, name: &Name) -> Option<&Arc<Mirror>> {
        self.mirrors.get(name)
    }

    /// All mirrors in order of their names.
    pub fn mirrors(&self) -> impl Iterator<Item = &Arc<Mirror>> {
        self.mirrors.values()
    }

    /// The node that translates sources behind this address.
    #[must_use]
    pub fn nat_address_holder(&self, address: IpAddr) -> Option<&Name> {
        self.indices.nat_addresses.get(&address)
    }

    /// All addresses that nodes translate sources behind.
    pub fn nat_addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.indices.nat_addresses.keys().copied()
    }

    /// One network.
    #[must_use]
    pub fn network(&self, name: &Name) -> Option<&Arc<Network>> {
        self.networks.get(name)
    }

    /// All networks in order of their names.
    pub fn networks(&self) -> impl Iterator<Item = &Arc<Network>> {
        self.networks.values()
    }

    /// One subnet.
    #[must_use]
    pub fn subnet(&self, network: &Name, name: &Name) -> Option<&Arc<Subnet>> {
        self.subnets.get(&(network.clone(), name.clone()))
    }

    /// All subnets in order of network and name.
    pub fn subnets(&self) -> impl Iterator<Item = &Arc<Subnet>> {
        self.subnets.values()
    }

    /// The subnets of one network, by name.
    pub fn subnets_of(&self, network: &Name) -> impl Iterator<Item = &Arc<Subnet>> {
        scope(&self.subnets, network)
    }

    /// The subnet of `network` that `address` is in.
    #[must_use]
    pub fn subnet_around(&self, network: &Name, address: IpAddr) -> Option<&Arc<Subnet>> {
        self.subnets_of(network).find(|s| s.cidr.contains(address))
    }

    /// One endpoint.
    #[must_use]
    pub fn endpoint(&self, network: &Name, name: &Name) -> Option<&Arc<Endpoint>> {
        self.endpoints.get(&(network.clone(), name.clone()))
    }

    /// All endpoints in order of network and name.
    pub fn endpoints(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.endpoints.values()
    }

    /// The endpoints of one network, by name.
    pub fn endpoints_of(&self, network: &Name) -> impl Iterator<Item = &Arc<Endpoint>> {
        scope(&self.endpoints, network)
    }

    /// The endpoints that live on one node, attached or not.
    pub fn endpoints_on<'a>(&'a self, node: &'a Name) -> impl Iterator<Item = &'a Arc<Endpoint>> {
        self.indices
            .placed_on(node)
            .filter_map(|(network, name)| self.endpoint(network, name))
    }

    /// One node.
    #[must_use]
    pub fn node(&self, name: &Name) -> Option<&Arc<Node>> {
        self.nodes.get(name)
    }

    /// All nodes in order of their names.
    pub fn nodes(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.nodes.values()
    }

    /// What a node's dataplane said of itself.
    #[must_use]
    pub fn observed(&self, node: &Name) -> Option<&Arc<Observed>> {
        self.observed.get(node)
    }

    /// The tunnel addresses in use of a node: the wish, else what its dataplane said.
    #[must_use]
    pub fn vteps(&self, node: &Node) -> Vteps {
        if node.vteps.is_empty() {
            self.observed(&node.name).map(|o| o.vteps.clone()).unwrap_or_default()
        } else {
            node.vteps.clone()
        }
    }

    /// Who holds an address.
    #[must_use]
    pub fn allocation(&self, network: &Name, address: IpAddr) -> Option<&Arc<Allocation>> {
        self.addresses.get(&(network.clone(), address))
    }

    /// All addresses handed out.
    pub fn allocations(&self) -> impl Iterator<Item = &Arc<Allocation>> {
        self.addresses.values()
    }

    /// The addresses handed out of one subnet, lowest first.
    pub fn allocations_in<'a>(&'a self, subnet: &'a Subnet) -> impl Iterator<Item = &'a Arc<Allocation>> {
        let family = subnet.cidr.family();
        let end = |number| family.address(number).map(|a| (subnet.network.clone(), a));
        let ends = end(subnet.cidr.first()).zip(end(subnet.cidr.last()));
        ends.into_iter()
            .flat_map(|(first, last)| self.addresses.range(first..=last))
            .map(|(_, a)| a)
    }

    /// Where the search for the next free number begins.
    #[must_use]
    pub fn cursor(&self, cursor: &Cursor) -> u128 {
        self.cursors.get(cursor).copied().unwrap_or_else(|| cursor.start())
    }

    /// The addresses of one subnet, free and taken.
    #[must_use]
    pub fn pool(&self, subnet: &Subnet) -> Option<&Pool> {
        self.indices.pools.get(&(subnet.network.clone(), subnet.name.clone()))
    }

    /// The numbers in use.
    #[must_use]
    pub fn numbers(&self) -> &Numbers {
        &self.indices.numbers
    }

    /// The endpoint of `network` that has this MAC address.
    #[must_use]
    pub fn mac_holder(&self, network: &Name, mac: Mac) -> Option<&Name> {
        self.indices.macs.get(&(network.clone(), mac))
    }

    /// The endpoint that an interface of a node belongs to.
    #[must_use]
    pub fn interface_holder(&self, node: &Name, interface: &InterfaceName) -> Option<&Scoped> {
        self.indices.interfaces.get(&(node.clone(), interface.clone()))
    }

    /// The endpoint that a client made with this id.
    #[must_use]
    pub fn client_id_holder(&self, network: &Name, id: &ClientId) -> Option<&Name> {
        self.indices.client_ids.get(&(network.clone(), id.clone()))
    }

    /// The network that has this VXLAN network identifier.
    #[must_use]
    pub fn vni_holder(&self, vni: u32) -> Option<&Name> {
        self.indices.vnis.get(&vni)
    }

    /// Every record, in an order in which [`State::put`] can take them.
    pub fn records(&self) -> impl Iterator<Item = Record> + '_ {
        let networks = self.networks.values().cloned().map(Record::Network);
        let subnets = self.subnets.values().cloned().map(Record::Subnet);
        let nodes = self.nodes.values().cloned().map(Record::Node);
        let endpoints = self.endpoints.values().cloned().map(Record::Endpoint);
        let groups = self.groups.values().cloned().map(Record::Group);
        let policies = self.policies.values().cloned().map(Record::Policy);
        let routers = self.routers.values().cloned().map(Record::Router);
        let floating_ips = self.floating_ips.values().cloned().map(Record::FloatingIp);
        let services = self.services.values().cloned().map(Record::Service);
        let qos_profiles = self.qos_profiles.values().cloned().map(Record::QosProfile);
        let mirrors = self.mirrors.values().cloned().map(Record::Mirror);
        let addresses = self.addresses.values().cloned().map(Record::Address);
        let observed = self.observed.values().cloned().map(Record::Observed);
        let cursors = self
            .cursors
            .iter()
            .map(|(cursor, next)| Record::Cursor(cursor.clone(), *next));
        networks
            .chain(subnets)
            .chain(nodes)
            .chain(endpoints)
            .chain(groups)
            .chain(policies)
            .chain(routers)
            .chain(floating_ips)
            .chain(services)
            .chain(qos_profiles)
            .chain(mirrors)
            .chain(addresses)
            .chain(observed)
            .chain(cursors)
    }

    /// The record of this key.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<Record> {
        match key {
            Key::Network(name) => self.networks.get(name).cloned().map(Record::Network),
            Key::Subnet(scoped) => self.subnets.get(scoped).cloned().map(Record::Subnet),
            Key::Node(name) => self.nodes.get(name).cloned().map(Record::Node),
            Key::Endpoint(scoped) => self.endpoints.get(scoped).cloned().map(Record::Endpoint),
            Key::Group(id) => self.groups.get(id).cloned().map(Record::Group),
            Key::Policy(id) => self.policies.get(id).cloned().map(Record::Policy),
            Key::Router(id) => self.routers.get(id).cloned().map(Record::Router),
            Key::FloatingIp(id) => self.floating_ips.get(id).cloned().map(Record::FloatingIp),
            Key::Service(id) => self.services.get(id).cloned().map(Record::Service),
            Key::QosProfile(id) => self.qos_profiles.get(id).cloned().map(Record::QosProfile),
            Key::Mirror(id) => self.mirrors.get(id).cloned().map(Record::Mirror),
            Key::Address(network, address) => self.allocation(network, *address).cloned().map(Record::Address),
            Key::Observed(name) => self.observed.get(name).cloned().map(Record::Observed),
            Key::Cursor(cursor) => self
                .cursors
                .get(cursor)
                .map(|next| Record::Cursor(cursor.clone(), *next)),
        }
    }

    /// Puts a record in place of the one with its key, as of `revision`.
    pub fn put(&mut self, record: Record, revision: u64) {
        let key = record.key();
        let old = self.take(&key);
        self.touch(&key, revision);
        match record {
            Record::Network(network) => {
                self.indices.add_network(&network);
                self.networks.insert(network.name.clone(), network);
            }
            Record::Subnet(subnet) => {
                let taken = self.allocations_in(&subnet).map(|a| a.address).collect::<Vec<_>>();
                self.indices.add_subnet(&subnet, taken);
                self.subnets
                    .insert((subnet.network.clone(), subnet.name.clone()), subnet);
            }
            Record::Node(node) => {
                self.indices.add_node(&node);
                self.nodes.insert(node.name.clone(), node);
            }
            Record::Endpoint(endpoint) => {
                self.indices.add_endpoint(&endpoint);
                self.endpoints
                    .insert((endpoint.network.clone(), endpoint.name.clone()), endpoint);
            }
            Record::Group(group) => self.put_object(group),
            Record::Policy(policy) => {
                self.indices.add_policy(&policy);
                self.put_object(policy);
            }
            Record::Router(router) => self.put_object(router),
            Record::FloatingIp(floating) => self.put_object(floating),
            Record::Service(service) => self.put_object(service),
            Record::QosProfile(profile) => self.put_object(profile),
            Record::Mirror(mirror) => self.put_object(mirror),
            Record::Address(allocation) => {
                let subnet = self.subnet_around(&allocation.network, allocation.address).cloned();
                self.indices.add_address(subnet.as_deref(), &allocation);
                self.addresses
                    .insert((allocation.network.clone(), allocation.address), allocation);
            }
            Record::Observed(observed) => {
                self.observed.insert(observed.node.clone(), observed);
            }
            Record::Cursor(cursor, next) => {
                self.cursors.insert(cursor, next);
            }
        }
        self.regroup(&key, old.as_ref(), revision);
    }

    /// Removes the record of this key, as of `revision`.
    pub fn remove(&mut self, key: &Key, revision: u64) {
        self.touch(key, revision);
        let old = self.take(key);
        if let Key::Network(name) = key {
            self.indices.touched.remove(name);
        }
        self.regroup(key, old.as_ref(), revision);
    }

    /// Finds anew who is in which groups, after an endpoint or a group was put in the place of `old`, or removed.
    fn regroup(&mut self, key: &Key, old: Option<&Record>, revision: u64) {
        match key {
            Key::Endpoint(id) => {
                let old = old.and_then(|r| if let Record::Endpoint(e) = r { Some(&**e) } else { None });
                let new = self.endpoints.get(id).map(AsRef::as_ref);
                self.indices.membership.endpoint(id, old, new, &self.groups, revision);
            }
            Key::Group(name) => {
                let old = old.and_then(GroupSpec::of_record).map(AsRef::as_ref);
                let new = self.groups.get(name).map(AsRef::as_ref);
                self.indices.membership.group(name, old, new, &self.endpoints, revision);
            }
            _ => {}
        }
    }

    fn put_object<K: Kind>(&mut self, object: Arc<Object<K>>) {
        let id = K::id(&object.name, &object.spec);
        let key = K::key(id.clone());
        self.indices.add_references(&key, &object.spec.references());
        K::numbers_mut(&mut self.indices.numbers).take(object.number.into());
        K::table_mut(self).insert(id, object);
    }

    fn take_object<K: Kind>(&mut self, id: &K::Id) {
        if let Some(object) = K::table_mut(self).remove(id) {
            let key = K::key(id.clone());
            self.indices.remove_references(&key, &object.spec.references());
            K::numbers_mut(&mut self.indices.numbers).release(object.number.into());
        }
    }

    /// Takes a record out, and out of the indices but for groups' members. What it was.
    fn take(&mut self, key: &Key) -> Option<Record> {
        let old = self.get(key);
        match key {
            Key::Network(name) => {
                if let Some(network) = self.networks.remove(name) {
                    self.indices.remove_network(&network);
                }
            }
            Key::Subnet(scoped) => {
                self.subnets.remove(scoped);
                self.indices.pools.remove(scoped);
            }
            Key::Node(name) => {
                if let Some(node) = self.nodes.remove(name) {
                    self.indices.remove_node(&node);
                }
            }
            Key::Endpoint(scoped) => {
                if let Some(endpoint) = self.endpoints.remove(scoped) {
                    self.indices.remove_endpoint(&endpoint);
                }
            }
            Key::Group(name) => self.take_object::<GroupSpec>(name),
            Key::Policy(name) => {
                self.indices.policies_for_all.remove(name);
                self.take_object::<PolicySpec>(name);
            }
            Key::Router(name) => self.take_object::<RouterSpec>(name),
            Key::FloatingIp(name) => self.take_object::<FloatingIpSpec>(name),
            Key::Service(id) => self.take_object::<ServiceSpec>(id),
            Key::QosProfile(name) => self.take_object::<QosProfileSpec>(name),
            Key::Mirror(name) => self.take_object::<MirrorSpec>(name),
            Key::Address(network, address) => {
                if let Some(allocation) = self.addresses.remove(&(network.clone(), *address)) {
                    let subnet = self.subnet_around(network, *address).cloned();
                    self.indices.remove_address(subnet.as_deref(), &allocation);
                }
            }
            Key::Observed(name) => {
                self.observed.remove(name);
            }
            Key::Cursor(cursor) => {
                self.cursors.remove(cursor);
            }
        }
        old
    }

    /// Declares that all changes up to `revision` are in.
    pub fn advance(&mut self, revision: u64) {
        self.revision = self.revision.max(revision);
    }

    fn touch(&mut self, key: &Key, revision: u64) {
        match key {
            Key::Node(_) | Key::Observed(_) => self.nodes_revision = self.nodes_revision.max(revision),
            Key::Network(network) | Key::Subnet((network, _)) | Key::Endpoint((network, _)) => {
                self.indices.touch(network, revision);
            }
            Key::Group(_)
            | Key::Policy(_)
            | Key::Router(_)
            | Key::FloatingIp(_)
            | Key::Service(_)
            | Key::QosProfile(_)
            | Key::Mirror(_) => self.policy_revision = self.policy_revision.max(revision),
            Key::Address(..) | Key::Cursor(_) => {}
        }
    }
}

fn scope<'a, 'n, T>(
    map: &'a OrdMap<Scoped, Arc<T>>,
    network: &'n Name,
) -> impl Iterator<Item = &'a Arc<T>> + use<'a, 'n, T> {
    let all_of_it = index::after(network);
    map.range(all_of_it)
        .take_while(move |((of, _), _)| of == network)
        .map(|(_, object)| object)
}

#[cfg(test)]
mod tests;
