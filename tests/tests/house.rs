//! The house itself: what every other test stands on. Needs no daemon of ours.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    process::{Command, Stdio},
    thread,
};

use anyhow::{Result, ensure};
use vrouter_tests::{
    capture::{Capture, Checksums},
    container::Container,
    daemon::Daemon,
    netns::Netns,
    node::{Family, Node, UPLINK, WIRE_MTU, Wire},
    require, run,
    scapy::Scapy,
    topology::Topology,
    traffic::{self, Connection, Echo, Stream},
    vtep::KernelVtep,
    wait,
};

/// VXLAN over a 1500 byte wire, IPv6 underlay.
const INNER_MTU: u32 = 1430;

fn kernel_vxlan(underlay: Family) -> Result<()> {
    Topology::run("kernel VXLAN", |t| {
        let one = Node::new(t, "one", 1)?;
        let two = Node::new(t, "two", 2)?;
        let _wire = Wire::direct(&one, &two, WIRE_MTU)?;
        let here = KernelVtep::new(&one, 77, underlay, &[two.underlay(underlay)])?;
        let there = KernelVtep::new(&two, 77, underlay, &[one.underlay(underlay)])?;
        let a = here.container("a", &["10.7.0.1/24", "fd00:7::1/64"], INNER_MTU)?;
        let b = there.container("b", &["10.7.0.2/24", "fd00:7::2/64"], INNER_MTU)?;

        let capture = Capture::start(&one.netns, UPLINK, "udp port 4789")?;
        assert_eq!(traffic::matrix(&[&a, &b])?, 4);
        let pcap = capture.stop()?;

        let tunnelled = pcap.count("vxlan.vni == 77 && icmp")?;
        ensure!(
            tunnelled >= 12,
            "3 pings each way are 12 packets, {tunnelled} were seen"
        );
        ensure!(
            pcap.count("vxlan && icmpv6.type == 128")? >= 6,
            "IPv6 pings were not seen"
        );
        pcap.check(Checksums::Ignore)
    })
}

#[test]
fn kernel_vxlan_over_ipv4_carries_everything_and_is_captured() -> Result<()> {
    require!(Root, KernelVxlan, Tshark);
    kernel_vxlan(Family::V4)
}

#[test]
fn kernel_vxlan_over_ipv6_carries_everything_and_is_captured() -> Result<()> {
    require!(Root, KernelVxlan, Tshark);
    kernel_vxlan(Family::V6)
}

#[test]
fn three_nodes_meet_on_one_wire() -> Result<()> {
    require!(Root);
    Topology::run("three nodes", |t| {
        let nodes = [Node::new(t, "a", 1)?, Node::new(t, "b", 2)?, Node::new(t, "c", 3)?];
        let _wire = Wire::switched(t, &[&nodes[0], &nodes[1], &nodes[2]], WIRE_MTU)?;
        for from in &nodes {
            for to in &nodes {
                for family in Family::BOTH {
                    traffic::ping(&from.netns, to.underlay(family), 1)?;
                }
            }
        }
        Ok(())
    })
}

#[test]
fn nothing_is_left_after_a_panic() -> Result<()> {
    require!(Root);
    let mut prefix = String::new();
    let mut state = None;
    let mut process = None;
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        Topology::run("panic", |t| {
            prefix = t.prefix().to_owned();
            state = Some(t.state().to_owned());
            let node = Node::new(t, "node", 1)?;
            let _container = Container::new(&node, "c")?;
            let daemon = Daemon::start(&node.netns, "sleep", "sleep".into(), vec!["1000".into()], None)?;
            process = daemon.process();
            assert_eq!(Netns::existing(&prefix)?.len(), 2);
            panic!("on purpose");
        })
    }));
    ensure!(outcome.is_err(), "it did not panic");
    assert_eq!(Netns::existing(&prefix)?, Vec::<String>::new());
    ensure!(
        !state.is_some_and(|state| state.exists()),
        "the state directory is still there"
    );
    let process = process.map(|process| format!("/proc/{process}"));
    ensure!(
        !process.is_some_and(|process| Path::new(&process).exists()),
        "the daemon still runs"
    );
    Ok(())
}

/// What [`nothing_is_left_after_a_kill`] kills: only a test when that one runs it.
#[test]
#[ignore = "started by another test, which kills it"]
fn victim() -> Result<()> {
    let Ok(report) = std::env::var("VROUTER_TESTS_VICTIM") else {
        return Ok(());
    };
    Topology::run("victim", |t| {
        let node = Node::new(t, "node", 1)?;
        let daemon = Daemon::start(&node.netns, "sleep", "sleep".into(), vec!["1000".into()], None)?;
        let process = daemon.process().unwrap_or(0);
        fs::write(format!("{report}.new"), format!("{} {process}", t.prefix()))?;
        fs::rename(format!("{report}.new"), &report)?;
        thread::sleep(std::time::Duration::from_secs(100));
        Ok(())
    })
}

#[test]
fn nothing_is_left_after_a_kill() -> Result<()> {
    require!(Root);
    Topology::run("killed owner", |t| {
        let report = t.state().join("report");
        let mut owner = Command::new(std::env::current_exe()?)
            .args(["--ignored", "--exact", "victim"])
            .env("VROUTER_TESTS_VICTIM", &report)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let told = wait::until("the victim to be ready", || Ok(fs::read_to_string(&report)?));
        owner.kill()?;
        owner.wait()?;
        let told = told?;
        let (prefix, process) = told.split_once(' ').unwrap_or_default();
        ensure!(prefix.starts_with("vrt-"), "a strange report: {told}");
        wait::until_true("the reaper to clean up", || {
            Netns::existing(prefix).is_ok_and(|left| left.is_empty()) && !Path::new("/proc").join(process).exists()
        })
    })
}

