//! With parts that nobody here wrote: the Linux kernel's VXLAN device and bridge as the other node.

use std::time::Duration;

use anyhow::{Result, ensure};
use vrouter_proto::control::{Endpoint, Node};
use vrouter_tests::{
    capture::Checksums,
    cluster::{Cluster, Options},
    node::Family,
    require, run,
    topology::Topology,
    traffic::{self, Connection, Echo},
    vtep::KernelVtep,
};

const VNI: u32 = 4242;
const SETTLING: Duration = Duration::from_secs(20);

/// One node runs vrouter, the other the kernel's VXLAN device in a bridge. `known`: the kernel's container is told to the
/// control process as an endpoint of an external node; otherwise it is found by flooding and learning alone.
fn kernel_peer(underlay: Family, known: bool) -> Result<()> {
    Topology::run("kernel VTEP", |t| {
        let options = Options {
            nodes: 1,
            others: 1,
            underlay: vec![underlay],
            ..Options::default()
        };
        let cluster = Cluster::start(t, &options)?;
        let here = cluster.compute(0)?;
        let other = &cluster.others[0];
        let kernel = KernelVtep::new(other, VNI, underlay, &[here.node.underlay(underlay)])?;
        cluster.api.node(Node {
            name: other.name.clone(),
            vtep_addresses: vec![other.underlay(underlay).to_string()],
            external: true,
            ..Default::default()
        })?;
        cluster.bridged_network("lan", 9, VNI)?;
        let ours = cluster.attach(0, "lan", "ours")?;
        let second = cluster.attach(0, "lan", "second")?;
        let mtu = ours.netns.link_file("eth0", "mtu")?.trim().parse()?;
        let theirs = kernel.container("theirs", &["10.9.0.200/24", "fd00:9::200/64"], mtu)?;
        if known {
            cluster.api.endpoint(Endpoint {
                network: "lan".to_owned(),
                name: "theirs".to_owned(),
                node: other.name.clone(),
                mac: theirs.mac()?,
                addresses: vec!["10.9.0.200".to_owned(), "fd00:9::200".to_owned()],
                ..Default::default()
            })?;
        }
        cluster.settle()?;

        let capture = cluster.capture(0, "")?;
        let containers = [&ours, &second, &theirs];
        traffic::reachable(&containers, SETTLING)?;
        assert_eq!(traffic::matrix(&containers)?, 12);
        // Asked anew from both sides, neighbours are found again: ARP and ND cross the tunnel, or are answered for.
        for container in containers {
            container.netns.ip("neigh flush all")?;
        }
        traffic::matrix(&containers)?;
        let pcap = capture.stop()?;

        ensure!(
            pcap.count(&format!("vxlan.vni == {VNI} && icmp"))? >= 24,
            "IPv4 pings did not cross"
        );
        ensure!(
            pcap.count(&format!("vxlan.vni == {VNI} && icmpv6.type == 128"))? >= 12,
            "IPv6 pings did not cross"
        );
        if !known {
            ensure!(
                pcap.count(&format!("vxlan.vni == {VNI} && arp"))? > 0,
                "no ARP crossed the tunnel"
            );
            ensure!(
                pcap.count(&format!("vxlan.vni == {VNI} && icmpv6.type == 135"))? > 0,
                "no ND crossed the tunnel"
            );
        }
        pcap.check(Checksums::Ignore)?;

        // What the kernel learned of us: our containers' MACs, behind our VTEP.
        let fdb = run::stdout(std::process::Command::new("bridge").args([
            "-n",
            other.netns.name(),
            "fdb",
            "show",
            "dev",
            "vxlan0",
        ]))?;
        let learned = format!("{} dst {}", ours.mac()?, here.node.underlay(underlay));
        ensure!(fdb.contains(&learned), "the kernel has not learned '{learned}':\n{fdb}");

        // Long connections in both directions.
        let echoes = [Echo::start(&ours.netns)?, Echo::start(&theirs.netns)?];
        for family in Family::BOTH {
            for (from, to) in [(&ours, &theirs), (&theirs, &ours)] {
                let mut connection = Connection::open(&from.netns, to.ip(family)?)?;
                for _ in 0..5 {
                    connection.exchange(500_000)?;
                }
            }
        }
        drop(echoes);
        Ok(())
    })
}

#[test]
fn kernel_vtep_over_ipv4_learned() -> Result<()> {
    require!(Root, Daemons, KernelVxlan, Tshark);
    kernel_peer(Family::V4, false)
}

#[test]
fn kernel_vtep_over_ipv6_learned() -> Result<()> {
    require!(Root, Daemons, KernelVxlan, Tshark);
    kernel_peer(Family::V6, false)
}

#[test]
fn kernel_vtep_over_ipv4_as_known_endpoint() -> Result<()> {
    require!(Root, Daemons, KernelVxlan, Tshark);
    kernel_peer(Family::V4, true)
}

#[test]
fn kernel_vtep_over_ipv6_as_known_endpoint() -> Result<()> {
    require!(Root, Daemons, KernelVxlan, Tshark);
    kernel_peer(Family::V6, true)
}
