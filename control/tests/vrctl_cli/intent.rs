//! Networks, subnets, endpoints and nodes, as they are asked for and shown.

use serde_json::json;

use crate::harness::House;

#[test]
fn a_network_is_created_shown_and_deleted() {
    let house = House::new();
    let shown = house.ok(&[
        "network",
        "create",
        "blue",
        "--encap",
        "mpls-udp",
        "--label",
        "team=core",
    ]);
    let expected = "\
NAME             blue
NUMBER           0
KIND             routed
ENCAP            mpls-udp
VNI              100
MTU              auto
LABELS           team=core
DEFAULT INGRESS  allow
DEFAULT EGRESS   allow
REVISION         7
UID              u-7
";
    assert_eq!(shown, expected);
    assert_eq!(house.ok(&["network", "show", "blue"]), expected);
    assert_eq!(house.ok(&["network", "delete", "blue"]), "network blue deleted\n");
    assert_eq!(house.ok(&["network", "delete", "blue"]), "network blue was not there\n");
    let deleted = house.json(&["network", "delete", "blue"]);
    assert_eq!(deleted, json!({"kind": "network", "name": "blue", "existed": false}));
}

#[test]
fn networks_are_listed_sorted_filtered_and_limited() {
    let house = House::new();
    assert_eq!(house.ok(&["network", "list"]), "no networks\n");
    assert_eq!(house.json(&["network", "list"]), json!([]));
    house.ok(&["network", "create", "lab", "--bridged", "--mtu", "1400"]);
    house.ok(&["network", "create", "blue", "--vni", "5"]);
    let expected = "\
NAME  NUMBER  KIND     ENCAP  VNI   MTU  LABELS
blue       0  routed   vxlan    5  auto  -
lab        0  bridged  vxlan  100  1400  -
";
    assert_eq!(house.ok(&["network", "list"]), expected);
    assert!(house.ok(&["net", "ls", "--limit", "1"]).contains("blue"));
    assert_eq!(
        house.ok(&["network", "list", "--match", "vni=6"]),
        "no networks match\n"
    );
    let bridged = house.json(&["network", "list", "-m", "bridged=yes"]);
    assert_eq!(
        bridged,
        json!([{
            "name": "lab", "uid": "u-7", "revision": 7, "bridged": true, "encapsulation": "vxlan", "vni": 100,
            "mtu": 1400, "labels": {}, "number": 0, "external": false, "default_ingress": "allow", "default_egress": "allow",
        }])
    );
}

#[test]
fn an_update_names_only_what_changes() {
    let house = House::new();
    house.ok(&["network", "update", "blue", "--mtu", "1400", "--revision", "3"]);
    let request = house.control.state().updated_network.take().unwrap();
    assert_eq!(request.update_mask.unwrap().paths, ["mtu"]);
    let network = request.network.unwrap();
    assert_eq!(
        (network.name.as_str(), network.mtu, network.revision),
        ("blue", 1400, 3)
    );

    house.ok(&["subnet", "update", "blue/v4", "--no-reserve"]);
    let request = house.control.state().updated_subnet.take().unwrap();
    assert_eq!(request.update_mask.unwrap().paths, ["reserved"]);
    assert!(request.subnet.unwrap().reserved.is_empty());
}

#[test]
fn labels_are_changed_one_by_one_and_guarded_by_the_revision_read() {
    let house = House::new();
    let arguments = [
        "endpoint",
        "update",
        "blue/web-1",
        "--detach",
        "--label",
        "new=1",
        "--unlabel",
        "tier",
    ];
    house.ok(&arguments);
    let request = house.control.state().updated_endpoint.take().unwrap();
    assert_eq!(request.update_mask.unwrap().paths, ["interface", "labels"]);
    let endpoint = request.endpoint.unwrap();
    assert_eq!(endpoint.revision, 12);
    assert_eq!(endpoint.interface, "");
    assert_eq!(endpoint.labels.len(), 2);
    assert_eq!(
        (endpoint.labels["app"].as_str(), endpoint.labels["new"].as_str()),
        ("web", "1")
    );
}

