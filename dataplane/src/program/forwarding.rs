//! Staging of VRFs, bridges, programmed MACs and neighbours, VNIs and labels.

use std::sync::Arc;

use super::{
    effects::Effects,
    object::{BridgeSpec, LabelSpec, LabelTo, MacSpec, NeighborSpec, VniSpec, VniTo, VrfSpec},
    problem::Refusal,
    settle::Contested,
    state::{State, check_id},
};
use crate::{
    tables::{
        forwarding::{Bridge, Vrf},
        lpm::{Root, Root4, Root6},
        next_hop::{Action, Encapsulation, LabelTarget, VniTarget},
        slots::{BridgeSlot, NextHopSlot, VrfSlot},
    },
    wire::{Label, Mac, Vni},
};

/// Seconds until an unseen MAC is forgotten, unless said otherwise (IEEE 802.1Q, 8.8.3).
const DEFAULT_AGING: u32 = 300;

pub(super) fn put_vrf(state: &mut State, effects: &mut Effects, spec: VrfSpec) -> Result<(), Refusal> {
    check_id("vrf.id", spec.id.into())?;
    let was_underlay = state.vrfs.get(&spec.id).is_some_and(|(_, old)| old.underlay);
    if spec.underlay != was_underlay {
        effects.contest(Contested::Underlay);
    }
    let slot = match state.vrfs.get(&spec.id) {
        Some((slot, _)) => {
            let slot = *slot;
            if let Some(vrf) = state.tables.vrfs.get_mut(slot.index()) {
                vrf.name = spec.name.clone();
            }
            slot
        }
        None => {
            let taken = state.vrf_slots.take().and_then(VrfSlot::new);
            let slot = taken
                .ok_or_else(|| Refusal::exhausted("vrf", format!("all {} VRFs are in use", state.vrf_slots.limit())))?;
            let (id, name) = (spec.id, spec.name.clone());
            // Epochs go on where the slot's last user left them: nothing decided then may look current now.
            let epoch = state.vrf_epochs.count(slot.index()) + 1;
            let (v4, v6): (Root4, Root6) = (Root::EMPTY, Root::EMPTY);
            state.tables.vrfs.set(
                slot.index(),
                Vrf {
                    id,
                    name,
                    epoch,
                    v4,
                    v6,
                    identities4: Root::EMPTY,
                    identities6: Root::EMPTY,
                    gateway4: None,
                    gateway6: None,
                },
            );
            slot
        }
    };
    state.vrfs.insert(spec.id, (slot, Arc::new(spec)));
    Ok(())
}

pub(super) fn delete_vrf(state: &mut State, effects: &mut Effects, id: u32) -> Result<(), Refusal> {
    let Some((slot, spec)) = state.vrfs.get(&id).cloned() else {
        return Ok(());
    };
    let uses = state.vrf_uses.count(slot.index());
    if uses > 0 {
        let message = format!(
            "{uses} ports, bridges, routes, next hops, VNIs, labels, identities, source translations, services or health \
             checks refer to VRF {id} ({}); delete them first",
            spec.name
        );
        return Err(Refusal::in_use("vrf", message));
    }
    if let Some(vrf) = state.tables.vrfs.remove(slot.index()) {
        state.vrf_epochs.raise(slot.index(), vrf.epoch);
    }
    if spec.underlay {
        effects.contest(Contested::Underlay);
    }
    state.vrfs.remove(&id);
    state.vrf_slots.give(slot.index());
    Ok(())
}

