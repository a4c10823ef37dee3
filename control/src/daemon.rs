//! The process: opens the store, drives dataplanes, serves the API, and ends gracefully.

use std::{future::Future, io, os::unix::net::UnixDatagram};

use tokio::task::JoinSet;

use crate::{
    api::{ServeError, Server, Service},
    config::Config,
    reconcile::{Board, Driver, Timing},
    store::{Redb, Store, StoreError},
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
    if let Err(error) = notify_ready() {
        tracing::warn!(%error, "cannot tell the service manager that we are ready");
    }
    let served = Server::new(Service::new(store.clone(), board), listeners)
        .run(shutdown)
        .await;
    // Batches are applied whole or not at all, so drivers may stop anywhere.
    drivers.shutdown().await;
    store.close().await;
    served?;
    tracing::info!("stopped");
    Ok(())
}

/// Tells the service manager, where there is one, that the API answers.
fn notify_ready() -> io::Result<()> {
    use std::os::linux::net::SocketAddrExt as _;
    let Some(target) = std::env::var_os("NOTIFY_SOCKET") else {
        return Ok(());
    };
    let socket = UnixDatagram::unbound()?;
    let text = target.to_string_lossy();
    match text.strip_prefix('@') {
        Some(name) => {
            let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
            socket.send_to_addr(b"READY=1", &address)?;
        }
        None => {
            socket.send_to(b"READY=1", &target)?;
        }
    }
    Ok(())
}
