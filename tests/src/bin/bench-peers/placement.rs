//! Which CPU does what. The same for all peers, so that a peer is never better for having been given more.
//!
//! With two CPUs, the first one has the client and whatever the peer does beside moving packets (gRPC, OVS's main thread), the
//! second one has the server. The one poll-mode worker of a node is on the second; of two nodes, each has a CPU of its own. With
//! more CPUs, workers have theirs for themselves. What the kernel does, it does where it was called: on the client's CPU until a packet
//! wakes somebody.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use vrouter_tests::{daemon::Daemon, run};

/// Where client and server are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    /// On a CPU each: what a sleeping CPU costs to wake is part of every trip.
    Apart,
    /// On the same CPU.
    Together,
}

impl Placement {
    /// Both.
    pub(crate) const BOTH: [Self; 2] = [Self::Apart, Self::Together];

    /// What the names of cases end with.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::Apart => "",
            Self::Together => "_together",
        }
    }
}

/// The CPUs that may be used.
#[derive(Clone, Debug)]
pub(crate) struct Cpus(Vec<usize>);

impl Cpus {
    /// Those that this process may run on.
    pub(crate) fn available() -> Result<Self> {
        let status = fs::read_to_string("/proc/self/status")?;
        let list = allowed(&status).context("the kernel does not say which CPUs may be used")?;
        ensure!(!list.is_empty(), "no CPU may be used");
        Ok(Self(list))
    }

    fn at(&self, index: usize) -> usize {
        let index = index.min(self.0.len().saturating_sub(1));
        self.0.get(index).copied().unwrap_or(0)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The client's.
    pub(crate) fn client(&self) -> usize {
        self.at(0)
    }

    /// The server's.
    pub(crate) fn server(&self, placement: Placement) -> usize {
        match placement {
            Placement::Apart => self.at(1),
            Placement::Together => self.at(0),
        }
    }

    /// One for the worker of each node.
    pub(crate) fn workers(&self, nodes: usize) -> Vec<usize> {
        match (nodes, self.count()) {
            (1, _) => vec![self.at(2)],
            (_, count) if count >= nodes + 2 => (2..nodes + 2).map(|index| self.at(index)).collect(),
            _ => (0..nodes).map(|index| self.at(index)).collect(),
        }
    }

    /// For what daemons do beside moving packets.
    pub(crate) fn rest(&self) -> usize {
        self.at(0)
    }
}

/// Moves the calling thread to one CPU.
pub(crate) fn pin(cpu: usize) -> Result<()> {
    ensure!(
        core_affinity::set_for_current(core_affinity::CoreId { id: cpu }),
        "cannot run on CPU {cpu}"
    );
    Ok(())
}

/// Moves those threads of a daemon that are not pinned to one CPU.
pub(crate) fn pin_rest(daemon: &Daemon, cpu: usize) -> Result<()> {
    let process = daemon.process().context("the daemon is not started")?;
    for task in fs::read_dir(Path::new("/proc").join(process.to_string()).join("task"))? {
        let task = task?;
        // A thread may end meanwhile.
        let Ok(status) = fs::read_to_string(task.path().join("status")) else {
            continue;
        };
        if allowed(&status).is_some_and(|list| list.len() > 1) {
            let thread = task.file_name();
            let mut command = Command::new("taskset");
            run::output(command.args(["-p", "-c", &cpu.to_string()]).arg(thread))?;
        }
    }
    Ok(())
}

/// The CPUs named in a `status` file of `/proc`.
fn allowed(status: &str) -> Option<Vec<usize>> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    let mut list = Vec::new();
    for part in line.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        list.extend(first.parse::<usize>().ok()?..=last.parse::<usize>().ok()?);
    }
    Some(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus_are_understood() {
        let of = |list: &str| allowed(&format!("Name:\tx\nCpus_allowed_list:\t{list}\nMems_allowed:\t1\n"));
        assert_eq!(of("0"), Some(vec![0]));
        assert_eq!(of("0-2,8"), Some(vec![0, 1, 2, 8]));
        assert_eq!(of("x"), None);
        assert_eq!(allowed("Name:\tx\n"), None);
    }

    #[test]
    fn workers_have_cpus_of_their_own_when_there_are_enough() {
        let places = |cpus: &[usize]| {
            let cpus = Cpus(cpus.to_vec());
            let ends = (
                cpus.client(),
                cpus.server(Placement::Apart),
                cpus.server(Placement::Together),
            );
            (ends, cpus.workers(1), cpus.workers(2))
        };
        assert_eq!(places(&[0]), ((0, 0, 0), vec![0], vec![0, 0]));
        assert_eq!(places(&[0, 1]), ((0, 1, 0), vec![1], vec![0, 1]));
        assert_eq!(places(&[2, 3, 4]), ((2, 3, 2), vec![4], vec![2, 3]));
        assert_eq!(places(&[0, 1, 2, 3]), ((0, 1, 0), vec![2], vec![2, 3]));
    }
}
