//! Mirrors.

use vrouter_proto::dataplane as pb;

use super::{
    field,
    traffic::{self, TrafficFields},
};
use crate::{
    program::{
        object::{MirrorSpec, TrafficMatch},
        problem::Refusal,
    },
    tables::mirror::MirrorMatch,
};

/// Most kinds of traffic, and most prefixes, of one mirror: each packet of the port is held against them.
const FILTER_MAX: usize = 64;

/// Bytes of each packet.
const SNAP: (u64, u64) = (64, 65_535);

const FILTER: TrafficFields = TrafficFields {
    protocol: "mirror.filter.protocol",
    first_port: "mirror.filter.first_port",
    last_port: "mirror.filter.last_port",
    icmp_type: "mirror.filter.icmp_type",
    icmp_code: "mirror.filter.icmp_code",
};

pub(super) fn read(mirror: &pb::Mirror) -> Result<MirrorSpec, Refusal> {
    field::at_most("mirror.filter", mirror.filter.len(), FILTER_MAX)?;
    let prefixes = "mirror.prefixes";
    field::at_most(prefixes, mirror.prefixes.len(), FILTER_MAX)?;
    let filter = mirror.filter.iter().map(|traffic| {
        let TrafficMatch {
            protocol,
            first_port,
            last_port,
            icmp_type,
            icmp_code,
        } = traffic::read(&FILTER, traffic)?;
        Ok(MirrorMatch {
            protocol,
            first_port,
            last_port,
            icmp_type,
            icmp_code,
        })
    });
    Ok(MirrorSpec {
        id: field::id("mirror.id", mirror.id)?,
        name: field::long_name("mirror.name", &mirror.name)?,
        next_hop: field::id("mirror.next_hop", mirror.next_hop)?,
        from_workload: mirror.from_workload,
        to_workload: mirror.to_workload,
        filter: filter.collect::<Result<_, _>>()?,
        prefixes: (mirror.prefixes.iter().map(|text| field::prefix(prefixes, text))).collect::<Result<_, _>>()?,
        snap_length: field::number_or("mirror.snap_length", mirror.snap_length, SNAP, "all")?,
    })
}

pub(super) fn show(mirror: &MirrorSpec) -> pb::Mirror {
    let filter = mirror.filter.iter().map(|of| {
        traffic::show(&TrafficMatch {
            protocol: of.protocol,
            first_port: of.first_port,
            last_port: of.last_port,
            icmp_type: of.icmp_type,
            icmp_code: of.icmp_code,
        })
    });
    pb::Mirror {
        id: mirror.id,
        name: mirror.name.to_string(),
        next_hop: mirror.next_hop,
        from_workload: mirror.from_workload,
        to_workload: mirror.to_workload,
        filter: filter.collect(),
        prefixes: mirror.prefixes.iter().map(ToString::to_string).collect(),
        snap_length: mirror.snap_length,
    }
}
