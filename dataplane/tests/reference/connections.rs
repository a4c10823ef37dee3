//! Connections as a plain list, and what becomes of a packet by it: first packets are decided, later ones are decided again each time and
//! keep what was chosen, answers are judged by the first packet of whom they answer.

use std::net::IpAddr;

use vrouter_dataplane::{packet::DropReason, program::object::ActionSpec};

use crate::{
    decision::{Decision, Fate, Kept, Question, is_icmp},
    headers::Fragment,
    policy,
    router::{From, Packet, Run},
    speech::Trouble,
};

/// What a packet is known by: where it is, from whom to whom. An echo's identifier is the port of the side that asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    pub vrf: u32,
    pub source: (IpAddr, u16),
    pub destination: (IpAddr, u16),
    pub protocol: u8,
}

impl Key {
    pub fn of(packet: &Packet) -> Self {
        let ip = &packet.ip;
        Self {
            vrf: packet.vrf,
            source: (ip.source, ip.ports.0),
            destination: (ip.destination, ip.ports.1),
            protocol: ip.proto,
        }
    }

    pub fn turned(self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            ..self
        }
    }

    /// Equal but for the VRF.
    pub fn alike(&self, other: &Self) -> bool {
        self.within(0) == other.within(0)
    }

    pub fn within(self, vrf: u32) -> Self {
        Self { vrf, ..self }
    }
}

/// A connection, or what looks like one: a plain flow is remembered like any other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Connection {
    pub forward: Key,
    /// What its answers look like. Packets leave as these turned round; answers leave as `forward` turned round.
    pub answers: Key,
    /// What gave it its port: a source translation and how often that had changed by then.
    pub nat: Option<(u32, u64)>,
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let all = |k: &Self| (k.vrf, k.source, k.destination, k.protocol);
        all(self).cmp(&all(other))
    }
}

