//! Snapshots of small worlds with policies, routers, services and all that.

use insta::assert_snapshot;

use super::*;
use crate::compile::{Compiler, Condition, Probe, compile, probes};

fn plan(world: &World, node: &str) -> Plan {
    compile(&world.state, &Name::new(node).unwrap(), &world.health)
}

/// Lines of these kinds only, in the order of keys.
fn only(plan: &Plan, kinds: &[&str]) -> String {
    let lines: Vec<String> = plan
        .values()
        .map(|planned| line(&planned.object))
        .filter(|line| kinds.iter().any(|kind| line.starts_with(kind)))
        .collect();
    lines.join("\n")
}

fn labels(pairs: &[(&str, &str)]) -> std::collections::HashMap<String, String> {
    pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
}

fn app(name: &str) -> intent_pb::Group {
    intent_pb::Group {
        name: name.into(),
        match_labels: labels(&[("app", name)]),
        ..Default::default()
    }
}

fn group_peer(name: &str) -> intent_pb::Peer {
    intent_pb::Peer {
        peer: Some(intent_pb::peer::Peer::Group(name.into())),
        except: vec![],
    }
}

fn allow(name: &str, peers: Vec<intent_pb::Peer>, protocol: &str, ports: &str) -> intent_pb::PolicyRule {
    let traffic = intent_pb::Traffic {
        protocol: protocol.into(),
        ports: ports.into(),
        ..Default::default()
    };
    intent_pb::PolicyRule {
        name: name.into(),
        direction: intent_pb::policy_rule::Direction::Ingress.into(),
        priority: 100,
        action: intent_pb::policy_rule::Action::Allow.into(),
        log: false,
        peers,
        traffic: if protocol.is_empty() { vec![] } else { vec![traffic] },
    }
}

fn blue() -> World {
    let mut world = World::blue(intent_pb::Network::default());
    for name in ["web", "db", "cache"] {
        world.label("blue", name, &[("app", name)]);
        world.group(app(name));
    }
    world
}

/// A second network, with an endpoint on node-b only.
fn with_red(world: &mut World) {
    world.network(intent_pb::Network {
        name: "red".into(),
        ..Default::default()
    });
    world.subnet("red", "v4", "10.2.0.0/24");
    world.subnet("red", "v6", "fd00:2::/64");
    world.endpoint("red", "api", "node-b", "veth-api");
}

fn with_outside(world: &mut World) {
    world.network(intent_pb::Network {
        name: "outside".into(),
        external: true,
        ..Default::default()
    });
    world.subnet("outside", "v4", "198.51.100.0/24");
    world.subnet("outside", "v6", "2001:db8:f::/64");
}

#[test]
fn isolation_with_exceptions_as_kubernetes_has_it() {
    let mut world = blue();
    let mut http = allow("http", vec![group_peer("web")], "tcp", "80");
    http.log = true;
    world.policy(intent_pb::Policy {
        name: "db-from-web".into(),
        applies_to: "db".into(),
        rules: vec![http],
        isolate_ingress: true,
        ..Default::default()
    });
    let block = intent_pb::Peer {
        peer: Some(intent_pb::peer::Peer::Cidr("0.0.0.0/0".into())),
        except: vec!["10.0.0.0/8".into()],
    };
    world.policy(intent_pb::Policy {
        name: "a-metrics".into(),
        applies_to: "db".into(),
        rules: vec![
            allow("prometheus", vec![block], "tcp", "9090-9099"),
            intent_pb::PolicyRule {
                action: intent_pb::policy_rule::Action::Deny.into(),
                ..allow("never", vec![group_peer("cache")], "", "")
            },
        ],
        isolate_ingress: true,
        ..Default::default()
    });
    // Only where db lives is anything known of it.
    assert_eq!(only(&plan(&world, "node-a"), &["policy", "identity"]), "");
    assert_snapshot!(
        "policy_node_b",
        only(&plan(&world, "node-b"), &["policy", "identity", "port"])
    );
}

