//! Routers, and the address space that they make networks share.

use super::{fixture::*, *};

fn update(router: pb::Router, paths: &[&str]) -> pb::UpdateRouterRequest {
    pb::UpdateRouterRequest {
        router: Some(router),
        update_mask: mask(paths),
    }
}

fn leak(from: &str, to: &str, prefix: &str) -> pb::RouteLeak {
    pb::RouteLeak {
        from_network: from.into(),
        to_network: to.into(),
        prefix: prefix.into(),
    }
}

#[tokio::test]
async fn a_router_lives_from_create_to_delete() {
    let mut house = two_networks().await;
    let wish = router("r", &["blue", "red"], "ext");
    let made = house.router(wish.clone()).await.unwrap();
    assert_eq!((made.port_block_size, made.port_blocks_per_endpoint), (64, 16));
    assert_eq!(house.router(wish.clone()).await.unwrap(), made);
    assert_eq!(house.router(made.clone()).await.unwrap(), made);
    refused(
        house
            .router(pb::Router {
                port_block_size: 128,
                ..wish.clone()
            })
            .await,
        Code::AlreadyExists,
        "router.name",
        "another port_block_size",
    );
    let larger = pb::Router {
        port_block_size: 4096,
        port_blocks_per_endpoint: 15,
        ..wish
    };
    let larger = update(larger, &["port_block_size", "port_blocks_per_endpoint"]);
    let updated = house.client.update_router(larger).await.unwrap().into_inner();
    assert_eq!((updated.port_block_size, updated.networks.len()), (4096, 2));
    for (network, field) in [("blue", "name"), ("ext", "name")] {
        let name = network.to_owned();
        // Subnets and endpoints would be told of first.
        let deleted = house.client.delete_network(pb::DeleteNetworkRequest { name }).await;
        refused(deleted, Code::FailedPrecondition, field, network);
    }
    let mut house = house.restart().await;
    assert_eq!(house.get_router("r").await.unwrap(), updated);
    assert!(house.delete_router("r").await.unwrap());
    assert!(!house.delete_router("r").await.unwrap());
    house.clean().await;
}

#[tokio::test]
async fn networks_that_objects_name_stay() {
    let mut house = two_networks().await;
    house.network("green").await;
    house.router(router("r", &["green"], "")).await.unwrap();
    let policy = pb::Policy {
        name: "p".into(),
        network: "green".into(),
        ..Default::default()
    };
    house.policy(policy).await.unwrap();
    let delete = || pb::DeleteNetworkRequest { name: "green".into() };
    refused(
        house.client.delete_network(delete()).await,
        Code::FailedPrecondition,
        "name",
        "network green is used by policy p, router r",
    );
    house.delete_policy("p").await.unwrap();
    house.delete_router("r").await.unwrap();
    assert!(
        house
            .client
            .delete_network(delete())
            .await
            .unwrap()
            .into_inner()
            .existed
    );
}

