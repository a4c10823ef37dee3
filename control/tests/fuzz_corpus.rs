//! Settings that fuzzing starts from, and those that once broke something, on any toolchain and without a fuzzer.

use vrouter_fuzz::{TARGETS, replay};

#[test]
fn settings() {
    let target = TARGETS.iter().find(|(target, _)| *target == "config");
    assert!(replay(*target.unwrap()) > 0);
}
