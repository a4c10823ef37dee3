//! A dataplane put together: frames, tables, workers and the programmer.
//!
//! [`assemble`] makes the parts; who runs them is up to the caller. The daemon gives each worker a pinned thread and the
//! programmer one of its own; [`memory`] runs all of them step by step on the caller's thread, with the caller's clock.

pub mod clock;
#[cfg(target_os = "linux")]
pub mod daemon;
#[cfg(target_os = "linux")]
pub mod interfaces;
pub mod memory;
#[cfg(target_os = "linux")]
pub mod supervised;
#[cfg(target_os = "linux")]
pub mod threads;

use std::sync::Arc;

use crate::{
    health::Line,
    packet::FramePool,
    pipeline::{Shared, counters::Counters},
    program::{Foundation, Limits, OpenedUplink, Opener, OuterOptions, Parts, Programmer, problem::Refusal},
    tables::{
        conntrack::Timeouts,
        flow::{FlowTable, TableError},
        learned::LearnedTable,
        lpm::CannotReserve,
        publish::TooManyReaders,
    },
    worker::{
        Fleet, Worker,
        fleet::{MAX_WORKERS, Seat},
    },
};

/// Sizes and choices of a dataplane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Workers, 1 to [`MAX_WORKERS`].
    pub workers: usize,
    /// Flow pairs.
    pub flows: usize,
    /// Learned MACs.
    pub learned: usize,
    /// Learned MACs of one bridge.
    pub learned_per_bridge: u32,
    /// Objects.
    pub limits: Limits,
    /// Most flow pairs of one VRF.
    pub vrf_flows: u32,
    /// Idle flows.
    pub flow_timeouts: Timeouts,
    /// Outer headers.
    pub outer: OuterOptions,
    /// Keys the hashes; draw it at random.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            workers: 1,
            flows: 1 << 20,
            learned: 1 << 16,
            learned_per_bridge: 1 << 14,
            limits: Limits::default(),
            vrf_flows: u32::MAX,
            flow_timeouts: Timeouts::default(),
            outer: OuterOptions::default(),
            seed: 0,
        }
    }
}

/// Why a dataplane cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// No worker, or too many.
    #[error("{0} workers: between 1 and {MAX_WORKERS} are possible")]
    Workers(usize),
    /// The flow table or the table of learned MACs.
    #[error("a table of flows or learned MACs cannot be made")]
    Table(#[from] TableError),
    /// Route memory.
    #[error("route memory cannot be reserved")]
    Routes(#[from] CannotReserve),
    /// Too many readers of the tables.
    #[error("too many workers read the tables")]
    Readers(#[from] TooManyReaders),
    /// Descriptors to sleep on.
    #[error("workers get no descriptors to sleep on")]
    Poll(#[from] std::io::Error),
    /// An uplink.
    #[error("{field}: {message}", field = .0.field, message = .0.message)]
    Uplink(Refusal),
}

/// A dataplane in parts.
#[derive(Debug)]
pub struct Assembly {
    /// The one writer.
    pub programmer: Programmer,
    /// Workers, each to be given a thread.
    pub workers: Vec<Worker>,
    /// Counters, flows and learned MACs.
    pub shared: Arc<Shared>,
    /// For a prober of health.
    pub line: Line,
}

/// Puts a dataplane together. `now` is the time of the clock that workers will be given.
///
/// # Errors
/// [`AssembleError`] when sizes are impossible or the system has not so much.
pub fn assemble(
    settings: &Settings,
    pool: &Arc<FramePool>,
    uplinks: Vec<OpenedUplink>,
    opener: Box<dyn Opener>,
    now: u64,
) -> Result<Assembly, AssembleError> {
    let Settings {
        workers, limits, seed, ..
    } = *settings;
    if !(1..=MAX_WORKERS).contains(&workers) {
        return Err(AssembleError::Workers(workers));
    }
    let (flows, owners) = FlowTable::new(settings.flows, workers, limits.ports, limits.vrfs, seed)?;
    for vrf in 0..limits.vrfs {
        flows.set_vrf_limit(u16::try_from(vrf).unwrap_or(u16::MAX), settings.vrf_flows);
    }
    let timeouts = settings.flow_timeouts;
    let learned = LearnedTable::new(settings.learned, settings.learned_per_bridge, limits.bridges, seed)?;
    let counters = (0..workers).map(|_| Counters::new(limits.ports, limits.vrfs)).collect();
    let shared = Arc::new(Shared::new(flows, timeouts, learned, counters, seed));
    let foundation = Foundation::new(&limits)?;
    let seats = owners
        .into_iter()
        .map(|mut flows| {
            flows.set_first_look(timeouts.shortest());
            Ok(Seat {
                reader: foundation.reader()?,
                flows,
            })
        })
        .collect::<Result<Vec<_>, TooManyReaders>>()?;
    let (fleet, workers) = Fleet::new(seats, &shared, pool)?;
    let line = Line::new(foundation.reader()?, fleet.sender(), shared.clone(), pool.cache());
    let parts = Parts {
        limits,
        outer: settings.outer,
        uplinks,
        shared: shared.clone(),
        pool: pool.clone(),
    };
    let programmer = Programmer::new(foundation, parts, fleet, opener, now).map_err(AssembleError::Uplink)?;
    Ok(Assembly {
        programmer,
        workers,
        shared,
        line,
    })
}
