//! See [`vrouter_fuzz::api`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vrouter_fuzz::api::check(bytes));
