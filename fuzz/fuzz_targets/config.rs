//! See [`vrouter_fuzz::config`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vrouter_fuzz::config::check(bytes));
