//! The underlay, for packets that cross it in the clear.

use super::slots::PortSlot;
use crate::wire::Mac;

/// How a packet in the clear reaches a neighbour of the underlay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnderlayPath {
    /// The uplink.
    pub port: PortSlot,
    /// The neighbour's MAC.
    pub mac: Mac,
    /// The uplink's own MAC.
    pub source_mac: Mac,
    /// Largest IP packet, bytes.
    pub mtu: u16,
}
