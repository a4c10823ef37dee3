//! Traces and flows of all nodes, as they are asked for and shown.

use crate::harness::House;

#[test]
fn a_trace_shows_each_step_and_tells_by_its_exit_code_whether_the_packet_arrives() {
    let house = House::new();
    let shown = house.ok(&["trace", "--from", "web-1", "--to", "10.0.3.7", "--dport", "443"]);
    let expected = "\
node1: enters by port blue/web-1 (revision 5)
  policy    egress allowed by web/https (rule 3) [policy 7]
  transmit  out by blue/db
VERDICT  delivered to blue/db
";
    assert_eq!(shown, expected);
    let asked = house.control.state().wishes.pop().unwrap();
    assert!(
        asked.contains("protocol: \"tcp\"") && asked.contains("destination_port: 443"),
        "{asked}"
    );

    let json = house.json(&["trace", "--from", "web-1", "--hex", "0200"]);
    assert_eq!(json["hops"][0]["steps"][0]["stage"], "policy");
    assert!(house.control.state().wishes.pop().unwrap().contains("Frame([2, 0])"));

    let lost = house.run(&["trace", "--from", "nobody", "--to", "10.0.3.7"]);
    assert_eq!(lost.status.code(), Some(1));
    assert!(String::from_utf8(lost.stderr).unwrap().contains("dropped: no_route"));
    assert!(
        house
            .fails(
                2,
                &["trace", "--from", "web-1", "--to", "10.0.3.7", "--proto", "nonsense"]
            )
            .contains("tcp")
    );
    assert!(house.fails(2, &["trace", "--from", "web-1"]).contains("--to"));
}

#[test]
fn flows_are_watched_until_there_were_enough() {
    let house = House::new();
    let shown = house.ok(&[
        "flow",
        "watch",
        "--verdict",
        "deny",
        "--endpoint",
        "blue/web-1",
        "-n",
        "1",
    ]);
    assert!(
        shown.contains("node1 denied  deny") && shown.lines().count() == 1,
        "{shown}"
    );
    let asked = house.control.state().wishes.pop().unwrap();
    assert!(
        asked.contains("verdicts: [\"deny\"]") && asked.contains("endpoint: \"blue/web-1\""),
        "{asked}"
    );
    let output = house.run(&["flow", "watch", "-o", "json"]);
    assert_eq!(output.status.code(), Some(3), "the server ended it");
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 2);
}
