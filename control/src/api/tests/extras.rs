//! QoS profiles, mirrors, and what endpoints are allowed beside their own addresses.

use super::{fixture::*, *};

fn profile(name: &str) -> pb::QosProfile {
    pb::QosProfile {
        name: name.into(),
        ingress: Some(pb::QosRate {
            bits_per_second: 1_000_000,
            shape: true,
            queue_bytes: 10_000,
            ..Default::default()
        }),
        dscp: Some(0),
        ..Default::default()
    }
}

fn mirror(name: &str, endpoints: &[&str], collector: pb::mirror::Collector) -> pb::Mirror {
    pb::Mirror {
        name: name.into(),
        endpoints: endpoints.iter().map(ToString::to_string).collect(),
        collector: Some(collector),
        ..Default::default()
    }
}

fn vxlan(vni: u32) -> pb::mirror::Collector {
    pb::mirror::Collector::Vxlan(pb::VxlanCollector {
        address: "2001:db8::99".into(),
        vni,
    })
}

fn erspan(session: u32) -> pb::mirror::Collector {
    pb::mirror::Collector::Erspan(pb::ErspanCollector {
        address: "192.0.2.99".into(),
        session,
    })
}

fn to(endpoint: &str) -> pb::mirror::Collector {
    pb::mirror::Collector::Endpoint(endpoint.into())
}

#[tokio::test]
async fn a_profile_lives_as_long_as_endpoints_use_it() {
    let mut house = two_networks().await;
    let made = house.qos_profile(profile("gold")).await.unwrap();
    assert_eq!((made.dscp, made.egress), (Some(0), None));
    assert_eq!(house.qos_profile(made.clone()).await.unwrap(), made);
    let with = |qos: &str| pb::UpdateEndpointRequest {
        endpoint: Some(pb::Endpoint {
            qos: qos.into(),
            ..blue("web")
        }),
        update_mask: mask(&["qos"]),
    };
    refused(
        house.client.update_endpoint(with("glod")).await,
        Code::NotFound,
        "endpoint.qos",
        "did you mean gold?",
    );
    let web = house.client.update_endpoint(with("gold")).await.unwrap().into_inner();
    assert_eq!(web.qos, "gold");
    refused(
        house.delete_qos_profile("gold").await,
        Code::FailedPrecondition,
        "name",
        "used by endpoint blue/web",
    );
    let update = pb::UpdateQosProfileRequest {
        qos_profile: Some(pb::QosProfile {
            name: "gold".into(),
            dscp: Some(46),
            ..Default::default()
        }),
        update_mask: mask(&["dscp"]),
    };
    let updated = house.client.update_qos_profile(update).await.unwrap().into_inner();
    assert_eq!((updated.dscp, updated.ingress.is_some()), (Some(46), true));
    let mut house = house.restart().await;
    assert_eq!(house.get_qos_profile("gold").await.unwrap(), updated);
    refused(
        house.delete_qos_profile("gold").await,
        Code::FailedPrecondition,
        "name",
        "blue/web",
    );
    house.client.update_endpoint(with("")).await.unwrap();
    assert!(house.delete_qos_profile("gold").await.unwrap());
    house.clean().await;
}

#[tokio::test]
async fn bad_profiles_are_refused() {
    let mut house = House::new().await;
    let ingress = |rate: pb::QosRate| pb::QosProfile {
        ingress: Some(rate),
        ..profile("p")
    };
    let bits = pb::QosRate {
        bits_per_second: 8000,
        ..Default::default()
    };
    let cases = [
        (
            pb::QosProfile {
                dscp: Some(64),
                ..profile("p")
            },
            "qos_profile.dscp",
            "0 to 63",
        ),
        (ingress(pb::QosRate::default()), "qos_profile.ingress", "at least one"),
        (
            pb::QosProfile {
                egress: Some(pb::QosRate { shape: true, ..bits }),
                ..profile("p")
            },
            "qos_profile.egress.shape",
            "policed",
        ),
        (
            ingress(pb::QosRate {
                burst_packets: 5,
                ..bits
            }),
            "qos_profile.ingress.burst_packets",
            "packets_per_second",
        ),
        (
            ingress(pb::QosRate { queue_bytes: 5, ..bits }),
            "qos_profile.ingress.queue_bytes",
            "shape only",
        ),
        (
            ingress(pb::QosRate {
                bits_per_second: 7,
                ..bits
            }),
            "qos_profile.ingress.bits_per_second",
            "byte per second",
        ),
    ];
    for (wish, field, says) in cases {
        refused(house.qos_profile(wish).await, Code::InvalidArgument, field, says);
    }
}

