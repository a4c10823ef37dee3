//! Clients of the two gRPC interfaces over unix sockets, for tests that are plain functions: every call waits for its answer.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use hyper_util::rt::TokioIo;
use tokio::{net::UnixStream, runtime::Runtime};
use tonic::{
    Response, Status,
    transport::{Channel, Uri},
};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use vrouter_proto::{
    control::{self, control_client::ControlClient},
    dataplane::{self, dataplane_client::DataplaneClient},
};

/// How long one call may take.
const PATIENCE: Duration = Duration::from_secs(20);

fn runtime() -> Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder
        .worker_threads(1)
        .enable_all()
        .build()
        .context("no async runtime")
}

async fn connect(socket: &Path) -> Result<Channel> {
    let path = socket.to_owned();
    let connector = tower::service_fn(move |_: Uri| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    });
    tonic::transport::Endpoint::from_static("http://vrouter.local")
        .timeout(PATIENCE)
        .connect_with_connector(connector)
        .await
        .with_context(|| format!("cannot connect to {}", socket.display()))
}

/// Asks the health service behind a socket; succeeds when it says SERVING.
///
/// # Errors
/// When it cannot be reached or says something else.
pub fn serving(socket: &Path) -> Result<()> {
    runtime()?.block_on(async {
        let mut client = HealthClient::new(connect(socket).await?);
        let answer = client.check(HealthCheckRequest::default()).await?.into_inner();
        ensure!(
            answer.status() == ServingStatus::Serving,
            "it says {:?}",
            answer.status()
        );
        Ok(())
    })
}

/// A client of `vrouter-control`.
#[derive(Debug)]
pub struct Control {
    runtime: Runtime,
    client: ControlClient<Channel>,
}

