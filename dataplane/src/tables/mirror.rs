//! Mirrors: which packets of a port are copied, and where the copies go.
//!
//! Only what is asked of a packet; copying and sending is for the pipeline.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use super::slots::NextHopSlot;
use crate::wire::{IpPrefix, proto};

/// Most mirrors of one port.
pub const MAX_MIRRORS: usize = 4;

/// A kind of traffic to be mirrored. Ports count on either side: a mirror for port 443 gets requests and answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MirrorMatch {
    /// IP protocol. 0: all.
    pub protocol: u8,
    /// First and last port, TCP, UDP and SCTP. Both 0: all.
    pub first_port: u16,
    /// Last port.
    pub last_port: u16,
    /// ICMP type. `None`: all.
    pub icmp_type: Option<u8>,
    /// ICMP code. `None`: all.
    pub icmp_code: Option<u8>,
}

/// What is known of a packet that might be mirrored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sight {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// IP protocol.
    pub protocol: u8,
    /// Source and destination port. `None`: a later fragment, or a protocol without ports.
    pub ports: Option<(u16, u16)>,
    /// ICMP type and code.
    pub icmp: Option<(u8, u8)>,
}

impl MirrorMatch {
    fn matches(&self, sight: &Sight) -> bool {
        if self.protocol != 0 && self.protocol != sight.protocol {
            return false;
        }
        let wants_ports = (self.first_port, self.last_port) != (0, 0);
        let range = self.first_port..=self.last_port;
        if wants_ports
            && !sight
                .ports
                .is_some_and(|(from, to)| range.contains(&from) || range.contains(&to))
        {
            return false;
        }
        if self.icmp_type.is_none() && self.icmp_code.is_none() {
            return true;
        }
        matches!(sight.protocol, proto::ICMP | proto::ICMPV6)
            && sight.icmp.is_some_and(|(kind, code)| {
                self.icmp_type.is_none_or(|wanted| wanted == kind) && self.icmp_code.is_none_or(|wanted| wanted == code)
            })
    }
}

/// A mirror, as a client says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MirrorSpec {
    /// The client's identifier.
    pub id: u32,
    /// Name for people.
    pub name: Arc<str>,
    /// The client's identifier of the next hop that copies go to: a port or a tunnel (VXLAN, ERSPAN).
    pub next_hop: u64,
    /// Copies what the workload sends.
    pub from_workload: bool,
    /// Copies what the workload is sent. With neither of both, both are copied.
    pub to_workload: bool,
    /// Only this traffic. Empty: all, also what is not IP.
    pub filter: Arc<[MirrorMatch]>,
    /// Only packets with an address in one of these. Empty: all, also what is not IP.
    pub prefixes: Arc<[IpPrefix]>,
    /// Bytes of each packet, from the Ethernet header on. 0: all.
    pub snap_length: u32,
}

/// A mirror at work.
#[derive(Clone, Debug)]
pub struct Mirror {
    /// The client's identifier.
    pub id: u32,
    /// Name for people.
    pub name: Arc<str>,
    /// Where copies go.
    pub next_hop: NextHopSlot,
    /// Copies what the workload sends, as it was received.
    pub from_workload: bool,
    /// Copies what the workload is sent, as it is delivered.
    pub to_workload: bool,
    /// Bytes of each packet at most.
    pub snap_length: usize,
    filter: Arc<[MirrorMatch]>,
    prefixes: Arc<[IpPrefix]>,
    /// Copies sent so far: the sequence number of ERSPAN. One for all workers and all revisions.
    sequence: Arc<AtomicU32>,
}

impl Mirror {
    /// Puts a mirror to work; numbers go on where `before`, the same mirror until now, has come to.
    pub fn new(spec: &MirrorSpec, next_hop: NextHopSlot, before: Option<&Self>) -> Self {
        let both = !spec.from_workload && !spec.to_workload;
        Self {
            id: spec.id,
            name: spec.name.clone(),
            next_hop,
            from_workload: spec.from_workload || both,
            to_workload: spec.to_workload || both,
            snap_length: match spec.snap_length {
                0 => usize::MAX,
                length => length as usize,
            },
            filter: spec.filter.clone(),
            prefixes: spec.prefixes.clone(),
            sequence: before.map_or_else(Arc::default, |b| b.sequence.clone()),
        }
    }

    /// It has to know what a packet is before it can say whether it wants it.
    #[inline]
    pub fn is_selective(&self) -> bool {
        !self.filter.is_empty() || !self.prefixes.is_empty()
    }

    /// It wants a copy of this packet. `None`: not IP.
    pub fn wants(&self, sight: Option<&Sight>) -> bool {
        if !self.is_selective() {
            return true;
        }
        let Some(sight) = sight else { return false };
        (self.filter.is_empty() || self.filter.iter().any(|f| f.matches(sight)))
            && (self.prefixes.is_empty()
                || self
                    .prefixes
                    .iter()
                    .any(|p| p.contains(sight.source) || p.contains(sight.destination)))
    }

    /// The number that the next copy will have.
    pub fn sequence(&self) -> u32 {
        self.sequence.load(Ordering::Relaxed)
    }

    /// The number of the next copy, which is taken by this.
    #[inline]
    pub fn next_sequence(&self) -> u32 {
        self.sequence.fetch_add(1, Ordering::Relaxed)
    }
}

#[cfg(test)]
#[path = "mirror_tests.rs"]
mod tests;
