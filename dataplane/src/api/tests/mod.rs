//! The API over real unix sockets, in front of a whole dataplane on memory ports.

mod apply;
mod dump;
mod harness;
mod metrics;
mod server;
mod telemetry;
mod watch;
