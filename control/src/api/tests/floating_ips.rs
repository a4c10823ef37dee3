//! Floating addresses.

use super::{fixture::*, *};

fn forward(protocol: &str, port: u32, endpoint: &str, target_port: u32) -> pb::PortForward {
    pb::PortForward {
        protocol: protocol.into(),
        port,
        endpoint: endpoint.into(),
        target_port,
    }
}

async fn with_router() -> House {
    let mut house = two_networks().await;
    house.router(router("r", &["blue", "red"], "ext")).await.unwrap();
    house
}

#[tokio::test]
async fn a_floating_address_lives_from_create_to_delete() {
    let mut house = with_router().await;
    let made = house.floating_ip(floating("f", "blue/web")).await.unwrap();
    assert_eq!((made.address.as_str(), made.family), ("198.51.100.2", 4));
    assert_eq!(
        house.floating_ip(floating("f", "blue/web")).await.unwrap(),
        made,
        "idempotent"
    );
    assert_eq!(
        house.floating_ip(made.clone()).await.unwrap(),
        made,
        "what was read is the same wish"
    );
    let six = pb::FloatingIp {
        family: 6,
        ..floating("f6", "blue/web")
    };
    let six = house.floating_ip(six).await.unwrap();
    assert_eq!((six.address.as_str(), six.family), ("2001:db8:100::2", 6));

    // To another endpoint, to ports of two, to nobody.
    let moved = house
        .update_floating(floating("f", "red/cache"), &["endpoint"])
        .await
        .unwrap();
    assert_eq!((moved.endpoint.as_str(), &moved.address), ("red/cache", &made.address));
    let ports = pb::FloatingIp {
        forwards: vec![forward("tcp", 80, "blue/web", 8080), forward("udp", 80, "red/cache", 0)],
        network: String::new(),
        ..floating("f", "")
    };
    let ports = house.update_floating(ports, &[]).await.unwrap();
    assert_eq!((ports.endpoint.as_str(), ports.forwards[1].target_port), ("", 80));
    house.clean().await;
    for (change, field) in [
        (
            pb::FloatingIp {
                address: "198.51.100.9".into(),
                ..floating("f", "")
            },
            "floating_ip.address",
        ),
        (
            pb::FloatingIp {
                family: 6,
                ..floating("f", "")
            },
            "floating_ip.family",
        ),
        (
            pb::FloatingIp {
                network: "blue".into(),
                ..floating("f", "")
            },
            "floating_ip.network",
        ),
    ] {
        refused(
            house.update_floating(change, &[]).await,
            Code::InvalidArgument,
            field,
            "cannot change",
        );
    }
    let subnet = pb::DeleteSubnetRequest {
        network: "ext".into(),
        name: "v4".into(),
    };
    refused(
        house.client.delete_subnet(subnet).await,
        Code::FailedPrecondition,
        "name",
        "198.51.100.2 by floating address f",
    );
    let mut house = house.restart().await;
    assert_eq!(house.get_floating_ip("f").await.unwrap(), ports);
    assert!(house.delete_floating_ip("f").await.unwrap());
    assert!(!house.delete_floating_ip("f").await.unwrap());
    let again = pb::FloatingIp {
        address: "198.51.100.2".into(),
        ..floating("g", "")
    };
    house.floating_ip(again).await.unwrap();
    house.clean().await;
}

