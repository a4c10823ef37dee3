//! A `vrouter.control.v1` server that keeps networks in memory, answers the rest with fixed objects, and remembers what it
//! was asked.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard},
};

use tokio_stream::Iter;
use tonic::{Request, Response, Status};
use vrouter_proto::control::{control_server::Control, watch_event::Type, *};

/// What was asked and what there is.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) networks: BTreeMap<String, Network>,
    pub(crate) created_subnet: Option<Subnet>,
    pub(crate) created_endpoint: Option<Endpoint>,
    pub(crate) created_node: Option<Node>,
    pub(crate) updated_network: Option<UpdateNetworkRequest>,
    pub(crate) updated_endpoint: Option<UpdateEndpointRequest>,
    pub(crate) updated_subnet: Option<UpdateSubnetRequest>,
    pub(crate) listed_endpoints: Option<ListEndpointsRequest>,
    pub(crate) watches: Vec<WatchRequest>,
    /// Wishes for kinds of which nothing else is kept, spelled out.
    pub(crate) wishes: Vec<String>,
    /// Update masks of these.
    pub(crate) masks: Vec<Vec<String>>,
}

#[derive(Clone, Default)]
pub(crate) struct FakeControl(Arc<Mutex<State>>);

impl FakeControl {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

/// The endpoint that the fake knows.
pub(crate) fn web() -> Endpoint {
    Endpoint {
        network: "blue".into(),
        name: "web-1".into(),
        uid: "u-1".into(),
        revision: 12,
        node: "node1".into(),
        interface: "veth1".into(),
        mac: "02:00:00:00:00:01".into(),
        addresses: vec!["10.1.0.2".into(), "fd00:1::2".into()],
        labels: HashMap::from([("app".into(), "web".into()), ("tier".into(), "front".into())]),
        number: 3,
        gateways: vec!["10.1.0.1/24".into()],
        mtu: 1450,
        programmed: true,
        ..Default::default()
    }
}

/// Of node3 it is told that it refuses something.
fn status(node: &str, connected: bool, synced_revision: u64) -> DataplaneStatus {
    DataplaneStatus {
        node: node.into(),
        address: format!("unix:/run/{node}.sock"),
        connected,
        synced_revision,
        error: if connected { "" } else { "connection refused" }.into(),
        refused: u64::from(node == "node3"),
    }
}

fn not_found(kind: &str, name: &str) -> Status {
    Status::not_found(format!("{kind}: there is no {name}"))
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Control for FakeControl {
    async fn get_info(&self, _: Request<GetInfoRequest>) -> Answer<GetInfoResponse> {
        Ok(Response::new(GetInfoResponse {
            version: "0.1.0".into(),
            revision: 42,
            dataplanes: vec![
                status("node2", false, 40),
                status("node1", true, 42),
                status("node3", true, 42),
            ],
        }))
    }

    async fn create_network(&self, request: Request<CreateNetworkRequest>) -> Answer<Network> {
        let mut network = request.into_inner().network.unwrap();
        if network.vni > 16_777_215 {
            let words = format!(
                "network.vni: {} is out of range; 1..16777215 would be right",
                network.vni
            );
            return Err(Status::invalid_argument(words));
        }
        network.revision = 7;
        network.uid = "u-7".into();
        if network.vni == 0 {
            network.vni = 100;
        }
        self.state().networks.insert(network.name.clone(), network.clone());
        Ok(Response::new(network))
    }

    async fn get_network(&self, request: Request<GetNetworkRequest>) -> Answer<Network> {
        let name = request.into_inner().name;
        let network = self.state().networks.get(&name).cloned();
        network.map(Response::new).ok_or_else(|| not_found("network", &name))
    }

    async fn list_networks(&self, _: Request<ListNetworksRequest>) -> Answer<ListNetworksResponse> {
        let networks = self.state().networks.values().rev().cloned().collect();
        Ok(Response::new(ListNetworksResponse { networks, revision: 7 }))
    }

    async fn update_network(&self, request: Request<UpdateNetworkRequest>) -> Answer<Network> {
        let request = request.into_inner();
        let network = request.network.clone().unwrap();
        self.state().updated_network = Some(request);
        Ok(Response::new(network))
    }

    async fn delete_network(&self, request: Request<DeleteNetworkRequest>) -> Answer<DeleteNetworkResponse> {
        let existed = self.state().networks.remove(&request.into_inner().name).is_some();
        Ok(Response::new(DeleteNetworkResponse { existed }))
    }

    async fn create_subnet(&self, request: Request<CreateSubnetRequest>) -> Answer<Subnet> {
        let subnet = request.into_inner().subnet.unwrap();
        self.state().created_subnet = Some(subnet.clone());
        Ok(Response::new(subnet))
    }

    async fn get_subnet(&self, request: Request<GetSubnetRequest>) -> Answer<Subnet> {
        Err(not_found("subnet", &request.into_inner().name))
    }

    async fn list_subnets(&self, _: Request<ListSubnetsRequest>) -> Answer<ListSubnetsResponse> {
        Ok(Response::new(ListSubnetsResponse::default()))
    }

    async fn update_subnet(&self, request: Request<UpdateSubnetRequest>) -> Answer<Subnet> {
        let request = request.into_inner();
        let subnet = request.subnet.clone().unwrap();
        self.state().updated_subnet = Some(request);
        Ok(Response::new(subnet))
    }

    async fn delete_subnet(&self, _: Request<DeleteSubnetRequest>) -> Answer<DeleteSubnetResponse> {
        Err(Status::failed_precondition("subnet: 2 addresses of blue/v4 are in use"))
    }

    async fn create_endpoint(&self, request: Request<CreateEndpointRequest>) -> Answer<Endpoint> {
        let endpoint = request.into_inner().endpoint.unwrap();
        self.state().created_endpoint = Some(endpoint.clone());
        Ok(Response::new(endpoint))
    }

    async fn get_endpoint(&self, request: Request<GetEndpointRequest>) -> Answer<Endpoint> {
        let request = request.into_inner();
        match (request.network.as_str(), request.name.as_str()) {
            ("blue", "web-1") => Ok(Response::new(web())),
            (network, name) => Err(not_found("endpoint", &format!("{network}/{name}"))),
        }
    }

    async fn list_endpoints(&self, request: Request<ListEndpointsRequest>) -> Answer<ListEndpointsResponse> {
        self.state().listed_endpoints = Some(request.into_inner());
        let other = Endpoint {
            name: "db".into(),
            number: 4,
            addresses: vec!["10.1.0.3".into()],
            programmed: false,
            error: "veth1 does not exist".into(),
            labels: HashMap::new(),
            ..web()
        };
        Ok(Response::new(ListEndpointsResponse {
            endpoints: vec![web(), other],
            revision: 12,
        }))
    }

    async fn update_endpoint(&self, request: Request<UpdateEndpointRequest>) -> Answer<Endpoint> {
        let request = request.into_inner();
        let endpoint = request.endpoint.clone().unwrap();
        self.state().updated_endpoint = Some(request);
        Ok(Response::new(endpoint))
    }

    async fn delete_endpoint(&self, _: Request<DeleteEndpointRequest>) -> Answer<DeleteEndpointResponse> {
        Ok(Response::new(DeleteEndpointResponse { existed: false }))
    }

    async fn create_node(&self, request: Request<CreateNodeRequest>) -> Answer<Node> {
        let node = request.into_inner().node.unwrap();
        self.state().created_node = Some(node.clone());
        Ok(Response::new(node))
    }

    async fn get_node(&self, request: Request<GetNodeRequest>) -> Answer<Node> {
        Err(not_found("node", &request.into_inner().name))
    }

    async fn list_nodes(&self, _: Request<ListNodesRequest>) -> Answer<ListNodesResponse> {
        let node = Node {
            name: "node1".into(),
            number: 1,
            effective_vtep_addresses: vec!["192.0.2.1".into()],
            dataplane: Some(status("node1", true, 42)),
            ..Default::default()
        };
        let switch = Node {
            name: "switch".into(),
            number: 2,
            vtep_addresses: vec!["192.0.2.9".into()],
            effective_vtep_addresses: vec!["192.0.2.9".into()],
            external: true,
            ..Default::default()
        };
        Ok(Response::new(ListNodesResponse {
            nodes: vec![switch, node],
            revision: 42,
        }))
    }

    async fn update_node(&self, _: Request<UpdateNodeRequest>) -> Answer<Node> {
        Err(Status::aborted("node.revision: 3 is not the current one (5)"))
    }

    async fn delete_node(&self, _: Request<DeleteNodeRequest>) -> Answer<DeleteNodeResponse> {
        Ok(Response::new(DeleteNodeResponse { existed: true }))
    }

    type WatchStream = Iter<std::vec::IntoIter<Result<WatchEvent, Status>>>;

    /// The first watch loses its client; the second is ended by the server.
    async fn watch(&self, request: Request<WatchRequest>) -> Answer<Self::WatchStream> {
        let mut state = self.state();
        let first = state.watches.is_empty();
        state.watches.push(request.into_inner());
        let event = |kind: Type, object| {
            Ok(WatchEvent {
                r#type: kind.into(),
                revision: 12,
                object,
            })
        };
        let object = Some(watch_event::Object::Endpoint(web()));
        let last = if first { Type::Lost } else { Type::Deleted };
        let last_object = if first { None } else { object.clone() };
        let events = vec![
            event(Type::Existing, object),
            event(Type::Synced, None),
            event(last, last_object),
        ];
        Ok(Response::new(tokio_stream::iter(events)))
    }

    async fn audit(&self, _: Request<AuditRequest>) -> Answer<AuditResponse> {
        Ok(Response::new(AuditResponse {
            findings: vec!["10.1.0.9 of blue/v4 is held by nobody".into()],
            addresses_allocated: 3,
            endpoints: 2,
            ..Default::default()
        }))
    }

    async fn create_group(&self, request: Request<CreateGroupRequest>) -> Answer<Group> {
        let it = request.into_inner().group.unwrap();
        self.state().wishes.push(format!("{it:?}"));
        Ok(Response::new(it))
    }

    async fn get_group(&self, _: Request<GetGroupRequest>) -> Answer<Group> {
        Err(Status::unimplemented("get_group"))
    }

    async fn list_groups(&self, _: Request<ListGroupsRequest>) -> Answer<ListGroupsResponse> {
        Err(Status::unimplemented("list_groups"))
    }

    async fn update_group(&self, request: Request<UpdateGroupRequest>) -> Answer<Group> {
        let request = request.into_inner();
        self.state().masks.push(request.update_mask.unwrap_or_default().paths);
        Ok(Response::new(request.group.unwrap()))
    }

    async fn delete_group(&self, _: Request<DeleteGroupRequest>) -> Answer<DeleteGroupResponse> {
        Ok(Response::new(DeleteGroupResponse { existed: true }))
    }

    async fn create_policy(&self, request: Request<CreatePolicyRequest>) -> Answer<Policy> {
        let it = request.into_inner().policy.unwrap();
        self.state().wishes.push(format!("{it:?}"));
        Ok(Response::new(it))
    }

    async fn get_policy(&self, request: Request<GetPolicyRequest>) -> Answer<Policy> {
        Ok(Response::new(Policy {
            name: request.into_inner().name,
            revision: 9,
            rules: vec![PolicyRule {
                name: "old".into(),
                direction: policy_rule::Direction::Ingress.into(),
                action: policy_rule::Action::Allow.into(),
                ..Default::default()
            }],
            ..Default::default()
        }))
    }

    async fn list_policies(&self, _: Request<ListPoliciesRequest>) -> Answer<ListPoliciesResponse> {
        Err(Status::unimplemented("list_policies"))
    }

    async fn update_policy(&self, request: Request<UpdatePolicyRequest>) -> Answer<Policy> {
        let request = request.into_inner();
        self.state().masks.push(request.update_mask.unwrap_or_default().paths);
        Ok(Response::new(request.policy.unwrap()))
    }

    async fn delete_policy(&self, _: Request<DeletePolicyRequest>) -> Answer<DeletePolicyResponse> {
        Ok(Response::new(DeletePolicyResponse { existed: true }))
    }

    async fn create_router(&self, request: Request<CreateRouterRequest>) -> Answer<Router> {
        let it = request.into_inner().router.unwrap();
        self.state().wishes.push(format!("{it:?}"));
        Ok(Response::new(it))
    }

    async fn get_router(&self, _: Request<GetRouterRequest>) -> Answer<Router> {
        Err(Status::unimplemented("get_router"))
    }

    async fn list_routers(&self, _: Request<ListRoutersRequest>) -> Answer<ListRoutersResponse> {
        Err(Status::unimplemented("list_routers"))
    }

    async fn update_router(&self, request: Request<UpdateRouterRequest>) -> Answer<Router> {
        let request = request.into_inner();
        self.state().masks.push(request.update_mask.unwrap_or_default().paths);
        Ok(Response::new(request.router.unwrap()))
    }

    async fn delete_router(&self, _: Request<DeleteRouterRequest>) -> Answer<DeleteRouterResponse> {
        Ok(Response::new(DeleteRouterResponse { existed: true }))
    }

    async fn create_floating_ip(&self, request: Request<CreateFloatingIpRequest>) -> Answer<FloatingIp> {
        let it = request.into_inner().floating_ip.unwrap();
        self.state().wishes.push(format!("{it:?}"));
        Ok(Response::new(it))
    }

    async fn get_floating_ip(&self, _: Request<GetFloatingIpRequest>) -> Answer<FloatingIp> {
        Err(Status::unimplemented("get_floating_ip"))
    }

    async fn list_floating_ips(&self, _: Request<ListFloatingIpsRequest>) -> Answer<ListFloatingIpsResponse> {
        Err(Status::unimplemented("list_floating_ips"))
    }

    async fn update_floating_ip(&self, request: Request<UpdateFloatingIpRequest>) -> Answer<FloatingIp> {
        let request = request.into_inner();
        self.state().masks.push(request.update_mask.unwrap_or_default().paths);
        Ok(Response::new(request.floating_ip.unwrap()))
    }

    async fn publish_ports(&self, _: Request<PublishPortsRequest>) -> Answer<FloatingIp> {
        Err(Status::unimplemented("publish_ports"))
    }

    async fn withdraw_ports(&self, _: Request<WithdrawPortsRequest>) -> Answer<WithdrawPortsResponse> {
        Err(Status::unimplemented("withdraw_ports"))
    }

    async fn delete_floating_ip(&self, _: Request<DeleteFloatingIpRequest>) -> Answer<DeleteFloatingIpResponse> {
        Ok(Response::new(DeleteFloatingIpResponse { existed: true }))
    }

    async fn create_service(&self, request: Request<CreateServiceRequest>) -> Answer<Service> {
        let it = request.into_inner().service.unwrap();
        self.state().wishes.push(format!("{it:?}"));
        Ok(Response::new(it))
    }

    async fn get_service(&self, _: Request<GetServiceRequest>) -> Answer<Service> {
        Err(Status::unimplemented("get_service"))
    }

    async fn list_services(&self, _: Request<ListServicesRequest>) -> Answer<ListServicesResponse> {
        let backend = |name: &str, healthy| BackendStatus {
            backend: name.into(),
            address: "10.1.0.2".into(),
            healthy,
            ..Default::default()
        };
        let service = Service {
            network: "blue".into(),
            name: "web".into(),
            addresses: vec!["10.1.0.9".into()],
            ports: vec![ServicePort {
                protocol: "tcp".into(),
                port: 80,
                target_port: 8080,
                ..Default::default()
            }],
            group: "web".into(),
            status: vec![backend("blue/a", true), backend("blue/b", false)],
            ..Default::default()
        };
        Ok(Response::new(ListServicesResponse {
            services: vec![service],
            revision: 1,
        }))
    }

    async fn update_service(&self, request: Request<UpdateServiceRequest>) -> Answer<Service> {
        let request = request.into_inner();
        self.state().masks.push(request.update_mask.unwrap_or_default().paths);
        Ok(Response::new(request.service.unwrap()))
    }

    async fn delete_service(&self, _: Request<DeleteServiceRequest>) -> Answer<DeleteServiceResponse> {
        Ok(Response::new(DeleteServiceResponse { existed: true }))
    }

    async fn create_qos_profile(&self, request: Request<CreateQosProfileRequest>) -> Answer<QosProfile> {
        let it = request.into_inner().qos_profile.unwrap();
        self.state().wishes.push(format!("{it:?}"));
        Ok(Response::new(it))
    }

    async fn get_qos_profile(&self, _: Request<GetQosProfileRequest>) -> Answer<QosProfile> {
        Err(Status::unimplemented("get_qos_profile"))
    }

    async fn list_qos_profiles(&self, _: Request<ListQosProfilesRequest>) -> Answer<ListQosProfilesResponse> {
        Err(Status::unimplemented("list_qos_profiles"))
    }

    async fn update_qos_profile(&self, request: Request<UpdateQosProfileRequest>) -> Answer<QosProfile> {
        let request = request.into_inner();
        self.state().masks.push(request.update_mask.unwrap_or_default().paths);
        Ok(Response::new(request.qos_profile.unwrap()))
    }

    async fn delete_qos_profile(&self, _: Request<DeleteQosProfileRequest>) -> Answer<DeleteQosProfileResponse> {
        Ok(Response::new(DeleteQosProfileResponse { existed: true }))
    }

    async fn create_mirror(&self, request: Request<CreateMirrorRequest>) -> Answer<Mirror> {
        let it = request.into_inner().mirror.unwrap();
        self.state().wishes.push(format!("{it:?}"));
        Ok(Response::new(it))
    }

    async fn get_mirror(&self, _: Request<GetMirrorRequest>) -> Answer<Mirror> {
        Err(Status::unimplemented("get_mirror"))
    }

    async fn list_mirrors(&self, _: Request<ListMirrorsRequest>) -> Answer<ListMirrorsResponse> {
        Err(Status::unimplemented("list_mirrors"))
    }

    async fn update_mirror(&self, request: Request<UpdateMirrorRequest>) -> Answer<Mirror> {
        let request = request.into_inner();
        self.state().masks.push(request.update_mask.unwrap_or_default().paths);
        Ok(Response::new(request.mirror.unwrap()))
    }

    async fn delete_mirror(&self, _: Request<DeleteMirrorRequest>) -> Answer<DeleteMirrorResponse> {
        Ok(Response::new(DeleteMirrorResponse { existed: true }))
    }

    async fn trace(&self, request: Request<TraceRequest>) -> Answer<TraceResponse> {
        let request = request.into_inner();
        let delivered = request.from == "web-1";
        self.state().wishes.push(format!("{request:?}"));
        let step = |stage: &str, detail: &str, object: &str| TraceStep {
            stage: stage.into(),
            detail: detail.into(),
            object: object.into(),
        };
        Ok(Response::new(TraceResponse {
            hops: vec![TraceHop {
                node: "node1".into(),
                revision: 5,
                entered: "port blue/web-1".into(),
                steps: vec![
                    step("policy", "egress allowed by web/https (rule 3)", "policy 7"),
                    step("transmit", "out by blue/db", ""),
                ],
                ..Default::default()
            }],
            verdict: if delivered {
                "delivered to blue/db"
            } else {
                "dropped: no_route"
            }
            .into(),
            delivered,
        }))
    }

    type WatchFlowsStream = Iter<std::vec::IntoIter<Result<FlowEvent, Status>>>;

    async fn watch_flows(&self, request: Request<WatchFlowsRequest>) -> Answer<Self::WatchFlowsStream> {
        self.state().wishes.push(format!("{:?}", request.into_inner()));
        let event = FlowEvent {
            node: "node1".into(),
            r#type: "denied".into(),
            verdict: "deny".into(),
            source: "10.1.0.2".into(),
            source_endpoint: "blue/web-1".into(),
            ..Default::default()
        };
        Ok(Response::new(tokio_stream::iter(vec![Ok(event.clone()), Ok(event)])))
    }

    type CaptureStream = Iter<std::vec::IntoIter<Result<CaptureEvent, Status>>>;

    async fn capture(&self, request: Request<CaptureRequest>) -> Answer<Self::CaptureStream> {
        self.state().wishes.push(format!("{:?}", request.into_inner()));
        let packet = CapturedPacket {
            port: 3,
            point: captured_packet::Point::Transmitted.into(),
            length: 60,
            data: vec![0x11; 60],
            ..Default::default()
        };
        let packets = CapturedPackets { packets: vec![packet] };
        let event = CaptureEvent {
            event: Some(capture_event::Event::Packets(packets)),
        };
        Ok(Response::new(tokio_stream::iter(vec![Ok(event)])))
    }
}
