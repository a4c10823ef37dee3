//! Of the node as a whole: what it is, its packets, flows, frames, objects and batches.

use std::sync::atomic::Ordering;

use vrouter_metrics::Page;

use crate::{
    api::{flow_export::ExportCounts, handle::BatchCounts, view::View},
    telemetry::{self, Statistics},
};

pub(super) fn put(page: &mut Page, view: &View, statistics: &Statistics) {
    page.info("vrouter_build", "What this vrouterd is.").put(
        &[("version", env!("CARGO_PKG_VERSION")), ("program", "vrouterd")],
        1_u64,
    );
    page.info("vrouter_node", "The node, and the run of vrouterd on it.")
        .put(&[("node", &view.about.node), ("run", &view.about.instance)], 1_u64);
    page.gauge("vrouter_revision", "Revision of the tables in force.")
        .put(&[], statistics.revision);
    packets(page, view, statistics);
    flows(page, statistics);
    objects(page, view);
    let frames = &statistics.frames;
    page.gauge("vrouter_frames", "Frames of packet memory, without large ones.")
        .put(&[], frames.total);
    page.gauge(
        "vrouter_frames_free",
        "Frames that nobody uses: neither in a ring of the kernel nor in a worker's hands.",
    )
    .put(&[], frames.free);
    page.gauge("vrouter_frame_size_bytes", "Size of a frame.")
        .put(&[], frames.size);
}

fn packets(page: &mut Page, view: &View, statistics: &Statistics) {
    let totals = telemetry::node_totals(&view.sources, &view.baselines);
    page.counter(
        "vrouter_received_packets",
        "Packets received, by all ports, those included that are gone.",
    )
    .put(&[], totals.rx_packets);
    page.counter("vrouter_received_bytes", "Bytes of these, from the Ethernet header on.")
        .put(&[], totals.rx_bytes);
    page.counter(
        "vrouter_sent_packets",
        "Packets sent, by all ports, those included that are gone.",
    )
    .put(&[], totals.tx_packets);
    page.counter("vrouter_sent_bytes", "Bytes of these, from the Ethernet header on.")
        .put(&[], totals.tx_bytes);
    let mut drops = page.counter(
        "vrouter_drops",
        "Packets dropped, by reason, at all ports, those included that are gone. Each packet has one reason.",
    );
    for (reason, count) in totals.drops.iter() {
        drops.put(&[("reason", reason.name())], count);
    }
    let packets = &statistics.packets;
    for (name, help, count) in [
        (
            "vrouter_originated_packets",
            "Frames that the router made itself: answers, errors, copies for flooding, fragments, segments.",
            packets.originated,
        ),
        (
            "vrouter_fragmented_packets",
            "Packets that went on as fragments.",
            packets.fragmented,
        ),
        (
            "vrouter_segmented_packets",
            "TCP packets that went on as smaller segments.",
            packets.segmented,
        ),
        (
            "vrouter_coalesced_packets",
            "Frames that went out as part of another, larger one.",
            packets.coalesced,
        ),
        (
            "vrouter_icmp_errors_withheld",
            "ICMP errors that were due and not sent: beyond the rate limit, or no frame was free.",
            packets.errors_withheld,
        ),
        (
            "vrouter_mirrored_packets",
            "Copies that mirrors made.",
            packets.mirrored,
        ),
        (
            "vrouter_mirror_lost_packets",
            "Copies that mirrors could not make: no frame was free.",
            packets.mirror_lost,
        ),
        (
            "vrouter_uncached_packets",
            "Packets forwarded without a flow entry: their port's share, or the table, was used up.",
            statistics.flows.uncached,
        ),
        (
            "vrouter_fragment_datagrams_tracked",
            "Datagrams that came in fragments.",
            statistics.fragments.tracked,
        ),
    ] {
        page.counter(name, help).put(&[], count);
    }
    page.gauge("vrouter_shaped_packets", "Packets held back now by limits.")
        .put(&[], packets.shaped);
    page.gauge(
        "vrouter_fragments_held",
        "Fragments held now for a head that has not come.",
    )
    .put(&[], statistics.fragments.held);
    page.gauge(
        "vrouter_fragment_datagrams",
        "Datagrams whose fragments are remembered now.",
    )
    .put(&[], statistics.fragments.datagrams);
}

fn flows(page: &mut Page, statistics: &Statistics) {
    let flows = &statistics.flows;
    page.gauge("vrouter_flows", "Flows in the table, both directions as one.")
        .put(&[], flows.used);
    page.gauge("vrouter_flows_capacity", "Flows that fit.")
        .put(&[], flows.capacity);
    page.counter("vrouter_flows_created", "Flows made.")
        .put(&[], flows.created);
    page.counter(
        "vrouter_flows_ended",
        "Flows that are over: idle or closed; or removed to make room for others of their port.",
    )
    .put(&[("reason", "expired")], flows.expired)
    .put(&[("reason", "evicted")], flows.evicted);
    page.counter(
        "vrouter_flows_refused",
        "First packets dropped because there was no room for the flow that they need.",
    )
    .put(&[], flows.refused);
}

fn objects(page: &mut Page, view: &View) {
    let snapshot = &view.snapshot;
    let mut objects = page.gauge("vrouter_objects", "Objects that are programmed, by kind.");
    for (kind, count) in snapshot.counts() {
        objects.put(&[("kind", kind)], count);
    }
    let (up, down) = snapshot.next_hop_counts();
    page.gauge(
        "vrouter_next_hops",
        "Next hops: up, or down where packets cannot leave by them now.",
    )
    .put(&[("state", "up")], up)
    .put(&[("state", "down")], down);
    let (well, unwell) = snapshot.health_counts();
    page.gauge(
        "vrouter_health_checks",
        "Health checks of workloads on this node, by what they found out.",
    )
    .put(&[("state", "healthy")], well)
    .put(&[("state", "unhealthy")], unwell);
}

pub(super) fn put_batches(page: &mut Page, batches: &BatchCounts) {
    let load = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
    page.counter("vrouter_apply_batches", "Batches of changes, by what became of them.")
        .put(&[("result", "applied")], load(&batches.applied))
        .put(&[("result", "refused")], load(&batches.refused));
    page.counter("vrouter_apply_operations", "Operations of batches that were applied.")
        .put(&[], load(&batches.operations));
    page.histogram(
        "vrouter_apply_duration_seconds",
        "Time from when a batch was handed to the programming thread to its answer.",
    )
    .distribution(&[], &batches.took.read());
}

/// What became of records for collectors. Zeros where none is told.
pub(super) fn put_export(page: &mut Page, export: &ExportCounts) {
    let load = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
    page.counter(
        "vrouter_ipfix_records",
        "Records of flows for IPFIX collectors: sent; beyond the budget; or lost because flows ended faster than they were read.",
    )
    .put(&[("result", "sent")], load(&export.records))
    .put(&[("result", "over_budget")], load(&export.over_budget))
    .put(&[("result", "lost")], load(&export.lost));
    page.counter("vrouter_ipfix_messages", "IPFIX messages sent, to each collector.")
        .put(&[("result", "sent")], load(&export.messages))
        .put(&[("result", "refused")], load(&export.refused));
}
