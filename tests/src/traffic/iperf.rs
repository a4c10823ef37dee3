//! `iperf3` between two namespaces.

use std::{net::IpAddr, process::Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::{netns::Netns, run, wait};

/// What iperf3 measured.
#[derive(Clone, Copy, Debug)]
pub struct Throughput {
    /// As the receiver counted.
    pub bits_per_second: f64,
    /// TCP segments sent again; 0 for UDP.
    pub retransmits: u64,
    /// UDP datagrams lost, in percent; 0 for TCP.
    pub lost_percent: f64,
}

/// Runs iperf3 for some seconds; `options` go to the client: `["-u", "-b", "100M"]`, `["-P", "4"]`.
///
/// # Errors
/// When either side fails.
pub fn iperf(from: &Netns, to: &Netns, address: IpAddr, seconds: u32, options: &[&str]) -> Result<Throughput> {
    let mut server = to
        .command("iperf3")
        .args(["--server", "--one-off"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start iperf3")?;
    let measured = listening(to).and_then(|()| {
        let mut client = from.command("iperf3");
        client.args([
            "--json",
            "--client",
            &address.to_string(),
            "--time",
            &seconds.to_string(),
        ]);
        let output = run::output(client.args(options))?;
        parse(&String::from_utf8_lossy(&output.stdout))
    });
    let _ = server.kill();
    let _ = server.wait();
    measured.with_context(|| format!("iperf3 from {} to {address}", from.name()))
}

fn listening(netns: &Netns) -> Result<()> {
    wait::until("iperf3 to listen", || {
        let sockets = netns.sh("ss --no-header --listening --tcp --numeric 'sport = :5201'")?;
        ensure!(!sockets.trim().is_empty(), "nobody listens");
        Ok(())
    })
}

fn parse(text: &str) -> Result<Throughput> {
    let report: Value = serde_json::from_str(text).context("no JSON from iperf3")?;
    if let Some(error) = report.get("error") {
        anyhow::bail!("{error}");
    }
    let end = &report["end"];
    let udp = &end["sum"];
    let received = end["sum_received"]["bits_per_second"].as_f64();
    Ok(Throughput {
        bits_per_second: received
            .or(udp["bits_per_second"].as_f64())
            .context("no rate in the report")?,
        retransmits: end["sum_sent"]["retransmits"].as_u64().unwrap_or(0),
        lost_percent: udp["lost_percent"].as_f64().unwrap_or(0.0),
    })
}
