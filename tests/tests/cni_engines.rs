//! Container engines of the distribution with `vrouter-cni`: two nodes, a container on each, and they talk.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use vrouter_proto::control;
use vrouter_tests::{
    cluster::{Cluster, Options},
    engine::Place,
    require, run,
    topology::Topology,
    wait,
};

/// What the containers of both engines have in common.
const SLEEP: [&str; 2] = ["/bin/sleep", "1000"];
const PORT: &str = "9000";

fn cluster(topology: &Topology) -> Result<Cluster> {
    let cluster = Cluster::start(topology, &Options::default())?;
    cluster.routed_network("blue", 1, control::Encapsulation::Vxlan)?;
    Ok(cluster)
}

/// The configuration of the network on a node, in the version that the engines of Debian 12 speak.
fn configuration(cluster: &Cluster, node: usize) -> Result<serde_json::Value> {
    let compute = cluster.compute(node)?;
    Ok(json!({
        "cniVersion": "1.0.0",
        "name": "blue",
        "plugins": [{
            "type": "vrouter-cni",
            "node": compute.node.name,
            "control": format!("unix:{}", cluster.control_socket.display()),
            "labels": {"engine": "yes"},
            "capabilities": {"ips": true, "mac": true, "portMappings": true},
        }],
    }))
}

fn endpoints(cluster: &Cluster) -> Result<Vec<control::Endpoint>> {
    let request = control::ListEndpointsRequest::default();
    Ok(cluster
        .api
        .call(async |mut api| api.list_endpoints(request).await)?
        .endpoints)
}

/// A container as a test sees it: something that runs commands.
trait Box {
    fn exec(&self, line: &str) -> Result<String>;
    fn spawn(&self, line: &str) -> Result<Child>;
}

/// Pings and TCP, both families, both ways.
fn talk(cluster: &Cluster, boxes: [&dyn Box; 2]) -> Result<()> {
    let all = endpoints(cluster)?;
    ensure!(all.len() == 2, "two endpoints were expected: {all:?}");
    for (here, there) in [(0, 1), (1, 0)] {
        let node = format!("node{}", there + 1);
        let peer = all
            .iter()
            .find(|endpoint| endpoint.node == node)
            .context("no endpoint there")?;
        ensure!(peer.addresses.len() == 2, "{peer:?}");
        // It answers any number of times: a connection that came to nothing is asked for again. It ends with its container.
        let server = format!("while true; do echo hello from {node} | nc -l -p {PORT} || sleep 1; done");
        let mut server = boxes[there].spawn(&server)?;
        let heard = peer.addresses.iter().try_for_each(|address| {
            let pinged = boxes[here].exec(&format!("ping -c 1 -W 5 {address}"))?;
            ensure!(pinged.contains("1 packets received"), "{pinged}");
            wait::until(&format!("TCP to {address}"), || {
                let heard = boxes[here].exec(&format!("nc -w 5 {address} {PORT} </dev/null"))?;
                ensure!(heard.contains(&format!("hello from {node}")), "heard: {heard}");
                Ok(())
            })
        });
        let _ = server.kill();
        let _ = server.wait();
        heard?;
    }
    Ok(())
}

/// Containers are gone: so is everything that was made for them.
fn nothing_left(cluster: &Cluster, places: &[Place]) -> Result<()> {
    wait::until("all endpoints to be deleted", || {
        let left = endpoints(cluster)?;
        ensure!(left.is_empty(), "endpoints are left: {left:?}");
        Ok(())
    })?;
    cluster.settle()?;
    let audit = cluster
        .api
        .call(async |mut api| api.audit(control::AuditRequest {}).await)?;
    ensure!(audit.findings.is_empty() && audit.addresses_allocated == 0, "{audit:?}");
    for (compute, place) in cluster.computes.iter().zip(places) {
        let links = compute.node.netns.sh("ls /sys/class/net")?;
        ensure!(
            !links.split_whitespace().any(|link| link.starts_with("vr")),
            "links are left: {links}"
        );
        let left = place.left_mounts()?;
        ensure!(left.is_empty(), "mounts are left: {left:?}");
        // What podman has for its monitors stays with the parent that it was given.
        let groups: Vec<PathBuf> = place.left_cgroups()?;
        let left: Vec<_> = groups.iter().filter(|path| !path.ends_with("conmon")).collect();
        ensure!(left.is_empty(), "control groups are left: {left:?}");
    }
    Ok(())
}

/// podman on a node.
struct Podman<'a> {
    place: &'a Place,
    name: &'static str,
}

