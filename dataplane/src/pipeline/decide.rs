//! What becomes of a packet, by the tables of one revision. Nothing here changes a table; only ports of a source translation are
//! taken, where a new flow needs one.
//!
//! A first packet is followed through services, policies, routes and VRFs to the next hop that it leaves by, and to what it looks like
//! then ([`first`]). Packets of a flow that was decided before are judged by that flow's first packet again, and keep what was
//! chosen for it as long as it is still there: the backend, the translated source, the member of a group.

use std::net::IpAddr;

use super::{
    decision::{Decision, Fate, Kept, Question, Span, Taken, traffic},
    lately::Lately,
    packet::Packet,
    record::Recorder,
};
use crate::{
    packet::{DropReason, FlowKey},
    service::icmp::IcmpError,
    tables::{
        Tables,
        forwarding::Vrf,
        next_hop::Action,
        policy::{Policy, Ruling, Side, Traffic, Verdict},
        port::{Port, Role},
        service::{Backend, Service},
        slots::{NextHopSlot, PortSlot, VrfSlot},
        source_nat::{Exhausted, SourceNat},
    },
    wire::proto,
};

/// VRFs that a packet may be led through after its first.
pub(super) const MAX_CROSSINGS: usize = 4;

/// The next hop for a destination: a port, a tunnel, the router itself or a drop; groups are resolved. A flow that was on a
/// member before stays there as long as it is one. `None`: no route.
pub(super) fn next_hop(
    tables: &Tables,
    vrf: &Vrf,
    destination: IpAddr,
    hash: u64,
    before: Option<NextHopSlot>,
) -> Option<NextHopSlot> {
    tables
        .route(vrf, destination)
        .map(|slot| member(tables, slot, hash, before))
}

/// The member of a group that a flow takes; any other next hop is its own.
pub(super) fn member(tables: &Tables, slot: NextHopSlot, hash: u64, before: Option<NextHopSlot>) -> NextHopSlot {
    match tables.next_hop(slot).map(|n| &n.action) {
        Some(Action::Group(group)) => before
            .filter(|before| group.members.iter().any(|m| m.0 == *before))
            .unwrap_or_else(|| group.pick(hash)),
        _ => slot,
    }
}

/// Where answers to `first` go, and the VRF that this leads through last: back to its source, in the VRF that it came from. From one VRF to the next nothing is translated
/// any more.
pub(super) fn way_back(
    tables: &Tables,
    packet: &Packet,
    mut home: VrfSlot,
    first: &FlowKey,
    before: Option<NextHopSlot>,
) -> Option<(NextHopSlot, VrfSlot)> {
    let (address, hash) = (first.src(), packet.hash);
    let mut slot = match packet.via.filter(|_| address == packet.destination()) {
        Some(via) => member(tables, via, hash, before),
        None => next_hop(tables, tables.vrf(home)?, address, hash, before)?,
    };
    for _ in 0..MAX_CROSSINGS {
        let Some(Action::Vrf { vrf, .. }) = tables.next_hop(slot).map(|n| &n.action) else {
            break;
        };
        home = *vrf;
        slot = next_hop(tables, tables.vrf(home)?, address, hash, before)?;
    }
    Some((slot, home))
}

/// The workload's port that a next hop delivers to.
pub(super) fn port_behind(tables: &Tables, slot: NextHopSlot) -> Option<PortSlot> {
    match &tables.next_hop(slot)?.action {
        Action::Port(hop) => Some(hop.port),
        _ => None,
    }
}

/// The workload of this node that a packet to this address would go to, where no service and no policy comes in between.
pub(crate) fn workload_at(tables: &Tables, vrf: VrfSlot, destination: IpAddr) -> Option<PortSlot> {
    let next_hop = next_hop(tables, tables.vrf(vrf)?, destination, 0, None)?;
    port_behind(tables, next_hop)
}

/// Decides about a first packet. The caller has checked its source.
pub(super) fn first<'a>(
    tables: &'a Tables,
    question: &Question,
    lately: &mut Lately,
    recorder: &mut impl Recorder,
) -> Decision<'a> {
    let vrf = VrfSlot::from_raw(question.key.context() as u16);
    let mut walk = Walk {
        tables,
        question,
        lately,
        vrf,
        answers_in: vrf,
        decision: Decision {
            fate: Fate::Drop(DropReason::NoRoute, Some(IcmpError::NoRoute)),
            out: question.key,
            answers: question.key.reversed(),
            egress: None,
            ingress: None,
            service: None,
            source_nat: None,
            taken: None,
            span: Span::Own,
            receiver: None,
        },
    };
    walk.decision.fate = match walk.run(recorder) {
        Ok(fate) => fate,
        Err((reason, error)) => Fate::Drop(reason, error),
    };
    walk.finish();
    walk.decision
}

