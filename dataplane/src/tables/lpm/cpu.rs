#![allow(unsafe_code)]
//! What the processor offers beyond the baseline of its architecture: population count in one instruction, and prefetch.

use std::sync::atomic::AtomicU64;

/// Whether [`with_popcount`] may be told that one-instruction bit counting exists.
#[derive(Clone, Copy, Debug)]
pub(super) struct Popcount(bool);

impl Popcount {
    pub(super) fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        return Popcount(std::arch::is_x86_feature_detected!("popcnt") && std::arch::is_x86_feature_detected!("bmi1"));
        #[cfg(not(target_arch = "x86_64"))]
        return Popcount(false);
    }
}

/// Runs `work` compiled for a processor that counts bits in one instruction where this one does, else for the baseline.
#[inline(always)]
pub(super) fn with_popcount<R>(popcount: Popcount, work: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    if popcount.0 {
        // SAFETY: `Popcount(true)` is only made after both features were detected on this processor.
        return unsafe { popcounting(work) };
    }
    let _ = popcount;
    work()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "popcnt,bmi1")]
unsafe fn popcounting<R>(work: impl FnOnce() -> R) -> R {
    work()
}

/// Asks for the cache line of `word` without waiting for it.
#[inline(always)]
pub(super) fn prefetch(word: &AtomicU64) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch of any address has no effect that a program can see, and SSE is part of x86_64.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(word).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = word;
}
