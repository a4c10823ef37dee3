//! Flows and counters.

use etherparse::PacketBuilder;
use tokio_stream::StreamExt as _;
use tonic::Code;
use vrouter_proto::dataplane as pb;

use super::harness::{Served, delete, mac, next_hop, port, route, two_workloads, vrf};
use crate::{engine::memory::MemoryDataplane, wire::Mac};

/// UDP from workload to workload.
fn udp(from: u8, to: u8, ports: (u16, u16)) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2(mac(from.into()).0, Mac::GATEWAY.0);
    let builder = builder.ipv4([10, 1, 0, from], [10, 1, 0, to], 64).udp(ports.0, ports.1);
    let mut packet = Vec::new();
    builder.write(&mut packet, b"hello").unwrap();
    packet
}

pub(super) fn send(dataplane: &mut MemoryDataplane, packets: &[(u8, u8, (u16, u16))]) {
    for (from, to, ports) in packets {
        assert!(dataplane.send(&format!("w{from}"), &udp(*from, *to, *ports)));
    }
    dataplane.settle();
}

async fn flows(served: &Served, request: pb::ListFlowsRequest) -> Vec<pb::Flow> {
    let answers = served.client().await.list_flows(request).await.unwrap().into_inner();
    let answers: Vec<_> = answers.map(Result::unwrap).collect().await;
    answers.into_iter().flat_map(|answer| answer.flows).collect()
}

async fn statistics(served: &Served) -> pb::GetStatisticsResponse {
    let mut client = served.client().await;
    client
        .get_statistics(pb::GetStatisticsRequest {})
        .await
        .unwrap()
        .into_inner()
}

#[tokio::test]
async fn flows_are_listed_with_names_and_by_filters() {
    let served = Served::start().await;
    served.apply(two_workloads()).await;
    served
        .work(|dataplane| {
            send(dataplane, &[(1, 2, (1000, 53)), (1, 2, (1000, 53)), (2, 1, (7000, 80))]);
            dataplane.clock.advance(5_000_000_000);
        })
        .await;
    let all = flows(&served, pb::ListFlowsRequest::default()).await;
    assert_eq!(all.len(), 4, "two flows, two directions each: {all:?}");
    let first = all.iter().find(|f| f.forward && f.destination_port == 53).unwrap();
    assert_eq!(
        (first.source.as_str(), first.destination.as_str()),
        ("10.1.0.1", "10.1.0.2")
    );
    assert_eq!(
        (first.vrf, first.protocol, first.in_port, first.next_hop),
        (7, 17, 1, 2)
    );
    assert_eq!((first.packets, first.idle_seconds, first.age_seconds), (2, 5, 5));
    assert_eq!(first.action, "port 2 port-2");
    let answer = all.iter().find(|f| !f.forward && f.source_port == 53).unwrap();
    assert_eq!((answer.packets, answer.next_hop), (0, 0));
    assert!(answer.action.contains("undecided"), "{}", answer.action);

    type Change = fn(&mut pb::ListFlowsRequest);
    let filters: [(Change, usize); 12] = [
        (|r| r.vrf = 7, 4),
        (|r| r.vrf = 8, 0),
        (|r| r.address = "10.1.0.2".into(), 4),
        (|r| r.address = "10.2.0.0/16".into(), 0),
        (|r| r.l4_port = 53, 2),
        (|r| r.l4_port = 80, 2),
        (|r| r.protocol = 17, 4),
        (|r| r.protocol = 6, 0),
        (|r| r.port = 1, 2),
        (|r| r.port = 9, 0),
        (|r| r.limit = 3, 3),
        (
            |r| {
                r.l4_port = 53;
                r.port = 2;
            },
            0,
        ),
    ];
    for (index, (change, count)) in filters.into_iter().enumerate() {
        let mut request = pb::ListFlowsRequest::default();
        change(&mut request);
        assert_eq!(flows(&served, request).await.len(), count, "filter {index}");
    }
    let wrong = pb::ListFlowsRequest {
        l4_port: 70_000,
        ..pb::ListFlowsRequest::default()
    };
    let status = served.client().await.list_flows(wrong).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(
        status.message().starts_with("l4_port: 70000 is out of range"),
        "{}",
        status.message()
    );
}

