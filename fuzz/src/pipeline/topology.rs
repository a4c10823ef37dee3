//! A node with two VRFs, a bridge, five workloads and an uplink, and changes to it that often make sense.

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

use vrouter_dataplane::{
    engine::{
        Settings,
        memory::{MemoryDataplane, MemoryUplink},
    },
    program::{
        Limits, OuterOptions,
        object::{
            ActionSpec, Attachment, BridgeSpec, GuardSpec, Key, LabelSpec, LabelTo, MacSpec, Mode, NeighborSpec,
            NextHopSpec, Object, Operation, PortSpec, QosSpec, RouteKey, RouteSpec, VniSpec, VniTo, VrfSpec,
        },
    },
    service::{
        arp::{Arp, Operation as ArpOperation},
        nd::{self, Message, Nd},
    },
    tables::{next_hop::Encapsulation, port::Gateway},
    wire::{IpPrefix, Label, Mac, Vni},
};

use crate::{
    cursor::Cursor,
    tunnel::{LABEL, OURS, THEIRS, VNI},
};

pub(super) const PORTS: usize = 16;
pub(super) const VRFS: usize = 8;
/// The last has no port to begin with.
pub(super) const INTERFACES: [&str; 7] = ["p1", "p2", "p3", "p4", "p5", "up0", "p9"];

/// Addresses that mean something here: workloads and gateways of each subnet, remote workloads, VTEPs, and what no host has.
pub(super) const V4: [[u8; 4]; 12] = [
    [10, 0, 0, 1],
    [10, 0, 0, 2],
    [10, 0, 0, 254],
    [10, 0, 2, 3],
    [10, 0, 2, 4],
    [10, 0, 2, 254],
    [10, 9, 0, 1],
    [10, 8, 0, 1],
    [192, 0, 2, 1],
    [192, 0, 2, 2],
    [255, 255, 255, 255],
    [224, 0, 0, 1],
];
/// The same for IPv6, in the same places.
pub(super) const V6: [Ipv6Addr; 12] = [
    v6(1, 1),
    v6(1, 2),
    v6(1, 0xfe),
    v6(2, 3),
    v6(2, 4),
    v6(2, 0xfe),
    v6(9, 1),
    v6(8, 1),
    v6(0, 1),
    v6(0, 2),
    Ipv6Addr::UNSPECIFIED,
    nd::ALL_NODES,
];

const fn v6(subnet: u16, host: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 0, 0, subnet, 0, 0, 0, host)
}

/// The MAC of the workload behind a port.
pub(super) const fn workload(port: u8) -> Mac {
    Mac([2, 0, 0, 0, 0, port])
}

/// Small tables, so that their ends are met.
pub(crate) fn dataplane(workers: usize) -> MemoryDataplane {
    let settings = Settings {
        workers,
        flows: 256,
        learned: 64,
        learned_per_bridge: 16,
        limits: Limits {
            ports: PORTS,
            vrfs: VRFS,
            bridges: 8,
            next_hops: 64,
            route_bytes: 1 << 20,
        },
        outer: OuterOptions {
            udp6_checksum: true,
            ..OuterOptions::default()
        },
        ..Settings::default()
    };
    let uplink = MemoryUplink {
        name: "up0",
        mac: OURS,
        addresses: vec![(IpAddr::from([192, 0, 2, 1]), 24), (v6(0, 1).into(), 64)],
        gateways: Vec::new(),
    };
    MemoryDataplane::new(&settings, vec![uplink], 256, 2048).expect("a small dataplane")
}

/// The tables to start from, in batches: a bridge can flood only when there are ports in it.
pub(crate) fn base() -> Vec<Vec<Operation>> {
    let vrf = |id| {
        Object::Vrf(VrfSpec {
            id,
            name: "v".into(),
            underlay: false,
        })
    };
    let mut first = vec![vrf(1), vrf(2), bridge(1, None)];
    for number in 1..=5 {
        first.push(port(number, attachment(number)));
        first.push(hop(
            u64::from(number),
            ActionSpec::Port {
                port: number.into(),
                mac: None,
            },
        ));
    }
    for (id, choice) in (10..).zip(0..6) {
        first.push(hop(id, tunnel(choice)));
    }
    first.push(hop(20, ActionSpec::Group(Arc::from([(10, 1), (12, 3), (1, 1)]))));
    first.push(hop(30, ActionSpec::Flood(Arc::from([3, 4, 14]))));
    first.push(hop(40, ActionSpec::Drop));
    first.push(hop(41, ActionSpec::Local));
    for (vrf, address, next_hop) in [(1, 0, 1), (1, 1, 2), (1, 6, 10), (1, 7, 12), (2, 0, 5), (2, 6, 20)] {
        let length = if address < 6 { (32, 128) } else { (16, 64) };
        first.push(route(vrf, V4[address].into(), length.0, next_hop));
        first.push(route(
            vrf,
            V6[address].into(),
            length.1,
            next_hop + u64::from(next_hop == 10 || next_hop == 12),
        ));
    }
    for second in 0..2 {
        first.push(vni(second, if second == 0 { VniTo::Vrf(1) } else { VniTo::Bridge(1) }));
        first.push(label(
            second,
            if second == 0 {
                LabelTo::Vrf(1)
            } else {
                LabelTo::NextHop(2)
            },
        ));
    }
    for (number, place) in [(3, 3), (4, 4)] {
        for address in [IpAddr::from(V4[place]), V6[place].into()] {
            first.push(neighbor(address, workload(number)));
        }
    }
    first.push(mac(workload(3), 3));
    let put = |objects: Vec<Object>| objects.into_iter().map(Operation::Put).collect();
    vec![put(first), put(vec![bridge(1, Some(30))])]
}

