//! Batches: order, refusals, limits, and clients that go away.

use std::net::Ipv4Addr;

use tokio::sync::mpsc;
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tonic::Code;
use vrouter_proto::dataplane::{self as pb, object::Object as PbObject, problem};

use super::harness::{Served, delete, next_hop, route, two_workloads, vrf};
use crate::api::MAX_OPERATIONS;

/// Applies these batches in one stream, numbered from 100.
async fn apply_all(served: &Served, batches: Vec<Vec<pb::Operation>>) -> Vec<pb::ApplyResponse> {
    let requests = batches
        .into_iter()
        .zip(100..)
        .map(|(operations, batch)| pb::ApplyRequest { batch, operations });
    let requests: Vec<_> = requests.collect();
    let answers = served.client().await.apply(tokio_stream::iter(requests)).await.unwrap();
    answers.into_inner().map(Result::unwrap).collect().await
}

#[tokio::test]
async fn answers_come_in_order_and_a_refused_batch_changes_nothing_else() {
    let served = Served::start().await;
    let taken = vec![vrf(3), delete(pb::key::Key::Vrf(7))];
    let malformed = vec![vrf(4), route("10.1.0.9/24", 1), vrf(0)];
    let answers = apply_all(&served, vec![two_workloads(), taken, malformed, vec![], vec![vrf(9)]]).await;
    let told: Vec<_> = answers
        .iter()
        .map(|a| (a.batch, a.revision, a.problems.len()))
        .collect();
    assert_eq!(told, [(100, 1, 0), (101, 1, 1), (102, 1, 2), (103, 2, 0), (104, 3, 0)]);

    let in_use = &answers[1].problems[0];
    assert_eq!((in_use.operation, in_use.code()), (1, problem::Code::InUse));
    assert!(in_use.message.contains("VRF 7"), "{}", in_use.message);
    let fields: Vec<_> = answers[2]
        .problems
        .iter()
        .map(|p| (p.operation, p.field.as_str()))
        .collect();
    assert_eq!(fields, [(1, "route.prefix"), (2, "vrf.id")]);
    assert!(answers[2].problems.iter().all(|p| p.code() == problem::Code::Invalid));

    let (revision, vrfs) = served.dump(&[pb::Kind::Vrf], 0).await;
    let mut ids: Vec<_> = vrfs
        .iter()
        .map(|o| if let PbObject::Vrf(v) = o { v.id } else { 0 })
        .collect();
    ids.sort_unstable();
    assert_eq!((revision, ids), (3, vec![7, 9]));
}

#[tokio::test]
async fn what_only_the_tables_know_is_told_too() {
    let served = Served::start().await;
    let answer = served.apply(vec![route("10.0.0.0/8", 1)]).await;
    assert_eq!(
        (answer.problems[0].code(), answer.problems[0].field.as_str()),
        (problem::Code::NotFound, "route.vrf")
    );
    let mut unknown = two_workloads();
    unknown.push(super::harness::put(PbObject::Port(pb::Port {
        id: 3,
        interface: "eth99".into(),
        vrf: 7,
        mac: "02:00:00:00:00:03".into(),
        ..pb::Port::default()
    })));
    let answer = served.apply(unknown).await;
    assert_eq!(answer.problems[0].code(), problem::Code::Refused);
    // The ports that had been opened before the refusal are free again.
    assert_eq!(served.apply(two_workloads()).await.problems, []);
}

#[tokio::test]
async fn a_big_batch_is_taken_and_a_bigger_one_refused_without_ending_the_stream() {
    let served = Served::start().await;
    served.apply(two_workloads()).await;
    let routes = |count: usize| -> Vec<_> {
        let first = u32::from(Ipv4Addr::new(20, 0, 0, 0));
        (0..count as u32)
            .map(|n| route(format!("{}/32", Ipv4Addr::from(first + n)), 1))
            .collect()
    };
    let batches = vec![routes(MAX_OPERATIONS + 1), routes(MAX_OPERATIONS)];
    let answers = apply_all(&served, batches).await;
    let problem = &answers[0].problems[0];
    assert!(problem.message.contains("send at most 100000"), "{}", problem.message);
    assert_eq!(
        (answers[0].revision, answers[1].revision, answers[1].problems.len()),
        (1, 2, 0)
    );
    assert_eq!(served.dump(&[pb::Kind::Route], 7).await.1.len(), MAX_OPERATIONS + 2);
}

