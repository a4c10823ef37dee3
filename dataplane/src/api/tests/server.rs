//! Health, reflection, and the end.

use tokio_stream::StreamExt as _;
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use vrouter_proto::dataplane as pb;

use super::harness::{Served, vrf};
use crate::api::{Handle, ListenError, Listener, Server, Stopped};

#[tokio::test]
async fn health_and_reflection_are_served() {
    use tonic_health::pb::health_check_response::ServingStatus;
    use tonic_reflection::pb::{v1, v1alpha};

    let served = Served::start().await;
    let mut health = HealthClient::new(served.channel().await);
    for service in ["", "vrouter.dataplane.v1.Dataplane"] {
        let answer = health
            .check(HealthCheckRequest {
                service: service.into(),
            })
            .await
            .unwrap();
        assert_eq!(answer.into_inner().status(), ServingStatus::Serving, "{service:?}");
    }

    let mut reflection = v1::server_reflection_client::ServerReflectionClient::new(served.channel().await);
    let request = v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(v1::server_reflection_request::MessageRequest::ListServices(
            String::new(),
        )),
    };
    let mut answers = reflection
        .server_reflection_info(tokio_stream::once(request))
        .await
        .unwrap()
        .into_inner();
    let answer = answers.next().await.unwrap().unwrap().message_response.unwrap();
    let v1::server_reflection_response::MessageResponse::ListServicesResponse(list) = answer else {
        panic!("{answer:?}")
    };
    assert!(
        list.service.iter().any(|s| s.name == "vrouter.dataplane.v1.Dataplane"),
        "{list:?}"
    );

    let mut older = v1alpha::server_reflection_client::ServerReflectionClient::new(served.channel().await);
    let symbol = "vrouter.dataplane.v1.Dataplane".to_owned();
    let request = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(v1alpha::server_reflection_request::MessageRequest::FileContainingSymbol(symbol)),
    };
    let mut answers = older
        .server_reflection_info(tokio_stream::once(request))
        .await
        .unwrap()
        .into_inner();
    let answer = answers.next().await.unwrap().unwrap().message_response.unwrap();
    let found = matches!(
        answer,
        v1alpha::server_reflection_response::MessageResponse::FileDescriptorResponse(_)
    );
    assert!(found, "{answer:?}");
}

#[tokio::test]
async fn the_socket_is_kept_from_others_and_goes_with_the_server() {
    let mut served = Served::start().await;
    let second = Listener::bind(&served.address).await;
    assert!(matches!(second, Err(ListenError::Taken(_))));
    served.apply(vec![vrf(1)]).await;
    // Neither a watcher nor an open stream of batches keeps the server from stopping; both are told.
    let watching = served.client().await.watch(pb::WatchRequest::default()).await;
    let mut events = watching.unwrap().into_inner();
    let applying = served.client().await.apply(tokio_stream::pending()).await;
    let mut answers = applying.unwrap().into_inner();
    served.stop();
    (&mut served.server).await.unwrap().unwrap();
    assert_eq!(std::fs::read_dir(served.directory()).unwrap().count(), 0);
    assert_eq!(events.next().await.unwrap().unwrap_err().code(), Code::Unavailable);
    assert_eq!(answers.next().await.unwrap().unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn when_the_programming_thread_is_gone_that_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let address = crate::api::Address::Unix(directory.path().join("x.sock"));
    let listener = Listener::bind(&address).await.unwrap();
    let handle = Handle::new(|_| Err(Stopped));
    let server = tokio::spawn(Server::new(handle, vec![listener]).run(std::future::pending()));
    let endpoint = tonic::transport::Endpoint::from_shared(address.to_string()).unwrap();
    let mut client = pb::dataplane_client::DataplaneClient::new(endpoint.connect().await.unwrap());
    let status = client.get_info(pb::GetInfoRequest {}).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::Unavailable, "vrouterd is stopping")
    );
    let request = pb::ApplyRequest {
        batch: 1,
        operations: vec![vrf(1)],
    };
    let mut answers = client.apply(tokio_stream::once(request)).await.unwrap().into_inner();
    assert_eq!(answers.next().await.unwrap().unwrap_err().code(), Code::Unavailable);
    server.abort();
}
