//! Everything that is counted, as a page for Prometheus.
//!
//! Only what workers have written for themselves is read, as by every other reader: a scrape takes nothing from packets. Ports, VRFs, services and
//! translations have names in labels only up to a bound; the rest is one series, named [`OTHER`].

mod labels;
mod node;
mod ports;
mod workers;

use std::{sync::Arc, time::Duration};

use tokio::time;
use vrouter_metrics::{Format, Page, RpcMetrics, Source, process};

use super::{flow_export::ExportCounts, handle::Handle, view::View};

/// The name of all that has none of its own.
const OTHER: &str = "_other";

/// Ports (and VRFs, and so on) with labels of their own, when nothing else is said.
pub const DEFAULT_NAMED: usize = 1000;

/// How long the programming thread may take to say what there is. It may be busy with a big batch.
const PATIENCE: Duration = Duration::from_secs(10);

/// The page of all metrics.
#[derive(Debug)]
pub struct Metrics {
    handle: Handle,
    calls: RpcMetrics,
    /// Most series of one kind with names of their own.
    named: usize,
    export: Arc<ExportCounts>,
}

impl Metrics {
    /// Of the dataplane behind `handle`, whose API's calls are counted in `calls`, and records for collectors in `export`.
    pub fn new(handle: Handle, calls: RpcMetrics, named: usize, export: Arc<ExportCounts>) -> Self {
        Self {
            handle,
            calls,
            named,
            export,
        }
    }

    async fn view(&self) -> Result<View, String> {
        match time::timeout(PATIENCE, self.handle.view()).await {
            Ok(view) => view.map_err(|stopped| stopped.to_string()),
            Err(_) => Err("the programming thread does not answer".to_owned()),
        }
    }
}

impl Source for Metrics {
    async fn page(&self, format: Format) -> Result<String, String> {
        let view = self.view().await?;
        let (calls, handle, named) = (self.calls.clone(), self.handle.clone(), self.named);
        let export = self.export.clone();
        let made = tokio::task::spawn_blocking(move || {
            let mut page = Page::new(format);
            let statistics = view.statistics();
            node::put(&mut page, &view, &statistics);
            node::put_batches(&mut page, &handle.batches);
            node::put_export(&mut page, &export);
            ports::put(&mut page, &view, &statistics, named);
            workers::put(&mut page, &view, &statistics);
            calls.put(&mut page);
            process::put(&mut page);
            page.finish()
        });
        made.await.map_err(|error| error.to_string())
    }

    async fn ready(&self) -> Result<(), String> {
        self.view().await.map(drop)
    }
}
