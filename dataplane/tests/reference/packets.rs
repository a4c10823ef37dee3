//! Packets that workloads and the underlay send: most are right, many are odd, some are broken.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use vrouter_dataplane::wire::Mac;

use crate::{
    generate::{BRIDGE_MAC, Dice, PORTS, addresses, macs, remotes, workload},
    lab::{
        bytes::{self, Ip, arp, ethernet, fix_v4, framed},
        node::{UPLINK, UPLINK_MAC, VTEP4, VTEP6},
        outer::{Shim, encode, fill_udp_checksum},
    },
};

/// An interface and the frame that comes in by it.
pub fn frame(dice: &mut Dice) -> (&'static str, Vec<u8>) {
    let port = dice.below(9) as usize;
    let (interface, mut frame) = match PORTS.get(port) {
        Some(interface) => (*interface, from_workload(dice, port as u8 + 1)),
        None => (UPLINK, from_underlay(dice)),
    };
    if dice.chance(12) {
        break_it(dice, &mut frame);
    }
    (interface, frame)
}

fn from_workload(dice: &mut Dice, port: u8) -> Vec<u8> {
    let bridged = port > 3;
    let own = if dice.chance(80) {
        workload(port)
    } else {
        dice.of(&macs())
    };
    let gateway = if bridged { BRIDGE_MAC } else { Mac::GATEWAY };
    let to = if dice.chance(if bridged { 40 } else { 85 }) {
        gateway
    } else {
        dice.of(&macs())
    };
    match dice.below(20) {
        0 | 1 => arp_message(dice, own),
        2 | 3 => neighbor_message(dice, own),
        4 if dice.chance(50) => ethernet(to, own, dice.of(&[0x88cc, 0x8847, 0x0101]), &[7; 50]),
        5 if dice.chance(50) => tagged(dice, to, own),
        _ => {
            let packet = packet(dice);
            let mut frame = framed(to, own, &packet);
            if dice.chance(10) {
                // Padding to the smallest frame, and more.
                frame.resize(frame.len() + dice.of(&[1, 6, 46]), 0xee);
            }
            frame
        }
    }
}

fn tagged(dice: &mut Dice, to: Mac, own: Mac) -> Vec<u8> {
    let mut frame = framed(to, own, &packet(dice));
    let ids: &[u16] = if dice.chance(30) { &[5, 6] } else { &[0, 5, 0xfff] };
    let tag = [0x8100_u16.to_be_bytes(), dice.of(ids).to_be_bytes()].concat();
    frame.splice(12..12, tag);
    frame
}

fn arp_message(dice: &mut Dice, own: Mac) -> Vec<u8> {
    let v4 = |address: IpAddr| match address {
        IpAddr::V4(a) => a,
        IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    };
    let (sender, target) = (v4(dice.of(&addresses(false))), v4(dice.of(&addresses(false)[..7])));
    let to = if dice.chance(70) {
        Mac::BROADCAST
    } else {
        dice.of(&macs())
    };
    arp(to, dice.of(&[1, 1, 1, 1, 2, 3]), (own, sender), (Mac::ZERO, target))
}

fn neighbor_message(dice: &mut Dice, own: Mac) -> Vec<u8> {
    let v6 = |address: IpAddr| match address {
        IpAddr::V6(a) => a,
        IpAddr::V4(_) => Ipv6Addr::UNSPECIFIED,
    };
    let (sender, target) = (v6(dice.of(&addresses(true)[..11])), v6(dice.of(&addresses(true)[..10])));
    match dice.below(4) {
        0 | 1 => bytes::solicitation((own, sender), target),
        2 => bytes::router_solicitation((own, sender)),
        _ => bytes::advertisement(
            own,
            target,
            (Mac([0x33, 0x33, 0, 0, 0, 1]), "ff02::1".parse().unwrap()),
            0x20,
        ),
    }
}

