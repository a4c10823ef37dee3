//! Policies, routers, floating addresses, services, limits and mirrors reach the dataplanes, in an order that a strict one takes.

use std::time::Duration;

use vrouter_control::compile::ObjectKey;
use vrouter_proto::{
    control as pb,
    dataplane::{self as dp, object::Object},
};

use crate::{
    fake::Fake,
    house::{Ground, House, TIMING, until},
};

/// "blue" with "web" on node-a and "db" on node-b; both are labelled with their names.
async fn blue(house: &mut House, network: pb::Network) {
    house
        .network(pb::Network {
            name: "blue".into(),
            ..network
        })
        .await;
    until("the nodes are there", || match house.store.state().nodes().count() {
        2 => Ok(()),
        found => Err(found.to_string()),
    })
    .await;
    for (name, node) in [("web", "node-a"), ("db", "node-b")] {
        labelled(house, name, node).await;
        let group = pb::Group {
            name: name.into(),
            match_labels: [("app".to_owned(), name.to_owned())].into(),
            ..Default::default()
        };
        let request = pb::CreateGroupRequest {
            group: Some(group),
            allow_unknown_labels: false,
        };
        house.client.create_group(request).await.unwrap();
    }
}

async fn labelled(house: &mut House, name: &str, node: &str) -> pb::Endpoint {
    let endpoint = pb::Endpoint {
        network: "blue".into(),
        name: name.into(),
        node: node.into(),
        interface: format!("veth-{name}"),
        labels: [("app".to_owned(), name.to_owned())].into(),
        ..Default::default()
    };
    let request = pb::CreateEndpointRequest {
        endpoint: Some(endpoint),
        ..Default::default()
    };
    house.client.create_endpoint(request).await.unwrap().into_inner()
}

/// Objects that `fake` holds, of a kind.
fn held<T>(fake: &Fake, of: impl Fn(&Object) -> Option<T>) -> Vec<T> {
    fake.held()
        .values()
        .filter_map(|object| of(object.object.as_ref()?))
        .collect()
}

fn port(fake: &Fake, name: &str) -> dp::Port {
    let of = |object: &Object| match object {
        Object::Port(port) if port.name == name => Some(port.clone()),
        _ => None,
    };
    held(fake, of).pop().unwrap()
}

