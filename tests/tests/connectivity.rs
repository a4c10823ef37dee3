//! Containers reach each other, whole and only each other: one node and two, each encapsulation over each underlay, both
//! families inside.

use std::time::Duration;

use anyhow::{Result, ensure};
use vrouter_proto::control::Encapsulation;
use vrouter_tests::{
    capture::Checksums,
    cluster::{Cluster, Options},
    container::Container,
    node::Family,
    require,
    topology::Topology,
    traffic, wait,
};

const SETTLING: Duration = Duration::from_secs(20);

fn attach(cluster: &Cluster, network: &str, containers: &[(&str, usize)]) -> Result<Vec<Container>> {
    let attached: Result<Vec<_>> = containers
        .iter()
        .map(|(name, node)| cluster.attach(*node, network, name))
        .collect();
    cluster.settle()?;
    attached
}

fn refs(containers: &[Container]) -> Vec<&Container> {
    containers.iter().collect()
}

#[test]
fn one_node_needs_no_uplink() -> Result<()> {
    require!(Root, Daemons);
    Topology::run("one node", |t| {
        let options = Options {
            nodes: 1,
            ..Options::default()
        };
        let cluster = Cluster::start(t, &options)?;
        cluster.routed_network("blue", 1, Encapsulation::Vxlan)?;
        let containers = attach(&cluster, "blue", &[("a", 0), ("b", 0), ("c", 0)])?;
        traffic::reachable(&refs(&containers), SETTLING)?;
        assert_eq!(traffic::matrix(&refs(&containers))?, 12);
        Ok(())
    })
}

/// Two containers on each of two nodes; the tunnel packets on the wire are as tshark wants them, and nothing else of ours is
/// on it.
fn two_nodes(encapsulation: Encapsulation, underlay: Family) -> Result<()> {
    Topology::run("two nodes", |t| {
        let options = Options {
            underlay: vec![underlay],
            ..Options::default()
        };
        let cluster = Cluster::start(t, &options)?;
        let network = cluster.routed_network("blue", 1, encapsulation)?;
        let containers = attach(&cluster, "blue", &[("a", 0), ("b", 0), ("c", 1), ("d", 1)])?;
        traffic::reachable(&refs(&containers), SETTLING)?;

        let capture = cluster.capture(0, "")?;
        assert_eq!(traffic::matrix(&refs(&containers))?, 24);
        let pcap = capture.stop()?;

        let (layer, port) = match encapsulation {
            Encapsulation::MplsUdp => ("mpls".to_owned(), 6635),
            _ => (format!("vxlan.vni == {}", network.vni), 4789),
        };
        let family = match underlay {
            Family::V4 => "ip",
            Family::V6 => "ipv6",
        };
        // 3 pings and 3 answers of each of 8 pairs across, in each family.
        for ping in ["icmp", "icmpv6.type == 128 || icmpv6.type == 129"] {
            let seen = pcap.count(&format!("{layer} && {family} && ({ping})"))?;
            ensure!(
                seen >= 24,
                "{seen} of 24 packets of {ping} were seen in {layer} over {family}"
            );
        }
        let clear = pcap.count("(ip.addr == 10.1.0.0/24 || ipv6.addr == fd00:1::/64) && !vxlan && !mpls")?;
        ensure!(
            clear == 0,
            "{clear} packets of containers went over the wire without a tunnel"
        );
        let sources = pcap.field(&format!("udp.dstport == {port}"), "udp.srcport")?;
        for source in &sources {
            let outer: u16 = source.split(',').next().unwrap_or_default().parse()?;
            ensure!(
                outer >= 49152,
                "source port {outer} is outside of the dynamic range (RFC 6335)"
            );
        }
        pcap.check(Checksums::Ignore)
    })
}

#[test]
fn two_nodes_vxlan_over_ipv4() -> Result<()> {
    require!(Root, Daemons, Tshark);
    two_nodes(Encapsulation::Vxlan, Family::V4)
}

#[test]
fn two_nodes_vxlan_over_ipv6() -> Result<()> {
    require!(Root, Daemons, Tshark);
    two_nodes(Encapsulation::Vxlan, Family::V6)
}

#[test]
fn two_nodes_mpls_over_ipv4() -> Result<()> {
    require!(Root, Daemons, Tshark);
    two_nodes(Encapsulation::MplsUdp, Family::V4)
}

#[test]
fn two_nodes_mpls_over_ipv6() -> Result<()> {
    require!(Root, Daemons, Tshark);
    two_nodes(Encapsulation::MplsUdp, Family::V6)
}

#[test]
fn a_bridged_network_is_one_segment_over_three_nodes() -> Result<()> {
    require!(Root, Daemons);
    Topology::run("bridged", |t| {
        let options = Options {
            nodes: 3,
            ..Options::default()
        };
        let cluster = Cluster::start(t, &options)?;
        cluster.bridged_network("lan", 2, 0)?;
        let containers = attach(&cluster, "lan", &[("a", 0), ("b", 0), ("c", 1), ("d", 2)])?;
        traffic::reachable(&refs(&containers), SETTLING)?;
        assert_eq!(traffic::matrix(&refs(&containers))?, 24);

        // A broadcast reaches every other container, once. The kernel answers no broadcast ping by itself.
        for container in &containers {
            container.netns.sysctl("ipv4.icmp_echo_ignore_broadcasts", "0")?;
        }
        let [first, rest @ ..] = containers.as_slice() else {
            anyhow::bail!("no containers")
        };
        let answers = traffic::pings(&first.netns, "10.2.0.255".parse()?, 1, &["-b"])?;
        for other in rest {
            let address = other.ip(Family::V4)?;
            let count = answers.text.matches(&format!("from {address}:")).count();
            ensure!(count <= 1, "{address} answered {count} times:\n{}", answers.text);
        }
        Ok(())
    })
}

