//! The Linux bridge, alone and with connections tracked and judged by nftables.

use anyhow::Result;
use vrouter_tests::{
    require::{Need, lacking},
    run,
    topology::Topology,
};

use super::{Setting, host};
use crate::{
    measure::Effort,
    scene::{CONNECT_PORT, IPERF_PORT, LATENCY_PORT, RATE_PORT, Scene},
};

/// Settings that lead bridged packets through the hooks of IP, where connections are tracked when the kernel cannot do so in the bridge.
const HOOKS: [&str; 2] = ["bridge.bridge-nf-call-iptables", "bridge.bridge-nf-call-ip6tables"];

pub(super) fn lacks() -> Option<String> {
    lacking(&[Need::Nft])
}

pub(super) fn plain(topology: &Topology, _: Setting, _: &Effort) -> Result<Scene> {
    let (node, mut scene) = host(topology)?;
    for hook in HOOKS {
        // Without the module there is no setting, and no hook either.
        let _ = node.netns.sysctl(hook, "0");
    }
    node.netns.bridge("br0", &["client", "server"])?;
    scene.nodes.push(node);
    Ok(scene)
}

pub(super) fn tracked(topology: &Topology, setting: Setting, effort: &Effort) -> Result<Scene> {
    let mut scene = plain(topology, setting, effort)?;
    for node in &scene.nodes {
        let rules = |family: &str| run::with_input(node.netns.command("nft").args(["-f", "-"]), &judge(family));
        let note = if rules("bridge").is_ok() {
            "connections tracked in the bridge"
        } else {
            for hook in HOOKS {
                node.netns.sysctl(hook, "1")?;
            }
            rules("inet")?;
            "connections tracked by IP's hooks (br_netfilter): this kernel does not track in the bridge"
        };
        scene.notes.push(note.to_owned());
    }
    Ok(scene)
}

/// What comes of a connection is let through; connections may be made to what is measured; all else is dropped.
fn judge(family: &str) -> String {
    format!(
        "table {family} bench {{
  chain forward {{
    type filter hook forward priority 0; policy drop;
    ct state established,related accept
    ct state invalid drop
    tcp dport {{ {IPERF_PORT}, {LATENCY_PORT}, {CONNECT_PORT} }} ct state new accept
    udp dport {RATE_PORT} ct state new accept
    meta l4proto {{ icmp, ipv6-icmp }} accept
    {}
  }}
}}
",
        // Within the bridge, the question who has an address comes this way, too.
        if family == "bridge" {
            "ether type arp accept"
        } else {
            ""
        }
    )
}
