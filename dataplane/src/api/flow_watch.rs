//! Those who watch flows. One task empties the workers' ring while anybody watches, and hands each event to all; each watcher's stream
//! picks what it asked for. Whoever is too slow loses events and is told how many.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::sync::{
    broadcast::{self, error::RecvError},
    mpsc,
};
use tokio_stream::wrappers::ReceiverStream;
use vrouter_proto::dataplane as pb;

use super::{
    convert,
    handle::{Handle, Stopped},
    outlet::Answers,
    service::Stopping,
    view::View,
};
use crate::{
    pipeline::{FlowEvent, Shared},
    telemetry::{self, FlowFilter},
};

/// How often the ring is emptied. Between two times it holds some thousand events.
const INTERVAL: Duration = Duration::from_millis(10);

/// Events that a slow watcher may be behind.
const BEHIND: usize = 16_384;

/// Events written ahead of a client.
const AHEAD: usize = 256;

/// Names are looked up in tables that are at most this old.
const FRESH: Duration = Duration::from_millis(200);

/// What one watcher asked for.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub(super) filter: FlowFilter,
    /// Verdicts, as bits by [`bit`]; all where none was named.
    pub(super) verdicts: u8,
    pub(super) logged_only: bool,
}

/// The bit of a verdict.
pub(super) fn bit(verdict: crate::tables::policy::Verdict) -> u8 {
    1 << verdict as u8
}

/// One event, or how many were lost.
#[derive(Clone, Debug)]
pub(super) enum Told {
    Event(Box<FlowEvent>),
    Lost(u64),
}

/// Where all watchers hang on. Cheap to clone.
#[derive(Clone, Debug)]
pub struct FlowFeed(broadcast::Sender<Told>);

impl Default for FlowFeed {
    fn default() -> Self {
        Self(broadcast::Sender::new(BEHIND))
    }
}

/// Says that somebody watches, as long as it lives.
struct Watching(Arc<Shared>);

impl Watching {
    fn new(shared: Arc<Shared>) -> Self {
        shared.events.watch();
        Self(shared)
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.events.unwatch();
    }
}

impl FlowFeed {
    /// Everything that happens to flows of the dataplane that is seen, from now on.
    pub(super) fn subscribe(&self, view: &View) -> broadcast::Receiver<Told> {
        let told = self.0.subscribe();
        if self.0.receiver_count() == 1 {
            tokio::spawn(empty(view.sources.shared.clone(), self.0.clone()));
        }
        told
    }

    /// One more watcher, from now on.
    pub(super) fn watch(&self, view: View, handle: Handle, wish: Wish, stopping: Stopping) -> Answers<pb::FlowEvent> {
        let told = self.subscribe(&view);
        let (sender, receiver) = mpsc::channel(AHEAD);
        tokio::spawn(tell(told, view, handle, wish, stopping, sender));
        ReceiverStream::new(receiver)
    }
}

/// Empties the ring until nobody watches any more.
async fn empty(shared: Arc<Shared>, all: broadcast::Sender<Told>) {
    let watching = Watching::new(shared);
    let mut interval = tokio::time::interval(INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while all.receiver_count() > 0 {
        interval.tick().await;
        let lost = watching.0.events.take_lost();
        if lost > 0 {
            // Nobody listens any more: the loop ends.
            let _ = all.send(Told::Lost(lost));
        }
        while let Some(event) = watching.0.events.next() {
            let _ = all.send(Told::Event(Box::new(event)));
        }
    }
}

/// Hands one watcher what it asked for, with names.
async fn tell(
    mut told: broadcast::Receiver<Told>,
    mut view: View,
    handle: Handle,
    wish: Wish,
    mut stopping: Stopping,
    client: mpsc::Sender<Result<pb::FlowEvent, tonic::Status>>,
) {
    let mut lost = 0;
    let mut seen = tokio::time::Instant::now();
    loop {
        let next = tokio::select! {
            () = client.closed() => return,
            next = told.recv() => next,
            _ = stopping.wait_for(|stopping| *stopping) => Err(RecvError::Closed),
        };
        let event = match next {
            Ok(Told::Event(event)) => event,
            Ok(Told::Lost(count)) | Err(RecvError::Lagged(count)) => {
                lost += count;
                continue;
            }
            Err(RecvError::Closed) => {
                let _ = client.send(Err(Stopped.into())).await;
                return;
            }
        };
        if seen.elapsed() > FRESH {
            match handle.view().await {
                Ok(fresh) => view = fresh,
                Err(stopped) => {
                    let _ = client.send(Err(stopped.into())).await;
                    return;
                }
            }
            seen = tokio::time::Instant::now();
        }
        let Some(message) = message(&view, &wish, &event, lost) else {
            continue;
        };
        match client.try_send(Ok(message)) {
            Ok(()) => lost = 0,
            Err(mpsc::error::TrySendError::Full(_)) => lost += 1,
            Err(mpsc::error::TrySendError::Closed(_)) => return,
        }
    }
}

/// The event as this watcher sees it, if it asked for it.
fn message(view: &View, wish: &Wish, event: &FlowEvent, lost: u64) -> Option<pb::FlowEvent> {
    let row = telemetry::event_row(view.snapshot.tables(), &wish.filter, event)?;
    let verdict = row.verdict.as_ref()?.verdict;
    if wish.verdicts & bit(verdict) == 0 || wish.logged_only && !telemetry::is_logged(event) {
        return None;
    }
    // Events tell the workers' time: how long ago that was, seen from the wall's clock.
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let offset = i128::try_from(wall.as_nanos()).unwrap_or_default() - i128::from(view.now);
    Some(convert::flow_event(
        event.change,
        u64::try_from(i128::from(event.at) + offset).unwrap_or_default(),
        row,
        lost,
    ))
}
