//! Random changes of a world with everything in it.

use proptest::prelude::*;

use super::{
    wishes::{floating, group, mirror, policy, rate, router, service},
    *,
};
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
