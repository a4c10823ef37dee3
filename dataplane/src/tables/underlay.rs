//! The underlay, for packets that cross it in the clear.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use super::slots::PortSlot;
use crate::wire::Mac;

/// A neighbour of the underlay that packets in the clear are sent to.
#[derive(Clone, Debug)]
pub enum UnderlayNeighbor {
    /// It is reached so.
    Reached(UnderlayPath),
    /// It was asked for and does not answer.
    Silent,
}

/// How a packet in the clear reaches a neighbour of the underlay.
#[derive(Clone, Debug)]
pub struct UnderlayPath {
    /// The uplink.
    pub port: PortSlot,
    /// The neighbour's MAC.
    pub mac: Mac,
    /// The uplink's own MAC.
    pub source_mac: Mac,
    /// Largest IP packet, bytes.
    pub mtu: u16,
    /// Second of the workers' clock in which a packet was last sent to it: shared by all revisions.
    pub used: Arc<AtomicU32>,
}

impl UnderlayPath {
    /// Notes that a packet was sent in this second. Writes only once a second, so that workers do not contend.
    #[inline]
    pub fn touch(&self, second: u32) {
        if self.used.load(Ordering::Relaxed) != second {
            self.used.store(second, Ordering::Relaxed);
        }
    }
}