#[test]
fn networks_with_the_same_addresses_do_not_meet() -> Result<()> {
    require!(Root, Daemons);
    Topology::run("isolation", |t| {
        let cluster = Cluster::start(t, &Options::default())?;
        for (network, encapsulation) in [("blue", Encapsulation::Vxlan), ("red", Encapsulation::MplsUdp)] {
            cluster.routed_network(network, 1, encapsulation)?;
        }
        let blue = attach(&cluster, "blue", &[("blue-a", 0), ("blue-b", 1)])?;
        let red = attach(&cluster, "red", &[("red-a", 0), ("red-b", 1), ("red-c", 1)])?;
        traffic::reachable(&refs(&blue), SETTLING)?;
        traffic::reachable(&refs(&red), SETTLING)?;
        // Both networks have handed out the same addresses.
        for family in Family::BOTH {
            assert_eq!(blue[0].ip(family)?, red[0].ip(family)?);
            // The third address exists in red only.
            let third = red[2].ip(family)?;
            let across = traffic::pings(&blue[0].netns, third, 2, &["-W", "1"])?;
            ensure!(across.received == 0, "blue reaches {third}, which only red has");
        }
        assert_eq!(traffic::matrix(&refs(&blue))?, 4);
        assert_eq!(traffic::matrix(&refs(&red))?, 12);
        Ok(())
    })
}

#[test]
fn the_gateway_answers_and_reports_what_cannot_be_delivered() -> Result<()> {
    require!(Root, Daemons);
    Topology::run("gateway", |t| {
        let cluster = Cluster::start(t, &Options::default())?;
        cluster.routed_network("blue", 1, Encapsulation::Vxlan)?;
        let containers = attach(&cluster, "blue", &[("a", 0), ("b", 1)])?;
        traffic::reachable(&refs(&containers), SETTLING)?;
        let (a, b) = (&containers[0], &containers[1]);
        for (family, gateway, nobody) in [
            (Family::V4, "10.1.0.1", "10.99.0.1"),
            (Family::V6, "fd00:1::1", "fd00:99::1"),
        ] {
            traffic::ping(&a.netns, gateway.parse()?, 3)?;
            traffic::ping(&b.netns, gateway.parse()?, 3)?;

            let late = traffic::pings(&a.netns, b.ip(family)?, 1, &["-t", "1"])?;
            let says = |pings: &traffic::Pings, words: &[&str]| {
                let lower = pings.text.to_lowercase();
                ensure!(
                    words.iter().any(|word| lower.contains(word)),
                    "none of {words:?} in:\n{}",
                    pings.text
                );
                ensure!(
                    lower.contains(&format!("from {gateway}")),
                    "not from {gateway}:\n{}",
                    pings.text
                );
                Ok(())
            };
            says(&late, &["time to live exceeded", "hop limit"])?;
            let lost = traffic::pings(&a.netns, nobody.parse()?, 1, &[])?;
            says(&lost, &["unreachable", "no route"])?;
        }
        Ok(())
    })
}

#[test]
fn packets_up_to_the_mtu_pass_and_larger_ones_in_fragments() -> Result<()> {
    require!(Root, Daemons);
    Topology::run("mtu", |t| {
        let cluster = Cluster::start(t, &Options::default())?;
        // What the wire's 1500 bytes leave beside the headers of each tunnel over IPv4.
        for (number, encapsulation, path) in [(1, Encapsulation::Vxlan, 1450), (2, Encapsulation::MplsUdp, 1468)] {
            let network = format!("net-{number}");
            cluster.routed_network(&network, number, encapsulation)?;
            let containers = attach(
                &cluster,
                &network,
                &[(&format!("a{number}"), 0), (&format!("b{number}"), 1)],
            )?;
            traffic::reachable(&refs(&containers), SETTLING)?;
            let (a, b) = (&containers[0], &containers[1]);
            let mtu: usize = a.netns.link_file("eth0", "mtu")?.trim().parse()?;
            ensure!(mtu > path, "{mtu} bytes are less than the wire carries");
            for (family, headers) in [(Family::V4, 28), (Family::V6, 48)] {
                let to = b.ip(family)?;
                let (fitting, larger) = ((path - headers).to_string(), (path - headers + 1).to_string());
                traffic::ping_with(&a.netns, to, 3, &["-M", "do", "-s", &fitting])?;
                let refused = traffic::ping_with(&a.netns, to, 1, &["-M", "do", "-s", &larger]);
                ensure!(refused.is_err(), "{larger} bytes of data crossed a path of {path}");
                // Each end is told what the path carries, and sends fragments from then on.
                wait::until("fragments to arrive", || {
                    traffic::ping_with(&a.netns, to, 1, &["-s", "4000"])
                })?;
                traffic::ping_with(&a.netns, to, 3, &["-s", "4000"])?;
            }
        }
        Ok(())
    })
}
