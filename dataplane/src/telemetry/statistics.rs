//! All counters at one moment.

use std::sync::Arc;

use super::{
    baseline::Baselines,
    totals::{PortTotals, VrfTotals},
};
use crate::{
    packet::FramePool,
    pipeline::{Shared, counters::Counters},
    tables::{
        Tables,
        slots::{PortSlot, VrfSlot},
        source_nat::PoolStatistics,
    },
    worker::{
        Captures,
        load::{Load, Recorder},
    },
};

/// Where numbers are read.
#[derive(Clone, Debug)]
pub struct Sources {
    /// What workers share.
    pub shared: Arc<Shared>,
    /// What each worker has done, and the CPU it is pinned to.
    pub workers: Vec<(Arc<Load>, Option<usize>)>,
    /// Frames.
    pub pool: Arc<FramePool>,
    /// Where captures are begun.
    pub captures: Captures,
}

/// All counters. Numbers of one moment are read one after the other: they belong together only as closely as that.
#[derive(Clone, Debug)]
pub struct Statistics {
    /// Revision of the tables that names are from.
    pub revision: u64,
    /// Of each port.
    pub ports: Vec<PortStatistics>,
    /// Of each VRF.
    pub vrfs: Vec<VrfStatistics>,
    /// Of each worker, in order.
    pub workers: Vec<WorkerStatistics>,
    /// Where frames are.
    pub frames: FrameStatistics,
    /// The flow table.
    pub flows: FlowStatistics,
    /// Fragments under way.
    pub fragments: FragmentStatistics,
    /// Packets that became more, fewer or others.
    pub packets: PacketStatistics,
    /// Of each source translation.
    pub source_nats: Vec<SourceNatStatistics>,
    /// Of each service.
    pub services: Vec<ServiceStatistics>,
}

/// Of one source translation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceNatStatistics {
    /// The client's identifier.
    pub id: u32,
    /// Name for people.
    pub name: Arc<str>,
    /// What its ports are used for. Translations with the same addresses and ports share them.
    pub pool: PoolStatistics,
}

/// Of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceStatistics {
    /// The client's identifier.
    pub id: u32,
    /// Name for people.
    pub name: Arc<str>,
    /// Flows begun per backend, in the order of the backends.
    pub flows: Vec<u64>,
}

/// Of one port.
#[derive(Clone, Debug)]
pub struct PortStatistics {
    /// The client's identifier.
    pub id: u32,
    /// Name for people.
    pub name: Arc<str>,
    /// Counted since it was made.
    pub totals: PortTotals,
    /// Flow pairs that it holds.
    pub flows: u32,
}

/// Of one VRF.
#[derive(Clone, Debug)]
pub struct VrfStatistics {
    /// The client's identifier.
    pub id: u32,
    /// Name for people.
    pub name: Arc<str>,
    /// Counted since it was made.
    pub totals: VrfTotals,
}

/// Of one worker.
#[derive(Clone, Copy, Debug)]
pub struct WorkerStatistics {
    /// CPU that it is pinned to.
    pub cpu: Option<usize>,
    /// Turns of its loop.
    pub turns: u64,
    /// Turns that moved packets.
    pub busy_turns: u64,
    /// Times it went to sleep.
    pub sleeps: u64,
    /// Packets per batch.
    pub batch_size: HistogramSummary,
    /// Nanoseconds from receiving a batch to having sent it.
    pub batch_nanoseconds: HistogramSummary,
}

/// A distribution, briefly.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct HistogramSummary {
    /// Values.
    pub count: u64,
    /// Their mean; 0 without values.
    pub mean: f64,
    /// Half are no greater.
    pub p50: u64,
    /// 99 % are no greater.
    pub p99: u64,
    /// 99.9 % are no greater.
    pub p999: u64,
    /// None is greater.
    pub max: u64,
}

impl HistogramSummary {
    fn of(recorder: &Recorder) -> Self {
        let histogram = recorder.histogram();
        Self {
            count: histogram.len(),
            mean: histogram.mean(),
            p50: histogram.value_at_quantile(0.5),
            p99: histogram.value_at_quantile(0.99),
            p999: histogram.value_at_quantile(0.999),
            max: histogram.max(),
        }
    }
}

/// Frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameStatistics {
    /// All there are.
    pub total: u64,
    /// Of these, the ones nobody uses.
    pub free: u64,
    /// Bytes of each.
    pub size: u64,
}

/// The flow table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowStatistics {
    /// Flow pairs that fit.
    pub capacity: u64,
    /// That are there.
    pub used: u64,
    /// That were made since start.
    pub created: u64,
    /// That ended since start: idle, or removed.
    pub expired: u64,
    /// That ended since start to make room for others of their port.
    pub evicted: u64,
    /// Packets that were dropped for want of room for the state they need.
    pub refused: u64,
    /// Packets that were forwarded without one.
    pub uncached: u64,
}

