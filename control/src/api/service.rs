//! The RPCs.

use std::pin::Pin;

use tokio_stream::Stream;
use tonic::{Request, Response, Status};
use vrouter_proto::control::{self as pb, control_server::Control};

use super::{show, status, watch};
use crate::{
    intent::{self, Refusal},
    model::{EndpointWish, Invalid, Mask, Name, NetworkWish, NodeWish, SubnetWish},
    reconcile::Board,
    sight,
    state::Transaction,
    store::Store,
};

/// The service. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Service {
    store: Store,
    board: Board,
}

type Answer<T> = Result<Response<T>, Status>;

impl Service {
    /// Serves `store`, and shows what `board` tells of the dataplanes.
    #[must_use]
    pub fn new(store: Store, board: Board) -> Self {
        Self { store, board }
    }

    async fn transact<T, F>(&self, work: F) -> Result<T, Status>
    where
        T: Send + 'static,
        F: FnOnce(&mut Transaction) -> Result<T, Refusal> + Send + 'static,
    {
        self.store.transact(work).await.map_err(status::of)
    }
}

fn name(field: &str, text: &str) -> Result<Name, Status> {
    Name::new(text).map_err(|e| status::invalid(Invalid::new(field, e)))
}

fn missing(kind: &str, what: impl std::fmt::Display) -> Status {
    Status::not_found(format!("name: there is no {kind} {what}"))
}

#[tonic::async_trait]
impl Control for Service {
    async fn get_info(&self, _: Request<pb::GetInfoRequest>) -> Answer<pb::GetInfoResponse> {
        let dataplanes = self
            .board
            .nodes()
            .iter()
            .filter_map(|node| show::dataplane(&self.board, node))
            .collect();
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Ok(Response::new(pb::GetInfoResponse {
            version,
            revision: self.store.state().revision(),
            dataplanes,
        }))
    }

    async fn create_network(&self, request: Request<pb::CreateNetworkRequest>) -> Answer<pb::Network> {
        let wish = NetworkWish::from_proto(request.into_inner().network).map_err(status::invalid)?;
        let made = self.transact(|t| intent::create_network(t, wish)).await?;
        Ok(Response::new(show::network(&made)))
    }

    async fn get_network(&self, request: Request<pb::GetNetworkRequest>) -> Answer<pb::Network> {
        let name = name("name", &request.get_ref().name)?;
        let state = self.store.state();
        let found = state.network(&name).ok_or_else(|| missing("network", &name))?;
        Ok(Response::new(show::network(found)))
    }

    async fn list_networks(&self, _: Request<pb::ListNetworksRequest>) -> Answer<pb::ListNetworksResponse> {
        let state = self.store.state();
        let networks = state.networks().map(|n| show::network(n)).collect();
        Ok(Response::new(pb::ListNetworksResponse {
            networks,
            revision: state.revision(),
        }))
    }

    async fn update_network(&self, request: Request<pb::UpdateNetworkRequest>) -> Answer<pb::Network> {
        let request = request.into_inner();
        let mask = Mask::new(request.update_mask, NetworkWish::FIELDS).map_err(status::invalid)?;
        let wish = NetworkWish::from_proto(request.network).map_err(status::invalid)?;
        let made = self.transact(move |t| intent::update_network(t, wish, &mask)).await?;
        Ok(Response::new(show::network(&made)))
    }

    async fn delete_network(&self, request: Request<pb::DeleteNetworkRequest>) -> Answer<pb::DeleteNetworkResponse> {
        let name = name("name", &request.get_ref().name)?;
        let existed = self.transact(move |t| intent::delete_network(t, &name)).await?;
        Ok(Response::new(pb::DeleteNetworkResponse { existed }))
    }

    async fn create_subnet(&self, request: Request<pb::CreateSubnetRequest>) -> Answer<pb::Subnet> {
        let wish = SubnetWish::from_proto(request.into_inner().subnet).map_err(status::invalid)?;
        let made = self.transact(|t| intent::create_subnet(t, wish)).await?;
        Ok(Response::new(show::subnet(&self.store.state(), &made)))
    }

