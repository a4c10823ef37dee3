//! Tables of a dataplane, with names beside numbers.

use serde_json::json;

use crate::harness::House;

#[test]
fn routes_name_what_they_lead_to() {
    let house = House::new();
    let expected = "\
VRF       PREFIX       NEXT HOP      DOES                       SOURCE  PREF  ACTIVE
blue (7)  9.0.0.0/8    to-node2 (2)  vxlan to 192.0.2.2 vni 100       0     0  yes
blue (7)  10.1.0.0/24  to-node2 (2)  vxlan to 192.0.2.2 vni 100       0     0  yes
blue (7)  10.1.0.2/32  to-web-1 (1)  port web-1 (3)                   0     0  yes
blue (7)  fd00:1::/64  to-node2 (2)  vxlan to 192.0.2.2 vni 100       0     0  yes
";
    let listed = house.ok(&["route", "list", "--vrf", "blue"]);
    assert_eq!(listed.lines().count(), expected.lines().count());
    for (line, wanted) in listed.lines().zip(expected.lines()) {
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(line), words(wanted));
    }
    assert_eq!(
        house.dataplane.state().dumps.last().unwrap().vrf,
        7,
        "the server sends only what is asked for"
    );
}

#[test]
fn a_route_to_nowhere_is_a_number_and_null() {
    let house = House::new();
    let routes = house.json(&["route", "list", "--vrf", "8"]);
    assert_eq!(
        routes,
        json!([{
            "vrf": 8, "vrf_name": "red", "prefix": "10.1.0.0/24", "next_hop": 99, "next_hop_name": null,
            "next_hop_action": null, "source": 0, "preference": 0, "active": true,
        }])
    );
}

#[test]
fn route_show_takes_the_longest_first() {
    let house = House::new();
    let routes = house.json(&["route", "show", "10.1.0.2", "--vrf", "blue"]);
    let prefixes: Vec<_> = routes
        .as_array()
        .unwrap()
        .iter()
        .map(|route| route["prefix"].clone())
        .collect();
    assert_eq!(prefixes, ["10.1.0.2/32", "10.1.0.0/24"]);
    assert_eq!(
        house.json(&["route", "show", "10.1.0.0/24"]).as_array().unwrap().len(),
        2
    );
    assert_eq!(
        house.fails(1, &["route", "show", "11.0.0.1"]),
        "vrctl: no route for 11.0.0.1\n"
    );
    assert!(house.fails(2, &["route", "show", "web-1"]).contains("10.1.0.2"));
}

#[test]
fn ports_are_shown_by_name_or_number() {
    let house = House::new();
    let listed = house.ok(&["port", "list", "-m", "up=no"]);
    assert_eq!(
        listed,
        "ID  NAME   KIND      INTERFACE  STATE  MODE         VRF       BRIDGE   MTU  MAC\n \
         9  web-2  workload  veth9      down   native-copy  blue (7)  -       1450  02:00:00:00:00:09\n"
    );
    let by_name = house.json(&["port", "show", "web-1"]);
    assert_eq!(by_name, house.json(&["port", "show", "3"]));
    assert_eq!(by_name["vrf_name"], "blue");
    assert_eq!(
        by_name["state"]["attachment"],
        "native, copy, 1 queue: veth has no zero-copy"
    );
    let complaint = house.fails(1, &["port", "show", "twin"]);
    assert_eq!(
        complaint,
        "vrctl: 2 ports are named twin: show one by its number (4, 5)\n"
    );
    assert_eq!(
        house.fails(1, &["port", "show", "web"]),
        "vrctl: no port is named or numbered web\n"
    );
}

#[test]
fn flows_are_filtered_here_and_there() {
    let house = House::new();
    let filter = "ip=10.1.0.2 port=40000 proto=tcp vrf=blue direction=forward";
    let listed = house.ok(&["flow", "list", "--match", filter]);
    let lines: Vec<_> = listed.lines().collect();
    assert_eq!(lines.len(), 2, "{listed}");
    assert!(lines[0].starts_with("VRF       PROTO  SOURCE"), "{listed}");
    assert!(
        lines[1].starts_with("blue (7)  tcp    10.1.0.2:40000  10.1.0.3:443"),
        "{listed}"
    );
    assert!(
        lines[1].contains("web-1 (3)") && lines[1].contains("to-node2 (2)"),
        "{listed}"
    );
    let asked = house.dataplane.state().flows_asked.take().unwrap();
    assert_eq!((asked.vrf, asked.l4_port, asked.protocol), (7, 40000, 6));
    assert_eq!(asked.address, "10.1.0.2");
}

