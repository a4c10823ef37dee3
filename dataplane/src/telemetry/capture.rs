//! Captured packets in words: identifiers and names for slots, the rule that refused, and the checksum as it will be.

use std::net::IpAddr;

use crate::{
    packet::DropReason,
    pipeline,
    tables::{
        Tables,
        slots::{PortSlot, VrfSlot},
    },
    tap::{Point, Record},
    wire::{IpKind, addresses, offload, parse},
};

/// Bytes of the longest frame of an ordinary link.
const ORDINARY: u32 = 1518;

/// A captured packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapturedPacket {
    /// Where, when, and how long it was.
    pub record: Record,
    /// Its bytes from the Ethernet header on, as far as they were copied.
    pub data: Vec<u8>,
    /// The port's identifier; 0: it is gone.
    pub port: u32,
    /// Identifier and name of the VRF.
    pub vrf: Option<(u32, std::sync::Arc<str>)>,
    /// "policy/rule" of the rule that refused it; empty where none did or it is not known any more.
    pub rule: String,
    /// Its checksum was open, for whoever sends it on to complete; it is complete in the copy.
    pub checksum_completed: bool,
    /// More than an ordinary link carries: not cut into segments yet, or joined from several.
    pub large: bool,
}

/// Puts a captured packet into words.
pub fn captured(tables: &Tables, record: Record, mut data: Vec<u8>) -> CapturedPacket {
    // What is cut short cannot be summed, and nobody who sees that expects it.
    let checksum_completed = data.len() as u64 == u64::from(record.len)
        && parse(&data).is_ok_and(|parsed| offload::complete(&mut data, &parsed));
    let port = tables.port(record.port);
    let vrf = record
        .vrf
        .and_then(|slot| tables.vrf(slot))
        .map(|vrf| (vrf.id, vrf.name.clone()));
    CapturedPacket {
        rule: rule(tables, &record, &data).unwrap_or_default(),
        port: port.map_or(0, |port| port.id),
        vrf,
        checksum_completed,
        large: record.len > ORDINARY && port.is_some_and(crate::tables::port::Port::carries_whole),
        record,
        data,
    }
}

fn rule(tables: &Tables, record: &Record, data: &[u8]) -> Option<String> {
    let blame = record.blame?;
    let (port, rule) = match record.point {
        Point::Dropped(DropReason::PolicyDeniedEgress) => (record.port, blame.egress_rule),
        Point::Dropped(DropReason::PolicyDeniedIngress) => {
            let receiver = blame.receiver.or_else(|| receiver(tables, record.vrf?, data));
            (receiver?, blame.ingress_rule)
        }
        _ => return None,
    };
    // By the port's own policy: a number says nothing without it.
    let policy = tables.port(port)?.policy.as_ref()?;
    (rule != 0).then(|| policy.rule_name(rule).into_owned())
}

/// Whom a packet was for, by its destination.
fn receiver(tables: &Tables, vrf: VrfSlot, data: &[u8]) -> Option<PortSlot> {
    let parsed = parse(data).ok().filter(|parsed| parsed.kind != IpKind::None)?;
    let (_, destination): (IpAddr, IpAddr) = addresses::of(data.get(usize::from(parsed.l3)..)?, parsed.kind)?;
    pipeline::workload_at(tables, vrf, destination)
}
