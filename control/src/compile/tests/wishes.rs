//! Wishes that differ in a few small numbers, for random worlds.

use vrouter_proto::control as intent_pb;

use super::steps::NETWORKS;

pub(super) fn rate(bits: u64) -> intent_pb::QosRate {
    intent_pb::QosRate {
        bits_per_second: bits,
        ..Default::default()
    }
}

pub(super) fn group(which: u8, variant: u8) -> intent_pb::Group {
    let web = [("app".to_owned(), "web".to_owned())];
    let mut group = intent_pb::Group {
        name: format!("g{which}"),
        ..Default::default()
    };
    match variant {
        0 => group.match_labels.extend(web),
        1 => {
            group.match_labels.extend(web);
            group.networks.push("routed".into());
        }
        2 => group.groups.push(format!("g{}", which + 1)),
        3 => group
            .endpoints
            .extend(["routed/e0".to_owned(), "bridged/e1".to_owned()]),
        _ => group.match_expressions.push(intent_pb::LabelRequirement {
            key: "app".into(),
            operator: intent_pb::label_requirement::Operator::NotIn.into(),
            values: vec!["db".into()],
        }),
    }
    group
}

pub(super) fn policy(which: u8, variant: u8, group: u8) -> intent_pb::Policy {
    use intent_pb::policy_rule::{Action, Direction};
    let by_group = intent_pb::peer::Peer::Group(format!("g{}", group % 3));
    let peer = |peer, except: &[&str]| intent_pb::Peer {
        peer: Some(peer),
        except: except.iter().map(ToString::to_string).collect(),
    };
    let cidr = |text: &str| intent_pb::peer::Peer::Cidr(text.into());
    let traffic = |protocol: &str, ports: &str| intent_pb::Traffic {
        protocol: protocol.into(),
        ports: ports.into(),
        ..Default::default()
    };
    let rule = |name: &str, direction: Direction, priority, action: Action, peers, traffic| intent_pb::PolicyRule {
        name: name.into(),
        direction: direction.into(),
        priority,
        action: action.into(),
        log: false,
        peers,
        traffic,
    };
    let (http, dns) = (vec![traffic("tcp", "80-90")], vec![traffic("udp", "53")]);
    let rules = match variant {
        0 => vec![rule(
            "all",
            Direction::Ingress,
            10,
            Action::Allow,
            vec![peer(by_group, &[])],
            vec![],
        )],
        1 => vec![
            rule(
                "http",
                Direction::Ingress,
                10,
                Action::Allow,
                vec![peer(by_group, &[])],
                http,
            ),
            rule("rest", Direction::Ingress, 20, Action::Deny, vec![], vec![]),
        ],
        2 => vec![rule(
            "world",
            Direction::Egress,
            10,
            Action::Allow,
            vec![
                peer(cidr("0.0.0.0/0"), &["10.0.0.0/8", "198.51.100.7/32"]),
                peer(by_group, &[]),
            ],
            vec![],
        )],
        3 => vec![
            rule("dns", Direction::Egress, 5, Action::Allow, vec![], dns),
            rule(
                "one",
                Direction::Ingress,
                10,
                Action::Deny,
                vec![peer(cidr("10.0.0.3/32"), &[])],
                vec![],
            ),
            rule(
                "part",
                Direction::Ingress,
                10,
                Action::Allow,
                vec![peer(cidr("10.9.0.0/28"), &[])],
                vec![],
            ),
        ],
        4 => {
            let network = intent_pb::peer::Peer::Network("labelled".into());
            vec![rule(
                "net",
                Direction::Ingress,
                10,
                Action::Audit,
                vec![peer(network, &[])],
                vec![],
            )]
        }
        _ => vec![],
    };
    intent_pb::Policy {
        name: format!("p{which}"),
        applies_to: if group == 3 { String::new() } else { format!("g{group}") },
        network: if which == 2 { "routed".into() } else { String::new() },
        rules,
        isolate_ingress: variant == 0 || variant == 5,
        isolate_egress: variant == 2,
        ..Default::default()
    }
}

