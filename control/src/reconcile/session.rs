//! One connection to a dataplane: what it is, what it holds, and applying steps to it.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use prost::Message as _;
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming, transport::Channel};
use vrouter_proto::dataplane::{self as pb, dataplane_client::DataplaneClient};

use super::{
    diff::{Stage, Step},
    mirror::Mirror,
    refused::Problem,
};
use crate::{
    compile::{ObjectKey, references},
    transport::{self, Address},
};

/// Most operations of one batch.
const BATCH_OPERATIONS: usize = 10_000;
/// Most bytes of one batch; servers take messages of up to 4 MiB unless told otherwise.
const BATCH_BYTES: usize = 2 << 20;
/// Largest message of a dump.
const DUMP_BYTES: usize = 64 << 20;
/// Refusals of one batch before it is cut in half, so that many bad objects are found in few rounds.
const ROUNDS: u32 = 4;

/// How long an answer may take. Attaching hundreds of ports is the longest work.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why a connection is of no use any more.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("cannot connect: {0}")]
    Connect(String),
    #[error("connection lost: {}", .0.message())]
    Rpc(#[from] Status),
    #[error("connection lost: vrouterd ended the stream")]
    Ended,
    #[error("vrouterd does not answer; it is connected, but said nothing for {} seconds", PATIENCE.as_secs())]
    Silent,
    #[error(
        "the dataplane there says it is node {found:?}, but is configured here as {expected:?}; nothing is programmed"
    )]
    OtherNode { expected: String, found: String },
    #[error(transparent)]
    Store(#[from] crate::intent::Refusal),
}

/// What a dataplane tells unasked.
#[derive(Debug)]
pub(super) enum News {
    /// Somebody else changed something.
    Changed,
    /// A health check found something.
    Health(pb::HealthChanged),
}

/// One connection.
#[derive(Debug)]
pub(super) struct Session {
    client: DataplaneClient<Channel>,
    requests: mpsc::Sender<pb::ApplyRequest>,
    answers: Streaming<pb::ApplyResponse>,
    /// `None`: the dataplane does not offer it.
    events: Option<Streaming<pb::Event>>,
    next_batch: u64,
    revision: u64,
}

impl Session {
    /// Connects and asks who is there.
    pub(super) async fn open(address: &Address, patience: Duration) -> Result<(Self, pb::GetInfoResponse), Broken> {
        let channel = transport::connect(address, patience)
            .await
            .map_err(|e| Broken::Connect(explain(&e)))?;
        let mut client = DataplaneClient::new(channel).max_decoding_message_size(DUMP_BYTES);
        let info = timeout(PATIENCE, client.get_info(pb::GetInfoRequest {}))
            .await
            .map_err(|_| Broken::Silent)??;
        let info = info.into_inner();
        let (requests, receiver) = mpsc::channel(4);
        let answers = client.apply(ReceiverStream::new(receiver)).await?.into_inner();
        let events = match client.watch(pb::WatchRequest { snapshot: false }).await {
            Ok(events) => Some(events.into_inner()),
            Err(status) if status.code() == Code::Unimplemented => None,
            Err(status) => return Err(status.into()),
        };
        let revision = info.revision;
        Ok((
            Self {
                client,
                requests,
                answers,
                events,
                next_batch: 1,
                revision,
            },
            info,
        ))
    }

    /// Everything of ours that it holds.
    pub(super) async fn dump(&mut self) -> Result<Mirror, Broken> {
        let mut mirror = Mirror::default();
        let mut chunks = self.client.dump(pb::DumpRequest::default()).await?.into_inner();
        while let Some(chunk) = timeout(PATIENCE, chunks.message())
            .await
            .map_err(|_| Broken::Silent)??
        {
            self.revision = self.revision.max(chunk.revision);
            mirror.learn(chunk.objects);
        }
        Ok(mirror)
    }

