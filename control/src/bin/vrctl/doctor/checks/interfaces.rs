//! Interfaces of the underlay: there, driven well, with queues for all workers, and nobody else's program on them.

use crate::doctor::{
    facts::{Facts, Interface},
    finding::{Finding, about},
};

/// What drivers can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Support {
    /// Packets come without a copy.
    ZeroCopy,
    /// The program runs in the driver; packets are copied once.
    Native,
    /// The program runs behind the driver.
    Generic,
}

/// By name of the driver, in kernels of these days.
const DRIVERS: [(&str, Support); 25] = [
    ("bnxt_en", Support::Native),
    ("dpaa2-eth", Support::ZeroCopy),
    ("ena", Support::Native),
    ("enetc", Support::Native),
    ("fec", Support::Native),
    ("gve", Support::Native),
    ("hv_netvsc", Support::Native),
    ("i40e", Support::ZeroCopy),
    ("ice", Support::ZeroCopy),
    ("idpf", Support::Generic),
    ("igb", Support::Native),
    ("igc", Support::ZeroCopy),
    ("ixgbe", Support::ZeroCopy),
    ("ixgbevf", Support::Native),
    ("mana", Support::Native),
    ("mlx4_en", Support::Native),
    ("mlx5_core", Support::ZeroCopy),
    ("mvneta", Support::Native),
    ("nfp", Support::ZeroCopy),
    ("qede", Support::Native),
    ("sfc", Support::Native),
    ("st_gmac", Support::ZeroCopy),
    ("veth", Support::Native),
    ("virtio_net", Support::Native),
    ("vmxnet3", Support::Native),
];

fn support(driver: &str) -> Support {
    let known = DRIVERS.iter().find(|(name, _)| *name == driver);
    known.map_or(Support::Generic, |(_, support)| *support)
}

/// What was asked for is there, and up.
pub(super) fn presence(facts: &Facts) -> Vec<Finding> {
    let missing = facts.missing_interfaces.iter().map(|name| {
        about("interface", name.as_str()).problem(
            "there is no such interface",
            "vrouterd cannot use it",
            "`ip link` shows those that are there",
        )
    });
    let there = facts.interfaces.iter().map(|interface| {
        let finding = about("interface", interface.name.as_str());
        if interface.up {
            finding.ok("up")
        } else {
            finding.problem(
                "down",
                "no packet comes in or goes out",
                format!("`ip link set {} up`", interface.name),
            )
        }
    });
    let mut findings: Vec<_> = missing.chain(there).collect();
    if findings.is_empty() {
        findings.push(about("interface", "").not_applicable("no uplink is known: name one with --interface"));
    }
    findings
}

/// The driver.
pub(super) fn driver(facts: &Facts) -> Vec<Finding> {
    facts.interfaces.iter().map(one_driver).collect()
}

fn one_driver(interface: &Interface) -> Finding {
    let finding = about("driver", interface.name.as_str());
    let Some(driver) = interface.driver.as_deref() else {
        return finding.not_applicable("it does not say which driver it has");
    };
    match support(driver) {
        Support::ZeroCopy => finding.ok(format!("{driver}: native, without copies")),
        Support::Native if driver == "virtio_net" => finding.ok(format!(
            "{driver}: native, with one copy; it needs twice as many queues as workers, and guest offloads off"
        )),
        Support::Native => finding.ok(format!("{driver}: native, with one copy")),
        Support::Generic => finding.warning(
            format!("{driver}: not known to run XDP in the driver"),
            "packets take the way through the kernel first (generic mode): slower by a half or more",
            "use a network card with native XDP for the underlay (ice, i40e, ixgbe, igc, mlx5, ...), or live with it",
        ),
    }
}

/// Queues beside workers.
pub(super) fn queues(facts: &Facts) -> Vec<Finding> {
    let workers = facts.node.as_ref().map_or(0, |node| node.workers);
    let one = |interface: &Interface| {
        let finding = about("queues", interface.name.as_str());
        let saw = format!("{} receive, {} transmit", interface.rx_queues, interface.tx_queues);
        if interface.is_uplink && workers > interface.rx_queues {
            finding.warning(
                format!("{saw}, for {workers} workers"),
                "workers beyond the queues hand what they send to others, and receive nothing from the wire",
                format!(
                    "`ethtool -L {} combined {workers}`, if the device has so many",
                    interface.name
                ),
            )
        } else {
            finding.ok(saw)
        }
    };
    facts.interfaces.iter().map(one).collect()
}

/// Nobody else's program is there.
pub(super) fn foreign_program(facts: &Facts) -> Vec<Finding> {
    let one = |interface: &Interface| {
        let finding = about("xdp_program", interface.name.as_str());
        match interface.xdp_program {
            None => finding.ok("none"),
            Some(program) if interface.is_uplink => finding.ok(format!("program {program}, of vrouterd")),
            Some(program) => finding.problem(
                format!("program {program} is attached already"),
                "an interface has one XDP program: vrouterd cannot attach its own",
                format!(
                    "find out whose it is (`bpftool prog show id {program}`), end that, or take it off: `ip link set {} xdp off`",
                    interface.name
                ),
            ),
        }
    };
    facts.interfaces.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{facts::Node, finding::Status};

    fn facts(interface: Interface) -> Facts {
        Facts {
            interfaces: vec![interface],
            ..Facts::default()
        }
    }

    #[test]
    fn drivers_are_known_by_name() {
        let status = |driver: &str| {
            one_driver(&Interface {
                driver: Some(driver.into()),
                ..Interface::default()
            })
            .status
        };
        assert_eq!(
            (status("ice"), status("veth"), status("e1000")),
            (Status::Ok, Status::Ok, Status::Warning)
        );
        assert!(DRIVERS.is_sorted_by_key(|(name, _)| *name));
    }

    #[test]
    fn a_program_that_is_not_ours_is_a_problem() {
        let eth = Interface {
            name: "eth1".into(),
            xdp_program: Some(17),
            ..Interface::default()
        };
        let finding = &foreign_program(&facts(eth.clone()))[0];
        assert_eq!(finding.status, Status::Problem);
        assert!(finding.todo.contains("ip link set eth1 xdp off"));
        let ours = Interface { is_uplink: true, ..eth };
        assert_eq!(foreign_program(&facts(ours))[0].status, Status::Ok);
    }

    #[test]
    fn workers_without_a_queue_are_told_of() {
        let mut facts = facts(Interface {
            is_uplink: true,
            rx_queues: 2,
            ..Interface::default()
        });
        assert_eq!(queues(&facts)[0].status, Status::Ok);
        facts.node = Some(Node {
            workers: 4,
            ..Node::default()
        });
        assert_eq!(queues(&facts)[0].status, Status::Warning);
    }

    #[test]
    fn an_interface_that_is_not_there_is_a_problem() {
        let mut facts = facts(Interface {
            up: true,
            ..Interface::default()
        });
        facts.missing_interfaces.push("eth9".into());
        let statuses: Vec<_> = presence(&facts).iter().map(|finding| finding.status).collect();
        assert_eq!(statuses, [Status::Problem, Status::Ok]);
        assert_eq!(presence(&Facts::default())[0].status, Status::NotApplicable);
    }
}
