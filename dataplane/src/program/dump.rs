//! Everything programmed, as it is shown: objects with their names and numbers, and what became of them.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use super::{
    health::HealthStatus,
    host::PortStatus,
    object::{
        Attachment, BridgeSpec, HealthCheckSpec, IdentitySpec, LabelSpec, MacSpec, MirrorSpec, Mode, NeighborSpec,
        NextHopSpec, PolicySpec, PortSpec, RouteSpec, ServiceSpec, SourceNatSpec, VniSpec, VrfSpec,
    },
    state::State,
};
use crate::{
    service::underlay::NeighborInfo,
    tables::{
        Tables,
        learned::{LearnedEntry, Place},
        next_hop::Action,
        port::Role,
        route::RouteValue,
        slots::{BridgeSlot, NextHopSlot, PortSlot, VrfSlot},
        underlay::UnderlayNeighbor,
    },
    wire::{IpPrefix, Mac},
};

/// One object, with what is only known here.
#[derive(Clone, Debug, PartialEq)]
pub enum Dumped {
    /// A port.
    Port {
        /// What was asked for; of an uplink: what it is (its attachment means nothing).
        spec: PortSpec,
        /// An uplink.
        uplink: bool,
        /// MTU in force, bytes.
        mtu: u16,
        /// How it is attached.
        status: Option<PortStatus>,
    },
    /// A VRF.
    Vrf(VrfSpec),
    /// A bridge.
    Bridge(BridgeSpec),
    /// A next hop.
    NextHop {
        /// What was asked for.
        spec: NextHopSpec,
        /// What became of it.
        status: NextHopStatus,
    },
    /// A route.
    Route {
        /// What was asked for.
        spec: RouteSpec,
        /// It is the best of its prefix.
        active: bool,
    },
    /// A programmed MAC.
    Mac(MacSpec),
    /// A learned MAC.
    LearnedMac {
        /// Bridge, identifier.
        bridge: u32,
        /// The address.
        mac: Mac,
        /// Identifier of the port it is behind; 0: behind a tunnel.
        port: u32,
        /// Identifier of the next hop it is behind; 0: behind a port.
        next_hop: u64,
        /// The remote VTEP it is behind.
        vtep: Option<IpAddr>,
        /// When it was last seen, in the seconds of the workers' clock.
        last_seen_s: u32,
    },
    /// A programmed neighbour in a bridge.
    Neighbor(NeighborSpec),
    /// A neighbour on the underlay.
    Underlay(NeighborState),
    /// A VNI.
    Vni(VniSpec),
    /// A label.
    Label(LabelSpec),
    /// An identity.
    Identity(IdentitySpec),
    /// A policy.
    Policy(PolicySpec),
    /// A source translation.
    SourceNat(SourceNatSpec),
    /// A service.
    Service(ServiceSpec),
    /// A mirror.
    Mirror(MirrorSpec),
    /// A health check.
    HealthCheck {
        /// What was asked for.
        spec: HealthCheckSpec,
        /// What was found out.
        status: HealthStatus,
    },
}

/// What became of a next hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextHopStatus {
    /// Packets can leave.
    pub resolved: bool,
    /// Why not, or via whom.
    pub detail: Arc<str>,
    /// Largest IP packet, bytes; 0 where that has no meaning.
    pub mtu: u16,
}

/// A neighbour on the underlay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeighborState {
    /// Its address.
    pub address: IpAddr,
    /// Its MAC, if known.
    pub mac: Option<Mac>,
    /// In words.
    pub state: &'static str,
    /// Interface it is on.
    pub interface: String,
}

/// Everything programmed, from one revision.
#[derive(Clone, Debug)]
pub struct Snapshot {
    revision: u64,
    state: State,
    neighbors: Arc<[NeighborInfo]>,
    ports: Arc<HashMap<PortSlot, PortStatus>>,
    /// Keeps the routes' memory from being reused.
    _lease: Arc<()>,
}

