//! Two nodes on memory ports, programmed as a control process would: what the benches measure is one worker of one of them.
//!
//! Each node has one VRF with the workloads `w0` and `w1` on ports of their own, and an uplink; `w0` of node 0 reaches `w0` of
//! node 1 through a tunnel. The nodes are joined while they resolve each other, then taken apart.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use vrouter_bench::{
    encap::ends,
    stamp::Stamp,
    template::{Template, TemplateSpec, least_size},
};
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
    tables::next_hop::Encapsulation,
    wire::{IpPrefix, Label, Mac, Vni},
};

const VRF: u32 = 7;
const VNI: u32 = 4242;
const LABEL: u32 = 1000;

/// How nodes carry each other's packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tunnel {
    /// Routed VXLAN.
    Vxlan,
    /// MPLS over UDP.
    Mpls,
}

/// The family of the workloads' packets and of the underlay.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    fn workload(self, node: usize, workload: usize) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::new(10, 1, node as u8, 10 + workload as u8).into(),
            Self::V6 => Ipv6Addr::new(0xfd00, 1, 0, node as u16, 0, 0, 0, 10 + workload as u16).into(),
        }
    }

    fn vtep(self, node: usize) -> (IpAddr, u8) {
        match self {
            Self::V4 => (Ipv4Addr::new(192, 0, 2, 1 + node as u8).into(), 24),
            Self::V6 => (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1 + node as u16).into(), 64),
        }
    }
}

fn mac(node: usize, workload: usize) -> Mac {
    Mac([2, 0, 0, 0, node as u8, workload as u8])
}

/// A packet of the smallest size from 64 bytes up, between workloads (node, workload).
pub(crate) fn packet(family: Family, from: (usize, usize), to: (usize, usize)) -> Vec<u8> {
    let ends = ends(family.workload(from.0, from.1), family.workload(to.0, to.1)).expect("one family");
    let template = Template::new(&TemplateSpec {
        to_mac: Mac::GATEWAY,
        from_mac: mac(from.0, from.1),
        ends,
        src_port: 10_000,
        dst_port: 20_000,
        size: least_size(ends).max(64),
        flows: 1,
        outer: None,
    })
    .expect("a good packet");
    let mut packet = vec![0; template.frame_len()];
    let stamp = Stamp {
        stream: 1,
        sequence: 0,
        sent_at: 0,
    };
    template.write(&mut packet, stamp);
    packet
}

/// Both nodes, programmed, each knowing how to reach the other.
pub(crate) fn nodes(tunnel: Tunnel, family: Family) -> [MemoryDataplane; 2] {
    let [mut a, mut b] = [0, 1].map(|node| {
        let uplink = MemoryUplink {
            name: "up",
            mac: Mac([2, 1, 0, 0, 0, node as u8]),
            addresses: vec![family.vtep(node)],
            gateways: Vec::new(),
        };
        let settings = Settings {
            flows: 1 << 16,
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
        };
        let mut dataplane = MemoryDataplane::new(&settings, vec![uplink], 1024, 2048).expect("a dataplane in memory");
        dataplane
            .apply(&program(node, tunnel, family))
            .expect("objects that fit together");
        dataplane
    });
    loop {
        a.settle();
        b.settle();
        if a.exchange("up", &mut b, "up") == 0 {
            return [a, b];
        }
    }
}

/// What a control process would program on a node.
fn program(node: usize, tunnel: Tunnel, family: Family) -> Vec<Operation> {
    let other = 1 - node;
    let mut objects = vec![
        Object::Vrf(VrfSpec {
            id: VRF,
            name: "blue".into(),
            underlay: false,
        }),
        Object::Vni(VniSpec {
            vni: Vni::new(VNI).expect("in range"),
            target: VniTo::Vrf(VRF),
            name: "blue".into(),
        }),
    ];
    let next_hop = |id, action| {
        Object::NextHop(NextHopSpec {
            id,
            name: "".into(),
            action,
        })
    };
    let route = |address, next_hop| {
        Object::Route(RouteSpec {
            vrf: VRF,
            prefix: IpPrefix::host(address),
            next_hop,
            source: 0,
            preference: 0,
        })
    };
    for workload in 0..2 {
        let (port, id) = (100 + workload as u32, 100 + workload as u64);
        objects.push(Object::Port(PortSpec {
            id: port,
            name: "".into(),
            interface: format!("w{workload}").into(),
            mode: Mode::Memory,
            attachment: Attachment::Vrf(VRF),
            mac: mac(node, workload),
            gateways: Vec::new().into(),
            mtu: 0,
            max_flows: 1 << 15,
            policy: None,
            guard: None,
            qos: None,
            mirrors: [].into(),
        }));
        objects.push(next_hop(id, ActionSpec::Port { port, mac: None }));
        objects.push(route(family.workload(node, workload), id));
    }
    objects.push(Object::Label(LabelSpec {
        label: Label::new(LABEL).expect("in range"),
        target: LabelTo::NextHop(100),
        name: "".into(),
    }));
    let encapsulation = match tunnel {
        Tunnel::Vxlan => Encapsulation::Vxlan {
            vni: VNI,
            inner_mac: Mac::GATEWAY,
        },
        Tunnel::Mpls => Encapsulation::MplsUdp { label: LABEL },
    };
    let remote = family.vtep(other).0;
    objects.push(next_hop(200, ActionSpec::Tunnel { remote, encapsulation }));
    objects.push(route(family.workload(other, 0), 200));
    objects.into_iter().map(Operation::Put).collect()
}
