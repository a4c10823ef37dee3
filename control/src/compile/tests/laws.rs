//! What holds for every world: references are complete, the same world compiles to the same, and remembering changes nothing.

use proptest::prelude::*;

use super::*;
use crate::compile::{Compiler, Health, compile, is_ours};

pub(crate) const NODES: [&str; 4] = ["node-a", "node-b", "node-c", "switch"];
const NETWORKS: [&str; 3] = ["routed", "labelled", "bridged"];

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
    for network in NETWORKS {
        world.subnet(network, "v4", "10.0.0.0/29");
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
            world.remove_endpoint(NETWORKS[network], &format!("e{name}"));
            Ok(())
        }
        Step::Subnet { network, number } => {
            let cidr = format!("fd00:{number}::/64");
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
    };
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_reference_exists_and_remembering_changes_nothing(steps in prop::collection::vec((step(), any::<bool>()), 1..60)) {
        let mut world = world();
        let health = Health::default();
        let mut compilers = NODES.map(|n| Compiler::new(Name::new(n).unwrap()));
        for (step, look) in steps {
            run(&mut world, step);
            if !look {
                // Bursts are seen as one change.
                continue;
            }
            for (node, compiler) in NODES.iter().zip(&mut compilers) {
                let before = compiler.plan().clone();
                let dirty = compiler.update(&world.state, &health);
                let fresh = compile(&world.state, &Name::new(node).unwrap(), &health);
                prop_assert_eq!(compiler.plan(), &fresh, "at {}", node);
                for key in before.keys().chain(fresh.keys()) {
                    let changed = before.get(key).map(|p| &p.object) != fresh.get(key).map(|p| &p.object);
                    prop_assert_eq!(dirty.contains(key), changed, "{} at {}", key, node);
                }
                for (key, planned) in &fresh {
                    prop_assert_eq!(ObjectKey::of(&planned.object), Some(key.clone()));
                    for reference in references(&planned.object) {
                        prop_assert!(fresh.contains_key(&reference), "{} needs {} at {}", key, reference, node);
                    }
                    if let ObjectKey::NextHop(id) = key {
                        prop_assert!(is_ours(*id));
                    }
                }
            }
        }
    }
}
