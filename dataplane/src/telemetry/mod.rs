//! What the dataplane tells about itself: counters, load, flows, as plain values.
//!
//! Only reads what workers write for themselves, with plain loads: no worker waits for, or is woken by, anybody who looks.
//! How any of it is sent or shown is not for this room.

mod baseline;
mod capture;
mod export;
mod flows;
pub mod ipfix;
mod statistics;
mod totals;
mod trace;
mod verdict;

pub use baseline::Baselines;
pub use capture::{CapturedPacket, captured};
pub use export::{Ledger, Which, ended, walk};
pub use flows::{FlowFilter, FlowRow, Translated, event_row, flows, is_logged};
pub use statistics::{
    FlowStatistics, FragmentStatistics, FrameStatistics, HistogramSummary, PacketStatistics, PortStatistics,
    ServiceStatistics, SourceNatStatistics, Sources, Statistics, VrfStatistics, WorkerStatistics, node_totals,
    statistics,
};
pub use totals::{DropTotals, PortTotals, VrfTotals};
pub use trace::{Given, Output, PacketSpec, Step, TraceError, Traced, trace};
pub use verdict::FlowVerdict;
