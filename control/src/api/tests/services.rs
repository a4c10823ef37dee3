//! Services.

use super::{fixture::*, *};

#[tokio::test]
async fn a_service_lives_from_create_to_delete() {
    let mut house = two_networks().await;
    let made = house.service(service("www", &["blue/web", "blue/db"])).await.unwrap();
    assert_eq!(
        (made.number, &made.addresses[..]),
        (1, &["10.1.0.4".to_owned(), "fd00:1::4".to_owned()][..])
    );
    assert_eq!(
        (made.ports[0].protocol.as_str(), made.ports[0].target_port),
        ("tcp", 80)
    );
    assert_eq!(made.backends[0].weight, 1);
    assert_eq!(
        house.service(service("www", &["blue/web", "blue/db"])).await.unwrap(),
        made,
        "idempotent"
    );
    assert_eq!(
        house.service(made.clone()).await.unwrap(),
        made,
        "what was read is the same wish"
    );
    let status: Vec<_> = made
        .status
        .iter()
        .map(|s| (s.backend.as_str(), s.address.as_str(), s.node.as_str(), s.healthy))
        .collect();
    assert_eq!(
        status,
        [
            ("blue/web", "10.1.0.2", "node-a", true),
            ("blue/web", "fd00:1::2", "node-a", true),
            ("blue/db", "10.1.0.3", "node-b", true),
            ("blue/db", "fd00:1::3", "node-b", true),
        ]
    );
    // Addresses: one stays, one goes, one outside of the network's subnets comes; sending back what was read changes none.
    let wish = pb::Service {
        addresses: vec!["10.1.0.4".into(), "10.50.0.1".into()],
        ..service("www", &[])
    };
    let updated = house.update_service(wish, &["addresses"]).await.unwrap();
    assert_eq!(updated.addresses, ["10.1.0.4", "10.50.0.1"]);
    let whole = pb::Service {
        affinity_seconds: 60,
        prefer_local: true,
        ..updated.clone()
    };
    let updated = house.update_service(whole, &[]).await.unwrap();
    assert_eq!((updated.affinity_seconds, updated.addresses.len()), (60, 2));
    // Nobody else gets them.
    let same = |address: &str| pb::Endpoint {
        addresses: vec![address.into()],
        ..blue("other")
    };
    refused(
        house.endpoint(same("10.1.0.4")).await,
        Code::AlreadyExists,
        "endpoint.addresses[0]",
        "in use by service www",
    );
    let other = |address: &str| pb::Service {
        addresses: vec![address.into()],
        ..service("other", &["blue/web"])
    };
    refused(
        house.service(other("10.50.0.1")).await,
        Code::AlreadyExists,
        "service.addresses[0]",
        "service www",
    );
    refused(
        house.service(other("10.1.0.2")).await,
        Code::AlreadyExists,
        "service.addresses[0]",
        "endpoint web",
    );
    refused(
        house.service(other("10.1.0.1")).await,
        Code::InvalidArgument,
        "service.addresses[0]",
        "gateway",
    );
    let subnet = pb::DeleteSubnetRequest {
        network: "blue".into(),
        name: "v4".into(),
    };
    refused(
        house.client.delete_subnet(subnet).await,
        Code::FailedPrecondition,
        "name",
        "in use",
    );
    house.clean().await;
    // Without a wish for addresses again: back into the subnets, one of each family.
    let plain = house
        .update_service(service("www", &["blue/web"]), &["addresses", "backends"])
        .await
        .unwrap();
    assert_eq!(plain.addresses[0], "10.1.0.4");
    assert_eq!(plain.addresses.len(), 2);

    let mut house = house.restart().await;
    assert_eq!(house.get_service("www").await.unwrap(), plain);
    let list = |network: &str| pb::ListServicesRequest {
        network: network.into(),
    };
    assert_eq!(
        house
            .client
            .list_services(list("blue"))
            .await
            .unwrap()
            .into_inner()
            .services
            .len(),
        1
    );
    assert_eq!(
        house
            .client
            .list_services(list("red"))
            .await
            .unwrap()
            .into_inner()
            .services
            .len(),
        0
    );
    let delete = pb::DeleteServiceRequest {
        network: "blue".into(),
        name: "www".into(),
    };
    assert!(
        house
            .client
            .delete_service(delete.clone())
            .await
            .unwrap()
            .into_inner()
            .existed
    );
    assert!(!house.client.delete_service(delete).await.unwrap().into_inner().existed);
    house.endpoint(same("10.1.0.4")).await.unwrap();
    house.clean().await;
}

