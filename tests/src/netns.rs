//! Network namespaces: making them, running commands and closures in them, and the links, addresses and routes inside.
//!
//! Links are made inside namespaces, never in the root namespace, so link names need not be unique on the machine.

use std::{
    fs::{self, File},
    net::IpAddr,
    path::Path,
    process::Command,
    thread,
};

use anyhow::{Context as _, Result, anyhow, ensure};

use crate::{run, sys, topology::Topology};

/// Settings of every namespace: no duplicate address detection (tests need not wait for it), no router advertisements taken
/// unless a test asks for them, no chatter.
const SYSCTLS: [(&str, &str); 8] = [
    ("ipv6/conf/all/accept_dad", "0"),
    ("ipv6/conf/default/accept_dad", "0"),
    ("ipv6/conf/default/dad_transmits", "0"),
    ("ipv6/conf/default/accept_ra", "0"),
    ("ipv6/conf/default/router_solicitations", "0"),
    ("ipv6/conf/default/mldv2_unsolicited_report_interval", "0"),
    ("ipv4/conf/all/rp_filter", "0"),
    ("ipv4/conf/default/rp_filter", "0"),
];

/// A network namespace, known to `ip netns` by its name. Removed on drop, with the processes in it.
#[derive(Debug)]
pub struct Netns {
    name: String,
    handle: File,
    topology: Topology,
}

impl Netns {
    pub(crate) fn new(topology: &Topology, name: &str) -> Result<Self> {
        run::stdout(Command::new("ip").args(["netns", "add", name]))?;
        let path = Path::new("/run/netns").join(name);
        let handle = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        let netns = Self {
            name: name.to_owned(),
            handle,
            topology: topology.clone(),
        };
        netns.enter(|| {
            for (key, value) in SYSCTLS {
                fs::write(Path::new("/proc/sys/net").join(key), value).with_context(|| format!("sysctl {key}"))?;
            }
            Ok::<_, anyhow::Error>(())
        })??;
        netns.ip("link set lo up")?;
        Ok(netns)
    }

    /// Its name, as `ip netns` shows it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A command that will run in this namespace, with a `/sys` that shows it.
    #[must_use]
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Runs a shell command line in this namespace and returns its standard output.
    ///
    /// # Errors
    /// When it does not succeed.
    pub fn sh(&self, line: &str) -> Result<String> {
        run::stdout(self.command("sh").args(["-c", line]))
    }

    /// Runs a closure on a thread inside this namespace, and waits for it. Sockets opened there stay in the namespace, on
    /// whichever thread they are used later.
    ///
    /// # Errors
    /// When the thread cannot enter the namespace, or panics.
    pub fn enter<T: Send>(&self, body: impl FnOnce() -> T + Send) -> Result<T> {
        thread::scope(|scope| {
            let thread = scope.spawn(|| -> Result<T> {
                sys::enter_netns(&self.handle).with_context(|| format!("cannot enter {}", self.name))?;
                Ok(body())
            });
            thread
                .join()
                .map_err(|_| anyhow!("the thread in {} panicked", self.name))?
        })
    }

    /// `ip ARGUMENTS` in this namespace. Several commands may be given, one a line.
    ///
    /// # Errors
    /// When one of them fails.
    pub fn ip(&self, lines: &str) -> Result<()> {
        run::with_input(Command::new("ip").args(["-n", &self.name, "-batch", "-"]), lines)
            .with_context(|| format!("ip {lines}"))?;
        Ok(())
    }

    /// Writes a setting below `net.`: `sysctl("ipv4.ip_forward", "1")`.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<()> {
        let path = Path::new("/proc/sys/net").join(key.replace('.', "/"));
        self.enter(|| fs::write(&path, value))?
            .with_context(|| format!("sysctl net.{key}={value}"))
    }

    /// Makes a veth pair, one end here and the other in `peer`, both up with `mtu`.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn veth(&self, link: &str, peer: &Self, peer_link: &str, mtu: u32) -> Result<()> {
        self.ip(&format!(
            "link add name {link} mtu {mtu} type veth peer name {peer_link} mtu {mtu} netns {}\nlink set dev {link} up",
            peer.name
        ))?;
        peer.ip(&format!("link set dev {peer_link} up"))
    }

    /// Adds an address with prefix length ("10.0.0.1/24"), usable at once.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn address(&self, link: &str, address: &str) -> Result<()> {
        let nodad = if address.contains(':') { " nodad" } else { "" };
        self.ip(&format!("addr add {address} dev {link}{nodad}"))
    }

    /// Adds a route: `route("default", "via 10.0.0.1")`.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn route(&self, prefix: &str, how: &str) -> Result<()> {
        let family = if prefix.contains(':') || how.contains(':') {
            "-6"
        } else {
            "-4"
        };
        let line = format!("route add {prefix} {how}");
        run::stdout(
            Command::new("ip")
                .args(["-n", &self.name, family])
                .args(line.split(' ')),
        )?;
        Ok(())
    }

    /// Makes a bridge that is up, with `links` as its ports.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn bridge(&self, name: &str, links: &[&str]) -> Result<()> {
        let mut lines = format!("link add name {name} type bridge mcast_snooping 0\nlink set dev {name} up");
        for link in links {
            lines.push_str(&format!("\nlink set dev {link} master {name} up"));
        }
        self.ip(&lines)
    }

    /// The MAC address of a link.
    ///
    /// # Errors
    /// When there is no such link.
    pub fn mac(&self, link: &str) -> Result<String> {
        Ok(self.link_file(link, "address")?.trim().to_owned())
    }

    /// A file of `/sys/class/net/LINK/`.
    ///
    /// # Errors
    /// When there is no such link or file.
    pub fn link_file(&self, link: &str, file: &str) -> Result<String> {
        run::stdout(self.command("cat").arg(format!("/sys/class/net/{link}/{file}")))
    }

    /// The addresses of a link, without prefix length and link-local ones.
    ///
    /// # Errors
    /// When there is no such link.
    pub fn addresses(&self, link: &str) -> Result<Vec<IpAddr>> {
        let text = run::stdout(Command::new("ip").args([
            "-n", &self.name, "-oneline", "addr", "show", "dev", link, "scope", "global",
        ]))?;
        text.lines()
            .filter_map(|line| line.split_whitespace().nth(3))
            .map(|field| {
                let address = field.split('/').next().unwrap_or_default();
                address.parse().with_context(|| format!("not an address: {field}"))
            })
            .collect()
    }

    /// The namespaces that exist on this machine and begin with `prefix`.
    ///
    /// # Errors
    /// When `/run/netns` cannot be read.
    pub fn existing(prefix: &str) -> Result<Vec<String>> {
        let directory = Path::new("/run/netns");
        if !directory.exists() {
            return Ok(Vec::new());
        }
        let mut names = Vec::new();
        for entry in fs::read_dir(directory)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name.starts_with(prefix) {
                names.push(name);
            }
        }
        Ok(names)
    }

    pub(crate) fn topology(&self) -> &Topology {
        &self.topology
    }

    fn remove(&self) -> Result<()> {
        let processes = run::stdout(Command::new("ip").args(["netns", "pids", &self.name]))?;
        for process in processes.split_whitespace() {
            let process: u32 = process.parse()?;
            ensure!(process != std::process::id(), "this process itself is in {}", self.name);
            // It may have ended meanwhile.
            let _ = sys::signal(process, libc::SIGKILL);
        }
        run::stdout(Command::new("ip").args(["netns", "delete", &self.name]))?;
        Ok(())
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        if !self.topology.is_kept() {
            // The reaper tries again whatever fails here.
            let _ = self.remove();
        }
    }
}