/// What the remote VTEPs say when they are asked for.
pub(super) fn answers() -> Vec<Vec<u8>> {
    let arp = Arp {
        operation: ArpOperation::Reply,
        sender_mac: THEIRS,
        sender_ip: [192, 0, 2, 2].into(),
        target_mac: OURS,
        target_ip: [192, 0, 2, 1].into(),
    };
    let question = Nd {
        source: v6(0, 1),
        destination: nd::solicited_node(v6(0, 2)),
        ethernet_source: OURS,
        message: Message::NeighborSolicitation {
            target: v6(0, 2),
            source_mac: Some(OURS),
        },
    };
    let advertisement = nd::neighbor_advertisement_frame(&question, THEIRS, false).expect("an answer");
    vec![arp.to_frame(OURS).to_vec(), advertisement.to_vec()]
}

/// A change: a new object with an identifier that others know, or the end of one.
pub(super) fn operation(cursor: &mut Cursor<'_>) -> Operation {
    let choice = cursor.byte();
    let number = cursor.byte();
    let small = u32::from(number % 8);
    let (v4, v6) = (IpAddr::from(cursor.one_of(&V4)), IpAddr::from(cursor.one_of(&V6)));
    let address = if choice & 0x40 == 0 { v4 } else { v6 };
    let hop_id = u64::from(number % 48);
    if choice & 0x80 != 0 {
        let prefix = IpPrefix::containing(address, cursor.byte() % 129).unwrap_or(IpPrefix::host(address));
        return Operation::Delete(match choice % 9 {
            0 => Key::Port(small),
            1 => Key::Vrf(small),
            2 => Key::Bridge(small),
            3 => Key::NextHop(hop_id),
            4 => Key::Route(RouteKey {
                vrf: small,
                prefix,
                source: number >> 6,
            }),
            5 => Key::Mac(1, workload(number)),
            6 => Key::Neighbor(1, address),
            7 => Key::Vni(the_vni(number)),
            _ => Key::Label(the_label(number)),
        });
    }
    Operation::Put(match choice % 9 {
        0 => port(
            small as u8,
            if cursor.byte() & 1 == 0 {
                Attachment::Vrf(1 + small % 3)
            } else {
                Attachment::Bridge(1)
            },
        ),
        1 => Object::Vrf(VrfSpec {
            id: small,
            name: "w".into(),
            underlay: number & 0xc0 == 0xc0,
        }),
        2 => bridge(small, (number & 8 != 0).then_some(hop_id)),
        3 => hop(hop_id, action(cursor)),
        4 => {
            let length = cursor.byte() % if address.is_ipv4() { 33 } else { 129 };
            route(1 + small % 3, address, length, u64::from(cursor.byte() % 48))
        }
        5 => mac(workload(number), hop_id),
        6 => neighbor(address, workload(number)),
        7 => vni(
            number,
            if cursor.byte() & 1 == 0 {
                VniTo::Vrf(small)
            } else {
                VniTo::Bridge(small)
            },
        ),
        _ => label(
            number,
            if cursor.byte() & 1 == 0 {
                LabelTo::Vrf(small)
            } else {
                LabelTo::NextHop(hop_id)
            },
        ),
    })
}

fn action(cursor: &mut Cursor<'_>) -> ActionSpec {
    let choice = cursor.byte();
    let mut members = || -> Vec<u64> { cursor.bytes().iter().map(|b| u64::from(b % 48)).collect() };
    match choice % 6 {
        0 => ActionSpec::Drop,
        1 => ActionSpec::Local,
        2 => ActionSpec::Port {
            port: u32::from(choice >> 4),
            mac: (choice & 8 != 0).then_some(workload(9)),
        },
        3 => tunnel(choice >> 3),
        4 => ActionSpec::Group(members().into_iter().map(|id| (id, choice >> 4)).collect()),
        _ => ActionSpec::Flood(members().into()),
    }
}

