//! Bad fields of identities, policies, guards, limits, mirrors and health checks: each is refused by its path, with what would be right.

use vrouter_proto::dataplane::{self as pb, key::Key as PbKey, object::Object as PbObject};

use super::{
    object::key,
    refusal_tests::{check, port, put},
};

/// A change to an object, the field at fault, and words of what is said of it.
type Case<T> = (fn(&mut T), &'static str, &'static str);

#[track_caller]
fn each<T: Clone>(good: &T, wrap: fn(T) -> PbObject, cases: &[Case<T>]) {
    super::object::object(&put(wrap(good.clone()))).unwrap();
    for (change, field, words) in cases {
        let mut wrong = good.clone();
        change(&mut wrong);
        check(wrap(wrong), field, words);
    }
}

#[test]
fn identities() {
    let good = pb::Identity {
        vrf: 7,
        prefix: "10.1.2.3/32".into(),
        groups: vec![1, 5, u32::MAX],
    };
    each(
        &good,
        PbObject::Identity,
        &[
            (|i| i.vrf = 0, "identity.vrf", "1 or more"),
            (|i| i.prefix = "10.1.2.3".into(), "identity.prefix", "10.1.2.3/32"),
            (|i| i.prefix = "fd00::1/64".into(), "identity.prefix", "fd00::/64"),
            (|i| i.groups = vec![5, 1], "identity.groups", "5 comes before 1"),
            (|i| i.groups = vec![5, 5], "identity.groups", "each once"),
            (|i| i.groups = vec![0, 5], "identity.groups", "1 or more"),
            (|i| i.groups = (1..5000).collect(), "identity.groups", "at most 4096"),
        ],
    );
}

fn traffic(policy: &mut pb::Policy) -> &mut pb::Traffic {
    &mut policy.ingress[0].traffic[0]
}

#[test]
fn policies() {
    let rule = |id| pb::Rule {
        id,
        name: "web/allow-https".into(),
        groups: vec![3],
        traffic: vec![pb::Traffic {
            protocol: 6,
            first_port: 443,
            last_port: 443,
            ..pb::Traffic::default()
        }],
        verdict: 1,
        log: false,
    };
    let good = pb::Policy {
        id: 1,
        name: "web".into(),
        egress: vec![rule(1), rule(2)],
        ingress: vec![rule(3)],
        ..pb::Policy::default()
    };
    each(
        &good,
        PbObject::Policy,
        &[
            (|p| p.id = 0, "policy.id", "1 or more"),
            (|p| p.name = "a\nb".into(), "policy.name", "control character"),
            (|p| p.egress[1].id = 1, "policy.egress.id", "1 is given twice"),
            (|p| p.ingress[0].id = 2, "policy.ingress.id", "2 is given twice"),
            (|p| p.ingress[0].id = 0, "policy.ingress.id", "from 1 to 4294967294"),
            (
                |p| p.ingress[0].id = u32::MAX,
                "policy.ingress.id",
                "from 1 to 4294967294",
            ),
            (
                |p| p.egress[1].name = "x".repeat(256),
                "policy.egress.name",
                "rule 2: 256 bytes",
            ),
            (
                |p| p.egress[1].groups = vec![0],
                "policy.egress.groups",
                "rule 2: 0 is not",
            ),
            (
                |p| p.egress[1].groups = vec![9, 9],
                "policy.egress.groups",
                "9 is given twice",
            ),
            (
                |p| p.egress[1].groups = vec![9; 5000],
                "policy.egress.groups",
                "at most 4096",
            ),
            (
                |p| p.ingress[0].verdict = 0,
                "policy.ingress.verdict",
                "ALLOW (1), DENY (2) or AUDIT (3)",
            ),
            (|p| p.egress[0].verdict = 4, "policy.egress.verdict", "4 is no verdict"),
            (
                |p| p.egress_default = 3,
                "policy.egress_default",
                "ALLOW (1) or DENY (2)",
            ),
            (|p| p.ingress_default = -1, "policy.ingress_default", "-1 is no default"),
            (
                |p| traffic(p).protocol = 256,
                "policy.ingress.traffic.protocol",
                "from 0 to 255",
            ),
            (
                |p| traffic(p).protocol = 47,
                "policy.ingress.traffic.first_port",
                "protocol 47 has no ports",
            ),
            (
                |p| traffic(p).last_port = 80,
                "policy.ingress.traffic.last_port",
                "port 80 comes before the first port, 443",
            ),
            (
                |p| traffic(p).last_port = 65_536,
                "policy.ingress.traffic.last_port",
                "from 0 to 65535",
            ),
            (
                |p| traffic(p).first_port = 65_536,
                "policy.ingress.traffic.first_port",
                "from 0 to 65535",
            ),
            (
                |p| traffic(p).icmp_type = Some(8),
                "policy.ingress.traffic.icmp_type",
                "together",
            ),
            (
                |p| traffic(p).icmp_type = Some(256),
                "policy.ingress.traffic.icmp_type",
                "from 0 to 255",
            ),
            (
                |p| {
                    *traffic(p) = pb::Traffic {
                        protocol: 6,
                        icmp_type: Some(8),
                        ..pb::Traffic::default()
                    };
                },
                "policy.ingress.traffic.icmp_type",
                "ICMP (1)",
            ),
            (
                |p| {
                    *traffic(p) = pb::Traffic {
                        protocol: 58,
                        icmp_code: Some(0),
                        ..pb::Traffic::default()
                    };
                },
                "policy.ingress.traffic.icmp_code",
                "say the type",
            ),
            (
                |p| p.ingress[0].traffic = vec![pb::Traffic::default(); 1025],
                "policy.ingress.traffic",
                "at most 1024",
            ),
        ],
    );
    // What is not said is denied.
    let read = super::policy::read(&good).unwrap();
    assert!(!read.egress_default.passes() && !read.ingress_default.passes());
}

