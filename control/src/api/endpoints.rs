//! Endpoints.

use std::sync::Arc;

use tonic::{Request, Response};
use vrouter_proto::control as pb;

use super::{
    service::{Answer, Service, missing, name, optional},
    show, status,
};
use crate::{
    intent,
    model::{Endpoint, EndpointWish, Mask, QosProfileSpec, Wish},
};

impl Service {
    pub(super) async fn do_create_endpoint(&self, request: Request<pb::CreateEndpointRequest>) -> Answer<pb::Endpoint> {
        let request = request.into_inner();
        let wish = EndpointWish::from_proto(request.endpoint).map_err(status::invalid)?;
        let profile = match request.qos_profile {
            None => None,
            profile => Some(Wish::<QosProfileSpec>::from_proto(profile).map_err(status::invalid)?),
        };
        let made = self
            .transact(|t| intent::create_endpoint_with(t, wish, profile))
            .await?;
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
        let labels = &request.get_ref().labels;
        let asked = |e: &&Arc<Endpoint>| {
            network.as_ref().is_none_or(|network| e.network == *network)
                && node.as_ref().is_none_or(|node| e.node.as_ref() == Some(node))
                && labels.iter().all(|(key, value)| e.labels.get(key) == Some(value))
        };
        let show = |e: &Arc<Endpoint>| show::endpoint(&state, &self.board, e);
        // By the index that leaves the fewest; the rest is filtered.
        let endpoints = if let Some((key, value)) = labels.iter().next() {
            state.labelled(key, value).filter(asked).map(show).collect()
        } else if let Some(node) = &node {
            state.endpoints_on(node).filter(asked).map(show).collect()
        } else if let Some(network) = &network {
            state.endpoints_of(network).map(show).collect()
        } else {
            state.endpoints().map(show).collect()
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
