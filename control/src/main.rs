//! vrouter-control: keeps intent and programs every node's dataplane.

use std::{error::Error, process::ExitCode};

use clap::{CommandFactory as _, Parser as _};
use tokio::signal::unix::{SignalKind, signal};
use vrouter_control::{
    config::{Config, Flags, LogFormat, REFERENCE},
    daemon,
};
use vrouter_metrics::log;

/// What Linux sends when a file outgrows RLIMIT_FSIZE.
const SIGXFSZ: i32 = 25;

fn main() -> ExitCode {
    if let Some(done) = vrouter_manual::papers(Flags::command(), "8", Some(&REFERENCE)) {
        return done;
    }
    let flags = Flags::parse();
    let json = flags.log_format == Some(LogFormat::Json);
    let config = match Config::new(flags) {
        Ok(config) => config,
        Err(error) => return fail(error, json),
    };
    let json = config.log_format == LogFormat::Json;
    if let Err(error) = log::start(&config.log, json) {
        return fail(format!("log: {error}"), json);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(format!("cannot start threads: {error}"), json),
    };
    let result = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(|e| e.to_string())?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(|e| e.to_string())?;
        // A limit on file sizes is an error to tell of, not a reason to die: a handler turns the signal's default off.
        let _file_too_large = signal(SignalKind::from_raw(SIGXFSZ)).map_err(|e| e.to_string())?;
        let shutdown = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        daemon::run(config, shutdown).await.map_err(|e| e.to_string())
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(error, json),
    }
}

fn fail(error: impl Into<Box<dyn Error>>, json: bool) -> ExitCode {
    log::last_words("vrouter-control", &*error.into(), json);
    ExitCode::FAILURE
}
