//! What happened between two readings of one node, each number per second.

use std::{
    collections::{BTreeMap, HashMap},
    time::Instant,
};

use serde::Serialize;
use vrouter_proto::dataplane as api;

use super::flows::{FlowRates, flows};
use crate::telemetry::rates::Meter;

/// What a node said at one moment.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    pub(super) node: String,
    pub(super) at: Instant,
    pub(super) statistics: api::GetStatisticsResponse,
    pub(super) flows: Vec<api::Flow>,
}

/// All that is shown.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Frame {
    pub(super) node: String,
    pub(super) revision: u64,
    pub(super) interval_seconds: f64,
    pub(super) totals: Totals,
    pub(super) ports: Vec<PortRates>,
    pub(super) flows: Vec<FlowRates>,
    pub(super) drops: Vec<DropRates>,
    pub(super) workers: Vec<WorkerRates>,
}

/// Of the node as a whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Totals {
    pub(super) rx_packets_per_second: f64,
    pub(super) rx_bits_per_second: f64,
    pub(super) tx_packets_per_second: f64,
    pub(super) tx_bits_per_second: f64,
    pub(super) drops_per_second: f64,
    pub(super) flows: u64,
    pub(super) flow_capacity: u64,
    pub(super) flows_created_per_second: f64,
    pub(super) frames_free: u64,
    pub(super) frames: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct PortRates {
    pub(super) port: u32,
    pub(super) name: String,
    pub(super) rx_packets_per_second: f64,
    pub(super) rx_bits_per_second: f64,
    pub(super) tx_packets_per_second: f64,
    pub(super) tx_bits_per_second: f64,
    pub(super) drops_per_second: f64,
    pub(super) flows: u64,
}

/// Drops for one reason, at all ports.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct DropRates {
    pub(super) reason: String,
    pub(super) packets_per_second: f64,
    /// Since the ports that are there were made.
    pub(super) packets: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct WorkerRates {
    pub(super) worker: u32,
    /// -1: not pinned.
    pub(super) cpu: i32,
    /// Of its turns, those that moved packets: 0 to 1.
    pub(super) busy: f64,
    pub(super) turns_per_second: f64,
    pub(super) sleeps_per_second: f64,
    /// Since the start: packets of half of all batches, and nanoseconds of 99 of 100.
    pub(super) batch_p50: u64,
    pub(super) batch_p99_nanoseconds: u64,
}

impl Frame {
    /// What happened from `before` to `now`. Nothing, if they are one.
    pub(super) fn new(before: &Reading, now: &Reading) -> Self {
        let seconds = now.at.saturating_duration_since(before.at).as_secs_f64();
        let meter = Meter { seconds };
        let (old, new) = (&before.statistics, &now.statistics);
        let ports = ports(old, new, meter);
        Self {
            node: now.node.clone(),
            revision: new.revision,
            interval_seconds: seconds,
            totals: totals(&ports, old, new, meter),
            flows: flows(&before.flows, &now.flows, meter),
            drops: drops(old, new, meter),
            workers: workers(old, new, meter),
            ports,
        }
    }
}

fn ports(old: &api::GetStatisticsResponse, new: &api::GetStatisticsResponse, meter: Meter) -> Vec<PortRates> {
    let before: HashMap<u32, &api::PortStatistics> = old.ports.iter().map(|port| (port.port, port)).collect();
    let zero = api::PortStatistics::default();
    let sum = |drops: &[api::DropCount]| drops.iter().map(|drop| drop.packets).sum();
    let each = new.ports.iter().map(|port| {
        let old = before.get(&port.port).copied().unwrap_or(&zero);
        PortRates {
            port: port.port,
            name: if port.name.is_empty() {
                port.port.to_string()
            } else {
                port.name.clone()
            },
            rx_packets_per_second: meter.rate(old.rx_packets, port.rx_packets),
            rx_bits_per_second: 8.0 * meter.rate(old.rx_bytes, port.rx_bytes),
            tx_packets_per_second: meter.rate(old.tx_packets, port.tx_packets),
            tx_bits_per_second: 8.0 * meter.rate(old.tx_bytes, port.tx_bytes),
            drops_per_second: meter.rate(sum(&old.drops), sum(&port.drops)),
            flows: port.flows,
        }
    });
    each.collect()
}

fn totals(
    ports: &[PortRates],
    old: &api::GetStatisticsResponse,
    new: &api::GetStatisticsResponse,
    meter: Meter,
) -> Totals {
    let sum = |of: fn(&PortRates) -> f64| ports.iter().map(of).sum();
    let (before, flows) = (old.flows.unwrap_or_default(), new.flows.unwrap_or_default());
    let frames = new.frames.unwrap_or_default();
    Totals {
        rx_packets_per_second: sum(|port| port.rx_packets_per_second),
        rx_bits_per_second: sum(|port| port.rx_bits_per_second),
        tx_packets_per_second: sum(|port| port.tx_packets_per_second),
        tx_bits_per_second: sum(|port| port.tx_bits_per_second),
        drops_per_second: sum(|port| port.drops_per_second),
        flows: flows.used,
        flow_capacity: flows.capacity,
        flows_created_per_second: meter.rate(before.created, flows.created),
        frames_free: frames.free,
        frames: frames.total,
    }
}

fn drops(old: &api::GetStatisticsResponse, new: &api::GetStatisticsResponse, meter: Meter) -> Vec<DropRates> {
    let by_reason = |statistics: &api::GetStatisticsResponse| {
        let mut all = BTreeMap::<String, u64>::new();
        for drop in statistics.ports.iter().flat_map(|port| &port.drops) {
            *all.entry(drop.reason.clone()).or_default() += drop.packets;
        }
        all
    };
    let before = by_reason(old);
    let each = by_reason(new).into_iter().map(|(reason, packets)| DropRates {
        packets_per_second: meter.rate(before.get(&reason).copied().unwrap_or(0), packets),
        reason,
        packets,
    });
    each.collect()
}

fn workers(old: &api::GetStatisticsResponse, new: &api::GetStatisticsResponse, meter: Meter) -> Vec<WorkerRates> {
    let before: HashMap<u32, &api::WorkerStatistics> = old.workers.iter().map(|w| (w.worker, w)).collect();
    let zero = api::WorkerStatistics::default();
    let each = new.workers.iter().map(|worker| {
        let old = before.get(&worker.worker).copied().unwrap_or(&zero);
        let turns = meter.rate(old.loops, worker.loops);
        let busy = meter.rate(old.busy_loops, worker.busy_loops);
        WorkerRates {
            worker: worker.worker,
            cpu: worker.cpu,
            busy: if turns > 0.0 { (busy / turns).min(1.0) } else { 0.0 },
            turns_per_second: turns,
            sleeps_per_second: meter.rate(old.sleeps, worker.sleeps),
            batch_p50: worker.batch_size.unwrap_or_default().p50,
            batch_p99_nanoseconds: worker.batch_nanoseconds.unwrap_or_default().p99,
        }
    });
    each.collect()
}