impl<'a> Podman<'a> {
    fn new(cluster: &Cluster, node: usize, place: &'a Place, name: &'static str) -> Result<Self> {
        let directory = place.directory();
        let networks = place.network("blue", &configuration(cluster, node)?)?;
        let containers = format!(
            "[network]\nnetwork_backend = \"cni\"\ncni_plugin_dirs = [{:?}]\nnetwork_config_dir = {networks:?}\ndefault_network = \"blue\"\n\
             [engine]\nevents_logger = \"none\"\n[containers]\nlog_driver = \"k8s-file\"\n",
            place.plugins()?
        );
        std::fs::write(directory.join("containers.conf"), containers)?;
        let storage = format!(
            "[storage]\ndriver = \"vfs\"\ngraphroot = {:?}\nrunroot = \"/run/podman-run\"\n",
            directory.join("root")
        );
        std::fs::write(directory.join("storage.conf"), storage)?;
        let podman = Self { place, name };
        let image = place.busybox()?;
        podman.run(&["import", &image.display().to_string(), "box"])?;
        Ok(podman)
    }

    fn command(&self) -> Command {
        let directory = self.place.directory();
        let mut command = self.place.command("podman");
        command
            .env("CONTAINERS_CONF", directory.join("containers.conf"))
            .env("CONTAINERS_STORAGE_CONF", directory.join("storage.conf"))
            .arg("--root")
            .arg(directory.join("root"))
            .args([
                "--runroot",
                "/run/podman-run",
                "--tmpdir",
                "/run/podman-tmp",
                "--storage-driver",
                "vfs",
            ])
            .args([
                "--cgroup-manager",
                "cgroupfs",
                "--network-backend",
                "cni",
                "--runtime",
                "runc",
            ]);
        command
    }

    fn run(&self, arguments: &[&str]) -> Result<String> {
        run::stdout(self.command().args(arguments))
    }

    fn start(&self, options: &[&str]) -> Result<()> {
        let group = format!("/{}", self.place.cgroup());
        let fixed = [
            "run",
            "--detach",
            "--name",
            self.name,
            "--network",
            "blue",
            "--cgroup-parent",
            &group,
        ];
        let limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000"];
        let arguments: Vec<&str> = fixed
            .iter()
            .chain(&limits)
            .chain(options)
            .chain(&["box"])
            .chain(&SLEEP)
            .copied()
            .collect();
        self.run(&arguments).map(drop)
    }
}

impl Box for Podman<'_> {
    fn exec(&self, line: &str) -> Result<String> {
        self.run(&["exec", self.name, "/bin/sh", "-c", line])
    }

    fn spawn(&self, line: &str) -> Result<Child> {
        let mut command = self.command();
        command.args(["exec", self.name, "/bin/sh", "-c", line]);
        spawn(&mut command)
    }
}

fn spawn(command: &mut Command) -> Result<Child> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().with_context(|| run::words(command))
}

#[test]
fn podman_containers_on_two_nodes_talk() -> Result<()> {
    require!(Root, Daemons, Podman);
    Topology::run("cni-podman", |topology| {
        let cluster = cluster(topology)?;
        let mut places = vec![
            Place::new(&cluster.compute(0)?.node.netns, "podman1")?,
            Place::new(&cluster.compute(1)?.node.netns, "podman2")?,
        ];
        let one = Podman::new(&cluster, 0, &places[0], "one")?;
        let two = Podman::new(&cluster, 1, &places[1], "two")?;
        one.start(&[])?;
        two.start(&[
            "--ip",
            "10.1.0.77",
            "--ip6",
            "fd00:1::77",
            "--mac-address",
            "02:00:00:00:00:77",
        ])?;
        talk(&cluster, [&one, &two])?;
        let asked = endpoints(&cluster)?
            .into_iter()
            .find(|endpoint| endpoint.node == "node2")
            .context("no endpoint")?;
        ensure!(
            asked.addresses == ["10.1.0.77", "fd00:1::77"] && asked.mac == "02:00:00:00:00:77",
            "{asked:?}"
        );
        ensure!(
            asked.labels.get("k8s.pod").is_some_and(|name| name == "two"),
            "{:?}",
            asked.labels
        );
        // Stopped and started again, it is attached anew.
        one.run(&["stop", "--time", "0", "one"])?;
        wait::until("the endpoint to be deleted", || {
            ensure!(endpoints(&cluster)?.len() == 1);
            Ok(())
        })?;
        one.run(&["start", "one"])?;
        talk(&cluster, [&one, &two])?;
        one.run(&["rm", "--force", "--time", "0", "one"])?;
        two.run(&["rm", "--force", "--time", "0", "two"])?;
        nothing_left(&cluster, &places)?;
        for place in &mut places {
            place.end()?;
        }
        Ok(())
    })
}

/// containerd on a node, and its container, which lives as long as this.
struct Containerd<'a> {
    place: &'a Place,
    name: &'static str,
    daemon: Child,
    run: Option<Child>,
}

