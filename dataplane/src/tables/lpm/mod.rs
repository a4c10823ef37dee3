//! Longest-prefix match for IPv4 and IPv6: the routes of every VRF, in one arena.
//!
//! A multibit trie of 6 bits a level, path-compressed. It is the forwarding table and the RIB at once: prefixes are kept as
//! they were inserted, so that exact get, removal and ordered iteration need no second copy.
//!
//! Versions: a [`Root`] is a plain number that names one version of one VRF's table. [`LpmWriter`] never changes a block that a
//! committed root reaches; it replaces the blocks on the path and hands the old ones back on [`LpmWriter::commit`] as
//! [`Retired`]. Whoever publishes snapshots returns them by [`LpmWriter::release`] when no reader can hold an older root.
//! Blocks made in the running batch are changed in place, so that a million inserts in one batch copy nothing twice.
//!
//! Readers share the [`Arena`], whose memory never moves, and never wait. All words are read as relaxed atomics: looking up in a
//! root after its blocks were released gives a wrong answer, never undefined behaviour, a panic or an endless loop.
//!
//! What a value means is the caller's business (a next hop slot and eight bits of flags). No packets, no locks, no clocks here.

mod address;
mod arena;
mod cpu;
mod edit;
mod heap;
mod iter;
mod lookup;
mod node;
mod writer;

#[cfg(test)]
mod tests;

pub use address::{Address, BadPrefix, Prefix};
pub use arena::{Arena, CannotReserve};
pub use heap::{ArenaFull, Retired};
pub use iter::Iter;
pub use writer::LpmWriter;

use std::marker::PhantomData;

/// One version of one VRF's routes of one address family. Obtained from a snapshot, valid as long as the snapshot is.
pub struct Root<A> {
    at: u32,
    family: PhantomData<A>,
}

/// The IPv4 routes of a VRF.
pub type Root4 = Root<u32>;
/// The IPv6 routes of a VRF.
pub type Root6 = Root<u128>;

impl<A> Root<A> {
    /// No routes at all; takes no memory.
    pub const EMPTY: Self = Root::at(0);

    const fn at(at: u32) -> Self {
        Root {
            at,
            family: PhantomData,
        }
    }

    /// Whether there is no route, not even a default route.
    pub const fn is_empty(self) -> bool {
        self.at == 0
    }
}

// Written by hand: derives would ask the same of `A`.
impl<A> Clone for Root<A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A> Copy for Root<A> {}

impl<A> Default for Root<A> {
    fn default() -> Self {
        Root::EMPTY
    }
}

impl<A> PartialEq for Root<A> {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl<A> Eq for Root<A> {}

impl<A> std::fmt::Debug for Root<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Root({})", self.at)
    }
}
