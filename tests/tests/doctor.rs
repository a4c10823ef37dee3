//! `vrctl doctor` on a host with planted faults, and beside daemons that are well.

use std::{
    ffi::OsString,
    fs,
    os::unix::net::UnixListener,
    process::{Command, Output},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use vrouter_tests::{
    cluster::{Cluster, Options},
    daemon::{self, Daemon},
    netns::Netns,
    node::UPLINK,
    require, run,
    topology::Topology,
};

/// A program that lets everything pass.
const FOREIGN: &str = "__attribute__((section(\"xdp\"), used)) int pass(void *context) { return 2; }\n\
                       char terms[] __attribute__((section(\"license\"), used)) = \"GPL\";\n";

/// Puts a program of somebody else on an interface.
fn attach_foreign_program(netns: &Netns, interface: &str, topology: &Topology) -> Result<()> {
    let (source, object) = (topology.state().join("foreign.c"), topology.state().join("foreign.o"));
    fs::write(&source, FOREIGN)?;
    run::stdout(
        Command::new("clang")
            .args(["-O2", "-g", "-target", "bpf", "-c"])
            .arg(&source)
            .arg("-o")
            .arg(&object),
    )?;
    run::stdout(
        netns
            .command("ip")
            .args(["link", "set", "dev", interface, "xdpgeneric", "object"])
            .arg(&object)
            .args(["section", "xdp"]),
    )?;
    Ok(())
}

fn findings(output: &Output) -> Result<Vec<Value>> {
    let said = String::from_utf8_lossy(&output.stderr);
    let findings: Vec<Value> = serde_json::from_slice(&output.stdout).with_context(|| said.into_owned())?;
    // Whatever is wrong is told with its reason and a remedy.
    for finding in &findings {
        let is_bad = matches!(finding["status"].as_str(), Some("warning" | "problem"));
        let is_told = finding["why"] != "" && finding["todo"] != "";
        ensure!(is_told || !is_bad, "{finding}");
    }
    Ok(findings)
}

fn status<'a>(findings: &'a [Value], check: &str, subject: &str) -> Option<&'a str> {
    let found = findings
        .iter()
        .find(|finding| finding["check"] == check && finding["subject"].as_str().is_some_and(|s| s.contains(subject)));
    found.and_then(|finding| finding["status"].as_str())
}

#[test]
fn planted_faults_are_named_with_what_to_do() -> Result<()> {
    require!(Root, Daemons);
    Topology::run("doctor", |t| {
        let netns = t.netns("sick")?;
        let ip = |line: &str| run::stdout(netns.command("ip").args(line.split_whitespace()));
        ip("link add under0 mtu 1300 type veth peer name under1 mtu 1300")?;
        ip("link set under0 up")?;
        ip("link set under1 up")?;
        ip("link add well0 mtu 9000 type veth peer name well1 mtu 9000")?;
        ip("link set well0 up")?;
        ip("link set well1 up")?;
        attach_foreign_program(&netns, "under0", t)?;
        let code = "import socket, time\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.bind(('0.0.0.0', 4789))\ntime.sleep(1000)";
        let arguments = ["-c", code].map(OsString::from).to_vec();
        let _taken = Daemon::start(&netns, "taken", "/usr/bin/python3".into(), arguments, None)?;
        vrouter_tests::wait::until("the port to be taken", || {
            let table = run::stdout(netns.command("cat").arg("/proc/net/udp"))?;
            ensure!(table.contains(":12B5"), "{table}");
            Ok(())
        })?;
        // A socket whose owner is gone.
        let stale = t.state().join("stale.sock");
        drop(UnixListener::bind(&stale)?);

        let vrctl = daemon::binary("vrctl")?;
        let output = run::output(
            netns
                .command("prlimit")
                .args([
                    "--memlock=65536:65536",
                    "--nofile=512:512",
                    "setpriv",
                    "--bounding-set=-ipc_lock,-net_admin",
                    "--",
                ])
                .arg(&vrctl)
                .args([
                    "doctor",
                    "--interface",
                    "under0",
                    "--interface",
                    "well0",
                    "--interface",
                    "nobody0",
                    "-o",
                    "json",
                    "--store",
                ])
                .arg(t.state().join("control.redb"))
                .env("VROUTER_DATAPLANE", format!("unix:{}", stale.display()))
                .env(
                    "VROUTER_CONTROL",
                    format!("unix:{}", t.state().join("none.sock").display()),
                ),
        )?;
        ensure!(output.status.code() == Some(2), "{output:?}");
        let findings = findings(&output)?;
        for (check, subject, expected) in [
            ("xdp_program", "under0", "problem"),
            ("xdp_program", "well0", "ok"),
            ("mtu", "under0", "problem"),
            ("mtu", "well0", "ok"),
            ("interface", "nobody0", "problem"),
            ("udp_port", "4789", "problem"),
            ("udp_port", "6635", "ok"),
            ("memlock", "", "problem"),
            ("capabilities", "", "problem"),
            ("open_files", "", "warning"),
            ("dataplane", "stale.sock", "problem"),
            ("control", "none.sock", "warning"),
            ("store", "control.redb", "ok"),
            ("driver", "well0", "ok"),
        ] {
            let found = status(&findings, check, subject);
            ensure!(
                found == Some(expected),
                "{check} {subject}: {found:?}, {expected} expected of {findings:#?}"
            );
        }
        // For people, with the remedy.
        let output = run::output(netns.command(&vrctl).args(["doctor", "--interface", "under0"]))?;
        let text = String::from_utf8(output.stdout)?;
        ensure!(
            text.contains("ip link set under0 xdp off") && text.contains("why:"),
            "{text}"
        );
        Ok(())
    })
}

#[test]
fn running_daemons_are_asked_and_found_well() -> Result<()> {
    require!(Root, Daemons);
    Topology::run("doctor well", |t| {
        let cluster = Cluster::start(t, &Options::default())?;
        // Control answers before it has met every dataplane, and doctor tells what it finds.
        cluster.settle()?;
        let node = cluster.compute(0)?;
        let doctor = |arguments: &[&str]| {
            run::output(
                node.node
                    .netns
                    .command(daemon::binary("vrctl")?)
                    .args(["doctor", "-o", "json"])
                    .args(arguments)
                    .env("VROUTER_DATAPLANE", format!("unix:{}", node.socket.display()))
                    .env("VROUTER_CONTROL", format!("unix:{}", cluster.control_socket.display())),
            )
        };
        let seen = findings(&doctor(&[])?)?;
        for (check, subject) in [
            ("dataplane", ""),
            ("control", ""),
            ("version", "vrouterd"),
            ("sync", "node1"),
            ("sync", "node2"),
            ("interface", UPLINK),
            // Our own.
            ("xdp_program", UPLINK),
            ("udp_port", "4789"),
            ("frames", "node1"),
        ] {
            ensure!(
                status(&seen, check, subject) == Some("ok"),
                "{check} {subject}: {seen:#?}"
            );
        }
        // Another node's dataplane, by control.
        let seen = findings(&doctor(&["--node", "node2"])?)?;
        ensure!(status(&seen, "frames", "node2") == Some("ok"), "{seen:#?}");
        let seen = findings(&doctor(&["--node", "nobody"])?)?;
        ensure!(status(&seen, "dataplane", "") == Some("warning"), "{seen:#?}");
        Ok(())
    })
}
