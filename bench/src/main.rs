//! pktgen: sends and receives packets with AF_XDP, and says how fast they went, what was lost, and how long they took.

#[cfg(target_os = "linux")]
mod cli;
#[cfg(target_os = "linux")]
mod commands;
#[cfg(target_os = "linux")]
mod progress;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    use clap::{CommandFactory as _, Parser as _};
    if let Some(done) = vrouter_manual::papers(cli::Cli::command(), "8", None) {
        return done;
    }
    commands::run(&cli::Cli::parse())
}

#[cfg(not(target_os = "linux"))]
fn main() -> std::process::ExitCode {
    eprintln!("pktgen: AF_XDP is of Linux; there is nothing to send with here");
    std::process::ExitCode::FAILURE
}
