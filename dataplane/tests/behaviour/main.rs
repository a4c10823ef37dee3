//! What the dataplane promises, each behaviour in a test of its own, over both families; no time but the clock that is moved.
#![allow(unreachable_pub)] // one crate, no public face
#![allow(clippy::unwrap_used, clippy::panic)] // what is not as it must be fails the test

#[path = "../lab/mod.rs"]
mod lab;

mod captures;
mod clear;
mod errors;
mod flows;
mod fragments;
mod gateway;
mod guards;
mod learning;
mod limits;
mod marks;
mod mirrors;
mod nat;
mod paths;
mod policy;
mod policy_bridged;
mod related;
mod segments;
mod services;
mod shortage;
mod site;
mod size;
mod trace;
mod underlay;
mod workers;
