//! Of each port, VRF, translation and service.

use vrouter_metrics::Page;

use super::labels::{Named, bounded};
use crate::{
    api::view::View,
    program::object::Mode,
    tables::port::Role,
    telemetry::{DropTotals, PortStatistics, ServiceStatistics, SourceNatStatistics, Statistics, VrfStatistics},
};

pub(super) fn put(page: &mut Page, view: &View, statistics: &Statistics, named: usize) {
    let all = bounded(
        statistics.ports.clone(),
        named,
        |port| (port.id, &port.name),
        |sum, port| {
            sum.totals.rx_packets += port.totals.rx_packets;
            sum.totals.rx_bytes += port.totals.rx_bytes;
            sum.totals.tx_packets += port.totals.tx_packets;
            sum.totals.tx_bytes += port.totals.tx_bytes;
            sum.totals.drops.merge(&port.totals.drops);
            sum.flows = sum.flows.saturating_add(port.flows);
        },
    );
    ports(page, &all);
    attachments(page, view, named);
    let all = bounded(
        statistics.vrfs.clone(),
        named,
        |vrf| (vrf.id, &vrf.name),
        |sum, vrf| {
            sum.totals.packets += vrf.totals.packets;
            sum.totals.bytes += vrf.totals.bytes;
            sum.totals.drops.merge(&vrf.totals.drops);
        },
    );
    vrfs(page, &all);
    source_nats(page, statistics, named);
    services(page, statistics, named);
}

type PortCount = fn(&PortStatistics) -> u64;

fn ports(page: &mut Page, all: &[(Named, PortStatistics)]) {
    let counters: [(&str, &str, PortCount); 4] = [
        ("vrouter_port_received_packets", "Packets received.", |port| {
            port.totals.rx_packets
        }),
        (
            "vrouter_port_received_bytes",
            "Bytes received, from the Ethernet header on.",
            |port| port.totals.rx_bytes,
        ),
        ("vrouter_port_sent_packets", "Packets sent.", |port| {
            port.totals.tx_packets
        }),
        (
            "vrouter_port_sent_bytes",
            "Bytes sent, from the Ethernet header on.",
            |port| port.totals.tx_bytes,
        ),
    ];
    for (name, help, count) in counters {
        let mut family = page.counter(name, help);
        for (named, port) in all {
            family.put(&[("port_id", &named.id), ("port", &named.name)], count(port));
        }
    }
    let mut family = page.counter(
        "vrouter_port_drops",
        "Packets dropped that came in by the port, or, where it could not send, were to go out by it.",
    );
    for (named, port) in all {
        for (reason, count) in dropped(&port.totals.drops) {
            let labels = [
                ("port_id", named.id.as_str()),
                ("port", &named.name),
                ("reason", reason),
            ];
            family.put(&labels, count);
        }
    }
    let mut family = page.gauge("vrouter_port_flows", "Flows on account of the port.");
    for (named, port) in all {
        family.put(&[("port_id", &named.id), ("port", &named.name)], port.flows);
    }
}

