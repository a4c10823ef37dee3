//! The flow table: one for all workers, without locks, in memory taken at start.
//!
//! A flow is a pair of directions, each with its own key and its own decision. A packet's key finds its direction in two or three
//! cache lines: a bucket of the index, the record's key, the record's decision and counters. Every worker may look up,
//! count and decide anew; each worker makes and frees flows in its own region only ([`FlowOwner`]), so that allocation needs no
//! lock. All references are numbers, not addresses.
//!
//! A flow ends because it is idle, was removed, or had to make room: see [`FlowTable::expire`] and [`FlowTable::make_room`]. Its owner ends
//! it, and tells of it once. How many flows a port and a VRF may have is bounded, and a port makes room among its own flows only.
//!
//! What a decision means, when it is current (the epoch) and how long a flow may be idle is for the callers to say: this
//! room knows keys, words and times.

mod attention;
mod ended;
mod expire;
mod index;
mod insert;
mod limits;
mod links;
mod owner;
mod record;
mod share;
mod table;
mod view;
mod wheel;

#[cfg(test)]
#[cfg(not(vrouter_loom))]
mod end_tests;
#[cfg(test)]
#[cfg(vrouter_loom)]
mod loom_tests;
#[cfg(test)]
#[cfg(not(vrouter_loom))]
mod model_tests;
#[cfg(test)]
#[cfg(not(vrouter_loom))]
mod stress_tests;

pub use super::memory::TableError;
pub use ended::{EndReason, EndedFlow, Ending};
pub use expire::Outlook;
pub use insert::{NewDirection, NewFlow};
pub use owner::FlowOwner;
pub use record::{ACTION_WORDS, STALE};
pub use table::{FlowHint, FlowTable, KnownFlow};
pub use view::{FlowEntry, FlowView};

/// A direction of a flow, as long as that flow lives: afterwards it refers to nothing, though the memory be used again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FlowRef {
    pub(self) direction: u32,
    pub(self) generation: u32,
}

impl FlowRef {
    /// Whether this is the direction of the answers (the second of its pair).
    #[inline]
    #[must_use]
    pub fn is_reverse(self) -> bool {
        self.direction & 1 == 1
    }

    /// A number for people and dumps: the same for both directions of a flow, used again after the flow is gone.
    #[must_use]
    pub fn pair(self) -> u32 {
        self.direction >> 1
    }
}

/// What a lookup found: which flow, and the decision made for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FlowHit {
    /// The direction found.
    pub flow: FlowRef,
    /// The epoch the decision was made in; [`STALE`] if it must be made anew whatever the epoch.
    pub epoch: u64,
    /// The decision, opaque to the table.
    pub action: [u64; ACTION_WORDS],
}

/// A flow could not be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InsertError {
    /// This worker's region has no free pair, or the buckets of a key have no free slot.
    #[error("the flow table is full")]
    TableFull,
    /// The port has as many flows as it may.
    #[error("port {port} has used its share of {limit} flows")]
    PortShareUsed {
        /// The port.
        port: u16,
        /// Its limit.
        limit: u32,
    },
    /// The VRF of the forward key has as many flows as it may.
    #[error("VRF slot {vrf} has used its share of {limit} flows")]
    VrfShareUsed {
        /// The VRF's slot.
        vrf: u16,
        /// Its limit.
        limit: u32,
    },
    /// The table was built for fewer ports.
    #[error("port {port} does not exist: the flow table was built for ports 0 to {}", ports.saturating_sub(1))]
    NoSuchPort {
        /// The port named.
        port: u16,
        /// How many there are.
        ports: usize,
    },
    /// The forward key has a flow already, perhaps made by another worker a moment ago: use this one.
    #[error("the flow is there already")]
    AlreadyThere(FlowHit),
    /// The reverse key belongs to another flow: translate to another address or port, or drop.
    #[error("the key of the answers belongs to another flow")]
    ReverseTaken,
    /// Other workers kept inserting and removing the same key at this very moment. The packet can be sent without a flow; its
    /// successor will make one.
    #[error("other workers are inserting this flow")]
    Contended,
}
