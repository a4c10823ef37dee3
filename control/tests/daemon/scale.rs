//! 200 endpoints here and 2,000 elsewhere, over both encapsulations.

use vrouter_proto::control as pb;

use crate::house::{Ground, until};

#[tokio::test(flavor = "multi_thread")]
async fn many_endpoints_are_programmed_in_few_operations() {
    let ground = Ground::new();
    let fake = ground.fake("node-a");
    let mut house = ground.control(&["node-a"]).await;
    house
        .network(pb::Network {
            name: "blue".into(),
            ..Default::default()
        })
        .await;
    for n in 0..20 {
        let vtep_addresses = vec![format!("198.51.100.{}", n + 1)];
        let node = pb::Node {
            name: format!("far-{n}"),
            vtep_addresses,
            ..Default::default()
        };
        house
            .client
            .create_node(pb::CreateNodeRequest { node: Some(node) })
            .await
            .unwrap();
    }
    until("the node is there", || {
        if house.store.state().nodes().count() == 21 {
            Ok(())
        } else {
            Err("not yet".into())
        }
    })
    .await;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..2200 {
        let mut client = house.client.clone();
        let node = if n < 200 {
            "node-a".to_owned()
        } else {
            format!("far-{}", n % 20)
        };
        let endpoint = pb::Endpoint {
            network: "blue".into(),
            name: format!("e{n}"),
            node,
            interface: format!("veth{n}"),
            ..Default::default()
        };
        tasks.spawn(async move {
            client
                .create_endpoint(pb::CreateEndpointRequest {
                    endpoint: Some(endpoint),
                    ..Default::default()
                })
                .await
                .unwrap();
        });
        if tasks.len() >= 128 {
            tasks.join_next().await.unwrap().unwrap();
        }
    }
    while tasks.join_next().await.transpose().unwrap().is_some() {}
    house.converged(&fake, "node-a").await;
    let held = fake.held().len();
    assert_eq!(held, 1 + 1 + 1 + 2 + 2 * 2 + 20 + 200 * 5 + 2000 * 2);

    // One more endpoint costs its own objects and nothing else.
    fake.tables().applied.clear();
    house.endpoint("blue", "late", "node-a", "late0").await;
    house.converged(&fake, "node-a").await;
    assert_eq!(fake.tables().applied, [5]);

    // The encapsulation changes under way, in one batch.
    fake.tables().applied.clear();
    let change = pb::Network {
        name: "blue".into(),
        encapsulation: pb::Encapsulation::MplsUdp.into(),
        ..Default::default()
    };
    house
        .client
        .update_network(pb::UpdateNetworkRequest {
            network: Some(change),
            update_mask: None,
        })
        .await
        .unwrap();
    house.converged(&fake, "node-a").await;
    assert_eq!(fake.tables().applied.len(), 1);
    assert_eq!(fake.tables().refused, 0);
    assert_eq!(house.audit().await, Vec::<String>::new());
    house.kill().await;
}