#[tokio::test]
async fn a_mirror_lives_from_create_to_delete() {
    let mut house = two_networks().await;
    let wish = pb::Mirror {
        egress: true,
        traffic: vec![pb::Traffic {
            protocol: "tcp".into(),
            ports: "443".into(),
            ..Default::default()
        }],
        prefixes: vec!["10.0.0.0/8".into(), "fd00::/16".into()],
        snap_length: 128,
        ..mirror("m", &["blue/web"], vxlan(77))
    };
    let made = house.mirror(wish.clone()).await.unwrap();
    assert_eq!(
        pb::Mirror {
            uid: String::new(),
            revision: 0,
            number: 0,
            ..made.clone()
        },
        wish
    );
    assert_eq!(house.mirror(made.clone()).await.unwrap(), made);
    let update = |mirror: pb::Mirror, paths: &[&str]| pb::UpdateMirrorRequest {
        mirror: Some(mirror),
        update_mask: mask(paths),
    };
    // Any of the three names the place that copies go to.
    let elsewhere = update(mirror("m", &[], erspan(1023)), &["erspan"]);
    let updated = house.client.update_mirror(elsewhere).await.unwrap().into_inner();
    assert_eq!(
        (updated.collector.clone(), updated.endpoints.len()),
        (Some(erspan(1023)), 1)
    );
    let nowhere = pb::Mirror {
        collector: None,
        ..mirror("m", &[], vxlan(1))
    };
    refused(
        house.client.update_mirror(update(nowhere, &["vxlan"])).await,
        Code::InvalidArgument,
        "mirror.collector",
        "missing",
    );
    let local = update(mirror("m", &[], to("red/cache")), &["endpoint"]);
    house.client.update_mirror(local).await.unwrap();
    house.clean().await;
    let both = update(mirror("m", &["blue/web", "blue/db"], to("red/cache")), &["endpoints"]);
    house.client.update_mirror(both).await.unwrap();
    let findings = house.findings().await;
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(
        findings[0].contains("red/cache on node node-a") && findings[0].ends_with("not mirrored: blue/db"),
        "{findings:?}"
    );

    // Its sources may go; the place that copies go to may not.
    refused(
        house.delete_endpoint("red", "cache").await,
        Code::FailedPrecondition,
        "name",
        "mirror m sends its copies to red/cache",
    );
    assert!(house.delete_endpoint("blue", "db").await.unwrap());
    let mut house = house.restart().await;
    assert_eq!(house.get_mirror("m").await.unwrap().endpoints, ["blue/web"]);
    assert!(house.delete_mirror("m").await.unwrap());
    assert!(house.delete_endpoint("red", "cache").await.unwrap());
    house.clean().await;
}

#[tokio::test]
async fn bad_mirrors_are_refused() {
    let mut house = two_networks().await;
    let web = |collector| mirror("m", &["blue/web"], collector);
    let cases = [
        (
            mirror("m", &[], vxlan(1)),
            Code::InvalidArgument,
            "mirror.endpoints",
            "nobody's packets",
        ),
        (
            pb::Mirror {
                collector: None,
                ..web(vxlan(1))
            },
            Code::InvalidArgument,
            "mirror.collector",
            "missing",
        ),
        (
            web(vxlan(0)),
            Code::InvalidArgument,
            "mirror.vxlan.vni",
            "1 to 16777215",
        ),
        (
            web(erspan(1024)),
            Code::InvalidArgument,
            "mirror.erspan.session",
            "0 to 1023",
        ),
        (
            web(to("blue/web")),
            Code::InvalidArgument,
            "mirror.endpoint",
            "its own packets",
        ),
        (
            web(to("blue/bd")),
            Code::NotFound,
            "mirror.endpoint",
            "did you mean blue/db?",
        ),
        (
            mirror("m", &["red/web"], vxlan(1)),
            Code::NotFound,
            "mirror.endpoints[0]",
            "did you mean blue/web?",
        ),
        (
            pb::Mirror {
                group: "g".into(),
                ..web(vxlan(1))
            },
            Code::NotFound,
            "mirror.group",
            "no group g",
        ),
        (
            pb::Mirror {
                snap_length: 63,
                ..web(vxlan(1))
            },
            Code::InvalidArgument,
            "mirror.snap_length",
            "64 to 65535",
        ),
        (
            pb::Mirror {
                prefixes: vec!["10.0.0.1/8".into()],
                ..web(vxlan(1))
            },
            Code::InvalidArgument,
            "mirror.prefixes[0]",
            "10.0.0.0/8",
        ),
    ];
    for (wish, code, field, says) in cases {
        refused(house.mirror(wish).await, code, field, says);
    }
    house.clean().await;
}

