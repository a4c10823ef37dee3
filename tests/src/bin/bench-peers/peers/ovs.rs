//! Open vSwitch with its userspace datapath on AF_XDP. Its daemons are ours alone: own database, own directory, nothing of the system's.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use vrouter_tests::{daemon::Daemon, node::Node, run, topology::Topology, wait};

use super::{Setting, host};
use crate::{
    measure::Effort,
    placement::pin_rest,
    scene::{CONNECT_PORT, IPERF_PORT, LATENCY_PORT, RATE_PORT, Scene},
};

const BRIDGE: &str = "br0";
/// Where Debian keeps the daemon; the second may be one built with DPDK.
const SWITCHD: [&str; 2] = ["/usr/lib/openvswitch-switch/ovs-vswitchd", "/usr/sbin/ovs-vswitchd"];
const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";

pub(super) fn lacks() -> Option<String> {
    let installed = switchd().is_some() && Path::new(SCHEMA).is_file();
    (!installed).then(|| "Open vSwitch (apt-get install openvswitch-switch)".to_owned())
}

fn switchd() -> Option<PathBuf> {
    SWITCHD.into_iter().map(PathBuf::from).find(|path| path.is_file())
}

pub(super) fn plain(topology: &Topology, _: Setting, effort: &Effort) -> Result<Scene> {
    build(topology, effort, None)
}

pub(super) fn tracked(topology: &Topology, _: Setting, effort: &Effort) -> Result<Scene> {
    build(topology, effort, Some(judge()))
}

fn build(topology: &Topology, effort: &Effort, flows: Option<String>) -> Result<Scene> {
    let (node, mut scene) = host(topology)?;
    for side in [&scene.client, &scene.server] {
        side.finish_packets()?;
    }
    scene.notes.push(
        "it completes no checksums: the containers sum them and cut segments themselves (ethtool -K eth0 tx off gso off tso off)".to_owned(),
    );
    let worker = effort.cpus.workers(1).first().copied().unwrap_or(0);
    let ovs = Ovs::start(topology, &node, worker, &mut scene.daemons)?;
    for daemon in &scene.daemons {
        pin_rest(daemon, effort.cpus.rest())?;
    }
    ovs.vsctl(&["add-br", BRIDGE, "--", "set", "bridge", BRIDGE, "datapath_type=netdev"])?;
    for link in ["client", "server"] {
        ovs.vsctl(&["add-port", BRIDGE, link, "--", "set", "Interface", link, "type=afxdp"])?;
        let error = ovs.vsctl(&["get", "Interface", link, "error"])?;
        ensure!(matches!(error.trim(), "[]" | ""), "{link}: {error}");
    }
    if let Some(flows) = flows {
        let mut command = ovs.command("ovs-ofctl");
        run::with_input(command.args(["-O", "OpenFlow14", "replace-flows", BRIDGE, "-"]), &flows)?;
    }
    // Threads that move packets exist since there is a port to poll.
    thread::sleep(Duration::from_millis(200));
    scene.nodes.push(node);
    Ok(scene)
}

/// A running Open vSwitch.
struct Ovs<'a> {
    node: &'a Node,
    directory: PathBuf,
}

impl<'a> Ovs<'a> {
    fn start(topology: &Topology, node: &'a Node, worker: usize, daemons: &mut Vec<Daemon>) -> Result<Self> {
        let directory = topology.state().join("ovs");
        std::fs::create_dir(&directory)?;
        let ovs = Self { node, directory };
        let database = ovs.file("conf.db");
        run::stdout(Command::new("ovsdb-tool").args([OsString::from("create"), database.clone(), SCHEMA.into()]))?;
        let socket = ovs.option("punix:", "db.sock");
        daemons.insert(
            0,
            ovs.daemon(
                "ovsdb-server",
                "/usr/sbin/ovsdb-server".into(),
                [
                    database,
                    join("--remote=", &socket),
                    ovs.option("--unixctl=", "ovsdb.ctl"),
                ],
            )?,
        );
        ovs.appears("db.sock")?;
        ovs.vsctl(&["--no-wait", "init"])?;
        let mask = format!("other_config:pmd-cpu-mask={:#x}", 1u64 << worker);
        ovs.vsctl(&["--no-wait", "set", "Open_vSwitch", ".", &mask])?;
        let switchd = switchd().context("no ovs-vswitchd")?;
        daemons.insert(
            0,
            ovs.daemon(
                "ovs-vswitchd",
                switchd,
                [
                    ovs.option("unix:", "db.sock"),
                    ovs.option("--unixctl=", "vswitchd.ctl"),
                    OsString::from("-vconsole:warn"),
                ],
            )?,
        );
        ovs.appears("vswitchd.ctl")?;
        Ok(ovs)
    }

