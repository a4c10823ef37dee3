//! The RPCs, each handed to the room of its kind.

use std::pin::Pin;

use tokio_stream::Stream;
use tonic::{Request, Response, Status};
use vrouter_proto::control::{self as pb, control_server::Control};

use super::{show, status, watch};
use crate::{
    intent::{self, Refusal},
    model::{
        FloatingIpSpec, GroupSpec, Invalid, MirrorSpec, Name, Object, PolicySpec, Publication, QosProfileSpec,
        RouterSpec, ServiceSpec, Wish, Withdrawal,
    },
    reconcile::Board,
    sight,
    state::{Scoped, Transaction},
    store::Store,
};

/// The service. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Service {
    pub(super) store: Store,
    pub(super) board: Board,
}

pub(super) type Answer<T> = Result<Response<T>, Status>;

impl Service {
    /// Serves `store`, and shows what `board` tells of the dataplanes.
    #[must_use]
    pub fn new(store: Store, board: Board) -> Self {
        Self { store, board }
    }

    pub(super) async fn transact<T, F>(&self, work: F) -> Result<T, Status>
    where
        T: Send + 'static,
        F: FnOnce(&mut Transaction) -> Result<T, Refusal> + Send + 'static,
    {
        self.store.transact(work).await.map_err(status::of)
    }
}

pub(super) fn name(field: &str, text: &str) -> Result<Name, Status> {
    Name::new(text).map_err(|e| status::invalid(Invalid::new(field, e)))
}

/// A name that may be left empty.
pub(super) fn optional(field: &str, text: &str) -> Result<Option<Name>, Status> {
    if text.is_empty() {
        Ok(None)
    } else {
        name(field, text).map(Some)
    }
}

fn scoped(network: &str, text: &str) -> Result<Scoped, Status> {
    Ok((name("network", network)?, name("name", text)?))
}