#[tokio::test]
async fn members_of_a_group_serve() {
    let mut house = two_networks().await;
    let group = pb::Group {
        name: "inner".into(),
        match_labels: [("tier".into(), "inner".into())].into(),
        endpoints: vec!["red/cache".into()],
        ..Default::default()
    };
    house.group(group).await.unwrap();
    let wish = pb::Service {
        group: "inner".into(),
        backends: vec![pb::ServiceBackend {
            weight: 7,
            draining: true,
            ..to_endpoint("blue/db")
        }],
        health_check: Some(pb::ServiceHealthCheck {
            kind: "http".into(),
            ..Default::default()
        }),
        ..service("www", &[])
    };
    let made = house.service(wish).await.unwrap();
    let check = made.health_check.clone().unwrap();
    assert_eq!(
        (check.interval_ms, check.timeout_ms, check.rise, check.fall),
        (5000, 1000, 1, 3)
    );
    let of = |service: &pb::Service| {
        let all = service.status.iter().filter(|s| s.address.contains('.'));
        all.map(|s| (s.backend.clone(), s.draining, s.healthy))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        of(&made),
        [
            ("blue/db".to_owned(), true, false),
            ("blue/web".to_owned(), false, false)
        ],
        "red is not reached; nobody is well before they were asked"
    );
    house.router(router("r", &["blue", "red"], "")).await.unwrap();
    assert_eq!(of(&house.get_service("www").await.unwrap()).len(), 3);
    refused(
        house.delete_group("inner").await,
        Code::FailedPrecondition,
        "name",
        "service blue/www",
    );
    // Backends that go are backends no more; the last one leaves a service that says so.
    house.service(service("one", &["blue/web"])).await.unwrap();
    house.delete_endpoint("blue", "web").await.unwrap();
    let one = house.get_service("one").await.unwrap();
    assert!(one.backends.is_empty());
    assert!(
        house
            .findings()
            .await
            .contains(&"service blue/one has no backend".to_owned())
    );
    let labels = pb::Service {
        labels: [("a".into(), "b".into())].into(),
        ..service("one", &[])
    };
    house.update_service(labels, &["labels"]).await.unwrap();
    house
        .update_service(service("one", &["blue/db"]), &["backends"])
        .await
        .unwrap();
    refused(
        house.update_service(service("one", &[]), &["backends"]).await,
        Code::InvalidArgument,
        "service.backends",
        "nobody would serve",
    );
    house.clean().await;
}

