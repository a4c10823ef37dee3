//! The properties over every input kept in the repository, on any toolchain and without a fuzzer.

use vrouter_fuzz::{TARGETS, replay};

#[test]
fn every_kept_input_holds() {
    for target in TARGETS {
        println!("{}: {} inputs", target.0, replay(*target));
    }
}
