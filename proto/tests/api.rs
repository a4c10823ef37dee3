//! The reference is what the files say, everything public is explained, and nothing that clients rely on goes away.

use std::{collections::BTreeSet, fs, path::Path};

use vrouter_proto::{
    DESCRIPTORS,
    api::{self, Api, Method},
};

fn apis() -> Vec<Api> {
    api::apis(DESCRIPTORS).unwrap()
}

fn committed(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_reference_is_what_the_files_say() {
    let same = committed("../docs/api.md") == api::document(&apis());
    assert!(
        same,
        "docs/api.md is not what the protocol files say: run `cargo run -p vrouter-proto -- document` and commit it"
    );
}

#[test]
fn everything_public_is_explained() {
    let mut silent = Vec::new();
    for api in apis() {
        let mut look = |what: String, comment: &str| {
            if comment.is_empty() {
                silent.push(what);
            }
        };
        look(format!("the head of {}", api.package), &api.comment);
        for service in &api.services {
            look(service.name.clone(), &service.comment);
            for method in &service.methods {
                look(format!("{}/{}", service.name, method.name), &method.comment);
            }
        }
        let methods = || api.services.iter().flat_map(|service| &service.methods);
        for message in &api.messages {
            // What only one RPC takes or returns is explained by that RPC.
            let named = |method: &Method| {
                let own = |what| format!("{}.{}{what}", api.package, method.name);
                message.name == own("Request") || message.name == own("Response")
            };
            if !methods().any(named) {
                look(message.name.clone(), &message.comment);
            }
            for field in &message.fields {
                look(format!("{}.{}", message.name, field.name), &field.comment);
            }
        }
        for enumeration in &api.enumerations {
            look(enumeration.name.clone(), &enumeration.comment);
            // What no choice means is said where a choice can be made.
            let choices = enumeration
                .values
                .iter()
                .filter(|value| !value.name.ends_with("_UNSPECIFIED"));
            for value in choices {
                look(format!("{}.{}", enumeration.name, value.name), &value.comment);
            }
        }
    }
    assert!(
        silent.is_empty(),
        "no comment in the protocol files on:\n{}",
        silent.join("\n")
    );
}

#[test]
fn nothing_that_clients_rely_on_goes_away() {
    let apis = apis();
    let packages: BTreeSet<_> = apis.iter().map(|api| api.package.as_str()).collect();
    assert_eq!(packages, BTreeSet::from(["vrouter.control.v1", "vrouter.dataplane.v1"]));
    for one in &apis {
        let text = committed(&format!("baseline/{}.txt", one.package));
        let before = api::parse(&text).unwrap();
        assert!(!before.is_empty());
        let breaks: Vec<_> = api::compare(&before, &api::facts(one))
            .iter()
            .map(ToString::to_string)
            .collect();
        assert!(
            breaks.is_empty(),
            "clients of the last release would break (docs/api-versioning.md):\n{}",
            breaks.join("\n")
        );
    }
}

#[test]
fn a_baseline_reads_as_it_was_written() {
    for one in apis() {
        assert_eq!(api::parse(&api::print(&one)).unwrap(), api::facts(&one));
    }
    let error = api::parse("# head\nfield x y\n").unwrap_err().to_string();
    assert!(error.contains("line 2") && error.contains("field x y"), "{error}");
}
