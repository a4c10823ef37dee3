//! How commands end when they cannot do what they are asked.

use std::{
    io::{BufRead as _, BufReader},
    os::unix::net::UnixListener,
    process::Stdio,
};

use crate::harness::House;

#[test]
fn the_servers_words_are_printed_plainly() {
    let house = House::new();
    assert_eq!(
        house.fails(1, &["network", "create", "blue", "--vni", "16777216"]),
        "vrctl: network.vni: 16777216 is out of range; 1..16777215 would be right (INVALID_ARGUMENT)\n"
    );
    assert_eq!(
        house.fails(1, &["network", "show", "green"]),
        "vrctl: network: there is no green (NOT_FOUND)\n"
    );
    assert_eq!(
        house.fails(1, &["subnet", "delete", "blue/v4"]),
        "vrctl: subnet: 2 addresses of blue/v4 are in use (FAILED_PRECONDITION)\n"
    );
    assert_eq!(
        house.fails(1, &["node", "update", "node1", "--no-vtep", "--revision", "3"]),
        "vrctl: node.revision: 3 is not the current one (5) (ABORTED)\n"
    );
}

#[test]
fn an_absent_control_socket_is_explained() {
    let house = House::new();
    let complaint = house.fails(3, &["network", "list", "--control", "unix:/nonexistent/control.sock"]);
    assert_eq!(
        complaint,
        "vrctl: no route to the control socket at unix:/nonexistent/control.sock: is vrouter-control running? \
         (No such file or directory)\nhint: if it listens elsewhere, say where with --control ADDR or VROUTER_CONTROL\n"
    );
}

#[test]
fn a_socket_that_nobody_listens_on_is_explained() {
    let house = House::new();
    let path = house.path("dead.sock");
    drop(UnixListener::bind(&path).unwrap());
    let address = format!("unix:{}", path.display());
    let complaint = house.fails(3, &["--dataplane", &address, "port", "list"]);
    assert!(
        complaint.starts_with(&format!(
            "vrctl: no route to the dataplane socket at {address}: is vrouterd running?"
        )),
        "{complaint}"
    );
    assert!(complaint.contains("(Connection refused)"), "{complaint}");
    assert!(complaint.contains("--dataplane"), "{complaint}");
}

#[test]
fn tcp_addresses_fail_alike() {
    let house = House::new();
    // Nothing listens on port 1 of this host.
    let complaint = house.fails(3, &["--dataplane", "http://127.0.0.1:1", "info"]);
    assert!(
        complaint.contains("at http://127.0.0.1:1: is vrouterd running? (Connection refused)"),
        "{complaint}"
    );
}

#[test]
fn a_server_that_speaks_no_grpc_is_a_lost_connection() {
    let house = House::new();
    let path = house.path("mute.sock");
    let listener = UnixListener::bind(&path).unwrap();
    // Takes the connection and closes it at once.
    let server = std::thread::spawn(move || drop(listener.accept().unwrap()));
    let address = format!("unix:{}", path.display());
    let complaint = house.fails(3, &["--control", &address, "status"]);
    server.join().unwrap();
    assert!(complaint.starts_with("vrctl: "), "{complaint}");
}

#[test]
fn what_makes_no_sense_is_a_usage_error() {
    let house = House::new();
    for arguments in [
        &["network"][..],
        &["network", "create"],
        &["network", "create", "blue", "--encap", "gre"],
        &["subnet", "create", "blue", "--cidr", "10.0.0.0/24"],
        &["endpoint", "create", "blue/web-1", "--label", "web"],
        &["network", "list", "--control", "/run/x.sock"],
        &["network", "update", "blue"],
        &["stats", "--watch", "0"],
        &["flow", "list", "--limit", "0"],
        &["nonsense"],
    ] {
        house.fails(2, arguments);
    }
    let complaint = house.fails(2, &["vni", "list", "--match", "colour=red"]);
    assert_eq!(
        complaint,
        "vrctl: filter: VNIs have no key \"colour\".\nvalid keys: vni, name, bridge, vrf\n"
    );
}

#[test]
fn a_wrong_filter_is_told_without_a_server() {
    let house = House::new();
    let absent = "unix:/nonexistent/vrouterd.sock";
    let complaint = house.fails(2, &["flow", "list", "--dataplane", absent, "-m", "port=https"]);
    assert_eq!(complaint, "vrctl: filter: port=https: a whole number would be right\n");
}

#[test]
fn a_closed_pipe_is_no_panic() {
    let house = House::new();
    let mut child = house
        .command(&["stats", "--watch", "0.1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // One line is read, then the pipe is closed while the child goes on writing.
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    drop(reader);
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_server_that_dies_is_a_lost_connection() {
    let mut house = House::new();
    let mut child = house
        .command(&["stats", "--watch", "0.1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    reader.read_line(&mut String::new()).unwrap();
    house.die();
    // All the rest, so that the child can write until it notices.
    std::io::copy(&mut reader, &mut std::io::sink()).unwrap();
    let output = child.wait_with_output().unwrap();
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{complaint}");
    assert!(complaint.starts_with("vrctl: the connection was lost: "), "{complaint}");
}

#[test]
fn a_full_disk_is_an_error() {
    let house = House::new();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = house.command(&["info"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        complaint,
        "vrctl: cannot write the output: No space left on device (os error 28)\n"
    );
}

#[test]
fn completions_know_the_commands_of_each_shell() {
    let house = House::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = house.ok(&["completions", shell]);
        for word in ["vrctl", "nexthop", "endpoint", "--dataplane"] {
            let word = if shell == "fish" {
                word.trim_start_matches("--")
            } else {
                word
            };
            assert!(script.contains(word), "{shell} lacks {word}");
        }
    }
    house.fails(2, &["completions", "tcsh"]);
}

#[test]
fn help_has_keys_and_examples() {
    let house = House::new();
    let help = house.ok(&["flow", "list", "--help"]);
    assert!(help.contains("ip         source or destination address"), "{help}");
    assert!(
        help.contains("vrctl flow list --match 'ip=10.1.0.2 port=443 proto=tcp vrf=blue'"),
        "{help}"
    );
}
