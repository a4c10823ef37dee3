//! Policies within a bridge: frames that are switched are asked about as packets that are routed.
//!
//! Flows of a bridge have a context of their own, so that the same addresses in two bridges are two flows. They forward nothing: each
//! says that frames of its key may pass from one place to another, and rests on a wide stamp. What is not IP is for the link (ARP) or
//! cannot be judged, and is refused where a policy is.

use std::net::IpAddr;

use super::{
    conclusion,
    context::Context,
    decision,
    flow_action::{FlowAction, FlowFlags},
    house,
    packet::{flow_key, reason},
    quote::Quote,
    track,
};
use crate::{
    packet::{DropReason, FlowKey, Frame},
    tables::{
        conntrack::SEEN,
        flow::{FlowHit, InsertError, NewDirection, NewFlow, STALE},
        forwarding::Bridge,
        policy::{Ruling, Side, Traffic, Verdict},
        slots::{BridgeSlot, NextHopSlot, PortSlot, VrfSlot},
    },
    tap::Blame,
    wire::{Flags, Fragment, IpKind, Parsed, ethertype, fragment::fragment_info, parse, proto},
};

/// Marks the context of a bridge's flows; the rest is the bridge's slot.
pub(super) const BRIDGE_CONTEXT: u32 = 1 << 31;

/// Marks the context under which a datagram in fragments is remembered by its identification.
const FRAGMENTS: u32 = 1 << 30;

/// A frame's way through a bridge.
#[derive(Clone, Copy, Debug)]
pub(super) struct Passage<'a> {
    /// The bridge.
    pub slot: BridgeSlot,
    /// The same.
    pub bridge: &'a Bridge,
    /// The port it came in by, whatever that is.
    pub port: PortSlot,
    /// The workload that sent it, if on this node.
    pub from: Option<PortSlot>,
    /// The workload that it goes to, if on this node.
    pub to: Option<PortSlot>,
}

/// Lets a frame pass, or says why not. Called only where one of the ends has a policy.
#[inline(never)]
pub(super) fn admit(context: &mut Context<'_>, frame: &Frame, passage: &Passage<'_>) -> Result<(), DropReason> {
    let parsed = parse(frame.data()).map_err(reason)?;
    if parsed.kind == IpKind::None {
        return match parsed.ethertype {
            ethertype::ARP | ethertype::RARP => Ok(()),
            _ => Err(DropReason::UnknownEthertype),
        };
    }
    let ip = frame
        .data()
        .get(usize::from(parsed.l3)..parsed.end as usize)
        .unwrap_or_default();
    let parsed = Parsed {
        end: parsed.end - u32::from(parsed.l3),
        l4: parsed.l4 - parsed.l3,
        l3: 0,
        ..parsed
    };
    if is_for_the_link(ip, &parsed) {
        return Ok(());
    }
    let own = BRIDGE_CONTEXT | u32::from(passage.slot.raw());
    // A head has ports, and is judged by them.
    let head = Parsed {
        fragment: Fragment::No,
        ..parsed
    };
    let key = flow_key(ip, &head, own).ok_or(DropReason::BadIpVersion)?;
    let judged = Judged {
        passage,
        ip,
        parsed: &parsed,
        key,
    };
    match parsed.fragment {
        Fragment::Later => judged.later_fragment(context),
        _ if is_group(frame, key.dst()) => judged.judge(context).0,
        _ if is_signal(&parsed) => judged.signal(context),
        Fragment::First => {
            judged.flow(context)?;
            judged.remember_fragments(context)
        }
        Fragment::No => judged.flow(context),
    }
}