fn guard(port: &mut pb::Port) -> &mut pb::Guard {
    port.guard.get_or_insert_default()
}

fn qos(port: &mut pb::Port) -> &mut pb::Qos {
    port.qos.get_or_insert_default()
}

fn from(port: &mut pb::Port) -> &mut pb::Rate {
    qos(port).from_workload.get_or_insert_default()
}

fn to(port: &mut pb::Port) -> &mut pb::Rate {
    qos(port).to_workload.get_or_insert_default()
}

#[test]
fn guards_limits_and_mirrors_of_ports() {
    let mut good = port();
    guard(&mut good).addresses = vec!["10.1.0.7".into(), "fd00:1::/64".into(), "0.0.0.0/0".into()];
    guard(&mut good).macs = vec!["02:00:00:00:00:02".into()];
    to(&mut good).shape = true;
    good.mirrors = vec![1, 2, 3, 4];
    each(
        &good,
        PbObject::Port,
        &[
            (
                |p| guard(p).addresses = vec!["x".into()],
                "port.guard.addresses",
                "not an IP prefix",
            ),
            (
                |p| guard(p).addresses = vec!["10.1.0.7/24".into()],
                "port.guard.addresses",
                "10.1.0.0/24",
            ),
            (
                |p| guard(p).addresses = vec!["10.1.0.7".into(), "10.1.0.7/32".into()],
                "port.guard.addresses",
                "given twice",
            ),
            (
                |p| guard(p).addresses = vec!["::1".into(); 1025],
                "port.guard.addresses",
                "at most 1024",
            ),
            (
                |p| guard(p).macs = vec!["01:00:5e:00:00:01".into()],
                "port.guard.macs",
                "one station",
            ),
            (
                |p| guard(p).macs = vec!["02:00:00:00:00:02".into(); 2],
                "port.guard.macs",
                "given twice",
            ),
            (|p| qos(p).dscp = Some(64), "port.qos.dscp", "from 0 to 63"),
            (|p| from(p).shape = true, "port.qos.from_workload.shape", "policed"),
            (
                |p| from(p).bits_per_second = u64::MAX,
                "port.qos.from_workload.bits_per_second",
                "from 0 to 10000000000000",
            ),
            (
                |p| to(p).packets_per_second = u64::MAX,
                "port.qos.to_workload.packets_per_second",
                "from 0 to 10000000000",
            ),
            (
                |p| to(p).burst_bytes = u64::MAX,
                "port.qos.to_workload.burst_bytes",
                "out of range",
            ),
            (
                |p| to(p).burst_packets = u64::MAX,
                "port.qos.to_workload.burst_packets",
                "out of range",
            ),
            (
                |p| from(p).queue_bytes = 1,
                "port.qos.from_workload.queue_bytes",
                "set shape",
            ),
            (|p| p.mirrors = vec![0], "port.mirrors", "1 or more"),
            (|p| p.mirrors = vec![1, 1], "port.mirrors", "1 is given twice"),
            (|p| p.mirrors = vec![1, 2, 3, 4, 5], "port.mirrors", "at most 4"),
        ],
    );
}

