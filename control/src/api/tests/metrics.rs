//! What the page for Prometheus says.

use vrouter_metrics::{Format, RpcMetrics, Source as _};

use super::{
    fixture::{service, two_networks},
    *,
};
use crate::{api::Metrics, model::Name};

fn metrics(house: &House, board: &Board, named: usize) -> Metrics {
    let calls = RpcMetrics::new(vrouter_proto::DESCRIPTORS, &[]);
    let path = house.directory.path().join("control.redb");
    Metrics::new(house.store.clone(), board.clone(), calls, path, named)
}

fn expect(page: &str, lines: &[&str]) {
    for line in lines {
        assert!(page.lines().any(|l| l == *line), "{line} in\n{page}");
    }
}

#[tokio::test]
async fn what_is_wished_and_what_became_of_it_is_told() {
    let mut house = two_networks().await;
    let request = pb::CreateServiceRequest {
        service: Some(service("web", &["blue/web", "blue/db"])),
    };
    house.client.create_service(request).await.unwrap();
    let board = Board::default();
    let revision = house.store.state().revision();
    for (node, connected, behind, refused) in [
        ("node-a", true, 0, 0),
        ("node-b", true, 3, 2),
        ("node-c", false, revision, 0),
    ] {
        let node = Name::new(node).unwrap();
        drop(board.register(&node, &house.address));
        board.update(&node, |status| {
            status.connected = connected;
            status.synced_revision = revision - behind;
            status.refused = refused;
        });
    }
    let told = metrics(&house, &board, 100);
    told.ready().await.unwrap();
    let page = told.page(Format::Text).await.unwrap();
    expect(
        &page,
        &[
            r#"vrouter_control_objects{kind="network"} 3"#,
            r#"vrouter_control_objects{kind="endpoint"} 3"#,
            r#"vrouter_control_objects{kind="service"} 1"#,
            r#"vrouter_control_dataplane_connected{node="node-a"} 1"#,
            r#"vrouter_control_dataplane_revision_lag{node="node-a"} 0"#,
            r#"vrouter_control_dataplane_revision_lag{node="node-b"} 3"#,
            r#"vrouter_control_dataplane_refused_objects{node="node-b"} 2"#,
            r#"vrouter_control_dataplane_connected{node="node-c"} 0"#,
            r#"vrouter_control_dataplanes{state="disconnected"} 1"#,
            r#"vrouter_control_dataplanes{state="pending"} 1"#,
            r#"vrouter_control_dataplanes{state="synced"} 1"#,
            // Gateway and broadcast are nobody's; two endpoints and the service's own address are taken.
            r#"vrouter_control_subnet_addresses{network="blue",subnet="v4"} 253"#,
            r#"vrouter_control_subnet_addresses_used{network="blue",subnet="v4"} 3"#,
            r#"vrouter_control_service_backends{network="blue",service="web",state="healthy"} 4"#,
            &format!("vrouter_control_revision {revision}"),
            "vrouter_control_store_failures_total 0",
        ],
    );
    assert!(page.contains("vrouter_control_store_size_bytes ") && page.contains("process_cpu_seconds_total"));
}

#[tokio::test]
async fn names_are_bounded() {
    let house = two_networks().await;
    let board = Board::default();
    for node in ["node-a", "node-b"] {
        drop(board.register(&Name::new(node).unwrap(), &house.address));
    }
    let page = metrics(&house, &board, 1).page(Format::Text).await.unwrap();
    assert_eq!(page.matches("vrouter_control_dataplane_connected{").count(), 1);
    assert_eq!(page.matches("vrouter_control_subnet_addresses{").count(), 2);
    expect(
        &page,
        &[
            r#"vrouter_control_subnet_addresses_used{network="_other",subnet="_other"} 4"#,
            r#"vrouter_control_dataplanes{state="disconnected"} 2"#,
        ],
    );
}

#[tokio::test]
async fn a_closed_store_is_not_ready() {
    let house = House::new().await;
    let told = metrics(&house, &Board::default(), 1);
    house.store.close().await;
    assert!(told.ready().await.is_err());
}
