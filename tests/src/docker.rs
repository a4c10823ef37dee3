//! Docker on the nodes of a test: the plugin `vrouter-docker`, a client that speaks to it as dockerd does, and dockerd itself from the distribution, in the
//! namespaces of its node and with all that it keeps in the test's directory.

use std::{
    ffi::OsString,
    fs,
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::{
    cluster::{Cluster, Compute},
    daemon::{self, Daemon},
    run,
    topology::Topology,
    wait,
};

/// Within this, the plugin answers whatever happens.
pub const ANSWER: Duration = Duration::from_secs(1);
/// The image that containers are made of.
pub const IMAGE: &str = "vrouter-test:1";
/// Busybox, linked statically (package busybox-static).
const BUSYBOX: &str = "/bin/busybox";

/// The plugin of one node.
#[derive(Debug)]
pub struct Plugin {
    /// The process.
    pub daemon: Daemon,
    /// Its socket.
    pub socket: PathBuf,
    /// Where it keeps its records.
    pub state: PathBuf,
    patience: Duration,
}

impl Plugin {
    /// Starts the plugin of a node of a cluster. It takes its time, and so do those who ask it: the machine may be busy with other tests.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(cluster: &Cluster, node: usize, further: &[&str]) -> Result<Self> {
        let further: Vec<&str> = ["--answer-within", "20000"].iter().chain(further).copied().collect();
        let plugin = Self::prompt(cluster, node, &further)?;
        Ok(Self {
            patience: Duration::from_secs(25),
            ..plugin
        })
    }

    /// The same as it is by itself: who asks it waits no longer than [`ANSWER`].
    ///
    /// # Errors
    /// When it does not start.
    pub fn prompt(cluster: &Cluster, node: usize, further: &[&str]) -> Result<Self> {
        let Compute { node, .. } = cluster.compute(node)?;
        let home = home(cluster.topology(), &node.name);
        let plugins = home.join("plugins");
        fs::create_dir_all(&plugins)?;
        let socket = plugins.join("vrouter.sock");
        let state = home.join("state");
        let mut arguments: Vec<OsString> = vec![
            "--node".into(),
            (&node.name).into(),
            "--listen".into(),
            (&socket).into(),
            "--control".into(),
            format!("unix:{}", cluster.control_socket.display()).into(),
            "--state".into(),
            (&state).into(),
            "--docker-api".into(),
            format!("unix:{}", home.join("docker.sock").display()).into(),
        ];
        arguments.extend(further.iter().map(OsString::from));
        let program = daemon::binary("vrouter-docker")?;
        let name = format!("vrouter-docker-{}", node.name);
        let daemon = Daemon::start(&node.netns, &name, program, arguments, None)?;
        let plugin = Self {
            daemon,
            socket,
            state,
            patience: ANSWER,
        };
        plugin.wait_serving()?;
        Ok(plugin)
    }

    /// Waits until it answers.
    ///
    /// # Errors
    /// When it does not in time.
    pub fn wait_serving(&self) -> Result<()> {
        wait::until("vrouter-docker to answer", || {
            self.call("Plugin.Activate", &Value::Null).map(drop)
        })
    }

    /// Says a request as dockerd does, and gives the answer.
    ///
    /// # Errors
    /// When it does not answer in time, or with something else than an object.
    pub fn ask(&self, request: &str, body: &Value) -> Result<Value> {
        let text = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let (_, answer) = self.raw("POST", &format!("/{request}"), text.as_bytes())?;
        let answer: Value = serde_json::from_str(&answer).with_context(|| format!("{request}: {answer:?}"))?;
        ensure!(answer.is_object(), "{request}: {answer}");
        Ok(answer)
    }

    /// Like [`ask`](Self::ask), for answers that are no errors.
    ///
    /// # Errors
    /// What the plugin says is wrong.
    pub fn call(&self, request: &str, body: &Value) -> Result<Value> {
        let answer = self.ask(request, body)?;
        match answer.get("Err").or(answer.get("Error")).and_then(Value::as_str) {
            None | Some("") => Ok(answer),
            Some(words) => bail!("{request}: {words}"),
        }
    }

    /// Like [`ask`](Self::ask), for what is to be refused: the words.
    ///
    /// # Errors
    /// When it is not refused.
    pub fn refused(&self, request: &str, body: &Value) -> Result<String> {
        let answer = self.ask(request, body)?;
        let words = |key: &str| {
            answer
                .get(key)
                .and_then(Value::as_str)
                .filter(|words| !words.is_empty())
        };
        let (Some(words), Some(_)) = (words("Err"), words("Error")) else {
            bail!("{request} {body} is not refused: {answer}");
        };
        Ok(words.to_owned())
    }

    /// Any request by HTTP: status and body of the answer.
    ///
    /// # Errors
    /// When it does not answer in time, or not by HTTP.
    pub fn raw(&self, method: &str, path: &str, body: &[u8]) -> Result<(u16, String)> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(self.patience))?;
        stream.set_write_timeout(Some(self.patience))?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: plugin\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        // A body that is too long is not read to its end.
        let _ = stream.write_all(body);
        let mut answer = Vec::new();
        let mut chunk = [0; 65536];
        loop {
            match stream.read(&mut chunk) {
                Ok(0) => break,
                Ok(length) => answer.extend_from_slice(&chunk[..length]),
                // It closes while we still speak.
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset && !answer.is_empty() => break,
                Err(error) => {
                    return Err(error).with_context(|| format!("{method} {path}: no answer in {:?}", self.patience));
                }
            }
        }
        let answer = String::from_utf8(answer)?;
        let (head, body) = answer
            .split_once("\r\n\r\n")
            .with_context(|| format!("no HTTP: {answer:?}"))?;
        let status = head.split(' ').nth(1).and_then(|text| text.parse().ok());
        Ok((status.with_context(|| format!("no status: {head:?}"))?, body.to_owned()))
    }

    /// The names of its records of a kind: `pools`, `networks`, `endpoints`.
    ///
    /// # Errors
    /// When its directory cannot be read.
    pub fn records(&self, kind: &str) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.state.join(kind))? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        Ok(names)
    }
}

