//! Staging of services.

use std::{collections::HashSet, net::IpAddr, sync::Arc};

use super::{
    effects::Effects,
    object::{BackendSpec, ServiceSpec},
    owned,
    problem::Refusal,
    settle::Contested,
    state::{State, check_id},
};
use crate::tables::{
    service::{Backend, MAX_BACKENDS, Service, ServiceKey, ServiceParts},
    slots::VrfSlot,
};

pub(super) fn put(state: &mut State, effects: &mut Effects, spec: ServiceSpec) -> Result<(), Refusal> {
    check_id("service.id", spec.id.into())?;
    let before = state.services.get(&spec.id).cloned();
    if before.as_ref().is_some_and(|(old, _)| **old == spec) {
        return Ok(());
    }
    check(&spec)?;
    let vrf = state.vrf("service.vrf", spec.vrf)?;
    let key = ServiceKey {
        vrf,
        address: spec.address,
        protocol: spec.protocol,
        port: spec.port,
    };
    let backends = spec.backends.iter().map(|backend| stage(state, vrf, &spec, backend));
    let backends = backends.collect::<Result<Arc<[_]>, _>>()?;
    let slot = match &before {
        Some((_, old)) => old.slot,
        None => state
            .service_slots
            .take()
            .and_then(|slot| u16::try_from(slot).ok())
            .ok_or_else(|| {
                let limit = state.service_slots.limit();
                Refusal::exhausted("service", format!("all {limit} services are in use"))
            })?,
    };
    owned::add(state, effects, "service.address", vrf, spec.address)?;
    let parts = ServiceParts {
        id: spec.id,
        name: spec.name.clone(),
        slot,
        key,
        backends,
        client_affinity: spec.client_affinity,
        affinity_seconds: spec.affinity_seconds,
    };
    let old = before.as_ref().map(|(_, old)| &**old);
    // What was remembered of one address says nothing of another.
    let service = Service::new(parts, old.filter(|old| old.key == key));
    refer(state, effects, &service);
    if let Some((_, old)) = &before {
        forget(state, effects, old);
    }
    state.service_claims.add(key, spec.id);
    effects.contest(Contested::Service(key));
    effects.services.insert(slot, Some(spec.id));
    state.services.insert(spec.id, (Arc::new(spec), Arc::new(service)));
    Ok(())
}

pub(super) fn delete(state: &mut State, effects: &mut Effects, id: u32) {
    let Some((_, old)) = state.services.remove(&id) else {
        return;
    };
    forget(state, effects, &old);
    effects.services.insert(old.slot, None);
    state.service_slots.give(old.slot.into());
}

fn check(spec: &ServiceSpec) -> Result<(), Refusal> {
    if spec.backends.len() > MAX_BACKENDS {
        let message = format!("{} are too many; give at most {MAX_BACKENDS}", spec.backends.len());
        return Err(Refusal::invalid("service.backends", message));
    }
    let mut places: HashSet<(IpAddr, u16)> = HashSet::new();
    match spec.backends.iter().find(|b| !places.insert((b.address, b.port))) {
        Some(twice) => Err(Refusal::invalid(
            "service.backends.address",
            format!("{} is given twice with port {}", twice.address, twice.port),
        )),
        None => Ok(()),
    }
}

fn stage(state: &State, own: VrfSlot, service: &ServiceSpec, spec: &BackendSpec) -> Result<Backend, Refusal> {
    if spec.address.is_ipv4() != service.address.is_ipv4() {
        let message = format!("{} is not of the family of {}", spec.address, service.address);
        return Err(Refusal::invalid("service.backends.address", message));
    }
    let vrf = match spec.vrf {
        Some(id) => state.vrf("service.backends.vrf", id)?,
        None => own,
    };
    let port = if spec.port == 0 { service.port } else { spec.port };
    if vrf == own && (spec.address, port) == (service.address, service.port) {
        let message = format!("{} is the service itself; give the address of a workload", spec.address);
        return Err(Refusal::invalid("service.backends.address", message));
    }
    Ok(Backend {
        address: spec.address,
        port: spec.port,
        vrf,
        weight: spec.weight,
        draining: spec.draining,
        name: spec.name.clone(),
    })
}

/// Counts what a service refers to.
fn refer(state: &mut State, effects: &mut Effects, service: &Service) {
    state.vrf_uses.add(service.key.vrf.index());
    for backend in service.backends.iter() {
        state.vrf_uses.add(backend.vrf.index());
    }
    // Flows that the service sends elsewhere are decided anew after every batch; those that it may take over are of its VRF.
    effects.vrfs.insert(service.key.vrf);
}

fn forget(state: &mut State, effects: &mut Effects, service: &Service) {
    state.vrf_uses.remove(service.key.vrf.index());
    for backend in service.backends.iter() {
        state.vrf_uses.remove(backend.vrf.index());
    }
    effects.vrfs.insert(service.key.vrf);
    state.service_claims.remove(&service.key, service.id);
    owned::remove(state, effects, service.key.vrf, service.key.address);
}
