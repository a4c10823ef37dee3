//! The common scene: some compute nodes on a wire, each with its `vrouterd`, and one `vrouter-control` that drives them all.

use std::{ffi::OsString, fs, path::PathBuf};

use anyhow::{Context as _, Result};
use vrouter_proto::control::{self, Encapsulation};

use crate::{
    api,
    capture::Capture,
    container::Container,
    daemon::{self, Daemon},
    netns::Netns,
    node::{Carries, Family, Node, UPLINK, WIRE_MTU, Wire},
    topology::Topology,
    wait,
};

/// How a cluster is made.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many nodes run vrouterd: `node1`, `node2`, ...
    pub nodes: u8,
    /// How many more nodes are on the wire, without vrouterd: `other1`, ...
    pub others: u8,
    /// Families of the tunnels' addresses.
    pub underlay: Vec<Family>,
    /// IP MTU of the wire.
    pub mtu: u32,
    /// Exactly two nodes, joined by a veth pair and no switch: the shortest way, but nobody can listen.
    pub direct: bool,
    /// What a direct wire takes.
    pub carries: Carries,
    /// What workers do when there is nothing to do: `adaptive` or `busy`.
    pub poll: &'static str,
    /// The CPU of each node's worker. Nodes beyond the end: not pinned.
    pub cpus: Vec<usize>,
    /// Flows that each vrouterd can remember.
    pub flows: u32,
    /// Further arguments for each vrouterd.
    pub vrouterd: Vec<String>,
    /// Further arguments for vrouter-control.
    pub control: Vec<String>,
    /// Frames of packet memory of each vrouterd. The kernel keeps 128 bytes for each frame and port.
    pub frames: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            nodes: 2,
            others: 0,
            underlay: Family::BOTH.to_vec(),
            mtu: WIRE_MTU,
            direct: false,
            carries: Carries::default(),
            poll: "adaptive",
            cpus: Vec::new(),
            // Enough for tests, which run many daemons at a time.
            flows: 65536,
            vrouterd: Vec::new(),
            control: Vec::new(),
            frames: 16384,
        }
    }
}

/// A node with its running vrouterd.
#[derive(Debug)]
pub struct Compute {
    /// The daemon.
    pub vrouterd: Daemon,
    /// Where it listens.
    pub socket: PathBuf,
    /// The node.
    pub node: Node,
}

impl Compute {
    /// Starts vrouterd on a node; `wired`: with the node's uplink. Of the options, those that are about nodes and wires do not matter; of
    /// `cpus`, the first does.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(topology: &Topology, node: Node, options: &Options, wired: bool) -> Result<Self> {
        start_vrouterd(topology, node, options, options.cpus.first().copied(), wired)
    }

    /// A client of its vrouterd.
    ///
    /// # Errors
    /// When it does not listen.
    pub fn dataplane(&self) -> Result<api::Dataplane> {
        api::Dataplane::connect(&self.socket)
    }
}

/// Nodes, wire and daemons, up and serving. The order of the fields is the order of their end: daemons before namespaces.
#[derive(Debug)]
pub struct Cluster {
    /// The control process.
    pub control: Daemon,
    /// Its socket.
    pub control_socket: PathBuf,
    /// A client of it.
    pub api: api::Control,
    /// The nodes with vrouterd.
    pub computes: Vec<Compute>,
    /// The nodes without.
    pub others: Vec<Node>,
    /// What joins them.
    pub wire: Option<Wire>,
    /// The control process has a namespace of its own without any link: it speaks to the daemons over unix sockets.
    pub control_netns: Netns,
    topology: Topology,
}

