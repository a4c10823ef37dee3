//! What fuzzing starts from, and what it once broke, through the same properties: on any toolchain, without a fuzzer.
#![allow(clippy::panic, clippy::unwrap_used)] // a test crate: helpers outside of test functions, too

use std::collections::BTreeSet;

use vrouter_fuzz::{TARGETS, coalesce, filter, inputs, pipeline, replay};

/// Runs the property of one target over its kept inputs.
fn holds(name: &str) {
    let target = TARGETS.iter().find(|(target, _)| *target == name);
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

#[test]
fn segments_that_are_joined() {
    holds("coalesce");
    let joined: usize = inputs("coalesce").iter().map(|(_, input)| coalesce::run(input)).sum();
    assert!(joined >= 20, "{joined} were joined");
}

#[test]
fn requests() {
    holds("api");
}

#[test]
fn filters() {
    holds("filter");
    let outcomes: Vec<_> = inputs("filter").iter().map(|(_, input)| filter::run(input)).collect();
    for outcome in [None, Some(false), Some(true)] {
        assert!(outcomes.contains(&outcome), "no filter comes to {outcome:?}");
    }
}

#[test]
fn settings() {
    holds("config");
}

/// A property that holds because nothing ever happens would prove nothing.
#[test]
fn what_fuzzing_starts_from_goes_everywhere() {
    let (mut interfaces, mut reasons, mut applied, mut refused) = (BTreeSet::new(), BTreeSet::new(), 0, 0);
    for (_, input) in inputs("pipeline") {
        let reached = pipeline::run(&input);
        interfaces.extend(reached.interfaces);
        reasons.extend(reached.reasons);
        applied += reached.applied;
        refused += reached.refused;
    }
    println!("{reasons:?}");
    assert!(interfaces.len() >= 6, "{interfaces:?}");
    assert!(reasons.len() >= 20, "{} reasons: {reasons:?}", reasons.len());
    assert!(applied >= 5 && refused >= 5, "{applied} applied, {refused} refused");
}
