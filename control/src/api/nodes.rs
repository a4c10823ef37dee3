//! Nodes.

use tonic::{Request, Response, Status};
use vrouter_proto::control as pb;

use super::{
    service::{Answer, Service, missing, name},
    show, status,
};
use crate::{
    intent,
    model::{Invalid, Mask, NodeWish},
};

impl Service {
    pub(super) async fn do_create_node(&self, request: Request<pb::CreateNodeRequest>) -> Answer<pb::Node> {
        let wish = NodeWish::from_proto(request.into_inner().node).map_err(status::invalid)?;
        if wish.external && self.board.drives(&wish.name) {
            let message = format!("a dataplane is configured for {}, so it cannot be external", wish.name);
            return Err(status::invalid(Invalid::new("node.external", message)));
        }
        let made = self.transact(|t| intent::create_node(t, wish)).await?;
        Ok(Response::new(show::node(&self.store.state(), &self.board, &made)))
    }

    pub(super) async fn do_get_node(&self, request: Request<pb::GetNodeRequest>) -> Answer<pb::Node> {
        let name = name("name", &request.get_ref().name)?;
        let state = self.store.state();
        let found = state.node(&name).ok_or_else(|| missing("node", &name))?;
        Ok(Response::new(show::node(&state, &self.board, found)))
    }

    pub(super) async fn do_list_nodes(&self, _: Request<pb::ListNodesRequest>) -> Answer<pb::ListNodesResponse> {
        let state = self.store.state();
        let nodes = state.nodes().map(|n| show::node(&state, &self.board, n)).collect();
        Ok(Response::new(pb::ListNodesResponse {
            nodes,
            revision: state.revision(),
        }))
    }

    pub(super) async fn do_update_node(&self, request: Request<pb::UpdateNodeRequest>) -> Answer<pb::Node> {
        let request = request.into_inner();
        let mask = Mask::new(request.update_mask, NodeWish::FIELDS).map_err(status::invalid)?;
        let wish = NodeWish::from_proto(request.node).map_err(status::invalid)?;
        let made = self.transact(move |t| intent::update_node(t, wish, &mask)).await?;
        Ok(Response::new(show::node(&self.store.state(), &self.board, &made)))
    }

    pub(super) async fn do_delete_node(
        &self,
        request: Request<pb::DeleteNodeRequest>,
    ) -> Answer<pb::DeleteNodeResponse> {
        let name = name("name", &request.get_ref().name)?;
        if self.board.drives(&name) {
            let message = format!("name: a dataplane is configured for {name}; take it out of the configuration first");
            return Err(Status::failed_precondition(message));
        }
        let existed = self.transact(move |t| intent::delete_node(t, &name)).await?;
        Ok(Response::new(pb::DeleteNodeResponse { existed }))
    }
}
