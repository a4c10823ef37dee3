//! `vrctl` against the real `vrouter-control`: the two are built apart from one contract, and must mean the same by it.

use std::{
    process::{Child, Command, Output, Stdio},
    thread,
    time::Duration,
};

use tempfile::TempDir;

/// A running `vrouter-control` with a store of its own; ends with this value.
struct Control {
    directory: TempDir,
    child: Child,
}

impl Drop for Control {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Control {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_vrouter-control"))
            .arg("--listen")
            .arg(format!("unix:{}", directory.path().join("control.sock").display()))
            .arg("--store")
            .arg(directory.path().join("control.redb"))
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut control = Self { directory, child };
        for _ in 0..600 {
            if control.run(&["status"]).status.success() {
                return control;
            }
            assert!(control.child.try_wait().unwrap().is_none(), "vrouter-control ended");
            thread::sleep(Duration::from_millis(50));
        }
        panic!("vrouter-control does not answer");
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_vrctl"))
            .args(arguments)
            .env(
                "VROUTER_CONTROL",
                format!("unix:{}", self.directory.path().join("control.sock").display()),
            )
            .output()
            .unwrap()
    }

    fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let output = self.run(&[arguments, &["-o", "json"]].concat());
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {complaint}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The complaint of a command that the server refuses.
    fn refused(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    }
}

#[test]
fn a_tenant_comes_changes_and_goes() {
    let control = Control::start();
    control.json(&["node", "create", "node1", "--vtep", "192.0.2.1"]);
    control.json(&["node", "create", "switch", "--vtep", "2001:db8::9", "--external"]);
    control.json(&[
        "network",
        "create",
        "blue",
        "--encap",
        "mpls-udp",
        "--label",
        "team=core",
    ]);
    control.json(&[
        "subnet",
        "create",
        "blue/v4",
        "--cidr",
        "10.1.0.0/24",
        "--reserve",
        "10.1.0.2-10.1.0.9",
    ]);
    control.json(&["subnet", "create", "blue/v6", "--cidr", "fd00:1::/64"]);
    let web = [
        "endpoint",
        "create",
        "blue/web-1",
        "--node",
        "node1",
        "--interface",
        "veth1",
    ];
    let created = control.json(&web);
    assert_eq!(created["addresses"][0], "10.1.0.10", "the reserved ones are left out");
    assert_eq!(control.json(&web), created, "creating again changes nothing");

    let listed = control.json(&["endpoint", "list", "-m", "ip=10.1.0.0/24 node=node1"]);
    assert_eq!(listed, serde_json::json!([created]));
    let labelled = control.json(&["endpoint", "update", "blue/web-1", "--label", "app=web"]);
    assert_eq!(labelled["labels"]["app"], "web");
    assert_eq!(labelled["interface"], "veth1", "what is not named stays");
    let labelled = control.json(&[
        "endpoint",
        "update",
        "blue/web-1",
        "--label",
        "tier=front",
        "--unlabel",
        "app",
    ]);
    assert_eq!(labelled["labels"], serde_json::json!({"tier": "front"}));
    let reserved = control.json(&["subnet", "update", "blue/v4", "--no-reserve"]);
    assert_eq!(
        (&reserved["reserved"], &reserved["allocated"]),
        (&serde_json::json!([]), &1.into())
    );
    assert_eq!(control.json(&["audit"])["findings"], serde_json::json!([]));

    let complaint = control.refused(&["network", "delete", "blue"]);
    assert!(complaint.ends_with("(FAILED_PRECONDITION)\n"), "{complaint}");
    let complaint = control.refused(&["network", "update", "blue", "--mtu", "1400", "--revision", "1"]);
    assert!(complaint.ends_with("(ABORTED)\n"), "{complaint}");
    let complaint = control.refused(&["subnet", "create", "blue/x", "--cidr", "10.1.0.5/24"]);
    assert!(complaint.starts_with("vrctl: subnet.cidr: "), "{complaint}");

    for (kind, name) in [
        ("endpoint", "blue/web-1"),
        ("subnet", "blue/v4"),
        ("subnet", "blue/v6"),
        ("network", "blue"),
    ] {
        assert_eq!(control.json(&[kind, "delete", name])["existed"], true, "{kind} {name}");
    }
    assert_eq!(control.json(&["network", "list"]), serde_json::json!([]));
    assert!(control.refused(&["network", "show", "blue"]).ends_with("(NOT_FOUND)\n"));
}
