//! The naive router: what must happen with a frame. Plain lists, plain copies; slow and obvious.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use vrouter_dataplane::{
    packet::DropReason,
    program::object::{ActionSpec, Attachment, PortSpec},
    tables::next_hop::Encapsulation,
    wire::Mac,
};

use crate::{
    connections::{Connection, Key},
    headers::{self, Frame, Ip},
    lab::{
        bytes::{eui64, framed, octets},
        node::{UPLINK, UPLINK_MAC, VTEP4, VTEP6},
        outer::{Outer, Shim},
    },
    nat, policy,
    reassembly::{Datagram, expire},
    size,
    speech::{self, Trouble},
    world::World,
};

/// One thing that leaves the node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Out {
    Port(String, Vec<u8>),
    Tunnel(Outer),
}

/// What keeps packets on one path: VRF (0 within a bridge), addresses, protocol and ports, or two MACs.
pub type Flow = (u32, Vec<u8>, Vec<u8>, u8, u16, u16);

/// What must happen with a frame.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Outcome {
    pub out: Vec<Out>,
    /// Entropy flows of the tunnel packets in `out`, in their order.
    pub flows: Vec<Flow>,
    /// Each drop with its VRF, where that was known.
    pub drops: Vec<(&'static str, Option<u32>)>,
    /// Connections as they are then.
    pub connections: Vec<Connection>,
}

/// Where a packet came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// The workload of this port.
    Port(u32),
    Tunnel,
    /// The router itself.
    Router,
}

/// A packet to be routed.
#[derive(Clone, Debug)]
pub struct Packet {
    pub bytes: Vec<u8>,
    pub ip: Ip,
    pub vrf: u32,
    pub from: From,
    /// The port it came in by, if that is a workload's.
    pub port: Option<u32>,
}

impl Packet {
    pub fn flow(&self) -> Flow {
        flow_of(self.vrf, &self.ip)
    }
}

pub fn flow_of(context: u32, ip: &Ip) -> Flow {
    let (source, destination) = (octets(ip.source), octets(ip.destination));
    (context, source, destination, ip.proto, ip.ports.0, ip.ports.1)
}

/// A run of the reference over one frame. Where a group gives a choice, `script` says which member is taken.
pub struct Run<'a> {
    pub world: &'a World,
    pub outcome: Outcome,
    script: &'a [usize],
    /// How many members each choice had.
    pub choices: Vec<usize>,
    /// Datagrams whose fragments are under way, as this run leaves them.
    pub datagrams: Vec<Datagram>,
    /// Fragments that came so far.
    pub fragments_seen: u64,
    /// Connections, as this run leaves them.
    pub connections: Vec<Connection>,
    /// Source of the packet that came out of the pipeline, where one did: shows which port it chose of those it may choose.
    pub seen: Option<(IpAddr, u16)>,
}

/// All outcomes that are right for a frame: one unless groups are on its way.
pub fn receive(world: &mut World, interface: &str, frame: &[u8], seen: Option<(IpAddr, u16)>) -> Vec<Outcome> {
    crate::bridge::learn(world, interface, frame);
    expire(&mut world.datagrams, world.now_ns);
    let (mut outcomes, mut scripts) = (Vec::new(), vec![Vec::new()]);
    let mut after = (world.datagrams.clone(), world.fragments_seen);
    while let Some(script) = scripts.pop() {
        let mut run = Run {
            world,
            outcome: Outcome::default(),
            script: &script,
            choices: Vec::new(),
            datagrams: world.datagrams.clone(),
            fragments_seen: world.fragments_seen,
            connections: world.connections.clone(),
            seen,
        };
        run.receive(interface, frame);
        run.outcome.connections = std::mem::take(&mut run.connections);
        // Whichever members are chosen, the same fragments wait.
        after = (std::mem::take(&mut run.datagrams), run.fragments_seen);
        if let Some(members) = run.choices.get(script.len()) {
            scripts.extend((0..*members).map(|member| [&script[..], &[member]].concat()));
        } else {
            outcomes.push(run.outcome);
        }
    }
    (world.datagrams, world.fragments_seen) = after;
    outcomes
}

