//! `vrouter.control.v1` over gRPC: turns requests into wishes, runs the rules in a transaction, and shows objects.
//!
//! No rule lives here: what may be done is decided in [`crate::intent`].

mod endpoints;
mod metrics;
mod networks;
mod nodes;
mod objects;
mod server;
mod service;
mod show;
mod status;
mod subnets;
mod watch;

pub use metrics::{DEFAULT_NAMED, Metrics};
pub use server::{ServeError, Server, call_counts};
pub use service::Service;

#[cfg(test)]
mod tests;
