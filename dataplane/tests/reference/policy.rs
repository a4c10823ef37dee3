//! Who may talk to whom, by linear scans: guards, groups, rules.

use std::net::IpAddr;

use vrouter_dataplane::{
    packet::DropReason,
    program::object::{PolicySpec, PortSpec, RuleSpec, TrafficMatch, Verdict},
    wire::Mac,
};

use crate::{connections::Key, lab::bytes::eui64, world::World};

/// Which list of a policy is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Egress,
    Ingress,
}

/// What rules look at: protocol, destination port or ICMP type, ICMP code.
#[derive(Clone, Copy, Debug)]
pub struct Traffic {
    pub protocol: u8,
    pub number: u16,
    pub code: u8,
}

/// The first rule that matches, else the default.
pub fn ask(policy: &PolicySpec, side: Side, groups: &[u32], traffic: &Traffic) -> Verdict {
    let (rules, default) = match side {
        Side::Egress => (&policy.egress, policy.egress_default),
        Side::Ingress => (&policy.ingress, policy.ingress_default),
    };
    let first = rules.iter().find(|rule| applies(rule, groups, traffic));
    first.map_or(default, |rule| rule.verdict)
}

fn applies(rule: &RuleSpec, groups: &[u32], traffic: &Traffic) -> bool {
    let peer = rule.groups.is_empty() || rule.groups.iter().any(|group| groups.contains(group));
    peer && (rule.traffic.is_empty() || rule.traffic.iter().any(|kind| is_kind(kind, traffic)))
}

fn is_kind(kind: &TrafficMatch, traffic: &Traffic) -> bool {
    let has_ports = matches!(traffic.protocol, 6 | 17 | 132);
    let has_types = matches!(traffic.protocol, 1 | 58);
    let protocol = kind.protocol == 0 || kind.protocol == traffic.protocol;
    let any_port = kind.first_port == 0 && kind.last_port == 0;
    let port = any_port || has_ports && kind.first_port <= traffic.number && traffic.number <= kind.last_port;
    let icmp_type = kind
        .icmp_type
        .is_none_or(|t| has_types && u16::from(t) == traffic.number);
    let code = kind.icmp_code.is_none_or(|c| has_types && c == traffic.code);
    protocol && port && icmp_type && code
}

impl World {
    /// The groups of an address: those of the longest prefix that names it.
    pub fn groups(&self, vrf: u32, address: IpAddr) -> Vec<u32> {
        let naming = self
            .identities
            .iter()
            .filter(|i| i.vrf == vrf && i.prefix.contains(address));
        let longest = naming.max_by_key(|i| i.prefix.prefix_len());
        longest.map_or_else(Vec::new, |i| i.groups.to_vec())
    }

    pub fn policy_of(&self, port: u32) -> Option<&PolicySpec> {
        let id = self.port(port)?.policy?;
        self.policies.iter().find(|p| p.id == id)
    }
}

/// The MAC is the workload's.
pub fn owns_mac(port: &PortSpec, mac: Mac) -> bool {
    let Some(guard) = &port.guard else { return true };
    mac == port.mac || guard.macs.contains(&mac)
}

/// The address is the workload's.
pub fn owns(port: &PortSpec, address: IpAddr) -> bool {
    let Some(guard) = &port.guard else { return true };
    let mut macs = guard.macs.iter().copied().chain([port.mac]);
    guard.addresses.iter().any(|prefix| prefix.contains(address)) || macs.any(|mac| address == IpAddr::V6(eui64(mac)))
}

/// What a workload that pretends to be another, or a DHCP server, is refused for.
pub fn pretends(port: &PortSpec, key: &Key) -> Option<DropReason> {
    let guard = port.guard.as_ref()?;
    if !owns(port, key.source.0) {
        return Some(DropReason::SpoofedIp);
    }
    let (server, client) = if key.source.0.is_ipv6() { (547, 546) } else { (67, 68) };
    let serves = key.protocol == 17 && (key.source.1 == server || key.destination.1 == client);
    (serves && !guard.allow_dhcp_server).then_some(DropReason::RogueDhcp)
}

/// An ARP message in which a workload claims another's address.
pub fn arp_pretends(port: &PortSpec, message: &[u8]) -> bool {
    if port.guard.is_none() || message.len() < 28 {
        return port.guard.is_some();
    }
    let address = |at: usize| IpAddr::from([message[at], message[at + 1], message[at + 2], message[at + 3]]);
    let (sender, target) = (address(14), address(24));
    let mac = crate::lab::outer::mac(&message[8..14]);
    let asks = message[6..8] == [0, 1] && sender == IpAddr::from([0; 4]);
    !owns_mac(port, mac) || !owns(port, if asks { target } else { sender })
}
