//! How much memory a process has, as the kernel counts it: resident pages, not what was asked for.
#![allow(unsafe_code)]

use std::{fs, io};

/// Resident bytes of this process, after giving back to the kernel what was freed.
///
/// # Errors
/// When the kernel does not tell.
pub fn own() -> io::Result<u64> {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: the allocator gives back free pages; nothing that is in use changes.
    unsafe {
        libc::malloc_trim(0);
    }
    of("self")
}

/// Resident bytes of a process: a number, or "self".
///
/// # Errors
/// When there is no such process, or the kernel does not tell.
pub fn of(process: &str) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/statm"))?;
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "statm has no second number");
    let pages: u64 = text
        .split(' ')
        .nth(1)
        .and_then(|word| word.parse().ok())
        .ok_or_else(malformed)?;
    Ok(pages * page_size())
}

fn page_size() -> u64 {
    #[cfg(target_os = "linux")]
    // SAFETY: asks for a constant.
    return unsafe { libc::sysconf(libc::_SC_PAGESIZE) }.unsigned_abs();
    #[cfg(not(target_os = "linux"))]
    return 4096;
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn what_is_touched_is_resident() {
        const MIB: usize = 1 << 20;
        let before = own().unwrap();
        let touched = std::hint::black_box(vec![1u8; 64 * MIB]);
        let grown = own().unwrap() - before;
        assert!((60 * MIB as u64..80 * MIB as u64).contains(&grown), "{grown}");
        drop(touched);
        assert!(of("0").is_err(), "there is no process 0");
    }
}
