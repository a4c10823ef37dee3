//! What a batch does beside changing tables: carried out when it is committed, undone when it is not.

use std::{
    collections::{BTreeSet, HashSet},
    net::IpAddr,
};

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
    /// A next hop was changed or removed: decisions in every VRF may have changed.
    pub(super) next_hops: bool,
}
