//! A packet in one line, for those who look without Wireshark.

use std::net::IpAddr;

use etherparse::{LaxNetSlice, LaxSlicedPacket, TransportSlice};

/// UDP ports of the two tunnels.
const VXLAN: u16 = 4789;
const MPLS: u16 = 6635;

/// Tunnels within tunnels that are looked into.
const DEPTH: usize = 3;

/// "10.1.0.2:4711 > 10.1.0.7:443 tcp S"; what is not known is said in numbers.
pub(super) fn summary(frame: &[u8]) -> String {
    match LaxSlicedPacket::from_ethernet(frame) {
        Ok(packet) => describe(frame, &packet, DEPTH),
        Err(_) => "too short for Ethernet".to_owned(),
    }
}

fn describe(frame: &[u8], packet: &LaxSlicedPacket<'_>, depth: usize) -> String {
    let mut words = String::new();
    for tag in &packet.link_exts {
        if let etherparse::LaxLinkExtSlice::Vlan(tag) = tag {
            words.push_str(&format!("vlan {} ", tag.vlan_identifier().value()));
        }
    }
    let (source, destination, protocol, payload): (IpAddr, IpAddr, u8, &[u8]) = match &packet.net {
        Some(LaxNetSlice::Ipv4(ip)) => (
            ip.header().source_addr().into(),
            ip.header().destination_addr().into(),
            ip.payload().ip_number.0,
            ip.payload().payload,
        ),
        Some(LaxNetSlice::Ipv6(ip)) => (
            ip.header().source_addr().into(),
            ip.header().destination_addr().into(),
            ip.payload().ip_number.0,
            ip.payload().payload,
        ),
        Some(LaxNetSlice::Arp(arp)) => return words + &describe_arp(arp),
        _ => return words + &describe_ethernet(frame),
    };
    let ends = |a: u16, b: u16| format!("{} > {}", place(source, a), place(destination, b));
    words.push_str(&match &packet.transport {
        Some(TransportSlice::Tcp(tcp)) => {
            let flags = [
                (tcp.syn(), 'S'),
                (tcp.fin(), 'F'),
                (tcp.rst(), 'R'),
                (tcp.psh(), 'P'),
                (tcp.urg(), 'U'),
                (tcp.ack(), '.'),
            ];
            let flags: String = flags.iter().filter(|(set, _)| *set).map(|(_, flag)| *flag).collect();
            format!(
                "{} tcp {flags} seq {} ack {} length {}",
                ends(tcp.source_port(), tcp.destination_port()),
                tcp.sequence_number(),
                tcp.acknowledgment_number(),
                tcp.payload().len()
            )
        }
        Some(TransportSlice::Udp(udp)) => {
            let outer = format!("{} udp", ends(udp.source_port(), udp.destination_port()));
            match tunnel(udp.destination_port(), udp.payload(), depth) {
                Some(inner) => format!("{outer} {inner}"),
                None => format!("{outer} length {}", udp.payload().len()),
            }
        }
        Some(TransportSlice::Icmpv4(icmp)) => {
            format!(
                "{source} > {destination} icmp type {} code {}",
                icmp.type_u8(),
                icmp.code_u8()
            )
        }
        Some(TransportSlice::Icmpv6(icmp)) => {
            format!(
                "{source} > {destination} icmp6 type {} code {}",
                icmp.type_u8(),
                icmp.code_u8()
            )
        }
        _ => format!("{source} > {destination} proto {protocol} length {}", payload.len()),
    });
    words
}

fn place(address: IpAddr, port: u16) -> String {
    match address {
        IpAddr::V4(address) => format!("{address}:{port}"),
        IpAddr::V6(address) => format!("[{address}]:{port}"),
    }
}

