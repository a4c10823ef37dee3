//! `vrctl watch`: changes of intent as they are committed.

use clap::{Args, ValueEnum};
use serde::Serialize;
use vrouter_proto::control::{self as api, watch_event};

use super::{endpoint::EndpointView, network::NetworkView, node::NodeView, subnet::SubnetView};
use crate::{cli::Context, failure::Failure, output::Cell};

#[derive(Args, Debug)]
#[command(after_help = "\
First everything that exists, then a line for each change, until interrupted. With -o json: one JSON object on each line.

Examples:
  vrctl watch
  vrctl watch endpoint --changes-only
  vrctl watch network subnet -o json")]
pub(crate) struct Watch {
    /// Kinds of object [default: all]
    #[arg(value_enum)]
    kinds: Vec<ObjectKind>,
    /// Leave out what exists already
    #[arg(long)]
    changes_only: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ObjectKind {
    Network,
    Subnet,
    Endpoint,
    Node,
}

impl From<ObjectKind> for i32 {
    fn from(kind: ObjectKind) -> Self {
        match kind {
            ObjectKind::Network => api::ObjectKind::Network.into(),
            ObjectKind::Subnet => api::ObjectKind::Subnet.into(),
            ObjectKind::Endpoint => api::ObjectKind::Endpoint.into(),
            ObjectKind::Node => api::ObjectKind::Node.into(),
        }
    }
}

/// The object of an event.
#[derive(Serialize)]
#[serde(untagged)]
enum Object {
    Network(NetworkView),
    Subnet(SubnetView),
    Endpoint(EndpointView),
    Node(Box<NodeView>),
    /// A kind that this program does not show yet.
    Other(String),
}

impl From<watch_event::Object> for Object {
    fn from(object: watch_event::Object) -> Self {
        match object {
            watch_event::Object::Network(network) => Self::Network(network.into()),
            watch_event::Object::Subnet(subnet) => Self::Subnet(subnet.into()),
            watch_event::Object::Endpoint(endpoint) => Self::Endpoint(endpoint.into()),
            watch_event::Object::Node(node) => Self::Node(Box::new(node.into())),
            other => Self::Other(format!("{other:?}")),
        }
    }
}

impl Object {
    fn kind(&self) -> &'static str {
        match self {
            Self::Network(_) => "network",
            Self::Subnet(_) => "subnet",
            Self::Endpoint(_) => "endpoint",
            Self::Node(_) => "node",
            Self::Other(_) => "other",
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Network(network) => network.name.clone(),
            Self::Subnet(subnet) => subnet.full_name(),
            Self::Endpoint(endpoint) => endpoint.full_name(),
            Self::Node(node) => node.name.clone(),
            Self::Other(_) => String::new(),
        }
    }

    fn summary(&self) -> String {
        match self {
            Self::Network(network) => network.summary(),
            Self::Subnet(subnet) => subnet.summary(),
            Self::Endpoint(endpoint) => endpoint.summary(),
            Self::Node(node) => node.summary(),
            Self::Other(words) => words.clone(),
        }
    }
}

/// An event, as JSON.
#[derive(Serialize)]
struct EventView {
    #[serde(rename = "type")]
    event: &'static str,
    revision: u64,
    kind: Option<&'static str>,
    object: Option<Object>,
}

impl EventView {
    fn new(event: api::WatchEvent) -> Self {
        let kind = event.r#type();
        let object = event.object.map(Object::from);
        Self {
            event: match kind {
                watch_event::Type::Unspecified => "unknown",
                watch_event::Type::Existing => "existing",
                watch_event::Type::Synced => "synced",
                watch_event::Type::Created => "created",
                watch_event::Type::Updated => "updated",
                watch_event::Type::Deleted => "deleted",
                watch_event::Type::Lost => "lost",
            },
            revision: event.revision,
            kind: object.as_ref().map(Object::kind),
            object,
        }
    }

    fn text(&self) -> String {
        let words = match &self.object {
            Some(object) => format!(
                "{:8} {:8} {}  {}",
                self.event,
                object.kind(),
                object.name(),
                object.summary()
            ),
            None if self.event == "lost" => "lost     some changes; watching again from the start".to_owned(),
            None => self.event.to_owned(),
        };
        // Through a cell, so that no name can drive the terminal.
        let cell = Cell::new(words);
        format!("{:>8}  {}\n", self.revision, cell.as_str())
    }
}

/// Shows changes until interrupted or the server goes away. Where the server says that changes were lost, starts again.
pub(crate) async fn run(watch: Watch, context: &Context) -> Result<(), Failure> {
    let mut control = context.control().await?;
    let kinds: Vec<i32> = watch.kinds.iter().copied().map(i32::from).collect();
    loop {
        let request = api::WatchRequest { kinds: kinds.clone() };
        let mut events = control.watch(request).await?.into_inner();
        let mut lost = false;
        while let Some(event) = events.message().await? {
            let event = EventView::new(event);
            lost = event.event == "lost";
            if watch.changes_only && matches!(event.event, "existing" | "synced") {
                continue;
            }
            if context.output.json() {
                context.output.line(&event)?;
            } else {
                context.output.text(&event.text())?;
            }
            if lost {
                break;
            }
        }
        if !lost {
            return Err(Failure::Lost("the server ended the watch".to_owned()));
        }
    }
}
