//! What a test needs of the machine. A test whose needs are not met says so loudly and is skipped, or fails where
//! `VROUTER_TESTS_REQUIRE=1` says that nothing may be skipped.

use std::{
    env, fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use crate::{daemon, run, sys};

/// One thing a test needs.
#[derive(Clone, Copy, Debug)]
pub enum Need {
    /// Root, with the right to make network namespaces.
    Root,
    /// VXLAN devices of the kernel.
    KernelVxlan,
    /// `tcpdump` and `tshark`.
    Tshark,
    /// Python 3 with scapy.
    Scapy,
    /// `iperf3`.
    Iperf,
    /// `nft`, and connection tracking in the kernel.
    Nft,
    /// `podman`, `conmon` and `runc`, and busybox to make an image of.
    Podman,
    /// `containerd`, `ctr` and `runc`, and busybox to make an image of.
    Containerd,
    /// `prometheus` and `promtool`.
    Prometheus,
    /// The built daemons and `vrctl`.
    Daemons,
    /// `dockerd`, `containerd`, `runc` and `docker`, a static busybox, control groups to put containers in, and the built plugin.
    Docker,
    /// `systemd-analyze`.
    SystemdAnalyze,
    /// What Debian packages are made and tested with, and the programs that are packaged.
    Packaging,
    /// The built client of examples/rust.
    RustExample,
    /// What the client of examples/python imports.
    PythonGrpc,
}

impl Need {
    /// Why it is not met, or `None` when it is.
    fn lack(self) -> Option<String> {
        match self {
            Self::Root => {
                if !sys::is_root() {
                    return Some("root".to_owned());
                }
                let attempt = thread::spawn(sys::unshare_netns).join().ok()?;
                let error = attempt.err()?;
                Some(format!("the right to make network namespaces (CAP_SYS_ADMIN): {error}"))
            }
            Self::KernelVxlan => lack_of_vxlan(),
            Self::Tshark => lack_of_tool("tshark").or_else(|| lack_of_tool("tcpdump")),
            Self::Prometheus => lack_of_tool("promtool").or_else(|| lack_of_tool("prometheus")),
            Self::Iperf => lack_of_tool("iperf3"),
            Self::Nft => lack_of_tool("nft").or_else(|| {
                let tracks = Path::new("/proc/net/nf_conntrack").exists();
                (!tracks).then(|| "connection tracking in the kernel (nf_conntrack, with its file in /proc)".to_owned())
            }),
            Self::Podman => lack_of_engine(&["podman", "conmon", "runc"]),
            Self::Containerd => lack_of_engine(&["containerd", "ctr", "runc"]),
            Self::Scapy => {
                let output = run::output(Command::new("/usr/bin/python3").args(["-c", "import scapy"]));
                match output {
                    Ok(output) if output.status.success() => None,
                    _ => Some("scapy for /usr/bin/python3 (package python3-scapy)".to_owned()),
                }
            }
            Self::Daemons => daemon::binaries().err().map(|error| error.to_string()),
            Self::Docker => lack_of_docker(),
            Self::SystemdAnalyze => lack_of_tool("systemd-analyze"),
            Self::Packaging => {
                let tools = ["debootstrap", "lintian", "dpkg-deb", "dpkg-shlibdeps", "cargo-deb"];
                let tool = tools.into_iter().find_map(lack_of_tool);
                let programs = ["vrouter-cni", "vrouter-docker", "pktgen"];
                tool.or_else(|| programs.into_iter().find_map(lack_of_program))
            }
            Self::RustExample => lack_of_program("example-orchestrator"),
            Self::PythonGrpc => lack_of_python_grpc(),
        }
    }
}

/// Of a container engine's programs, or of what its containers are made of.
fn lack_of_engine(programs: &[&str]) -> Option<String> {
    let busybox = ["unshare", "nsenter", "busybox"];
    programs.iter().chain(&busybox).find_map(|name| lack_of_tool(name))
}

/// One of our own programs.
fn lack_of_program(name: &str) -> Option<String> {
    let directory = daemon::binaries().ok()?;
    (!directory.join(name).is_file()).then(|| format!("{name} in {} (run: make build-e2e)", directory.display()))
}

/// Python with what the client of examples/python imports: an environment of its own below `target`, made once.
#[must_use]
pub fn python_grpc() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/python/bin/python")
}

