//! Watch: what exists, then every change.

use tokio::sync::mpsc;
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::Status;
use vrouter_proto::control::{self as pb, watch_event};

use super::show;
use crate::{
    model::Invalid,
    reconcile::Board,
    state::{Change, Record, State},
    store::Store,
};

/// Events that wait for a client before commits do.
const WINDOW: usize = 256;

/// The kinds of object that a client asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kinds {
    networks: bool,
    subnets: bool,
    endpoints: bool,
    nodes: bool,
}

impl Kinds {
    pub(super) fn from_proto(kinds: &[i32]) -> Result<Self, Invalid> {
        let all = kinds.is_empty();
        let mut chosen = Self {
            networks: all,
            subnets: all,
            endpoints: all,
            nodes: all,
        };
        for (index, kind) in kinds.iter().enumerate() {
            match pb::ObjectKind::try_from(*kind) {
                Ok(pb::ObjectKind::Network) => chosen.networks = true,
                Ok(pb::ObjectKind::Subnet) => chosen.subnets = true,
                Ok(pb::ObjectKind::Endpoint) => chosen.endpoints = true,
                Ok(pb::ObjectKind::Node) => chosen.nodes = true,
                Ok(_) | Err(_) => {
                    return Err(Invalid::new(
                        format!("kinds[{index}]"),
                        format!("{kind} is no kind of object"),
                    ));
                }
            }
        }
        Ok(chosen)
    }

    /// The object of a record as shown, if it is of a kind asked for.
    fn show(self, state: &State, board: &Board, record: &Record) -> Option<watch_event::Object> {
        match record {
            Record::Network(o) if self.networks => Some(watch_event::Object::Network(show::network(o))),
            Record::Subnet(o) if self.subnets => Some(watch_event::Object::Subnet(show::subnet(state, o))),
            Record::Endpoint(o) if self.endpoints => {
                Some(watch_event::Object::Endpoint(show::endpoint(state, board, o)))
            }
            Record::Node(o) if self.nodes => Some(watch_event::Object::Node(show::node(state, board, o))),
            _ => None,
        }
    }
}

/// The stream of one client. Its task ends with the client.
pub(super) fn stream(
    store: &Store,
    board: Board,
    kinds: Kinds,
) -> impl Stream<Item = Result<pb::WatchEvent, Status>> + Send + use<> {
    let (sender, receiver) = mpsc::channel(WINDOW);
    let (state, mut watcher) = store.watch();
    tokio::spawn(async move {
        let event = |kind: watch_event::Type, revision, object| {
            Ok(pb::WatchEvent {
                r#type: kind.into(),
                revision,
                object,
            })
        };
        for record in state.records() {
            if let Some(object) = kinds.show(&state, &board, &record)
                && sender
                    .send(event(watch_event::Type::Existing, state.revision(), Some(object)))
                    .await
                    .is_err()
            {
                return;
            }
        }
        let mut revision = state.revision();
        drop(state);
        if sender
            .send(event(watch_event::Type::Synced, revision, None))
            .await
            .is_err()
        {
            return;
        }
        loop {
            let commit = tokio::select! {
                commit = watcher.next() => commit,
                () = sender.closed() => return,
            };
            let Some(commit) = commit else {
                let _ = sender.send(event(watch_event::Type::Lost, revision, None)).await;
                return;
            };
            revision = commit.revision;
            for Change { before, after, .. } in &commit.changes {
                let (kind, record) = match (before, after) {
                    (None, Some(after)) => (watch_event::Type::Created, after),
                    (Some(_), Some(after)) => (watch_event::Type::Updated, after),
                    (Some(before), None) => (watch_event::Type::Deleted, before),
                    (None, None) => continue,
                };
                if let Some(object) = kinds.show(&commit.state, &board, record)
                    && sender.send(event(kind, revision, Some(object))).await.is_err()
                {
                    return;
                }
            }
        }
    });
    ReceiverStream::new(receiver)
}
