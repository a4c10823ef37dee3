//! Kinds of traffic, as policies and mirrors tell them apart.

use vrouter_proto::dataplane as pb;

use super::field;
use crate::{
    program::{object::TrafficMatch, problem::Refusal},
    tables::policy::BadTraffic,
};

/// Where a kind of traffic is within its object.
pub(super) struct TrafficFields {
    pub(super) protocol: &'static str,
    pub(super) first_port: &'static str,
    pub(super) last_port: &'static str,
    pub(super) icmp_type: &'static str,
    pub(super) icmp_code: &'static str,
}

pub(super) fn read(fields: &TrafficFields, traffic: &pb::Traffic) -> Result<TrafficMatch, Refusal> {
    let byte = |field, value: Option<u32>| value.map(|value| field::number::<u8>(field, value, 0, 255)).transpose();
    let kind = TrafficMatch {
        protocol: field::number(fields.protocol, traffic.protocol, 0, 255)?,
        first_port: field::number(fields.first_port, traffic.first_port, 0, 65_535)?,
        last_port: field::number(fields.last_port, traffic.last_port, 0, 65_535)?,
        icmp_type: byte(fields.icmp_type, traffic.icmp_type)?,
        icmp_code: byte(fields.icmp_code, traffic.icmp_code)?,
    };
    kind.check().map_err(|error| {
        let field = match error {
            BadTraffic::Range { .. } => fields.last_port,
            BadTraffic::NoPorts(_) => fields.first_port,
            BadTraffic::NoTypes(_) | BadTraffic::Both => fields.icmp_type,
            BadTraffic::CodeAlone => fields.icmp_code,
        };
        Refusal::invalid(field, error.to_string())
    })?;
    Ok(kind)
}

pub(super) fn show(kind: &TrafficMatch) -> pb::Traffic {
    pb::Traffic {
        protocol: kind.protocol.into(),
        first_port: kind.first_port.into(),
        last_port: kind.last_port.into(),
        icmp_type: kind.icmp_type.map(u32::from),
        icmp_code: kind.icmp_code.map(u32::from),
    }
}