/// Both dataplanes hold what is wished, took all of it at once, and an audit finds nothing else.
async fn settled(house: &mut House, fakes: [&Fake; 2]) {
    for (fake, node) in fakes.into_iter().zip(["node-a", "node-b"]) {
        house.converged(fake, node).await;
        assert_eq!(fake.tables().refused, 0, "{node} took every batch");
    }
    let findings = house.audit().await;
    assert_eq!(findings, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_comes_changes_and_goes() {
    let ground = Ground::new();
    let (a, b) = (ground.fake("node-a"), ground.fake("node-b"));
    let mut house = ground.control(&["node-a", "node-b"]).await;
    blue(&mut house, pb::Network::default()).await;
    let rule = |action: pb::policy_rule::Action| pb::PolicyRule {
        name: "http".into(),
        direction: pb::policy_rule::Direction::Ingress.into(),
        action: action.into(),
        peers: vec![pb::Peer {
            peer: Some(pb::peer::Peer::Group("web".into())),
            except: vec![],
        }],
        ..Default::default()
    };
    let policy = pb::Policy {
        name: "db".into(),
        applies_to: "db".into(),
        rules: vec![rule(pb::policy_rule::Action::Allow)],
        isolate_ingress: true,
        ..Default::default()
    };
    let request = pb::CreatePolicyRequest {
        policy: Some(policy.clone()),
    };
    house.client.create_policy(request).await.unwrap();
    settled(&mut house, [&a, &b]).await;
    let policies = |fake: &Fake| {
        held(fake, |object| match object {
            Object::Policy(policy) => Some(policy.clone()),
            _ => None,
        })
    };
    assert_eq!(policies(&a), vec![], "web is on node-a, and nobody says anything of it");
    let found = policies(&b).pop().unwrap();
    assert_eq!(port(&b, "blue/db").policy, found.id);
    assert_eq!(found.ingress[0].name, "db/http");
    assert!(
        b.held()
            .contains_key(&ObjectKey::Identity(1, "10.1.0.2".parse().unwrap(), 32))
    );

    let request = pb::UpdatePolicyRequest {
        policy: Some(pb::Policy {
            rules: vec![rule(pb::policy_rule::Action::Deny)],
            ..policy
        }),
        update_mask: None,
    };
    house.client.update_policy(request).await.unwrap();
    settled(&mut house, [&a, &b]).await;
    let changed = policies(&b).pop().unwrap();
    assert_eq!(
        (changed.id, changed.ingress[0].id),
        (found.id, found.ingress[0].id),
        "the same, changed in place"
    );
    assert_eq!(changed.ingress[0].verdict(), dp::Verdict::Deny);

    let request = pb::DeletePolicyRequest { name: "db".into() };
    house.client.delete_policy(request).await.unwrap();
    settled(&mut house, [&a, &b]).await;
    assert_eq!((policies(&b), port(&b, "blue/db").policy), (vec![], 0));
    house.kill().await;
}

async fn second_network(house: &mut House, external: bool) {
    let name = if external { "outside" } else { "red" };
    let network = pb::Network {
        name: name.into(),
        external,
        ..Default::default()
    };
    let request = pb::CreateNetworkRequest { network: Some(network) };
    house.client.create_network(request).await.unwrap();
    let cidrs = if external {
        [("v4", "198.51.100.0/24"), ("v6", "2001:db8:f::/64")]
    } else {
        [("v4", "10.2.0.0/24"), ("v6", "fd00:2::/64")]
    };
    for (subnet, cidr) in cidrs {
        let subnet = pb::Subnet {
            network: name.into(),
            name: subnet.into(),
            cidr: cidr.into(),
            ..Default::default()
        };
        let request = pb::CreateSubnetRequest { subnet: Some(subnet) };
        house.client.create_subnet(request).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_joins_networks_and_is_taken_away() {
    let ground = Ground::new();
    let (a, b) = (ground.fake("node-a"), ground.fake("node-b"));
    let mut house = ground.control(&["node-a", "node-b"]).await;
    blue(&mut house, pb::Network::default()).await;
    second_network(&mut house, false).await;
    house.endpoint("red", "api", "node-b", "veth-api").await;
    let router = pb::Router {
        name: "r".into(),
        networks: vec!["blue".into(), "red".into()],
        ..Default::default()
    };
    let request = pb::CreateRouterRequest { router: Some(router) };
    house.client.create_router(request).await.unwrap();
    settled(&mut house, [&a, &b]).await;
    let leaked = [
        ObjectKey::Route(1, "10.2.0.2".parse().unwrap(), 32),
        ObjectKey::Route(1, "fd00:2::2".parse().unwrap(), 128),
    ];
    for fake in [&a, &b] {
        assert!(leaked.iter().all(|key| fake.held().contains_key(key)));
    }
    assert!(
        b.held()
            .contains_key(&ObjectKey::Route(2, "10.1.0.2".parse().unwrap(), 32))
    );
    let request = pb::DeleteRouterRequest { name: "r".into() };
    house.client.delete_router(request).await.unwrap();
    settled(&mut house, [&a, &b]).await;
    for fake in [&a, &b] {
        assert!(leaked.iter().all(|key| !fake.held().contains_key(key)));
    }
    house.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_floating_address_follows_its_endpoint() {
    let ground = Ground::new();
    let (a, b) = (ground.fake("node-a"), ground.fake("node-b"));
    let mut house = ground.control(&["node-a", "node-b"]).await;
    blue(&mut house, pb::Network::default()).await;
    second_network(&mut house, true).await;
    let router = pb::Router {
        name: "r".into(),
        networks: vec!["blue".into()],
        external_network: "outside".into(),
        ..Default::default()
    };
    let request = pb::CreateRouterRequest { router: Some(router) };
    house.client.create_router(request).await.unwrap();
    for family in [4, 6] {
        let floating_ip = pb::FloatingIp {
            name: format!("web-{family}"),
            network: "outside".into(),
            family,
            endpoint: "blue/web".into(),
            ..Default::default()
        };
        let request = pb::CreateFloatingIpRequest {
            floating_ip: Some(floating_ip),
        };
        house.client.create_floating_ip(request).await.unwrap();
    }
    settled(&mut house, [&a, &b]).await;
    let owned = |fake: &Fake| {
        let services = held(fake, |object| match object {
            Object::Service(service) => Some(service.address.clone()),
            _ => None,
        });
        let sources = held(fake, |object| match object {
            Object::SourceNat(nat) => Some(nat.addresses.join(" ")),
            _ => None,
        });
        assert_eq!(services.len(), sources.len());
        services.len()
    };
    assert_eq!((owned(&a), owned(&b)), (2, 0));
    let endpoint = pb::Endpoint {
        network: "blue".into(),
        name: "web".into(),
        node: "node-b".into(),
        ..Default::default()
    };
    let request = pb::UpdateEndpointRequest {
        endpoint: Some(endpoint),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["node".into()],
        }),
    };
    house.client.update_endpoint(request).await.unwrap();
    settled(&mut house, [&a, &b]).await;
    assert_eq!((owned(&a), owned(&b)), (0, 2));
    assert_eq!(a.held().len(), 0, "nothing is left of it");
    house.kill().await;
}

/// Names of the backends of all services that `fake` holds.
fn backends(fake: &Fake) -> Vec<String> {
    let services = held(fake, |object| match object {
        Object::Service(service) => Some(service.backends.clone()),
        _ => None,
    });
    services.into_iter().flatten().map(|b| b.name).collect()
}

async fn has(fake: &Fake, wished: &[&str]) {
    until(&format!("backends are {wished:?}"), || {
        let found = backends(fake);
        if found == wished {
            Ok(())
        } else {
            Err(format!("{found:?}"))
        }
    })
    .await;
}

async fn with_service(house: &mut House) {
    let backend = |name: &str| pb::ServiceBackend {
        backend: Some(pb::service_backend::Backend::Endpoint(format!("blue/{name}"))),
        ..Default::default()
    };
    let service = pb::Service {
        network: "blue".into(),
        name: "front".into(),
        addresses: vec!["10.1.0.100".into()],
        ports: vec![pb::ServicePort {
            port: 80,
            ..Default::default()
        }],
        backends: vec![backend("web"), backend("db")],
        health_check: Some(pb::ServiceHealthCheck {
            kind: "tcp".into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let request = pb::CreateServiceRequest { service: Some(service) };
    house.client.create_service(request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_has_the_backends_that_are_well() {
    let ground = Ground::new();
    let (a, mut b) = (ground.fake("node-a"), ground.fake("node-b"));
    let mut house = ground.control(&["node-a", "node-b"]).await;
    blue(&mut house, pb::Network::default()).await;
    with_service(&mut house).await;
    settled(&mut house, [&a, &b]).await;
    assert_eq!(backends(&a), Vec::<String>::new(), "closed until the first success");
    b.workload("10.1.0.3", true);
    has(&a, &["blue/db"]).await;
    has(&b, &["blue/db"]).await;
    a.workload("10.1.0.2", true);
    has(&a, &["blue/db", "blue/web"]).await;
    b.workload("10.1.0.3", false);
    has(&a, &["blue/web"]).await;
    b.workload("10.1.0.3", true);
    has(&b, &["blue/db", "blue/web"]).await;
    settled(&mut house, [&a, &b]).await;
    // A node that stays away takes its backends with it, and brings them back.
    b.kill();
    has(&a, &["blue/web"]).await;
    b.restart();
    has(&a, &["blue/db", "blue/web"]).await;
    settled(&mut house, [&a, &b]).await;
    house.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_control_takes_no_backend_away() {
    let ground = Ground::new();
    let (a, mut b) = (ground.fake("node-a"), ground.fake("node-b"));
    let patient = vrouter_control::reconcile::Timing {
        health_grace: Duration::from_secs(3600),
        ..TIMING
    };
    let mut house = ground.patient(&["node-a", "node-b"], patient).await;
    blue(&mut house, pb::Network::default()).await;
    with_service(&mut house).await;
    settled(&mut house, [&a, &b]).await;
    a.workload("10.1.0.2", true);
    b.workload("10.1.0.3", true);
    has(&a, &["blue/db", "blue/web"]).await;
    house.converged(&a, "node-a").await;
    house.kill().await;
    // Nobody can be asked about db while control comes back.
    b.kill();
    let batches = a.tables().applied.len();
    let mut house = ground.patient(&["node-a", "node-b"], patient).await;
    until("node-a is connected", || {
        let node = "node-a".parse().unwrap();
        match house.board.status(&node) {
            Some((_, status)) if status.connected => Ok(()),
            _ => Err("not yet".into()),
        }
    })
    .await;
    assert_eq!(backends(&a), ["blue/db", "blue/web"]);
    assert_eq!(
        a.tables().applied.len(),
        batches,
        "nothing was programmed, not even for a moment"
    );
    b.restart();
    settled(&mut house, [&a, &b]).await;
    assert_eq!(backends(&b), ["blue/db", "blue/web"]);
    house.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_follow_their_profile() {
    let ground = Ground::new();
    let (a, b) = (ground.fake("node-a"), ground.fake("node-b"));
    let mut house = ground.control(&["node-a", "node-b"]).await;
    blue(&mut house, pb::Network::default()).await;
    let profile = |bits_per_second| pb::QosProfile {
        name: "gold".into(),
        egress: Some(pb::QosRate {
            bits_per_second,
            ..Default::default()
        }),
        dscp: Some(46),
        ..Default::default()
    };
    let request = pb::CreateQosProfileRequest {
        qos_profile: Some(profile(1_000_000)),
    };
    house.client.create_qos_profile(request).await.unwrap();
    let endpoint = pb::Endpoint {
        network: "blue".into(),
        name: "web".into(),
        qos: "gold".into(),
        ..Default::default()
    };
    let request = pb::UpdateEndpointRequest {
        endpoint: Some(endpoint),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["qos".into()],
        }),
    };
    house.client.update_endpoint(request).await.unwrap();
    settled(&mut house, [&a, &b]).await;
    let sends = |fake: &Fake| {
        port(fake, "blue/web")
            .qos
            .unwrap()
            .from_workload
            .unwrap()
            .bits_per_second
    };
    assert_eq!(
        (sends(&a), port(&a, "blue/web").qos.unwrap().dscp),
        (1_000_000, Some(46))
    );
    let request = pb::UpdateQosProfileRequest {
        qos_profile: Some(profile(2_000_000)),
        update_mask: None,
    };
    house.client.update_qos_profile(request).await.unwrap();
    settled(&mut house, [&a, &b]).await;
    assert_eq!(sends(&a), 2_000_000);
    assert_eq!(port(&b, "blue/db").qos, None);
    house.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_may_be_mirrored_to_each_other() {
    let ground = Ground::new();
    let (mut a, b) = (ground.fake("node-a"), ground.fake("node-b"));
    let mut house = ground.control(&["node-a", "node-b"]).await;
    blue(&mut house, pb::Network::default()).await;
    labelled(&mut house, "sniffer", "node-a").await;
    for (name, of, to) in [("one", "web", "sniffer"), ("two", "sniffer", "web")] {
        let mirror = pb::Mirror {
            name: name.into(),
            endpoints: vec![format!("blue/{of}")],
            collector: Some(pb::mirror::Collector::Endpoint(format!("blue/{to}"))),
            ..Default::default()
        };
        let request = pb::CreateMirrorRequest { mirror: Some(mirror) };
        house.client.create_mirror(request).await.unwrap();
    }
    settled(&mut house, [&a, &b]).await;
    assert_eq!(
        (port(&a, "blue/web").mirrors, port(&a, "blue/sniffer").mirrors),
        (vec![1], vec![2])
    );
    // All of it at once, from nothing.
    a.kill();
    a.restart();
    settled(&mut house, [&a, &b]).await;
    // A collector goes: those that are mirrored to it stay, without copies.
    let request = pb::DeleteMirrorRequest { name: "two".into() };
    house.client.delete_mirror(request).await.unwrap();
    let endpoint = pb::Endpoint {
        network: "blue".into(),
        name: "sniffer".into(),
        node: "node-b".into(),
        ..Default::default()
    };
    let request = pb::UpdateEndpointRequest {
        endpoint: Some(endpoint),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["node".into()],
        }),
    };
    house.client.update_endpoint(request).await.unwrap();
    for (fake, node) in [(&a, "node-a"), (&b, "node-b")] {
        house.converged(fake, node).await;
        assert_eq!(fake.tables().refused, 0);
    }
    assert_eq!(port(&a, "blue/web").mirrors, Vec::<u32>::new());
    house.kill().await;
}
