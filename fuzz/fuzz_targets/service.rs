//! See [`vrouter_fuzz::service`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vrouter_fuzz::service::check(bytes));
