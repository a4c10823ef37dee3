//! Staging of next hops.

use std::{net::IpAddr, sync::Arc};

use super::{
    effects::Effects,
    forwarding::carries_frames,
    object::{ActionSpec, NextHopSpec},
    problem::Refusal,
    state::{State, check_id},
};
use crate::{
    tables::{
        next_hop::{Action, Encapsulation, GroupHop, NextHop, PortHop, TunnelHop},
        slots::{NextHopSlot, PortSlot},
    },
    wire::Mac,
};

/// Most members of a group or flood.
const MAX_MEMBERS: usize = 16_384;

pub(super) fn put(state: &mut State, effects: &mut Effects, spec: NextHopSpec) -> Result<(), Refusal> {
    check_id("next_hop.id", spec.id)?;
    let before = state.next_hops.get(&spec.id).cloned();
    if let Some((slot, old)) = &before {
        check_change(state, *slot, old, &spec)?;
    }
    let action = stage(state, &spec)?;
    let slot = match &before {
        Some((slot, _)) => *slot,
        None => state.next_hop_slots.take().and_then(NextHopSlot::new).ok_or_else(|| {
            Refusal::exhausted(
                "next_hop",
                format!("all {} next hops are in use", state.next_hop_slots.limit()),
            )
        })?,
    };
    for used in references(&action) {
        state.next_hop_uses.add(used.index());
    }
    match &action {
        Action::Port(hop) => state.port_uses.add(hop.port.index()),
        Action::Vrf { vrf, .. } => state.vrf_uses.add(vrf.index()),
        _ => {}
    }
    let (tunnel, gateway) = (tunnel_of(&action), gateway_of(&action));
    if let Some(old) = state.tables.next_hops.set(
        slot.index(),
        NextHop {
            id: spec.id,
            name: spec.name.clone(),
            action,
        },
    ) {
        forget_references(state, effects, slot, &old);
        effects.everywhere = true;
    }
    if let Some((remote, vni)) = tunnel {
        add_tunnel(state, effects, slot, remote, vni);
    }
    if let Some(gateway) = gateway {
        effects.gateways.push(gateway);
        let mut slots = state
            .gateways
            .get(&gateway)
            .map_or_else(Vec::new, |slots| slots.to_vec());
        slots.push(slot);
        state.gateways.insert(gateway, slots.into());
    }
    state.next_hops.insert(spec.id, (slot, Arc::new(spec)));
    Ok(())
}

pub(super) fn delete(state: &mut State, effects: &mut Effects, id: u64) -> Result<(), Refusal> {
    let Some((slot, spec)) = state.next_hops.get(&id).cloned() else {
        return Ok(());
    };
    let uses = state.next_hop_uses.count(slot.index());
    if uses > 0 {
        let message = format!(
            "{uses} routes, MACs, labels, bridges, groups, floods or mirrors refer to next hop {id} ({}); delete them first",
            spec.name
        );
        return Err(Refusal::in_use("next_hop", message));
    }
    if let Some(old) = state.tables.next_hops.remove(slot.index()) {
        forget_references(state, effects, slot, &old);
    }
    state.next_hops.remove(&id);
    state.next_hop_slots.give(slot.index());
    effects.forgotten.push(slot);
    effects.everywhere = true;
    Ok(())
}

/// What others rely on when they refer to a next hop must not change under them.
fn check_change(state: &State, slot: NextHopSlot, old: &NextHopSpec, new: &NextHopSpec) -> Result<(), Refusal> {
    let same = std::mem::discriminant(&old.action) == std::mem::discriminant(&new.action);
    // What carries only copies and what carries packets never become each other, either.
    let for_mirrors = |spec: &NextHopSpec| match &spec.action {
        ActionSpec::Tunnel { encapsulation, .. } => encapsulation.is_for_mirrors(),
        _ => false,
    };
    let uses = state.next_hop_uses.count(slot.index());
    if uses == 0 || same && for_mirrors(old) == for_mirrors(new) {
        return Ok(());
    }
    let message = format!(
        "{uses} objects refer to next hop {}: its kind cannot change; make another",
        new.id
    );
    Err(Refusal::in_use("next_hop.action", message))
}

