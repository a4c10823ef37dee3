//! vrouter-control: keeps intent and programs every node's dataplane.

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use vrouter_control::{
    config::{Config, Flags, LogFormat, REFERENCE},
    daemon,
};

/// What Linux sends when a file outgrows RLIMIT_FSIZE.
const SIGXFSZ: i32 = 25;

fn main() -> ExitCode {
    if let Some(done) = vrouter_manual::papers(Flags::command(), "8", Some(&REFERENCE)) {
        return done;
    }
    let config = match Config::new(Flags::parse()) {
        Ok(config) => config,
        Err(error) => return fail(&error),
    };
    let filter = match EnvFilter::try_new(&config.log) {
        Ok(filter) => filter,
        Err(error) => return fail(&format!("log: {error}")),
    };
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match config.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("cannot start threads: {error}")),
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
        Err(error) => fail(&error),
    }
}

fn fail(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("vrouter-control: {error}");
    ExitCode::FAILURE
}