/// The rules by which a frame was just refused.
#[cold]
pub(super) fn blame(context: &Context<'_>, frame: &Frame, passage: &Passage<'_>) -> Option<Blame> {
    let parsed = parse(frame.data()).ok()?;
    let ip = frame.data().get(usize::from(parsed.l3)..parsed.end as usize)?;
    let parsed = Parsed {
        end: parsed.end - u32::from(parsed.l3),
        l4: parsed.l4 - parsed.l3,
        l3: 0,
        ..parsed
    };
    let key = flow_key(ip, &parsed, BRIDGE_CONTEXT | u32::from(passage.slot.raw()))?;
    let judged = Judged {
        passage,
        ip,
        parsed: &parsed,
        key,
    };
    let flows = &context.shared.flows;
    let remembered = flows
        .lookup(&key, flows.hash(&key))
        .map(|hit| FlowAction::unpack(hit.action));
    let action = remembered
        .filter(FlowAction::is_denied)
        .unwrap_or_else(|| judged.action(None, judged.judge(context).1));
    Some(Blame {
        receiver: passage.to,
        ..conclusion::blame_of(&action)
    })
}

/// Neighbour discovery and multicast listener reports: how stations find each other and their router at all. Who may say what in them is for
/// guards.
fn is_for_the_link(ip: &[u8], parsed: &Parsed) -> bool {
    parsed.kind == IpKind::V6
        && parsed.proto == proto::ICMPV6
        && !parsed.is_fragment()
        && matches!(ip.get(usize::from(parsed.l4)), Some(130..=137 | 143))
}

/// Sent to many, or to an address that all hear.
fn is_group(frame: &Frame, destination: IpAddr) -> bool {
    super::ingress::destination_mac(frame).is_multicast() || destination.is_multicast()
}

fn is_signal(parsed: &Parsed) -> bool {
    matches!(parsed.proto, proto::ICMP | proto::ICMPV6) && !parsed.flags.has(Flags::ICMP_ECHO)
}

/// An IP packet in a bridge, about to be judged.
struct Judged<'a> {
    passage: &'a Passage<'a>,
    ip: &'a [u8],
    parsed: &'a Parsed,
    key: FlowKey,
}

type Rulings = [Option<Ruling>; 2];