/// What becomes of most first packets: they are routed within their VRF, to a port or into a tunnel, and whoever was asked lets them pass.
#[derive(Clone, Copy, Debug)]
pub(super) struct Simple {
    /// It leaves by this next hop.
    pub next_hop: NextHopSlot,
    /// The workload's port that this leads to.
    pub receiver: Option<PortSlot>,
    /// What the sender's policy said.
    pub egress: Option<Ruling>,
    /// What the receiver's policy said.
    pub ingress: Option<Ruling>,
}

impl Simple {
    /// As [`Decision::is_stateful`].
    #[inline]
    pub(super) fn is_stateful(&self) -> bool {
        self.egress.is_some() || self.ingress.is_some()
    }
}

/// Decides about a first packet as [`first`] does, where that is simple: `None` says nothing. It came in by the port at `workload`, which is `sender`, or by an uplink,
/// without a label that names a next hop. Nothing is translated, and answers come in the same VRF.
#[inline]
pub(super) fn simply(
    tables: &Tables,
    key: &FlowKey,
    hash: u64,
    workload: Option<PortSlot>,
    sender: Option<&Port>,
    lately: &mut Lately,
) -> Option<Simple> {
    let vrf = VrfSlot::from_raw(key.context() as u16);
    let (source, destination) = (key.src(), key.dst());
    let no_service = || {
        let service = tables.service_for(vrf, destination, key.protocol(), key.dst_port());
        service.is_none()
    };
    if !tables.services.is_empty() && !no_service() {
        return None;
    }
    let next_hop = member(tables, lately.route(tables, vrf, destination)?, hash, None);
    let mut simple = Simple {
        next_hop,
        receiver: None,
        egress: None,
        ingress: None,
    };
    let receiver = match &tables.next_hop(next_hop)?.action {
        Action::Port(to) => {
            let port = tables.port(to.port)?;
            simple.receiver = Some(to.port);
            Some(port)
        }
        Action::Tunnel(_) => None,
        _ => return None,
    };
    let traffic = traffic(key, None);
    let mut ask = |policy: &Policy, side, peer| {
        let groups = lately.groups(tables, vrf, peer);
        let ruling = lately.rulings.ask(tables, policy, side, groups, &traffic);
        (ruling.verdict != Verdict::Deny).then_some(ruling)
    };
    if let Some(policy) = sender.and_then(|port| port.policy.as_deref()) {
        simple.egress = Some(ask(policy, Side::Egress, destination)?);
    }
    if let Some(port) = receiver {
        // Answers come in elsewhere; and nobody is kept from talking to themselves.
        if vrf_of(tables, port) != Some(vrf) || workload == simple.receiver && source == destination {
            return None;
        }
        if let Some(policy) = port.policy.as_deref() {
            simple.ingress = Some(ask(policy, Side::Ingress, source)?);
        }
    }
    Some(simple)
}

/// Why a walk ended early.
type Refusal = (DropReason, Option<IcmpError>);

/// A packet on its way through the tables.
struct Walk<'a, 'q> {
    tables: &'a Tables,
    question: &'q Question,
    lately: &'q mut Lately,
    /// Where it is now.
    vrf: VrfSlot,
    /// Where its answers come in, unless a workload of this node sends them.
    answers_in: VrfSlot,
    decision: Decision<'a>,
}

