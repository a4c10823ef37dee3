//! Nodes on memory ports, programmed as a control process would. What is measured is a worker of the first; the second is there to
//! be found at the other end of a tunnel.
//!
//! The first node has the workloads `w0` and `w1` on ports of their own, and an uplink `up`. Clients are behind `w0`; servers are behind `w1`, or
//! behind a tunnel. With two workers there are two pairs of ports, clients behind `w0` and `w1`, servers behind `w2` and `w3`.

use std::{collections::HashSet, net::IpAddr};

use vrouter_dataplane::{
    engine::{
        Settings,
        memory::{MemoryDataplane, MemoryUplink},
    },
    program::{
        Dumped,
        object::{
            ActionSpec, Attachment, IdentitySpec, LabelSpec, LabelTo, Mode, NextHopSpec, Object, Operation, PolicySpec,
            PortSpec, RouteSpec, RuleSpec, SourceNatSpec, TrafficMatch, Verdict, VniSpec, VniTo, VrfSpec,
        },
    },
    tables::next_hop::Encapsulation,
    wire::{
        IpPrefix, Label, Mac, Vni,
        outer::{Encap, OuterSpec},
        proto,
    },
};

use super::packets::{Family, Net, Random, SERVICE, Wrapping, ends, shuffle};

/// The VRF of the workloads.
const VRF: u32 = 7;
/// The VRF that sources are translated into.
const OUTSIDE: u32 = 8;
/// VRFs of packets in a tunnel, where there are many: from here up, with a VNI each.
const MANY: u32 = 1000;
const VNI: u32 = 4242;
const LABEL: u32 = 1000;
const POLICY: u32 = 1;
const CLIENTS: u32 = 100;
const SERVERS: u32 = 200;
const TUNNEL: u64 = 200;
const TO_OUTSIDE: u64 = 201;
/// Next hops of many routes: from here up, so many.
const HOPS: u64 = 300;
const HOP_COUNT: u64 = 64;

/// The daemon's default number of flow pairs.
pub(crate) const FLOWS: usize = 1 << 20;

/// The daemon's default number of frames, and the size of each.
const FRAMES: (u32, u16) = (65_536, 2048);

/// How nodes carry each other's packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tunnel {
    /// Routed VXLAN.
    Vxlan,
    /// MPLS over UDP; the label names the workload's next hop.
    Mpls,
}

/// What the first node does with packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    /// From `w0` to `w1`.
    Local,
    /// From `w0` into a tunnel.
    Encapsulate(Tunnel),
    /// Out of a tunnel to `w0`.
    Decapsulate(Tunnel),
    /// From `w0` to `w1` in another VRF, with the source translated.
    Translate,
}

impl Way {
    /// Names of the ports that the packets of one of some pairs come in and go out by.
    pub(crate) fn ports(self, pair: usize, pairs: usize) -> (String, String) {
        let workload = |n: usize| format!("w{n}");
        match self {
            Self::Local | Self::Translate => (workload(pair), workload(pairs + pair)),
            Self::Encapsulate(_) => (workload(0), "up".to_owned()),
            Self::Decapsulate(_) => ("up".to_owned(), workload(0)),
        }
    }
}

/// What is added to the numbers of addresses for each further pair of ports: behind them they are.
pub(crate) const PAIR: u32 = 1 << 21;

/// The worker that owns a port.
pub(crate) fn owner(node: &MemoryDataplane, interface: &str) -> usize {
    let snapshot = node.programmer.snapshot();
    let found = snapshot.ports().find_map(|port| match port {
        Dumped::Port { spec, status, .. } if &*spec.interface == interface => status?.workers.first().copied(),
        _ => None,
    });
    found.expect("a port that a worker owns")
}

/// A node to be made.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    pub(crate) family: Family,
    pub(crate) way: Way,
    /// Workloads have a policy, which keeps state.
    pub(crate) policy: bool,
    /// Flow pairs that there is room for.
    pub(crate) flows: usize,
    /// Pairs of ports, and workers to own one each.
    pub(crate) pairs: usize,
    /// VRFs that packets in the tunnel belong to; 1: the workloads' own.
    pub(crate) vrfs: u32,
}

impl Scene {
    pub(crate) fn new(family: Family, way: Way) -> Self {
        Self {
            family,
            way,
            policy: false,
            flows: FLOWS,
            pairs: 1,
            vrfs: 1,
        }
    }

