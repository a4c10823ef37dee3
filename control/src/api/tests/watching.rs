//! Watch.

use pb::watch_event::{Object, Type};

use super::*;

fn brief(event: &pb::WatchEvent) -> (Type, u64, String) {
    let name = match &event.object {
        Some(Object::Network(o)) => format!("network {}", o.name),
        Some(Object::Subnet(o)) => format!("subnet {}", o.name),
        Some(Object::Endpoint(o)) => format!("endpoint {}", o.name),
        Some(Object::Node(o)) => format!("node {}", o.name),
        Some(Object::Group(o)) => format!("group {}", o.name),
        Some(Object::Policy(o)) => format!("policy {}", o.name),
        Some(Object::Router(o)) => format!("router {}", o.name),
        Some(Object::FloatingIp(o)) => format!("floating ip {}", o.name),
        Some(Object::Service(o)) => format!("service {}", o.name),
        Some(Object::QosProfile(o)) => format!("qos profile {}", o.name),
        Some(Object::Mirror(o)) => format!("mirror {}", o.name),
        None => String::new(),
    };
    (event.r#type(), event.revision, name)
}

#[tokio::test]
async fn a_watch_tells_what_is_then_what_changes() {
    let mut house = House::new().await;
    house.network("blue").await;
    house.subnet("blue", "v4", "10.1.0.0/24").await;
    let all = pb::WatchRequest { kinds: vec![] };
    let mut events = house.client.watch(all).await.unwrap().into_inner();
    let some = pb::WatchRequest {
        kinds: vec![pb::ObjectKind::Endpoint.into()],
    };
    let mut endpoints = house.client.watch(some).await.unwrap().into_inner();

    house.endpoint(blue("web")).await.unwrap();
    house
        .client
        .delete_endpoint(pb::DeleteEndpointRequest {
            network: "blue".into(),
            name: "web".into(),
        })
        .await
        .unwrap();
    house.network("red").await;

    let mut seen = Vec::new();
    while seen.len() < 6 {
        seen.push(brief(&events.message().await.unwrap().unwrap()));
    }
    assert_eq!(
        seen,
        [
            (Type::Existing, 2, "network blue".into()),
            (Type::Existing, 2, "subnet v4".into()),
            (Type::Synced, 2, String::new()),
            (Type::Created, 3, "endpoint web".into()),
            (Type::Deleted, 4, "endpoint web".into()),
            (Type::Created, 5, "network red".into()),
        ]
    );
    let mut seen = Vec::new();
    while seen.len() < 3 {
        seen.push(brief(&endpoints.message().await.unwrap().unwrap()).0);
    }
    assert_eq!(seen, [Type::Synced, Type::Created, Type::Deleted]);

    let bad = house.client.watch(pb::WatchRequest { kinds: vec![99] }).await;
    refused(bad.map(|_| ()), Code::InvalidArgument, "kinds[0]", "99");
}
