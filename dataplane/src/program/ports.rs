//! Staging of ports.

use std::{net::IpAddr, sync::Arc};

use super::{
    effects::Effects,
    object::{Attachment, PortSpec},
    problem::Refusal,
    state::{State, check_id},
};
use crate::{
    port::Queue,
    tables::{
        guard::Guard,
        mirror::MAX_MIRRORS,
        policy::Policy,
        port::{Port, Role},
        qos::Qos,
        slots::{BridgeSlot, PortSlot, VrfSlot},
    },
    wire::Mac,
};

/// Identifiers from here up are those of uplinks.
pub const FIRST_UPLINK_ID: u32 = 0xffff_0000;

/// Smallest and largest MTU of a port, bytes. 576 is what every IPv4 host must accept (RFC 791).
pub const MTU: std::ops::RangeInclusive<u16> = 576..=u16::MAX;

/// A port that was opened: attached to its interface, not yet polled.
pub struct Opened {
    /// Its queues.
    pub queues: Vec<Box<dyn Queue>>,
    /// Largest IP packet that the interface carries, bytes.
    pub mtu: u16,
    /// The interface's own MAC.
    pub mac: Mac,
    /// How it is attached.
    pub attachment: Attached,
    /// Keeps the attachment (programs, sockets' memory) alive; dropping it detaches.
    pub hold: Box<dyn Hold>,
}

/// The hold on an interface that is attached.
pub trait Hold: Send {
    /// Of an uplink that is shared with the host: changes the addresses of which every packet is for the router, and none for the host.
    ///
    /// # Errors
    /// Why the machine refuses; no address has been added then.
    fn change_owned(&mut self, added: &[IpAddr], removed: &[IpAddr]) -> Result<(), Refusal>;
}

/// Of an interface that is shared with nobody.
impl Hold for () {
    fn change_owned(&mut self, _: &[IpAddr], _: &[IpAddr]) -> Result<(), Refusal> {
        Ok(())
    }
}

/// How a port is attached, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// The mode chosen.
    pub mode: super::object::Mode,
    /// In words, with the reason.
    pub why: Arc<str>,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened")
            .field("mtu", &self.mtu)
            .field("attachment", &self.attachment)
            .finish_non_exhaustive()
    }
}

/// Opens ports: the part of programming that can be refused by the machine.
pub trait Opener: Send {
    /// Attaches to the port's interface.
    ///
    /// # Errors
    /// Why the machine refuses, in words that say what to do.
    fn open(&mut self, spec: &PortSpec) -> Result<Opened, Refusal>;
}

/// Something that opens ports on behalf of a batch and remembers them by slot.
pub(super) trait Host {
    /// Opens the port for this slot. Gives its MTU and the workers that will own its queues, as bits.
    fn open(&mut self, slot: PortSlot, spec: &PortSpec) -> Result<(u16, u64), Refusal>;
    /// MTU of the interface of an open port, and its workers.
    fn opened(&self, slot: PortSlot) -> Option<(u16, u64)>;
}

pub(super) fn put(
    state: &mut State,
    host: &mut dyn Host,
    effects: &mut Effects,
    spec: PortSpec,
) -> Result<(), Refusal> {
    check_id("port.id", spec.id.into())?;
    if spec.id >= FIRST_UPLINK_ID {
        return Err(Refusal::invalid(
            "port.id",
            format!("{} is an uplink's; use less than {FIRST_UPLINK_ID}", spec.id),
        ));
    }
    if spec.mtu != 0 && !MTU.contains(&spec.mtu) {
        let (least, most) = (MTU.start(), MTU.end());
        return Err(Refusal::invalid(
            "port.mtu",
            format!("{} is not between {least} and {most} (0: as the interface)", spec.mtu),
        ));
    }
    if spec.mac.is_multicast() || spec.mac == Mac::ZERO {
        return Err(Refusal::invalid(
            "port.mac",
            format!("{} is not the address of one station", spec.mac),
        ));
    }
    let role = match spec.attachment {
        Attachment::Vrf(id) => Role::Routed {
            vrf: state.vrf("port.vrf", id)?,
        },
        Attachment::Bridge(id) => Role::Bridged {
            bridge: state.bridge("port.bridge", id)?,
        },
    };
    let policy = spec.policy.map(|id| policy(state, id)).transpose()?;
    check_mirrors(state, &spec)?;
    let before = state.ports.get(&spec.id).cloned();
    let (slot, (mtu, workers)) = match &before {
        Some((_, old)) if old.interface != spec.interface || old.mode != spec.mode => {
            return Err(Refusal::invalid(
                "port.interface",
                format!(
                    "port {} is attached to {}: delete it before it attaches otherwise",
                    spec.id, old.interface
                ),
            ));
        }
        Some((slot, _)) => (*slot, host.opened(*slot).unwrap_or((*MTU.start(), 0))),
        None => {
            if let Some((other, _)) = state.ports.iter().find(|(_, (_, p))| p.interface == spec.interface) {
                let message = format!("interface {} is attached to port {other}", spec.interface);
                return Err(Refusal::in_use("port.interface", message));
            }
            let taken = state.port_slots.take().and_then(PortSlot::new);
            let slot = taken.ok_or_else(|| {
                Refusal::exhausted("port", format!("all {} ports are in use", state.port_slots.limit()))
            })?;
            let opened = host.open(slot, &spec)?;
            effects.opened.push(slot);
            (slot, opened)
        }
    };
    if let Some((slot, old)) = &before {
        leave(state, *slot, old);
    }
    enter(state, slot, &role, &spec);
    let mtu = if spec.mtu == 0 {
        mtu.clamp(*MTU.start(), *MTU.end())
    } else {
        spec.mtu
    };
    let qos_before = state.tables.port(slot).and_then(|port| port.qos.clone());
    let mirrors = spec.mirrors.iter().filter_map(|id| state.mirrors.get(id));
    let port = Port {
        id: spec.id,
        name: spec.name.clone(),
        role,
        mac: spec.mac,
        gateways: spec.gateways.clone(),
        mtu,
        workers,
        guard: spec.guard.as_ref().map(|guard| Arc::new(Guard::new(spec.mac, guard))),
        qos: spec
            .qos
            .as_ref()
            .map(|qos| Arc::new(Qos::new(qos, qos_before.as_deref()))),
        mirrors: mirrors.map(|(_, mirror)| mirror.clone()).collect(),
        policy,
    };
    note_gateways(state, &port);
    state.tables.ports.set(slot.index(), port);
    effects.flow_limits.push((slot, spec.max_flows));
    effects.everywhere |= before.is_some_and(|(_, old)| *old != spec);
    state.ports.insert(spec.id, (slot, Arc::new(spec)));
    Ok(())
}

