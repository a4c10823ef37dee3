//! Whether a worker shares its CPU with others that want it.
//!
//! To look for packets for a while before going to sleep saves a wake-up where the CPU would otherwise be idle. Where a workload runs on the same
//! CPU it takes from the workload what that needs to answer. The kernel tells: it counts how often it took the CPU away from a thread.
#![allow(unsafe_code)]

/// Nanoseconds for which a CPU that was taken away is held to be wanted.
const MEMORY: u64 = 10_000_000;

/// What a worker knows of others on its CPU.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    /// Times the CPU was taken away from this thread.
    taken: u64,
    /// Until when it is held to be wanted, nanoseconds.
    until: u64,
}

impl Crowd {
    /// Somebody else has wanted this thread's CPU of late. `now` in nanoseconds.
    pub(super) fn is_here(&mut self, now: u64) -> bool {
        self.note(times_taken(), now)
    }

    fn note(&mut self, taken: u64, now: u64) -> bool {
        if taken != self.taken {
            self.taken = taken;
            self.until = now.saturating_add(MEMORY);
        }
        now < self.until
    }
}

/// Times that the kernel took the CPU from the calling thread to give it to another; 0 where it does not tell.
#[cfg(target_os = "linux")]
fn times_taken() -> u64 {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the kernel fills in the struct, of which all zero is a value, too.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr());
        usage.assume_init()
    };
    u64::try_from(usage.ru_nivcsw).unwrap_or(0)
}

#[cfg(not(target_os = "linux"))]
fn times_taken() -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cpu_that_was_taken_away_is_wanted_for_a_while() {
        let mut crowd = Crowd::default();
        assert!(!crowd.note(0, 5));
        assert!(crowd.note(1, 10) && crowd.note(1, 9 + MEMORY));
        assert!(!crowd.note(1, 10 + MEMORY));
        assert!(crowd.note(3, 20 + MEMORY));
    }
}
