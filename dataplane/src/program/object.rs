//! The objects that a client programs, checked: what the tables are made from, and what a dump shows.
//!
//! Identifiers are the client's. References between objects are by identifier, and hold at every moment: what refers to an
//! object comes after it, and goes before it.

use std::{net::IpAddr, sync::Arc};

use crate::{
    tables::{next_hop::Encapsulation, port::Gateway},
    wire::{IpPrefix, Label, Mac, Vni},
};

/// How a port attaches to its interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// The best that the driver offers.
    #[default]
    Auto,
    /// Driver (native) XDP without copies.
    NativeZeroCopy,
    /// Driver (native) XDP with copies.
    NativeCopy,
    /// Generic XDP.
    Generic,
    /// No interface: within the process.
    Memory,
}

/// A workload's port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortSpec {
    /// Identifier, not 0.
    pub id: u32,
    /// Name for people.
    pub name: Arc<str>,
    /// Linux interface.
    pub interface: Arc<str>,
    /// How to attach.
    pub mode: Mode,
    /// Where its packets are looked up.
    pub attachment: Attachment,
    /// The workload's MAC.
    pub mac: Mac,
    /// The router's addresses on it.
    pub gateways: Arc<[Gateway]>,
    /// Largest IP packet, bytes. 0: the interface's.
    pub mtu: u16,
    /// Largest number of flow pairs. 0: an equal share.
    pub max_flows: u32,
}

/// Where a port's packets are looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attachment {
    /// Routed in this VRF.
    Vrf(u32),
    /// Switched in this bridge.
    Bridge(u32),
}

/// A VRF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VrfSpec {
    /// Identifier, not 0.
    pub id: u32,
    /// Name for people.
    pub name: Arc<str>,
}

/// A bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BridgeSpec {
    /// Identifier, not 0.
    pub id: u32,
    /// Name for people.
    pub name: Arc<str>,
    /// VRF of its gateway.
    pub vrf: Option<u32>,
    /// The gateway's MAC.
    pub gateway_mac: Mac,
    /// The gateway's addresses.
    pub gateways: Arc<[Gateway]>,
    /// Learn source MACs.
    pub learn: bool,
    /// Seconds until an unseen MAC is forgotten.
    pub aging_seconds: u32,
    /// Next hop for flooding beyond local ports.
    pub flood: Option<u64>,
}

/// A next hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextHopSpec {
    /// Identifier, not 0.
    pub id: u64,
    /// Name for people.
    pub name: Arc<str>,
    /// What it does.
    pub action: ActionSpec,
}

/// What a next hop does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActionSpec {
    /// Drop.
    Drop,
    /// To the router itself.
    Local,
    /// Out by a port.
    Port {
        /// The port.
        port: u32,
        /// Destination MAC; `None`: the port's.
        mac: Option<Mac>,
    },
    /// Through a tunnel.
    Tunnel {
        /// The remote VTEP.
        remote: IpAddr,
        /// How packets are wrapped.
        encapsulation: Encapsulation,
    },
    /// One of several by flow: next hops with weights.
    Group(Arc<[(u64, u8)]>),
    /// A copy to each of these next hops.
    Flood(Arc<[u64]>),
}

/// A route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteSpec {
    /// VRF.
    pub vrf: u32,
    /// Destinations.
    pub prefix: IpPrefix,
    /// Next hop.
    pub next_hop: u64,
    /// Who offers it, 0..=15.
    pub source: u8,
    /// Smallest wins, 0..=15.
    pub preference: u8,
}

/// Key of a route: one offer of one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RouteKey {
    /// VRF.
    pub vrf: u32,
    /// Destinations.
    pub prefix: IpPrefix,
    /// Who offers it.
    pub source: u8,
}

/// A programmed MAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MacSpec {
    /// Bridge.
    pub bridge: u32,
    /// The address.
    pub mac: Mac,
    /// A port or a VXLAN tunnel.
    pub next_hop: u64,
}

/// A programmed neighbour within a bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeighborSpec {
    /// Bridge.
    pub bridge: u32,
    /// The address.
    pub address: IpAddr,
    /// Its MAC.
    pub mac: Mac,
}

/// Where packets of a VNI belong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VniSpec {
    /// The network identifier.
    pub vni: Vni,
    /// Where to.
    pub target: VniTo,
    /// Name for people.
    pub name: Arc<str>,
}

/// Target of a VNI, by identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VniTo {
    /// A bridge.
    Bridge(u32),
    /// A VRF.
    Vrf(u32),
}

/// Where packets of a label belong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelSpec {
    /// The label.
    pub label: Label,
    /// Where to.
    pub target: LabelTo,
    /// Name for people.
    pub name: Arc<str>,
}

/// Target of a label, by identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelTo {
    /// A VRF.
    Vrf(u32),
    /// A next hop.
    NextHop(u64),
}

/// One change.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// Create or replace.
    Put(Object),
    /// Delete, if it is there.
    Delete(Key),
}

/// Any object.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // each variant is the type it holds
pub enum Object {
    Port(PortSpec),
    Vrf(VrfSpec),
    Bridge(BridgeSpec),
    NextHop(NextHopSpec),
    Route(RouteSpec),
    Mac(MacSpec),
    Neighbor(NeighborSpec),
    Vni(VniSpec),
    Label(LabelSpec),
}

/// What names an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // each variant is the key of the object of its name
pub enum Key {
    Port(u32),
    Vrf(u32),
    Bridge(u32),
    NextHop(u64),
    Route(RouteKey),
    Mac(u32, Mac),
    Neighbor(u32, IpAddr),
    Vni(Vni),
    Label(Label),
}