#[test]
fn worlds_in_parallel_do_not_meet() -> Result<()> {
    require!(Root);
    let world = |own: &'static str| {
        Topology::run("parallel", move |t| {
            let one = Node::new(t, "node", 1)?;
            let two = Node::new(t, "peer", 2)?;
            let _wire = Wire::direct(&one, &two, WIRE_MTU)?;
            // The same address, names and links in every world, and a second address that is only in this one.
            two.netns.address(UPLINK, own)?;
            for _ in 0..5 {
                traffic::ping(&one.netns, two.underlay(Family::V4), 1)?;
                traffic::ping(&one.netns, own.split('/').next().unwrap_or_default().parse()?, 1)?;
            }
            for other in ["192.0.2.101/24", "192.0.2.102/24"] {
                let address = other.split('/').next().unwrap_or_default().parse()?;
                let answered = traffic::pings(&one.netns, address, 1, &[])?.received == 1;
                ensure!(
                    answered == (other == own),
                    "{other} answered in the world of {own}: {answered}"
                );
            }
            Ok(())
        })
    };
    thread::scope(|scope| {
        let first = scope.spawn(|| world("192.0.2.101/24"));
        let second = scope.spawn(|| world("192.0.2.102/24"));
        first.join().unwrap().and(second.join().unwrap())
    })
}

#[test]
fn streams_count_what_is_lost_and_connections_what_is_wrong() -> Result<()> {
    require!(Root);
    Topology::run("stream", |t| {
        let left = t.netns("left")?;
        let right = t.netns("right")?;
        left.veth("eth0", &right, "eth0", 1500)?;
        left.address("eth0", "10.0.0.1/24")?;
        right.address("eth0", "10.0.0.2/24")?;
        let to = "10.0.0.2".parse()?;
        traffic::ping(&left, to, 1)?;

        let stream = Stream::start(&left, &right, to, 2000, 200)?;
        thread::sleep(std::time::Duration::from_millis(500));
        let whole = stream.stop()?;
        ensure!(
            whole.sent > 100 && whole.lost() == 0 && whole.duplicates == 0,
            "{whole:?}"
        );

        // A filter that eats one datagram in ten, so that the counting is seen to count.
        right.sh(
            "nft 'add table inet t; add chain inet t in { type filter hook input priority 0; }; \
                  add rule inet t in udp dport 9999 numgen inc mod 10 == 0 drop'",
        )?;
        let stream = Stream::start(&left, &right, to, 2000, 200)?;
        thread::sleep(std::time::Duration::from_millis(500));
        let holed = stream.stop()?;
        ensure!(
            holed.lost() >= holed.sent / 10 - 1 && holed.lost() <= holed.sent / 10 + 2,
            "{holed:?}"
        );

        let _echo = Echo::start(&right)?;
        let mut connection = Connection::open(&left, to)?;
        for length in [1, 1000, 300_000] {
            connection.exchange(length)?;
        }
        Ok(())
    })
}

#[test]
fn tshark_finds_what_is_malformed() -> Result<()> {
    require!(Root, Tshark, Scapy);
    Topology::run("malformed", |t| {
        let left = t.netns("left")?;
        let right = t.netns("right")?;
        left.veth("eth0", &right, "eth0", 1500)?;
        let capture = Capture::start(&right, "eth0", "udp port 4789 or udp port 6635")?;
        let mut scapy = Scapy::start(&left)?;
        scapy.run(
            "inner = bytes(IP(src='10.0.0.1', dst='10.0.0.2') / ICMP() / (b'x' * 20))\n\
             outer = Ether(dst='ff:ff:ff:ff:ff:ff') / IP(src='192.0.2.1', dst='192.0.2.2') / UDP(sport=50000, dport=6635)\n\
             send_on('eth0', outer / MPLS(label=100, s=1, ttl=64) / inner)",
        )?;
        let pcap = capture.stop()?;
        pcap.check(Checksums::Verify)?;
        assert_eq!(pcap.field("mpls", "mpls.label")?, ["100"]);

        // And one whose inner IPv4 header is cut short.
        let capture = Capture::start(&right, "eth0", "udp port 4789 or udp port 6635")?;
        scapy.run("send_on('eth0', outer / MPLS(label=100, s=1, ttl=64) / inner[:10])")?;
        ensure!(
            scapy.run("send_on('eth0', nonsense)").is_err(),
            "an unknown name is no error"
        );
        let pcap = capture.stop()?;
        ensure!(
            pcap.check(Checksums::Verify).is_err(),
            "tshark finds nothing wrong in a cut packet"
        );
        Ok(())
    })
}

#[test]
fn iperf_reports_a_rate() -> Result<()> {
    require!(Root, Iperf);
    Topology::run("iperf", |t| {
        let left = t.netns("left")?;
        let right = t.netns("right")?;
        left.veth("eth0", &right, "eth0", 1500)?;
        left.address("eth0", "fd00::1/64")?;
        right.address("eth0", "fd00::2/64")?;
        let tcp = traffic::iperf(&left, &right, "fd00::2".parse()?, 1, &[])?;
        ensure!(tcp.bits_per_second > 1e6, "{tcp:?}");
        let udp = traffic::iperf(&left, &right, "fd00::2".parse()?, 1, &["-u", "-b", "5M"])?;
        ensure!(udp.bits_per_second > 1e6, "{udp:?}");
        Ok(())
    })
}

#[test]
fn failing_commands_say_what_failed() -> Result<()> {
    let error = run::stdout(Command::new("sh").args(["-c", "echo out; echo err >&2; exit 3"]))
        .unwrap_err()
        .to_string();
    ensure!(
        error.contains("out") && error.contains("err") && error.contains('3'),
        "{error}"
    );
    Ok(())
}
