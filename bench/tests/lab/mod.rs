//! What tests of pktgen as it is built share: network namespaces, veths, and pktgens that run.
//!
//! Needs root; without, tests are skipped and say so, or fail where `VROUTER_TESTS_REQUIRE=1` forbids to skip.
#![allow(clippy::unwrap_used, dead_code)] // Helpers of tests are tests too, and no test uses all.

use std::{
    io::{BufRead, BufReader, Read},
    process::{self, Child, Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use serde_json::Value;

/// Runs `ip`; its words when it fails.
pub(crate) fn ip(arguments: &str) -> Result<String, String> {
    let output = Command::new("ip").args(arguments.split_whitespace()).output();
    let output = output.map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("ip {arguments}: {}", String::from_utf8_lossy(&output.stderr)))
    }
}

/// Network namespaces, removed on drop, also by a test that fails.
pub(crate) struct Namespaces(pub(crate) Vec<String>);

impl Namespaces {
    /// So many; none, and said so, where it is not permitted.
    pub(crate) fn new(count: usize) -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let mut namespaces = Self(Vec::new());
        for _ in 0..count {
            let name = format!("pktgen{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
            if let Err(reason) = ip(&format!("netns add {name}")) {
                assert!(
                    std::env::var("VROUTER_TESTS_REQUIRE").as_deref() != Ok("1"),
                    "cannot run: {reason}"
                );
                let test = thread::current().name().unwrap_or("test").to_owned();
                eprintln!("SKIPPED: {test} needs root and network namespaces: {reason}");
                return None;
            }
            namespaces.0.push(name);
        }
        Some(namespaces)
    }

    /// A veth: `name` with address `mac` in each of two namespaces.
    pub(crate) fn join(&self, ends: [(usize, &str, &str); 2], options: &str) {
        let [(left, v0, mac0), (right, v1, mac1)] = ends;
        let (left, right) = (&self.0[left], &self.0[right]);
        ip(&format!(
            "-n {left} link add {v0} address {mac0} {options} type veth peer name {v1} address {mac1} {options} netns {right}"
        ))
        .unwrap();
        for (namespace, end) in [(left, v0), (right, v1)] {
            // Neighbour discovery of the kernel would be counted among the rest.
            ip(&format!("-n {namespace} link set {end} addrgenmode none up")).unwrap();
        }
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for name in &self.0 {
            let _ = ip(&format!("netns delete {name}"));
        }
    }
}

/// Two namespaces with a veth between them: `v0` in `left`, `v1` in `right`. Removed on drop.
pub(crate) struct Veth {
    pub(crate) left: String,
    pub(crate) right: String,
    /// Address of `v1`.
    pub(crate) mac: String,
    _namespaces: Namespaces,
}

impl Veth {
    /// None, and said so, where it is not permitted.
    pub(crate) fn new(options: &str) -> Option<Self> {
        let namespaces = Namespaces::new(2)?;
        let mac = "02:00:00:00:01:01";
        namespaces.join([(0, "v0", "02:00:00:00:01:00"), (1, "v1", mac)], options);
        Some(Self {
            left: namespaces.0[0].clone(),
            right: namespaces.0[1].clone(),
            mac: mac.to_owned(),
            _namespaces: namespaces,
        })
    }

    /// Starts a receiver at the right end and waits until it receives.
    pub(crate) fn receive(&self, arguments: &str) -> Running {
        let arguments = format!("receive --interface v1 --netns {} {arguments}", self.right);
        Running::start(&arguments, "receiving on v1")
    }

    /// Sends from the left end to the right one.
    pub(crate) fn send(&self, arguments: &str) -> Value {
        let to = format!("--interface v0 --netns {} --to-mac {}", self.left, self.mac);
        let output = pktgen(&format!("send {to} {arguments}")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

/// pktgen with these arguments and JSON as output.
pub(crate) fn pktgen(arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pktgen"));
    command
        .args(arguments.split_whitespace())
        .args(["--output", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// A pktgen that runs and is ready; ended when dropped, so that a test that fails leaves no process behind.
pub(crate) struct Running {
    child: Option<Child>,
    /// What it said when it was ready.
    pub(crate) ready: String,
}

impl Running {
    /// Starts a pktgen and waits until it says that it is ready.
    pub(crate) fn start(arguments: &str, ready: &str) -> Self {
        let mut child = pktgen(arguments).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        assert!(line.contains(ready), "{line}");
        // Nobody else reads it, and it must not fill up.
        thread::spawn(move || {
            let _ = stderr.read_to_end(&mut Vec::new());
        });
        Self {
            child: Some(child),
            ready: line,
        }
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.pid()]).status().unwrap();
        assert!(status.success());
    }

    pub(crate) fn pid(&self) -> String {
        self.child.as_ref().unwrap().id().to_string()
    }

    /// The report and the exit status.
    pub(crate) fn report(mut self) -> (Value, i32) {
        let output: Output = self.child.take().unwrap().wait_with_output().unwrap();
        (
            serde_json::from_slice(&output.stdout).unwrap(),
            output.status.code().unwrap(),
        )
    }
}

/// A test that fails leaves no process behind.
impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Checks that all packets came, once each, in order and whole.
pub(crate) fn all_is_well(report: &Value, packets: u64) {
    assert_eq!(report["packets"], packets, "{report:#}");
    for wrong in ["lost", "duplicates", "reordered", "damaged", "dropped_by_kernel"] {
        assert_eq!(report[wrong], 0, "{wrong}: {report:#}");
    }
    let latency = |quantile| report["latency"][quantile].as_f64().unwrap();
    assert!(
        latency("min_us") > 0.0 && latency("p50_us") <= latency("p999_us"),
        "{report:#}"
    );
}
