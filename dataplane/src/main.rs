//! vrouterd: moves packets, as it is programmed over gRPC.
//!
//! Exit status: 0 when it was told to end, 1 when it could not start or go on, 2 when it was told something wrong.

use std::{error::Error, fs, process::ExitCode};

use clap::{CommandFactory as _, Parser as _};
use uuid::Uuid;
use vrouter_dataplane::{
    config::{Config, Flags, LogFormat, REFERENCE},
    engine::daemon,
};
use vrouter_metrics::log;

fn main() -> ExitCode {
    if let Some(done) = vrouter_manual::papers(Flags::command(), "8", Some(&REFERENCE)) {
        return done;
    }
    let hostname = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let hostname = match hostname.trim() {
        "" => "localhost",
        name => name,
    };
    let flags = Flags::parse();
    let json = flags.log_format == Some(LogFormat::Json);
    let config = match Config::new(flags, hostname) {
        Ok(config) => config,
        Err(error) => return fail(&error, json, 2),
    };
    let json = config.log_format == LogFormat::Json;
    if let Err(error) = log::start(&config.log, json) {
        return fail(&*error, json, 2);
    }
    match daemon::run(config.daemon(random())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, json, 1),
    }
}

/// 64 bits that nobody can guess.
fn random() -> u64 {
    let (high, low) = Uuid::new_v4().as_u64_pair();
    // The few fixed bits of the one half lie over random ones of the other.
    high.rotate_left(32) ^ low
}

/// Says why, in the way that was asked for.
fn fail(error: &dyn Error, json: bool, status: u8) -> ExitCode {
    log::last_words("vrouterd", error, json);
    ExitCode::from(status)
}
