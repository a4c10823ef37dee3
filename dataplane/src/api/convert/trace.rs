//! Traces: what comes in, and what was found.

use std::net::IpAddr;

use vrouter_proto::dataplane as pb;

use super::field;
use crate::{
    program::problem::Refusal,
    tables::{Tables, port::Role, slots::PortSlot},
    telemetry::{PacketSpec, Traced},
};

/// A question, read.
pub(in crate::api) enum Asked {
    /// A whole frame.
    Frame(Vec<u8>),
    /// A packet described.
    Packet(PacketSpec),
}

/// Reads a request: the port it comes in by, and what comes in.
///
/// # Errors
/// Which field is malformed, or names a port that is not there.
pub(in crate::api) fn trace_request(tables: &Tables, request: pb::TraceRequest) -> Result<(PortSlot, Asked), Refusal> {
    let port = match field::required("from", request.from.as_ref(), "port or uplink")? {
        pb::trace_request::From::Port(id) => slot(tables, |port| port.id == *id)
            .ok_or_else(|| Refusal::not_found("port", format!("there is no port {id}")))?,
        pb::trace_request::From::Uplink(name) => slot(tables, |port| {
            port.role == Role::Uplink && (name.is_empty() || *port.name == **name)
        })
        .ok_or_else(|| Refusal::not_found("uplink", format!("there is no uplink {name}")))?,
    };
    let asked = match request.what {
        Some(pb::trace_request::What::Frame(frame)) => Asked::Frame(frame),
        Some(pb::trace_request::What::Packet(packet)) => Asked::Packet(read_packet(tables, port, &packet)?),
        None => {
            return Err(Refusal::invalid(
                "what",
                "nothing comes in; give a frame or describe a packet",
            ));
        }
    };
    Ok((port, asked))
}

fn slot(tables: &Tables, is: impl Fn(&crate::tables::port::Port) -> bool) -> Option<PortSlot> {
    tables
        .ports
        .iter()
        .find(|(_, port)| is(port))
        .and_then(|(index, _)| PortSlot::new(index))
}

fn read_packet(tables: &Tables, port: PortSlot, packet: &pb::TracePacket) -> Result<PacketSpec, Refusal> {
    let destination = field::host("packet.destination", &packet.destination)?;
    let source = if packet.source.is_empty() {
        let guard = tables.port(port).and_then(|port| port.guard.as_ref());
        guard
            .and_then(|guard| guard.first_address(destination.is_ipv6()))
            .ok_or_else(|| {
                Refusal::invalid(
                    "packet.source",
                    "the port's guard names no address of this family; say one",
                )
            })?
    } else {
        packet.source.parse::<IpAddr>().map_err(|_| {
            let message = format!("{:?} is no IP address; write one like 10.1.0.2", packet.source);
            Refusal::invalid("packet.source", message)
        })?
    };
    let byte = |field, value: u32| {
        u8::try_from(value)
            .map_err(|_| Refusal::invalid(field, format!("{value} is out of range: it must be from 0 to 255")))
    };
    let word = |field, value: u32| {
        u16::try_from(value)
            .map_err(|_| Refusal::invalid(field, format!("{value} is out of range: it must be from 0 to 65535")))
    };
    Ok(PacketSpec {
        source,
        destination,
        protocol: byte("packet.protocol", packet.protocol)?,
        source_port: word("packet.source_port", packet.source_port)?,
        destination_port: word("packet.destination_port", packet.destination_port)?,
        icmp_type: byte("packet.icmp_type", packet.icmp_type)?,
        icmp_code: byte("packet.icmp_code", packet.icmp_code)?,
        tcp_flags: byte("packet.tcp_flags", packet.tcp_flags)?,
        length: word("packet.length", packet.length)?,
    })
}

/// What was found.
pub(in crate::api) fn traced(traced: Traced, revision: u64) -> pb::TraceResponse {
    pb::TraceResponse {
        revision,
        steps: traced
            .steps
            .into_iter()
            .map(|step| pb::TraceStep {
                stage: step.stage.to_owned(),
                detail: step.detail,
                object: step.object,
            })
            .collect(),
        outputs: traced
            .outputs
            .into_iter()
            .map(|output| pb::TraceOutput {
                port: output.port,
                name: output.name,
                frame: output.frame,
                remote_vtep: output.vtep.map(|vtep| vtep.to_string()).unwrap_or_default(),
            })
            .collect(),
        drop_reason: traced.drop.map(|reason| reason.name().to_owned()).unwrap_or_default(),
    }
}
