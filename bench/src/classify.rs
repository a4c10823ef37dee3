//! Is a received frame one of ours, and how did it come: plain, or in a tunnel?

use vrouter_dataplane::wire::{Parsed, Vxlan, mpls, offload, parse, parse_ip, proto, udp, vxlan};

use crate::stamp::Stamp;

/// How a packet was carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carried {
    /// As it was generated.
    Plain,
    /// In VXLAN.
    Vxlan,
    /// In MPLS over UDP.
    Mpls,
}

/// One of our packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// What it says of itself.
    pub stamp: Stamp,
    /// How it was carried.
    pub carried: Carried,
    /// The UDP checksum of the generated packet is right (one that a router took away counts as right over IPv4).
    pub intact: bool,
}

/// Looks for our stamp in an Ethernet frame, if need be through one tunnel header. None: the frame is not ours.
pub fn classify(frame: &[u8]) -> Option<Found> {
    let parsed = parse(frame).ok()?;
    let payload = payload(frame, &parsed)?;
    if let Some(found) = found(frame, &parsed, Carried::Plain) {
        return Some(found);
    }
    match parsed.dst_port {
        _ if parsed.proto != proto::UDP => None,
        udp::PORT_VXLAN => {
            Vxlan::new_checked(payload).ok()?;
            let inner = payload.get(vxlan::HEADER_LEN..)?;
            found(inner, &parse(inner).ok()?, Carried::Vxlan)
        }
        udp::PORT_MPLS | udp::PORT_MPLS_OLD => {
            let inner = mpls::payload(payload).ok()?;
            found(inner, &parse_ip(inner).ok()?, Carried::Mpls)
        }
        _ => None,
    }
}

fn found(packet: &[u8], parsed: &Parsed, carried: Carried) -> Option<Found> {
    Some(Found {
        stamp: Stamp::from_payload(payload(packet, parsed)?)?,
        carried,
        intact: offload::is_right(packet, parsed),
    })
}

/// What a whole UDP or ICMP packet carries: their headers are as long. Of ICMP, echo requests and replies carry our stamp where
/// errors have zeros and lengths, or quote a header.
fn payload<'a>(packet: &'a [u8], parsed: &Parsed) -> Option<&'a [u8]> {
    if !matches!(parsed.proto, proto::UDP | proto::ICMP | proto::ICMPV6) || parsed.is_fragment() {
        return None;
    }
    packet.get(usize::from(parsed.l4) + udp::HEADER_LEN..parsed.end as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        flows::{FlowSpec, Flows, Order, PortRange},
        template::{Proto, Template, TemplateSpec},
    };
    use vrouter_dataplane::wire::Mac;

    fn packet() -> Vec<u8> {
        let flows = Flows::new(&FlowSpec {
            src: "10.0.0.1".parse().unwrap(),
            dst: "10.0.0.2".parse().unwrap(),
            sport: PortRange::one(1000),
            dport: PortRange::one(udp::PORT_VXLAN),
            flows: None,
            order: Order::RoundRobin,
        })
        .unwrap();
        let template = Template::new(&TemplateSpec {
            to_mac: Mac([2, 0, 0, 0, 0, 2]),
            from_mac: Mac([2, 0, 0, 0, 0, 1]),
            flows,
            proto: Proto::Udp,
            size: 64,
            outer: None,
        })
        .unwrap();
        let mut buffer = vec![0; 64];
        let stamp = Stamp {
            stream: 1,
            sequence: 2,
            sent_at: 3,
        };
        template.write(&mut buffer, 0, stamp);
        buffer
    }

    #[test]
    fn a_plain_packet_to_a_tunnel_port_is_plain() {
        let found = classify(&packet()).unwrap();
        assert_eq!(
            (found.carried, found.intact, found.stamp.sequence),
            (Carried::Plain, true, 2)
        );
    }

    #[test]
    fn damage_is_seen() {
        let mut packet = packet();
        *packet.last_mut().unwrap() ^= 1;
        assert!(!classify(&packet).unwrap().intact);
    }

    #[test]
    fn the_rest_of_the_world_is_not_ours() {
        let mut other = packet();
        other[42] ^= 1;
        assert_eq!(classify(&other), None, "another magic, and no VXLAN either");
        assert_eq!(classify(&packet()[..50]), None, "cut");
        let mut arp = packet();
        arp[12..14].copy_from_slice(&[8, 6]);
        assert_eq!(classify(&arp), None);
        assert_eq!(classify(&[]), None);
    }
}
