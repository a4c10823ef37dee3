//! Nodes on memory ports, and two of them joined, with two workloads each.
#![allow(dead_code, unreachable_pub)] // each test file uses a part
#![allow(clippy::unwrap_used, clippy::panic)] // a lab that cannot be built has failed the test

pub mod bytes;
pub mod node;
pub mod objects;
pub mod outer;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::PacketBuilder;
use vrouter_dataplane::{
    engine::{
        Settings,
        memory::{MemoryDataplane, MemoryUplink},
    },
    program::{
        Limits,
        object::{
            ActionSpec, Attachment, LabelSpec, LabelTo, Mode, NextHopSpec, Object, Operation, PortSpec, RouteSpec,
            VniSpec, VniTo, VrfSpec,
        },
    },
    tables::{next_hop::Encapsulation, port::Gateway},
    wire::{IpPrefix, Label, Mac, Vni},
};

/// Encapsulation between the nodes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Encap {
    Vxlan,
    Mpls,
}

pub const VRF: u32 = 7;
pub const VNI: u32 = 4242;

/// Node 0 and node 1.
pub struct Lab {
    pub nodes: [MemoryDataplane; 2],
}

pub fn settings() -> Settings {
    Settings {
        flows: 4096,
        learned: 1024,
        limits: Limits {
            ports: 64,
            vrfs: 64,
            bridges: 64,
            next_hops: 4096,
            route_bytes: 16 << 20,
        },
        seed: 0x5eed,
        ..Settings::default()
    }
}

/// MAC of a workload.
pub fn mac(node: usize, workload: usize) -> Mac {
    Mac([2, 0, 0, 0, node as u8, workload as u8])
}

pub fn v4(node: usize, workload: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 1, node as u8, 10 + workload as u8)
}

pub fn v6(node: usize, workload: usize) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 1, 0, node as u16, 0, 0, 0, 10 + workload as u16)
}

pub fn interface(workload: usize) -> String {
    format!("w{workload}")
}

fn vtep4(node: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1 + node as u8))
}

fn vtep6(node: usize) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1 + node as u16))
}

impl Lab {
    /// Everything programmed and the underlay resolved.
    pub fn new(encap: Encap, underlay_v6: bool) -> Self {
        let node = |index: usize| {
            let uplink = MemoryUplink {
                name: "up",
                mac: Mac([2, 1, 0, 0, 0, index as u8]),
                addresses: vec![(vtep4(index), 24), (vtep6(index), 64)],
                gateways: Vec::new(),
            };
            MemoryDataplane::new(&settings(), vec![uplink], 1024, 2048).unwrap()
        };
        let mut lab = Self {
            nodes: [node(0), node(1)],
        };
        for node in 0..2 {
            let operations = program(node, encap, underlay_v6);
            lab.nodes[node].apply(&operations).unwrap();
        }
        lab.settle();
        lab
    }

    /// Lets everything move until nothing does.
    pub fn settle(&mut self) {
        loop {
            let [a, b] = &mut self.nodes;
            a.settle();
            b.settle();
            if a.exchange("up", b, "up") == 0 {
                return;
            }
        }
    }

    /// Pings between all pairs of workloads, in both families.
    pub fn ping_all(&mut self) {
        let all = [(0, 0), (0, 1), (1, 0), (1, 1)];
        for from in all {
            for to in all.into_iter().filter(|to| *to != from) {
                self.ping(from, to, v4(from.0, from.1).into(), v4(to.0, to.1).into());
                self.ping(from, to, v6(from.0, from.1).into(), v6(to.0, to.1).into());
            }
        }
    }

    fn ping(&mut self, from: (usize, usize), to: (usize, usize), source: IpAddr, destination: IpAddr) {
        let packet = udp(mac(from.0, from.1), Mac::GATEWAY, source, destination, 64, b"hello");
        assert!(self.nodes[from.0].send(&interface(from.1), &packet));
        self.settle();
        let received = self.nodes[to.0].receive(&interface(to.1));
        let received =
            received.unwrap_or_else(|| panic!("{source} -> {destination}: nothing came; drops {:?}", self.drops()));
        // One hop for each router on the way.
        let hops = if from.0 == to.0 { 1 } else { 2 };
        let expected = udp(Mac::GATEWAY, mac(to.0, to.1), source, destination, 64 - hops, b"hello");
        assert_eq!(received, expected, "{source} -> {destination}");
    }

