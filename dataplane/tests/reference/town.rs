//! Policies, services, source translation and guards, in two VRFs: histories of connections and changes, in which whatever the pipeline may choose
//! is read from what it did, and must be kept.

use std::{net::IpAddr, sync::Arc};

use vrouter_dataplane::{
    packet::DropReason,
    program::object::{
        ActionSpec, Attachment, BackendSpec, Key, LabelTo, Object, Operation, PolicySpec, PortSpec, RuleSpec,
        ServiceSpec, SourceNatSpec, TrafficMatch, Verdict, VniTo,
    },
    tables::next_hop::Encapsulation,
    wire::{IpPrefix, Mac},
};

use crate::{
    Both, Dropped,
    generate::{Dice, remotes, workload},
    histories,
    lab::objects::{
        gateways, identity, identity_key, label, next_hop, prefix, route, route_key, source_nat_spec, to_port, to_vrf,
        to_vrf_untranslated, vni, vrf,
    },
    town_packets as packets,
};

/// The VRF of the workloads, and the one that they go out through.
pub const INSIDE: u32 = 1;
pub const OUTSIDE: u32 = 2;

/// Workloads 1 to 3 are inside, 4 and 5 outside, and two more, 6 and 7, behind tunnels, one on each side.
pub const PORTS: [&str; 5] = ["f1", "f2", "f3", "f4", "f5"];

/// VNI of the inside, label of the outside.
pub const VNI: u32 = 1001;
pub const LABEL: u32 = 504;

/// Reasons that these histories meet.
pub const MET: [DropReason; 11] = [
    DropReason::PolicyDeniedEgress,
    DropReason::PolicyDeniedIngress,
    DropReason::NoBackend,
    DropReason::NoTranslation,
    DropReason::NatExhausted,
    DropReason::Untranslatable,
    DropReason::RoutingLoop,
    DropReason::SpoofedMac,
    DropReason::SpoofedIp,
    DropReason::SpoofedArp,
    DropReason::RogueDhcp,
];

/// Groups that an address may be in.
const GROUPS: [&[u32]; 4] = [&[100], &[200], &[100, 300], &[]];

const FAMILIES: [bool; 2] = [false, true];

/// A numbered address inside.
pub fn inside(v6: bool, number: u32) -> IpAddr {
    let text = if v6 {
        format!("fd00:1::{number}")
    } else {
        format!("10.1.1.{number}")
    };
    text.parse().unwrap()
}

/// A numbered address outside.
pub fn outside(v6: bool, number: u32) -> IpAddr {
    let text = if v6 {
        format!("2001:db8:5::{number}")
    } else {
        format!("198.51.100.{number}")
    };
    text.parse().unwrap()
}

/// Address of a workload.
pub fn host(v6: bool, number: u32) -> IpAddr {
    match number {
        4 | 5 | 7 => outside(v6, number + 10),
        _ => inside(v6, number + 10),
    }
}

/// Services inside.
pub const VIPS: [u32; 2] = [100, 101];
/// The service outside, the floating address of workload 1, and what all others are translated to.
pub const OUTER_VIP: u32 = 150;
pub const FLOATING: u32 = 111;
pub const POOL: [u32; 2] = [200, 201];

fn all_of(address: IpAddr) -> String {
    IpPrefix::host(address).to_string()
}

fn any(v6: bool) -> &'static str {
    if v6 { "::/0" } else { "0.0.0.0/0" }
}

fn port(id: u32, dice: &mut Dice) -> Object {
    let (vrf, own) = if id > 3 {
        (OUTSIDE, ["198.51.100.1/24", "2001:db8:5::1/64"])
    } else {
        (INSIDE, ["10.1.1.1/24", "fd00:1::1/64"])
    };
    let mut spec = PortSpec {
        interface: PORTS[id as usize - 1].into(),
        mac: workload(id as u8),
        gateways: gateways(&own),
        mtu: dice.of(&[0, 0, 0, 1300]),
        policy: dice.of(&[None, None, Some(1), Some(2), Some(3)]),
        ..crate::lab::objects::port_spec(id, Attachment::Vrf(vrf))
    };
    if dice.chance(30) {
        let texts: &[&str] = if id > 3 {
            &["198.51.100.0/24", "2001:db8:5::/64"]
        } else {
            &["10.1.1.0/28", "fd00:1::/112"]
        };
        spec.guard = Some(crate::lab::objects::guard(texts));
    }
    Object::Port(spec)
}

