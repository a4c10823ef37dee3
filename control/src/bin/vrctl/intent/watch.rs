//! `vrctl watch`: changes of intent as they are committed.

use clap::{Args, ValueEnum};
use serde::Serialize;
use vrouter_proto::control::{self as api, watch_event};

use super::{
    endpoint::EndpointView, floating_ip::FloatingIpView, group::GroupView, mirror::MirrorView, network::NetworkView,
    node::NodeView, policy::PolicyView, qos::QosProfileView, router::RouterView, service::ServiceView,
    subnet::SubnetView,
};
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
    Group,
    Policy,
    Router,
    #[value(name = "floatingip")]
    FloatingIp,
    Service,
    #[value(name = "qos")]
    QosProfile,
    Mirror,
}

impl From<ObjectKind> for i32 {
    fn from(kind: ObjectKind) -> Self {
        match kind {
            ObjectKind::Network => api::ObjectKind::Network.into(),
            ObjectKind::Subnet => api::ObjectKind::Subnet.into(),
            ObjectKind::Endpoint => api::ObjectKind::Endpoint.into(),
            ObjectKind::Node => api::ObjectKind::Node.into(),
            ObjectKind::Group => api::ObjectKind::Group.into(),
            ObjectKind::Policy => api::ObjectKind::Policy.into(),
            ObjectKind::Router => api::ObjectKind::Router.into(),
            ObjectKind::FloatingIp => api::ObjectKind::FloatingIp.into(),
            ObjectKind::Service => api::ObjectKind::Service.into(),
            ObjectKind::QosProfile => api::ObjectKind::QosProfile.into(),
            ObjectKind::Mirror => api::ObjectKind::Mirror.into(),
        }
    }
}

/// The object of an event.
#[derive(Serialize)]
#[serde(untagged)]
enum Object {
    Network(Box<NetworkView>),
    Subnet(Box<SubnetView>),
    Endpoint(Box<EndpointView>),
    Node(Box<NodeView>),
    Group(Box<GroupView>),
    Policy(Box<PolicyView>),
    Router(Box<RouterView>),
    FloatingIp(Box<FloatingIpView>),
    Service(Box<ServiceView>),
    QosProfile(Box<QosProfileView>),
    Mirror(Box<MirrorView>),
}

impl From<watch_event::Object> for Object {
    fn from(object: watch_event::Object) -> Self {
        match object {
            watch_event::Object::Network(it) => Self::Network(Box::new(it.into())),
            watch_event::Object::Subnet(it) => Self::Subnet(Box::new(it.into())),
            watch_event::Object::Endpoint(it) => Self::Endpoint(Box::new(it.into())),
            watch_event::Object::Node(it) => Self::Node(Box::new(it.into())),
            watch_event::Object::Group(it) => Self::Group(Box::new(it.into())),
            watch_event::Object::Policy(it) => Self::Policy(Box::new(it.into())),
            watch_event::Object::Router(it) => Self::Router(Box::new(it.into())),
            watch_event::Object::FloatingIp(it) => Self::FloatingIp(Box::new(it.into())),
            watch_event::Object::Service(it) => Self::Service(Box::new(it.into())),
            watch_event::Object::QosProfile(it) => Self::QosProfile(Box::new(it.into())),
            watch_event::Object::Mirror(it) => Self::Mirror(Box::new(it.into())),
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
            Self::Group(_) => "group",
            Self::Policy(_) => "policy",
            Self::Router(_) => "router",
            Self::FloatingIp(_) => "floatingip",
            Self::Service(_) => "service",
            Self::QosProfile(_) => "qos",
            Self::Mirror(_) => "mirror",
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Network(it) => it.name.clone(),
            Self::Node(it) => it.name.clone(),
            Self::Subnet(it) => it.full_name(),
            Self::Endpoint(it) => it.full_name(),
            Self::Group(it) => it.full_name(),
            Self::Policy(it) => it.full_name(),
            Self::Router(it) => it.full_name(),
            Self::FloatingIp(it) => it.full_name(),
            Self::Service(it) => it.full_name(),
            Self::QosProfile(it) => it.full_name(),
            Self::Mirror(it) => it.full_name(),
        }
    }

    fn summary(&self) -> String {
        match self {
            Self::Network(it) => it.summary(),
            Self::Subnet(it) => it.summary(),
            Self::Endpoint(it) => it.summary(),
            Self::Node(it) => it.summary(),
            Self::Group(it) => it.summary(),
            Self::Policy(it) => it.summary(),
            Self::Router(it) => it.summary(),
            Self::FloatingIp(it) => it.summary(),
            Self::Service(it) => it.summary(),
            Self::QosProfile(it) => it.summary(),
            Self::Mirror(it) => it.summary(),
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
                "{:8} {:10} {}  {}",
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
