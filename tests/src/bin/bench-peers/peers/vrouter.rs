//! vrouter as users have it: vrouterd on each node, vrouter-control, and vrctl. Nothing is switched off: both containers are members of a
//! group whose policy says what may be begun, in both directions, so that every flow is judged, tracked and routed.

use anyhow::Result;
use vrouter_proto::{
    control::{self, Encapsulation},
    dataplane::{Kind, object::Object},
};
use vrouter_tests::{
    cluster::{Cluster, Options},
    node::Family,
    topology::Topology,
};

use super::Setting;
use crate::{
    measure::Effort,
    placement::pin_rest,
    scene::{CONNECT_PORT, IPERF_PORT, LATENCY_PORT, RATE_PORT, Scene, Side},
};

/// The network of the containers.
pub(crate) const NETWORK: &str = "blue";
/// The group of the containers.
pub(crate) const WORKLOADS: &str = "bench";
/// The server's link on its node.
pub(crate) const SERVER: &str = "server";
/// The client's link on its node.
pub(crate) const CLIENT: &str = "client";

/// Short connections are remembered for two minutes.
const FLOWS: u32 = 4 << 20;
const FRAMES: u32 = 65536;

pub(super) fn adaptive(topology: &Topology, setting: Setting, effort: &Effort) -> Result<Scene> {
    build(topology, setting, effort, "adaptive", Encapsulation::Vxlan)
}

pub(super) fn busy(topology: &Topology, setting: Setting, effort: &Effort) -> Result<Scene> {
    build(topology, setting, effort, "busy", Encapsulation::Vxlan)
}

pub(super) fn vxlan(topology: &Topology, setting: Setting, effort: &Effort) -> Result<Scene> {
    build(topology, setting, effort, "adaptive", Encapsulation::Vxlan)
}

pub(super) fn vxlan_busy(topology: &Topology, setting: Setting, effort: &Effort) -> Result<Scene> {
    build(topology, setting, effort, "busy", Encapsulation::Vxlan)
}

pub(super) fn mpls(topology: &Topology, setting: Setting, effort: &Effort) -> Result<Scene> {
    build(topology, setting, effort, "adaptive", Encapsulation::MplsUdp)
}

fn build(
    topology: &Topology,
    setting: Setting,
    effort: &Effort,
    poll: &'static str,
    encapsulation: Encapsulation,
) -> Result<Scene> {
    let nodes: u8 = if setting == Setting::OneNode { 1 } else { 2 };
    let cluster = Cluster::start(
        topology,
        &Options {
            nodes,
            direct: true,
            carries: setting.carries(),
            underlay: vec![Family::V4],
            poll,
            cpus: effort.cpus.workers(nodes.into()),
            flows: FLOWS,
            frames: FRAMES,
            ..Options::default()
        },
    )?;
    let daemons = cluster.computes.iter().map(|compute| &compute.vrouterd);
    for daemon in daemons.chain([&cluster.control]) {
        pin_rest(daemon, effort.cpus.rest())?;
    }
    cluster.routed_network(NETWORK, 77, encapsulation)?;
    let client = cluster.attach(0, NETWORK, CLIENT)?;
    let server = cluster.attach(usize::from(nodes) - 1, NETWORK, SERVER)?;
    let group = format!("{NETWORK}/{CLIENT},{NETWORK}/{SERVER}");
    cluster.api.group(control::Group {
        name: WORKLOADS.to_owned(),
        endpoints: group.split(',').map(str::to_owned).collect(),
        ..Default::default()
    })?;
    cluster.api.policy(policy())?;
    cluster.settle()?;
    let notes = attachments(&cluster)?;
    let mut scene = Scene::new(Side::of(client)?, Side::of(server)?);
    scene.notes = notes;
    scene.vrouter = Some(cluster);
    Ok(scene)
}

/// What is measured may be begun by one container and towards the other; nothing else.
fn policy() -> control::Policy {
    let traffic = |protocol: &str, ports: &str| control::Traffic {
        protocol: protocol.to_owned(),
        ports: ports.to_owned(),
        ..Default::default()
    };
    let tcp = [IPERF_PORT, LATENCY_PORT, CONNECT_PORT].map(|port| traffic("tcp", &port.to_string()));
    let others = [
        traffic("udp", &RATE_PORT.to_string()),
        traffic("icmp", ""),
        traffic("icmpv6", ""),
    ];
    let traffic: Vec<_> = tcp.into_iter().chain(others).collect();
    let rule = |name: &str, direction: control::policy_rule::Direction| control::PolicyRule {
        name: name.to_owned(),
        direction: direction.into(),
        priority: 100,
        action: control::policy_rule::Action::Allow.into(),
        peers: vec![control::Peer {
            peer: Some(control::peer::Peer::Group(WORKLOADS.to_owned())),
            ..Default::default()
        }],
        traffic: traffic.clone(),
        ..Default::default()
    };
    control::Policy {
        name: "measured".to_owned(),
        applies_to: WORKLOADS.to_owned(),
        isolate_ingress: true,
        isolate_egress: true,
        rules: vec![
            rule("to", control::policy_rule::Direction::Ingress),
            rule("from", control::policy_rule::Direction::Egress),
        ],
        ..Default::default()
    }
}

/// How each port is attached, in vrouterd's own words.
fn attachments(cluster: &Cluster) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    for compute in &cluster.computes {
        for object in compute.dataplane()?.dump(&[Kind::Port])? {
            if let Object::Port(port) = object {
                let state = port.state.unwrap_or_default();
                notes.push(format!(
                    "{} {}: {}",
                    compute.node.name, port.interface, state.attachment
                ));
            }
        }
    }
    notes.sort();
    Ok(notes)
}
