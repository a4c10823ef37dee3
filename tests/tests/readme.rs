//! What the README tells people to type, typed: every `vrctl` command, in its order, against two nodes.

use std::{path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use vrouter_proto::control;
use vrouter_tests::{
    cluster::{Cluster, Options},
    container::Container,
    daemon,
    node::{Family, UPLINK},
    require, run,
    topology::Topology,
    traffic, wait,
};

/// The container that the README speaks of, by its veth's host end.
const WEB: &str = "veth-web1";
/// Its endpoint there.
const ENDPOINT: &str = "blue/web-1";

/// Commands that go on until they are stopped, and how `timeout` tells that it did so.
const ENDLESS: [&str; 3] = ["--watch", " watch", " capture "];
const STOPPED: i32 = 124;
/// What a trace to an address that nobody has ends with.
const NOBODY: &str = "VERDICT  dropped: address_unreachable";

/// The indented lines that begin with `vrctl`, without the words behind them.
fn commands(readme: &str) -> Vec<String> {
    let indented = readme.lines().filter_map(|line| line.strip_prefix("    "));
    let typed = indented.filter(|line| line.starts_with("vrctl "));
    typed
        .map(|line| line.split(" #").next().unwrap_or(line).trim().to_owned())
        .collect()
}

#[test]
fn commands_of_the_readme_do_what_they_say() -> Result<()> {
    require!(Root, Daemons);
    Topology::run("readme", |t| {
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let readme = std::fs::read_to_string(top.join("README.md"))?;
        let commands = commands(&readme);
        ensure!(commands.len() > 25, "few commands: {commands:?}");

        let cluster = Cluster::start(t, &Options::default())?;
        cluster.settle()?;
        let node = cluster.compute(0)?;
        let mut web = Container::new(&node.node, WEB)?;
        let programs = daemon::binary("vrctl")?;
        let programs = programs.parent().context("vrctl is nowhere")?;
        let path = format!("{}:{}", programs.display(), std::env::var("PATH")?);
        let mut talks = false;
        for line in &commands {
            // Here the uplink has another name, and nobody looks at pictures.
            let command = line.replace("eth1", UPLINK);
            let command = command.split(" | ").next().unwrap_or_default();
            let command = &command.replace(" top", " top --once");
            let endless = ENDLESS.iter().any(|words| command.contains(words));
            let output = run::output(
                node.node
                    .netns
                    .command("timeout")
                    .args([if endless { "1" } else { "30" }, "sh", "-c", command])
                    .env("PATH", &path)
                    .env("TERM", "xterm")
                    .env("VROUTER_DATAPLANE", format!("unix:{}", node.socket.display()))
                    .env("VROUTER_CONTROL", format!("unix:{}", cluster.control_socket.display())),
            )?;
            let code = output.status.code();
            // The doctor has its say about this machine, and nobody here has the address that a trace asks for.
            let told = command.contains(" doctor ") || String::from_utf8_lossy(&output.stdout).contains(NOBODY);
            let expected = code == Some(0) || (endless && code == Some(STOPPED)) || told;
            ensure!(expected, "{line}: {output:?}");
            if command.starts_with(&format!("vrctl endpoint create {ENDPOINT}")) {
                let all = control::ListEndpointsRequest::default();
                let all = cluster.api.call(async |mut api| api.list_endpoints(all).await)?;
                web.configure(all.endpoints.first().context("no endpoint was made")?)?;
                cluster.settle()?;
                for gateway in ["10.1.0.1", "fd00:1::1"] {
                    wait::until("the gateway to answer", || {
                        let pings = traffic::pings(&web.netns, gateway.parse()?, 1, &[])?;
                        ensure!(pings.received == 1, "{}", pings.text);
                        Ok(())
                    })?;
                }
                talks = true;
            }
        }
        ensure!(talks, "no container was attached: {commands:?}");
        // All of it is programmed.
        cluster.settle()?;
        ensure!(web.ip(Family::V4)?.to_string().starts_with("10.1.0."), "{web:?}");
        run::stdout(
            Command::new(daemon::binary("vrctl")?)
                .arg("audit")
                .env("VROUTER_CONTROL", format!("unix:{}", cluster.control_socket.display())),
        )?;
        Ok(())
    })
}