#[test]
fn creates_carry_every_flag() {
    let house = House::new();
    let subnet = [
        "subnet",
        "create",
        "blue/v4",
        "--cidr",
        "10.1.0.0/24",
        "--gateway",
        "10.1.0.254",
    ];
    house.ok(&[
        &subnet[..],
        &["--reserve", "10.1.0.9", "--reserve", "10.1.0.20-10.1.0.30"],
    ]
    .concat());
    let subnet = house.control.state().created_subnet.take().unwrap();
    assert_eq!((subnet.network.as_str(), subnet.name.as_str()), ("blue", "v4"));
    assert_eq!(
        (subnet.cidr.as_str(), subnet.gateway.as_str()),
        ("10.1.0.0/24", "10.1.0.254")
    );
    assert_eq!(subnet.reserved, ["10.1.0.9", "10.1.0.20-10.1.0.30"]);

    let endpoint = [
        "endpoint",
        "create",
        "blue/web-1",
        "--node",
        "node1",
        "--interface",
        "veth1",
        "--mac",
        "02:00:00:00:00:01",
    ];
    house.ok(&[
        &endpoint[..],
        &[
            "--address",
            "10.1.0.7",
            "--address",
            "subnet:v6",
            "--client-id",
            "c1",
            "--label",
            "a=b",
        ],
    ]
    .concat());
    let endpoint = house.control.state().created_endpoint.take().unwrap();
    assert_eq!(
        (endpoint.node.as_str(), endpoint.interface.as_str()),
        ("node1", "veth1")
    );
    assert_eq!(endpoint.mac, "02:00:00:00:00:01");
    assert_eq!(endpoint.addresses, ["10.1.0.7", "subnet:v6"]);
    assert_eq!(
        (endpoint.client_id.as_str(), endpoint.labels["a"].as_str()),
        ("c1", "b")
    );

    house.ok(&[
        "node",
        "create",
        "switch",
        "--vtep",
        "192.0.2.9",
        "--vtep",
        "2001:db8::9",
        "--external",
    ]);
    let node = house.control.state().created_node.take().unwrap();
    assert_eq!(node.vtep_addresses, ["192.0.2.9", "2001:db8::9"]);
    assert!(node.external);
}

#[test]
fn endpoints_are_filtered_by_address_and_label() {
    let house = House::new();
    let listed = house.ok(&[
        "endpoint",
        "list",
        "--network",
        "blue",
        "--match",
        "ip=10.1.0.2 label=app=web",
    ]);
    let expected = "\
NAME        NODE   INTERFACE  STATE       PORT  MAC                ADDRESSES           LABELS
blue/web-1  node1  veth1      programmed     3  02:00:00:00:00:01  10.1.0.2,fd00:1::2  app=web,tier=front
";
    assert_eq!(listed, expected);
    let refused = house.json(&["endpoint", "list", "-m", "state=refused"]);
    assert_eq!(
        (&refused[0]["name"], &refused[0]["error"]),
        (&json!("db"), &json!("veth1 does not exist"))
    );
    house.ok(&["endpoint", "list", "--network", "blue"]);
    let asked = house.control.state().listed_endpoints.take().unwrap();
    assert_eq!((asked.network.as_str(), asked.node.as_str()), ("blue", ""));
    assert_eq!(
        house.json(&["endpoint", "show", "blue/web-1"])["addresses"],
        json!(["10.1.0.2", "fd00:1::2"])
    );
}

#[test]
fn nodes_show_their_dataplane() {
    let house = House::new();
    let expected = "\
NAME    NUMBER  VTEP       STATE      LABELS
node1        1  192.0.2.1  connected  -
switch       2  192.0.2.9  external   -
";
    assert_eq!(house.ok(&["node", "list"]), expected);
    let painted = house.ok(&["node", "list", "--color", "always"]);
    assert!(painted.contains("\x1b[32mconnected\x1b[0m"), "{painted}");
    let nodes = house.json(&["node", "list", "-m", "external=no"]);
    assert_eq!(nodes[0]["dataplane"]["synced_revision"], 42);
}

#[test]
fn status_tells_who_is_behind() {
    let house = House::new();
    let expected = "\
VERSION   0.1.0
REVISION  42

NODE   ADDRESS               STATE         SYNCED  SYNC       ERROR
node1  unix:/run/node1.sock  connected         42  in sync    -
node2  unix:/run/node2.sock  disconnected      40  2 behind   connection refused
node3  unix:/run/node3.sock  connected         42  1 refused  -
";
    assert_eq!(house.ok(&["status"]), expected);
    let status = house.json(&["status"]);
    assert_eq!(status["dataplanes"][1]["in_sync"], false);
    assert_eq!(status["dataplanes"][2]["in_sync"], false);
    assert_eq!(status["dataplanes"][1]["error"], "connection refused");
}

#[test]
fn audit_prints_its_findings() {
    let house = House::new();
    let expected = "\
ENDPOINTS  2
ADDRESSES  3
FINDING    10.1.0.9 of blue/v4 is held by nobody
";
    assert_eq!(house.ok(&["audit"]), expected);
    assert_eq!(house.json(&["audit"])["addresses_allocated"], 3);
}

#[test]
fn a_watch_starts_again_when_it_lost_something_and_tells_its_end() {
    let house = House::new();
    let output = house.run(&["watch", "endpoint", "-o", "json"]);
    assert_eq!(output.status.code(), Some(3));
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        complaint,
        "vrctl: the connection was lost: the server ended the watch\n"
    );
    let events: Vec<serde_json::Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let kinds: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["existing", "synced", "lost", "existing", "synced", "deleted"]);
    assert_eq!(events[0]["kind"], "endpoint");
    assert_eq!(events[0]["object"]["interface"], "veth1");
    let watches = std::mem::take(&mut house.control.state().watches);
    assert_eq!(watches.len(), 2);
    assert_eq!(watches[0].kinds, [3]);

    let text = String::from_utf8(house.run(&["watch", "--changes-only"]).stdout).unwrap();
    assert!(!text.contains("existing"), "{text}");
    assert!(
        text.contains("deleted  endpoint   blue/web-1  on node1 veth1, 10.1.0.2 fd00:1::2"),
        "{text}"
    );
}