fn some_rule(id: u32, dice: &mut Dice) -> RuleSpec {
    let icmp = |protocol, icmp_type| TrafficMatch {
        protocol,
        icmp_type,
        ..TrafficMatch::ALL
    };
    let groups: &[u32] = dice.of(&[&[] as &[u32], &[], &[100], &[200], &[100, 300]]);
    let kinds = [
        vec![],
        vec![],
        vec![TrafficMatch::ports(17, 53, 53)],
        vec![TrafficMatch::ports(17, 400, 6000)],
        vec![TrafficMatch::protocol(17)],
        vec![icmp(1, Some(8)), icmp(58, Some(128))],
        vec![icmp(1, None), icmp(58, None), TrafficMatch::ports(17, 53, 53)],
        vec![icmp(1, Some(13)), icmp(58, Some(139)), TrafficMatch::ports(0, 443, 443)],
    ];
    RuleSpec {
        log: dice.chance(10),
        ..crate::lab::objects::rule(
            id,
            groups,
            &dice.of(&kinds),
            dice.of(&[Verdict::Allow, Verdict::Allow, Verdict::Deny, Verdict::Audit]),
        )
    }
}

fn policy(id: u32, dice: &mut Dice) -> Object {
    let mut list = |first: u32| -> Arc<[RuleSpec]> {
        let count = dice.below(4) as u32;
        (first..first + count).map(|id| some_rule(id, dice)).collect()
    };
    let (egress, ingress) = (list(1), list(20));
    let default = [Verdict::Allow, Verdict::Deny];
    Object::Policy(PolicySpec {
        id,
        name: "policy".into(),
        egress,
        ingress,
        egress_default: dice.of(&default),
        ingress_default: dice.of(&default),
    })
}

fn some_identity(dice: &mut Dice) -> (u32, String) {
    let v6 = dice.chance(50);
    let number = 1 + dice.below(7) as u32;
    let wide = dice.chance(25);
    match (dice.chance(50), v6, wide) {
        (true, false, true) => (INSIDE, "10.1.1.0/24".into()),
        (true, true, true) => (INSIDE, "fd00:1::/64".into()),
        (false, false, true) => (OUTSIDE, "198.51.100.0/24".into()),
        (false, true, true) => (OUTSIDE, "2001:db8:5::/64".into()),
        (inside, _, false) => (if inside { INSIDE } else { OUTSIDE }, all_of(host(v6, number))),
    }
}

fn backend(v6: bool, number: u32, port: u16, draining: bool) -> BackendSpec {
    BackendSpec {
        vrf: Some(if matches!(number, 4 | 5 | 7) { OUTSIDE } else { INSIDE }),
        draining,
        ..crate::lab::objects::backend(&host(v6, number).to_string(), port)
    }
}

/// One of the services: at a port of an address, at all of an address, and both at one.
fn service(which: u32, v6: bool, dice: &mut Dice) -> Object {
    let (vrf, address, place) = match which {
        0 => (INSIDE, inside(v6, VIPS[0]), (17, 53)),
        1 => (INSIDE, inside(v6, VIPS[0]), (0, 0)),
        2 => (INSIDE, inside(v6, VIPS[1]), (17, 443)),
        3 => (OUTSIDE, outside(v6, OUTER_VIP), (17, 53)),
        _ => (OUTSIDE, outside(v6, FLOATING), (0, 0)),
    };
    let backends = if which == 4 {
        vec![backend(v6, 1, 0, false)]
    } else {
        let mut numbers = vec![1, 2, 3, 4, 6];
        let count = dice.below(4) as usize;
        (0..count)
            .map(|_| {
                let number = numbers.remove(dice.below(numbers.len() as u64) as usize);
                let port = if place.1 == 0 { 0 } else { dice.of(&[0, 53, 5353]) };
                backend(v6, number, port, dice.chance(20))
            })
            .collect()
    };
    Object::Service(ServiceSpec {
        id: service_id(which, v6),
        ..crate::lab::objects::service_spec(1, vrf, &address.to_string(), place, &backends)
    })
}