    async fn get_subnet(&self, request: Request<pb::GetSubnetRequest>) -> Answer<pb::Subnet> {
        let (network, name) = (
            name("network", &request.get_ref().network)?,
            name("name", &request.get_ref().name)?,
        );
        let state = self.store.state();
        let found = state
            .subnet(&network, &name)
            .ok_or_else(|| missing("subnet", format!("{name} in network {network}")))?;
        Ok(Response::new(show::subnet(&state, found)))
    }

    async fn list_subnets(&self, request: Request<pb::ListSubnetsRequest>) -> Answer<pb::ListSubnetsResponse> {
        let state = self.store.state();
        let network = &request.get_ref().network;
        let subnets = if network.is_empty() {
            state.subnets().map(|s| show::subnet(&state, s)).collect()
        } else {
            let network = name("network", network)?;
            state.subnets_of(&network).map(|s| show::subnet(&state, s)).collect()
        };
        Ok(Response::new(pb::ListSubnetsResponse {
            subnets,
            revision: state.revision(),
        }))
    }

    async fn update_subnet(&self, request: Request<pb::UpdateSubnetRequest>) -> Answer<pb::Subnet> {
        let request = request.into_inner();
        let mask = Mask::new(request.update_mask, SubnetWish::FIELDS).map_err(status::invalid)?;
        let wish = SubnetWish::from_proto(request.subnet).map_err(status::invalid)?;
        let made = self.transact(move |t| intent::update_subnet(t, wish, &mask)).await?;
        Ok(Response::new(show::subnet(&self.store.state(), &made)))
    }

    async fn delete_subnet(&self, request: Request<pb::DeleteSubnetRequest>) -> Answer<pb::DeleteSubnetResponse> {
        let (network, name) = (
            name("network", &request.get_ref().network)?,
            name("name", &request.get_ref().name)?,
        );
        let existed = self
            .transact(move |t| intent::delete_subnet(t, &network, &name))
            .await?;
        Ok(Response::new(pb::DeleteSubnetResponse { existed }))
    }

    async fn create_endpoint(&self, request: Request<pb::CreateEndpointRequest>) -> Answer<pb::Endpoint> {
        let wish = EndpointWish::from_proto(request.into_inner().endpoint).map_err(status::invalid)?;
        let made = self.transact(|t| intent::create_endpoint(t, wish)).await?;
        Ok(Response::new(show::endpoint(&self.store.state(), &self.board, &made)))
    }

    async fn get_endpoint(&self, request: Request<pb::GetEndpointRequest>) -> Answer<pb::Endpoint> {
        let (network, name) = (
            name("network", &request.get_ref().network)?,
            name("name", &request.get_ref().name)?,
        );
        let state = self.store.state();
        let found = state
            .endpoint(&network, &name)
            .ok_or_else(|| missing("endpoint", format!("{name} in network {network}")))?;
        Ok(Response::new(show::endpoint(&state, &self.board, found)))
    }

    async fn list_endpoints(&self, request: Request<pb::ListEndpointsRequest>) -> Answer<pb::ListEndpointsResponse> {
        let state = self.store.state();
        let of = |field: &str, text: &str| {
            if text.is_empty() {
                Ok(None)
            } else {
                name(field, text).map(Some)
            }
        };
        let network = of("network", &request.get_ref().network)?;
        let node = of("node", &request.get_ref().node)?;
        let show = |e: &std::sync::Arc<crate::model::Endpoint>| show::endpoint(&state, &self.board, e);
        let endpoints = match (&network, &node) {
            (None, None) => state.endpoints().map(show).collect(),
            (Some(network), None) => state.endpoints_of(network).map(show).collect(),
            (None, Some(node)) => state.endpoints_on(node).map(show).collect(),
            (Some(network), Some(node)) => state
                .endpoints_on(node)
                .filter(|e| e.network == *network)
                .map(show)
                .collect(),
        };
        Ok(Response::new(pb::ListEndpointsResponse {
            endpoints,
            revision: state.revision(),
        }))
    }

