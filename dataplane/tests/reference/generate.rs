//! Small tables, odd packets and changes, each made from one number, so that a failing history shrinks by leaving steps out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use vrouter_dataplane::{
    program::object::{
        ActionSpec, Attachment, BridgeSpec, Key, LabelSpec, LabelTo, MacSpec, Mode, NeighborSpec, NextHopSpec, Object,
        Operation, PortSpec, RouteKey, RouteSpec, VniSpec, VniTo, VrfSpec,
    },
    tables::{next_hop::Encapsulation, port::Gateway},
    wire::{IpPrefix, Label, Mac, Vni},
};

/// Random choices from one number (splitmix64).
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.roll() % limit
    }

    pub fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize].clone()
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

pub const BRIDGE_MAC: Mac = Mac([0, 0, 0x5e, 0, 1, 1]);
pub const PORTS: [&str; 6] = ["w1", "w2", "w3", "b1", "b2", "b3"];

pub fn workload(number: u8) -> Mac {
    Mac([2, 0, 0, 0, 0, number])
}

fn v4(text: &str) -> IpAddr {
    IpAddr::V4(text.parse::<Ipv4Addr>().unwrap())
}

fn v6(text: &str) -> IpAddr {
    IpAddr::V6(text.parse::<Ipv6Addr>().unwrap())
}

/// Remote tunnel endpoints, and whether they answer.
pub fn remotes() -> [(IpAddr, bool); 5] {
    [
        (v4("192.0.2.11"), true),
        (v4("192.0.2.12"), true),
        (v4("192.0.2.13"), false),
        (v6("2001:db8::11"), true),
        (v6("2001:db8::12"), true),
    ]
}

pub fn addresses(is_v6: bool) -> Vec<IpAddr> {
    let texts: &[&str] = if is_v6 {
        &[
            "fd00:1::1",
            "fd00:1::11",
            "fd00:1::12",
            "fd00:2::1",
            "fd00:2::14",
            "fd00:9::1",
            "fd00:8::1",
            "fe80::1",
            "fe80::200:5eff:fe00:100",
            "fe80::200:5eff:fe00:101",
            "::",
            "::1",
            "ff02::1",
            "ff0e::1",
            "2001:db8::1",
            "2001:db8::11",
            "fd00:1::11",
            "fd00:1::12",
            "fd00:9::1",
        ]
    } else {
        &[
            "10.1.1.1",
            "10.1.1.11",
            "10.1.1.12",
            "10.2.0.1",
            "10.2.0.14",
            "10.9.0.1",
            "10.8.0.1",
            "169.254.1.1",
            "127.0.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.5",
            "240.0.0.1",
            "192.0.2.1",
            "192.0.2.11",
            "10.1.1.11",
            "10.1.1.12",
            "10.9.0.1",
        ]
    };
    texts
        .iter()
        .map(|text| if is_v6 { v6(text) } else { v4(text) })
        .collect()
}

pub fn macs() -> Vec<Mac> {
    let mut macs = vec![
        Mac::GATEWAY,
        BRIDGE_MAC,
        Mac::BROADCAST,
        Mac::ZERO,
        Mac([1, 0x80, 0xc2, 0, 0, 3]),
    ];
    macs.extend([
        Mac([0x33, 0x33, 0, 0, 0, 1]),
        Mac([2, 9, 9, 9, 9, 9]),
        Mac([2, 8, 8, 8, 8, 8]),
    ]);
    macs.extend((1..=6).map(workload));
    macs
}

fn name(text: &str) -> std::sync::Arc<str> {
    text.into()
}

fn gateway(address: IpAddr, prefix_len: u8) -> Gateway {
    Gateway { address, prefix_len }
}

pub fn port(id: u32, mtu: u16) -> Object {
    let attachment = match id {
        1 | 2 => Attachment::Vrf(1),
        3 => Attachment::Vrf(2),
        4 | 5 => Attachment::Bridge(1),
        _ => Attachment::Bridge(2),
    };
    let gateways = match attachment {
        Attachment::Vrf(_) => vec![gateway(v4("10.1.1.1"), 24), gateway(v6("fd00:1::1"), 64)],
        Attachment::Bridge(_) => Vec::new(),
    };
    Object::Port(PortSpec {
        id,
        name: name("workload"),
        interface: PORTS[id as usize - 1].into(),
        mode: Mode::Memory,
        attachment,
        mac: workload(id as u8),
        gateways: gateways.into(),
        mtu,
        max_flows: 0,
        policy: None,
        guard: None,
        qos: None,
        mirrors: [].into(),
    })
}

fn next_hop(id: u64, action: ActionSpec) -> Object {
    Object::NextHop(NextHopSpec {
        id,
        name: name(""),
        action,
    })
}

