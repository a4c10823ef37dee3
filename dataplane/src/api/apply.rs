//! One client's stream of batches: read, checked, handed on and answered, in order.
//!
//! While one batch is being applied the next is read and checked. A client that sends faster than batches are applied is slowed
//! down by the transport, because nothing is read from it while as many batches as [`PIPELINE`] wait for their answers.

use std::{sync::Arc, time::Instant};

use tokio::sync::{mpsc, oneshot, watch};
use tokio_stream::{Stream, StreamExt as _, wrappers::ReceiverStream};
use tonic::{Code, Status};
use vrouter_proto::dataplane as pb;

use super::{
    convert::{self, MAX_OPERATIONS},
    handle::{Applied, Batch, BatchCounts, Handle, Stopped},
    outlet::Answers,
    service::MAX_MESSAGE,
};
/// Batches of one client that wait for their answers.
const PIPELINE: usize = 4;

/// Batches bigger than this are read on a thread of their own, so that other clients' requests go on.
const INLINE: usize = 256;

/// Most problems told of one batch.
const MAX_PROBLEMS: usize = 1000;

/// A batch whose answer is due.
struct Due {
    batch: u64,
    outcome: Outcome,
}

enum Outcome {
    /// Handed on.
    Asked {
        answer: oneshot::Receiver<Applied>,
        operations: usize,
        since: Instant,
    },
    /// The stream ends here.
    Ended(Status),
}

/// Serves the stream `batches`, until the client ends it or `stopping` is set.
pub(super) fn run<S>(handle: Handle, batches: S, stopping: watch::Receiver<bool>) -> Answers<pb::ApplyResponse>
where
    S: Stream<Item = Result<pb::ApplyRequest, Status>> + Send + Unpin + 'static,
{
    let (answers, receiver) = mpsc::channel(PIPELINE);
    let (due, waiting) = mpsc::channel(PIPELINE);
    tokio::spawn(answer(waiting, answers, handle.batches.clone()));
    tokio::spawn(read(handle, batches, due, stopping));
    ReceiverStream::new(receiver)
}

/// Reads batches until the client ends, breaks or abandons the stream.
async fn read<S>(handle: Handle, mut batches: S, due: mpsc::Sender<Due>, mut stopping: watch::Receiver<bool>)
where
    S: Stream<Item = Result<pb::ApplyRequest, Status>> + Unpin,
{
    // A place for the answer first: a batch that is handed on will be answered in its turn.
    while let Ok(place) = due.reserve().await {
        let next = tokio::select! {
            () = due.closed() => break,
            _ = stopping.wait_for(|stopping| *stopping) => Some(Err(Stopped.into())),
            next = batches.next() => next,
        };
        let (batch, outcome) = match next {
            None => break,
            Some(Err(status)) => (0, Outcome::Ended(explain(status))),
            Some(Ok(request)) => (request.batch, hand_on(&handle, request.operations).await),
        };
        let ended = matches!(outcome, Outcome::Ended(_));
        place.send(Due { batch, outcome });
        if ended {
            break;
        }
    }
}

async fn hand_on(handle: &Handle, operations: Vec<pb::Operation>) -> Outcome {
    let batch = match check(operations).await {
        Ok(batch) => batch,
        Err(status) => return Outcome::Ended(status),
    };
    let (operations, since) = (batch.as_ref().map_or(0, Vec::len), Instant::now());
    match handle.apply(batch).await {
        Ok(answer) => Outcome::Asked {
            answer,
            operations,
            since,
        },
        Err(stopped) => Outcome::Ended(stopped.into()),
    }
}

async fn check(operations: Vec<pb::Operation>) -> Result<Batch, Status> {
    if operations.len() <= INLINE {
        return Ok(convert::operations(&operations));
    }
    let checked = tokio::task::spawn_blocking(move || convert::operations(&operations));
    checked
        .await
        .map_err(|error| Status::internal(format!("the batch could not be read: {error}")))
}

/// Gives answers in the order of the batches.
async fn answer(
    mut waiting: mpsc::Receiver<Due>,
    answers: mpsc::Sender<Result<pb::ApplyResponse, Status>>,
    counts: Arc<BatchCounts>,
) {
    while let Some(Due { batch, outcome }) = waiting.recv().await {
        let applied = match outcome {
            Outcome::Asked {
                answer,
                operations,
                since,
            } => {
                let applied = answer.await.map_err(|_| Status::from(Stopped));
                if let Ok(applied) = &applied {
                    counts.note(applied, operations, since);
                }
                applied
            }
            Outcome::Ended(status) => Err(status),
        };
        let response = applied.map(|applied| pb::ApplyResponse {
            batch,
            revision: applied.revision,
            problems: applied
                .problems
                .iter()
                .take(MAX_PROBLEMS)
                .map(convert::problem)
                .collect(),
        });
        let ended = response.is_err();
        // The client is gone: what was handed on is still applied or refused as a whole.
        if answers.send(response).await.is_err() || ended {
            break;
        }
    }
}

/// Says what would be right where the transport only says what was wrong.
fn explain(status: Status) -> Status {
    if status.code() != Code::OutOfRange {
        return status;
    }
    Status::out_of_range(format!(
        "{}; send smaller batches: at most {MAX_OPERATIONS} operations and {} MiB in each",
        status.message(),
        MAX_MESSAGE >> 20
    ))
}

impl From<Stopped> for Status {
    fn from(stopped: Stopped) -> Self {
        Status::unavailable(stopped.to_string())
    }
}