/// An IP packet.
pub fn packet(dice: &mut Dice) -> Vec<u8> {
    let v6 = dice.chance(50);
    let addresses = addresses(v6);
    // Mostly between hosts that exist.
    let any = dice.chance(25);
    let choices = if any { &addresses[..] } else { &addresses[..7] };
    let mut ip = Ip::new(dice.of(choices), dice.of(choices))
        .hop_limit(dice.of(&[64, 64, 64, 255, 2, 1, 0]))
        .tos(dice.of(&[0, 0, 1, 2, 3, 0xb8, 0xff]));
    ip.id = dice.below(4) as u16;
    if !v6 && dice.chance(40) {
        ip.fragment = dice.of(&[0x4000, 0x4000, 0x2000, 0x0040, 0x2040, 0x8000]);
    }
    if !v6 && dice.chance(10) {
        ip.options = dice.of(&[
            vec![1, 1, 1, 0],
            vec![0x94, 4, 0, 0],
            vec![0x83, 7, 4, 10, 1, 1, 12, 0],
            vec![7, 3, 4, 1, 0x94, 4, 0, 0],
            vec![0x44, 1, 0, 0],
        ]);
    }
    let size = dice.of(&[0, 1, 8, 64, 200, 1252, 1300, 1400, 1432, 1440, 1452, 1460, 1472]);
    let payload = vec![dice.roll() as u8; size];
    let ports = (dice.of(&[1000, 1001]), dice.of(&[53, 443]));
    let mut packet = match dice.below(10) {
        0..=2 if dice.chance(25) => ip.udp_partial(ports, &payload),
        0..=2 => ip.udp(ports, &payload),
        3 | 4 => {
            let options = dice.of(&[
                vec![],
                vec![2, 4, 0x23, 0x00],
                vec![1, 2, 4, 5, 0xb4, 0, 0, 0],
                vec![2, 4, 1, 0],
            ]);
            let flags = dice.of(&[2, 0x12, 0x10, 0x18]);
            if dice.chance(25) {
                ip.tcp_partial(ports, flags, &options, &payload)
            } else {
                ip.tcp(ports, flags, &options, &payload)
            }
        }
        5 | 6 => ip.ping(7, &payload),
        7 => {
            let (kinds, quoted): (&[u8], _) = (
                if v6 { &[1, 2, 129, 137, 143] } else { &[0, 3, 5, 11, 13] },
                vec![0; 48],
            );
            ip.icmp(dice.of(kinds), 0, &quoted)
        }
        8 => ip.packet(132, &[&[0, 1, 0, 2][..], &vec![0; 8 + size]].concat()),
        _ => ip.packet(dice.of(&[47, 58, 1, 253]), &vec![9; 8 + size]),
    };
    if dice.chance(5) {
        // The transport header is cut short, or the headers contradict each other.
        let proto = dice.of(&[6, 17, 132, if v6 { 58 } else { 1 }]);
        packet = match dice.below(4) {
            0 => ip.packet(proto, &[0; 4]),
            1 => ip.packet(6, &[0; 20]),
            2 => ip.packet(6, &[0xf0; 20]),
            _ if v6 => ip.packet(dice.of(&[0, 43, 44, 51, 60]), &[6, 9, 0, 0]),
            _ => {
                packet[0] = dice.of(&[0x44, 0x4f]);
                if packet[0] == 0x4f && packet.len() >= 60 {
                    packet[2..4].copy_from_slice(&[0, 40]);
                    fix_v4(&mut packet);
                }
                packet
            }
        };
    }
    if v6 && dice.chance(12) {
        extend(dice, &mut packet);
    }
    packet
}

/// Puts extension headers between the IPv6 header and what follows.
fn extend(dice: &mut Dice, packet: &mut Vec<u8>) {
    for _ in 0..dice.of(&[1, 1, 2, 9]) {
        let next = packet[6];
        let (kind, header): (u8, [u8; 8]) = dice.of(&[
            (0, [next, 0, 1, 4, 0, 0, 0, 0]),
            (60, [next, 0, 0x9e, 4, 0, 0, 0, 0]),
            (43, [next, 0, 0, 0, 0, 0, 0, 0]),
            (44, [next, 0, 0, 0, 0, 0, 0, 1]),
            (44, [next, 0, 0, 1, 0, 0, 0, 1]),
            (44, [next, 0, 0, 0x40, 0, 0, 0, 1]),
        ]);
        packet[6] = kind;
        packet.splice(40..40, header);
    }
    let len = (packet.len() - 40) as u16;
    packet[4..6].copy_from_slice(&len.to_be_bytes());
}

