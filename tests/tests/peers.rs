//! The comparison with other routers works from end to end: two peers are measured, the report says so, and nothing stays behind.

use std::{fs, process::Command};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use vrouter_tests::{daemon, netns::Netns, require, run, topology::Topology};

#[test]
fn two_peers_are_measured_side_by_side() -> Result<()> {
    require!(Root, Daemons, Iperf, Nft);
    Topology::run("peers", |t| {
        let (json, results) = (t.state().join("peers.json"), t.state().join("RESULTS.md"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_bench-peers"));
        command.env("VROUTER_BIN_DIR", daemon::binaries()?);
        command.args(["--quick", "--only", "tcp,rate,latency/bridge,vrouter"]);
        command.arg("--json").arg(&json).arg("--results").arg(&results);
        let child = command
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()?;
        let own = format!("vrt-{}-", child.id());
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

        let report: Value = serde_json::from_str(&fs::read_to_string(&json)?)?;
        let lines = report["results"].as_array().context("no results")?;
        let line = |name: &str| {
            lines
                .iter()
                .find(|line| line["name"] == name)
                .with_context(|| format!("no {name}"))
        };
        for peer in ["bridge", "vrouter"] {
            for what in ["tcp_1.throughput", "rate_1.received", "latency.p50", "latency.p99.9"] {
                let line = line(&format!("{peer}.{what}"))?;
                ensure!(line["value"].as_f64().is_some_and(|value| value > 0.0), "{line}");
            }
        }
        let ratio = &line("bridge.tcp_1.throughput")?["vrouter_is_better_by"]["vrouter"];
        ensure!(ratio.as_f64().is_some_and(|ratio| ratio > 0.0), "no ratio: {ratio}");
        let text = fs::read_to_string(&results)?;
        ensure!(
            text.contains("<!-- begin edge: written by the bench") && text.contains("| vrouter "),
            "{text}"
        );

        let after = Netns::existing(&own)?;
        ensure!(after.is_empty(), "left behind: {after:?}");
        let processes = run::stdout(Command::new("ps").args(["-eo", "args"]))?;
        ensure!(!processes.contains(&own), "processes are left:\n{processes}");
        Ok(())
    })
}
