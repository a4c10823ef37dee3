//! A first packet's way: services, policies, routes, from one VRF into the next.

use std::net::IpAddr;

use vrouter_dataplane::{
    packet::DropReason,
    program::object::{ActionSpec, Attachment, BackendSpec, ServiceSpec, Verdict},
};

use crate::{
    connections::{Key, workload},
    nat,
    policy::{self, Side, Traffic},
    router::{Packet, Run},
    speech::Trouble,
};

pub const fn is_icmp(protocol: u8) -> bool {
    matches!(protocol, 1 | 58)
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug)]
pub enum Fate {
    Forward(u64),
    Local,
    Drop(DropReason, Option<Trouble>),
}

/// What a connection has already.
#[derive(Clone, Copy, Debug)]
pub struct Kept {
    pub answers: Key,
    pub nat: Option<(u32, u64)>,
}

#[derive(Clone, Debug)]
pub struct Question {
    pub key: Key,
    /// The port of the workload that sent it.
    pub workload: Option<u32>,
    /// Type and code, of ICMP that is no echo.
    pub icmp: Option<(u8, u8)>,
    pub kept: Option<Kept>,
    /// It would be taken for another's if it kept its port.
    pub apart: bool,
}

impl Question {
    pub fn first(packet: &Packet, key: Key) -> Self {
        let message = &packet.bytes[packet.ip.l4..];
        Self {
            key,
            workload: workload(packet),
            icmp: is_icmp(key.protocol).then(|| (message[0], message[1])),
            kept: None,
            apart: false,
        }
    }
}

#[derive(Clone, Debug)]
pub struct Decision {
    pub fate: Fate,
    /// What it looks like when it leaves.
    pub out: Key,
    pub answers: Key,
    /// A policy was asked.
    asked: bool,
    /// The translation that gave it a port of a block.
    pub nat: Option<(u32, u64)>,
}

impl Decision {
    /// Its answers pass because it did, or must be translated.
    pub fn is_stateful(&self, key: &Key) -> bool {
        self.asked || !self.out.alike(key)
    }
}

type Refusal = (DropReason, Option<Trouble>);

/// A packet on its way.
struct Walk<'q> {
    question: &'q Question,
    vrf: u32,
    /// Where its answers come in.
    answers_in: u32,
    out: Key,
    asked: bool,
    nat: Option<(u32, u64)>,
    /// Some translation, of either kind, gave it its source.
    translated: bool,
}