pub(super) fn put_bridge(state: &mut State, effects: &mut Effects, spec: BridgeSpec) -> Result<(), Refusal> {
    check_id("bridge.id", spec.id.into())?;
    if spec.gateway_mac.is_multicast() || spec.gateway_mac == Mac::ZERO {
        let message = format!("{} is not the address of one station", spec.gateway_mac);
        return Err(Refusal::invalid("bridge.gateway_mac", message));
    }
    let vrf = spec.vrf.map(|id| state.vrf("bridge.vrf", id)).transpose()?;
    let flood = spec.flood.map(|id| state.next_hop("bridge.flood", id)).transpose()?;
    if let Some(flood) = flood
        && !matches!(state.tables.next_hop(flood).map(|n| &n.action), Some(Action::Flood(_)))
    {
        let message = format!("next hop {} is not of kind flood", spec.flood.unwrap_or(0));
        return Err(Refusal::invalid("bridge.flood", message));
    }
    let before = state.bridges.get(&spec.id).map(|(slot, _)| *slot);
    let slot = match before {
        Some(slot) => slot,
        None => {
            let taken = state.bridge_slots.take().and_then(BridgeSlot::new);
            taken.ok_or_else(|| {
                Refusal::exhausted(
                    "bridge",
                    format!("all {} bridges are in use", state.bridge_slots.limit()),
                )
            })?
        }
    };
    let ports = state
        .tables
        .bridge(slot)
        .map_or_else(|| Arc::from([]), |b| b.ports.clone());
    let bridge = Bridge {
        id: spec.id,
        name: spec.name.clone(),
        vrf,
        gateway_mac: spec.gateway_mac,
        gateways: spec.gateways.clone(),
        learn: spec.learn,
        aging_seconds: if spec.aging_seconds == 0 {
            DEFAULT_AGING
        } else {
            spec.aging_seconds
        },
        flood,
        ports,
    };
    if let Some(slot) = vrf {
        state.vrf_uses.add(slot.index());
        if let Some(vrf) = state.tables.vrfs.get_mut(slot.index()) {
            vrf.note_gateways((bridge.gateway(false), bridge.gateway(true)));
        }
    }
    if let Some(flood) = flood {
        state.next_hop_uses.add(flood.index());
    }
    if let Some(old) = state.tables.bridges.set(slot.index(), bridge) {
        forget_references(state, &old);
        effects.everywhere = true;
    }
    state.bridges.insert(spec.id, (slot, Arc::new(spec)));
    Ok(())
}

pub(super) fn delete_bridge(state: &mut State, effects: &mut Effects, id: u32) -> Result<(), Refusal> {
    let Some((slot, spec)) = state.bridges.get(&id).cloned() else {
        return Ok(());
    };
    let uses = state.bridge_uses.count(slot.index());
    if uses > 0 {
        let message = format!(
            "{uses} ports, MACs, neighbors or VNIs refer to bridge {id} ({}); delete them first",
            spec.name
        );
        return Err(Refusal::in_use("bridge", message));
    }
    if let Some(old) = state.tables.bridges.remove(slot.index()) {
        forget_references(state, &old);
    }
    state.bridges.remove(&id);
    state.bridge_slots.give(slot.index());
    effects.unbridged.push(slot);
    Ok(())
}

fn forget_references(state: &mut State, bridge: &Bridge) {
    if let Some(vrf) = bridge.vrf {
        state.vrf_uses.remove(vrf.index());
    }
    if let Some(flood) = bridge.flood {
        state.next_hop_uses.remove(flood.index());
    }
}

pub(super) fn put_mac(state: &mut State, spec: MacSpec) -> Result<(), Refusal> {
    let bridge = state.bridge("mac.bridge", spec.bridge)?;
    if spec.mac.is_multicast() || spec.mac == Mac::ZERO {
        return Err(Refusal::invalid(
            "mac.mac",
            format!("{} is not the address of one station", spec.mac),
        ));
    }
    let next_hop = state.next_hop("mac.next_hop", spec.next_hop)?;
    if !carries_frames(state, next_hop) {
        let message = format!("next hop {} is neither a port nor a VXLAN tunnel", spec.next_hop);
        return Err(Refusal::invalid("mac.next_hop", message));
    }
    state.next_hop_uses.add(next_hop.index());
    match state.tables.macs.insert((bridge, spec.mac), next_hop) {
        Some(old) => state.next_hop_uses.remove(old.index()),
        None => state.bridge_uses.add(bridge.index()),
    }
    Ok(())
}

pub(super) fn delete_mac(state: &mut State, bridge: u32, mac: Mac) {
    let Some((slot, _)) = state.bridges.get(&bridge).cloned() else {
        return;
    };
    if let Some(old) = state.tables.macs.remove(&(slot, mac)) {
        state.next_hop_uses.remove(old.index());
        state.bridge_uses.remove(slot.index());
    }
}

/// A next hop that can carry whole frames.
pub(super) fn carries_frames(state: &State, next_hop: NextHopSlot) -> bool {
    match state.tables.next_hop(next_hop).map(|n| &n.action) {
        Some(Action::Port(_)) => true,
        Some(Action::Tunnel(tunnel)) => matches!(tunnel.encapsulation, Encapsulation::Vxlan { .. }),
        _ => false,
    }
}

