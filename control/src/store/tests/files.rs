//! Files: kept, locked, damaged, of the future.

use std::{fs, path::Path};

use redb::{Database, TableDefinition};

use super::*;
use crate::store::{Backend as _, Redb};

fn open(path: &Path) -> Result<Store, StoreError> {
    Store::start(Redb::open(path)?)
}

#[tokio::test]
async fn everything_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("made/on/the/way/control.redb");
    let store = open(&path).unwrap();
    // Every kind of record.
    store
        .transact(|t| -> Result<(), Refusal> {
            use crate::model::{EndpointWish, NodeWish, SubnetWish};
            use vrouter_proto::control as pb;
            intent::create_network(t, wish("blue"))?;
            let subnet = pb::Subnet {
                network: "blue".into(),
                name: "v6".into(),
                cidr: "fd00::/64".into(),
                reserved: vec!["fd00::5-fd00::9".into()],
                ..Default::default()
            };
            intent::create_subnet(t, SubnetWish::from_proto(Some(subnet))?)?;
            let node = pb::Node {
                name: "a".into(),
                vtep_addresses: vec!["::ffff:0".into()],
                ..Default::default()
            };
            intent::create_node(t, NodeWish::from_proto(Some(node))?)?;
            intent::observe_node(
                t,
                &Name::new("a").unwrap(),
                Some((vec!["192.0.2.1".parse().unwrap()], 9000)),
            )?;
            let endpoint = pb::Endpoint {
                network: "blue".into(),
                name: "web".into(),
                node: "a".into(),
                interface: "v0".into(),
                addresses: vec!["subnet:v6".into(), "fd00::99".into()],
                client_id: "x y".into(),
                labels: [("k".into(), "\u{e9}\"".into())].into(),
                ..Default::default()
            };
            intent::create_endpoint(t, EndpointWish::from_proto(Some(endpoint))?)?;
            Ok(())
        })
        .await
        .unwrap();
    store.transact(every_kind).await.unwrap();
    let before = store.state();
    store.close().await;
    let after = open(&path).unwrap().state();
    assert_eq!(after.revision(), before.revision());
    assert_eq!(
        after.records().collect::<Vec<_>>(),
        before.records().collect::<Vec<_>>()
    );
    // Twelve; three networks, subnets and cursors; seven objects with their cursors; two addresses.
    assert_eq!(after.records().count(), 12 + 3 + 14 + 2);
    assert_eq!(
        after.members(&Name::new("g").unwrap()).len(),
        1,
        "indices are made anew"
    );
    assert!(intent::audit(&after).findings.is_empty());
}

