//! What would be done with a packet: the pipeline itself runs over a copy, with the tables that packets use, in a house of its own.
//!
//! Flows, learned MACs, counters and frames of the trace are its own and gone afterwards; a living flow of the packet is copied in, so
//! that the packet meets what it would meet. Ports of source translations that the trace takes are given back.

mod house;
mod packet;
mod words;

use std::net::IpAddr;

use self::house::House;
pub use self::packet::PacketSpec;
use crate::{
    packet::DropReason,
    pipeline::Shared,
    tables::{Tables, slots::PortSlot},
};

/// One step of a packet's way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Stage, a stable name.
    pub stage: &'static str,
    /// What happened, in words.
    pub detail: String,
    /// The object at work; may be empty.
    pub object: String,
}

/// A frame that would leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// The port's identifier.
    pub port: u32,
    /// Its name.
    pub name: String,
    /// The frame.
    pub frame: Vec<u8>,
    /// The remote VTEP, where it leaves in a tunnel.
    pub vtep: Option<IpAddr>,
}

/// A packet's way through this node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traced {
    /// Step by step.
    pub steps: Vec<Step>,
    /// What would leave.
    pub outputs: Vec<Output>,
    /// Why it would be dropped.
    pub drop: Option<DropReason>,
}

/// Why a trace cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TraceError {
    /// No such port.
    #[error("there is no {0}")]
    NoPort(String),
    /// The frame does not fit.
    #[error("a frame of {len} bytes is longer than {max}")]
    TooLong {
        /// Bytes given.
        len: usize,
        /// Most.
        max: usize,
    },
    /// The description makes no packet.
    #[error("{field}: {message}")]
    Packet {
        /// Field at fault.
        field: &'static str,
        /// What would be right.
        message: String,
    },
    /// The system has no memory for it.
    #[error("there is no memory for a trace")]
    NoMemory,
}

/// What comes in.
#[derive(Clone, Debug)]
pub enum Given<'a> {
    /// A frame.
    Frame(&'a [u8]),
    /// A description; the workload's frame is made from it.
    Packet(&'a PacketSpec),
}

/// Traces what comes in by `port`. `now`: nanoseconds of the workers' clock.
///
/// # Errors
/// [`TraceError`]
pub fn trace(
    tables: &Tables,
    live: &Shared,
    port: PortSlot,
    given: &Given<'_>,
    now: u64,
) -> Result<Traced, TraceError> {
    let built;
    let frame = match given {
        Given::Frame(frame) => *frame,
        Given::Packet(spec) => {
            built = packet::build(tables, port, spec)?;
            &built
        }
    };
    // Whose flow the packet is of turns out on the way; if that flow lives, the way is gone again with it.
    let first = House::new(tables, live, now)?.run(port, frame)?;
    let met = first.key.and_then(|key| {
        let flow = live.flows.lookup(&key, live.flows.hash(&key))?;
        Some((key, flow))
    });
    let Some((key, hit)) = met else {
        return Ok(first.traced);
    };
    let mut house = House::new(tables, live, now)?;
    let known = house.adopt(&hit);
    let mut second = house.run(port, frame)?;
    if known {
        second.traced.steps.insert(1, words::flow(tables, live, &key, &hit));
    }
    Ok(second.traced)
}
