//! One client's stream of batches: read, checked, handed on and answered, in order.
//!
//! While one batch is being applied the next is read and checked. A client that sends faster than batches are applied is slowed
//! down by the transport, because nothing is read from it while as many batches as [`PIPELINE`] wait for their answers.

use tokio::sync::{mpsc, oneshot};
use tokio_stream::{Stream, StreamExt as _, wrappers::ReceiverStream};
use tonic::{Code, Status};
use vrouter_proto::dataplane as pb;

use super::{
    convert::{self, MAX_OPERATIONS},
    handle::{Applied, Handle, Stopped},
    outlet::Answers,
    service::MAX_MESSAGE,
};
use crate::program::{object::Operation, problem::Problem};

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
    Asked(oneshot::Receiver<Applied>),
    /// Not well-formed.
    Refused(Vec<Problem>),
    /// The stream ends here.
    Ended(Status),
}

/// Serves the stream `batches`.
pub(super) fn run<S>(handle: Handle, batches: S) -> Answers<pb::ApplyResponse>
where
    S: Stream<Item = Result<pb::ApplyRequest, Status>> + Send + Unpin + 'static,
{
    let (answers, receiver) = mpsc::channel(PIPELINE);
    let (due, waiting) = mpsc::channel(PIPELINE);
    tokio::spawn(answer(handle.clone(), waiting, answers));
    tokio::spawn(read(handle, batches, due));
    ReceiverStream::new(receiver)
}

/// Reads batches until the client ends, breaks or abandons the stream.
async fn read<S>(handle: Handle, mut batches: S, due: mpsc::Sender<Due>)
where
    S: Stream<Item = Result<pb::ApplyRequest, Status>> + Unpin,
{
    // A place for the answer first: a batch that is handed on will be answered in its turn.
    while let Ok(place) = due.reserve().await {
        let next = tokio::select! {
            () = due.closed() => break,
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
    let operations = match check(operations).await {
        Ok(Ok(operations)) => operations,
        Ok(Err(problems)) => return Outcome::Refused(problems),
        Err(status) => return Outcome::Ended(status),
    };
    match handle.apply(operations).await {
        Ok(answer) => Outcome::Asked(answer),
        Err(stopped) => Outcome::Ended(stopped.into()),
    }
}

async fn check(batch: Vec<pb::Operation>) -> Result<Result<Vec<Operation>, Vec<Problem>>, Status> {
    if batch.len() <= INLINE {
        return Ok(convert::operations(&batch));
    }
    let checked = tokio::task::spawn_blocking(move || convert::operations(&batch));
    checked
        .await
        .map_err(|error| Status::internal(format!("the batch could not be read: {error}")))
}

/// Gives answers in the order of the batches.
async fn answer(
    handle: Handle,
    mut waiting: mpsc::Receiver<Due>,
    answers: mpsc::Sender<Result<pb::ApplyResponse, Status>>,
) {
    while let Some(Due { batch, outcome }) = waiting.recv().await {
        let result = match outcome {
            Outcome::Asked(answer) => answer.await.map_err(|_| Status::from(Stopped)),
            Outcome::Refused(problems) => Ok(Err(problems)),
            Outcome::Ended(status) => Err(status),
        };
        let response = result.map(|result| match result {
            Ok(revision) => pb::ApplyResponse {
                batch,
                revision,
                problems: Vec::new(),
            },
            Err(problems) => pb::ApplyResponse {
                batch,
                revision: handle.revision(),
                problems: problems.iter().take(MAX_PROBLEMS).map(convert::problem).collect(),
            },
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
