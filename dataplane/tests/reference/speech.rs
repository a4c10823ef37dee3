//! What the router says itself, byte by byte: ARP, neighbour discovery, ping, ICMP errors.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use vrouter_dataplane::{
    program::object::{ActionSpec, PortSpec},
    tables::port::Gateway,
    wire::Mac,
};

use crate::{
    headers::{self, Fragment, Frame, Ip},
    lab::{
        bytes::{self, eui64, solicited_node},
        outer::{address4, address6, mac, word},
    },
    router::Packet,
    world::World,
};

/// What goes wrong with a packet, to be told to its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    TimeExceeded,
    NoRoute,
    AddressUnreachable,
    TooBig(u16),
    PortUnreachable,
    ProtocolUnreachable,
    Prohibited,
}

/// The error message about a packet, or none where there must be none (RFC 1122 section 3.2.2, RFC 4443 section 2.4).
pub fn error(packet: &Packet, own: IpAddr, trouble: Trouble) -> Option<Vec<u8>> {
    let ip = &packet.ip;
    if ip.fragment == Fragment::Later {
        return None;
    }
    let v6 = ip.source.is_ipv6();
    let kind = packet.bytes[ip.l4..ip.end].first().copied();
    let about_an_error = match ip.proto {
        1 if !v6 => matches!(kind, Some(3 | 4 | 5 | 11 | 12)),
        58 if v6 => kind.is_some_and(|kind| kind < 128 || kind == 137),
        _ => false,
    };
    if about_an_error {
        return None;
    }
    let (kind, code, rest) = if v6 {
        match trouble {
            Trouble::NoRoute => (1, 0, 0),
            Trouble::Prohibited => (1, 1, 0),
            Trouble::AddressUnreachable => (1, 3, 0),
            Trouble::PortUnreachable => (1, 4, 0),
            Trouble::TooBig(mtu) => (2, 0, u32::from(mtu)),
            Trouble::TimeExceeded => (3, 0, 0),
            Trouble::ProtocolUnreachable => (4, 1, last_next_header(&packet.bytes)),
        }
    } else {
        match trouble {
            Trouble::NoRoute => (3, 0, 0),
            Trouble::AddressUnreachable => (3, 1, 0),
            Trouble::ProtocolUnreachable => (3, 2, 0),
            Trouble::PortUnreachable => (3, 3, 0),
            Trouble::TooBig(mtu) => (3, 4, u32::from(mtu)),
            Trouble::Prohibited => (3, 13, 0),
            Trouble::TimeExceeded => (11, 0, 0),
        }
    };
    // As much as fits into 576 bytes over IPv4, into 1280 over IPv6.
    let most = if v6 { 1280 - 48 } else { 576 - 28 };
    let quote = &packet.bytes[..packet.bytes.len().min(most)];
    let message = [&rest.to_be_bytes()[..], quote].concat();
    // RFC 1812, section 4.3.2.5: precedence "internetwork control" over IPv4.
    let header = bytes::Ip::new(own, ip.source).tos(if v6 { 0 } else { 0xc0 });
    let header = if v6 { header } else { header.dont_fragment() };
    Some(header.icmp(kind, code, &message))
}

/// Offset of the field that names the protocol.
fn last_next_header(packet: &[u8]) -> u32 {
    let (mut field, mut at) = (6, 40);
    while headers::is_extension(packet[field]) {
        let length = headers::extension_length(packet[field], packet[at + 1]);
        (field, at) = (at, at + length);
    }
    field as u32
}

/// The answer to a ping, if it is one and deserves it.
pub fn echo_reply(packet: &Packet) -> Option<Vec<u8>> {
    let (ip, v6) = (&packet.ip, packet.ip.source.is_ipv6());
    let (proto, request, reply) = if v6 { (58, 128, 129) } else { (1, 8, 0) };
    let icmp = &packet.bytes[ip.l4..ip.end];
    let is_request = ip.proto == proto && ip.fragment == Fragment::No && icmp[0] == request && icmp[1] == 0;
    if !is_request || !headers::transport_ok(&packet.bytes, ip) {
        return None;
    }
    let harmless = if v6 {
        extensions_harmless(&packet.bytes[..ip.l4])
    } else {
        !source_routed(&packet.bytes[20..ip.l4])
    };
    if !harmless {
        return None;
    }
    let header = bytes::Ip {
        id: if v6 { 0 } else { word(&packet.bytes, 4) },
        fragment: if v6 { 0 } else { word(&packet.bytes, 6) },
        ..bytes::Ip::new(ip.destination, ip.source).tos(headers::tos(&packet.bytes) & !3)
    };
    let mut answer = header.icmp(reply, 0, &icmp[4..]);
    if v6 {
        // The flow label stays.
        answer[1] |= packet.bytes[1] & 15;
        answer[2..4].copy_from_slice(&packet.bytes[2..4]);
    }
    Some(answer)
}

