//! Differences of two readings of the counters, per second.

use std::{collections::HashMap, time::Duration};

use serde::Serialize;
use vrouter_proto::dataplane as api;

use super::totals::{cpu, place};
use crate::{
    filter::Key,
    output::{Cell, Column, Record},
};

/// What happened between two readings, each number per second.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Rates {
    pub(super) revision: u64,
    pub(super) interval_seconds: f64,
    pub(super) ports: Vec<PortRates>,
    pub(super) vrfs: Vec<VrfRates>,
    pub(super) workers: Vec<WorkerRates>,
    pub(super) flows: FlowRates,
}

#[derive(Debug, PartialEq, Serialize)]
pub(super) struct PortRates {
    port: u32,
    name: String,
    rx_packets_per_second: f64,
    rx_bytes_per_second: f64,
    tx_packets_per_second: f64,
    tx_bytes_per_second: f64,
    drops_per_second: f64,
    /// Flow pairs now.
    flows: u64,
}

#[derive(Debug, PartialEq, Serialize)]
pub(super) struct VrfRates {
    vrf: u32,
    name: String,
    packets_per_second: f64,
    bytes_per_second: f64,
    drops_per_second: f64,
}

#[derive(Debug, PartialEq, Serialize)]
pub(super) struct WorkerRates {
    worker: u32,
    /// -1: not pinned.
    cpu: i32,
    loops_per_second: f64,
    busy_loops_per_second: f64,
    sleeps_per_second: f64,
}

#[derive(Debug, PartialEq, Serialize)]
pub(super) struct FlowRates {
    /// Flow pairs now, and how many fit.
    used: u64,
    capacity: u64,
    created_per_second: f64,
    expired_per_second: f64,
    uncached_per_second: f64,
    /// Frames now that are nobody's.
    frames_free: u64,
}

/// Turns counts into counts per second.
#[derive(Clone, Copy)]
pub(crate) struct Meter {
    pub(crate) seconds: f64,
}

impl Meter {
    /// A counter that went down began again at zero: all it shows is new.
    pub(crate) fn rate(self, before: u64, now: u64) -> f64 {
        let difference = now.checked_sub(before).unwrap_or(now);
        if self.seconds > 0.0 {
            // More than 2^53 packets in an interval are not met.
            #[allow(clippy::cast_precision_loss)]
            let difference = difference as f64;
            difference / self.seconds
        } else {
            0.0
        }
    }
}

fn dropped(drops: &[api::DropCount]) -> u64 {
    drops.iter().map(|drop| drop.packets).sum()
}

impl Rates {
    /// What happened from `before` to `now`, `interval` later. What was not there before began at zero.
    pub(super) fn new(
        before: &api::GetStatisticsResponse,
        now: &api::GetStatisticsResponse,
        interval: Duration,
    ) -> Self {
        let seconds = interval.as_secs_f64();
        let meter = Meter { seconds };
        let mut rates = Self {
            revision: now.revision,
            interval_seconds: seconds,
            ports: ports(before, now, meter),
            vrfs: vrfs(before, now, meter),
            workers: workers(before, now, meter),
            flows: flows(before, now, meter),
        };
        rates.ports.sort_by_key(|port| port.port);
        rates.vrfs.sort_by_key(|vrf| vrf.vrf);
        rates.workers.sort_by_key(|worker| worker.worker);
        rates
    }
}

fn ports(before: &api::GetStatisticsResponse, now: &api::GetStatisticsResponse, meter: Meter) -> Vec<PortRates> {
    let old: HashMap<u32, &api::PortStatistics> = before.ports.iter().map(|it| (it.port, it)).collect();
    let zero = api::PortStatistics::default();
    let each = now.ports.iter().map(|port| {
        let old = old.get(&port.port).copied().unwrap_or(&zero);
        PortRates {
            port: port.port,
            name: port.name.clone(),
            rx_packets_per_second: meter.rate(old.rx_packets, port.rx_packets),
            rx_bytes_per_second: meter.rate(old.rx_bytes, port.rx_bytes),
            tx_packets_per_second: meter.rate(old.tx_packets, port.tx_packets),
            tx_bytes_per_second: meter.rate(old.tx_bytes, port.tx_bytes),
            drops_per_second: meter.rate(dropped(&old.drops), dropped(&port.drops)),
            flows: port.flows,
        }
    });
    each.collect()
}

fn vrfs(before: &api::GetStatisticsResponse, now: &api::GetStatisticsResponse, meter: Meter) -> Vec<VrfRates> {
    let old: HashMap<u32, &api::VrfStatistics> = before.vrfs.iter().map(|it| (it.vrf, it)).collect();
    let zero = api::VrfStatistics::default();
    let each = now.vrfs.iter().map(|vrf| {
        let old = old.get(&vrf.vrf).copied().unwrap_or(&zero);
        VrfRates {
            vrf: vrf.vrf,
            name: vrf.name.clone(),
            packets_per_second: meter.rate(old.packets, vrf.packets),
            bytes_per_second: meter.rate(old.bytes, vrf.bytes),
            drops_per_second: meter.rate(dropped(&old.drops), dropped(&vrf.drops)),
        }
    });
    each.collect()
}

