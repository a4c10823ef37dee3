//! What a frame is, read by hand: the reference's own parser, in the order in which a frame is believed, outermost first.

use std::net::IpAddr;

use vrouter_dataplane::{packet::DropReason, wire::Mac};

use crate::lab::{
    bytes::{pseudo, sum},
    outer::{address4, address6, mac, word},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fragment {
    No,
    First,
    Later,
}

/// An IP packet, taken apart. Offsets count from its header.
#[derive(Clone, Debug)]
pub struct Ip {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub proto: u8,
    pub fragment: Fragment,
    pub l4: usize,
    pub end: usize,
    pub ports: (u16, u16),
    pub tcp_flags: u8,
}

/// A frame, taken apart.
#[derive(Clone, Debug)]
pub struct Frame {
    pub destination: Mac,
    pub source: Mac,
    /// The outer VLAN, if it is one.
    pub vlan: bool,
    pub ethertype: u16,
    pub l3: usize,
    pub ip: Option<Ip>,
}

impl Frame {
    pub fn read(bytes: &[u8]) -> Result<Self, DropReason> {
        if bytes.len() < 14 {
            return Err(DropReason::TruncatedEthernet);
        }
        let (mut l3, mut vlan, mut tags) = (14, false, 0);
        let mut ethertype = word(bytes, 12);
        while matches!(ethertype, 0x8100 | 0x88a8 | 0x9100) {
            if tags == 2 {
                return Err(DropReason::UnknownVlan);
            }
            if bytes.len() < l3 + 4 {
                return Err(DropReason::TruncatedEthernet);
            }
            let id = word(bytes, l3) & 0xfff;
            if id == 0xfff {
                return Err(DropReason::UnknownVlan);
            }
            vlan |= tags == 0 && id != 0;
            ethertype = word(bytes, l3 + 2);
            l3 += 4;
            tags += 1;
        }
        let ip = match ethertype {
            0x0800 => Some(v4(&bytes[l3..])?),
            0x86dd => Some(v6(&bytes[l3..])?),
            _ => None,
        };
        let (destination, source) = (mac(&bytes[..6]), mac(&bytes[6..12]));
        Ok(Self {
            destination,
            source,
            vlan,
            ethertype,
            l3,
            ip,
        })
    }
}

/// A packet that starts with its IP header.
pub fn ip(bytes: &[u8]) -> Result<Ip, DropReason> {
    match bytes.first().map(|b| b >> 4) {
        None => Err(DropReason::TruncatedIp),
        Some(4) => v4(bytes),
        Some(6) => v6(bytes),
        Some(_) => Err(DropReason::BadIpVersion),
    }
}

fn v4(b: &[u8]) -> Result<Ip, DropReason> {
    if b.len() < 20 {
        return Err(DropReason::TruncatedIp);
    }
    if b[0] >> 4 != 4 {
        return Err(DropReason::BadIpVersion);
    }
    let header = usize::from(b[0] & 15) * 4;
    if header < 20 {
        return Err(DropReason::BadIpHeaderLength);
    }
    if header > b.len() {
        return Err(DropReason::TruncatedIp);
    }
    if sum(&[&b[..header]]) != 0xffff {
        return Err(DropReason::BadIpv4Checksum);
    }
    let end = usize::from(word(b, 2));
    if end >= 20 && end < header {
        return Err(DropReason::BadIpHeaderLength);
    }
    if end < 20 || end > b.len() {
        return Err(DropReason::BadIpLength);
    }
    let field = word(b, 6);
    let fragment = fragment(usize::from(field & 0x1fff) * 8, field & 0x2000 != 0, end - header)?;
    let mut ip = Ip {
        source: address4(&b[12..16]),
        destination: address4(&b[16..20]),
        proto: b[9],
        fragment,
        l4: header,
        end,
        ports: (0, 0),
        tcp_flags: 0,
    };
    transport(&mut ip, b)?;
    Ok(ip)
}

fn v6(b: &[u8]) -> Result<Ip, DropReason> {
    if b.len() < 40 {
        return Err(DropReason::TruncatedIp);
    }
    if b[0] >> 4 != 6 {
        return Err(DropReason::BadIpVersion);
    }
    let end = 40 + usize::from(word(b, 4));
    if end > b.len() {
        return Err(DropReason::BadIpLength);
    }
    let mut ip = Ip {
        source: address6(&b[8..24]),
        destination: address6(&b[24..40]),
        proto: b[6],
        fragment: Fragment::No,
        l4: 40,
        end,
        ports: (0, 0),
        tcp_flags: 0,
    };
    if is_extension(ip.proto) && end == 40 {
        return Err(DropReason::BadIpLength);
    }
    let (mut headers, mut fragments) = (0, 0);
    while is_extension(ip.proto) && ip.fragment != Fragment::Later {
        let misplaced = ip.proto == 0 && headers > 0 || ip.proto == 44 && fragments > 0;
        if headers == 8 || ip.l4 + 8 > end {
            return Err(DropReason::BadExtensionHeader);
        }
        let length = extension_length(ip.proto, b[ip.l4 + 1]);
        if misplaced || ip.l4 - 40 + length > 512 || ip.l4 + length > end {
            return Err(DropReason::BadExtensionHeader);
        }
        let at = ip.l4;
        ip.l4 += length;
        if ip.proto == 44 {
            fragments += 1;
            let field = word(b, at + 2);
            ip.fragment = fragment(usize::from(field & 0xfff8), field & 1 != 0, end - ip.l4)?;
        }
        ip.proto = b[at];
        headers += 1;
    }
    transport(&mut ip, b)?;
    Ok(ip)
}

/// Hop-by-hop, routing, fragment, authentication, destination options.
pub fn is_extension(next: u8) -> bool {
    matches!(next, 0 | 43 | 44 | 51 | 60)
}

pub fn extension_length(kind: u8, units: u8) -> usize {
    match kind {
        44 => 8,
        51 => (usize::from(units) + 2) * 4,
        _ => (usize::from(units) + 1) * 8,
    }
}

fn fragment(offset: usize, more: bool, len: usize) -> Result<Fragment, DropReason> {
    if offset + len > 65535 || more && !len.is_multiple_of(8) {
        return Err(DropReason::BadFragment);
    }
    Ok(match (offset, more) {
        (0, false) => Fragment::No,
        (0, true) => Fragment::First,
        _ => Fragment::Later,
    })
}

fn transport(ip: &mut Ip, b: &[u8]) -> Result<(), DropReason> {
    if ip.fragment == Fragment::Later {
        return Ok(());
    }
    let l4 = &b[ip.l4..ip.end];
    let v6 = ip.source.is_ipv6();
    let least = match ip.proto {
        6 => 20,
        17 => 8,
        132 => 12,
        1 if !v6 => 8,
        58 if v6 => 8,
        _ => return Ok(()),
    };
    if l4.len() < least {
        return Err(DropReason::TruncatedTransport);
    }
    match ip.proto {
        6 => {
            let header = usize::from(l4[12] >> 4) * 4;
            if header < 20 {
                return Err(DropReason::BadTransport);
            }
            if header > l4.len() {
                return Err(DropReason::TruncatedTransport);
            }
            (ip.ports, ip.tcp_flags) = ((word(l4, 0), word(l4, 2)), l4[13]);
        }
        17 | 132 => ip.ports = (word(l4, 0), word(l4, 2)),
        // A request and a reply with one identifier are two flows, each the other's way back.
        _ if matches!((v6, l4[0]), (false, 8) | (true, 128)) => ip.ports = (word(l4, 4), 0),
        _ if matches!((v6, l4[0]), (false, 0) | (true, 129)) => ip.ports = (0, word(l4, 4)),
        _ => {}
    }
    Ok(())
}

/// DSCP and ECN.
pub fn tos(ip: &[u8]) -> u8 {
    if ip[0] >> 4 == 6 {
        ip[0] << 4 | ip[1] >> 4
    } else {
        ip[1]
    }
}

pub fn set_tos(ip: &mut [u8], tos: u8) {
    if ip[0] >> 4 == 6 {
        ip[0] = 0x60 | tos >> 4;
        ip[1] = ip[1] & 15 | tos << 4;
    } else {
        ip[1] = tos;
        crate::lab::bytes::fix_v4(ip);
    }
}

pub fn hop_limit(ip: &[u8]) -> u8 {
    ip[if ip[0] >> 4 == 6 { 7 } else { 8 }]
}

pub fn decrement(ip: &mut [u8]) {
    if ip[0] >> 4 == 6 {
        ip[7] -= 1;
    } else {
        ip[8] -= 1;
        crate::lab::bytes::fix_v4(ip);
    }
}

/// Finishes a checksum that covers only the pseudo header so far.
pub fn complete_checksum(packet: &mut [u8], ip: &Ip) {
    let at = match ip.proto {
        6 => ip.l4 + 16,
        17 => ip.l4 + 6,
        _ => return,
    };
    if ip.fragment != Fragment::No {
        return;
    }
    let partial = sum(&[&pseudo(ip.source, ip.destination, ip.proto, ip.end - ip.l4)]);
    if partial == 0 || word(packet, at) != partial {
        return;
    }
    let check = !sum(&[&packet[ip.l4..ip.end]]);
    let check = if ip.proto == 17 && check == 0 { 0xffff } else { check };
    packet[at..at + 2].copy_from_slice(&check.to_be_bytes());
}

/// A transport checksum is right.
pub fn transport_ok(packet: &[u8], ip: &Ip) -> bool {
    let transport = &packet[ip.l4..ip.end];
    if ip.proto == 1 {
        return sum(&[transport]) == 0xffff;
    }
    sum(&[&pseudo(ip.source, ip.destination, ip.proto, transport.len()), transport]) == 0xffff
}