fn source_routed(mut options: &[u8]) -> bool {
    while let Some(kind) = options.first().copied().filter(|kind| *kind != 0) {
        let length = match (kind, options.get(1)) {
            (1, _) => 1,
            (131 | 137, _) | (_, None | Some(0 | 1)) => return true,
            (_, Some(length)) => usize::from(*length),
        };
        let Some(rest) = options.get(length..) else { return true };
        options = rest;
    }
    false
}

/// Extension headers that a host which knows none of their options may pass over.
fn extensions_harmless(header: &[u8]) -> bool {
    let (mut kind, mut at) = (header[6], 40);
    while at < header.len() {
        let length = headers::extension_length(kind, header[at + 1]);
        let harmless = match kind {
            0 | 60 => options_skippable(&header[at + 2..at + length]),
            43 => header[at + 3] == 0,
            44 => true,
            _ => false,
        };
        if !harmless {
            return false;
        }
        (kind, at) = (header[at], at + length);
    }
    true
}

fn options_skippable(mut options: &[u8]) -> bool {
    while let Some(kind) = options.first() {
        let length = match (kind, options.get(1)) {
            (0, _) => 1,
            (kind, Some(length)) if kind >> 6 == 0 => 2 + usize::from(*length),
            _ => return false,
        };
        let Some(rest) = options.get(length..) else {
            return false;
        };
        options = rest;
    }
    true
}

/// An address that one host may have.
fn one_host(a: Ipv4Addr) -> bool {
    !(a.is_unspecified() || a.is_multicast() || a.is_broadcast() || a.is_loopback())
}

fn station(mac: Mac) -> bool {
    mac.0[0] & 1 == 0 && mac.0 != [0; 6]
}

/// What an ARP request asks, if it is one to answer: sender's MAC and address, address asked for.
pub fn arp_request(frame: &[u8], l3: usize) -> Option<(Mac, Ipv4Addr, Ipv4Addr)> {
    let message = frame.get(l3..l3 + 28)?;
    let (IpAddr::V4(sender), IpAddr::V4(target)) = (address4(&message[14..18]), address4(&message[24..28])) else {
        return None;
    };
    let asker = mac(&message[8..14]);
    let right = message[..8] == [0, 1, 8, 0, 6, 4, 0, 1];
    let honest = station(asker) && (sender.is_unspecified() || one_host(sender)) && one_host(target);
    (right && honest).then_some((asker, sender, target))
}

/// The request turned into the reply.
pub fn arp_reply(frame: &[u8], l3: usize, answer: Mac) -> Option<Vec<u8>> {
    let (asker, sender, target) = arp_request(frame, l3)?;
    let mut reply = frame.to_vec();
    reply[..6].copy_from_slice(&asker.0);
    reply[6..12].copy_from_slice(&answer.0);
    reply[l3 + 7] = 2;
    let said = [&answer.0[..], &target.octets(), &asker.0, &sender.octets()].concat();
    reply[l3 + 8..l3 + 28].copy_from_slice(&said);
    Some(reply)
}

/// A routed port: the router is everybody but the workload itself.
pub fn arp_proxy(world: &World, port: &PortSpec, vrf: u32, frame: &[u8], l3: usize) -> Option<Vec<u8>> {
    let (_, sender, target) = arp_request(frame, l3)?;
    if sender == target || is_own(world, port, vrf, target.into()) {
        return None;
    }
    arp_reply(frame, l3, Mac::GATEWAY)
}

fn is_own(world: &World, port: &PortSpec, vrf: u32, address: IpAddr) -> bool {
    let next_hop = world.route(vrf, address).and_then(|id| world.next_hop(id));
    matches!(next_hop.map(|n| &n.action), Some(ActionSpec::Port { port: to, .. }) if *to == port.id)
}

/// A neighbour discovery message of any kind, valid or not.
pub fn is_neighbor_discovery(packet: &[u8], ip: &Ip) -> bool {
    let icmp = ip.source.is_ipv6() && ip.proto == 58 && ip.fragment == Fragment::No;
    icmp && packet.get(ip.l4).is_some_and(|kind| (133..=137).contains(kind))
}

/// A valid solicitation (RFC 4861, sections 6.1.1 and 7.1.1).
pub struct Solicited {
    /// Of a neighbour; none: of routers.
    pub target: Option<Ipv6Addr>,
    /// Where the answer goes.
    pub to: (Mac, Ipv6Addr),
}

