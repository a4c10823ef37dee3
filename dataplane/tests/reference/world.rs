//! What is programmed, as plain lists.

use std::net::IpAddr;

use vrouter_dataplane::{
    program::object::{
        Attachment, BridgeSpec, IdentitySpec, Key, LabelSpec, MacSpec, NeighborSpec, NextHopSpec, Object, Operation,
        PolicySpec, PortSpec, RouteSpec, ServiceSpec, SourceNatSpec, VniSpec, VrfSpec,
    },
    wire::Mac,
};

use crate::{connections::Connection, reassembly::Datagram};

/// Where a bridge saw a sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Port(u32),
    NextHop(u64),
}

#[derive(Clone, Debug)]
pub struct Learned {
    pub bridge: u32,
    pub mac: Mac,
    pub place: Place,
    pub seen_s: u64,
}

#[derive(Clone, Debug, Default)]
pub struct World {
    pub vrfs: Vec<VrfSpec>,
    pub bridges: Vec<BridgeSpec>,
    pub ports: Vec<PortSpec>,
    pub next_hops: Vec<NextHopSpec>,
    pub routes: Vec<RouteSpec>,
    pub macs: Vec<MacSpec>,
    pub neighbors: Vec<NeighborSpec>,
    pub vnis: Vec<VniSpec>,
    pub labels: Vec<LabelSpec>,
    pub policies: Vec<PolicySpec>,
    pub identities: Vec<IdentitySpec>,
    pub services: Vec<ServiceSpec>,
    /// Each with the number of changes it has seen.
    pub source_nats: Vec<(SourceNatSpec, u64)>,
    /// Changes of source translations so far.
    nat_changes: u64,
    /// Connections are followed. Without policies, services and translations there is nothing to follow them for.
    pub follows: bool,
    pub connections: Vec<Connection>,
    pub learned: Vec<Learned>,
    /// Addresses of the router, in the order in which each VRF was given them.
    pub gateways: Vec<(u32, IpAddr)>,
    /// Neighbours of the underlay that answer.
    pub underlay: Vec<(IpAddr, Mac)>,
    pub now_s: u64,
    pub now_ns: u64,
    /// Datagrams whose fragments are under way.
    pub datagrams: Vec<Datagram>,
    /// Fragments that were routed so far.
    pub fragments_seen: u64,
}

impl World {
    pub fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Put(object) => self.put(object.clone()),
            Operation::Delete(key) => self.delete(*key),
        }
    }

    fn put(&mut self, object: Object) {
        match object {
            Object::Port(spec) => {
                if let Attachment::Vrf(vrf) = spec.attachment {
                    self.note_gateways(vrf, spec.gateways.iter().map(|g| g.address));
                }
                put(&mut self.ports, spec, |p| p.id);
            }
            Object::Vrf(spec) => put(&mut self.vrfs, spec, |v| v.id),
            Object::Bridge(spec) => {
                if let Some(vrf) = spec.vrf {
                    self.note_gateways(vrf, spec.gateways.iter().map(|g| g.address));
                }
                put(&mut self.bridges, spec, |b| b.id);
            }
            Object::NextHop(spec) => put(&mut self.next_hops, spec, |n| n.id),
            Object::Route(spec) => put(&mut self.routes, spec, |r| (r.vrf, r.prefix, r.source)),
            Object::Mac(spec) => put(&mut self.macs, spec, |m| (m.bridge, m.mac)),
            Object::Neighbor(spec) => put(&mut self.neighbors, spec, |n| (n.bridge, n.address)),
            Object::Vni(spec) => put(&mut self.vnis, spec, |v| v.vni),
            Object::Label(spec) => put(&mut self.labels, spec, |l| l.label),
            Object::Policy(spec) => put(&mut self.policies, spec, |p| p.id),
            Object::Identity(spec) => put(&mut self.identities, spec, |i| (i.vrf, i.prefix)),
            Object::Service(spec) => put(&mut self.services, spec, |s| s.id),
            Object::SourceNat(spec) => {
                let same = self.source_nats.iter().any(|(nat, _)| *nat == spec);
                if !same {
                    self.nat_changes += 1;
                    put(&mut self.source_nats, (spec, self.nat_changes), |(nat, _)| nat.id);
                }
            }
            other => unreachable!("none is generated: {other:?}"),
        }
    }

    fn delete(&mut self, key: Key) {
        match key {
            Key::Port(id) => {
                self.ports.retain(|p| p.id != id);
                self.datagrams.retain(|d| d.name.0 != Some(id));
                self.learned.retain(|l| l.place != Place::Port(id));
            }
            Key::Vrf(id) => {
                self.vrfs.retain(|v| v.id != id);
                self.gateways.retain(|(vrf, _)| *vrf != id);
            }
            Key::Bridge(id) => {
                self.bridges.retain(|b| b.id != id);
                self.learned.retain(|l| l.bridge != id);
            }
            Key::NextHop(id) => {
                self.next_hops.retain(|n| n.id != id);
                self.learned.retain(|l| l.place != Place::NextHop(id));
            }
            Key::Route(key) => self
                .routes
                .retain(|r| (r.vrf, r.prefix, r.source) != (key.vrf, key.prefix, key.source)),
            Key::Mac(bridge, mac) => self.macs.retain(|m| (m.bridge, m.mac) != (bridge, mac)),
            Key::Neighbor(bridge, address) => self.neighbors.retain(|n| (n.bridge, n.address) != (bridge, address)),
            Key::Vni(vni) => self.vnis.retain(|v| v.vni != vni),
            Key::Label(label) => self.labels.retain(|l| l.label != label),
            Key::Policy(id) => self.policies.retain(|p| p.id != id),
            Key::Identity(vrf, prefix) => self.identities.retain(|i| (i.vrf, i.prefix) != (vrf, prefix)),
            Key::Service(id) => self.services.retain(|s| s.id != id),
            Key::SourceNat(id) => self.source_nats.retain(|(nat, _)| nat.id != id),
            other => unreachable!("none is generated: {other:?}"),
        }
    }

    fn note_gateways(&mut self, vrf: u32, addresses: impl Iterator<Item = IpAddr>) {
        self.gateways.extend(addresses.map(|address| (vrf, address)));
    }

    pub fn port(&self, id: u32) -> Option<&PortSpec> {
        self.ports.iter().find(|p| p.id == id)
    }

    pub fn bridge(&self, id: u32) -> Option<&BridgeSpec> {
        self.bridges.iter().find(|b| b.id == id)
    }

    pub fn next_hop(&self, id: u64) -> Option<&NextHopSpec> {
        self.next_hops.iter().find(|n| n.id == id)
    }

    /// The next hop of the best offer of the longest prefix.
    pub fn route(&self, vrf: u32, address: IpAddr) -> Option<u64> {
        let matching = self
            .routes
            .iter()
            .filter(|r| r.vrf == vrf && r.prefix.contains(address));
        let best = matching.min_by_key(|r| (255 - r.prefix.prefix_len(), r.preference, r.source))?;
        Some(best.next_hop)
    }

    /// MTU of a memory port is 1500 unless it was given another.
    pub fn mtu(&self, port: &PortSpec) -> usize {
        if port.mtu == 0 { 1500 } else { usize::from(port.mtu) }
    }
}

fn put<T, K: PartialEq>(list: &mut Vec<T>, new: T, key: impl Fn(&T) -> K) {
    match list.iter_mut().find(|old| key(old) == key(&new)) {
        Some(old) => *old = new,
        None => list.push(new),
    }
}