impl<'a> Walk<'a, '_> {
    fn run(&mut self, recorder: &mut impl Recorder) -> Result<Fate, Refusal> {
        self.service(recorder)?;
        let mut hop = self.route(self.question.via.filter(|_| self.decision.service.is_none()), recorder);
        // The router's own addresses are spoken to without asking: they are how a workload comes by all else.
        if hop.is_some_and(|hop| self.is_local(hop)) {
            return Ok(self.local(recorder));
        }
        self.egress(recorder)?;
        for _ in 0..=MAX_CROSSINGS {
            let slot = hop.ok_or((DropReason::NoRoute, Some(IcmpError::NoRoute)))?;
            match self.tables.next_hop(slot).map(|n| &n.action) {
                Some(Action::Vrf { vrf, untranslated }) => {
                    self.cross(*vrf, *untranslated, recorder)?;
                    self.service(recorder)?;
                    hop = self.route(None, recorder);
                }
                Some(Action::Local) => return Ok(self.local(recorder)),
                Some(Action::Port(to)) => {
                    self.ingress(to.port, recorder)?;
                    return Ok(Fate::Forward(slot));
                }
                Some(Action::Tunnel(_) | Action::Underlay { .. }) => return Ok(Fate::Forward(slot)),
                Some(Action::Unreachable) => {
                    return Err((DropReason::AddressUnreachable, Some(IcmpError::AddressUnreachable)));
                }
                _ => return Err((DropReason::NextHopDrop, None)),
            }
        }
        Err((DropReason::RoutingLoop, None))
    }

    /// The decision rests on this VRF, too.
    fn touch(&mut self, vrf: VrfSlot) {
        let own = VrfSlot::from_raw(self.question.key.context() as u16);
        self.decision.span.touch(own, vrf);
    }

    fn is_local(&self, hop: NextHopSlot) -> bool {
        matches!(self.tables.next_hop(hop).map(|n| &n.action), Some(Action::Local))
    }

    fn local(&self, recorder: &mut impl Recorder) -> Fate {
        recorder.step("local", || "for the router itself".to_owned(), String::new);
        Fate::Local
    }

    /// If the destination is a service's: the backend's instead.
    fn service(&mut self, recorder: &mut impl Recorder) -> Result<(), Refusal> {
        let (tables, key) = (self.tables, self.decision.out);
        let Some(service) = tables.service_for(self.vrf, key.dst(), key.protocol(), key.dst_port()) else {
            return Ok(());
        };
        self.touch(self.vrf);
        let kept = self.kept_backend(service, &key);
        let chosen = kept.or_else(|| match self.question.is_trace {
            false => service.choose(&key, self.question.now_ms),
            true => service.would_choose(&key, self.question.now_ms),
        });
        let Some((place, backend)) = chosen else {
            recorder.step(
                "service",
                || format!("{} has no backend", service.name),
                || format!("service {}", service.id),
            );
            return Err((DropReason::NoBackend, Some(IcmpError::PortUnreachable)));
        };
        let port = if backend.port == 0 {
            key.dst_port()
        } else {
            backend.port
        };
        recorder.step(
            "service",
            || {
                let why = if kept.is_some() { "kept" } else { "chosen" };
                let (address, name) = (backend.address, &backend.name);
                format!("{}: backend {name} {why}, {address} port {port}", service.name)
            },
            || format!("service {}", service.id),
        );
        // A client that is its own backend would not believe a packet from itself: it comes from the service's address.
        let source = if key.src() == backend.address && backend.vrf == self.vrf {
            key.dst()
        } else {
            key.src()
        };
        let (context, ports) = (u32::from(backend.vrf.raw()), (key.src_port(), port));
        let out = FlowKey::between(context, source, backend.address, key.protocol(), ports);
        self.decision.out = out.ok_or((DropReason::Untranslatable, None))?;
        self.vrf = backend.vrf;
        self.touch(backend.vrf);
        self.decision.service = Some((service, place));
        Ok(())
    }

    /// The backend that the flow is on, if the service still has it.
    fn kept_backend(&self, service: &'a Service, key: &FlowKey) -> Option<(u16, &'a Backend)> {
        let answers = self.question.kept?.answers;
        let as_said = || {
            service
                .position(answers.src(), 0)
                .filter(|_| answers.src_port() == key.dst_port())
        };
        let place = service.position(answers.src(), answers.src_port()).or_else(as_said)?;
        Some((place, service.backends.get(usize::from(place))?))
    }

    /// Where the route for the destination leads.
    fn route(&mut self, via: Option<NextHopSlot>, recorder: &mut impl Recorder) -> Option<NextHopSlot> {
        let (tables, question) = (self.tables, self.question);
        let address = self.decision.out.dst();
        let found = match via {
            Some(via) => Some(member(tables, via, question.hash, question.before)),
            None => {
                let slot = self.lately.route(tables, self.vrf, address);
                slot.map(|slot| member(tables, slot, question.hash, question.before))
            }
        };
        let vrf = self.vrf;
        recorder.step(
            "route",
            || match found.and_then(|slot| tables.next_hop(slot)) {
                Some(hop) if via.is_some() => format!("the label leads to next hop {} {}", hop.id, hop.name),
                Some(hop) => format!("{address} leads to next hop {} {}", hop.id, hop.name),
                None => format!("no route to {address}"),
            },
            || format!("vrf {}", tables.vrf(vrf).map_or(0, |vrf| vrf.id)),
        );
        found
    }

    /// Asks the sender's policy.
    fn egress(&mut self, recorder: &mut impl Recorder) -> Result<(), Refusal> {
        let port = self.question.workload.and_then(|port| self.tables.port(port));
        let Some(policy) = port.and_then(|port| port.policy.as_deref()) else {
            return Ok(());
        };
        let ruling = self.ask(policy, Side::Egress, self.decision.out.dst(), recorder);
        self.decision.egress = Some(ruling);
        if ruling.verdict == Verdict::Deny {
            return Err((DropReason::PolicyDeniedEgress, None));
        }
        Ok(())
    }

    /// Asks the receiver's policy; notes where its answers come from.
    fn ingress(&mut self, to: PortSlot, recorder: &mut impl Recorder) -> Result<(), Refusal> {
        let Some(port) = self.tables.port(to) else {
            return Ok(());
        };
        self.decision.receiver = Some(to);
        if let Some(vrf) = vrf_of(self.tables, port) {
            self.answers_in = vrf;
        }
        let Some(policy) = port.policy.as_deref() else {
            return Ok(());
        };
        // A policy of another VRF's workload may change without a change in this one.
        if self.answers_in != self.vrf {
            self.touch(self.answers_in);
        }
        // Nobody is kept from talking to themselves.
        let itself = self.question.workload == Some(to) && self.question.key.src() == self.decision.out.dst();
        if itself {
            return Ok(());
        }
        let ruling = self.ask(policy, Side::Ingress, self.decision.out.src(), recorder);
        self.decision.ingress = Some(ruling);
        if ruling.verdict == Verdict::Deny {
            return Err((DropReason::PolicyDeniedIngress, None));
        }
        Ok(())
    }

    fn ask(&mut self, policy: &Policy, side: Side, peer: IpAddr, recorder: &mut impl Recorder) -> Ruling {
        let groups = self.lately.groups(self.tables, self.vrf, peer);
        let traffic = Traffic {
            first_port: match self.question.traffic.protocol {
                proto::ICMP | proto::ICMPV6 => self.question.traffic.first_port,
                // The port behind a service, where there is one.
                _ => self.decision.out.dst_port(),
            },
            ..self.question.traffic
        };
        let ruling = self.lately.rulings.ask(self.tables, policy, side, groups, &traffic);
        recorder.step(
            "policy",
            || {
                let side = match side {
                    Side::Egress => "egress",
                    Side::Ingress => "ingress",
                };
                let verdict = match ruling.verdict {
                    Verdict::Allow => "allowed",
                    Verdict::Deny => "denied",
                    Verdict::Audit => "allowed for audit",
                };
                format!(
                    "{side} {verdict} by {}/{} for peer {peer}",
                    policy.name(),
                    policy.rule_name(ruling.rule)
                )
            },
            || format!("policy {}", policy.id()),
        );
        ruling
    }

    /// Goes on into another VRF, the source translated.
    fn cross(&mut self, to: VrfSlot, untranslated: bool, recorder: &mut impl Recorder) -> Result<(), Refusal> {
        let from = std::mem::replace(&mut self.vrf, to);
        self.touch(from);
        self.touch(to);
        self.answers_in = to;
        self.decision.out = self.decision.out.with_context(u32::from(to.raw()));
        let key = self.decision.out;
        let source = key.src();
        let Some(nat) = self.tables.source_nat_for(from, to, source) else {
            recorder.step("nat", || format!("nothing translates {source}"), String::new);
            return if untranslated {
                Ok(())
            } else {
                Err((DropReason::NoTranslation, Some(IcmpError::AdminProhibited)))
            };
        };
        let (outside, port) = self.translated(nat, &key).map_err(|_| {
            recorder.step(
                "nat",
                || format!("{}: no port is free for {source}", nat.name),
                || format!("source translation {}", nat.id),
            );
            (DropReason::NatExhausted, Some(IcmpError::AddressUnreachable))
        })?;
        recorder.step(
            "nat",
            || {
                format!(
                    "{}: {source} port {} becomes {outside} port {port}",
                    nat.name,
                    source_port(&key)
                )
            },
            || format!("source translation {}", nat.id),
        );
        let ports = with_source_port(&key, port);
        let out = FlowKey::between(key.context(), outside, key.dst(), key.protocol(), ports);
        self.decision.out = out.ok_or((DropReason::Untranslatable, None))?;
        self.decision.source_nat = Some(nat);
        Ok(())
    }

    /// The address and port that a source is translated to: those it had, if the translation still has them, else new ones.
    fn translated(&mut self, nat: &'a SourceNat, key: &FlowKey) -> Result<(IpAddr, u16), Exhausted> {
        let (source, port) = (key.src(), source_port(key));
        let mut counted = false;
        let kept = self.question.kept.and_then(|kept| {
            let had = kept.answers.reversed();
            let had = (had.src(), source_port(&had));
            counted = !nat.pool.is_one_to_one() && kept.pools.contains(&Some((nat.slot, nat.pool.tag())));
            (counted || nat.pool.adopt(source, port, had.0, had.1)).then_some(had)
        });
        let (outside, given) = match kept {
            Some(had) => had,
            None => nat
                .pool
                .translate(source, port, key.protocol(), self.question.attempt)?,
        };
        let known = nat.pool.is_one_to_one() || counted && kept.is_some();
        if !known {
            self.decision.taken = Some(Taken {
                nat,
                source,
                outside,
                port: given,
            });
        }
        Ok((outside, given))
    }

    /// What follows from where the packet ended.
    fn finish(&mut self) {
        let question = self.question;
        let decision = &mut self.decision;
        if decision.source_nat.is_none() && matches!(question.key.protocol(), proto::TCP | proto::UDP) {
            let key = decision.out;
            let ports = |port| {
                FlowKey::between(
                    key.context(),
                    key.src(),
                    key.dst(),
                    key.protocol(),
                    (port, key.dst_port()),
                )
                .unwrap_or(key)
            };
            // Where the way back was taken by another flow, another port of the source keeps them apart; and then stays.
            decision.out = match question.kept {
                Some(Kept { answers, .. }) if ports(answers.dst_port()).same_tuple(&answers.reversed()) => {
                    ports(answers.dst_port())
                }
                _ if question.attempt > 0 => ports(other_port(question.hash, question.attempt)),
                _ => key,
            };
        }
        // Without state, answers are flows of their own, routed where they come in.
        let context = if decision.is_stateful(&question.key) {
            self.answers_in
        } else {
            VrfSlot::from_raw(question.key.context() as u16)
        };
        if u32::from(context.raw()) != question.key.context() || decision.translates(&question.key) {
            let own = VrfSlot::from_raw(question.key.context() as u16);
            decision.span.touch(own, context);
        }
        decision.answers = decision.out.reversed().with_context(u32::from(context.raw()));
    }
}

