//! Addresses behind which there are others: services, and translation of sources.

use std::net::IpAddr;

use vrouter_proto::dataplane as pb;

use super::field;
use crate::{
    program::{
        object::{BackendSpec, ServiceSpec, SourceNatSpec},
        problem::Refusal,
    },
    tables::{
        service::MAX_BACKENDS,
        source_nat::{MAX_ADDRESSES, MAX_BLOCKS_PER_SOURCE},
    },
    wire::proto,
};

/// Longest time that a client is remembered, seconds: a week.
const AFFINITY_MAX: u64 = 604_800;

/// Ports per block.
const BLOCKS: (u64, u64) = (8, 4096);

pub(super) fn read_source_nat(nat: &pb::SourceNat) -> Result<SourceNatSpec, Refusal> {
    let prefix = field::prefix("source_nat.prefix", &nat.prefix)?;
    let field = "source_nat.addresses";
    if nat.addresses.is_empty() {
        return Err(Refusal::invalid(field, "missing; give an address to translate to"));
    }
    field::at_most(field, nat.addresses.len(), MAX_ADDRESSES)?;
    let addresses: std::sync::Arc<[IpAddr]> =
        (nat.addresses.iter().map(|text| field::host(field, text))).collect::<Result<_, _>>()?;
    for address in addresses.iter() {
        same_family(field, *address, prefix.addr(), "the prefix")?;
    }
    field::no_repetition(field, addresses.iter())?;
    let (first_port, last_port) = match (nat.first_port, nat.last_port) {
        (0, 0) => (0, 0),
        (first, last) => (
            field::number("source_nat.first_port", first, 1024, 65_535)?,
            field::number("source_nat.last_port", last, 1024, 65_535)?,
        ),
    };
    if last_port < first_port {
        let message = format!("{last_port} comes before the first port, {first_port}");
        return Err(Refusal::invalid("source_nat.last_port", message));
    }
    let block_size: u16 = field::number_or("source_nat.block_size", nat.block_size, BLOCKS, 64)?;
    if block_size != 0 && !block_size.is_power_of_two() {
        let (right, field) = (block_size.next_power_of_two(), "source_nat.block_size");
        let message = format!("{block_size} is no power of two; {right} or {} is", right / 2);
        return Err(Refusal::invalid(field, message));
    }
    let ports = if first_port == 0 {
        64_512
    } else {
        last_port - first_port + 1
    };
    let block = if block_size == 0 { 64 } else { block_size };
    if ports < block {
        let message = format!("{first_port} to {last_port} are {ports} ports, which is less than one block of {block}");
        return Err(Refusal::invalid("source_nat.last_port", message));
    }
    let blocks = nat.blocks_per_source;
    let spec = SourceNatSpec {
        id: field::id("source_nat.id", nat.id)?,
        name: field::long_name("source_nat.name", &nat.name)?,
        inside: field::id("source_nat.inside", nat.inside)?,
        outside: field::id("source_nat.outside", nat.outside)?,
        prefix,
        addresses,
        first_port,
        last_port,
        block_size,
        blocks_per_source: field::number_or(
            "source_nat.blocks_per_source",
            blocks,
            (1, MAX_BLOCKS_PER_SOURCE.into()),
            16,
        )?,
    };
    if spec.inside == spec.outside {
        let message = format!(
            "VRF {} is the inside, too: sources are translated between two VRFs",
            spec.outside
        );
        return Err(Refusal::invalid("source_nat.outside", message));
    }
    if spec.is_one_to_one() {
        let unused = [
            ("source_nat.first_port", nat.first_port),
            ("source_nat.block_size", nat.block_size),
            ("source_nat.blocks_per_source", nat.blocks_per_source),
        ];
        for (field, value) in unused {
            if value != 0 {
                let message = "one address for one source keeps its ports; leave this unset, or give more addresses";
                return Err(Refusal::invalid(field, message));
            }
        }
    }
    Ok(spec)
}

fn same_family(field: &'static str, address: IpAddr, of: IpAddr, what: &str) -> Result<(), Refusal> {
    if address.is_ipv4() == of.is_ipv4() {
        return Ok(());
    }
    let family = if of.is_ipv4() { "IPv4" } else { "IPv6" };
    Err(Refusal::invalid(
        field,
        format!("{address} is not of the family of {what}, {family}"),
    ))
}