impl Run<'_> {
    /// Decides about a packet and sends it on its way.
    pub fn judge(&mut self, packet: Packet) {
        assert_eq!(packet.ip.fragment, Fragment::No, "none is generated");
        let key = Key::of(&packet);
        let port = workload(&packet).and_then(|port| self.world.port(port));
        if let Some(reason) = port.and_then(|port| policy::pretends(port, &key)) {
            return self.drop(reason, Some(packet.vrf));
        }
        if is_icmp(key.protocol) && key.source.1 == 0 && key.destination.1 == 0 {
            return self.signal(packet, key);
        }
        let known = self
            .connections
            .iter()
            .position(|c| c.forward == key || c.answers == key);
        let Some(at) = known else {
            let decision = self.decide(&Question::first(&packet, key));
            return self.begin(packet, key, decision);
        };
        let connection = self.connections[at].clone();
        let answers = connection.forward != key;
        if answers && !self.is_plain(&packet, key, &connection) {
            return self.come_back(packet, key, at);
        }
        let decision = self.decide(&Question {
            kept: (!answers).then_some(Kept {
                answers: connection.answers,
                nat: connection.nat,
            }),
            ..Question::first(&packet, key)
        });
        let Fate::Forward(next_hop) = decision.fate else {
            return self.end(packet, decision.fate);
        };
        let keeps = if decision.is_stateful(&key) {
            !answers && connection.answers == decision.answers
        } else {
            let other = if answers {
                connection.forward
            } else {
                connection.answers
            };
            other == key.turned()
        };
        if !keeps {
            self.connections.remove(at);
            return self.begin(packet, key, decision);
        }
        self.connections[at].nat = decision.nat;
        self.leave(packet, next_hop, &decision.out);
    }

    /// ICMP other than echo: each is judged for itself, and none begins anything.
    fn signal(&mut self, packet: Packet, key: Key) {
        let decision = self.decide(&Question::first(&packet, key));
        match decision.fate {
            // Its answers could not be told from others'.
            Fate::Forward(_) if decision.nat.is_some() => self.drop(DropReason::Untranslatable, Some(packet.vrf)),
            Fate::Forward(next_hop) => self.leave(packet, next_hop, &decision.out),
            fate => self.end(packet, fate),
        }
    }

    /// The first packet of a connection.
    fn begin(&mut self, packet: Packet, key: Key, decision: Decision) {
        let Fate::Forward(next_hop) = decision.fate else {
            return self.end(packet, decision.fate);
        };
        let mut decision = decision;
        if self.is_taken(&decision.answers) {
            // Another port keeps the two apart.
            if is_icmp(key.protocol) && decision.nat.is_none() {
                // What needs nothing remembered goes on as it is.
                if !decision.is_stateful(&key) {
                    return self.leave(packet, next_hop, &decision.out);
                }
                return self.drop(DropReason::NatExhausted, Some(packet.vrf));
            }
            decision = self.decide(&Question {
                apart: true,
                ..Question::first(&packet, key)
            });
            if self.is_taken(&decision.answers) {
                return self.drop(DropReason::NatExhausted, Some(packet.vrf));
            }
        }
        self.connections.push(Connection {
            forward: key,
            answers: decision.answers,
            nat: decision.nat,
        });
        self.leave(packet, next_hop, &decision.out);
    }

    pub fn is_taken(&self, answers: &Key) -> bool {
        self.connections
            .iter()
            .any(|c| c.forward == *answers || c.answers == *answers)
    }

    /// A packet of whoever was asked: passes if the question still would, and goes back to who asked.
    fn come_back(&mut self, packet: Packet, key: Key, at: usize) {
        let Connection { forward, nat, .. } = self.connections[at];
        let back = self.way_back(forward.vrf, forward.source.0);
        let decision = self.decide(&Question {
            key: forward,
            workload: back.and_then(|next_hop| self.port_behind(next_hop)),
            icmp: None,
            kept: Some(Kept { answers: key, nat }),
            apart: false,
        });
        let refused = matches!(
            decision.fate,
            Fate::Drop(DropReason::PolicyDeniedEgress | DropReason::PolicyDeniedIngress, _)
        );
        if refused {
            return self.end(packet, decision.fate);
        }
        if !decision.out.alike(&key.turned()) {
            // What translated it is no more, nor is the connection.
            self.connections.remove(at);
            let decision = self.decide(&Question::first(&packet, key));
            return self.begin(packet, key, decision);
        }
        let Some(next_hop) = back else {
            return self.fail(packet, DropReason::NoRoute, Trouble::NoRoute);
        };
        match self.world.next_hop(next_hop).map(|n| &n.action) {
            Some(ActionSpec::Port { .. } | ActionSpec::Tunnel { .. }) => {
                self.connections[at].nat = decision.nat.or(nat);
                self.leave(packet, next_hop, &forward.turned());
            }
            Some(ActionSpec::Local) => self.deliver(packet),
            Some(ActionSpec::Unreachable) => {
                self.fail(packet, DropReason::AddressUnreachable, Trouble::AddressUnreachable);
            }
            _ => self.drop(DropReason::NextHopDrop, Some(packet.vrf)),
        }
    }

    /// Nobody has to remember whom this answers: nothing is translated, and no policy is asked at either end.
    fn is_plain(&self, packet: &Packet, key: Key, connection: &Connection) -> bool {
        let has_policy = |port: u32| self.world.policy_of(port).is_some();
        let back = self
            .way_back(packet.vrf, connection.forward.source.0)
            .and_then(|next_hop| self.port_behind(next_hop));
        connection.forward == key.turned() && !workload(packet).is_some_and(has_policy) && !back.is_some_and(has_policy)
    }

    /// Where a VRF's routes lead to an address, through other VRFs where they do.
    fn way_back(&self, mut vrf: u32, address: IpAddr) -> Option<u64> {
        let mut found = self.world.route(vrf, address)?;
        for _ in 0..4 {
            let Some(ActionSpec::Vrf { vrf: next, .. }) = self.world.next_hop(found).map(|n| &n.action) else {
                break;
            };
            vrf = *next;
            found = self.world.route(vrf, address)?;
        }
        Some(found)
    }

    fn port_behind(&self, next_hop: u64) -> Option<u32> {
        match self.world.next_hop(next_hop)?.action {
            ActionSpec::Port { port, .. } => Some(port),
            _ => None,
        }
    }

    /// A packet that is not sent on.
    fn end(&mut self, packet: Packet, fate: Fate) {
        match fate {
            Fate::Local => self.deliver(packet),
            Fate::Drop(reason, Some(trouble)) => self.fail(packet, reason, trouble),
            Fate::Drop(reason, None) => self.drop(reason, Some(packet.vrf)),
            Fate::Forward(_) => unreachable!("it is"),
        }
    }

    /// Sends a packet on, as `out`.
    fn leave(&mut self, packet: Packet, next_hop: u64, out: &Key) {
        let same = out.alike(&Key::of(&packet));
        self.forward_as(packet, next_hop, (!same).then_some(*out));
    }
}

/// The port of the workload that sent it.
pub fn workload(packet: &Packet) -> Option<u32> {
    match packet.from {
        From::Port(port) => Some(port),
        From::Tunnel | From::Router => None,
    }
}
