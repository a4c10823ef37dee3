//! The reflector between network namespaces: a, the reflector's own, and b.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)] // Helpers of tests are tests too.

mod lab;

use serde_json::Value;

use lab::{Namespaces, Running, all_is_well, ip, pktgen};

const A: &str = "02:00:00:00:00:0a";
const B: &str = "02:00:00:00:00:0b";
const V4: &str = "--src 10.0.0.1 --dst 10.0.0.2";
const V6: &str = "--src 2001:db8::1 --dst 2001:db8::2";

/// a0 -- m0 and m1 -- b0.
fn line(options: &str) -> Option<Namespaces> {
    let namespaces = Namespaces::new(3)?;
    namespaces.join([(0, "a0", A), (1, "m0", "02:00:00:00:00:01")], options);
    namespaces.join([(1, "m1", "02:00:00:00:00:02"), (2, "b0", B)], options);
    Some(namespaces)
}

fn run(arguments: &str) -> Value {
    let output = pktgen(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn program_on(namespace: &str, interface: &str) -> bool {
    ip(&format!("-n {namespace} -details link show {interface}"))
        .unwrap()
        .contains("prog/xdp")
}

#[test]
fn frames_go_both_ways_in_either_mode_and_family_and_nothing_stays_behind() {
    for mode in ["native", "generic"] {
        let Some(line) = line("") else { return };
        let [a, m, b] = [&line.0[0], &line.0[1], &line.0[2]];
        let reflector = Running::start(
            &format!("reflect --from m0 --from-netns {m} --to m1 --to-netns {m} --both --mode {mode}"),
            "reflecting m0 <-> m1",
        );
        assert!(reflector.ready.contains(mode), "{}", reflector.ready);
        assert!(program_on(m, "m0") && program_on(m, "m1"));
        for addresses in [V4, V6] {
            let there = run(&format!(
                "run --tx a0 --tx-netns {a} --rx b0 --rx-netns {b} --to-mac {B} {addresses} --rate 5k --count 1000"
            ));
            all_is_well(&there["received"], 1000);
            let back = run(&format!(
                "run --tx b0 --tx-netns {b} --rx a0 --rx-netns {a} --to-mac {A} {addresses} --rate 5k --count 500"
            ));
            all_is_well(&back["received"], 500);
        }
        reflector.signal("-INT");
        let (report, status) = reflector.report();
        assert_eq!((status, &report["mode"]), (0, &mode.into()), "{report:#}");
        assert_eq!(report["ways"][0]["packets"], 2000, "{report:#}");
        assert_eq!(report["ways"][1]["packets"], 1000, "{report:#}");
        assert!(!program_on(m, "m0") && !program_on(m, "m1"));
    }
}

#[test]
fn more_packets_than_frames_go_through_one_way_only() {
    let Some(line) = line("numrxqueues 2 numtxqueues 2") else {
        return;
    };
    let [a, m, b] = [&line.0[0], &line.0[1], &line.0[2]];
    let reflector = Running::start(
        &format!("reflect --from m0 --from-netns {m} --to m1 --to-netns {m} --seconds 600"),
        "reflecting m0 -> m1",
    );
    assert!(!program_on(m, "m1"), "what it only sends on, it leaves alone");
    for queue in [0, 1] {
        let report = run(&format!(
            "run --tx a0 --tx-netns {a} --rx b0 --rx-netns {b} --to-mac {B} {V4} --rate 10k --count 10000 --queue {queue}"
        ));
        all_is_well(&report["received"], 10_000);
    }
    reflector.signal("-TERM");
    let (report, _) = reflector.report();
    assert_eq!(report["packets"], 20_000, "{report:#}");
    assert_eq!(
        (&report["ways"][0]["packets"], &report["ways"][1]["packets"]),
        (&10_000.into(), &10_000.into()),
        "each queue has its way"
    );
}

#[test]
fn one_interface_sends_back_with_swapped_addresses() {
    let Some(line) = line("") else { return };
    let [a, m, _] = [&line.0[0], &line.0[1], &line.0[2]];
    let reflector = Running::start(
        &format!("reflect --from m0 --from-netns {m} --swap-macs --seconds 600"),
        "reflecting m0 -> m0",
    );
    for addresses in [V4, V6] {
        // The same interface sends and receives.
        let report = run(&format!(
            "run --tx a0 --tx-netns {a} --rx a0 --rx-netns {a} --to-mac 02:00:00:00:00:01 {addresses} --rate 5k --count 1000"
        ));
        all_is_well(&report["received"], 1000);
    }
    reflector.signal("-INT");
    assert_eq!(reflector.report().0["packets"], 2000);
}

#[test]
fn the_ends_may_be_in_different_namespaces_and_both_are_left_clean() {
    let Some(line) = Namespaces::new(4) else { return };
    line.join([(0, "a0", A), (1, "m0", "02:00:00:00:00:01")], "");
    // The same number as m0, but elsewhere: a program taken off in the wrong namespace would stay on one of them.
    line.join([(2, "n0", "02:00:00:00:00:02"), (3, "b0", B)], "");
    let [a, m, n, b] = [&line.0[0], &line.0[1], &line.0[2], &line.0[3]];
    let reflector = Running::start(
        &format!("reflect --from m0 --from-netns {m} --to n0 --to-netns {n} --both --busy"),
        "reflecting m0 <-> n0",
    );
    assert!(program_on(m, "m0") && program_on(n, "n0"));
    let there = run(&format!(
        "run --tx a0 --tx-netns {a} --rx b0 --rx-netns {b} --to-mac {B} {V6} --rate 5k --count 500"
    ));
    all_is_well(&there["received"], 500);
    assert!(
        !program_on(b, "b0"),
        "the receiver of another namespace is gone from it"
    );
    reflector.signal("-INT");
    assert_eq!(reflector.report().0["packets"], 500);
    assert!(!program_on(m, "m0") && !program_on(n, "n0"));
}

#[test]
fn it_ends_by_itself() {
    let Some(line) = line("") else { return };
    let m = &line.0[1];
    let report = run(&format!(
        "reflect --from m0 --from-netns {m} --to m1 --to-netns {m} --seconds 0.2"
    ));
    assert_eq!((&report["packets"], &report["mode"]), (&0.into(), &"native".into()));
    assert_eq!(report["ways"][0]["from"], "m0");
}

#[test]
fn what_cannot_work_is_told() {
    let complaint = |arguments: &str, status| {
        let output = pktgen(arguments).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(status), "{text}");
        text
    };
    assert!(complaint("reflect --from m0", 2).contains("--to"));
    assert!(complaint("reflect --from nowhere0 --swap-macs", 1).contains("no interface nowhere0"));
    let Some(line) = line("") else { return };
    let m = &line.0[1];
    ip(&format!("-n {m} link set m0 mtu 1600")).unwrap();
    let mtus = complaint(&format!("reflect --from m0 --from-netns {m} --to m1 --to-netns {m}"), 1);
    ip(&format!("-n {m} link set m0 mtu 9000")).unwrap();
    let long = complaint(&format!("reflect --from m0 --from-netns {m} --swap-macs"), 1);
    assert!(long.contains("frames of 9014 bytes are too long"), "{long}");
    assert!(mtus.contains("m0 has an MTU of 1600 and m1 one of 1500"), "{mtus}");
}
