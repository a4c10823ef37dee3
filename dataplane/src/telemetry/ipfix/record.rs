//! Records, and their bytes.

use std::net::IpAddr;

use super::template::{self, Template};

/// Why a record is told: flowEndReason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum EndReason {
    /// No packet came for as long as the flow may be idle.
    Idle = 1,
    /// It lasts, and it is time to tell of it.
    Active = 2,
    /// Its connection ended it.
    End = 3,
    /// It lasts, but the exporter ends.
    Forced = 4,
    /// It made room for others.
    LackOfResources = 5,
}

/// What was done about the flow: firewallEvent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Firewall {
    /// It is over.
    Deleted = 2,
    /// It was refused.
    Denied = 3,
    /// It goes on.
    Update = 5,
}

/// What became of packets: forwardingStatus (RFC 7270).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Forwarding {
    /// They went on.
    Forwarded = 64,
    /// They were dropped.
    Dropped = 128,
    /// They were dropped because a policy says so.
    DroppedByPolicy = 129,
}

/// One direction of a flow, over some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowRecord {
    /// First packet, milliseconds since 1970.
    pub start: u64,
    /// Last packet so far, milliseconds since 1970.
    pub end: u64,
    /// The same for both directions and all records of a flow.
    pub flow: u64,
    /// Packets since the last record.
    pub packets: u64,
    /// Bytes of these, from the IP header on.
    pub bytes: u64,
    /// Port that they came in by; 0: from a tunnel or the underlay, when there are several uplinks.
    pub in_port: u32,
    /// Port that they left by; 0: none.
    pub out_port: u32,
    /// VRF that they came in.
    pub vrf: u32,
    /// VRF that they left in.
    pub out_vrf: u32,
    /// Source address and port.
    pub source: (IpAddr, u16),
    /// Destination address and port.
    pub destination: (IpAddr, u16),
    /// IP protocol.
    pub protocol: u8,
    /// The direction of the first packet.
    pub forward: bool,
    /// They come from a workload of this node.
    pub from_workload: bool,
    /// Why it is told now.
    pub reason: EndReason,
    /// What was done about it.
    pub firewall: Firewall,
    /// What became of its packets.
    pub forwarding: Forwarding,
    /// Source and destination that packets leave with, where these are others, of the same family.
    pub translated: Option<[(IpAddr, u16); 2]>,
}

impl FlowRecord {
    pub(super) fn template(&self) -> &'static Template {
        match (self.source.0.is_ipv4(), self.translated.is_some()) {
            (true, false) => &template::FLOW_V4,
            (false, false) => &template::FLOW_V6,
            (true, true) => &template::NAT_FLOW_V4,
            (false, true) => &template::NAT_FLOW_V6,
        }
    }

    /// Appends the record, in the order of its template.
    pub(super) fn write(&self, to: &mut Vec<u8>) {
        for number in [self.start, self.end, self.flow, self.packets, self.bytes] {
            to.extend(number.to_be_bytes());
        }
        for number in [self.in_port, self.out_port, self.vrf, self.out_vrf] {
            to.extend(number.to_be_bytes());
        }
        for number in [self.source.1, self.destination.1] {
            to.extend(number.to_be_bytes());
        }
        to.extend([
            self.protocol,
            u8::from(!self.from_workload),
            if self.forward { 1 } else { 2 },
            self.reason as u8,
            self.firewall as u8,
            self.forwarding as u8,
        ]);
        for (address, _) in [self.source, self.destination] {
            put_address(to, address);
        }
        if let Some(translated) = self.translated {
            for (address, _) in translated {
                put_address(to, address);
            }
            for (_, port) in translated {
                to.extend(port.to_be_bytes());
            }
        }
    }
}

fn put_address(to: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => to.extend(address.octets()),
        IpAddr::V6(address) => to.extend(address.octets()),
    }
}

/// What the exporter says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExporterRecord {
    /// Messages sent before this one.
    pub messages: u64,
    /// Records of flows sent.
    pub records: u64,
    /// Records that were due and not sent.
    pub not_sent: u64,
    /// One of so many flows is told of.
    pub one_of: u32,
}

impl ExporterRecord {
    pub(super) fn write(&self, domain: u32, to: &mut Vec<u8>) {
        to.extend(domain.to_be_bytes());
        for number in [self.messages, self.records, self.not_sent] {
            to.extend(number.to_be_bytes());
        }
        for number in [1, self.one_of.saturating_sub(1)] {
            to.extend(u32::to_be_bytes(number));
        }
    }
}

/// The name of an interface or VRF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameRecord {
    /// Of an interface: a port.
    Interface(u32, String),
    /// Of a VRF.
    Vrf(u32, String),
}

/// Longest name that is told, bytes.
const NAME: usize = 254;

impl NameRecord {
    pub(super) fn template(&self) -> &'static Template {
        match self {
            Self::Interface(..) => &template::INTERFACE,
            Self::Vrf(..) => &template::VRF,
        }
    }

    pub(super) fn write(&self, to: &mut Vec<u8>) {
        let (Self::Interface(id, name) | Self::Vrf(id, name)) = self;
        let name = &name[..name.floor_char_boundary(NAME)];
        to.extend(id.to_be_bytes());
        // Below 255 a length is one byte (RFC 7011, section 7).
        to.push(name.len() as u8);
        to.extend(name.as_bytes());
    }
}
