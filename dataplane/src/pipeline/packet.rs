//! A packet between stages: the frame holds the IP packet and nothing else.

use std::net::IpAddr;

use super::{FlowAction, flow_action::Passage, translate};
use crate::{
    packet::{DropReason, FlowKey, Frame},
    tables::{
        flow::{FlowHint, FlowTable},
        slots::{NextHopSlot, PortSlot, VrfSlot},
    },
    wire::{Flags, IpKind, ParseError, Parsed, Plain, addresses, proto, tcp_flags},
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

/// What packets of one batch have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct WayIn {
    /// The port they came in by.
    pub port: PortSlot,
    /// Where from.
    pub origin: Origin,
    /// As flows are bound to it.
    pub way_in: u16,
    /// Of hashes.
    pub seed: u64,
}

impl WayIn {
    /// By a port, from there, with the seed of hashes.
    pub(super) fn new(port: PortSlot, origin: Origin, seed: u64) -> Self {
        Self {
            port,
            origin,
            way_in: FlowAction::way_in((origin == Origin::Port).then_some(port)),
            seed,
        }
    }
}

/// What is known of a packet to be routed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    /// Its flow: without ports for fragments, so that all fragments of a datagram share one.
    pub key: FlowKey,
    /// Of the key.
    pub hash: u64,
    /// Its headers, counted from the IP header.
    pub parsed: Parsed,
    /// The port it came in by.
    pub port: PortSlot,
    /// The VRF it is in.
    pub vrf: VrfSlot,
    /// The next hop that its label named. Else the route says.
    pub via: Option<NextHopSlot>,
    /// Where from.
    pub origin: Origin,
    /// The way it came in, as flows are bound to it.
    pub way_in: u16,
    /// An ICMP error about a flow: key and hash are those of the flow's packets that go its way.
    pub related: bool,
}

impl Facts {
    /// Of no packet.
    const NONE: Self = Self {
        key: FlowKey::NONE,
        hash: 0,
        parsed: Parsed::NOTHING,
        port: PortSlot::MAX,
        vrf: VrfSlot::MAX,
        via: None,
        origin: Origin::Router,
        way_in: FlowAction::ANY_UPLINK,
        related: false,
    };

