//! Random changes of a world with everything in it.

use proptest::prelude::*;

use super::*;
use crate::{
    compile::{Condition, probes},
    model::{FloatingIpSpec, GroupSpec, MirrorSpec, PolicySpec, RouterSpec, ServiceSpec},
};

pub(crate) const NODES: [&str; 4] = ["node-a", "node-b", "node-c", "switch"];
pub(crate) const NETWORKS: [&str; 3] = ["routed", "labelled", "bridged"];

/// One random change; refused ones change nothing.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Add {
        network: usize,
        name: u8,
        node: usize,
        attached: bool,
    },
    Move {
        network: usize,
        name: u8,
        node: usize,
        attached: bool,
    },
    Remove {
        network: usize,
        name: u8,
    },
    Subnet {
        network: usize,
        number: u8,
    },
    Switch {
        network: usize,
        mpls: bool,
        mtu: u32,
    },
    Observe {
        node: usize,
        six: bool,
    },
    /// Labels, addresses allowed beside its own, and limits.
    Dress {
        network: usize,
        name: u8,
        label: u8,
        allowed: u8,
        limited: bool,
    },
    Group {
        which: u8,
        variant: u8,
    },
    Policy {
        which: u8,
        variant: u8,
        group: u8,
    },
    Router {
        which: u8,
        networks: u8,
        way_out: bool,
        leak: u8,
    },
    Floating {
        which: u8,
        network: usize,
        name: u8,
        forward: bool,
    },
    Service {
        which: u8,
        network: usize,
        variant: u8,
        name: u8,
    },
    Mirror {
        which: u8,
        variant: u8,
        name: u8,
    },
    /// Removes one of the kinds above.
    Without {
        kind: u8,
        which: u8,
        network: usize,
    },
    /// The node translates behind other addresses.
    Translate {
        node: usize,
        addresses: u8,
    },
    /// Some backends are well.
    Health {
        seed: u8,
    },
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let endpoint = || (0..NETWORKS.len(), 0_u8..6, 0..NODES.len(), any::<bool>());
    prop_oneof![
        4 => endpoint().prop_map(|(network, name, node, attached)| Step::Add { network, name, node, attached }),
        2 => endpoint().prop_map(|(network, name, node, attached)| Step::Move { network, name, node, attached }),
        2 => endpoint().prop_map(|(network, name, ..)| Step::Remove { network, name }),
        1 => (0..NETWORKS.len(), 1_u8..4).prop_map(|(network, number)| Step::Subnet { network, number }),
        1 => (0..2_usize, any::<bool>(), prop_oneof![Just(0), Just(1400)]).prop_map(|(network, mpls, mtu)| Step::Switch { network, mpls, mtu }),
        1 => (0..3_usize, any::<bool>()).prop_map(|(node, six)| Step::Observe { node, six }),
        3 => (0..NETWORKS.len(), 0_u8..6, 0_u8..4, 0_u8..6, any::<bool>())
            .prop_map(|(network, name, label, allowed, limited)| Step::Dress { network, name, label, allowed, limited }),
        1 => (0_u8..3, 0_u8..5).prop_map(|(which, variant)| Step::Group { which, variant }),
        2 => (0_u8..3, 0_u8..6, 0_u8..4).prop_map(|(which, variant, group)| Step::Policy { which, variant, group }),
        2 => (0_u8..2, 0_u8..8, any::<bool>(), 0_u8..4)
            .prop_map(|(which, networks, way_out, leak)| Step::Router { which, networks, way_out, leak }),
        2 => (0_u8..2, 0..NETWORKS.len(), 0_u8..6, any::<bool>())
            .prop_map(|(which, network, name, forward)| Step::Floating { which, network, name, forward }),
        2 => (0_u8..2, 0..NETWORKS.len(), 0_u8..6, 0_u8..6)
            .prop_map(|(which, network, variant, name)| Step::Service { which, network, variant, name }),
        2 => (0_u8..6, 0_u8..6, 0_u8..6).prop_map(|(which, variant, name)| Step::Mirror { which, variant, name }),
        1 => (0_u8..6, 0_u8..3, 0..NETWORKS.len()).prop_map(|(kind, which, network)| Step::Without { kind, which, network }),
        1 => (0..3_usize, 0_u8..4).prop_map(|(node, addresses)| Step::Translate { node, addresses }),
        1 => any::<u8>().prop_map(|seed| Step::Health { seed }),
    ]
}

