//! The demo: two compute nodes, four containers, and everybody talks to everybody, over VXLAN and then over MPLS-over-UDP.
//!
//! `make demo` runs it; `make demo KEEP=1` leaves everything up for a look around. It tells its story in plain words and does
//! nothing that a user could not do: programs, `vrctl` and the public API.

mod screen;

use std::{process::ExitCode, time::Duration};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use screen::Screen;
use vrouter_tests::{
    cluster::{Cluster, Options},
    container::Container,
    daemon,
    netns::Netns,
    node::{Family, UPLINK},
    require::{Need, lacking},
    topology::Topology,
    traffic::{self, Connection, Echo},
};

/// What all names of the demo's namespaces begin with.
const PREFIX: &str = "vrouter-demo-";
/// The containers and the node each is on.
const CONTAINERS: [(&str, usize); 4] = [("web-1", 0), ("db-1", 0), ("web-2", 1), ("db-2", 1)];
const NETWORK: &str = "blue";
/// Bytes of each TCP exchange.
const TCP_BYTES: usize = 1_000_000;

/// Shows vrouter at work on two nodes made of network namespaces
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Leave nodes, containers and daemons up at the end
    #[arg(long)]
    keep: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut screen = Screen::new();
    match demo(&mut screen, &arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            screen.bad(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn demo(screen: &mut Screen, arguments: &Arguments) -> Result<()> {
    if let Some(lack) = lacking(&[Need::Root, Need::Daemons, Need::Tshark]) {
        anyhow::bail!("this machine lacks: {lack}");
    }
    ensure!(
        Netns::existing(PREFIX)?.is_empty(),
        "a demo is up already. Clean it up with: make demo-clean"
    );
    screen.say("vrouter: two compute nodes, four containers, one network. Nothing outside of this demo's own namespaces is touched.");
    let topology = Topology::named(PREFIX)?;
    let outcome = story(screen, &topology, arguments.keep);
    if outcome.is_err() {
        topology.show_logs();
    }
    outcome
}

fn story(screen: &mut Screen, topology: &Topology, keep: bool) -> Result<()> {
    screen.heading("Two compute nodes on a wire, vrouterd on each, one vrouter-control for both");
    let cluster = Cluster::start(topology, &Options::default())?;
    let mut rows = vec![
        ["node", "uplink", "tunnel addresses", "vrouterd"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for compute in &cluster.computes {
        let addresses = Family::BOTH.map(|family| compute.node.underlay(family).to_string());
        let process = format!("running, process {}", compute.vrouterd.process().unwrap_or(0));
        rows.push(vec![
            compute.node.name.clone(),
            UPLINK.to_owned(),
            addresses.join(", "),
            process,
        ]);
    }
    screen.table(&rows);
    shown(screen, &cluster, None, "status")?;

    screen.heading("A network for the tenant, IPv4 and IPv6, by the public API");
    shown(
        screen,
        &cluster,
        None,
        &format!("network create {NETWORK} --encap vxlan"),
    )?;
    shown(
        screen,
        &cluster,
        None,
        &format!("subnet create {NETWORK}/v4 --cidr 10.1.0.0/24"),
    )?;
    shown(
        screen,
        &cluster,
        None,
        &format!("subnet create {NETWORK}/v6 --cidr fd00:1::/64"),
    )?;

    screen.heading("Four containers, two on each node: a namespace and a veth each, attached by the API");
    let mut containers = Vec::new();
    for (name, node) in CONTAINERS {
        containers.push(cluster.attach(node, NETWORK, name)?);
    }
    cluster.settle()?;
    shown(screen, &cluster, None, "endpoint list")?;
    let containers: Vec<&Container> = containers.iter().collect();

    screen.heading("Everybody talks to everybody, over VXLAN");
    everybody(
        screen,
        &cluster,
        &containers,
        "udp port 4789",
        "vxlan.vni",
        "VXLAN, VNI",
    )?;

    screen.heading("The same network, now over MPLS-over-UDP: one update, and open connections live on");
    let [first, .., last] = containers.as_slice() else {
        anyhow::bail!("too few containers")
    };
    let echo = Echo::start(&last.netns)?;
    let mut connections = Vec::new();
    for family in Family::BOTH {
        let mut connection = Connection::open(&first.netns, last.ip(family)?)?;
        connection.exchange(TCP_BYTES)?;
        connections.push(connection);
    }
    shown(
        screen,
        &cluster,
        None,
        &format!("network update {NETWORK} --encap mpls-udp"),
    )?;
    cluster.settle()?;
    for connection in &mut connections {
        connection.exchange(TCP_BYTES)?;
    }
    drop(echo);
    screen.good(&format!(
        "TCP connections from {} to {}, opened over VXLAN, go on over MPLS",
        first.name, last.name
    ));
    everybody(
        screen,
        &cluster,
        &containers,
        "udp port 6635",
        "mpls.label",
        "MPLS over UDP, labels",
    )?;

    screen.heading("The tables behind it, on node1");
    for line in [
        "port list",
        "route list",
        "nexthop list",
        "label list",
        &format!(
            "flow list --match 'ip={} ip={} proto=tcp'",
            first.ip(Family::V4)?,
            last.ip(Family::V4)?
        ),
        "drops",
    ] {
        shown(screen, &cluster, Some(0), line)?;
    }

    if keep {
        screen.heading("Everything stays up");
        left_up(screen, &cluster, first, last)?;
        topology.keep();
    } else {
        screen.heading("Cleaning up");
        drop(cluster);
        screen.good(&format!(
            "all of it is gone; {:.0} seconds. Look around with: make demo KEEP=1",
            screen.seconds()
        ));
    }
    Ok(())
}

/// Runs `vrctl` as a user would, and shows both the command and its answer.
fn shown(screen: &Screen, cluster: &Cluster, node: Option<usize>, line: &str) -> Result<()> {
    let arguments = words(line);
    let output = cluster.vrctl(node, &arguments)?;
    screen.command(&format!("vrctl {line}"), &output);
    Ok(())
}

/// A command line as a shell would take it apart: at spaces, except between single quotes.
fn words(line: &str) -> Vec<&str> {
    let parts = line.split('\'').enumerate();
    parts
        .flat_map(|(index, part)| {
            if index % 2 == 1 {
                vec![part]
            } else {
                part.split_whitespace().collect()
            }
        })
        .collect()
}

fn everybody(
    screen: &Screen,
    cluster: &Cluster,
    containers: &[&Container],
    filter: &str,
    field: &str,
    words: &str,
) -> Result<()> {
    traffic::reachable(containers, Duration::from_secs(10))?;
    let capture = cluster.capture(0, filter)?;
    pings(screen, containers)?;
    let pcap = capture.stop()?;
    connections(screen, containers)?;

    let values = pcap.field("", field)?;
    let mut different = values.clone();
    different.sort_unstable();
    different.dedup();
    ensure!(
        !different.is_empty(),
        "the wire between the nodes carried nothing of the kind: {filter}"
    );
    screen.good(&format!(
        "the wire carried {} packets of {words} {}",
        values.len(),
        different.join(", ")
    ));
    Ok(())
}

fn pings(screen: &Screen, containers: &[&Container]) -> Result<()> {
    let mut rows = vec![vec!["ping, ms, IPv4 / IPv6".to_owned()]];
    if let Some(head) = rows.first_mut() {
        head.extend(containers.iter().map(|to| format!("to {}", to.name)));
    }
    let mut count = 0;
    for from in containers {
        let mut row = vec![format!("{} on {}", from.name, from.node)];
        for to in containers {
            if std::ptr::eq(*from, *to) {
                row.push("-".to_owned());
                continue;
            }
            let mut cell = Vec::new();
            for family in Family::BOTH {
                let pings = traffic::pings(&from.netns, to.ip(family)?, 3, &[])?;
                ensure!(
                    pings.received == 3,
                    "{} does not reach {}:\n{}",
                    from.name,
                    to.name,
                    pings.text
                );
                cell.push(format!("{:.2}", pings.fastest.context("ping did not say how long")?));
                count += pings.received;
            }
            row.push(cell.join(" / "));
        }
        rows.push(row);
    }
    screen.table(&rows);
    screen.good(&format!("{count} of {count} pings answered"));
    Ok(())
}

fn connections(screen: &Screen, containers: &[&Container]) -> Result<()> {
    let servers: Vec<Echo> = containers
        .iter()
        .map(|container| Echo::start(&container.netns))
        .collect::<Result<_>>()?;
    let mut count = 0;
    for from in containers {
        for to in containers.iter().filter(|to| !std::ptr::eq(**to, *from)) {
            for family in Family::BOTH {
                traffic::tcp(&from.netns, to.ip(family)?, TCP_BYTES)?;
                count += 1;
            }
        }
    }
    drop(servers);
    screen.good(&format!(
        "{count} TCP connections, each sent {TCP_BYTES} bytes and got the same back"
    ));
    Ok(())
}

fn left_up(screen: &Screen, cluster: &Cluster, first: &Container, last: &Container) -> Result<()> {
    let vrctl = daemon::binary("vrctl")?;
    let node = cluster.compute(0)?;
    screen.say(&format!(
        "Try:\n  \
         alias vrctl={}\n  \
         export VROUTER_CONTROL=unix:{}\n  \
         export VROUTER_DATAPLANE=unix:{}     # {}; there is one for each node\n  \
         vrctl endpoint list\n  \
         vrctl flow list --match 'ip={}'\n  \
         vrctl stats --watch\n  \
         ip netns exec {PREFIX}{} ping {}\n  \
         ip netns exec {PREFIX}wire tcpdump -ni to-node1\n\
         Logs and sockets: {}\n\
         Clean up with: make demo-clean",
        vrctl.display(),
        cluster.control_socket.display(),
        node.socket.display(),
        node.node.name,
        first.ip(Family::V4)?,
        first.name,
        last.ip(Family::V4)?,
        cluster.topology().state().display(),
    ));
    Ok(())
}