    async fn update_endpoint(&self, request: Request<pb::UpdateEndpointRequest>) -> Answer<pb::Endpoint> {
        let request = request.into_inner();
        let mask = Mask::new(request.update_mask, EndpointWish::FIELDS).map_err(status::invalid)?;
        let wish = EndpointWish::from_proto(request.endpoint).map_err(status::invalid)?;
        let made = self.transact(move |t| intent::update_endpoint(t, wish, &mask)).await?;
        Ok(Response::new(show::endpoint(&self.store.state(), &self.board, &made)))
    }

    async fn delete_endpoint(&self, request: Request<pb::DeleteEndpointRequest>) -> Answer<pb::DeleteEndpointResponse> {
        let (network, name) = (
            name("network", &request.get_ref().network)?,
            name("name", &request.get_ref().name)?,
        );
        let existed = self
            .transact(move |t| intent::delete_endpoint(t, &network, &name))
            .await?;
        Ok(Response::new(pb::DeleteEndpointResponse { existed }))
    }

    async fn create_node(&self, request: Request<pb::CreateNodeRequest>) -> Answer<pb::Node> {
        let wish = NodeWish::from_proto(request.into_inner().node).map_err(status::invalid)?;
        if wish.external && self.board.drives(&wish.name) {
            let message = format!("a dataplane is configured for {}, so it cannot be external", wish.name);
            return Err(status::invalid(Invalid::new("node.external", message)));
        }
        let made = self.transact(|t| intent::create_node(t, wish)).await?;
        Ok(Response::new(show::node(&self.store.state(), &self.board, &made)))
    }

    async fn get_node(&self, request: Request<pb::GetNodeRequest>) -> Answer<pb::Node> {
        let name = name("name", &request.get_ref().name)?;
        let state = self.store.state();
        let found = state.node(&name).ok_or_else(|| missing("node", &name))?;
        Ok(Response::new(show::node(&state, &self.board, found)))
    }

    async fn list_nodes(&self, _: Request<pb::ListNodesRequest>) -> Answer<pb::ListNodesResponse> {
        let state = self.store.state();
        let nodes = state.nodes().map(|n| show::node(&state, &self.board, n)).collect();
        Ok(Response::new(pb::ListNodesResponse {
            nodes,
            revision: state.revision(),
        }))
    }

    async fn update_node(&self, request: Request<pb::UpdateNodeRequest>) -> Answer<pb::Node> {
        let request = request.into_inner();
        let mask = Mask::new(request.update_mask, NodeWish::FIELDS).map_err(status::invalid)?;
        let wish = NodeWish::from_proto(request.node).map_err(status::invalid)?;
        let made = self.transact(move |t| intent::update_node(t, wish, &mask)).await?;
        Ok(Response::new(show::node(&self.store.state(), &self.board, &made)))
    }

