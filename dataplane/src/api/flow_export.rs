//! Tells collectors of flows, as IPFIX over UDP: each flow when it ends, and those that last from time to time.
//!
//! Ends come from the same ring that watchers of flows hear; flows that last are found by going through the table, now and then, on a thread that has time.
//! Workers do nothing for this but what they do for any watcher. What is beyond the budget is not told, and counted.

use std::{
    collections::HashMap,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::pin,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::Deserialize;
use tokio::{net::UdpSocket, sync::broadcast::error::RecvError, time};
use tracing::{info, warn};

use super::{
    flow_watch::{FlowFeed, Told},
    handle::Handle,
    view::View,
};
use crate::{
    program::Dumped,
    telemetry::{
        self, Ledger, Which,
        ipfix::{Exporter, ExporterRecord, FlowRecord, NameRecord},
    },
};

/// How often templates and names are told again. Collectors begin anew, and UDP loses messages.
const REFRESH: Duration = Duration::from_secs(30);

/// How often what waits is sent, and names are looked up anew.
const TICK: Duration = Duration::from_millis(250);

/// Records that are sent at once, without waiting for the next tick.
const AT_ONCE: u32 = 64;

/// Names told in one go, at most.
const NAMES: usize = 4096;

/// A collector: `udp:192.0.2.9:4739`, or without `udp:`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Collector(pub SocketAddr);

impl FromStr for Collector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let address = text.strip_prefix("udp:").unwrap_or(text).parse();
        address.map(Self).map_err(|_| {
            format!("{text:?} is no collector; write one like udp:192.0.2.9:4739 or udp:[2001:db8::9]:4739")
        })
    }
}

impl TryFrom<String> for Collector {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// What is told, and to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportSettings {
    /// Each gets everything.
    pub collectors: Vec<Collector>,
    /// Observation domain: tells exporters of one address apart.
    pub domain: u32,
    /// A flow that lasts is told of this often.
    pub active: Duration,
    /// One of so many flows is told of.
    pub one_of: u32,
    /// Records per second at most.
    pub rate: u32,
}

/// What became of records.
#[derive(Debug, Default)]
pub struct ExportCounts {
    /// Sent.
    pub(super) records: AtomicU64,
    /// Messages sent, to each collector.
    pub(super) messages: AtomicU64,
    /// Not sent: beyond the budget.
    pub(super) over_budget: AtomicU64,
    /// Not sent: ends of flows that came faster than they were read.
    pub(super) lost: AtomicU64,
    /// Messages that the system did not take.
    pub(super) refused: AtomicU64,
}

