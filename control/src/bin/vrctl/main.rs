//! `vrctl`: the command line for people.
//!
//! It asks `vrouter-control` for intent (networks, subnets, endpoints, nodes) and a `vrouterd` for its tables and counters, and
//! shows what it hears with names beside numbers. It decides nothing and stores nothing: whatever needs a rule belongs to
//! the servers.

mod capture;
mod cli;
mod connect;
mod doctor;
mod failure;
mod filter;
mod intent;
mod listing;
mod output;
mod sight;
mod tables;
mod telemetry;
mod top;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use self::failure::Failure;

fn main() -> ExitCode {
    if let Some(done) = vrouter_manual::papers(cli::Cli::command(), "1", None) {
        return done;
    }
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too, with code 0. Where nobody reads, nothing is left to say.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let result = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::Output)
        .and_then(|runtime| runtime.block_on(cli.run()));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let code = failure.exit_code();
            if code != 0 && !matches!(failure, Failure::Unwell(_)) {
                use std::io::Write as _;
                // Standard error may be closed; the exit code still tells.
                let _ = writeln!(std::io::stderr(), "vrctl: {failure}");
            }
            ExitCode::from(code)
        }
    }
}
