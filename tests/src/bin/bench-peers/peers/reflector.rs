//! The floor under any userspace forwarder: frames moved between two AF_XDP sockets, unread.

use std::process::Command;

use anyhow::Result;
use vrouter_tests::{daemon::Daemon, run, topology::Topology};

use super::{Setting, host};
use crate::{
    measure::{Effort, pktgen},
    scene::Scene,
};

pub(super) fn lacks() -> Option<String> {
    let program = match pktgen() {
        Ok(program) => program,
        Err(error) => return Some(error.to_string()),
    };
    let help = run::stdout(Command::new(program).args(["reflect", "--help"]));
    help.err().map(|_| "a pktgen that can reflect".to_owned())
}

pub(super) fn build(topology: &Topology, _: Setting, effort: &Effort) -> Result<Scene> {
    let (node, mut scene) = host(topology)?;
    for side in [&scene.client, &scene.server] {
        side.finish_packets()?;
    }
    let cpu = effort.cpus.workers(1).first().copied().unwrap_or(0).to_string();
    let program = pktgen()?.into_os_string();
    let mut arguments: Vec<std::ffi::OsString> = vec!["-c".into(), cpu.into(), program];
    arguments.extend(["reflect", "--from", "client", "--to", "server", "--both"].map(Into::into));
    let reflector = Daemon::start(&node.netns, "reflector", "taskset".into(), arguments, None)?;
    scene.daemons.push(reflector);
    scene.nodes.push(node);
    scene.notes.push(
        "it passes on no offloads: the containers sum checksums and cut segments themselves (ethtool -K eth0 tx off gso off tso off)".to_owned(),
    );
    Ok(scene)
}
