//! What one worker has counted, per port and per VRF.
//!
//! Each worker writes its own block, with plain stores; readers add the blocks up whenever they like. A counter never goes
//! back: when a slot is reused, readers subtract what they saw when the new object was made.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{
    packet::DropReason,
    tables::slots::{PortSlot, VrfSlot},
};

/// A counter with one writer.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds. Only for the owner: two adders at once lose counts.
    #[inline]
    pub fn add(&self, count: u64) {
        self.0
            .store(self.0.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
    }

    /// Says how many there are now, of what comes and goes. Only for the owner.
    #[inline]
    pub fn set(&self, count: u64) {
        self.0.store(count, Ordering::Relaxed);
    }

    /// The count so far.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A count for each drop reason.
#[derive(Debug)]
pub struct Drops([Counter; DropReason::COUNT]);

impl Default for Drops {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Counter::default()))
    }
}

impl Drops {
    /// Counts one drop.
    #[inline]
    pub fn count(&self, reason: DropReason) {
        self.0[reason as usize].add(1);
    }

    /// Drops so far for this reason.
    pub fn get(&self, reason: DropReason) -> u64 {
        self.0[reason as usize].get()
    }

    /// All drops so far.
    pub fn total(&self) -> u64 {
        self.0.iter().map(Counter::get).sum()
    }
}

/// Counts of one port.
#[derive(Debug, Default)]
pub struct PortCounters {
    /// Packets received.
    pub rx_packets: Counter,
    /// Bytes received, from the Ethernet header on.
    pub rx_bytes: Counter,
    /// Packets sent.
    pub tx_packets: Counter,
    /// Bytes sent, from the Ethernet header on.
    pub tx_bytes: Counter,
    /// Packets that came in by this port and were dropped; for reasons of transmission: that were to go out by it.
    pub drops: Drops,
}

/// Counts of one VRF.
#[derive(Debug, Default)]
pub struct VrfCounters {
    /// Packets looked up.
    pub packets: Counter,
    /// Bytes of these, from the IP header on.
    pub bytes: Counter,
    /// Packets dropped after they were known to belong to this VRF.
    pub drops: Drops,
}

/// All counters of one worker.
#[derive(Debug)]
pub struct Counters {
    ports: Box<[PortCounters]>,
    vrfs: Box<[VrfCounters]>,
    /// Frames the router made itself: answers, errors, copies for flooding, fragments.
    pub originated: Counter,
    /// Flows made.
    pub flows_created: Counter,
    /// Flows that ended: idle, or removed.
    pub flows_expired: Counter,
    /// Flows that ended to make room for others of their port.
    pub flows_evicted: Counter,
    /// Packets forwarded without a flow entry.
    pub uncached: Counter,
    /// First packets dropped because there was no room for a flow that they need.
    pub flows_refused: Counter,
    /// Packets that went on as fragments, each counted as originated.
    pub fragmented: Counter,
    /// TCP packets that went on as smaller segments, each counted as originated.
    pub segmented: Counter,
    /// Frames that went out as part of another, larger one.
    pub coalesced: Counter,
    /// ICMP errors that were due and not sent: beyond the rate limit, or no frame was free.
    pub errors_withheld: Counter,
    /// Copies that mirrors made.
    pub mirrored: Counter,
    /// Copies that mirrors could not make: no frame was free.
    pub mirror_lost: Counter,
    /// Datagrams whose fragments are known now.
    pub fragment_datagrams: Counter,
    /// Fragments held now, for a head that has not come.
    pub fragments_held: Counter,
    /// Datagrams in fragments so far.
    pub fragments_tracked: Counter,
    /// Packets held back now by limits.
    pub shaped: Counter,
    /// Packets handed to the control side (ARP and ND of the underlay).
    pub punted: Counter,
}

impl Counters {
    /// Room for this many slots of each kind.
    pub fn new(ports: usize, vrfs: usize) -> Self {
        Self {
            ports: (0..ports.max(1)).map(|_| PortCounters::default()).collect(),
            vrfs: (0..vrfs.max(1)).map(|_| VrfCounters::default()).collect(),
            originated: Counter::default(),
            flows_created: Counter::default(),
            flows_expired: Counter::default(),
            flows_evicted: Counter::default(),
            uncached: Counter::default(),
            flows_refused: Counter::default(),
            fragmented: Counter::default(),
            segmented: Counter::default(),
            coalesced: Counter::default(),
            errors_withheld: Counter::default(),
            mirrored: Counter::default(),
            mirror_lost: Counter::default(),
            fragment_datagrams: Counter::default(),
            fragments_held: Counter::default(),
            fragments_tracked: Counter::default(),
            shaped: Counter::default(),
            punted: Counter::default(),
        }
    }

    /// Counters of a port. Slots beyond the room (which `program` never gives out) share the last.
    #[inline]
    pub fn port(&self, slot: PortSlot) -> &PortCounters {
        &self.ports[slot.index().min(self.ports.len() - 1)]
    }

    /// Counters of a VRF. Slots beyond the room (which `program` never gives out) share the last.
    #[inline]
    pub fn vrf(&self, slot: VrfSlot) -> &VrfCounters {
        &self.vrfs[slot.index().min(self.vrfs.len() - 1)]
    }
}