    pub(crate) fn with_policy(self) -> Self {
        Self { policy: true, ..self }
    }

    pub(crate) fn with_flows(self, flows: usize) -> Self {
        Self { flows, ..self }
    }

    /// Made and programmed; tunnels know their way.
    pub(crate) fn build(&self) -> MemoryDataplane {
        let mut node = self.node(0, self.flows, self.pairs);
        let mut objects = self.objects();
        objects.sort_by_key(|object| matches!(object, Object::Route(_)));
        apply(&mut node, objects);
        // To resolve it is all that the other node is for.
        let mut other = self.node(1, 64, 1);
        loop {
            node.settle();
            other.settle();
            if node.exchange("up", &mut other, "up") == 0 {
                return node;
            }
        }
    }

    fn node(&self, node: u8, flows: usize, workers: usize) -> MemoryDataplane {
        let uplink = MemoryUplink {
            name: "up",
            mac: uplink_mac(node),
            addresses: vec![vtep(self.family, node)],
            gateways: Vec::new(),
        };
        let settings = Settings {
            workers,
            flows,
            seed: 0x5eed,
            ..Settings::default()
        };
        let (frames, size) = if node == 0 { FRAMES } else { (1024, 2048) };
        MemoryDataplane::new(&settings, vec![uplink], frames, size).expect("a dataplane in memory")
    }

    /// What is put around packets that come in a tunnel.
    pub(crate) fn wrapping(&self) -> Option<Wrapping> {
        let Way::Decapsulate(tunnel) = self.way else {
            return None;
        };
        let spec = OuterSpec {
            dst_mac: uplink_mac(0),
            src_mac: uplink_mac(1),
            vlan: None,
            ends: ends(vtep(self.family, 1).0, vtep(self.family, 0).0),
            ttl: 64,
            dont_fragment: true,
            udp_checksum: false,
            encap: match tunnel {
                Tunnel::Vxlan => Encap::Vxlan { vni: vni(VNI) },
                Tunnel::Mpls => Encap::Mpls { label: label(LABEL) },
            },
        };
        Some(Wrapping { spec, vnis: self.vrfs })
    }

    fn objects(&self) -> Vec<Object> {
        let family = self.family;
        let mut objects = vec![vrf(VRF, "blue"), policy(), vrf(OUTSIDE, "outside")];
        let pairs = self.pairs as u32;
        for workload in 0..2 * pairs {
            let outside = self.way == Way::Translate && workload >= pairs;
            objects.push(self.port(workload, if outside { OUTSIDE } else { VRF }));
            objects.push(next_hop(100 + u64::from(workload), to_port(workload, None)));
        }
        for (net, group) in [(Net::Clients, CLIENTS), (Net::Servers, SERVERS)] {
            objects.push(Object::Identity(IdentitySpec {
                vrf: VRF,
                prefix: prefix(family, net),
                groups: [group].into(),
            }));
        }
        objects.push(Object::Vni(VniSpec {
            vni: vni(VNI),
            target: VniTo::Vrf(VRF),
            name: "blue".into(),
        }));
        objects.push(Object::Label(LabelSpec {
            label: label(LABEL),
            target: LabelTo::NextHop(100),
            name: "w0".into(),
        }));
        objects.push(route(VRF, prefix(family, Net::Clients), 100));
        match self.way {
            Way::Local | Way::Decapsulate(_) => {
                objects.push(route(VRF, prefix(family, Net::Servers), 100 + u64::from(pairs)));
            }
            Way::Encapsulate(tunnel) => {
                let (remote, _) = vtep(family, 1);
                objects.push(next_hop(TUNNEL, self::tunnel(tunnel, remote)));
                objects.push(route(VRF, prefix(family, Net::Servers), TUNNEL));
            }
            Way::Translate => objects.extend(self.translation()),
        }
        for pair in 1..pairs {
            for (net, workload) in [(Net::Clients, pair), (Net::Servers, pairs + pair)] {
                let address = family.address(net, pair * PAIR);
                let length = if address.is_ipv4() { 32 } else { 128 } - PAIR.trailing_zeros() as u8;
                let prefix = IpPrefix::containing(address, length).expect("in range");
                objects.push(route(VRF, prefix, 100 + u64::from(workload)));
            }
        }
        if self.vrfs > 1 {
            objects.extend(self.many_vrfs());
        }
        objects
    }

