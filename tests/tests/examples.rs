//! The clients in examples/, in Rust and in Python, with real daemons: what they make works, they survive a restart of control, and they leave
//! nothing behind.

use std::{
    env,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use vrouter_proto::control::Endpoint;
use vrouter_tests::{
    cluster::{Cluster, Options},
    container::Container,
    daemon,
    node::Family,
    require, run,
    topology::Topology,
    traffic, wait,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// A running example: what it tells, and how it is told to end.
struct Example {
    child: Child,
    input: Option<ChildStdin>,
    events: Receiver<Value>,
}

impl Example {
    fn start(mut command: Command, log: &Path) -> Result<Self> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(log)?);
        let mut child = command.spawn().context("the example does not start")?;
        let output = child.stdout.take().context("it has an output")?;
        let (sender, events) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let Ok(event) = serde_json::from_str(&line) else {
                    continue;
                };
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            input: child.stdin.take(),
            child,
            events,
        })
    }

    /// The next event of a kind; others before it are passed over.
    fn event(&self, kind: &str) -> Result<Value> {
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let event = self
                .events
                .recv_timeout(left)
                .with_context(|| format!("the example does not tell of {kind}"))?;
            if event["event"] == kind {
                return Ok(event);
            }
        }
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn texts(value: &Value) -> Vec<String> {
    let items = value.as_array().into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// What every example must do.
fn orchestrates(t: &Topology, command: impl FnOnce() -> Result<Command>) -> Result<()> {
    let mut cluster = Cluster::start(t, &Options::default())?;
    let places = [("web-1", "web", 0), ("db-1", "db", 1), ("mail-1", "mail", 1)];
    let mut containers = Vec::new();
    let mut command = command()?;
    command
        .arg("--control")
        .arg(format!("unix:{}", cluster.control_socket.display()));
    for (name, role, node) in places {
        let node = &cluster.compute(node)?.node;
        containers.push(Container::new(node, name)?);
        command.args(["--workload", &format!("{name}={role}@{}/{name}", node.name)]);
    }
    let mut example = Example::start(command, &t.log("example"))?;
    for (container, (name, ..)) in containers.iter_mut().zip(places) {
        let told = example.event("endpoint")?;
        ensure!(told["name"] == name, "{told}");
        container.configure(&Endpoint {
            name: name.to_owned(),
            mac: told["mac"].as_str().unwrap_or_default().to_owned(),
            addresses: texts(&told["addresses"]),
            gateways: texts(&told["gateways"]),
            mtu: told["mtu"]
                .as_u64()
                .and_then(|mtu| mtu.try_into().ok())
                .unwrap_or_default(),
            ..Default::default()
        })?;
    }
    example.event("ready")?;
    cluster.settle()?;
    let talks = |from: usize, to: usize| -> Result<()> {
        let (from, to) = (&containers[from], &containers[to]);
        for family in Family::BOTH {
            traffic::ping(&from.netns, to.ip(family)?, 1)?;
        }
        Ok(())
    };
    wait::until("the policy to let web in", || talks(0, 1))?;
    talks(0, 2)?;
    ensure!(talks(2, 1).is_err(), "the policy of the example lets everybody in");

    cluster.control.kill9()?;
    ensure!(example.event("control")?["state"] == "away");
    talks(0, 1).context("while control is away")?;
    cluster.control.restart()?;
    ensure!(example.event("control")?["state"] == "back");
    example.event("ready")?;

    // Told to end while all is well: it takes everything away, and audits.
    drop(example.input.take());
    let clean = example.event("clean")?;
    ensure!(texts(&clean["findings"]).is_empty(), "{clean}");
    let status = wait::until("the example to end", || example.child.try_wait()?.context("it runs"))?;
    ensure!(status.success(), "it ended with {status}");
    let output = run::stdout(
        Command::new(daemon::binary("vrctl")?)
            .args(["network", "list", "-o", "json", "--control"])
            .arg(format!("unix:{}", cluster.control_socket.display())),
    )?;
    ensure!(!output.contains("shop"), "something is left: {output}");
    Ok(())
}

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

#[test]
fn the_rust_client_orchestrates() -> Result<()> {
    require!(Root, Daemons, RustExample);
    Topology::run("rust client", |t| {
        orchestrates(t, || Ok(Command::new(daemon::binaries()?.join("example-orchestrator"))))
    })
}

#[test]
fn the_python_client_orchestrates() -> Result<()> {
    require!(Root, Daemons, PythonGrpc);
    Topology::run("python client", |t| {
        orchestrates(t, || {
            let mut command = Command::new(require::python_grpc());
            command.arg(top().join("examples/python/orchestrator.py"));
            Ok(command)
        })
    })
}