fn stage(state: &State, spec: &NextHopSpec) -> Result<Action, Refusal> {
    Ok(match &spec.action {
        ActionSpec::Drop => Action::Drop,
        ActionSpec::Unreachable => Action::Unreachable,
        ActionSpec::Local => Action::Local,
        ActionSpec::Port { port, mac } => {
            let port: PortSlot = state.port("next_hop.to_port.port", *port)?;
            if mac.is_some_and(Mac::is_multicast) {
                return Err(Refusal::invalid(
                    "next_hop.to_port.mac",
                    "not the address of one station",
                ));
            }
            Action::Port(PortHop { port, mac: *mac })
        }
        ActionSpec::Tunnel { remote, encapsulation } => {
            check_remote(state, *remote)?;
            let detail = Arc::from("not resolved yet");
            Action::Tunnel(Arc::new(TunnelHop {
                remote: *remote,
                encapsulation: *encapsulation,
                path: None,
                detail,
            }))
        }
        ActionSpec::Group(members) => {
            check_count(members.len())?;
            let members = members
                .iter()
                .map(|(id, weight)| {
                    let slot = member(state, spec.id, *id)?;
                    if *weight == 0 {
                        return Err(Refusal::invalid(
                            "next_hop.group.members.weight",
                            "0 is no weight; use 1 to 255",
                        ));
                    }
                    Ok((slot, *id, *weight))
                })
                .collect::<Result<Vec<_>, _>>()?;
            let group = GroupHop::new(&members);
            Action::Group(Arc::new(
                group.ok_or_else(|| Refusal::invalid("next_hop.group", "a group needs a member"))?,
            ))
        }
        ActionSpec::Flood(members) => {
            check_count(members.len())?;
            let members = members
                .iter()
                .map(|id| {
                    let slot = member(state, spec.id, *id)?;
                    if carries_frames(state, slot) {
                        return Ok(slot);
                    }
                    let message = format!("next hop {id} is neither a port nor a VXLAN tunnel");
                    Err(Refusal::invalid("next_hop.flood.next_hops", message))
                })
                .collect::<Result<Arc<[_]>, _>>()?;
            Action::Flood(members)
        }
        ActionSpec::Vrf { vrf, untranslated } => Action::Vrf {
            vrf: state.vrf("next_hop.vrf.vrf", *vrf)?,
            untranslated: *untranslated,
        },
        ActionSpec::Underlay { gateway } => {
            if let Some(gateway) = *gateway {
                check_gateway(state, gateway)?;
            }
            Action::Underlay { gateway: *gateway }
        }
    })
}

fn check_remote(state: &State, remote: IpAddr) -> Result<(), Refusal> {
    let field = "next_hop.tunnel.remote";
    if remote.is_unspecified() || remote.is_multicast() || remote.is_loopback() {
        return Err(Refusal::invalid(
            field,
            format!("{remote} is not the address of another node"),
        ));
    }
    let own = match remote {
        IpAddr::V4(remote) => state.tables.vtep4.map(|own| own == remote),
        IpAddr::V6(remote) => state.tables.vtep6.map(|own| own == remote),
    };
    match own {
        Some(false) => Ok(()),
        Some(true) => Err(Refusal::invalid(
            field,
            format!("{remote} is this node's own tunnel address"),
        )),
        None => {
            let family = if remote.is_ipv6() { "IPv6" } else { "IPv4" };
            Err(Refusal::invalid(
                field,
                format!("this node has no {family} tunnel address to reach {remote} from"),
            ))
        }
    }
}

fn check_gateway(state: &State, gateway: IpAddr) -> Result<(), Refusal> {
    let field = "next_hop.underlay.gateway";
    if gateway.is_unspecified() || gateway.is_multicast() || gateway.is_loopback() {
        let message = format!("{gateway} is not the address of a router");
        return Err(Refusal::invalid(field, message));
    }
    let own = match gateway {
        IpAddr::V4(gateway) => state.tables.vtep4 == Some(gateway),
        IpAddr::V6(gateway) => state.tables.vtep6 == Some(gateway),
    };
    if own {
        let message = format!("{gateway} is this node's own tunnel address; give that of another router");
        return Err(Refusal::invalid(field, message));
    }
    Ok(())
}

fn check_count(members: usize) -> Result<(), Refusal> {
    if members > MAX_MEMBERS {
        return Err(Refusal::exhausted(
            "next_hop",
            format!("{members} members are more than {MAX_MEMBERS}"),
        ));
    }
    Ok(())
}

