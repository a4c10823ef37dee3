//! What the router says itself: ARP, neighbour discovery, ICMP, fragments, and the questions it asks about its underlay.
//!
//! Whoever calls decides (does this address deserve an answer, from which MAC?); this room only builds. It knows headers and
//! frames, no tables and no ports. All but [`underlay`] is called on workers: pure functions that neither allocate, lock, log
//! nor panic on any bytes. Headers are read and written with smoltcp's `wire` module; none of its types shows here.

pub mod arp;
pub mod ethernet;
pub mod fragment;
pub mod icmp;
pub mod nd;
pub mod underlay;

#[cfg(test)]
mod test_frames;
