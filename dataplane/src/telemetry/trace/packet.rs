//! The frame that a workload would send, made from a description.

use std::net::IpAddr;

use etherparse::{IcmpEchoHeader, Icmpv4Type, Icmpv6Type, PacketBuilder};

use super::TraceError;
use crate::{
    tables::{Tables, port::Role, slots::PortSlot},
    wire::{Mac, proto},
};

/// A packet described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketSpec {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// IP protocol.
    pub protocol: u8,
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// ICMP type.
    pub icmp_type: u8,
    /// ICMP code.
    pub icmp_code: u8,
    /// TCP flags; 0: SYN.
    pub tcp_flags: u8,
    /// Bytes of the IP packet; 0: as small as it can be.
    pub length: u16,
}

const SYN: u8 = 2;
/// What senders begin with.
const HOP_LIMIT: u8 = 64;
/// A window that nobody would find odd.
const WINDOW: u16 = 64_240;
/// Source port where none is given: one of the dynamic ones.
const SOURCE_PORT: u16 = 49_152;

/// Makes the frame.
pub(super) fn build(tables: &Tables, port: PortSlot, spec: &PacketSpec) -> Result<Vec<u8>, TraceError> {
    let refused = |field, message: &str| TraceError::Packet {
        field,
        message: message.to_owned(),
    };
    let Some(from) = tables.port(port).filter(|port| port.role != Role::Uplink) else {
        return Err(refused(
            "packet",
            "only a workload's packet can be described; give a whole frame",
        ));
    };
    let to = station(tables, &from.role, spec.destination);
    let ethernet = PacketBuilder::ethernet2(from.mac.0, to.0);
    let ip = match (spec.source, spec.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            ethernet.ipv4(source.octets(), destination.octets(), HOP_LIMIT)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            ethernet.ipv6(source.octets(), destination.octets(), HOP_LIMIT)
        }
        _ => {
            return Err(refused(
                "packet.source",
                "source and destination are of different address families",
            ));
        }
    };
    let v6 = spec.destination.is_ipv6();
    let source_port = if spec.source_port == 0 {
        SOURCE_PORT
    } else {
        spec.source_port
    };
    let (ports, ip_header) = ((source_port, spec.destination_port), if v6 { 40 } else { 20 });
    let payload = |header: u16| vec![0_u8; usize::from(spec.length.saturating_sub(ip_header + header))];
    let mut frame = Vec::new();
    let written = match spec.protocol {
        proto::TCP => {
            let flags = if spec.tcp_flags == 0 { SYN } else { spec.tcp_flags };
            let has = |bit: u8| flags & bit != 0;
            let mut tcp = ip.tcp(ports.0, ports.1, 0, WINDOW);
            for (set, change) in [(has(1), 0), (has(SYN), 1), (has(4), 2), (has(8), 3)] {
                tcp = match (set, change) {
                    (true, 0) => tcp.fin(),
                    (true, 1) => tcp.syn(),
                    (true, 2) => tcp.rst(),
                    (true, 3) => tcp.psh(),
                    _ => tcp,
                };
            }
            if has(16) {
                tcp = tcp.ack(0);
            }
            tcp.write(&mut frame, &payload(20))
        }
        proto::UDP => ip.udp(ports.0, ports.1).write(&mut frame, &payload(8)),
        proto::ICMP if !v6 => {
            let kind = match spec.icmp_type {
                8 => Icmpv4Type::EchoRequest(IcmpEchoHeader {
                    id: source_port,
                    seq: 1,
                }),
                0 => Icmpv4Type::EchoReply(IcmpEchoHeader {
                    id: source_port,
                    seq: 1,
                }),
                type_u8 => Icmpv4Type::Unknown {
                    type_u8,
                    code_u8: spec.icmp_code,
                    bytes5to8: [0; 4],
                },
            };
            ip.icmpv4(kind).write(&mut frame, &payload(8))
        }
        proto::ICMPV6 if v6 => {
            let kind = match spec.icmp_type {
                128 => Icmpv6Type::EchoRequest(IcmpEchoHeader {
                    id: source_port,
                    seq: 1,
                }),
                129 => Icmpv6Type::EchoReply(IcmpEchoHeader {
                    id: source_port,
                    seq: 1,
                }),
                type_u8 => Icmpv6Type::Unknown {
                    type_u8,
                    code_u8: spec.icmp_code,
                    bytes5to8: [0; 4],
                },
            };
            ip.icmpv6(kind).write(&mut frame, &payload(8))
        }
        proto::ICMP | proto::ICMPV6 => {
            return Err(refused("packet.protocol", "ICMP is IPv4's and ICMPv6 is IPv6's"));
        }
        other => {
            // SCTP and those that begin with two ports like it.
            let mut body = payload(12);
            let header: Vec<u8> = [ports.0.to_be_bytes(), ports.1.to_be_bytes()].concat();
            let mut bytes = [header, vec![0; 8]].concat();
            bytes.append(&mut body);
            ip.write(&mut frame, other.into(), &bytes)
        }
    };
    written.map_err(|error| refused("packet.length", &error.to_string()))?;
    Ok(frame)
}

/// The station that the workload would send to: the neighbour in its bridge, or its gateway.
fn station(tables: &Tables, role: &Role, destination: IpAddr) -> Mac {
    match role {
        Role::Bridged { bridge } => tables
            .neighbors
            .get(&(*bridge, destination))
            .copied()
            .or_else(|| tables.bridge(*bridge).map(|bridge| bridge.gateway_mac))
            .unwrap_or(Mac::GATEWAY),
        _ => Mac::GATEWAY,
    }
}
