//! Captures of running daemons, read by others: dropped packets with their reasons, both sides of a tunnel, filters as libpcap has them, captures that
//! end with their clients, two at a time. Both families.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use vrouter_proto::control::Encapsulation;
use vrouter_tests::{
    cluster::{Cluster, Options},
    container::Container,
    daemon,
    node::Family,
    require, run,
    topology::Topology,
    traffic::{self, Connection, Echo},
    wait,
};

const SETTLING: Duration = Duration::from_secs(20);
const REFUSED: Duration = Duration::from_millis(500);

/// A `vrctl capture` that writes to a file.
struct Running {
    child: Child,
    path: PathBuf,
}

impl Running {
    /// Starts it, and waits until it captures.
    fn start(cluster: &Cluster, name: &str, arguments: &[&str]) -> Result<Self> {
        let path = cluster.topology().state().join(format!("{name}.pcapng"));
        let log = path.with_extension("log");
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", cluster.control_netns.name()])
            .arg(daemon::binary("vrctl")?)
            .arg("capture")
            .args(arguments)
            .arg("-w")
            .arg(&path)
            .env("VROUTER_CONTROL", format!("unix:{}", cluster.control_socket.display()))
            .env(
                "VROUTER_DATAPLANE",
                format!("unix:{}", cluster.compute(0)?.socket.display()),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log)?);
        let child = command.spawn().context("cannot start vrctl")?;
        let running = Self { child, path };
        wait::until("vrctl to capture", || {
            let said = fs::read_to_string(&log)?;
            ensure!(said.contains("capturing"), "{said}");
            Ok(())
        })?;
        Ok(running)
    }

    /// Ends it as Ctrl-C does.
    fn stop(mut self) -> Result<PathBuf> {
        // What has just passed still has to reach the file.
        std::thread::sleep(Duration::from_millis(300));
        run::output(Command::new("kill").args(["-INT", &self.child.id().to_string()]))?;
        self.end()
    }

    /// Waits for its end.
    fn end(&mut self) -> Result<PathBuf> {
        let mut status = None;
        wait::until("vrctl to end", || {
            status = self.child.try_wait()?;
            ensure!(status.is_some(), "it goes on");
            Ok(())
        })?;
        ensure!(status.is_some_and(|status| status.success()), "vrctl: {status:?}");
        Ok(self.path.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What tshark reads in a capture, a line for each packet that the display filter wants.
fn tshark(path: &Path, filter: &str, fields: &[&str]) -> Result<Vec<String>> {
    let mut command = Command::new("tshark");
    command
        .args(["-r"])
        .arg(path)
        .args(["-n", "-Y", filter, "-T", "fields"]);
    for field in fields {
        command.args(["-e", field]);
    }
    let output = run::output(&mut command)?;
    ensure!(
        output.status.success(),
        "tshark: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect())
}

fn pair(topology: &Topology, nodes: u8) -> Result<(Cluster, Container, Container)> {
    let options = Options {
        nodes,
        ..Options::default()
    };
    let cluster = Cluster::start(topology, &options)?;
    cluster.routed_network("blue", 1, Encapsulation::Vxlan)?;
    let web = cluster.attach(0, "blue", "web-1")?;
    let db = cluster.attach(usize::from(nodes) - 1, "blue", "db")?;
    cluster.settle()?;
    traffic::reachable(&[&web, &db], SETTLING)?;
    Ok((cluster, web, db))
}

#[test]
fn packets_dropped_by_policy_are_captured_with_reason_and_rule() -> Result<()> {
    require!(Root, Tshark, Daemons);
    Topology::run("capture drops", |t| {
        let (cluster, web, db) = pair(t, 1)?;
        cluster.vrctl(None, &["endpoint", "update", "blue/db", "--label", "app=db"])?;
        cluster.vrctl(None, &["group", "create", "db", "--label", "app=db"])?;
        cluster.vrctl(
            None,
            &[
                "policy",
                "create",
                "db",
                "--applies-to",
                "db",
                "--isolate-ingress",
                "--rule",
                "sql: ingress deny tcp/7 from any",
                "--rule",
                "ping: ingress allow icmp/8,icmpv6/128 from any",
            ],
        )?;
        cluster.settle()?;
        let _server = Echo::start(&db.netns)?;
        let capture = Running::start(
            &cluster,
            "drops",
            &[
                "--node",
                "node1",
                "--port",
                "web-1",
                "--filter",
                "tcp port 7 or icmp or icmp6",
                "--drops",
            ],
        )?;
        for family in Family::BOTH {
            let to = (db.ip(family)?, Echo::PORT).into();
            ensure!(Connection::open_to(&web.netns, to, REFUSED).is_err(), "it is denied");
            traffic::ping(&web.netns, db.ip(family)?, 2)?;
        }
        let path = capture.stop()?;
        for family in ["ip", "ipv6"] {
            let comments = tshark(
                &path,
                &format!("tcp && {family} && frame.comment contains \"dropped\""),
                &["frame.comment"],
            )?;
            ensure!(!comments.is_empty(), "no dropped packet of {family}");
            for comment in comments {
                ensure!(
                    comment.starts_with("dropped: policy_denied_ingress (rule db/sql) vrf blue"),
                    "{comment}"
                );
            }
            let seen = tshark(
                &path,
                &format!("tcp && {family} && !(frame.comment contains \"dropped\")"),
                &["frame.number"],
            )?;
            ensure!(!seen.is_empty(), "the packet is seen coming in as well");
        }
        // Pings are not dropped, and are seen in both ways.
        let pings = tshark(
            &path,
            "icmp || icmpv6.type == 128 || icmpv6.type == 129",
            &["frame.packet_flags_direction", "frame.comment"],
        )?;
        let ways = |way: &str| {
            pings
                .iter()
                .filter(|line| line.split('\t').next().is_some_and(|d| d.ends_with(way)))
                .count()
        };
        ensure!(ways("1") >= 4 && ways("2") >= 4, "{pings:?}");
        let dropped = pings.iter().filter(|line| line.contains("dropped")).count();
        ensure!(dropped == 0, "{pings:?}");
        let names = tshark(&path, "frame", &["frame.interface_name", "frame.interface_description"])?;
        ensure!(
            names
                .iter()
                .all(|line| line.contains("blue/web-1") && line.contains("endpoint")),
            "{names:?}"
        );
        Ok(())
    })
}

#[test]
fn both_sides_of_a_tunnel_are_captured_at_once() -> Result<()> {
    require!(Root, Tshark, Daemons);
    Topology::run("capture tunnel", |t| {
        let (cluster, web, db) = pair(t, 2)?;
        let uplink = vrouter_tests::node::UPLINK;
        let outside = Running::start(
            &cluster,
            "outside",
            &["--node", "node1", "--port", uplink, "--filter", "vni"],
        )?;
        // Without a node: the dataplane itself, by the name of the port.
        let inside = Running::start(
            &cluster,
            "inside",
            &["--port", "web-1", "--filter", "icmp or icmp6", "-s", "96"],
        )?;
        for family in Family::BOTH {
            traffic::ping(&web.netns, db.ip(family)?, 3)?;
        }
        let (outside, inside) = (outside.stop()?, inside.stop()?);
        for (family, request, reply) in [
            (Family::V4, "icmp.type == 8", "icmp.type == 0"),
            (Family::V6, "icmpv6.type == 128", "icmpv6.type == 129"),
        ] {
            for kind in [request, reply] {
                let wrapped = tshark(&outside, &format!("vxlan && {kind}"), &["vxlan.vni"])?;
                ensure!(wrapped.len() >= 3, "{family:?} {kind}: {wrapped:?}");
                ensure!(tshark(&inside, &format!("vxlan && {kind}"), &["frame.number"])?.is_empty());
                ensure!(
                    tshark(&inside, kind, &["frame.number"])?.len() >= 3,
                    "{family:?} {kind}"
                );
            }
        }
        // What is within is found by its addresses only behind `vni`.
        let inner = Running::start(
            &cluster,
            "inner",
            &[
                "--node",
                "node1",
                "--port",
                uplink,
                "-c",
                "2",
                "--filter",
                &format!("vni and host {}", db.ip(Family::V4)?),
            ],
        )?;
        let mut inner = inner;
        for family in Family::BOTH {
            traffic::ping(&web.netns, db.ip(family)?, 3)?;
        }
        let path = inner.end()?;
        let read = tshark(&path, "vxlan && icmp", &["frame.number"])?;
        ensure!(read.len() == 2, "it ends by its count: {read:?}");
        Ok(())
    })
}

#[test]
fn large_packets_are_whole_and_have_right_checksums_in_the_copy() -> Result<()> {
    require!(Root, Tshark, Daemons);
    Topology::run("capture large", |t| {
        let (cluster, web, db) = pair(t, 1)?;
        let _server = Echo::start(&db.netns)?;
        let capture = Running::start(
            &cluster,
            "large",
            &["--node", "node1", "--port", "web-1", "--filter", "tcp"],
        )?;
        for family in Family::BOTH {
            let to = (db.ip(family)?, Echo::PORT).into();
            Connection::open_to(&web.netns, to, SETTLING)?.exchange(200_000)?;
        }
        let path = capture.stop()?;
        let checked = ["-o", "tcp.check_checksum:TRUE"];
        let output = run::output(Command::new("tshark").arg("-r").arg(&path).args(checked).args([
            "-n",
            "-Y",
            "tcp.checksum.status == \"Bad\"",
            "-T",
            "fields",
            "-e",
            "frame.number",
        ]))?;
        let wrong = String::from_utf8(output.stdout)?;
        ensure!(wrong.is_empty(), "packets {wrong} have wrong checksums");
        let open = tshark(
            &path,
            "frame.comment contains \"its checksum was open\"",
            &["frame.number"],
        )?;
        ensure!(!open.is_empty(), "a container leaves checksums to its device");
        Ok(())
    })
}

#[test]
fn a_capture_ends_with_its_client_and_only_so_many_go_on_at_a_time() -> Result<()> {
    require!(Root, Daemons);
    Topology::run("capture ends", |t| {
        let (cluster, web, db) = pair(t, 1)?;
        let mut all = Vec::new();
        for number in 0..8 {
            all.push(Running::start(
                &cluster,
                &format!("many{number}"),
                &["--filter", "icmp"],
            )?);
        }
        let refused = Running::start(&cluster, "ninth", &["-c", "1"]);
        ensure!(refused.is_err(), "eight at a time are the most");
        // Killed: nobody says goodbye.
        drop(all);
        wait::until("the places to be free", || {
            let mut one = Running::start(&cluster, "again", &["--duration", "100ms"])?;
            one.end().map(|_| ())
        })?;
        // Packets go on as before.
        for family in Family::BOTH {
            traffic::ping(&web.netns, db.ip(family)?, 2)?;
        }
        let said = cluster
            .vrctl(None, &["capture", "--node", "node1", "--filter", "tcp prt 5"])
            .map(|_| String::new())
            .unwrap_or_else(|error| format!("{error:#}"));
        ensure!(said.contains("column 5"), "{said}");
        Ok(())
    })
}

/// Expressions of every kind, with which libpcap is asked about the same packets.
const EXPRESSIONS: [&str; 33] = [
    "ip",
    "ip6",
    "arp",
    "tcp",
    "udp",
    "icmp",
    "icmp6",
    "sctp",
    "proto 17",
    "ip proto 6",
    "ip6 proto 58",
    "host 10.1.0.2",
    "src host 10.1.0.1",
    "dst host fd00:1::2",
    "net 10.1.0.0/24",
    "src net 10",
    "net fd00:1::/64",
    "port 53",
    "tcp port 80",
    "udp port 53 or 80",
    "tcp dst portrange 70-90",
    "src port 1000 and dst port 80",
    "src or dst port 80",
    "src and dst net 10.1.0.0/24",
    "not ip",
    "tcp or udp and port 53",
    "tcp or (udp and port 53)",
    "ip host 10.1.0.1 or arp host 10.1.0.1",
    "ether src 02:00:00:00:00:01",
    "vlan",
    "vlan 5 and host 10.1.0.2",
    "vlan and tcp port 80",
    "greater 100",
];

/// Makes a file of packets of every kind.
const PACKETS: &str = r#"
import itertools, sys
from scapy.all import *
out = []
for s, d in (("10.1.0.1", "10.1.0.2"), ("10.1.0.2", "10.9.0.1"), ("10.1.0.1", "10.1.0.1")):
    for tag in (None, 5, 6):
        for what in (TCP(sport=1000, dport=80), TCP(sport=80, dport=1000), UDP(sport=53, dport=53), UDP(sport=9, dport=80), ICMP(), SCTP(sport=80, dport=9)):
            for flags, frag in ((0, 0), (1, 0), (0, 9)):
                e = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
                if tag: e = e / Dot1Q(vlan=tag)
                out.append(e / IP(src=s, dst=d, flags=flags, frag=frag) / what / Raw(b"x" * (60 if tag == 6 else 20)))
for s, d in (("fd00:1::1", "fd00:1::2"), ("fd00:2::1", "fd00:1::1")):
    for tag in (None, 5):
        for what in (TCP(sport=1000, dport=80), UDP(sport=53, dport=9), ICMPv6EchoRequest()):
            for ext in (None, IPv6ExtHdrFragment(offset=0, m=1), IPv6ExtHdrDestOpt()):
                e = Ether(src="02:00:00:00:00:02", dst="02:00:00:00:00:01")
                if tag: e = e / Dot1Q(vlan=tag)
                p = e / IPv6(src=s, dst=d)
                if ext is not None: p = p / ext
                out.append(p / what / Raw(b"x" * 40))
out.append(Ether(src="02:00:00:00:00:01", dst="ff:ff:ff:ff:ff:ff") / ARP(psrc="10.1.0.1", pdst="10.1.0.2") / Padding(b"\0" * 18))
wrpcap(sys.argv[1], out)
"#;

#[test]
fn filters_mean_what_they_mean_to_libpcap() -> Result<()> {
    require!(Root, Tshark, Scapy);
    Topology::run("capture filters", |t| {
        let path = t.state().join("packets.pcap");
        let made = run::output(Command::new("/usr/bin/python3").args(["-c", PACKETS]).arg(&path))?;
        ensure!(
            made.status.success(),
            "scapy: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        let frames = frames(&fs::read(&path)?)?;
        ensure!(frames.len() > 150, "{} packets", frames.len());
        let mut counts = BTreeMap::new();
        for expression in EXPRESSIONS {
            let output = run::output(
                Command::new("tcpdump")
                    .args(["-Z", "root", "-n", "-r"])
                    .arg(&path)
                    .args(["-w", "-"])
                    .arg(expression),
            )?;
            ensure!(
                output.status.success(),
                "tcpdump {expression}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            let theirs = self::frames(&output.stdout)?;
            let filter = vrouter_dataplane::tap::filter::Filter::new(expression)?;
            let ours: Vec<_> = frames.iter().filter(|frame| filter.matches(frame)).cloned().collect();
            ensure!(
                ours == theirs,
                "{expression}: {} here, {} for tcpdump",
                ours.len(),
                theirs.len()
            );
            counts.insert(expression, ours.len());
        }
        let telling = counts
            .values()
            .filter(|count| **count > 0 && **count < frames.len())
            .count();
        ensure!(
            telling >= 31,
            "most expressions want some packets and not others: {counts:?}"
        );
        Ok(())
    })
}

/// The packets of a pcap file of this machine.
fn frames(bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
    let mut rest = bytes.get(24..).context("no pcap file")?;
    let mut frames = Vec::new();
    while let Some((header, behind)) = rest.split_first_chunk::<16>() {
        let len = u32::from_le_bytes([header[8], header[9], header[10], header[11]]) as usize;
        let (frame, behind) = behind.split_at_checked(len).context("cut short")?;
        frames.push(frame.to_vec());
        rest = behind;
    }
    Ok(frames)
}
