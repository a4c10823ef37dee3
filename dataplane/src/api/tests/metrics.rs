//! Metrics of a dataplane in memory.

use vrouter_metrics::{Format, RpcMetrics, Source as _};

use super::{
    harness::{Served, delete, two_workloads},
    telemetry::send,
};
use crate::api::Metrics;

async fn page(served: &Served, named: usize) -> String {
    let calls = RpcMetrics::new(vrouter_proto::DESCRIPTORS, &[]);
    let metrics = Metrics::new(served.handle.clone(), calls, named, std::sync::Arc::default());
    metrics.ready().await.unwrap();
    metrics.page(Format::Text).await.unwrap()
}

fn expect(page: &str, lines: &[&str]) {
    for line in lines {
        assert!(page.lines().any(|l| l == *line), "{line} in\n{page}");
    }
}

#[tokio::test]
async fn what_was_sent_is_what_the_page_says() {
    let served = Served::start().await;
    served.apply(two_workloads()).await;
    served
        .work(|dataplane| send(dataplane, &[(1, 2, (1, 2)), (1, 2, (1, 2)), (1, 99, (1, 2))]))
        .await;
    let shown = page(&served, 100).await;
    expect(
        &shown,
        &[
            r#"vrouter_port_received_packets_total{port_id="1",port="port-1"} 3"#,
            r#"vrouter_port_sent_packets_total{port_id="2",port="port-2"} 2"#,
            r#"vrouter_port_drops_total{port_id="1",port="port-1",reason="no_route"} 1"#,
            r#"vrouter_port_flows{port_id="1",port="port-1"} 1"#,
            r#"vrouter_vrf_drops_total{vrf_id="7",vrf="vrf-7",reason="no_route"} 1"#,
            r#"vrouter_drops_total{reason="no_route"} 1"#,
            r#"vrouter_drops_total{reason="port_down"} 0"#,
            "vrouter_received_packets_total 3",
            "vrouter_flows 1",
            "vrouter_flows_capacity 4096",
            "vrouter_flows_created_total 1",
            "vrouter_originated_packets_total 1",
            r#"vrouter_apply_batches_total{result="applied"} 1"#,
            r#"vrouter_apply_batches_total{result="refused"} 0"#,
            "vrouter_apply_duration_seconds_count 1",
            r#"vrouter_objects{kind="port"} 2"#,
            r#"vrouter_next_hops{state="down"} 0"#,
            r#"vrouter_ports{state="down"} 0"#,
        ],
    );
    // Each family is told once, and no series twice: Prometheus refuses a page otherwise.
    let mut seen = std::collections::HashSet::new();
    for line in shown.lines().filter(|line| !line.starts_with("# HELP")) {
        let series = line.rsplit_once(' ').unwrap().0;
        assert!(seen.insert(series.to_owned()), "{line}");
    }
}

#[tokio::test]
async fn names_are_bounded_and_totals_outlive_ports() {
    let served = Served::start().await;
    served.apply(two_workloads()).await;
    served
        .work(|dataplane| send(dataplane, &[(1, 2, (1, 2)), (2, 1, (3, 4))]))
        .await;
    let one = page(&served, 1).await;
    expect(
        &one,
        &[
            r#"vrouter_port_received_packets_total{port_id="1",port="port-1"} 1"#,
            r#"vrouter_received_packets_total 2"#,
        ],
    );
    assert!(
        one.contains(r#"vrouter_port_received_packets_total{port_id="_other",port="_other"} 1"#),
        "{one}"
    );
    let none = page(&served, 0).await;
    expect(
        &none,
        &[r#"vrouter_port_received_packets_total{port_id="_other",port="_other"} 2"#],
    );
    served.apply(remove_port_1()).await;
    let after = page(&served, 100).await;
    expect(&after, &["vrouter_received_packets_total 2"]);
    assert!(!after.contains(r#"port="port-1""#), "{after}");
}

fn remove_port_1() -> Vec<vrouter_proto::dataplane::Operation> {
    use vrouter_proto::dataplane::{RouteKey, key::Key};
    let prefix = "10.1.0.1/32".to_owned();
    vec![
        delete(Key::Route(RouteKey {
            vrf: 7,
            prefix,
            source: 0,
        })),
        delete(Key::NextHop(1)),
        delete(Key::Port(1)),
    ]
}
