//! The packet mover of vrouter: takes frames from ports, looks them up, rewrites and encapsulates them, and sends them on.
//!
//! The rooms, lowest floor first; an import goes only down: `huge_pages` (what the kernel is asked about large memory),
//! [`wire`] (what bytes mean), [`packet`] (a frame on its way), [`tables`] (what workers read), [`port`] (where frames come and
//! go), [`service`] (what the router says itself), [`pipeline`] (the stages of a batch), [`worker`] (one pinned thread),
//! [`program`] (the one writer of tables), [`health`] (asks workloads whether they are well), [`telemetry`] (what the dataplane tells about itself), [`api`] (the gRPC server in
//! front of these two), [`engine`] (all of it put together), [`config`] (what the daemon is told).

pub mod api;
#[cfg(target_os = "linux")]
pub mod config;
pub mod engine;
pub mod health;
mod huge_pages;
pub mod packet;
pub mod pipeline;
pub mod port;
pub mod program;
pub mod service;
pub mod tables;
pub mod tap;
pub mod telemetry;
pub mod wire;
pub mod worker;