#[test]
fn a_network_that_denies_by_default_needs_no_policy_to_do_so() {
    let mut world = World::blue(intent_pb::Network {
        default_ingress: intent_pb::DefaultVerdict::DefaultDeny.into(),
        ..Default::default()
    });
    let text = only(&plan(&world, "node-a"), &["policy"]);
    assert_eq!(text, "policy \"blue: \"\n  egress, else ALLOW\n  ingress, else DENY");
    with_red(&mut world);
    assert_eq!(only(&plan(&world, "node-b"), &["policy"]), text, "red has none");
}

#[test]
fn a_policy_is_as_large_for_many_members_as_for_one_and_a_label_changes_one_identity() {
    let mut world = World::default();
    world.node("node-a", &["192.0.2.1"], false);
    world.node("node-b", &["192.0.2.2"], false);
    world.network(intent_pb::Network {
        name: "blue".into(),
        ..Default::default()
    });
    world.subnet("blue", "v4", "10.1.0.0/16");
    world.endpoint("blue", "db", "node-a", "veth-db");
    world.label("blue", "db", &[("app", "db")]);
    world.endpoint("blue", "web-0", "node-b", "veth-0");
    world.label("blue", "web-0", &[("app", "web")]);
    world.group(app("db"));
    world.group(app("web"));
    world.policy(intent_pb::Policy {
        name: "web-only".into(),
        applies_to: "db".into(),
        rules: vec![allow("web", vec![group_peer("web")], "", "")],
        isolate_ingress: true,
        ..Default::default()
    });
    let here = Name::new("node-a").unwrap();
    let mut compiler = Compiler::new(here);
    compiler.update(&world.state, &world.health);
    let policies = only(compiler.plan(), &["policy"]);
    let many = 500;
    world
        .apply(|t| {
            for n in 1..many {
                let endpoint = intent_pb::Endpoint {
                    network: "blue".into(),
                    name: format!("web-{n}"),
                    node: "node-b".into(),
                    interface: format!("veth-{n}"),
                    labels: labels(&[("app", "web")]),
                    ..Default::default()
                };
                intent::create_endpoint(t, EndpointWish::from_proto(Some(endpoint))?)?;
            }
            Ok(())
        })
        .unwrap();
    compiler.update(&world.state, &world.health);
    assert_eq!(only(compiler.plan(), &["policy"]), policies);
    assert_eq!(only(compiler.plan(), &["identity"]).lines().count(), many);
    world.label("blue", "web-7", &[]);
    let changed = compiler.update(&world.state, &world.health);
    let address = world
        .state
        .endpoint(&Name::new("blue").unwrap(), &Name::new("web-7").unwrap())
        .unwrap()
        .addresses[0];
    assert_eq!(
        changed.into_iter().collect::<Vec<_>>(),
        [ObjectKey::Identity(1, address, 32)]
    );
}

#[test]
fn routers_lead_into_each_other_s_networks_and_leaks_into_parts() {
    let mut world = blue();
    with_red(&mut world);
    world.router(intent_pb::Router {
        name: "r".into(),
        networks: vec!["blue".into(), "red".into()],
        ..Default::default()
    });
    // red lives on node-b only: node-a knows how to get there, by red's own identifier, but has no VRF of it.
    assert_snapshot!(
        "router_node_a",
        only(&plan(&world, "node-a"), &["vrf", "vni", "next hop", "route"])
    );
    let at_b = only(&plan(&world, "node-b"), &["vrf", "route"]);
    assert!(at_b.contains("route vrf 1 10.2.0.2/32 -> 1000000004"), "{at_b}");
    assert!(at_b.contains("route vrf 2 10.1.0.3/32 -> 1000000002"), "{at_b}");
    assert!(
        at_b.contains("route vrf 2 10.1.0.1/32 -> 1\n"),
        "gateways answer, too: {at_b}"
    );

    world.router(intent_pb::Router {
        name: "r".into(),
        networks: vec![],
        leaks: vec![intent_pb::RouteLeak {
            from_network: "red".into(),
            to_network: "blue".into(),
            prefix: "10.2.0.2/32".into(),
        }],
        ..Default::default()
    });
    let at_a = only(&plan(&world, "node-a"), &["route"]);
    assert!(
        at_a.contains("route vrf 1 10.2.0.2/32") && !at_a.contains("fd00:2") && !at_a.contains("10.2.0.1"),
        "{at_a}"
    );
    let at_b = only(&plan(&world, "node-b"), &["route vrf 2"]);
    assert!(!at_b.contains("10.1.0."), "one direction only: {at_b}");
}