fn tunnel(port: u16, payload: &[u8], depth: usize) -> Option<String> {
    let depth = depth.checked_sub(1)?;
    match port {
        VXLAN => {
            let (header, inner) = payload.split_first_chunk::<8>()?;
            let vni = u32::from_be_bytes([0, header[4], header[5], header[6]]);
            let packet = LaxSlicedPacket::from_ethernet(inner).ok()?;
            Some(format!("vxlan vni {vni} | {}", describe(inner, &packet, depth)))
        }
        MPLS => {
            let mut rest = payload;
            let mut labels = Vec::new();
            loop {
                let (entry, behind) = rest.split_first_chunk::<4>()?;
                let entry = u32::from_be_bytes(*entry);
                labels.push((entry >> 12).to_string());
                rest = behind;
                if entry & 0x100 != 0 {
                    break;
                }
            }
            let packet = LaxSlicedPacket::from_ip(rest).ok()?;
            Some(format!(
                "mpls label {} | {}",
                labels.join(","),
                describe(rest, &packet, depth)
            ))
        }
        _ => None,
    }
}

fn describe_arp(arp: &etherparse::ArpPacketSlice<'_>) -> String {
    let address = |bytes: &[u8]| match bytes.first_chunk::<4>() {
        Some(bytes) => IpAddr::from(*bytes).to_string(),
        None => "?".to_owned(),
    };
    let (sender, target) = (address(arp.sender_protocol_addr()), address(arp.target_protocol_addr()));
    match arp.operation().0 {
        1 => format!("arp who has {target} tell {sender}"),
        2 => format!("arp {sender} is at {}", mac(arp.sender_hw_addr())),
        operation => format!("arp operation {operation}"),
    }
}

fn describe_ethernet(frame: &[u8]) -> String {
    match frame.first_chunk::<14>() {
        Some(header) => format!(
            "{} > {} ethertype 0x{:02x}{:02x} length {}",
            mac(&header[6..12]),
            mac(&header[..6]),
            header[12],
            header[13],
            frame.len()
        ),
        None => format!("{} bytes", frame.len()),
    }
}

fn mac(bytes: &[u8]) -> String {
    bytes
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<Vec<_>>()
        .join(":")
}

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;

    use super::*;

    fn tcp() -> Vec<u8> {
        let mut frame = Vec::new();
        PacketBuilder::ethernet2([2; 6], [4; 6])
            .ipv4([10, 1, 0, 2], [10, 1, 0, 7], 64)
            .tcp(4711, 443, 5, 100)
            .syn()
            .write(&mut frame, &[])
            .unwrap();
        frame
    }

    #[test]
    fn packets_are_told_in_one_line() {
        assert_eq!(
            summary(&tcp()),
            "10.1.0.2:4711 > 10.1.0.7:443 tcp S seq 5 ack 0 length 0"
        );
        let mut frame = Vec::new();
        PacketBuilder::ethernet2([2; 6], [4; 6])
            .ipv6([0xfd; 16], [0xfe; 16], 64)
            .icmpv6_echo_request(1, 2)
            .write(&mut frame, &[])
            .unwrap();
        assert!(
            summary(&frame).ends_with("icmp6 type 128 code 0"),
            "{}",
            summary(&frame)
        );
        assert_eq!(summary(&[0; 3]), "too short for Ethernet");
        assert_eq!(
            summary(&[0x11; 20]),
            "11:11:11:11:11:11 > 11:11:11:11:11:11 ethertype 0x1111 length 20"
        );
    }

    #[test]
    fn tunnels_are_looked_into() {
        let outer = |port, header: &[u8], inner: &[u8]| {
            let mut frame = Vec::new();
            PacketBuilder::ethernet2([2; 6], [4; 6])
                .ipv4([192, 0, 2, 1], [192, 0, 2, 2], 64)
                .udp(5000, port)
                .write(&mut frame, &[header, inner].concat())
                .unwrap();
            summary(&frame)
        };
        assert_eq!(
            outer(4789, &[8, 0, 0, 0, 0, 0, 77, 0], &tcp()),
            "192.0.2.1:5000 > 192.0.2.2:4789 udp vxlan vni 77 | 10.1.0.2:4711 > 10.1.0.7:443 tcp S seq 5 ack 0 length 0"
        );
        assert_eq!(
            outer(6635, &[0, 1, 0x01, 64], &tcp()[14..]),
            "192.0.2.1:5000 > 192.0.2.2:6635 udp mpls label 16 | 10.1.0.2:4711 > 10.1.0.7:443 tcp S seq 5 ack 0 length 0"
        );
        assert_eq!(outer(4789, &[8], &[]), "192.0.2.1:5000 > 192.0.2.2:4789 udp length 1");
    }
}
