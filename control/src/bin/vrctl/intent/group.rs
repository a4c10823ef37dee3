//! `vrctl group`: endpoints by their labels.

use std::collections::{BTreeMap, HashMap};

use clap::{Args, Subcommand};
use serde::Serialize;
use vrouter_proto::control as api;

use super::{
    Mask, deleted, given,
    labels::{self, Labels},
    names::Scoped,
    syntax::requirement::Requirement,
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
    /// Create a group; creating again what exists with the same wish changes nothing
    #[command(after_help = "\
Examples:
  vrctl group create web --label app=web
  vrctl group create front --label tier=front --require 'app in web,api' --network blue
  vrctl group create all --group web --group front --endpoint blue/db-1")]
    Create(Create),
    /// List groups
    #[command(visible_alias = "ls", after_help = filter::help::<GroupView>(&[
        "vrctl group list",
    ]))]
    List(ListArgs),
    /// Show one group
    Show {
        /// The group
        name: String,
    },
    /// Change a group; what is not named stays as it is
    #[command(after_help = "\
Examples:
  vrctl group update web --label app=web --label env=prod
  vrctl group update all --group web")]
    Update(Update),
    /// Delete a group; refused while a policy, service, mirror or another group names it
    #[command(visible_alias = "rm")]
    Delete {
        /// The group
        name: String,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Create {
    /// Name of the group
    name: String,
    #[command(flatten)]
    labels: Labels,
    /// What a label of its endpoints must be: KEY, !KEY, 'KEY in A,B' or 'KEY notin A,B'; may be given several times, all must hold
    #[arg(long, value_name = "REQUIREMENT")]
    require: Vec<Requirement>,
    /// Only endpoints of this network; may be given several times
    #[arg(long, value_name = "NAME")]
    network: Vec<String>,
    /// Members of this group are members, too; may be given several times
    #[arg(long, value_name = "NAME")]
    group: Vec<String>,
    /// A single endpoint; may be given several times
    #[arg(long, value_name = "NETWORK/NAME")]
    endpoint: Vec<Scoped>,
    /// Make it although no endpoint has these labels yet
    #[arg(long)]
    allow_unknown_labels: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Update {
    /// The group
    name: String,
    /// A label its endpoints have; replaces all there were; may be given several times
    #[command(flatten)]
    labels: Labels,
    /// What a label must be; replaces all there were; may be given several times
    #[arg(long, value_name = "REQUIREMENT")]
    require: Vec<Requirement>,
    /// Only endpoints of this network; replaces all there were; may be given several times
    #[arg(long, value_name = "NAME")]
    network: Vec<String>,
    /// Members of this group, too; replaces all there were; may be given several times
    #[arg(long, value_name = "NAME")]
    group: Vec<String>,
    /// A single endpoint; replaces all there were; may be given several times
    #[arg(long, value_name = "NETWORK/NAME")]
    endpoint: Vec<Scoped>,
    /// Change it although no endpoint has these labels yet
    #[arg(long)]
    allow_unknown_labels: bool,
    /// Refuse if it was changed since this revision
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    revision: u64,
}

/// A group as it is shown.
#[derive(Serialize)]
pub(super) struct GroupView {
    name: String,
    uid: String,
    revision: u64,
    match_labels: BTreeMap<String, String>,
    match_expressions: Vec<String>,
    networks: Vec<String>,
    groups: Vec<String>,
    endpoints: Vec<String>,
    number: u32,
    members: u64,
}

impl From<api::Group> for GroupView {
    fn from(it: api::Group) -> Self {
        Self {
            match_labels: labels::sorted(&it.match_labels),
            match_expressions: it
                .match_expressions
                .into_iter()
                .map(|r| Requirement(r).to_string())
                .collect(),
            name: it.name,
            uid: it.uid,
            revision: it.revision,
            networks: it.networks,
            groups: it.groups,
            endpoints: it.endpoints,
            number: it.number,
            members: it.members,
        }
    }
}

impl GroupView {
    /// Its name.
    pub(super) fn full_name(&self) -> String {
        self.name.clone()
    }

    /// In a few words, for `watch`.
    pub(super) fn summary(&self) -> String {
        format!("{}, {} members", self.selects(), self.members)
    }
}

impl Record for GroupView {
    const NOUNS: &'static str = "groups";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::text("NAME", |it| it.full_name().into()),
        Column::text("SELECTS", |it| it.selects().into()),
        Column::number("MEMBERS", |it| it.members.into()),
        Column::text("NETWORKS", |it| it.networks.join(",").into()),
        Column::text("GROUPS", |it| it.groups.join(",").into()),
        Column::text("ENDPOINTS", |it| it.endpoints.join(",").into()),
        Column::detail("NUMBER", |it| it.number.into()),
        Column::detail("REVISION", |it| it.revision.into()),
        Column::detail("UID", |it| Cell::new(&it.uid)),
    ];
    const KEYS: &'static [Key<Self>] = &[
        Key::new("name", Kind::Text, "name", |it, out| {
            out.push(Value::Text(&it.name));
        }),
        Key::new("network", Kind::Text, "one of its networks", |it, out| {
            out.extend(it.networks.iter().map(|network| Value::Text(network)));
        }),
        Key::new("label", Kind::Text, "a label it selects, as KEY=VALUE", |it, out| {
            labels::values(&it.match_labels, out);
        }),
    ];
}

