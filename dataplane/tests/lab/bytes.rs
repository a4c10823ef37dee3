//! Packets made and checked by hand: nothing here knows the code under test.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use vrouter_dataplane::wire::Mac;

/// Sum of 16-bit words in ones' complement (RFC 1071), odd bytes padded, folded.
pub fn sum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0_u32;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// The pseudo header of a transport protocol over either IP.
pub fn pseudo(source: IpAddr, destination: IpAddr, proto: u8, len: usize) -> Vec<u8> {
    let mut bytes = octets(source);
    bytes.extend(octets(destination));
    bytes.extend((len as u32).to_be_bytes());
    bytes.extend([0, 0, 0, proto]);
    bytes
}

pub fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(a) => a.octets().to_vec(),
        IpAddr::V6(a) => a.octets().to_vec(),
    }
}

pub fn ethernet(destination: Mac, source: Mac, ethertype: u16, payload: &[u8]) -> Vec<u8> {
    [&destination.0[..], &source.0, &ethertype.to_be_bytes(), payload].concat()
}

/// An IP packet in an Ethernet frame.
pub fn framed(destination: Mac, source: Mac, ip: &[u8]) -> Vec<u8> {
    let ethertype = if ip.first().is_some_and(|b| b >> 4 == 6) {
        0x86dd
    } else {
        0x0800
    };
    ethernet(destination, source, ethertype, ip)
}

/// What may be chosen of an IP packet.
#[derive(Clone, Debug)]
pub struct Ip {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub hop_limit: u8,
    pub tos: u8,
    /// Flags and fragment offset of IPv4.
    pub fragment: u16,
    pub id: u16,
    /// IPv4 options, a multiple of four bytes.
    pub options: Vec<u8>,
}

impl Ip {
    pub fn new(source: impl Into<IpAddr>, destination: impl Into<IpAddr>) -> Self {
        Self {
            source: source.into(),
            destination: destination.into(),
            hop_limit: 64,
            tos: 0,
            fragment: 0,
            id: 0,
            options: Vec::new(),
        }
    }

    pub fn hop_limit(self, hop_limit: u8) -> Self {
        Self { hop_limit, ..self }
    }

    pub fn tos(self, tos: u8) -> Self {
        Self { tos, ..self }
    }

    pub fn dont_fragment(self) -> Self {
        Self {
            fragment: 0x4000,
            ..self
        }
    }

    /// The packet with this payload as it is.
    pub fn packet(&self, proto: u8, payload: &[u8]) -> Vec<u8> {
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let header_len = 20 + self.options.len();
                let total = (header_len + payload.len()) as u16;
                let mut bytes = vec![0x40 | (header_len / 4) as u8, self.tos];
                bytes.extend(total.to_be_bytes());
                bytes.extend(self.id.to_be_bytes());
                bytes.extend(self.fragment.to_be_bytes());
                bytes.extend([self.hop_limit, proto, 0, 0]);
                bytes.extend(source.octets());
                bytes.extend(destination.octets());
                bytes.extend(&self.options);
                fix_v4(&mut bytes);
                bytes.extend(payload);
                bytes
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let mut bytes = (6 << 28 | u32::from(self.tos) << 20).to_be_bytes().to_vec();
                bytes.extend((payload.len() as u16).to_be_bytes());
                bytes.extend([proto, self.hop_limit]);
                bytes.extend(source.octets());
                bytes.extend(destination.octets());
                bytes.extend(payload);
                bytes
            }
            _ => panic!("one family"),
        }
    }

    /// With a transport checksum at `at`, complete or only of the pseudo header.
    fn summed(&self, proto: u8, mut transport: Vec<u8>, at: usize, partial: bool) -> Vec<u8> {
        let pseudo = pseudo(self.source, self.destination, proto, transport.len());
        let check = match (partial, proto) {
            (true, _) => sum(&[&pseudo]),
            (false, 1) => !sum(&[&transport]),
            (false, _) => !sum(&[&pseudo, &transport]),
        };
        let check = if proto == 17 && check == 0 { 0xffff } else { check };
        transport[at..at + 2].copy_from_slice(&check.to_be_bytes());
        self.packet(proto, &transport)
    }

    pub fn udp(&self, ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
        self.summed(17, udp_datagram(ports, payload), 6, false)
    }

    pub fn udp_partial(&self, ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
        self.summed(17, udp_datagram(ports, payload), 6, true)
    }

    pub fn tcp(&self, ports: (u16, u16), flags: u8, options: &[u8], payload: &[u8]) -> Vec<u8> {
        self.summed(6, tcp_segment(ports, flags, options, payload), 16, false)
    }

    /// A segment with these sequence and acknowledgement numbers, and a window of 65535.
    pub fn segment(&self, ports: (u16, u16), (seq, ack): (u32, u32), flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = tcp_segment(ports, flags, &[], payload);
        bytes[4..8].copy_from_slice(&seq.to_be_bytes());
        bytes[8..12].copy_from_slice(&ack.to_be_bytes());
        self.summed(6, bytes, 16, false)
    }

    pub fn tcp_partial(&self, ports: (u16, u16), flags: u8, options: &[u8], payload: &[u8]) -> Vec<u8> {
        self.summed(6, tcp_segment(ports, flags, options, payload), 16, true)
    }

    /// ICMP or ICMPv6 by family: type, code and all behind the checksum.
    pub fn icmp(&self, kind: u8, code: u8, rest: &[u8]) -> Vec<u8> {
        let proto = if self.source.is_ipv6() { 58 } else { 1 };
        self.summed(proto, [&[kind, code, 0, 0], rest].concat(), 2, false)
    }

    pub fn ping(&self, id: u16, payload: &[u8]) -> Vec<u8> {
        let kind = if self.source.is_ipv6() { 128 } else { 8 };
        self.icmp(kind, 0, &[&id.to_be_bytes()[..], &[0, 1], payload].concat())
    }
}

