//! Counters since start, as they are shown and as JSON.

use serde::Serialize;
use vrouter_proto::dataplane as api;

use crate::{
    filter::Key,
    output::{Cell, Column, Record},
};

/// Everything a dataplane counts.
#[derive(Serialize)]
pub(super) struct Totals {
    pub(super) revision: u64,
    pub(super) ports: Vec<PortTotals>,
    pub(super) vrfs: Vec<VrfTotals>,
    pub(super) workers: Vec<WorkerTotals>,
    pub(super) frames: FrameTotals,
    pub(super) flows: FlowTotals,
    pub(super) packets: PacketTotals,
}

#[derive(Serialize)]
pub(super) struct DropTotals {
    reason: String,
    packets: u64,
}

#[derive(Serialize)]
pub(super) struct PortTotals {
    port: u32,
    name: String,
    rx_packets: u64,
    rx_bytes: u64,
    tx_packets: u64,
    tx_bytes: u64,
    drops: Vec<DropTotals>,
    flows: u64,
}

#[derive(Serialize)]
pub(super) struct VrfTotals {
    vrf: u32,
    name: String,
    packets: u64,
    bytes: u64,
    drops: Vec<DropTotals>,
}

#[derive(Serialize)]
pub(super) struct WorkerTotals {
    worker: u32,
    /// -1: not pinned.
    cpu: i32,
    loops: u64,
    busy_loops: u64,
    sleeps: u64,
    batch_size: HistogramView,
    batch_nanoseconds: HistogramView,
}

#[derive(Serialize)]
pub(super) struct HistogramView {
    count: u64,
    mean: f64,
    p50: u64,
    p99: u64,
    p999: u64,
    max: u64,
}

#[derive(Serialize)]
pub(super) struct FrameTotals {
    total: u64,
    free: u64,
    /// In rings of the kernel or in a worker's hands: total - free.
    held: u64,
    frame_size: u64,
}

#[derive(Serialize)]
pub(super) struct FlowTotals {
    capacity: u64,
    used: u64,
    created: u64,
    expired: u64,
    uncached: u64,
    refused: u64,
    evicted: u64,
}

/// Packets that became more, fewer or others on their way.
#[derive(Serialize)]
pub(super) struct PacketTotals {
    originated: u64,
    fragmented: u64,
    segmented: u64,
    coalesced: u64,
    errors_withheld: u64,
    mirrored: u64,
    mirror_lost: u64,
    /// Held back now.
    shaped: u64,
}

impl From<api::GetStatisticsResponse> for Totals {
    fn from(statistics: api::GetStatisticsResponse) -> Self {
        let mut totals = Self {
            revision: statistics.revision,
            ports: statistics.ports.into_iter().map(PortTotals::from).collect(),
            vrfs: statistics.vrfs.into_iter().map(VrfTotals::from).collect(),
            workers: statistics.workers.into_iter().map(WorkerTotals::from).collect(),
            frames: statistics.frames.unwrap_or_default().into(),
            flows: statistics.flows.unwrap_or_default().into(),
            packets: statistics.packets.unwrap_or_default().into(),
        };
        totals.ports.sort_by_key(|port| port.port);
        totals.vrfs.sort_by_key(|vrf| vrf.vrf);
        totals.workers.sort_by_key(|worker| worker.worker);
        totals
    }
}

fn drops(counts: Vec<api::DropCount>) -> Vec<DropTotals> {
    counts
        .into_iter()
        .map(|count| DropTotals {
            reason: count.reason,
            packets: count.packets,
        })
        .collect()
}

fn dropped(drops: &[DropTotals]) -> u64 {
    drops.iter().map(|drop| drop.packets).sum()
}

impl From<api::PortStatistics> for PortTotals {
    fn from(port: api::PortStatistics) -> Self {
        Self {
            port: port.port,
            name: port.name,
            rx_packets: port.rx_packets,
            rx_bytes: port.rx_bytes,
            tx_packets: port.tx_packets,
            tx_bytes: port.tx_bytes,
            drops: drops(port.drops),
            flows: port.flows,
        }
    }
}

impl From<api::VrfStatistics> for VrfTotals {
    fn from(vrf: api::VrfStatistics) -> Self {
        Self {
            vrf: vrf.vrf,
            name: vrf.name,
            packets: vrf.packets,
            bytes: vrf.bytes,
            drops: drops(vrf.drops),
        }
    }
}

impl From<api::WorkerStatistics> for WorkerTotals {
    fn from(worker: api::WorkerStatistics) -> Self {
        Self {
            worker: worker.worker,
            cpu: worker.cpu,
            loops: worker.loops,
            busy_loops: worker.busy_loops,
            sleeps: worker.sleeps,
            batch_size: worker.batch_size.unwrap_or_default().into(),
            batch_nanoseconds: worker.batch_nanoseconds.unwrap_or_default().into(),
        }
    }
}

impl From<api::Histogram> for HistogramView {
    fn from(histogram: api::Histogram) -> Self {
        Self {
            count: histogram.count,
            mean: histogram.mean,
            p50: histogram.p50,
            p99: histogram.p99,
            p999: histogram.p999,
            max: histogram.max,
        }
    }
}

impl From<api::FrameStatistics> for FrameTotals {
    fn from(frames: api::FrameStatistics) -> Self {
        Self {
            total: frames.total,
            free: frames.free,
            held: frames.total.saturating_sub(frames.free),
            frame_size: frames.frame_size,
        }
    }
}

