//! Subnets.

use tonic::{Request, Response};
use vrouter_proto::control as pb;

use super::{
    service::{Answer, Service, missing, name},
    show, status,
};
use crate::{
    intent,
    model::{Mask, SubnetWish},
};

impl Service {
    pub(super) async fn do_create_subnet(&self, request: Request<pb::CreateSubnetRequest>) -> Answer<pb::Subnet> {
        let wish = SubnetWish::from_proto(request.into_inner().subnet).map_err(status::invalid)?;
        let made = self.transact(|t| intent::create_subnet(t, wish)).await?;
        Ok(Response::new(show::subnet(&self.store.state(), &made)))
    }

    pub(super) async fn do_get_subnet(&self, request: Request<pb::GetSubnetRequest>) -> Answer<pb::Subnet> {
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

    pub(super) async fn do_list_subnets(
        &self,
        request: Request<pb::ListSubnetsRequest>,
    ) -> Answer<pb::ListSubnetsResponse> {
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

    pub(super) async fn do_update_subnet(&self, request: Request<pb::UpdateSubnetRequest>) -> Answer<pb::Subnet> {
        let request = request.into_inner();
        let mask = Mask::new(request.update_mask, SubnetWish::FIELDS).map_err(status::invalid)?;
        let wish = SubnetWish::from_proto(request.subnet).map_err(status::invalid)?;
        let made = self.transact(move |t| intent::update_subnet(t, wish, &mask)).await?;
        Ok(Response::new(show::subnet(&self.store.state(), &made)))
    }

    pub(super) async fn do_delete_subnet(
        &self,
        request: Request<pb::DeleteSubnetRequest>,
    ) -> Answer<pb::DeleteSubnetResponse> {
        let (network, name) = (
            name("network", &request.get_ref().network)?,
            name("name", &request.get_ref().name)?,
        );
        let existed = self
            .transact(move |t| intent::delete_subnet(t, &network, &name))
            .await?;
        Ok(Response::new(pb::DeleteSubnetResponse { existed }))
    }
}