fn udp_datagram(ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let len = (8 + payload.len()) as u16;
    let words = [ports.0, ports.1, len, 0];
    let mut bytes: Vec<u8> = words.iter().flat_map(|w| w.to_be_bytes()).collect();
    bytes.extend(payload);
    bytes
}

fn tcp_segment(ports: (u16, u16), flags: u8, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut bytes = [ports.0.to_be_bytes(), ports.1.to_be_bytes()].concat();
    bytes.extend([
        0,
        0,
        0,
        1,
        0,
        0,
        0,
        2,
        (((20 + options.len()) / 4) << 4) as u8,
        flags,
        0xff,
        0xff,
        0,
        0,
        0,
        0,
    ]);
    bytes.extend(options);
    bytes.extend(payload);
    bytes
}

/// Makes the checksum of an IPv4 header right.
pub fn fix_v4(header: &mut [u8]) {
    let len = usize::from(header[0] & 15) * 4;
    header[10..12].fill(0);
    let check = !sum(&[&header[..len]]);
    header[10..12].copy_from_slice(&check.to_be_bytes());
}

/// An ARP message in a frame of 60 bytes.
pub fn arp(to: Mac, operation: u8, sender: (Mac, Ipv4Addr), target: (Mac, Ipv4Addr)) -> Vec<u8> {
    let mut bytes = vec![0, 1, 8, 0, 6, 4, 0, operation];
    for (mac, address) in [sender, target] {
        bytes.extend(mac.0);
        bytes.extend(address.octets());
    }
    bytes.resize(46, 0);
    ethernet(to, sender.0, 0x0806, &bytes)
}

/// The multicast group of a neighbour's solicitations (RFC 4291, section 2.7.1).
pub fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let mut octets = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 0];
    octets[13..].copy_from_slice(&address.octets()[13..]);
    octets.into()
}

/// The MAC of a multicast group (RFC 2464, section 7).
pub fn multicast_mac(group: Ipv6Addr) -> Mac {
    let o = group.octets();
    Mac([0x33, 0x33, o[12], o[13], o[14], o[15]])
}

/// The link-local address made of a MAC (RFC 4291, appendix A).
pub fn eui64(mac: Mac) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac.0;
    [0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f].into()
}

/// A neighbour solicitation. A sender with an address tells its MAC.
pub fn solicitation(from: (Mac, Ipv6Addr), target: Ipv6Addr) -> Vec<u8> {
    let group = solicited_node(target);
    let mut rest = vec![0; 4];
    rest.extend(target.octets());
    if !from.1.is_unspecified() {
        rest.extend([1, 1]);
        rest.extend(from.0.0);
    }
    let ip = Ip::new(from.1, group).hop_limit(255);
    framed(multicast_mac(group), from.0, &ip.icmp(135, 0, &rest))
}

/// A neighbour advertisement with its target link-layer address.
pub fn advertisement(mac: Mac, target: Ipv6Addr, to: (Mac, Ipv6Addr), flags: u8) -> Vec<u8> {
    let mut rest = vec![flags, 0, 0, 0];
    rest.extend(target.octets());
    rest.extend([2, 1]);
    rest.extend(mac.0);
    framed(to.0, mac, &Ip::new(target, to.1).hop_limit(255).icmp(136, 0, &rest))
}

/// A router solicitation.
pub fn router_solicitation(from: (Mac, Ipv6Addr)) -> Vec<u8> {
    let all_routers = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
    let mut rest = vec![0; 4];
    if !from.1.is_unspecified() {
        rest.extend([1, 1]);
        rest.extend(from.0.0);
    }
    let ip = Ip::new(from.1, all_routers).hop_limit(255);
    framed(multicast_mac(all_routers), from.0, &ip.icmp(133, 0, &rest))
}