impl From<api::FlowStatistics> for FlowTotals {
    fn from(flows: api::FlowStatistics) -> Self {
        Self {
            capacity: flows.capacity,
            used: flows.used,
            created: flows.created,
            expired: flows.expired,
            uncached: flows.uncached,
            refused: flows.refused,
            evicted: flows.evicted,
        }
    }
}

impl From<api::PacketStatistics> for PacketTotals {
    fn from(packets: api::PacketStatistics) -> Self {
        Self {
            originated: packets.originated,
            fragmented: packets.fragmented,
            segmented: packets.segmented,
            coalesced: packets.coalesced,
            errors_withheld: packets.errors_withheld,
            mirrored: packets.mirrored,
            mirror_lost: packets.mirror_lost,
            shaped: packets.shaped,
        }
    }
}

/// A name with its number, or the number alone.
pub(super) fn place(name: &str, id: u32) -> Cell {
    if name.is_empty() {
        id.into()
    } else {
        format!("{name} ({id})").into()
    }
}

/// The CPU of a worker.
pub(super) fn cpu(cpu: i32) -> Cell {
    if cpu < 0 { "any".into() } else { cpu.to_string().into() }
}

/// Nanoseconds as people read them: "850 ns", "12.5 us".
fn nanoseconds(value: u64) -> Cell {
    // Above 2^53 the last digits are lost, which three shown digits do not tell.
    #[allow(clippy::cast_precision_loss)]
    let float = value as f64;
    match value {
        0..1_000 => format!("{value} ns"),
        1_000..1_000_000 => format!("{:.1} us", float / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} ms", float / 1e6),
        _ => format!("{:.1} s", float / 1e9),
    }
    .into()
}

impl Record for PortTotals {
    const NOUNS: &'static str = "ports";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::text("PORT", |it| place(&it.name, it.port)),
        Column::number("RX PACKETS", |it| it.rx_packets.into()),
        Column::number("RX BYTES", |it| it.rx_bytes.into()),
        Column::number("TX PACKETS", |it| it.tx_packets.into()),
        Column::number("TX BYTES", |it| it.tx_bytes.into()),
        Column::number("DROPS", |it| dropped(&it.drops).into()),
        Column::number("FLOWS", |it| it.flows.into()),
    ];
    const KEYS: &'static [Key<Self>] = &[];
}

impl Record for VrfTotals {
    const NOUNS: &'static str = "VRFs";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::text("VRF", |it| place(&it.name, it.vrf)),
        Column::number("PACKETS", |it| it.packets.into()),
        Column::number("BYTES", |it| it.bytes.into()),
        Column::number("DROPS", |it| dropped(&it.drops).into()),
    ];
    const KEYS: &'static [Key<Self>] = &[];
}

impl Record for WorkerTotals {
    const NOUNS: &'static str = "workers";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::number("WORKER", |it| it.worker.into()),
        Column::number("CPU", |it| cpu(it.cpu)),
        Column::number("LOOPS", |it| it.loops.into()),
        Column::number("BUSY", |it| it.busy_loops.into()),
        Column::number("SLEEPS", |it| it.sleeps.into()),
        Column::number("BATCH P50", |it| it.batch_size.p50.into()),
        Column::number("P99", |it| it.batch_size.p99.into()),
        Column::number("TIME P50", |it| nanoseconds(it.batch_nanoseconds.p50)),
        Column::number("P99", |it| nanoseconds(it.batch_nanoseconds.p99)),
        Column::number("P99.9", |it| nanoseconds(it.batch_nanoseconds.p999)),
        Column::number("MAX", |it| nanoseconds(it.batch_nanoseconds.max)),
    ];
    const KEYS: &'static [Key<Self>] = &[];
}

impl Record for FrameTotals {
    const NOUNS: &'static str = "frames";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::number("FRAMES", |it| it.total.into()),
        Column::number("FREE", |it| it.free.into()),
        Column::number("HELD", |it| it.held.into()),
        Column::number("FRAME SIZE", |it| it.frame_size.into()),
    ];
    const KEYS: &'static [Key<Self>] = &[];
}

impl Record for FlowTotals {
    const NOUNS: &'static str = "flows";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::number("FLOW PAIRS", |it| it.used.into()),
        Column::number("CAPACITY", |it| it.capacity.into()),
        Column::number("CREATED", |it| it.created.into()),
        Column::number("EXPIRED", |it| it.expired.into()),
        Column::number("EVICTED", |it| it.evicted.into()),
        Column::number("REFUSED", |it| it.refused.into()),
        Column::number("UNCACHED PACKETS", |it| it.uncached.into()),
    ];
    const KEYS: &'static [Key<Self>] = &[];
}

impl Record for PacketTotals {
    const NOUNS: &'static str = "packets";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::number("ORIGINATED", |it| it.originated.into()),
        Column::number("FRAGMENTED", |it| it.fragmented.into()),
        Column::number("SEGMENTED", |it| it.segmented.into()),
        Column::number("COALESCED", |it| it.coalesced.into()),
        Column::number("ERRORS WITHHELD", |it| it.errors_withheld.into()),
        Column::number("MIRRORED", |it| it.mirrored.into()),
        Column::number("MIRROR LOST", |it| it.mirror_lost.into()),
        Column::number("SHAPED NOW", |it| it.shaped.into()),
    ];
    const KEYS: &'static [Key<Self>] = &[];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_unit_that_fits() {
        let shown: Vec<_> = [0, 999, 1_000, 12_345, 2_500_000, 3_000_000_000]
            .into_iter()
            .map(|value| nanoseconds(value).as_str().to_owned())
            .collect();
        assert_eq!(shown, ["0 ns", "999 ns", "1.0 us", "12.3 us", "2.5 ms", "3.0 s"]);
    }
}