impl Run<'_> {
    pub fn decide(&mut self, question: &Question) -> Decision {
        let vrf = question.key.vrf;
        let mut walk = Walk {
            question,
            vrf,
            answers_in: vrf,
            out: question.key,
            asked: false,
            nat: None,
            translated: false,
        };
        let fate = match self.walk(&mut walk) {
            Ok(fate) => fate,
            Err((reason, trouble)) => Fate::Drop(reason, trouble),
        };
        if !walk.translated && question.key.protocol == 17 {
            walk.out.source.1 = self.own_port(&walk);
        }
        let mut decision = Decision {
            fate,
            out: walk.out,
            answers: walk.out.turned().within(vrf),
            asked: walk.asked,
            nat: walk.nat,
        };
        if decision.is_stateful(&question.key) {
            decision.answers.vrf = walk.answers_in;
        }
        decision
    }

    /// The source port of what no translation touches: its own, unless that would make it another's.
    fn own_port(&self, walk: &Walk<'_>) -> u16 {
        let with = |port| Key {
            source: (walk.out.source.0, port),
            ..walk.out
        };
        match walk.question.kept.map(|kept| kept.answers) {
            Some(answers) if with(answers.destination.1).alike(&answers.turned()) => answers.destination.1,
            _ if walk.question.apart => match self.seen {
                Some((_, port)) if port >= 32_768 => port,
                // Nothing tells.
                _ => 0,
            },
            _ => walk.out.source.1,
        }
    }

    fn walk(&mut self, walk: &mut Walk<'_>) -> Result<Fate, Refusal> {
        self.service(walk)?;
        let mut hop = self.world.route(walk.vrf, walk.out.destination.0);
        let action = |run: &Self, hop: Option<u64>| hop.and_then(|id| run.world.next_hop(id)).map(|n| n.action.clone());
        if matches!(action(self, hop), Some(ActionSpec::Local)) {
            return Ok(Fate::Local);
        }
        if let Some(port) = walk.question.workload {
            self.ask(walk, port, Side::Egress)?;
        }
        for _ in 0..=4 {
            let Some(next_hop) = hop else {
                return Err((DropReason::NoRoute, Some(Trouble::NoRoute)));
            };
            match action(self, hop) {
                Some(ActionSpec::Vrf { vrf, untranslated }) => {
                    self.cross(walk, vrf, untranslated)?;
                    self.service(walk)?;
                    hop = self.world.route(walk.vrf, walk.out.destination.0);
                }
                Some(ActionSpec::Local) => return Ok(Fate::Local),
                Some(ActionSpec::Port { port, .. }) => {
                    if let Some(Attachment::Vrf(vrf)) = self.world.port(port).map(|p| p.attachment) {
                        walk.answers_in = vrf;
                    }
                    let itself =
                        walk.question.workload == Some(port) && walk.question.key.source.0 == walk.out.destination.0;
                    if !itself {
                        self.ask(walk, port, Side::Ingress)?;
                    }
                    return Ok(Fate::Forward(next_hop));
                }
                Some(ActionSpec::Tunnel { .. }) => return Ok(Fate::Forward(next_hop)),
                Some(ActionSpec::Unreachable) => {
                    return Err((DropReason::AddressUnreachable, Some(Trouble::AddressUnreachable)));
                }
                _ => return Err((DropReason::NextHopDrop, None)),
            }
        }
        Err((DropReason::RoutingLoop, None))
    }

    /// Asks the policy of a port, if it has one.
    fn ask(&self, walk: &mut Walk<'_>, port: u32, side: Side) -> Result<(), Refusal> {
        let Some(policy) = self.world.policy_of(port) else {
            return Ok(());
        };
        walk.asked = true;
        let (peer, reason) = match side {
            Side::Egress => (walk.out.destination.0, DropReason::PolicyDeniedEgress),
            Side::Ingress => (walk.out.source.0, DropReason::PolicyDeniedIngress),
        };
        let protocol = walk.out.protocol;
        let (number, code) = if is_icmp(protocol) {
            let first = walk.question.key;
            // An echo whose packet is not at hand is told by its key.
            let (request, reply) = if protocol == 1 { (8, 0) } else { (128, 129) };
            let by_key = (if first.destination.1 == 0 { request } else { reply }, 0);
            let (kind, code) = walk.question.icmp.unwrap_or(by_key);
            (u16::from(kind), code)
        } else {
            (walk.out.destination.1, 0)
        };
        let traffic = Traffic { protocol, number, code };
        match policy::ask(policy, side, &self.world.groups(walk.vrf, peer), &traffic) {
            Verdict::Deny => Err((reason, None)),
            Verdict::Allow | Verdict::Audit => Ok(()),
        }
    }

    /// Sends what is for a service to a backend: the one it is on, else any that takes new connections.
    fn service(&mut self, walk: &mut Walk<'_>) -> Result<(), Refusal> {
        let (vrf, out) = (walk.vrf, walk.out);
        let Some(service) = self.service_at(vrf, &out) else {
            return Ok(());
        };
        let kept = walk.question.kept.and_then(|kept| {
            let (address, port) = kept.answers.source;
            let at = |port| service.backends.iter().find(|b| b.address == address && b.port == port);
            at(port).or_else(|| at(0).filter(|_| port == out.destination.1))
        });
        let backend = match kept {
            Some(backend) => backend.clone(),
            None => self.any_backend(&service)?,
        };
        let inside = backend.vrf.unwrap_or(vrf);
        let port = if backend.port == 0 {
            out.destination.1
        } else {
            backend.port
        };
        // A client that is its own backend.
        if out.source.0 == backend.address && inside == vrf {
            walk.out.source.0 = out.destination.0;
        }
        walk.out.destination = (backend.address, port);
        walk.vrf = inside;
        Ok(())
    }

    fn service_at(&self, vrf: u32, key: &Key) -> Option<ServiceSpec> {
        let (address, port) = key.destination;
        let at = |protocol, port| {
            let mut all = self.world.services.iter();
            all.find(|s| (s.vrf, s.address, s.protocol, s.port) == (vrf, address, protocol, port))
        };
        at(key.protocol, port).or_else(|| at(0, 0)).cloned()
    }

    fn any_backend(&mut self, service: &ServiceSpec) -> Result<BackendSpec, Refusal> {
        let open: Vec<_> = service.backends.iter().filter(|b| !b.draining).collect();
        if open.is_empty() {
            return Err((DropReason::NoBackend, Some(Trouble::PortUnreachable)));
        }
        let chosen = self.choose(open.len());
        Ok(open[chosen].clone())
    }

    /// Goes on into another VRF.
    fn cross(&mut self, walk: &mut Walk<'_>, to: u32, untranslated: bool) -> Result<(), Refusal> {
        let from = std::mem::replace(&mut walk.vrf, to);
        walk.answers_in = to;
        let source: IpAddr = walk.out.source.0;
        let Some(spec) = self.world.source_nat(from, to, source).cloned() else {
            return if untranslated {
                Ok(())
            } else {
                Err((DropReason::NoTranslation, Some(Trouble::Prohibited)))
            };
        };
        walk.translated = true;
        let had = nat::source_of(&walk.out);
        let (outside, port) = if spec.is_one_to_one() {
            walk.nat = None;
            (spec.addresses[0], had.1)
        } else {
            let generation = self.world.generation(spec.id);
            walk.nat = Some((spec.id, generation));
            self.port_of_block(&spec, generation, walk.question, had)
        };
        walk.out = nat::with_source(walk.out, (outside, port));
        Ok(())
    }
}
