//! What is measured. Each measure takes a [`Scene`] as it is and knows nothing of what is between the containers.

mod connect;
mod counters;
pub(crate) mod cpu;
mod histogram;
mod latency;
mod pktgen;
mod rate;
mod reconfigure;
mod tcp;

use std::time::Duration;

use anyhow::Result;
use cpu::Load;
use vrouter_tests::node::Family;

use crate::{
    metric::Metric,
    placement::{Cpus, Placement},
    scene::Scene,
};

pub(crate) use pktgen::program as pktgen;

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    /// TCP throughput, one stream and several.
    Tcp,
    /// Small packets.
    Rate,
    /// TCP requests and responses.
    Latency,
    /// Connections that are made, used once and closed.
    Connect,
    /// Packets lost while the router is changed.
    Reconfigure,
}

impl Measure {
    /// All, in the order of the report.
    pub(crate) const ALL: [Self; 5] = [Self::Tcp, Self::Rate, Self::Latency, Self::Connect, Self::Reconfigure];

    /// As on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Rate => "rate",
            Self::Latency => "latency",
            Self::Connect => "connect",
            Self::Reconfigure => "reconfigure",
        }
    }

    /// Takes every reading of this measure.
    pub(crate) fn run(self, scene: &Scene, effort: &Effort) -> Vec<Case> {
        match self {
            Self::Tcp => tcp::run(scene, effort),
            Self::Rate => rate::run(scene, effort),
            Self::Latency => latency::run(scene, effort),
            Self::Connect => connect::run(scene, effort),
            Self::Reconfigure => reconfigure::run(scene, effort),
        }
    }
}

/// How, and how long, something is measured.
#[derive(Clone, Debug)]
pub(crate) struct Effort {
    /// Seconds of each reading.
    pub(crate) seconds: u32,
    /// Whole seconds before it that do not count.
    pub(crate) warm: u32,
    /// Of the packets between containers.
    pub(crate) family: Family,
    /// Who runs where.
    pub(crate) cpus: Cpus,
    /// Fewer cases.
    pub(crate) quick: bool,
}

impl Effort {
    /// The time of a reading.
    pub(crate) fn time(&self) -> Duration {
        Duration::from_secs(self.seconds.into())
    }

    /// The time before it.
    pub(crate) fn warm(&self) -> Duration {
        Duration::from_secs(self.warm.into())
    }

    /// Where client and server can be: nodes of their own are on CPUs of their own.
    fn placements(&self, scene: &Scene) -> &'static [Placement] {
        if scene.has_wire() || self.cpus.count() == 1 {
            &[Placement::Apart]
        } else {
            &Placement::BOTH
        }
    }

    /// The name of a case, which says the family when it is not IPv4.
    fn case(&self, name: &str, placement: Placement) -> String {
        let family = match self.family {
            Family::V4 => "",
            Family::V6 => "_v6",
        };
        format!("{name}{}{family}", placement.suffix())
    }
}

/// One reading.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    /// What was measured; the first is what matters most.
    pub(crate) values: Vec<(Metric, f64)>,
    /// What it took.
    pub(crate) load: Load,
}

/// A reading with the name of its case, or why there is none.
#[derive(Debug)]
pub(crate) struct Case {
    /// The same for all peers and rounds.
    pub(crate) name: String,
    /// What came of it.
    pub(crate) outcome: Result<Reading>,
}