fn service_id(which: u32, v6: bool) -> u32 {
    1 + which + if v6 { 10 } else { 0 }
}

fn floating(v6: bool) -> Object {
    let address = outside(v6, FLOATING).to_string();
    let id = if v6 { 11 } else { 1 };
    Object::SourceNat(source_nat_spec(
        id,
        (INSIDE, OUTSIDE),
        &all_of(host(v6, 1)),
        &[&address],
    ))
}

fn blocks(v6: bool, dice: &mut Dice) -> Object {
    let of = if v6 { "fd00:1::/64" } else { "10.1.1.0/24" };
    let pool = POOL.map(|number| outside(v6, number).to_string());
    let pool = pool.each_ref().map(String::as_str);
    let addresses = dice.of(&[&pool[..1], &pool[1..], &pool[..]]);
    Object::SourceNat(SourceNatSpec {
        first_port: 2048,
        last_port: 4095,
        block_size: dice.of(&[64, 128]),
        blocks_per_source: 4,
        ..source_nat_spec(if v6 { 12 } else { 2 }, (INSIDE, OUTSIDE), of, addresses)
    })
}

/// Routes that may come and go.
fn some_route(dice: &mut Dice) -> (u32, String, u64) {
    let v6 = dice.chance(50);
    match dice.below(6) {
        // The way out, translated or not, or none.
        0 => (INSIDE, any(v6).into(), dice.of(&[40, 40, 41, 2])),
        // A leak of an address into the other VRF.
        1 => (OUTSIDE, all_of(host(v6, dice.of(&[1, 2]))), dice.of(&[11, 12, 42])),
        2 => (INSIDE, all_of(host(v6, 5)), dice.of(&[15, 41])),
        // Into a ring.
        3 => (OUTSIDE, any(v6).into(), dice.of(&[42, 42, 2, 3])),
        4 => (INSIDE, all_of(inside(v6, dice.of(&VIPS))), 1),
        _ => (OUTSIDE, all_of(outside(v6, OUTER_VIP)), 1),
    }
}

fn base(dice: &mut Dice) -> Vec<Object> {
    let far = |encapsulation, remote: usize| ActionSpec::Tunnel {
        remote: remotes()[remote].0,
        encapsulation,
    };
    let vxlan = Encapsulation::Vxlan {
        vni: VNI,
        inner_mac: Mac::GATEWAY,
    };
    let mut objects = vec![
        vrf(INSIDE),
        vrf(OUTSIDE),
        next_hop(1, ActionSpec::Local),
        next_hop(2, ActionSpec::Drop),
        next_hop(3, ActionSpec::Unreachable),
        next_hop(16, far(vxlan, 0)),
        next_hop(17, far(Encapsulation::MplsUdp { label: LABEL }, 4)),
        vni(VNI, VniTo::Vrf(INSIDE)),
        label(LABEL, LabelTo::Vrf(OUTSIDE)),
        to_vrf(40, OUTSIDE),
        to_vrf_untranslated(41, OUTSIDE),
        to_vrf_untranslated(42, INSIDE),
    ];
    objects.extend((1..=3).map(|id| policy(id, dice)));
    for id in 1..=5 {
        objects.extend([port(id, dice), to_port(10 + u64::from(id), id)]);
    }
    for v6 in FAMILIES {
        for number in 1..=7 {
            let vrf = if matches!(number, 4 | 5 | 7) { OUTSIDE } else { INSIDE };
            objects.push(route(vrf, &all_of(host(v6, number)), 10 + u64::from(number)));
        }
        objects.extend([
            route(INSIDE, &all_of(inside(v6, 1)), 1),
            route(OUTSIDE, &all_of(outside(v6, 1)), 1),
            route(INSIDE, any(v6), 40),
        ]);
        objects.extend((0..5).map(|which| service(which, v6, dice)));
        objects.extend([floating(v6), blocks(v6, dice)]);
    }
    objects.extend((0..6).map(|_| {
        let (vrf, of) = some_identity(dice);
        identity(vrf, &of, dice.of(&GROUPS))
    }));
    if dice.chance(10) {
        // A ring.
        let ring = FAMILIES.map(|v6| [route(INSIDE, any(v6), 41), route(OUTSIDE, any(v6), 42)]);
        objects.extend(ring.into_iter().flatten());
    }
    objects.extend((0..2).map(|_| {
        let (vrf, to, next_hop) = some_route(dice);
        route(vrf, &to, next_hop)
    }));
    objects
}

