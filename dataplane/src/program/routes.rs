//! Staging of routes: offers of sources, of which the best is in the table.

use std::{net::IpAddr, sync::Arc};

use super::{
    effects::Effects,
    object::{RouteKey, RouteSpec},
    problem::Refusal,
    state::State,
};
use crate::{
    tables::{
        forwarding::Vrf,
        lpm::{ArenaFull, LpmWriter, Prefix},
        next_hop::Action,
        route::{MAX_SOURCE, RouteValue},
        slots::VrfSlot,
    },
    wire::IpPrefix,
};

pub(super) fn put(
    state: &mut State,
    writer: &mut LpmWriter,
    effects: &mut Effects,
    spec: &RouteSpec,
) -> Result<(), Refusal> {
    let vrf = state.vrf("route.vrf", spec.vrf)?;
    let next_hop = state.next_hop("route.next_hop", spec.next_hop)?;
    for (field, value) in [("route.source", spec.source), ("route.preference", spec.preference)] {
        if value > MAX_SOURCE {
            return Err(Refusal::invalid(
                field,
                format!("{value} is not between 0 and {MAX_SOURCE}"),
            ));
        }
    }
    if let Some(Action::Flood(_)) = state.tables.next_hop(next_hop).map(|n| &n.action) {
        let message = format!("next hop {} floods: routes lead to one place", spec.next_hop);
        return Err(Refusal::invalid("route.next_hop", message));
    }
    if let Some(Action::Tunnel(tunnel)) = state.tables.next_hop(next_hop).map(|n| &n.action)
        && tunnel.encapsulation.is_for_mirrors()
    {
        let message = format!(
            "next hop {} carries copies that mirrors make, and nothing else",
            spec.next_hop
        );
        return Err(Refusal::invalid("route.next_hop", message));
    }
    let offer = RouteValue::new(next_hop, spec.source, spec.preference);
    let mut offers = offers(state, writer, vrf, spec.prefix);
    state.next_hop_uses.add(next_hop.index());
    match offers.iter_mut().find(|o| o.source() == spec.source) {
        Some(place) => {
            let old = std::mem::replace(place, offer);
            state.next_hop_uses.remove(old.next_hop().index());
        }
        None => {
            offers.push(offer);
            state.vrf_uses.add(vrf.index());
            state.route_count += 1;
        }
    }
    store(state, writer, effects, vrf, spec.prefix, offers)
}

pub(super) fn delete(
    state: &mut State,
    writer: &mut LpmWriter,
    effects: &mut Effects,
    key: &RouteKey,
) -> Result<(), Refusal> {
    let Some((vrf, _)) = state.vrfs.get(&key.vrf).cloned() else {
        return Ok(());
    };
    let mut offers = offers(state, writer, vrf, key.prefix);
    let Some(place) = offers.iter().position(|o| o.source() == key.source) else {
        return Ok(());
    };
    let old = offers.swap_remove(place);
    state.next_hop_uses.remove(old.next_hop().index());
    state.vrf_uses.remove(vrf.index());
    state.route_count -= 1;
    store(state, writer, effects, vrf, key.prefix, offers)
}

/// All offers of a prefix, the one in the table first.
pub(super) fn offers(state: &State, writer: &LpmWriter, slot: VrfSlot, prefix: IpPrefix) -> Vec<RouteValue> {
    let Some(vrf) = state.tables.vrf(slot) else {
        return Vec::new();
    };
    let arena = writer.arena();
    let best = match prefix.addr() {
        IpAddr::V4(a) => Prefix::containing(a.to_bits(), prefix.prefix_len())
            .ok()
            .and_then(|p| arena.get(vrf.v4, p)),
        IpAddr::V6(a) => Prefix::containing(a.to_bits(), prefix.prefix_len())
            .ok()
            .and_then(|p| arena.get(vrf.v6, p)),
    };
    let others = state.other_routes.get(&(slot, prefix)).map_or(&[][..], |o| o);
    best.map(RouteValue::from_raw)
        .into_iter()
        .chain(others.iter().copied())
        .collect()
}

/// Puts the best offer into the table and the others beside it.
fn store(
    state: &mut State,
    writer: &mut LpmWriter,
    effects: &mut Effects,
    slot: VrfSlot,
    prefix: IpPrefix,
    mut offers: Vec<RouteValue>,
) -> Result<(), Refusal> {
    offers.sort_by_key(|o| (o.preference(), o.source()));
    let best = offers.first().copied();
    if let Some(vrf) = state.tables.vrfs.get_mut(slot.index()) {
        let old = write(writer, vrf, prefix, best).map_err(|error| Refusal::exhausted("route", error.to_string()))?;
        if old != best {
            effects.vrfs.insert(slot);
        }
    }
    if offers.len() > 1 {
        let others: Arc<[_]> = offers.drain(1..).collect();
        state.other_routes.insert((slot, prefix), others);
    } else {
        state.other_routes.remove(&(slot, prefix));
    }
    Ok(())
}

/// Writes one prefix of a VRF; gives what was there.
fn write(
    writer: &mut LpmWriter,
    vrf: &mut Vrf,
    prefix: IpPrefix,
    value: Option<RouteValue>,
) -> Result<Option<RouteValue>, ArenaFull> {
    let len = prefix.prefix_len();
    let old = match prefix.addr() {
        IpAddr::V4(a) => match (Prefix::containing(a.to_bits(), len), value) {
            (Ok(p), Some(value)) => writer.insert(&mut vrf.v4, p, value.raw()),
            (Ok(p), None) => writer.remove(&mut vrf.v4, p),
            // An IpPrefix is never longer than its family's addresses.
            (Err(_), _) => Ok(None),
        },
        IpAddr::V6(a) => match (Prefix::containing(a.to_bits(), len), value) {
            (Ok(p), Some(value)) => writer.insert(&mut vrf.v6, p, value.raw()),
            (Ok(p), None) => writer.remove(&mut vrf.v6, p),
            (Err(_), _) => Ok(None),
        },
    };
    old.map(|raw| raw.map(RouteValue::from_raw))
}
