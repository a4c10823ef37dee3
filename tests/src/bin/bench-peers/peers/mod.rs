//! What containers may have between them. Each file makes one kind of it, with nothing of its own to measure.

mod bridge;
mod kernel_vxlan;
mod ovs;
mod reflector;
mod veth;
pub(crate) mod vrouter;

use anyhow::Result;
use vrouter_tests::{
    node::{Carries, Node},
    topology::Topology,
};

use crate::{
    measure::{Effort, Measure},
    scene::{Scene, Side},
};

/// Peers that can be compared: the same containers in the same places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setting {
    /// Both containers on one node.
    OneNode,
    /// On two nodes, over a wire that takes single packets: a NIC without segmentation and tunnel offloads.
    Segments,
    /// On two nodes, over a wire that takes whole frames of 64 KiB, in tunnels, too: a veth as it is.
    Whole,
}

impl Setting {
    /// All, in the order of the report.
    pub(crate) const ALL: [Self; 3] = [Self::OneNode, Self::Segments, Self::Whole];

    /// As in the report.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::OneNode => "one node",
            Self::Segments => "two nodes, a wire that does not segment",
            Self::Whole => "two nodes, a wire that carries whole frames",
        }
    }

    fn carries(self) -> Carries {
        match self {
            Self::OneNode | Self::Segments => Carries::Segments,
            Self::Whole => Carries::Whole,
        }
    }
}

/// One peer.
pub(crate) struct Peer {
    /// As on the command line and in reports.
    pub(crate) name: &'static str,
    /// In words.
    pub(crate) about: &'static str,
    /// With what it can be compared.
    pub(crate) setting: Setting,
    /// Whether it is vrouter: the others are compared to it.
    pub(crate) ours: bool,
    /// What is measured of it; empty: all but what changes a router.
    measures: &'static [Measure],
    /// What this machine lacks for it.
    lacks: fn() -> Option<String>,
    build: fn(&Topology, Setting, &Effort) -> Result<Scene>,
}

impl Peer {
    /// Makes it.
    pub(crate) fn build(&self, topology: &Topology, effort: &Effort) -> Result<Scene> {
        let scene = (self.build)(topology, self.setting, effort)?;
        scene.ready(effort.family)?;
        Ok(scene)
    }

    /// Whether something is measured of it.
    pub(crate) fn measured(&self, measure: Measure) -> bool {
        match self.measures {
            [] => measure != Measure::Reconfigure,
            measures => measures.contains(&measure),
        }
    }

    /// What this machine lacks for it.
    pub(crate) fn lacks(&self) -> Option<String> {
        (self.lacks)()
    }
}

const LATENCIES: &[Measure] = &[Measure::Latency, Measure::Connect];

const fn peer(name: &'static str, setting: Setting, build: fn(&Topology, Setting, &Effort) -> Result<Scene>) -> Peer {
    Peer {
        name,
        about: "",
        setting,
        ours: false,
        measures: &[],
        lacks: || None,
        build,
    }
}

/// All peers, in the order in which they are measured and shown.
pub(crate) const ALL: &[Peer] = &[
    Peer {
        about: "a veth pair between the containers, and nothing else",
        ..peer("veth", Setting::OneNode, veth::build)
    },
    Peer {
        about: "the Linux bridge",
        ..peer("bridge", Setting::OneNode, bridge::plain)
    },
    Peer {
        about: "the Linux bridge, connections tracked and judged by nftables",
        lacks: bridge::lacks,
        ..peer("bridge-ct", Setting::OneNode, bridge::tracked)
    },
    Peer {
        about: "Open vSwitch, userspace datapath on AF_XDP",
        lacks: ovs::lacks,
        ..peer("ovs", Setting::OneNode, ovs::plain)
    },
    Peer {
        about: "Open vSwitch, the same, connections tracked and judged",
        lacks: ovs::lacks,
        ..peer("ovs-ct", Setting::OneNode, ovs::tracked)
    },
    Peer {
        about: "frames moved from one AF_XDP socket to the other, and nothing else (pktgen reflect)",
        lacks: reflector::lacks,
        ..peer("reflector", Setting::OneNode, reflector::build)
    },
    Peer {
        about: "vrouter, policy and connection tracking on, workers sleep when there is nothing to do",
        ours: true,
        measures: &Measure::ALL,
        ..peer("vrouter", Setting::OneNode, vrouter::adaptive)
    },
    Peer {
        about: "vrouter, the same, workers never sleep",
        ours: true,
        ..peer("vrouter-busy", Setting::OneNode, vrouter::busy)
    },
    Peer {
        about: "the Linux bridge and the kernel's VXLAN",
        ..peer("kernel-vxlan", Setting::Segments, kernel_vxlan::build)
    },
    Peer {
        about: "vrouter over VXLAN",
        ours: true,
        ..peer("vrouter-vxlan", Setting::Segments, vrouter::vxlan)
    },
    Peer {
        about: "vrouter over VXLAN, workers never sleep",
        ours: true,
        measures: LATENCIES,
        ..peer("vrouter-vxlan-busy", Setting::Segments, vrouter::vxlan_busy)
    },
    Peer {
        about: "vrouter over MPLS over UDP",
        ours: true,
        ..peer("vrouter-mpls", Setting::Segments, vrouter::mpls)
    },
    Peer {
        about: "the Linux bridge and the kernel's VXLAN",
        ..peer("kernel-vxlan-whole", Setting::Whole, kernel_vxlan::build)
    },
    Peer {
        about: "vrouter over VXLAN",
        ours: true,
        ..peer("vrouter-vxlan-whole", Setting::Whole, vrouter::vxlan)
    },
    Peer {
        about: "vrouter over MPLS over UDP",
        ours: true,
        ..peer("vrouter-mpls-whole", Setting::Whole, vrouter::mpls)
    },
];

/// Prefix lengths of the containers' addresses, where a peer gives them.
const LENGTHS: [u8; 2] = [24, 64];

/// The addresses of the client (1) or the server (2), with prefix length.
fn addresses(number: u8) -> [String; 2] {
    let [v4, v6] = LENGTHS;
    [format!("10.77.0.{number}/{v4}"), format!("fd00:77::{number}/{v6}")]
}

/// A node with two containers whose links wait to be joined there: `client` and `server`.
fn host(topology: &Topology) -> Result<(Node, Scene)> {
    let node = Node::new(topology, "host", 1)?;
    let side = |name: &str, number| {
        let mut container = vrouter_tests::container::Container::with_mtu(&node, name, 1500)?;
        for address in addresses(number) {
            container.address(&address)?;
        }
        Side::of(container)
    };
    let scene = Scene::new(side("client", 1)?, side("server", 2)?);
    Ok((node, scene))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_peer_has_a_name_of_its_own_and_words() {
        let names: HashSet<_> = ALL.iter().map(|peer| peer.name).collect();
        assert_eq!(names.len(), ALL.len());
        assert!(ALL.iter().all(|peer| !peer.about.is_empty()));
    }

    #[test]
    fn vrouter_is_in_every_comparison() {
        for setting in Setting::ALL {
            assert!(ALL.iter().any(|peer| peer.setting == setting && peer.ours));
            assert!(ALL.iter().any(|peer| peer.setting == setting && !peer.ours));
        }
    }
}
