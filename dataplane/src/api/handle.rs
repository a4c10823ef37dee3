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
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, oneshot};

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

/// The result of a batch: its revision, or why it was refused.
pub(super) type Applied = Result<u64, Vec<Problem>>;

/// Everything of the moment before the first event, and events.
pub(super) type Watched = (View, broadcast::Receiver<Event>);

pub(super) enum What {
    Apply {
        operations: Vec<Operation>,
        reply: oneshot::Sender<Applied>,
    },
    View {
        reply: oneshot::Sender<View>,
    },
    Watch {
        reply: oneshot::Sender<Watched>,
    },
}

/// What both sides share beside requests.
#[derive(Debug)]
pub(super) struct Board {
    pub(super) events: broadcast::Sender<Event>,
    revision: AtomicU64,
}

impl Board {
    /// Tells everybody who watches.
    pub(super) fn publish(&self, event: Event) {
        if let Event::Revision(revision) = event {
            self.revision.store(revision, Ordering::Release);
        }
        // Nobody watching is fine.
        let _ = self.events.send(event);
    }
}

/// The asking end.
#[derive(Clone)]
pub struct Handle {
    post: Arc<dyn Fn(Request) -> Result<(), Stopped> + Send + Sync>,
    places: Arc<Semaphore>,
    pub(super) board: Arc<Board>,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("board", &self.board)
            .finish_non_exhaustive()
    }
}

impl Handle {
    /// Asks by `post`, which brings a request to the programming thread, in order, and hardly ever blocks: no more than 32 are
    /// under way at a time.
    pub fn new(post: impl Fn(Request) -> Result<(), Stopped> + Send + Sync + 'static) -> Self {
        Self {
            post: Arc::new(post),
            places: Arc::new(Semaphore::new(PLACES)),
            board: Arc::new(Board {
                events: broadcast::Sender::new(EVENTS),
                revision: AtomicU64::new(0),
            }),
        }
    }

    /// The revision in force.
    pub fn revision(&self) -> u64 {
        self.board.revision.load(Ordering::Acquire)
    }

    /// Waits for a place and asks for a batch to be applied. Once this returns the batch will be applied or refused whether or
    /// not anybody waits for the answer; batches of one caller are applied in the order of its calls.
    pub(super) async fn apply(&self, operations: Vec<Operation>) -> Result<oneshot::Receiver<Applied>, Stopped> {
        self.ask(|reply| What::Apply { operations, reply }).await
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