#[tokio::test]
async fn a_decision_that_no_longer_holds_is_not_shown_as_one() {
    let served = Served::start().await;
    served.apply(two_workloads()).await;
    served.work(|dataplane| send(dataplane, &[(1, 2, (1000, 53))])).await;
    let forward = |flows: Vec<pb::Flow>| flows.into_iter().find(|f| f.forward).unwrap();
    // Another route: the next hop is still the one it was.
    served.apply(vec![route("10.3.0.0/16", 1)]).await;
    let flow = forward(flows(&served, pb::ListFlowsRequest::default()).await);
    assert_eq!(
        (flow.next_hop, flow.action.as_str()),
        (2, "port 2 port-2 (the next packet decides anew)")
    );
    // Next hops changed: its number may mean another one.
    let mac = "02:00:00:00:00:55".to_owned();
    let changed = next_hop(2, pb::next_hop::Action::Port(pb::next_hop::ToPort { port: 2, mac }));
    assert_eq!(served.apply(vec![changed]).await.problems, []);
    let flow = forward(flows(&served, pb::ListFlowsRequest::default()).await);
    assert_eq!(
        (flow.next_hop, flow.action.as_str()),
        (0, "outdated: the next packet decides anew")
    );
}

#[tokio::test]
async fn counters_are_those_of_the_object_that_is_there_now() {
    let served = Served::start().await;
    served.apply(two_workloads()).await;
    served
        .work(|dataplane| send(dataplane, &[(1, 2, (1, 2)), (1, 2, (1, 2)), (1, 99, (1, 2))]))
        .await;
    let told = statistics(&served).await;
    let of = |told: &pb::GetStatisticsResponse, port| told.ports.iter().find(|p| p.port == port).unwrap().clone();
    let one = of(&told, 1);
    // Two forwarded, one without a route; the answer to that one came back.
    assert_eq!(
        (one.name.as_str(), one.rx_packets, one.tx_packets, one.flows),
        ("port-1", 3, 1, 1)
    );
    assert_eq!(of(&told, 2).tx_packets, 2);
    let drops: Vec<_> = one.drops.iter().map(|d| (d.reason.as_str(), d.packets)).collect();
    assert_eq!(drops, [("no_route", 1)]);
    let red = &told.vrfs[0];
    assert_eq!((red.vrf, red.name.as_str(), red.drops.len()), (7, "vrf-7", 1));
    assert!(
        told.drop_reasons
            .iter()
            .any(|r| r.name == "no_route" && r.description.contains("No route"))
    );
    let frames = told.frames.unwrap();
    assert_eq!((frames.total, frames.frame_size), (512, 2048));
    let table = told.flows.unwrap();
    assert_eq!(
        (table.capacity, table.used, table.created, table.expired),
        (4096, 1, 1, 0)
    );
    // The error about the packet without a route.
    let packets = told.packets.unwrap();
    assert_eq!((packets.originated, packets.mirrored, packets.shaped), (1, 0, 0));
    let worker = &told.workers[0];
    assert_eq!((worker.cpu, told.workers.len()), (-1, 1));
    assert!(worker.loops >= worker.busy_loops && worker.busy_loops > 0);
    assert!(worker.batch_size.unwrap().count > 0 && worker.batch_nanoseconds.unwrap().count > 0);

    // The same port again, in whatever slot, has counted nothing yet.
    let prefix = "10.1.0.1/32".to_owned();
    let gone = pb::key::Key::Route(pb::RouteKey {
        vrf: 7,
        prefix,
        source: 0,
    });
    served
        .apply(vec![
            delete(gone),
            delete(pb::key::Key::NextHop(1)),
            delete(pb::key::Key::Port(1)),
        ])
        .await;
    assert!(statistics(&served).await.ports.iter().all(|p| p.port != 1));
    served.apply(vec![port(1)]).await;
    let one = of(&statistics(&served).await, 1);
    assert_eq!(
        (one.rx_packets, one.rx_bytes, one.tx_packets, one.drops.len()),
        (0, 0, 0, 0)
    );
}

#[tokio::test]
async fn a_slot_that_is_used_again_begins_at_zero() {
    let served = Served::start().await;
    served.apply(vec![vrf(7)]).await;
    // More ports, one after the other, than there are slots: some slot was used before.
    for round in 0..100_u32 {
        assert_eq!(served.apply(vec![port(1)]).await.problems, []);
        let before = statistics(&served).await;
        let one = before.ports.iter().find(|p| p.port == 1).unwrap();
        assert_eq!((one.rx_packets, one.drops.len()), (0, 0), "round {round}");
        // A second a round, so that the limit on errors allows each.
        served.work(|dataplane| dataplane.clock.advance(1_000_000_000)).await;
        served.work(|dataplane| send(dataplane, &[(1, 2, (1, 2))])).await;
        let after = statistics(&served).await;
        let one = after.ports.iter().find(|p| p.port == 1).unwrap();
        // Neither the packet has a route, nor the error about it.
        assert_eq!((one.rx_packets, one.drops[0].packets), (1, 2), "round {round}");
        assert_eq!(served.apply(vec![delete(pb::key::Key::Port(1))]).await.problems, []);
    }
}