fn workers(before: &api::GetStatisticsResponse, now: &api::GetStatisticsResponse, meter: Meter) -> Vec<WorkerRates> {
    let old: HashMap<u32, &api::WorkerStatistics> = before.workers.iter().map(|it| (it.worker, it)).collect();
    let zero = api::WorkerStatistics::default();
    let each = now.workers.iter().map(|worker| {
        let old = old.get(&worker.worker).copied().unwrap_or(&zero);
        WorkerRates {
            worker: worker.worker,
            cpu: worker.cpu,
            loops_per_second: meter.rate(old.loops, worker.loops),
            busy_loops_per_second: meter.rate(old.busy_loops, worker.busy_loops),
            sleeps_per_second: meter.rate(old.sleeps, worker.sleeps),
        }
    });
    each.collect()
}

fn flows(before: &api::GetStatisticsResponse, now: &api::GetStatisticsResponse, meter: Meter) -> FlowRates {
    let old = before.flows.unwrap_or_default();
    let flows = now.flows.unwrap_or_default();
    FlowRates {
        used: flows.used,
        capacity: flows.capacity,
        created_per_second: meter.rate(old.created, flows.created),
        expired_per_second: meter.rate(old.expired, flows.expired),
        uncached_per_second: meter.rate(old.uncached, flows.uncached),
        frames_free: now.frames.unwrap_or_default().free,
    }
}

/// A rate with three or four digits and a decimal prefix: "950", "12.3 k", "1.23 G".
pub(crate) fn scaled(rate: f64) -> String {
    const STEPS: [(f64, &str); 4] = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    for (step, prefix) in STEPS {
        if rate >= step {
            return format!("{:.2} {prefix}", rate / step);
        }
    }
    if rate > 0.0 && rate < 10.0 {
        return format!("{rate:.1}");
    }
    format!("{rate:.0}")
}

fn bits(bytes: f64) -> Cell {
    scaled(bytes * 8.0).into()
}

impl Record for PortRates {
    const NOUNS: &'static str = "ports";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::text("PORT", |it| place(&it.name, it.port)),
        Column::number("RX PACKETS/S", |it| scaled(it.rx_packets_per_second).into()),
        Column::number("RX BIT/S", |it| bits(it.rx_bytes_per_second)),
        Column::number("TX PACKETS/S", |it| scaled(it.tx_packets_per_second).into()),
        Column::number("TX BIT/S", |it| bits(it.tx_bytes_per_second)),
        Column::number("DROPS/S", |it| scaled(it.drops_per_second).into()),
        Column::number("FLOWS", |it| it.flows.into()),
    ];
    const KEYS: &'static [Key<Self>] = &[];
}

impl Record for VrfRates {
    const NOUNS: &'static str = "VRFs";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::text("VRF", |it| place(&it.name, it.vrf)),
        Column::number("PACKETS/S", |it| scaled(it.packets_per_second).into()),
        Column::number("BIT/S", |it| bits(it.bytes_per_second)),
        Column::number("DROPS/S", |it| scaled(it.drops_per_second).into()),
    ];
    const KEYS: &'static [Key<Self>] = &[];
}

impl Record for WorkerRates {
    const NOUNS: &'static str = "workers";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::number("WORKER", |it| it.worker.into()),
        Column::number("CPU", |it| cpu(it.cpu)),
        Column::number("LOOPS/S", |it| scaled(it.loops_per_second).into()),
        Column::number("BUSY/S", |it| scaled(it.busy_loops_per_second).into()),
        Column::number("SLEEPS/S", |it| scaled(it.sleeps_per_second).into()),
    ];
    const KEYS: &'static [Key<Self>] = &[];
}

impl Record for FlowRates {
    const NOUNS: &'static str = "flows";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::number("FLOW PAIRS", |it| it.used.into()),
        Column::number("CAPACITY", |it| it.capacity.into()),
        Column::number("CREATED/S", |it| scaled(it.created_per_second).into()),
        Column::number("EXPIRED/S", |it| scaled(it.expired_per_second).into()),
        Column::number("UNCACHED/S", |it| scaled(it.uncached_per_second).into()),
        Column::number("FREE FRAMES", |it| it.frames_free.into()),
    ];
    const KEYS: &'static [Key<Self>] = &[];
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(ports: &[(u32, u64)]) -> api::GetStatisticsResponse {
        let ports = ports.iter().map(|(port, rx_packets)| api::PortStatistics {
            port: *port,
            rx_packets: *rx_packets,
            ..Default::default()
        });
        api::GetStatisticsResponse {
            ports: ports.collect(),
            ..Default::default()
        }
    }

    fn received(before: &[(u32, u64)], now: &[(u32, u64)], seconds: u64) -> Vec<(u32, f64)> {
        let rates = Rates::new(&reading(before), &reading(now), Duration::from_secs(seconds));
        rates
            .ports
            .iter()
            .map(|port| (port.port, port.rx_packets_per_second))
            .collect()
    }

    #[test]
    fn rates_are_differences_by_time() {
        assert_eq!(
            received(&[(1, 100), (2, 7)], &[(1, 300), (2, 7)], 2),
            [(1, 100.0), (2, 0.0)]
        );
    }

    #[test]
    fn new_ports_and_restarts_begin_at_zero() {
        assert_eq!(received(&[(1, 1000)], &[(2, 10), (1, 30)], 1), [(1, 30.0), (2, 10.0)]);
    }

    #[test]
    fn no_time_is_no_rate() {
        assert_eq!(received(&[(1, 0)], &[(1, 5)], 0), [(1, 0.0)]);
    }

    #[test]
    fn rates_are_scaled_for_people() {
        let shown: Vec<_> = [0.0, 0.5, 950.4, 12_345.0, 1.5e6, 2e9, 3e12]
            .into_iter()
            .map(scaled)
            .collect();
        assert_eq!(shown, ["0", "0.5", "950", "12.35 k", "1.50 M", "2.00 G", "3.00 T"]);
    }
}
