//! What `pktgen`, a traffic generator and receiver on AF_XDP, is made of.
//!
//! The rooms, lowest floor first; an import goes only down:
//! - what to send: [`stamp`] (what a packet carries to be known again), [`encap`] (tunnels), [`flows`] (addresses and ports),
//!   [`sizes`] (IMIX), [`template`] (packets built here), [`replay`] (packets of a capture), [`traffic`] (either);
//! - when to send: [`rate`] and [`pace`];
//! - what was received: [`classify`], [`sequence`], [`latency`], and [`report`] (what is said about it);
//! - the loops, over any port and any clock: [`send`], [`receive`], [`reflect`], and [`trial`], a sender and a receiver at once;
//! - [`search`]: the highest rate without loss, over any measurement; [`verdict`]: what is said about that;
//! - on Linux, `linux`: the one room with `unsafe`, where AF_XDP, the clock, signals and network namespaces are. All others build
//!   and are tested anywhere.
//!
//! Beside them, and apart from pktgen: [`figures`], what the benches write down.

use std::sync::atomic::AtomicU64;

pub mod classify;
pub mod encap;
pub mod figures;
pub mod flows;
pub mod latency;
#[cfg(target_os = "linux")]
pub mod linux;
pub mod pace;
pub mod rate;
pub mod receive;
pub mod reflect;
pub mod replay;
pub mod report;
pub mod search;
pub mod send;
pub mod sequence;
pub mod sizes;
pub mod stamp;
pub mod template;
pub mod traffic;
pub mod trial;
pub mod verdict;

/// Where time comes from.
pub trait Clock {
    /// Nanoseconds since any fixed moment, the same one for sender and receiver; never going back.
    fn now(&self) -> u64;

    /// Lets about so many nanoseconds pass; may return early.
    fn wait(&self, nanoseconds: u64);
}

/// What others may know while something runs.
#[derive(Debug)]
pub struct Live {
    /// Packets sent so far.
    pub sent: AtomicU64,
    /// Packets received so far.
    pub received: AtomicU64,
    /// Packets that are to be received altogether; `u64::MAX`: not known yet.
    pub total: AtomicU64,
}

impl Default for Live {
    fn default() -> Self {
        Self {
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            total: AtomicU64::new(u64::MAX),
        }
    }
}
