//! What the town's workloads say, and what those say who hear it.

use std::net::IpAddr;

use vrouter_dataplane::wire::Mac;

use crate::{
    generate::{Dice, remotes, workload},
    headers, ip_of,
    lab::{
        bytes::{Ip, arp, framed},
        node::{UPLINK, UPLINK_MAC, VTEP4, VTEP6},
        outer::{Shim, encode},
    },
    router::Out,
    town::{FLOATING, LABEL, OUTER_VIP, POOL, PORTS, VIPS, VNI, host, inside, outside},
};

/// A frame of a workload, and where it comes in.
pub fn frame(dice: &mut Dice) -> (&'static str, Vec<u8>) {
    let v6 = dice.chance(50);
    let from = 1 + dice.below(7) as u32;
    if dice.chance(5) && from <= 5 {
        let mac = workload(dice.of(&[from as u8, 6]));
        let v4 = |number| match host(false, number) {
            IpAddr::V4(address) => address,
            IpAddr::V6(_) => unreachable!("asked for IPv4"),
        };
        let number = dice.of(&[from, 1, 5]);
        let question = arp(Mac::BROADCAST, 1, (mac, v4(number)), (Mac::ZERO, v4(6)));
        return (PORTS[from as usize - 1], question);
    }
    let source = match dice.below(30) {
        // Whose it is not.
        0 => host(v6, 1 + dice.below(7) as u32),
        1 => outside(v6, 77),
        _ => host(v6, from),
    };
    let mut to: Vec<_> = (1..=7).map(|number| host(v6, number)).collect();
    to.extend([VIPS; 4].iter().flatten().map(|number| inside(v6, *number)));
    let behind = [FLOATING, FLOATING, OUTER_VIP, OUTER_VIP, POOL[0], 14, 15, 17, 17, 99];
    to.extend(behind.map(|number| outside(v6, number)));
    to.push(inside(v6, 1));
    let ip = Ip::new(source, dice.of(&to)).hop_limit(dice.of(&[64, 64, 64, 64, 64, 64, 64, 64, 1, 2]));
    let ip = if dice.chance(50) { ip.dont_fragment() } else { ip };
    let payload = vec![dice.roll() as u8; dice.of(&[0, 1, 9, 100, 100, 1350])];
    let packet = match dice.below(20) {
        0..13 => {
            let ports = (dice.of(&[1000, 1000, 1001]), dice.of(&[53, 53, 443]));
            let server = if v6 { (547, 546) } else { (67, 68) };
            let ports = if dice.chance(3) { server } else { ports };
            // Some say it as if they had been asked.
            let turned = dice.chance(20);
            ip.udp(if turned { (ports.1, ports.0) } else { ports }, &payload)
        }
        13..18 => {
            let (request, reply) = if v6 { (128, 129) } else { (8, 0) };
            let kind = if dice.chance(20) { reply } else { request };
            let rest = [&[0, dice.of(&[7, 7, 7, 8]), 0, 1], &payload[..]].concat();
            ip.icmp(kind, 0, &rest)
        }
        // Neither echo nor error.
        _ => ip.icmp(if v6 { 139 } else { 13 }, 0, &[0; 20]),
    };
    wrap(from, dice.chance(3), &packet)
}

/// The frame by which a packet of a workload comes in.
fn wrap(from: u32, strange: bool, packet: &[u8]) -> (&'static str, Vec<u8>) {
    let mac = workload(if strange { 9 } else { from as u8 });
    if from <= 5 {
        return (PORTS[from as usize - 1], framed(Mac::GATEWAY, mac, packet));
    }
    let (shim, remote, own, inner): (_, _, IpAddr, _) = if from == 6 {
        let inner = framed(Mac::GATEWAY, mac, packet);
        (Shim::Vxlan { vni: VNI }, remotes()[0].0, VTEP4.into(), inner)
    } else {
        let shim = Shim::Mpls {
            label: LABEL,
            tc: 0,
            ttl: 64,
        };
        (shim, remotes()[4].0, VTEP6.into(), packet.to_vec())
    };
    let macs = (UPLINK_MAC, Mac([2, 1, 0, 0, 0, 9]));
    (UPLINK, encode(macs, remote, own, 0, shim, &inner))
}

/// The same to whom it came to, said to him directly: where a service sent it there, the two would be taken for one.
pub fn directly(out: &Out) -> Option<(&'static str, Vec<u8>)> {
    let packet = ip_of(out);
    let read = headers::ip(packet).ok()?;
    let from = (1..=7).find(|number| host(read.source.is_ipv6(), *number) == read.source)?;
    let whole = read.fragment == headers::Fragment::No && headers::hop_limit(packet) > 1;
    whole.then(|| wrap(from, false, packet))
}

/// What whoever got this says to it.
pub fn answer(out: &Out) -> Option<(&'static str, Vec<u8>)> {
    let from = match out {
        Out::Port(interface, _) => 1 + PORTS.iter().position(|port| port == interface)? as u32,
        Out::Tunnel(outer) if matches!(outer.shim, Shim::Vxlan { .. }) => 6,
        Out::Tunnel(_) => 7,
    };
    let bytes = ip_of(out);
    let read = headers::ip(bytes).ok()?;
    if read.fragment != headers::Fragment::No {
        return None;
    }
    let ip = Ip::new(read.destination, read.source);
    let l4 = &bytes[read.l4..read.end];
    let packet = match (read.proto, l4[0]) {
        (17, _) => ip.udp((read.ports.1, read.ports.0), &l4[8..]),
        (1, 8) => ip.icmp(0, 0, &l4[4..]),
        (58, 128) => ip.icmp(129, 0, &l4[4..]),
        _ => return None,
    };
    Some(wrap(from, false, &packet))
}
