//! The few system calls that the standard library does not offer, as safe functions. No other unsafe code in this crate.
#![allow(unsafe_code)]

use std::{fs::File, io, os::fd::AsRawFd as _};

/// Moves the calling thread, and it alone, into the network namespace that `namespace` is open on.
pub(crate) fn enter_netns(namespace: &File) -> io::Result<()> {
    // SAFETY: the descriptor is valid for the whole call, and setns touches no memory of ours.
    check(unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) })
}

/// Moves the calling thread, and it alone, into a new, empty network namespace.
pub(crate) fn unshare_netns() -> io::Result<()> {
    // SAFETY: no pointers are passed; CLONE_NEWNET affects the calling thread only.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET) })
}

/// Sends a signal to one process that this process started and has not reaped.
pub(crate) fn signal(process: u32, signal: i32) -> io::Result<()> {
    let process =
        i32::try_from(process).map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "not a process number"))?;
    // SAFETY: kill takes plain numbers.
    check(unsafe { libc::kill(process, signal) })
}

/// Whether this process runs as root.
pub(crate) fn is_root() -> bool {
    // SAFETY: geteuid takes nothing and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

fn check(answer: libc::c_int) -> io::Result<()> {
    if answer == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
