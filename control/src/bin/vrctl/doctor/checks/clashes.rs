//! Others on this host who want the same tunnel packets.

use std::net::IpAddr;

use crate::doctor::{
    facts::Facts,
    finding::{Finding, about},
};

/// UDP ports of tunnels.
const PORTS: [(u16, &str); 2] = [(4789, "VXLAN"), (6635, "MPLS over UDP")];

/// Listeners of the host, and VXLAN devices of the kernel.
pub(super) fn tunnel_ports(facts: &Facts) -> Vec<Finding> {
    let vteps: &[IpAddr] = facts.node.as_ref().map_or(&[], |node| &node.vteps);
    // Without an address of ours, any may be meant.
    let meets = |address: IpAddr| address.is_unspecified() || vteps.is_empty() || vteps.contains(&address);
    let mut findings = Vec::new();
    for (port, name) in PORTS {
        let devices: Vec<_> = facts
            .vxlans
            .iter()
            .filter(|device| device.port == port && device.local.is_none_or(meets))
            .collect();
        for device in &devices {
            findings.push(about("vxlan_device", device.name.as_str()).problem(
                format!("VNI {} on UDP port {port}, from {}", device.vni, match device.local {
                    Some(address) => address.to_string(),
                    None => "any address".to_owned(),
                }),
                "vrouterd takes tunnel packets to its address before the kernel sees them: this device hears nothing any more",
                format!("give one of them another address or port, or remove it: `ip link del {}`", device.name),
            ));
        }
        let taken: Vec<_> = facts
            .udp
            .iter()
            .filter(|(address, local)| *local == port && meets(*address))
            .map(|(address, _)| address.to_string())
            .collect();
        let finding = about("udp_port", format!("{port} ({name})"));
        findings.push(if taken.is_empty() {
            finding.ok("free")
        } else if !devices.is_empty() {
            finding.not_applicable("that is the VXLAN device's")
        } else {
            finding.problem(
                format!("a program listens at {}", taken.join(", ")),
                "vrouterd takes these packets before the host's sockets: that program hears nothing any more",
                format!("`ss -ulpn 'sport = {port}'` says which; end it, or let it use another address or port"),
            )
        });
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{
        facts::{Node, Vxlan},
        finding::Status,
    };

    #[test]
    fn listeners_and_devices_clash_where_they_share_the_address() {
        let mut facts = Facts {
            udp: vec![("0.0.0.0".parse().unwrap(), 4789), ("::1".parse().unwrap(), 53)],
            ..Facts::default()
        };
        let statuses = |facts: &Facts| {
            tunnel_ports(facts)
                .iter()
                .map(|finding| finding.status)
                .collect::<Vec<_>>()
        };
        assert_eq!(statuses(&facts), [Status::Problem, Status::Ok]);
        facts.udp = vec![("192.0.2.9".parse().unwrap(), 4789)];
        facts.node = Some(Node {
            vteps: vec!["192.0.2.1".parse().unwrap()],
            ..Node::default()
        });
        assert_eq!(
            statuses(&facts),
            [Status::Ok, Status::Ok],
            "another address of the host"
        );
        facts.vxlans = vec![Vxlan {
            name: "vx7".into(),
            vni: 7,
            local: None,
            port: 4789,
        }];
        facts.udp = vec![("::".parse().unwrap(), 4789)];
        assert_eq!(statuses(&facts), [Status::Problem, Status::NotApplicable, Status::Ok]);
        facts.vxlans[0].local = Some("192.0.2.9".parse().unwrap());
        assert_eq!(
            statuses(&facts)[0],
            Status::Problem,
            "the socket takes any address all the same"
        );
    }
}
