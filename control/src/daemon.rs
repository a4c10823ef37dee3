//! The process: opens the store, drives dataplanes, serves the API, and ends gracefully.

use std::{future::Future, io, net::SocketAddr};

use tokio::task::JoinSet;

use crate::{
    api::{Metrics, ServeError, Server, Service, call_counts},
    config::Config,
    reconcile::{Board, Driver, Timing},
    store::{Redb, Store, StoreError},
    supervised,
    transport::{ListenError, Listener},
};

/// Why the daemon could not start, or ended early.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A listener.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The listener for metrics.
    #[error("cannot serve metrics on {address}: {source}")]
    Metrics {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The server.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// Runs until `shutdown` is done.
///
/// # Errors
/// [`DaemonError`]: it says what to do about it.
pub async fn run(config: Config, shutdown: impl Future<Output = ()>) -> Result<(), DaemonError> {
    let store = Store::start(Redb::open(&config.store)?)?;
    let mut listeners = Vec::with_capacity(config.listen.len());
    for address in &config.listen {
        listeners.push(Listener::bind(address).await?);
    }
    let metrics = match config.metrics {
        Some(address) => Some(
            vrouter_metrics::Server::bind(address)
                .await
                .map_err(|source| DaemonError::Metrics { address, source })?,
        ),
        None => None,
    };
    let board = Board::default();
    let mut drivers = JoinSet::new();
    for (node, address) in &config.dataplanes {
        let driver = Driver::new(
            node.clone(),
            address.clone(),
            store.clone(),
            board.clone(),
            Timing::default(),
        );
        drivers.spawn(driver.run());
    }
    tracing::info!(
        store = %config.store.display(),
        revision = store.state().revision(),
        listen = ?config.listen.iter().map(ToString::to_string).collect::<Vec<_>>(),
        dataplanes = config.dataplanes.len(),
        "ready"
    );
    let calls = call_counts();
    let metrics = metrics.map(|server| {
        let names = usize::try_from(config.metrics_max_names).unwrap_or(usize::MAX);
        let source = Metrics::new(store.clone(), board.clone(), calls.clone(), config.store.clone(), names);
        tokio::spawn(server.run(source))
    });
    let supervised = tokio::spawn(supervised::report(store.clone(), board.clone()));
    let shutdown = async {
        shutdown.await;
        supervised.abort();
        supervised::stopping();
    };
    let served = Server::new(Service::new(store.clone(), board), listeners)
        .counting(calls)
        .run(shutdown)
        .await;
    if let Some(metrics) = metrics {
        metrics.abort();
    }
    // Batches are applied whole or not at all, so drivers may stop anywhere.
    drivers.shutdown().await;
    store.close().await;
    served?;
    tracing::info!("stopped");
    Ok(())
}
