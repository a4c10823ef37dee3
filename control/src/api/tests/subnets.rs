//! Subnets.

use super::*;

fn create(subnet: pb::Subnet) -> pb::CreateSubnetRequest {
    pb::CreateSubnetRequest { subnet: Some(subnet) }
}

#[tokio::test]
async fn a_subnet_lives_from_create_to_delete() {
    let mut house = House::new().await;
    house.network("blue").await;
    let v4 = house.subnet("blue", "v4", "10.1.0.0/24").await;
    let v6 = house.subnet("blue", "v6", "fd00:1::/64").await;
    assert_eq!((v4.gateway.as_str(), v6.gateway.as_str()), ("10.1.0.1", "fd00:1::1"));
    assert_eq!(house.subnet("blue", "v4", "10.1.0.0/24").await, v4);

    let endpoint = house.endpoint(blue("web")).await.unwrap();
    assert_eq!(endpoint.addresses, ["10.1.0.2", "fd00:1::2"]);
    assert_eq!(endpoint.gateways, ["10.1.0.1/24", "fd00:1::1/64"]);
    let get = pb::GetSubnetRequest {
        network: "blue".into(),
        name: "v4".into(),
    };
    assert_eq!(house.client.get_subnet(get).await.unwrap().into_inner().allocated, 1);

    let reserve = |ranges: &[&str]| {
        let reserved = ranges.iter().map(ToString::to_string).collect();
        let subnet = pb::Subnet {
            network: "blue".into(),
            name: "v4".into(),
            reserved,
            ..Default::default()
        };
        pb::UpdateSubnetRequest {
            subnet: Some(subnet),
            update_mask: mask(&["reserved"]),
        }
    };
    refused(
        house.client.update_subnet(reserve(&["10.1.0.2-10.1.0.9"])).await,
        Code::FailedPrecondition,
        "subnet.reserved",
        "10.1.0.2 is in use by endpoint web",
    );
    refused(
        house.client.update_subnet(reserve(&["10.2.0.2"])).await,
        Code::InvalidArgument,
        "subnet.reserved",
        "not in",
    );
    house
        .client
        .update_subnet(reserve(&["10.1.0.3-10.1.0.253"]))
        .await
        .unwrap();
    assert_eq!(house.endpoint(blue("last")).await.unwrap().addresses[0], "10.1.0.254");
    refused(
        house.endpoint(blue("more")).await,
        Code::ResourceExhausted,
        "endpoint.addresses",
        "subnet v4 (10.1.0.0/24)",
    );
    house.clean().await;

    let change = pb::Subnet {
        cidr: "10.1.0.0/16".into(),
        gateway: String::new(),
        ..v4
    };
    let change = pb::UpdateSubnetRequest {
        subnet: Some(change),
        update_mask: mask(&["cidr"]),
    };
    refused(
        house.client.update_subnet(change).await,
        Code::Aborted,
        "subnet.revision",
        "read it again",
    );

    let delete = pb::DeleteSubnetRequest {
        network: "blue".into(),
        name: "v4".into(),
    };
    let used = house.client.delete_subnet(delete.clone()).await;
    refused(used, Code::FailedPrecondition, "name", "2 addresses in use");
    for name in ["web", "last"] {
        let delete = pb::DeleteEndpointRequest {
            network: "blue".into(),
            name: name.into(),
        };
        assert!(house.client.delete_endpoint(delete).await.unwrap().into_inner().existed);
    }
    assert!(
        house
            .client
            .delete_subnet(delete.clone())
            .await
            .unwrap()
            .into_inner()
            .existed
    );
    assert!(!house.client.delete_subnet(delete).await.unwrap().into_inner().existed);
    let list = house
        .client
        .list_subnets(pb::ListSubnetsRequest { network: "blue".into() })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(list.subnets, [v6]);
    house.clean().await;
}

#[tokio::test]
async fn bad_subnets_are_refused() {
    let mut house = House::new().await;
    house.network("blue").await;
    house.subnet("blue", "v4", "10.1.0.0/24").await;
    let ok = pb::Subnet {
        network: "blue".into(),
        name: "x".into(),
        cidr: "10.9.0.0/24".into(),
        ..Default::default()
    };
    let invalid = Code::InvalidArgument;
    let cases = [
        (
            pb::Subnet {
                network: "red".into(),
                ..ok.clone()
            },
            Code::NotFound,
            "subnet.network",
            "no network red",
        ),
        (
            pb::Subnet {
                name: "a b".into(),
                ..ok.clone()
            },
            invalid,
            "subnet.name",
            "' '",
        ),
        (
            pb::Subnet {
                cidr: String::new(),
                ..ok.clone()
            },
            invalid,
            "subnet.cidr",
            "missing",
        ),
        (
            pb::Subnet {
                cidr: "10.9.0.5/24".into(),
                ..ok.clone()
            },
            invalid,
            "subnet.cidr",
            "10.9.0.0/24 would be right",
        ),
        (
            pb::Subnet {
                cidr: "10.9.0.0/33".into(),
                ..ok.clone()
            },
            invalid,
            "subnet.cidr",
            "up to /32",
        ),
        (
            pb::Subnet {
                cidr: "ten".into(),
                ..ok.clone()
            },
            invalid,
            "subnet.cidr",
            "no prefix",
        ),
        (
            pb::Subnet {
                cidr: "10.1.0.128/25".into(),
                ..ok.clone()
            },
            Code::AlreadyExists,
            "subnet.cidr",
            "of subnet v4",
        ),
        (
            pb::Subnet {
                cidr: "10.0.0.0/8".into(),
                ..ok.clone()
            },
            Code::AlreadyExists,
            "subnet.cidr",
            "overlaps",
        ),
        (
            pb::Subnet {
                gateway: "10.8.0.1".into(),
                ..ok.clone()
            },
            invalid,
            "subnet.gateway",
            "not in 10.9.0.0/24",
        ),
        (
            pb::Subnet {
                gateway: "10.9.0.255".into(),
                ..ok.clone()
            },
            invalid,
            "subnet.gateway",
            "no host address",
        ),
        (
            pb::Subnet {
                gateway: "fd00::1".into(),
                ..ok.clone()
            },
            invalid,
            "subnet.gateway",
            "not in",
        ),
        (
            pb::Subnet {
                reserved: vec!["x".into()],
                ..ok.clone()
            },
            invalid,
            "subnet.reserved[0]",
            "neither",
        ),
        (
            pb::Subnet {
                reserved: vec!["10.9.0.9-10.9.0.2".into()],
                ..ok.clone()
            },
            invalid,
            "subnet.reserved[0]",
            "10.9.0.2-10.9.0.9 would be right",
        ),
        (
            pb::Subnet {
                name: "v4".into(),
                ..ok.clone()
            },
            Code::AlreadyExists,
            "subnet.name",
            "another wish",
        ),
    ];
    for (subnet, code, field, says) in cases {
        refused(house.client.create_subnet(create(subnet)).await, code, field, says);
    }
    let get = pb::GetSubnetRequest {
        network: "blue".into(),
        name: "x".into(),
    };
    refused(
        house.client.get_subnet(get).await,
        Code::NotFound,
        "name",
        "no subnet x in network blue",
    );
    let update = pb::UpdateSubnetRequest {
        subnet: Some(ok),
        update_mask: None,
    };
    refused(
        house.client.update_subnet(update).await,
        Code::NotFound,
        "subnet.name",
        "no subnet x",
    );
}
