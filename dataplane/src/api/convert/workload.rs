//! What is asked of a port's workload: what it may claim to be, limits and marks.

use std::sync::Arc;

use vrouter_proto::dataplane as pb;

use super::field;
use crate::{
    program::{
        object::{GuardSpec, QosSpec, Rate},
        problem::Refusal,
    },
    tables::mirror::MAX_MIRRORS,
};

/// Most addresses, and most MACs, of one guard.
const CLAIMS_MAX: usize = 1024;

/// Fastest rates, 10 Tbit/s and 10 G packets per second, and the largest bursts and queues: beyond what any machine moves, and far from
/// where arithmetic ends.
const BITS_MAX: u64 = 10_000_000_000_000;
const PACKETS_MAX: u64 = 10_000_000_000;
const BYTES_MAX: u64 = 1 << 32;

pub(super) fn read_guard(guard: &pb::Guard) -> Result<GuardSpec, Refusal> {
    let (addresses, macs) = ("port.guard.addresses", "port.guard.macs");
    field::at_most(addresses, guard.addresses.len(), CLAIMS_MAX)?;
    field::at_most(macs, guard.macs.len(), CLAIMS_MAX)?;
    let spec = GuardSpec {
        addresses: (guard.addresses.iter().map(|text| field::claim(addresses, text))).collect::<Result<_, _>>()?,
        macs: (guard.macs.iter().map(|text| field::station(macs, text))).collect::<Result<_, _>>()?,
        allow_router: guard.allow_router,
        allow_dhcp_server: guard.allow_dhcp_server,
    };
    field::no_repetition(addresses, spec.addresses.iter())?;
    field::no_repetition(macs, spec.macs.iter())?;
    Ok(spec)
}

pub(super) fn show_guard(guard: &GuardSpec) -> pb::Guard {
    pb::Guard {
        addresses: guard.addresses.iter().map(ToString::to_string).collect(),
        macs: guard.macs.iter().map(ToString::to_string).collect(),
        allow_router: guard.allow_router,
        allow_dhcp_server: guard.allow_dhcp_server,
    }
}

/// Names of the fields of a rate.
struct RateFields {
    bits: &'static str,
    packets: &'static str,
    burst_bytes: &'static str,
    burst_packets: &'static str,
    queue: &'static str,
}

const FROM: RateFields = RateFields {
    bits: "port.qos.from_workload.bits_per_second",
    packets: "port.qos.from_workload.packets_per_second",
    burst_bytes: "port.qos.from_workload.burst_bytes",
    burst_packets: "port.qos.from_workload.burst_packets",
    queue: "port.qos.from_workload.queue_bytes",
};
const TO: RateFields = RateFields {
    bits: "port.qos.to_workload.bits_per_second",
    packets: "port.qos.to_workload.packets_per_second",
    burst_bytes: "port.qos.to_workload.burst_bytes",
    burst_packets: "port.qos.to_workload.burst_packets",
    queue: "port.qos.to_workload.queue_bytes",
};

pub(super) fn read_qos(qos: &pb::Qos) -> Result<QosSpec, Refusal> {
    let from_workload = qos
        .from_workload
        .as_ref()
        .map(|rate| read_rate(&FROM, rate))
        .transpose()?;
    if from_workload.is_some_and(|rate| rate.shape) {
        let message =
            "what a workload sends is policed, not held back; shape what is sent to it, in port.qos.to_workload";
        return Err(Refusal::invalid("port.qos.from_workload.shape", message));
    }
    let dscp = |value| field::number("port.qos.dscp", value, 0, 63);
    Ok(QosSpec {
        from_workload,
        to_workload: qos.to_workload.as_ref().map(|rate| read_rate(&TO, rate)).transpose()?,
        dscp: qos.dscp.map(dscp).transpose()?,
    })
}

fn read_rate(fields: &RateFields, rate: &pb::Rate) -> Result<Rate, Refusal> {
    let value = |field, value, most| field::number::<u64>(field, value, 0, most);
    let queue_bytes = value(fields.queue, rate.queue_bytes, BYTES_MAX)?;
    if queue_bytes > 0 && !rate.shape {
        let message = "only what is shaped is held back; set shape, or leave this unset";
        return Err(Refusal::invalid(fields.queue, message));
    }
    Ok(Rate {
        bits_per_second: value(fields.bits, rate.bits_per_second, BITS_MAX)?,
        packets_per_second: value(fields.packets, rate.packets_per_second, PACKETS_MAX)?,
        burst_bytes: value(fields.burst_bytes, rate.burst_bytes, BYTES_MAX)?,
        burst_packets: value(fields.burst_packets, rate.burst_packets, PACKETS_MAX)?,
        shape: rate.shape,
        queue_bytes,
    })
}

pub(super) fn show_qos(qos: &QosSpec) -> pb::Qos {
    let rate = |rate: &Rate| pb::Rate {
        bits_per_second: rate.bits_per_second,
        packets_per_second: rate.packets_per_second,
        burst_bytes: rate.burst_bytes,
        burst_packets: rate.burst_packets,
        shape: rate.shape,
        queue_bytes: rate.queue_bytes,
    };
    pb::Qos {
        from_workload: qos.from_workload.as_ref().map(rate),
        to_workload: qos.to_workload.as_ref().map(rate),
        dscp: qos.dscp.map(u32::from),
    }
}

pub(super) fn read_mirrors(mirrors: &[u32]) -> Result<Arc<[u32]>, Refusal> {
    let field = "port.mirrors";
    field::at_most(field, mirrors.len(), MAX_MIRRORS)?;
    for mirror in mirrors {
        field::id(field, *mirror)?;
    }
    field::no_repetition(field, mirrors.iter())?;
    Ok(mirrors.into())
}