#[test]
fn policies_know_who_comes_from_joined_networks() {
    let mut world = blue();
    with_red(&mut world);
    world.label("red", "api", &[("app", "web")]);
    world.router(intent_pb::Router {
        name: "r".into(),
        networks: vec!["blue".into(), "red".into()],
        ..Default::default()
    });
    let network = intent_pb::Peer {
        peer: Some(intent_pb::peer::Peer::Network("red".into())),
        except: vec![],
    };
    world.policy(intent_pb::Policy {
        name: "p".into(),
        applies_to: "cache".into(),
        rules: vec![
            allow("web", vec![group_peer("web")], "", ""),
            allow("red", vec![network], "", ""),
        ],
        isolate_ingress: true,
        ..Default::default()
    });
    // cache is on node-c. web is in blue, api in red: both are known in blue's VRF.
    assert_snapshot!(
        "policy_joined_node_c",
        only(&plan(&world, "node-c"), &["policy", "identity"])
    );
}

#[test]
fn ways_out_floating_addresses_and_forwards() {
    let mut world = blue();
    with_outside(&mut world);
    world.router(intent_pb::Router {
        name: "r".into(),
        networks: vec!["blue".into()],
        external_network: "outside".into(),
        translate_sources: true,
        ..Default::default()
    });
    let node = intent_pb::Node {
        name: "node-a".into(),
        nat_addresses: vec!["198.51.100.200".into(), "2001:db8:f::200".into()],
        ..Default::default()
    };
    let mask = Mask::Fields(vec!["nat_addresses".into()]);
    world
        .apply(|t| intent::update_node(t, NodeWish::from_proto(Some(node))?, &mask))
        .unwrap();
    world.floating(intent_pb::FloatingIp {
        name: "web".into(),
        network: "outside".into(),
        endpoint: "blue/web".into(),
        ..Default::default()
    });
    world.floating(intent_pb::FloatingIp {
        name: "ports".into(),
        network: "outside".into(),
        family: 6,
        forwards: vec![intent_pb::PortForward {
            protocol: "tcp".into(),
            port: 8080,
            endpoint: "blue/web".into(),
            target_port: 80,
        }],
        ..Default::default()
    });
    let kinds = [
        "vrf",
        "next hop 2",
        "next hop 4",
        "next hop 5",
        "next hop 6",
        "route vrf 2",
        "route vrf 1 10.1.0.0/24",
        "route vrf 1 0",
        "route vrf 1 ::",
        "source",
        "service",
    ];
    assert_snapshot!("outside_node_a", only(&plan(&world, "node-a"), &kinds));
    let at_b = only(&plan(&world, "node-b"), &["service", "source", "route vrf 2"]);
    assert_eq!(
        at_b.lines().count(),
        4,
        "node-b owns nothing out there, but gets there: {at_b}"
    );

    // Where the endpoint goes, its address goes.
    world.place("blue", "web", "node-b", "veth-web").unwrap();
    assert!(!only(&plan(&world, "node-a"), &["service"]).contains("floating"));
    assert!(only(&plan(&world, "node-b"), &["service"]).contains("floating web"));
}

