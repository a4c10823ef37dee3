//! The naive bridge: programmed MACs, learned MACs, flooding, and answers on behalf of neighbours.

use std::net::IpAddr;

use vrouter_dataplane::{
    packet::DropReason,
    program::object::{ActionSpec, Attachment, BridgeSpec, PortSpec, VniTo},
    tables::next_hop::Encapsulation,
    wire::Mac,
};

use crate::{
    headers::{self, Fragment, Frame},
    lab::{
        bytes::eui64,
        node::UPLINK,
        outer::{Shim, mac},
    },
    router::{Flow, From, Run, flow_of, tunnel_mtu},
    size::{self, Segments},
    speech,
    tunnel::{self, Inside},
    world::{Learned, Place, World},
};

/// A frame in a bridge, and the workload's port it came from; none: a tunnel.
#[derive(Clone)]
struct Switched {
    bytes: Vec<u8>,
    port: Option<u32>,
}

/// Notes the sender of a frame that comes to a bridge.
pub fn learn(world: &mut World, interface: &str, frame: &[u8]) {
    let (bridge, place, frame) = if interface == UPLINK {
        let Ok(Some(Inside::Bridge {
            bridge,
            remote,
            vni,
            frame,
        })) = tunnel::open(world, frame)
        else {
            return;
        };
        let same = |action: &ActionSpec| matches!(action, ActionSpec::Tunnel { remote: r, encapsulation: Encapsulation::Vxlan { vni: v, .. } } if (*r, *v) == (remote, vni));
        let Some(next_hop) = world.next_hops.iter().find(|n| same(&n.action)) else {
            return;
        };
        (bridge, Place::NextHop(next_hop.id), frame)
    } else {
        let Some(port) = world.ports.iter().find(|p| *p.interface == *interface) else {
            return;
        };
        let Attachment::Bridge(bridge) = port.attachment else {
            return;
        };
        (bridge, Place::Port(port.id), frame.to_vec())
    };
    let Some(spec) = world.bridge(bridge) else { return };
    if frame.len() < 14 || !spec.learn {
        return;
    }
    let (destination, source) = (mac(&frame[..6]), mac(&frame[6..12]));
    let programmed = world.macs.iter().any(|m| (m.bridge, m.mac) == (bridge, source));
    let never = source.0[0] & 1 == 1 || source == Mac::ZERO || source == spec.gateway_mac;
    if never || programmed || is_reserved(destination) {
        return;
    }
    let seen_s = world.now_s;
    world.learned.retain(|l| (l.bridge, l.mac) != (bridge, source));
    world.learned.push(Learned {
        bridge,
        mac: source,
        place,
        seen_s,
    });
}

/// For the next bridge only (IEEE 802.1D, table 7-10).
fn is_reserved(mac: Mac) -> bool {
    mac.0[..5] == [1, 0x80, 0xc2, 0, 0] && mac.0[5] < 16
}

