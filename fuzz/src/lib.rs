//! What must hold whatever bytes others send: one module per kind of bytes, each with a `check` that panics when it does not.
//!
//! The same `check` is what a fuzz target runs, and what [`replay`] runs over the inputs kept in the repository: those that
//! fuzzing starts from (`seeds/TARGET`) and those that once broke something (`regressions/TARGET`), so that plain `cargo test`
//! holds what fuzzing found. Nothing here may depend on the fuzzer.

pub mod api;
pub mod coalesce;
pub mod config;
mod cursor;
pub mod filter;
pub mod frame;
mod packets;
pub mod pipeline;
mod replay;
pub mod service;
pub mod tunnel;
pub mod underlay;

pub use replay::{TARGETS, inputs, replay};
