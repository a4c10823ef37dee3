//! The daemon's parts together: the API, the store and the driver of dataplanes, against a dataplane in the test's own process that
//! validates as strictly as the interface says.

// The whole of it is a test, which the lints only see in functions marked as such.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod converge;
mod fake;
mod full;
mod house;
mod kill;
mod refuse;
mod rules;
mod scale;
