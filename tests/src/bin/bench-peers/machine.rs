//! On what was measured: figures mean nothing without it.

use std::{fs, process::Command};

use serde::Serialize;
use vrouter_tests::{daemon, run};

/// The machine and the versions of what is compared.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    /// Model of the CPUs.
    pub(crate) cpu: String,
    /// How many may be used.
    pub(crate) cpus: usize,
    /// MiB.
    pub(crate) memory_mib: u64,
    /// Kernel release.
    pub(crate) kernel: String,
    /// A hypervisor is below.
    pub(crate) virtual_machine: bool,
    /// Program and version.
    pub(crate) programs: Vec<String>,
    /// When the run began, UTC.
    pub(crate) began: String,
}

impl Machine {
    /// This one.
    pub(crate) fn here(cpus: usize) -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
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
            cpu: field(&cpuinfo, "model name").unwrap_or_else(|| "unknown".to_owned()),
            cpus,
            memory_mib: kib(&meminfo, "MemTotal").unwrap_or(0) / 1024,
            kernel: release.trim().to_owned(),
            virtual_machine: field(&cpuinfo, "flags").is_some_and(|flags| flags.split(' ').any(|f| f == "hypervisor")),
            programs: programs.into_iter().flatten().collect(),
            began: first_line(Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"])).unwrap_or_default(),
        }
    }

    /// In one sentence.
    pub(crate) fn words(&self) -> String {
        let kind = if self.virtual_machine {
            "virtual machine"
        } else {
            "machine"
        };
        format!(
            "{kind} with {} CPUs ({}), {:.0} GiB, Linux {}; {}; measured {}",
            self.cpus,
            self.cpu,
            self.memory_mib as f64 / 1024.0,
            self.kernel,
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

fn field(text: &str, name: &str) -> Option<String> {
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = lines.find(|(key, _)| key.trim() == name)?;
    Some(value.trim().to_owned())
}

fn kib(text: &str, name: &str) -> Option<u64> {
    field(text, name)?.strip_suffix(" kB")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_proc_are_read() {
        let text = "MemTotal:       1024 kB\nmodel name\t: Some CPU: fast\nflags\t\t: fpu hypervisor\n";
        assert_eq!(field(text, "model name").as_deref(), Some("Some CPU: fast"));
        assert_eq!(kib(text, "MemTotal"), Some(1024));
        assert_eq!(kib(text, "MemFree"), None);
    }
}
