//! What plugins publish and limit: shared by several, and gone with whom it was for.

use super::{fixture::*, *};

fn publication(name: &str, endpoint: &str, ports: &[(u32, u32)]) -> pb::FloatingIp {
    let forward = |(port, target_port): &(u32, u32)| pb::PortForward {
        protocol: "tcp".into(),
        port: *port,
        endpoint: endpoint.into(),
        target_port: *target_port,
    };
    pb::FloatingIp {
        name: name.into(),
        forwards: ports.iter().map(forward).collect(),
        ..Default::default()
    }
}

async fn publish(house: &mut House, floating: pb::FloatingIp) -> Result<pb::FloatingIp, Status> {
    let request = pb::PublishPortsRequest {
        floating_ip: Some(floating),
    };
    house.client.publish_ports(request).await.map(Response::into_inner)
}

async fn withdraw(house: &mut House, endpoint: &str, forwards: Vec<pb::PortForward>) -> u32 {
    let request = pb::WithdrawPortsRequest {
        endpoint: endpoint.into(),
        forwards,
    };
    house
        .client
        .withdraw_ports(request)
        .await
        .unwrap()
        .into_inner()
        .withdrawn
}

async fn all(house: &mut House) -> Vec<pb::FloatingIp> {
    let request = pb::ListFloatingIpsRequest {};
    house
        .client
        .list_floating_ips(request)
        .await
        .unwrap()
        .into_inner()
        .floating_ips
}

async fn delete(house: &mut House, network: &str, name: &str) {
    let request = pb::DeleteEndpointRequest {
        network: network.into(),
        name: name.into(),
    };
    assert!(
        house
            .client
            .delete_endpoint(request)
            .await
            .unwrap()
            .into_inner()
            .existed
    );
}

#[tokio::test]
async fn publishers_share_an_address_that_goes_with_the_last_port() {
    let mut house = two_networks().await;
    house.router(router("r", &["blue", "red"], "ext")).await.unwrap();
    let first = publish(&mut house, publication("node-a", "blue/web", &[(80, 8080)]))
        .await
        .unwrap();
    assert!(first.ephemeral);
    assert_eq!(
        (first.network.as_str(), first.address.as_str()),
        ("ext", "198.51.100.2")
    );
    let again = publish(&mut house, publication("node-a", "blue/web", &[(80, 8080)]))
        .await
        .unwrap();
    assert_eq!(again, first, "idempotent");
    // By its address it is found under any name.
    let by_address = pb::FloatingIp {
        address: first.address.clone(),
        ..publication("other", "red/cache", &[(81, 81), (82, 82)])
    };
    let shared = publish(&mut house, by_address).await.unwrap();
    assert_eq!((shared.name.as_str(), shared.forwards.len()), ("node-a", 3));

    let taken = publish(&mut house, publication("node-a", "red/cache", &[(83, 83), (80, 80)])).await;
    refused(taken, Code::AlreadyExists, "floating_ip.forwards[1].port", "blue/web");
    assert_eq!(all(&mut house).await[0].forwards.len(), 3, "all or none");

    assert_eq!(
        withdraw(&mut house, "red/cache", shared.forwards[1..2].to_vec()).await,
        1
    );
    assert_eq!(withdraw(&mut house, "red/cache", vec![]).await, 1);
    assert_eq!(withdraw(&mut house, "red/cache", vec![]).await, 0);
    assert_eq!(all(&mut house).await[0].forwards, first.forwards);
    delete(&mut house, "blue", "web").await;
    assert_eq!(all(&mut house).await, vec![]);
    house.clean().await;
}

#[tokio::test]
async fn a_port_may_be_left_to_the_server() {
    let mut house = two_networks().await;
    let made = publish(
        &mut house,
        publication("p", "blue/web", &[(32768, 1), (0, 80), (0, 81)]),
    )
    .await
    .unwrap();
    let ports: Vec<u32> = made.forwards.iter().map(|f| f.port).collect();
    assert_eq!(ports, [32768, 32769, 32770]);
    let again = publish(&mut house, publication("p", "blue/web", &[(0, 80)]))
        .await
        .unwrap();
    assert_eq!(again, made, "the one that leads there already");
    let other = publish(&mut house, publication("p", "red/cache", &[(0, 80)]))
        .await
        .unwrap();
    assert_eq!(other.forwards[3].port, 32771);
}