impl Judged<'_> {
    /// By the packet's flow, which is made if need be.
    fn flow(&self, context: &mut Context<'_>) -> Result<(), DropReason> {
        let flows = &context.shared.flows;
        let hash = flows.hash(&self.key);
        let Some(hit) = flows.lookup(&self.key, hash) else {
            return self.begin(context, hash);
        };
        let action = FlowAction::unpack(hit.action);
        if hit.epoch != context.tables.wide_stamp()
            || action.in_port != self.way_in()
            || action.next_hop != self.way_out()
        {
            return self.again(context, hit);
        }
        self.pass(context, hit, action)
    }

    /// As a current flow says.
    fn pass(&self, context: &Context<'_>, hit: FlowHit, action: FlowAction) -> Result<(), DropReason> {
        let flows = &context.shared.flows;
        flows.touch(hit.flow, context.now_ms(), self.ip.len() as u64);
        if action.is_denied() {
            return Err(action.reason.unwrap_or(DropReason::PolicyDeniedEgress));
        }
        if action.flags.has(FlowFlags::TRACK) {
            track::admit_segment(context.shared, self.ip, self.parsed, hit.flow)?;
        }
        Ok(())
    }

    /// A first packet.
    fn begin(&self, context: &mut Context<'_>, hash: u64) -> Result<(), DropReason> {
        let (judgement, rulings) = self.judge(context);
        if judgement.is_ok() && self.key.protocol() == proto::TCP {
            track::opens(self.ip, self.parsed)?;
        }
        let action = self.action(judgement.err(), rulings);
        let back = self.key.reversed();
        let flow = NewFlow {
            forward: NewDirection {
                key: self.key,
                hash,
                epoch: context.tables.wide_stamp(),
                action: action.pack(),
            },
            reverse: judgement.is_ok().then(|| NewDirection {
                key: back,
                hash: context.shared.flows.hash(&back),
                epoch: STALE,
                action: [0; 3],
            }),
            port: self.pays().raw(),
        };
        let mut made = house::insert(context, &flow);
        if matches!(made, Err(InsertError::ReverseTaken)) && house::forget_denial(context, &back) {
            made = house::insert(context, &flow);
        }
        match made {
            Ok(made) => {
                self.note(context, made);
                self.pass(context, made, action)
            }
            // Refusing needs no memory.
            Err(_) if judgement.is_err() => judgement,
            Err(InsertError::AlreadyThere(there)) => self.again(context, there),
            Err(InsertError::Contended) => judgement,
            Err(error) => {
                context.count(|c| &c.flows_refused);
                Err(match error {
                    InsertError::PortShareUsed { .. } | InsertError::VrfShareUsed { .. } => DropReason::FlowLimit,
                    _ => DropReason::FlowTableFull,
                })
            }
        }
    }

    /// A flow that was decided under other tables, or for another way.
    fn again(&self, context: &mut Context<'_>, hit: FlowHit) -> Result<(), DropReason> {
        let flows = &context.shared.flows;
        let first = flows.sibling_key(hit.flow).filter(|_| hit.flow.is_reverse());
        let (judgement, rulings) = match first {
            Some(first) => self.judge_as_answer(context, &first),
            None => self.judge(context),
        };
        let stamp = context.tables.wide_stamp();
        let foreign = hit.epoch == stamp;
        if judgement.is_ok() && first.is_none() && flows.sibling_key(hit.flow).is_none() {
            // It was refused, and has no way back.
            flows.remove(hit.flow);
            return self.begin(context, flows.hash(&self.key));
        }
        // Whoever claims by another way to be of the flow does not end it.
        if judgement.is_err() && foreign {
            return judgement;
        }
        let action = self.action(judgement.err(), rulings);
        flows.revalidate(hit.flow, stamp, &action.pack());
        self.note(context, hit);
        self.pass(context, hit, action)
    }

    /// Non-TCP: the direction was seen. (Of TCP, tracking says more.)
    fn note(&self, context: &Context<'_>, hit: FlowHit) {
        if self.key.protocol() != proto::TCP {
            context.shared.flows.set_state(hit.flow, SEEN);
        }
    }

    /// An ICMP packet other than echo: it passes with the flow that it is about, else it is judged by itself.
    fn signal(&self, context: &Context<'_>) -> Result<(), DropReason> {
        let flows = &context.shared.flows;
        let about = Quote::read(self.ip, self.parsed, self.key.context()).and_then(|(_, quoted)| {
            let key = quoted.reversed();
            let hit = flows.lookup(&key, flows.hash(&key))?;
            let ways = [Some(hit), flows.sibling(hit.flow)];
            let mut decided = ways.into_iter().flatten().filter(|way| way.epoch != STALE);
            decided.next().map(|way| FlowAction::unpack(way.action))
        });
        match about {
            Some(action) if !action.is_denied() => Ok(()),
            _ => self.judge(context).0,
        }
    }

    /// A fragment without ports: it passes if its head did.
    fn later_fragment(&self, context: &Context<'_>) -> Result<(), DropReason> {
        let flows = &context.shared.flows;
        let key = self.datagram().ok_or(DropReason::BadFragment)?;
        match flows.lookup(&key, flows.hash(&key)) {
            Some(hit)
                if hit.epoch == context.tables.wide_stamp()
                    && FlowAction::unpack(hit.action).next_hop == self.way_out() =>
            {
                flows.touch(hit.flow, context.now_ms(), self.ip.len() as u64);
                Ok(())
            }
            // Its head was refused, or comes later: by its ports, nothing can be said of it. What needs none may be allowed.
            _ => self.judge(context).0,
        }
    }

    /// Remembers a datagram whose head may pass.
    fn remember_fragments(&self, context: &mut Context<'_>) -> Result<(), DropReason> {
        let key = self.datagram().ok_or(DropReason::BadFragment)?;
        let stamp = context.tables.wide_stamp();
        let action = self.action(None, [None; 2]).pack();
        let flow = NewFlow {
            forward: NewDirection {
                key,
                hash: context.shared.flows.hash(&key),
                epoch: stamp,
                action,
            },
            reverse: None,
            port: self.pays().raw(),
        };
        if let Err(InsertError::AlreadyThere(there)) = house::insert(context, &flow) {
            context.shared.flows.revalidate(there.flow, stamp, &action);
        }
        Ok(())
    }

    /// The key of the datagram that a fragment is of.
    fn datagram(&self) -> Option<FlowKey> {
        let id = fragment_info(self.ip, self.parsed)?.identification;
        let (src, dst) = (self.key.src(), self.key.dst());
        // Of the last fragments of IPv6 the protocol is known from the fragment header only: left out for all.
        FlowKey::between(
            self.key.context() | FRAGMENTS,
            src,
            dst,
            0,
            ((id >> 16) as u16, id as u16),
        )
    }

    /// By policies, as a first packet.
    fn judge(&self, context: &Context<'_>) -> (Result<(), DropReason>, Rulings) {
        let icmp = match self.parsed.fragment {
            Fragment::Later => Some((u8::MAX, u8::MAX)),
            _ => decision::icmp_of(self.ip.get(usize::from(self.parsed.l4)..).unwrap_or_default()),
        };
        let Passage { from, to, .. } = *self.passage;
        self.ask(context, &self.key, (from, to), decision::traffic(&self.key, icmp))
    }

    /// By policies, as the answer to a flow whose first packet has the key `first`: they are asked about that.
    fn judge_as_answer(&self, context: &Context<'_>, first: &FlowKey) -> (Result<(), DropReason>, Rulings) {
        let Passage { from, to, .. } = *self.passage;
        self.ask(context, first, (to, from), decision::traffic(first, None))
    }

    fn ask(
        &self,
        context: &Context<'_>,
        first: &FlowKey,
        (sender, receiver): (Option<PortSlot>, Option<PortSlot>),
        traffic: Traffic,
    ) -> (Result<(), DropReason>, Rulings) {
        let tables = context.tables;
        let ask = |port: Option<PortSlot>, side, peer| -> Option<Ruling> {
            let policy = tables.port(port?)?.policy.as_deref()?;
            let vrf = self.passage.bridge.vrf.and_then(|vrf| tables.vrf(vrf));
            let groups = vrf.map_or(&[][..], |vrf| tables.groups(vrf, peer));
            Some(policy.decide(side, groups, &traffic))
        };
        let denies = |ruling: Option<Ruling>| ruling.is_some_and(|ruling| ruling.verdict == Verdict::Deny);
        let egress = ask(sender, Side::Egress, first.dst());
        if denies(egress) {
            return (Err(DropReason::PolicyDeniedEgress), [egress, None]);
        }
        let ingress = ask(receiver, Side::Ingress, first.src());
        if denies(ingress) {
            return (Err(DropReason::PolicyDeniedIngress), [egress, ingress]);
        }
        (Ok(()), [egress, ingress])
    }

    fn action(&self, denied: Option<DropReason>, rulings: Rulings) -> FlowAction {
        let tracks = denied.is_none() && self.key.protocol() == proto::TCP;
        let flags = conclusion::flags_of(rulings)
            .or(FlowFlags::BRIDGED)
            .with_if(denied.is_none(), FlowFlags::STATEFUL)
            .with_if(denied.is_some(), FlowFlags::DENY)
            .with_if(tracks, FlowFlags::TRACK);
        FlowAction {
            flags,
            reason: denied,
            egress_rule: conclusion::rule(rulings[0]),
            ingress_rule: conclusion::rule(rulings[1]),
            ..FlowAction::plain(
                self.way_out(),
                self.way_in(),
                self.passage.bridge.vrf.unwrap_or(VrfSlot::MAX),
            )
        }
    }

    fn way_in(&self) -> u16 {
        FlowAction::way_in(self.passage.from)
    }

    fn way_out(&self) -> NextHopSlot {
        self.passage
            .to
            .map_or(FlowAction::REMOTE, |port| NextHopSlot::from_raw(port.raw().into()))
    }

    /// The port whose share a flow counts on.
    fn pays(&self) -> PortSlot {
        self.passage.from.or(self.passage.to).unwrap_or(self.passage.port)
    }
}
