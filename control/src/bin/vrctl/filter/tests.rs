//! The filter language, on a kind of object made for it.

use serde::Serialize;

use super::*;
use crate::output::Column;

#[derive(Serialize)]
struct Thing {
    name: &'static str,
    vrf: u64,
    vrf_name: Option<&'static str>,
    addresses: Vec<&'static str>,
    ports: Vec<u64>,
    protocol: u64,
    up: bool,
    prefix: &'static str,
}

impl Record for Thing {
    const NOUNS: &'static str = "things";
    const COLUMNS: &'static [Column<Self>] = &[];
    const KEYS: &'static [Key<Self>] = &[
        Key::new("name", Kind::Text, "", |it, out| out.push(Value::Text(it.name))),
        Key::new("vrf", Kind::Reference, "", |it, out| {
            out.push(Value::Reference(it.vrf, it.vrf_name));
        }),
        Key::new("ip", Kind::Address, "", |it, out| {
            out.extend(it.addresses.iter().map(|address| Value::Net(address)));
        }),
        Key::new("port", Kind::Number, "", |it, out| {
            out.extend(it.ports.iter().map(|port| Value::Number(*port)));
        }),
        Key::new("proto", Kind::Protocol, "", |it, out| {
            out.push(Value::Number(it.protocol));
        }),
        Key::new("up", Kind::Flag, "", |it, out| out.push(Value::Flag(it.up))),
        Key::new("prefix", Kind::Prefix, "", |it, out| out.push(Value::Net(it.prefix))),
    ];
}

fn thing() -> Thing {
    Thing {
        name: "Web server",
        vrf: 7,
        vrf_name: Some("blue"),
        addresses: vec!["10.1.0.2", "fd00:1::2", "10.9.0.0/24"],
        ports: vec![40000, 443],
        protocol: 6,
        up: true,
        prefix: "10.1.0.0/24",
    }
}

fn matches(text: &str) -> bool {
    Filter::<Thing>::parse(&[text]).unwrap().matches(&thing())
}

fn refusal(text: &str) -> String {
    match Filter::<Thing>::parse(&[text]) {
        Err(failure @ Failure::Usage(_)) => failure.to_string(),
        Err(other) => panic!("{other:?} is no usage error"),
        Ok(_) => panic!("{text} was accepted"),
    }
}

#[test]
fn all_conditions_must_hold() {
    assert!(matches("ip=10.1.0.2 port=443 proto=tcp vrf=blue"));
    assert!(matches("ip=10.1.0.2 and port=443 AND proto=tcp"));
    assert!(!matches("ip=10.1.0.2 port=444"));
    assert!(!matches("ip=10.1.0.3 port=443"));
    assert!(matches(""));
}

#[test]
fn several_filters_are_joined() {
    let filter = Filter::<Thing>::parse(&["vrf=blue", "port=1"]).unwrap();
    assert!(!filter.matches(&thing()));
    assert_eq!(filter.asked("vrf"), Some("blue"));
    assert_eq!(filter.asked("ip"), None);
}

#[test]
fn unequal_means_that_none_of_the_values_is_it() {
    assert!(matches("port!=80"));
    assert!(!matches("port!=443"));
    assert!(matches("vrf!=red"));
    assert!(!matches("vrf!=blue"));
    let filter = Filter::<Thing>::parse(&["vrf!=blue"]).unwrap();
    assert_eq!(
        filter.asked("vrf"),
        None,
        "a server must not be asked for what is not wanted"
    );
}

#[test]
fn references_are_named_or_numbered() {
    assert!(matches("vrf=7"));
    assert!(matches("vrf=blue"));
    assert!(matches("vrf=BL*"));
    assert!(!matches("vrf=8"));
}

#[test]
fn text_knows_case_not_and_stars_and_quotes() {
    assert!(matches("name=\"web server\""));
    assert!(matches("name=web*"));
    assert!(matches("name=*serv*"));
    assert!(matches("name=*"));
    assert!(matches("name=w*b*er"));
    assert!(!matches("name=web"));
    assert!(!matches("name=*web"));
    assert!(!matches("name=web*x"));
    assert!(!matches("name=\"web server*r\""), "a letter may not be used twice");
}

#[test]
fn addresses_match_within_and_around() {
    assert!(matches("ip=10.1.0.0/16"));
    assert!(matches("ip=fd00:1::/64"));
    assert!(matches("ip=10.9.0.77"), "a prefix that holds the address");
    assert!(!matches("ip=10.9.0.0/25"), "a part of a prefix is not the prefix");
    assert!(!matches("ip=fd00:2::/64"));
    assert!(matches("prefix=10.1.0.0/24"));
    assert!(!matches("prefix=10.1.0.0/16"));
}

#[test]
fn flags_and_protocols_have_words() {
    assert!(matches("up=yes"));
    assert!(!matches("up=false"));
    assert!(matches("proto=6"));
    assert!(!matches("proto=udp"));
}

#[test]
fn unknown_keys_are_told_the_valid_ones() {
    assert_eq!(
        refusal("colour=red"),
        "filter: things have no key \"colour\".\nvalid keys: name, vrf, ip, port, proto, up, prefix"
    );
    assert!(refusal("443").contains("key=value"));
}

#[test]
fn bad_values_are_told_what_would_be_right() {
    assert_eq!(
        refusal("port=https"),
        "filter: port=https: a whole number would be right"
    );
    assert!(refusal("ip=10.1.0").contains("10.1.0.2 or fd00::/64"));
    assert!(refusal("prefix=x").contains("10.1.0.0/24"));
    assert!(refusal("proto=256").contains("tcp"));
    assert!(refusal("up=maybe").contains("yes or no"));
    assert!(refusal("name=\"web").contains("not closed"));
}
