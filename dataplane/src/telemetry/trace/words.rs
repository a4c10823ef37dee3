//! The steps of a trace that are not decisions, in words.

use std::net::IpAddr;

use super::{Output, Step};
use crate::{
    packet::{DropReason, FlowKey},
    pipeline::{FlowAction, FlowFlags, Shared},
    tables::{
        Tables,
        flow::FlowHit,
        port::Role,
        slots::{PortSlot, VrfSlot},
    },
    telemetry::verdict,
    wire::{Parsed, addresses, ethertype, parse, proto, udp},
};

/// What comes in.
pub(super) fn arrival(tables: &Tables, port: PortSlot, frame: &[u8]) -> Step {
    let name = tables.port(port).map_or("", |port| &port.name);
    let uplink = tables.port(port).is_some_and(|port| port.role == Role::Uplink);
    let detail = match parse(frame) {
        Ok(parsed) => match (uplink, tunnel(frame, &parsed)) {
            (true, Some((source, what))) => format!("{} bytes from {source}: {what}", frame.len()),
            _ => format!("{} bytes: {}", frame.len(), describe(frame, &parsed)),
        },
        Err(error) => format!("{} bytes that are malformed: {error}", frame.len()),
    };
    Step {
        stage: "parse",
        detail,
        object: format!("port {name}"),
    }
}

/// The flow that a packet meets.
pub(super) fn flow(tables: &Tables, live: &Shared, key: &FlowKey, hit: &FlowHit) -> Step {
    let action = FlowAction::unpack(hit.action);
    let current = VrfSlot::new(key.context() as usize)
        .and_then(|slot| tables.vrf(slot))
        .is_some_and(|vrf| tables.is_current(hit.epoch, vrf, action.vrf_out));
    let (own, other) = (live.flows.state(hit.flow), live.flows.sibling_state(hit.flow));
    let forward = !hit.flow.is_reverse();
    let words = if forward { [own, other] } else { [other, own] };
    let state = verdict::state(key.protocol(), words, action.is_denied());
    let side = if forward {
        "known flow"
    } else {
        "answer of a known flow"
    };
    let mut detail = format!("{side}, {state}");
    if current {
        let account = live.flows.entry_of(hit.flow).map_or(0, |entry| entry.port);
        let said = verdict::verdict(tables, &action, forward, account);
        for (what, rule) in [("egress", &said.egress_rule), ("ingress", &said.ingress_rule)] {
            if !rule.is_empty() {
                detail.push_str(&format!(", {what} decided by {rule}"));
            }
        }
        if action.flags.has(FlowFlags::TRANSLATE) {
            detail.push_str(", translated");
        }
    } else {
        detail.push_str(", decided before the tables changed: decided anew");
    }
    Step {
        stage: "flow",
        detail,
        object: format!("flow {}", hit.flow.pair()),
    }
}

/// What leaves.
pub(super) fn departure(output: &Output, is_answer: bool) -> Vec<Step> {
    let object = format!("port {}", output.name);
    let parsed = parse(&output.frame).ok();
    let mut steps = Vec::new();
    if let (Some(vtep), Some(parsed)) = (output.vtep, &parsed) {
        let what = tunnel(&output.frame, parsed).map(|(_, what)| what).unwrap_or_default();
        steps.push(Step {
            stage: "encapsulate",
            detail: format!("{what} to {vtep}"),
            object: String::new(),
        });
    }
    let what = parsed.map_or_else(String::new, |parsed| describe(&output.frame, &parsed));
    let detail = match (is_answer, output.vtep) {
        (true, _) => format!("{} bytes back to the sender: {what}", output.frame.len()),
        (false, Some(_)) => format!("{} bytes by the uplink", output.frame.len()),
        (false, None) => format!("{} bytes: {what}", output.frame.len()),
    };
    steps.push(Step {
        stage: "transmit",
        detail,
        object,
    });
    steps
}

/// The end of a packet.
pub(super) fn dropped(reason: DropReason) -> Step {
    Step {
        stage: "drop",
        detail: format!("{}: {}", reason.name(), reason.description()),
        object: String::new(),
    }
}

/// The destination of a tunnel packet.
pub(super) fn remote_vtep(frame: &[u8]) -> Option<IpAddr> {
    let parsed = parse(frame).ok()?;
    let is_tunnel = parsed.proto == proto::UDP && matches!(parsed.dst_port, udp::PORT_VXLAN | udp::PORT_MPLS);
    is_tunnel.then(|| ends(frame, &parsed)).flatten().map(|(_, to)| to)
}

/// Sender of a tunnel packet, and what it is: "VXLAN VNI 7".
fn tunnel(frame: &[u8], parsed: &Parsed) -> Option<(IpAddr, String)> {
    if parsed.proto != proto::UDP || parsed.is_fragment() {
        return None;
    }
    let (from, _) = ends(frame, parsed)?;
    let shim = frame.get(usize::from(parsed.l4) + 8..)?.first_chunk::<8>()?;
    let words = match parsed.dst_port {
        udp::PORT_VXLAN => format!("VXLAN VNI {}", u32::from_be_bytes([0, shim[4], shim[5], shim[6]])),
        udp::PORT_MPLS => format!("MPLS label {}", u32::from_be_bytes([0, shim[0], shim[1], shim[2]]) >> 4),
        _ => return None,
    };
    Some((from, words))
}

fn ends(frame: &[u8], parsed: &Parsed) -> Option<(IpAddr, IpAddr)> {
    addresses::of(frame.get(usize::from(parsed.l3)..)?, parsed.kind)
}

/// A frame in a few words: "tcp 10.1.0.2 port 4711 to 10.1.0.3 port 443".
fn describe(frame: &[u8], parsed: &Parsed) -> String {
    let Some((from, to)) = ends(frame, parsed) else {
        return match parsed.ethertype {
            ethertype::ARP => "ARP".to_owned(),
            other => format!("ethertype {other:#06x}"),
        };
    };
    let protocol = match parsed.proto {
        proto::TCP => "tcp".to_owned(),
        proto::UDP => "udp".to_owned(),
        proto::ICMP => "icmp".to_owned(),
        proto::ICMPV6 => "icmpv6".to_owned(),
        proto::SCTP => "sctp".to_owned(),
        other => format!("protocol {other}"),
    };
    let has_ports = matches!(parsed.proto, proto::TCP | proto::UDP | proto::SCTP) && !parsed.is_fragment();
    let fragment = if parsed.is_fragment() { " fragment" } else { "" };
    if has_ports {
        format!(
            "{protocol} {from} port {} to {to} port {}",
            parsed.src_port, parsed.dst_port
        )
    } else {
        format!("{protocol}{fragment} {from} to {to}")
    }
}
