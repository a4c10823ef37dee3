//! A place for a container engine on a node: namespaces of mounts and processes of its own in the node's network namespace, with empty
//! `/run`, `/var/lib`, `/opt` and `/etc/cni`. Whatever the engine starts or mounts there ends with it, also when a test fails half-way.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use crate::{daemon, netns::Netns, run, sys, topology::Topology, wait};

/// What is mounted over what the engine would share with the machine. Its first process takes in the orphans of all others: a shell does.
const PRIVATE: &str = "mount --make-rprivate / && \
     mount -t tmpfs tmpfs /run && mkdir -p /run/netns /run/lock && mount -t tmpfs tmpfs /run/netns && \
     mount -t tmpfs tmpfs /var/lib && mkdir -p /var/lib/cni /var/lib/containers && \
     mkdir -p /etc/cni && mount -t tmpfs tmpfs /etc/cni && \
     mount -t tmpfs tmpfs /opt && mkdir -p /opt/cni && \
     touch \"$1\" && while :; do sleep 1000; done";

/// The place. Everything in it is killed on drop.
#[derive(Debug)]
pub struct Place {
    keeper: Child,
    /// The first process in it, as seen from outside.
    init: u32,
    mounts: Vec<String>,
    directory: PathBuf,
    cgroup: String,
    topology: Topology,
}