#[test]
fn translations_behind_the_same_addresses_share_their_ports() {
    let mut world = blue();
    with_red(&mut world);
    with_outside(&mut world);
    for (network, size, blocks) in [("blue", 64, 16), ("red", 256, 8)] {
        world.router(intent_pb::Router {
            name: network.into(),
            networks: vec![network.into()],
            external_network: "outside".into(),
            translate_sources: true,
            port_block_size: size,
            port_blocks_per_endpoint: blocks,
            ..Default::default()
        });
    }
    let node = intent_pb::Node {
        name: "node-b".into(),
        nat_addresses: vec!["198.51.100.200".into()],
        ..Default::default()
    };
    let mask = Mask::Fields(vec!["nat_addresses".into()]);
    world
        .apply(|t| intent::update_node(t, NodeWish::from_proto(Some(node))?, &mask))
        .unwrap();
    let text = only(&plan(&world, "node-b"), &["source"]);
    // Red's 2,048 ports, in blue's blocks.
    assert_eq!(text.matches("blocks 32 x 64").count(), 2, "{text}");
}

#[test]
fn names_are_never_too_long_for_a_dataplane() {
    let (network, name) = ("n".repeat(63), "e".repeat(63));
    let mut world = World::default();
    world.node("node-a", &["192.0.2.1"], false);
    world.network(intent_pb::Network {
        name: network.clone(),
        default_ingress: intent_pb::DefaultVerdict::DefaultDeny.into(),
        ..Default::default()
    });
    world.subnet(&network, "v4", "10.1.0.0/24");
    world.endpoint(&network, &name, "node-a", "veth");
    let text = describe(&plan(&world, "node-a"));
    assert!(!text.contains(&"n".repeat(64)) && !text.contains("/e"), "{text}");
    assert!(text.contains(&format!("port 1 {}...: veth", &network[..60])), "{text}");
}

#[test]
fn a_backend_that_is_named_twice_is_one() {
    let mut world = blue();
    world.service(intent_pb::Service {
        backends: vec![intent_pb::ServiceBackend {
            backend: Some(intent_pb::service_backend::Backend::Address("10.1.0.2".into())),
            ..Default::default()
        }],
        health_check: None,
        ..service(&[80])
    });
    let text = only(&plan(&world, "node-c"), &["service"]);
    assert_eq!(text.matches(" 10.1.0.2:8080").count(), 1, "{text}");
}

