//! Endpoints of containers: made, placed, waited for and deleted, each step such that doing it again changes nothing.

use std::{collections::HashMap, time::Duration};

use tokio::time::{Instant, sleep};
use vrouter_proto::control as pb;

use super::{Client, Error};

/// The first pause between two looks at whether an endpoint is programmed, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

impl Client {
    /// An endpoint.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn endpoint(&self, network: &str, name: &str) -> Result<Option<pb::Endpoint>, Error> {
        let request = pb::GetEndpointRequest {
            network: network.to_owned(),
            name: name.to_owned(),
        };
        Self::found(self.call(async |mut api| api.get_endpoint(request).await).await)
    }

    /// The endpoints of a network (empty: all) on a node (empty: all) that have all of these labels.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn endpoints(
        &self,
        network: &str,
        node: &str,
        labels: HashMap<String, String>,
    ) -> Result<Vec<pb::Endpoint>, Error> {
        let request = pb::ListEndpointsRequest {
            network: network.to_owned(),
            node: node.to_owned(),
            labels,
        };
        let answer = self.call(async |mut api| api.list_endpoints(request).await).await?;
        Ok(answer.endpoints)
    }

    /// Makes an endpoint, together with the QoS profile that it names if that comes along and is absent. Leave `interface` empty until there is a
    /// link, then [`place`](Self::place) it: a dataplane that is told of a link too early tries again only after a while.
    ///
    /// What exists and agrees with the wish is returned as it is, placed or not.
    ///
    /// # Errors
    /// As [`call`](Self::call); ALREADY_EXISTS when it exists with another wish.
    pub async fn create_endpoint(
        &self,
        endpoint: pb::Endpoint,
        profile: Option<pb::QosProfile>,
    ) -> Result<pb::Endpoint, Error> {
        let create = async |wish: pb::Endpoint| {
            let request = pb::CreateEndpointRequest {
                endpoint: Some(wish),
                qos_profile: profile.clone(),
            };
            self.call(async |mut api| api.create_endpoint(request).await).await
        };
        match create(endpoint.clone()).await {
            Err(error) if error.is_taken() && endpoint.interface.is_empty() => {
                // Perhaps it differs only in being placed.
                match self.endpoint(&endpoint.network, &endpoint.name).await? {
                    Some(existing) if !existing.interface.is_empty() => {
                        let interface = existing.interface;
                        create(pb::Endpoint { interface, ..endpoint }).await
                    }
                    _ => Err(error),
                }
            }
            answer => answer,
        }
    }

    /// Says where an endpoint is: on which node, behind which interface of it. Empty interface: nowhere, its addresses are kept.
    ///
    /// # Errors
    /// As [`call`](Self::call); NOT_FOUND when it does not exist.
    pub async fn place(&self, network: &str, name: &str, node: &str, interface: &str) -> Result<pb::Endpoint, Error> {
        let request = pb::UpdateEndpointRequest {
            endpoint: Some(pb::Endpoint {
                network: network.to_owned(),
                name: name.to_owned(),
                node: node.to_owned(),
                interface: interface.to_owned(),
                ..Default::default()
            }),
            update_mask: Some(prost_types::FieldMask {
                paths: vec!["node".to_owned(), "interface".to_owned()],
            }),
        };
        self.call(async |mut api| api.update_endpoint(request).await).await
    }

    /// Waits until the dataplane of its node has an endpoint, for at most `patience`.
    ///
    /// # Errors
    /// As [`call`](Self::call); [`Error::NotProgrammed`] when it does not have it in time; NOT_FOUND when it is deleted meanwhile.
    pub async fn wait_programmed(&self, network: &str, name: &str, patience: Duration) -> Result<pb::Endpoint, Error> {
        let end = Instant::now() + patience;
        let mut pause = FIRST_PAUSE;
        loop {
            let request = pb::GetEndpointRequest {
                network: network.to_owned(),
                name: name.to_owned(),
            };
            let endpoint = self.call(async |mut api| api.get_endpoint(request).await).await?;
            if endpoint.programmed {
                return Ok(endpoint);
            }
            if Instant::now() + pause > end {
                let reason = if endpoint.error.is_empty() {
                    let what = "it is not programmed there";
                    format!("{what} after {} ms; is the dataplane connected?", patience.as_millis())
                } else {
                    endpoint.error
                };
                return Err(Error::NotProgrammed {
                    node: endpoint.node,
                    endpoint: format!("{network}/{name}"),
                    reason,
                });
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Deletes an endpoint, with its published ports and its own QoS profile; whether it was there.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn delete_endpoint(&self, network: &str, name: &str) -> Result<bool, Error> {
        let request = pb::DeleteEndpointRequest {
            network: network.to_owned(),
            name: name.to_owned(),
        };
        let answer = Self::found(self.call(async |mut api| api.delete_endpoint(request).await).await)?;
        Ok(answer.is_some_and(|answer| answer.existed))
    }
}