impl Control {
    /// Connects. The connection is made anew when the server was restarted.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn connect(socket: &Path) -> Result<Self> {
        let runtime = runtime()?;
        let client = ControlClient::new(runtime.block_on(connect(socket))?);
        Ok(Self { runtime, client })
    }

    /// Calls any method: `control.call(async |mut c| c.get_info(GetInfoRequest {}).await)`.
    ///
    /// # Errors
    /// The server's refusal, as `tonic::Status` within.
    pub fn call<T>(
        &self,
        method: impl AsyncFnOnce(ControlClient<Channel>) -> Result<Response<T>, Status>,
    ) -> Result<T> {
        let answer = self.runtime.block_on(method(self.client.clone()));
        Ok(answer?.into_inner())
    }

    /// Creates a network.
    ///
    /// # Errors
    /// The server's refusal.
    pub fn network(&self, network: control::Network) -> Result<control::Network> {
        let name = network.name.clone();
        let request = control::CreateNetworkRequest { network: Some(network) };
        self.call(async |mut client| client.create_network(request).await)
            .with_context(|| format!("create network {name}"))
    }

    /// Creates a subnet; the gateway is the server's choice.
    ///
    /// # Errors
    /// The server's refusal.
    pub fn subnet(&self, network: &str, name: &str, cidr: &str) -> Result<control::Subnet> {
        let subnet = control::Subnet {
            network: network.to_owned(),
            name: name.to_owned(),
            cidr: cidr.to_owned(),
            ..Default::default()
        };
        let request = control::CreateSubnetRequest { subnet: Some(subnet) };
        self.call(async |mut client| client.create_subnet(request).await)
            .with_context(|| format!("create subnet {network}/{name} {cidr}"))
    }

    /// Creates an endpoint.
    ///
    /// # Errors
    /// The server's refusal.
    pub fn endpoint(&self, endpoint: control::Endpoint) -> Result<control::Endpoint> {
        let name = format!("{}/{}", endpoint.network, endpoint.name);
        let request = control::CreateEndpointRequest {
            endpoint: Some(endpoint),
            ..Default::default()
        };
        self.call(async |mut client| client.create_endpoint(request).await)
            .with_context(|| format!("create endpoint {name}"))
    }

    /// Creates a node.
    ///
    /// # Errors
    /// The server's refusal.
    pub fn node(&self, node: control::Node) -> Result<control::Node> {
        let name = node.name.clone();
        let request = control::CreateNodeRequest { node: Some(node) };
        self.call(async |mut client| client.create_node(request).await)
            .with_context(|| format!("create node {name}"))
    }

    /// Creates a group; labels that nobody has yet are allowed.
    ///
    /// # Errors
    /// The server's refusal.
    pub fn group(&self, group: control::Group) -> Result<control::Group> {
        let name = group.name.clone();
        let request = control::CreateGroupRequest {
            group: Some(group),
            allow_unknown_labels: true,
        };
        self.call(async |mut client| client.create_group(request).await)
            .with_context(|| format!("create group {name}"))
    }

    /// Creates a policy.
    ///
    /// # Errors
    /// The server's refusal.
    pub fn policy(&self, policy: control::Policy) -> Result<control::Policy> {
        let name = policy.name.clone();
        let request = control::CreatePolicyRequest { policy: Some(policy) };
        self.call(async |mut client| client.create_policy(request).await)
            .with_context(|| format!("create policy {name}"))
    }

    /// Creates a router.
    ///
    /// # Errors
    /// The server's refusal.
    pub fn router(&self, router: control::Router) -> Result<control::Router> {
        let name = router.name.clone();
        let request = control::CreateRouterRequest { router: Some(router) };
        self.call(async |mut client| client.create_router(request).await)
            .with_context(|| format!("create router {name}"))
    }

    /// Creates a floating address.
    ///
    /// # Errors
    /// The server's refusal.
    pub fn floating_ip(&self, floating_ip: control::FloatingIp) -> Result<control::FloatingIp> {
        let name = floating_ip.name.clone();
        let request = control::CreateFloatingIpRequest {
            floating_ip: Some(floating_ip),
        };
        self.call(async |mut client| client.create_floating_ip(request).await)
            .with_context(|| format!("create floating ip {name}"))
    }

    /// Creates a service.
    ///
    /// # Errors
    /// The server's refusal.
    pub fn service(&self, service: control::Service) -> Result<control::Service> {
        let name = service.name.clone();
        let request = control::CreateServiceRequest { service: Some(service) };
        self.call(async |mut client| client.create_service(request).await)
            .with_context(|| format!("create service {name}"))
    }

    /// Creates a QoS profile.
    ///
    /// # Errors
    /// The server's refusal.
    pub fn qos_profile(&self, qos_profile: control::QosProfile) -> Result<control::QosProfile> {
        let name = qos_profile.name.clone();
        let request = control::CreateQosProfileRequest {
            qos_profile: Some(qos_profile),
        };
        self.call(async |mut client| client.create_qos_profile(request).await)
            .with_context(|| format!("create qos profile {name}"))
    }

    /// Creates a mirror.
    ///
    /// # Errors
    /// The server's refusal.
    pub fn mirror(&self, mirror: control::Mirror) -> Result<control::Mirror> {
        let name = mirror.name.clone();
        let request = control::CreateMirrorRequest { mirror: Some(mirror) };
        self.call(async |mut client| client.create_mirror(request).await)
            .with_context(|| format!("create mirror {name}"))
    }

    /// What it is, and how far its dataplanes are.
    ///
    /// # Errors
    /// The server's refusal.
    pub fn info(&self) -> Result<control::GetInfoResponse> {
        self.call(async |mut client| client.get_info(control::GetInfoRequest {}).await)
    }

    /// Succeeds when every dataplane has everything that was wished before this call.
    ///
    /// # Errors
    /// When one has not, with the reason it gives.
    pub fn in_sync(&self) -> Result<()> {
        let info = self.info()?;
        ensure!(!info.dataplanes.is_empty(), "no dataplane is configured");
        for dataplane in &info.dataplanes {
            if !dataplane.connected || dataplane.synced_revision < info.revision || !dataplane.error.is_empty() {
                bail!(
                    "{}: connected {}, at revision {} of {}: {}",
                    dataplane.node,
                    dataplane.connected,
                    dataplane.synced_revision,
                    info.revision,
                    dataplane.error
                );
            }
        }
        Ok(())
    }
}

/// A client of one `vrouterd`.
#[derive(Debug)]
pub struct Dataplane {
    runtime: Runtime,
    client: DataplaneClient<Channel>,
    /// Where it listens.
    pub socket: PathBuf,
}

