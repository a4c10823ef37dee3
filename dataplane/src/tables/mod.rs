//! What workers read to decide about a packet.
//!
//! Two sorts of table. What is *programmed* (ports, VRFs, routes, next hops, ...) is in one immutable [`Tables`] per revision,
//! published by [`publish`] and pinned by each worker for a batch. What workers themselves *find out* (flows, learned MACs) is in
//! lock-free tables of fixed size that all workers share.
//!
//! Tables know headers and packets, but no ports' drivers, no clock and no stage of the pipeline.

pub mod conntrack;
pub mod cow;
pub mod flow;
pub mod forwarding;
pub mod fragments;
pub mod gateway;
pub mod guard;
mod identity;
pub mod learned;
pub mod lpm;
mod memory;
pub mod mirror;
pub mod next_hop;
pub mod policy;
pub mod port;
pub mod publish;
pub mod qos;
pub mod route;
pub mod service;
pub mod slots;
pub mod snapshot;
pub mod source_nat;
mod sync;
pub mod underlay;

pub use snapshot::Tables;
