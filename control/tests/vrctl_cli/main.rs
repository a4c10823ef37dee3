//! The built `vrctl` against servers made for the test: what it asks for, what it prints, and how it ends.

// Helpers here are test code, though not in a #[test] function themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod capture;
mod failures;
mod fake_control;
mod fake_dataplane;
mod harness;
mod intent;
mod policy;
mod real;
mod sight;
mod tables;
mod telemetry;
