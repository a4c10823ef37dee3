//! The check of compatibility, tried with made-up breakages of a made-up API.

use prost::Message as _;
use vrouter_proto::api::{self, Break, Fact};

const BEFORE: &str = r#"
syntax = "proto3";
package made.up.v1;
// Says hello.
service Greeter {
  rpc Greet(Request) returns (Answer);
  rpc Listen(Request) returns (stream Answer);
}
message Request {
  reserved 4, 8 to 9;
  reserved "title";
  string name = 1;
  repeated uint32 days = 2;
  optional uint32 hour = 3;
  oneof where { string city = 5; Place place = 6; }
  map<string, string> labels = 7;
}
message Answer { string text = 1; Mood mood = 2; }
message Place { double latitude = 1; }
enum Mood { MOOD_UNSPECIFIED = 0; GLAD = 1; SAD = 2; }
"#;

fn facts(proto: &str) -> Vec<Fact> {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("made_up.proto"), proto).unwrap();
    let set = protox::compile(["made_up.proto"], [directory.path()]).unwrap();
    let apis = api::apis(&set.encode_to_vec()).unwrap();
    // By way of the text, as a baseline is.
    api::parse(&api::print(&apis[0])).unwrap()
}

/// What is found when each text is replaced by the other.
fn after(changes: &[(&str, &str)]) -> Vec<Break> {
    let mut proto = BEFORE.to_owned();
    for (from, to) in changes {
        assert!(proto.contains(from), "{from}");
        proto = proto.replace(from, to);
    }
    api::compare(&facts(BEFORE), &facts(&proto))
}

#[track_caller]
fn breaks(changes: &[(&str, &str)], what: &str, how: &str) {
    let found = after(changes);
    let told = found
        .iter()
        .any(|found| found.what.contains(what) && found.how.contains(how));
    assert!(told, "{changes:?}: {found:#?}");
    for found in found {
        assert!(!found.instead.is_empty(), "{found}");
    }
}

#[test]
fn additions_are_free() {
    let additions = [
        (
            "Answer { string text = 1;",
            "Answer { string text = 1; bytes picture = 3;",
        ),
        ("SAD = 2;", "SAD = 2; ANGRY = 3;"),
        ("string city = 5;", "string city = 5; uint32 code = 10;"),
        (
            "service Greeter {",
            "service Greeter { rpc Wave(Request) returns (Answer);",
        ),
        (
            "message Place {",
            "message Farewell { string text = 1; }\nmessage Place {",
        ),
        ("reserved \"title\";", "reserved \"title\", \"rank\";"),
        ("string name = 1;", "string name = 1 [deprecated = true];"),
    ];
    assert_eq!(after(&additions), []);
}

#[test]
fn fields_stay_what_they_are() {
    breaks(&[("string name = 1;", "")], "Request.name = 1", "is gone");
    breaks(
        &[("string name = 1;", "string called = 1;")],
        "Request.name = 1",
        "is now called called",
    );
    breaks(
        &[("string name = 1;", "string name = 11;")],
        "Request.name = 1",
        "is now number 11",
    );
    breaks(
        &[("string name = 1;", "bytes name = 1;")],
        "Request.name = 1",
        "is now of type bytes, and was string",
    );
    breaks(
        &[("Mood mood = 2;", "Place mood = 2;")],
        "Answer.mood = 2",
        "is now of type made.up.v1.Place",
    );
    breaks(
        &[
            ("string name = 1;", ""),
            ("repeated uint32 days = 2;", "repeated uint32 days = 1;"),
        ],
        "Request.name = 1",
        "its number belongs to days now",
    );
    breaks(
        &[("map<string, string> labels", "map<string, uint32> labels")],
        "Request.labels = 7",
        "map<string,uint32>",
    );
}

#[test]
fn cardinality_stays_what_it_is() {
    breaks(
        &[("string name = 1;", "repeated string name = 1;")],
        "Request.name",
        "is now repeated, and was singular",
    );
    breaks(
        &[("repeated uint32 days", "uint32 days")],
        "Request.days",
        "is now singular, and was repeated",
    );
    breaks(
        &[("optional uint32 hour", "uint32 hour")],
        "Request.hour",
        "is now singular, and was optional",
    );
    breaks(
        &[("string name = 1;", "optional string name = 1;")],
        "Request.name",
        "is now optional",
    );
    breaks(
        &[(
            "oneof where { string city = 5; Place place = 6; }",
            "string city = 5; oneof where { Place place = 6; }",
        )],
        "Request.city",
        "is now in no oneof, and was in oneof where",
    );
    breaks(
        &[
            ("string city = 5;", "string name = 1; string city = 5;"),
            ("string name = 1;\n", "\n"),
        ],
        "Request.name",
        "is now in oneof where",
    );
}

#[test]
fn rpcs_stay_what_they_are() {
    breaks(
        &[("rpc Greet(Request) returns (Answer);", "")],
        "rpc made.up.v1.Greeter/Greet",
        "is gone",
    );
    breaks(
        &[("rpc Greet(Request)", "rpc Hail(Request)")],
        "Greeter/Greet",
        "is gone",
    );
    breaks(
        &[("Greet(Request)", "Greet(stream Request)")],
        "Greeter/Greet",
        "now takes stream made.up.v1.Request",
    );
    breaks(
        &[("(stream Answer)", "(Answer)")],
        "Greeter/Listen",
        "now returns made.up.v1.Answer, and was stream",
    );
    breaks(
        &[("Greet(Request) returns (Answer)", "Greet(Request) returns (Place)")],
        "Greeter/Greet",
        "now returns",
    );
    breaks(
        &[("service Greeter", "service Host")],
        "made.up.v1.Greeter/Greet",
        "is gone",
    );
}

#[test]
fn types_values_and_packages_stay_what_they_are() {
    breaks(&[(" SAD = 2;", "")], "Mood.SAD = 2", "is gone");
    breaks(&[("SAD = 2;", "BLUE = 2;")], "Mood.SAD = 2", "is now called BLUE");
    breaks(&[("SAD = 2;", "SAD = 3;")], "Mood.SAD = 2", "is now 3, and was 2");
    breaks(
        &[("Place place = 6;", ""), ("message Place { double latitude = 1; }", "")],
        "message made.up.v1.Place",
        "is gone",
    );
    breaks(
        &[("package made.up.v1;", "package made.up.v2;")],
        "message made.up.v1.Request",
        "is gone",
    );
}

#[test]
fn what_was_given_up_is_never_used_again() {
    breaks(
        &[("reserved 4, 8 to 9;", "reserved 8 to 9;")],
        "reserved numbers 4 to 4 of made.up.v1.Request",
        "free again",
    );
    breaks(
        &[
            ("reserved \"title\";", ""),
            ("string name = 1;", "string name = 1; string title = 12;"),
        ],
        "reserved name title of made.up.v1.Request",
        "free again",
    );
}
