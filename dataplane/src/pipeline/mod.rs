//! The stages that every packet takes, as functions over a batch.
//!
//! [`ingress`] says what a frame is and where it belongs; [`decapsulate`] takes it out of its tunnel; [`route`] finds or makes its
//! flow; [`switch`] carries frames within a bridge; [`forward`] rewrites, wraps and hands the packet to its port; [`clear`] is
//! for what crosses the underlay without a tunnel; [`local`] is
//! where the router answers for itself. A frame is moved from stage to stage by value, so that the compiler holds the first law:
//! each is sent, dropped with a reason, or handed over, exactly once.
//!
//! Nothing here allocates, locks, blocks, logs or asks for the time: the worker brings everything in a [`Context`].

pub mod answers;
mod arrival;
mod bridged;
mod clear;
pub mod coalesce;
mod conclusion;
pub mod context;
pub mod counters;
mod decapsulate;
mod decide;
mod decision;
pub(crate) mod delivery;
pub mod events;
mod flow_action;
mod forward;
mod fragments;
mod hops;
mod house;
mod ingress;
mod lately;
mod leaving;
mod local;
mod mirror;
mod newcomers;
mod output;
mod packet;
mod quote;
pub mod record;
mod refuse;
mod related;
mod rewrite;
mod route;
mod rulings;
mod segment;
mod segment_size;
mod settle;
pub mod shaper;
mod switch;
#[cfg(test)]
mod test_segments;
mod track;
pub(crate) mod train;
mod translate;

pub use answers::{Answer, Answers};
pub use context::{Context, Punt, Shared, State};
pub(crate) use decide::{vrf_of, workload_at};
pub use events::{FlowChange, FlowEvent, FlowEvents};
pub use flow_action::{FlowAction, FlowFlags};
pub use house::{end_flows, make_room, outlook, phase_of};
pub use output::Outputs;
pub use record::{Recorder, Witness};

use crate::{packet::Frame, tables::slots::PortSlot};

/// Largest number of packets in a batch.
pub const BATCH: usize = 64;

/// Runs a batch of frames, all received by `port`, through the stages. `batch` is empty afterwards: every frame has been put
/// into the outputs, freed with a counted reason, or punted.
#[inline]
pub fn process(context: &mut Context<'_>, port: PortSlot, batch: &mut Vec<Frame>) {
    // It stands there again at the end: nothing is allocated.
    let mut routed = context.state.routed.take().unwrap_or_default();
    ingress::classify(context, port, batch, &mut routed);
    route::run(context, &mut routed);
    if context.state.fragments.has_ready() {
        fragments::release(context, &mut routed);
    }
    context.state.routed = Some(routed);
}

/// Looks after what waits: sends fragments on whose head has come, drops those whose time is over. Limits are looked after where
/// frames are given to ports ([`delivery`]).
pub fn tend(context: &mut Context<'_>) {
    let mut routed = context.state.routed.take().unwrap_or_default();
    fragments::tend(context, &mut routed);
    context.state.routed = Some(routed);
}