const SOCKET: &str = "/run/containerd-test.sock";

impl<'a> Containerd<'a> {
    fn new(cluster: &Cluster, node: usize, place: &'a Place, name: &'static str) -> Result<Self> {
        let networks = place.network("blue", &configuration(cluster, node)?)?;
        // Where its client looks.
        place.run("cp", &["-r", &networks.display().to_string(), "/etc/cni/net.d"])?;
        place.run("ln", &["-s", &place.plugins()?.display().to_string(), "/opt/cni/bin"])?;
        place.busybox()?;
        let directory = place.directory();
        let configuration = format!(
            "version = 2\nroot = {:?}\nstate = \"/run/containerd-test\"\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
             [grpc]\naddress = {SOCKET:?}\n",
            directory.join("containerd")
        );
        let file = directory.join("containerd.toml");
        std::fs::write(&file, configuration)?;
        let log = std::fs::File::create(place.log(name))?;
        let mut command = place.command("containerd");
        command
            .arg("--config")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let this = Self {
            place,
            name,
            daemon: command.spawn().context("containerd")?,
            run: None,
        };
        wait::until("containerd to answer", || this.ctr(&["version"]))?;
        Ok(this)
    }

    fn command(&self) -> Command {
        let mut command = self.place.command("ctr");
        command.args(["--address", SOCKET]);
        command
    }

    fn ctr(&self, arguments: &[&str]) -> Result<String> {
        run::stdout(self.command().args(arguments))
    }

    /// In the foreground: it is this client that detaches the container from its network at the end.
    fn start(&mut self) -> Result<()> {
        let rootfs = self.place.directory().join("rootfs");
        let group = format!("/{}/{}", self.place.cgroup(), self.name);
        let mut command = self.command();
        command
            .args(["run", "--cni", "--null-io", "--cgroup", &group, "--rootfs"])
            .arg(rootfs)
            .arg(self.name)
            .args(SLEEP);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(self.place.log(&format!("ctr-{}", self.name)))?);
        self.run = Some(command.spawn().context("ctr run")?);
        wait::until("the container to run", || {
            let tasks = self.ctr(&["task", "ls"])?;
            let runs = tasks
                .lines()
                .any(|line| line.starts_with(self.name) && line.contains("RUNNING"));
            ensure!(runs, "{tasks}");
            Ok(())
        })
    }

    fn remove(&mut self) -> Result<()> {
        self.ctr(&["task", "kill", "--signal", "SIGKILL", self.name])?;
        if let Some(mut run) = self.run.take() {
            wait::until_true("ctr to end", || run.try_wait().is_ok_and(|status| status.is_some()))?;
        }
        let _ = self.ctr(&["container", "rm", self.name]);
        Ok(())
    }
}

impl Drop for Containerd<'_> {
    fn drop(&mut self) {
        for child in self.run.iter_mut().chain([&mut self.daemon]) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Box for Containerd<'_> {
    fn exec(&self, line: &str) -> Result<String> {
        // Of two at a time, each needs a name.
        self.ctr(&[
            "task",
            "exec",
            "--exec-id",
            &exec_id(),
            self.name,
            "/bin/sh",
            "-c",
            line,
        ])
    }

    fn spawn(&self, line: &str) -> Result<Child> {
        let mut command = self.command();
        command.args([
            "task",
            "exec",
            "--exec-id",
            &exec_id(),
            self.name,
            "/bin/sh",
            "-c",
            line,
        ]);
        spawn(&mut command)
    }
}

fn exec_id() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("x{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

#[test]
fn containerd_containers_on_two_nodes_talk() -> Result<()> {
    require!(Root, Daemons, Containerd);
    Topology::run("cni-containerd", |topology| {
        let cluster = cluster(topology)?;
        let mut places = vec![
            Place::new(&cluster.compute(0)?.node.netns, "containerd1")?,
            Place::new(&cluster.compute(1)?.node.netns, "containerd2")?,
        ];
        ensure!(
            Path::new("/usr/lib/cni/loopback").exists(),
            "package containernetworking-plugins"
        );
        {
            let mut one = Containerd::new(&cluster, 0, &places[0], "one")?;
            let mut two = Containerd::new(&cluster, 1, &places[1], "two")?;
            one.start()?;
            two.start()?;
            wait::until("both to be attached", || {
                let all = endpoints(&cluster)?;
                ensure!(
                    all.len() == 2 && all.iter().all(|endpoint| endpoint.programmed),
                    "{all:?}"
                );
                Ok(())
            })?;
            talk(&cluster, [&one, &two])?;
            one.remove()?;
            two.remove()?;
            nothing_left(&cluster, &places)?;
        }
        for place in &mut places {
            place.end()?;
        }
        Ok(())
    })
}
