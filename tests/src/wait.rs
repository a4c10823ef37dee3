//! Waiting for what takes its time, with a bound and with the reason why it did not come.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};

/// How long tests wait for something that should come soon. Generous: machines under load are slow, and nothing is timed by it.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Tries until `attempt` succeeds, for at most [`PATIENCE`].
///
/// # Errors
/// The last failure, with `what` was waited for.
pub fn until<T>(what: &str, attempt: impl FnMut() -> Result<T>) -> Result<T> {
    within(PATIENCE, what, attempt)
}

/// Tries until `attempt` succeeds, for at most `patience`.
///
/// # Errors
/// The last failure, with `what` was waited for.
pub fn within<T>(patience: Duration, what: &str, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let end = Instant::now() + patience;
    let mut pause = Duration::from_millis(5);
    loop {
        match attempt() {
            Ok(value) => return Ok(value),
            Err(error) if Instant::now() >= end => {
                return Err(error.context(format!("waited {} s for: {what}", patience.as_secs())));
            }
            Err(_) => thread::sleep(pause),
        }
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

/// Tries until `condition` holds, for at most [`PATIENCE`].
///
/// # Errors
/// When it never holds.
pub fn until_true(what: &str, mut condition: impl FnMut() -> bool) -> Result<()> {
    until(what, || {
        if condition() {
            Ok(())
        } else {
            Err(anyhow!("it is not so"))
        }
    })
}
