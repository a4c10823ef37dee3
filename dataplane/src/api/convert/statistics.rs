//! Counters.

use vrouter_proto::dataplane as pb;

use crate::{
    packet::DropReason,
    telemetry::{DropTotals, HistogramSummary, PacketStatistics, Statistics},
};

/// All counters.
pub(in crate::api) fn statistics(statistics: &Statistics) -> pb::GetStatisticsResponse {
    let ports = statistics.ports.iter().map(|port| pb::PortStatistics {
        port: port.id,
        name: port.name.to_string(),
        rx_packets: port.totals.rx_packets,
        rx_bytes: port.totals.rx_bytes,
        tx_packets: port.totals.tx_packets,
        tx_bytes: port.totals.tx_bytes,
        drops: drops(&port.totals.drops),
        flows: port.flows.into(),
    });
    let vrfs = statistics.vrfs.iter().map(|vrf| pb::VrfStatistics {
        vrf: vrf.id,
        name: vrf.name.to_string(),
        packets: vrf.totals.packets,
        bytes: vrf.totals.bytes,
        drops: drops(&vrf.totals.drops),
    });
    let workers = statistics
        .workers
        .iter()
        .zip(0..)
        .map(|(worker, index)| pb::WorkerStatistics {
            worker: index,
            cpu: worker.cpu.and_then(|cpu| i32::try_from(cpu).ok()).unwrap_or(-1),
            loops: worker.turns,
            busy_loops: worker.busy_turns,
            sleeps: worker.sleeps,
            batch_size: Some(histogram(&worker.batch_size)),
            batch_nanoseconds: Some(histogram(&worker.batch_nanoseconds)),
        });
    let reasons = DropReason::ALL.iter().map(|reason| pb::DropReason {
        name: reason.name().to_owned(),
        description: reason.description().to_owned(),
    });
    pb::GetStatisticsResponse {
        revision: statistics.revision,
        ports: ports.collect(),
        vrfs: vrfs.collect(),
        workers: workers.collect(),
        frames: Some(pb::FrameStatistics {
            total: statistics.frames.total,
            free: statistics.frames.free,
            frame_size: statistics.frames.size,
        }),
        flows: Some(pb::FlowStatistics {
            capacity: statistics.flows.capacity,
            used: statistics.flows.used,
            created: statistics.flows.created,
            expired: statistics.flows.expired,
            uncached: statistics.flows.uncached,
            refused: statistics.flows.refused,
            evicted: statistics.flows.evicted,
        }),
        drop_reasons: reasons.collect(),
        source_nats: (statistics.source_nats.iter())
            .map(|nat| pb::SourceNatStatistics {
                source_nat: nat.id,
                name: nat.name.to_string(),
                blocks: nat.pool.blocks,
                blocks_used: nat.pool.blocks_used,
                refused_source: nat.pool.refused_source,
                refused_exhausted: nat.pool.refused_blocks,
            })
            .collect(),
        services: (statistics.services.iter())
            .map(|service| pb::ServiceStatistics {
                service: service.id,
                name: service.name.to_string(),
                flows: service.flows.clone(),
            })
            .collect(),
        fragments: Some(pb::FragmentStatistics {
            datagrams: statistics.fragments.datagrams,
            held: statistics.fragments.held,
            tracked: statistics.fragments.tracked,
        }),
        packets: Some(packets(&statistics.packets)),
    }
}

fn packets(packets: &PacketStatistics) -> pb::PacketStatistics {
    pb::PacketStatistics {
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

/// The reasons for which anything was dropped.
fn drops(totals: &DropTotals) -> Vec<pb::DropCount> {
    totals
        .iter()
        .filter(|(_, packets)| *packets > 0)
        .map(|(reason, packets)| pb::DropCount {
            reason: reason.name().to_owned(),
            packets,
        })
        .collect()
}

fn histogram(summary: &HistogramSummary) -> pb::Histogram {
    pb::Histogram {
        count: summary.count,
        mean: summary.mean,
        p50: summary.p50,
        p99: summary.p99,
        p999: summary.p999,
        max: summary.max,
    }
}
