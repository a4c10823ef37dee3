//! From many tasks to the one thread that programs.
//!
//! Tasks wait for one of a few places, so that what is not yet done piles up with those who ask and not here. How a request is
//! brought to the thread is for whoever runs it to say; there it is answered by a [`Desk`](super::Desk).

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, oneshot};
use vrouter_metrics::Histogram;

use super::{event::Event, view::View};
use crate::program::{object::Operation, problem::Problem};

/// Requests that wait for the programming thread.
const PLACES: usize = 32;

/// Events that a slow watcher may be behind.
const EVENTS: usize = 4096;

/// The programming thread has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("vrouterd is stopping")]
pub struct Stopped;

/// What the thread is asked to do, with its place, which is free again once it is done.
pub struct Request {
    pub(super) what: What,
    pub(super) _place: OwnedSemaphorePermit,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.what {
            What::Apply { .. } => "Apply",
            What::View { .. } => "View",
            What::Watch { .. } => "Watch",
        })
    }
}

/// The result of a batch.
#[derive(Debug)]
pub(super) struct Applied {
    /// The revision that it became; or the one still in force, when it was refused.
    pub(super) revision: u64,
    /// Why it was refused, if it was.
    pub(super) problems: Vec<Problem>,
}

/// A batch as it was read; or why it is refused, if it is malformed. Such a one is answered in its turn, like any other.
pub(super) type Batch = Result<Vec<Operation>, Vec<Problem>>;

/// Everything of the moment before the first event, and events.
pub(super) type Watched = (View, broadcast::Receiver<Event>);

pub(super) enum What {
    Apply {
        batch: Batch,
        reply: oneshot::Sender<Applied>,
    },
    View {
        reply: oneshot::Sender<View>,
    },
    Watch {
        reply: oneshot::Sender<Watched>,
    },
}

/// The asking end.
#[derive(Clone)]
pub struct Handle {
    post: Arc<dyn Fn(Request) -> Result<(), Stopped> + Send + Sync>,
    places: Arc<Semaphore>,
    pub(super) events: broadcast::Sender<Event>,
    /// What became of batches.
    pub(super) batches: Arc<BatchCounts>,
}

/// Counts of batches.
#[derive(Debug, Default)]
pub(super) struct BatchCounts {
    pub(super) applied: AtomicU64,
    pub(super) refused: AtomicU64,
    /// Operations of those that were applied.
    pub(super) operations: AtomicU64,
    /// From being handed on to the answer.
    pub(super) took: Histogram,
}

impl BatchCounts {
    /// One more: of so many operations, begun then.
    pub(super) fn note(&self, applied: &Applied, operations: usize, since: Instant) {
        self.took.record(since.elapsed());
        if applied.problems.is_empty() {
            self.applied.fetch_add(1, Ordering::Relaxed);
            self.operations.fetch_add(operations as u64, Ordering::Relaxed);
        } else {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

impl Handle {
    /// Asks by `post`, which brings a request to the programming thread, in order, and hardly ever blocks: no more than 32 are
    /// under way at a time.
    pub fn new(post: impl Fn(Request) -> Result<(), Stopped> + Send + Sync + 'static) -> Self {
        Self {
            post: Arc::new(post),
            places: Arc::new(Semaphore::new(PLACES)),
            events: broadcast::Sender::new(EVENTS),
            batches: Arc::default(),
        }
    }

    /// Waits for a place and asks for a batch to be applied. Once this returns the batch will be applied or refused whether or
    /// not anybody waits for the answer; batches of one caller are applied in the order of its calls.
    pub(super) async fn apply(&self, batch: Batch) -> Result<oneshot::Receiver<Applied>, Stopped> {
        self.ask(|reply| What::Apply { batch, reply }).await
    }

    /// Everything of this moment.
    pub(super) async fn view(&self) -> Result<View, Stopped> {
        self.ask(|reply| What::View { reply }).await?.await.or(Err(Stopped))
    }

    /// Everything of this moment, and events from here on.
    pub(super) async fn watch(&self) -> Result<Watched, Stopped> {
        self.ask(|reply| What::Watch { reply }).await?.await.or(Err(Stopped))
    }

    async fn ask<T>(&self, what: impl FnOnce(oneshot::Sender<T>) -> What) -> Result<oneshot::Receiver<T>, Stopped> {
        let place = self.places.clone().acquire_owned().await.or(Err(Stopped))?;
        let (reply, answer) = oneshot::channel();
        (self.post)(Request {
            what: what(reply),
            _place: place,
        })?;
        Ok(answer)
    }
}
