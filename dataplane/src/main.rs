//! vrouterd: moves packets, as it is programmed over gRPC.
//!
//! Exit status: 0 when it was told to end, 1 when it could not start or go on, 2 when it was told something wrong.

use std::{error::Error, fs, process::ExitCode};

use clap::{CommandFactory as _, Parser as _};
use tracing_subscriber::EnvFilter;
use uuid::Uuid;
use vrouter_dataplane::{
    config::{Config, Flags, LogFormat, REFERENCE},
    engine::daemon,
};

fn main() -> ExitCode {
    if let Some(done) = vrouter_manual::papers(Flags::command(), "8", Some(&REFERENCE)) {
        return done;
    }
    let hostname = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let hostname = match hostname.trim() {
        "" => "localhost",
        name => name,
    };
    let config = match Config::new(Flags::parse(), hostname) {
        Ok(config) => config,
        Err(error) => return fail(&error, 2),
    };
    if let Err(error) = start_log(&config) {
        return fail(&*error, 2);
    }
    match daemon::run(config.daemon(random())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, 1),
    }
}

fn start_log(config: &Config) -> Result<(), Box<dyn Error>> {
    let log = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_new(&config.log)?)
        .with_writer(std::io::stderr);
    match config.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}

/// 64 bits that nobody can guess.
fn random() -> u64 {
    let (high, low) = Uuid::new_v4().as_u64_pair();
    // The few fixed bits of the one half lie over random ones of the other.
    high.rotate_left(32) ^ low
}

/// Says why, one cause a line.
fn fail(error: &dyn Error, status: u8) -> ExitCode {
    eprintln!("vrouterd: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        eprintln!("  because: {error}");
        cause = error.source();
    }
    ExitCode::from(status)
}