impl Run<'_> {
    fn receive(&mut self, interface: &str, frame: &[u8]) {
        if interface == UPLINK {
            return self.enter_by_uplink(frame);
        }
        let Some(port) = self.world.ports.iter().find(|p| *p.interface == *interface).cloned() else {
            return self.drop(DropReason::UnknownPort, None);
        };
        match port.attachment {
            Attachment::Vrf(vrf) => self.enter_routed(&port, vrf, frame),
            Attachment::Bridge(bridge) => self.enter_bridged(&port, bridge, frame),
        }
    }

    pub fn drop(&mut self, reason: DropReason, vrf: Option<u32>) {
        self.outcome.drops.push((reason.name(), vrf));
    }

    pub fn out(&mut self, port: &PortSpec, frame: Vec<u8>) {
        self.outcome.out.push(Out::Port(port.interface.to_string(), frame));
    }

    fn enter_routed(&mut self, port: &PortSpec, vrf: u32, frame: &[u8]) {
        let read = match Frame::read(frame) {
            Ok(read) => read,
            Err(reason) => return self.drop(reason, Some(vrf)),
        };
        if !policy::owns_mac(port, read.source) {
            return self.drop(DropReason::SpoofedMac, Some(vrf));
        }
        if read.vlan {
            return self.drop(DropReason::UnknownVlan, Some(vrf));
        }
        let Some(ip) = &read.ip else {
            if read.ethertype != 0x0806 {
                return self.drop(DropReason::UnknownEthertype, Some(vrf));
            }
            if policy::arp_pretends(port, &frame[read.l3..]) {
                return self.drop(DropReason::SpoofedArp, Some(vrf));
            }
            return match speech::arp_proxy(self.world, port, vrf, frame, read.l3) {
                Some(answer) => self.out(port, answer),
                None => self.drop(DropReason::ArpUnanswered, Some(vrf)),
            };
        };
        let multicast = read.destination.is_multicast();
        if read.destination != Mac::GATEWAY && !multicast {
            return self.drop(DropReason::NotOurMac, Some(vrf));
        }
        if speech::is_neighbor_discovery(&frame[read.l3..], ip) {
            return match speech::nd_proxy(self.world, port, vrf, frame, &read) {
                Some(answer) => self.out(port, answer),
                None => self.drop(DropReason::NdUnanswered, Some(vrf)),
            };
        }
        if multicast {
            return self.drop(DropReason::MulticastUnrouted, Some(vrf));
        }
        let mut bytes = frame[read.l3..read.l3 + ip.end].to_vec();
        headers::complete_checksum(&mut bytes, ip);
        self.route_in(vrf, bytes, From::Port(port.id), Some(port.id));
    }

    /// Routes an IP packet that has come to its VRF.
    pub fn route_in(&mut self, vrf: u32, bytes: Vec<u8>, from: From, port: Option<u32>) {
        if let Some(packet) = self.admit(vrf, bytes, from, port) {
            self.gather(packet, None);
        }
    }

    /// A packet whose addresses may be routed.
    pub fn admit(&mut self, vrf: u32, bytes: Vec<u8>, from: From, port: Option<u32>) -> Option<Packet> {
        let ip = match headers::ip(&bytes) {
            Ok(ip) => ip,
            Err(reason) => {
                self.drop(reason, Some(vrf));
                return None;
            }
        };
        let packet = Packet {
            bytes,
            ip,
            vrf,
            from,
            port,
        };
        let Some(reason) = unroutable(packet.ip.source, packet.ip.destination) else {
            return Some(packet);
        };
        // A host may talk to its router by link-local address.
        let own = packet
            .port
            .filter(|_| from != From::Tunnel)
            .map(|port| eui64(self.gateway_mac(port)));
        if reason == DropReason::LinkLocalUnrouted && own.is_some_and(|own| packet.ip.destination == IpAddr::V6(own)) {
            self.deliver(packet);
        } else {
            self.drop(reason, Some(vrf));
        }
        None
    }

    /// The MAC by which a workload knows its gateway.
    fn gateway_mac(&self, port: u32) -> Mac {
        match self.world.port(port).map(|p| p.attachment) {
            Some(Attachment::Bridge(bridge)) => self.world.bridge(bridge).map_or(Mac::GATEWAY, |b| b.gateway_mac),
            _ => Mac::GATEWAY,
        }
    }

    pub fn route(&mut self, packet: Packet) {
        match self.world.route(packet.vrf, packet.ip.destination) {
            Some(next_hop) => self.forward(packet, next_hop),
            None => self.fail(packet, DropReason::NoRoute, Trouble::NoRoute),
        }
    }

    /// One of so many, as the script says.
    pub fn choose(&mut self, among: usize) -> usize {
        let at = self.choices.len();
        self.choices.push(among);
        self.script.get(at).copied().unwrap_or(0)
    }

    /// Sends a packet to a next hop.
    pub fn forward(&mut self, packet: Packet, next_hop: u64) {
        self.forward_as(packet, next_hop, None);
    }

    /// Sends a packet to a next hop, translated. About what it was is spoken to its sender, if it cannot go.
    pub fn forward_as(&mut self, packet: Packet, next_hop: u64, to: Option<Key>) {
        let world = self.world;
        let Some(spec) = world.next_hop(next_hop) else {
            return self.drop(DropReason::NextHopDrop, Some(packet.vrf));
        };
        match &spec.action {
            // What the router says stays in its VRF.
            ActionSpec::Drop | ActionSpec::Flood(_) | ActionSpec::Vrf { .. } => {
                self.drop(DropReason::NextHopDrop, Some(packet.vrf));
            }
            ActionSpec::Unreachable => self.fail(packet, DropReason::AddressUnreachable, Trouble::AddressUnreachable),
            ActionSpec::Local => self.deliver(packet),
            ActionSpec::Underlay { .. } => unreachable!("none is generated"),
            ActionSpec::Group(members) => {
                let member = self.choose(members.len());
                self.forward_as(packet, members[member].0, to);
            }
            ActionSpec::Port { port, mac } => {
                let Some(port) = world.port(*port) else {
                    return self.drop(DropReason::PortDown, Some(packet.vrf));
                };
                for piece in self.hop(packet, world.mtu(port), to) {
                    let source = self.gateway_mac(port.id);
                    self.out(port, framed(mac.unwrap_or(port.mac), source, &piece.bytes));
                }
            }
            ActionSpec::Tunnel { remote, encapsulation } => {
                if !world.underlay.iter().any(|(address, _)| address == remote) {
                    return self.fail(packet, DropReason::UnderlayUnresolved, Trouble::AddressUnreachable);
                }
                for piece in self.hop(packet, tunnel_mtu(*remote, *encapsulation), to) {
                    let ip = &piece.bytes;
                    let (tos, flow) = (headers::tos(ip), piece.flow());
                    match *encapsulation {
                        Encapsulation::Vxlan { vni, inner_mac } => {
                            let inner = framed(inner_mac, Mac::GATEWAY, ip);
                            self.tunnel(*remote, tos, Shim::Vxlan { vni }, inner, flow);
                        }
                        Encapsulation::MplsUdp { label } => {
                            let shim = Shim::Mpls {
                                label,
                                tc: tos >> 5,
                                ttl: headers::hop_limit(ip),
                            };
                            self.tunnel(*remote, tos, shim, ip.clone(), flow);
                        }
                        Encapsulation::Erspan { .. } => unreachable!("for mirrors only; none is generated"),
                    }
                }
            }
        }
    }

    pub fn tunnel(&mut self, remote: IpAddr, tos: u8, shim: Shim, inner: Vec<u8>, flow: Flow) {
        let mac = self
            .world
            .underlay
            .iter()
            .find(|(address, _)| *address == remote)
            .map(|(_, mac)| *mac);
        let source: IpAddr = if remote.is_ipv6() { VTEP6.into() } else { VTEP4.into() };
        let macs = (mac.unwrap_or(Mac::ZERO), UPLINK_MAC);
        self.outcome.flows.push(flow);
        self.outcome.out.push(Out::Tunnel(Outer {
            macs,
            source,
            destination: remote,
            tos,
            entropy: 0,
            shim,
            inner,
        }));
    }

    /// One routed hop: what goes on, whole or in fragments.
    fn hop(&mut self, mut packet: Packet, mtu: usize, to: Option<Key>) -> Vec<Packet> {
        let own = packet.from == From::Router;
        if !own && headers::hop_limit(&packet.bytes) <= 1 {
            self.fail(packet, DropReason::HopLimitExceeded, Trouble::TimeExceeded);
            return Vec::new();
        }
        let mut pieces = Vec::new();
        if packet.bytes.len() > mtu {
            match size::segments(&packet.bytes, &packet.ip, mtu) {
                size::Segments::No => {}
                size::Segments::Wrong => {
                    self.drop(DropReason::BadTransportChecksum, Some(packet.vrf));
                    return pieces;
                }
                // Each is translated, and all take the path of the whole.
                size::Segments::Cut(segments) => {
                    for mut bytes in segments {
                        if let Some(to) = &to {
                            bytes = nat::rewritten(&bytes, &packet.ip, to);
                        }
                        headers::decrement(&mut bytes);
                        pieces.push(Packet {
                            bytes,
                            ..packet.clone()
                        });
                    }
                    return pieces;
                }
            }
        }
        let bytes = match &to {
            Some(to) => nat::rewritten(&packet.bytes, &packet.ip, to),
            None => packet.bytes.clone(),
        };
        if bytes.len() <= mtu {
            packet.bytes = bytes;
            size::clamp_mss(&mut packet, mtu);
            pieces.push(packet);
        } else if let Some(fragments) = size::fragments(&bytes, mtu) {
            // All take the path of the whole, as it came.
            pieces.extend(fragments.into_iter().map(|bytes| Packet {
                bytes,
                ..packet.clone()
            }));
        } else {
            self.fail(packet, DropReason::TooBig, Trouble::TooBig(mtu as u16));
        }
        if !own {
            pieces.iter_mut().for_each(|piece| headers::decrement(&mut piece.bytes));
        }
        pieces
    }

    /// A packet for the router itself.
    pub fn deliver(&mut self, packet: Packet) {
        if packet.from == From::Router {
            return self.drop(DropReason::LocalUnhandled, Some(packet.vrf));
        }
        if let Some(reply) = speech::echo_reply(&packet) {
            if let (IpAddr::V6(to), Some(port)) = (packet.ip.source, packet.port)
                && to.segments()[0] & 0xffc0 == 0xfe80
            {
                let port = self.world.port(port).cloned();
                let frame = port.map(|p| (framed(p.mac, self.gateway_mac(p.id), &reply), p));
                return frame.into_iter().for_each(|(frame, port)| self.out(&port, frame));
            }
            return self.say(reply, packet.vrf, packet.port);
        }
        match packet.ip.proto {
            1 | 58 => self.drop(DropReason::LocalUnhandled, Some(packet.vrf)),
            6 | 17 => self.fail(packet, DropReason::LocalUnhandled, Trouble::PortUnreachable),
            _ => self.fail(packet, DropReason::LocalUnhandled, Trouble::ProtocolUnreachable),
        }
    }

    /// Drops a packet and tells its sender.
    pub fn fail(&mut self, packet: Packet, reason: DropReason, trouble: Trouble) {
        self.drop(reason, Some(packet.vrf));
        if packet.from == From::Router {
            return;
        }
        if let Some(error) = self
            .own_address(&packet)
            .and_then(|own| speech::error(&packet, own, trouble))
        {
            self.say(error, packet.vrf, packet.port);
        }
    }

    /// Routes what the router says itself.
    fn say(&mut self, bytes: Vec<u8>, vrf: u32, port: Option<u32>) {
        let Ok(ip) = headers::ip(&bytes) else {
            panic!("the reference said what it cannot read")
        };
        let packet = Packet {
            bytes,
            ip,
            vrf,
            from: From::Router,
            port,
        };
        self.route(packet);
    }

    /// The gateway that the sender knows, else the first of the VRF, else the dummy address of RFC 7600.
    fn own_address(&self, packet: &Packet) -> Option<IpAddr> {
        let v6 = packet.ip.source.is_ipv6();
        let port = packet.port.and_then(|port| self.world.port(port));
        let gateways = match port.map(|p| (p, p.attachment)) {
            Some((port, Attachment::Vrf(_))) => port.gateways.to_vec(),
            Some((_, Attachment::Bridge(bridge))) => self.world.bridge(bridge)?.gateways.to_vec(),
            None => Vec::new(),
        };
        let near = gateways.iter().map(|g| g.address).find(|a| a.is_ipv6() == v6);
        let any = || {
            self.world
                .gateways
                .iter()
                .find(|(vrf, a)| *vrf == packet.vrf && a.is_ipv6() == v6)
                .map(|g| g.1)
        };
        near.or_else(any)
            .or((!v6).then_some(IpAddr::V4(Ipv4Addr::new(192, 0, 0, 8))))
    }
}

