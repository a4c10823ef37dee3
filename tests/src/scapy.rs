//! Scapy at hand: one Python process in a namespace that runs one piece of code after another. Starting scapy takes a second,
//! so tests with many packets start it once.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Stdio},
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::netns::Netns;

/// Reads pieces of code as JSON strings, one a line; answers each with one line: what it printed, or its traceback.
const DRIVER: &str = r"
import contextlib, io, json, sys, traceback
from scapy.all import *
from scapy.contrib.mpls import MPLS
conf.verb = 0

_sockets = {}
def send_on(link, packets):
    'Sends a packet, or a list of packets, as they are.'
    if link not in _sockets:
        _sockets[link] = conf.L2socket(iface=link)
    for packet in packets if isinstance(packets, list) else [packets]:
        _sockets[link].send(packet)

while True:
    _line = sys.stdin.readline()
    if not _line:
        break
    _out = io.StringIO()
    try:
        with contextlib.redirect_stdout(_out):
            exec(json.loads(_line), globals())
        _answer = {'out': _out.getvalue()}
    except BaseException:
        _answer = {'error': traceback.format_exc(), 'out': _out.getvalue()}
    print(json.dumps(_answer), flush=True)
";

/// A running Python with scapy.
#[derive(Debug)]
pub struct Scapy {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Scapy {
    /// Starts it in a namespace. Everything of `scapy.all` is there, and `send_on(LINK, PACKETS)`, which sends frames.
    ///
    /// # Errors
    /// When Python does not start.
    pub fn start(netns: &Netns) -> Result<Self> {
        let log = std::fs::File::create(netns.topology().log("scapy"))?;
        // Debian's own interpreter: the one that python3-scapy is installed for.
        let mut child = netns
            .command("/usr/bin/python3")
            .args(["-c", DRIVER])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .context("cannot start python3")?;
        let input = child.stdin.take().context("no stdin")?;
        let output = BufReader::new(child.stdout.take().context("no stdout")?);
        Ok(Self { child, input, output })
    }

    /// Runs code to its end and returns what it printed. Names live on for the next piece of code.
    ///
    /// # Errors
    /// When it raises; the error holds its traceback.
    pub fn run(&mut self, code: &str) -> Result<String> {
        writeln!(self.input, "{}", Value::from(code))?;
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        let answer: Value = serde_json::from_str(&line).context("python3 ended")?;
        if let Some(error) = answer["error"].as_str() {
            bail!("scapy: {error}\nin:\n{code}");
        }
        Ok(answer["out"].as_str().unwrap_or_default().to_owned())
    }
}

impl Drop for Scapy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