    /// Returns when there is news, or the connection is lost.
    pub(super) async fn news(&mut self) -> Result<News, Broken> {
        loop {
            let event = async {
                match &mut self.events {
                    Some(events) => events.message().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                answer = self.answers.message() => {
                    return match answer? {
                        // Nothing was asked.
                        Some(_) => Ok(News::Changed),
                        None => Err(Broken::Ended),
                    };
                }
                event = event => match event?.ok_or(Broken::Ended)?.event {
                    Some(pb::event::Event::Revision(changed)) if changed.revision > self.revision => {
                        self.revision = changed.revision;
                        return Ok(News::Changed);
                    }
                    Some(pb::event::Event::Lost(_)) => return Ok(News::Changed),
                    Some(pb::event::Event::Health(changed)) => return Ok(News::Health(changed)),
                    _ => {}
                },
            }
        }
    }

    /// Applies steps in their order and notes them in the mirror. What is refused is left out, with what depends on it, and returned.
    pub(super) async fn apply(&mut self, mirror: &mut Mirror, stage: Stage) -> Result<Vec<(Step, Problem)>, Broken> {
        let mut refused: Vec<(Step, Problem)> = Vec::new();
        let mut queue: VecDeque<(Stage, u32)> = batches(stage).into_iter().map(|batch| (batch, 0)).collect();
        while let Some((batch, rounds)) = queue.pop_front() {
            let batch = without_dependents(batch, mirror, &mut refused);
            if batch.is_empty() {
                continue;
            }
            let problems = self.send(&batch).await?;
            if problems.is_empty() {
                batch.into_iter().for_each(|step| mirror.note(step));
                continue;
            }
            let at: BTreeSet<usize> = problems
                .iter()
                .map(|p| p.operation as usize)
                .filter(|index| *index < batch.len())
                .collect();
            if at.is_empty() && batch.len() == 1 {
                refused.extend(batch.into_iter().zip(problems.iter().map(explain_problem)));
                continue;
            }
            let mut rest = Vec::with_capacity(batch.len());
            for (index, step) in batch.into_iter().enumerate() {
                match problems.iter().find(|p| p.operation as usize == index) {
                    Some(problem) => refused.push((step, explain_problem(problem))),
                    None => rest.push(step),
                }
            }
            if rounds >= ROUNDS || at.is_empty() {
                let second = rest.split_off(rest.len() / 2);
                queue.push_front((second, 0));
                queue.push_front((rest, 0));
            } else {
                queue.push_front((rest, rounds + 1));
            }
        }
        Ok(refused)
    }

    async fn send(&mut self, batch: &[Step]) -> Result<Vec<pb::Problem>, Broken> {
        let operations = batch
            .iter()
            .map(|step| {
                let operation = match &step.object {
                    Some(object) => pb::operation::Operation::Put(object.as_ref().clone()),
                    None => pb::operation::Operation::Delete(step.key.to_proto()),
                };
                pb::Operation {
                    operation: Some(operation),
                }
            })
            .collect();
        let number = self.next_batch;
        self.next_batch += 1;
        let request = pb::ApplyRequest {
            batch: number,
            operations,
        };
        self.requests.send(request).await.map_err(|_| Broken::Ended)?;
        loop {
            let answer = timeout(PATIENCE, self.answers.message())
                .await
                .map_err(|_| Broken::Silent)?;
            let answer = answer?.ok_or(Broken::Ended)?;
            if answer.batch == number {
                self.revision = self.revision.max(answer.revision);
                return Ok(answer.problems);
            }
        }
    }
}

/// Cuts a stage into batches that are not too large. Steps are in an order that is valid at every moment, so any cut is.
fn batches(stage: Stage) -> Vec<Stage> {
    let mut all: Vec<Stage> = Vec::new();
    let mut bytes = 0;
    for step in stage {
        let size = step.object.as_ref().map_or(64, |object| object.encoded_len() + 16);
        match all.last_mut() {
            Some(batch) if batch.len() < BATCH_OPERATIONS && bytes + size <= BATCH_BYTES => {
                batch.push(step);
                bytes += size;
            }
            _ => {
                all.push(vec![step]);
                bytes = size;
            }
        }
    }
    all
}

/// Leaves out what cannot work because of what is refused: an object that needs one that is not there, and the deletion of an object
/// that is still needed.
fn without_dependents(batch: Stage, mirror: &Mirror, refused: &mut Vec<(Step, Problem)>) -> Stage {
    if refused.is_empty() {
        return batch;
    }
    let mut missing: BTreeSet<ObjectKey> = BTreeSet::new();
    let mut needed: BTreeSet<ObjectKey> = BTreeSet::new();
    for (step, _) in refused.iter() {
        match (&step.object, mirror.get(&step.key)) {
            (Some(_), None) => {
                missing.insert(step.key.clone());
            }
            // As it was, it stays, and needs what it needed.
            (_, Some(there)) => needed.extend(references(there)),
            (None, None) => {}
        }
    }
    let mut rest = Vec::with_capacity(batch.len());
    for step in batch {
        let obstacle = match &step.object {
            Some(object) => references(object)
                .into_iter()
                .find(|r| missing.contains(r))
                .map(|r| format!("needs {r}, which is refused")),
            None => needed
                .contains(&step.key)
                .then(|| "is still needed by what is refused".to_owned()),
        };
        let Some(message) = obstacle else {
            rest.push(step);
            continue;
        };
        match mirror.get(&step.key) {
            None => {
                missing.insert(step.key.clone());
            }
            Some(there) => needed.extend(references(there)),
        }
        refused.push((
            step,
            Problem {
                message,
                dependent: true,
            },
        ));
    }
    rest
}

fn explain_problem(problem: &pb::Problem) -> Problem {
    let message = match problem.field.as_str() {
        "" => problem.message.clone(),
        field => format!("{field}: {}", problem.message),
    };
    Problem {
        message,
        dependent: false,
    }
}

/// The innermost reason, which is the one that says something.
fn explain(error: &dyn std::error::Error) -> String {
    let mut reason = error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    reason.to_string()
}