impl Run<'_> {
    pub fn enter_bridged(&mut self, port: &PortSpec, bridge: u32, frame: &[u8]) {
        let mut bytes = frame.to_vec();
        if let Ok(Frame { ip: Some(ip), l3, .. }) = Frame::read(frame) {
            headers::complete_checksum(&mut bytes[l3..], &ip);
        }
        self.switched(
            bridge,
            Switched {
                bytes,
                port: Some(port.id),
            },
        );
    }

    pub fn enter_bridge_from_tunnel(&mut self, bridge: u32, bytes: Vec<u8>) {
        self.switched(bridge, Switched { bytes, port: None });
    }

    fn switched(&mut self, bridge: u32, frame: Switched) {
        let world = self.world;
        let Some(bridge) = world.bridge(bridge) else {
            return self.drop(DropReason::UnknownPort, None);
        };
        if frame.bytes.len() < 14 {
            return self.drop(DropReason::TruncatedEthernet, bridge.vrf);
        }
        let (destination, source) = (mac(&frame.bytes[..6]), mac(&frame.bytes[6..12]));
        if source.0[0] & 1 == 1 || is_reserved(destination) {
            return self.drop(DropReason::ReservedMac, bridge.vrf);
        }
        if let Ok(read) = Frame::read(&frame.bytes) {
            if let Some((answer, to)) = self.answer(bridge, &frame, &read) {
                return match frame.port.and_then(|port| world.port(port)) {
                    Some(port) => self.out(port, answer),
                    // Back to the station that asked, wherever it is.
                    None => self.by_mac(
                        bridge,
                        Switched {
                            bytes: answer,
                            port: None,
                        },
                        to,
                        true,
                    ),
                };
            }
            let discovery = read
                .ip
                .as_ref()
                .is_some_and(|ip| speech::is_neighbor_discovery(&frame.bytes[read.l3..], ip));
            if let (Some(ip), Some(vrf), false) = (&read.ip, bridge.vrf, discovery || read.vlan)
                && destination == bridge.gateway_mac
            {
                let bytes = frame.bytes[read.l3..read.l3 + ip.end].to_vec();
                let from = frame.port.map_or(From::Tunnel, From::Port);
                return self.route_in(vrf, bytes, from, frame.port);
            }
        }
        let local = frame.port.is_some();
        self.by_mac(bridge, frame, destination, local);
    }

    /// The router's answer to an ARP request or solicitation, and the station to send it to.
    fn answer(&self, bridge: &BridgeSpec, frame: &Switched, read: &Frame) -> Option<(Vec<u8>, Mac)> {
        let (bytes, l3, local) = (&frame.bytes, read.l3, frame.port.is_some());
        if read.ethertype == 0x0806 {
            let (asker, sender, target) = speech::arp_request(bytes, l3)?;
            let mac = self
                .known(bridge, target.into(), asker, local)
                .filter(|_| sender != target)?;
            return Some((speech::arp_reply(bytes, l3, mac)?, asker));
        }
        let ip = read.ip.as_ref()?;
        if !speech::is_neighbor_discovery(&bytes[l3..], ip) {
            return None;
        }
        let asked = speech::solicited(bytes, read)?;
        let answer = match asked.target {
            Some(target) => {
                let mac = self.known(bridge, target.into(), read.source, local)?;
                speech::neighbor_advertisement(bytes, l3, &asked, mac, mac == bridge.gateway_mac)?
            }
            None => {
                let port = self.world.port(frame.port?)?;
                let mtu = self.world.mtu(port);
                speech::router_advertisement(bytes, l3, &asked, bridge.gateway_mac, &bridge.gateways, mtu)?
            }
        };
        Some((answer, read.source))
    }

    /// The MAC of an address that the router answers for: its own for everybody, others' for local workloads.
    fn known(&self, bridge: &BridgeSpec, address: IpAddr, asker: Mac, local: bool) -> Option<Mac> {
        let v6_gateway = bridge.gateways.iter().any(|g| g.address.is_ipv6());
        let own = bridge.gateways.iter().any(|g| g.address == address)
            || v6_gateway && address == IpAddr::V6(eui64(bridge.gateway_mac));
        if own {
            return Some(bridge.gateway_mac);
        }
        let known = self
            .world
            .neighbors
            .iter()
            .find(|n| (n.bridge, n.address) == (bridge.id, address))?;
        (local && known.mac != asker).then_some(known.mac)
    }

    fn by_mac(&mut self, bridge: &BridgeSpec, frame: Switched, destination: Mac, local: bool) {
        let world = self.world;
        if destination.0[0] & 1 == 1 {
            return self.flood(bridge, frame, local);
        }
        if let Some(programmed) = world
            .macs
            .iter()
            .find(|m| (m.bridge, m.mac) == (bridge.id, destination))
        {
            return self.hand_to_next_hop(bridge, frame, programmed.next_hop, local);
        }
        let aging = u64::from(if bridge.aging_seconds == 0 {
            300
        } else {
            bridge.aging_seconds
        });
        let learned = world
            .learned
            .iter()
            .find(|l| (l.bridge, l.mac) == (bridge.id, destination));
        let fresh = learned.filter(|l| world.now_s - l.seen_s < aging && self.still_of(bridge.id, l.place));
        match fresh.map(|l| l.place) {
            Some(Place::Port(port)) => self.hand_to_port(bridge, frame, port),
            Some(Place::NextHop(next_hop)) => self.hand_to_next_hop(bridge, frame, next_hop, local),
            None => self.flood(bridge, frame, local),
        }
    }

    /// A place learned once may belong to another network now.
    fn still_of(&self, bridge: u32, place: Place) -> bool {
        match place {
            Place::Port(port) => self
                .world
                .port(port)
                .is_some_and(|p| p.attachment == Attachment::Bridge(bridge)),
            Place::NextHop(id) => match self.world.next_hop(id).map(|n| &n.action) {
                Some(ActionSpec::Tunnel {
                    encapsulation: Encapsulation::Vxlan { vni, .. },
                    ..
                }) => self
                    .world
                    .vnis
                    .iter()
                    .any(|v| v.vni.get() == *vni && v.target == VniTo::Bridge(bridge)),
                _ => false,
            },
        }
    }

    fn flood(&mut self, bridge: &BridgeSpec, frame: Switched, local: bool) {
        let world = self.world;
        let here = |p: &&PortSpec| p.attachment == Attachment::Bridge(bridge.id) && Some(p.id) != frame.port;
        let ports: Vec<u32> = world.ports.iter().filter(here).map(|p| p.id).collect();
        let members = match bridge.flood.and_then(|id| world.next_hop(id)).map(|n| &n.action) {
            Some(ActionSpec::Flood(members)) if local => members.to_vec(),
            _ => Vec::new(),
        };
        if ports.is_empty() && members.is_empty() {
            return self.drop(DropReason::NoFloodTarget, bridge.vrf);
        }
        for port in ports {
            self.hand_to_port(bridge, frame.clone(), port);
        }
        for member in members {
            self.hand_to_next_hop(bridge, frame.clone(), member, local);
        }
    }

    fn hand_to_next_hop(&mut self, bridge: &BridgeSpec, frame: Switched, next_hop: u64, local: bool) {
        let world = self.world;
        match world.next_hop(next_hop).map(|n| &n.action) {
            Some(ActionSpec::Port { port, .. }) => self.hand_to_port(bridge, frame, *port),
            Some(ActionSpec::Tunnel { .. }) if !local => self.drop(DropReason::SplitHorizon, bridge.vrf),
            Some(ActionSpec::Tunnel {
                remote,
                encapsulation: encapsulation @ Encapsulation::Vxlan { vni, .. },
            }) => {
                if !world.underlay.iter().any(|(address, _)| address == remote) {
                    return self.drop(DropReason::UnderlayUnresolved, bridge.vrf);
                }
                let most = tunnel_mtu(*remote, *encapsulation) + 14;
                for bytes in self.fitting(bridge, frame.bytes, most) {
                    let tos = match (&bytes[12..14], bytes.len() >= 16) {
                        ([0x08, 0x00], true) => bytes[15],
                        ([0x86, 0xdd], true) => bytes[14] << 4 | bytes[15] >> 4,
                        _ => 0,
                    };
                    let flow = frame_flow(&bytes);
                    self.tunnel(*remote, tos, Shim::Vxlan { vni: *vni }, bytes, flow);
                }
            }
            _ => self.drop(DropReason::NextHopDrop, bridge.vrf),
        }
    }

    fn hand_to_port(&mut self, bridge: &BridgeSpec, frame: Switched, port: u32) {
        let world = self.world;
        let Some(to) = world.port(port) else {
            return self.drop(DropReason::PortDown, bridge.vrf);
        };
        if Some(port) == frame.port {
            return self.drop(DropReason::Hairpin, bridge.vrf);
        }
        let header = Frame::read(&frame.bytes).map_or(14, |read| read.l3);
        for bytes in self.fitting(bridge, frame.bytes, world.mtu(to) + header) {
            self.out(to, bytes);
        }
    }

    /// The frame, or what it is cut into so that none has more than this many bytes.
    fn fitting(&mut self, bridge: &BridgeSpec, bytes: Vec<u8>, most: usize) -> Vec<Vec<u8>> {
        if bytes.len() <= most {
            return vec![bytes];
        }
        let segments = match Frame::read(&bytes) {
            Ok(Frame { ip: Some(ip), l3, .. }) => (l3, size::segments(&bytes[l3..], &ip, most - l3)),
            _ => (0, Segments::No),
        };
        let reason = match segments {
            (l3, Segments::Cut(packets)) => {
                let framed = packets.iter().map(|packet| [&bytes[..l3], packet].concat());
                return framed.collect();
            }
            (_, Segments::Wrong) => DropReason::BadTransportChecksum,
            (_, Segments::No) => DropReason::TooBig,
        };
        self.drop(reason, bridge.vrf);
        Vec::new()
    }
}

/// What keeps a bridge's frames on one path: the IP flow, else the two MACs.
fn frame_flow(bytes: &[u8]) -> Flow {
    match Frame::read(bytes) {
        Ok(Frame { ip: Some(mut ip), .. }) => {
            // Switched fragments are known by their addresses alone.
            if ip.fragment != Fragment::No {
                ip.ports = (0, 0);
            }
            flow_of(0, &ip)
        }
        _ => (0, bytes[..6].to_vec(), bytes[6..12].to_vec(), 0, 0, 0),
    }
}