pub(super) fn delete(state: &mut State, effects: &mut Effects, id: u32) -> Result<(), Refusal> {
    let Some((slot, spec)) = state.ports.get(&id).cloned() else {
        if id >= FIRST_UPLINK_ID {
            return Err(Refusal::invalid(
                "port",
                "uplinks are configured on vrouterd and cannot be deleted here",
            ));
        }
        return Ok(());
    };
    let uses = state.port_uses.count(slot.index());
    if uses > 0 {
        return Err(Refusal::in_use(
            "port",
            format!("{uses} next hops lead to port {id} ({}); delete them first", spec.name),
        ));
    }
    leave(state, slot, &spec);
    state.tables.ports.remove(slot.index());
    state.ports.remove(&id);
    // The slot is given back once the workers have let go of it.
    effects.closed.push(slot);
    Ok(())
}

fn policy(state: &State, id: u32) -> Result<Arc<Policy>, Refusal> {
    let found = state.policies.get(&id).map(|(_, policy)| policy.clone());
    found.ok_or_else(|| {
        let message = format!("there is no policy {id}; put it before what refers to it");
        Refusal::not_found("port.policy", message)
    })
}

/// Every mirror exists.
fn check_mirrors(state: &State, spec: &PortSpec) -> Result<(), Refusal> {
    let field = "port.mirrors";
    if spec.mirrors.len() > MAX_MIRRORS {
        let message = format!("{} are too many; give at most {MAX_MIRRORS}", spec.mirrors.len());
        return Err(Refusal::invalid(field, message));
    }
    match spec.mirrors.iter().find(|id| !state.mirrors.contains_key(*id)) {
        Some(id) => Err(Refusal::not_found(
            field,
            format!("there is no mirror {id}; put it before what refers to it"),
        )),
        None => Ok(()),
    }
}

/// Counts the port as part of its VRF or bridge, and as a user of what it names.
fn enter(state: &mut State, slot: PortSlot, role: &Role, spec: &PortSpec) {
    if let Some(policy) = spec.policy {
        state.policy_uses.add(policy);
    }
    for mirror in spec.mirrors.iter() {
        state.mirror_uses.add(*mirror);
    }
    match role {
        Role::Routed { vrf } => state.vrf_uses.add(vrf.index()),
        Role::Bridged { bridge } => {
            state.bridge_uses.add(bridge.index());
            change_ports(state, *bridge, |ports| ports.push(slot));
        }
        Role::Uplink => {}
    }
}

fn leave(state: &mut State, slot: PortSlot, spec: &PortSpec) {
    if let Some(policy) = spec.policy {
        state.policy_uses.remove(policy);
    }
    for mirror in spec.mirrors.iter() {
        state.mirror_uses.remove(*mirror);
    }
    match &spec.attachment {
        Attachment::Vrf(id) => {
            if let Ok(vrf) = state.vrf("port.vrf", *id) {
                state.vrf_uses.remove(vrf.index());
            }
        }
        Attachment::Bridge(id) => {
            if let Ok(bridge) = state.bridge("port.bridge", *id) {
                state.bridge_uses.remove(bridge.index());
                change_ports(state, bridge, |ports| ports.retain(|p| *p != slot));
            }
        }
    }
}

fn change_ports(state: &mut State, bridge: BridgeSlot, change: impl FnOnce(&mut Vec<PortSlot>)) {
    if let Some(bridge) = state.tables.bridges.get_mut(bridge.index()) {
        let mut ports = bridge.ports.to_vec();
        change(&mut ports);
        bridge.ports = ports.into();
    }
}

/// The VRF's router speaks from the first gateway address that it was given.
fn note_gateways(state: &mut State, port: &Port) {
    let vrf: Option<VrfSlot> = match port.role {
        Role::Routed { vrf } => Some(vrf),
        _ => None,
    };
    let gateways = (port.gateway(false), port.gateway(true));
    if let Some(vrf) = vrf.and_then(|slot| state.tables.vrfs.get_mut(slot.index())) {
        vrf.note_gateways(gateways);
    }
}
