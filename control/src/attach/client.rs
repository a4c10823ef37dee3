//! A client of control that gives up in time.

use std::{future::Future, time::Duration};

use tonic::{
    Response, Status,
    transport::{Channel, Endpoint},
};
use vrouter_proto::control::{self as pb, control_client::ControlClient};

use super::Error;
use crate::transport::Address;

/// Largest message accepted, bytes: lists of many endpoints pass the library's 4 MiB.
const MESSAGE_LIMIT: usize = 64 << 20;

/// A client of control. Cheap to clone. It connects when it is first used, and again whenever the connection was lost.
#[derive(Debug, Clone)]
pub struct Client {
    address: Address,
    patience: Duration,
    api: ControlClient<Channel>,
}

impl Client {
    /// A client that waits at most `patience` for an answer, connecting included. Belongs to the tokio runtime that it is made in.
    ///
    /// # Errors
    /// The address cannot be one.
    pub fn new(address: Address, patience: Duration) -> Result<Self, Error> {
        let away = |error: tonic::transport::Error| Error::Away {
            address: address.clone(),
            reason: error.to_string(),
        };
        let channel = Endpoint::from_shared(address.to_string())
            .map_err(away)?
            .connect_timeout(patience)
            .tcp_nodelay(true)
            .connect_lazy();
        Ok(Self {
            api: ControlClient::new(channel).max_decoding_message_size(MESSAGE_LIMIT),
            address,
            patience,
        })
    }

    /// The same client with another patience.
    #[must_use]
    pub fn with_patience(&self, patience: Duration) -> Self {
        Self {
            patience,
            ..self.clone()
        }
    }

    /// Where control is.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Asks control anything: `client.call(async move |mut api| api.get_info(request).await)`.
    ///
    /// # Errors
    /// [`Error::Away`] when there is no answer in time, [`Error::Refused`] when the answer is no.
    pub async fn call<T, F>(&self, ask: impl FnOnce(ControlClient<Channel>) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        match tokio::time::timeout(self.patience, ask(self.api.clone())).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(Error::status(&self.address, &status)),
            Err(_) => Err(Error::Away {
                address: self.address.clone(),
                reason: format!("no answer within {} ms", self.patience.as_millis()),
            }),
        }
    }

    /// Turns "there is no such thing" into `None`.
    pub(super) fn found<T>(answer: Result<T, Error>) -> Result<Option<T>, Error> {
        match answer {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What control says of itself and of its dataplanes.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn info(&self) -> Result<pb::GetInfoResponse, Error> {
        self.call(async |mut api| api.get_info(pb::GetInfoRequest {}).await)
            .await
    }

    /// Makes sure that a node's dataplane is connected to control.
    ///
    /// # Errors
    /// As [`call`](Self::call); [`Error::NotProgrammed`] with why it is not.
    pub async fn node_ready(&self, node: &str) -> Result<(), Error> {
        let info = self.info().await?;
        let reason = match info.dataplanes.iter().find(|dataplane| dataplane.node == node) {
            Some(dataplane) if dataplane.connected => return Ok(()),
            Some(dataplane) if dataplane.error.is_empty() => "it is not connected".to_owned(),
            Some(dataplane) => dataplane.error.clone(),
            None => {
                let known: Vec<&str> = info
                    .dataplanes
                    .iter()
                    .map(|dataplane| dataplane.node.as_str())
                    .collect();
                format!(
                    "control knows no dataplane of that node; it knows: {}",
                    known.join(", ")
                )
            }
        };
        Err(Error::NotProgrammed {
            node: node.to_owned(),
            endpoint: "any".to_owned(),
            reason,
        })
    }

    /// A network.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn network(&self, name: &str) -> Result<Option<pb::Network>, Error> {
        let request = pb::GetNetworkRequest { name: name.to_owned() };
        Self::found(self.call(async |mut api| api.get_network(request).await).await)
    }

    /// The external network, if there is one.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn external_network(&self) -> Result<Option<pb::Network>, Error> {
        let request = pb::ListNetworksRequest {};
        let answer = self.call(async |mut api| api.list_networks(request).await).await?;
        Ok(answer.networks.into_iter().find(|network| network.external))
    }

    /// The subnets of a network.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn subnets(&self, network: &str) -> Result<Vec<pb::Subnet>, Error> {
        let network = network.to_owned();
        let request = pb::ListSubnetsRequest { network };
        let answer = self.call(async |mut api| api.list_subnets(request).await).await?;
        Ok(answer.subnets)
    }

    /// Makes a network with its subnets, or those of them that are absent. The names of the subnets are theirs in `subnets`.
    ///
    /// # Errors
    /// As [`call`](Self::call); ALREADY_EXISTS when they exist otherwise.
    pub async fn create_network(&self, network: pb::Network, subnets: Vec<pb::Subnet>) -> Result<pb::Network, Error> {
        let name = network.name.clone();
        let request = pb::CreateNetworkRequest { network: Some(network) };
        let made = self.call(async |mut api| api.create_network(request).await).await?;
        for mut subnet in subnets {
            subnet.network.clone_from(&name);
            let request = pb::CreateSubnetRequest { subnet: Some(subnet) };
            self.call(async |mut api| api.create_subnet(request).await).await?;
        }
        Ok(made)
    }
}
