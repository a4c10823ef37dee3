//! The classifier against reading the rules one after the other.

use proptest::{collection::vec, prelude::*, sample::select};

use super::*;
use crate::wire::proto;

/// Few enough protocols, ports, types and groups that rules meet.
fn protocol() -> impl Strategy<Value = u8> {
    select(vec![
        0,
        proto::ICMP,
        proto::TCP,
        proto::TCP,
        proto::UDP,
        proto::GRE,
        proto::ICMPV6,
        proto::SCTP,
        200,
    ])
}

fn port() -> impl Strategy<Value = u16> {
    prop_oneof![0..12_u16, Just(u16::MAX - 1), Just(u16::MAX), any::<u16>()]
}

/// Also such as [`TrafficMatch::check`] refuses: they must at least mean the same everywhere.
fn kind() -> impl Strategy<Value = TrafficMatch> {
    let ports = prop_oneof![
        Just((0, 0)),
        (port(), port()).prop_map(|(a, b)| (a.min(b), a.max(b))),
        (port(), port())
    ];
    let code = || prop_oneof![3 => Just(None), 1 => (0..4_u8).prop_map(Some), 1 => Just(Some(255))];
    (protocol(), ports, code(), code()).prop_map(|(protocol, (first_port, last_port), icmp_type, icmp_code)| {
        TrafficMatch {
            protocol,
            first_port,
            last_port,
            icmp_type,
            icmp_code,
        }
    })
}

fn verdict() -> impl Strategy<Value = Verdict> {
    select(vec![Verdict::Allow, Verdict::Deny, Verdict::Audit])
}

fn rules() -> impl Strategy<Value = Arc<[RuleSpec]>> {
    let rule = (vec(0..8_u32, 0..4), vec(kind(), 0..3), verdict(), any::<bool>());
    vec(rule, 0..24).prop_map(|rules| {
        let numbered = (1..).zip(rules);
        let spec = |(id, (groups, traffic, verdict, log)): (u32, (Vec<_>, Vec<_>, _, _))| RuleSpec {
            id,
            name: format!("rule-{id}").into(),
            groups: groups.into(),
            traffic: traffic.into(),
            verdict,
            log,
        };
        numbered.map(spec).collect()
    })
}

fn packet() -> impl Strategy<Value = Traffic> {
    (protocol(), port(), prop_oneof![0..4_u8, Just(255)]).prop_map(|(protocol, port, code)| match protocol {
        proto::TCP | proto::UDP | proto::SCTP => Traffic {
            protocol,
            first_port: port,
            code: 0,
        },
        proto::ICMP | proto::ICMPV6 => Traffic {
            protocol,
            first_port: port & 0xff,
            code,
        },
        _ => Traffic {
            protocol,
            first_port: 0,
            code: 0,
        },
    })
}

fn linear(rules: &[RuleSpec], default: Verdict, groups: &[u32], traffic: &Traffic) -> Ruling {
    let found = rules.iter().find(|rule| rule.matches(groups, traffic));
    found.map_or(
        Ruling {
            verdict: default,
            rule: DEFAULT_RULE,
            log: false,
        },
        |rule| Ruling {
            verdict: rule.verdict,
            rule: rule.id,
            log: rule.log,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn decides_as_reading_the_rules_in_order_would(
        egress in rules(),
        ingress in rules(),
        egress_default in verdict(),
        ingress_default in verdict(),
        questions in vec((vec(0..10_u32, 0..5), packet()), 40),
    ) {
        let spec = PolicySpec { id: 1, name: "p".into(), egress, ingress, egress_default, ingress_default };
        let policy = Policy::compile(&spec);
        for (groups, traffic) in questions {
            let expected = linear(&spec.egress, egress_default, &groups, &traffic);
            prop_assert_eq!(policy.decide(Side::Egress, &groups, &traffic), expected);
            let expected = linear(&spec.ingress, ingress_default, &groups, &traffic);
            prop_assert_eq!(policy.decide(Side::Ingress, &groups, &traffic), expected);
        }
    }
}

fn rule(id: u32, name: &str, groups: &[u32], traffic: &[TrafficMatch], verdict: Verdict) -> RuleSpec {
    RuleSpec {
        id,
        name: name.into(),
        groups: groups.into(),
        traffic: traffic.into(),
        verdict,
        log: false,
    }
}

#[test]
fn ten_thousand_rules_decide_as_reading_them_would() {
    let port = |id: u32| (id * 7 % 60_000) as u16 + 1;
    let egress: Arc<[_]> = (1..=10_000)
        .map(|id| {
            let ports = TrafficMatch::ports(proto::TCP, port(id), port(id) + 20);
            let verdict = if id % 3 == 0 { Verdict::Deny } else { Verdict::Allow };
            rule(id, "r", &[id % 1000, 5000], &[ports], verdict)
        })
        .collect();
    let spec = PolicySpec {
        id: 1,
        name: "large".into(),
        egress,
        ingress: Arc::from([]),
        egress_default: Verdict::Deny,
        ingress_default: Verdict::Allow,
    };
    let policy = Policy::compile(&spec);
    let mut matched = 0;
    for number in 0..400_u32 {
        let traffic = Traffic {
            protocol: proto::TCP,
            first_port: (number * 163) as u16,
            code: 0,
        };
        for groups in [&[number % 1000][..], &[3, number % 1000, 7777], &[5000], &[]] {
            let expected = linear(&spec.egress, Verdict::Deny, groups, &traffic);
            matched += u32::from(expected.rule != DEFAULT_RULE);
            assert_eq!(policy.decide(Side::Egress, groups, &traffic), expected);
        }
    }
    assert!(matched > 300, "{matched}: the questions must find rules");
}

#[test]
fn verdicts_name_their_rule() {
    let spec = PolicySpec {
        id: 9,
        name: "web".into(),
        egress: Arc::from([rule(1, "out", &[], &[], Verdict::Allow)]),
        ingress: Arc::from([
            rule(7, "other/https", &[], &[], Verdict::Allow),
            rule(3, "", &[], &[], Verdict::Allow),
        ]),
        egress_default: Verdict::Deny,
        ingress_default: Verdict::Deny,
    };
    let policy = Policy::compile(&spec);
    assert_eq!((policy.id(), &**policy.name()), (9, "web"));
    assert_eq!(policy.rule_name(1), "web/out");
    assert_eq!(policy.rule_name(7), "other/https");
    assert_eq!(policy.rule_name(3), "web/rule 3");
    assert_eq!(policy.rule_name(4), "web/rule 4");
    assert_eq!(policy.rule_name(DEFAULT_RULE), "web/default");
    assert_eq!(policy.rule_name(0), "");
}