pub(super) fn router(which: u8, networks: u8, way_out: bool, leak: u8) -> intent_pb::Router {
    let networks = (0..NETWORKS.len()).filter(|n| networks & (1 << n) != 0);
    let leaks = match leak {
        1 => vec![("routed", "bridged", "10.0.0.0/30")],
        2 => vec![
            ("labelled", "routed", "10.0.1.0/28"),
            ("routed", "labelled", "10.0.0.2/32"),
        ],
        _ => vec![],
    };
    intent_pb::Router {
        name: format!("r{which}"),
        networks: networks.map(|n| NETWORKS[n].to_owned()).collect(),
        external_network: if way_out { "outside".into() } else { String::new() },
        translate_sources: way_out,
        leaks: leaks
            .into_iter()
            .map(|(from, to, prefix)| intent_pb::RouteLeak {
                from_network: from.into(),
                to_network: to.into(),
                prefix: prefix.into(),
            })
            .collect(),
        ..Default::default()
    }
}

pub(super) fn floating(which: u8, network: &str, name: u8, forward: bool) -> intent_pb::FloatingIp {
    let endpoint = format!("{network}/e{name}");
    let forwards = vec![intent_pb::PortForward {
        protocol: "tcp".into(),
        port: 8080,
        endpoint: endpoint.clone(),
        target_port: 80,
    }];
    intent_pb::FloatingIp {
        name: format!("f{which}"),
        network: "outside".into(),
        endpoint: if forward { String::new() } else { endpoint },
        forwards: if forward { forwards } else { vec![] },
        ..Default::default()
    }
}

pub(super) fn service(which: u8, network: &str, variant: u8, name: u8) -> intent_pb::Service {
    let backend = |endpoint: String, draining| intent_pb::ServiceBackend {
        backend: Some(intent_pb::service_backend::Backend::Endpoint(endpoint)),
        weight: 3,
        draining,
    };
    let check = intent_pb::ServiceHealthCheck {
        kind: "http".into(),
        ..Default::default()
    };
    let address = intent_pb::service_backend::Backend::Address("10.0.0.4".into());
    intent_pb::Service {
        network: network.into(),
        name: format!("s{which}"),
        addresses: if which == 1 {
            vec![format!("10.77.0.{which}")]
        } else {
            vec![]
        },
        ports: vec![intent_pb::ServicePort {
            port: 80,
            target_port: 8080,
            ..Default::default()
        }],
        group: if variant < 3 {
            format!("g{}", variant % 3)
        } else {
            String::new()
        },
        backends: match variant {
            0 | 1 => vec![],
            2 | 3 => vec![backend(format!("{network}/e{name}"), false)],
            4 => vec![backend(format!("{network}/e{name}"), true)],
            _ => vec![intent_pb::ServiceBackend {
                backend: Some(address),
                ..Default::default()
            }],
        },
        prefer_local: variant % 2 == 1,
        health_check: name.is_multiple_of(2).then_some(check),
        affinity_seconds: u32::from(variant) * 10,
        ..Default::default()
    }
}

pub(super) fn mirror(which: u8, variant: u8, name: u8) -> intent_pb::Mirror {
    use intent_pb::mirror::Collector;
    let collector = match variant {
        0..=2 => Collector::Endpoint(format!("{}/e{name}", NETWORKS[usize::from(variant)])),
        3 => Collector::Vxlan(intent_pb::VxlanCollector {
            address: "192.0.2.200".into(),
            vni: 99,
        }),
        _ => Collector::Erspan(intent_pb::ErspanCollector {
            address: "2001:db8::200".into(),
            session: 7,
        }),
    };
    intent_pb::Mirror {
        name: format!("m{which}"),
        group: if which < 3 { format!("g{which}") } else { String::new() },
        endpoints: if which < 3 {
            vec![]
        } else {
            vec![
                format!("routed/e{}", (name + which) % 6),
                format!("bridged/e{}", (name + 1) % 6),
            ]
        },
        ingress: variant == 4,
        prefixes: if variant == 5 {
            vec!["10.0.0.0/8".into()]
        } else {
            vec![]
        },
        collector: Some(collector),
        ..Default::default()
    }
}