    fn file(&self, name: &str) -> OsString {
        self.directory.join(name).into_os_string()
    }

    fn option(&self, before: &str, name: &str) -> OsString {
        join(before, &self.file(name))
    }

    fn directories(&self) -> [OsString; 4] {
        let directories = ["OVS_RUNDIR=", "OVS_LOGDIR=", "OVS_DBDIR=", "OVS_SYSCONFDIR="];
        directories.map(|name| join(name, self.directory.as_os_str()))
    }

    fn daemon(&self, name: &str, program: PathBuf, arguments: [OsString; 3]) -> Result<Daemon> {
        let mut line = self.directories().to_vec();
        line.push(program.into_os_string());
        line.extend(arguments);
        Daemon::start(&self.node.netns, name, "env".into(), line, None)
    }

    fn appears(&self, file: &str) -> Result<()> {
        let path = self.directory.join(file);
        wait::until_true(&format!("{}", path.display()), || path.exists())
    }

    fn command(&self, program: &str) -> Command {
        let mut command = self.node.netns.command("env");
        command.args(self.directories()).arg(program);
        command
    }

    fn vsctl(&self, arguments: &[&str]) -> Result<String> {
        let mut command = self.command("ovs-vsctl");
        command.arg("--timeout=10").arg(self.option("--db=unix:", "db.sock"));
        run::stdout(command.args(arguments))
    }
}

fn join(before: &str, after: &std::ffi::OsStr) -> OsString {
    let mut text = OsString::from(before);
    text.push(after);
    text
}

/// The bridge's rules of nftables, as OpenFlow says them.
fn judge() -> String {
    let mut flows = String::from(
        "table=0,priority=100,arp,actions=NORMAL\n\
         table=0,priority=90,icmp6,icmp_type=135,actions=NORMAL\n\
         table=0,priority=90,icmp6,icmp_type=136,actions=NORMAL\n\
         table=0,priority=50,ip,actions=ct(table=1)\n\
         table=0,priority=50,ipv6,actions=ct(table=1)\n\
         table=0,priority=0,actions=drop\n\
         table=1,priority=100,ct_state=+trk+est,actions=NORMAL\n\
         table=1,priority=100,ct_state=+trk+rel,actions=NORMAL\n\
         table=1,priority=100,ct_state=+trk+inv,actions=drop\n\
         table=1,priority=0,actions=drop\n",
    );
    let tcp = [IPERF_PORT, LATENCY_PORT, CONNECT_PORT].map(|port| ("tcp", Some(port)));
    let others = [("udp", Some(RATE_PORT)), ("icmp", None)];
    for (protocol, port) in tcp.into_iter().chain(others) {
        let port = port.map(|port| format!(",tp_dst={port}")).unwrap_or_default();
        for protocol in [protocol.to_owned(), format!("{protocol}6")] {
            flows.push_str(&format!(
                "table=1,priority=90,{protocol},ct_state=+trk+new{port},actions=ct(commit),NORMAL\n"
            ));
        }
    }
    flows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_measured_may_begin_in_both_families() {
        let flows = judge();
        for begun in [
            "tcp,ct_state=+trk+new,tp_dst=5201",
            "tcp6,ct_state=+trk+new,tp_dst=7001",
            "icmp6,ct_state=+trk+new,actions",
        ] {
            assert!(flows.contains(begun), "{begun} not in\n{flows}");
        }
    }
}
