//! One bad object does not stop the others, and is told of.

use crate::house::{Ground, House, until};
use vrouter_proto::control as pb;

async fn with_endpoints(house: &mut House, count: usize) {
    house
        .network(pb::Network {
            name: "blue".into(),
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
    for n in 0..count {
        house
            .endpoint("blue", &format!("e{n}"), "node-a", &format!("veth{n}"))
            .await;
    }
}

async fn refused(silent: bool) {
    let ground = Ground::new();
    let fake = ground.fake("node-a");
    {
        let mut tables = fake.tables();
        tables.missing = ["veth3".into(), "veth7".into()].into();
        tables.silent = silent;
    }
    let mut house = ground.control(&["node-a"]).await;
    with_endpoints(&mut house, 12).await;

    // Everything but what the two bad ones need is there.
    let bad = |key: &vrouter_control::compile::ObjectKey| {
        let text = key.to_string();
        let own = |n: u32| {
            [
                format!("port {n}"),
                format!("next hop {}", 1_000_000_000 + n),
                format!("label {}", 131_072 + n),
                format!("route 10.1.0.{}/32 of VRF 1", n + 1),
                format!("route fd00:1::{:x}/128 of VRF 1", n + 1),
            ]
        };
        own(4).contains(&text) || own(8).contains(&text)
    };
    until("the rest is programmed", || {
        let wished: Vec<_> = house.wished("node-a").into_keys().filter(|key| !bad(key)).collect();
        let held: Vec<_> = fake.held().into_keys().collect();
        if wished == held {
            Ok(())
        } else {
            Err(format!("{wished:?} but {held:?}"))
        }
    })
    .await;
    loop {
        let status = house.status("node-a").await;
        if status.refused == 10 && status.synced_revision == house.store.state().revision() {
            assert!(status.connected);
            assert!(
                status.error.contains("no interface veth") && status.error.contains("9 more"),
                "{}",
                status.error
            );
            break;
        }
    }
    let e3 = house.get("blue", "e3").await;
    assert!(!e3.programmed);
    assert!(e3.error.contains("no interface veth3"), "{}", e3.error);
    let e4 = house.get("blue", "e4").await;
    assert!(e4.programmed && e4.error.is_empty());
    assert!(house.audit().await.iter().all(|f| f.contains("refused")));

    // One is deleted; the other's interface appears. Both are well then, without anybody asking again.
    house.delete("blue", "e7").await;
    fake.tables().missing.clear();
    house.converged(&fake, "node-a").await;
    loop {
        let status = house.status("node-a").await;
        if status.refused == 0 {
            assert_eq!(status.error, "");
            break;
        }
    }
    assert!(house.get("blue", "e3").await.programmed);
    assert_eq!(house.audit().await, Vec::<String>::new());
    house.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_objects_are_isolated_by_what_the_dataplane_says() {
    refused(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_objects_are_isolated_by_halving_when_it_says_nothing_useful() {
    refused(true).await;
}
