//! Endpoints.

use super::*;

async fn dual_stack() -> House {
    let mut house = House::new().await;
    house.network("blue").await;
    house.subnet("blue", "v4", "10.1.0.0/24").await;
    house.subnet("blue", "v6", "fd00:1::/64").await;
    house.node("node-a").await;
    house.node("node-b").await;
    house
}

fn update(endpoint: pb::Endpoint, paths: &[&str]) -> pb::UpdateEndpointRequest {
    pb::UpdateEndpointRequest {
        endpoint: Some(endpoint),
        update_mask: mask(paths),
    }
}

#[tokio::test]
async fn an_endpoint_lives_from_create_to_delete() {
    let mut house = dual_stack().await;
    let wish = pb::Endpoint {
        node: "node-a".into(),
        interface: "veth1".into(),
        client_id: "c-1".into(),
        ..blue("web")
    };
    let made = house.endpoint(wish.clone()).await.unwrap();
    assert_eq!(
        (made.number, made.mac.as_str(), made.mtu),
        (1, "02:76:00:00:00:01", 60_000)
    );
    assert_eq!(house.endpoint(wish.clone()).await.unwrap(), made, "idempotent by name");
    let other_name = pb::Endpoint {
        name: "retry".into(),
        ..wish.clone()
    };
    assert_eq!(
        house.endpoint(other_name).await.unwrap(),
        made,
        "idempotent by client id"
    );
    assert_eq!(
        house.endpoint(made.clone()).await.unwrap(),
        made,
        "what was read is the same wish"
    );

    let second = house
        .endpoint(pb::Endpoint {
            addresses: vec!["subnet:v4".into()],
            ..blue("db")
        })
        .await
        .unwrap();
    assert_eq!(second.addresses, ["10.1.0.3"]);

    // Moves: another node, another interface; addresses stay.
    let moved = pb::Endpoint {
        node: "node-b".into(),
        interface: "veth9".into(),
        ..blue("web")
    };
    let moved = house
        .client
        .update_endpoint(update(moved, &["node", "interface"]))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (moved.node.as_str(), &moved.addresses, moved.number),
        ("node-b", &made.addresses, made.number)
    );

    // Addresses: one stays, one goes, one comes.
    let wish = pb::Endpoint {
        addresses: vec!["10.1.0.2".into(), "10.1.0.77".into()],
        ..blue("web")
    };
    let changed = house
        .client
        .update_endpoint(update(wish, &["addresses"]))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(changed.addresses, ["10.1.0.2", "10.1.0.77"]);
    let v6 = pb::GetSubnetRequest {
        network: "blue".into(),
        name: "v6".into(),
    };
    assert_eq!(house.client.get_subnet(v6).await.unwrap().into_inner().allocated, 0);
    house.clean().await;

    // A refused change leaves what was.
    let wish = pb::Endpoint {
        addresses: vec!["10.1.0.90".into(), "10.1.0.3".into()],
        ..blue("web")
    };
    let taken = house.client.update_endpoint(update(wish, &["addresses"])).await;
    refused(
        taken,
        Code::AlreadyExists,
        "endpoint.addresses[1]",
        "in use by endpoint db",
    );
    house.clean().await;

    // The whole wish: detached, one address of each family again.
    let whole = house
        .client
        .update_endpoint(update(blue("web"), &[]))
        .await
        .unwrap()
        .into_inner();
    assert_eq!((whole.node.as_str(), whole.interface.as_str()), ("", ""));
    assert_eq!(whole.addresses, ["10.1.0.2", "fd00:1::3"]);

    let mut house = house.restart().await;
    let list = |network: &str, node: &str| pb::ListEndpointsRequest {
        network: network.into(),
        node: node.into(),
        ..Default::default()
    };
    let all = house
        .client
        .list_endpoints(list("blue", ""))
        .await
        .unwrap()
        .into_inner()
        .endpoints;
    assert_eq!(all, [second.clone(), whole]);
    let web = pb::Endpoint {
        node: "node-b".into(),
        ..blue("web")
    };
    house.client.update_endpoint(update(web, &["node"])).await.unwrap();
    let on_b = house
        .client
        .list_endpoints(list("", "node-b"))
        .await
        .unwrap()
        .into_inner()
        .endpoints;
    assert_eq!(on_b.iter().map(|e| e.name.as_str()).collect::<Vec<_>>(), ["web"]);
    assert!(
        house
            .client
            .list_endpoints(list("", "node-a"))
            .await
            .unwrap()
            .into_inner()
            .endpoints
            .is_empty()
    );

    let node = pb::DeleteNodeRequest { name: "node-b".into() };
    refused(
        house.client.delete_node(node).await,
        Code::FailedPrecondition,
        "name",
        "blue/web",
    );
    let network = pb::DeleteNetworkRequest { name: "blue".into() };
    refused(
        house.client.delete_network(network).await,
        Code::FailedPrecondition,
        "name",
        "2 endpoints",
    );

    let delete = pb::DeleteEndpointRequest {
        network: "blue".into(),
        name: "web".into(),
    };
    assert!(
        house
            .client
            .delete_endpoint(delete.clone())
            .await
            .unwrap()
            .into_inner()
            .existed
    );
    assert!(!house.client.delete_endpoint(delete).await.unwrap().into_inner().existed);
    house.clean().await;
}

