//! The daemons: finding their binaries, starting them in namespaces, killing and restarting them.

use std::{
    env,
    ffi::OsString,
    fs::OpenOptions,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, ExitStatus, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{api, netns::Netns, sys, topology::Topology, wait};

/// The programs that end-to-end tests start.
const PROGRAMS: [&str; 4] = ["vrouterd", "vrouter-control", "vrctl", "vrouter-cni"];

/// The directory with the built programs: `VROUTER_BIN_DIR`, or this program's own directory, or `target/e2e` beside a test's.
///
/// # Errors
/// When they are not built; the error says how to.
pub fn binaries() -> Result<PathBuf> {
    let directory = match env::var_os("VROUTER_BIN_DIR") {
        Some(directory) => PathBuf::from(directory),
        None => beside(&env::current_exe()?).context("no target directory above this program")?,
    };
    for program in PROGRAMS {
        ensure!(
            directory.join(program).is_file(),
            "{program} is not in {} (run: make build-e2e)",
            directory.display()
        );
    }
    // Absolute: the daemons start elsewhere.
    Ok(directory.canonicalize()?)
}

fn beside(executable: &Path) -> Option<PathBuf> {
    let directory = executable.parent()?;
    if directory.file_name()? == "deps" {
        // target/PROFILE/deps/TEST
        Some(directory.parent()?.parent()?.join("e2e"))
    } else {
        Some(directory.to_owned())
    }
}

/// The path of one of the built programs.
///
/// # Errors
/// When they are not built.
pub fn binary(program: &str) -> Result<PathBuf> {
    let path = binaries()?.join(program);
    ensure!(
        path.is_file(),
        "{program} is not in {} (run: make build-e2e)",
        path.parent().unwrap_or(&path).display()
    );
    Ok(path)
}

/// A long-running program in a namespace, with its output in a log that failing tests show. Killed on drop.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    namespace: String,
    program: PathBuf,
    arguments: Vec<OsString>,
    log: PathBuf,
    socket: Option<PathBuf>,
    child: Option<Child>,
    topology: Topology,
}

impl Daemon {
    /// Starts a program. With a `socket`, waits until its gRPC health service says SERVING there.
    ///
    /// # Errors
    /// When it does not start, or ends, or does not serve in time.
    pub fn start(
        netns: &Netns,
        name: &str,
        program: PathBuf,
        arguments: Vec<OsString>,
        socket: Option<PathBuf>,
    ) -> Result<Self> {
        let topology = netns.topology().clone();
        let mut daemon = Self {
            name: name.to_owned(),
            namespace: netns.name().to_owned(),
            program,
            arguments,
            log: topology.log(name),
            socket,
            child: None,
            topology,
        };
        daemon.spawn()?;
        daemon.wait_serving()?;
        Ok(daemon)
    }

    fn spawn(&mut self) -> Result<()> {
        let log = OpenOptions::new().create(true).append(true).open(&self.log)?;
        let mut command = std::process::Command::new("ip");
        command
            .args(["netns", "exec", &self.namespace])
            .arg(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C is for the test; the daemon is ended by it or by its reaper.
            .process_group(0);
        let child = command.spawn();
        self.child = Some(child.with_context(|| format!("cannot start {}", self.program.display()))?);
        Ok(())
    }

    /// Waits until it serves.
    ///
    /// # Errors
    /// When it ends, or does not serve in time.
    pub fn wait_serving(&mut self) -> Result<()> {
        let Some(socket) = self.socket.clone() else {
            return Ok(());
        };
        let mut ended = None;
        let name = self.name.clone();
        wait::until(&format!("{name} to serve at {}", socket.display()), || {
            ended = self.exit_status()?;
            // Its end is final: leave the wait.
            if ended.is_some() { Ok(()) } else { api::serving(&socket) }
        })?;
        if let Some(status) = ended {
            bail!("{name} ended before it served: {status}; see {}", self.log.display());
        }
        Ok(())
    }

    /// Its exit status when it has ended by itself.
    ///
    /// # Errors
    /// When it is not started, or the system does not tell.
    pub fn exit_status(&mut self) -> Result<Option<ExitStatus>> {
        let child = self
            .child
            .as_mut()
            .with_context(|| format!("{} is not started", self.name))?;
        Ok(child.try_wait()?)
    }

    /// Its process.
    #[must_use]
    pub fn process(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Its log file.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// `kill -9`, and waits until it is gone.
    ///
    /// # Errors
    /// When it had ended by itself before.
    pub fn kill9(&mut self) -> Result<()> {
        if let Some(status) = self.exit_status()? {
            bail!("{} had ended by itself: {status}", self.name);
        }
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Asks it to end (SIGTERM) and waits until it does.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        let mut child = self
            .child
            .take()
            .with_context(|| format!("{} is not started", self.name))?;
        sys::signal(child.id(), libc::SIGTERM)?;
        let name = self.name.clone();
        let ended = wait::until(&format!("{name} to end after SIGTERM"), || {
            child.try_wait()?.context("it still runs")
        });
        if ended.is_err() {
            let _ = child.kill();
            let _ = child.wait();
        }
        ended
    }

    /// Starts it again after [`Daemon::kill9`] or [`Daemon::stop`], and waits until it serves.
    ///
    /// # Errors
    /// When it does not.
    pub fn restart(&mut self) -> Result<()> {
        ensure!(self.child.is_none(), "{} still runs", self.name);
        self.spawn()?;
        self.wait_serving()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.topology.is_kept() {
            return;
        }
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binaries_are_looked_for_beside_programs_and_in_e2e_for_tests() {
        let find = |text: &str| beside(Path::new(text)).unwrap();
        assert_eq!(find("/t/e2e/deps/house-1"), Path::new("/t/e2e"));
        assert_eq!(find("/t/debug/deps/house-1"), Path::new("/t/e2e"));
        assert_eq!(find("/t/release/vrouter-demo"), Path::new("/t/release"));
    }
}