/// What an underlay of 1500 bytes leaves for the inner IP packet (WIRE: overheads of VXLAN and MPLS over UDP).
pub fn tunnel_mtu(remote: IpAddr, encapsulation: Encapsulation) -> usize {
    let outer_ip = if remote.is_ipv6() { 40 } else { 20 };
    match encapsulation {
        Encapsulation::Vxlan { .. } => 1500 - outer_ip - 8 - 8 - 14,
        Encapsulation::MplsUdp { .. } => 1500 - outer_ip - 8 - 4,
        Encapsulation::Erspan { .. } => 1500 - outer_ip - 16 - 14,
    }
}

/// Addresses that no router forwards between (RFC 1812 section 5.3.7, RFC 4291 sections 2.5 and 2.7).
fn unroutable(source: IpAddr, destination: IpAddr) -> Option<DropReason> {
    let group = |a: IpAddr| match a {
        // Class E and the broadcast address are as little one host's.
        IpAddr::V4(a) => a.octets()[0] >= 224,
        IpAddr::V6(a) => a.is_multicast(),
    };
    let nobody = |a: IpAddr| match a {
        IpAddr::V4(a) => a.octets()[0] == 0 || a.is_loopback(),
        IpAddr::V6(a) => a == Ipv6Addr::UNSPECIFIED || a == Ipv6Addr::LOCALHOST,
    };
    let link_local = |a: IpAddr| match a {
        IpAddr::V4(a) => a.is_link_local(),
        IpAddr::V6(a) => a.is_unicast_link_local(),
    };
    if group(destination) {
        Some(DropReason::MulticastUnrouted)
    } else if group(source) || nobody(source) {
        Some(DropReason::MartianSource)
    } else if destination.is_ipv4() && nobody(destination) {
        Some(DropReason::NoRoute)
    } else if link_local(source) || link_local(destination) {
        Some(DropReason::LinkLocalUnrouted)
    } else {
        nobody(destination).then_some(DropReason::NoRoute)
    }
}
