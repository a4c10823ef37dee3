//! Watch: what exists, then every change.

use tokio::sync::mpsc;
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::Status;
use vrouter_proto::control::{self as pb, watch_event};

use super::{objects::Shown, show};
use crate::{
    model::Invalid,
    reconcile::Board,
    state::{Change, Record, State},
    store::Store,
};

/// Events that wait for a client before commits do.
const WINDOW: usize = 256;

/// The kinds of object that a client asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kinds {
    /// Empty: all.
    chosen: Vec<pb::ObjectKind>,
}

impl Kinds {
    pub(super) fn from_proto(kinds: &[i32]) -> Result<Self, Invalid> {
        let mut chosen = Vec::with_capacity(kinds.len());
        for (index, kind) in kinds.iter().enumerate() {
            match pb::ObjectKind::try_from(*kind) {
                Ok(pb::ObjectKind::Unspecified) | Err(_) => {
                    return Err(Invalid::new(
                        format!("kinds[{index}]"),
                        format!("{kind} is no kind of object"),
                    ));
                }
                Ok(kind) => chosen.push(kind),
            }
        }
        Ok(Self { chosen })
    }

    /// The object of a record as shown, if it is of a kind asked for.
    fn show(&self, state: &State, board: &Board, record: &Record) -> Option<watch_event::Object> {
        use watch_event::Object;
        let kind = match record {
            Record::Network(_) => pb::ObjectKind::Network,
            Record::Subnet(_) => pb::ObjectKind::Subnet,
            Record::Endpoint(_) => pb::ObjectKind::Endpoint,
            Record::Node(_) => pb::ObjectKind::Node,
            Record::Group(_) => pb::ObjectKind::Group,
            Record::Policy(_) => pb::ObjectKind::Policy,
            Record::Router(_) => pb::ObjectKind::Router,
            Record::FloatingIp(_) => pb::ObjectKind::FloatingIp,
            Record::Service(_) => pb::ObjectKind::Service,
            Record::QosProfile(_) => pb::ObjectKind::QosProfile,
            Record::Mirror(_) => pb::ObjectKind::Mirror,
            Record::Address(_) | Record::Observed(_) | Record::Cursor(..) => return None,
        };
        if !self.chosen.is_empty() && !self.chosen.contains(&kind) {
            return None;
        }
        Some(match record {
            Record::Network(o) => Object::Network(show::network(o)),
            Record::Subnet(o) => Object::Subnet(show::subnet(state, o)),
            Record::Endpoint(o) => Object::Endpoint(show::endpoint(state, board, o)),
            Record::Node(o) => Object::Node(show::node(state, board, o)),
            Record::Group(o) => Object::Group(Shown::show(state, board, o)),
            Record::Policy(o) => Object::Policy(Shown::show(state, board, o)),
            Record::Router(o) => Object::Router(Shown::show(state, board, o)),
            Record::FloatingIp(o) => Object::FloatingIp(Shown::show(state, board, o)),
            Record::Service(o) => Object::Service(Shown::show(state, board, o)),
            Record::QosProfile(o) => Object::QosProfile(Shown::show(state, board, o)),
            Record::Mirror(o) => Object::Mirror(Shown::show(state, board, o)),
            Record::Address(_) | Record::Observed(_) | Record::Cursor(..) => return None,
        })
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