/// Does what the command asks.
pub(crate) async fn run(command: Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Create(create) => {
            let group = api::Group {
                name: create.name,
                match_labels: create.labels.into(),
                match_expressions: create.require.into_iter().map(|r| r.0).collect(),
                networks: create.network,
                groups: create.group,
                endpoints: create.endpoint.iter().map(ToString::to_string).collect(),
                ..Default::default()
            };
            let request = api::CreateGroupRequest {
                group: Some(group),
                allow_unknown_labels: create.allow_unknown_labels,
            };
            let made = context.control().await?.create_group(request).await?;
            context.output.one(&GroupView::from(made.into_inner()))
        }
        Command::List(list) => {
            let filter = list.filter::<GroupView>()?;
            let answer = context.control().await?.list_groups(api::ListGroupsRequest {}).await?;
            let views = answer.into_inner().groups.into_iter().map(GroupView::from);
            list.write(&context.output, &filter, views, GroupView::full_name)
        }
        Command::Show { name } => {
            let request = api::GetGroupRequest { name };
            let found = context.control().await?.get_group(request).await?;
            context.output.one(&GroupView::from(found.into_inner()))
        }
        Command::Update(update) => {
            let mut mask = Mask::default();
            let mut group = api::Group {
                name: update.name,
                revision: update.revision,
                ..Default::default()
            };
            let labels: HashMap<String, String> = update.labels.into();
            mask.set(
                "match_labels",
                &mut group.match_labels,
                given(labels, HashMap::is_empty),
            );
            let require = update.require.into_iter().map(|r| r.0).collect();
            mask.set(
                "match_expressions",
                &mut group.match_expressions,
                given(require, Vec::is_empty),
            );
            mask.set("networks", &mut group.networks, given(update.network, Vec::is_empty));
            mask.set("groups", &mut group.groups, given(update.group, Vec::is_empty));
            let endpoints = update.endpoint.iter().map(ToString::to_string).collect();
            mask.set("endpoints", &mut group.endpoints, given(endpoints, Vec::is_empty));
            let request = api::UpdateGroupRequest {
                group: Some(group),
                update_mask: mask.finish()?,
                allow_unknown_labels: update.allow_unknown_labels,
            };
            let made = context.control().await?.update_group(request).await?;
            context.output.one(&GroupView::from(made.into_inner()))
        }
        Command::Delete { name } => {
            let full_name = name.to_string();
            let request = api::DeleteGroupRequest { name };
            let answer = context.control().await?.delete_group(request).await?;
            deleted(context, "group", &full_name, answer.into_inner().existed)
        }
    }
}

impl GroupView {
    /// What labels are asked for, in words.
    fn selects(&self) -> String {
        let labels = (!self.match_labels.is_empty()).then(|| labels::text(&self.match_labels));
        let parts: Vec<String> = labels
            .into_iter()
            .chain(self.match_expressions.iter().cloned())
            .collect();
        parts.join(" and ")
    }
}
