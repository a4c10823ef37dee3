//! `vrouter-cni` as a container engine runs it: parameters by environment and standard input, an answer on standard output.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::{daemon, netns::Netns};

/// A plugin on a node, with the configuration of a network.
#[derive(Clone, Debug)]
pub struct Plugin {
    node: String,
    program: PathBuf,
    /// The configuration. Fields may be added and changed.
    pub config: Value,
}

/// A container as the plugin is told of it.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// Its id.
    pub id: &'a str,
    /// The file of its namespace; `None`: gone.
    pub netns: Option<&'a Path>,
    /// Its interface.
    pub interface: &'a str,
}

/// What a run came to.
#[derive(Debug)]
pub struct Answer {
    /// What it wrote, read as JSON; `Null` when it wrote nothing.
    pub json: Value,
    /// It ended well.
    pub success: bool,
    /// How long it took.
    pub took: Duration,
}

impl Answer {
    /// The result of a run that is to end well.
    ///
    /// # Errors
    /// When it did not; the error has what it said.
    pub fn ok(self) -> Result<Value> {
        ensure!(self.success, "the plugin failed: {}", self.json);
        Ok(self.json)
    }

    /// The code of a run that is to fail.
    ///
    /// # Errors
    /// When it did not, or told of it in another way than it should.
    pub fn code(&self) -> Result<u64> {
        ensure!(!self.success, "the plugin should have failed, but said {}", self.json);
        ensure!(
            self.json["msg"].is_string() && self.json["cniVersion"].is_string(),
            "{}",
            self.json
        );
        self.json["code"]
            .as_u64()
            .with_context(|| format!("no code in {}", self.json))
    }
}

impl Plugin {
    /// The plugin on a node; `config` is completed by name, type and version where it has none.
    ///
    /// # Errors
    /// When it is not built.
    pub fn new(node: &Netns, mut config: Value) -> Result<Self> {
        for (key, value) in [("cniVersion", "1.1.0"), ("name", "test"), ("type", "vrouter-cni")] {
            if config.get(key).is_none() {
                config[key] = value.into();
            }
        }
        Ok(Self {
            node: node.name().to_owned(),
            program: daemon::binary("vrouter-cni")?,
            config,
        })
    }

    /// The same with some fields of the configuration replaced.
    #[must_use]
    pub fn with(&self, fields: &Value) -> Self {
        let mut other = self.clone();
        for (key, value) in fields.as_object().into_iter().flatten() {
            other.config[key] = value.clone();
        }
        other
    }

    fn command(&self, verb: &str, target: Option<Target<'_>>, arguments: &str) -> Command {
        // Without a mount namespace of its own, as `ip netns exec` would give it: that is half of the time it takes.
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net=/run/netns/{}", self.node))
            .arg(&self.program);
        command
            .env("CNI_COMMAND", verb)
            .env("CNI_PATH", "/usr/lib/cni")
            .env("CNI_ARGS", arguments);
        if let Some(target) = target {
            command
                .env("CNI_CONTAINERID", target.id)
                .env("CNI_IFNAME", target.interface);
            if let Some(netns) = target.netns {
                command.env("CNI_NETNS", netns);
            }
        }
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Starts a run and leaves it to the caller.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(&self, verb: &str, target: Option<Target<'_>>, arguments: &str) -> Result<Child> {
        let mut child = self
            .command(verb, target, arguments)
            .spawn()
            .context("cannot run vrouter-cni")?;
        if let Some(mut input) = child.stdin.take() {
            // It may end without reading: then there is nobody to write to.
            let _ = input.write_all(self.config.to_string().as_bytes());
        }
        Ok(child)
    }

    /// Runs a command to its end.
    ///
    /// # Errors
    /// When it does not start, or writes something else than one JSON value to standard output, or anything to standard error.
    pub fn run(&self, verb: &str, target: Option<Target<'_>>, arguments: &str) -> Result<Answer> {
        let start = Instant::now();
        let output = self.start(verb, target, arguments)?.wait_with_output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(complaint.is_empty(), "vrouter-cni wrote to standard error: {complaint}");
        let json = if text.trim().is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&text).with_context(|| format!("vrouter-cni wrote: {text}"))?
        };
        Ok(Answer {
            json,
            success: output.status.success(),
            took: start.elapsed(),
        })
    }

    /// ADD, which is to end well.
    ///
    /// # Errors
    /// When it does not.
    pub fn add(&self, target: Target<'_>) -> Result<Value> {
        self.run("ADD", Some(target), "")?.ok()
    }

    /// DEL, which is to end well.
    ///
    /// # Errors
    /// When it does not.
    pub fn del(&self, target: Target<'_>) -> Result<()> {
        self.run("DEL", Some(target), "")?.ok().map(drop)
    }

    /// CHECK of what ADD said.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn check(&self, target: Target<'_>, result: &Value) -> Result<Answer> {
        self.with(&json!({"prevResult": result})).run("CHECK", Some(target), "")
    }

    /// GC, with the attachments (container, interface) that are to stay.
    ///
    /// # Errors
    /// When it does not end well.
    pub fn gc(&self, valid: &[(&str, &str)]) -> Result<()> {
        let valid: Vec<Value> = valid
            .iter()
            .map(|(container, interface)| json!({"containerID": container, "ifname": interface}))
            .collect();
        let answer = self
            .with(&json!({"cni.dev/valid-attachments": valid}))
            .run("GC", None, "")?;
        answer.ok().map(drop)
    }
}
