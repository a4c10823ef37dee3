//! Compute nodes and the wires that join them.
//!
//! A node is a namespace with one end of a wire as its uplink, `uplink0`, addressed in both families. Two nodes may be joined
//! directly by one veth pair, or, like more than two, by a namespace in the middle with a bridge: a switch.
//!
//! Only on a switch can be captured what a router on AF_XDP sends and receives: its frames never pass the place where
//! packet sockets of its own namespace listen.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context as _, Result};

use crate::{capture::Capture, netns::Netns, topology::Topology};

/// Name of every node's uplink.
pub const UPLINK: &str = "uplink0";
/// The IP MTU of a wire unless said otherwise: what Ethernet carries.
pub const WIRE_MTU: u32 = 1500;

/// Address family of an underlay or of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

/// What the ends of a wire take from their node, as the NIC that they stand for would.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Carries {
    /// Finished packets alone: checksums summed, segments cut. What is seen on the wire is what a NIC would send.
    #[default]
    Finished,
    /// Single packets, checksums left to the wire: a NIC without segmentation and tunnel offloads.
    Segments,
    /// Whatever a veth takes by default: frames of up to 64 KiB cross it whole, in tunnels, too.
    Whole,
}

impl Carries {
    /// What `ethtool -K` is told, if anything.
    fn features(self) -> Option<&'static str> {
        match self {
            // A veth hands unfinished checksums and unsegmented packets to its peer; what comes out of a NIC is finished.
            Self::Finished => Some("tx off"),
            Self::Segments => Some(
                "tso off gso off tx-udp-segmentation off tx-udp_tnl-segmentation off tx-udp_tnl-csum-segmentation off",
            ),
            Self::Whole => None,
        }
    }
}

/// A compute node.
#[derive(Debug)]
pub struct Node {
    /// Name, as the daemons are told.
    pub name: String,
    /// Where it lives.
    pub netns: Netns,
    number: u8,
}

impl Node {
    /// A node without a wire. `number` makes its addresses: 192.0.2.`number` and 2001:db8:2::`number`.
    ///
    /// # Errors
    /// When the namespace cannot be made.
    pub fn new(topology: &Topology, name: &str, number: u8) -> Result<Self> {
        Ok(Self {
            name: name.to_owned(),
            netns: topology.netns(name)?,
            number,
        })
    }

    /// Its address on the wire.
    #[must_use]
    pub fn underlay(&self, family: Family) -> IpAddr {
        match family {
            Family::V4 => Ipv4Addr::new(192, 0, 2, self.number).into(),
            Family::V6 => Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, self.number.into()).into(),
        }
    }

    /// Its address on the wire with prefix length.
    #[must_use]
    pub fn underlay_cidr(&self, family: Family) -> String {
        let length = match family {
            Family::V4 => 24,
            Family::V6 => 64,
        };
        format!("{}/{length}", self.underlay(family))
    }

    fn connect(&self, carries: Carries) -> Result<()> {
        for family in Family::BOTH {
            self.netns.address(UPLINK, &self.underlay_cidr(family))?;
        }
        if let Some(features) = carries.features() {
            self.netns.sh(&format!("ethtool -K {UPLINK} {features} >/dev/null"))?;
        }
        Ok(())
    }
}

/// What joins nodes.
#[derive(Debug)]
pub struct Wire {
    /// The namespace of the switch; `None` for a direct wire.
    pub switch: Option<Netns>,
}

/// The bridge in a switch.
const SWITCH: &str = "wire";

impl Wire {
    /// Joins two nodes by one veth pair and gives them their addresses.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn direct(left: &Node, right: &Node, mtu: u32) -> Result<Self> {
        Self::direct_carrying(left, right, mtu, Carries::default())
    }

    /// Like [`Wire::direct`], with a say in what the wire takes.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn direct_carrying(left: &Node, right: &Node, mtu: u32, carries: Carries) -> Result<Self> {
        left.netns.veth(UPLINK, &right.netns, UPLINK, mtu)?;
        left.connect(carries)?;
        right.connect(carries)?;
        Ok(Self { switch: None })
    }

    /// Joins nodes by a switch and gives them their addresses.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn switched(topology: &Topology, nodes: &[&Node], mtu: u32) -> Result<Self> {
        let switch = topology.netns("wire")?;
        switch.bridge(SWITCH, &[])?;
        for node in nodes {
            let link = format!("to-{}", node.name);
            switch.veth(&link, &node.netns, UPLINK, mtu)?;
            switch.ip(&format!("link set dev {link} master {SWITCH}"))?;
            node.connect(Carries::default())?;
        }
        Ok(Self { switch: Some(switch) })
    }

    /// Captures what passes between a node and the switch.
    ///
    /// # Errors
    /// On a direct wire, or when tcpdump does not start.
    pub fn capture(&self, node: &Node, filter: &str) -> Result<Capture> {
        let switch = self
            .switch
            .as_ref()
            .context("a direct wire cannot be listened to: use a switch")?;
        Capture::start(switch, &format!("to-{}", node.name), filter)
    }
}
