//! What libxdp and libbpf say on stderr.
#![allow(unsafe_code)]

/// Makes them silent: they tell at length what they try (no bpffs, no dispatcher, ...), also when all goes well, and what fails
/// has an error of ours.
pub fn silence() {
    // SAFETY: plain calls; no callback is left to be called.
    unsafe {
        libbpf_sys::libbpf_set_print(None);
        libxdp_sys::libxdp_set_print(None);
    }
}
