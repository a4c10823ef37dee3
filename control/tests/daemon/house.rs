//! A control process in the test's own process, with its API.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::task::JoinSet;
use tonic::transport::Channel;
use vrouter_control::{
    api::{Server, Service},
    compile::{ObjectKey, compile},
    model::Name,
    reconcile::{Board, Driver, Timing},
    store::{Redb, Store},
    transport::{Address, Listener, connect},
};
use vrouter_proto::{control as pb, control::control_client::ControlClient, dataplane};

use crate::fake::Fake;

/// Patience of the tests' drivers: short pauses, so that tests are quick. Nothing is asserted about them.
pub(crate) const TIMING: Timing = Timing {
    connect: Duration::from_secs(2),
    reconnect_least: Duration::from_millis(5),
    reconnect_most: Duration::from_millis(50),
    retry_least: Duration::from_millis(20),
    retry_most: Duration::from_millis(100),
    recheck: Duration::from_millis(20),
    health_grace: Duration::from_millis(500),
};

pub(crate) struct House {
    pub(crate) client: ControlClient<Channel>,
    pub(crate) store: Store,
    pub(crate) board: Board,
    tasks: JoinSet<()>,
}

/// A directory with sockets of dataplanes and the store.
pub(crate) struct Ground {
    pub(crate) directory: TempDir,
}

impl Ground {
    pub(crate) fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn socket(&self, node: &str) -> PathBuf {
        self.directory.path().join(format!("{node}.sock"))
    }

    pub(crate) fn fake(&self, node: &str) -> Fake {
        Fake::start(&self.socket(node), node)
    }

    /// Starts control on the store of this directory, driving the dataplanes of `nodes`.
    pub(crate) async fn control(&self, nodes: &[&str]) -> House {
        self.patient(nodes, TIMING).await
    }

    /// The same with other patience.
    pub(crate) async fn patient(&self, nodes: &[&str], timing: Timing) -> House {
        let store = Store::start(Redb::open(self.directory.path().join("control.redb")).unwrap()).unwrap();
        let board = Board::default();
        let mut tasks = JoinSet::new();
        for node in nodes {
            let address = Address::Unix(self.socket(node));
            let driver = Driver::new(Name::new(node).unwrap(), address, store.clone(), board.clone(), timing);
            tasks.spawn(driver.run());
        }
        let address = Address::Unix(self.directory.path().join("control.sock"));
        let listener = Listener::bind(&address).await.unwrap();
        let server = Server::new(Service::new(store.clone(), board.clone()), vec![listener]);
        tasks.spawn(async move {
            server.run(std::future::pending()).await.unwrap();
        });
        let client = ControlClient::new(connect(&address, Duration::from_secs(5)).await.unwrap());
        House {
            client,
            store,
            board,
            tasks,
        }
    }
}

impl House {
    /// Ends at once, wherever its tasks are; what is committed stays.
    pub(crate) async fn kill(mut self) {
        self.tasks.shutdown().await;
        self.store.close().await;
    }

    pub(crate) async fn network(&mut self, network: pb::Network) {
        let name = network.name.clone();
        self.client
            .create_network(pb::CreateNetworkRequest { network: Some(network) })
            .await
            .unwrap();
        for (subnet, cidr) in [("v4", "10.1.0.0/16"), ("v6", "fd00:1::/64")] {
            let subnet = pb::Subnet {
                network: name.clone(),
                name: subnet.into(),
                cidr: cidr.into(),
                ..Default::default()
            };
            self.client
                .create_subnet(pb::CreateSubnetRequest { subnet: Some(subnet) })
                .await
                .unwrap();
        }
    }

    pub(crate) async fn endpoint(&mut self, network: &str, name: &str, node: &str, interface: &str) -> pb::Endpoint {
        let endpoint = pb::Endpoint {
            network: network.into(),
            name: name.into(),
            node: node.into(),
            interface: interface.into(),
            ..Default::default()
        };
        self.client
            .create_endpoint(pb::CreateEndpointRequest {
                endpoint: Some(endpoint),
                ..Default::default()
            })
            .await
            .unwrap()
            .into_inner()
    }

    pub(crate) async fn delete(&mut self, network: &str, name: &str) {
        let request = pb::DeleteEndpointRequest {
            network: network.into(),
            name: name.into(),
        };
        self.client.delete_endpoint(request).await.unwrap();
    }

    pub(crate) async fn get(&mut self, network: &str, name: &str) -> pb::Endpoint {
        let request = pb::GetEndpointRequest {
            network: network.into(),
            name: name.into(),
        };
        self.client.get_endpoint(request).await.unwrap().into_inner()
    }

    pub(crate) async fn status(&mut self, node: &str) -> pb::DataplaneStatus {
        let node = self
            .client
            .get_node(pb::GetNodeRequest { name: node.into() })
            .await
            .unwrap()
            .into_inner();
        node.dataplane.unwrap()
    }

    pub(crate) async fn audit(&mut self) -> Vec<String> {
        self.client
            .audit(pb::AuditRequest {})
            .await
            .unwrap()
            .into_inner()
            .findings
    }

    /// What the dataplane of a node should hold.
    pub(crate) fn wished(&self, node: &str) -> BTreeMap<ObjectKey, dataplane::Object> {
        let plan = compile(
            &self.store.state(),
            &Name::new(node).unwrap(),
            &self.board.health().health(),
        );
        plan.into_iter()
            .map(|(key, planned)| (key, planned.object.as_ref().clone()))
            .collect()
    }

    /// Waits until the dataplane holds just what is wished.
    pub(crate) async fn converged(&self, fake: &Fake, node: &str) {
        until(&format!("{node} holds what is wished"), || {
            let (wished, held) = (self.wished(node), fake.held());
            if wished == held {
                Ok(())
            } else {
                Err(difference(&wished, &held))
            }
        })
        .await;
    }
}

fn difference(
    wished: &BTreeMap<ObjectKey, dataplane::Object>,
    held: &BTreeMap<ObjectKey, dataplane::Object>,
) -> String {
    let lacks: Vec<_> = wished
        .iter()
        .filter(|(k, o)| held.get(k) != Some(o))
        .map(|(k, _)| k.to_string())
        .collect();
    let extra: Vec<_> = held
        .keys()
        .filter(|k| !wished.contains_key(k))
        .map(ToString::to_string)
        .collect();
    format!("lacks or differs: {lacks:?}; should not have: {extra:?}")
}

/// Waits for something that comes true by itself; only a test that hangs is late.
pub(crate) async fn until(what: &str, mut check: impl FnMut() -> Result<(), String>) {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        match check() {
            Ok(()) => return,
            Err(why) => assert!(Instant::now() < deadline, "never: {what}: {why}"),
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
