//! Ports, and what is asked of their workloads.

use std::sync::Arc;

pub use crate::tables::{
    guard::GuardSpec,
    qos::{QosSpec, Rate},
};
use crate::{tables::port::Gateway, wire::Mac};

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
    /// A packet socket behind receive offloads. Uplinks only.
    Packet,
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
    /// Policy of the workload; `None`: all is allowed.
    pub policy: Option<u32>,
    /// What the workload may claim to be; `None`: anything.
    pub guard: Option<Arc<GuardSpec>>,
    /// Limits and marks.
    pub qos: Option<QosSpec>,
    /// Mirrors that get copies of its packets.
    pub mirrors: Arc<[u32]>,
}

/// Where a port's packets are looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attachment {
    /// Routed in this VRF.
    Vrf(u32),
    /// Switched in this bridge.
    Bridge(u32),
}