pub(crate) fn world() -> World {
    let mut world = World::default();
    world.node("node-a", &["192.0.2.1", "2001:db8::1"], false);
    world.node("node-b", &[], false);
    world.node("node-c", &["2001:db8::3"], false);
    world.node("switch", &["192.0.2.9"], true);
    let mpls = intent_pb::Encapsulation::MplsUdp.into();
    world.network(intent_pb::Network {
        name: "routed".into(),
        ..Default::default()
    });
    world.network(intent_pb::Network {
        name: "labelled".into(),
        encapsulation: mpls,
        ..Default::default()
    });
    world.network(intent_pb::Network {
        name: "bridged".into(),
        bridged: true,
        ..Default::default()
    });
    for (index, network) in NETWORKS.iter().enumerate() {
        world.subnet(network, "v4", &format!("10.0.{index}.0/28"));
    }
    world.network(intent_pb::Network {
        name: "outside".into(),
        external: true,
        ..Default::default()
    });
    world.subnet("outside", "v4", "198.51.100.0/28");
    world.subnet("outside", "v6", "2001:db8:f::/64");
    world.qos(intent_pb::QosProfile {
        name: "slow".into(),
        egress: Some(rate(1_000_000)),
        ingress: Some(rate(2_000_000)),
        ..Default::default()
    });
    // A beginning, so that something comes of most steps; all of it may go again.
    for (index, network) in NETWORKS.iter().enumerate() {
        for (name, node) in [(0, "node-a"), (1, "node-b"), (2, "node-a")] {
            world.endpoint(network, &format!("e{name}"), node, &format!("v{index}-{name}"));
            dress(&mut world, network, name, 1 + name % 2, 0, false).unwrap();
        }
    }
    for (which, variant) in [(0, 0), (1, 4), (2, 3)] {
        world.group(group(which, variant));
    }
    world
}

pub(crate) fn run(world: &mut World, step: Step) {
    // Refusals are part of the game.
    let _ = match step {
        Step::Add {
            network,
            name,
            node,
            attached,
        } => {
            let interface = if attached {
                format!("v{network}-{name}")
            } else {
                String::new()
            };
            world.try_endpoint(NETWORKS[network], &format!("e{name}"), NODES[node], &interface)
        }
        Step::Move {
            network,
            name,
            node,
            attached,
        } => {
            let interface = if attached {
                format!("v{network}-{name}")
            } else {
                String::new()
            };
            world.place(NETWORKS[network], &format!("e{name}"), NODES[node], &interface)
        }
        Step::Remove { network, name } => {
            let (network, name) = (
                Name::new(NETWORKS[network]).unwrap(),
                Name::new(&format!("e{name}")).unwrap(),
            );
            world.apply(|t| intent::delete_endpoint(t, &network, &name)).map(drop)
        }
        Step::Subnet { network, number } => {
            let cidr = format!("fd00:{network}:{number}::/64");
            let subnet = intent_pb::Subnet {
                network: NETWORKS[network].into(),
                name: format!("v6-{number}"),
                cidr,
                ..Default::default()
            };
            world
                .apply(|t| intent::create_subnet(t, SubnetWish::from_proto(Some(subnet))?))
                .map(drop)
        }
        Step::Switch { network, mpls, mtu } => {
            let encapsulation = if mpls {
                intent_pb::Encapsulation::MplsUdp
            } else {
                intent_pb::Encapsulation::Vxlan
            }
            .into();
            let change = intent_pb::Network {
                name: NETWORKS[network].into(),
                encapsulation,
                mtu,
                ..Default::default()
            };
            world
                .apply(|t| intent::update_network(t, NetworkWish::from_proto(Some(change))?, &Mask::Whole))
                .map(drop)
        }
        Step::Observe { node, six } => {
            let address = if six {
                format!("2001:db8::{}", node + 50)
            } else {
                format!("192.0.2.{}", node + 50)
            };
            let node = Name::new(NODES[node]).unwrap();
            let said = (vec![address.parse().unwrap()], 1500);
            world.apply(|t| intent::observe_node(t, &node, Some(said)))
        }
        Step::Dress {
            network,
            name,
            label,
            allowed,
            limited,
        } => dress(world, NETWORKS[network], name, label, allowed, limited),
        Step::Group { which, variant } => world.put(Wish::<GroupSpec>::from_proto(Some(group(which, variant)))),
        Step::Policy { which, variant, group } => {
            world.put(Wish::<PolicySpec>::from_proto(Some(policy(which, variant, group))))
        }
        Step::Router {
            which,
            networks,
            way_out,
            leak,
        } => world.put(Wish::<RouterSpec>::from_proto(Some(router(
            which, networks, way_out, leak,
        )))),
        Step::Floating {
            which,
            network,
            name,
            forward,
        } => world.put(Wish::<FloatingIpSpec>::from_proto(Some(floating(
            which,
            NETWORKS[network],
            name,
            forward,
        )))),
        Step::Service {
            which,
            network,
            variant,
            name,
        } => world.put(Wish::<ServiceSpec>::from_proto(Some(service(
            which,
            NETWORKS[network],
            variant,
            name,
        )))),
        Step::Mirror { which, variant, name } => {
            world.put(Wish::<MirrorSpec>::from_proto(Some(mirror(which, variant, name))))
        }
        Step::Without { kind, which, network } => without(world, kind, which, NETWORKS[network]),
        Step::Translate { node, addresses } => {
            let wish = intent_pb::Node {
                name: NODES[node].into(),
                nat_addresses: (0..addresses)
                    .map(|n| match n {
                        2 => format!("2001:db8:e::{node}"),
                        n => format!("203.0.113.{}", 10 * node + usize::from(n)),
                    })
                    .collect(),
                ..Default::default()
            };
            let mask = Mask::Fields(vec!["nat_addresses".into()]);
            world
                .apply(|t| intent::update_node(t, NodeWish::from_proto(Some(wish))?, &mask))
                .map(drop)
        }
        Step::Health { seed } => {
            health(world, seed);
            Ok(())
        }
    };
}

