//! `vrctl service`: stable addresses for backends.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde::Serialize;
use vrouter_proto::control as api;

use super::{
    Mask, deleted, given,
    labels::{self, Labels},
    names::Scoped,
    syntax::service::{Backend, Health, Port},
};
use crate::{
    cli::Context,
    failure::Failure,
    filter::{self, Key, Kind, Value},
    listing::ListArgs,
    output::{Cell, Column, Record, Style},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a service; creating again what exists with the same wish changes nothing
    #[command(after_help = "\
Examples:
  vrctl service create blue/web --port tcp/80=8080 --group web
  vrctl service create blue/api --port https:tcp/443 --port http:tcp/80 --group api --affinity 300 --health http:8080/healthz
  vrctl service create blue/db --port tcp/5432 --backend blue/db-1,weight=3 --backend blue/db-2")]
    Create(Create),
    /// List services
    #[command(visible_alias = "ls", after_help = filter::help::<ServiceView>(&[
        "vrctl service list --match network=blue",
    ]))]
    List(ListArgs),
    /// Show one service
    Show {
        /// The service
        #[arg(value_name = "NETWORK/NAME")]
        name: Scoped,
    },
    /// Change a service; what is not named stays as it is
    #[command(after_help = "\
Examples:
  vrctl service update blue/db --backend blue/db-1,draining --backend blue/db-2
  vrctl service update blue/web --prefer-local yes")]
    Update(Update),
    /// Delete a service and release its addresses
    #[command(visible_alias = "rm")]
    Delete {
        /// The service
        #[arg(value_name = "NETWORK/NAME")]
        name: Scoped,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Create {
    /// Name of the service
    #[arg(value_name = "NETWORK/NAME")]
    name: Scoped,
    /// A port of the service, and the backends' where that is another; may be given several times
    #[arg(long, value_name = "[NAME:]PROTOCOL/PORT[=TARGET]", required = true)]
    port: Vec<Port>,
    /// Backends are the members of this group
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    group: String,
    /// A backend; may be given several times
    #[arg(long, value_name = "NETWORK/NAME|ADDRESS[,weight=N][,draining]")]
    backend: Vec<Backend>,
    /// An address, or subnet:NAME; may be given several times [default: one of each address family]
    #[arg(long, value_name = "ADDRESS")]
    address: Vec<String>,
    /// Seconds that a client keeps its backend after its last flow
    #[arg(long, value_name = "SECONDS", default_value_t = 0, hide_default_value = true)]
    affinity: u32,
    /// Nodes with a healthy backend of their own use only those
    #[arg(long)]
    prefer_local: bool,
    /// Use only backends that answer: tcp[:PORT], http[:PORT][/PATH] or grpc[:PORT][/SERVICE], then [,interval=MS][,timeout=MS][,rise=N][,fall=N]
    #[arg(long, value_name = "CHECK")]
    health: Option<Health>,
    #[command(flatten)]
    labels: Labels,
}

#[derive(Args, Debug)]
pub(crate) struct Update {
    /// The service
    #[arg(value_name = "NETWORK/NAME")]
    name: Scoped,
    /// A port of the service; replaces all there were; may be given several times
    #[arg(long, value_name = "[NAME:]PROTOCOL/PORT[=TARGET]")]
    port: Vec<Port>,
    /// Backends are the members of this group; empty: of none
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// A backend; replaces all there were; may be given several times
    #[arg(long, value_name = "NETWORK/NAME|ADDRESS[,weight=N][,draining]")]
    backend: Vec<Backend>,
    /// Seconds that a client keeps its backend after its last flow
    #[arg(long, value_name = "SECONDS")]
    affinity: Option<u32>,
    /// Nodes with a healthy backend of their own use only those
    #[arg(long, value_name = "YES|NO", value_parser = clap::builder::BoolishValueParser::new())]
    prefer_local: Option<bool>,
    /// Use only backends that answer
    #[arg(long, value_name = "CHECK", conflicts_with = "no_health")]
    health: Option<Health>,
    /// Use all backends, whether they answer or not
    #[arg(long)]
    no_health: bool,
    /// Refuse if it was changed since this revision
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    revision: u64,
}

/// A service as it is shown.
#[derive(Serialize)]
pub(super) struct ServiceView {
    network: String,
    name: String,
    uid: String,
    revision: u64,
    addresses: Vec<String>,
    ports: Vec<String>,
    group: String,
    backends: Vec<String>,
    affinity_seconds: u32,
    prefer_local: bool,
    health_check: Option<String>,
    labels: BTreeMap<String, String>,
    status: Vec<StatusView>,
    number: u32,
}

impl From<api::Service> for ServiceView {
    fn from(it: api::Service) -> Self {
        Self {
            labels: labels::sorted(&it.labels),
            ports: it.ports.into_iter().map(|port| Port(port).to_string()).collect(),
            backends: it
                .backends
                .into_iter()
                .map(|backend| Backend(backend).to_string())
                .collect(),
            health_check: it.health_check.map(|health| Health(health).to_string()),
            status: it.status.into_iter().map(StatusView::from).collect(),
            network: it.network,
            name: it.name,
            uid: it.uid,
            revision: it.revision,
            addresses: it.addresses,
            group: it.group,
            affinity_seconds: it.affinity_seconds,
            prefer_local: it.prefer_local,
            number: it.number,
        }
    }
}

impl ServiceView {
    /// "blue/web".
    pub(super) fn full_name(&self) -> String {
        format!("{}/{}", self.network, self.name)
    }

    /// In a few words, for `watch`.
    pub(super) fn summary(&self) -> String {
        format!("{} {}", self.addresses.join(" "), self.ports.join(" "))
    }
}

impl Record for ServiceView {
    const NOUNS: &'static str = "services";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::text("NAME", |it| it.full_name().into()),
        Column::text("ADDRESSES", |it| it.addresses.join(",").into()),
        Column::text("PORTS", |it| it.ports.join(",").into()),
        Column::text("GROUP", |it| Cell::new(&it.group)),
        Column::text("HEALTHY", Self::healthy),
        Column::text("HEALTH CHECK", |it| {
            Cell::new(it.health_check.as_deref().unwrap_or_default())
        }),
        Column::detail("BACKENDS", |it| it.backends.join("; ").into()),
        Column::detail("STATUS", |it| it.states().into()),
        Column::detail("AFFINITY", |it| it.affinity_seconds.into()),
        Column::detail("PREFER LOCAL", |it| {
            Cell::new(if it.prefer_local { "yes" } else { "no" })
        }),
        Column::detail("LABELS", |it| labels::text(&it.labels).into()),
        Column::detail("NUMBER", |it| it.number.into()),
        Column::detail("REVISION", |it| it.revision.into()),
        Column::detail("UID", |it| Cell::new(&it.uid)),
    ];
    const KEYS: &'static [Key<Self>] = &[
        Key::new("name", Kind::Text, "name", |it, out| {
            out.push(Value::Text(&it.name));
        }),
        Key::new("network", Kind::Text, "name of the network", |it, out| {
            out.push(Value::Text(&it.network));
        }),
        Key::new("ip", Kind::Address, "one of its addresses, or a prefix", |it, out| {
            out.extend(it.addresses.iter().map(|address| Value::Net(address)));
        }),
        Key::new("group", Kind::Text, "group of its backends", |it, out| {
            out.push(Value::Text(&it.group));
        }),
        Key::new("label", Kind::Text, "a label as KEY=VALUE", |it, out| {
            labels::values(&it.labels, out);
        }),
    ];
}

