//! See [`vrouter_fuzz::tunnel`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vrouter_fuzz::tunnel::check(bytes));
