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

#[tokio::test]
async fn every_kind_is_watched() {
    use super::fixture::*;
    let mut house = two_networks().await;
    let from = house.store.state().revision();
    let group = pb::Group {
        name: "g".into(),
        endpoints: vec!["blue/web".into()],
        ..Default::default()
    };
    house.group(group).await.unwrap();
    let mut all = house
        .client
        .watch(pb::WatchRequest { kinds: vec![] })
        .await
        .unwrap()
        .into_inner();
    let kinds = vec![pb::ObjectKind::FloatingIp.into(), pb::ObjectKind::Group.into()];
    let mut some = house
        .client
        .watch(pb::WatchRequest { kinds })
        .await
        .unwrap()
        .into_inner();
    house
        .policy(pb::Policy {
            name: "p".into(),
            ..Default::default()
        })
        .await
        .unwrap();
    house.router(router("r", &["blue"], "ext")).await.unwrap();
    house.floating_ip(floating("f", "blue/web")).await.unwrap();
    house.service(service("s", &["blue/web"])).await.unwrap();
    house
        .qos_profile(pb::QosProfile {
            name: "q".into(),
            ..Default::default()
        })
        .await
        .unwrap();
    house
        .mirror(pb::Mirror {
            name: "m".into(),
            group: "g".into(),
            collector: Some(pb::mirror::Collector::Endpoint("red/cache".into())),
            ..Default::default()
        })
        .await
        .unwrap();
    house.delete_endpoint("blue", "web").await.unwrap();
    house.floating_ip(floating("last", "")).await.unwrap();

    let mut seen = Vec::new();
    while seen.last().is_none_or(|(_, _, name)| name != "floating ip last") {
        seen.push(brief(&all.message().await.unwrap().unwrap()));
    }
    assert!(seen.contains(&(Type::Existing, from + 1, "group g".into())), "{seen:?}");
    let after: Vec<_> = seen.into_iter().skip_while(|e| e.0 != Type::Synced).skip(1).collect();
    let gone = from + 8;
    assert_eq!(
        after,
        [
            (Type::Created, from + 2, "policy p".into()),
            (Type::Created, from + 3, "router r".into()),
            (Type::Created, from + 4, "floating ip f".into()),
            (Type::Created, from + 5, "service s".into()),
            (Type::Created, from + 6, "qos profile q".into()),
            (Type::Created, from + 7, "mirror m".into()),
            // One step takes the endpoint away, and its name from everything that had it.
            (Type::Deleted, gone, "endpoint web".into()),
            (Type::Updated, gone, "group g".into()),
            (Type::Updated, gone, "floating ip f".into()),
            (Type::Updated, gone, "service s".into()),
            (Type::Created, gone + 1, "floating ip last".into()),
        ]
    );
    let mut seen: Vec<(Type, String)> = Vec::new();
    while seen.last().is_none_or(|(_, name)| name != "floating ip last") {
        let (kind, _, name) = brief(&some.message().await.unwrap().unwrap());
        seen.push((kind, name));
    }
    assert_eq!(
        seen,
        [
            (Type::Existing, "group g".into()),
            (Type::Synced, String::new()),
            (Type::Created, "floating ip f".into()),
            (Type::Updated, "group g".into()),
            (Type::Updated, "floating ip f".into()),
            (Type::Created, "floating ip last".into()),
        ]
    );
}
