//! Where packets are looked up: VRFs and bridges, what is programmed in bridges, and what arrives in tunnels.

use std::{net::IpAddr, sync::Arc};

use crate::{
    tables::port::Gateway,
    wire::{Label, Mac, Vni},
};

/// A VRF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VrfSpec {
    /// Identifier, not 0.
    pub id: u32,
    /// Name for people.
    pub name: Arc<str>,
    /// Here is looked up what comes in by an uplink in the clear for an address that this node owns. At most one VRF is.
    pub underlay: bool,
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
