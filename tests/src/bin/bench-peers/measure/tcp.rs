//! TCP throughput: iperf3, one stream and several.

use std::{
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use vrouter_tests::{netns::Netns, wait};

use super::{Case, Effort, Reading, cpu::Watch};
use crate::{
    metric::{RETRANSMITS, THROUGHPUT},
    placement::Placement,
    scene::{IPERF_PORT, Scene},
};

/// Streams of the case with several.
const SEVERAL: u32 = 4;
/// How long iperf3 may take beyond the time it measures.
const SLACK: Duration = Duration::from_secs(8);

pub(super) fn run(scene: &Scene, effort: &Effort) -> Vec<Case> {
    let mut cases = vec![(1, Placement::Apart)];
    if !effort.quick {
        cases.push((SEVERAL, Placement::Apart));
    }
    if effort.placements(scene).contains(&Placement::Together) && !effort.quick {
        cases.push((1, Placement::Together));
    }
    cases
        .into_iter()
        .map(|(streams, placement)| Case {
            name: effort.case(&format!("tcp_{streams}"), placement),
            outcome: transfer(scene, effort, streams, placement),
        })
        .collect()
}

fn transfer(scene: &Scene, effort: &Effort, streams: u32, placement: Placement) -> Result<Reading> {
    let cpus = &effort.cpus;
    let mut server = iperf(&scene.server.netns, cpus.server(placement), &["--server", "--one-off"])
        .stdout(Stdio::null())
        .spawn()
        .context("cannot start iperf3")?;
    let reading = listening(&scene.server.netns).and_then(|()| {
        let address = scene.server.address(effort.family)?.to_string();
        let (seconds, warm, streams) = (effort.seconds.to_string(), effort.warm.to_string(), streams.to_string());
        let mut arguments = vec!["--json", "--interval", "0", "--client", &address, "--time", &seconds];
        arguments.extend(["--parallel", &streams, "--connect-timeout", "3000"]);
        if effort.warm > 0 {
            arguments.extend(["--omit", &warm]);
        }
        let client = iperf(&scene.client.netns, cpus.client(), &arguments)
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start iperf3")?;
        let mut client = Ended(client);
        thread::sleep(effort.warm());
        let watch = Watch::start()?;
        thread::sleep(effort.time());
        let load = watch.stop()?;
        let text = client.output(SLACK)?;
        let (throughput, retransmits) = parse(&text)?;
        Ok(Reading {
            values: vec![(THROUGHPUT, throughput / 1e9), (RETRANSMITS, retransmits as f64)],
            load,
        })
    });
    let _ = server.kill();
    let _ = server.wait();
    reading
}

fn iperf(netns: &Netns, cpu: usize, arguments: &[&str]) -> Command {
    let mut command = netns.command("taskset");
    command
        .args(["-c", &cpu.to_string(), "iperf3", "--port", &IPERF_PORT.to_string()])
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    command
}

fn listening(netns: &Netns) -> Result<()> {
    wait::until("iperf3 to listen", || {
        let sockets = netns.sh(&format!(
            "ss --no-header --listening --tcp --numeric 'sport = :{IPERF_PORT}'"
        ))?;
        ensure!(!sockets.trim().is_empty(), "nobody listens");
        Ok(())
    })
}

/// A process that does not outlive its measurement.
struct Ended(Child);

impl Ended {
    /// What it wrote, once it has ended.
    fn output(&mut self, patience: Duration) -> Result<String> {
        let deadline = Instant::now() + patience;
        while self.0.try_wait()?.is_none() {
            ensure!(
                Instant::now() < deadline,
                "iperf3 does not come to an end: the connection stands still"
            );
            thread::sleep(Duration::from_millis(10));
        }
        let output = self.0.stdout.take().context("its output was read before")?;
        std::io::read_to_string(output).context("output of iperf3")
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Bits per second as the receiver counted, and segments sent again.
fn parse(text: &str) -> Result<(f64, u64)> {
    let report: Value = serde_json::from_str(text).context("no JSON from iperf3")?;
    if let Some(error) = report.get("error") {
        bail!("iperf3: {error}");
    }
    let end = report.get("end").context("no end in the report of iperf3")?;
    let received = end.pointer("/sum_received/bits_per_second").and_then(Value::as_f64);
    let again = end.pointer("/sum_sent/retransmits").and_then(Value::as_u64);
    Ok((
        received.context("no rate in the report of iperf3")?,
        again.context("no retransmissions in the report of iperf3")?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_of_iperf3_are_understood() {
        let text = r#"{"start": {}, "intervals": [], "end": {"streams": [],
            "sum_sent": {"seconds": 2.0, "bytes": 10, "bits_per_second": 18.5e9, "retransmits": 7, "sender": true},
            "sum_received": {"seconds": 2.0, "bytes": 9, "bits_per_second": 18.25e9, "sender": true}}}"#;
        assert_eq!(parse(text).unwrap(), (18.25e9, 7));
    }

    #[test]
    fn complaints_of_iperf3_are_passed_on() {
        let error = parse(r#"{"start": {}, "end": {}, "error": "unable to connect to server"}"#).unwrap_err();
        assert!(error.to_string().contains("unable to connect"), "{error}");
        assert!(parse("").is_err());
        assert!(parse(r#"{"end": {}}"#).is_err());
    }
}