/// Fragments whose ports their datagram's head tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragmentStatistics {
    /// Datagrams whose fragments are remembered.
    pub datagrams: u64,
    /// Fragments held for a head that has not come.
    pub held: u64,
    /// Datagrams that came in fragments since start.
    pub tracked: u64,
}

/// Packets that became more, fewer or others on their way, since start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketStatistics {
    /// Frames the router made itself.
    pub originated: u64,
    /// Packets that went on as fragments.
    pub fragmented: u64,
    /// TCP packets that went on as smaller segments.
    pub segmented: u64,
    /// Frames that went out as part of another.
    pub coalesced: u64,
    /// ICMP errors that were due and not sent.
    pub errors_withheld: u64,
    /// Copies that mirrors made.
    pub mirrored: u64,
    /// Copies that mirrors could not make.
    pub mirror_lost: u64,
    /// Packets held back now by limits.
    pub shaped: u64,
}

/// What all ports have counted since start, those that are gone included: these numbers never go back.
pub fn node_totals(sources: &Sources, baselines: &Baselines) -> PortTotals {
    let mut totals = PortTotals::default();
    for slot in baselines.port_slots() {
        totals.add(&PortTotals::read(&sources.shared.counters, slot));
    }
    totals
}

/// Reads all counters, under the names of `tables`.
pub fn statistics(sources: &Sources, tables: &Tables, baselines: &Baselines) -> Statistics {
    let Sources {
        shared, workers, pool, ..
    } = sources;
    let counters = &shared.counters;
    let ports = tables.ports.iter().filter_map(|(index, port)| {
        let slot = PortSlot::new(index)?;
        Some(PortStatistics {
            id: port.id,
            name: port.name.clone(),
            totals: baselines.port(slot, PortTotals::read(counters, slot)),
            flows: shared.flows.port_flows(slot.raw()),
        })
    });
    let vrfs = tables.vrfs.iter().filter_map(|(index, vrf)| {
        let slot = VrfSlot::new(index)?;
        Some(VrfStatistics {
            id: vrf.id,
            name: vrf.name.clone(),
            totals: baselines.vrf(slot, VrfTotals::read(counters, slot)),
        })
    });
    let workers = workers.iter().map(|(load, cpu)| WorkerStatistics {
        cpu: *cpu,
        turns: load.turns.get(),
        busy_turns: load.busy_turns.get(),
        sleeps: load.sleeps.get(),
        batch_size: HistogramSummary::of(&load.batch_size),
        batch_nanoseconds: HistogramSummary::of(&load.batch_nanoseconds),
    });
    let sum = |of: fn(&Counters) -> u64| counters.iter().map(of).sum();
    Statistics {
        revision: tables.revision,
        ports: ports.collect(),
        vrfs: vrfs.collect(),
        workers: workers.collect(),
        frames: FrameStatistics {
            total: pool.total().into(),
            free: pool.free() as u64,
            size: pool.chunk().into(),
        },
        flows: FlowStatistics {
            capacity: shared.flows.capacity() as u64,
            used: shared.flows.used() as u64,
            created: sum(|worker| worker.flows_created.get()),
            expired: sum(|worker| worker.flows_expired.get()),
            evicted: sum(|worker| worker.flows_evicted.get()),
            refused: sum(|worker| worker.flows_refused.get()),
            uncached: sum(|worker| worker.uncached.get()),
        },
        fragments: FragmentStatistics {
            datagrams: sum(|worker| worker.fragment_datagrams.get()),
            held: sum(|worker| worker.fragments_held.get()),
            tracked: sum(|worker| worker.fragments_tracked.get()),
        },
        packets: PacketStatistics {
            originated: sum(|worker| worker.originated.get()),
            fragmented: sum(|worker| worker.fragmented.get()),
            segmented: sum(|worker| worker.segmented.get()),
            coalesced: sum(|worker| worker.coalesced.get()),
            errors_withheld: sum(|worker| worker.errors_withheld.get()),
            mirrored: sum(|worker| worker.mirrored.get()),
            mirror_lost: sum(|worker| worker.mirror_lost.get()),
            shaped: sum(|worker| worker.shaped.get()),
        },
        source_nats: (tables.source_nat_slots.iter())
            .map(|(_, nat)| SourceNatStatistics {
                id: nat.id,
                name: nat.name.clone(),
                pool: nat.pool.statistics(),
            })
            .collect(),
        services: (tables.service_slots.iter())
            .map(|(_, service)| ServiceStatistics {
                id: service.id,
                name: service.name.clone(),
                flows: service.flows().collect(),
            })
            .collect(),
    }
}
