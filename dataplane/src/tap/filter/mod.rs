//! Which packets a capture is about, in the language of tcpdump (pcap-filter(7)), for what networks here are made of:
//! `host`, `net`, `port`, `portrange` (with `src`, `dst`, and `ip`, `ip6`, `arp`, `tcp`, `udp`, `sctp` in front), `ether host`, `proto`, the names of
//! protocols, `vlan`, `less`, `greater`, `and`, `or`, `not` and parentheses. It means what it means to tcpdump, as far as bytes are there: `and` and `or` bind
//! alike, from left to right; only the fixed IPv6 header is looked at; a test of bytes that are not there is false.
//!
//! Two words are ours: `vni [N]` is a VXLAN packet, `label [N]` one of MPLS over UDP, and what stands behind them in the expression is about the packet
//! within, as what stands behind `vlan` is about what follows the tag.
//!
//! [`Filter::new`] reads an expression once, on a thread that may allocate; [`Filter::matches`] runs it over a packet's bytes, on a worker.

mod layer;
mod parse;
mod program;
mod question;
#[cfg(test)]
mod tests;
mod token;

pub use parse::FilterError;

use self::program::Program;

/// Longest expression, bytes.
pub const MAX_LENGTH: usize = 4096;

/// A filter, ready to be run.
#[derive(Clone, Debug)]
pub struct Filter(Program);

impl Filter {
    /// Reads an expression.
    ///
    /// # Errors
    /// Where it is wrong, and what would be right.
    pub fn new(expression: &str) -> Result<Self, FilterError> {
        parse::parse(expression).map(|(tree, shifts)| Self(Program::new(&tree, shifts)))
    }

    /// The frame, from its Ethernet header on, is wanted.
    #[inline]
    pub fn matches(&self, frame: &[u8]) -> bool {
        self.0.run(frame)
    }
}
