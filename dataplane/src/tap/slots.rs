//! Which ports and VRFs a capture is about, as sets of slots that may change while workers ask.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::tables::slots::{PortSlot, VrfSlot};

/// Words of a set: a bit for each slot there can be.
const WORDS: usize = (PortSlot::MAX.index() + 1) / 64;

/// A set of slots.
#[derive(Debug)]
struct Slots(Box<[AtomicU64]>);

impl Slots {
    fn none() -> Self {
        Self((0..WORDS).map(|_| AtomicU64::new(0)).collect())
    }

    #[inline]
    fn contains(&self, slot: usize) -> bool {
        self.0
            .get(slot / 64)
            .is_some_and(|word| word.load(Ordering::Relaxed) >> (slot % 64) & 1 != 0)
    }

    /// Becomes the set of these. Whoever asks meanwhile gets the old answer or the new one, slot by slot.
    fn set(&self, slots: impl Iterator<Item = usize>) {
        let mut words = vec![0_u64; WORDS];
        for slot in slots {
            if let Some(word) = words.get_mut(slot / 64) {
                *word |= 1 << (slot % 64);
            }
        }
        for (word, value) in self.0.iter().zip(words) {
            word.store(value, Ordering::Relaxed);
        }
    }
}

/// Ports and VRFs: a packet is meant if its port is among the ports or its VRF among the VRFs; or any packet.
#[derive(Debug)]
pub struct Selection {
    all: AtomicBool,
    ports: Slots,
    vrfs: Slots,
}

impl Selection {
    /// Everything.
    pub fn all() -> Self {
        Self {
            all: AtomicBool::new(true),
            ports: Slots::none(),
            vrfs: Slots::none(),
        }
    }

    /// Becomes these ports and VRFs only.
    pub fn set(&self, ports: impl Iterator<Item = PortSlot>, vrfs: impl Iterator<Item = VrfSlot>) {
        self.ports.set(ports.map(PortSlot::index));
        self.vrfs.set(vrfs.map(VrfSlot::index));
        self.all.store(false, Ordering::Release);
    }

    /// A packet of this port and VRF is meant.
    #[inline]
    pub(super) fn has(&self, port: PortSlot, vrf: Option<VrfSlot>) -> bool {
        self.all.load(Ordering::Acquire)
            || self.ports.contains(port.index())
            || vrf.is_some_and(|vrf| self.vrfs.contains(vrf.index()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_meant_by_its_port_or_by_its_vrf() {
        let (port, vrf) = (PortSlot::from_raw, VrfSlot::from_raw);
        let selection = Selection::all();
        assert!(selection.has(port(7), None));
        selection.set([port(7), PortSlot::MAX].into_iter(), [vrf(64)].into_iter());
        assert!(selection.has(port(7), None));
        assert!(selection.has(PortSlot::MAX, Some(vrf(1))));
        assert!(selection.has(port(8), Some(vrf(64))));
        assert!(!selection.has(port(8), Some(vrf(7))));
        assert!(!selection.has(port(71), None));
        selection.set([port(8)].into_iter(), std::iter::empty());
        assert!(!selection.has(port(7), Some(vrf(64))));
        assert!(selection.has(port(8), None));
    }
}
