//! Time around very short stretches of code: the CPU's time stamp counter.
//!
//! A system call that reads a clock costs more than a turn with one packet. The counter runs at a constant rate, whatever the core's own
//! clock does, and is what all figures "in clocks" are counted in. On CPUs without one that is known here, the system's
//! monotonic clock stands in, at one tick a nanosecond.
#![allow(unsafe_code)]

use std::time::{Duration, Instant};

/// How long the counter's rate is watched.
const WATCHED: Duration = Duration::from_millis(200);

/// Pairs of readings to find what a pair costs.
const READINGS: usize = 10_000;

/// The counter's value once all before is done, and before anything behind begins.
#[inline(always)]
#[must_use]
pub fn begin() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: reads a register and waits for earlier instructions; every x86-64 CPU has both.
    return unsafe {
        use std::arch::x86_64::{_mm_lfence, _rdtsc};
        _mm_lfence();
        let ticks = _rdtsc();
        _mm_lfence();
        ticks
    };
    #[cfg(not(target_arch = "x86_64"))]
    return nanoseconds();
}

/// As [`begin`], for the end of a stretch.
#[inline(always)]
#[must_use]
pub fn end() -> u64 {
    begin()
}

#[cfg(not(target_arch = "x86_64"))]
fn nanoseconds() -> u64 {
    use std::sync::OnceLock;
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

/// What ticks mean.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Ticks of a nanosecond.
    pub per_nanosecond: f64,
    /// Ticks between [`begin`] and [`end`] with nothing between.
    pub empty: u64,
}

impl Scale {
    /// Finds both, which takes a moment.
    #[must_use]
    pub fn measure() -> Self {
        let (start, first) = (Instant::now(), begin());
        while start.elapsed() < WATCHED {
            std::hint::spin_loop();
        }
        let (ticks, elapsed) = (end() - first, start.elapsed());
        let mut readings: Vec<_> = (0..READINGS)
            .map(|_| {
                let first = begin();
                end() - first
            })
            .collect();
        readings.sort_unstable();
        Self {
            per_nanosecond: ticks as f64 / elapsed.as_nanos() as f64,
            empty: readings.get(READINGS / 2).copied().unwrap_or(0),
        }
    }

    /// Ticks as nanoseconds.
    #[must_use]
    pub fn nanoseconds(&self, ticks: f64) -> f64 {
        ticks / self.per_nanosecond
    }

    /// Nanoseconds as ticks.
    #[must_use]
    pub fn ticks(&self, nanoseconds: f64) -> f64 {
        nanoseconds * self.per_nanosecond
    }
}

/// How often the scheduler has taken the CPU away from this thread while it wanted to run. A stretch within which that changed
/// was not measured.
#[must_use]
pub fn preemptions() -> u64 {
    #[cfg(target_os = "linux")]
    // SAFETY: all zeros is an rusage, and the kernel writes to it. The call cannot fail with these arguments.
    return unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_THREAD, &mut usage);
        usage.ru_nivcsw as u64
    };
    #[cfg(not(target_os = "linux"))]
    return 0;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_never_go_back_and_convert_both_ways() {
        let first = begin();
        assert!(end() >= first);
        let scale = Scale {
            per_nanosecond: 2.6,
            empty: 30,
        };
        assert!((scale.nanoseconds(260.0) - 100.0).abs() < 1e-9);
        assert!((scale.ticks(scale.nanoseconds(45.0)) - 45.0).abs() < 1e-9);
        assert!(preemptions() <= preemptions());
    }
}
