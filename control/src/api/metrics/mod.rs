//! What control knows and does, as a page for Prometheus.
//!
//! Nodes, subnets and services have names in labels only up to a bound; of the rest only sums are told.

mod dataplanes;
mod objects;
mod store;

use std::{path::PathBuf, time::Duration};

use tokio::time;
use vrouter_metrics::{Format, Page, RpcMetrics, Source, process};

use crate::{
    reconcile::Board,
    store::{Store, StoreError},
};

/// The name of all that has none of its own.
const OTHER: &str = "_other";

/// Nodes (and subnets, and services) with labels of their own, when nothing else is said.
pub const DEFAULT_NAMED: u32 = 1000;

/// How long the store's writer may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The page of all metrics.
#[derive(Debug)]
pub struct Metrics {
    store: Store,
    board: Board,
    calls: RpcMetrics,
    /// The store's file.
    path: PathBuf,
    /// Most series of one kind with names of their own.
    named: usize,
}

impl Metrics {
    /// Of a control with this store (in this file) and board, whose API's calls are counted in `calls`.
    #[must_use]
    pub fn new(store: Store, board: Board, calls: RpcMetrics, path: PathBuf, named: usize) -> Self {
        Self {
            store,
            board,
            calls,
            path,
            named,
        }
    }
}

impl Source for Metrics {
    async fn page(&self, format: Format) -> Result<String, String> {
        let (store, board, calls) = (self.store.clone(), self.board.clone(), self.calls.clone());
        let (path, named) = (self.path.clone(), self.named);
        let made = tokio::task::spawn_blocking(move || {
            let mut page = Page::new(format);
            let state = store.state();
            page.info("vrouter_control_build", "What this vrouter-control is.").put(
                &[("version", env!("CARGO_PKG_VERSION")), ("program", "vrouter-control")],
                1_u64,
            );
            store::put(&mut page, &store, &path);
            objects::put(&mut page, &state, &board, named);
            dataplanes::put(&mut page, &state, &board, named);
            calls.put(&mut page);
            process::put(&mut page);
            page.finish()
        });
        made.await.map_err(|error| error.to_string())
    }

    /// That the store could be written.
    async fn ready(&self) -> Result<(), String> {
        let nothing = self.store.transact(|_| Ok::<_, StoreError>(()));
        match time::timeout(PATIENCE, nothing).await {
            Ok(done) => done.map_err(|error| error.to_string()),
            Err(_) => Err("the store does not answer".to_owned()),
        }
    }
}