#[tokio::test]
async fn a_message_beyond_the_limit_is_told_with_the_limit() {
    let served = Served::start().await;
    let huge = super::harness::put(PbObject::Vrf(pb::Vrf {
        id: 1,
        name: "x".repeat(65 << 20),
        underlay: false,
    }));
    let request = |batch, operations| pb::ApplyRequest { batch, operations };
    let requests = tokio_stream::iter([request(1, vec![vrf(2)]), request(2, vec![huge])]);
    let mut answers = served.client().await.apply(requests).await.unwrap().into_inner();
    assert_eq!(answers.next().await.unwrap().unwrap().revision, 1);
    let status = answers.next().await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange);
    assert!(
        status.message().contains("100000 operations and 64 MiB"),
        "{}",
        status.message()
    );
    assert_eq!(served.dump(&[pb::Kind::Vrf], 0).await.1.len(), 1);
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_whole_batches() {
    const EACH: u32 = 100;
    let served = Served::start().await;
    served.apply(two_workloads()).await;
    for reads in [0, 1, 5] {
        let (sender, receiver) = mpsc::channel(1);
        let mut client = served.client().await;
        let mut answers = client.apply(ReceiverStream::new(receiver)).await.unwrap().into_inner();
        let sending = tokio::spawn(async move {
            for batch in 0..50_u32 {
                let first = u32::from(Ipv4Addr::new(30, 0, 0, 0)) + (reads * 50 + batch) * EACH;
                let routes = (first..first + EACH).map(|a| route(format!("{}/32", Ipv4Addr::from(a)), 1));
                let request = pb::ApplyRequest {
                    batch: batch.into(),
                    operations: routes.collect(),
                };
                if sender.send(request).await.is_err() {
                    break;
                }
            }
            // The stream stays open until the connection is cut.
            std::future::pending::<()>().await;
        });
        for _ in 0..reads {
            assert_eq!(answers.next().await.unwrap().unwrap().problems, []);
        }
        sending.abort();
        drop((answers, client));
        // Others are served as before, and see no batch by half.
        let routes = served.dump(&[pb::Kind::Route], 7).await.1.len() as u32 - 2;
        assert_eq!(routes % EACH, 0);
        assert!(routes >= reads * EACH);
    }
    assert_eq!(served.apply(vec![vrf(8)]).await.problems, []);
}

#[tokio::test]
async fn many_clients_at_once_all_get_their_answers() {
    let served = Served::start().await;
    let drop = pb::next_hop::Action::Drop(pb::next_hop::Drop {});
    served.apply(vec![vrf(7), next_hop(1, drop)]).await;
    let mut clients = tokio::task::JoinSet::new();
    for n in 0..8_u8 {
        let mut client = served.client().await;
        clients.spawn(async move {
            let requests = (0..20_u8).map(|m| pb::ApplyRequest {
                batch: m.into(),
                operations: vec![route(format!("10.{n}.{m}.0/24"), 1)],
            });
            let requests: Vec<_> = requests.collect();
            let answers = client.apply(tokio_stream::iter(requests)).await.unwrap();
            answers.into_inner().map(Result::unwrap).collect::<Vec<_>>().await
        });
    }
    for answers in clients.join_all().await {
        assert!(answers.iter().map(|a| a.batch).eq(0..20));
        assert!(answers.is_sorted_by_key(|a| a.revision));
    }
    let (revision, routes) = served.dump(&[pb::Kind::Route], 7).await;
    assert_eq!((revision, routes.len()), (161, 160));
}