fn lack_of_python_grpc() -> Option<String> {
    let python = python_grpc();
    let works = || {
        let output = run::output(Command::new(&python).args(["-c", "import grpc, grpc_reflection, google.protobuf"]));
        output.is_ok_and(|output| output.status.success())
    };
    if works() {
        return None;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/python/install.sh");
    let made = run::output(&mut Command::new(script));
    match made {
        _ if works() => None,
        Ok(output) => Some(format!(
            "grpcio for Python (examples/python/install.sh: {})",
            String::from_utf8_lossy(&output.stderr)
                .lines()
                .last()
                .unwrap_or_default()
        )),
        Err(error) => Some(format!("grpcio for Python ({error})")),
    }
}

fn lack_of_tool(name: &str) -> Option<String> {
    let path = env::var_os("PATH").unwrap_or_default();
    let cargo = env::var_os("CARGO_HOME").map_or_else(
        || PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".cargo"),
        PathBuf::from,
    );
    let more = ["/usr/sbin".into(), "/sbin".into(), cargo.join("bin")];
    let directories = env::split_paths(&path).chain(more);
    let mut found = directories
        .map(|directory| directory.join(name))
        .filter(|file| Path::is_file(file));
    found
        .next()
        .is_none()
        .then(|| format!("the program {name} (run deploy/install-deps.sh)"))
}

fn lack_of_docker() -> Option<String> {
    let plugin = || daemon::binary("vrouter-docker").err().map(|error| error.to_string());
    let lacking = ["dockerd", "containerd", "runc", "docker", "nsenter", "unshare"]
        .into_iter()
        .find_map(lack_of_tool);
    let busybox = || {
        let is = Path::new("/bin/busybox").is_file();
        (!is).then(|| "/bin/busybox (package busybox-static)".to_owned())
    };
    let cgroups = || {
        let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
        let is = mounts.lines().any(|line| line.contains(" /sys/fs/cgroup"));
        (!is).then(|| "control groups at /sys/fs/cgroup".to_owned())
    };
    lacking.or_else(busybox).or_else(cgroups).or_else(plugin)
}

fn lack_of_vxlan() -> Option<String> {
    let attempt = thread::spawn(|| {
        sys::unshare_netns().ok()?;
        // A child of this thread lives in this thread's new namespace, which ends with it.
        let line = ["link", "add", "probe", "type", "vxlan", "id", "1", "dstport", "4789"];
        let output = run::output(Command::new("ip").args(line)).ok()?;
        output.status.success().then_some(())
    });
    match attempt.join() {
        Ok(Some(())) => None,
        _ => Some("VXLAN devices in the kernel (module vxlan)".to_owned()),
    }
}

/// What is missing of some needs, in words; `None` when all are met.
#[must_use]
pub fn lacking(needs: &[Need]) -> Option<String> {
    let lacking: Vec<_> = needs.iter().filter_map(|need| need.lack()).collect();
    (!lacking.is_empty()).then(|| lacking.join("; "))
}

/// Whether all needs of a test are met; what is missing is printed. Used through [`require!`](crate::require!).
///
/// # Panics
/// With `VROUTER_TESTS_REQUIRE=1`, when something is missing.
#[must_use]
#[allow(clippy::panic)]
pub fn met(test: &str, needs: &[Need]) -> bool {
    let Some(lacking) = lacking(needs) else { return true };
    if env::var("VROUTER_TESTS_REQUIRE").is_ok_and(|value| value == "1") {
        panic!("{test} may not be skipped here (VROUTER_TESTS_REQUIRE=1), but this is missing: {lacking}");
    }
    let line = format!("#### SKIPPED {test}: missing: {lacking}\n");
    // Written past the capture of the test harness, which shows nothing of tests that pass; and for harnesses that capture
    // the whole process, into a file that whoever started them shows at the end.
    let _ = io::stderr().write_all(line.as_bytes());
    if let Some(file) = env::var_os("VROUTER_TESTS_SKIPPED") {
        let file = fs::OpenOptions::new().create(true).append(true).open(file);
        let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
    }
    false
}

/// Skips the test it stands in, with a loud line, unless the machine has everything named: `require!(Root, Tshark);`. For
/// tests that return `anyhow::Result<()>`.
#[macro_export]
macro_rules! require {
    ($($need:ident),+ $(,)?) => {
        let test = std::thread::current().name().unwrap_or(module_path!()).to_owned();
        if !$crate::require::met(&test, &[$($crate::require::Need::$need),+]) {
            return Ok(());
        }
    };
}
