//! Flows.

use vrouter_proto::dataplane as pb;

use super::field;
use crate::{
    program::problem::Refusal,
    telemetry::{FlowFilter, FlowRow},
    wire::IpPrefix,
};

/// Flows listed unless said otherwise.
const DEFAULT_LIMIT: u32 = 10_000;

/// What is asked for: which flows, and how many at most.
///
/// # Errors
/// Which field is malformed or out of range.
pub(in crate::api) fn filter(request: &pb::ListFlowsRequest) -> Result<(FlowFilter, usize), Refusal> {
    let text = request.address.as_str();
    let address = match text.parse() {
        _ if text.is_empty() => None,
        Ok(address) => Some(IpPrefix::host(address)),
        Err(_) => Some(field::prefix("address", text)?),
    };
    let out = |field, value, most| {
        let message = format!("{value} is out of range: it must be from 1 to {most}, or 0 for all");
        Refusal::invalid(field, message)
    };
    let l4_port = u16::try_from(request.l4_port).map_err(|_| out("l4_port", request.l4_port, u32::from(u16::MAX)))?;
    let protocol = u8::try_from(request.protocol).map_err(|_| out("protocol", request.protocol, u32::from(u8::MAX)))?;
    let limit = if request.limit == 0 {
        DEFAULT_LIMIT
    } else {
        request.limit
    };
    let filter = FlowFilter {
        vrf: field::optional_id(request.vrf),
        address,
        l4_port: field::optional_id(l4_port),
        protocol: field::optional_id(protocol),
        port: field::optional_id(request.port),
    };
    Ok((filter, limit as usize))
}

/// A flow's direction as it is listed.
pub(in crate::api) fn flow(flow: FlowRow) -> pb::Flow {
    pb::Flow {
        vrf: flow.vrf,
        source: flow.source.to_string(),
        destination: flow.destination.to_string(),
        protocol: flow.protocol.into(),
        source_port: flow.source_port.into(),
        destination_port: flow.destination_port.into(),
        in_port: flow.port.unwrap_or(0),
        next_hop: flow.next_hop.unwrap_or(0),
        action: flow.action,
        packets: flow.packets,
        bytes: flow.bytes,
        idle_seconds: flow.idle_seconds,
        age_seconds: flow.age_seconds,
        forward: flow.forward,
        ..pb::Flow::default()
    }
}
