//! What a process may not do is said by name, and what it need not be allowed is not asked for.

use std::env;

use vrouter_dataplane::{
    packet::FramePool,
    port::af_xdp::{AfXdp, Mode, RingSizes},
};

use crate::Bed;

const FRAMES: &str = "VROUTER_TEST_OPEN_WITH_FRAMES";

/// Not a test: the process that the others run with fewer permissions.
#[test]
#[ignore = "run by the tests beside it"]
fn open_here() {
    let Ok(frames) = env::var(FRAMES) else { return };
    let pool = FramePool::new(frames.parse().unwrap(), 2048).unwrap();
    let opened = AfXdp::new(pool).and_then(|afxdp| {
        afxdp.open_uplink("in0", Mode::Auto, &[], RingSizes::ACCESS)?;
        afxdp.open_access("in0", Mode::Auto, RingSizes::ACCESS)
    });
    match opened {
        Ok(port) => println!("\nopened: {}", port.attachment.why),
        Err(error) => println!("\nrefused: {error}"),
    }
}

/// What opening comes to without these capabilities, in a process of its own.
fn open_without(bed: &Bed, capabilities: &[&str], limits: &str, frames: u32) -> String {
    let dropped: Vec<_> = capabilities.iter().map(|name| format!("-{name}")).collect();
    let command = format!(
        "env {FRAMES}={frames} setpriv --inh-caps {drop} --bounding-set {drop} {limits} {exe} --ignored --exact --nocapture \
         permissions::open_here",
        drop = dropped.join(","),
        exe = env::current_exe().unwrap().display()
    );
    let output = bed.pair.inside.exec(&command).unwrap();
    let line = output
        .lines()
        .find(|line| line.starts_with("opened: ") || line.starts_with("refused: "));
    line.unwrap_or(&output).to_owned()
}

#[test]
fn a_missing_capability_is_named() {
    let Some(bed) = Bed::new() else { return };
    for (dropped, named) in [
        (&["net_raw", "sys_admin"][..], "lacks CAP_NET_RAW"),
        (&["net_admin", "sys_admin"], "lacks CAP_NET_ADMIN"),
        (&["bpf", "sys_admin"], "lacks CAP_BPF"),
    ] {
        let answer = open_without(&bed, dropped, "", 1024);
        assert!(
            answer.starts_with("refused: not permitted to ") && answer.ends_with(named),
            "without {dropped:?}: {answer}"
        );
    }
}

#[test]
fn three_capabilities_suffice() {
    let Some(bed) = Bed::new() else { return };
    let dropped = ["sys_admin", "ipc_lock", "perfmon", "sys_resource", "dac_override"];
    let answer = open_without(&bed, &dropped, "", 1024);
    assert!(answer.starts_with("opened: native"), "{answer}");
}

#[test]
fn the_limit_of_locked_memory_is_named() {
    let Some(bed) = Bed::new() else { return };
    let dropped = ["sys_admin", "ipc_lock"];
    let answer = open_without(&bed, &dropped, "prlimit --memlock=1048576:1048576", 1024);
    assert!(
        answer.contains("2097152 bytes of packet memory") && answer.contains("now 1048576 bytes"),
        "{answer}"
    );
}
