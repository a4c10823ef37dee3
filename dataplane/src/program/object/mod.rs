//! The objects that a client programs, checked: what the tables are made from, and what a dump shows.
//!
//! Identifiers are the client's. References between objects are by identifier, and hold at every moment: what refers to an
//! object comes after it, and goes before it.

mod address;
mod forwarding;
mod health;
mod next_hop;
mod policy;
mod port;
mod route;

use std::net::IpAddr;

pub use address::{BackendSpec, ServiceSpec, SourceNatSpec};
pub use forwarding::{BridgeSpec, LabelSpec, LabelTo, MacSpec, NeighborSpec, VniSpec, VniTo, VrfSpec};
pub use health::{HEALTH_INTERVAL_MS, HEALTH_TIMEOUT_MS, HealthCheckSpec, HealthKind};
pub use next_hop::{ActionSpec, NextHopSpec};
pub use policy::{IdentitySpec, PolicySpec, RuleSpec, TrafficMatch, Verdict};
pub use port::{Attachment, GuardSpec, Mode, PortSpec, QosSpec, Rate};
pub use route::{RouteKey, RouteSpec};

pub use crate::tables::mirror::{MirrorMatch, MirrorSpec};
use crate::wire::{IpPrefix, Label, Mac, Vni};

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
    Identity(IdentitySpec),
    Policy(PolicySpec),
    SourceNat(SourceNatSpec),
    Service(ServiceSpec),
    Mirror(MirrorSpec),
    HealthCheck(HealthCheckSpec),
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
    Identity(u32, IpPrefix),
    Policy(u32),
    SourceNat(u32),
    Service(u32),
    Mirror(u32),
    HealthCheck(u32),
}
