//! What dataplanes tell of packets, joined over all nodes and with the names that only intent knows: traces, and flows as they come
//! and go. Reads the state and asks dataplanes; decides and changes nothing.

mod captures;
mod flows;
mod names;
mod trace;

use std::time::Duration;

use tonic::{Status, transport::Channel};
use vrouter_proto::dataplane::dataplane_client::DataplaneClient;

pub use captures::{Captured, capture};
pub use flows::{FlowWatch, watch_flows};
pub use trace::trace;

use crate::{
    model::{Endpoint, Name},
    reconcile::Board,
    state::State,
    transport::{self, Address},
};

/// How long a dataplane may take to let somebody in.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long a dataplane may take for one answer.
const ANSWER: Duration = Duration::from_secs(10);

/// A node that a dataplane is driven for.
fn node(board: &Board, text: &str) -> Result<Name, Status> {
    Name::new(text)
        .ok()
        .filter(|name| board.drives(name))
        .ok_or_else(|| Status::not_found(format!("node: no dataplane is driven for a node {text}")))
}

/// A connection of its own to the dataplane of a node: what is asked here must not wait behind programming.
async fn dataplane(board: &Board, node: &Name) -> Result<DataplaneClient<Channel>, String> {
    let Some((address, _)) = board.status(node) else {
        return Err(format!(
            "no dataplane is driven for node {node}; give --dataplane {node}=ADDRESS"
        ));
    };
    connect(&address).await
}

async fn connect(address: &Address) -> Result<DataplaneClient<Channel>, String> {
    match transport::connect(address, PATIENCE).await {
        Ok(channel) => Ok(DataplaneClient::new(channel)),
        Err(error) => Err(format!("{address} does not answer: {error}")),
    }
}

/// The endpoint that somebody means by "network/name", or by a name that only one network has.
fn endpoint_named<'a>(state: &'a State, field: &str, text: &str) -> Result<&'a Endpoint, Status> {
    if let Some((network, name)) = text.split_once('/') {
        let found = Name::new(network)
            .ok()
            .zip(Name::new(name).ok())
            .and_then(|(network, name)| state.endpoint(&network, &name));
        return match found {
            Some(endpoint) => Ok(endpoint),
            None => Err(Status::not_found(format!("{field}: there is no endpoint {text}"))),
        };
    }
    let mut named = state.endpoints().filter(|endpoint| endpoint.name.as_str() == text);
    match (named.next(), named.next()) {
        (Some(one), None) => Ok(one),
        (Some(one), Some(other)) => Err(Status::invalid_argument(format!(
            "{field}: several networks have an endpoint {text}; say {}/{text} or {}/{text}",
            one.network, other.network
        ))),
        (None, _) => Err(Status::not_found(format!("{field}: there is no endpoint {text}"))),
    }
}
