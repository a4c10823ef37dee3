//! CLOCK_MONOTONIC: the same for all processes and namespaces of a machine, so that a stamp of one can be read by another.
#![allow(unsafe_code)]

use std::{hint, mem, thread, time::Duration};

use crate::Clock;

/// Sleeping takes this much longer than asked; shorter waits spin. Nanoseconds.
const SLEEP_SLACK: u64 = 80_000;

/// CLOCK_MONOTONIC.
#[derive(Debug, Clone, Copy)]
pub struct Monotonic;

impl Clock for Monotonic {
    fn now(&self) -> u64 {
        // SAFETY: all zeros is a timespec, and the kernel writes to it. The call cannot fail with this clock.
        let time = unsafe {
            let mut time: libc::timespec = mem::zeroed();
            libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time);
            time
        };
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
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