/// Does what the command asks.
pub(crate) async fn run(command: Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Create(create) => {
            let service = api::Service {
                network: create.name.network,
                name: create.name.name,
                ports: create.port.into_iter().map(|port| port.0).collect(),
                group: create.group,
                backends: create.backend.into_iter().map(|backend| backend.0).collect(),
                addresses: create.address,
                affinity_seconds: create.affinity,
                prefer_local: create.prefer_local,
                health_check: create.health.map(|health| health.0),
                labels: create.labels.into(),
                ..Default::default()
            };
            let request = api::CreateServiceRequest { service: Some(service) };
            let made = context.control().await?.create_service(request).await?;
            context.output.one(&ServiceView::from(made.into_inner()))
        }
        Command::List(list) => {
            let filter = list.filter::<ServiceView>()?;
            let answer = context
                .control()
                .await?
                .list_services(api::ListServicesRequest::default())
                .await?;
            let views = answer.into_inner().services.into_iter().map(ServiceView::from);
            list.write(&context.output, &filter, views, ServiceView::full_name)
        }
        Command::Show { name } => {
            let request = api::GetServiceRequest {
                network: name.network,
                name: name.name,
            };
            let found = context.control().await?.get_service(request).await?;
            context.output.one(&ServiceView::from(found.into_inner()))
        }
        Command::Update(update) => {
            let mut mask = Mask::default();
            let mut service = api::Service {
                network: update.name.network,
                name: update.name.name,
                revision: update.revision,
                ..Default::default()
            };
            let ports = update.port.into_iter().map(|port| port.0).collect();
            mask.set("ports", &mut service.ports, given(ports, Vec::is_empty));
            mask.set("group", &mut service.group, update.group);
            let backends = update.backend.into_iter().map(|backend| backend.0).collect();
            mask.set("backends", &mut service.backends, given(backends, Vec::is_empty));
            mask.set("affinity_seconds", &mut service.affinity_seconds, update.affinity);
            mask.set("prefer_local", &mut service.prefer_local, update.prefer_local);
            let health = (update.no_health || update.health.is_some()).then(|| update.health.map(|health| health.0));
            mask.set("health_check", &mut service.health_check, health);
            let request = api::UpdateServiceRequest {
                service: Some(service),
                update_mask: mask.finish()?,
            };
            let made = context.control().await?.update_service(request).await?;
            context.output.one(&ServiceView::from(made.into_inner()))
        }
        Command::Delete { name } => {
            let full_name = name.to_string();
            let request = api::DeleteServiceRequest {
                network: name.network,
                name: name.name,
            };
            let answer = context.control().await?.delete_service(request).await?;
            deleted(context, "service", &full_name, answer.into_inner().existed)
        }
    }
}