fn tunnel(id: u64, remote: usize, encapsulation: Encapsulation) -> Object {
    let remote = remotes()[remote].0;
    next_hop(id, ActionSpec::Tunnel { remote, encapsulation })
}

fn vxlan(vni: u32) -> Encapsulation {
    Encapsulation::Vxlan {
        vni,
        inner_mac: Mac([2, 7, 7, 7, 7, 7]),
    }
}

fn route(vrf: u32, prefix: IpPrefix, next_hop: u64, source: u8, preference: u8) -> Object {
    Object::Route(RouteSpec {
        vrf,
        prefix,
        next_hop,
        source,
        preference,
    })
}

fn bridge(id: u32, dice: &mut Dice) -> Object {
    let routed = id == 1;
    let gateways = if routed {
        vec![gateway(v4("10.2.0.1"), 24), gateway(v6("fd00:2::1"), 64)]
    } else {
        Vec::new()
    };
    Object::Bridge(BridgeSpec {
        id,
        name: name("bridge"),
        vrf: routed.then_some(1),
        gateway_mac: BRIDGE_MAC,
        gateways: gateways.into(),
        learn: dice.chance(75),
        aging_seconds: dice.of(&[0, 5]),
        flood: dice.of(if routed {
            &[Some(40), Some(41), None]
        } else {
            &[None, Some(42), None]
        }),
    })
}

/// Everything that the packets below may meet.
pub fn base(dice: &mut Dice) -> Vec<Object> {
    let mut objects = vec![
        Object::Vrf(VrfSpec {
            id: 1,
            name: name("blue"),
            underlay: false,
        }),
        Object::Vrf(VrfSpec {
            id: 2,
            name: name("red"),
            underlay: false,
        }),
        next_hop(1, ActionSpec::Local),
        next_hop(2, ActionSpec::Drop),
        next_hop(3, ActionSpec::Unreachable),
        tunnel(21, 0, vxlan(1001)),
        tunnel(22, 3, vxlan(1001)),
        tunnel(23, 0, Encapsulation::MplsUdp { label: 601 }),
        tunnel(24, 4, Encapsulation::MplsUdp { label: 602 }),
        tunnel(25, 2, vxlan(1001)),
        tunnel(26, 0, vxlan(2001)),
        tunnel(27, 3, vxlan(2001)),
        tunnel(28, 2, vxlan(2001)),
        tunnel(29, 1, vxlan(2002)),
        next_hop(40, ActionSpec::Flood([26, 27].into())),
        next_hop(41, ActionSpec::Flood([26, 28].into())),
        next_hop(42, ActionSpec::Flood([29].into())),
    ];
    objects.extend([bridge(1, dice), bridge(2, dice)]);
    for id in 1..=6_u32 {
        objects.push(port(id, 0));
        objects.push(next_hop(10 + u64::from(id), ActionSpec::Port { port: id, mac: None }));
    }
    objects.push(next_hop(31, ActionSpec::Group([(11, 1), (21, 3), (23, 1)].into())));
    objects.push(next_hop(
        32,
        ActionSpec::Group([(24, 1), (22, 1), (2, 1), (3, 1), (1, 1)].into()),
    ));
    let vnis = [
        (1001, VniTo::Vrf(1)),
        (1002, VniTo::Vrf(2)),
        (2001, VniTo::Bridge(1)),
        (2002, VniTo::Bridge(2)),
    ];
    objects.extend(vnis.map(|(vni, target)| vni_object(vni, target)));
    let labels = [
        (501, LabelTo::Vrf(1)),
        (502, LabelTo::NextHop(11)),
        (503, LabelTo::NextHop(14)),
        (504, LabelTo::Vrf(2)),
        (505, LabelTo::NextHop(16)),
    ];
    objects.extend(labels.map(|(label, target)| label_object(label, target)));
    let hosts = [
        ("10.1.1.1", 1),
        ("10.1.1.11", 11),
        ("10.1.1.12", 12),
        ("10.2.0.1", 1),
        ("10.2.0.14", 14),
        ("10.9.0.1", 31),
    ];
    objects.extend(hosts.map(|(host, to)| route(1, IpPrefix::host(v4(host)), to, 0, 0)));
    let hosts = [
        ("fd00:1::1", 1),
        ("fd00:1::11", 11),
        ("fd00:1::12", 12),
        ("fd00:2::1", 1),
        ("fd00:2::14", 14),
        ("fd00:9::1", 32),
    ];
    objects.extend(hosts.map(|(host, to)| route(1, IpPrefix::host(v6(host)), to, 0, 0)));
    objects.extend((0..4).map(|_| some_route(dice)));
    objects
}