impl Dataplane {
    /// Connects. The connection is made anew when the server was restarted.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn connect(socket: &Path) -> Result<Self> {
        let runtime = runtime()?;
        let client = DataplaneClient::new(runtime.block_on(connect(socket))?).max_decoding_message_size(256 << 20);
        let socket = socket.to_owned();
        Ok(Self {
            runtime,
            client,
            socket,
        })
    }

    /// Calls any method, like [`Control::call`].
    ///
    /// # Errors
    /// The server's refusal, as `tonic::Status` within.
    pub fn call<T>(
        &self,
        method: impl AsyncFnOnce(DataplaneClient<Channel>) -> Result<Response<T>, Status>,
    ) -> Result<T> {
        let answer = self.runtime.block_on(method(self.client.clone()));
        Ok(answer?.into_inner())
    }

    /// What it is and which revision it runs.
    ///
    /// # Errors
    /// The server's refusal.
    pub fn info(&self) -> Result<dataplane::GetInfoResponse> {
        self.call(async |mut client| client.get_info(dataplane::GetInfoRequest {}).await)
    }

    /// All counters.
    ///
    /// # Errors
    /// The server's refusal.
    pub fn statistics(&self) -> Result<dataplane::GetStatisticsResponse> {
        self.call(async |mut client| client.get_statistics(dataplane::GetStatisticsRequest {}).await)
    }

    /// Packets dropped for a reason, over all ports and VRFs.
    ///
    /// # Errors
    /// The server's refusal, or when it knows no such reason.
    pub fn drops(&self, reason: &str) -> Result<u64> {
        let statistics = self.statistics()?;
        ensure!(
            statistics.drop_reasons.iter().any(|known| known.name == reason),
            "no drop reason is named {reason}"
        );
        // Counted once per port; the counts per VRF are another view of the same packets.
        let counts = statistics.ports.iter().flat_map(|port| &port.drops);
        Ok(counts
            .filter(|count| count.reason == reason)
            .map(|count| count.packets)
            .sum())
    }

    /// Packets dropped so far, by port name and reason.
    ///
    /// # Errors
    /// The server's refusal.
    pub fn all_drops(&self) -> Result<Vec<String>> {
        let statistics = self.statistics()?;
        let ports = statistics.ports.iter();
        let drops = ports.flat_map(|port| port.drops.iter().map(move |drop| (port, drop)));
        let counted = drops.filter(|(_, drop)| drop.packets > 0);
        Ok(counted
            .map(|(port, drop)| format!("{} {} {}", port.name, drop.reason, drop.packets))
            .collect())
    }

    /// Applies one batch and returns its revision.
    ///
    /// # Errors
    /// When the batch is refused, with every problem.
    pub fn apply(&self, operations: Vec<dataplane::operation::Operation>) -> Result<u64> {
        let operations = operations.into_iter().map(|operation| dataplane::Operation {
            operation: Some(operation),
        });
        let request = dataplane::ApplyRequest {
            batch: 1,
            operations: operations.collect(),
        };
        let answer = self.runtime.block_on(async {
            let mut client = self.client.clone();
            let mut answers = client
                .apply(tonic::codegen::tokio_stream::once(request))
                .await?
                .into_inner();
            answers.message().await
        })?;
        let answer = answer.context("the stream ended without an answer")?;
        ensure!(answer.problems.is_empty(), "refused: {:?}", answer.problems);
        Ok(answer.revision)
    }

    /// Puts objects, in this order, as one batch, and returns its revision.
    ///
    /// # Errors
    /// When the batch is refused, with every problem.
    pub fn put(&self, objects: impl IntoIterator<Item = dataplane::object::Object>) -> Result<u64> {
        let put = |object| dataplane::operation::Operation::Put(dataplane::Object { object: Some(object) });
        self.apply(objects.into_iter().map(put).collect())
    }

    /// Deletes objects, in this order, as one batch, and returns its revision.
    ///
    /// # Errors
    /// When the batch is refused, with every problem.
    pub fn delete(&self, keys: impl IntoIterator<Item = dataplane::key::Key>) -> Result<u64> {
        let delete = |key| dataplane::operation::Operation::Delete(dataplane::Key { key: Some(key) });
        self.apply(keys.into_iter().map(delete).collect())
    }

    /// Every object of some kinds (none: of all).
    ///
    /// # Errors
    /// The server's refusal.
    pub fn dump(&self, kinds: &[dataplane::Kind]) -> Result<Vec<dataplane::object::Object>> {
        let request = dataplane::DumpRequest {
            kinds: kinds.iter().map(|kind| i32::from(*kind)).collect(),
            vrf: 0,
        };
        self.runtime.block_on(async {
            let mut client = self.client.clone();
            let mut chunks = client.dump(request).await?.into_inner();
            let mut objects = Vec::new();
            while let Some(chunk) = chunks.message().await? {
                objects.extend(chunk.objects.into_iter().filter_map(|object| object.object));
            }
            Ok(objects)
        })
    }

    /// The flows it holds now.
    ///
    /// # Errors
    /// The server's refusal.
    pub fn flows(&self) -> Result<Vec<dataplane::Flow>> {
        self.runtime.block_on(async {
            let mut client = self.client.clone();
            let request = dataplane::ListFlowsRequest::default();
            let mut chunks = client.list_flows(request).await?.into_inner();
            let mut flows = Vec::new();
            while let Some(chunk) = chunks.message().await? {
                flows.extend(chunk.flows);
            }
            Ok(flows)
        })
    }
}
