//! How the scheduler deals with a worker that is not alone on its CPU.
//!
//! A worker is woken for work of microseconds. With the slice that every thread has (some milliseconds), the scheduler lets whoever has the CPU finish
//! his slice before it lets a woken worker have it, and a packet waits for five milliseconds; with a short one it does not. The worker's share of
//! the CPU is the same with either. Linux 6.12 and later know slices of single threads; earlier ones, and sandboxes that allow no such call, do without.
#![allow(unsafe_code)]

use std::{io, mem::size_of};

/// Nanoseconds that a worker asks for at a time: the least that Linux grants.
const SLICE: u64 = 100_000;

/// Ordinary scheduling policies, for which a slice can be asked.
const ORDINARY: [libc::c_int; 2] = [libc::SCHED_OTHER, libc::SCHED_BATCH];

/// `struct sched_attr` of `linux/sched/types.h`, as of Linux 5.3.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct Attributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
    clamp_min: u32,
    clamp_max: u32,
}

/// Of the above.
const SIZE: u32 = size_of::<Attributes>() as u32;

/// How the calling thread is scheduled.
fn present() -> io::Result<Attributes> {
    let mut attributes = Attributes::default();
    // SAFETY: the kernel writes at most `SIZE` bytes of plain integers.
    let status = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, SIZE, 0) };
    match status {
        0 => Ok(attributes),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Asks for short slices for the calling thread; all else about its scheduling stays as it is.
///
/// # Errors
/// The system refuses, or whoever started us chose a policy that knows no slices.
pub(super) fn shorten() -> io::Result<()> {
    let mut attributes = present()?;
    if !ORDINARY.contains(&(attributes.policy as libc::c_int)) {
        return Err(io::ErrorKind::Unsupported.into());
    }
    attributes = Attributes {
        size: SIZE,
        runtime: SLICE,
        ..attributes
    };
    // SAFETY: the kernel only reads the struct, which says how long it is.
    let status = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    match status {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_gets_short_slices_and_keeps_its_niceness() {
        std::thread::spawn(|| {
            // SAFETY: plain calls that concern this thread alone. To be nicer is always allowed.
            unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 3) };
            let before = present().unwrap();
            shorten().unwrap();
            // Kernels that know no slices of threads tell none.
            if before.runtime != 0 {
                assert_eq!(present().unwrap().runtime, SLICE);
            }
            // SAFETY: as above.
            assert_eq!(unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }, 3);
        })
        .join()
        .unwrap();
    }
}
