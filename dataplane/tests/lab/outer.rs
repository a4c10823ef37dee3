//! Tunnel packets: made for a node, and taken apart again with every field of their outer headers checked.

use std::net::IpAddr;

use vrouter_dataplane::wire::Mac;

use super::bytes::{Ip, framed, octets, pseudo, sum};

/// What a tunnel packet says behind UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shim {
    Vxlan { vni: u32 },
    Mpls { label: u32, tc: u8, ttl: u8 },
}

/// A tunnel packet, decoded.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Outer {
    pub macs: (Mac, Mac),
    pub source: IpAddr,
    pub destination: IpAddr,
    pub tos: u8,
    pub entropy: u16,
    pub shim: Shim,
    pub inner: Vec<u8>,
}

/// Takes a tunnel packet apart. Panics, saying why, where it is not as it must be.
pub fn decode(frame: &[u8]) -> Outer {
    let macs = (mac(&frame[..6]), mac(&frame[6..12]));
    let ip = &frame[14..];
    let (source, destination, tos, datagram) = match frame[12..14] {
        [0x08, 0x00] => {
            assert_eq!(ip[0], 0x45, "outer IPv4 header without options");
            assert_eq!(sum(&[&ip[..20]]), 0xffff, "outer header checksum");
            assert_eq!(usize::from(word(ip, 2)), ip.len(), "outer total length");
            assert_eq!(word(ip, 6), 0x4000, "DF, and no fragment");
            assert_eq!((ip[8], ip[9]), (64, 17), "outer TTL and protocol");
            (address4(&ip[12..16]), address4(&ip[16..20]), ip[1], &ip[20..])
        }
        [0x86, 0xdd] => {
            assert_eq!(usize::from(word(ip, 4)), ip.len() - 40, "outer payload length");
            assert_eq!((ip[6], ip[7]), (17, 64), "outer next header and hop limit");
            // RFC 6438: the flow label carries the entropy, too.
            let label = u32::from_be_bytes([0, ip[1] & 15, ip[2], ip[3]]);
            assert_eq!(label, u32::from(word(ip, 40)), "outer flow label");
            let tos = ip[0] << 4 | ip[1] >> 4;
            (address6(&ip[8..24]), address6(&ip[24..40]), tos, &ip[40..])
        }
        _ => panic!("not IP: {frame:02x?}"),
    };
    let (entropy, port) = (word(datagram, 0), word(datagram, 2));
    assert!(entropy >= 49152, "entropy port {entropy}");
    assert_eq!(usize::from(word(datagram, 4)), datagram.len(), "UDP length");
    assert_eq!(word(datagram, 6), 0, "no UDP checksum");
    let body = &datagram[8..];
    let (shim, at) = match port {
        4789 => {
            assert_eq!(body[..4], [8, 0, 0, 0], "VXLAN flags");
            assert_eq!(body[7], 0, "reserved");
            (
                Shim::Vxlan {
                    vni: u32::from_be_bytes([0, body[4], body[5], body[6]]),
                },
                8,
            )
        }
        6635 => {
            let entry = u32::from_be_bytes([body[0], body[1], body[2], body[3]]);
            assert_eq!(entry >> 8 & 1, 1, "bottom of stack");
            let (label, tc, ttl) = (entry >> 12, (entry >> 9) as u8 & 7, entry as u8);
            (Shim::Mpls { label, tc, ttl }, 4)
        }
        _ => panic!("UDP port {port}"),
    };
    Outer {
        macs,
        source,
        destination,
        tos,
        entropy,
        shim,
        inner: body[at..].to_vec(),
    }
}

/// A tunnel packet from one VTEP to another.
pub fn encode(macs: (Mac, Mac), source: IpAddr, destination: IpAddr, tos: u8, shim: Shim, inner: &[u8]) -> Vec<u8> {
    let (port, header) = match shim {
        Shim::Vxlan { vni } => (4789, [0x0800_0000_u32.to_be_bytes(), (vni << 8).to_be_bytes()].concat()),
        Shim::Mpls { label, tc, ttl } => {
            let entry = label << 12 | u32::from(tc) << 9 | 1 << 8 | u32::from(ttl);
            (6635, entry.to_be_bytes().to_vec())
        }
    };
    let mut datagram = [50_000_u16, port, (8 + header.len() + inner.len()) as u16, 0]
        .iter()
        .flat_map(|w| w.to_be_bytes())
        .collect::<Vec<_>>();
    datagram.extend(header);
    datagram.extend(inner);
    framed(
        macs.0,
        macs.1,
        &Ip::new(source, destination).tos(tos).packet(17, &datagram),
    )
}

/// Gives an untagged tunnel packet the UDP checksum that it has not.
pub fn fill_udp_checksum(frame: &mut [u8]) {
    let v6 = frame[12..14] == [0x86, 0xdd];
    let at = if v6 { 54 } else { 34 };
    let addresses = if v6 {
        (address6(&frame[22..38]), address6(&frame[38..54]))
    } else {
        (address4(&frame[26..30]), address4(&frame[30..34]))
    };
    let pseudo = pseudo(addresses.0, addresses.1, 17, frame.len() - at);
    frame[at + 6..at + 8].fill(0);
    let check = !sum(&[&pseudo, &frame[at..]]);
    frame[at + 6..at + 8].copy_from_slice(&check.to_be_bytes());
    assert_eq!(octets(addresses.0).len(), octets(addresses.1).len());
}

pub fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

pub fn mac(bytes: &[u8]) -> Mac {
    Mac(bytes.try_into().unwrap())
}

pub fn address4(bytes: &[u8]) -> IpAddr {
    <[u8; 4]>::try_from(bytes).unwrap().into()
}

pub fn address6(bytes: &[u8]) -> IpAddr {
    <[u8; 16]>::try_from(bytes).unwrap().into()
}