    /// Sources of clients behind 256 addresses, in the VRF outside.
    fn translation(&self) -> Vec<Object> {
        let family = self.family;
        let leave = ActionSpec::Vrf {
            vrf: OUTSIDE,
            untranslated: false,
        };
        let default = IpPrefix::containing(family.address(Net::Servers, 0), 0).expect("in range");
        vec![
            next_hop(TO_OUTSIDE, leave),
            route(VRF, default, TO_OUTSIDE),
            route(OUTSIDE, prefix(family, Net::Servers), 101),
            Object::SourceNat(SourceNatSpec {
                id: 1,
                name: "internet".into(),
                inside: VRF,
                outside: OUTSIDE,
                prefix: prefix(family, Net::Clients),
                addresses: (0..256).map(|n| family.address(Net::Outside, n)).collect(),
                first_port: 0,
                last_port: 0,
                block_size: 0,
                blocks_per_source: 0,
            }),
        ]
    }

    /// A VRF for each VNI, all with their clients behind `w0`.
    fn many_vrfs(&self) -> Vec<Object> {
        let one = |n: u32| {
            let id = MANY + n;
            let clients = route(id, prefix(self.family, Net::Clients), 100);
            let binding = Object::Vni(VniSpec {
                vni: vni(VNI + n),
                target: VniTo::Vrf(id),
                name: "".into(),
            });
            [vrf(id, "one of many"), binding, clients]
        };
        (0..self.vrfs).flat_map(one).collect()
    }

    fn port(&self, workload: u32, vrf: u32) -> Object {
        Object::Port(PortSpec {
            id: 100 + workload,
            name: format!("workload {workload}").into(),
            interface: format!("w{workload}").into(),
            mode: Mode::Memory,
            attachment: Attachment::Vrf(vrf),
            mac: mac(workload),
            gateways: Vec::new().into(),
            mtu: 0,
            max_flows: self.flows as u32,
            policy: self.policy.then_some(POLICY),
            guard: None,
            qos: None,
            mirrors: [].into(),
        })
    }
}

/// Applies objects in batches of the size that the control process uses.
pub(crate) fn apply(node: &mut MemoryDataplane, objects: impl IntoIterator<Item = Object>) {
    let mut objects = objects.into_iter().map(Operation::Put).peekable();
    while objects.peek().is_some() {
        let batch: Vec<_> = objects.by_ref().take(10_000).collect();
        if let Err(problems) = node.apply(&batch) {
            panic!("refused: {}", problems[0]);
        }
    }
}

/// So many routes of random prefixes to `w1`, over some next hops, and an address in each, in random order.
pub(crate) fn add_routes(node: &mut MemoryDataplane, family: Family, count: usize) -> Vec<IpAddr> {
    let hops = (0..HOP_COUNT).map(|n| next_hop(HOPS + n, to_port(1, Some(Mac([2, 3, 0, 0, 0, n as u8])))));
    apply(node, hops);
    let prefixes = random_prefixes(family, count);
    let hop = |n: usize| HOPS + n as u64 % HOP_COUNT;
    apply(
        node,
        prefixes
            .iter()
            .enumerate()
            .map(|(n, (prefix, _))| route(VRF, *prefix, hop(n))),
    );
    let mut addresses: Vec<_> = prefixes.into_iter().map(|(_, address)| address).collect();
    shuffle(&mut addresses);
    addresses
}

/// Distinct prefixes, with lengths roughly as in the Internet's tables, and a distinct address in each. None of the lab's networks is among them, nor what is never routed.
pub(crate) fn random_prefixes(family: Family, count: usize) -> Vec<(IpPrefix, IpAddr)> {
    let mut random = Random(1);
    let (mut prefixes, mut addresses) = (HashSet::with_capacity(count), HashSet::with_capacity(count));
    let mut list = Vec::with_capacity(count);
    while list.len() < count {
        let (address, length) = match family {
            Family::V4 => random_v4(&mut random),
            Family::V6 => random_v6(&mut random),
        };
        let Some(address) = address else { continue };
        let prefix = IpPrefix::containing(address, length).expect("in range");
        if !addresses.contains(&address) && prefixes.insert(prefix) {
            addresses.insert(address);
            list.push((prefix, address));
        }
    }
    list
}

