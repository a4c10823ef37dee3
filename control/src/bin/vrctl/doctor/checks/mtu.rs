//! What is left of the underlay's MTU for workloads, beside what networks promise.

use crate::doctor::{
    facts::Facts,
    finding::{Finding, about},
};

/// Bytes that an encapsulation takes from an IP packet's room, by family of the underlay: VXLAN has an Ethernet header within, MPLS over UDP a label.
const VXLAN: [(&str, u32); 2] = [("IPv4", 20 + 8 + 8 + 14), ("IPv6", 40 + 8 + 8 + 14)];
const MPLS: [(&str, u32); 2] = [("IPv4", 20 + 8 + 4), ("IPv6", 40 + 8 + 4)];

/// What every IPv6 link must carry (RFC 8200, section 5).
const LEAST: u32 = 1280;
/// What workloads are used to.
const ORDINARY: u32 = 1500;

/// The family that the tunnels use: IPv6 where there is any address of it, because it takes more.
fn overhead(facts: &Facts) -> (u32, String) {
    let v6 = facts
        .node
        .as_ref()
        .is_none_or(|node| node.vteps.is_empty() || node.vteps.iter().any(std::net::IpAddr::is_ipv6));
    let of = |table: [(&'static str, u32); 2]| table[usize::from(v6)];
    let ((family, vxlan), (_, mpls)) = (of(VXLAN), of(MPLS));
    (
        vxlan,
        format!("VXLAN over {family} takes {vxlan} bytes, MPLS over UDP {mpls}"),
    )
}

/// Each uplink, and each network with an MTU of its own.
pub(super) fn underlay(facts: &Facts) -> Vec<Finding> {
    let (overhead, words) = overhead(facts);
    let mut findings = Vec::new();
    for interface in &facts.interfaces {
        let finding = about("mtu", interface.name.as_str());
        let left = interface.mtu.saturating_sub(overhead);
        let saw = format!("{}: leaves {left} for workloads ({words})", interface.mtu);
        let wanted = ORDINARY + overhead;
        let command = format!(
            "`ip link set {} mtu {}`, and the same on switches and on all nodes",
            interface.name,
            wanted.max(9000)
        );
        findings.push(if left < LEAST {
            finding.problem(saw, "less than the 1280 bytes that IPv6 needs is left", command)
        } else if left < ORDINARY {
            finding.warning(
                saw,
                "workloads must live with less than 1500: those that do not ask the path lose packets, and each packet carries less",
                command,
            )
        } else {
            finding.ok(saw)
        });
    }
    let underlay = match &facts.node {
        Some(node) if node.underlay_mtu > 0 => node.underlay_mtu,
        _ => match facts.interfaces.iter().map(|interface| interface.mtu).min() {
            Some(mtu) => mtu,
            None => return findings,
        },
    };
    let left = underlay.saturating_sub(overhead);
    for (network, mtu) in facts.networks.iter().filter(|(_, mtu)| *mtu > 0) {
        let finding = about("network_mtu", network.as_str());
        findings.push(if *mtu > left {
            finding.problem(
                format!("{mtu}, and the underlay of {underlay} carries {left} ({words})"),
                "packets between nodes that workloads may send do not fit",
                format!(
                    "`vrctl network update {network} --mtu {left}`, or raise the underlay's MTU to {}",
                    mtu + overhead
                ),
            )
        } else {
            finding.ok(format!("{mtu} of {left}"))
        });
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{
        facts::{Interface, Node},
        finding::Status,
    };

    fn status(mtu: u32, vtep: &str) -> Status {
        let facts = Facts {
            interfaces: vec![Interface {
                mtu,
                ..Interface::default()
            }],
            node: Some(Node {
                vteps: vec![vtep.parse().unwrap()],
                ..Node::default()
            }),
            ..Facts::default()
        };
        underlay(&facts)[0].status
    }

    #[test]
    fn the_familys_overhead_decides() {
        assert_eq!(status(1550, "192.0.2.1"), Status::Ok);
        assert_eq!(status(1549, "192.0.2.1"), Status::Warning);
        assert_eq!(status(1550, "2001:db8::1"), Status::Warning);
        assert_eq!(status(1570, "2001:db8::1"), Status::Ok);
        assert_eq!(status(1349, "2001:db8::1"), Status::Problem);
        assert_eq!(status(1350, "2001:db8::1"), Status::Warning);
        assert_eq!(status(0, "192.0.2.1"), Status::Problem);
    }

    #[test]
    fn a_network_may_not_promise_more_than_the_underlay_carries() {
        let facts = Facts {
            node: Some(Node {
                vteps: vec!["192.0.2.1".parse().unwrap()],
                underlay_mtu: 1500,
                ..Node::default()
            }),
            networks: vec![("blue".into(), 1450), ("red".into(), 1500), ("plain".into(), 0)],
            ..Facts::default()
        };
        let findings = underlay(&facts);
        let seen: Vec<_> = findings
            .iter()
            .map(|finding| (finding.subject.as_str(), finding.status))
            .collect();
        assert_eq!(seen, [("blue", Status::Ok), ("red", Status::Problem)]);
        assert!(findings[1].todo.contains("--mtu 1450") && findings[1].todo.contains("1550"));
    }
}
