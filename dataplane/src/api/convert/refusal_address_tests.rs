//! Bad fields of services, source translations, and next hops that lead beyond a VRF.

use vrouter_proto::dataplane::{self as pb, next_hop as pbn, object::Object as PbObject};

use super::refusal_tests::{check, next_hop, put};

#[test]
fn source_translations() {
    let nat = |change: fn(&mut pb::SourceNat)| {
        let mut nat = pb::SourceNat {
            id: 1,
            inside: 7,
            outside: 8,
            prefix: "10.1.0.0/16".into(),
            addresses: vec!["203.0.113.1".into(), "203.0.113.2".into()],
            ..pb::SourceNat::default()
        };
        change(&mut nat);
        PbObject::SourceNat(nat)
    };
    type Change = fn(&mut pb::SourceNat);
    let single: Change = |n| {
        n.prefix = "fd00:1::7/128".into();
        n.addresses = vec!["2001:db8:f::7".into()];
    };
    let good: [Change; 4] = [
        |_| (),
        single,
        |n| (n.first_port, n.last_port) = (1024, 65_535),
        |n| (n.block_size, n.blocks_per_source) = (4096, 256),
    ];
    for change in good {
        super::object::object(&put(nat(change))).unwrap();
    }
    let cases: [(Change, &str, &str); 22] = [
        (|n| n.id = 0, "source_nat.id", "1 or more"),
        (|n| n.name = "\t".into(), "source_nat.name", "control"),
        (|n| n.inside = 0, "source_nat.inside", "1 or more"),
        (|n| n.outside = 0, "source_nat.outside", "1 or more"),
        (|n| n.outside = 7, "source_nat.outside", "between two VRFs"),
        (|n| n.prefix = "10.1.0.1/16".into(), "source_nat.prefix", "10.1.0.0/16"),
        (|n| n.addresses.clear(), "source_nat.addresses", "missing"),
        (
            |n| n.addresses[0] = "x".into(),
            "source_nat.addresses",
            "not an IP address",
        ),
        (
            |n| n.addresses[0] = "224.0.0.1".into(),
            "source_nat.addresses",
            "multicast",
        ),
        (
            |n| n.addresses[0] = "2001:db8::1".into(),
            "source_nat.addresses",
            "family of the prefix, IPv4",
        ),
        (
            |n| n.addresses[0] = "203.0.113.2".into(),
            "source_nat.addresses",
            "given twice",
        ),
        (
            |n| n.addresses = vec!["203.0.113.1".into(); 257],
            "source_nat.addresses",
            "at most 256",
        ),
        (|n| n.first_port = 1024, "source_nat.last_port", "from 1024 to 65535"),
        (
            |n| (n.first_port, n.last_port) = (80, 2000),
            "source_nat.first_port",
            "from 1024 to 65535",
        ),
        (
            |n| (n.first_port, n.last_port) = (5000, 4000),
            "source_nat.last_port",
            "before the first port",
        ),
        (
            |n| (n.first_port, n.last_port) = (5000, 5062),
            "source_nat.last_port",
            "63 ports, which is less than one block of 64",
        ),
        (
            |n| n.block_size = 4,
            "source_nat.block_size",
            "from 8 to 4096, or 0 for 64",
        ),
        (|n| n.block_size = 100, "source_nat.block_size", "128 or 64 is"),
        (|n| n.block_size = 8192, "source_nat.block_size", "from 8 to 4096"),
        (
            |n| n.blocks_per_source = 257,
            "source_nat.blocks_per_source",
            "from 1 to 256, or 0 for 16",
        ),
        (
            |n| {
                n.prefix = "10.1.0.7/32".into();
                n.addresses.pop();
                (n.first_port, n.last_port) = (2000, 3000);
            },
            "source_nat.first_port",
            "keeps its ports",
        ),
        (
            |n| {
                n.prefix = "10.1.0.7/32".into();
                n.addresses.pop();
                n.blocks_per_source = 1;
            },
            "source_nat.blocks_per_source",
            "keeps its ports",
        ),
    ];
    for (change, field, words) in cases {
        check(nat(change), field, words);
    }
}

