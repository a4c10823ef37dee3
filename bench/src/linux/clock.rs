//! CLOCK_MONOTONIC: the same for all processes and namespaces of a machine, so that a stamp of one can be read by another.
#![allow(unsafe_code)]

use std::{hint, mem, thread, time::Duration};

use crate::Clock;

/// Sleeping takes this much longer than asked; shorter waits spin. Nanoseconds.
const SLEEP_SLACK: u64 = 80_000;

/// Nanoseconds of a clock that every kernel has.
fn read(clock: libc::clockid_t) -> u64 {
    // SAFETY: all zeros is a timespec, and the kernel writes to it. The call cannot fail with these clocks.
    let time = unsafe {
        let mut time: libc::timespec = mem::zeroed();
        libc::clock_gettime(clock, &mut time);
        time
    };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// CPU time that this thread has used: for benches on machines that are shared.
pub fn thread_time() -> Duration {
    Duration::from_nanos(read(libc::CLOCK_THREAD_CPUTIME_ID))
}

/// CLOCK_MONOTONIC.
#[derive(Debug, Clone, Copy)]
pub struct Monotonic;

impl Clock for Monotonic {
    fn now(&self) -> u64 {
        read(libc::CLOCK_MONOTONIC)
    }

    fn wait(&self, nanoseconds: u64) {
        if nanoseconds > SLEEP_SLACK {
            // In steps, so that a signal to stop is soon seen.
            let nap = (nanoseconds - SLEEP_SLACK).min(50_000_000);
            thread::sleep(Duration::from_nanos(nap));
        } else {
            hint::spin_loop();
        }
    }
}
