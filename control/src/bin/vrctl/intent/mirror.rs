//! `vrctl mirror`: copies of the packets of endpoints, for an observer.

use clap::{Args, Subcommand};
use serde::Serialize;
use vrouter_proto::control as api;

use super::{
    Mask, deleted, given,
    names::Scoped,
    syntax::{
        collector::{self, Collector},
        traffic::{self, Traffic},
    },
};
use crate::{
    cli::Context,
    failure::Failure,
    filter::{self, Key, Kind, Value},
    listing::ListArgs,
    output::{Cell, Column, Record},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a mirror; creating again what exists with the same wish changes nothing
    #[command(after_help = "\
Examples:
  vrctl mirror create ids --group web --to endpoint:blue/ids
  vrctl mirror create debug --endpoint blue/web-1 --traffic tcp/443 --snap 128 --to erspan:192.0.2.9,session=1")]
    Create(Create),
    /// List mirrors
    #[command(visible_alias = "ls", after_help = filter::help::<MirrorView>(&[
        "vrctl mirror list",
    ]))]
    List(ListArgs),
    /// Show one mirror
    Show {
        /// The mirror
        name: String,
    },
    /// Change a mirror; what is not named stays as it is
    #[command(after_help = "\
Examples:
  vrctl mirror update ids --group front
  vrctl mirror update ids --to vxlan:192.0.2.9,vni=7")]
    Update(Update),
    /// Delete a mirror
    #[command(visible_alias = "rm")]
    Delete {
        /// The mirror
        name: String,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Create {
    /// Name of the mirror
    name: String,
    /// Where copies go
    #[arg(
        long,
        value_name = "endpoint:NETWORK/NAME|vxlan:ADDRESS,vni=N|erspan:ADDRESS,session=N"
    )]
    to: Collector,
    /// Mirror the members of this group
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    group: String,
    /// Mirror this endpoint; may be given several times
    #[arg(long, value_name = "NETWORK/NAME")]
    endpoint: Vec<Scoped>,
    /// What they send [default: both directions]
    #[arg(long)]
    egress: bool,
    /// What they are sent [default: both directions]
    #[arg(long)]
    ingress: bool,
    /// Only this traffic; may be given several times
    #[arg(long, value_name = "TRAFFIC")]
    traffic: Vec<Traffic>,
    /// Only packets with an address in this prefix; may be given several times
    #[arg(long, value_name = "PREFIX")]
    prefix: Vec<String>,
    /// Bytes of each packet, 64..65535 [default: all]
    #[arg(long, value_name = "BYTES", default_value_t = 0, hide_default_value = true)]
    snap: u32,
}

#[derive(Args, Debug)]
pub(crate) struct Update {
    /// The mirror
    name: String,
    /// Where copies go
    #[arg(long, value_name = "COLLECTOR")]
    to: Option<Collector>,
    /// Mirror the members of this group; empty: of none
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// Mirror this endpoint; replaces all there were; may be given several times
    #[arg(long, value_name = "NETWORK/NAME")]
    endpoint: Vec<Scoped>,
    /// Only this traffic; replaces all there was; may be given several times
    #[arg(long, value_name = "TRAFFIC")]
    traffic: Vec<Traffic>,
    /// Bytes of each packet; 0: all
    #[arg(long, value_name = "BYTES")]
    snap: Option<u32>,
    /// Refuse if it was changed since this revision
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    revision: u64,
}

/// A mirror as it is shown.
#[derive(Serialize)]
pub(super) struct MirrorView {
    name: String,
    uid: String,
    revision: u64,
    group: String,
    endpoints: Vec<String>,
    direction: &'static str,
    traffic: String,
    prefixes: Vec<String>,
    snap_length: u32,
    collector: String,
    number: u32,
}

impl From<api::Mirror> for MirrorView {
    fn from(it: api::Mirror) -> Self {
        Self {
            collector: collector::text(it.collector.as_ref()),
            direction: match (it.egress, it.ingress) {
                (true, false) => "egress",
                (false, true) => "ingress",
                _ => "both",
            },
            traffic: traffic::list(&it.traffic),
            name: it.name,
            uid: it.uid,
            revision: it.revision,
            group: it.group,
            endpoints: it.endpoints,
            prefixes: it.prefixes,
            snap_length: it.snap_length,
            number: it.number,
        }
    }
}