fn dress(world: &mut World, network: &str, name: u8, label: u8, allowed: u8, limited: bool) -> Result<(), Refusal> {
    let labels = match label {
        0 => vec![],
        1 => vec![("app", "web")],
        2 => vec![("app", "db")],
        _ => vec![("app", "web"), ("tier", "gold")],
    };
    // Some of them are others' addresses, or around them.
    let allowed_addresses = match allowed {
        0 | 1 => vec![],
        2 => vec!["10.9.0.0/24".to_owned()],
        3 => vec!["10.9.0.5".to_owned(), "fd09::/64".to_owned()],
        4 => vec!["10.0.0.3".to_owned()],
        _ => vec!["10.0.0.0/16".to_owned(), "10.9.0.0/28".to_owned()],
    };
    let endpoint = intent_pb::Endpoint {
        network: network.into(),
        name: format!("e{name}"),
        labels: labels.into_iter().map(|(k, v)| (k.into(), v.into())).collect(),
        allowed_addresses,
        allow_router: limited,
        qos: if limited { "slow".into() } else { String::new() },
        ..Default::default()
    };
    world.change(endpoint, &["labels", "allowed_addresses", "allow_router", "qos"])
}

fn rate(bits: u64) -> intent_pb::QosRate {
    intent_pb::QosRate {
        bits_per_second: bits,
        ..Default::default()
    }
}

fn group(which: u8, variant: u8) -> intent_pb::Group {
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

fn policy(which: u8, variant: u8, group: u8) -> intent_pb::Policy {
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

fn router(which: u8, networks: u8, way_out: bool, leak: u8) -> intent_pb::Router {
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

fn floating(which: u8, network: &str, name: u8, forward: bool) -> intent_pb::FloatingIp {
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

fn service(which: u8, network: &str, variant: u8, name: u8) -> intent_pb::Service {
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
        health_check: (name % 2 == 0).then_some(check),
        affinity_seconds: u32::from(variant) * 10,
        ..Default::default()
    }
}

fn mirror(which: u8, variant: u8, name: u8) -> intent_pb::Mirror {
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

fn without(world: &mut World, kind: u8, which: u8, network: &str) -> Result<(), Refusal> {
    let name = |letter: char| Name::new(&format!("{letter}{which}")).unwrap();
    let network = Name::new(network).unwrap();
    world
        .apply(|t| match kind {
            0 => intent::delete::<GroupSpec>(t, &name('g')),
            1 => intent::delete::<PolicySpec>(t, &name('p')),
            2 => intent::delete::<RouterSpec>(t, &name('r')),
            3 => intent::delete::<FloatingIpSpec>(t, &name('f')),
            4 => intent::delete::<ServiceSpec>(t, &(network, name('s'))),
            _ => intent::delete::<MirrorSpec>(t, &name('m')),
        })
        .map(drop)
}

/// About half of all backends become well, the others unwell.
fn health(world: &mut World, seed: u8) {
    let mut all = Vec::new();
    for service in world.state.services() {
        for backend in world.state.backends(service) {
            all.extend(probes(&world.state, service, &backend));
        }
    }
    for (index, probe) in all.into_iter().enumerate() {
        let healthy = seed >> (index % 8) & 1 == 1;
        let detail = String::new();
        world.health.set(probe, Condition { healthy, detail });
    }
}
