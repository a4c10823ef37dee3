//! Policies.

use pb::policy_rule::{Action, Direction};

use super::{fixture::*, *};

fn rule(name: &str) -> pb::PolicyRule {
    pb::PolicyRule {
        name: name.into(),
        direction: Direction::Ingress.into(),
        action: Action::Allow.into(),
        priority: 100,
        ..Default::default()
    }
}

fn policy(name: &str, rules: Vec<pb::PolicyRule>) -> pb::Policy {
    pb::Policy {
        name: name.into(),
        rules,
        ..Default::default()
    }
}

fn from(peer: pb::peer::Peer, except: &[&str]) -> pb::Peer {
    pb::Peer {
        peer: Some(peer),
        except: except.iter().map(ToString::to_string).collect(),
    }
}

fn traffic(protocol: &str, ports: &str) -> pb::Traffic {
    pb::Traffic {
        protocol: protocol.into(),
        ports: ports.into(),
        ..Default::default()
    }
}

async fn with_group() -> House {
    let mut house = two_networks().await;
    let group = pb::Group {
        name: "inner".into(),
        match_labels: [("tier".into(), "inner".into())].into(),
        ..Default::default()
    };
    house.group(group).await.unwrap();
    house
}

#[tokio::test]
async fn a_policy_lives_from_create_to_delete() {
    let mut house = with_group().await;
    let rules = vec![
        pb::PolicyRule {
            log: true,
            peers: vec![
                from(pb::peer::Peer::Group("inner".into()), &[]),
                from(pb::peer::Peer::Cidr("0.0.0.0/0".into()), &["10.0.0.0/8"]),
                from(pb::peer::Peer::Cidr("2001:db8::/32".into()), &["2001:db8::7/128"]),
                from(pb::peer::Peer::Network("red".into()), &[]),
            ],
            traffic: vec![
                traffic("tcp", "443"),
                traffic("udp", "8000-8999"),
                pb::Traffic {
                    icmp_type: Some(128),
                    icmp_code: Some(0),
                    ..traffic("icmpv6", "")
                },
                traffic("47", ""),
            ],
            ..rule("in")
        },
        pb::PolicyRule {
            direction: Direction::Egress.into(),
            action: Action::Audit.into(),
            priority: 65_535,
            ..rule("out")
        },
    ];
    let wish = pb::Policy {
        applies_to: "inner".into(),
        network: "blue".into(),
        isolate_ingress: true,
        ..policy("web", rules.clone())
    };
    let made = house.policy(wish.clone()).await.unwrap();
    assert_eq!((made.number, made.endpoints), (1, 2));
    assert_eq!(made.rules, rules, "rules come back as they were sent");
    assert_eq!(house.policy(wish.clone()).await.unwrap(), made);
    assert_eq!(house.policy(made.clone()).await.unwrap(), made);
    let everybody = house.policy(policy("all", vec![])).await.unwrap();
    assert_eq!(everybody.endpoints, 3);

    let update = pb::UpdatePolicyRequest {
        policy: Some(pb::Policy {
            revision: made.revision,
            ..policy("web", vec![])
        }),
        update_mask: mask(&["applies_to", "network"]),
    };
    let updated = house.client.update_policy(update.clone()).await.unwrap().into_inner();
    assert_eq!((updated.endpoints, updated.rules.len()), (3, 2));
    refused(
        house.client.update_policy(update).await,
        Code::Aborted,
        "policy.revision",
        "it is at",
    );
    refused(
        house.delete_group("inner").await,
        Code::FailedPrecondition,
        "name",
        "policy web",
    );

    let mut house = house.restart().await;
    assert_eq!(house.get_policy("web").await.unwrap(), updated);
    let list = house
        .client
        .list_policies(pb::ListPoliciesRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        list.policies.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(),
        ["all", "web"]
    );
    assert!(house.delete_policy("web").await.unwrap());
    assert!(!house.delete_policy("web").await.unwrap());
    assert!(house.delete_group("inner").await.unwrap());
    house.clean().await;
}

