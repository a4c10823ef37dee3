//! Staging of source translations.
//!
//! No VRF's decisions are put in question here: those that lead from one VRF into another are made anew after every batch that has
//! more in it than routes, identities and next hops.

use std::{collections::HashMap, sync::Arc};

use super::{
    effects::Effects,
    object::SourceNatSpec,
    owned,
    problem::{Problem, Refusal},
    settle::Contested,
    state::{State, check_id},
};
use crate::{
    tables::{
        slots::VrfSlot,
        source_nat::{Pool, PoolSpec, SourceNat},
    },
    wire::IpPrefix,
};

/// A source translation as it is staged.
#[derive(Clone, Debug)]
pub(super) struct Staged {
    pub(super) spec: Arc<SourceNatSpec>,
    pub(super) slot: u16,
    pub(super) inside: VrfSlot,
    pub(super) outside: VrfSlot,
}

/// What a translation's sources are told by: only one may be for the same.
pub(super) type Way = (VrfSlot, VrfSlot, IpPrefix);

pub(super) fn put(state: &mut State, effects: &mut Effects, spec: SourceNatSpec) -> Result<(), Refusal> {
    check_id("source_nat.id", spec.id.into())?;
    let before = state.source_nats.get(&spec.id).cloned();
    if before.as_ref().is_some_and(|old| *old.spec == spec) {
        return Ok(());
    }
    let inside = state.vrf("source_nat.inside", spec.inside)?;
    let outside = state.vrf("source_nat.outside", spec.outside)?;
    check(&spec)?;
    let slot = match &before {
        Some(old) => old.slot,
        None => state
            .source_nat_slots
            .take()
            .and_then(|slot| u16::try_from(slot).ok())
            .ok_or_else(|| {
                let limit = state.source_nat_slots.limit();
                Refusal::exhausted("source_nat", format!("all {limit} source translations are in use"))
            })?,
    };
    for address in spec.addresses.iter() {
        owned::add(state, effects, "source_nat.addresses", outside, *address)?;
        state.nat_addresses.add((outside, *address), spec.id);
        effects.contest(Contested::NatAddress(outside, *address));
    }
    for vrf in [inside, outside] {
        state.vrf_uses.add(vrf.index());
    }
    if let Some(old) = &before {
        forget(state, effects, old, Some(&spec));
    }
    let way = (inside, outside, spec.prefix);
    state.nat_ways.add(way, spec.id);
    effects.contest(Contested::NatWay(way));
    effects.source_nats.insert(slot, (Some(spec.id), effects.operation));
    let staged = Staged {
        spec: Arc::new(spec),
        slot,
        inside,
        outside,
    };
    state.source_nats.insert(staged.spec.id, staged);
    Ok(())
}

pub(super) fn delete(state: &mut State, effects: &mut Effects, id: u32) {
    let Some(old) = state.source_nats.remove(&id) else {
        return;
    };
    forget(state, effects, &old, None);
    effects.source_nats.insert(old.slot, (None, effects.operation));
    state.source_nat_slots.give(old.slot.into());
}

fn check(spec: &SourceNatSpec) -> Result<(), Refusal> {
    if spec.inside == spec.outside {
        let message = format!(
            "VRF {} is the inside, too: sources are translated between two VRFs",
            spec.outside
        );
        return Err(Refusal::invalid("source_nat.outside", message));
    }
    match spec.addresses.iter().find(|a| a.is_ipv4() != spec.prefix.is_v4()) {
        Some(address) => {
            let message = format!("{address} is not of the family of {}", spec.prefix);
            Err(Refusal::invalid("source_nat.addresses", message))
        }
        None => Ok(()),
    }
}

/// Takes back what a translation claims and refers to, but for what the new one in its place claims of the same.
fn forget(state: &mut State, effects: &mut Effects, old: &Staged, new: Option<&SourceNatSpec>) {
    for address in old.spec.addresses.iter() {
        owned::remove(state, effects, old.outside, *address);
        let kept = new.is_some_and(|new| new.outside == old.spec.outside && new.addresses.contains(address));
        if !kept {
            state.nat_addresses.remove(&(old.outside, *address), old.spec.id);
        }
    }
    for vrf in [old.inside, old.outside] {
        state.vrf_uses.remove(vrf.index());
    }
    state
        .nat_ways
        .remove(&(old.inside, old.outside, old.spec.prefix), old.spec.id);
}

/// Puts the translations that a batch has touched where workers find them.
///
/// # Errors
/// When a pool cannot be made.
pub(super) fn place(state: &mut State, effects: &mut Effects) -> Result<(), Problem> {
    let mut touched: Vec<_> = effects.source_nats.drain().collect();
    touched.sort_unstable();
    // Ports that flows hold stay theirs as long as the pool is to be what it was.
    let mut pools: HashMap<u16, (VrfSlot, VrfSlot, Arc<Pool>)> = HashMap::new();
    for (slot, _) in &touched {
        if let Some(old) = state.tables.remove_source_nat(*slot) {
            pools.insert(*slot, (old.inside, old.outside, old.pool.clone()));
        }
    }
    for (slot, (id, operation)) in touched {
        let Some(staged) = id.and_then(|id| state.source_nats.get(&id)).cloned() else {
            continue;
        };
        let pool_spec = pool_spec(&staged.spec);
        let (inside, outside) = (staged.inside, staged.outside);
        let kept = pools
            .remove(&slot)
            .filter(|(from, to, pool)| (*from, *to) == (inside, outside) && *pool.spec() == pool_spec);
        let pool = match kept {
            Some((_, _, pool)) => Ok(pool),
            None => state.tables.pool_for(slot, inside, outside, &pool_spec),
        };
        let pool = pool.map_err(|error| Refusal::invalid("source_nat", error.to_string()).at(operation))?;
        state.tables.put_source_nat(Arc::new(SourceNat {
            id: staged.spec.id,
            name: staged.spec.name.clone(),
            slot,
            inside,
            outside,
            prefix: staged.spec.prefix,
            pool,
        }));
    }
    Ok(())
}

/// What a translation has to give out, as in force.
pub(super) fn pool_spec(spec: &SourceNatSpec) -> PoolSpec {
    if spec.is_one_to_one() {
        return spec.addresses.first().map_or_else(
            || PoolSpec::blocks(Arc::from([])),
            |address| PoolSpec::one_to_one(*address),
        );
    }
    let default = PoolSpec::blocks(spec.addresses.clone());
    let or = |value, default| if value == 0 { default } else { value };
    let ports = match (spec.first_port, spec.last_port) {
        (0, 0) => (default.first_port, default.last_port),
        ports => ports,
    };
    PoolSpec {
        first_port: ports.0,
        last_port: ports.1,
        block_size: or(spec.block_size, default.block_size),
        blocks_per_source: or(spec.blocks_per_source, default.blocks_per_source),
        ..default
    }
}
