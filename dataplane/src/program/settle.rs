//! The end of a batch: what can be judged, and made, only when all of it is staged.

use std::{net::IpAddr, sync::Arc};

use super::{
    effects::Effects,
    owned,
    problem::{Problem, Refusal},
    source_nats::{self, Way, pool_spec},
    state::State,
};
use crate::tables::{mirror::Mirror, port::Role, service::ServiceKey, slots::VrfSlot, source_nat::PoolSpec};

/// What several may claim while a batch is staged, and one at most at its end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Contested {
    /// To be the VRF of the underlay.
    Underlay,
    /// What is sent to an address and port.
    Service(ServiceKey),
    /// Sources between two VRFs.
    NatWay(Way),
    /// Ports of an address, by source translations to a VRF.
    NatAddress(VrfSlot, IpAddr),
}

/// Judges what the batch has touched, and brings up to date what is made from several objects.
///
/// # Errors
/// When several objects claim what only one may have.
pub(super) fn settle(state: &mut State, effects: &mut Effects) -> Result<(), Problem> {
    let mut contested: Vec<_> = effects.contested.drain().collect();
    contested.sort_by_key(|(_, operation)| *operation);
    for (what, operation) in contested {
        let judged = match what {
            Contested::Underlay => underlay(state, effects),
            Contested::Service(key) => service(state, &key),
            Contested::NatWay(way) => nat_way(state, &way),
            Contested::NatAddress(outside, address) => nat_address(state, outside, address),
        };
        judged.map_err(|refusal| refusal.at(operation))?;
    }
    source_nats::place(state, effects)?;
    place_services(state, effects);
    refresh_ports(state, effects);
    Ok(())
}

fn service(state: &State, key: &ServiceKey) -> Result<(), Refusal> {
    let [one, other, ..] = state.service_claims.of(key) else {
        return Ok(());
    };
    let name = |id| state.services.get(id).map_or("", |(spec, _)| &*spec.name);
    let what = match key.protocol {
        0 => format!("all that is sent to {}", key.address),
        protocol => format!("port {} of {} (protocol {protocol})", key.port, key.address),
    };
    let message = format!(
        "{what} would belong to service {one} ({}) and to service {other} ({}): one can have it in a VRF",
        name(one),
        name(other)
    );
    Err(Refusal::in_use("service.address", message))
}

fn nat_name<'a>(state: &'a State, id: &u32) -> &'a str {
    state.source_nats.get(id).map_or("", |staged| &*staged.spec.name)
}

fn nat_way(state: &State, way: &Way) -> Result<(), Refusal> {
    let [one, other, ..] = state.nat_ways.of(way) else {
        return Ok(());
    };
    let message = format!(
        "source translations {one} ({}) and {other} ({}) would both be for {} between the same VRFs: one can be",
        nat_name(state, one),
        nat_name(state, other),
        way.2
    );
    Err(Refusal::in_use("source_nat.prefix", message))
}

/// An address belongs to one source, or to translations that share all they give out, or to some with other ports each.
fn nat_address(state: &State, outside: VrfSlot, address: IpAddr) -> Result<(), Refusal> {
    // Many translations share one pool: only what differs is held against each other.
    let mut pools: Vec<(u32, PoolSpec)> = Vec::new();
    for id in state.nat_addresses.of(&(outside, address)) {
        let Some(staged) = state.source_nats.get(id) else {
            continue;
        };
        let spec = pool_spec(&staged.spec);
        if !spec.one_to_one && pools.iter().any(|(_, other)| *other == spec) {
            continue;
        }
        for (other, before) in &pools {
            let apart = !spec.one_to_one
                && !before.one_to_one
                && (spec.last_port < before.first_port || before.last_port < spec.first_port);
            if !apart {
                let message = format!(
                    "source translations {other} ({}) and {id} ({}) would both give out the same ports of {address}: give them other \
                     addresses or ports, or the very same addresses, ports and block size to share",
                    nat_name(state, other),
                    nat_name(state, id)
                );
                return Err(Refusal::in_use("source_nat.addresses", message));
            }
        }
        pools.push((*id, spec));
    }
    Ok(())
}

/// Puts the services that a batch has touched where workers find them: all are out before one is in, for they may have taken over from each
/// other.
fn place_services(state: &mut State, effects: &mut Effects) {
    for slot in effects.services.keys() {
        state.tables.remove_service(*slot);
    }
    for id in effects.services.drain().filter_map(|(_, id)| id) {
        if let Some((_, service)) = state.services.get(&id) {
            state.tables.put_service(service.clone());
        }
    }
}

fn underlay(state: &mut State, effects: &mut Effects) -> Result<(), Refusal> {
    let mut claiming = state.vrfs.values().filter(|(_, spec)| spec.underlay);
    let first = claiming.next().cloned();
    let second = claiming.next().cloned();
    drop(claiming);
    if let (Some((_, one)), Some((_, other))) = (&first, &second) {
        let (one, other) = if one.id < other.id { (one, other) } else { (other, one) };
        let message = format!(
            "VRF {} ({}) and VRF {} ({}) would both be the underlay's: one VRF can be",
            one.id, one.name, other.id, other.name
        );
        return Err(Refusal::in_use("vrf.underlay", message));
    }
    owned::set_underlay(state, effects, first.map(|(slot, _)| slot))
}

/// Gives ports what has changed of the objects that they name.
fn refresh_ports(state: &mut State, effects: &mut Effects) {
    if effects.mirrors.is_empty() && effects.policies.is_empty() {
        return;
    }
    for (slot, spec) in state.ports.values() {
        let mirrored = spec.mirrors.iter().any(|mirror| effects.mirrors.contains(mirror));
        let ruled = spec.policy.filter(|policy| effects.policies.contains(policy));
        if !mirrored && ruled.is_none() {
            continue;
        }
        let Some(port) = state.tables.ports.get_mut(slot.index()) else {
            continue;
        };
        if mirrored {
            let named = spec.mirrors.iter().filter_map(|id| state.mirrors.get(id));
            port.mirrors = named.map(|(_, mirror)| mirror.clone()).collect::<Arc<[Arc<Mirror>]>>();
        }
        if let Some((_, policy)) = ruled.and_then(|id| state.policies.get(&id)) {
            port.policy = Some(policy.clone());
            // Flows between VRFs are decided anew after every batch with a policy in it; those within one are of the workload's.
            effects.vrfs.extend(match port.role {
                Role::Routed { vrf } => Some(vrf),
                Role::Bridged { bridge } => state.tables.bridges.get(bridge.index()).and_then(|bridge| bridge.vrf),
                Role::Uplink => None,
            });
        }
    }
}
