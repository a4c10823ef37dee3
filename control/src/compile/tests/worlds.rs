//! Snapshots of small worlds.

use insta::assert_snapshot;

use super::*;
use crate::{
    compile::{Health, compile, workload_mtu},
    model::Network,
};

fn at(world: &World, node: &str) -> String {
    describe(&compile(&world.state, &Name::new(node).unwrap(), &Health::default()))
}

fn vxlan() -> intent_pb::Network {
    intent_pb::Network::default()
}

#[test]
fn a_routed_network_over_vxlan() {
    let world = World::blue(vxlan());
    assert_snapshot!("routed_vxlan_node_a", at(&world, "node-a"));
    assert_snapshot!("routed_vxlan_node_c", at(&world, "node-c"));
}

#[test]
fn a_routed_network_over_mpls() {
    let world = World::blue(intent_pb::Network {
        encapsulation: intent_pb::Encapsulation::MplsUdp.into(),
        mtu: 1400,
        ..Default::default()
    });
    assert_snapshot!("routed_mpls_node_a", at(&world, "node-a"));
}

#[test]
fn a_bridged_network_over_vxlan() {
    let mut world = World::blue(intent_pb::Network {
        bridged: true,
        ..Default::default()
    });
    world.node("switch", &["192.0.2.9"], true);
    assert_snapshot!("bridged_vxlan_node_a", at(&world, "node-a"));
}

#[test]
fn networks_without_an_endpoint_here_are_not_programmed() {
    let mut world = World::blue(vxlan());
    world.network(intent_pb::Network {
        name: "red".into(),
        ..Default::default()
    });
    world.subnet("red", "v4", "10.1.0.0/24");
    world.endpoint("red", "web", "node-b", "veth-red");
    // Known, with addresses kept, but not attached.
    world.endpoint("red", "later", "node-a", "");
    let at_a = at(&world, "node-a");
    assert!(at_a.contains("vrf 1 blue") && !at_a.contains("red"), "{at_a}");
    assert!(at(&world, "node-b").contains("vrf 2 red"));
    assert_eq!(at(&world, "node-z"), "");
    world.place("red", "later", "node-a", "veth-late").unwrap();
    assert!(at(&world, "node-a").contains("vrf 2 red"));
    world.remove_endpoint("blue", "web");
    assert!(!at(&world, "node-a").contains("blue"));
}

#[test]
fn a_node_without_a_tunnel_address_is_left_out_until_its_dataplane_tells() {
    let mut world = World::blue(vxlan());
    world.node("node-d", &[], false);
    world.endpoint("blue", "late", "node-d", "veth-late");
    assert!(!at(&world, "node-a").contains("node-d"));
    let node = Name::new("node-d").unwrap();
    let said = (vec!["192.0.2.4".parse().unwrap(), "192.0.2.5".parse().unwrap()], 9000);
    world.apply(|t| intent::observe_node(t, &node, Some(said))).unwrap();
    let at_a = at(&world, "node-a");
    assert!(at_a.contains("\"blue to node-d\": VXLAN 192.0.2.4"), "{at_a}");
}

#[test]
fn the_mtu_follows_underlay_and_encapsulation() {
    let mut world = World::blue(vxlan());
    let blue = Name::new("blue").unwrap();
    let routed = |world: &World| world.state.network(&blue).unwrap().clone();
    assert_eq!(
        workload_mtu(&world.state, &routed(&world)),
        60_000,
        "nodes cut for their paths"
    );
    let mtu = |world: &World| {
        let bridged = Network {
            bridged: true,
            ..Network::clone(&routed(world))
        };
        workload_mtu(&world.state, &bridged)
    };
    // node-c has IPv6 only.
    assert_eq!(mtu(&world), 1500 - 70);
    let node = Name::new("node-b").unwrap();
    world
        .apply(|t| intent::observe_node(t, &node, Some((vec![], 9000))))
        .unwrap();
    assert_eq!(mtu(&world), 9000 - 70);
    let node = Name::new("node-a").unwrap();
    world
        .apply(|t| intent::observe_node(t, &node, Some((vec![], 1400))))
        .unwrap();
    assert_eq!(mtu(&world), 1400 - 70);
    let change = intent_pb::Network {
        name: "blue".into(),
        encapsulation: intent_pb::Encapsulation::MplsUdp.into(),
        ..Default::default()
    };
    world
        .apply(|t| intent::update_network(t, NetworkWish::from_proto(Some(change))?, &Mask::Whole))
        .unwrap();
    assert_eq!(mtu(&world), 1400 - 52);
}