fn vni_object(vni: u32, target: VniTo) -> Object {
    Object::Vni(VniSpec {
        vni: Vni::new(vni).unwrap(),
        target,
        name: name(""),
    })
}

fn label_object(label: u32, target: LabelTo) -> Object {
    Object::Label(LabelSpec {
        label: Label::new(label).unwrap(),
        target,
        name: name(""),
    })
}

fn some_prefix(dice: &mut Dice) -> IpPrefix {
    let is_v6 = dice.chance(50);
    let address = dice.of(&addresses(is_v6)[..7]);
    let len = dice.of(if is_v6 {
        &[0, 16, 32, 64, 127, 128]
    } else {
        &[0, 8, 16, 24, 31, 32]
    });
    IpPrefix::containing(address, len).unwrap()
}

fn some_route(dice: &mut Dice) -> Object {
    let next_hop = dice.of(&[1, 2, 3, 11, 12, 13, 14, 16, 21, 22, 23, 24, 25, 31, 32]);
    let (vrf, prefix) = (dice.of(&[1, 1, 2]), some_prefix(dice));
    route(vrf, prefix, next_hop, dice.below(3) as u8, dice.below(3) as u8)
}

/// A batch that changes something. It may well be refused.
pub fn change(dice: &mut Dice) -> Vec<Operation> {
    let put = Operation::Put;
    let vni = |dice: &mut Dice| Vni::new(dice.of(&[1001, 1002, 2001, 2002])).unwrap();
    let bridge_of = |dice: &mut Dice| dice.of(&[1, 1, 2]);
    let one = match dice.below(20) {
        0..=3 => put(some_route(dice)),
        4 | 5 => {
            let (vrf, prefix, source) = (dice.of(&[1, 1, 2]), some_prefix(dice), dice.below(3) as u8);
            Operation::Delete(Key::Route(RouteKey { vrf, prefix, source }))
        }
        6 => {
            let id = 1 + dice.below(6) as u32;
            put(port(id, dice.of(&[0, 1300, 1400, 9000])))
        }
        7 | 16 | 17 => {
            // A port moves to another network and back.
            let Object::Port(mut spec) = port(4 + dice.below(3) as u32, 0) else {
                return Vec::new();
            };
            spec.attachment = dice.of(&[Attachment::Bridge(1), Attachment::Bridge(2), Attachment::Vrf(2)]);
            put(Object::Port(spec))
        }
        8 => {
            let members = dice.of(&[vec![(11, 1), (23, 1)], vec![(21, 200)], vec![(12, 1), (22, 2), (25, 1)]]);
            put(next_hop(31, ActionSpec::Group(members.into())))
        }
        9 => {
            let mac = dice.of(&[None, Some(Mac([2, 6, 6, 6, 6, 6]))]);
            let id = 1 + dice.below(6) as u32;
            put(next_hop(10 + u64::from(id), ActionSpec::Port { port: id, mac }))
        }
        10 => {
            let (bridge, mac) = (bridge_of(dice), dice.of(&macs()[6..]));
            let next_hop = dice.of(&[14, 15, 16, 26, 27, 28]);
            dice.of(&[
                put(Object::Mac(MacSpec { bridge, mac, next_hop })),
                Operation::Delete(Key::Mac(bridge, mac)),
            ])
        }
        11 => {
            let (bridge, mac, is_v6) = (bridge_of(dice), dice.of(&macs()[6..]), dice.chance(50));
            let address = dice.of(&addresses(is_v6)[3..7]);
            let known = NeighborSpec { bridge, address, mac };
            dice.of(&[
                put(Object::Neighbor(known)),
                Operation::Delete(Key::Neighbor(bridge, address)),
            ])
        }
        12 => {
            let target = dice.of(&[VniTo::Vrf(1), VniTo::Bridge(1), VniTo::Bridge(2)]);
            let vni = vni(dice);
            dice.of(&[put(vni_object(vni.get(), target)), Operation::Delete(Key::Vni(vni))])
        }
        13 | 18 => {
            // A tunnel changes its network or its far end.
            let encapsulation = vxlan(dice.of(&[2001, 2002]));
            put(tunnel(26, dice.of(&[0, 1]), encapsulation))
        }
        14 => {
            let id = bridge_of(dice);
            put(bridge(id, dice))
        }
        _ => {
            // A port goes, with all that leads to it; what refers to it elsewhere refuses the batch.
            let label = Label::new(505).unwrap();
            return vec![
                Operation::Delete(Key::Label(label)),
                Operation::Delete(Key::NextHop(16)),
                Operation::Delete(Key::Port(6)),
            ];
        }
    };
    vec![one]
}