impl Cluster {
    /// Makes nodes and wire, starts all daemons, and registers the nodes.
    ///
    /// # Errors
    /// When anything of it fails.
    pub fn start(topology: &Topology, options: &Options) -> Result<Self> {
        let names = |role: &str, count: u8| (1..=count).map(|number| format!("{role}{number}")).collect::<Vec<_>>();
        let make = |(name, number): (String, u8)| Node::new(topology, &name, number);
        let nodes: Vec<Node> = names("node", options.nodes)
            .into_iter()
            .zip(1..)
            .map(make)
            .collect::<Result<_>>()?;
        let others: Vec<Node> = names("other", options.others)
            .into_iter()
            .zip(options.nodes + 1..)
            .map(make)
            .collect::<Result<_>>()?;
        let all: Vec<&Node> = nodes.iter().chain(&others).collect();
        let wire = match all.as_slice() {
            [_] => None,
            [left, right] if options.direct => Some(Wire::direct_carrying(left, right, options.mtu, options.carries)?),
            all => Some(Wire::switched(topology, all, options.mtu)?),
        };

        let mut computes = Vec::new();
        for (index, node) in nodes.into_iter().enumerate() {
            let cpu = options.cpus.get(index).copied();
            computes.push(start_vrouterd(topology, node, options, cpu, wire.is_some())?);
        }

        let control_netns = topology.netns("control")?;
        let control_socket = topology.state().join("control.sock");
        let mut arguments = vec![
            "--listen".to_owned(),
            format!("unix:{}", control_socket.display()),
            "--store".to_owned(),
            topology.state().join("control.redb").display().to_string(),
        ];
        for compute in &computes {
            let address = format!("{}=unix:{}", compute.node.name, compute.socket.display());
            arguments.extend(["--dataplane".to_owned(), address]);
        }
        arguments.extend(options.control.iter().cloned());
        let control = Daemon::start(
            &control_netns,
            "vrouter-control",
            daemon::binary("vrouter-control")?,
            arguments.into_iter().map(OsString::from).collect(),
            Some(control_socket.clone()),
        )?;
        let api = api::Control::connect(&control_socket)?;
        for compute in &computes {
            api.node(control::Node {
                name: compute.node.name.clone(),
                ..Default::default()
            })?;
        }
        Ok(Self {
            control,
            control_socket,
            api,
            computes,
            others,
            wire,
            control_netns,
            topology: topology.clone(),
        })
    }

    /// A node with vrouterd, counted from 0.
    ///
    /// # Errors
    /// When there are not so many.
    pub fn compute(&self, index: usize) -> Result<&Compute> {
        self.computes.get(index).with_context(|| format!("no node {index}"))
    }

    /// Captures what passes between a node with vrouterd, counted from 0, and the switch.
    ///
    /// # Errors
    /// When there is no switch, or tcpdump does not start.
    pub fn capture(&self, node: usize, filter: &str) -> Result<Capture> {
        let wire = self.wire.as_ref().context("there is only one node, and no wire")?;
        wire.capture(&self.compute(node)?.node, filter)
    }

    /// Creates a routed network with one IPv4 subnet (10.`number`.0.0/24) and one IPv6 subnet (fd00:`number`::/64).
    ///
    /// # Errors
    /// The server's refusal.
    pub fn routed_network(&self, name: &str, number: u8, encapsulation: Encapsulation) -> Result<control::Network> {
        self.network(
            number,
            control::Network {
                name: name.to_owned(),
                encapsulation: encapsulation.into(),
                ..Default::default()
            },
        )
    }

    /// Creates a bridged network (VXLAN) with a given VNI and the subnets of [`Cluster::routed_network`].
    ///
    /// # Errors
    /// The server's refusal.
    pub fn bridged_network(&self, name: &str, number: u8, vni: u32) -> Result<control::Network> {
        self.network(
            number,
            control::Network {
                name: name.to_owned(),
                bridged: true,
                encapsulation: Encapsulation::Vxlan.into(),
                vni,
                ..Default::default()
            },
        )
    }