/// A batch that changes something.
fn change(dice: &mut Dice) -> Operation {
    let v6 = dice.chance(50);
    let delete = dice.chance(30);
    match dice.below(16) {
        0..=3 => Operation::Put(policy(1 + dice.below(3) as u32, dice)),
        4 | 5 => Operation::Put(port(1 + dice.below(5) as u32, dice)),
        6 | 7 => {
            let (vrf, of) = some_identity(dice);
            if delete {
                return Operation::Delete(identity_key(vrf, &of));
            }
            Operation::Put(identity(vrf, &of, dice.of(&GROUPS)))
        }
        8..=10 => {
            let which = dice.below(5) as u32;
            if delete {
                return Operation::Delete(Key::Service(service_id(which, v6)));
            }
            Operation::Put(service(which, v6, dice))
        }
        11 if delete => Operation::Delete(Key::SourceNat(dice.of(&[1, 2, 11, 12]))),
        11 => Operation::Put(floating(v6)),
        12 => Operation::Put(blocks(v6, dice)),
        _ => {
            let (vrf, to, next_hop) = some_route(dice);
            if delete && prefix(&to).is_host() {
                return Operation::Delete(route_key(vrf, &to));
            }
            Operation::Put(route(vrf, &to, next_hop))
        }
    }
}

fn run(tables: u64, steps: &[u64]) -> Vec<(Dropped, u64)> {
    let mut both = Both::new(base(&mut Dice(tables)));
    both.world.follows = true;
    let mut sent: Vec<(&'static str, Vec<u8>)> = Vec::new();
    let (mut answers, mut direct) = (sent.clone(), sent.clone());
    for step in steps {
        let mut dice = Dice(*step);
        let (interface, frame) = match dice.below(100) {
            0..15 => {
                both.apply(&[change(&mut dice)]);
                continue;
            }
            // All connections end.
            15 => {
                both.advance(1_000_000_000_000);
                for _ in 0..400 {
                    both.node.dp.step();
                }
                assert_eq!(both.node.dp.shared.flows.used(), 0);
                both.world.connections.clear();
                continue;
            }
            16..30 if !sent.is_empty() => dice.of(&sent),
            30..42 if !direct.is_empty() => dice.of(&direct[direct.len().saturating_sub(4)..]),
            42..68 if !answers.is_empty() => dice.of(&answers[answers.len().saturating_sub(6)..]),
            _ => packets::frame(&mut dice),
        };
        let first = both.send(interface, &frame);
        if both.lost {
            break;
        }
        let second = both.send(interface, &frame);
        assert_eq!(first, second, "the same frame twice on {interface}: {frame:02x?}");
        answers.extend(first.iter().filter_map(packets::answer));
        direct.extend(first.iter().filter_map(packets::directly));
        sent.push((interface, frame));
    }
    both.node.drops()
}

#[test]
fn the_pipeline_agrees_with_the_reference_on_connections() {
    let met = histories(128, run);
    let missed: Vec<_> = MET.iter().filter(|reason| !met.contains_key(reason.name())).collect();
    assert!(missed.is_empty(), "the packets made here never met {missed:?}");
}
