//! One client's stream of events.

use tokio::sync::{
    broadcast::{self, error::RecvError},
    mpsc, watch,
};
use tokio_stream::wrappers::ReceiverStream;
use vrouter_proto::dataplane as pb;

use super::{
    convert,
    event::Event,
    handle::Stopped,
    outlet::Answers,
    selection::{Kind, Selection},
    view::View,
};
use crate::program::Dumped;

/// Events written ahead of the client. More wait where they are counted when they are lost.
const AHEAD: usize = 16;

/// What a new watcher may be told of the moment it begins: every port, then the revision.
pub(super) fn beginning(view: &View) -> Vec<Event> {
    let ports = view.objects(&Selection::new(&[Kind::Port], None));
    let ports = ports.filter_map(|object| match object {
        Dumped::Port { spec, mtu, status, .. } => Some(Event::Port {
            port: spec.id,
            status,
            mtu,
        }),
        _ => None,
    });
    ports.chain([Event::Revision(view.revision())]).collect()
}

/// Tells `beginning`, then events as they come, until `stopping` is set.
pub(super) fn run(
    beginning: Vec<Event>,
    mut events: broadcast::Receiver<Event>,
    mut stopping: watch::Receiver<bool>,
) -> Answers<pb::Event> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        for event in beginning {
            if sender.send(Ok(convert::event(&event))).await.is_err() {
                return;
            }
        }
        loop {
            let next = tokio::select! {
                () = sender.closed() => return,
                next = events.recv() => next,
                _ = stopping.wait_for(|stopping| *stopping) => Err(RecvError::Closed),
            };
            let message = match next {
                Ok(event) => Ok(convert::event(&event)),
                Err(RecvError::Lagged(count)) => Ok(convert::event(&Event::Lost(count))),
                Err(RecvError::Closed) => Err(Stopped.into()),
            };
            let over = message.is_err();
            if sender.send(message).await.is_err() || over {
                return;
            }
        }
    });
    ReceiverStream::new(receiver)
}