#[test]
fn mirrors() {
    let good = pb::Mirror {
        id: 1,
        next_hop: 2,
        filter: vec![pb::Traffic {
            protocol: 17,
            first_port: 53,
            last_port: 53,
            ..pb::Traffic::default()
        }],
        prefixes: vec!["10.0.0.0/8".into(), "fd00::/8".into()],
        snap_length: 64,
        ..pb::Mirror::default()
    };
    each(
        &good,
        PbObject::Mirror,
        &[
            (|m| m.id = 0, "mirror.id", "1 or more"),
            (|m| m.name = "x".repeat(256), "mirror.name", "at most 255"),
            (|m| m.next_hop = 0, "mirror.next_hop", "1 or more"),
            (|m| m.filter[0].protocol = 1, "mirror.filter.first_port", "no ports"),
            (|m| m.filter[0].last_port = 1, "mirror.filter.last_port", "comes before"),
            (
                |m| m.filter = vec![pb::Traffic::default(); 65],
                "mirror.filter",
                "at most 64",
            ),
            (
                |m| m.prefixes = vec!["10.0.0.1/8".into()],
                "mirror.prefixes",
                "10.0.0.0/8",
            ),
            (
                |m| m.prefixes = vec!["::/0".into(); 65],
                "mirror.prefixes",
                "at most 64",
            ),
            (
                |m| m.snap_length = 63,
                "mirror.snap_length",
                "from 64 to 65535, or 0 for all",
            ),
            (|m| m.snap_length = 65_536, "mirror.snap_length", "from 64 to 65535"),
        ],
    );
}

#[test]
fn health_checks() {
    let good = pb::HealthCheck {
        id: 1,
        vrf: 7,
        address: "fd00::2".into(),
        port: 80,
        kind: 2,
        target: "/healthz?deep=1".into(),
        ..pb::HealthCheck::default()
    };
    each(
        &good,
        PbObject::HealthCheck,
        &[
            (|c| c.id = 0, "health_check.id", "1 or more"),
            (|c| c.vrf = 0, "health_check.vrf", "1 or more"),
            (|c| c.address = "::1".into(), "health_check.address", "loopback"),
            (
                |c| c.address = "10.1.0.2/32".into(),
                "health_check.address",
                "not an IP address",
            ),
            (|c| c.port = 0, "health_check.port", "from 1 to 65535"),
            (|c| c.port = 65_536, "health_check.port", "from 1 to 65535"),
            (|c| c.kind = 0, "health_check.kind", "TCP (1), HTTP (2) or GRPC (3)"),
            (|c| c.kind = 4, "health_check.kind", "4 is no kind"),
            (
                |c| c.target = "healthz".into(),
                "health_check.target",
                "write one like /healthz",
            ),
            (|c| c.target = "/a b".into(), "health_check.target", "' ' may not be"),
            (
                |c| c.target = "/a\r\nHost: x".into(),
                "health_check.target",
                "'\\r' may not be",
            ),
            (|c| c.target = "/".repeat(1025), "health_check.target", "at most 1024"),
            (|c| c.kind = 1, "health_check.target", "no target"),
            (
                |c| c.interval_ms = 99,
                "health_check.interval_ms",
                "from 100 to 3600000, or 0 for 5000",
            ),
            (
                |c| c.timeout_ms = 9,
                "health_check.timeout_ms",
                "from 10 to 3600000, or 0 for 1000",
            ),
            (
                |c| c.timeout_ms = 5001,
                "health_check.timeout_ms",
                "longer than the interval of 5000",
            ),
            (
                |c| c.interval_ms = 500,
                "health_check.timeout_ms",
                "1000 is longer than the interval of 500",
            ),
            (|c| c.rise = 101, "health_check.rise", "from 1 to 100, or 0 for 1"),
            (|c| c.fall = 101, "health_check.fall", "from 1 to 100, or 0 for 3"),
        ],
    );
}

#[test]
fn keys() {
    let identity = |vrf, prefix: &str| {
        PbKey::Identity(pb::IdentityKey {
            vrf,
            prefix: prefix.into(),
        })
    };
    for (wrong, field) in [
        (identity(0, "10.0.0.0/8"), "identity.vrf"),
        (identity(1, "10.0.0.1/8"), "identity.prefix"),
        (PbKey::Policy(0), "policy"),
        (PbKey::SourceNat(0), "source_nat"),
        (PbKey::Service(0), "service"),
        (PbKey::Mirror(0), "mirror"),
        (PbKey::HealthCheck(0), "health_check"),
    ] {
        assert_eq!(key(&pb::Key { key: Some(wrong) }).unwrap_err().field, field);
    }
}
