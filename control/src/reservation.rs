//! Addresses that are kept for somebody who has not come yet: endpoints that are attached to nothing, made by whoever asks for addresses first and
//! for the rest later.
//!
//! They carry a label that says since when, so that what was forgotten has a name and can be told from what is under way. Whoever made them clears them;
//! [`findings`] names those that nobody cleared.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::state::State;

/// The label of an endpoint that only keeps addresses. Its value: since when, in seconds since 1970.
pub const LABEL: &str = "vrouter.reserved-since";
/// How long a reservation may last before it counts as forgotten. Whoever makes reservations clears them sooner.
pub const FORGOTTEN: Duration = Duration::from_secs(180);

/// What audit says of reservations that nobody came for.
pub(crate) fn findings(state: &State, now: SystemTime) -> Vec<String> {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut found = Vec::new();
    for endpoint in state.endpoints().filter(|endpoint| endpoint.interface.is_none()) {
        let Some(since) = endpoint.labels.get(LABEL) else {
            continue;
        };
        let seconds = since.parse().map_or(now, |since: u64| now.saturating_sub(since));
        if seconds < FORGOTTEN.as_secs() {
            continue;
        }
        let addresses: Vec<String> = endpoint.addresses.iter().map(ToString::to_string).collect();
        let place = endpoint
            .node
            .as_ref()
            .map(|node| format!(" on node {node}"))
            .unwrap_or_default();
        found.push(format!(
            "endpoint {}/{}{place} keeps {} for nobody, since {seconds} seconds; if the plugin that reserved it is gone for good, delete it",
            endpoint.network,
            endpoint.name,
            addresses.join(", ")
        ));
    }
    found
}
