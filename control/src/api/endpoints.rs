//! Endpoints.

use tonic::{Request, Response};
use vrouter_proto::control as pb;

use super::{
    service::{Answer, Service, missing, name, optional},
    show, status,
};
use crate::{
    intent,
    model::{EndpointWish, Mask},
};

impl Service {
    pub(super) async fn do_create_endpoint(&self, request: Request<pb::CreateEndpointRequest>) -> Answer<pb::Endpoint> {
        let wish = EndpointWish::from_proto(request.into_inner().endpoint).map_err(status::invalid)?;
        let made = self.transact(|t| intent::create_endpoint(t, wish)).await?;
        Ok(Response::new(show::endpoint(&self.store.state(), &self.board, &made)))
    }

    pub(super) async fn do_get_endpoint(&self, request: Request<pb::GetEndpointRequest>) -> Answer<pb::Endpoint> {
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

    pub(super) async fn do_list_endpoints(
        &self,
        request: Request<pb::ListEndpointsRequest>,
    ) -> Answer<pb::ListEndpointsResponse> {
        let state = self.store.state();
        let network = optional("network", &request.get_ref().network)?;
        let node = optional("node", &request.get_ref().node)?;
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

    pub(super) async fn do_update_endpoint(&self, request: Request<pb::UpdateEndpointRequest>) -> Answer<pb::Endpoint> {
        let request = request.into_inner();
        let mask = Mask::new(request.update_mask, EndpointWish::FIELDS).map_err(status::invalid)?;
        let wish = EndpointWish::from_proto(request.endpoint).map_err(status::invalid)?;
        let made = self.transact(move |t| intent::update_endpoint(t, wish, &mask)).await?;
        Ok(Response::new(show::endpoint(&self.store.state(), &self.board, &made)))
    }

    pub(super) async fn do_delete_endpoint(
        &self,
        request: Request<pb::DeleteEndpointRequest>,
    ) -> Answer<pb::DeleteEndpointResponse> {
        let (network, name) = (
            name("network", &request.get_ref().network)?,
            name("name", &request.get_ref().name)?,
        );
        let existed = self
            .transact(move |t| intent::delete_endpoint(t, &network, &name))
            .await?;
        Ok(Response::new(pb::DeleteEndpointResponse { existed }))
    }
}
