//! What `pktgen`, a traffic generator and receiver on AF_XDP, is made of.
//!
//! The rooms, lowest floor first; an import goes only down:
//! [`stamp`] (what a packet carries to be known again), [`rate`] and [`pace`] (when to send), [`encap`] and [`template`] (what to
//! send), [`classify`] and [`sequence`] (what was received), [`report`] (what is said about it), [`send`] and [`receive`] (the two
//! loops, over any port and any clock) and, on Linux, `linux`: the one room with `unsafe`, where AF_XDP, the clock, signals and
//! network namespaces are. All others build and are tested anywhere.

pub mod classify;
pub mod encap;
pub mod figures;
#[cfg(target_os = "linux")]
pub mod linux;
pub mod pace;
pub mod rate;
pub mod receive;
pub mod reflect;
pub mod report;
pub mod send;
pub mod sequence;
pub mod stamp;
pub mod template;

/// Where time comes from.
pub trait Clock {
    /// Nanoseconds since any fixed moment, the same one for sender and receiver; never going back.
    fn now(&self) -> u64;

    /// Lets about so many nanoseconds pass; may return early.
    fn wait(&self, nanoseconds: u64);
}
