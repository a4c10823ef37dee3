//! The one writer: what it takes, what it refuses and in which words, that it does so whole or not at all, and what it shows.
#![allow(unreachable_pub)] // one crate, no public face
#![allow(clippy::unwrap_used, clippy::panic)] // what is not as it must be fails the test

#[path = "../lab/mod.rs"]
mod lab;

mod addresses;
mod batches;
mod dump;
mod full;
mod observers;
mod policies;
mod refusals;
mod routes;
mod traffic;