    /// Drops of both nodes, by reason.
    pub fn drops(&self) -> Vec<(usize, &'static str, u64)> {
        use vrouter_dataplane::{packet::DropReason, tables::slots::PortSlot};
        let mut found = Vec::new();
        for (node, dataplane) in self.nodes.iter().enumerate() {
            for slot in (0..64).filter_map(PortSlot::new) {
                for reason in DropReason::ALL {
                    let count = dataplane.shared.counters[0].port(slot).drops.get(*reason);
                    if count > 0 {
                        found.push((node, reason.name(), count));
                    }
                }
            }
        }
        found
    }
}

/// An Ethernet frame with a UDP packet.
pub fn udp(
    source_mac: Mac,
    to_mac: Mac,
    source: IpAddr,
    destination: IpAddr,
    hop_limit: u8,
    payload: &[u8],
) -> Vec<u8> {
    let ethernet = PacketBuilder::ethernet2(source_mac.0, to_mac.0);
    let builder = match (source, destination) {
        (IpAddr::V4(s), IpAddr::V4(d)) => ethernet.ipv4(s.octets(), d.octets(), hop_limit),
        (IpAddr::V6(s), IpAddr::V6(d)) => ethernet.ipv6(s.octets(), d.octets(), hop_limit),
        _ => panic!("one family"),
    }
    .udp(1234, 5678);
    let mut packet = Vec::with_capacity(builder.size(payload.len()));
    builder.write(&mut packet, payload).unwrap();
    packet
}

/// What a control process would program on a node.
fn program(node: usize, encap: Encap, underlay_v6: bool) -> Vec<Operation> {
    let other = 1 - node;
    let remote = if underlay_v6 { vtep6(other) } else { vtep4(other) };
    let mut objects = vec![
        Object::Vrf(VrfSpec {
            id: VRF,
            name: "blue".into(),
            underlay: false,
        }),
        Object::Vni(VniSpec {
            vni: Vni::new(VNI).unwrap(),
            target: VniTo::Vrf(VRF),
            name: "blue".into(),
        }),
        Object::NextHop(NextHopSpec {
            id: 1,
            name: "gateway".into(),
            action: ActionSpec::Local,
        }),
    ];
    let gateways = [
        Gateway {
            address: Ipv4Addr::new(10, 1, node as u8, 1).into(),
            prefix_len: 24,
        },
        Gateway {
            address: Ipv6Addr::new(0xfd00, 1, 0, node as u16, 0, 0, 0, 1).into(),
            prefix_len: 64,
        },
    ];
    for gateway in gateways {
        objects.push(route(IpPrefix::host(gateway.address), 1));
    }
    for workload in 0..2_u32 {
        let port = 100 + workload;
        objects.push(Object::Port(PortSpec {
            id: port,
            name: format!("web-{node}-{workload}").into(),
            interface: interface(workload as usize).into(),
            mode: Mode::Memory,
            attachment: Attachment::Vrf(VRF),
            mac: mac(node, workload as usize),
            gateways: gateways.to_vec().into(),
            mtu: 0,
            max_flows: 0,
            policy: None,
            guard: None,
            qos: None,
            mirrors: [].into(),
        }));
        let id = u64::from(port);
        objects.push(Object::NextHop(NextHopSpec {
            id,
            name: "".into(),
            action: ActionSpec::Port { port, mac: None },
        }));
        objects.push(Object::Label(LabelSpec {
            label: Label::new(1000 + workload).unwrap(),
            target: LabelTo::NextHop(id),
            name: "".into(),
        }));
        objects.push(route(IpPrefix::host(v4(node, workload as usize).into()), id));
        objects.push(route(IpPrefix::host(v6(node, workload as usize).into()), id));
        // The remote workload of the same number.
        let encapsulation = match encap {
            Encap::Vxlan => Encapsulation::Vxlan {
                vni: VNI,
                inner_mac: Mac::GATEWAY,
            },
            Encap::Mpls => Encapsulation::MplsUdp { label: 1000 + workload },
        };
        let id = 200 + u64::from(workload);
        objects.push(Object::NextHop(NextHopSpec {
            id,
            name: "".into(),
            action: ActionSpec::Tunnel { remote, encapsulation },
        }));
        objects.push(route(IpPrefix::host(v4(other, workload as usize).into()), id));
        objects.push(route(IpPrefix::host(v6(other, workload as usize).into()), id));
    }
    objects.into_iter().map(Operation::Put).collect()
}

fn route(prefix: IpPrefix, next_hop: u64) -> Object {
    Object::Route(RouteSpec {
        vrf: VRF,
        prefix,
        next_hop,
        source: 0,
        preference: 0,
    })
}