/// Where Docker of a node has its files.
fn home(topology: &Topology, node: &str) -> PathBuf {
    topology.state().join(format!("docker-{node}"))
}

/// A dockerd with a containerd of its own, in the network namespace of its node, and in namespaces of mounts and processes of its own: with its first process,
/// all of them end.
#[derive(Debug)]
pub struct Dockerd {
    daemon: Daemon,
    host: String,
    cgroup: String,
}

impl Dockerd {
    /// Starts dockerd beside the plugin of a node, and gives it the image [`IMAGE`].
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(cluster: &Cluster, node: usize) -> Result<Self> {
        let Compute { node, .. } = cluster.compute(node)?;
        let topology = cluster.topology();
        let home = home(topology, &node.name);
        fs::create_dir_all(home.join("plugins"))?;
        fs::write(home.join("daemon.json"), "{}")?;
        let cgroup = format!("/{}{}", topology.prefix(), node.name);
        // `ip netns exec` would hide the control groups in /sys.
        let script = r#"
            home=$1; shift
            mount -t tmpfs tmpfs /run
            mkdir -p /run/docker/plugins
            mount --bind "$home/plugins" /run/docker/plugins
            # Of those who were killed: the numbers in them mean others now.
            rm -f "$home/docker.pid" "$home/exec/containerd/containerd.pid"
            # The first process of a namespace has to bury the others.
            "$@" & wait $!
        "#;
        let home_text = home.display().to_string();
        let dockerd = [
            "dockerd".to_owned(),
            "--iptables=false".into(),
            "--ip6tables=false".into(),
            "--bridge=none".into(),
            "--storage-driver=vfs".into(),
            "--exec-opt=native.cgroupdriver=cgroupfs".into(),
            "--default-ulimit=nofile=1024:1024".into(),
            format!("--cgroup-parent={cgroup}"),
            format!("--config-file={home_text}/daemon.json"),
            format!("--data-root={home_text}/data"),
            format!("--exec-root={home_text}/exec"),
            format!("--pidfile={home_text}/docker.pid"),
            format!("--host=unix://{home_text}/docker.sock"),
        ];
        let mut arguments: Vec<OsString> = vec![
            format!("--mount=/proc/{}/ns/mnt", std::process::id()).into(),
            format!("--net=/run/netns/{}", node.netns.name()).into(),
        ];
        let around = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
        arguments.extend(around.map(OsString::from));
        arguments.extend(["sh", "-ec", script, "sh", &home_text].map(OsString::from));
        arguments.extend(dockerd.map(OsString::from));
        let name = format!("dockerd-{}", node.name);
        let daemon = Daemon::start(&node.netns, &name, "nsenter".into(), arguments, None)?;
        let dockerd = Self {
            daemon,
            host: format!("unix://{home_text}/docker.sock"),
            cgroup,
        };
        wait::until("dockerd to answer", || dockerd.run(&["version"]))?;
        dockerd.import(&home)?;
        Ok(dockerd)
    }