/// One of each of the kinds that refer to others.
fn every_kind(t: &mut crate::state::Transaction) -> Result<(), Refusal> {
    use crate::model::{
        FloatingIpSpec, GroupSpec, MirrorSpec, PolicySpec, QosProfileSpec, RouterSpec, ServiceSpec, SubnetWish, Wish,
    };
    use vrouter_proto::control as pb;
    let external = pb::Network {
        name: "ext".into(),
        external: true,
        ..Default::default()
    };
    intent::create_network(t, NetworkWish::from_proto(Some(external))?)?;
    let subnet = pb::Subnet {
        network: "ext".into(),
        name: "v6".into(),
        cidr: "2001:db8::/64".into(),
        ..Default::default()
    };
    intent::create_subnet(t, SubnetWish::from_proto(Some(subnet))?)?;
    let group = pb::Group {
        name: "g".into(),
        match_labels: [("k".into(), "\u{e9}\"".into())].into(),
        match_expressions: vec![pb::LabelRequirement {
            key: "absent".into(),
            operator: pb::label_requirement::Operator::DoesNotExist.into(),
            values: vec![],
        }],
        ..Default::default()
    };
    intent::create_group(t, Wish::<GroupSpec>::from_proto(Some(group))?, true)?;
    let policy = pb::Policy {
        name: "p".into(),
        applies_to: "g".into(),
        rules: vec![pb::PolicyRule {
            name: "r".into(),
            direction: 1,
            action: 3,
            peers: vec![pb::Peer {
                peer: Some(pb::peer::Peer::Cidr("0.0.0.0/0".into())),
                except: vec!["192.0.2.7".into()],
            }],
            traffic: vec![pb::Traffic {
                protocol: "icmpv6".into(),
                icmp_type: Some(128),
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    intent::create(t, Wish::<PolicySpec>::from_proto(Some(policy))?)?;
    let router = pb::Router {
        name: "r".into(),
        networks: vec!["blue".into()],
        external_network: "ext".into(),
        ..Default::default()
    };
    intent::create(t, Wish::<RouterSpec>::from_proto(Some(router))?)?;
    let floating = pb::FloatingIp {
        name: "f".into(),
        network: "ext".into(),
        endpoint: "blue/web".into(),
        ..Default::default()
    };
    intent::create(t, Wish::<FloatingIpSpec>::from_proto(Some(floating))?)?;
    let service = pb::Service {
        network: "blue".into(),
        name: "s".into(),
        addresses: vec!["fd99::1".into()],
        ports: vec![pb::ServicePort {
            port: 80,
            ..Default::default()
        }],
        group: "g".into(),
        health_check: Some(pb::ServiceHealthCheck {
            kind: "grpc".into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    intent::create(t, Wish::<ServiceSpec>::from_proto(Some(service))?)?;
    let profile = pb::QosProfile {
        name: "q".into(),
        egress: Some(pb::QosRate {
            packets_per_second: u64::MAX,
            ..Default::default()
        }),
        ..Default::default()
    };
    intent::create(t, Wish::<QosProfileSpec>::from_proto(Some(profile))?)?;
    let mirror = pb::Mirror {
        name: "m".into(),
        group: "g".into(),
        collector: Some(pb::mirror::Collector::Erspan(pb::ErspanCollector {
            address: "2001:db8::99".into(),
            session: 7,
        })),
        ..Default::default()
    };
    intent::create(t, Wish::<MirrorSpec>::from_proto(Some(mirror))?)?;
    Ok(())
}

#[tokio::test]
async fn one_process_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.redb");
    let store = open(&path).unwrap();
    let error = open(&path).unwrap_err();
    assert!(matches!(error, StoreError::Locked { .. }));
    assert!(
        error.to_string().contains("x.redb") && error.to_string().contains("another process"),
        "{error}"
    );
    store.close().await;
    assert!(open(&path).is_ok());
}

#[tokio::test]
async fn damage_is_told_not_repaired_by_guessing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.redb");
    fs::write(&path, vec![0x5a; 16384]).unwrap();
    assert!(matches!(open(&path), Err(StoreError::Corrupt { .. })), "no redb file");

    fs::remove_file(&path).unwrap();
    let store = open(&path).unwrap();
    create(&store, "blue").await.unwrap();
    store.close().await;
    let change = |key: &str, value: &[u8]| {
        let database = Database::open(&path).unwrap();
        let write = database.begin_write().unwrap();
        write
            .open_table(TableDefinition::<&str, &[u8]>::new("records"))
            .unwrap()
            .insert(key, value)
            .unwrap();
        write.commit().unwrap();
    };
    let good = {
        let mut backend = Redb::open(&path).unwrap();
        let record = backend.load().unwrap().records.remove(0);
        crate::store::codec::encode(&record).unwrap()
    };
    let cases: [(&str, &[u8], &str); 5] = [
        ("network/blue", b"\x01{", "network/blue"),
        ("network/blue", b"\x02{}", "format 2"),
        ("network/blue", b"", "empty"),
        ("network/red", &good, "another object"),
        ("planet/mars", &good, "planet/mars"),
    ];
    for (key, value, says) in cases {
        change("network/blue", &good);
        change(key, value);
        let error = open(&path).unwrap_err();
        assert!(
            matches!(error, StoreError::Corrupt { .. }) && error.to_string().contains(says),
            "{error}"
        );
        let database = Database::open(&path).unwrap();
        let write = database.begin_write().unwrap();
        write
            .open_table(TableDefinition::<&str, &[u8]>::new("records"))
            .unwrap()
            .remove(key)
            .unwrap();
        write.commit().unwrap();
    }
    change("network/blue", &good);
    assert_eq!(names(&open(&path).unwrap()), ["blue"]);
}

#[test]
fn a_file_of_the_future_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.redb");
    drop(Redb::open(&path).unwrap());
    let database = Database::open(&path).unwrap();
    let write = database.begin_write().unwrap();
    write
        .open_table(TableDefinition::<&str, u64>::new("meta"))
        .unwrap()
        .insert("format", 2)
        .unwrap();
    write.commit().unwrap();
    drop(database);
    let error = Redb::open(&path).unwrap_err();
    assert!(
        matches!(error, StoreError::TooNew { found: 2, known: 1, .. }),
        "{error}"
    );
}

#[test]
fn a_path_that_cannot_be_is_explained() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("file"), "x").unwrap();
    let error = Redb::open(directory.path().join("file/x.redb")).unwrap_err();
    assert!(error.to_string().contains("file/x.redb"), "{error}");
}