#[test]
fn services() {
    let service = |change: fn(&mut pb::Service)| {
        let backend = |address: &str| pb::Backend {
            address: address.into(),
            port: 8080,
            ..pb::Backend::default()
        };
        let mut service = pb::Service {
            id: 1,
            vrf: 7,
            address: "10.96.0.1".into(),
            protocol: 6,
            port: 80,
            backends: vec![backend("10.1.0.2"), backend("10.1.0.3")],
            ..pb::Service::default()
        };
        change(&mut service);
        PbObject::Service(service)
    };
    type Change = fn(&mut pb::Service);
    let good: [Change; 5] = [
        |_| (),
        |s| s.backends.clear(),
        |s| {
            (s.protocol, s.port) = (0, 0);
            s.backends.iter_mut().for_each(|b| b.port = 0);
        },
        |s| (s.client_affinity, s.affinity_seconds) = (true, 604_800),
        |s| s.backends[1].address = "10.1.0.2".into(),
    ];
    for change in &good[..4] {
        super::object::object(&put(service(*change))).unwrap();
    }
    check(
        service(good[4]),
        "service.backends.address",
        "10.1.0.2:8080 is given twice",
    );
    let cases: [(Change, &str, &str); 20] = [
        (|s| s.id = 0, "service.id", "1 or more"),
        (|s| s.name = "x".repeat(256), "service.name", "at most 255"),
        (|s| s.vrf = 0, "service.vrf", "1 or more"),
        (|s| s.address = String::new(), "service.address", "not an IP address"),
        (|s| s.address = "0.0.0.0".into(), "service.address", "unspecified"),
        (|s| s.protocol = 256, "service.protocol", "from 0 to 255"),
        (|s| s.protocol = 1, "service.protocol", "6 (TCP), 17 (UDP), 132 (SCTP)"),
        (|s| s.protocol = 0, "service.port", "leave this 0"),
        (|s| s.port = 0, "service.port", "from 1 to 65535"),
        (|s| s.port = 65_536, "service.port", "from 0 to 65535"),
        (
            |s| s.affinity_seconds = 60,
            "service.affinity_seconds",
            "set client_affinity",
        ),
        (
            |s| (s.client_affinity, s.affinity_seconds) = (true, 604_801),
            "service.affinity_seconds",
            "from 0 to 604800",
        ),
        (
            |s| s.backends[0].address = "fd00::2".into(),
            "service.backends.address",
            "family of the service, IPv4",
        ),
        (
            |s| s.backends[0].address = "127.0.0.1".into(),
            "service.backends.address",
            "loopback",
        ),
        (
            |s| s.backends[0].port = 65_536,
            "service.backends.port",
            "from 0 to 65535",
        ),
        (
            |s| s.backends[0].weight = 256,
            "service.backends.weight",
            "from 1 to 255, or 0 for 1",
        ),
        (|s| s.backends[0].name = "\0".into(), "service.backends.name", "control"),
        (
            |s| (s.protocol, s.port) = (0, 0),
            "service.backends.port",
            "keeps ports",
        ),
        (
            |s| s.backends = vec![pb::Backend::default(); 4097],
            "service.backends",
            "at most 4096",
        ),
        (
            |s| s.address = "fd00::1".into(),
            "service.backends.address",
            "family of the service, IPv6",
        ),
    ];
    for (change, field, words) in cases {
        check(service(change), field, words);
    }
}

#[test]
fn next_hops_beyond_a_vrf() {
    let to = |vrf| {
        next_hop(pbn::Action::Vrf(pbn::ToVrf {
            vrf,
            untranslated: true,
        }))
    };
    super::object::object(&put(to(1))).unwrap();
    check(to(0), "next_hop.vrf.vrf", "1 or more");
    let underlay = |gateway: &str| {
        let gateway = gateway.into();
        next_hop(pbn::Action::Underlay(pbn::Underlay { gateway }))
    };
    for good in ["", "192.0.2.254", "fe80::1"] {
        super::object::object(&put(underlay(good))).unwrap();
    }
    check(underlay("x"), "next_hop.underlay.gateway", "not an IP address");
    check(underlay("ff02::1"), "next_hop.underlay.gateway", "multicast");
}