    fn network(&self, number: u8, network: control::Network) -> Result<control::Network> {
        let network = self.api.network(network)?;
        self.api.subnet(&network.name, "v4", &format!("10.{number}.0.0/24"))?;
        self.api.subnet(&network.name, "v6", &format!("fd00:{number:x}::/64"))?;
        Ok(network)
    }

    /// Makes a container on a node, attaches it to a network, and configures it as the control process says.
    ///
    /// # Errors
    /// When the kernel or the server refuses.
    pub fn attach(&self, node: usize, network: &str, name: &str) -> Result<Container> {
        let node = &self.compute(node)?.node;
        let mut container = Container::new(node, name)?;
        let endpoint = self.api.endpoint(control::Endpoint {
            network: network.to_owned(),
            name: name.to_owned(),
            node: node.name.clone(),
            interface: name.to_owned(),
            mac: container.mac()?,
            ..Default::default()
        })?;
        container.configure(&endpoint)?;
        Ok(container)
    }

    /// Waits until every dataplane has all that was wished.
    ///
    /// # Errors
    /// When it does not come to that, with what the control process says.
    pub fn settle(&self) -> Result<()> {
        wait::until("all dataplanes to be in sync", || self.api.in_sync())
    }

    /// Runs `vrctl` against the control process, and against the vrouterd of a node where one is given.
    ///
    /// # Errors
    /// When it does not succeed.
    pub fn vrctl(&self, node: Option<usize>, arguments: &[&str]) -> Result<String> {
        let mut command = std::process::Command::new(daemon::binary("vrctl")?);
        command.env("VROUTER_CONTROL", format!("unix:{}", self.control_socket.display()));
        if let Some(node) = node {
            command.env(
                "VROUTER_DATAPLANE",
                format!("unix:{}", self.compute(node)?.socket.display()),
            );
        }
        crate::run::stdout(command.args(arguments))
    }

    /// The world it is in.
    #[must_use]
    pub fn topology(&self) -> &Topology {
        &self.topology
    }
}

impl Drop for Cluster {
    /// Leaves a last word for failing tests: what was dropped, and why.
    fn drop(&mut self) {
        if self.topology.is_kept() {
            return;
        }
        let mut text = String::new();
        for compute in &mut self.computes {
            if matches!(compute.vrouterd.exit_status(), Ok(None)) {
                let drops = compute.dataplane().and_then(|dataplane| dataplane.all_drops());
                text.push_str(&format!("{}: {drops:?}\n", compute.node.name));
            }
        }
        let _ = fs::write(self.topology.log("drops"), text);
    }
}

fn start_vrouterd(
    topology: &Topology,
    node: Node,
    options: &Options,
    cpu: Option<usize>,
    wired: bool,
) -> Result<Compute> {
    let socket = topology.state().join(format!("{}.sock", node.name));
    let mut arguments: Vec<String> = [
        "--node",
        &node.name,
        "--workers",
        "1",
        "--poll",
        options.poll,
        "--listen",
    ]
    .map(str::to_owned)
    .to_vec();
    arguments.push(format!("unix:{}", socket.display()));
    if wired {
        arguments.extend(["--uplink".to_owned(), UPLINK.to_owned()]);
        for family in &options.underlay {
            arguments.extend(["--vtep".to_owned(), node.underlay_cidr(*family)]);
        }
    }
    if let Some(cpu) = cpu {
        arguments.extend(["--cpus".to_owned(), cpu.to_string()]);
    }
    arguments.extend(["--flows".to_owned(), options.flows.to_string()]);
    arguments.extend(["--frames".to_owned(), options.frames.to_string()]);
    arguments.extend(options.vrouterd.iter().cloned());
    let vrouterd = Daemon::start(
        &node.netns,
        &format!("vrouterd-{}", node.name),
        daemon::binary("vrouterd")?,
        arguments.into_iter().map(OsString::from).collect(),
        Some(socket.clone()),
    )?;
    Ok(Compute { vrouterd, socket, node })
}
