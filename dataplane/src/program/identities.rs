//! Staging of identities: the groups of addresses, in the same memory as routes.

use std::{net::IpAddr, sync::Arc};

use super::{
    effects::Effects,
    object::IdentitySpec,
    problem::Refusal,
    slots::SlotPool,
    state::{Map, State},
};
use crate::{
    tables::{
        forwarding::Vrf,
        lpm::{ArenaFull, LpmWriter, Prefix},
        slots::VrfSlot,
    },
    wire::IpPrefix,
};

/// Most different sets of groups.
const MAX_SETS: usize = 1 << 24;

/// Sets of groups, each kept once: how often it is used, and where it is in the tables.
#[derive(Clone, Debug)]
pub(super) struct GroupSets {
    places: Map<Arc<[u32]>, (u32, u32)>,
    slots: SlotPool,
}

impl Default for GroupSets {
    fn default() -> Self {
        Self {
            places: Map::default(),
            slots: SlotPool::new(MAX_SETS),
        }
    }
}

/// Counts one more use of a set of groups. Gives its place.
fn take(state: &mut State, groups: &Arc<[u32]>) -> Result<u32, Refusal> {
    if let Some((place, uses)) = state.group_sets.places.get_mut(groups) {
        *uses += 1;
        return Ok(*place);
    }
    let place = state
        .group_sets
        .slots
        .take_densely()
        .and_then(|place| u32::try_from(place).ok());
    let place = place.ok_or_else(|| {
        Refusal::exhausted(
            "identity.groups",
            format!("all {MAX_SETS} different sets of groups are in use"),
        )
    })?;
    state.group_sets.places.insert(groups.clone(), (place, 1));
    state.tables.group_sets.set(place as usize, groups.clone());
    Ok(place)
}

/// Takes back one use of the set at a place.
fn give(state: &mut State, place: u32) {
    let Some(groups) = state.tables.group_sets.get(place as usize).cloned() else {
        return;
    };
    let Some((_, uses)) = state.group_sets.places.get_mut(&groups) else {
        return;
    };
    *uses = uses.saturating_sub(1);
    if *uses == 0 {
        state.group_sets.places.remove(&groups);
        state.tables.group_sets.remove(place as usize);
        state.group_sets.slots.give(place as usize);
    }
}

pub(super) fn put(
    state: &mut State,
    writer: &mut LpmWriter,
    effects: &mut Effects,
    spec: &IdentitySpec,
) -> Result<(), Refusal> {
    let vrf = state.vrf("identity.vrf", spec.vrf)?;
    if !spec.groups.is_sorted_by(|a, b| a < b) {
        let message = "groups are to be in ascending order, each once";
        return Err(Refusal::invalid("identity.groups", message));
    }
    let place = take(state, &spec.groups)?;
    let old = write(state, writer, vrf, spec.prefix, Some(place))?;
    match old {
        Some(old) => give(state, old),
        None => state.vrf_uses.add(vrf.index()),
    }
    if old != Some(place) {
        effects.vrfs.insert(vrf);
    }
    Ok(())
}

pub(super) fn delete(
    state: &mut State,
    writer: &mut LpmWriter,
    effects: &mut Effects,
    vrf: u32,
    prefix: IpPrefix,
) -> Result<(), Refusal> {
    let Some((vrf, _)) = state.vrfs.get(&vrf).cloned() else {
        return Ok(());
    };
    if let Some(old) = write(state, writer, vrf, prefix, None)? {
        give(state, old);
        state.vrf_uses.remove(vrf.index());
        effects.vrfs.insert(vrf);
    }
    Ok(())
}

/// Writes the place of a prefix's groups; gives what was there.
fn write(
    state: &mut State,
    writer: &mut LpmWriter,
    slot: VrfSlot,
    prefix: IpPrefix,
    value: Option<u32>,
) -> Result<Option<u32>, Refusal> {
    let Some(vrf) = state.tables.vrfs.get_mut(slot.index()) else {
        return Ok(None);
    };
    change(writer, vrf, prefix, value).map_err(|error| Refusal::exhausted("identity", error.to_string()))
}

fn change(
    writer: &mut LpmWriter,
    vrf: &mut Vrf,
    prefix: IpPrefix,
    value: Option<u32>,
) -> Result<Option<u32>, ArenaFull> {
    let len = prefix.prefix_len();
    match prefix.addr() {
        IpAddr::V4(a) => match (Prefix::containing(a.to_bits(), len), value) {
            (Ok(p), Some(value)) => writer.insert(&mut vrf.identities4, p, value),
            (Ok(p), None) => writer.remove(&mut vrf.identities4, p),
            // An IpPrefix is never longer than its family's addresses.
            (Err(_), _) => Ok(None),
        },
        IpAddr::V6(a) => match (Prefix::containing(a.to_bits(), len), value) {
            (Ok(p), Some(value)) => writer.insert(&mut vrf.identities6, p, value),
            (Ok(p), None) => writer.remove(&mut vrf.identities6, p),
            (Err(_), _) => Ok(None),
        },
    }
}