pub(super) fn show_source_nat(nat: &SourceNatSpec) -> pb::SourceNat {
    pb::SourceNat {
        id: nat.id,
        name: nat.name.to_string(),
        inside: nat.inside,
        outside: nat.outside,
        prefix: nat.prefix.to_string(),
        addresses: nat.addresses.iter().map(ToString::to_string).collect(),
        first_port: nat.first_port.into(),
        last_port: nat.last_port.into(),
        block_size: nat.block_size.into(),
        blocks_per_source: nat.blocks_per_source.into(),
    }
}

pub(super) fn read_service(service: &pb::Service) -> Result<ServiceSpec, Refusal> {
    let protocol: u8 = field::number("service.protocol", service.protocol, 0, 255)?;
    let port = field::number("service.port", service.port, 0, 65_535)?;
    if protocol != 0 && !field::has_ports(protocol) {
        let (tcp, udp, sctp) = (proto::TCP, proto::UDP, proto::SCTP);
        let message =
            format!("{protocol} has no ports; give {tcp} (TCP), {udp} (UDP), {sctp} (SCTP), or 0 with port 0 for all");
        return Err(Refusal::invalid("service.protocol", message));
    }
    if (protocol == 0) != (port == 0) {
        let message = match protocol {
            0 => "all protocols go with all ports; leave this 0, or give a protocol",
            _ => "missing; give a port from 1 to 65535, or 0 as the protocol, too, for all that is sent to the address",
        };
        return Err(Refusal::invalid("service.port", message));
    }
    let address = field::host("service.address", &service.address)?;
    field::at_most("service.backends", service.backends.len(), MAX_BACKENDS)?;
    let backends = service
        .backends
        .iter()
        .map(|backend| read_backend(backend, address, protocol));
    let affinity: u32 = field::number("service.affinity_seconds", service.affinity_seconds, 0, AFFINITY_MAX)?;
    if affinity > 0 && !service.client_affinity {
        let message = "only clients that keep their backend are remembered; set client_affinity, or leave this unset";
        return Err(Refusal::invalid("service.affinity_seconds", message));
    }
    let spec = ServiceSpec {
        id: field::id("service.id", service.id)?,
        name: field::long_name("service.name", &service.name)?,
        vrf: field::id("service.vrf", service.vrf)?,
        address,
        protocol,
        port,
        backends: backends.collect::<Result<_, _>>()?,
        client_affinity: service.client_affinity,
        affinity_seconds: affinity,
    };
    let places = spec.backends.iter().map(|backend| match backend.address {
        address if backend.port == 0 => address.to_string(),
        address => std::net::SocketAddr::from((address, backend.port)).to_string(),
    });
    field::no_repetition("service.backends.address", places)?;
    Ok(spec)
}

fn read_backend(backend: &pb::Backend, of: IpAddr, protocol: u8) -> Result<BackendSpec, Refusal> {
    let address = field::host("service.backends.address", &backend.address)?;
    same_family("service.backends.address", address, of, "the service")?;
    let port = field::number("service.backends.port", backend.port, 0, 65_535)?;
    if port != 0 && protocol == 0 {
        let message = "a service of all protocols keeps ports; leave this 0";
        return Err(Refusal::invalid("service.backends.port", message));
    }
    Ok(BackendSpec {
        address,
        port,
        vrf: field::optional_id(backend.vrf),
        weight: field::number_or("service.backends.weight", backend.weight, (1, 255), 1)?,
        draining: backend.draining,
        name: field::long_name("service.backends.name", &backend.name)?,
    })
}

pub(super) fn show_service(service: &ServiceSpec) -> pb::Service {
    let backends = service.backends.iter().map(|backend| pb::Backend {
        address: backend.address.to_string(),
        port: backend.port.into(),
        vrf: backend.vrf.unwrap_or(0),
        weight: backend.weight.into(),
        draining: backend.draining,
        name: backend.name.to_string(),
    });
    pb::Service {
        id: service.id,
        name: service.name.to_string(),
        vrf: service.vrf,
        address: service.address.to_string(),
        protocol: service.protocol.into(),
        port: service.port.into(),
        backends: backends.collect(),
        client_affinity: service.client_affinity,
        affinity_seconds: service.affinity_seconds,
    }
}
