//! The gRPC server: the service, health and reflection on every listener.

use std::{future::Future, io};

use tokio::{sync::watch, task::JoinSet};
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tonic::{service::Routes, transport};
use vrouter_metrics::RpcMetrics;
use vrouter_proto::control::control_server::ControlServer;

use super::Service;
use crate::transport::Listener;

/// Why serving ended early.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Reflection cannot be set up.
    #[error("reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// A listener failed.
    #[error("serving: {0}")]
    Transport(#[from] transport::Error),
    /// A listener's task failed.
    #[error("serving: {0}")]
    Task(#[source] io::Error),
}

/// A server about to run.
#[derive(Debug)]
pub struct Server {
    service: Service,
    listeners: Vec<Listener>,
    calls: RpcMetrics,
}

/// Counts the calls of the API.
#[must_use]
pub fn call_counts() -> RpcMetrics {
    RpcMetrics::new(vrouter_proto::DESCRIPTORS, &["vrouter.control.v1.Control"])
}

impl Server {
    /// Serves on all of `listeners`.
    #[must_use]
    pub fn new(service: Service, listeners: Vec<Listener>) -> Self {
        Self {
            service,
            listeners,
            calls: call_counts(),
        }
    }

    /// Counts calls there.
    #[must_use]
    pub fn counting(self, calls: RpcMetrics) -> Self {
        Self { calls, ..self }
    }

    /// Serves until `shutdown` is done; then ends streams and answers what was asked.
    ///
    /// # Errors
    /// [`ServeError`].
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
        let (health, health_service) = tonic_health::server::health_reporter();
        health.set_serving::<ControlServer<Service>>().await;
        // Older clients (Python's, among others) ask for v1alpha.
        let describe = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(vrouter_proto::DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let mut routes = Routes::builder();
        routes
            .add_service(ControlServer::new(self.service))
            .add_service(health_service)
            .add_service(describe().build_v1()?)
            .add_service(describe().build_v1alpha()?);
        let routes = routes.routes();

        let (stop, stopped) = watch::channel(false);
        let mut tasks: JoinSet<Result<(), transport::Error>> = JoinSet::new();
        for listener in self.listeners {
            let mut stopped = stopped.clone();
            let server = transport::Server::builder()
                .layer(self.calls.clone())
                .add_routes(routes.clone());
            tasks.spawn(async move {
                let stop = async move {
                    // The sender going away means the same.
                    let _ = stopped.wait_for(|stop| *stop).await;
                };
                match listener {
                    Listener::Tcp(listener) => {
                        server
                            .serve_with_incoming_shutdown(TcpListenerStream::new(listener), stop)
                            .await
                    }
                    Listener::Unix(listener, file) => {
                        let result = server
                            .serve_with_incoming_shutdown(UnixListenerStream::new(listener), stop)
                            .await;
                        drop(file);
                        result
                    }
                }
            });
        }
        tokio::pin!(shutdown);
        let mut result = Ok(());
        tokio::select! {
            () = &mut shutdown => {}
            Some(ended) = tasks.join_next() => result = flatten(ended),
        }
        stop.send_replace(true);
        // Watch streams never end by themselves: after a moment for the rest, they are cut.
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

/// How long requests may take to finish at shutdown.
const GRACE: std::time::Duration = std::time::Duration::from_secs(1);

fn flatten(ended: Result<Result<(), transport::Error>, tokio::task::JoinError>) -> Result<(), ServeError> {
    ended
        .map_err(|e| ServeError::Task(io::Error::other(e)))?
        .map_err(ServeError::Transport)
}
