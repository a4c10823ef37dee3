//! Dumps and what the process says of itself.

use std::net::Ipv4Addr;

use tokio_stream::StreamExt as _;
use tonic::Code;
use vrouter_proto::dataplane::{self as pb, object::Object as PbObject};

use super::harness::{Served, put, route, two_workloads, vrf};

#[tokio::test]
async fn the_process_says_what_it_is() {
    let served = Served::start().await;
    served.apply(vec![vrf(1)]).await;
    let info = served
        .client()
        .await
        .get_info(pb::GetInfoRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (info.version.as_str(), info.instance.as_str()),
        (env!("CARGO_PKG_VERSION"), "one")
    );
    assert_eq!(
        (info.node.as_str(), info.revision, info.underlay_mtu),
        ("node-a", 1, 1500)
    );
    assert_eq!(
        (&info.vtep_addresses[..], &info.uplinks[..]),
        (&["192.0.2.1".to_owned()][..], &["wire0".to_owned()][..])
    );
    let limits = info.limits.unwrap();
    assert_eq!(
        (limits.ports, limits.vrfs, limits.next_hops, limits.flows, limits.frames),
        (64, 64, 4096, 4096, 512)
    );
}

#[tokio::test]
async fn every_kind_is_dumped_and_can_be_asked_for_alone() {
    let served = Served::start().await;
    let tunnel = pb::next_hop::Tunnel {
        encapsulation: pb::next_hop::Encapsulation::Vxlan.into(),
        remote: "192.0.2.2".into(),
        vni: 5,
        ..pb::next_hop::Tunnel::default()
    };
    let mut all = two_workloads();
    all.push(super::harness::next_hop(3, pb::next_hop::Action::Tunnel(tunnel)));
    all.push(put(PbObject::Bridge(pb::Bridge {
        id: 4,
        name: "lan".into(),
        ..pb::Bridge::default()
    })));
    let mac = "02:00:00:00:00:77".to_owned();
    all.push(put(PbObject::Mac(pb::Mac {
        bridge: 4,
        mac: mac.clone(),
        next_hop: 3,
        ..pb::Mac::default()
    })));
    let address = "10.9.0.1".to_owned();
    all.push(put(PbObject::Neighbor(pb::Neighbor {
        bridge: 4,
        address,
        mac,
        ..pb::Neighbor::default()
    })));
    let target = Some(pb::vni::Target::Bridge(4));
    all.push(put(PbObject::Vni(pb::Vni {
        vni: 5,
        target,
        name: "lan".into(),
    })));
    let target = Some(pb::label::Target::Vrf(7));
    all.push(put(PbObject::Label(pb::Label {
        label: 99,
        target,
        name: "red".into(),
    })));
    assert_eq!(served.apply(all).await.problems, []);

    let (_, everything) = served.dump(&[], 0).await;
    let mut seen = 0;
    for kind in (1..=9).map(|kind| pb::Kind::try_from(kind).unwrap()) {
        let (revision, objects) = served.dump(&[kind], 0).await;
        assert_eq!(revision, 1);
        assert!(!objects.is_empty(), "{kind:?}");
        seen += objects.len();
        for object in objects {
            assert!(everything.contains(&object), "{object:?}");
        }
    }
    assert_eq!(seen, everything.len());

    let tunnel = everything.iter().find_map(|o| match o {
        PbObject::NextHop(hop) if hop.id == 3 => hop.state.clone(),
        _ => None,
    });
    let tunnel = tunnel.unwrap();
    assert!(!tunnel.resolved && !tunnel.detail.is_empty(), "{tunnel:?}");
    let ports = everything
        .iter()
        .filter_map(|o| if let PbObject::Port(port) = o { Some(port) } else { None });
    let mut ports: Vec<_> = ports
        .map(|p| (p.uplink, p.name.as_str(), p.state.as_ref().unwrap().up))
        .collect();
    ports.sort_unstable();
    assert_eq!(
        ports,
        [(false, "port-1", true), (false, "port-2", true), (true, "wire0", true)]
    );
}

#[tokio::test]
async fn routes_come_in_chunks_and_by_vrf() {
    let served = Served::start().await;
    let mut all = two_workloads();
    let first = u32::from(Ipv4Addr::new(20, 0, 0, 0));
    all.extend((0..10_000).map(|n| route(format!("{}/32", Ipv4Addr::from(first + n)), 1)));
    all.push(vrf(8));
    let elsewhere = pb::Route {
        vrf: 8,
        prefix: "fd00::/8".into(),
        next_hop: 2,
        ..pb::Route::default()
    };
    all.push(put(PbObject::Route(elsewhere)));
    assert_eq!(served.apply(all).await.problems, []);
    let request = pb::DumpRequest {
        kinds: vec![pb::Kind::Route.into()],
        vrf: 7,
    };
    let chunks = served.client().await.dump(request).await.unwrap().into_inner();
    let chunks: Vec<_> = chunks.map(Result::unwrap).collect().await;
    assert!(chunks.len() >= 3 && chunks.iter().all(|c| c.revision == 1 && c.objects.len() <= 4096));
    assert_eq!(chunks.iter().map(|c| c.objects.len()).sum::<usize>(), 10_002);
    let (_, of_8) = served.dump(&[pb::Kind::Route], 8).await;
    let [PbObject::Route(only)] = &of_8[..] else {
        panic!("{of_8:?}")
    };
    assert!(only.prefix == "fd00::/8" && only.active);
}

#[tokio::test]
async fn nothing_is_said_with_its_revision_and_a_wrong_kind_is_refused() {
    let served = Served::start().await;
    assert_eq!(served.dump(&[pb::Kind::Route], 0).await, (0, Vec::new()));
    let request = pb::DumpRequest {
        kinds: vec![77],
        vrf: 0,
    };
    let status = served.client().await.dump(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(
        status.message().starts_with("kinds: 77 is no kind"),
        "{}",
        status.message()
    );
}

#[tokio::test]
async fn dumps_that_nobody_reads_do_not_stand_in_the_way_of_programming() {
    let served = Served::start().await;
    let mut all = two_workloads();
    let first = u32::from(Ipv4Addr::new(20, 0, 0, 0));
    all.extend((0..90_000).map(|n| route(format!("{}/32", Ipv4Addr::from(first + n)), 1)));
    served.apply(all).await;
    let request = pb::DumpRequest {
        kinds: vec![pb::Kind::Route.into()],
        vrf: 0,
    };
    let mut unread = Vec::new();
    for _ in 0..3 {
        unread.push(served.client().await.dump(request.clone()).await.unwrap().into_inner());
    }
    // Programmed under them, they still tell the revision they began with.
    let deletes = (0..90_000).map(|n| {
        let prefix = format!("{}/32", Ipv4Addr::from(first + n));
        super::harness::delete(pb::key::Key::Route(pb::RouteKey {
            vrf: 7,
            prefix,
            source: 0,
        }))
    });
    assert_eq!(served.apply(deletes.collect()).await.revision, 2);
    for chunks in unread {
        let chunks: Vec<_> = chunks.map(Result::unwrap).collect().await;
        assert!(chunks.iter().all(|c| c.revision == 1));
        assert_eq!(chunks.iter().map(|c| c.objects.len()).sum::<usize>(), 90_002);
    }
    assert_eq!(served.dump(&[pb::Kind::Route], 0).await.1.len(), 2);
}