#[tokio::test]
async fn bad_routers_are_refused() {
    let mut house = two_networks().await;
    house.network("green").await;
    house.router(router("out", &["red"], "ext")).await.unwrap();
    let with = |leaks: Vec<pb::RouteLeak>| pb::Router {
        leaks,
        ..router("r", &[], "")
    };
    let cases = [
        (
            router("r", &[], ""),
            Code::InvalidArgument,
            "router.networks",
            "at least one",
        ),
        (
            router("r", &["blue", "blue"], ""),
            Code::InvalidArgument,
            "router.networks[1]",
            "twice",
        ),
        (
            router("r", &["blue", "rde"], ""),
            Code::NotFound,
            "router.networks[1]",
            "did you mean red?",
        ),
        (
            router("r", &["blue", "ext"], ""),
            Code::InvalidArgument,
            "router.networks[1]",
            "external_network",
        ),
        (
            router("r", &["blue"], "red"),
            Code::InvalidArgument,
            "router.external_network",
            "ext would be right",
        ),
        (
            router("r", &["blue"], "etx"),
            Code::NotFound,
            "router.external_network",
            "did you mean ext?",
        ),
        (
            router("r", &["blue", "red"], "ext"),
            Code::AlreadyExists,
            "router.networks[1]",
            "through router out already",
        ),
        (
            pb::Router {
                translate_sources: true,
                ..router("r", &["blue"], "")
            },
            Code::InvalidArgument,
            "router.translate_sources",
            "external_network",
        ),
        (
            pb::Router {
                port_block_size: 48,
                ..router("r", &["blue"], "")
            },
            Code::InvalidArgument,
            "router.port_block_size",
            "power of two",
        ),
        (
            pb::Router {
                port_block_size: 8192,
                ..router("r", &["blue"], "")
            },
            Code::InvalidArgument,
            "router.port_block_size",
            "8 to 4096",
        ),
        (
            pb::Router {
                port_block_size: 4096,
                port_blocks_per_endpoint: 16,
                ..router("r", &["blue"], "")
            },
            Code::InvalidArgument,
            "router.port_blocks_per_endpoint",
            "1 to 15",
        ),
        (
            with(vec![leak("blue", "blue", "10.1.0.0/24")]),
            Code::InvalidArgument,
            "router.leaks[0].to_network",
            "itself",
        ),
        (
            with(vec![leak("blue", "ext", "10.1.0.0/24")]),
            Code::InvalidArgument,
            "router.leaks[0].to_network",
            "external",
        ),
        (
            with(vec![
                leak("blue", "red", "10.1.0.0/24"),
                leak("blue", "red", "10.7.0.0/16"),
            ]),
            Code::InvalidArgument,
            "router.leaks[1].prefix",
            "in no subnet of network blue and contains none: 10.1.0.0/24 (v4), fd00:1::/64 (v6)",
        ),
        (
            with(vec![leak("green", "red", "10.7.0.0/16")]),
            Code::InvalidArgument,
            "router.leaks[0].prefix",
            "it has no subnet",
        ),
        (
            with(vec![leak("blue", "red", "10.1.0.1/24")]),
            Code::InvalidArgument,
            "router.leaks[0].prefix",
            "10.1.0.0/24 would be right",
        ),
    ];
    for (wish, code, field, says) in cases {
        refused(house.router(wish).await, code, field, says);
    }
    // A part of a subnet, and a range with subnets in it.
    house
        .router(with(vec![
            leak("blue", "red", "10.1.0.64/26"),
            leak("blue", "red", "fd00::/16"),
        ]))
        .await
        .unwrap();
    house.clean().await;
}

#[tokio::test]
async fn addresses_mean_one_thing_wherever_they_are_reached_from() {
    let mut house = two_networks().await;
    for (network, cidr) in [("green", "10.1.0.128/25"), ("grey", "fd00:1::/48")] {
        house.network(network).await;
        house.subnet(network, "s", cidr).await;
    }
    refused(
        house.router(router("r", &["blue", "green"], "")).await,
        Code::AlreadyExists,
        "router.networks",
        "10.1.0.128/25 (subnet s of network green) overlaps 10.1.0.0/24 (subnet v4 of network blue)",
    );
    refused(
        house.router(router("r", &["blue", "grey"], "")).await,
        Code::AlreadyExists,
        "router.networks",
        "fd00:1::/64 (subnet v6 of network blue) overlaps fd00:1::/48 (subnet s of network grey)",
    );
    // Not joined with each other, but both with red.
    house.router(router("a", &["red", "blue"], "")).await.unwrap();
    refused(
        house.router(router("b", &["red", "green"], "")).await,
        Code::AlreadyExists,
        "router.networks",
        "network red would reach both",
    );
    // Nor leaked to where the other is.
    let leaks = vec![leak("green", "red", "10.1.0.128/25")];
    refused(
        house
            .router(pb::Router {
                leaks,
                ..router("b", &[], "")
            })
            .await,
        Code::AlreadyExists,
        "router.leaks",
        "overlaps 10.1.0.0/24 (subnet v4 of network blue)",
    );
    // Nor made later: a subnet, or a service outside of subnets.
    let subnet = |network: &str, cidr: &str| pb::CreateSubnetRequest {
        subnet: Some(pb::Subnet {
            network: network.into(),
            name: "late".into(),
            cidr: cidr.into(),
            ..Default::default()
        }),
    };
    refused(
        house.client.create_subnet(subnet("red", "10.1.0.0/16")).await,
        Code::AlreadyExists,
        "subnet.cidr",
        "overlaps",
    );
    let outside = |address: &str| pb::Service {
        addresses: vec![address.into()],
        ..service("vip", &["blue/web"])
    };
    refused(
        house.service(outside("10.2.0.9")).await,
        Code::AlreadyExists,
        "service.addresses",
        "10.2.0.9/32 (service vip of network blue) overlaps 10.2.0.0/24 (subnet v4 of network red)",
    );
    house.service(outside("10.99.0.1")).await.unwrap();
    refused(
        house.client.create_subnet(subnet("red", "10.99.0.0/24")).await,
        Code::AlreadyExists,
        "subnet.cidr",
        "service vip",
    );
    // Its own network's subnet may come to contain it, but not be in its way.
    refused(
        house.client.create_subnet(subnet("blue", "10.99.0.0/24")).await,
        Code::AlreadyExists,
        "subnet.cidr",
        "10.99.0.1 would be its gateway",
    );
    house
        .client
        .create_subnet(subnet("blue", "10.98.0.0/15"))
        .await
        .unwrap();
    house.clean().await;
}

