//! The node that most tests talk to: a VRF with two workloads and two remote nodes, by each encapsulation and each underlay.

use std::net::IpAddr;

use vrouter_dataplane::{
    program::object::{ActionSpec, Attachment, Object, PortSpec},
    wire::Mac,
};

use crate::lab::{
    bytes::{Ip, framed},
    node::Node,
    objects::{gateways, interface, ip, mpls, next_hop, port_spec, route, station, to_port, vrf, vxlan},
    outer::mac,
};

pub const VRF: u32 = 1;
/// Next hops.
pub const LOCAL: u64 = 1;
pub const VXLAN4: u64 = 21;
pub const VXLAN6: u64 = 22;
pub const MPLS4: u64 = 23;
pub const MPLS6: u64 = 24;
/// MAC of the remote nodes.
pub const REMOTE: Mac = Mac([2, 5, 0, 0, 0, 1]);

pub const FAMILIES: [bool; 2] = [false, true];

/// The gateway of port 1.
pub fn gateway(v6: bool) -> IpAddr {
    ip(if v6 { "fd00:1::1" } else { "10.1.0.1" })
}

/// The workload behind a port.
pub fn host(v6: bool, port: u32) -> IpAddr {
    ip(&if v6 {
        format!("fd00:1::1:{port}")
    } else {
        format!("10.1.0.10{port}")
    })
}

/// An address behind one of the tunnels, by the number of its next hop.
pub fn behind(v6: bool, tunnel: u64) -> IpAddr {
    ip(&if v6 {
        format!("fd00:{tunnel}::1")
    } else {
        format!("10.{tunnel}.0.1")
    })
}

pub fn remote(v6: bool) -> IpAddr {
    ip(if v6 { "2001:db8::2" } else { "192.0.2.2" })
}

pub fn routed_port(id: u32) -> PortSpec {
    PortSpec {
        gateways: gateways(&["10.1.0.1/24", "fd00:1::1/64"]),
        ..port_spec(id, Attachment::Vrf(VRF))
    }
}

/// Everything of the site but the ports.
pub fn beginning() -> Vec<Object> {
    let mut objects = vec![vrf(VRF), next_hop(LOCAL, ActionSpec::Local)];
    objects.extend([vxlan(VXLAN4, remote(false), 1001), vxlan(VXLAN6, remote(true), 1001)]);
    objects.extend([mpls(MPLS4, remote(false), 601), mpls(MPLS6, remote(true), 601)]);
    for v6 in FAMILIES {
        objects.push(route(VRF, &all_of(gateway(v6)), LOCAL));
        objects.extend([VXLAN4, VXLAN6, MPLS4, MPLS6].map(|t| route(VRF, &all_of(behind(v6, t)), t)));
    }
    objects
}

/// A workload's port, the next hop to it (10 + its number) and its routes.
pub fn attach(port: PortSpec) -> Vec<Object> {
    let (id, hop) = (port.id, 10 + u64::from(port.id));
    let mut objects = vec![Object::Port(port), to_port(hop, id)];
    objects.extend(FAMILIES.map(|v6| route(VRF, &all_of(host(v6, id)), hop)));
    objects
}

/// The prefix of one address.
pub fn all_of(address: IpAddr) -> String {
    format!("{address}/{}", if address.is_ipv6() { 128 } else { 32 })
}

pub fn site() -> Node {
    furnish(Node::new())
}

/// The site on a node made in another way.
pub fn furnish(mut node: Node) -> Node {
    node.underlay = vec![(remote(false), REMOTE), (remote(true), REMOTE)];
    node.put(beginning());
    node.put([1, 2].map(routed_port).into_iter().flat_map(attach));
    node
}

/// A packet as the workload of a port sends it to its gateway.
pub fn out_of(port: u32, packet: &[u8]) -> Vec<u8> {
    framed(Mac::GATEWAY, station(port as u8), packet)
}

/// A packet as the workload of a port gets it from its gateway.
pub fn into(port: u32, packet: &[u8]) -> Vec<u8> {
    framed(station(port as u8), Mac::GATEWAY, packet)
}

/// From the workload of port 1.
pub fn from_one(v6: bool, destination: IpAddr) -> Ip {
    Ip::new(host(v6, 1), destination)
}

pub fn p(id: u32) -> String {
    interface(id)
}

/// The ICMP error in a frame for the workload of port 1: source address, type, code, word behind the checksum, quotation.
pub fn icmp_error(frame: &[u8]) -> (IpAddr, u8, u8, u32, Vec<u8>) {
    use crate::lab::{
        bytes::{pseudo, sum},
        outer::{address4, address6},
    };
    assert_eq!((mac(&frame[..6]), mac(&frame[6..12])), (station(1), Mac::GATEWAY));
    let packet = &frame[14..];
    let v6 = packet[0] >> 4 == 6;
    let (source, destination, message) = if v6 {
        assert_eq!((packet[6], packet[7]), (58, 64));
        (address6(&packet[8..24]), address6(&packet[24..40]), &packet[40..])
    } else {
        assert_eq!((packet[8], packet[9]), (64, 1));
        assert_eq!(sum(&[&packet[..20]]), 0xffff, "header checksum");
        (address4(&packet[12..16]), address4(&packet[16..20]), &packet[20..])
    };
    assert_eq!(destination, host(v6, 1));
    let pseudo = if v6 {
        pseudo(source, destination, 58, message.len())
    } else {
        Vec::new()
    };
    assert_eq!(sum(&[&pseudo, message]), 0xffff, "ICMP checksum");
    let word = u32::from_be_bytes(message[4..8].try_into().unwrap());
    (source, message[0], message[1], word, message[8..].to_vec())
}