#[tokio::test]
async fn endpoints_may_send_from_more_but_not_from_what_is_anothers() {
    let mut house = two_networks().await;
    house.service(service("vip", &["blue/web"])).await.unwrap();
    house.router(router("r", &["blue", "red"], "")).await.unwrap();
    let wish = pb::Endpoint {
        allowed_addresses: vec!["10.9.0.0/24".into(), "fd00:9::1/128".into()],
        allowed_macs: vec!["00:00:5e:00:01:07".into()],
        allow_router: true,
        allow_dhcp_server: true,
        ..blue("gate")
    };
    let made = house.endpoint(wish.clone()).await.unwrap();
    assert_eq!(
        (&made.allowed_addresses, &made.allowed_macs),
        (&wish.allowed_addresses, &wish.allowed_macs)
    );
    assert!(made.allow_router && made.allow_dhcp_server);
    assert_eq!(house.endpoint(wish.clone()).await.unwrap(), made);
    refused(
        house
            .endpoint(pb::Endpoint {
                allow_router: false,
                ..wish
            })
            .await,
        Code::AlreadyExists,
        "endpoint.name",
        "another allow_router",
    );
    let mac = house.endpoint(blue("mac")).await.unwrap().mac;
    let with = |addresses: &[&str], macs: &[&str]| pb::UpdateEndpointRequest {
        endpoint: Some(pb::Endpoint {
            allowed_addresses: addresses.iter().map(ToString::to_string).collect(),
            allowed_macs: macs.iter().map(ToString::to_string).collect(),
            ..blue("gate")
        }),
        update_mask: mask(&["allowed_addresses", "allowed_macs"]),
    };
    let cases = [
        (
            with(&["10.1.0.2"], &[]),
            Code::AlreadyExists,
            "endpoint.allowed_addresses[0]",
            "in use by endpoint web",
        ),
        (
            with(&["10.9.0.0/24", "10.1.0.4/32"], &[]),
            Code::AlreadyExists,
            "endpoint.allowed_addresses[1]",
            "in use by service vip",
        ),
        (
            with(&["fd00:1::1"], &[]),
            Code::AlreadyExists,
            "endpoint.allowed_addresses[0]",
            "gateway of subnet v6",
        ),
        (
            with(&["10.2.0.128/25"], &[]),
            Code::AlreadyExists,
            "endpoint.allowed_addresses[0]",
            "10.2.0.0/24 of network red",
        ),
        (
            with(&["10.9.0.1/24"], &[]),
            Code::InvalidArgument,
            "endpoint.allowed_addresses[0]",
            "10.9.0.0/24 would be right",
        ),
        (
            with(&["224.0.0.0/4"], &[]),
            Code::InvalidArgument,
            "endpoint.allowed_addresses[0]",
            "come from",
        ),
        (
            with(&["10.9.0.0/24", "10.9.0.0/24"], &[]),
            Code::InvalidArgument,
            "endpoint.allowed_addresses[1]",
            "twice",
        ),
        (
            with(&[], &["ff:ff:ff:ff:ff:ff"]),
            Code::InvalidArgument,
            "endpoint.allowed_macs[0]",
            "unicast",
        ),
        (
            with(&[], &[&mac]),
            Code::AlreadyExists,
            "endpoint.allowed_macs[0]",
            "endpoint mac",
        ),
    ];
    for (update, code, field, says) in cases {
        refused(house.client.update_endpoint(update).await, code, field, says);
    }
    // Its own addresses, the spare ones of its subnet, and everything else that has no owner.
    house
        .client
        .update_endpoint(with(&["10.1.0.200", "0.0.0.0/0", "::/0"], &[]))
        .await
        .unwrap();
    house.clean().await;
    let late = pb::Endpoint {
        addresses: vec!["10.1.0.200".into()],
        ..blue("late")
    };
    house.endpoint(late).await.unwrap();
    assert_eq!(
        house.findings().await,
        ["endpoint blue/gate may send from 10.1.0.200, which is in use by endpoint late"]
    );
}
