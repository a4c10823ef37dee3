//! Networks.

use super::*;

#[tokio::test]
async fn a_network_lives_from_create_to_delete() {
    let mut house = House::new().await;
    let made = house.network("blue").await;
    assert_eq!((made.number, made.vni, made.revision), (1, 4096, 1));
    assert!(!made.uid.is_empty());

    let again = house.network("blue").await;
    assert_eq!(again, made, "idempotent by name");

    let wish = pb::Network {
        mtu: 1400,
        labels: [("a".into(), "b".into())].into(),
        ..made.clone()
    };
    let update = pb::UpdateNetworkRequest {
        network: Some(wish.clone()),
        update_mask: mask(&["mtu"]),
    };
    let updated = house.client.update_network(update).await.unwrap().into_inner();
    assert_eq!(
        (updated.mtu, updated.labels.len(), updated.revision),
        (1400, 0, 2),
        "only what the mask names"
    );
    assert_eq!(updated.uid, made.uid);

    let stale = pb::UpdateNetworkRequest {
        network: Some(wish.clone()),
        update_mask: None,
    };
    refused(
        house.client.update_network(stale).await,
        Code::Aborted,
        "network.revision",
        "it is at 2",
    );
    let whole = pb::UpdateNetworkRequest {
        network: Some(pb::Network { revision: 2, ..wish }),
        update_mask: None,
    };
    let updated = house.client.update_network(whole.clone()).await.unwrap().into_inner();
    assert_eq!((updated.mtu, updated.labels.len(), updated.revision), (1400, 1, 3));

    let list = house
        .client
        .list_networks(pb::ListNetworksRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!((list.networks, list.revision), (vec![updated.clone()], 3));

    let mut house = house.restart().await;
    let found = house
        .client
        .get_network(pb::GetNetworkRequest { name: "blue".into() })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(found, updated, "it survives a restart");

    let delete = pb::DeleteNetworkRequest { name: "blue".into() };
    assert!(
        house
            .client
            .delete_network(delete.clone())
            .await
            .unwrap()
            .into_inner()
            .existed
    );
    assert!(!house.client.delete_network(delete).await.unwrap().into_inner().existed);
    let again = house.network("blue").await;
    assert_ne!(again.uid, made.uid, "a new object under the old name");
    assert_eq!(
        (again.number, again.vni),
        (2, 4097),
        "numbers that were just released are not reused at once"
    );
    house.clean().await;
}

#[tokio::test]
async fn bad_networks_are_refused() {
    let mut house = House::new().await;
    let blue = house.network("blue").await;
    let ok = pb::Network {
        name: "red".into(),
        ..Default::default()
    };
    let cases = [
        (
            pb::Network {
                name: String::new(),
                ..ok.clone()
            },
            Code::InvalidArgument,
            "network.name",
            "empty",
        ),
        (
            pb::Network {
                name: "Red".into(),
                ..ok.clone()
            },
            Code::InvalidArgument,
            "network.name",
            "lower-case",
        ),
        (
            pb::Network {
                vni: 1 << 24,
                ..ok.clone()
            },
            Code::InvalidArgument,
            "network.vni",
            "16777215",
        ),
        (
            pb::Network {
                vni: blue.vni,
                ..ok.clone()
            },
            Code::AlreadyExists,
            "network.vni",
            "network blue",
        ),
        (
            pb::Network { mtu: 100, ..ok.clone() },
            Code::InvalidArgument,
            "network.mtu",
            "1280 to 65535",
        ),
        (
            pb::Network {
                mtu: 65_536,
                ..ok.clone()
            },
            Code::InvalidArgument,
            "network.mtu",
            "1280 to 65535",
        ),
        (
            pb::Network {
                encapsulation: 9,
                ..ok.clone()
            },
            Code::InvalidArgument,
            "network.encapsulation",
            "9",
        ),
        (
            pb::Network {
                bridged: true,
                encapsulation: pb::Encapsulation::MplsUdp.into(),
                ..ok.clone()
            },
            Code::InvalidArgument,
            "network.encapsulation",
            "VXLAN only",
        ),
        (
            pb::Network {
                labels: [("a\n".into(), String::new())].into(),
                ..ok.clone()
            },
            Code::InvalidArgument,
            "network.labels",
            "control character",
        ),
        (
            pb::Network {
                name: "blue".into(),
                mtu: 1400,
                ..ok.clone()
            },
            Code::AlreadyExists,
            "network.name",
            "another mtu",
        ),
        (
            pb::Network {
                name: "blue".into(),
                vni: 9,
                ..ok.clone()
            },
            Code::AlreadyExists,
            "network.name",
            "another vni",
        ),
    ];
    for (network, code, field, says) in cases {
        refused(
            house.client.create_network(create_network(network)).await,
            code,
            field,
            says,
        );
    }
    let none = pb::CreateNetworkRequest { network: None };
    refused(
        house.client.create_network(none).await,
        Code::InvalidArgument,
        "network",
        "missing",
    );

    let get = pb::GetNetworkRequest { name: "red".into() };
    refused(
        house.client.get_network(get).await,
        Code::NotFound,
        "name",
        "no network red",
    );

    let update = |network, paths: &[&str]| pb::UpdateNetworkRequest {
        network: Some(network),
        update_mask: mask(paths),
    };
    refused(
        house.client.update_network(update(ok, &[])).await,
        Code::NotFound,
        "network.name",
        "red",
    );
    let cases = [
        (
            pb::Network { vni: 5, ..blue.clone() },
            "network.vni",
            "cannot change from 4096 to 5",
        ),
        (
            pb::Network {
                bridged: true,
                ..blue.clone()
            },
            "network.bridged",
            "cannot change",
        ),
    ];
    for (network, field, says) in cases {
        refused(
            house.client.update_network(update(network, &[])).await,
            Code::InvalidArgument,
            field,
            says,
        );
    }
    let odd = update(blue.clone(), &["mtu", "uid"]);
    refused(
        house.client.update_network(odd).await,
        Code::InvalidArgument,
        "update_mask",
        "\"uid\"",
    );

    house.subnet("blue", "v4", "10.1.0.0/24").await;
    let delete = pb::DeleteNetworkRequest { name: "blue".into() };
    refused(
        house.client.delete_network(delete).await,
        Code::FailedPrecondition,
        "name",
        "1 subnets",
    );
    house.clean().await;
    let list = house
        .client
        .list_networks(pb::ListNetworksRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(list.networks, [blue], "nothing of what was refused is left");
}
