//! Long answers, written on a blocking thread as fast as the client reads them.

use std::{sync::Arc, time::Duration};

use tokio::{
    runtime,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

/// Messages written ahead of the client.
const AHEAD: usize = 2;

/// How long a client may read nothing. A dump holds what its revision refers to: it may not be held for ever.
const STALL: Duration = Duration::from_secs(30);

/// Most long answers at once; others wait.
const LONG_ANSWERS: usize = 4;

/// A stream of answers.
pub(super) type Answers<T> = ReceiverStream<Result<T, Status>>;

/// Where long answers are made.
#[derive(Clone, Debug)]
pub(super) struct Scribes(Arc<Semaphore>);

impl Default for Scribes {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(LONG_ANSWERS)))
    }
}

impl Scribes {
    /// Waits for one that is free.
    pub(super) async fn free(&self) -> Result<Scribe, Status> {
        let permit = self.0.clone().acquire_owned().await;
        let permit = permit.map_err(|_| Status::unavailable("vrouterd is stopping"))?;
        Ok(Scribe { permit })
    }
}

/// A free one.
#[derive(Debug)]
pub(super) struct Scribe {
    permit: OwnedSemaphorePermit,
}

impl Scribe {
    /// Has `write` give one message after the other.
    pub(super) fn stream<T: Send + 'static>(self, write: impl FnOnce(&Outlet<T>) + Send + 'static) -> Answers<T> {
        let (sender, receiver) = mpsc::channel(AHEAD);
        let outlet = Outlet {
            sender,
            runtime: runtime::Handle::current(),
        };
        tokio::task::spawn_blocking(move || {
            write(&outlet);
            drop(self.permit);
        });
        ReceiverStream::new(receiver)
    }

    /// Has `make` make one message.
    pub(super) async fn once<T: Send + 'static>(self, make: impl FnOnce() -> T + Send + 'static) -> Result<T, Status> {
        let made = tokio::task::spawn_blocking(move || {
            let made = make();
            drop(self.permit);
            made
        });
        made.await
            .map_err(|error| Status::internal(format!("the answer could not be made: {error}")))
    }
}

/// Takes messages to the client.
pub(super) struct Outlet<T> {
    sender: mpsc::Sender<Result<T, Status>>,
    runtime: runtime::Handle,
}

impl<T> Outlet<T> {
    /// Gives a message. False: the client is gone, or reads nothing, and no more need be written.
    pub(super) fn send(&self, message: T) -> bool {
        let sent = self
            .runtime
            .block_on(async { time::timeout(STALL, self.sender.send(Ok(message))).await });
        matches!(sent, Ok(Ok(())))
    }
}
