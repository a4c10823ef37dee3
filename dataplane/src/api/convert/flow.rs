//! Flows.

use vrouter_proto::dataplane as pb;

use super::field;
use crate::{
    api::flow_watch::{self, Wish},
    pipeline::FlowChange,
    program::problem::Refusal,
    tables::policy::Verdict,
    telemetry::{FlowFilter, FlowRow, FlowVerdict},
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

/// What a watcher of flows asks for.
///
/// # Errors
/// As [`filter`], and verdicts that are none.
pub(in crate::api) fn watch_filter(request: &pb::WatchFlowsRequest) -> Result<Wish, Refusal> {
    let (filter, _) = filter(&pb::ListFlowsRequest {
        vrf: request.vrf,
        address: request.address.clone(),
        l4_port: request.l4_port,
        protocol: request.protocol,
        port: request.port,
        limit: 0,
    })?;
    let mut verdicts = 0;
    for verdict in &request.verdicts {
        verdicts |= flow_watch::bit(match pb::Verdict::try_from(*verdict) {
            Ok(pb::Verdict::Allow) => Verdict::Allow,
            Ok(pb::Verdict::Deny) => Verdict::Deny,
            Ok(pb::Verdict::Audit) => Verdict::Audit,
            Ok(pb::Verdict::Unspecified) | Err(_) => {
                let message = format!("{verdict} is no verdict; give ALLOW (1), DENY (2), AUDIT (3), or none for all");
                return Err(Refusal::invalid("verdicts", message));
            }
        });
    }
    Ok(Wish {
        filter,
        verdicts: if verdicts == 0 { u8::MAX } else { verdicts },
        logged_only: request.logged_only,
    })
}

/// An event as it is told.
pub(in crate::api) fn flow_event(change: FlowChange, time: u64, row: FlowRow, lost: u64) -> pb::FlowEvent {
    let kind = match change {
        FlowChange::Created => pb::flow_event::Type::Created,
        FlowChange::Denied => pb::flow_event::Type::Denied,
        FlowChange::Changed => pb::flow_event::Type::Changed,
        FlowChange::Ended => pb::flow_event::Type::Ended,
    };
    pb::FlowEvent {
        r#type: kind.into(),
        time,
        flow: Some(flow(row)),
        lost,
    }
}

fn decision(verdict: FlowVerdict) -> pb::Decision {
    pb::Decision {
        verdict: match verdict.verdict {
            Verdict::Allow => pb::Verdict::Allow,
            Verdict::Deny => pb::Verdict::Deny,
            Verdict::Audit => pb::Verdict::Audit,
        }
        .into(),
        egress_rule: verdict.egress_rule,
        ingress_rule: verdict.ingress_rule,
        drop_reason: verdict.drop_reason.to_owned(),
    }
}

/// A flow's direction as it is listed.
pub(in crate::api) fn flow(flow: FlowRow) -> pb::Flow {
    let end = |end: Option<(std::net::IpAddr, u16)>| {
        end.map(|(address, port)| (address.to_string(), u32::from(port)))
            .unwrap_or_default()
    };
    let (translated_source, translated_source_port) = end(flow.translated.and_then(|t| t.source));
    let (translated_destination, translated_destination_port) = end(flow.translated.and_then(|t| t.destination));
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
        decision: flow.verdict.map(decision),
        state: flow.state.to_owned(),
        translated_source,
        translated_destination,
        translated_source_port,
        translated_destination_port,
        translated_vrf: flow.translated.map_or(0, |t| t.vrf),
    }
}