/// A member of a group or flood: anything that is an end of the way, and not several.
fn member(state: &State, of: u64, id: u64) -> Result<NextHopSlot, Refusal> {
    let slot = state.next_hop("next_hop.members", id)?;
    match state.tables.next_hop(slot).map(|n| &n.action) {
        Some(Action::Group(_) | Action::Flood(_)) => {
            let message = format!("next hop {id} is itself a group or flood, and {of} would nest it");
            Err(Refusal::invalid("next_hop.members", message))
        }
        Some(Action::Vrf { .. }) => {
            let message = format!("next hop {id} leads on into a VRF: members say where packets leave");
            Err(Refusal::invalid("next_hop.members", message))
        }
        Some(Action::Tunnel(tunnel)) if tunnel.encapsulation.is_for_mirrors() => {
            let message = format!("next hop {id} carries copies that mirrors make, and nothing else");
            Err(Refusal::invalid("next_hop.members", message))
        }
        _ => Ok(slot),
    }
}

fn references(action: &Action) -> Vec<NextHopSlot> {
    match action {
        Action::Group(group) => group.members.iter().map(|(slot, _)| *slot).collect(),
        Action::Flood(members) => members.to_vec(),
        _ => Vec::new(),
    }
}

fn tunnel_of(action: &Action) -> Option<(IpAddr, Option<u32>)> {
    let Action::Tunnel(tunnel) = action else { return None };
    let vni = match tunnel.encapsulation {
        Encapsulation::Vxlan { vni, .. } => Some(vni),
        Encapsulation::MplsUdp { .. } | Encapsulation::Erspan { .. } => None,
    };
    Some((tunnel.remote, vni))
}

fn gateway_of(action: &Action) -> Option<IpAddr> {
    match action {
        Action::Underlay { gateway } => *gateway,
        _ => None,
    }
}

fn forget_references(state: &mut State, effects: &mut Effects, slot: NextHopSlot, old: &NextHop) {
    for used in references(&old.action) {
        state.next_hop_uses.remove(used.index());
    }
    match &old.action {
        Action::Port(hop) => state.port_uses.remove(hop.port.index()),
        Action::Vrf { vrf, .. } => state.vrf_uses.remove(vrf.index()),
        _ => {}
    }
    if let Some((remote, vni)) = tunnel_of(&old.action) {
        remove_tunnel(state, effects, slot, remote, vni);
    }
    if let Some(gateway) = gateway_of(&old.action) {
        effects.no_gateways.push(gateway);
        let others: Vec<_> = state
            .gateways
            .get(&gateway)
            .map_or_else(Vec::new, |s| s.iter().copied().filter(|s| *s != slot).collect());
        if others.is_empty() {
            state.gateways.remove(&gateway);
        } else {
            state.gateways.insert(gateway, others.into());
        }
    }
}

/// Identifiers of the next hops that lead over this router of the underlay.
pub(super) fn through(state: &State, gateway: IpAddr) -> Vec<u64> {
    let slots = state.gateways.get(&gateway).map_or(&[][..], |slots| slots);
    let next_hops = slots.iter().filter_map(|slot| state.tables.next_hop(*slot));
    next_hops.map(|next_hop| next_hop.id).collect()
}

fn add_tunnel(state: &mut State, effects: &mut Effects, slot: NextHopSlot, remote: IpAddr, vni: Option<u32>) {
    effects.wanted.push(remote);
    let mut slots = state.tunnels.get(&remote).map_or_else(Vec::new, |slots| slots.to_vec());
    slots.push(slot);
    state.tunnels.insert(remote, slots.into());
    if let Some(vni) = vni {
        // Any tunnel to the remote in this VNI will do to learn MACs behind it.
        state.tables.remote_vteps.entry((vni, remote)).or_insert(slot);
    }
}

fn remove_tunnel(state: &mut State, effects: &mut Effects, slot: NextHopSlot, remote: IpAddr, vni: Option<u32>) {
    effects.unwanted.push(remote);
    let slots: Vec<_> = state
        .tunnels
        .get(&remote)
        .map_or_else(Vec::new, |s| s.iter().copied().filter(|s| *s != slot).collect());
    if let Some(vni) = vni.filter(|vni| state.tables.remote_vteps.get(&(*vni, remote)) == Some(&slot)) {
        let same_vni = |slot: &NextHopSlot| match state.tables.next_hop(*slot).map(|n| &n.action) {
            Some(Action::Tunnel(t)) => matches!(t.encapsulation, Encapsulation::Vxlan { vni: v, .. } if v == vni),
            _ => false,
        };
        match slots.iter().copied().find(same_vni) {
            Some(other) => state.tables.remote_vteps.insert((vni, remote), other),
            None => state.tables.remote_vteps.remove(&(vni, remote)),
        };
    }
    if slots.is_empty() {
        state.tunnels.remove(&remote);
    } else {
        state.tunnels.insert(remote, slots.into());
    }
}
