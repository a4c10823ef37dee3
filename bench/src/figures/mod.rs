//! The figures that the benches of the router's own code produce: which there are and what they are measured against ([`table`]),
//! how time is read around so short a stretch as a worker's turn ([`ticks`]) and how much memory a process has ([`resident`]), on which machine ([`machine`]), and where results go:
//! JSON for programs ([`json`]), a section of a Markdown file for people ([`results`]).
//!
//! `pktgen` needs none of it. No packet, no table of the router and no criterion may enter: what is measured is in `benches/`.

pub mod json;
pub mod machine;
pub mod resident;
pub mod results;
pub mod table;
pub mod ticks;