    /// The workload's port it came in by; `None` from an uplink, or from the router itself.
    #[inline]
    pub(super) fn workload(&self) -> Option<PortSlot> {
        (self.origin == Origin::Port).then_some(self.port)
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

/// A packet to be routed.
#[derive(Debug)]
pub(super) struct Packet {
    /// Its frame. The data starts at the IP header and ends where the IP packet ends.
    pub frame: Frame,
    /// What is known of it.
    pub facts: Facts,
}

impl std::ops::Deref for Packet {
    type Target = Facts;

    #[inline(always)]
    fn deref(&self) -> &Facts {
        &self.facts
    }
}

impl std::ops::DerefMut for Packet {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut Facts {
        &mut self.facts
    }
}

/// What the shortest way asks of a packet: of a plain one that is all there is to know, together with its frame and the way it came in.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(16))]
pub(super) struct Brief {
    /// Its flow.
    pub key: FlowKey,
    /// Of the key.
    pub hash: u64,
    /// Where its flow is likely to be.
    pub hint: FlowHint,
    /// The next hop that its label named, as a number; [`NO_VIA`]: none.
    via: u32,
    /// The TCP flags byte, 0 if there is none.
    tcp_flags: u8,
    marks: u8,
}

/// No label named a next hop: no slot has this number.
const NO_VIA: u32 = u32::MAX;

/// Mark: TCP or UDP, whole, and in no way special: its flow says all, and a [`Brief`] says all of it.
const PLAIN: u8 = 1;
/// Mark: all is as with the plain packet before it.
const AGAIN: u8 = 2;

impl Brief {
    /// Of no packet.
    pub(super) const NONE: Self = Self {
        key: FlowKey::NONE,
        hash: 0,
        hint: FlowHint::NONE,
        via: NO_VIA,
        tcp_flags: 0,
        marks: 0,
    };

    /// Of a packet that is not plain.
    fn of(facts: &Facts) -> Self {
        Self {
            key: facts.key,
            hash: facts.hash,
            ..Self::NONE
        }
    }

    /// Becomes that of a plain packet; `before` is that of the one before it. (Written word by word where it is to stand: made elsewhere and copied,
    /// it would be read wide right after it was written narrow, and wait for it.)
    #[inline(always)]
    pub(super) fn set(&mut self, before: &Self, plain: &Plain, vrf: VrfSlot, via: Option<NextHopSlot>, seed: u64) {
        let via = via.map_or(NO_VIA, NextHopSlot::raw);
        let key = FlowKey::plain(u32::from(vrf.raw()), plain);
        let again = before.marks & PLAIN != 0 && key.same_as(&before.key) && before.via == via;
        self.hash = if again { before.hash } else { key.hash(seed) };
        self.key = key;
        self.via = via;
        self.tcp_flags = plain.tcp_flags;
        self.marks = if again { PLAIN | AGAIN } else { PLAIN };
    }

    /// The next hop that its label named.
    #[inline(always)]
    pub(super) fn via(&self) -> Option<NextHopSlot> {
        (self.via != NO_VIA).then(|| NextHopSlot::from_raw(self.via))
    }

    /// By which its flow's action knows whether it comes in as it should, by this way.
    #[inline(always)]
    pub(super) fn passage(&self, way_in: u16) -> Passage {
        Passage::new(way_in, self.via())
    }

    /// Its flow says all.
    #[inline(always)]
    pub(super) fn is_plain(&self) -> bool {
        self.marks & PLAIN != 0
    }

    /// Asks for the record of its flow, whose bucket should have arrived, and for that of the other direction, if asked to. Gives whether the flow is
    /// likely to be new. One like the packet before it will go with that.
    #[inline(always)]
    pub(super) fn look_ahead(&mut self, flows: &FlowTable, beside: bool) -> bool {
        if self.is_again() {
            return false;
        }
        self.hint = flows.prefetch_record(self.hash, beside);
        self.hint.is_none()
    }

    /// Its flow is likely to be new, and it is the first.
    pub(super) fn is_news(&self) -> bool {
        !self.is_again() && self.hint.is_none()
    }

    /// Its flow, and how it came in, are those of the plain packet before it.
    #[inline(always)]
    pub(super) fn is_again(&self) -> bool {
        self.marks & AGAIN != 0
    }

    /// IPv6, not IPv4.
    #[inline(always)]
    pub(super) fn is_v6(&self) -> bool {
        self.key.family() == 6
    }

    /// The VRF it is in.
    #[inline(always)]
    pub(super) fn vrf(&self) -> VrfSlot {
        VrfSlot::from_raw(self.key.context() as u16)
    }

    /// A TCP segment with SYN set.
    #[inline(always)]
    pub(super) fn is_tcp_syn(&self) -> bool {
        self.tcp_flags & tcp_flags::SYN != 0
    }

    /// The headers of a plain packet of so many bytes.
    pub(super) fn parsed(&self, len: usize) -> Parsed {
        let ports = [self.key.src_port(), self.key.dst_port()];
        Plain::parsed_as(self.is_v6(), self.key.protocol(), self.tcp_flags, len as u32, ports)
    }

    /// All that is known of a plain packet of so many bytes.
    pub(super) fn facts(&self, way: &WayIn, len: usize) -> Facts {
        Facts {
            key: self.key,
            hash: self.hash,
            parsed: self.parsed(len),
            port: way.port,
            vrf: self.vrf(),
            via: self.via(),
            origin: way.origin,
            way_in: way.way_in,
            related: false,
        }
    }
}

/// Packets between stages: frames, and beside them what is known of each, so that a stage that needs only this moves no frame.
#[derive(Debug)]
pub(super) struct Routed {
    pub frames: Vec<Frame>,
    /// How those came in that are plain.
    pub way: WayIn,
    /// As many as frames at least.
    briefs: Vec<Brief>,
    /// Of those that are not plain, in the same places.
    facts: Vec<Facts>,
    /// So many of the first have a hint already.
    pub hinted: usize,
    /// Some of these belong to flows that are likely to be new.
    pub news: bool,
}

impl Default for Routed {
    fn default() -> Self {
        Self::with_capacity(0)
    }
}

impl Routed {
    /// Room for so many.
    pub(super) fn with_capacity(count: usize) -> Self {
        Self {
            frames: Vec::with_capacity(count),
            way: WayIn::new(PortSlot::MAX, Origin::Router, 0),
            briefs: vec![Brief::NONE; count],
            facts: vec![Facts::NONE; count],
            hinted: 0,
            news: false,
        }
    }

    /// Where to say what is known of so many plain packets, next behind those that there are.
    #[inline]
    pub(super) fn room(&mut self, count: usize) -> &mut [Brief] {
        let first = self.frames.len();
        if first + count > self.briefs.len() {
            self.grow(first + count);
        }
        &mut self.briefs[first..first + count]
    }

    /// More than a batch: no stage gives so many.
    #[cold]
    fn grow(&mut self, count: usize) {
        self.briefs.resize(count, Brief::NONE);
        self.facts.resize(count, Facts::NONE);
    }

    /// One more that is not plain.
    pub(super) fn push(&mut self, packet: Packet) {
        let place = self.frames.len();
        if let [brief] = self.room(1) {
            *brief = Brief::of(&packet.facts);
        }
        self.facts[place] = packet.facts;
        self.frames.push(packet.frame);
    }

    /// The frames, to be taken out, and what is known of them.
    #[inline(always)]
    pub(super) fn parts(&mut self) -> (&mut Vec<Frame>, &mut [Brief], &[Facts]) {
        let count = self.frames.len();
        (&mut self.frames, &mut self.briefs[..count], &self.facts[..count])
    }
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
            facts: Facts {
                key,
                hash,
                parsed,
                port,
                vrf,
                via: None,
                origin,
                way_in: FlowAction::way_in((origin == Origin::Port).then_some(port)),
                related: false,
            },
        })
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
