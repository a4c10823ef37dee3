//! Counts of one port or VRF, added up over workers.

use crate::{
    packet::DropReason,
    pipeline::counters::{Counters, Drops},
    tables::slots::{PortSlot, VrfSlot},
};

/// Drops by reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropTotals([u64; DropReason::COUNT]);

impl Default for DropTotals {
    fn default() -> Self {
        Self([0; DropReason::COUNT])
    }
}

impl DropTotals {
    /// Every reason with its count.
    pub fn iter(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL.iter().copied().zip(self.0)
    }

    /// Drops for this reason.
    pub fn get(&self, reason: DropReason) -> u64 {
        self.0[reason as usize]
    }

    /// All drops.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    fn add(&mut self, drops: &Drops) {
        for (total, reason) in self.0.iter_mut().zip(DropReason::ALL) {
            *total = total.wrapping_add(drops.get(*reason));
        }
    }

    /// Adds others.
    pub fn merge(&mut self, other: &Self) {
        for (total, more) in self.0.iter_mut().zip(other.0) {
            *total = total.wrapping_add(more);
        }
    }

    fn since(&self, before: &Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i].saturating_sub(before.0[i])))
    }
}

/// Counts of one port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortTotals {
    /// Packets received.
    pub rx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Drops.
    pub drops: DropTotals,
}

impl PortTotals {
    /// Of all workers.
    pub(super) fn read(counters: &[Counters], slot: PortSlot) -> Self {
        let mut totals = Self::default();
        for port in counters.iter().map(|worker| worker.port(slot)) {
            totals.rx_packets += port.rx_packets.get();
            totals.rx_bytes += port.rx_bytes.get();
            totals.tx_packets += port.tx_packets.get();
            totals.tx_bytes += port.tx_bytes.get();
            totals.drops.add(&port.drops);
        }
        totals
    }

    /// Adds another port's.
    pub(super) fn add(&mut self, other: &Self) {
        self.rx_packets += other.rx_packets;
        self.rx_bytes += other.rx_bytes;
        self.tx_packets += other.tx_packets;
        self.tx_bytes += other.tx_bytes;
        self.drops.merge(&other.drops);
    }

    /// What was counted after `before`.
    pub(super) fn since(&self, before: &Self) -> Self {
        Self {
            rx_packets: self.rx_packets.saturating_sub(before.rx_packets),
            rx_bytes: self.rx_bytes.saturating_sub(before.rx_bytes),
            tx_packets: self.tx_packets.saturating_sub(before.tx_packets),
            tx_bytes: self.tx_bytes.saturating_sub(before.tx_bytes),
            drops: self.drops.since(&before.drops),
        }
    }
}

/// Counts of one VRF.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VrfTotals {
    /// Packets looked up.
    pub packets: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// Drops.
    pub drops: DropTotals,
}

impl VrfTotals {
    /// Of all workers.
    pub(super) fn read(counters: &[Counters], slot: VrfSlot) -> Self {
        let mut totals = Self::default();
        for vrf in counters.iter().map(|worker| worker.vrf(slot)) {
            totals.packets += vrf.packets.get();
            totals.bytes += vrf.bytes.get();
            totals.drops.add(&vrf.drops);
        }
        totals
    }

    /// What was counted after `before`.
    pub(super) fn since(&self, before: &Self) -> Self {
        Self {
            packets: self.packets.saturating_sub(before.packets),
            bytes: self.bytes.saturating_sub(before.bytes),
            drops: self.drops.since(&before.drops),
        }
    }
}
