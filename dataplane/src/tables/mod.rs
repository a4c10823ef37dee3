//! What workers read to decide about a packet: tables that one writer changes and publishes as immutable snapshots, and
//! the lock-free tables that workers themselves write.
//!
//! Knows flow keys (`packet`) but no ports and no stage of the pipeline.

pub mod flow;
pub mod learned;
pub mod lpm;
mod memory;
pub mod publish;
mod sync;
