//! Addresses behind which there are others: services, and translation of sources.

use std::{net::IpAddr, sync::Arc};

use crate::wire::IpPrefix;

/// How sources are translated on the way from one VRF to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceNatSpec {
    /// Identifier, not 0.
    pub id: u32,
    /// Name for people.
    pub name: Arc<str>,
    /// VRF that packets come from.
    pub inside: u32,
    /// VRF that they go to.
    pub outside: u32,
    /// Sources that this is for; the longest prefix wins.
    pub prefix: IpPrefix,
    /// Addresses to translate to, of the family of the prefix.
    pub addresses: Arc<[IpAddr]>,
    /// First port to use; 0 in both: 1024 to 65535.
    pub first_port: u16,
    /// Last port to use.
    pub last_port: u16,
    /// Ports per block, a power of two; 0: 64.
    pub block_size: u16,
    /// Blocks that one source may own; 0: 16.
    pub blocks_per_source: u16,
}

impl SourceNatSpec {
    /// One address for one: ports are kept, and packets may begin from outside.
    pub fn is_one_to_one(&self) -> bool {
        self.prefix.is_host() && self.addresses.len() == 1
    }
}

/// An address and port with others behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceSpec {
    /// Identifier, not 0.
    pub id: u32,
    /// Name for people.
    pub name: Arc<str>,
    /// VRF whose packets see it.
    pub vrf: u32,
    /// Its address.
    pub address: IpAddr,
    /// IP protocol; 0: all, ports kept.
    pub protocol: u8,
    /// Port; 0 where the protocol is.
    pub port: u16,
    /// Those behind it. None: refused.
    pub backends: Arc<[BackendSpec]>,
    /// A client address keeps its backend.
    pub client_affinity: bool,
    /// Seconds that a client address is remembered beyond its last flow; 0: not at all.
    pub affinity_seconds: u32,
}

/// One of those behind a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendSpec {
    /// Its address, of the service's family.
    pub address: IpAddr,
    /// Its port; 0: as the client said.
    pub port: u16,
    /// VRF that its address is looked up in; `None`: the service's.
    pub vrf: Option<u32>,
    /// Its share; 0 is 1.
    pub weight: u8,
    /// It keeps its flows and gets no new ones.
    pub draining: bool,
    /// Name for people.
    pub name: Arc<str>,
}