pub(super) fn missing(kind: &str, what: impl std::fmt::Display) -> Status {
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
        self.do_create_network(request).await
    }

    async fn get_network(&self, request: Request<pb::GetNetworkRequest>) -> Answer<pb::Network> {
        self.do_get_network(request).await
    }

    async fn list_networks(&self, request: Request<pb::ListNetworksRequest>) -> Answer<pb::ListNetworksResponse> {
        self.do_list_networks(request).await
    }

    async fn update_network(&self, request: Request<pb::UpdateNetworkRequest>) -> Answer<pb::Network> {
        self.do_update_network(request).await
    }

    async fn delete_network(&self, request: Request<pb::DeleteNetworkRequest>) -> Answer<pb::DeleteNetworkResponse> {
        self.do_delete_network(request).await
    }

    async fn create_subnet(&self, request: Request<pb::CreateSubnetRequest>) -> Answer<pb::Subnet> {
        self.do_create_subnet(request).await
    }

    async fn get_subnet(&self, request: Request<pb::GetSubnetRequest>) -> Answer<pb::Subnet> {
        self.do_get_subnet(request).await
    }

    async fn list_subnets(&self, request: Request<pb::ListSubnetsRequest>) -> Answer<pb::ListSubnetsResponse> {
        self.do_list_subnets(request).await
    }

    async fn update_subnet(&self, request: Request<pb::UpdateSubnetRequest>) -> Answer<pb::Subnet> {
        self.do_update_subnet(request).await
    }

    async fn delete_subnet(&self, request: Request<pb::DeleteSubnetRequest>) -> Answer<pb::DeleteSubnetResponse> {
        self.do_delete_subnet(request).await
    }

    async fn create_endpoint(&self, request: Request<pb::CreateEndpointRequest>) -> Answer<pb::Endpoint> {
        self.do_create_endpoint(request).await
    }

    async fn get_endpoint(&self, request: Request<pb::GetEndpointRequest>) -> Answer<pb::Endpoint> {
        self.do_get_endpoint(request).await
    }

    async fn list_endpoints(&self, request: Request<pb::ListEndpointsRequest>) -> Answer<pb::ListEndpointsResponse> {
        self.do_list_endpoints(request).await
    }

    async fn update_endpoint(&self, request: Request<pb::UpdateEndpointRequest>) -> Answer<pb::Endpoint> {
        self.do_update_endpoint(request).await
    }

    async fn delete_endpoint(&self, request: Request<pb::DeleteEndpointRequest>) -> Answer<pb::DeleteEndpointResponse> {
        self.do_delete_endpoint(request).await
    }

    async fn create_node(&self, request: Request<pb::CreateNodeRequest>) -> Answer<pb::Node> {
        self.do_create_node(request).await
    }

    async fn get_node(&self, request: Request<pb::GetNodeRequest>) -> Answer<pb::Node> {
        self.do_get_node(request).await
    }

    async fn list_nodes(&self, request: Request<pb::ListNodesRequest>) -> Answer<pb::ListNodesResponse> {
        self.do_list_nodes(request).await
    }

    async fn update_node(&self, request: Request<pb::UpdateNodeRequest>) -> Answer<pb::Node> {
        self.do_update_node(request).await
    }

    async fn delete_node(&self, request: Request<pb::DeleteNodeRequest>) -> Answer<pb::DeleteNodeResponse> {
        self.do_delete_node(request).await
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
        let now = std::time::SystemTime::now();
        report.findings.extend(crate::reservation::findings(&newest, now));
        report.findings.extend(self.board.audit().await);
        Ok(Response::new(pb::AuditResponse {
            findings: report.findings,
            addresses_allocated: report.addresses,
            endpoints: report.endpoints,
            groups: report.counts.groups,
            policies: report.counts.policies,
            routers: report.counts.routers,
            floating_ips: report.counts.floating_ips,
            services: report.counts.services,
            qos_profiles: report.counts.qos_profiles,
            mirrors: report.counts.mirrors,
        }))
    }

    async fn create_group(&self, request: Request<pb::CreateGroupRequest>) -> Answer<pb::Group> {
        self.do_create_group(request.into_inner()).await
    }

    async fn get_group(&self, request: Request<pb::GetGroupRequest>) -> Answer<pb::Group> {
        self.get::<GroupSpec>(&name("name", &request.get_ref().name)?)
    }

    async fn list_groups(&self, _: Request<pb::ListGroupsRequest>) -> Answer<pb::ListGroupsResponse> {
        let (groups, revision) = self.list::<GroupSpec>(|_| true);
        Ok(Response::new(pb::ListGroupsResponse { groups, revision }))
    }

    async fn update_group(&self, request: Request<pb::UpdateGroupRequest>) -> Answer<pb::Group> {
        self.do_update_group(request.into_inner()).await
    }

    async fn delete_group(&self, request: Request<pb::DeleteGroupRequest>) -> Answer<pb::DeleteGroupResponse> {
        let existed = self.delete::<GroupSpec>(name("name", &request.get_ref().name)?).await?;
        Ok(Response::new(pb::DeleteGroupResponse { existed }))
    }

    async fn create_policy(&self, request: Request<pb::CreatePolicyRequest>) -> Answer<pb::Policy> {
        self.create(Wish::<PolicySpec>::from_proto(request.into_inner().policy))
            .await
    }

    async fn get_policy(&self, request: Request<pb::GetPolicyRequest>) -> Answer<pb::Policy> {
        self.get::<PolicySpec>(&name("name", &request.get_ref().name)?)
    }

    async fn list_policies(&self, _: Request<pb::ListPoliciesRequest>) -> Answer<pb::ListPoliciesResponse> {
        let (policies, revision) = self.list::<PolicySpec>(|_| true);
        Ok(Response::new(pb::ListPoliciesResponse { policies, revision }))
    }

    async fn update_policy(&self, request: Request<pb::UpdatePolicyRequest>) -> Answer<pb::Policy> {
        let request = request.into_inner();
        let wish = Wish::<PolicySpec>::from_proto(request.policy);
        self.update(wish, request.update_mask).await
    }

    async fn delete_policy(&self, request: Request<pb::DeletePolicyRequest>) -> Answer<pb::DeletePolicyResponse> {
        let existed = self
            .delete::<PolicySpec>(name("name", &request.get_ref().name)?)
            .await?;
        Ok(Response::new(pb::DeletePolicyResponse { existed }))
    }

    async fn create_router(&self, request: Request<pb::CreateRouterRequest>) -> Answer<pb::Router> {
        self.create(Wish::<RouterSpec>::from_proto(request.into_inner().router))
            .await
    }

    async fn get_router(&self, request: Request<pb::GetRouterRequest>) -> Answer<pb::Router> {
        self.get::<RouterSpec>(&name("name", &request.get_ref().name)?)
    }

    async fn list_routers(&self, _: Request<pb::ListRoutersRequest>) -> Answer<pb::ListRoutersResponse> {
        let (routers, revision) = self.list::<RouterSpec>(|_| true);
        Ok(Response::new(pb::ListRoutersResponse { routers, revision }))
    }

    async fn update_router(&self, request: Request<pb::UpdateRouterRequest>) -> Answer<pb::Router> {
        let request = request.into_inner();
        let wish = Wish::<RouterSpec>::from_proto(request.router);
        self.update(wish, request.update_mask).await
    }

    async fn delete_router(&self, request: Request<pb::DeleteRouterRequest>) -> Answer<pb::DeleteRouterResponse> {
        let existed = self
            .delete::<RouterSpec>(name("name", &request.get_ref().name)?)
            .await?;
        Ok(Response::new(pb::DeleteRouterResponse { existed }))
    }

    async fn create_floating_ip(&self, request: Request<pb::CreateFloatingIpRequest>) -> Answer<pb::FloatingIp> {
        self.create(Wish::<FloatingIpSpec>::from_proto(request.into_inner().floating_ip))
            .await
    }

    async fn get_floating_ip(&self, request: Request<pb::GetFloatingIpRequest>) -> Answer<pb::FloatingIp> {
        self.get::<FloatingIpSpec>(&name("name", &request.get_ref().name)?)
    }

    async fn list_floating_ips(&self, _: Request<pb::ListFloatingIpsRequest>) -> Answer<pb::ListFloatingIpsResponse> {
        let (floating_ips, revision) = self.list::<FloatingIpSpec>(|_| true);
        Ok(Response::new(pb::ListFloatingIpsResponse { floating_ips, revision }))
    }

    async fn update_floating_ip(&self, request: Request<pb::UpdateFloatingIpRequest>) -> Answer<pb::FloatingIp> {
        let request = request.into_inner();
        let wish = Wish::<FloatingIpSpec>::from_proto(request.floating_ip);
        self.update(wish, request.update_mask).await
    }

    async fn delete_floating_ip(
        &self,
        request: Request<pb::DeleteFloatingIpRequest>,
    ) -> Answer<pb::DeleteFloatingIpResponse> {
        let existed = self
            .delete::<FloatingIpSpec>(name("name", &request.get_ref().name)?)
            .await?;
        Ok(Response::new(pb::DeleteFloatingIpResponse { existed }))
    }

    async fn publish_ports(&self, request: Request<pb::PublishPortsRequest>) -> Answer<pb::FloatingIp> {
        let publication = Publication::from_proto(request.into_inner().floating_ip).map_err(status::invalid)?;
        let made = self.transact(|t| intent::publish_ports(t, publication)).await?;
        Ok(self.shown(&made))
    }

    async fn withdraw_ports(&self, request: Request<pb::WithdrawPortsRequest>) -> Answer<pb::WithdrawPortsResponse> {
        let withdrawal = Withdrawal::from_proto(&request.into_inner()).map_err(status::invalid)?;
        let withdrawn = self.transact(move |t| intent::withdraw_ports(t, &withdrawal)).await?;
        Ok(Response::new(pb::WithdrawPortsResponse { withdrawn }))
    }

    async fn create_service(&self, request: Request<pb::CreateServiceRequest>) -> Answer<pb::Service> {
        self.create(Wish::<ServiceSpec>::from_proto(request.into_inner().service))
            .await
    }

    async fn get_service(&self, request: Request<pb::GetServiceRequest>) -> Answer<pb::Service> {
        self.get::<ServiceSpec>(&scoped(&request.get_ref().network, &request.get_ref().name)?)
    }

    async fn list_services(&self, request: Request<pb::ListServicesRequest>) -> Answer<pb::ListServicesResponse> {
        let network = optional("network", &request.get_ref().network)?;
        let of = |service: &Object<ServiceSpec>| network.as_ref().is_none_or(|n| service.spec.network == *n);
        let (services, revision) = self.list::<ServiceSpec>(of);
        Ok(Response::new(pb::ListServicesResponse { services, revision }))
    }

    async fn update_service(&self, request: Request<pb::UpdateServiceRequest>) -> Answer<pb::Service> {
        let request = request.into_inner();
        let wish = Wish::<ServiceSpec>::from_proto(request.service);
        self.update(wish, request.update_mask).await
    }

    async fn delete_service(&self, request: Request<pb::DeleteServiceRequest>) -> Answer<pb::DeleteServiceResponse> {
        let existed = self
            .delete::<ServiceSpec>(scoped(&request.get_ref().network, &request.get_ref().name)?)
            .await?;
        Ok(Response::new(pb::DeleteServiceResponse { existed }))
    }

    async fn create_qos_profile(&self, request: Request<pb::CreateQosProfileRequest>) -> Answer<pb::QosProfile> {
        self.create(Wish::<QosProfileSpec>::from_proto(request.into_inner().qos_profile))
            .await
    }

    async fn get_qos_profile(&self, request: Request<pb::GetQosProfileRequest>) -> Answer<pb::QosProfile> {
        self.get::<QosProfileSpec>(&name("name", &request.get_ref().name)?)
    }

    async fn list_qos_profiles(&self, _: Request<pb::ListQosProfilesRequest>) -> Answer<pb::ListQosProfilesResponse> {
        let (qos_profiles, revision) = self.list::<QosProfileSpec>(|_| true);
        Ok(Response::new(pb::ListQosProfilesResponse { qos_profiles, revision }))
    }

    async fn update_qos_profile(&self, request: Request<pb::UpdateQosProfileRequest>) -> Answer<pb::QosProfile> {
        let request = request.into_inner();
        let wish = Wish::<QosProfileSpec>::from_proto(request.qos_profile);
        self.update(wish, request.update_mask).await
    }

    async fn delete_qos_profile(
        &self,
        request: Request<pb::DeleteQosProfileRequest>,
    ) -> Answer<pb::DeleteQosProfileResponse> {
        let existed = self
            .delete::<QosProfileSpec>(name("name", &request.get_ref().name)?)
            .await?;
        Ok(Response::new(pb::DeleteQosProfileResponse { existed }))
    }

    async fn create_mirror(&self, request: Request<pb::CreateMirrorRequest>) -> Answer<pb::Mirror> {
        self.create(Wish::<MirrorSpec>::from_proto(request.into_inner().mirror))
            .await
    }

    async fn get_mirror(&self, request: Request<pb::GetMirrorRequest>) -> Answer<pb::Mirror> {
        self.get::<MirrorSpec>(&name("name", &request.get_ref().name)?)
    }

    async fn list_mirrors(&self, _: Request<pb::ListMirrorsRequest>) -> Answer<pb::ListMirrorsResponse> {
        let (mirrors, revision) = self.list::<MirrorSpec>(|_| true);
        Ok(Response::new(pb::ListMirrorsResponse { mirrors, revision }))
    }

    async fn update_mirror(&self, request: Request<pb::UpdateMirrorRequest>) -> Answer<pb::Mirror> {
        let request = request.into_inner();
        let wish = Wish::<MirrorSpec>::from_proto(request.mirror);
        self.update(wish, request.update_mask).await
    }

    async fn delete_mirror(&self, request: Request<pb::DeleteMirrorRequest>) -> Answer<pb::DeleteMirrorResponse> {
        let existed = self
            .delete::<MirrorSpec>(name("name", &request.get_ref().name)?)
            .await?;
        Ok(Response::new(pb::DeleteMirrorResponse { existed }))
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

    type CaptureStream = sight::Captured;

    async fn capture(&self, request: Request<pb::CaptureRequest>) -> Answer<Self::CaptureStream> {
        let stream = sight::capture(&self.store, &self.board, request.into_inner()).await?;
        Ok(Response::new(stream))
    }
}
