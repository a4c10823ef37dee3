//! Everything of one moment, read on another thread than the one that programs, and for as long as a client takes.

use std::{net::IpAddr, sync::Arc};

use super::selection::{Kind, Selection};
use crate::{
    program::{Dumped, Limits, Snapshot},
    telemetry::{self, Baselines, FlowFilter, FlowRow, Sources, Statistics},
};

/// What this process is, as long as it runs.
#[derive(Clone, Debug)]
pub struct About {
    /// Drawn at random at start.
    pub instance: String,
    /// Name of the node.
    pub node: String,
    /// Tunnel addresses.
    pub vteps: Vec<IpAddr>,
    /// Names of the uplinks' interfaces.
    pub uplinks: Vec<String>,
    /// How many objects fit.
    pub limits: Limits,
}

/// Everything of one moment.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) snapshot: Snapshot,
    pub(super) about: Arc<About>,
    pub(super) sources: Sources,
    pub(super) baselines: Baselines,
    /// When it was, nanoseconds of the workers' clock.
    pub(super) now: u64,
}

impl View {
    /// The revision.
    pub(super) fn revision(&self) -> u64 {
        self.snapshot.revision()
    }

    /// The objects asked for.
    pub(super) fn objects(&self, selection: &Selection) -> impl Iterator<Item = Dumped> + '_ {
        let (all, Selection { vrf, .. }) = (&self.snapshot, *selection);
        let wants = |kind| selection.wants(kind).then_some(all);
        // Most know nothing of bridges that are gone; what was learned in one may outlive it for a moment.
        let learned = |all: &'_ Snapshot, entry: &_| Some(all.learned(entry)).filter(is_in_a_bridge);
        let learned = wants(Kind::Mac).map(|all| {
            let entries = self.sources.shared.learned.entries();
            entries.filter_map(move |entry| learned(all, &entry))
        });
        let neighbors = wants(Kind::Neighbor).map(Snapshot::neighbors);
        (wants(Kind::Vrf).map(Snapshot::vrfs).into_iter().flatten())
            .chain(wants(Kind::Bridge).map(Snapshot::bridges).into_iter().flatten())
            .chain(wants(Kind::Port).map(Snapshot::ports).into_iter().flatten())
            .chain(wants(Kind::NextHop).map(Snapshot::next_hops).into_iter().flatten())
            .chain(wants(Kind::Route).map(|all| all.routes(vrf)).into_iter().flatten())
            .chain(wants(Kind::Mac).map(Snapshot::macs).into_iter().flatten())
            .chain(learned.into_iter().flatten())
            .chain(neighbors.into_iter().flatten())
            .chain(wants(Kind::Vni).map(Snapshot::vnis).into_iter().flatten())
            .chain(wants(Kind::Label).map(Snapshot::labels).into_iter().flatten())
            .chain(
                wants(Kind::Identity)
                    .map(|all| all.identities(vrf))
                    .into_iter()
                    .flatten(),
            )
            .chain(wants(Kind::Policy).map(Snapshot::policies).into_iter().flatten())
            .chain(wants(Kind::SourceNat).map(Snapshot::source_nats).into_iter().flatten())
            .chain(wants(Kind::Service).map(Snapshot::services).into_iter().flatten())
            .chain(wants(Kind::Mirror).map(Snapshot::mirrors).into_iter().flatten())
            .chain(
                wants(Kind::HealthCheck)
                    .map(Snapshot::health_checks)
                    .into_iter()
                    .flatten(),
            )
    }

    /// Flows as workers hold them now.
    pub(super) fn flows<'a>(&'a self, filter: &'a FlowFilter) -> impl Iterator<Item = FlowRow> + 'a {
        telemetry::flows(&self.sources.shared.flows, self.snapshot.tables(), filter, self.now)
    }

    /// Counters as they stand now.
    pub(super) fn statistics(&self) -> Statistics {
        telemetry::statistics(&self.sources, self.snapshot.tables(), &self.baselines)
    }

    /// Smallest MTU of all uplinks, bytes; 0 without uplink.
    pub(super) fn underlay_mtu(&self) -> u32 {
        let uplinks = self.snapshot.ports().filter_map(|port| match port {
            Dumped::Port { uplink: true, mtu, .. } => Some(u32::from(mtu)),
            _ => None,
        });
        uplinks.min().unwrap_or(0)
    }
}

fn is_in_a_bridge(learned: &Dumped) -> bool {
    !matches!(learned, Dumped::LearnedMac { bridge: 0, .. })
}