#[tokio::test]
async fn bad_floating_addresses_are_refused() {
    let mut house = with_router().await;
    house.floating_ip(floating("f", "blue/web")).await.unwrap();
    let only_v6 = pb::Endpoint {
        addresses: vec!["subnet:v6".into()],
        ..blue("six")
    };
    house.endpoint(only_v6).await.unwrap();
    let at = |address: &str| pb::FloatingIp {
        address: address.into(),
        ..floating("g", "")
    };
    let forwards = |forwards: Vec<pb::PortForward>| pb::FloatingIp {
        forwards,
        ..floating("g", "")
    };
    let cases = [
        (
            pb::FloatingIp {
                network: String::new(),
                ..floating("g", "")
            },
            Code::InvalidArgument,
            "floating_ip.network",
            "missing",
        ),
        (
            pb::FloatingIp {
                network: "blue".into(),
                ..floating("g", "")
            },
            Code::InvalidArgument,
            "floating_ip.network",
            "not external",
        ),
        (
            pb::FloatingIp {
                network: "exd".into(),
                ..floating("g", "")
            },
            Code::NotFound,
            "floating_ip.network",
            "did you mean ext?",
        ),
        (
            at("198.51.100.2"),
            Code::AlreadyExists,
            "floating_ip.address",
            "in use by floating address f",
        ),
        (
            at("198.51.100.1"),
            Code::InvalidArgument,
            "floating_ip.address",
            "gateway of subnet v4",
        ),
        (
            at("203.0.113.7"),
            Code::InvalidArgument,
            "floating_ip.address",
            "in no subnet of network ext",
        ),
        (
            at("198.51.100.300"),
            Code::InvalidArgument,
            "floating_ip.address",
            "no IP address",
        ),
        (
            pb::FloatingIp {
                family: 5,
                ..floating("g", "")
            },
            Code::InvalidArgument,
            "floating_ip.family",
            "4, 6",
        ),
        (
            pb::FloatingIp {
                family: 6,
                ..at("198.51.100.9")
            },
            Code::InvalidArgument,
            "floating_ip.family",
            "no IPv6 address",
        ),
        (
            floating("g", "blue/wbe"),
            Code::NotFound,
            "floating_ip.endpoint",
            "did you mean blue/web?",
        ),
        (
            floating("g", "blue/web"),
            Code::AlreadyExists,
            "floating_ip.endpoint",
            "floating address f (198.51.100.2) stands for 10.1.0.2",
        ),
        (
            floating("g", "blue/six"),
            Code::InvalidArgument,
            "floating_ip.endpoint",
            "no IPv4 address",
        ),
        (
            pb::FloatingIp {
                fixed_address: "10.1.0.77".into(),
                ..floating("g", "blue/db")
            },
            Code::InvalidArgument,
            "floating_ip.fixed_address",
            "no address of blue/db, which has 10.1.0.3, fd00:1::3",
        ),
        (
            pb::FloatingIp {
                fixed_address: "fd00:1::3".into(),
                ..floating("g", "blue/db")
            },
            Code::InvalidArgument,
            "floating_ip.fixed_address",
            "no IPv4 address",
        ),
        (
            pb::FloatingIp {
                fixed_address: "10.1.0.3".into(),
                ..floating("g", "")
            },
            Code::InvalidArgument,
            "floating_ip.fixed_address",
            "with an endpoint only",
        ),
        (
            pb::FloatingIp {
                forwards: vec![forward("tcp", 80, "blue/db", 0)],
                ..floating("g", "blue/db")
            },
            Code::InvalidArgument,
            "floating_ip.forwards",
            "not both",
        ),
        (
            forwards(vec![forward("icmp", 80, "blue/db", 0)]),
            Code::InvalidArgument,
            "floating_ip.forwards[0].protocol",
            "tcp, udp or sctp",
        ),
        (
            forwards(vec![forward("tcp", 0, "blue/db", 0)]),
            Code::InvalidArgument,
            "floating_ip.forwards[0].port",
            "1 to 65535",
        ),
        (
            forwards(vec![forward("tcp", 80, "blue/db", 65_536)]),
            Code::InvalidArgument,
            "floating_ip.forwards[0].target_port",
            "65536",
        ),
        (
            forwards(vec![
                forward("tcp", 80, "blue/db", 0),
                forward("tcp", 80, "blue/web", 0),
            ]),
            Code::InvalidArgument,
            "floating_ip.forwards[1].port",
            "forwards[0] already",
        ),
        (
            forwards(vec![forward("tcp", 80, "blue/six", 0)]),
            Code::InvalidArgument,
            "floating_ip.forwards[0].endpoint",
            "no IPv4 address",
        ),
        (
            forwards(vec![forward("tcp", 80, "red/cahce", 0)]),
            Code::NotFound,
            "floating_ip.forwards[0].endpoint",
            "did you mean red/cache?",
        ),
    ];
    for (wish, code, field, says) in cases {
        refused(house.floating_ip(wish).await, code, field, says);
    }
    house.clean().await;
    let list = house
        .client
        .list_floating_ips(pb::ListFloatingIpsRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(list.floating_ips.len(), 1, "nothing of what was refused is left");
}

#[tokio::test]
async fn an_endpoint_that_goes_leaves_its_floating_addresses_behind() {
    let mut house = with_router().await;
    house.floating_ip(floating("f", "blue/web")).await.unwrap();
    let ports = pb::FloatingIp {
        forwards: vec![forward("tcp", 80, "blue/web", 0), forward("tcp", 81, "blue/db", 0)],
        ..floating("g", "")
    };
    house.floating_ip(ports).await.unwrap();
    assert!(house.delete_endpoint("blue", "web").await.unwrap());
    let f = house.get_floating_ip("f").await.unwrap();
    assert_eq!(
        (f.endpoint.as_str(), f.address.as_str()),
        ("", "198.51.100.2"),
        "the address stays ours"
    );
    let g = house.get_floating_ip("g").await.unwrap();
    assert_eq!(g.forwards, [forward("tcp", 81, "blue/db", 81)]);
    assert_eq!(f.revision, g.revision, "in one step");
    // A later endpoint of that name is another one.
    house.endpoint(blue("web")).await.unwrap();
    assert_eq!(house.get_floating_ip("f").await.unwrap().endpoint, "");
    house.clean().await;
}

#[tokio::test]
async fn addresses_that_are_stood_for_stay() {
    let mut house = with_router().await;
    let two = pb::Endpoint {
        addresses: vec!["10.1.0.50".into(), "10.1.0.51".into()],
        ..blue("two")
    };
    house.endpoint(two.clone()).await.unwrap();
    house.floating_ip(floating("first", "blue/two")).await.unwrap();
    let second = pb::FloatingIp {
        fixed_address: "10.1.0.51".into(),
        ..floating("second", "blue/two")
    };
    house.floating_ip(second).await.unwrap();
    let change = |addresses: &[&str]| pb::UpdateEndpointRequest {
        endpoint: Some(pb::Endpoint {
            addresses: addresses.iter().map(ToString::to_string).collect(),
            ..blue("two")
        }),
        update_mask: mask(&["addresses"]),
    };
    for addresses in [
        &["10.1.0.50"][..],
        // The first would then be the second's.
        &["10.1.0.51"],
        &["10.1.0.51", "10.1.0.50"],
        &["subnet:v6"],
    ] {
        refused(
            house.client.update_endpoint(change(addresses)).await,
            Code::FailedPrecondition,
            "endpoint.addresses",
            "detach it first",
        );
    }
    house
        .client
        .update_endpoint(change(&["10.1.0.50", "10.1.0.51", "10.1.0.52"]))
        .await
        .unwrap();
    house.delete_floating_ip("second").await.unwrap();
    house.client.update_endpoint(change(&["10.1.0.51"])).await.unwrap();
    house.clean().await;
}

#[tokio::test]
async fn audits_tell_of_floating_addresses_that_cannot_work() {
    let mut house = two_networks().await;
    house.floating_ip(floating("f", "blue/web")).await.unwrap();
    let ports = pb::FloatingIp {
        forwards: vec![forward("tcp", 80, "blue/web", 0), forward("tcp", 81, "blue/db", 0)],
        ..floating("g", "")
    };
    house.floating_ip(ports).await.unwrap();
    let findings = house.findings().await;
    assert_eq!(findings.len(), 3, "{findings:?}");
    assert!(findings[0].contains("floating address f (198.51.100.2)") && findings[0].contains("no router connects"));
    assert!(findings[2].contains("several nodes") && findings[2].contains("blue/web on node-a, blue/db on node-b"));
    let out = pb::Router {
        translate_sources: true,
        ..router("r", &["blue"], "ext")
    };
    house.router(out).await.unwrap();
    let findings = house.findings().await;
    let says = |what: &str| findings.iter().any(|f| f.contains(what));
    assert!(
        says("no IPv4 address in nat_addresses to translate them to: node-a, node-b"),
        "{findings:?}"
    );
    assert!(
        says("no IPv6 address in nat_addresses") && !says("no router connects"),
        "{findings:?}"
    );
    let audit = house.client.audit(pb::AuditRequest {}).await.unwrap().into_inner();
    assert_eq!(
        (audit.floating_ips, audit.routers, audit.services, audit.endpoints),
        (2, 1, 0, 3)
    );
}
