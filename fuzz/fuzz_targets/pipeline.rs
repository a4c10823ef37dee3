//! See [`vrouter_fuzz::pipeline`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vrouter_fuzz::pipeline::check(bytes));
