//! What is programmed, as one persistent value.
//!
//! A batch works on a copy, which costs a few pointers, and the copy either becomes the state or is thrown away: that is what
//! makes a batch all-or-nothing. Only the routes' memory is changed in place, and has its own way back
//! ([`LpmWriter::abort`](crate::tables::lpm::LpmWriter::abort)).

use std::{net::IpAddr, sync::Arc};

use super::{
    claims::Claims,
    health::HealthStatus,
    identities::GroupSets,
    object::{
        BridgeSpec, HealthCheckSpec, LabelSpec, MirrorSpec, NextHopSpec, PolicySpec, PortSpec, ServiceSpec, VniSpec,
        VrfSpec,
    },
    owned::Owners,
    problem::Refusal,
    slots::SlotPool,
    source_nats,
};
use crate::{
    tables::{
        Tables,
        cow::CowArray,
        mirror::Mirror,
        policy::Policy,
        route::RouteValue,
        service::{Service, ServiceKey},
        slots::{BridgeSlot, NextHopSlot, PortSlot, VrfSlot},
    },
    wire::{IpPrefix, Label, Vni},
};

pub(super) use crate::tables::snapshot::Map;

/// Objects of one kind by identifier, each with its slot.
pub(super) type Index<Id, Slot, Spec> = Map<Id, (Slot, Arc<Spec>)>;

/// Most services, and most source translations: flows know them by 16 bits, all ones meaning none.
const MAX_SMALL_SLOTS: usize = 0xffff;

/// How often each slot is referred to.
#[derive(Clone, Debug, Default)]
pub(super) struct References(CowArray<u32>);

impl References {
    pub(super) fn add(&mut self, index: usize) {
        match self.0.get_mut(index) {
            Some(count) => *count += 1,
            None => {
                self.0.set(index, 1);
            }
        }
    }

    pub(super) fn remove(&mut self, index: usize) {
        if let Some(count) = self.0.get_mut(index) {
            *count = count.saturating_sub(1);
        }
    }

    /// Raises the count to at least this.
    pub(super) fn raise(&mut self, index: usize, count: u32) {
        if self.count(index) < count {
            self.0.set(index, count);
        }
    }

    pub(super) fn count(&self, index: usize) -> u32 {
        self.0.get(index).copied().unwrap_or(0)
    }
}

/// How often objects are referred to, by identifier.
#[derive(Clone, Debug, Default)]
pub(super) struct Uses(Map<u32, u32>);

impl Uses {
    pub(super) fn add(&mut self, id: u32) {
        *self.0.entry(id).or_insert(0) += 1;
    }

    pub(super) fn remove(&mut self, id: u32) {
        match self.0.get_mut(&id) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                self.0.remove(&id);
            }
        }
    }

    pub(super) fn count(&self, id: u32) -> u32 {
        self.0.get(&id).copied().unwrap_or(0)
    }
}

/// How many objects fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Ports, uplinks included.
    pub ports: usize,
    /// VRFs.
    pub vrfs: usize,
    /// Bridges.
    pub bridges: usize,
    /// Next hops.
    pub next_hops: usize,
    /// Bytes of address space for routes; about 64 per route.
    pub route_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            ports: 4096,
            vrfs: 4096,
            bridges: 4096,
            next_hops: 1 << 20,
            route_bytes: 1 << 30,
        }
    }
}

