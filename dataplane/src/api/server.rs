//! The gRPC server: the service, health and reflection on every listener.

use std::{future::Future, io, time::Duration};

use tokio::{sync::watch, task::JoinSet};
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tonic::{service::Routes, transport};
use vrouter_metrics::RpcMetrics;
use vrouter_proto::dataplane::dataplane_server::DataplaneServer;

use super::{
    flow_watch::FlowFeed,
    handle::Handle,
    listen::Listener,
    service::{MAX_MESSAGE, Service},
};

/// How long requests may take to finish when the server stops.
const GRACE: Duration = Duration::from_secs(1);

/// How long a client may be silent before it is asked whether it is there, and may then take to answer. One whose machine died
/// is noticed.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// Bytes that a client may send ahead: of one stream, and in all. What the library has by default makes big batches wait for
/// round trips.
const WINDOWS: (u32, u32) = (4 << 20, 16 << 20);

/// Why serving ended early.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Reflection cannot be set up.
    #[error("the API cannot describe itself")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// A listener failed.
    #[error("the API cannot be served")]
    Transport(#[from] transport::Error),
    /// A listener's task failed.
    #[error("the API cannot be served")]
    Task(#[source] io::Error),
}

/// A server about to run.
#[derive(Debug)]
pub struct Server {
    handle: Handle,
    listeners: Vec<Listener>,
    calls: RpcMetrics,
    flows: FlowFeed,
}

/// Counts the calls of the API.
pub fn call_counts() -> RpcMetrics {
    RpcMetrics::new(vrouter_proto::DESCRIPTORS, &["vrouter.dataplane.v1.Dataplane"])
}

impl Server {
    /// Serves what `handle` leads to on all of `listeners`.
    pub fn new(handle: Handle, listeners: Vec<Listener>) -> Self {
        Self {
            handle,
            listeners,
            calls: call_counts(),
            flows: FlowFeed::default(),
        }
    }

    /// Shares what workers tell of flows with others.
    #[must_use]
    pub fn hearing(self, flows: FlowFeed) -> Self {
        Self { flows, ..self }
    }

    /// Counts calls there.
    #[must_use]
    pub fn counting(self, calls: RpcMetrics) -> Self {
        Self { calls, ..self }
    }

    /// Serves until `shutdown` is done; then ends streams that would go on for ever, and gives requests a moment to finish.
    ///
    /// # Errors
    /// [`ServeError`].
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
        let (stop, stopping) = watch::channel(false);
        let service = Service::new(self.handle, self.flows, stopping.clone());
        let (health, health_service) = tonic_health::server::health_reporter();
        health.set_serving::<DataplaneServer<Service>>().await;
        let describe = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(vrouter_proto::DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let mut routes = Routes::builder();
        routes
            .add_service(DataplaneServer::new(service).max_decoding_message_size(MAX_MESSAGE))
            .add_service(health_service)
            .add_service(describe().build_v1()?)
            .add_service(describe().build_v1alpha()?);
        let routes = routes.routes();

        let mut tasks: JoinSet<Result<(), transport::Error>> = JoinSet::new();
        for listener in self.listeners {
            let mut stopping = stopping.clone();
            let stop = async move {
                // The sender going away means the same.
                let _ = stopping.wait_for(|stopping| *stopping).await;
            };
            tasks.spawn(serve(listener, routes.clone(), self.calls.clone(), stop));
        }
        tokio::pin!(shutdown);
        let mut result = Ok(());
        tokio::select! {
            () = &mut shutdown => {}
            Some(ended) = tasks.join_next() => result = flatten(ended),
        }
        health.set_not_serving::<DataplaneServer<Service>>().await;
        stop.send_replace(true);
        let rest = async {
            while let Some(ended) = tasks.join_next().await {
                flatten(ended)?;
            }
            Ok(())
        };
        match tokio::time::timeout(GRACE, rest).await {
            Ok(ended) => result.and(ended),
            Err(_) => result,
        }
    }
}

async fn serve(
    listener: Listener,
    routes: Routes,
    calls: RpcMetrics,
    stop: impl Future<Output = ()>,
) -> Result<(), transport::Error> {
    let server = transport::Server::builder()
        .layer(calls)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
        .initial_stream_window_size(WINDOWS.0)
        .initial_connection_window_size(WINDOWS.1)
        .add_routes(routes);
    match listener {
        Listener::Tcp(listener) => {
            let incoming = TcpListenerStream::new(listener);
            server.serve_with_incoming_shutdown(incoming, stop).await
        }
        Listener::Unix(listener, file) => {
            let incoming = UnixListenerStream::new(listener);
            let result = server.serve_with_incoming_shutdown(incoming, stop).await;
            drop(file);
            result
        }
    }
}

fn flatten(ended: Result<Result<(), transport::Error>, tokio::task::JoinError>) -> Result<(), ServeError> {
    ended
        .map_err(|e| ServeError::Task(io::Error::other(e)))?
        .map_err(ServeError::Transport)
}
