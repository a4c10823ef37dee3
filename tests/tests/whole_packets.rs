//! Workloads send packets of many segments, which cross a node whole, are cut where they leave it, and joined where they arrive.

use std::{net::IpAddr, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use vrouter_proto::{
    control::Encapsulation,
    dataplane::{Kind, object::Object},
};
use vrouter_tests::{
    capture::{Capture, Checksums},
    cluster::{Cluster, Compute, Options},
    container::{Container, LINK},
    node::{Carries, Family, UPLINK},
    require,
    topology::Topology,
    traffic::{self, Echo},
};

const SETTLING: Duration = Duration::from_secs(20);

/// What a transfer moves in each direction.
const BYTES: usize = 4_000_000;

/// Mean size of the packets that a container received since the counts that were given, bytes; and the counts now.
fn mean(container: &Container, before: (u64, u64)) -> Result<(u64, (u64, u64))> {
    let count = |file| -> Result<u64> {
        let text = container.netns.link_file(LINK, &format!("statistics/{file}"))?;
        text.trim().parse().context("a count")
    };
    let now = (count("rx_bytes")?, count("rx_packets")?);
    Ok(((now.0 - before.0) / (now.1 - before.1).max(1), now))
}

/// Moves bytes to and fro and gives the mean size of what the far end received.
fn transfer(from: &Container, to: &Container, address: IpAddr) -> Result<u64> {
    let (_, before) = mean(to, (0, 0))?;
    traffic::tcp(&from.netns, address, BYTES)?;
    Ok(mean(to, before)?.0)
}

fn two_nodes(encapsulation: Encapsulation) -> Result<()> {
    Topology::run("whole packets", |t| {
        let cluster = Cluster::start(t, &Options::default())?;
        cluster.routed_network("blue", 1, encapsulation)?;
        let a = cluster.attach(0, "blue", "a")?;
        let b = cluster.attach(0, "blue", "b")?;
        let c = cluster.attach(1, "blue", "c")?;
        // Somebody whose stack wants ordinary packets, though its link would carry more.
        let small = cluster.attach(1, "blue", "small")?;
        small.mtu(1500)?;
        cluster.settle()?;
        traffic::reachable(&[&a, &b, &c, &small], SETTLING)?;
        let _servers = [&b, &c, &small].map(|container| Echo::start(&container.netns));
        for address in b.addresses() {
            let mean = transfer(&a, &b, *address)?;
            ensure!(mean > 20_000, "packets of {mean} bytes cross one node");
        }
        let capture = cluster.capture(0, "")?;
        for address in c.addresses() {
            let mean = transfer(&a, &c, *address)?;
            ensure!(mean > 2_000, "packets of {mean} bytes arrive from another node");
        }
        for address in small.addresses() {
            transfer(&a, &small, *address)?;
            transfer(&c, &small, *address)?;
        }
        let pcap = capture.stop()?;
        let long = pcap.count("frame.len > 1514")?;
        ensure!(long == 0, "{long} frames on the wire are longer than it carries");
        let sent = pcap.count("tcp.len > 1000")?;
        ensure!(sent > 2 * BYTES / 1400, "{sent} segments were seen on the wire");
        pcap.check(Checksums::Verify)
    })
}

#[test]
fn across_nodes_by_vxlan() -> Result<()> {
    require!(Root, Daemons, Tshark);
    two_nodes(Encapsulation::Vxlan)
}

#[test]
fn across_nodes_by_mpls_over_udp() -> Result<()> {
    require!(Root, Daemons, Tshark);
    two_nodes(Encapsulation::MplsUdp)
}

/// How a node's uplink is attached, in vrouterd's words.
fn uplink_attachment(compute: &Compute) -> Result<String> {
    for object in compute.dataplane()?.dump(&[Kind::Port])? {
        if let Object::Port(port) = object
            && port.interface == UPLINK
        {
            return Ok(port.state.unwrap_or_default().attachment);
        }
    }
    bail!("no uplink")
}

/// Two nodes on a direct wire: what is cut for it leaves in one call per packet.
fn direct(carries: Carries, underlay: Family, encapsulation: Encapsulation) -> Result<()> {
    Topology::run("trains", |t| {
        let options = Options {
            direct: true,
            carries,
            underlay: vec![underlay],
            ..Options::default()
        };
        let cluster = Cluster::start(t, &options)?;
        cluster.routed_network("blue", 1, encapsulation)?;
        let a = cluster.attach(0, "blue", "a")?;
        let b = cluster.attach(1, "blue", "b")?;
        cluster.settle()?;
        traffic::reachable(&[&a, &b], SETTLING)?;
        let _server = Echo::start(&b.netns);
        let node = &cluster.computes.first().context("a node")?.node;
        for port in cluster.computes.iter().map(uplink_attachment) {
            let words = port?;
            ensure!(
                words == "packet, behind receive offload, 1 queue",
                "the uplink is attached so: {words}"
            );
        }
        // What goes out through rings is not seen here; what the kernel cuts is, and what need not be cut.
        let capture = Capture::start(&node.netns, UPLINK, "udp and greater 1000")?;
        for address in b.addresses() {
            let mean = transfer(&a, &b, *address)?;
            ensure!(mean > 2_000, "packets of {mean} bytes arrive from another node");
        }
        let pcap = capture.stop()?;
        if carries == Carries::Whole {
            let whole = pcap.count("frame.len > 10000")?;
            ensure!(whole > 10, "{whole} frames of many segments crossed the wire");
            return Ok(());
        }
        let cut = pcap.count("udp")?;
        let least = b.addresses().len() * BYTES / 1500 / 2;
        ensure!(cut >= least, "{cut} packets were cut by the kernel, not {least}");
        Ok(())
    })
}

#[test]
fn in_one_call_over_a_wire_that_does_not_segment() -> Result<()> {
    require!(Root, Daemons, Tshark);
    direct(Carries::Segments, Family::V4, Encapsulation::Vxlan)?;
    direct(Carries::Segments, Family::V6, Encapsulation::MplsUdp)
}

#[test]
fn in_one_call_over_a_wire_that_carries_whole_frames() -> Result<()> {
    require!(Root, Daemons, Tshark);
    direct(Carries::Whole, Family::V6, Encapsulation::Vxlan)?;
    direct(Carries::Whole, Family::V4, Encapsulation::MplsUdp)
}

#[test]
fn in_one_call_over_a_wire_that_wants_finished_packets() -> Result<()> {
    require!(Root, Daemons, Tshark);
    direct(Carries::Finished, Family::V4, Encapsulation::MplsUdp)?;
    direct(Carries::Finished, Family::V6, Encapsulation::Vxlan)
}
