//! Seeing what passes a link: captures into files, and tshark's opinion of them.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{netns::Netns, run, sys};

/// Whether wrong checksums are faults. On a link within one machine packets may rightly carry checksums that the next one
/// is to complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksums {
    /// Each must be right.
    Verify,
    /// Not looked at.
    Ignore,
}

/// A running capture on one link.
#[derive(Debug)]
pub struct Capture {
    child: Child,
    complaints: Option<JoinHandle<String>>,
    path: PathBuf,
}

impl Capture {
    /// Starts to capture on a link, with a tcpdump filter (empty: all). Returns when packets are being captured.
    ///
    /// # Errors
    /// When tcpdump does not start.
    pub fn start(netns: &Netns, link: &str, filter: &str) -> Result<Self> {
        let directory = netns.topology().state();
        let path = directory.join(format!("{}-{link}.pcap", netns.name()));
        let mut command = netns.command("tcpdump");
        // As root it would drop to a user who may not write here.
        command.args([
            "-Z",
            "root",
            "-n",
            "-U",
            "-s",
            "9216",
            "--immediate-mode",
            "-B",
            "65536",
            "-i",
            link,
            "-w",
        ]);
        command.arg(&path).args(filter.split_whitespace());
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start tcpdump")?;
        let mut errors = BufReader::new(child.stderr.take().context("no stderr")?);
        let mut said = String::new();
        while !said.contains("listening on") {
            let mut line = String::new();
            if errors.read_line(&mut line)? == 0 {
                bail!("tcpdump on {link}: {}; {said}", child.wait()?);
            }
            said.push_str(&line);
        }
        let complaints = thread::spawn(move || {
            let mut rest = String::new();
            let _ = errors.read_to_string(&mut rest);
            rest
        });
        Ok(Self {
            child,
            complaints: Some(complaints),
            path,
        })
    }

    /// Ends the capture.
    ///
    /// # Errors
    /// When tcpdump failed, or lost packets: a capture with holes proves nothing.
    pub fn stop(mut self) -> Result<Pcap> {
        // What has passed the link just now still has to reach the file.
        thread::sleep(Duration::from_millis(200));
        sys::signal(self.child.id(), libc::SIGINT)?;
        let status = self.child.wait()?;
        let said = self
            .complaints
            .take()
            .and_then(|thread| thread.join().ok())
            .unwrap_or_default();
        ensure!(status.success(), "tcpdump: {status}: {said}");
        for line in said.lines().filter(|line| line.contains("dropped by kernel")) {
            ensure!(line.starts_with("0 "), "the capture has holes: {line}");
        }
        Ok(Pcap {
            path: self.path.clone(),
        })
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A finished capture.
#[derive(Debug)]
pub struct Pcap {
    /// The file.
    pub path: PathBuf,
}

impl Pcap {
    /// A capture file from elsewhere.
    #[must_use]
    pub fn open(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Runs tshark on it with further arguments.
    ///
    /// # Errors
    /// When tshark fails.
    pub fn tshark(&self, arguments: &[&str]) -> Result<String> {
        // Without name lookups, and without the user's own preferences.
        run::stdout(
            Command::new("tshark")
                .env("HOME", "/nonexistent")
                .arg("-n")
                .arg("-r")
                .arg(&self.path)
                .args(arguments),
        )
    }

    /// How many packets match a display filter (empty: all).
    ///
    /// # Errors
    /// When tshark fails, or does not know the filter.
    pub fn count(&self, filter: &str) -> Result<usize> {
        Ok(self
            .tshark(&["-Y", filter, "-T", "fields", "-e", "frame.number"])?
            .lines()
            .count())
    }

    /// The values of a field in the packets that match a display filter, one entry per packet.
    ///
    /// # Errors
    /// When tshark fails, or does not know the filter or field.
    pub fn field(&self, filter: &str, field: &str) -> Result<Vec<String>> {
        let text = self.tshark(&["-Y", filter, "-T", "fields", "-e", field])?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// Fails when tshark finds anything malformed, or worth an expert's error, in any layer of any packet.
    ///
    /// # Errors
    /// The findings; also when the capture is empty.
    pub fn check(&self, checksums: Checksums) -> Result<()> {
        ensure!(self.count("")? > 0, "the capture is empty: nothing was checked");
        let verify = if checksums == Checksums::Verify {
            "TRUE"
        } else {
            "FALSE"
        };
        let preferences: Vec<String> = ["ip", "udp", "tcp"]
            .iter()
            .map(|layer| format!("{layer}.check_checksum:{verify}"))
            .collect();
        // Tunnels over IPv6 may leave the outer checksum out (RFC 6935); tshark knows only of the rule before that.
        let mut arguments = vec!["-o", "udp.ignore_ipv6_zero_checksum:TRUE"];
        for preference in &preferences {
            arguments.extend(["-o", preference.as_str()]);
        }
        arguments.extend(["-Y", "_ws.malformed || _ws.expert.severity == error", "-T", "fields"]);
        for field in [
            "frame.number",
            "_ws.col.Protocol",
            "_ws.expert.message",
            "_ws.malformed",
            "_ws.col.Info",
        ] {
            arguments.extend(["-e", field]);
        }
        let findings = self.tshark(&arguments)?;
        ensure!(
            findings.trim().is_empty(),
            "tshark complains of {} packets, the first:\n{}",
            findings.lines().count(),
            findings.lines().take(10).collect::<Vec<_>>().join("\n")
        );
        Ok(())
    }
}
