//! What is asked about a first packet, and what is answered: the words in which a decision is spoken of.

use std::net::IpAddr;

use crate::{
    packet::{DropReason, FlowKey},
    service::icmp::IcmpError,
    tables::{
        policy::{Ruling, Traffic},
        service::Service,
        slots::{NextHopSlot, PortSlot, VrfSlot},
        source_nat::SourceNat,
    },
    wire::proto,
};

/// A first packet, as far as its fate depends on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question {
    /// Its key as received; the context is its VRF's slot.
    pub key: FlowKey,
    /// Chooses among members and backends.
    pub hash: u64,
    /// The workload's port it came in by; `None` from an uplink.
    pub workload: Option<PortSlot>,
    /// The next hop that its label named.
    pub via: Option<NextHopSlot>,
    /// What policies ask of it.
    pub traffic: Traffic,
    /// The flow that was decided before: its translation is kept while it is still possible.
    pub kept: Option<Kept>,
    /// The next hop that the flow took before.
    pub before: Option<NextHopSlot>,
    /// How many translations were tried already and found taken.
    pub attempt: u32,
    /// Now, in milliseconds.
    pub now_ms: u64,
    /// Nothing is to be remembered of it: no service remembers its client.
    pub is_trace: bool,
}

/// What a flow had before it is decided again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    /// The key of its answers.
    pub answers: FlowKey,
    /// Source translations, by slot and tag of their pool, in which its port is counted, as its two directions know it.
    pub pools: [Option<(u16, u8)>; 2],
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It leaves by this next hop: a port, a tunnel, the underlay.
    Forward(NextHopSlot),
    /// It is for the router itself.
    Local,
    /// It is dropped, and its sender told, where there is something to tell.
    Drop(DropReason, Option<IcmpError>),
}

/// What a decision rests on, and so when it must be made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Span {
    /// Its own VRF's routes and identities, and policies.
    Own,
    /// Those of this VRF, too, and whatever is common to all: services, translations.
    With(VrfSlot),
    /// More than that.
    Wide,
}

impl Span {
    /// It rests on this VRF, too; `own` is where it was made.
    pub(super) fn touch(&mut self, own: VrfSlot, vrf: VrfSlot) {
        *self = match *self {
            Self::Own => Self::With(vrf),
            Self::With(other) if other == own => Self::With(vrf),
            Self::With(other) if vrf == other || vrf == own => *self,
            _ => Self::Wide,
        };
    }
}

/// A port of a source translation that was taken for a flow that is not yet made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken<'a> {
    /// What it was taken from.
    pub nat: &'a SourceNat,
    /// The source that it stands for.
    pub source: IpAddr,
    /// The address that it is a port of.
    pub outside: IpAddr,
    /// The port.
    pub port: u16,
}

/// What was decided about a first packet.
#[derive(Clone, Debug)]
pub(super) struct Decision<'a> {
    /// What becomes of it.
    pub fate: Fate,
    /// What it looks like when it leaves; the context is the VRF it was routed in at last.
    pub out: FlowKey,
    /// The key of its answers.
    pub answers: FlowKey,
    /// What the sender's policy said, if one was asked.
    pub egress: Option<Ruling>,
    /// What the receiver's policy said.
    pub ingress: Option<Ruling>,
    /// The last service on its way, and the backend chosen.
    pub service: Option<(&'a Service, u16)>,
    /// What translated its source.
    pub source_nat: Option<&'a SourceNat>,
    /// A port that was taken for it: [`release`](Self::release) it if no flow comes of it.
    pub taken: Option<Taken<'a>>,
    /// What it rests on.
    pub span: Span,
    /// The workload's port of this node that it is for, whether it may come there or not.
    pub receiver: Option<PortSlot>,
}

impl Decision<'_> {
    /// Gives back a port that was taken for nothing.
    pub(super) fn release(&self) {
        if let Some(taken) = &self.taken {
            taken.nat.pool.release(taken.source, taken.outside, taken.port);
        }
    }

    /// Its packets are changed.
    pub(super) fn translates(&self, key: &FlowKey) -> bool {
        !self.out.same_tuple(key)
    }

    /// Answers must find the flow: they are let pass because of it, or translated.
    pub(super) fn is_stateful(&self, key: &FlowKey) -> bool {
        self.egress.is_some() || self.ingress.is_some() || self.translates(key)
    }
}

/// What policies ask of a packet, by its flow's key; for ICMP, with its type and code.
pub(super) fn traffic(key: &FlowKey, icmp: Option<(u8, u8)>) -> Traffic {
    let protocol = key.protocol();
    let (first_port, code) = match (protocol, icmp) {
        (proto::ICMP | proto::ICMPV6, Some((kind, code))) => (u16::from(kind), code),
        (proto::ICMP, None) => (if key.dst_port() == 0 { 8 } else { 0 }, 0),
        (proto::ICMPV6, None) => (if key.dst_port() == 0 { 128 } else { 129 }, 0),
        _ => (key.dst_port(), 0),
    };
    Traffic {
        protocol,
        first_port,
        code,
    }
}

/// ICMP type and code of a packet that begins at `l4`.
pub(super) fn icmp_of(l4: &[u8]) -> Option<(u8, u8)> {
    l4.first_chunk::<2>().map(|[kind, code]| (*kind, *code))
}