/// A frame from the underlay: mostly a tunnel packet for this node.
fn from_underlay(dice: &mut Dice) -> Vec<u8> {
    let remote = dice.of(&remotes()).0;
    let own: IpAddr = match (remote, dice.chance(95)) {
        (IpAddr::V4(_), true) => VTEP4.into(),
        (IpAddr::V6(_), true) => VTEP6.into(),
        (_, false) => remote,
    };
    let tos = dice.of(&[0, 1, 2, 3]);
    let macs_of = (UPLINK_MAC, Mac([2, 1, 0, 0, 0, 9]));
    let mut frame = match dice.below(12) {
        0..=3 => {
            let vni = dice.of(&[1001, 1001, 1002, 1999]);
            let to = if dice.chance(92) {
                Mac::GATEWAY
            } else {
                dice.of(&macs())
            };
            let inner = if dice.chance(8) {
                tagged(dice, to, workload(9))
            } else {
                framed(to, workload(9), &packet(dice))
            };
            encode(macs_of, remote, own, tos, Shim::Vxlan { vni }, &inner)
        }
        4..=7 => {
            let inner = from_workload(dice, dice_port(remote));
            encode(
                macs_of,
                remote,
                own,
                tos,
                Shim::Vxlan {
                    vni: dice.of(&[2001, 2001, 2002]),
                },
                &inner,
            )
        }
        8..=10 => {
            let shim = Shim::Mpls {
                label: dice.of(&[501, 501, 502, 503, 504, 505, 599, 3]),
                tc: 0,
                ttl: 64,
            };
            encode(macs_of, remote, own, tos, shim, &packet(dice))
        }
        _ => framed(macs_of.0, macs_of.1, &packet(dice)),
    };
    if dice.chance(10) {
        break_tunnel(dice, &mut frame);
    }
    if dice.chance(8) {
        fill_if_tunnel(&mut frame);
    }
    if dice.chance(4) {
        frame.splice(12..12, [0x81, 0, 0, dice.of(&[0, 5])]);
    }
    frame
}

/// A tunnel packet with something wrong where it counts: a fragment, a flag or a bottom that is not there, another UDP length.
fn break_tunnel(dice: &mut Dice, frame: &mut [u8]) {
    let v6 = frame[12..14] == [0x86, 0xdd];
    let body = if v6 { 62 } else { 42 };
    if frame.len() < body + 8 {
        return;
    }
    match dice.below(5) {
        0 if !v6 => {
            frame[20] = 0x20;
            fix_v4(&mut frame[14..]);
        }
        0 | 1 => frame[body] &= !8,
        2 => frame[body + 2] &= !1,
        3 => frame[body..body + 3].copy_from_slice(&[0, 0x21, 0]),
        _ => frame[body - 3] ^= 2,
    }
}

/// Remote stations of a bridge have MACs of their own.
fn dice_port(remote: IpAddr) -> u8 {
    if remote.is_ipv6() { 6 } else { 4 }
}

fn fill_if_tunnel(frame: &mut [u8]) {
    let proto = if frame[12..14] == [8, 0] && frame[14] == 0x45 {
        frame[23]
    } else {
        frame[20]
    };
    if proto == 17 && frame.len() > 62 {
        fill_udp_checksum(frame);
    }
}

/// Damage: bytes turned over, cut off or put behind. Half of it keeps the IPv4 checksum right, so that what is behind is seen.
fn break_it(dice: &mut Dice, frame: &mut Vec<u8>) {
    match dice.below(5) {
        0 => frame.truncate(dice.below(frame.len() as u64 + 1) as usize),
        1 => frame.truncate(dice.below(80) as usize),
        _ => {
            let at = dice.below((frame.len() as u64).clamp(1, 90)) as usize;
            if let Some(byte) = frame.get_mut(at) {
                *byte = dice.of(&[0, 0xff, byte.wrapping_add(1), byte.wrapping_sub(1), *byte ^ 0x80]);
            }
        }
    }
    let options = frame.get(14).is_some_and(|b| b >> 4 == 4 && b & 15 >= 5);
    if options && dice.chance(50) && frame.len() >= 14 + usize::from(frame[14] & 15) * 4 && frame[12..14] == [8, 0] {
        fix_v4(&mut frame[14..]);
    }
}
