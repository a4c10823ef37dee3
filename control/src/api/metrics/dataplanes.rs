//! Of the dataplanes that control drives.

use std::sync::atomic::Ordering;

use vrouter_metrics::Page;

use crate::{
    model::Name,
    reconcile::{Board, DataplaneStatus},
    state::State,
};

type Gauge = fn(&DataplaneStatus, u64) -> u64;

pub(super) fn put(page: &mut Page, state: &State, board: &Board, named: usize) {
    let revision = state.revision();
    let nodes = board.nodes();
    let all: Vec<(&Name, DataplaneStatus)> = nodes
        .iter()
        .filter_map(|node| Some((node, board.status(node)?.1)))
        .collect();
    let gauges: [(&str, &str, Gauge); 3] = [
        (
            "vrouter_control_dataplane_connected",
            "Whether the node's dataplane is connected and has been compared with what is wished.",
            |status, _| u64::from(status.connected),
        ),
        (
            "vrouter_control_dataplane_revision_lag",
            "Revisions of the store that are not programmed yet.",
            |status, revision| revision.saturating_sub(status.synced_revision),
        ),
        (
            "vrouter_control_dataplane_refused_objects",
            "Objects that the dataplane refuses; they are tried again from time to time.",
            |status, _| status.refused,
        ),
    ];
    for (name, help, value) in gauges {
        let mut family = page.gauge(name, help);
        for (node, status) in all.iter().take(named) {
            family.put(&[("node", node.as_str())], value(status, revision));
        }
    }
    let state_of = |status: &DataplaneStatus| match status {
        DataplaneStatus { connected: false, .. } => 0,
        status if status.synced_revision < revision => 1,
        status if status.refused > 0 => 2,
        _ => 3,
    };
    let mut counts = [0_u64; 4];
    for (_, status) in &all {
        counts[state_of(status)] += 1;
    }
    let mut family = page.gauge(
        "vrouter_control_dataplanes",
        "Dataplanes: disconnected, behind the store, refusing objects, or all well.",
    );
    for (word, count) in ["disconnected", "pending", "refusing", "synced"]
        .into_iter()
        .zip(counts)
    {
        family.put(&[("state", word)], count);
    }
    let done = board.counts();
    page.counter(
        "vrouter_control_dataplane_connections",
        "Connections to dataplanes that were made.",
    )
    .put(&[], done.connections.load(Ordering::Relaxed));
    page.counter(
        "vrouter_control_dataplane_connection_failures",
        "Connections to dataplanes that could not be made, or were lost.",
    )
    .put(&[], done.broken.load(Ordering::Relaxed));
    page.histogram(
        "vrouter_control_apply_duration_seconds",
        "Time to program one stage of a difference into a dataplane.",
    )
    .distribution(&[], &done.applies.read());
}
