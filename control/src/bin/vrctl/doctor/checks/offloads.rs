//! What devices do to packets before XDP sees them.

use crate::doctor::{
    facts::{Facts, Interface},
    finding::{Finding, about},
};

/// Of each interface.
pub(super) fn receive(facts: &Facts) -> Vec<Finding> {
    facts.interfaces.iter().flat_map(one).collect()
}

fn one(interface: &Interface) -> Vec<Finding> {
    let (name, offloads) = (interface.name.as_str(), interface.offloads);
    let command = |feature: &str, value: &str| format!("`ethtool -K {name} {feature} {value}`");
    let generic = interface.driver.as_deref().is_some_and(|driver| driver != "veth");
    let mut findings = Vec::new();
    findings.push(match offloads.lro {
        Some(true) => about("lro", name).problem(
            "on",
            "the device joins packets that were not sent together: tunnel packets lose where one ends and the next begins, and most drivers \
             refuse XDP beside it",
            command("lro", "off"),
        ),
        Some(false) => about("lro", name).ok("off"),
        None => about("lro", name).not_applicable("it does not say"),
    });
    findings.push(match offloads.gro {
        Some(true) if generic => about("gro", name).ok(
            "on: tunnel packets reach XDP before it (in generic mode behind it; then `ethtool -K ... gro off` avoids joined ones)",
        ),
        Some(on) => about("gro", name).ok(if on { "on" } else { "off" }),
        None => about("gro", name).not_applicable("it does not say"),
    });
    findings.push(match offloads.rx_checksum {
        Some(false) => about("rx_checksum", name).ok("off: vrouterd sums what needs it itself"),
        Some(true) => about("rx_checksum", name).ok("on"),
        None => about("rx_checksum", name).not_applicable("it does not say"),
    });
    findings.push(match offloads.rx_vlan {
        Some(true) if interface.driver.as_deref() != Some("veth") => about("rx_vlan", name).warning(
            "on",
            "the device takes VLAN tags off before XDP sees the packet: a tagged tunnel packet looks as if it had none",
            format!("{}, if the underlay's packets come tagged", command("rxvlan", "off")),
        ),
        Some(on) => about("rx_vlan", name).ok(if on { "on" } else { "off" }),
        None => about("rx_vlan", name).not_applicable("it does not say"),
    });
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{facts::Offloads, finding::Status};

    #[test]
    fn what_changes_packets_on_their_way_in_is_told() {
        let interface = Interface {
            name: "eth1".into(),
            driver: Some("ice".into()),
            offloads: Offloads {
                lro: Some(true),
                gro: Some(true),
                rx_checksum: Some(true),
                rx_vlan: Some(true),
            },
            ..Interface::default()
        };
        let findings = one(&interface);
        let statuses: Vec<_> = findings.iter().map(|finding| finding.status).collect();
        assert_eq!(statuses, [Status::Problem, Status::Ok, Status::Ok, Status::Warning]);
        assert_eq!(findings[0].todo, "`ethtool -K eth1 lro off`");
        let silent = one(&Interface::default());
        assert!(silent.iter().all(|finding| finding.status == Status::NotApplicable));
    }
}
