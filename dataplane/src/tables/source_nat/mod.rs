//! How sources are translated on the way from one VRF to another.
//!
//! One address for one (a floating address's way out), or many sources behind few addresses, whose ports are given out by [`Pool`]s.
//! Which port a flow gets is decided here; that no two flows have the same answers' key is the flow table's law; rewriting packets is the
//! pipeline's business.

mod blocks;
mod free;
mod pool;
mod sources;
#[cfg(test)]
#[cfg(not(vrouter_loom))]
mod tests;

use std::{net::IpAddr, sync::Arc};

pub use self::pool::{
    BadPool, Exhausted, MAX_ADDRESSES, MAX_ATTEMPTS, MAX_BLOCKS_PER_SOURCE, Pool, PoolSpec, PoolStatistics,
};
use super::{Tables, slots::VrfSlot, snapshot::Map};
use crate::wire::IpPrefix;

/// How the sources of a prefix are translated on the way from one VRF to another.
#[derive(Clone, Debug)]
pub struct SourceNat {
    /// The client's identifier.
    pub id: u32,
    /// Name for people.
    pub name: Arc<str>,
    /// Its slot, as flows know it.
    pub slot: u16,
    /// VRF that packets come from.
    pub inside: VrfSlot,
    /// VRF that they go to.
    pub outside: VrfSlot,
    /// Sources that this is for.
    pub prefix: IpPrefix,
    /// What gives out addresses and ports. Kept as long as its [spec](Pool::spec) stays what it is: flows hold ports of it.
    pub pool: Arc<Pool>,
}

/// All translations from one VRF to another.
#[derive(Clone, Debug, Default)]
pub struct SourceNats {
    /// Those for one address.
    hosts: Map<IpAddr, Arc<SourceNat>>,
    /// The others, longest prefix first.
    prefixes: Arc<[Arc<SourceNat>]>,
}

impl SourceNats {
    /// The translation of a source: that of the longest prefix that contains it.
    #[inline]
    pub fn find(&self, source: IpAddr) -> Option<&Arc<SourceNat>> {
        let host = if self.hosts.is_empty() {
            None
        } else {
            self.hosts.get(&source)
        };
        host.or_else(|| self.prefixes.iter().find(|nat| nat.prefix.contains(source)))
    }

    /// Adds one, in place of one with the same prefix.
    pub fn insert(&mut self, nat: Arc<SourceNat>) {
        self.remove(nat.prefix);
        if nat.prefix.is_host() {
            self.hosts.insert(nat.prefix.addr(), nat);
            return;
        }
        let length = nat.prefix.prefix_len();
        let at = self
            .prefixes
            .partition_point(|other| other.prefix.prefix_len() >= length);
        let (longer, shorter) = self.prefixes.split_at(at);
        self.prefixes = longer
            .iter()
            .cloned()
            .chain([nat])
            .chain(shorter.iter().cloned())
            .collect();
    }

    /// Takes out the one with this prefix.
    pub fn remove(&mut self, prefix: IpPrefix) {
        if prefix.is_host() {
            self.hosts.remove(&prefix.addr());
        } else if self.prefixes.iter().any(|nat| nat.prefix == prefix) {
            let others = self.prefixes.iter().filter(|nat| nat.prefix != prefix);
            self.prefixes = others.cloned().collect();
        }
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty() && self.prefixes.is_empty()
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<SourceNat>> {
        self.hosts.values().chain(self.prefixes.iter())
    }
}

impl Tables {
    /// How a source is translated on its way from one VRF to another.
    #[inline]
    pub fn source_nat_for(&self, inside: VrfSlot, outside: VrfSlot, source: IpAddr) -> Option<&Arc<SourceNat>> {
        self.source_nats.get(&(inside, outside))?.find(source)
    }

    /// The translation at a slot.
    #[inline]
    pub fn source_nat(&self, slot: u16) -> Option<&Arc<SourceNat>> {
        self.source_nat_slots.get(usize::from(slot))
    }

    /// Adds a translation, or replaces the one at its slot. Another between the same VRFs must not have its prefix.
    pub fn put_source_nat(&mut self, nat: Arc<SourceNat>) {
        self.remove_source_nat(nat.slot);
        let all = self.source_nats.entry((nat.inside, nat.outside)).or_default();
        Arc::make_mut(all).insert(nat.clone());
        self.source_nat_slots.set(usize::from(nat.slot), nat);
    }

    /// Takes out the translation at a slot.
    pub fn remove_source_nat(&mut self, slot: u16) -> Option<Arc<SourceNat>> {
        let nat = self.source_nat_slots.remove(usize::from(slot))?;
        let between = (nat.inside, nat.outside);
        if let Some(all) = self.source_nats.get_mut(&between) {
            let all = Arc::make_mut(all);
            all.remove(nat.prefix);
            if all.is_empty() {
                self.source_nats.remove(&between);
            }
        }
        Some(nat)
    }

    /// The pool for the translation at a slot: the one it has, if it is still to be what it was. Translations into the same VRF that name the very
    /// same addresses and ports share what there is to give out, so that no two of them give the same port to different sources.
    ///
    /// # Errors
    /// Why the spec makes no pool.
    pub fn pool_for(
        &self,
        slot: u16,
        inside: VrfSlot,
        outside: VrfSlot,
        spec: &PoolSpec,
    ) -> Result<Arc<Pool>, BadPool> {
        let alike = |nat: &Arc<SourceNat>| nat.outside == outside && nat.pool.spec() == spec;
        if let Some(nat) = self.source_nat(slot).filter(|nat| nat.inside == inside && alike(nat)) {
            return Ok(nat.pool.clone());
        }
        let mut others = self.source_nat_slots.iter().map(|(_, nat)| nat);
        match others.find(|nat| !spec.one_to_one && alike(nat)) {
            Some(nat) => Ok(Arc::new(nat.pool.beside(inside))),
            None => Ok(Arc::new(Pool::new(spec, inside)?)),
        }
    }
}
