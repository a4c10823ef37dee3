//! pktgen as it is built, between network namespaces that the tests make and remove.
#![cfg(target_os = "linux")]

mod lab;

use std::process::Command;

use serde_json::Value;

use lab::{Veth, all_is_well, ip, pktgen};

const PACKETS: u64 = 10_000;

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
    let Veth { left, right, mac, .. } = &veth;
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