#[tokio::test]
async fn bad_endpoints_are_refused() {
    let mut house = dual_stack().await;
    house.subnet("blue", "z-tiny", "10.2.0.0/30").await;
    let web = pb::Endpoint {
        node: "node-a".into(),
        interface: "veth1".into(),
        ..blue("web")
    };
    let web = house.endpoint(web).await.unwrap();
    let ok = blue("x");
    let addresses = |list: &[&str]| pb::Endpoint {
        addresses: list.iter().map(ToString::to_string).collect(),
        ..blue("x")
    };
    let invalid = Code::InvalidArgument;
    let cases = [
        (
            pb::Endpoint {
                network: "red".into(),
                ..ok.clone()
            },
            Code::NotFound,
            "endpoint.network",
            "no network red",
        ),
        (
            pb::Endpoint {
                name: "_x".into(),
                ..ok.clone()
            },
            invalid,
            "endpoint.name",
            "starts with",
        ),
        (
            pb::Endpoint {
                node: "node-z".into(),
                ..ok.clone()
            },
            Code::NotFound,
            "endpoint.node",
            "no node node-z",
        ),
        (
            pb::Endpoint {
                interface: "veth7".into(),
                ..ok.clone()
            },
            invalid,
            "endpoint.node",
            "missing",
        ),
        (
            pb::Endpoint {
                interface: "sixteen-letters-".into(),
                ..ok.clone()
            },
            invalid,
            "endpoint.interface",
            "1 to 15",
        ),
        (
            pb::Endpoint {
                node: "node-a".into(),
                interface: "veth1".into(),
                ..ok.clone()
            },
            Code::AlreadyExists,
            "endpoint.interface",
            "endpoint web of network blue",
        ),
        (
            pb::Endpoint {
                mac: "02:00".into(),
                ..ok.clone()
            },
            invalid,
            "endpoint.mac",
            "six pairs",
        ),
        (
            pb::Endpoint {
                mac: "01:00:5e:00:00:01".into(),
                ..ok.clone()
            },
            invalid,
            "endpoint.mac",
            "no unicast",
        ),
        (
            pb::Endpoint {
                mac: web.mac.clone(),
                ..ok.clone()
            },
            Code::AlreadyExists,
            "endpoint.mac",
            "endpoint web",
        ),
        (
            addresses(&["10.1.0.300"]),
            invalid,
            "endpoint.addresses[0]",
            "no IP address",
        ),
        (
            addresses(&["10.9.0.1"]),
            invalid,
            "endpoint.addresses[0]",
            "in no subnet of network blue",
        ),
        (
            addresses(&["10.1.0.1"]),
            invalid,
            "endpoint.addresses[0]",
            "gateway of subnet v4",
        ),
        (
            addresses(&["10.1.0.255"]),
            invalid,
            "endpoint.addresses[0]",
            "no host address",
        ),
        (
            addresses(&["fd00:1::"]),
            invalid,
            "endpoint.addresses[0]",
            "no host address",
        ),
        (
            addresses(&["10.1.0.5", "10.1.0.5"]),
            invalid,
            "endpoint.addresses[1]",
            "twice",
        ),
        (
            addresses(&["10.1.0.5", &web.addresses[0]]),
            Code::AlreadyExists,
            "endpoint.addresses[1]",
            "in use by",
        ),
        (
            addresses(&["subnet:v9"]),
            Code::NotFound,
            "endpoint.addresses[0]",
            "no subnet v9",
        ),
        (
            addresses(&["subnet:z-tiny", "subnet:z-tiny"]),
            Code::ResourceExhausted,
            "endpoint.addresses[1]",
            "subnet z-tiny (10.2.0.0/30) has no free address",
        ),
        (
            pb::Endpoint {
                client_id: "a\tb".into(),
                ..ok.clone()
            },
            invalid,
            "endpoint.client_id",
            "printable",
        ),
        (
            pb::Endpoint {
                name: "web".into(),
                ..ok.clone()
            },
            Code::AlreadyExists,
            "endpoint.name",
            "another node",
        ),
    ];
    for (endpoint, code, field, says) in cases {
        refused(house.endpoint(endpoint).await, code, field, says);
        house.clean().await;
    }
    refused(
        house
            .client
            .update_endpoint(update(
                pb::Endpoint {
                    mac: "02:00:00:00:00:07".into(),
                    ..web.clone()
                },
                &[],
            ))
            .await,
        invalid,
        "endpoint.mac",
        "cannot change",
    );
    refused(
        house.client.update_endpoint(update(ok, &[])).await,
        Code::NotFound,
        "endpoint.name",
        "no endpoint x",
    );
    let get = pb::GetEndpointRequest {
        network: "blue".into(),
        name: "x".into(),
    };
    refused(
        house.client.get_endpoint(get).await,
        Code::NotFound,
        "name",
        "no endpoint x in network blue",
    );

    house.network("empty").await;
    let nowhere = pb::Endpoint {
        network: "empty".into(),
        ..blue("x")
    };
    refused(
        house.endpoint(nowhere).await,
        invalid,
        "endpoint.addresses",
        "no subnet yet",
    );
    let next = house.endpoint(blue("next")).await.unwrap();
    assert_eq!(
        next.addresses,
        ["10.1.0.3", "fd00:1::3"],
        "refused requests took nothing, not even a turn"
    );
}
