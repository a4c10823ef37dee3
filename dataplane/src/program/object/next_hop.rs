//! Next hops.

use std::{net::IpAddr, sync::Arc};

use crate::{tables::next_hop::Encapsulation, wire::Mac};

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
    /// Drop, and tell the sender that nobody has the address.
    Unreachable,
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
    /// Look up again in another VRF.
    Vrf {
        /// The VRF.
        vrf: u32,
        /// What has no translation goes on as it is.
        untranslated: bool,
    },
    /// Out by an uplink in the clear.
    Underlay {
        /// Router of the underlay; `None`: the destination is on the link.
        gateway: Option<IpAddr>,
    },
}
