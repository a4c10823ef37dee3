//! Events.

use tokio::sync::broadcast;
use tokio_stream::StreamExt as _;
use tonic::Streaming;
use vrouter_proto::dataplane::{self as pb, event::Event as PbEvent};

use super::harness::{Served, delete, next_hop, two_workloads, vrf};
use crate::api::{event::Event, watch};

async fn next(events: &mut Streaming<pb::Event>) -> PbEvent {
    events.next().await.unwrap().unwrap().event.unwrap()
}

#[tokio::test]
async fn a_watcher_is_told_what_is_and_then_what_changes() {
    let served = Served::start().await;
    served.apply(two_workloads()).await;
    let request = pb::WatchRequest { snapshot: true };
    let mut events = served.client().await.watch(request).await.unwrap().into_inner();
    let mut ports = Vec::new();
    let revision = loop {
        match next(&mut events).await {
            PbEvent::Port(port) => ports.push((port.port, port.deleted, port.state.unwrap().up)),
            PbEvent::Revision(revision) => break revision.revision,
            other => panic!("{other:?}"),
        }
    };
    ports.sort_unstable();
    assert_eq!(
        (revision, ports),
        (1, vec![(1, false, true), (2, false, true), (0xffff_0000, false, true)])
    );

    let mut gone = vec![delete(pb::key::Key::Route(pb::RouteKey {
        vrf: 7,
        prefix: "10.1.0.2/32".into(),
        source: 0,
    }))];
    gone.extend([delete(pb::key::Key::NextHop(2)), delete(pb::key::Key::Port(2))]);
    assert_eq!(served.apply(gone).await.problems, []);
    let (mut deleted, mut revision) = (None, None);
    while deleted.is_none() || revision.is_none() {
        match next(&mut events).await {
            PbEvent::Port(port) => deleted = Some((port.port, port.deleted)),
            PbEvent::Revision(told) => revision = Some(told.revision),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((deleted, revision), (Some((2, true)), Some(2)));
}

#[tokio::test]
async fn without_a_snapshot_only_changes_are_told() {
    let served = Served::start().await;
    served.apply(vec![vrf(1)]).await;
    let mut events = served
        .client()
        .await
        .watch(pb::WatchRequest::default())
        .await
        .unwrap()
        .into_inner();
    served.apply(vec![vrf(2)]).await;
    assert_eq!(
        next(&mut events).await,
        PbEvent::Revision(pb::RevisionChanged { revision: 2 })
    );
}

#[tokio::test]
async fn a_tunnel_that_is_resolved_is_told() {
    let served = Served::start().await;
    let mut events = served
        .client()
        .await
        .watch(pb::WatchRequest::default())
        .await
        .unwrap()
        .into_inner();
    let tunnel = pb::next_hop::Tunnel {
        encapsulation: pb::next_hop::Encapsulation::MplsUdp.into(),
        remote: "192.0.2.2".into(),
        label: 100,
        ..pb::next_hop::Tunnel::default()
    };
    served
        .apply(vec![next_hop(5, pb::next_hop::Action::Tunnel(tunnel))])
        .await;
    served
        .work(|dataplane| {
            // The neighbour answers the ARP request: who has 192.0.2.2, tell 192.0.2.1.
            dataplane.settle();
            while let Some(asked) = dataplane.receive("wire0") {
                let mut answer = asked.clone();
                if asked[12..14] != [8, 6] || asked[38..42] != [192, 0, 2, 2] {
                    continue;
                }
                answer[21] = 2;
                answer[32..42].copy_from_slice(&asked[22..32]);
                answer[22..28].copy_from_slice(&[2, 0, 0, 0, 0xee, 2]);
                answer[28..32].copy_from_slice(&[192, 0, 2, 2]);
                answer[..6].copy_from_slice(&asked[6..12]);
                answer[6..12].copy_from_slice(&[2, 0, 0, 0, 0xee, 2]);
                assert!(dataplane.send("wire0", &answer));
            }
        })
        .await;
    let state = loop {
        if let PbEvent::NextHop(hop) = next(&mut events).await {
            assert_eq!(hop.next_hop, 5);
            let state = hop.state.unwrap();
            if state.resolved {
                break state;
            }
        }
    };
    assert!(state.detail.contains("192.0.2.2") && state.mtu > 1400, "{state:?}");
}

#[tokio::test]
async fn a_slow_watcher_is_told_how_much_it_lost() {
    let (sender, receiver) = broadcast::channel(4);
    for revision in 1..=10 {
        sender.send(Event::Revision(revision)).unwrap();
    }
    let (_stop, stopping) = tokio::sync::watch::channel(false);
    let events = watch::run(Vec::new(), receiver, stopping);
    drop(sender);
    let events: Vec<_> = events.collect().await;
    let told: Vec<_> = events
        .iter()
        .flatten()
        .filter_map(|event| event.event.clone())
        .collect();
    let revision = |revision| PbEvent::Revision(pb::RevisionChanged { revision });
    assert_eq!(
        told,
        [PbEvent::Lost(6), revision(7), revision(8), revision(9), revision(10)]
    );
    assert_eq!(events[5].as_ref().unwrap_err().code(), tonic::Code::Unavailable);
}