/// What is programmed.
#[derive(Clone, Debug)]
pub(super) struct State {
    /// What workers see.
    pub(super) tables: Tables,
    pub(super) ports: Index<u32, PortSlot, PortSpec>,
    pub(super) vrfs: Index<u32, VrfSlot, VrfSpec>,
    pub(super) bridges: Index<u32, BridgeSlot, BridgeSpec>,
    pub(super) next_hops: Index<u64, NextHopSlot, NextHopSpec>,
    pub(super) vnis: Map<Vni, Arc<VniSpec>>,
    pub(super) labels: Map<Label, Arc<LabelSpec>>,
    pub(super) group_sets: GroupSets,
    pub(super) policies: Map<u32, (Arc<PolicySpec>, Arc<Policy>)>,
    pub(super) services: Map<u32, (Arc<ServiceSpec>, Arc<Service>)>,
    pub(super) service_claims: Claims<ServiceKey>,
    pub(super) source_nats: Map<u32, source_nats::Staged>,
    pub(super) nat_ways: Claims<source_nats::Way>,
    pub(super) nat_addresses: Claims<(VrfSlot, IpAddr)>,
    pub(super) mirrors: Map<u32, (Arc<MirrorSpec>, Arc<Mirror>)>,
    pub(super) health_checks: Map<u32, (Arc<HealthCheckSpec>, HealthStatus)>,
    /// Offers of prefixes beside the one in the table.
    pub(super) other_routes: Map<(VrfSlot, IpPrefix), Arc<[RouteValue]>>,
    /// Number of offers, in the table and beside it.
    pub(super) route_count: u64,
    /// Tunnels by remote VTEP.
    pub(super) tunnels: Map<IpAddr, Arc<[NextHopSlot]>>,
    /// Next hops in the clear by router of the underlay.
    pub(super) gateways: Map<IpAddr, Arc<[NextHopSlot]>>,
    /// Uses of addresses that are owned if their VRF is the underlay's.
    pub(super) owners: Owners,
    pub(super) policy_uses: Uses,
    pub(super) mirror_uses: Uses,
    pub(super) port_uses: References,
    pub(super) vrf_uses: References,
    /// Last epoch of VRFs that are gone, by slot.
    pub(super) vrf_epochs: References,
    pub(super) bridge_uses: References,
    pub(super) next_hop_uses: References,
    pub(super) port_slots: SlotPool,
    pub(super) vrf_slots: SlotPool,
    pub(super) bridge_slots: SlotPool,
    pub(super) next_hop_slots: SlotPool,
    pub(super) service_slots: SlotPool,
    pub(super) source_nat_slots: SlotPool,
}

impl State {
    pub(super) fn new(tables: Tables, limits: &Limits) -> Self {
        Self {
            tables,
            ports: Index::default(),
            vrfs: Index::default(),
            bridges: Index::default(),
            next_hops: Index::default(),
            vnis: Map::default(),
            labels: Map::default(),
            group_sets: GroupSets::default(),
            policies: Map::default(),
            services: Map::default(),
            service_claims: Claims::default(),
            source_nats: Map::default(),
            nat_ways: Claims::default(),
            nat_addresses: Claims::default(),
            mirrors: Map::default(),
            health_checks: Map::default(),
            other_routes: Map::default(),
            route_count: 0,
            tunnels: Map::default(),
            gateways: Map::default(),
            owners: Owners::default(),
            policy_uses: Uses::default(),
            mirror_uses: Uses::default(),
            port_uses: References::default(),
            vrf_uses: References::default(),
            vrf_epochs: References::default(),
            bridge_uses: References::default(),
            next_hop_uses: References::default(),
            port_slots: SlotPool::new(limits.ports),
            vrf_slots: SlotPool::new(limits.vrfs),
            bridge_slots: SlotPool::new(limits.bridges),
            next_hop_slots: SlotPool::new(limits.next_hops),
            service_slots: SlotPool::new(MAX_SMALL_SLOTS),
            source_nat_slots: SlotPool::new(MAX_SMALL_SLOTS),
        }
    }

    pub(super) fn vrf(&self, field: &'static str, id: u32) -> Result<VrfSlot, Refusal> {
        let found = self.vrfs.get(&id).map(|(slot, _)| *slot);
        found.ok_or_else(|| Refusal::not_found(field, format!("there is no VRF {id}; put it before what refers to it")))
    }

    pub(super) fn bridge(&self, field: &'static str, id: u32) -> Result<BridgeSlot, Refusal> {
        let found = self.bridges.get(&id).map(|(slot, _)| *slot);
        found.ok_or_else(|| {
            Refusal::not_found(
                field,
                format!("there is no bridge {id}; put it before what refers to it"),
            )
        })
    }

    pub(super) fn port(&self, field: &'static str, id: u32) -> Result<PortSlot, Refusal> {
        let found = self.ports.get(&id).map(|(slot, _)| *slot);
        found
            .ok_or_else(|| Refusal::not_found(field, format!("there is no port {id}; put it before what refers to it")))
    }

    pub(super) fn next_hop(&self, field: &'static str, id: u64) -> Result<NextHopSlot, Refusal> {
        let found = self.next_hops.get(&id).map(|(slot, _)| *slot);
        found.ok_or_else(|| {
            Refusal::not_found(
                field,
                format!("there is no next hop {id}; put it before what refers to it"),
            )
        })
    }
}

/// Identifiers are never 0.
pub(super) fn check_id(field: &'static str, id: u64) -> Result<(), Refusal> {
    if id == 0 {
        Err(Refusal::invalid(field, "0 is not an identifier; choose 1 or more"))
    } else {
        Ok(())
    }
}
