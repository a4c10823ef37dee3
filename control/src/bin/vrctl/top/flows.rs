//! The busiest flows: by what they counted between two readings.

use std::collections::HashMap;

use serde::Serialize;
use vrouter_proto::dataplane as api;

use crate::{filter::protocol, telemetry::rates::Meter};

/// One direction of a flow.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct FlowRates {
    pub(super) vrf: u32,
    pub(super) protocol: String,
    pub(super) source: String,
    pub(super) destination: String,
    pub(super) packets_per_second: f64,
    pub(super) bits_per_second: f64,
    pub(super) state: String,
    /// Why it is refused; empty where it is not.
    pub(super) drop_reason: String,
}

type Key<'a> = (u32, u32, &'a str, u32, &'a str, u32);

fn key(flow: &api::Flow) -> Key<'_> {
    (
        flow.vrf,
        flow.protocol,
        &flow.source,
        flow.source_port,
        &flow.destination,
        flow.destination_port,
    )
}

fn end(address: &str, protocol: u32, port: u32) -> String {
    match (protocol::has_ports(protocol), address.contains(':')) {
        (false, _) => address.to_owned(),
        (true, false) => format!("{address}:{port}"),
        (true, true) => format!("[{address}]:{port}"),
    }
}

/// Flows that moved packets from one reading to the next. One that was not there before began meanwhile, or was not looked at: what it counted before
/// cannot be told apart only in the latter case, so its age decides.
pub(super) fn flows(before: &[api::Flow], now: &[api::Flow], meter: Meter) -> Vec<FlowRates> {
    let old: HashMap<Key<'_>, &api::Flow> = before.iter().map(|flow| (key(flow), flow)).collect();
    let each = now.iter().filter_map(|flow| {
        let (packets, bytes) = match old.get(&key(flow)) {
            Some(old) => (old.packets, old.bytes),
            None if f64::from(flow.age_seconds) <= meter.seconds + 1.0 => (0, 0),
            None => return None,
        };
        let packets_per_second = meter.rate(packets, flow.packets);
        (packets_per_second > 0.0).then(|| FlowRates {
            vrf: flow.vrf,
            protocol: protocol::name(flow.protocol),
            source: end(&flow.source, flow.protocol, flow.source_port),
            destination: end(&flow.destination, flow.protocol, flow.destination_port),
            packets_per_second,
            bits_per_second: 8.0 * meter.rate(bytes, flow.bytes),
            state: flow.state.clone(),
            drop_reason: flow
                .decision
                .as_ref()
                .map(|d| d.drop_reason.clone())
                .unwrap_or_default(),
        })
    });
    each.collect()
}
