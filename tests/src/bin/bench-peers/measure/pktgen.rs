//! `pktgen` in the containers: its command line, and its reports.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    net::IpAddr,
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use vrouter_tests::{container::LINK, daemon, netns::Netns, run, traffic};

use crate::{
    measure::Effort,
    scene::{RATE_PORT, Scene},
};

/// How long it may take to end after it was told to.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where it is: beside the daemons.
pub(crate) fn program() -> Result<PathBuf> {
    let program = daemon::binaries()?.join("pktgen");
    ensure!(
        program.is_file(),
        "{} is missing (run: cargo build --release -p vrouter-bench --bins)",
        program.display()
    );
    Ok(program)
}

/// A `pktgen` at work. Ended with its owner.
#[derive(Debug)]
pub(super) struct Pktgen {
    child: Child,
    said: Option<BufReader<std::process::ChildStderr>>,
}

impl Pktgen {
    fn start(netns: &Netns, cpu: usize, arguments: &[&str]) -> Result<Self> {
        let mut command = netns.command("taskset");
        command.args(["-c", &cpu.to_string()]).arg(program()?);
        command.args(["--output", "json"]).args(arguments);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().context("cannot start pktgen")?;
        let said = child.stderr.take().map(BufReader::new);
        Ok(Self { child, said })
    }

    /// Sends the smallest packets from client to server: `flows` flows in turn, at `rate` ("max", "100k"), for some seconds.
    /// `mac` is the [`next_mac`].
    pub(super) fn send(
        scene: &Scene,
        effort: &Effort,
        mac: &str,
        (flows, rate): (u32, &str),
        seconds: u32,
    ) -> Result<Self> {
        let client = &scene.client;
        let (from, to) = (client.address(effort.family)?, scene.server.address(effort.family)?);
        let (from, to) = (from.to_string(), to.to_string());
        let (flows, seconds, port) = (flows.to_string(), seconds.to_string(), RATE_PORT.to_string());
        let mut arguments = vec![
            "send",
            "--interface",
            LINK,
            "--to-mac",
            mac,
            "--src",
            &from,
            "--dst",
            &to,
        ];
        arguments.extend([
            "--dport",
            &port,
            "--flows",
            &flows,
            "--rate",
            rate,
            "--seconds",
            &seconds,
        ]);
        Self::start(&client.netns, effort.cpus.client(), &arguments)
    }

    /// Takes what comes to the server; returns when it is ready to.
    pub(super) fn receive(scene: &Scene, cpu: usize, seconds: u32) -> Result<Self> {
        let arguments = ["receive", "--interface", LINK, "--seconds", &seconds.to_string()];
        let mut receiver = Self::start(&scene.server.netns, cpu, &arguments)?;
        let mut line = String::new();
        if let Some(said) = &mut receiver.said {
            said.read_line(&mut line)?;
        }
        if !line.contains("receiving on") {
            bail!("pktgen does not receive: {}{}", line, receiver.complaint());
        }
        Ok(receiver)
    }

    /// Tells it to end (Ctrl-C).
    pub(super) fn stop(&self) -> Result<()> {
        run::stdout(Command::new("kill").args(["-INT", &self.child.id().to_string()]))?;
        Ok(())
    }

    fn complaint(&mut self) -> String {
        let _ = self.child.kill();
        let mut text = String::new();
        if let Some(said) = &mut self.said {
            let _ = said.read_to_string(&mut text);
        }
        text
    }

    /// Its report, once it has ended.
    pub(super) fn report(mut self) -> Result<Value> {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            ensure!(Instant::now() < deadline, "pktgen does not end");
            thread::sleep(Duration::from_millis(5));
        };
        let output: ChildStdout = self.child.stdout.take().context("its report was read before")?;
        let text = std::io::read_to_string(output)?;
        serde_json::from_str(&text).with_context(|| format!("pktgen: {status}: {}", self.complaint()))
    }
}

impl Drop for Pktgen {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A number of a report.
pub(super) fn number(report: &Value, name: &str) -> Result<f64> {
    let value = report.get(name).and_then(Value::as_f64);
    value.with_context(|| format!("no {name} in the report of pktgen"))
}

/// The MAC address that the client's packets to the server are sent to. Asked while the server still answers.
pub(super) fn next_mac(scene: &Scene, effort: &Effort) -> Result<String> {
    let (netns, to): (_, IpAddr) = (&scene.client.netns, scene.server.address(effort.family)?);
    traffic::pings(netns, to, 1, &[])?;
    let route = netns.sh(&format!("ip -oneline route get {to}"))?;
    let next = gateway(&route).unwrap_or_else(|| to.to_string());
    let neighbours = netns.sh(&format!("ip neigh show dev {LINK}"))?;
    neighbour(&neighbours, &next).with_context(|| format!("no MAC address of {next}: {neighbours}"))
}

fn gateway(route: &str) -> Option<String> {
    let mut words = route.split_whitespace().skip_while(|word| *word != "via");
    words.nth(1).map(str::to_owned)
}

fn neighbour(table: &str, address: &str) -> Option<String> {
    let mut lines = table.lines().map(str::split_whitespace);
    let mut found = lines.find_map(|mut words| (words.next() == Some(address)).then_some(words))?;
    found.find(|word| *word == "lladdr")?;
    found.next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_hop_is_found() {
        assert_eq!(
            gateway("10.1.0.3 via 10.1.0.1 dev eth0 src 10.1.0.2 uid 0"),
            Some("10.1.0.1".to_owned())
        );
        assert_eq!(gateway("10.1.0.3 dev eth0 src 10.1.0.2 uid 0"), None);
        let table = "10.1.0.1 FAILED\n10.1.0.3 lladdr 02:00:00:00:00:03 REACHABLE\nfd00::3 lladdr 02:00:00:00:00:04 router STALE\n";
        assert_eq!(neighbour(table, "10.1.0.3").as_deref(), Some("02:00:00:00:00:03"));
        assert_eq!(neighbour(table, "fd00::3").as_deref(), Some("02:00:00:00:00:04"));
        assert_eq!(neighbour(table, "10.1.0.1"), None);
        assert_eq!(neighbour(table, "10.1.0.2"), None);
    }
}
