//! What fuzzing starts from, and what it once broke, through the same properties: on any toolchain, without a fuzzer.

use vrouter_fuzz::{DATAPLANE, replay};

/// Runs the property of one target over its kept inputs.
fn holds(name: &str) {
    let target = DATAPLANE.iter().find(|(target, _)| *target == name);
    assert!(replay(*target.unwrap()) > 0);
}

#[test]
fn frames() {
    holds("frame");
}

#[test]
fn tunnels() {
    holds("tunnel");
}

#[test]
fn what_the_router_says() {
    holds("service");
}

#[test]
fn talk_on_the_underlay() {
    holds("underlay");
}

#[test]
fn a_whole_dataplane() {
    holds("pipeline");
}
