//! Two containers with something between them: what measurements see of a peer.

use std::{net::IpAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use vrouter_tests::{
    cluster::Cluster,
    container::{Container, LINK},
    daemon::Daemon,
    netns::Netns,
    node::{Family, Node},
    traffic, wait,
};

/// TCP port of iperf3.
pub(crate) const IPERF_PORT: u16 = 5201;
/// TCP port of requests and responses.
pub(crate) const LATENCY_PORT: u16 = 7000;
/// TCP port of connections that are made, used and closed.
pub(crate) const CONNECT_PORT: u16 = 7001;
/// UDP port of small packets.
pub(crate) const RATE_PORT: u16 = 20000;

/// How long a peer may take until the first packet passes.
const PATIENCE: Duration = Duration::from_secs(15);

/// One container.
#[derive(Debug)]
pub(crate) struct Side {
    /// Its namespace; its link is [`LINK`].
    pub(crate) netns: Netns,
    addresses: Vec<IpAddr>,
}

impl Side {
    /// Of a namespace whose link has these addresses.
    pub(crate) fn new(netns: Netns, addresses: Vec<IpAddr>) -> Result<Self> {
        // Many short connections in a row; and nobody waits two minutes for an answer that will not come.
        netns.sysctl("ipv4.ip_local_port_range", "1024 65535")?;
        netns.sysctl("ipv4.tcp_syn_retries", "2")?;
        Ok(Self { netns, addresses })
    }

    /// Of a configured container.
    pub(crate) fn of(container: Container) -> Result<Self> {
        let addresses = container.addresses().to_vec();
        Self::new(container.netns, addresses)
    }

    /// Its address of a family.
    pub(crate) fn address(&self, family: Family) -> Result<IpAddr> {
        let mut addresses = self.addresses.iter().copied();
        addresses
            .find(|address| Family::of(*address) == family)
            .with_context(|| format!("{} has no {family:?} address", self.netns.name()))
    }

    /// Lets the container finish its packets itself, for peers that cannot carry what it leaves to others by default.
    pub(crate) fn finish_packets(&self) -> Result<()> {
        self.netns
            .sh(&format!("ethtool -K {LINK} tx off gso off tso off >/dev/null"))?;
        Ok(())
    }
}

/// A peer at work. The order of the fields is the order of their end: daemons before namespaces.
#[derive(Debug)]
pub(crate) struct Scene {
    /// What else must stay up.
    pub(crate) daemons: Vec<Daemon>,
    /// vrouter, where it is the peer.
    pub(crate) vrouter: Option<Cluster>,
    /// Who begins.
    pub(crate) client: Side,
    /// Who answers.
    pub(crate) server: Side,
    /// The nodes in between.
    pub(crate) nodes: Vec<Node>,
    /// What a reader of the figures should know.
    pub(crate) notes: Vec<String>,
}

impl Scene {
    /// Two containers without anything between them yet.
    pub(crate) fn new(client: Side, server: Side) -> Self {
        Self {
            daemons: Vec::new(),
            vrouter: None,
            client,
            server,
            nodes: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Waits until a packet passes, there and back.
    pub(crate) fn ready(&self, family: Family) -> Result<()> {
        let to = self.server.address(family)?;
        wait::within(PATIENCE, "an answer from the server", || {
            let pings = traffic::pings(&self.client.netns, to, 1, &["-W", "1"])?;
            ensure!(pings.received == 1, "{}", pings.text);
            Ok(())
        })
    }

    /// Whether the containers are on nodes of their own.
    pub(crate) fn has_wire(&self) -> bool {
        match &self.vrouter {
            Some(cluster) => cluster.computes.len() > 1,
            None => self.nodes.len() > 1,
        }
    }
}