/// The reasons for which anything was dropped.
fn dropped(drops: &DropTotals) -> impl Iterator<Item = (&'static str, u64)> + '_ {
    let some = drops.iter().filter(|(_, count)| *count > 0);
    some.map(|(reason, count)| (reason.name(), count))
}

/// How ports are attached. Beyond the bound they are only counted.
fn attachments(page: &mut Page, view: &View, named: usize) {
    let tables = view.snapshot.tables();
    let mut ports: Vec<_> = view
        .snapshot
        .port_slots()
        .filter_map(|slot| Some((tables.port(slot)?, view.snapshot.attachment(slot))))
        .collect();
    ports.sort_by_key(|(port, _)| port.id);
    let mut family = page.info("vrouter_port", "How a port is attached.");
    for (port, status) in ports.iter().take(named) {
        let labels = Named::new(port.id, &port.name);
        let mode = match status.map(|status| status.attached.mode) {
            None => "none",
            Some(Mode::Auto) => "auto",
            Some(Mode::NativeCopy) => "native",
            Some(Mode::NativeZeroCopy) => "native-zc",
            Some(Mode::Generic) => "generic",
            Some(Mode::Packet) => "packet",
            Some(Mode::Memory) => "memory",
        };
        let kind = match port.role {
            Role::Uplink => "uplink",
            Role::Routed { .. } => "routed",
            Role::Bridged { .. } => "bridged",
        };
        family.put(
            &[
                ("port_id", &labels.id),
                ("port", &labels.name),
                ("kind", kind),
                ("mode", mode),
            ],
            1_u64,
        );
    }
    let up = ports.iter().filter(|(port, _)| port.workers != 0).count();
    page.gauge("vrouter_ports", "Ports and uplinks, by whether they carry packets.")
        .put(&[("state", "up")], up)
        .put(&[("state", "down")], ports.len() - up);
}

fn vrfs(page: &mut Page, all: &[(Named, VrfStatistics)]) {
    let mut family = page.counter("vrouter_vrf_packets", "Packets looked up in the VRF.");
    for (named, vrf) in all {
        family.put(&[("vrf_id", &named.id), ("vrf", &named.name)], vrf.totals.packets);
    }
    let mut family = page.counter("vrouter_vrf_bytes", "Bytes of these, from the IP header on.");
    for (named, vrf) in all {
        family.put(&[("vrf_id", &named.id), ("vrf", &named.name)], vrf.totals.bytes);
    }
    let mut family = page.counter(
        "vrouter_vrf_drops",
        "Packets dropped after they were known to belong to the VRF: the same that ports count.",
    );
    for (named, vrf) in all {
        for (reason, count) in dropped(&vrf.totals.drops) {
            let labels = [("vrf_id", named.id.as_str()), ("vrf", &named.name), ("reason", reason)];
            family.put(&labels, count);
        }
    }
}

fn source_nats(page: &mut Page, statistics: &Statistics, named: usize) {
    let all = bounded(
        statistics.source_nats.clone(),
        named,
        |nat| (nat.id, &nat.name),
        |sum: &mut SourceNatStatistics, nat| {
            sum.pool.blocks += nat.pool.blocks;
            sum.pool.blocks_used += nat.pool.blocks_used;
            sum.pool.refused_source += nat.pool.refused_source;
            sum.pool.refused_blocks += nat.pool.refused_blocks;
        },
    );
    let labels = |named: &Named| [("source_nat_id", named.id.clone()), ("source_nat", named.name.clone())];
    let mut family = page.gauge(
        "vrouter_source_nat_blocks",
        "Blocks of ports that sources are translated to.",
    );
    for (named, nat) in &all {
        let [a, b] = labels(named);
        family.put(&[(a.0, &a.1), (b.0, &b.1)], nat.pool.blocks);
    }
    let mut family = page.gauge("vrouter_source_nat_blocks_used", "Blocks of ports that a source owns.");
    for (named, nat) in &all {
        let [a, b] = labels(named);
        family.put(&[(a.0, &a.1), (b.0, &b.1)], nat.pool.blocks_used);
    }
    let mut family = page.counter(
        "vrouter_source_nat_refused_flows",
        "Flows refused: their source has as many blocks as it may, or none is free.",
    );
    for (named, nat) in &all {
        let [a, b] = labels(named);
        for (reason, count) in [
            ("source", nat.pool.refused_source),
            ("exhausted", nat.pool.refused_blocks),
        ] {
            family.put(&[(a.0, &a.1), (b.0, &b.1), ("reason", reason)], count);
        }
    }
}

fn services(page: &mut Page, statistics: &Statistics, named: usize) {
    let all = bounded(
        statistics.services.clone(),
        named,
        |service| (service.id, &service.name),
        |sum: &mut ServiceStatistics, service| sum.flows.extend(service.flows),
    );
    let mut family = page.counter(
        "vrouter_service_flows",
        "Flows begun to a service that has backends here.",
    );
    for (named, service) in &all {
        let labels = [("service_id", named.id.as_str()), ("service", &named.name)];
        family.put(&labels, service.flows.iter().sum::<u64>());
    }
    let mut family = page.gauge("vrouter_service_backends", "Backends that a service has now.");
    for (named, service) in &all {
        let labels = [("service_id", named.id.as_str()), ("service", &named.name)];
        family.put(&labels, service.flows.len());
    }
}