fn tunnel(choice: u8) -> ActionSpec {
    let remote = match choice & 9 {
        0 => IpAddr::from([192, 0, 2, 2]),
        1 => v6(0, 2).into(),
        // Nobody answers there, and there is no way.
        8 => IpAddr::from([192, 0, 2, 3]),
        _ => V6[6].into(),
    };
    let encapsulation = match choice >> 1 & 3 {
        0 => Encapsulation::Vxlan {
            vni: VNI,
            inner_mac: Mac::GATEWAY,
        },
        1 => Encapsulation::MplsUdp { label: LABEL },
        2 => Encapsulation::Vxlan {
            vni: VNI + 1,
            inner_mac: workload(7),
        },
        _ => Encapsulation::MplsUdp { label: 0 },
    };
    ActionSpec::Tunnel { remote, encapsulation }
}

fn attachment(port: u8) -> Attachment {
    match port {
        1 | 2 => Attachment::Vrf(1),
        3 | 4 => Attachment::Bridge(1),
        _ => Attachment::Vrf(2),
    }
}

fn gateways(subnet: usize) -> Arc<[Gateway]> {
    Arc::from([
        Gateway {
            address: V4[subnet].into(),
            prefix_len: 24,
        },
        Gateway {
            address: V6[subnet].into(),
            prefix_len: 64,
        },
    ])
}

fn port(number: u8, attachment: Attachment) -> Object {
    let interface = INTERFACES[..5]
        .get(usize::from(number).wrapping_sub(1))
        .copied()
        .unwrap_or(INTERFACES[6]);
    Object::Port(PortSpec {
        id: number.into(),
        name: interface.into(),
        interface: interface.into(),
        mode: if number == 7 { Mode::Generic } else { Mode::Memory },
        attachment,
        mac: workload(number),
        gateways: gateways(2),
        mtu: if number == 2 { 600 } else { 0 },
        max_flows: u32::from(number == 5) * 4,
        policy: None,
        guard: None,
        qos: None,
        mirrors: [].into(),
    })
}

/// The first port, with everything that may be asked of a workload: policy 1 and mirror 1 must be there.
pub(crate) fn guarded_port() -> Object {
    let Object::Port(spec) = port(1, attachment(1)) else {
        unreachable!("it is one")
    };
    Object::Port(PortSpec {
        policy: Some(1),
        guard: Some(Arc::new(GuardSpec {
            addresses: Arc::from([IpPrefix::host(V4[0].into()), IpPrefix::host(V6[0].into())]),
            ..GuardSpec::default()
        })),
        qos: Some(QosSpec {
            dscp: Some(8),
            ..QosSpec::default()
        }),
        mirrors: Arc::from([1]),
        ..spec
    })
}

fn bridge(id: u32, flood: Option<u64>) -> Object {
    Object::Bridge(BridgeSpec {
        id,
        name: "b".into(),
        vrf: (id != 3).then_some(1),
        gateway_mac: Mac::GATEWAY,
        gateways: gateways(5),
        learn: id != 2,
        aging_seconds: 30,
        flood,
    })
}

fn hop(id: u64, action: ActionSpec) -> Object {
    Object::NextHop(NextHopSpec {
        id,
        name: "n".into(),
        action,
    })
}

fn route(vrf: u32, address: IpAddr, length: u8, next_hop: u64) -> Object {
    Object::Route(RouteSpec {
        vrf,
        prefix: IpPrefix::containing(address, length).unwrap_or(IpPrefix::host(address)),
        next_hop,
        source: (next_hop % 3) as u8,
        preference: (next_hop % 2) as u8,
    })
}

fn mac(mac: Mac, next_hop: u64) -> Object {
    Object::Mac(MacSpec {
        bridge: 1,
        mac,
        next_hop,
    })
}

fn neighbor(address: IpAddr, mac: Mac) -> Object {
    Object::Neighbor(NeighborSpec {
        bridge: 1,
        address,
        mac,
    })
}

fn the_vni(number: u8) -> Vni {
    Vni::new(VNI + u32::from(number % 4)).expect("a VNI")
}

fn the_label(number: u8) -> Label {
    Label::new(LABEL + u32::from(number % 4)).expect("a label")
}

fn vni(number: u8, target: VniTo) -> Object {
    Object::Vni(VniSpec {
        vni: the_vni(number),
        target,
        name: "n".into(),
    })
}

fn label(number: u8, target: LabelTo) -> Object {
    Object::Label(LabelSpec {
        label: the_label(number),
        target,
        name: "l".into(),
    })
}