    async fn delete_node(&self, request: Request<pb::DeleteNodeRequest>) -> Answer<pb::DeleteNodeResponse> {
        let name = name("name", &request.get_ref().name)?;
        if self.board.drives(&name) {
            let message = format!("name: a dataplane is configured for {name}; take it out of the configuration first");
            return Err(Status::failed_precondition(message));
        }
        let existed = self.transact(move |t| intent::delete_node(t, &name)).await?;
        Ok(Response::new(pb::DeleteNodeResponse { existed }))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<pb::WatchEvent, Status>> + Send>>;

    async fn watch(&self, request: Request<pb::WatchRequest>) -> Answer<Self::WatchStream> {
        let kinds = watch::Kinds::from_proto(&request.get_ref().kinds).map_err(status::invalid)?;
        Ok(Response::new(Box::pin(watch::stream(
            &self.store,
            self.board.clone(),
            kinds,
        ))))
    }

    async fn audit(&self, _: Request<pb::AuditRequest>) -> Answer<pb::AuditResponse> {
        let state = self.store.state();
        let mut report = intent::audit(&state);
        // What is stored may be newer than the state just taken, never older.
        let stored = self.store.reload().await.map_err(status::store)?;
        let newest = self.store.state();
        if stored.revision == newest.revision() {
            let mut stored = stored.records;
            let mut known: Vec<_> = newest.records().collect();
            stored.sort_by_cached_key(crate::state::Record::key);
            known.sort_by_cached_key(crate::state::Record::key);
            if stored != known {
                report
                    .findings
                    .push("what is stored differs from what is in memory; restart vrouter-control".to_owned());
            }
        }
        report.findings.extend(self.board.audit().await);
        Ok(Response::new(pb::AuditResponse {
            findings: report.findings,
            addresses_allocated: report.addresses,
            endpoints: report.endpoints,
        }))
    }

    async fn create_group(&self, _: Request<pb::CreateGroupRequest>) -> Answer<pb::Group> {
        Err(Status::unimplemented("create_group"))
    }

    async fn get_group(&self, _: Request<pb::GetGroupRequest>) -> Answer<pb::Group> {
        Err(Status::unimplemented("get_group"))
    }

    async fn list_groups(&self, _: Request<pb::ListGroupsRequest>) -> Answer<pb::ListGroupsResponse> {
        Err(Status::unimplemented("list_groups"))
    }

    async fn update_group(&self, _: Request<pb::UpdateGroupRequest>) -> Answer<pb::Group> {
        Err(Status::unimplemented("update_group"))
    }

    async fn delete_group(&self, _: Request<pb::DeleteGroupRequest>) -> Answer<pb::DeleteGroupResponse> {
        Err(Status::unimplemented("delete_group"))
    }

    async fn create_policy(&self, _: Request<pb::CreatePolicyRequest>) -> Answer<pb::Policy> {
        Err(Status::unimplemented("create_policy"))
    }

    async fn get_policy(&self, _: Request<pb::GetPolicyRequest>) -> Answer<pb::Policy> {
        Err(Status::unimplemented("get_policy"))
    }

    async fn list_policies(&self, _: Request<pb::ListPoliciesRequest>) -> Answer<pb::ListPoliciesResponse> {
        Err(Status::unimplemented("list_policies"))
    }

    async fn update_policy(&self, _: Request<pb::UpdatePolicyRequest>) -> Answer<pb::Policy> {
        Err(Status::unimplemented("update_policy"))
    }

    async fn delete_policy(&self, _: Request<pb::DeletePolicyRequest>) -> Answer<pb::DeletePolicyResponse> {
        Err(Status::unimplemented("delete_policy"))
    }

    async fn create_router(&self, _: Request<pb::CreateRouterRequest>) -> Answer<pb::Router> {
        Err(Status::unimplemented("create_router"))
    }

    async fn get_router(&self, _: Request<pb::GetRouterRequest>) -> Answer<pb::Router> {
        Err(Status::unimplemented("get_router"))
    }

    async fn list_routers(&self, _: Request<pb::ListRoutersRequest>) -> Answer<pb::ListRoutersResponse> {
        Err(Status::unimplemented("list_routers"))
    }

    async fn update_router(&self, _: Request<pb::UpdateRouterRequest>) -> Answer<pb::Router> {
        Err(Status::unimplemented("update_router"))
    }

    async fn delete_router(&self, _: Request<pb::DeleteRouterRequest>) -> Answer<pb::DeleteRouterResponse> {
        Err(Status::unimplemented("delete_router"))
    }

    async fn create_floating_ip(&self, _: Request<pb::CreateFloatingIpRequest>) -> Answer<pb::FloatingIp> {
        Err(Status::unimplemented("create_floating_ip"))
    }

    async fn get_floating_ip(&self, _: Request<pb::GetFloatingIpRequest>) -> Answer<pb::FloatingIp> {
        Err(Status::unimplemented("get_floating_ip"))
    }

    async fn list_floating_ips(&self, _: Request<pb::ListFloatingIpsRequest>) -> Answer<pb::ListFloatingIpsResponse> {
        Err(Status::unimplemented("list_floating_ips"))
    }

    async fn update_floating_ip(&self, _: Request<pb::UpdateFloatingIpRequest>) -> Answer<pb::FloatingIp> {
        Err(Status::unimplemented("update_floating_ip"))
    }

    async fn delete_floating_ip(
        &self,
        _: Request<pb::DeleteFloatingIpRequest>,
    ) -> Answer<pb::DeleteFloatingIpResponse> {
        Err(Status::unimplemented("delete_floating_ip"))
    }

    async fn create_service(&self, _: Request<pb::CreateServiceRequest>) -> Answer<pb::Service> {
        Err(Status::unimplemented("create_service"))
    }

    async fn get_service(&self, _: Request<pb::GetServiceRequest>) -> Answer<pb::Service> {
        Err(Status::unimplemented("get_service"))
    }

    async fn list_services(&self, _: Request<pb::ListServicesRequest>) -> Answer<pb::ListServicesResponse> {
        Err(Status::unimplemented("list_services"))
    }

    async fn update_service(&self, _: Request<pb::UpdateServiceRequest>) -> Answer<pb::Service> {
        Err(Status::unimplemented("update_service"))
    }

    async fn delete_service(&self, _: Request<pb::DeleteServiceRequest>) -> Answer<pb::DeleteServiceResponse> {
        Err(Status::unimplemented("delete_service"))
    }

    async fn create_qos_profile(&self, _: Request<pb::CreateQosProfileRequest>) -> Answer<pb::QosProfile> {
        Err(Status::unimplemented("create_qos_profile"))
    }

    async fn get_qos_profile(&self, _: Request<pb::GetQosProfileRequest>) -> Answer<pb::QosProfile> {
        Err(Status::unimplemented("get_qos_profile"))
    }

    async fn list_qos_profiles(&self, _: Request<pb::ListQosProfilesRequest>) -> Answer<pb::ListQosProfilesResponse> {
        Err(Status::unimplemented("list_qos_profiles"))
    }

    async fn update_qos_profile(&self, _: Request<pb::UpdateQosProfileRequest>) -> Answer<pb::QosProfile> {
        Err(Status::unimplemented("update_qos_profile"))
    }

    async fn delete_qos_profile(
        &self,
        _: Request<pb::DeleteQosProfileRequest>,
    ) -> Answer<pb::DeleteQosProfileResponse> {
        Err(Status::unimplemented("delete_qos_profile"))
    }

    async fn create_mirror(&self, _: Request<pb::CreateMirrorRequest>) -> Answer<pb::Mirror> {
        Err(Status::unimplemented("create_mirror"))
    }

    async fn get_mirror(&self, _: Request<pb::GetMirrorRequest>) -> Answer<pb::Mirror> {
        Err(Status::unimplemented("get_mirror"))
    }

    async fn list_mirrors(&self, _: Request<pb::ListMirrorsRequest>) -> Answer<pb::ListMirrorsResponse> {
        Err(Status::unimplemented("list_mirrors"))
    }

    async fn update_mirror(&self, _: Request<pb::UpdateMirrorRequest>) -> Answer<pb::Mirror> {
        Err(Status::unimplemented("update_mirror"))
    }

    async fn delete_mirror(&self, _: Request<pb::DeleteMirrorRequest>) -> Answer<pb::DeleteMirrorResponse> {
        Err(Status::unimplemented("delete_mirror"))
    }

    async fn trace(&self, request: Request<pb::TraceRequest>) -> Answer<pb::TraceResponse> {
        let answer = sight::trace(&self.store.state(), &self.board, request.into_inner()).await?;
        Ok(Response::new(answer))
    }

    type WatchFlowsStream = sight::FlowWatch;

    async fn watch_flows(&self, request: Request<pb::WatchFlowsRequest>) -> Answer<Self::WatchFlowsStream> {
        let stream = sight::watch_flows(&self.store, &self.board, request.into_inner())?;
        Ok(Response::new(stream))
    }
}