#[tokio::test]
async fn one_network_is_external_and_has_no_endpoints() {
    let mut house = two_networks().await;
    refused(
        house.external("ext-2").await,
        Code::AlreadyExists,
        "network.external",
        "network ext is external already",
    );
    let endpoint = pb::Endpoint {
        network: "ext".into(),
        name: "e".into(),
        ..Default::default()
    };
    refused(
        house.endpoint(endpoint).await,
        Code::InvalidArgument,
        "endpoint.network",
        "floating address",
    );
    let network = pb::Network {
        name: "blue".into(),
        external: true,
        ..Default::default()
    };
    let change = pb::UpdateNetworkRequest {
        network: Some(network),
        update_mask: mask(&["external"]),
    };
    refused(
        house.client.update_network(change).await,
        Code::InvalidArgument,
        "network.external",
        "cannot change",
    );
}

#[tokio::test]
async fn nodes_translate_behind_addresses_that_nobody_else_has() {
    let mut house = two_networks().await;
    let node = |name: &str, nat: &[&str]| pb::UpdateNodeRequest {
        node: Some(pb::Node {
            name: name.into(),
            nat_addresses: nat.iter().map(ToString::to_string).collect(),
            ..Default::default()
        }),
        update_mask: mask(&["nat_addresses"]),
    };
    let given = ["198.51.100.2", "2001:db8:100::2"];
    let made = house
        .client
        .update_node(node("node-a", &given))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(made.nat_addresses, given);
    // What nodes have is not given to floating addresses...
    let first = house.floating_ip(floating("f1", "")).await.unwrap();
    assert_eq!(first.address, "198.51.100.3");
    let asked = pb::FloatingIp {
        address: "198.51.100.2".into(),
        ..floating("f2", "")
    };
    refused(
        house.floating_ip(asked).await,
        Code::AlreadyExists,
        "floating_ip.address",
        "node node-a",
    );
    // ... nor the other way round.
    let nine: Vec<String> = (10..19).map(|n| format!("198.51.100.{n}")).collect();
    let nine: Vec<&str> = nine.iter().map(String::as_str).collect();
    let cases = [
        (
            vec!["198.51.100.3"],
            Code::AlreadyExists,
            "node.nat_addresses[0]",
            "floating address f1",
        ),
        (
            vec!["198.51.100.9", "198.51.100.2"],
            Code::AlreadyExists,
            "node.nat_addresses[1]",
            "node node-a",
        ),
        (
            vec!["2001:db8:100::1"],
            Code::AlreadyExists,
            "node.nat_addresses[0]",
            "gateway of subnet v6",
        ),
        (
            vec!["198.51.100.7", "198.51.100.7"],
            Code::InvalidArgument,
            "node.nat_addresses[1]",
            "twice",
        ),
        (
            vec!["224.0.0.1"],
            Code::InvalidArgument,
            "node.nat_addresses[0]",
            "multicast",
        ),
        (nine, Code::InvalidArgument, "node.nat_addresses", "at most 8"),
    ];
    for (addresses, code, field, says) in cases {
        refused(
            house.client.update_node(node("node-b", &addresses)).await,
            code,
            field,
            says,
        );
    }
    let tunnel = pb::UpdateNodeRequest {
        node: Some(pb::Node {
            name: "node-b".into(),
            vtep_addresses: vec!["198.51.100.2".into()],
            ..Default::default()
        }),
        update_mask: mask(&["vtep_addresses"]),
    };
    refused(
        house.client.update_node(tunnel).await,
        Code::AlreadyExists,
        "node.vtep_addresses",
        "node node-a",
    );
    let outside = pb::Node {
        name: "switch".into(),
        external: true,
        vtep_addresses: vec!["192.0.2.77".into()],
        nat_addresses: vec!["198.51.100.8".into()],
        ..Default::default()
    };
    let outside = pb::CreateNodeRequest { node: Some(outside) };
    refused(
        house.client.create_node(outside).await,
        Code::InvalidArgument,
        "node.nat_addresses",
        "no vrouter",
    );
    house.client.update_node(node("node-a", &[])).await.unwrap();
    house.client.update_node(node("node-b", &given)).await.unwrap();
    house.clean().await;
}
