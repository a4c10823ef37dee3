//! See [`vrouter_fuzz::underlay`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vrouter_fuzz::underlay::check(bytes));
