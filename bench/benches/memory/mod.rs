//! What the benches of the whole pipeline share: nodes on memory ports ([`lab`]), packets ([`packets`]), and the loop that is measured
//! ([`bed`]).
//!
//! What is timed is [`Worker::turn`](vrouter_dataplane::worker::Worker::turn), the code that runs in `vrouterd`, from receiving to transmitting, with
//! all counters on and tables of the daemon's own default sizes. Before each turn fresh packets are put into the ring of
//! one memory port, after it the frames are taken out of the ring of another: the time stamp counter is read right before and
//! right after the turn, and what the reading itself costs is taken off. Frames are taken in turn from as many as an uplink's ring holds,
//! like those of a real pool. A stretch of turns within which the scheduler gave the CPU to others is measured again.
#![allow(dead_code)] // Each bench uses a part.

pub(crate) mod bed;
pub(crate) mod cases;
pub(crate) mod daemon;
pub(crate) mod fresh;
pub(crate) mod lab;
pub(crate) mod packets;
pub(crate) mod plot;
pub(crate) mod statistics;
