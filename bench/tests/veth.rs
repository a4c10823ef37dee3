//! pktgen as it is built, between network namespaces that the tests make and remove.
//!
//! Needs root; without, tests are skipped and say so, or fail where `VROUTER_TESTS_REQUIRE=1` forbids to skip.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)] // Helpers of tests are tests too.

use std::{
    io::{BufRead, BufReader, Read},
    process::{self, Child, Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use serde_json::Value;

const PACKETS: u64 = 10_000;

fn ip(arguments: &str) -> Result<String, String> {
    let output = Command::new("ip").args(arguments.split_whitespace()).output();
    let output = output.map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("ip {arguments}: {}", String::from_utf8_lossy(&output.stderr)))
    }
}

/// Two namespaces with a veth between them: `v0` in `left`, `v1` in `right`. Removed on drop.
struct Veth {
    left: String,
    right: String,
    /// Address of `v1`.
    mac: String,
}

impl Veth {
    /// None, and said so, where it is not permitted.
    fn new(options: &str) -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = |side| format!("pktgen{}-{number}{side}", process::id());
        let veth = Self {
            left: name("l"),
            right: name("r"),
            mac: format!("02:00:00:00:01:{number:02x}"),
        };
        let Self { left, right, mac } = &veth;
        if let Err(reason) = ip(&format!("netns add {left}")).and_then(|_| ip(&format!("netns add {right}"))) {
            assert!(
                std::env::var("VROUTER_TESTS_REQUIRE").as_deref() != Ok("1"),
                "cannot run: {reason}"
            );
            let test = thread::current().name().unwrap_or("test").to_owned();
            eprintln!("SKIPPED: {test} needs root and network namespaces: {reason}");
            return None;
        }
        ip(&format!(
            "-n {left} link add v0 {options} type veth peer name v1 address {mac} {options} netns {right}"
        ))
        .unwrap();
        ip(&format!("-n {left} link set v0 up")).unwrap();
        ip(&format!("-n {right} link set v1 up")).unwrap();
        Some(veth)
    }

    /// Starts a receiver at the right end and waits until it receives.
    fn receive(&self, arguments: &str) -> Receiver {
        let mut child = pktgen(&format!("receive --interface v1 --netns {} {arguments}", self.right))
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        stderr.read_line(&mut line).unwrap();
        assert!(line.contains("receiving on v1"), "{line}");
        // Nobody else reads it, and it must not fill up.
        thread::spawn(move || {
            let _ = stderr.read_to_end(&mut Vec::new());
        });
        Receiver {
            child: Some(child),
            ready: line,
        }
    }

    /// Sends from the left end to the right one.
    fn send(&self, arguments: &str) -> Value {
        let to = format!("--interface v0 --netns {} --to-mac {}", self.left, self.mac);
        let output = pktgen(&format!("send {to} {arguments}")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

impl Drop for Veth {
    fn drop(&mut self) {
        let _ = ip(&format!("netns delete {}", self.left));
        let _ = ip(&format!("netns delete {}", self.right));
    }
}

fn pktgen(arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pktgen"));
    command
        .args(arguments.split_whitespace())
        .args(["--output", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

struct Receiver {
    child: Option<Child>,
    /// What it said when it was ready.
    ready: String,
}

impl Receiver {
    fn pid(&self) -> String {
        self.child.as_ref().unwrap().id().to_string()
    }

    /// The report and the exit status.
    fn report(mut self) -> (Value, i32) {
        let output: Output = self.child.take().unwrap().wait_with_output().unwrap();
        (
            serde_json::from_slice(&output.stdout).unwrap(),
            output.status.code().unwrap(),
        )
    }
}

/// A test that fails leaves no process behind.
impl Drop for Receiver {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Checks that all packets came, once each, in order and whole.
fn all_is_well(report: &Value, packets: u64) {
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

#[test]
fn nothing_is_lost_on_a_veth_in_either_mode_and_family() {
    for (mode, addresses) in [
        ("native", "--src 10.0.0.1 --dst 10.0.0.2"),
        ("native", "--src 2001:db8::1 --dst 2001:db8::2"),
        ("generic", "--src 10.0.0.1 --dst 10.0.0.2"),
        ("generic", "--src 2001:db8::1 --dst 2001:db8::2"),
    ] {
        let Some(veth) = Veth::new("") else { return };
        let receiver = veth.receive(&format!("--mode {mode} --seconds 60 --expect {PACKETS}"));
        assert!(receiver.ready.contains(mode), "{}", receiver.ready);
        let sent = veth.send(&format!("{addresses} --rate 10k --count {PACKETS} --flows 1000"));
        assert_eq!(sent["packets"], PACKETS);
        let (report, status) = receiver.report();
        all_is_well(&report, PACKETS);
        assert_eq!((status, &report["carried"]["plain"]), (0, &PACKETS.into()));
        assert_eq!(report["bytes"], sent["bytes"]);
    }
}

#[test]
fn tunnels_are_carried_and_seen_through() {
    let Some(veth) = Veth::new("") else { return };
    let receiver = veth.receive("--seconds 60 --expect 4000");
    for (tunnel, ends) in [
        ("vxlan,vni=5000", "src=192.0.2.1,dst=192.0.2.2"),
        ("vxlan,vni=5000", "src=2001:db8:1::1,dst=2001:db8:1::2"),
        ("mpls,label=100", "src=192.0.2.1,dst=192.0.2.2"),
        ("mpls,label=100", "src=2001:db8:1::1,dst=2001:db8:1::2"),
    ] {
        let encap = format!("--encap {tunnel},{ends},to-mac={}", veth.mac);
        veth.send(&format!(
            "--src 10.0.0.1 --dst 10.0.0.2 --size 200 --rate 10k --count 1000 {encap}"
        ));
    }
    let (report, status) = receiver.report();
    all_is_well(&report, 4000);
    assert_eq!((status, &report["streams"]), (0, &4.into()));
    assert_eq!(
        report["carried"],
        serde_json::json!({"plain": 0, "vxlan": 2000, "mpls": 2000})
    );
}

#[test]
fn all_queues_are_received_from_and_missing_packets_are_a_failure() {
    let Some(veth) = Veth::new("numrxqueues 2 numtxqueues 2") else {
        return;
    };
    let to_queue_1 = "--src 10.0.0.1 --dst 10.0.0.2 --rate 10k --count 100 --queue 1";
    let receiver = veth.receive("--seconds 60 --expect 100");
    assert!(receiver.ready.contains("queues: 2"), "{}", receiver.ready);
    veth.send(to_queue_1);
    let (report, status) = receiver.report();
    all_is_well(&report, 100);
    assert_eq!(status, 0);

    let receiver = veth.receive("--seconds 1.5 --expect 100 --receive-queue 0");
    veth.send(to_queue_1);
    let (report, status) = receiver.report();
    assert_eq!(
        (status, &report["lost"], &report["expected"]),
        (3, &100.into(), &100.into())
    );
}

#[test]
fn one_process_can_do_both_ends() {
    let Some(veth) = Veth::new("mtu 3000") else { return };
    let Veth { left, right, mac } = &veth;
    let output = pktgen(&format!(
        "run --tx v0 --tx-netns {left} --rx v1 --rx-netns {right} --to-mac {mac} --src 2001:db8::1 --dst 2001:db8::2 \
         --size 3014 --rate 5k --count 500"
    ))
    .output()
    .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    all_is_well(&report["received"], 500);
    assert_eq!(report["sent"]["bytes"], 500 * 3014);
}

#[test]
fn a_receiver_told_to_stop_reports_and_leaves_nothing_behind() {
    let Some(veth) = Veth::new("") else { return };
    let receiver = veth.receive("--seconds 600");
    let show = format!("-n {} -details link show v1", veth.right);
    assert!(
        ip(&show).unwrap().contains("prog/xdp"),
        "the program is there while it receives"
    );
    veth.send("--src 10.0.0.1 --dst 10.0.0.2 --rate 10k --count 10");
    let pid = receiver.pid();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let (report, status) = receiver.report();
    assert_eq!((status, &report["packets"]), (0, &10.into()));
    assert!(!ip(&show).unwrap().contains("prog/xdp"), "{}", ip(&show).unwrap());
}

#[test]
fn runs_may_follow_each_other_closely() {
    let Some(veth) = Veth::new("") else { return };
    for _ in 0..10 {
        let receiver = veth.receive("--seconds 60 --expect 10");
        assert!(
            receiver.ready.contains("native mode"),
            "no quiet fallback: {}",
            receiver.ready
        );
        veth.send("--src 10.0.0.1 --dst 10.0.0.2 --rate 10k --count 10");
        let (report, _) = receiver.report();
        all_is_well(&report, 10);
    }
}

#[test]
fn mistakes_are_told_in_words() {
    let complaint = |arguments: &str, status| {
        let output = pktgen(arguments).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(status), "{text}");
        text
    };
    let addresses = "--src 10.0.0.1 --dst 10.0.0.2 --count 1";
    let none = complaint(
        &format!("send --interface nowhere0 {addresses} --to-mac 02:00:00:00:00:01"),
        1,
    );
    assert!(
        none.contains("no interface nowhere0 in this network namespace"),
        "{none}"
    );
    let mac = complaint(&format!("send --interface v0 {addresses} --to-mac 02:00:00:00:00"), 2);
    assert!(mac.contains("not an Ethernet address"), "{mac}");
    let netns = complaint("receive --interface v1 --netns nowhere", 1);
    assert!(netns.contains("no network namespace nowhere"), "{netns}");

    let Some(veth) = Veth::new("") else { return };
    let base = format!("--interface v0 --netns {} {addresses}", veth.left);
    let to = format!("{base} --to-mac {}", veth.mac);
    assert!(complaint(&format!("send {base}"), 1).contains("--to-mac is missing"));
    assert!(
        complaint(&format!("send {to} --size 1515"), 1).contains("its MTU is 1500, so frames have at most 1514 bytes")
    );
    assert!(complaint(&format!("send {to} --size 59"), 1).contains("too small"));
    assert!(complaint(&format!("send {to} --queue 7"), 1).contains("v0 has no queue 7"));
    assert!(complaint(&format!("send {to} --src 2001:db8::1"), 2).contains("cannot be used multiple times"));
    let mixed = to.replace("10.0.0.1", "2001:db8::1");
    assert!(complaint(&format!("send {mixed}"), 1).contains("both be IPv4 or both IPv6"));
    let taken = veth.receive("--seconds 600");
    let second = complaint(&format!("receive --interface v1 --netns {}", veth.right), 1);
    assert!(second.contains("queue 0 of v1 is in use"), "{second}");
    let pid = taken.pid();
    Command::new("kill").arg(&pid).status().unwrap();
    taken.report();
    ip(&format!("-n {} link set v0 down", veth.left)).unwrap();
    assert!(complaint(&format!("send {to}"), 1).contains("interface v0 is down"));
}