pub(super) fn put_neighbor(state: &mut State, spec: &NeighborSpec) -> Result<(), Refusal> {
    if spec.bridge == 0 {
        return Err(Refusal::invalid(
            "neighbor.bridge",
            "neighbors of the underlay are found by the router itself",
        ));
    }
    let bridge = state.bridge("neighbor.bridge", spec.bridge)?;
    if spec.mac.is_multicast() || spec.mac == Mac::ZERO {
        return Err(Refusal::invalid(
            "neighbor.mac",
            format!("{} is not the address of one station", spec.mac),
        ));
    }
    if state
        .tables
        .neighbors
        .insert((bridge, spec.address), spec.mac)
        .is_none()
    {
        state.bridge_uses.add(bridge.index());
    }
    Ok(())
}

pub(super) fn delete_neighbor(state: &mut State, bridge: u32, address: std::net::IpAddr) {
    let Some((slot, _)) = state.bridges.get(&bridge).cloned() else {
        return;
    };
    if state.tables.neighbors.remove(&(slot, address)).is_some() {
        state.bridge_uses.remove(slot.index());
    }
}

pub(super) fn put_vni(state: &mut State, spec: VniSpec) -> Result<(), Refusal> {
    let target = match spec.target {
        VniTo::Bridge(id) => VniTarget::Bridge(state.bridge("vni.bridge", id)?),
        VniTo::Vrf(id) => VniTarget::Vrf(state.vrf("vni.vrf", id)?),
    };
    match target {
        VniTarget::Bridge(slot) => state.bridge_uses.add(slot.index()),
        VniTarget::Vrf(slot) => state.vrf_uses.add(slot.index()),
    }
    let vni = spec.vni;
    state.vnis.insert(vni, Arc::new(spec));
    if let Some(old) = state.tables.vnis.insert(vni.get(), target) {
        forget_vni(state, old);
    }
    Ok(())
}

pub(super) fn delete_vni(state: &mut State, vni: Vni) {
    state.vnis.remove(&vni);
    if let Some(old) = state.tables.vnis.remove(&vni.get()) {
        forget_vni(state, old);
    }
}

fn forget_vni(state: &mut State, target: VniTarget) {
    match target {
        VniTarget::Bridge(slot) => state.bridge_uses.remove(slot.index()),
        VniTarget::Vrf(slot) => state.vrf_uses.remove(slot.index()),
    }
}

pub(super) fn put_label(state: &mut State, spec: LabelSpec) -> Result<(), Refusal> {
    if spec.label.is_reserved() {
        let message = format!("label {} is reserved (RFC 7274); use 16 or more", spec.label.get());
        return Err(Refusal::invalid("label.label", message));
    }
    let target = match spec.target {
        LabelTo::Vrf(id) => LabelTarget::Vrf(state.vrf("label.vrf", id)?),
        LabelTo::NextHop(id) => {
            let slot = state.next_hop("label.next_hop", id)?;
            if !matches!(state.tables.next_hop(slot).map(|n| &n.action), Some(Action::Port(_))) {
                let message = format!("next hop {id} does not lead to a port");
                return Err(Refusal::invalid("label.next_hop", message));
            }
            LabelTarget::NextHop(slot)
        }
    };
    match target {
        LabelTarget::NextHop(slot) => state.next_hop_uses.add(slot.index()),
        LabelTarget::Vrf(slot) => state.vrf_uses.add(slot.index()),
    }
    let label = spec.label;
    state.labels.insert(label, Arc::new(spec));
    if let Some(old) = state.tables.labels.insert(label.get(), target) {
        forget_label(state, old);
    }
    Ok(())
}

pub(super) fn delete_label(state: &mut State, label: Label) {
    state.labels.remove(&label);
    if let Some(old) = state.tables.labels.remove(&label.get()) {
        forget_label(state, old);
    }
}

fn forget_label(state: &mut State, target: LabelTarget) {
    match target {
        LabelTarget::NextHop(slot) => state.next_hop_uses.remove(slot.index()),
        LabelTarget::Vrf(slot) => state.vrf_uses.remove(slot.index()),
    }
}
