//! The connection to vrouter-control: every call has a deadline, and is repeated while control is away.
//!
//! Repeating is safe: creating is idempotent by name, deleting what is gone succeeds.

use std::{future::Future, time::Duration};

use anyhow::{Context as _, Result};
use tonic::{
    Code, Request, Response, Status,
    transport::{Channel, Endpoint},
};
use vrouter_proto::control::control_client::ControlClient;

/// How long one attempt may take.
const DEADLINE: Duration = Duration::from_secs(5);
/// How long a call is repeated.
const PATIENCE: Duration = Duration::from_secs(60);

/// A client that connects when it is needed, and again after control was away.
#[derive(Clone, Debug)]
pub(crate) struct Control(ControlClient<Channel>);

impl Control {
    /// `unix:/path` or `http://host:port`. Nothing is connected yet.
    pub(crate) fn new(address: &str) -> Result<Self> {
        let endpoint = Endpoint::from_shared(address.to_owned())
            .with_context(|| format!("{address}: unix:/path or http://host:port would be right"))?
            .connect_timeout(DEADLINE);
        Ok(Self(ControlClient::new(endpoint.connect_lazy())))
    }

    /// For streams, which have no deadline.
    pub(crate) fn client(&self) -> ControlClient<Channel> {
        self.0.clone()
    }

    /// Calls an RPC until there is an answer that another attempt would not change.
    pub(crate) async fn call<Q, A, F>(
        &self,
        request: Q,
        rpc: impl Fn(ControlClient<Channel>, Request<Q>) -> F,
    ) -> Result<A, Status>
    where
        Q: Clone,
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let started = std::time::Instant::now();
        let mut pause = Duration::from_millis(50);
        loop {
            let mut attempt = Request::new(request.clone());
            attempt.set_timeout(DEADLINE);
            let status = match rpc(self.client(), attempt).await {
                Ok(answer) => return Ok(answer.into_inner()),
                Err(status) => status,
            };
            let again = matches!(
                status.code(),
                Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown
            );
            if !again || started.elapsed() > PATIENCE {
                return Err(status);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }
}
