//! See [`vrouter_fuzz::coalesce`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vrouter_fuzz::coalesce::check(bytes));
