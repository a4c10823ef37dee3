//! `vrctl qos`: limits and marks for endpoints that name them.

use clap::{Args, Subcommand};
use serde::Serialize;
use vrouter_proto::control as api;

use super::{Mask, deleted, syntax::rate::Rate};
use crate::{
    cli::Context,
    failure::Failure,
    filter::{self, Key, Kind, Value},
    listing::ListArgs,
    output::{Cell, Column, Record},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a QoS profile; creating again what exists with the same wish changes nothing
    #[command(after_help = "\
Examples:
  vrctl qos create gold --egress 1gbit --ingress 1gbit,shape --dscp 46
  vrctl qos create small --egress 10mbit,pps=5k,burst=64k
  vrctl endpoint update blue/web-1 --qos gold")]
    Create(Create),
    /// List QoS profiles
    #[command(visible_alias = "ls", after_help = filter::help::<QosProfileView>(&[
        "vrctl qos list",
    ]))]
    List(ListArgs),
    /// Show one QoS profile
    Show {
        /// The QoS profile
        name: String,
    },
    /// Change a QoS profile; what is not named stays as it is
    #[command(after_help = "\
Examples:
  vrctl qos update gold --egress 2gbit")]
    Update(Update),
    /// Delete a QoS profile; refused while endpoints use it
    #[command(visible_alias = "rm")]
    Delete {
        /// The QoS profile
        name: String,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Create {
    /// Name of the QoS profile
    name: String,
    /// Limit of what the endpoint sends: RATE[,pps=N][,burst=BYTES][,burst-packets=N]
    #[arg(long, value_name = "LIMIT")]
    egress: Option<Rate>,
    /// Limit of what it is sent; with `shape`, packets are held back instead of dropped
    #[arg(long, value_name = "LIMIT")]
    ingress: Option<Rate>,
    /// DSCP of what it sends, 0..63
    #[arg(long, value_name = "N")]
    dscp: Option<u32>,
}

#[derive(Args, Debug)]
pub(crate) struct Update {
    /// The QoS profile
    name: String,
    /// Limit of what the endpoint sends
    #[arg(long, value_name = "LIMIT")]
    egress: Option<Rate>,
    /// Limit of what it is sent
    #[arg(long, value_name = "LIMIT")]
    ingress: Option<Rate>,
    /// DSCP of what it sends, 0..63
    #[arg(long, value_name = "N", conflicts_with = "no_dscp")]
    dscp: Option<u32>,
    /// Leave DSCP as the endpoint sets it
    #[arg(long)]
    no_dscp: bool,
    /// Refuse if it was changed since this revision
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    revision: u64,
}

/// A QoS profile as it is shown.
#[derive(Serialize)]
pub(super) struct QosProfileView {
    name: String,
    uid: String,
    revision: u64,
    egress: Option<String>,
    ingress: Option<String>,
    dscp: Option<u32>,
}

impl From<api::QosProfile> for QosProfileView {
    fn from(it: api::QosProfile) -> Self {
        Self {
            name: it.name,
            uid: it.uid,
            revision: it.revision,
            egress: it.egress.map(|rate| Rate(rate).to_string()),
            ingress: it.ingress.map(|rate| Rate(rate).to_string()),
            dscp: it.dscp,
        }
    }
}

impl QosProfileView {
    /// Its name.
    pub(super) fn full_name(&self) -> String {
        self.name.clone()
    }

    /// In a few words, for `watch`.
    pub(super) fn summary(&self) -> String {
        format!(
            "egress {}, ingress {}",
            self.egress.as_deref().unwrap_or("unlimited"),
            self.ingress.as_deref().unwrap_or("unlimited")
        )
    }
}

impl Record for QosProfileView {
    const NOUNS: &'static str = "QoS profiles";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::text("NAME", |it| it.full_name().into()),
        Column::text("EGRESS", |it| Cell::new(it.egress.as_deref().unwrap_or_default())),
        Column::text("INGRESS", |it| Cell::new(it.ingress.as_deref().unwrap_or_default())),
        Column::number("DSCP", |it| it.dscp.map_or_else(Cell::nothing, Cell::from)),
        Column::detail("REVISION", |it| it.revision.into()),
        Column::detail("UID", |it| Cell::new(&it.uid)),
    ];
    const KEYS: &'static [Key<Self>] = &[Key::new("name", Kind::Text, "name", |it, out| {
        out.push(Value::Text(&it.name));
    })];
}

/// Does what the command asks.
pub(crate) async fn run(command: Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Create(create) => {
            let qos_profile = api::QosProfile {
                name: create.name,
                egress: create.egress.map(|rate| rate.0),
                ingress: create.ingress.map(|rate| rate.0),
                dscp: create.dscp,
                ..Default::default()
            };
            let request = api::CreateQosProfileRequest {
                qos_profile: Some(qos_profile),
            };
            let made = context.control().await?.create_qos_profile(request).await?;
            context.output.one(&QosProfileView::from(made.into_inner()))
        }
        Command::List(list) => {
            let filter = list.filter::<QosProfileView>()?;
            let answer = context
                .control()
                .await?
                .list_qos_profiles(api::ListQosProfilesRequest {})
                .await?;
            let views = answer.into_inner().qos_profiles.into_iter().map(QosProfileView::from);
            list.write(&context.output, &filter, views, QosProfileView::full_name)
        }
        Command::Show { name } => {
            let request = api::GetQosProfileRequest { name };
            let found = context.control().await?.get_qos_profile(request).await?;
            context.output.one(&QosProfileView::from(found.into_inner()))
        }
        Command::Update(update) => {
            let mut mask = Mask::default();
            let mut qos_profile = api::QosProfile {
                name: update.name,
                revision: update.revision,
                ..Default::default()
            };
            mask.set(
                "egress",
                &mut qos_profile.egress,
                update.egress.map(|rate| Some(rate.0)),
            );
            mask.set(
                "ingress",
                &mut qos_profile.ingress,
                update.ingress.map(|rate| Some(rate.0)),
            );
            let dscp = (update.no_dscp || update.dscp.is_some()).then_some(update.dscp);
            mask.set("dscp", &mut qos_profile.dscp, dscp);
            let request = api::UpdateQosProfileRequest {
                qos_profile: Some(qos_profile),
                update_mask: mask.finish()?,
            };
            let made = context.control().await?.update_qos_profile(request).await?;
            context.output.one(&QosProfileView::from(made.into_inner()))
        }
        Command::Delete { name } => {
            let full_name = name.to_string();
            let request = api::DeleteQosProfileRequest { name };
            let answer = context.control().await?.delete_qos_profile(request).await?;
            deleted(context, "QoS profile", &full_name, answer.into_inner().existed)
        }
    }
}