fn service(ports: &[u32]) -> intent_pb::Service {
    intent_pb::Service {
        network: "blue".into(),
        name: "front".into(),
        ports: ports
            .iter()
            .map(|port| intent_pb::ServicePort {
                name: format!("p{port}"),
                port: *port,
                target_port: 8000 + port,
                ..Default::default()
            })
            .collect(),
        group: "web".into(),
        health_check: Some(intent_pb::ServiceHealthCheck {
            kind: "http".into(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn say(world: &mut World, healthy: bool) -> Vec<Probe> {
    let mut all = Vec::new();
    for service in world.state.services() {
        for backend in world.state.backends(service) {
            all.extend(probes(&world.state, service, &backend));
        }
    }
    for probe in &all {
        let detail = String::new();
        world.health.set(*probe, Condition { healthy, detail });
    }
    all
}

#[test]
fn a_service_has_no_backends_until_they_are_known_to_be_well() {
    let mut world = blue();
    world.label("blue", "db", &[("app", "web")]);
    world.service(service(&[80]));
    let kinds = ["service", "health", "route vrf 1 10.1.0.5"];
    assert_snapshot!("service_unknown_node_a", only(&plan(&world, "node-a"), &kinds));
    let probes = say(&mut world, true);
    assert_eq!(probes.len(), 4, "two backends of two families");
    assert_snapshot!(
        "service_well_node_c",
        only(&plan(&world, "node-c"), &["service", "health"])
    );
    let one = Condition {
        healthy: false,
        detail: "connection refused".into(),
    };
    world.health.set(probes[0], one);
    let text = only(&plan(&world, "node-c"), &["service"]);
    assert_eq!(
        text.matches("blue/").count(),
        2 + 3,
        "two services, three backends left: {text}"
    );
}

#[test]
fn nodes_prefer_their_own_backends_and_let_the_others_go_gently() {
    let mut world = blue();
    world.label("blue", "db", &[("app", "web")]);
    world.service(intent_pb::Service {
        prefer_local: true,
        health_check: None,
        ..service(&[80])
    });
    let text = only(&plan(&world, "node-a"), &["service"]);
    assert!(text.contains("blue/web 10.1.0.2:8080 vrf 1 weight 1"), "{text}");
    assert_eq!(text.matches("draining").count(), 2, "{text}");
    assert!(text.contains("blue/db 10.1.0.3:8080 vrf 1 weight 1 draining"), "{text}");
    let elsewhere = only(&plan(&world, "node-c"), &["service"]);
    assert!(!elsewhere.contains("draining"), "{elsewhere}");
}

#[test]
fn a_service_of_a_bridged_network_has_the_gateways_mac_and_joined_networks_see_it() {
    let mut world = World::blue(intent_pb::Network {
        bridged: true,
        ..Default::default()
    });
    world.label("blue", "web", &[("app", "web")]);
    world.group(app("web"));
    with_red(&mut world);
    world.router(intent_pb::Router {
        name: "r".into(),
        networks: vec!["blue".into(), "red".into()],
        ..Default::default()
    });
    world.service(intent_pb::Service {
        health_check: None,
        ..service(&[80])
    });
    let at_b = plan(&world, "node-b");
    let neighbors = only(&at_b, &["neighbor bridge 1 10.1.0.5", "neighbor bridge 1 fd00:1::5"]);
    assert_eq!(neighbors.matches("= 00:00:5e:00:01:00").count(), 2, "{neighbors}");
    let services = only(&at_b, &["service"]);
    assert!(
        services.contains("vrf 2 10.1.0.5 protocol 6 port 80\n  blue/web 10.1.0.2:8080 vrf 2"),
        "{services}"
    );
}

#[test]
fn limits_and_mirrors() {
    let mut world = blue();
    world.qos(intent_pb::QosProfile {
        name: "gold".into(),
        egress: Some(intent_pb::QosRate {
            bits_per_second: 1_000_000,
            ..Default::default()
        }),
        dscp: Some(46),
        ..Default::default()
    });
    let endpoint = intent_pb::Endpoint {
        network: "blue".into(),
        name: "web".into(),
        qos: "gold".into(),
        allowed_addresses: vec!["10.9.0.0/24".into(), "fd00:9::1".into()],
        allowed_macs: vec!["02:00:00:00:00:99".into()],
        ..Default::default()
    };
    world
        .change(endpoint, &["qos", "allowed_addresses", "allowed_macs"])
        .unwrap();
    world.endpoint("blue", "sniffer", "node-a", "veth-sniffer");
    let mirror = |name: &str, collector| intent_pb::Mirror {
        name: name.into(),
        group: "web".into(),
        endpoints: vec!["blue/cache".into()],
        collector: Some(collector),
        ..Default::default()
    };
    world.mirror(mirror(
        "here",
        intent_pb::mirror::Collector::Endpoint("blue/sniffer".into()),
    ));
    world.mirror(mirror(
        "elsewhere",
        intent_pb::mirror::Collector::Endpoint("blue/db".into()),
    ));
    let erspan = intent_pb::ErspanCollector {
        address: "192.0.2.200".into(),
        session: 7,
    };
    world.mirror(mirror("away", intent_pb::mirror::Collector::Erspan(erspan)));
    let kinds = ["port", "mirror", "next hop 7", "route vrf 1 10.9", "route vrf 1 fd00:9"];
    assert_snapshot!("limits_and_mirrors_node_a", only(&plan(&world, "node-a"), &kinds));
    let at_c = only(&plan(&world, "node-c"), &["mirror"]);
    assert!(
        at_c.contains("away") && at_c.lines().count() == 1,
        "collectors are elsewhere: {at_c}"
    );
}