    /// Makes the image: busybox alone.
    fn import(&self, home: &Path) -> Result<()> {
        let root = home.join("image");
        fs::create_dir_all(root.join("bin"))?;
        fs::create_dir_all(root.join("www"))?;
        fs::copy(BUSYBOX, root.join("bin/busybox"))?;
        for tool in [
            "sh", "sleep", "ping", "ping6", "ip", "cat", "wget", "httpd", "nslookup", "hostname",
        ] {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(tool))?;
        }
        let archive = home.join("image.tar");
        let mut tar = Command::new("tar");
        run::stdout(tar.arg("-C").arg(&root).arg("-cf").arg(&archive).arg("."))?;
        self.run(&["import", &archive.display().to_string(), IMAGE])?;
        Ok(())
    }

    /// A command of docker.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        // The one that came with dockerd understands it.
        let packaged = Path::new("/usr/bin/docker");
        let program = if packaged.is_file() {
            packaged
        } else {
            Path::new("docker")
        };
        let mut command = Command::new(program);
        command
            .env_remove("DOCKER_CONTEXT")
            .env("DOCKER_HOST", &self.host)
            .args(arguments);
        command
    }

    /// Runs docker and gives what it says, without the last line's end.
    ///
    /// # Errors
    /// When it fails, with what it says.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        Ok(run::stdout(&mut self.command(arguments))?.trim_end().to_owned())
    }

    /// Runs docker, which is to fail: what it says.
    ///
    /// # Errors
    /// When it succeeds.
    pub fn fails(&self, arguments: &[&str]) -> Result<String> {
        let output = run::output(&mut self.command(arguments))?;
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(!output.status.success(), "docker {arguments:?} does not fail");
        Ok(words)
    }

    /// Starts a container that serves its own name by HTTP, with further options of `docker run`.
    ///
    /// # Errors
    /// When it does not start.
    pub fn serve(&self, name: &str, options: &[&str]) -> Result<()> {
        let line = "hostname > /www/index.html; exec httpd -f -p 80 -h /www";
        let mut arguments = vec!["run", "-d", "--name", name, "--hostname", name];
        arguments.extend(options);
        arguments.extend([IMAGE, "sh", "-c", line]);
        self.run(&arguments).map(drop)
    }

    /// Runs something in a container.
    ///
    /// # Errors
    /// When it fails.
    pub fn exec(&self, container: &str, command: &[&str]) -> Result<String> {
        let mut arguments = vec!["exec", container];
        arguments.extend(command);
        self.run(&arguments)
    }

    /// Kills dockerd with all that it started, and starts it again.
    ///
    /// # Errors
    /// When it does not start again.
    pub fn restart(&mut self) -> Result<()> {
        self.daemon.kill9()?;
        self.daemon.restart()?;
        wait::until("dockerd to answer", || self.run(&["version"])).map(drop)
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        // All containers end with it; only then can their control groups be removed.
        let _ = self.daemon.kill9();
        let patience = Duration::from_secs(5);
        let _ = wait::within(patience, "control groups to be empty", || remove_cgroups(&self.cgroup));
    }
}

/// Removes a control group and those within it from every hierarchy.
fn remove_cgroups(name: &str) -> Result<()> {
    let line = format!(
        "for top in /sys/fs/cgroup{name} /sys/fs/cgroup/*{name}; do [ ! -d \"$top\" ] || find \"$top\" -depth -type d -exec rmdir {{}} +; done"
    );
    run::stdout(Command::new("sh").args(["-c", &line])).map(drop)
}