#[test]
fn a_limit_says_that_there_is_more() {
    let house = House::new();
    let output = house.run(&["flow", "list", "--limit", "2", "-o", "json"]);
    let flows: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(flows.as_array().unwrap().len(), 2);
    let note = String::from_utf8(output.stderr).unwrap();
    assert_eq!(note, "vrctl: there are more than these 2 flows; --limit shows more\n");
    assert_eq!(house.dataplane.state().flows_asked.take().unwrap().limit, 3);
    assert_eq!(
        house.json(&["flow", "list", "--limit", "3"]).as_array().unwrap().len(),
        3
    );
}

#[test]
fn a_flow_is_shown_whole() {
    let house = House::new();
    let flows = house.json(&["flow", "show", "sport=40001"]);
    assert_eq!(
        flows,
        json!([{
            "vrf": 7, "vrf_name": "blue", "source": "10.1.0.2", "destination": "10.1.0.3", "protocol": 6,
            "protocol_name": "tcp", "source_port": 40001, "destination_port": 443, "in_port": 3, "in_port_name": "web-1",
            "next_hop": 2, "next_hop_name": "to-node2", "action": "vxlan", "packets": 10, "bytes": 1500,
            "idle_seconds": 1, "age_seconds": 60, "state": "established", "verdict": "allow", "egress_rule": "web/https", "ingress_rule": "", "drop_reason": "",
            "translated_source": "", "translated_destination": "10.1.0.9:8443", "forward": true,
        }])
    );
}

#[test]
fn next_hops_say_why_packets_cannot_leave() {
    let house = House::new();
    let listed = house.ok(&["nexthop", "list", "--match", "resolved=no remote=192.0.2.0/24"]);
    let expected = "\
ID  NAME      DOES                         STATE        MTU  DETAIL
 2  to-node2  vxlan to 192.0.2.2 vni 100  unresolved  1450  no ARP answer from 192.0.2.2
";
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(&listed), words(expected));
    let shown = house.json(&["nh", "show", "to-web-1"]);
    assert_eq!(shown["port"], json!({"port": 3, "port_name": "web-1", "mac": ""}));
    assert_eq!(shown["kind"], "port");
    assert!(shown.get("tunnel").is_none());
}

#[test]
fn the_small_tables_have_names_too() {
    let house = House::new();
    assert_eq!(
        house.ok(&["vni", "list"]),
        "VNI  NAME  TARGET\n100  blue  VRF blue (7)\n"
    );
    assert_eq!(
        house.ok(&["label", "list"]),
        "LABEL  NAME   TARGET                 DOES\n   17  web-1  next hop to-web-1 (1)  port web-1 (3)\n"
    );
    assert_eq!(
        house.ok(&["mac", "list", "-m", "learned=yes"]),
        "BRIDGE   MAC                AT              NEXT HOP  ORIGIN    AGE\n\
         lab (5)  02:00:00:00:00:aa  VTEP 192.0.2.2  -         learned  12 s\n"
    );
    assert_eq!(
        house.ok(&["neighbor", "list"]),
        "WHERE     ADDRESS    MAC                STATE     INTERFACE\n\
         underlay  192.0.2.2  02:00:00:00:02:02  resolved  eth1\n"
    );
    assert_eq!(
        house.ok(&["vrf", "list", "-m", "name=red"]),
        "ID  NAME  PORTS  BRIDGES\n 8  red       0        0\n"
    );
    assert_eq!(
        house.json(&["vrf", "show", "blue"]),
        json!({"id": 7, "name": "blue", "ports": 4, "bridges": 1})
    );
    assert_eq!(house.json(&["bridge", "show", "lab"])["vrf_name"], "blue");
    assert_eq!(
        house.json(&["mac", "show", "02:00:00:00:00:03"])[0]["next_hop_action"],
        "port web-1 (3)"
    );
    assert_eq!(house.json(&["neighbor", "show", "192.0.2.2"])[0]["interface"], "eth1");
}

#[test]
fn empty_tables_say_so() {
    let house = House::new();
    house.dataplane.state().empty = true;
    let kinds = [
        ("port", "no ports\n"),
        ("vrf", "no VRFs\n"),
        ("bridge", "no bridges\n"),
        ("route", "no routes\n"),
        ("nexthop", "no next hops\n"),
        ("mac", "no MAC addresses\n"),
        ("neighbor", "no neighbours\n"),
        ("label", "no labels\n"),
        ("vni", "no VNIs\n"),
        ("flow", "no flows\n"),
    ];
    for (kind, words) in kinds {
        assert_eq!(house.ok(&[kind, "list"]), words);
        assert_eq!(house.json(&[kind, "list"]), json!([]));
    }
}

#[test]
fn a_vrf_that_does_not_exist_is_not_an_empty_one() {
    let house = House::new();
    for kind in ["port", "bridge", "route", "label", "vni", "flow"] {
        let complaint = house.fails(1, &[kind, "list", "--vrf", "green"]);
        assert_eq!(complaint, "vrctl: no VRF is named or numbered green\n");
    }
}