/// Most /24, some shorter, few longer.
fn random_v4(random: &mut Random) -> (Option<IpAddr>, u8) {
    let length = match random.next() % 100 {
        0..60 => 24,
        60..82 => 22 + random.next() % 2,
        82..97 => 16 + random.next() % 6,
        97 => 11 + random.next() % 5,
        _ => 25 + random.next() % 8,
    };
    let address = std::net::Ipv4Addr::from_bits(random.next() as u32);
    let first = address.octets()[0];
    let routed = (1..224).contains(&first) && ![10, 100, 127, 169].contains(&first);
    (routed.then_some(address.into()), length as u8)
}

/// Global unicast, most /48 and /64.
fn random_v6(random: &mut Random) -> (Option<IpAddr>, u8) {
    let length = match random.next() % 10 {
        0..4 => 48,
        4..7 => 64,
        _ => 32 + random.next() % 33,
    };
    let bits = u128::from(random.next()) << 64 | u128::from(random.next());
    let address = std::net::Ipv6Addr::from_bits(1 << 125 | bits >> 3);
    (Some(address.into()), length as u8)
}

/// The MAC of a workload.
pub(crate) fn mac(workload: u32) -> Mac {
    Mac([2, 0, 0, 0, 0, workload as u8])
}

fn uplink_mac(node: u8) -> Mac {
    Mac([2, 1, 0, 0, 0, node])
}

fn vtep(family: Family, node: u8) -> (IpAddr, u8) {
    match family {
        Family::V4 => ([192, 0, 2, 1 + node].into(), 24),
        Family::V6 => ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1 + u16::from(node)].into(), 64),
    }
}

fn vni(number: u32) -> Vni {
    Vni::new(number).expect("in range")
}

fn label(number: u32) -> Label {
    Label::new(number).expect("in range")
}

fn prefix(family: Family, net: Net) -> IpPrefix {
    IpPrefix::containing(family.address(net, 0), family.length()).expect("in range")
}

fn vrf(id: u32, name: &str) -> Object {
    Object::Vrf(VrfSpec {
        id,
        name: name.into(),
        underlay: false,
    })
}

fn next_hop(id: u64, action: ActionSpec) -> Object {
    Object::NextHop(NextHopSpec {
        id,
        name: "".into(),
        action,
    })
}

fn to_port(workload: u32, mac: Option<Mac>) -> ActionSpec {
    ActionSpec::Port {
        port: 100 + workload,
        mac,
    }
}

fn tunnel(kind: Tunnel, remote: IpAddr) -> ActionSpec {
    let encapsulation = match kind {
        Tunnel::Vxlan => Encapsulation::Vxlan {
            vni: VNI,
            inner_mac: Mac::GATEWAY,
        },
        Tunnel::Mpls => Encapsulation::MplsUdp { label: LABEL },
    };
    ActionSpec::Tunnel { remote, encapsulation }
}

fn route(vrf: u32, prefix: IpPrefix, next_hop: u64) -> Object {
    Object::Route(RouteSpec {
        vrf,
        prefix,
        next_hop,
        source: 0,
        preference: 0,
    })
}

/// Ten rules each way, of which the last lets the lab's packets pass; all else is refused.
fn policy() -> Object {
    Object::Policy(PolicySpec {
        id: POLICY,
        name: "bench".into(),
        egress: (1..=10).map(rule).collect(),
        ingress: (11..=20).map(rule).collect(),
        egress_default: Verdict::Deny,
        ingress_default: Verdict::Deny,
    })
}

/// Rules before each tenth are for other groups, or for other ports.
fn rule(id: u32) -> RuleSpec {
    let (groups, port) = match id % 10 {
        0 => (vec![CLIENTS, SERVERS], SERVICE),
        n if n % 2 == 0 => (vec![id], SERVICE),
        n => (vec![CLIENTS, SERVERS], 5000 + n as u16),
    };
    RuleSpec {
        id,
        name: format!("rule {id}").into(),
        groups: groups.into(),
        traffic: [TrafficMatch::ports(proto::UDP, port, port)].into(),
        verdict: Verdict::Allow,
        log: false,
    }
}