impl MirrorView {
    /// Its name.
    pub(super) fn full_name(&self) -> String {
        self.name.clone()
    }

    /// In a few words, for `watch`.
    pub(super) fn summary(&self) -> String {
        format!("to {}", self.collector)
    }
}

impl Record for MirrorView {
    const NOUNS: &'static str = "mirrors";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::text("NAME", |it| it.full_name().into()),
        Column::text("GROUP", |it| Cell::new(&it.group)),
        Column::text("ENDPOINTS", |it| it.endpoints.join(",").into()),
        Column::text("DIRECTION", |it| Cell::new(it.direction)),
        Column::text("TRAFFIC", |it| Cell::new(&it.traffic)),
        Column::text("TO", |it| Cell::new(&it.collector)),
        Column::detail("PREFIXES", |it| it.prefixes.join(",").into()),
        Column::detail("SNAP", |it| it.snap_length.into()),
        Column::detail("NUMBER", |it| it.number.into()),
        Column::detail("REVISION", |it| it.revision.into()),
        Column::detail("UID", |it| Cell::new(&it.uid)),
    ];
    const KEYS: &'static [Key<Self>] = &[
        Key::new("name", Kind::Text, "name", |it, out| {
            out.push(Value::Text(&it.name));
        }),
        Key::new("group", Kind::Text, "group it mirrors", |it, out| {
            out.push(Value::Text(&it.group));
        }),
        Key::new("endpoint", Kind::Text, "an endpoint it mirrors", |it, out| {
            out.extend(it.endpoints.iter().map(|endpoint| Value::Text(endpoint)));
        }),
    ];
}

/// Does what the command asks.
pub(crate) async fn run(command: Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Create(create) => {
            let mirror = api::Mirror {
                name: create.name,
                collector: Some(create.to.0),
                group: create.group,
                endpoints: create.endpoint.iter().map(ToString::to_string).collect(),
                egress: create.egress,
                ingress: create.ingress,
                traffic: create.traffic.into_iter().map(|t| t.0).collect(),
                prefixes: create.prefix,
                snap_length: create.snap,
                ..Default::default()
            };
            let request = api::CreateMirrorRequest { mirror: Some(mirror) };
            let made = context.control().await?.create_mirror(request).await?;
            context.output.one(&MirrorView::from(made.into_inner()))
        }
        Command::List(list) => {
            let filter = list.filter::<MirrorView>()?;
            let answer = context
                .control()
                .await?
                .list_mirrors(api::ListMirrorsRequest {})
                .await?;
            let views = answer.into_inner().mirrors.into_iter().map(MirrorView::from);
            list.write(&context.output, &filter, views, MirrorView::full_name)
        }
        Command::Show { name } => {
            let request = api::GetMirrorRequest { name };
            let found = context.control().await?.get_mirror(request).await?;
            context.output.one(&MirrorView::from(found.into_inner()))
        }
        Command::Update(update) => {
            let mut mask = Mask::default();
            let mut mirror = api::Mirror {
                name: update.name,
                revision: update.revision,
                ..Default::default()
            };
            mask.set("collector", &mut mirror.collector, update.to.map(|to| Some(to.0)));
            mask.set("group", &mut mirror.group, update.group);
            let endpoints = update.endpoint.iter().map(ToString::to_string).collect();
            mask.set("endpoints", &mut mirror.endpoints, given(endpoints, Vec::is_empty));
            let traffic = update.traffic.into_iter().map(|t| t.0).collect();
            mask.set("traffic", &mut mirror.traffic, given(traffic, Vec::is_empty));
            mask.set("snap_length", &mut mirror.snap_length, update.snap);
            let request = api::UpdateMirrorRequest {
                mirror: Some(mirror),
                update_mask: mask.finish()?,
            };
            let made = context.control().await?.update_mirror(request).await?;
            context.output.one(&MirrorView::from(made.into_inner()))
        }
        Command::Delete { name } => {
            let full_name = name.to_string();
            let request = api::DeleteMirrorRequest { name };
            let answer = context.control().await?.delete_mirror(request).await?;
            deleted(context, "mirror", &full_name, answer.into_inner().existed)
        }
    }
}