#[tokio::test]
async fn bad_policies_are_refused() {
    let mut house = with_group().await;
    let peer = |peer| {
        policy(
            "p",
            vec![pb::PolicyRule {
                peers: vec![peer],
                ..rule("r")
            }],
        )
    };
    let of = |t| {
        policy(
            "p",
            vec![pb::PolicyRule {
                traffic: vec![t],
                ..rule("r")
            }],
        )
    };
    let cidr = |text: &str, except: &[&str]| peer(from(pb::peer::Peer::Cidr(text.into()), except));
    let cases = [
        (
            pb::Policy {
                applies_to: "iner".into(),
                ..policy("p", vec![])
            },
            Code::NotFound,
            "policy.applies_to",
            "there is no group iner; did you mean inner?",
        ),
        (
            pb::Policy {
                network: "bleu".into(),
                ..policy("p", vec![])
            },
            Code::NotFound,
            "policy.network",
            "did you mean blue?",
        ),
        (
            pb::Policy {
                network: "ext".into(),
                ..policy("p", vec![])
            },
            Code::InvalidArgument,
            "policy.network",
            "has no endpoints",
        ),
        (
            policy("p", vec![rule("r"), rule("s"), rule("r")]),
            Code::InvalidArgument,
            "policy.rules[2].name",
            "rules[0]",
        ),
        (
            policy(
                "p",
                vec![pb::PolicyRule {
                    priority: 65_536,
                    ..rule("r")
                }],
            ),
            Code::InvalidArgument,
            "policy.rules[0].priority",
            "0 to 65535",
        ),
        (
            policy(
                "p",
                vec![pb::PolicyRule {
                    direction: 0,
                    ..rule("r")
                }],
            ),
            Code::InvalidArgument,
            "policy.rules[0].direction",
            "INGRESS or EGRESS",
        ),
        (
            policy("p", vec![pb::PolicyRule { action: 0, ..rule("r") }]),
            Code::InvalidArgument,
            "policy.rules[0].action",
            "ALLOW, DENY or AUDIT",
        ),
        (
            policy("p", vec![rule("")]),
            Code::InvalidArgument,
            "policy.rules[0].name",
            "empty",
        ),
        (
            peer(from(pb::peer::Peer::Group("innner".into()), &[])),
            Code::NotFound,
            "policy.rules[0].peers[0].group",
            "did you mean inner?",
        ),
        (
            peer(from(pb::peer::Peer::Group("inner".into()), &["10.0.0.0/8"])),
            Code::InvalidArgument,
            "policy.rules[0].peers[0].except",
            "cidr only",
        ),
        (
            peer(pb::Peer::default()),
            Code::InvalidArgument,
            "policy.rules[0].peers[0]",
            "names nobody",
        ),
        (
            peer(from(pb::peer::Peer::Network("ext".into()), &[])),
            Code::InvalidArgument,
            "policy.rules[0].peers[0].network",
            "a cidr would be right",
        ),
        (
            cidr("10.0.0.1/8", &[]),
            Code::InvalidArgument,
            "policy.rules[0].peers[0].cidr",
            "10.0.0.0/8 would be right",
        ),
        (
            cidr("10.0.0.0/8", &["10.1.0.0/16", "11.0.0.0/16"]),
            Code::InvalidArgument,
            "policy.rules[0].peers[0].except[1]",
            "not in 10.0.0.0/8",
        ),
        (
            cidr("fd00::/8", &["fd00::/8"]),
            Code::InvalidArgument,
            "policy.rules[0].peers[0].except[0]",
            "nobody would be left",
        ),
        (
            of(traffic("tpc", "")),
            Code::InvalidArgument,
            "policy.rules[0].traffic[0].protocol",
            "no protocol",
        ),
        (
            of(traffic("tcp", "0-80")),
            Code::InvalidArgument,
            "policy.rules[0].traffic[0].ports",
            "from 1 to 65535",
        ),
        (
            of(traffic("", "80")),
            Code::InvalidArgument,
            "policy.rules[0].traffic[0].ports",
            "need a protocol",
        ),
    ];
    for (wish, code, field, says) in cases {
        refused(house.policy(wish).await, code, field, says);
    }
    let update = pb::UpdatePolicyRequest {
        policy: Some(policy("wbe", vec![])),
        update_mask: None,
    };
    house.policy(policy("web", vec![])).await.unwrap();
    refused(
        house.client.update_policy(update).await,
        Code::NotFound,
        "policy.name",
        "no policy wbe; did you mean web?",
    );
}

#[tokio::test]
async fn networks_have_defaults() {
    let mut house = two_networks().await;
    let get = |name: &str| pb::GetNetworkRequest { name: name.into() };
    let blue = house.client.get_network(get("blue")).await.unwrap().into_inner();
    assert_eq!(blue.default_ingress(), pb::DefaultVerdict::DefaultAllow);
    let update = pb::UpdateNetworkRequest {
        network: Some(pb::Network {
            default_ingress: pb::DefaultVerdict::DefaultDeny.into(),
            ..blue
        }),
        update_mask: mask(&["default_ingress"]),
    };
    let denied = house.client.update_network(update).await.unwrap().into_inner();
    assert_eq!(denied.default_ingress(), pb::DefaultVerdict::DefaultDeny);
    assert_eq!(denied.default_egress(), pb::DefaultVerdict::DefaultAllow);
    let bad = pb::UpdateNetworkRequest {
        network: Some(pb::Network {
            default_egress: 7,
            ..denied
        }),
        update_mask: None,
    };
    refused(
        house.client.update_network(bad).await,
        Code::InvalidArgument,
        "network.default_egress",
        "no verdict",
    );
}
