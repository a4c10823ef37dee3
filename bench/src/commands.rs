//! The commands: put ports, plans and reports together.

use std::{
    io,
    process::ExitCode,
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
};

use vrouter_bench::{
    Clock,
    encap::{EncapError, Tunnel, ends},
    linux::{self, Interface, Monotonic, NamespaceError, OpenError, ReceivePort, Reflector, TransmitPort, within},
    receive::{ReceivePlan, receive},
    reflect::{ReflectReport, reflect},
    report::{ReceiveReport, RunReport, SendReport, Table},
    send::{SendPlan, send},
    template::{Template, TemplateError, TemplateSpec, least_size},
};

use crate::cli::{Cli, Command, Output, ReceiveArgs, ReceivePortArgs, ReflectArgs, RunArgs, SendArgs, TrafficArgs};

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
    #[error("--src and --dst: {0}")]
    Families(EncapError),
    #[error("--to-mac is missing: the Ethernet address to send to (only packets in MPLS do without)")]
    NoMac,
    #[error("sending: {0}")]
    Send(io::Error),
    #[error("receiving: {0}")]
    Receive(io::Error),
    #[error("reflecting: {0}")]
    Reflect(io::Error),
    #[error("a thread ended too early")]
    Thread,
    #[error("the report cannot be written: {0}")]
    Output(#[from] serde_json::Error),
}

/// Runs a command line; gives the exit status.
pub(crate) fn run(cli: &Cli) -> ExitCode {
    if !cli.verbose {
        linux::silence_libraries();
    }
    let stop = linux::stop_flag();
    let result = match &cli.command {
        Command::Send(args) => run_send(args, stop).and_then(|report| print(&report, cli.output, false)),
        Command::Receive(args) => run_receive(args, stop).and_then(|report| {
            let missing = report.expected.is_some() && report.lost > 0;
            print(&report, cli.output, missing)
        }),
        Command::Reflect(args) => run_reflect(args, stop).and_then(|report| print(&report, cli.output, false)),
        Command::Run(args) => run_both(args, stop).and_then(|report| {
            let missing = report.received.lost > 0;
            print(&report, cli.output, missing)
        }),
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

/// Everything that a sender needs.
struct Outlet {
    port: TransmitPort,
    template: Template,
    plan: SendPlan,
}

impl Outlet {
    fn open(interface: &Interface, args: &TrafficArgs) -> Result<Self, Failure> {
        let template = Template::new(&template_spec(interface, args)?)?;
        let port = TransmitPort::open(interface, args.queue, template.frame_len(), args.zero_copy)?;
        let plan = SendPlan {
            rate: args.rate,
            count: args.count,
            duration: args.seconds.map(nanoseconds),
            // Different from run to run is all that it must be.
            stream: (Monotonic.now() >> 16) as u16,
        };
        Ok(Self { port, template, plan })
    }

    fn send(&mut self, stop: &AtomicBool) -> Result<SendReport, Failure> {
        send(&mut self.port, &Monotonic, &self.template, &self.plan, stop).map_err(Failure::Send)
    }
}

fn template_spec(interface: &Interface, args: &TrafficArgs) -> Result<TemplateSpec, Failure> {
    let ends = ends(args.src, args.dst).ok_or(Failure::Families(EncapError::Families))?;
    let mpls = args.encap.is_some_and(|encap| matches!(encap.tunnel, Tunnel::Mpls(_)));
    Ok(TemplateSpec {
        to_mac: match args.to_mac {
            Some(mac) => mac,
            None if mpls => interface.mac,
            None => return Err(Failure::NoMac),
        },
        from_mac: args.from_mac.unwrap_or(interface.mac),
        ends,
        src_port: args.sport,
        dst_port: args.dport,
        size: args.size.unwrap_or(least_size(ends).max(64)),
        flows: args.flows,
        outer: args.encap.map(|encap| encap.outer(interface.mac)),
    })
}

fn nanoseconds(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}

fn run_send(args: &SendArgs, stop: &AtomicBool) -> Result<SendReport, Failure> {
    let netns = args.netns.as_deref();
    within(netns, || {
        Outlet::open(&Interface::find(&args.interface)?, &args.traffic)
    })?
    .send(stop)
}

fn open_receive(interface: &Interface, args: &ReceivePortArgs) -> Result<ReceivePort, Failure> {
    let port = ReceivePort::open(interface, args.receive_queue, args.mode.into(), args.busy)?;
    // Also tells whoever started us that packets may be sent now.
    eprintln!(
        "pktgen: receiving on {}, {} mode, queues: {}",
        interface.name,
        port.mode(),
        port.queues()
    );
    Ok(port)
}

fn run_receive(args: &ReceiveArgs, stop: &AtomicBool) -> Result<ReceiveReport, Failure> {
    let netns = args.netns.as_deref();
    let mut port = within(netns, || open_receive(&Interface::find(&args.interface)?, &args.port))?;
    let plan = ReceivePlan {
        duration: nanoseconds(args.seconds),
        expect: args.expect,
        stream: None,
    };
    receive(&mut *port, &Monotonic, &plan, stop).map_err(Failure::Receive)
}

/// Sender and receiver on a thread each, since each may be in a network namespace of its own.
fn run_both(args: &RunArgs, stop: &AtomicBool) -> Result<RunReport, Failure> {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let (open, opened) = mpsc::channel();
        let (tell, told) = mpsc::channel::<u16>();
        let done = &done;
        let receiver = scope.spawn(move || {
            let netns = args.rx_netns.as_deref();
            let mut port = within(netns, || open_receive(&Interface::find(&args.rx)?, &args.port))?;
            let _ = open.send(());
            let stream = told.recv().map_err(|_| Failure::Thread)?;
            let plan = ReceivePlan {
                duration: u64::MAX,
                expect: None,
                stream: Some(stream),
            };
            receive(&mut *port, &Monotonic, &plan, done).map_err(Failure::Receive)
        });
        let sender = scope.spawn(move || {
            // Whatever happens here, the receiver must not wait for ever.
            let result = (|| {
                // No word: the receiver failed, and has its own error.
                opened.recv().map_err(|_| Failure::Thread)?;
                let netns = args.tx_netns.as_deref();
                let mut outlet = within(netns, || Outlet::open(&Interface::find(&args.tx)?, &args.traffic))?;
                let _ = tell.send(outlet.plan.stream);
                outlet.send(stop)
            })();
            done.store(true, Ordering::Relaxed);
            result
        });
        let (sent, received) = (sender.join(), receiver.join());
        let (sent, received) = (
            sent.map_err(|_| Failure::Thread)?,
            received.map_err(|_| Failure::Thread)?,
        );
        let (sent, mut received) = match (sent, received) {
            (Ok(sent), Ok(received)) => (sent, received),
            // The side that merely noticed that the other had gone has nothing to say.
            (Err(Failure::Thread), Err(failure)) | (Err(failure), _) | (_, Err(failure)) => return Err(failure),
        };
        received.expect(sent.packets);
        Ok(RunReport { sent, received })
    })
}
