#![allow(unsafe_code)]
//! What the processor offers beyond the baseline of its architecture: population count in one instruction.

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

/// Something to be compiled both for the baseline and for a processor that counts bits in one instruction. A closure would not
/// do: nothing can promise that it is inlined, and only what is inlined is compiled for the better processor.
pub(super) trait Work {
    type Answer;
    /// To be marked `#[inline(always)]`, as everything it calls in a hurry.
    fn run(self) -> Self::Answer;
}

/// Runs `work` as compiled for the processor that this is.
#[inline(always)]
pub(super) fn with_popcount<W: Work>(popcount: Popcount, work: W) -> W::Answer {
    #[cfg(target_arch = "x86_64")]
    if popcount.0 {
        // SAFETY: `Popcount(true)` is only made after both features were detected on this processor.
        return unsafe { popcounting(work) };
    }
    let _ = popcount;
    work.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "popcnt,bmi1")]
unsafe fn popcounting<W: Work>(work: W) -> W::Answer {
    work.run()
}
