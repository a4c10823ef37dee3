//! On what was measured: figures mean nothing without it.

use std::process::Command;

use serde::Serialize;
use vrouter_bench::figures::machine::Machine;
use vrouter_tests::{daemon, run};

/// The machine and the versions of what is compared.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Conditions {
    machine: Machine,
    /// Program and version.
    programs: Vec<String>,
    /// When the run began, UTC.
    began: String,
}

impl Conditions {
    /// This machine, now.
    pub(crate) fn here() -> Self {
        let vrouterd = daemon::binary("vrouterd").ok();
        let programs = [
            vrouterd.and_then(|program| first_line(Command::new(program).arg("--version"))),
            first_line(Command::new("git").args(["describe", "--always", "--dirty"]))
                .map(|commit| format!("commit {commit}")),
            first_line(Command::new("iperf3").arg("--version")),
            first_line(Command::new("nft").arg("--version")),
            first_line(Command::new("ovs-vswitchd").arg("--version")),
        ];
        Self {
            machine: Machine::here(),
            programs: programs.into_iter().flatten().collect(),
            began: first_line(Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"])).unwrap_or_default(),
        }
    }

    /// In one sentence.
    pub(crate) fn words(&self) -> String {
        format!(
            "{}; {}; measured {}",
            self.machine.words(),
            self.programs.join("; "),
            self.began
        )
    }
}

fn first_line(command: &mut Command) -> Option<String> {
    let text = run::stdout(command).ok()?;
    let line = text.lines().next()?.trim();
    (!line.is_empty()).then(|| line.to_owned())
}
