//! `vrouter-cni`: attaches containers to networks of vrouter, as container engines that speak CNI ask for it (specification 1.1).
//!
//! One run is one command: parameters come by environment and standard input, the answer is JSON on standard output and nothing else ever is. It
//! keeps nothing: names follow from container and interface, everything else is control's. It never waits longer than its configuration says.

mod add;
mod arguments;
mod attachment;
mod check;
mod config;
mod del;
mod environment;
mod failure;
mod gc;
mod journal;
mod outcome;
mod ports;
mod status;
mod version;

use std::{
    io::{self, Read as _, Write as _},
    panic,
    process::ExitCode,
    time::Instant,
};

use serde_json::Value;

use self::{
    config::Config,
    environment::{Command, Environment},
    failure::Failure,
    version::Version,
};

/// Most bytes of a configuration. What is longer is no configuration.
const MOST_INPUT: u64 = 16 << 20;

fn main() -> ExitCode {
    // What goes wrong is told as JSON, not as a backtrace.
    panic::set_hook(Box::new(|_| {}));
    let mut version = Version::NEWEST;
    let outcome = panic::catch_unwind(panic::AssertUnwindSafe(|| run(&mut version)))
        .unwrap_or_else(|_| Err(Failure::internal("vrouter-cni broke off; this is a defect of it")));
    let (text, code) = match outcome {
        Ok(None) => return ExitCode::SUCCESS,
        Ok(Some(answer)) => (answer.to_string(), ExitCode::SUCCESS),
        Err(failure) => (failure.to_json(version).to_string(), ExitCode::FAILURE),
    };
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Does what is asked for. `version` becomes the one that the answer is to be in as soon as it is known.
fn run(version: &mut Version) -> Result<Option<Value>, Failure> {
    let started = Instant::now();
    let command = Command::from_environment()?;
    let mut input = String::new();
    io::stdin()
        .take(MOST_INPUT)
        .read_to_string(&mut input)
        .map_err(|error| Failure::io(format!("standard input: {error}")))?;
    if command == Command::Version {
        return Ok(Some(version::answer(&input)));
    }
    let input = config::parse(&input)?;
    *version = Version::of(&input)?;
    version.allows(command)?;
    let config = Config::read(input)?;
    let environment = Environment::read(command)?;
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::io(format!("the runtime: {error}")))?
        .block_on(perform(&config, &environment, *version));
    journal::note(&config, &environment, &outcome, started.elapsed());
    outcome
}

async fn perform(config: &Config, environment: &Environment, version: Version) -> Result<Option<Value>, Failure> {
    match environment.command {
        Command::Add => add::add(config, environment)
            .await
            .map(|result| Some(result.to_json(version))),
        Command::Del => del::del(config, environment).await.map(|()| None),
        Command::Check => check::check(config, environment).await.map(|()| None),
        Command::Gc => gc::gc(config).await.map(|()| None),
        Command::Status => status::status(config).await.map(|()| None),
        Command::Version => Ok(None),
    }
}
