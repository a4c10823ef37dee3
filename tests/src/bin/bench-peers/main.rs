//! Compares vrouter with what else may stand between two containers, on real veths and namespaces, side by side in one run.
//!
//! `make bench-peers` runs all of it. The rooms, lowest first; an import goes only down: [`statistics`], [`metric`], [`placement`] (who is on which
//! CPU), [`scene`] (two containers with something between them), [`measure`] (what is done with a scene), [`peers`] (what makes scenes), [`plan`]
//! (what is measured of whom), [`report`] and [`conditions`] (what is said about it, and where that was). Measures know no peers, and peers know no measures, but for
//! what changes a vrouter while packets pass.
//!
//! Every round makes each peer anew, takes each reading once, and removes it: what drifts on a machine in an hour falls on all alike. Everything
//! lives in namespaces of its own, which go away with this process however it ends.

mod conditions;
mod measure;
mod metric;
mod peers;
mod placement;
mod plan;
mod report;
mod scene;
mod statistics;

use std::{
    fs,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use clap::{Parser, ValueEnum};
use conditions::Conditions;
use measure::{Case, Effort, Measure, cpu::wait_for_quiet};
use peers::Peer;
use placement::Cpus;
use plan::{Only, wanted};
use report::Report;
use scene::Scene;
use vrouter_bench::figures::results;
use vrouter_tests::{
    node::Family,
    require::{Need, lacking},
    topology::Topology,
};

/// Compares vrouter with other ways between two containers
///
/// Exit status: 0, 1 when something could not be measured that should have been.
#[derive(Debug, Parser)]
#[command(name = "bench-peers", version)]
struct Arguments {
    /// Measures and peers: tcp,latency/bridge,vrouter (repeatable). Measures: tcp, rate, latency, connect, reconfigure; the last one only
    /// when named. vrouter* means all peers that begin so
    #[arg(long, value_name = "MEASURES[/PEERS]")]
    only: Vec<Only>,
    /// Rounds; tables show medians
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    reps: u32,
    /// Seconds of each reading
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
    /// One round, one second each, fewer cases: to see that it works
    #[arg(long)]
    quick: bool,
    /// Seconds that this run may spend, all in all, on waiting until nobody else uses the machine, and on taking readings again during
    /// which somebody did
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    patience: u64,
    /// Packets between containers: IPv4 or IPv6
    #[arg(long, value_enum, default_value_t = Packets::V4)]
    family: Packets,
    /// Write everything as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the tables into their sections of this Markdown file
    #[arg(long, value_name = "FILE")]
    results: Option<PathBuf>,
    /// Show peers and measures, and do nothing
    #[arg(long)]
    list: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Packets {
    /// IPv4.
    #[value(name = "4")]
    V4,
    /// IPv6.
    #[value(name = "6")]
    V6,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.list {
        list();
        return ExitCode::SUCCESS;
    }
    match run(&arguments) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(failures) => {
            eprintln!("bench-peers: {failures} readings failed");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("bench-peers: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn list() {
    for peer in peers::ALL {
        let measures = Measure::ALL.into_iter().filter(|measure| peer.measured(*measure));
        let measures: Vec<_> = measures.map(Measure::name).collect();
        println!(
            "{:20} {}: {} ({})",
            peer.name,
            peer.setting.title(),
            peer.about,
            measures.join(", ")
        );
    }
}

/// Measures, reports, and gives the number of readings that failed.
fn run(arguments: &Arguments) -> Result<usize> {
    if let Some(lack) = lacking(&[Need::Root, Need::Daemons, Need::Iperf, Need::Nft]) {
        bail!("this machine lacks: {lack}");
    }
    let cpus = Cpus::available()?;
    let effort = Effort {
        seconds: if arguments.quick { 1 } else { arguments.seconds },
        warm: u32::from(!arguments.quick),
        family: match arguments.family {
            Packets::V4 => Family::V4,
            Packets::V6 => Family::V6,
        },
        cpus: cpus.clone(),
        quick: arguments.quick,
    };
    let conditions = Conditions::here();
    let mut report = Report::default();
    let mut patience = Duration::from_secs(arguments.patience);
    let rounds = if arguments.quick { 1 } else { arguments.reps };
    for round in 1..=rounds {
        for peer in peers::ALL {
            let measures: Vec<Measure> = Measure::ALL
                .into_iter()
                .filter(|measure| wanted(&arguments.only, *measure, peer))
                .collect();
            if measures.is_empty() || report.is_skipped(peer) {
                continue;
            }
            if let Some(lack) = peer.lacks() {
                eprintln!("#### SKIPPED {}: this machine lacks {lack}", peer.name);
                report.skip(peer, &lack);
                continue;
            }
            eprintln!("round {round} of {rounds}: {}", peer.name);
            measure_peer(peer, &measures, &effort, &mut patience, &mut report);
        }
    }
    let words: Vec<String> = std::env::args().skip(1).collect();
    let command = format!("bench-peers {}", words.join(" "));
    finish(arguments, &conditions, command.trim_end(), &report)?;
    Ok(report.failures())
}

/// Makes a peer, takes all readings once, and removes it.
fn measure_peer(
    peer: &'static Peer,
    measures: &[Measure],
    effort: &Effort,
    patience: &mut Duration,
    report: &mut Report,
) {
    let outcome = Topology::new().and_then(|topology| {
        let scene = peer.build(&topology, effort).inspect_err(|_| topology.show_logs())?;
        scene.notes.iter().for_each(|note| report.note(peer, note));
        for measure in measures {
            for case in undisturbed(*measure, &scene, effort, patience)? {
                if let Ok(reading) = &case.outcome {
                    let values = reading
                        .values
                        .iter()
                        .map(|(metric, value)| format!("{} {}", metric.title(), metric.write(*value)));
                    eprintln!("  {}: {}", case.name, values.collect::<Vec<_>>().join("; "));
                }
                let outcome = case.outcome.map_err(|error| {
                    let error = format!("{error:#}");
                    eprintln!("#### FAILED {} {}: {error}", peer.name, case.name);
                    error
                });
                report.add(peer, *measure, &case.name, outcome);
            }
        }
        Ok(())
    });
    if let Err(error) = outcome {
        let error = format!("{error:#}");
        eprintln!("#### FAILED {}: {error}", peer.name);
        for measure in measures {
            report.add(peer, *measure, measure.name(), Err(error.clone()));
        }
    }
}

/// Takes the readings of a measure, again and again while somebody else uses the machine and there is patience left.
fn undisturbed(measure: Measure, scene: &Scene, effort: &Effort, patience: &mut Duration) -> Result<Vec<Case>> {
    loop {
        let began = Instant::now();
        wait_for_quiet(began + *patience)?;
        let waited = began.elapsed();
        let cases = measure.run(scene, effort);
        let doubtful = cases
            .iter()
            .any(|case| case.outcome.as_ref().is_ok_and(|reading| reading.load.disturbed()));
        let spent = if doubtful { began.elapsed() } else { waited };
        *patience = patience.saturating_sub(spent);
        // A changed router cannot be changed in the same way again.
        if !doubtful || patience.is_zero() || measure == Measure::Reconfigure {
            return Ok(cases);
        }
    }
}

/// The measures of the section of peers; the other section is about changes.
const COMPARED: [Measure; 4] = [Measure::Tcp, Measure::Rate, Measure::Latency, Measure::Connect];

fn finish(arguments: &Arguments, conditions: &Conditions, command: &str, report: &Report) -> Result<()> {
    println!("{}\n\n{}", conditions.words(), report.tables(&Measure::ALL));
    if let Some(path) = &arguments.json {
        let text = serde_json::to_string_pretty(&report.json(conditions, command))?;
        fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    }
    let Some(path) = &arguments.results else {
        return Ok(());
    };
    let family = match arguments.family {
        Packets::V4 => "IPv4",
        Packets::V6 => "IPv6",
    };
    let about = format!(
        "Measured on {}.\n\nPackets between containers: {family}. Command: `{command}`",
        conditions.words()
    );
    let unwritable = || format!("cannot write {}", path.display());
    if COMPARED.iter().any(|measure| report.has(*measure)) {
        let body = format!("{EDGE}\n{about} (`make bench-peers`).\n\n{}", report.tables(&COMPARED));
        results::rewrite(path, &section("edge", arguments.family), &body).with_context(unwritable)?;
    }
    if report.has(Measure::Reconfigure) {
        let body = format!(
            "{CHANGES}\n{about} (`make bench-reconfigure`).\n\n{}",
            report.tables(&[Measure::Reconfigure])
        );
        results::rewrite(path, &section("reconfigure", arguments.family), &body).with_context(unwritable)?;
    }
    Ok(())
}

fn section(name: &str, family: Packets) -> String {
    match family {
        Packets::V4 => name.to_owned(),
        Packets::V6 => format!("{name}-v6"),
    }
}

/// What the section of peers begins with.
const EDGE: &str = "\
## At the container's edge

Two containers, one veth each, and what may stand between them: each peer is made anew in each round, on the same machine, with the same placement,
and shown with the median. Container offloads are at their defaults unless a note says otherwise. `X is better by` is how many times better X is in what
can be compared (for latency: p50 / p99 / p99.9); above 1, X is better.

- `tcp_N`: iperf3, N streams. `rate_N`: the smallest packets in N flows from one sender (`pktgen`, AF_XDP), as fast as it can: goodput under overload, not a
  rate without loss. `latency`: one byte there and back over TCP. `connect_N`: N clients connect, send a byte, get a byte, see the server close.
- Client and server are on a CPU each, or, where a case ends with `_together`, both on the client's. With two CPUs, the worker of a userspace peer is on the
  server's CPU; of two nodes, each has one CPU. What daemons do beside moving packets is on the client's CPU. With more CPUs, workers have their own.
- Busy is whatever was not idle.
";

/// What the section of changes begins with.
const CHANGES: &str = "\
## Changes under traffic

A steady stream of the smallest packets between two containers on one node while something is changed: 100,000 routes (half IPv4, half IPv6) of the
VRF that carries the stream are replaced or removed, 1,000 policies in one batch, 20 ports added and removed through vrouter-control, and 1,000
policies of the very workloads that talk, one by one through vrouter-control. `blocked` is packets lost divided by their rate. `not taken`: nobody took them from
the client's veth in time; `dropped`: the router counted them, with a reason; `receiver full`: the receiver's own queue was full.
";

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }
}