impl Snapshot {
    pub(super) fn new(
        revision: u64,
        state: State,
        neighbors: Arc<[NeighborInfo]>,
        ports: HashMap<PortSlot, PortStatus>,
        lease: Arc<()>,
    ) -> Self {
        Self {
            revision,
            state,
            neighbors,
            ports: Arc::new(ports),
            _lease: lease,
        }
    }

    /// The revision.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The tables as workers see them. Routes must be looked up through this only while the snapshot lives.
    pub fn tables(&self) -> &Tables {
        &self.state.tables
    }

    /// How the port, or uplink, with this identifier is attached, and its MTU in force. `None`: there is no such port.
    pub fn port_status(&self, id: u32) -> Option<(Option<&PortStatus>, u16)> {
        let slot = match self.state.ports.get(&id) {
            Some((slot, _)) => *slot,
            None => self.port_slot(id)?,
        };
        let mtu = self.state.tables.port(slot)?.mtu;
        Some((self.ports.get(&slot), mtu))
    }

    /// What became of the next hop with this identifier.
    pub fn next_hop_status_of(&self, id: u64) -> Option<NextHopStatus> {
        let (slot, _) = self.state.next_hops.get(&id)?;
        Some(self.next_hop_status(*slot))
    }

    /// Ports and uplinks.
    pub fn ports(&self) -> impl Iterator<Item = Dumped> + '_ {
        let programmed = self
            .state
            .ports
            .values()
            .map(|(slot, spec)| (*slot, (**spec).clone(), false));
        let uplinks = self
            .state
            .tables
            .ports
            .iter()
            .filter(|(_, port)| port.role == Role::Uplink)
            .filter_map(|(slot, port)| {
                let spec = PortSpec {
                    id: port.id,
                    name: port.name.clone(),
                    interface: port.name.clone(),
                    mode: Mode::Auto,
                    attachment: Attachment::Vrf(0),
                    mac: port.mac,
                    gateways: Arc::from([]),
                    mtu: port.mtu,
                    max_flows: 0,
                    policy: None,
                    guard: None,
                    qos: None,
                    mirrors: Arc::from([]),
                };
                Some((PortSlot::new(slot)?, spec, true))
            });
        programmed.chain(uplinks).map(|(slot, spec, uplink)| Dumped::Port {
            mtu: self.state.tables.port(slot).map_or(0, |p| p.mtu),
            status: self.ports.get(&slot).cloned(),
            spec,
            uplink,
        })
    }

    /// VRFs.
    pub fn vrfs(&self) -> impl Iterator<Item = Dumped> + '_ {
        self.state.vrfs.values().map(|(_, spec)| Dumped::Vrf((**spec).clone()))
    }

    /// Bridges.
    pub fn bridges(&self) -> impl Iterator<Item = Dumped> + '_ {
        self.state
            .bridges
            .values()
            .map(|(_, spec)| Dumped::Bridge((**spec).clone()))
    }

    /// Next hops.
    pub fn next_hops(&self) -> impl Iterator<Item = Dumped> + '_ {
        self.state.next_hops.values().map(|(slot, spec)| Dumped::NextHop {
            spec: (**spec).clone(),
            status: self.next_hop_status(*slot),
        })
    }

    fn next_hop_status(&self, slot: NextHopSlot) -> NextHopStatus {
        let always = |mtu| NextHopStatus {
            resolved: true,
            detail: Arc::from(""),
            mtu,
        };
        match self.state.tables.next_hop(slot).map(|n| &n.action) {
            Some(Action::Tunnel(tunnel)) => NextHopStatus {
                resolved: tunnel.path.is_some(),
                detail: tunnel.detail.clone(),
                mtu: tunnel.path.as_ref().map_or(0, |p| p.mtu),
            },
            Some(Action::Underlay { gateway }) => self.underlay_status(*gateway),
            Some(Action::Port(hop)) => always(self.state.tables.port(hop.port).map_or(0, |p| p.mtu)),
            _ => always(0),
        }
    }

    /// Of a next hop in the clear.
    fn underlay_status(&self, gateway: Option<IpAddr>) -> NextHopStatus {
        let tables = &self.state.tables;
        let uplinks = tables.ports.iter().map(|(_, port)| port);
        let mtu = uplinks
            .filter(|port| port.role == Role::Uplink)
            .map(|port| port.mtu)
            .min();
        let status = |resolved, detail: String, mtu| NextHopStatus {
            resolved,
            detail: detail.into(),
            mtu,
        };
        let Some(gateway) = gateway else {
            let detail = "each destination is looked for when packets want it".to_owned();
            return status(true, detail, mtu.unwrap_or(0));
        };
        match tables.underlay_neighbors.get(&gateway) {
            Some(UnderlayNeighbor::Reached(path)) => {
                let port = tables.port(path.port).map_or("?", |port| &port.name);
                status(true, format!("via {gateway} {} on {port}", path.mac), path.mtu)
            }
            Some(UnderlayNeighbor::Silent) => status(false, format!("gateway {gateway} does not answer"), 0),
            None => status(false, "not resolved yet".to_owned(), 0),
        }
    }

    /// Routes of a VRF (identifier), or of all, each offer for itself.
    pub fn routes(&self, vrf: Option<u32>) -> impl Iterator<Item = Dumped> + '_ {
        let arena = &self.state.tables.routes;
        let tables = self
            .state
            .vrfs
            .iter()
            .filter(move |(id, _)| vrf.is_none_or(|vrf| vrf == **id))
            .filter_map(|(id, (slot, _))| Some((*id, *slot, self.state.tables.vrf(*slot)?)));
        tables.flat_map(move |(id, slot, table)| {
            let v4 = arena
                .iter(table.v4)
                .map(|(p, v)| (IpAddr::V4(p.address().into()), p.length(), v));
            let v6 = arena
                .iter(table.v6)
                .map(|(p, v)| (IpAddr::V6(p.address().into()), p.length(), v));
            v4.chain(v6)
                .filter_map(|(address, len, value)| Some((IpPrefix::new(address, len).ok()?, value)))
                .flat_map(move |(prefix, value)| {
                    let others = self.state.other_routes.get(&(slot, prefix)).map_or(&[][..], |o| o);
                    let best = std::iter::once((RouteValue::from_raw(value), true));
                    best.chain(others.iter().map(|other| (*other, false)))
                        .map(move |(value, active)| {
                            let next_hop = self.next_hop_id(value.next_hop());
                            let (source, preference) = (value.source(), value.preference());
                            Dumped::Route {
                                spec: RouteSpec {
                                    vrf: id,
                                    prefix,
                                    next_hop,
                                    source,
                                    preference,
                                },
                                active,
                            }
                        })
                })
        })
    }

    /// Programmed MACs.
    pub fn macs(&self) -> impl Iterator<Item = Dumped> + '_ {
        self.state.tables.macs.iter().map(|((bridge, mac), next_hop)| {
            Dumped::Mac(MacSpec {
                bridge: self.bridge_id(*bridge),
                mac: *mac,
                next_hop: self.next_hop_id(*next_hop),
            })
        })
    }

    /// A learned MAC, with identifiers.
    pub fn learned(&self, entry: &LearnedEntry) -> Dumped {
        let (port, next_hop) = match entry.place {
            Place::Port(slot) => (self.port_id(PortSlot::from_raw(slot)), 0),
            Place::NextHop(slot) => (0, self.next_hop_id(NextHopSlot::from_raw(slot))),
        };
        let vtep = match entry.place {
            Place::NextHop(slot) => match self
                .state
                .tables
                .next_hop(NextHopSlot::from_raw(slot))
                .map(|n| &n.action)
            {
                Some(Action::Tunnel(tunnel)) => Some(tunnel.remote),
                _ => None,
            },
            Place::Port(_) => None,
        };
        let (bridge, mac) = (self.bridge_id(BridgeSlot::from_raw(entry.bridge)), Mac(entry.mac));
        Dumped::LearnedMac {
            bridge,
            mac,
            port,
            next_hop,
            vtep,
            last_seen_s: entry.last_seen_s,
        }
    }

    /// Programmed neighbours within bridges, and neighbours of the underlay.
    pub fn neighbors(&self) -> impl Iterator<Item = Dumped> + '_ {
        let programmed = self.state.tables.neighbors.iter().map(|((bridge, address), mac)| {
            Dumped::Neighbor(NeighborSpec {
                bridge: self.bridge_id(*bridge),
                address: *address,
                mac: *mac,
            })
        });
        programmed.chain(self.neighbors.iter().map(|n| {
            let (state, interface) = (n.state, n.interface.clone());
            Dumped::Underlay(NeighborState {
                address: n.address,
                mac: n.mac,
                state,
                interface,
            })
        }))
    }

    /// VNIs.
    pub fn vnis(&self) -> impl Iterator<Item = Dumped> + '_ {
        self.state.vnis.values().map(|spec| Dumped::Vni((**spec).clone()))
    }

    /// Labels.
    pub fn labels(&self) -> impl Iterator<Item = Dumped> + '_ {
        self.state.labels.values().map(|spec| Dumped::Label((**spec).clone()))
    }

    /// Identities of a VRF (identifier), or of all.
    pub fn identities(&self, vrf: Option<u32>) -> impl Iterator<Item = Dumped> + '_ {
        let arena = &self.state.tables.routes;
        let tables = self
            .state
            .vrfs
            .iter()
            .filter(move |(id, _)| vrf.is_none_or(|vrf| vrf == **id))
            .filter_map(|(id, (slot, _))| Some((*id, self.state.tables.vrf(*slot)?)));
        tables.flat_map(move |(vrf, table)| {
            let v4 = arena
                .iter(table.identities4)
                .map(|(p, v)| (IpAddr::V4(p.address().into()), p.length(), v));
            let v6 = arena
                .iter(table.identities6)
                .map(|(p, v)| (IpAddr::V6(p.address().into()), p.length(), v));
            v4.chain(v6).filter_map(move |(address, length, place)| {
                Some(Dumped::Identity(IdentitySpec {
                    vrf,
                    prefix: IpPrefix::new(address, length).ok()?,
                    groups: self.state.tables.group_sets.get(place as usize)?.clone(),
                }))
            })
        })
    }

    /// Policies.
    pub fn policies(&self) -> impl Iterator<Item = Dumped> + '_ {
        let all = self.state.policies.values();
        all.map(|(spec, _)| Dumped::Policy((**spec).clone()))
    }

    /// Source translations.
    pub fn source_nats(&self) -> impl Iterator<Item = Dumped> + '_ {
        let all = self.state.source_nats.values();
        all.map(|staged| Dumped::SourceNat((*staged.spec).clone()))
    }

    /// Services.
    pub fn services(&self) -> impl Iterator<Item = Dumped> + '_ {
        let all = self.state.services.values();
        all.map(|(spec, _)| Dumped::Service((**spec).clone()))
    }

    /// Mirrors.
    pub fn mirrors(&self) -> impl Iterator<Item = Dumped> + '_ {
        self.state
            .mirrors
            .values()
            .map(|(spec, _)| Dumped::Mirror((**spec).clone()))
    }

    /// Health checks.
    pub fn health_checks(&self) -> impl Iterator<Item = Dumped> + '_ {
        self.state
            .health_checks
            .values()
            .map(|(spec, status)| Dumped::HealthCheck {
                spec: (**spec).clone(),
                status: status.clone(),
            })
    }

    /// What a health check, by identifier, found out.
    pub fn health_of(&self, id: u32) -> Option<&HealthStatus> {
        self.state.health_checks.get(&id).map(|(_, status)| status)
    }

    /// Identifier and name of the port at a slot.
    pub fn port_at(&self, slot: PortSlot) -> Option<(u32, Arc<str>)> {
        self.state.tables.port(slot).map(|p| (p.id, p.name.clone()))
    }

    /// Identifier and name of the VRF at a slot.
    pub fn vrf_at(&self, slot: VrfSlot) -> Option<(u32, Arc<str>)> {
        self.state.tables.vrf(slot).map(|v| (v.id, v.name.clone()))
    }

    /// Slots of all ports.
    pub fn port_slots(&self) -> impl Iterator<Item = PortSlot> + '_ {
        self.state
            .tables
            .ports
            .iter()
            .filter_map(|(index, _)| PortSlot::new(index))
    }

    /// Slots of all VRFs.
    pub fn vrf_slots(&self) -> impl Iterator<Item = VrfSlot> + '_ {
        self.state
            .tables
            .vrfs
            .iter()
            .filter_map(|(index, _)| VrfSlot::new(index))
    }

    /// Slot of a port by identifier, uplinks too.
    pub fn port_slot(&self, id: u32) -> Option<PortSlot> {
        self.state
            .tables
            .ports
            .iter()
            .find(|(_, p)| p.id == id)
            .and_then(|(index, _)| PortSlot::new(index))
    }

    /// Slot of a VRF by identifier.
    pub fn vrf_slot(&self, id: u32) -> Option<VrfSlot> {
        self.state.vrfs.get(&id).map(|(slot, _)| *slot)
    }

    fn port_id(&self, slot: PortSlot) -> u32 {
        self.state.tables.port(slot).map_or(0, |p| p.id)
    }

    fn bridge_id(&self, slot: BridgeSlot) -> u32 {
        self.state.tables.bridge(slot).map_or(0, |b| b.id)
    }

    fn next_hop_id(&self, slot: NextHopSlot) -> u64 {
        self.state.tables.next_hop(slot).map_or(0, |n| n.id)
    }

    /// Next hops that packets can leave by, and those that they cannot.
    pub fn next_hop_counts(&self) -> (usize, usize) {
        let slots = self.state.next_hops.values().map(|(slot, _)| *slot);
        let up = slots.filter(|slot| self.is_resolved(*slot)).count();
        (up, self.state.next_hops.len() - up)
    }

    /// As [`next_hop_status`](Self::next_hop_status) says, without the words.
    fn is_resolved(&self, slot: NextHopSlot) -> bool {
        match self.state.tables.next_hop(slot).map(|n| &n.action) {
            Some(Action::Tunnel(tunnel)) => tunnel.path.is_some(),
            Some(Action::Underlay { gateway: Some(gateway) }) => matches!(
                self.state.tables.underlay_neighbors.get(gateway),
                Some(UnderlayNeighbor::Reached(_))
            ),
            _ => true,
        }
    }

    /// How many objects of each kind are programmed. Learned MACs and uplinks are not.
    pub fn counts(&self) -> [(&'static str, u64); 15] {
        let state = &self.state;
        let identities = self.identities(None).count();
        [
            ("port", state.ports.len()),
            ("vrf", state.vrfs.len()),
            ("bridge", state.bridges.len()),
            ("next_hop", state.next_hops.len()),
            ("route", usize::try_from(state.route_count).unwrap_or(usize::MAX)),
            ("mac", state.tables.macs.len()),
            ("neighbor", state.tables.neighbors.len()),
            ("vni", state.vnis.len()),
            ("label", state.labels.len()),
            ("identity", identities),
            ("policy", state.policies.len()),
            ("source_nat", state.source_nats.len()),
            ("service", state.services.len()),
            ("mirror", state.mirrors.len()),
            ("health_check", state.health_checks.len()),
        ]
        .map(|(kind, count)| (kind, count as u64))
    }

    /// Health checks whose workload is well, and those whose is not.
    pub fn health_counts(&self) -> (usize, usize) {
        let all = self.state.health_checks.values();
        let well = all.filter(|(_, status)| status.healthy).count();
        (well, self.state.health_checks.len() - well)
    }

    /// How the port at a slot is attached.
    pub fn attachment(&self, slot: PortSlot) -> Option<&PortStatus> {
        self.ports.get(&slot)
    }

    /// Number of routes, every offer counted.
    pub fn route_count(&self) -> u64 {
        self.state.route_count
    }
}
