//! The daemon as it is started: exit status, and what it says on the way out.
#![allow(clippy::unwrap_used)] // helpers of tests

use std::{
    fs,
    process::{Command, Output},
};

fn vrouterd(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_vrouterd"))
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn help_and_version_are_no_errors() {
    let (status, help, _) = vrouterd(&["--help"]);
    assert_eq!(status, Some(0));
    for flag in [
        "--uplink",
        "--vtep",
        "--gateway",
        "--workers",
        "--cpus",
        "--poll",
        "--frames",
        "--flows",
        "--config",
    ] {
        assert!(help.contains(flag), "{flag} is not in the help");
    }
    let (status, version, _) = vrouterd(&["--version"]);
    assert_eq!(
        (status, version.trim()),
        (Some(0), concat!("vrouterd ", env!("CARGO_PKG_VERSION")))
    );
}

#[test]
fn what_it_is_told_wrong_ends_it_with_2() {
    for (arguments, words) in [
        (&["--frobnicate"][..], "--frobnicate"),
        (&["--cpus", "x"], "like 0,2-3"),
        (&["--frames", "1"], "vrouterd: --frames: 1 is out of range"),
        (&["--vtep", "192.0.2.1/24"], "name one with --uplink"),
        (&["--log", "=="], "--log"),
    ] {
        let (status, _, stderr) = vrouterd(arguments);
        assert_eq!(status, Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.contains(words), "{arguments:?}: {stderr}");
    }
}

#[test]
fn causes_are_told_one_a_line() {
    let (status, _, stderr) = vrouterd(&["--config", "/nowhere/vrouterd.toml"]);
    assert_eq!(status, Some(2));
    let lines: Vec<_> = stderr.lines().collect();
    assert_eq!(
        lines[0],
        "vrouterd: the config file /nowhere/vrouterd.toml cannot be read"
    );
    assert!(lines[1].starts_with("  because: No such file"), "{stderr}");
}

#[test]
fn a_wrong_key_is_told_with_file_and_line() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("vrouterd.toml");
    fs::write(&path, "node = \"a\"\nframse = 1\n").unwrap();
    let (status, _, stderr) = vrouterd(&["--config", path.to_str().unwrap()]);
    assert_eq!(status, Some(2));
    assert!(
        stderr.contains("vrouterd.toml: ") && stderr.contains("line 2") && stderr.contains("`framse`"),
        "{stderr}"
    );
}

#[test]
fn what_the_machine_refuses_ends_it_with_1() {
    let directory = tempfile::tempdir().unwrap();
    let socket = format!("unix:{}", directory.path().join("x.sock").display());
    // Refused for the interface, or already for want of capabilities.
    let arguments = [
        "--frames",
        "1024",
        "--uplink",
        "nosuch0",
        "--vtep",
        "192.0.2.1/24",
        "--listen",
        &socket,
    ];
    let (status, _, stderr) = vrouterd(&arguments);
    assert_eq!(status, Some(1), "{stderr}");
    assert!(
        stderr.contains("vrouterd: ") && stderr.contains("  because: "),
        "{stderr}"
    );
}
