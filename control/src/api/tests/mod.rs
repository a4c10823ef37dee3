//! Every RPC over a real unix socket, with good and bad input.

mod endpoints;
mod extras;
mod fixture;
mod floating_ips;
mod groups;
mod metrics;
mod networks;
mod nodes;
mod parallel;
mod policies;
mod publishing;
mod routers;
mod services;
mod subnets;
mod watching;

use std::time::Duration;

use tempfile::TempDir;
use tokio::{sync::oneshot, task::JoinHandle};
use tonic::{Code, Response, Status, transport::Channel};
use vrouter_proto::control::{self as pb, control_client::ControlClient};

use super::{Server, Service};
use crate::{
    reconcile::Board,
    store::{Redb, Store},
    transport::{Address, Listener, connect},
};

type Client = ControlClient<Channel>;

/// A server of its own, with a store of its own.
struct House {
    client: Client,
    address: Address,
    store: Store,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
    directory: TempDir,
}

impl House {
    async fn new() -> Self {
        Self::within(tempfile::tempdir().unwrap()).await
    }

    async fn within(directory: TempDir) -> Self {
        let store = Store::start(Redb::open(directory.path().join("control.redb")).unwrap()).unwrap();
        let address = Address::Unix(directory.path().join("control.sock"));
        let listener = Listener::bind(&address).await.unwrap();
        let server = Server::new(Service::new(store.clone(), Board::default()), vec![listener]);
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            server.run(async { drop(stopped.await) }).await.unwrap();
        });
        let channel = connect(&address, Duration::from_secs(5)).await.unwrap();
        Self {
            client: ControlClient::new(channel),
            address,
            store,
            stop: Some(stop),
            task,
            directory,
        }
    }

    /// Stops gracefully and starts again on the same store.
    async fn restart(mut self) -> Self {
        drop(self.stop.take());
        self.task.await.unwrap();
        self.store.close().await;
        Self::within(self.directory).await
    }

    async fn network(&mut self, name: &str) -> pb::Network {
        self.client
            .create_network(create_network(pb::Network {
                name: name.into(),
                ..Default::default()
            }))
            .await
            .unwrap()
            .into_inner()
    }

    async fn subnet(&mut self, network: &str, name: &str, cidr: &str) -> pb::Subnet {
        let subnet = pb::Subnet {
            network: network.into(),
            name: name.into(),
            cidr: cidr.into(),
            ..Default::default()
        };
        self.client
            .create_subnet(pb::CreateSubnetRequest { subnet: Some(subnet) })
            .await
            .unwrap()
            .into_inner()
    }

    async fn node(&mut self, name: &str) -> pb::Node {
        let node = pb::Node {
            name: name.into(),
            ..Default::default()
        };
        self.client
            .create_node(pb::CreateNodeRequest { node: Some(node) })
            .await
            .unwrap()
            .into_inner()
    }

    async fn endpoint(&mut self, endpoint: pb::Endpoint) -> Result<pb::Endpoint, Status> {
        self.client
            .create_endpoint(pb::CreateEndpointRequest {
                endpoint: Some(endpoint),
                ..Default::default()
            })
            .await
            .map(Response::into_inner)
    }

    async fn clean(&mut self) {
        let audit = self.client.audit(pb::AuditRequest {}).await.unwrap().into_inner();
        assert_eq!(audit.findings, Vec::<String>::new());
    }
}

fn create_network(network: pb::Network) -> pb::CreateNetworkRequest {
    pb::CreateNetworkRequest { network: Some(network) }
}

fn mask(paths: &[&str]) -> Option<prost_types::FieldMask> {
    Some(prost_types::FieldMask {
        paths: paths.iter().map(ToString::to_string).collect(),
    })
}

/// An endpoint "blue/NAME" without any wish.
fn blue(name: &str) -> pb::Endpoint {
    pb::Endpoint {
        network: "blue".into(),
        name: name.into(),
        ..Default::default()
    }
}

/// The call was refused with this code, and a message that begins with the field and tells what is in `says`.
#[track_caller]
fn refused<T: std::fmt::Debug>(answer: Result<T, Status>, code: Code, field: &str, says: &str) {
    let status = answer.expect_err("should be refused");
    let message = status.message();
    assert_eq!(status.code(), code, "{message}");
    assert!(
        message.starts_with(&format!("{field}: ")),
        "begins with {field}: {message}"
    );
    assert!(message.contains(says), "says {says:?}: {message}");
}