/// What became of one backend.
#[derive(Serialize)]
struct StatusView {
    backend: String,
    address: String,
    node: String,
    healthy: bool,
    draining: bool,
    detail: String,
}

impl From<api::BackendStatus> for StatusView {
    fn from(it: api::BackendStatus) -> Self {
        Self {
            backend: it.backend,
            address: it.address,
            node: it.node,
            healthy: it.healthy,
            draining: it.draining,
            detail: it.detail,
        }
    }
}

impl ServiceView {
    /// Healthy backends of all: "2/3".
    fn healthy(&self) -> Cell {
        let healthy = self.status.iter().filter(|s| s.healthy).count();
        let style = if self.status.is_empty() || healthy == 0 {
            Style::Bad
        } else if healthy < self.status.len() {
            Style::Warning
        } else {
            Style::Good
        };
        Cell::new(format!("{healthy}/{}", self.status.len())).style(style)
    }

    fn states(&self) -> String {
        let state = |it: &StatusView| {
            let state = match (it.healthy, it.draining) {
                (_, true) => "draining",
                (true, false) => "healthy",
                (false, false) => "unhealthy",
            };
            let detail = if it.detail.is_empty() {
                String::new()
            } else {
                format!(" ({})", it.detail)
            };
            format!("{} {} {state}{detail}", it.backend, it.address)
        };
        let states: Vec<String> = self.status.iter().map(state).collect();
        states.join("; ")
    }
}