#[tokio::test]
async fn what_cannot_be_published_is_refused() {
    let mut house = two_networks().await;
    house.router(router("r", &["blue", "red"], "ext")).await.unwrap();
    let nobody = publish(&mut house, publication("p", "blue/nobody", &[(80, 80)])).await;
    refused(
        nobody,
        Code::NotFound,
        "floating_ip.forwards[0].endpoint",
        "blue/nobody",
    );
    let nothing = publish(&mut house, publication("p", "blue/web", &[])).await;
    refused(nothing, Code::InvalidArgument, "floating_ip.forwards", "nothing");
    let no_target = publish(&mut house, publication("p", "blue/web", &[(0, 0)])).await;
    refused(
        no_target,
        Code::InvalidArgument,
        "floating_ip.forwards[0].target_port",
        "0 is no port",
    );
    house.floating_ip(floating("whole", "blue/web")).await.unwrap();
    let whole = publish(&mut house, publication("whole", "blue/web", &[(80, 80)])).await;
    refused(whole, Code::AlreadyExists, "floating_ip.name", "with all ports");
    // An address that somebody made by hand outlives the ports published at it.
    house.floating_ip(floating("kept", "")).await.unwrap();
    publish(&mut house, publication("kept", "blue/web", &[(80, 80)]))
        .await
        .unwrap();
    assert_eq!(withdraw(&mut house, "blue/web", vec![]).await, 1);
    assert_eq!(all(&mut house).await.len(), 2);
    let elsewhere = pb::FloatingIp {
        address: "198.51.100.99".into(),
        ..publication("kept", "blue/web", &[(80, 80)])
    };
    refused(
        publish(&mut house, elsewhere).await,
        Code::AlreadyExists,
        "floating_ip.name",
        "not 198.51.100.99",
    );
    house.clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn publishers_at_the_same_time_lose_nothing() {
    let mut house = two_networks().await;
    house.router(router("r", &["blue", "red"], "ext")).await.unwrap();
    let tasks: Vec<_> = (0..64_u32)
        .map(|n| {
            let mut client = house.client.clone();
            tokio::spawn(async move {
                let endpoint = if n % 2 == 0 { "blue/web" } else { "red/cache" };
                let floating_ip = Some(publication("p", endpoint, &[(1000 + n, 80)]));
                client
                    .publish_ports(pb::PublishPortsRequest { floating_ip })
                    .await
                    .unwrap();
                if n % 4 == 0 {
                    let request = pb::WithdrawPortsRequest {
                        endpoint: endpoint.into(),
                        forwards: publication("p", endpoint, &[(1000 + n, 80)]).forwards,
                    };
                    client.withdraw_ports(request).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let left = all(&mut house).await;
    assert_eq!(left[0].forwards.len(), 48);
    house.clean().await;
}

#[tokio::test]
async fn a_profile_comes_and_goes_with_its_endpoint() {
    let mut house = two_networks().await;
    let profile = |name: &str| pb::QosProfile {
        name: name.into(),
        egress: Some(pb::QosRate {
            bits_per_second: 1_000_000,
            ..Default::default()
        }),
        ephemeral: true,
        ..Default::default()
    };
    let create = |name: &str, qos: &str, made: &str, mac: &str| pb::CreateEndpointRequest {
        endpoint: Some(pb::Endpoint {
            qos: qos.into(),
            mac: mac.into(),
            ..blue(name)
        }),
        qos_profile: Some(profile(made)),
    };
    let request = create("a", "p", "p", "");
    let made = house
        .client
        .create_endpoint(request.clone())
        .await
        .unwrap()
        .into_inner();
    let again = house.client.create_endpoint(request).await.unwrap().into_inner();
    assert_eq!(made, again);
    refused(
        house.client.create_endpoint(create("b", "", "q", "")).await,
        Code::InvalidArgument,
        "endpoint.qos",
        "q",
    );
    // The endpoint is refused: so is the profile.
    let taken = house.client.create_endpoint(create("b", "q", "q", &made.mac)).await;
    refused(taken, Code::AlreadyExists, "endpoint.mac", "");
    let profiles = async |house: &mut House| -> Vec<String> {
        let answer = house
            .client
            .list_qos_profiles(pb::ListQosProfilesRequest {})
            .await
            .unwrap();
        answer.into_inner().qos_profiles.into_iter().map(|p| p.name).collect()
    };
    assert_eq!(profiles(&mut house).await, ["p"]);
    // With two users it stays until both are gone, one by another wish.
    house.client.create_endpoint(create("b", "p", "p", "")).await.unwrap();
    delete(&mut house, "blue", "a").await;
    assert_eq!(profiles(&mut house).await, ["p"]);
    let update = pb::UpdateEndpointRequest {
        endpoint: Some(blue("b")),
        update_mask: mask(&["qos"]),
    };
    house.client.update_endpoint(update).await.unwrap();
    assert_eq!(profiles(&mut house).await, Vec::<String>::new());
    house.clean().await;
}

#[tokio::test]
async fn endpoints_are_found_by_their_labels() {
    let mut house = two_networks().await;
    let list = async |house: &mut House, network: &str, labels: &[(&str, &str)]| -> Vec<String> {
        let request = pb::ListEndpointsRequest {
            network: network.into(),
            labels: labels.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
            ..Default::default()
        };
        let answer = house.client.list_endpoints(request).await.unwrap().into_inner();
        answer.endpoints.into_iter().map(|e| e.name).collect()
    };
    assert_eq!(list(&mut house, "", &[("tier", "inner")]).await, ["db", "web"]);
    assert_eq!(list(&mut house, "", &[("tier", "inner"), ("app", "db")]).await, ["db"]);
    assert_eq!(
        list(&mut house, "red", &[("tier", "inner")]).await,
        Vec::<String>::new()
    );
    assert_eq!(list(&mut house, "", &[("none", "")]).await, Vec::<String>::new());
}
