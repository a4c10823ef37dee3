//! VRFs and bridges: where a packet is looked up.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use super::{
    lpm::{Root4, Root6},
    port::{Gateway, gateway_of},
    slots::{NextHopSlot, PortSlot, VrfSlot},
};
use crate::wire::Mac;

/// A routing table.
#[derive(Clone, Debug)]
pub struct Vrf {
    /// The client's identifier.
    pub id: u32,
    /// Name for people.
    pub name: Arc<str>,
    /// Changes whenever a decision made in this VRF may no longer hold.
    pub epoch: u32,
    /// IPv4 routes.
    pub v4: Root4,
    /// IPv6 routes.
    pub v6: Root6,
    /// Whom IPv4 addresses belong to: places in [`Tables::group_sets`](super::Tables::group_sets).
    pub identities4: Root4,
    /// Whom IPv6 addresses belong to.
    pub identities6: Root6,
    /// An IPv4 address of the router in this VRF, to speak from.
    pub gateway4: Option<Ipv4Addr>,
    /// An IPv6 address of the router in this VRF, to speak from.
    pub gateway6: Option<Ipv6Addr>,
}

impl Vrf {
    /// Takes addresses to speak from, IPv4 and IPv6, where it has none yet.
    pub fn note_gateways(&mut self, (v4, v6): (Option<IpAddr>, Option<IpAddr>)) {
        if let (None, Some(IpAddr::V4(address))) = (self.gateway4, v4) {
            self.gateway4 = Some(address);
        }
        if let (None, Some(IpAddr::V6(address))) = (self.gateway6, v6) {
            self.gateway6 = Some(address);
        }
    }
}

/// A broadcast domain.
#[derive(Clone, Debug)]
pub struct Bridge {
    /// The client's identifier.
    pub id: u32,
    /// Name for people.
    pub name: Arc<str>,
    /// Routes what is sent to the gateway's MAC.
    pub vrf: Option<VrfSlot>,
    /// The gateway's MAC within this bridge.
    pub gateway_mac: Mac,
    /// The gateway's addresses.
    pub gateways: Arc<[Gateway]>,
    /// Learn source MACs.
    pub learn: bool,
    /// Seconds after which an unseen learned MAC is forgotten.
    pub aging_seconds: u32,
    /// Where broadcast and unknown destinations go besides local ports.
    pub flood: Option<NextHopSlot>,
    /// Ports of this bridge on this node.
    pub ports: Arc<[PortSlot]>,
}

impl Bridge {
    /// The gateway's address of the given family.
    pub fn gateway(&self, v6: bool) -> Option<IpAddr> {
        gateway_of(&self.gateways, v6)
    }

    /// The address is a gateway's.
    pub fn is_gateway(&self, address: IpAddr) -> bool {
        self.gateways.iter().any(|g| g.address == address)
    }
}
