//! What the pipeline knows of a port.

use std::{net::IpAddr, sync::Arc};

use super::{
    guard::Guard,
    mirror::Mirror,
    policy::Policy,
    qos::Qos,
    slots::{BridgeSlot, VrfSlot},
};
use crate::wire::Mac;

/// An address of the router with the length of its subnet's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// The router's address.
    pub address: IpAddr,
    /// Length of the subnet's prefix, bits.
    pub prefix_len: u8,
}

/// What is behind a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// A workload, routed: whatever it sends goes to the router.
    Routed {
        /// Its VRF.
        vrf: VrfSlot,
    },
    /// A workload in a broadcast domain.
    Bridged {
        /// Its bridge.
        bridge: BridgeSlot,
    },
    /// The underlay: tunnels to other nodes.
    Uplink,
}

/// A port as workers see it.
#[derive(Clone, Debug)]
pub struct Port {
    /// The client's identifier.
    pub id: u32,
    /// Name for people.
    pub name: Arc<str>,
    /// What is behind it.
    pub role: Role,
    /// The workload's MAC address; on an uplink, the interface's own.
    pub mac: Mac,
    /// The router's addresses that this port's workload may use.
    pub gateways: Arc<[Gateway]>,
    /// Largest IP packet that may leave by this port, bytes.
    pub mtu: u16,
    /// Workers that own a queue of this port, one bit each. None: the port is not open.
    pub workers: u64,
    /// What the workload may claim to be. `None`: anything.
    pub guard: Option<Arc<Guard>>,
    /// Limits and marks. `None`: none.
    pub qos: Option<Arc<Qos>>,
    /// Mirrors that get copies of its packets, at most [`MAX_MIRRORS`](super::mirror::MAX_MIRRORS).
    pub mirrors: Arc<[Arc<Mirror>]>,
    /// Who may talk to the workload, and to whom it may talk. `None`: all is allowed.
    pub policy: Option<Arc<Policy>>,
}

/// From this MTU on, a workload's port is one for large packets: TCP segments are cut and joined for it, so that its stack handles few.
pub const WHOLE_MTU: u16 = 16_384;

impl Port {
    /// Its workload sends and takes packets of many segments at a time.
    #[inline]
    pub fn carries_whole(&self) -> bool {
        self.mtu >= WHOLE_MTU && !matches!(self.role, Role::Uplink)
    }

    /// The worker that should send a packet by this port: the asking one if it owns a queue, else the first that does.
    #[inline]
    pub fn sender(&self, asking: usize) -> Option<usize> {
        if self.workers & (1 << asking) != 0 {
            return Some(asking);
        }
        (self.workers != 0).then(|| self.workers.trailing_zeros() as usize)
    }

    /// The router's address of the given family on this port.
    pub fn gateway(&self, v6: bool) -> Option<IpAddr> {
        gateway_of(&self.gateways, v6)
    }
}

/// The first gateway address of the given family.
pub fn gateway_of(gateways: &[Gateway], v6: bool) -> Option<IpAddr> {
    gateways.iter().map(|g| g.address).find(|a| a.is_ipv6() == v6)
}
