//! Nodes.

use super::*;

fn create(node: pb::Node) -> pb::CreateNodeRequest {
    pb::CreateNodeRequest { node: Some(node) }
}

fn node(name: &str, vteps: &[&str]) -> pb::Node {
    let vtep_addresses = vteps.iter().map(ToString::to_string).collect();
    pb::Node {
        name: name.into(),
        vtep_addresses,
        ..Default::default()
    }
}

#[tokio::test]
async fn a_node_lives_from_create_to_delete() {
    let mut house = House::new().await;
    let wish = node("node-a", &["2001:db8::1", "192.0.2.1"]);
    let made = house
        .client
        .create_node(create(wish.clone()))
        .await
        .unwrap()
        .into_inner();
    assert_eq!((made.number, &made.vtep_addresses), (1, &wish.vtep_addresses));
    assert_eq!(made.effective_vtep_addresses, wish.vtep_addresses);
    assert_eq!(
        house
            .client
            .create_node(create(wish.clone()))
            .await
            .unwrap()
            .into_inner(),
        made
    );

    let labels = [("rack".into(), "7".into())].into();
    let update = pb::UpdateNodeRequest {
        node: Some(pb::Node {
            labels,
            ..node("node-a", &[])
        }),
        update_mask: mask(&["labels"]),
    };
    let updated = house.client.update_node(update).await.unwrap().into_inner();
    assert_eq!(
        (updated.labels.len(), &updated.vtep_addresses),
        (1, &made.vtep_addresses)
    );

    let list = house
        .client
        .list_nodes(pb::ListNodesRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(list.nodes, std::slice::from_ref(&updated));
    let get = pb::GetNodeRequest { name: "node-a".into() };
    assert_eq!(house.client.get_node(get.clone()).await.unwrap().into_inner(), updated);
    let delete = pb::DeleteNodeRequest { name: "node-a".into() };
    assert!(
        house
            .client
            .delete_node(delete.clone())
            .await
            .unwrap()
            .into_inner()
            .existed
    );
    assert!(!house.client.delete_node(delete).await.unwrap().into_inner().existed);
    refused(
        house.client.get_node(get).await,
        Code::NotFound,
        "name",
        "no node node-a",
    );
}

#[tokio::test]
async fn bad_nodes_are_refused() {
    let mut house = House::new().await;
    house
        .client
        .create_node(create(node("node-a", &["192.0.2.1"])))
        .await
        .unwrap();
    let invalid = Code::InvalidArgument;
    let cases = [
        (node("", &[]), invalid, "node.name", "empty"),
        (
            node("node-b", &["x"]),
            invalid,
            "node.vtep_addresses[0]",
            "no IP address",
        ),
        (
            node("node-b", &["224.0.0.1"]),
            invalid,
            "node.vtep_addresses[0]",
            "multicast",
        ),
        (
            node("node-b", &["192.0.2.2", "192.0.2.3"]),
            invalid,
            "node.vtep_addresses",
            "at most one of each family",
        ),
        (
            node("node-b", &["192.0.2.1"]),
            Code::AlreadyExists,
            "node.vtep_addresses",
            "of node node-a",
        ),
        (
            node("node-a", &["192.0.2.9"]),
            Code::AlreadyExists,
            "node.name",
            "another wish",
        ),
        (
            pb::Node {
                external: true,
                ..node("switch", &[])
            },
            invalid,
            "node.vtep_addresses",
            "at least one",
        ),
    ];
    for (node, code, field, says) in cases {
        refused(house.client.create_node(create(node)).await, code, field, says);
    }
    let external = pb::Node {
        external: true,
        ..node("node-a", &["192.0.2.1"])
    };
    let update = pb::UpdateNodeRequest {
        node: Some(external),
        update_mask: None,
    };
    refused(
        house.client.update_node(update).await,
        invalid,
        "node.external",
        "cannot change",
    );
}

#[tokio::test]
async fn info_health_and_reflection_answer() {
    let mut house = House::new().await;
    house.network("blue").await;
    let info = house.client.get_info(pb::GetInfoRequest {}).await.unwrap().into_inner();
    assert_eq!((info.revision, info.version.as_str()), (1, env!("CARGO_PKG_VERSION")));
    let channel = connect(&house.address, Duration::from_secs(5)).await.unwrap();
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel.clone());
    for service in ["", "vrouter.control.v1.Control"] {
        let request = tonic_health::pb::HealthCheckRequest {
            service: service.into(),
        };
        let status = health.check(request).await.unwrap().into_inner().status;
        assert_eq!(
            status,
            i32::from(tonic_health::pb::health_check_response::ServingStatus::Serving)
        );
    }
    use tonic_reflection::pb::v1::{self as reflection, server_reflection_client::ServerReflectionClient};
    let request = reflection::ServerReflectionRequest {
        message_request: Some(reflection::server_reflection_request::MessageRequest::ListServices(
            String::new(),
        )),
        ..Default::default()
    };
    let mut client = ServerReflectionClient::new(channel);
    let mut answers = client
        .server_reflection_info(tokio_stream::once(request))
        .await
        .unwrap()
        .into_inner();
    let answer = format!("{:?}", answers.message().await.unwrap());
    assert!(answer.contains("vrouter.control.v1.Control"), "{answer}");
}
