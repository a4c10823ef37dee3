//! Many clients at once.

use std::collections::HashSet;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn parallel_requests_never_collide() {
    let mut house = House::new().await;
    house.network("blue").await;
    house.subnet("blue", "v4", "10.1.0.0/24").await;
    house.subnet("blue", "v6", "fd00:1::/64").await;
    // 300 want one of 253 addresses.
    let tasks: Vec<_> = (0..300)
        .map(|n| {
            let mut client = house.client.clone();
            tokio::spawn(async move {
                let endpoint = Some(blue(&format!("e{n}")));
                client
                    .create_endpoint(pb::CreateEndpointRequest {
                        endpoint,
                        ..Default::default()
                    })
                    .await
                    .map(Response::into_inner)
            })
        })
        .collect();
    let (mut addresses, mut numbers, mut macs, mut full) = (HashSet::new(), HashSet::new(), HashSet::new(), 0);
    for task in tasks {
        match task.await.unwrap() {
            Ok(endpoint) => {
                assert!(numbers.insert(endpoint.number) && macs.insert(endpoint.mac));
                for address in endpoint.addresses {
                    assert!(addresses.insert(address));
                }
            }
            Err(status) => {
                assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
                full += 1;
            }
        }
    }
    assert_eq!((numbers.len(), addresses.len(), full), (253, 506, 47));
    house.clean().await;

    // Half of them go while others come.
    let tasks: Vec<_> = (0..300)
        .map(|n| {
            let mut client = house.client.clone();
            tokio::spawn(async move {
                if n % 2 == 0 {
                    let request = pb::DeleteEndpointRequest {
                        network: "blue".into(),
                        name: format!("e{n}"),
                    };
                    client.delete_endpoint(request).await.map(|_| ())
                } else {
                    let endpoint = Some(blue(&format!("new{n}")));
                    client
                        .create_endpoint(pb::CreateEndpointRequest {
                            endpoint,
                            ..Default::default()
                        })
                        .await
                        .map(|_| ())
                }
            })
        })
        .collect();
    for task in tasks {
        if let Err(status) = task.await.unwrap() {
            assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
        }
    }
    house.clean().await;
    let list = pb::ListEndpointsRequest {
        network: "blue".into(),
        node: String::new(),
        ..Default::default()
    };
    let endpoints = house.client.list_endpoints(list).await.unwrap().into_inner().endpoints;
    let held: Vec<_> = endpoints.iter().flat_map(|e| &e.addresses).collect();
    assert_eq!(held.iter().collect::<HashSet<_>>().len(), held.len());
    let get = pb::GetSubnetRequest {
        network: "blue".into(),
        name: "v4".into(),
    };
    let subnet = house.client.get_subnet(get).await.unwrap().into_inner();
    assert_eq!(subnet.allocated, endpoints.len() as u64);
}
