//! The commands: put ports, plans and reports together.

mod measure;
mod path;
mod traffic;

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::atomic::AtomicBool,
    time::Duration,
};

use vrouter_bench::{
    Clock, Live,
    flows::FlowError,
    latency::Latency,
    linux::{self, Interface, Monotonic, NamespaceError, OpenError, Reflector, within},
    receive::{LINGER, ReceivePlan, receive},
    reflect::{ReflectReport, reflect},
    replay::ReplayError,
    report::{ReceiveReport, SendReport, Table},
    search::PlanError,
    template::TemplateError,
    trial::{TrialError, TrialPlan, send_all},
};

use crate::{
    cli::{Cli, Command, LatencyArgs, Output, ReceiveArgs, ReflectArgs, SendArgs},
    progress::{Extent, during},
};

/// Exit status when expected packets did not come.
const MISSING: u8 = 3;

/// What may fail.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    #[error(transparent)]
    Template(#[from] TemplateError),
    #[error(transparent)]
    Flows(#[from] FlowError),
    #[error(transparent)]
    Replay(#[from] ReplayError),
    #[error(transparent)]
    Trial(#[from] TrialError),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(
        "--to-mac is missing: the Ethernet address to send to (only packets in MPLS and those of a capture do without)"
    )]
    NoMac,
    #[error("--src and --dst are missing: the IP addresses to send from and to")]
    NoAddresses,
    #[error("{0} senders cannot share one interface that sends and receives: leave --senders away")]
    SharedSenders(u32),
    #[error("--loops is for captures: --pcap is missing")]
    Loops,
    #[error("receiving: {0}")]
    Receive(io::Error),
    #[error("reflecting: {0}")]
    Reflect(io::Error),
    #[error("ended by a signal")]
    Stopped,
    #[error("the sender sent nothing in the first trial: is the receiver's side up?")]
    NothingSent,
    #[error("{file}: {source}")]
    File { file: String, source: io::Error },
    #[error("the report cannot be written: {0}")]
    Output(#[from] serde_json::Error),
    #[error("too many open files: {0}")]
    Descriptors(io::Error),
}

/// Runs a command line; gives the exit status.
pub(crate) fn run(cli: &Cli) -> ExitCode {
    if !cli.verbose {
        linux::silence_libraries();
    }
    let stop = linux::stop_flag();
    let output = cli.output;
    let result = match &cli.command {
        Command::Send(args) => run_send(args, stop).and_then(|report| print(&report, output, false)),
        Command::Receive(args) => run_receive(args, stop).and_then(|report| {
            let missing = report.expected.is_some() && report.lost > 0;
            print(&report, output, missing)
        }),
        Command::Run(args) => measure::run(args, output, stop),
        Command::Search(args) => measure::search(args, output, stop),
        Command::Reflect(args) => run_reflect(args, stop).and_then(|report| print(&report, output, false)),
    };
    result.unwrap_or_else(|failure| {
        eprintln!("pktgen: {failure}");
        ExitCode::FAILURE
    })
}

fn print(report: &impl Table, output: Output, missing: bool) -> Result<ExitCode, Failure> {
    match output {
        Output::Table => print!("{}", report.table()),
        Output::Json => println!("{}", serde_json::to_string_pretty(report)?),
    }
    Ok(if missing {
        ExitCode::from(MISSING)
    } else {
        ExitCode::SUCCESS
    })
}

fn nanoseconds(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}

/// The number of a new stream, with room for sixteen senders: different from run to run is all that it must be.
fn new_stream() -> u16 {
    (Monotonic.now() >> 16) as u16 & 0xfff0
}

/// Writes the latency to the files that were asked for; `name` parts those of several goals.
fn write_latency(args: &LatencyArgs, latency: &Latency, length: Duration, name: Option<&str>) -> Result<(), Failure> {
    let write = |path: &Path, with: &dyn Fn(&mut dyn Write) -> io::Result<()>| {
        let path = named(path, name);
        let write = || {
            let mut file = BufWriter::new(File::create(&path)?);
            with(&mut file)?;
            file.flush()
        };
        write().map_err(|source| Failure::File {
            file: path.display().to_string(),
            source,
        })
    };
    if let Some(path) = &args.percentiles {
        write(path, &|mut file| latency.write_percentiles(&mut file))?;
    }
    if let Some(path) = &args.hdr_log {
        write(path, &|mut file| latency.write_log(&mut file, length))?;
    }
    Ok(())
}

/// `latency.hgrm` as `latency-NDR.hgrm`.
fn named(path: &Path, name: Option<&str>) -> PathBuf {
    let (Some(name), Some(stem)) = (name, path.file_stem()) else {
        return path.to_owned();
    };
    let mut file = stem.to_owned();
    file.push(format!("-{name}"));
    if let Some(extension) = path.extension() {
        file.push(".");
        file.push(extension);
    }
    path.with_file_name(file)
}

fn run_send(args: &SendArgs, stop: &AtomicBool) -> Result<SendReport, Failure> {
    let interface = within(args.netns.as_deref(), || Interface::find(&args.interface))?;
    let traffic = args.traffic.traffic(&interface)?;
    let mut ports = path::open_senders(&interface, args.netns.as_deref(), &args.traffic, traffic.longest())?;
    let amount = traffic::amount(&args.amount, &traffic)?;
    let plan = TrialPlan {
        timing: amount.timing,
        count: amount.count,
        duration: amount.duration,
        linger: 0,
        stream: new_stream(),
    };
    let live = Live::default();
    let extent = Extent::of(plan.count, plan.duration);
    let sent = during("sending", extent, &live, || {
        send_all(&mut ports, &Monotonic, &traffic, &plan, &live, stop)
    })?;
    Ok(sent)
}

fn run_receive(args: &ReceiveArgs, stop: &AtomicBool) -> Result<ReceiveReport, Failure> {
    let mut port = path::open_receiver(&args.interface, args.netns.as_deref(), &args.port)?;
    let plan = ReceivePlan {
        duration: nanoseconds(args.seconds),
        expect: args.expect,
        streams: None,
        unstamped: args.all,
        linger: LINGER,
    };
    let live = Live::default();
    let extent = Extent::of(plan.expect, Some(plan.duration));
    let received = during("receiving", extent, &live, || {
        receive(&mut port, &Monotonic, &plan, &live, stop)
    });
    let received = received.map_err(Failure::Receive)?;
    write_latency(
        &args.latency,
        &received.latency,
        Duration::from_secs_f64(received.report.seconds),
        None,
    )?;
    Ok(received.report)
}

/// Waits for nobody: SIGINT and SIGTERM end it in order.
fn run_reflect(args: &ReflectArgs, stop: &AtomicBool) -> Result<ReflectReport, Failure> {
    let plan = args.plan();
    let mut reflector = Reflector::open(&plan, args.mode.into(), args.busy)?;
    let mode = reflector.mode().to_string();
    // Also tells whoever started us that frames may come now.
    let to = plan.to.as_ref().unwrap_or(&plan.from);
    let arrow = if plan.both { "<->" } else { "->" };
    eprintln!(
        "pktgen: reflecting {} {arrow} {}, {mode} mode",
        plan.from.interface, to.interface
    );
    let duration = args.seconds.map(nanoseconds);
    reflect(&mut reflector, &Monotonic, duration, mode, stop).map_err(Failure::Reflect)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_several_goals_are_told_apart() {
        let name = |path, name| named(Path::new(path), name).display().to_string();
        assert_eq!(name("/tmp/latency.hgrm", Some("NDR")), "/tmp/latency-NDR.hgrm");
        assert_eq!(name("latency", Some("PDR")), "latency-PDR");
        assert_eq!(name("latency.hgrm", None), "latency.hgrm");
    }
}
