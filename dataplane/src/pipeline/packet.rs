//! A packet between stages: the frame holds the IP packet and nothing else.

use std::net::IpAddr;

use super::{FlowAction, translate};
use crate::{
    packet::{DropReason, FlowKey, Frame},
    tables::slots::{NextHopSlot, PortSlot, VrfSlot},
    wire::{Flags, IpKind, ParseError, Parsed, addresses, proto},
};

/// Where a packet was before it came to its VRF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// A workload's port.
    Port,
    /// A tunnel.
    Tunnel,
    /// An uplink, in the clear.
    Underlay,
    /// The router itself said it: its hop limit stays, and nothing is said about it.
    Router,
}

/// A packet to be routed.
#[derive(Debug)]
pub(super) struct Packet {
    /// Its frame. The data starts at the IP header and ends where the IP packet ends.
    pub frame: Frame,
    /// What is known of its headers, counted from the IP header.
    pub parsed: Parsed,
    /// Its flow: without ports for fragments, so that all fragments of a datagram share one.
    pub key: FlowKey,
    /// Of the key.
    pub hash: u64,
    /// The port it came in by.
    pub port: PortSlot,
    /// The VRF it is in.
    pub vrf: VrfSlot,
    /// Where from.
    pub origin: Origin,
    /// The next hop that its label named. Else the route says.
    pub via: Option<NextHopSlot>,
    /// An ICMP error about a flow: key and hash are those of the flow's packets that go its way.
    pub related: bool,
}

impl Packet {
    /// Takes Ethernet and padding off a parsed frame. `None`, with the frame, when it is not IP.
    #[inline]
    pub(super) fn new(
        mut frame: Frame,
        mut parsed: Parsed,
        port: PortSlot,
        vrf: VrfSlot,
        origin: Origin,
        seed: u64,
    ) -> Result<Self, Frame> {
        frame.truncate(parsed.end as usize);
        frame.strip(parsed.l3);
        parsed.end -= u32::from(parsed.l3);
        parsed.l4 -= parsed.l3;
        parsed.l3 = 0;
        let key = flow_key(frame.data(), &parsed, u32::from(vrf.raw()));
        let Some(key) = key else { return Err(frame) };
        let hash = key.hash(seed);
        Ok(Self {
            frame,
            parsed,
            key,
            hash,
            port,
            vrf,
            origin,
            via: None,
            related: false,
        })
    }

    /// The workload's port it came in by; `None` from an uplink, or from the router itself.
    #[inline]
    pub(super) fn workload(&self) -> Option<PortSlot> {
        (self.origin == Origin::Port).then_some(self.port)
    }

    /// The way it came in, as flows are bound to it.
    #[inline]
    pub(super) fn way_in(&self) -> u16 {
        FlowAction::way_in(self.workload())
    }

    /// ICMP other than echo: it has no flow of its own, but may belong to another's.
    #[inline]
    pub(super) fn is_signal(&self) -> bool {
        matches!(self.parsed.proto, proto::ICMP | proto::ICMPV6)
            && !self.parsed.flags.has(Flags::ICMP_ECHO)
            && !self.related
    }

    /// IPv6, not IPv4.
    #[inline]
    pub(super) fn is_v6(&self) -> bool {
        matches!(self.parsed.kind, IpKind::V6)
    }

    /// Destination address.
    #[inline]
    pub(super) fn destination(&self) -> IpAddr {
        self.key.dst()
    }

    /// Source address.
    #[inline]
    pub(super) fn source(&self) -> IpAddr {
        self.key.src()
    }
}

/// The flow key of an IP packet: without ports for fragments, so that all fragments of a datagram share it. An echo request has its
/// identifier as source port, a reply as destination port, so that the reply's key is the request's turned round and nothing else's.
/// `None` when it is not IP.
#[inline]
pub(super) fn flow_key(ip: &[u8], parsed: &Parsed, context: u32) -> Option<FlowKey> {
    let (source_port, destination_port) = if parsed.is_fragment() {
        (0, 0)
    } else if parsed.flags.has(Flags::ICMP_ECHO) {
        echo_ports(ip.get(usize::from(parsed.l4)).copied().unwrap_or(0), parsed.src_port)
    } else {
        (parsed.src_port, parsed.dst_port)
    };
    match parsed.kind {
        IpKind::V4 => {
            let (source, destination) = addresses::v4(ip)?;
            Some(FlowKey::v4(
                context,
                source,
                destination,
                parsed.proto,
                source_port,
                destination_port,
            ))
        }
        IpKind::V6 => {
            let (source, destination) = addresses::v6(ip)?;
            Some(FlowKey::v6(
                context,
                source,
                destination,
                parsed.proto,
                source_port,
                destination_port,
            ))
        }
        IpKind::None => None,
    }
}

/// What stands for ports in the key of an echo request or reply of this ICMP type.
#[inline]
pub(super) fn echo_ports(kind: u8, identifier: u16) -> (u16, u16) {
    if translate::is_echo_request(kind) {
        (identifier, 0)
    } else {
        (0, identifier)
    }
}

/// The reason to drop a frame that could not be parsed.
pub(super) fn reason(error: ParseError) -> DropReason {
    match error {
        ParseError::TruncatedEthernet | ParseError::TruncatedVlan => DropReason::TruncatedEthernet,
        ParseError::TooManyVlanTags | ParseError::BadVlanId => DropReason::UnknownVlan,
        ParseError::TruncatedIp => DropReason::TruncatedIp,
        ParseError::BadIpVersion => DropReason::BadIpVersion,
        ParseError::BadIpHeaderLength => DropReason::BadIpHeaderLength,
        ParseError::BadTotalLength => DropReason::BadIpLength,
        ParseError::BadIpv4Checksum => DropReason::BadIpv4Checksum,
        ParseError::BadFragment => DropReason::BadFragment,
        ParseError::TruncatedExtension
        | ParseError::TooManyExtensions
        | ParseError::ExtensionsTooLong
        | ParseError::BadExtensionOrder => DropReason::BadExtensionHeader,
        ParseError::TruncatedL4 => DropReason::TruncatedTransport,
        ParseError::BadTcpHeaderLength => DropReason::BadTransport,
    }
}