#[tokio::test]
async fn bad_services_are_refused() {
    let mut house = two_networks().await;
    let ports = |ports: Vec<pb::ServicePort>| pb::Service {
        ports,
        ..service("s", &["blue/web"])
    };
    let named = |name: &str, port: u32| pb::ServicePort {
        name: name.into(),
        ..tcp(port)
    };
    let check = |check: pb::ServiceHealthCheck| pb::Service {
        health_check: Some(check),
        ..service("s", &["blue/web"])
    };
    let backends = |backends: Vec<pb::ServiceBackend>| pb::Service {
        backends,
        ..service("s", &[])
    };
    let address = |address: &str| pb::ServiceBackend {
        backend: Some(pb::service_backend::Backend::Address(address.into())),
        ..Default::default()
    };
    let tcp_check = pb::ServiceHealthCheck {
        kind: "tcp".into(),
        ..Default::default()
    };
    let cases = [
        (
            service("s", &[]),
            Code::InvalidArgument,
            "service.backends",
            "nobody would serve",
        ),
        (ports(vec![]), Code::InvalidArgument, "service.ports", "at least one"),
        (
            ports(vec![tcp(80), tcp(81)]),
            Code::InvalidArgument,
            "service.ports[0].name",
            "each has a name",
        ),
        (
            ports(vec![named("a", 80), named("a", 81)]),
            Code::InvalidArgument,
            "service.ports[1].name",
            "ports[0]",
        ),
        (
            ports(vec![named("a", 80), named("b", 80)]),
            Code::InvalidArgument,
            "service.ports[1].port",
            "ports[0] already",
        ),
        (
            ports(vec![tcp(0)]),
            Code::InvalidArgument,
            "service.ports[0].port",
            "1 to 65535",
        ),
        (
            ports(vec![pb::ServicePort {
                target_port: 70_000,
                ..tcp(80)
            }]),
            Code::InvalidArgument,
            "service.ports[0].target_port",
            "70000",
        ),
        (
            ports(vec![pb::ServicePort {
                protocol: "icmp".into(),
                ..tcp(80)
            }]),
            Code::InvalidArgument,
            "service.ports[0].protocol",
            "tcp, udp or sctp",
        ),
        (
            pb::Service {
                network: "bleu".into(),
                ..service("s", &["blue/web"])
            },
            Code::NotFound,
            "service.network",
            "did you mean blue?",
        ),
        (
            pb::Service {
                network: "ext".into(),
                ..service("s", &["blue/web"])
            },
            Code::InvalidArgument,
            "service.network",
            "external",
        ),
        (
            pb::Service {
                group: "g".into(),
                ..service("s", &[])
            },
            Code::NotFound,
            "service.group",
            "no group g",
        ),
        (
            service("s", &["blue/wbe"]),
            Code::NotFound,
            "service.backends[0].endpoint",
            "did you mean blue/web?",
        ),
        (
            service("s", &["blue/web", "red/cache"]),
            Code::InvalidArgument,
            "service.backends[1].endpoint",
            "join them with a router",
        ),
        (
            service("s", &["blue/web", "blue/web"]),
            Code::InvalidArgument,
            "service.backends[1].endpoint",
            "backends[0] already",
        ),
        (
            backends(vec![pb::ServiceBackend::default()]),
            Code::InvalidArgument,
            "service.backends[0]",
            "names nobody",
        ),
        (
            backends(vec![address("10.1.0")]),
            Code::InvalidArgument,
            "service.backends[0].address",
            "no IP address",
        ),
        (
            pb::Service {
                addresses: vec!["10.1.0.99".into()],
                ..backends(vec![address("10.1.0.99")])
            },
            Code::InvalidArgument,
            "service.backends[0].address",
            "own address",
        ),
        (
            backends(vec![pb::ServiceBackend {
                weight: 256,
                ..to_endpoint("blue/web")
            }]),
            Code::InvalidArgument,
            "service.backends[0].weight",
            "1 to 255",
        ),
        (
            pb::Service {
                affinity_seconds: 86_401,
                ..service("s", &["blue/web"])
            },
            Code::InvalidArgument,
            "service.affinity_seconds",
            "86400",
        ),
        (
            pb::Service {
                addresses: vec!["subnet:v5".into()],
                ..service("s", &["blue/web"])
            },
            Code::NotFound,
            "service.addresses[0]",
            "did you mean v4?",
        ),
        (
            check(pb::ServiceHealthCheck::default()),
            Code::InvalidArgument,
            "service.health_check.kind",
            "tcp, http or grpc",
        ),
        (
            check(pb::ServiceHealthCheck {
                target: "/x".into(),
                ..tcp_check.clone()
            }),
            Code::InvalidArgument,
            "service.health_check.target",
            "has none",
        ),
        (
            check(pb::ServiceHealthCheck {
                interval_ms: 50,
                ..tcp_check.clone()
            }),
            Code::InvalidArgument,
            "service.health_check.interval_ms",
            "100 to",
        ),
        (
            check(pb::ServiceHealthCheck {
                interval_ms: 500,
                timeout_ms: 501,
                ..tcp_check.clone()
            }),
            Code::InvalidArgument,
            "service.health_check.timeout_ms",
            "10 to 500",
        ),
        (
            check(pb::ServiceHealthCheck {
                port: 65_536,
                ..tcp_check.clone()
            }),
            Code::InvalidArgument,
            "service.health_check.port",
            "65536",
        ),
        (
            check(pb::ServiceHealthCheck {
                kind: "http".into(),
                target: "healthz".into(),
                ..tcp_check
            }),
            Code::InvalidArgument,
            "service.health_check.target",
            "/healthz would be right",
        ),
    ];
    for (wish, code, field, says) in cases {
        refused(house.service(wish).await, code, field, says);
    }
    refused(
        house.get_service("s").await,
        Code::NotFound,
        "name",
        "no service blue/s",
    );
    house.clean().await;
}
