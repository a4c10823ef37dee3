//! The daemon as a whole: opens the uplinks, starts the threads, serves the API, and ends when told to.

use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
    sync::oneshot,
    task::JoinSet,
    time,
};
use tracing::{info, warn};
use uuid::Uuid;

use super::{
    AssembleError, Settings, assemble,
    clock::Monotonic,
    interfaces::{Interfaces, UplinkSettings},
    supervised::{self, Pulse},
    threads::{self, Message, Pinning},
};
use crate::{
    api::{
        About, Address, Desk, ExportCounts, ExportSettings, FlowExport, FlowFeed, Handle, ListenError, Listener,
        Metrics, ServeError, Server, Stopped, call_counts,
    },
    packet::{FramePool, pool::PoolError},
    port::af_xdp::{OpenError, RingSizes},
    tables::slots::PortSlot,
    telemetry::Sources,
    worker::Clock,
};

/// How long collectors are told of flows that last, once the daemon ends.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// All that a daemon is started with.
#[derive(Clone, Debug)]
pub struct DaemonSettings {
    /// Name of the node.
    pub node: String,
    /// Where the API listens; at least one.
    pub listen: Vec<Address>,
    /// Interfaces of the underlay.
    pub uplinks: Vec<UplinkSettings>,
    /// Sizes of tables, number of workers.
    pub settings: Settings,
    /// Frames of packet memory.
    pub frames: u32,
    /// Bytes of each frame.
    pub frame_size: u16,
    /// Frames for packets larger than others hold.
    pub large_frames: u32,
    /// Ring sizes of workloads' ports.
    pub access_rings: RingSizes,
    /// How workers run.
    pub pinning: Pinning,
    /// Whom flows are told, if anybody.
    pub ipfix: Option<ExportSettings>,
    /// Where metrics are served, if anywhere.
    pub metrics: Option<MetricsSettings>,
}

/// How metrics are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricsSettings {
    /// Where.
    pub address: SocketAddr,
    /// Most series of one kind that have names of their own.
    pub names: usize,
}