fn count(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

/// An exporter about to run.
#[derive(Debug)]
pub struct FlowExport {
    settings: ExportSettings,
    sockets: Vec<UdpSocket>,
    exporter: Exporter,
    counts: Arc<ExportCounts>,
    ledger: Ledger,
    /// Records that may still be sent in this second.
    budget: u32,
    /// Records since the last sending.
    waiting: u32,
}

/// Milliseconds since 1970.
fn wall() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl FlowExport {
    /// Opens a socket for each collector, in the host's network stack.
    ///
    /// # Errors
    /// The system's.
    pub async fn open(settings: ExportSettings, counts: Arc<ExportCounts>) -> io::Result<Self> {
        let mut sockets = Vec::new();
        for Collector(address) in &settings.collectors {
            let any: SocketAddr = if address.is_ipv4() {
                (Ipv4Addr::UNSPECIFIED, 0).into()
            } else {
                (Ipv6Addr::UNSPECIFIED, 0).into()
            };
            let socket = UdpSocket::bind(any).await?;
            socket.connect(address).await?;
            info!(%address, "telling a collector of flows");
            sockets.push(socket);
        }
        Ok(Self {
            exporter: Exporter::new(settings.domain),
            sockets,
            counts,
            ledger: Ledger::default(),
            budget: settings.rate,
            waiting: 0,
            settings,
        })
    }

    /// Runs until the programming thread has ended, or this is dropped; or until `end`, and then tells what is left to tell.
    pub async fn run(mut self, handle: Handle, feed: FlowFeed, end: impl Future<Output = ()>) {
        let Ok(mut view) = handle.view().await else { return };
        let mut told = feed.subscribe(&view);
        // When the workers' clock was zero.
        let mut since = wall().saturating_sub(view.now / 1_000_000);
        // A flow is told of late by at most a quarter.
        let walk_every = (self.settings.active / 4).max(Duration::from_secs(1));
        let active = u64::try_from(self.settings.active.as_millis()).unwrap_or(u64::MAX);
        let (mut walk_at, mut refresh_at, mut second) = (time::Instant::now(), time::Instant::now(), 0_u32);
        let mut ticks = time::interval(TICK);
        ticks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        let mut end = pin!(end);
        loop {
            tokio::select! {
                () = &mut end => {
                    // No second after this one: all that it may hold is for the flows that last.
                    self.budget = self.settings.rate;
                    if let Ok(fresh) = handle.view().await {
                        self.walk(&fresh, Which::Rest).await;
                    }
                    return self.send().await;
                }
                next = told.recv() => match next {
                    Ok(Told::Event(event)) => {
                        let records = telemetry::ended(view.snapshot.tables(), &event, &mut self.ledger, since);
                        records.into_iter().flatten().for_each(|record| self.put(&record));
                    }
                    Ok(Told::Lost(more)) | Err(RecvError::Lagged(more)) => count(&self.counts.lost, more),
                    Err(RecvError::Closed) => return,
                },
                _ = ticks.tick() => {
                    match handle.view().await {
                        Ok(fresh) => {
                            view = fresh;
                            since = wall().saturating_sub(view.now / 1_000_000);
                        }
                        Err(_) => return,
                    }
                    second += 1;
                    if TICK * second >= Duration::from_secs(1) {
                        (second, self.budget) = (0, self.settings.rate);
                    }
                    let now = time::Instant::now();
                    if now >= refresh_at {
                        refresh_at = now + REFRESH;
                        self.refresh(&view);
                    }
                    if now >= walk_at {
                        walk_at = now + walk_every;
                        self.walk(&view, Which::Due(active)).await;
                    }
                    self.send().await;
                }
            }
            if self.waiting >= AT_ONCE {
                self.send().await;
            }
        }
    }

    /// Adds a record, if its flow is one of those told of, and the budget allows it.
    fn put(&mut self, record: &FlowRecord) {
        if self.settings.one_of > 1 && !record.flow.is_multiple_of(self.settings.one_of.into()) {
            return;
        }
        match self.budget.checked_sub(1) {
            Some(left) => {
                self.budget = left;
                self.exporter.flow(record);
                self.waiting += 1;
                count(&self.counts.records, 1);
            }
            None => count(&self.counts.over_budget, 1),
        }
    }

    /// Tells of the flows that last.
    async fn walk(&mut self, view: &View, which: Which) {
        let (view, mut ledger) = (view.clone(), std::mem::take(&mut self.ledger));
        let walked = tokio::task::spawn_blocking(move || {
            let now = view.now / 1_000_000;
            let mut records = Vec::new();
            telemetry::walk(
                &view.sources.shared.flows,
                view.snapshot.tables(),
                &mut ledger,
                which,
                now,
                wall().saturating_sub(now),
                |record| records.push(record),
            );
            (ledger, records)
        });
        match walked.await {
            Ok((ledger, records)) => {
                self.ledger = ledger;
                for record in records {
                    self.put(&record);
                    if self.waiting >= AT_ONCE {
                        self.send().await;
                    }
                }
            }
            Err(error) => warn!(%error, "flows that last could not be looked through"),
        }
    }

    /// Templates, what the exporter says of itself, and names.
    fn refresh(&mut self, view: &View) {
        self.exporter.templates();
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        self.exporter.exporter(&ExporterRecord {
            messages: load(&self.counts.messages) / (self.sockets.len() as u64).max(1),
            records: load(&self.counts.records),
            not_sent: load(&self.counts.over_budget) + load(&self.counts.lost),
            one_of: self.settings.one_of,
        });
        let mut names: HashMap<(bool, u32), NameRecord> = HashMap::new();
        for object in view.snapshot.ports().chain(view.snapshot.vrfs()).take(NAMES) {
            let name = match object {
                Dumped::Port { spec, .. } => NameRecord::Interface(spec.id, spec.name.to_string()),
                Dumped::Vrf(spec) => NameRecord::Vrf(spec.id, spec.name.to_string()),
                _ => continue,
            };
            let (NameRecord::Interface(id, _) | NameRecord::Vrf(id, _)) = &name;
            names.insert((matches!(name, NameRecord::Vrf(..)), *id), name);
        }
        // Those of one kind together, so that they share a set.
        let mut names: Vec<_> = names.into_iter().collect();
        names.sort_by_key(|(key, _)| *key);
        names.iter().for_each(|(_, name)| self.exporter.name(name));
    }

    /// Sends what waits to every collector. One that does not listen is no reason to stop.
    async fn send(&mut self) {
        self.waiting = 0;
        let now = u32::try_from(wall() / 1000).unwrap_or(u32::MAX);
        for message in self.exporter.take(now) {
            for socket in &self.sockets {
                match socket.send(&message).await {
                    Ok(_) => count(&self.counts.messages, 1),
                    Err(_) => count(&self.counts.refused, 1),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collectors_are_written_with_or_without_their_protocol() {
        for text in ["udp:192.0.2.9:4739", "192.0.2.9:4739", "udp:[2001:db8::9]:4739"] {
            let Collector(address) = text.parse().unwrap();
            assert_eq!(address.port(), 4739, "{text}");
        }
        for text in ["tcp:192.0.2.9:4739", "192.0.2.9", "udp:collector:4739", ""] {
            assert!(
                text.parse::<Collector>().unwrap_err().contains("udp:192.0.2.9:4739"),
                "{text}"
            );
        }
    }
}