pub fn solicited(frame: &[u8], read: &Frame) -> Option<Solicited> {
    let packet = &frame[read.l3..];
    let ip = read.ip.as_ref().filter(|ip| ip.l4 == 40)?;
    let (IpAddr::V6(source), IpAddr::V6(destination)) = (ip.source, ip.destination) else {
        return None;
    };
    let message = &packet[40..ip.end];
    let valid = packet[7] == 255 && message[1] == 0 && headers::transport_ok(packet, ip);
    if !valid || source.is_multicast() || source.is_loopback() || !station(read.source) {
        return None;
    }
    let (target, options) = match message[0] {
        133 => (None, &message[8..]),
        135 => {
            let IpAddr::V6(target) = address6(message.get(8..24)?) else {
                return None;
            };
            let wrong = target.is_multicast() || target.is_unspecified();
            let probe = source.is_unspecified() && destination != solicited_node(target);
            if wrong || probe {
                return None;
            }
            (Some(target), &message[24..])
        }
        _ => return None,
    };
    let told = link_layer(options)?;
    if told.is_some() && source.is_unspecified() {
        return None;
    }
    let all = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let to = if source.is_unspecified() {
        (bytes::multicast_mac(all), all)
    } else {
        (told.unwrap_or(read.source), source)
    };
    Some(Solicited { target, to })
}

/// The source link-layer address among options. `None`: the options are malformed.
fn link_layer(mut options: &[u8]) -> Option<Option<Mac>> {
    let mut told = None;
    while !options.is_empty() {
        let length = usize::from(*options.get(1)?) * 8;
        let option = options.get(..length).filter(|o| !o.is_empty())?;
        if option[0] == 1 && told.is_none() {
            let address = mac(&option[2..8]);
            if length != 8 || !station(address) {
                return None;
            }
            told = Some(address);
        }
        options = &options[length..];
    }
    Some(told)
}

/// An advertisement in the frame of the solicitation: its tags stay.
pub fn neighbor_advertisement(frame: &[u8], l3: usize, asked: &Solicited, mac: Mac, router: bool) -> Option<Vec<u8>> {
    let target = asked.target?;
    let solicited = if asked.to.1.is_multicast() { 0 } else { 0x40 };
    let flags = 0x20 | solicited | if router { 0x80 } else { 0 };
    let plain = bytes::advertisement(mac, target, asked.to, flags);
    Some([&plain[..12], &frame[12..l3], &plain[14..]].concat())
}

/// A router advertisement in the frame of the solicitation. `None` without IPv6 gateways.
pub fn router_advertisement(
    frame: &[u8],
    l3: usize,
    asked: &Solicited,
    own: Mac,
    gateways: &[Gateway],
    mtu: usize,
) -> Option<Vec<u8>> {
    // Hop limit 64, no flags, router for 9000 s, nothing of timers.
    let mut rest = vec![64, 0];
    rest.extend(9000_u16.to_be_bytes());
    rest.extend([0; 8]);
    rest.extend([1, 1]);
    rest.extend(own.0);
    rest.extend([5, 1, 0, 0]);
    rest.extend((mtu as u32).to_be_bytes());
    let fixed = rest.len();
    for gateway in gateways {
        if let IpAddr::V6(address) = gateway.address {
            let mask = u128::MAX.checked_shl(128 - u32::from(gateway.prefix_len)).unwrap_or(0);
            rest.extend([3, 4, gateway.prefix_len, 0x80]);
            rest.extend(2_592_000_u32.to_be_bytes());
            rest.extend(604_800_u32.to_be_bytes());
            rest.extend([0; 4]);
            rest.extend((address.to_bits() & mask).to_be_bytes());
        }
    }
    if rest.len() == fixed {
        return None;
    }
    let packet = bytes::Ip::new(eui64(own), asked.to.1)
        .hop_limit(255)
        .icmp(134, 0, &rest);
    let plain = bytes::framed(asked.to.0, own, &packet);
    Some([&plain[..12], &frame[12..l3], &plain[14..]].concat())
}

/// Neighbour discovery on a routed port.
pub fn nd_proxy(world: &World, port: &PortSpec, vrf: u32, frame: &[u8], read: &Frame) -> Option<Vec<u8>> {
    let asked = solicited(frame, read)?;
    let Some(target) = asked.target else {
        return router_advertisement(frame, read.l3, &asked, Mac::GATEWAY, &port.gateways, world.mtu(port));
    };
    let elsewhere = target.is_unicast_link_local() && target != eui64(Mac::GATEWAY);
    if elsewhere || is_own(world, port, vrf, target.into()) {
        return None;
    }
    neighbor_advertisement(frame, read.l3, &asked, Mac::GATEWAY, true)
}