/// Why the daemon ended.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// Packet memory.
    #[error("packet memory cannot be made")]
    Pool(#[from] PoolError),
    /// The kernel.
    #[error("AF_XDP cannot be used")]
    AfXdp(#[source] OpenError),
    /// An uplink.
    #[error("uplink {interface} cannot be opened")]
    Uplink {
        /// The interface.
        interface: String,
        /// Why.
        source: OpenError,
    },
    /// Tables and workers.
    #[error("the dataplane cannot be put together")]
    Assemble(#[from] AssembleError),
    /// Threads, signals, the runtime.
    #[error("the system refuses {what}")]
    System {
        /// What it refuses.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A listener.
    #[error("the API cannot listen on {address}")]
    Listen {
        /// Where.
        address: Address,
        /// Why.
        source: ListenError,
    },
    /// The way to collectors.
    #[error("IPFIX collectors cannot be reached")]
    Ipfix(#[source] io::Error),
    /// The listener for metrics.
    #[error("metrics cannot be served on {address}")]
    Metrics {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The server.
    #[error("the API server failed")]
    Serve(#[from] ServeError),
}

/// Runs until the process is told to end (SIGTERM, SIGINT).
///
/// # Errors
/// Why it could not start, or had to end.
pub fn run(settings: DaemonSettings) -> Result<(), DaemonError> {
    let clock = Monotonic::start();
    let pool = FramePool::with_large(settings.frames, settings.frame_size, settings.large_frames)?;
    let interfaces = Interfaces::new(&pool, settings.access_rings).map_err(DaemonError::AfXdp)?;
    let (mut uplinks, mut controls) = (Vec::new(), Vec::new());
    for (index, uplink) in settings.uplinks.iter().enumerate() {
        let opened = interfaces.open_uplink(uplink);
        let (opened, control) = opened.map_err(|source| DaemonError::Uplink {
            interface: uplink.interface.clone(),
            source,
        })?;
        info!(interface = uplink.interface, attachment = %opened.opened.attachment.why, "uplink open");
        // Uplinks are the first ports, in order.
        controls.extend(PortSlot::new(index).zip(control));
        uplinks.push(opened);
    }
    let assembly = assemble(&settings.settings, &pool, uplinks, Box::new(interfaces), clock.now())?;
    let sources = Sources {
        shared: assembly.shared.clone(),
        workers: (assembly.programmer.fleet().loads().iter().cloned().enumerate())
            .map(|(index, load)| (load, settings.pinning.cpus.get(index).copied()))
            .collect(),
        pool,
        captures: assembly.programmer.fleet().captures(),
    };
    let about = About {
        instance: Uuid::new_v4().to_string(),
        node: settings.node.clone(),
        vteps: settings
            .uplinks
            .iter()
            .flat_map(|uplink| &uplink.vteps)
            .map(|(address, _)| *address)
            .collect(),
        uplinks: settings.uplinks.iter().map(|uplink| uplink.interface.clone()).collect(),
        limits: settings.settings.limits,
    };
    let loads = assembly.programmer.fleet().loads().to_vec();
    let (messages, inbox) = threads::inbox();
    let handle = {
        let messages = messages.clone();
        Handle::new(move |request| messages.send(Message::Request(request)).map_err(|_| Stopped))
    };
    let desk = Desk::new(&handle, about, sources, &assembly.programmer);
    let system = |what| move |source| DaemonError::System { what, source };
    let running = threads::start(assembly, controls, &settings.pinning, clock, (messages, inbox), desk)
        .map_err(system("a thread"))?;
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(API_THREADS)
        .thread_name("api")
        .enable_all()
        .build()
        .map_err(system("an async runtime"))?;
    let doing = format!(
        "moving packets of node {}: {} workers, {} uplinks",
        settings.node,
        loads.len(),
        settings.uplinks.len()
    );
    let report = supervised::report(Pulse::new(loads, running.rounds.clone()), doing);
    let served = runtime.block_on(serve(handle, &settings, report));
    running.stop();
    served
}

/// Threads that read and write gRPC. Programming is done by one thread of its own.
const API_THREADS: usize = 2;

async fn serve(
    handle: Handle,
    settings: &DaemonSettings,
    report: impl Future<Output = ()> + Send + 'static,
) -> Result<(), DaemonError> {
    let system = |what| move |source| DaemonError::System { what, source };
    let mut terminate = signal(SignalKind::terminate()).map_err(system("to handle SIGTERM"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(system("to handle SIGINT"))?;
    let mut listeners = Vec::new();
    for address in &settings.listen {
        let listener = Listener::bind(address).await;
        listeners.push(listener.map_err(|source| DaemonError::Listen {
            address: address.clone(),
            source,
        })?);
        info!(%address, "listening");
    }
    let told = async move {
        tokio::select! {
            _ = terminate.recv() => info!("told to end by SIGTERM"),
            _ = interrupt.recv() => info!("told to end by SIGINT"),
        }
        supervised::stopping();
    };
    // Sockets listen: who connects now is answered as soon as the server runs. Ends with the runtime.
    tokio::spawn(report);
    let (calls, flows, export) = (call_counts(), FlowFeed::default(), Arc::<ExportCounts>::default());
    // Ended with this, whatever they do.
    let mut beside = JoinSet::new();
    if let Some(wanted) = settings.metrics {
        let server = vrouter_metrics::Server::bind(wanted.address).await;
        let failed = |source| DaemonError::Metrics {
            address: wanted.address,
            source,
        };
        let server = server.map_err(failed)?;
        info!(address = %server.address().map_err(failed)?, "serving metrics");
        let metrics = Metrics::new(handle.clone(), calls.clone(), wanted.names, export.clone());
        beside.spawn(server.run(metrics));
    }
    let (end, ending) = oneshot::channel::<()>();
    let ending = async move { drop(ending.await) };
    let mut exporting = None;
    if let Some(wanted) = &settings.ipfix {
        let exporter = FlowExport::open(wanted.clone(), export).await;
        let exporter = exporter.map_err(DaemonError::Ipfix)?;
        exporting = Some(tokio::spawn(exporter.run(handle.clone(), flows.clone(), ending)));
    }
    let server = Server::new(handle, listeners).counting(calls).hearing(flows);
    let served = server.run(told).await;
    // What flows that last have to tell is told now, or never.
    drop(end);
    if let Some(exporting) = exporting
        && time::timeout(LAST_WORDS, exporting).await.is_err()
    {
        warn!("collectors are not told of all flows that lasted: it would have taken too long");
    }
    Ok(served?)
}
