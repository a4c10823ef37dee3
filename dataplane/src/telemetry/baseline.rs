//! Where the counters of each slot stood when the object that has it now was made.
//!
//! Workers count by slot and never set a counter back, so that counting needs no coordination. A slot is used again by other
//! objects: what it had counted before them is subtracted.

use std::sync::Arc;

use super::totals::{PortTotals, VrfTotals};
use crate::{
    pipeline::counters::Counters,
    tables::{
        Tables,
        cow::CowArray,
        slots::{PortSlot, VrfSlot},
    },
};

/// Baselines of all slots. A copy costs two pointers.
#[derive(Clone, Debug, Default)]
pub struct Baselines {
    ports: CowArray<Entry<PortTotals>>,
    vrfs: CowArray<Entry<VrfTotals>>,
}

/// Of a slot that was ever used.
#[derive(Clone, Debug)]
struct Entry<Totals> {
    /// The object that had it when we last looked.
    owner: u32,
    /// Absent for the first: it began with zero.
    before: Option<Arc<Totals>>,
}

impl Baselines {
    /// Looks which slots changed hands. To be called after each batch that was applied, before ports that it opened are given to
    /// workers. `counters`: of all workers.
    pub fn follow(&mut self, tables: &Tables, counters: &[Counters]) {
        let ports = tables
            .ports
            .iter()
            .filter_map(|(i, port)| Some((PortSlot::new(i)?, port.id)));
        for (slot, id) in ports {
            follow(&mut self.ports, slot.index(), id, || PortTotals::read(counters, slot));
        }
        let vrfs = tables
            .vrfs
            .iter()
            .filter_map(|(i, vrf)| Some((VrfSlot::new(i)?, vrf.id)));
        for (slot, id) in vrfs {
            follow(&mut self.vrfs, slot.index(), id, || VrfTotals::read(counters, slot));
        }
        leave(&mut self.ports, |index| tables.ports.get(index).is_some());
        leave(&mut self.vrfs, |index| tables.vrfs.get(index).is_some());
    }

    /// Slots of ports that were ever used.
    pub(super) fn port_slots(&self) -> impl Iterator<Item = PortSlot> + '_ {
        self.ports.iter().filter_map(|(index, _)| PortSlot::new(index))
    }

    /// What a port's slot has counted since the port was made.
    pub(super) fn port(&self, slot: PortSlot, now: PortTotals) -> PortTotals {
        let entry = self.ports.get(slot.index()).and_then(|entry| entry.before.as_deref());
        entry.map_or_else(|| now.clone(), |before| now.since(before))
    }

    /// What a VRF's slot has counted since the VRF was made.
    pub(super) fn vrf(&self, slot: VrfSlot, now: VrfTotals) -> VrfTotals {
        let entry = self.vrfs.get(slot.index()).and_then(|entry| entry.before.as_deref());
        entry.map_or_else(|| now.clone(), |before| now.since(before))
    }
}

/// No object has this identifier: the slot is free.
const NOBODY: u32 = 0;

fn follow<T: Clone>(entries: &mut CowArray<Entry<T>>, index: usize, owner: u32, read: impl FnOnce() -> T) {
    match entries.get(index) {
        Some(entry) if entry.owner == owner => {}
        Some(_) => {
            let before = Some(Arc::new(read()));
            entries.set(index, Entry { owner, before });
        }
        None => {
            entries.set(index, Entry { owner, before: None });
        }
    }
}

/// Notes which slots are free, so that the same object made again begins again.
fn leave<T: Clone>(entries: &mut CowArray<Entry<T>>, used: impl Fn(usize) -> bool) {
    let free = entries
        .iter()
        .filter(|(index, entry)| entry.owner != NOBODY && !used(*index));
    let free: Vec<_> = free.map(|(index, _)| index).collect();
    for index in free {
        if let Some(entry) = entries.get_mut(index) {
            entry.owner = NOBODY;
        }
    }
}