impl Place {
    /// Makes a place on a node.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn new(node: &Netns, name: &str) -> Result<Self> {
        let topology = node.topology().clone();
        let directory = topology.state().join(name);
        fs::create_dir_all(&directory)?;
        let ready = directory.join("ready");
        let log = fs::File::create(topology.log(name))?;
        let keeper = Command::new("nsenter")
            .arg(format!("--net=/run/netns/{}", node.name()))
            .args(["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"])
            .args(["sh", "-c", PRIVATE, "sh"])
            .arg(&ready)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot run unshare")?;
        let mut place = Self {
            init: 0,
            keeper,
            mounts: Vec::new(),
            directory,
            cgroup: format!("{}{name}", topology.prefix()),
            topology,
        };
        wait::until_true("a place for a container engine", || ready.exists())?;
        let children = format!("/proc/{0}/task/{0}/children", place.keeper.id());
        let children = fs::read_to_string(&children).with_context(|| children.clone())?;
        place.init = children
            .split_whitespace()
            .next()
            .context("no process in the place")?
            .parse()?;
        place.mounts = mounts(place.init)?;
        Ok(place)
    }

    /// A command that will run in the place.
    #[must_use]
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["--target", &self.init.to_string(), "--mount", "--pid", "--net"])
            .arg(program);
        command
    }

    /// Runs a command in the place and returns its standard output.
    ///
    /// # Errors
    /// When it does not succeed.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<String> {
        run::stdout(self.command(program).args(arguments))
    }

    /// Where its configuration and state are; the same path inside and outside.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The parent of the control groups of its containers, which goes with the place.
    #[must_use]
    pub fn cgroup(&self) -> &str {
        &self.cgroup
    }

    /// A file that tests of this place show when they fail.
    #[must_use]
    pub fn log(&self, name: &str) -> PathBuf {
        self.topology.log(name)
    }

    /// What is left of containers: control groups below the place's own.
    ///
    /// # Errors
    /// When the file system of control groups cannot be read.
    pub fn left_cgroups(&self) -> Result<Vec<PathBuf>> {
        let mut left = Vec::new();
        for root in cgroup_roots(&self.cgroup)? {
            for entry in fs::read_dir(&root)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    left.push(entry.path());
                }
            }
        }
        Ok(left)
    }

    /// Mounts in the place that were made since it is there, one a line.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn left_mounts(&self) -> Result<Vec<String>> {
        let mut now = mounts(self.init)?;
        now.retain(|mount| !self.mounts.contains(mount));
        Ok(now)
    }

    /// Writes the configuration of a network into the place's `/etc/cni/net.d`, and makes the plugin known.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn network(&self, name: &str, configuration: &serde_json::Value) -> Result<PathBuf> {
        let directory = self.directory.join("net.d");
        fs::create_dir_all(&directory)?;
        fs::write(directory.join(format!("{name}.conflist")), configuration.to_string())?;
        Ok(directory)
    }

    /// A directory with our plugin beside those of the distribution.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn plugins(&self) -> Result<PathBuf> {
        let directory = self.directory.join("bin");
        fs::create_dir_all(&directory)?;
        for entry in fs::read_dir("/usr/lib/cni").into_iter().flatten() {
            let path = entry?.path();
            if let Some(name) = path.file_name() {
                let _ = std::os::unix::fs::symlink(&path, directory.join(name));
            }
        }
        let plugin = directory.join("vrouter-cni");
        if !plugin.exists() {
            std::os::unix::fs::symlink(daemon::binary("vrouter-cni")?, plugin)?;
        }
        Ok(directory)
    }

    /// Makes the root file system of a container with nothing but busybox in it, as an archive.
    ///
    /// # Errors
    /// When busybox is not there, or tar fails.
    pub fn busybox(&self) -> Result<PathBuf> {
        let root = self.directory.join("rootfs");
        for directory in ["bin", "etc", "proc", "sys", "dev", "tmp", "run"] {
            fs::create_dir_all(root.join(directory))?;
        }
        fs::copy("/bin/busybox", root.join("bin/busybox")).context("/bin/busybox (package busybox-static)")?;
        for applet in [
            "sh", "sleep", "ping", "ping6", "nc", "ip", "cat", "echo", "ls", "httpd", "wget",
        ] {
            let link = root.join("bin").join(applet);
            if !link.exists() {
                std::os::unix::fs::symlink("busybox", link)?;
            }
        }
        fs::write(root.join("etc/passwd"), "root:x:0:0:root:/:/bin/sh\n")?;
        fs::write(root.join("etc/group"), "root:x:0:\n")?;
        let archive = self.directory.join("busybox.tar");
        run::stdout(
            Command::new("tar")
                .arg("-C")
                .arg(&root)
                .arg("-cf")
                .arg(&archive)
                .arg("."),
        )?;
        Ok(archive)
    }

    /// Ends everything in the place. Called by drop; here it tells what went wrong.
    ///
    /// # Errors
    /// When something does not end.
    pub fn end(&mut self) -> Result<()> {
        if self.init != 0 {
            // The first process of a namespace of processes takes all others along.
            let _ = sys::signal(self.init, libc::SIGKILL);
            self.init = 0;
        }
        let _ = self.keeper.kill();
        self.keeper.wait()?;
        let mut left = Vec::new();
        for root in cgroup_roots(&self.cgroup)? {
            remove_cgroups(&root, &mut left);
        }
        ensure!(left.is_empty(), "control groups are left: {left:?}");
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

fn mounts(process: u32) -> Result<Vec<String>> {
    let all = fs::read_to_string(format!("/proc/{process}/mounts"))?;
    Ok(all.lines().map(str::to_owned).collect())
}

/// The directories of a control group: one, or, of the first version, one for each controller.
fn cgroup_roots(name: &str) -> io::Result<Vec<PathBuf>> {
    let top = Path::new("/sys/fs/cgroup");
    let mut roots = vec![top.join(name)];
    for entry in fs::read_dir(top)? {
        roots.push(entry?.path().join(name));
    }
    roots.retain(|root| root.is_dir());
    Ok(roots)
}

fn remove_cgroups(root: &Path, left: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_cgroups(&entry.path(), left);
        }
    }
    // Processes that were killed just now are counted for a moment yet.
    if wait::until("a control group to be removed", || Ok(fs::remove_dir(root)?)).is_err() {
        left.push(root.to_owned());
    }
}
