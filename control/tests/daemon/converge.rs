//! Whatever dies whenever, the dataplane ends up with what is wished.

use vrouter_control::compile::ObjectKey;
use vrouter_proto::{control as pb, dataplane as dp};

use crate::house::{Ground, until};

fn blue() -> pb::Network {
    pb::Network {
        name: "blue".into(),
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_learn_of_each_other() {
    let ground = Ground::new();
    let (a, b) = (ground.fake("node-a"), ground.fake("node-b"));
    let mut house = ground.control(&["node-a", "node-b"]).await;
    house.network(blue()).await;
    house
        .network(pb::Network {
            name: "green".into(),
            bridged: true,
            ..Default::default()
        })
        .await;
    // Nodes register themselves; their tunnel addresses come from their dataplanes.
    for node in ["node-a", "node-b"] {
        until("the node is there", || {
            let known = house.store.state().node(&node.parse().unwrap()).is_some();
            if known { Ok(()) } else { Err("not yet".into()) }
        })
        .await;
    }
    for (name, node) in [("web", "node-a"), ("db", "node-b")] {
        house.endpoint("blue", name, node, &format!("v-{name}")).await;
        house.endpoint("green", name, node, &format!("g-{name}")).await;
    }
    house.converged(&a, "node-a").await;
    house.converged(&b, "node-b").await;
    let tunnels = |o: &dp::Object| format!("{o:?}").contains("192.0.2.98");
    assert!(a.held().values().any(tunnels), "node-a tunnels to node-b's own address");
    assert_eq!(house.audit().await, Vec::<String>::new());

    house.delete("blue", "web").await;
    house.delete("green", "web").await;
    house.converged(&a, "node-a").await;
    house.converged(&b, "node-b").await;
    assert!(a.held().is_empty(), "a node that hosts nothing holds nothing");
    house.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn either_side_may_die_at_any_time() {
    let ground = Ground::new();
    let mut fake = ground.fake("node-a");
    let mut house = ground.control(&["node-a"]).await;
    house.network(blue()).await;
    house
        .network(pb::Network {
            name: "green".into(),
            bridged: true,
            ..Default::default()
        })
        .await;
    until("the node is there", || {
        if house.store.state().nodes().count() == 1 {
            Ok(())
        } else {
            Err("not yet".into())
        }
    })
    .await;
    for round in 0..6 {
        for n in 0..8 {
            let network = if n % 2 == 0 { "blue" } else { "green" };
            house
                .endpoint(network, &format!("e{round}-{n}"), "node-a", &format!("v{round}-{n}"))
                .await;
            match (round, n) {
                (0, 3) => fake.kill(),
                (0, 6) | (1, 5) => fake.restart(),
                (1, 2) => fake.kill(),
                (2, 1) => fake.cut(),
                // Dies within a batch: applied but not answered, or neither.
                (3, 1) => fake.tables().hang_up = Some((0, true)),
                (3, 5) => fake.tables().hang_up = Some((1, false)),
                (4, 4) => {
                    house.kill().await;
                    house = ground.control(&["node-a"]).await;
                }
                (5, 4) => {
                    // Both, and things change while nobody is there.
                    fake.kill();
                    house.delete("blue", "e0-0").await;
                    house.kill().await;
                    fake.restart();
                    house = ground.control(&["node-a"]).await;
                }
                _ => {}
            }
        }
        if round % 2 == 1 {
            house.delete("green", &format!("e{round}-1")).await;
        }
        house.converged(&fake, "node-a").await;
    }
    until("all is well", || {
        let state = house.store.state().revision();
        if state > 0 { Ok(()) } else { Err(String::new()) }
    })
    .await;
    assert_eq!(house.audit().await, Vec::<String>::new());
    house.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_programmed_twice_and_nothing_foreign_is_touched() {
    let ground = Ground::new();
    let fake = ground.fake("node-a");
    let mut house = ground.control(&["node-a"]).await;
    house.network(blue()).await;
    until("the node is there", || {
        if house.store.state().nodes().count() == 1 {
            Ok(())
        } else {
            Err("not yet".into())
        }
    })
    .await;
    house.endpoint("blue", "web", "node-a", "v-web").await;
    house.converged(&fake, "node-a").await;
    // A BGP speaker puts a route of its own with a next hop of its own.
    let next_hop = dp::NextHop {
        id: 77,
        action: Some(dp::next_hop::Action::Drop(dp::next_hop::Drop {})),
        ..Default::default()
    };
    let route = dp::Route {
        vrf: 1,
        prefix: "10.9.0.0/16".into(),
        next_hop: 77,
        source: 3,
        ..Default::default()
    };
    let wrap = |object| dp::Object { object: Some(object) };
    let prefix = ObjectKey::Route(1, "10.9.0.0".parse().unwrap(), 16);
    fake.meddle(|objects| {
        objects.insert((ObjectKey::NextHop(77), 0), wrap(dp::object::Object::NextHop(next_hop)));
        objects.insert((prefix.clone(), 3), wrap(dp::object::Object::Route(route)));
    });
    house.kill().await;
    let batches = fake.tables().applied.len();
    let mut house = ground.control(&["node-a"]).await;
    until("connected again", || {
        if house.wished("node-a").len() + 1 == fake.held().len() {
            Ok(())
        } else {
            Err("differs".into())
        }
    })
    .await;
    // An audit compares everything, after the first comparison.
    let findings = loop {
        let findings = house.audit().await;
        if !findings.iter().any(|f| f.contains("not connected")) {
            break findings;
        }
    };
    assert_eq!(findings, Vec::<String>::new());
    assert_eq!(fake.tables().applied.len(), batches, "nothing had to be programmed");
    assert!(fake.tables().objects.contains_key(&(prefix, 3)));

    // Somebody deletes one of ours and puts nonsense: it is repaired.
    let ours = ObjectKey::Route(1, "10.1.0.2".parse().unwrap(), 32);
    fake.meddle(|objects| {
        assert!(objects.remove(&(ours.clone(), 0)).is_some());
        let vrf = dp::Vrf {
            id: 99,
            name: "nonsense".into(),
            underlay: false,
        };
        objects.insert((ObjectKey::Vrf(99), 0), wrap(dp::object::Object::Vrf(vrf)));
    });
    until("it is repaired", || {
        let held = fake.held();
        if held.contains_key(&ours) && !held.contains_key(&ObjectKey::Vrf(99)) {
            Ok(())
        } else {
            Err("not yet".into())
        }
    })
    .await;
    house.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interface_and_an_address_pass_from_one_endpoint_to_another() {
    let ground = Ground::new();
    let mut fake = ground.fake("node-a");
    let mut house = ground.control(&["node-a"]).await;
    house.network(blue()).await;
    until("the node is there", || {
        if house.store.state().nodes().count() == 1 {
            Ok(())
        } else {
            Err("not yet".into())
        }
    })
    .await;
    house.endpoint("blue", "old", "node-a", "veth0").await;
    house.endpoint("blue", "moving", "node-a", "veth1").await;
    house.converged(&fake, "node-a").await;
    // Seen as one change: nobody is connected while it happens.
    let tables = std::mem::take(&mut *fake.tables());
    fake.kill();
    house.delete("blue", "old").await;
    let wish = pb::Endpoint {
        network: "blue".into(),
        name: "new".into(),
        node: "node-a".into(),
        interface: "veth0".into(),
        addresses: vec!["10.1.0.2".into()],
        ..Default::default()
    };
    house
        .client
        .create_endpoint(pb::CreateEndpointRequest {
            endpoint: Some(wish),
            ..Default::default()
        })
        .await
        .unwrap();
    let moving = pb::Endpoint {
        network: "blue".into(),
        name: "moving".into(),
        node: "node-a".into(),
        interface: "veth2".into(),
        ..Default::default()
    };
    let mask = Some(prost_types::FieldMask {
        paths: vec!["interface".into()],
    });
    let update = pb::UpdateEndpointRequest {
        endpoint: Some(moving),
        update_mask: mask,
    };
    house.client.update_endpoint(update).await.unwrap();
    *fake.tables() = tables;
    fake.restart();
    house.converged(&fake, "node-a").await;
    assert_eq!(
        fake.tables().refused,
        0,
        "every batch was in an order that a strict dataplane takes"
    );
    house.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wrong_dataplane_is_not_programmed() {
    let ground = Ground::new();
    let other = crate::fake::Fake::start(&ground.socket("node-a"), "node-b");
    let mut house = ground.control(&["node-a"]).await;
    house.network(blue()).await;
    until("the node is there", || {
        if house.store.state().nodes().count() == 1 {
            Ok(())
        } else {
            Err("not yet".into())
        }
    })
    .await;
    house.endpoint("blue", "web", "node-a", "v-web").await;
    loop {
        let status = house.status("node-a").await;
        if status.error.contains("node-b") {
            assert!(!status.connected);
            break;
        }
    }
    assert!(other.held().is_empty());
    assert!(!house.get("blue", "web").await.programmed);
    house.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configured_node_registers_itself_and_may_be_adopted() {
    let ground = Ground::new();
    let _fake = ground.fake("node-a");
    let mut house = ground.control(&["node-a"]).await;
    let node = "node-a".parse().unwrap();
    until("the dataplane has said its address", || {
        if house.store.state().observed(&node).is_some() {
            Ok(())
        } else {
            Err("not yet".into())
        }
    })
    .await;
    let get = pb::GetNodeRequest { name: "node-a".into() };
    let found = house.client.get_node(get).await.unwrap().into_inner();
    assert_eq!(
        (found.vtep_addresses.len(), &found.effective_vtep_addresses[..]),
        (0, &["192.0.2.97".to_owned()][..])
    );
    assert_eq!(house.store.state().observed(&node).unwrap().underlay_mtu, 1500);

    let wish = pb::Node {
        name: "node-a".into(),
        vtep_addresses: vec!["2001:db8::a".into(), "192.0.2.7".into()],
        ..Default::default()
    };
    let create = |node| pb::CreateNodeRequest { node: Some(node) };
    let adopted = house
        .client
        .create_node(create(wish.clone()))
        .await
        .unwrap()
        .into_inner();
    assert_eq!((&adopted.uid, adopted.number), (&found.uid, found.number));
    assert_eq!(adopted.effective_vtep_addresses, wish.vtep_addresses);
    assert!(house.client.create_node(create(wish.clone())).await.is_ok());
    let other = house
        .client
        .create_node(create(pb::Node {
            vtep_addresses: vec![],
            ..wish.clone()
        }))
        .await;
    assert_eq!(other.unwrap_err().code(), tonic::Code::AlreadyExists, "adopted once");

    let external = house
        .client
        .create_node(create(pb::Node { external: true, ..wish }))
        .await
        .unwrap_err();
    assert_eq!(external.code(), tonic::Code::InvalidArgument);
    let delete = house
        .client
        .delete_node(pb::DeleteNodeRequest { name: "node-a".into() })
        .await
        .unwrap_err();
    assert_eq!(delete.code(), tonic::Code::FailedPrecondition);
    house.kill().await;
}