/// The VRF in which packets of a workload are routed.
pub(crate) fn vrf_of(tables: &Tables, port: &Port) -> Option<VrfSlot> {
    match port.role {
        Role::Routed { vrf } => Some(vrf),
        Role::Bridged { bridge } => tables.bridge(bridge)?.vrf,
        Role::Uplink => None,
    }
}

/// The port, or identifier, that a translation of the source changes. Echo replies that begin a flow have it as destination port.
fn source_port(key: &FlowKey) -> u16 {
    match key.protocol() {
        proto::ICMP | proto::ICMPV6 if key.src_port() == 0 => key.dst_port(),
        _ => key.src_port(),
    }
}

/// The ports of a key whose [`source_port`] is replaced.
fn with_source_port(key: &FlowKey, port: u16) -> (u16, u16) {
    match key.protocol() {
        proto::ICMP | proto::ICMPV6 if key.src_port() == 0 => (0, if key.dst_port() == 0 { 0 } else { port }),
        _ if key.src_port() == 0 && key.dst_port() == 0 => (0, 0),
        _ => (port, key.dst_port()),
    }
}

/// Another source port for a flow whose way back is taken: one of the dynamic ones, each attempt another.
fn other_port(hash: u64, attempt: u32) -> u16 {
    let step = (hash >> 32) as u16 | 1;
    32_768 | (hash as u16).wrapping_add(step.wrapping_mul(attempt as u16)) & 0x7fff
}
