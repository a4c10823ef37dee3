//! What a batch does beside changing tables: carried out when it is committed, undone when it is not.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    net::IpAddr,
};

use super::settle::Contested;
use crate::tables::slots::{BridgeSlot, NextHopSlot, PortSlot, VrfSlot};

/// Consequences of the operations of one batch, gathered as they are staged.
#[derive(Debug, Default)]
pub(super) struct Effects {
    /// Ports opened: closed again if the batch fails, given to workers if it succeeds.
    pub(super) opened: Vec<PortSlot>,
    /// Ports to be closed.
    pub(super) closed: Vec<PortSlot>,
    /// Bridges that are gone: what was learned in them is forgotten.
    pub(super) unbridged: Vec<BridgeSlot>,
    /// Ports whose share of the flow table changes.
    pub(super) flow_limits: Vec<(PortSlot, u32)>,
    /// Remote VTEPs that gained a tunnel.
    pub(super) wanted: Vec<IpAddr>,
    /// Remote VTEPs that lost one.
    pub(super) unwanted: Vec<IpAddr>,
    /// Routers of the underlay that gained a next hop in the clear.
    pub(super) gateways: Vec<IpAddr>,
    /// Routers of the underlay that lost one.
    pub(super) no_gateways: Vec<IpAddr>,
    /// VRFs in which decisions may have changed.
    pub(super) vrfs: HashSet<VrfSlot>,
    /// Next hops that are gone: what was learned behind them is forgotten.
    pub(super) forgotten: Vec<NextHopSlot>,
    /// Addresses in the underlay that may have become this node's own, or may be so no more.
    pub(super) owned: BTreeSet<IpAddr>,
    /// Policies of ports that were changed.
    pub(super) policies: HashSet<u32>,
    /// Slots of services that were changed (with their identifier) or removed.
    pub(super) services: HashMap<u16, Option<u32>>,
    /// Slots of source translations that were changed (with their identifier) or removed, and the last operation that did so.
    pub(super) source_nats: HashMap<u16, (Option<u32>, usize)>,
    /// Health checks that were changed or removed.
    pub(super) health_checks: BTreeSet<u32>,
    /// Mirrors that were changed.
    pub(super) mirrors: HashSet<u32>,
    /// What may have got several owners, and the last operation that may have done so.
    pub(super) contested: HashMap<Contested, usize>,
    /// The operation being staged.
    pub(super) operation: usize,
    /// There is more in the batch than routes, identities and next hops.
    pub(super) common: bool,
    /// A next hop or a port was changed or removed: decisions in every VRF may have changed.
    pub(super) everywhere: bool,
}

impl Effects {
    /// Has something judged at the end of the batch.
    pub(super) fn contest(&mut self, what: Contested) {
        self.contested.insert(what, self.operation);
    }
}
