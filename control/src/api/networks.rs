//! Networks.

use tonic::{Request, Response};
use vrouter_proto::control as pb;

use super::{
    service::{Answer, Service, missing, name},
    show, status,
};
use crate::{
    intent,
    model::{Mask, NetworkWish},
};

impl Service {
    pub(super) async fn do_create_network(&self, request: Request<pb::CreateNetworkRequest>) -> Answer<pb::Network> {
        let wish = NetworkWish::from_proto(request.into_inner().network).map_err(status::invalid)?;
        let made = self.transact(|t| intent::create_network(t, wish)).await?;
        Ok(Response::new(show::network(&made)))
    }

    pub(super) async fn do_get_network(&self, request: Request<pb::GetNetworkRequest>) -> Answer<pb::Network> {
        let name = name("name", &request.get_ref().name)?;
        let state = self.store.state();
        let found = state.network(&name).ok_or_else(|| missing("network", &name))?;
        Ok(Response::new(show::network(found)))
    }

    pub(super) async fn do_list_networks(
        &self,
        _: Request<pb::ListNetworksRequest>,
    ) -> Answer<pb::ListNetworksResponse> {
        let state = self.store.state();
        let networks = state.networks().map(|n| show::network(n)).collect();
        Ok(Response::new(pb::ListNetworksResponse {
            networks,
            revision: state.revision(),
        }))
    }

    pub(super) async fn do_update_network(&self, request: Request<pb::UpdateNetworkRequest>) -> Answer<pb::Network> {
        let request = request.into_inner();
        let mask = Mask::new(request.update_mask, NetworkWish::FIELDS).map_err(status::invalid)?;
        let wish = NetworkWish::from_proto(request.network).map_err(status::invalid)?;
        let made = self.transact(move |t| intent::update_network(t, wish, &mask)).await?;
        Ok(Response::new(show::network(&made)))
    }

    pub(super) async fn do_delete_network(
        &self,
        request: Request<pb::DeleteNetworkRequest>,
    ) -> Answer<pb::DeleteNetworkResponse> {
        let name = name("name", &request.get_ref().name)?;
        let existed = self.transact(move |t| intent::delete_network(t, &name)).await?;
        Ok(Response::new(pb::DeleteNetworkResponse { existed }))
    }
}
