//! The log, where one is asked for: a line of JSON for each command.

use std::{
    fs::OpenOptions,
    io::Write as _,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};

use super::{config::Config, environment::Environment, failure::Failure};

/// Appends what became of a command. A log that cannot be written is no reason to fail.
pub(crate) fn note(
    config: &Config,
    environment: &Environment,
    outcome: &Result<Option<Value>, Failure>,
    took: Duration,
) {
    let Some(path) = &config.log else { return };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut line = json!({
        "time": now.as_secs_f64(),
        "command": environment.command.to_string(),
        "config": config.name,
        "container": environment.container,
        "interface": environment.interface,
        "milliseconds": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
    });
    match outcome {
        Ok(Some(result)) => line["ips"] = result["ips"].clone(),
        Ok(None) => {}
        Err(failure) => {
            line["code"] = failure.code().into();
            line["error"] = failure.message().into();
        }
    }
    let file = OpenOptions::new().create(true).append(true).open(path);
    // One write: lines of commands that run at the same time stay whole.
    let _ = file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
}
