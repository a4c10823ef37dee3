//! Connection tracking: what the packets of a flow say of its connection. Pure functions on words: no table, no clock, no packet memory.
//!
//! Each direction of a flow has one word of 64 bits, and only packets of that direction write it: two workers that carry the two
//! directions never write the same word, and need no lock. What both directions together mean is derived: [`phase`].
//!
//! - [`first`] makes the word of a direction that begins a flow, [`track`] checks each later TCP segment against both words
//!   (RFC 9293, with the checks of RFC 5961 against blind senders) and gives the direction's new word.
//! - Protocols other than TCP have one bit: the direction has been [`SEEN`].
//! - A word of zero means that no packet of the direction was tracked yet. Flows that are not tracked at all keep zeros.
//! - [`Timeouts`] says how long a flow of a phase may be idle.
//!
//! What is refused here is what the receiver would refuse as well, or what would change the connection without its sender having
//! proven to know its sequence numbers. A segment that is *in doubt* (a reset or SYN that only the receiver can judge) passes and
//! changes nothing: the receiver's challenge (RFC 5961) brings the proof.

mod phase;
mod segment;
mod tcp;
mod timeouts;
mod word;

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tcp_tests;

pub use phase::{Phase, phase};
pub use segment::{NotTcp, Segment};
pub use tcp::{NotAnOpening, Tracking, first, is_picked_up, shortens, track};
pub use timeouts::Timeouts;
pub use word::{SEEN, describe};
