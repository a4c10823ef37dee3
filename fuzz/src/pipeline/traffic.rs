//! Packets that make sense to the topology, with one thing wrong at most.

use vrouter_dataplane::{
    service::{
        arp::{Arp, Operation},
        nd::{self, Station},
    },
    wire::{Mac, eth, ethertype, ipv4::Ipv4Header, ipv6::Ipv6Header, proto, tcp::TcpHeader, tcp_flags, udp},
};

use super::topology::{V4, V6, workload};
use crate::{
    cursor::Cursor,
    packets::with_checksums,
    tunnel::{OURS, spec, wrap},
};

/// A frame: ARP or neighbour discovery, or IPv4 or IPv6 with UDP, TCP, ping or anything.
///
/// The first byte: bit 0 IPv6, bits 1 and 2 the protocol, bit 3 DF, bit 4 a VLAN tag, bits 5 and 6 to whom (gateway, a
/// workload, all, many), bit 7 a fragment.
pub(super) fn packet(cursor: &mut Cursor<'_>) -> Vec<u8> {
    let choice = cursor.byte();
    let from = cursor.byte();
    let source = workload(from % 8);
    let destination = match choice >> 5 & 3 {
        0 => Mac::GATEWAY,
        1 => workload(from >> 3 & 7),
        2 => Mac::BROADCAST,
        _ => Mac([0x33, 0x33, 0, 0, 0, 1]),
    };
    let v6 = choice & 1 != 0;
    if choice & 0x7e == 0x7e {
        return question(cursor, source, v6);
    }
    let packet = ip(cursor, choice);
    let mut frame = eth::header(destination, source, if v6 { ethertype::IPV6 } else { ethertype::IPV4 }).to_vec();
    if choice & 0x10 != 0 {
        frame.splice(12..12, [0x81, 0x00, 0, cursor.byte()]);
    }
    frame.extend(packet);
    spoil(cursor, with_checksums(&frame).into_owned())
}

/// A frame or packet in a tunnel, to our VTEP.
pub(super) fn tunnelled(cursor: &mut Cursor<'_>) -> Vec<u8> {
    let choice = cursor.byte();
    let spec = spec(choice);
    let inner = if choice >> 3 & 3 == 0 {
        packet(cursor)
    } else {
        let first = cursor.byte();
        let header = eth::header(
            Mac::GATEWAY,
            OURS,
            if first & 1 != 0 {
                ethertype::IPV6
            } else {
                ethertype::IPV4
            },
        );
        let frame = [&header[..], &ip(cursor, first)].concat();
        with_checksums(&frame)[14..].to_vec()
    };
    let tos = cursor.byte();
    spoil(cursor, wrap(&spec, &inner, tos))
}

/// Who has one of the addresses that mean something?
fn question(cursor: &mut Cursor<'_>, source: Mac, v6: bool) -> Vec<u8> {
    if v6 {
        let from = Station {
            address: cursor.one_of(&V6),
            mac: source,
        };
        nd::neighbor_solicitation(from, cursor.one_of(&V6), None).to_vec()
    } else {
        let question = Arp {
            operation: Operation::Request,
            sender_mac: source,
            sender_ip: cursor.one_of(&V4).into(),
            target_mac: Mac::ZERO,
            target_ip: cursor.one_of(&V4).into(),
        };
        question.to_frame(Mac::BROADCAST).to_vec()
    }
}

/// An IP packet without checksums of its own.
fn ip(cursor: &mut Cursor<'_>, choice: u8) -> Vec<u8> {
    let v6 = choice & 1 != 0;
    let (number, l4) = l4(cursor, choice >> 1 & 3, v6);
    let (from, to) = (
        usize::from(cursor.byte()) % V4.len(),
        usize::from(cursor.byte()) % V4.len(),
    );
    let ttl = cursor.one_of(&[64, 255, 1, 2, 0]);
    if v6 {
        let fragment: &[u8] = if choice & 0x80 != 0 {
            &[number, 0, 0, 1, 0, 0, 0, 7]
        } else {
            &[]
        };
        let header = Ipv6Header {
            traffic_class: choice,
            flow_label: 0,
            payload_len: (l4.len() + fragment.len()) as u16,
            next_header: if fragment.is_empty() { number } else { proto::FRAGMENT },
            hop_limit: ttl,
            src: V6[from],
            dst: V6[to],
        };
        [&header.to_bytes()[..], fragment, &l4].concat()
    } else {
        let header = Ipv4Header {
            tos: choice,
            total_len: (l4.len() + 20) as u16,
            id: 7,
            dont_fragment: choice & 8 != 0,
            ttl,
            proto: number,
            src: V4[from].into(),
            dst: V4[to].into(),
        };
        let mut header = header.to_bytes();
        if choice & 0x80 != 0 {
            header[6..8].copy_from_slice(&[0x20 | cursor.byte() & 0x1f, cursor.byte()]);
        }
        [&header[..], &l4].concat()
    }
}

/// Number and bytes of a protocol above IP: a multiple of 8 bytes of payload, so that a fragment may be any.
fn l4(cursor: &mut Cursor<'_>, choice: u8, v6: bool) -> (u8, Vec<u8>) {
    let (src_port, dst_port) = (
        u16::from(cursor.byte()),
        cursor.one_of(&[53, 80, udp::PORT_VXLAN, udp::PORT_MPLS]),
    );
    let payload = vec![0xa5; usize::from(cursor.byte()) * 8 % 1720];
    let (number, header): (u8, Vec<u8>) = match choice {
        0 => (proto::UDP, udp::header(src_port, dst_port, payload.len()).to_vec()),
        1 => {
            let flags = cursor.byte();
            let tcp = TcpHeader {
                src_port,
                dst_port,
                seq: 1,
                ack: 2,
                flags,
                window: 9,
            };
            let mut header = tcp.to_bytes().to_vec();
            if flags & tcp_flags::SYN != 0 {
                header[12] = 0x60;
                header.extend([2, 4, 0x23, 0]);
            }
            (proto::TCP, header)
        }
        2 if v6 => (proto::ICMPV6, vec![128, 0, 0, 0, 0, 7, 0, 1]),
        2 => (proto::ICMP, vec![8, 0, 0, 0, 0, 7, 0, 1]),
        _ => (cursor.byte(), Vec::new()),
    };
    (number, [header, payload].concat())
}

/// Changes one byte, or cuts the end off; mostly neither.
fn spoil(cursor: &mut Cursor<'_>, mut frame: Vec<u8>) -> Vec<u8> {
    match cursor.byte() {
        1 => {
            let at = usize::from(cursor.byte()) % frame.len();
            frame[at] ^= cursor.byte();
        }
        2 => frame.truncate(usize::from(cursor.byte())),
        _ => {}
    }
    frame
}
