//! `vrctl label`: what arrives in MPLS, and where it goes.

use clap::Subcommand;
use serde::Serialize;
use vrouter_proto::dataplane::{self as api, label::Target};

use super::{
    Tables, VrfListArgs,
    names::{self, Names},
    pick, vrf,
};
use crate::{
    cli::Context,
    failure::Failure,
    filter::{self, Key, Kind, Value},
    output::{Cell, Column, Record},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List labels
    #[command(visible_alias = "ls", after_help = filter::help::<LabelView>(&["vrctl label list --vrf blue"]))]
    List(VrfListArgs),
    /// Show one label
    Show {
        /// The label, or its name
        #[arg(value_name = "LABEL|NAME")]
        label: String,
    },
}

/// A label binding as it is shown: one of `vrf` and `next_hop` is set.
#[derive(Serialize)]
pub(crate) struct LabelView {
    label: u32,
    name: String,
    vrf: Option<u32>,
    vrf_name: Option<String>,
    next_hop: Option<u64>,
    next_hop_name: Option<String>,
    next_hop_action: Option<String>,
}

impl LabelView {
    fn new(label: &api::Label, names: &Names) -> Self {
        let (vrf, next_hop) = match label.target {
            Some(Target::Vrf(vrf)) => (Some(vrf), None),
            Some(Target::NextHop(next_hop)) => (None, Some(next_hop)),
            None => (None, None),
        };
        Self {
            label: label.label,
            name: label.name.clone(),
            vrf,
            vrf_name: vrf.and_then(|vrf| names.vrf(vrf)),
            next_hop,
            next_hop_name: next_hop.and_then(|next_hop| names.next_hop(next_hop)),
            next_hop_action: next_hop.and_then(|next_hop| names.action(next_hop)),
        }
    }

    fn target(&self) -> String {
        match (self.vrf, self.next_hop) {
            (Some(vrf), _) => format!("VRF {}", names::label(self.vrf_name.as_deref(), vrf.into())),
            (_, Some(next_hop)) => format!("next hop {}", names::label(self.next_hop_name.as_deref(), next_hop)),
            (None, None) => String::new(),
        }
    }
}

impl Record for LabelView {
    const NOUNS: &'static str = "labels";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::number("LABEL", |it| it.label.into()),
        Column::text("NAME", |it| Cell::new(&it.name)),
        Column::text("TARGET", |it| it.target().into()),
        Column::text("DOES", |it| match it.vrf {
            Some(_) => "route lookup".into(),
            None => it.next_hop_action.as_deref().unwrap_or_default().into(),
        }),
    ];
    const KEYS: &'static [Key<Self>] = &[
        Key::new("label", Kind::Number, "the label", |it, out| {
            out.push(Value::Number(it.label.into()));
        }),
        Key::new("name", Kind::Text, "name", |it, out| out.push(Value::Text(&it.name))),
        Key::new("vrf", Kind::Reference, "VRF by name or number", |it, out| {
            out.extend(it.vrf.map(|vrf| Value::Reference(vrf.into(), it.vrf_name.as_deref())));
        }),
        Key::new("nexthop", Kind::Reference, "next hop by name or number", |it, out| {
            out.extend(
                it.next_hop
                    .map(|next_hop| Value::Reference(next_hop, it.next_hop_name.as_deref())),
            );
        }),
    ];
}

/// Does what the command asks.
pub(crate) async fn run(command: Command, context: &Context) -> Result<(), Failure> {
    const KINDS: &[api::Kind] = &[api::Kind::Label, api::Kind::Vrf, api::Kind::NextHop, api::Kind::Port];
    match command {
        Command::List(args) => {
            let filter = args.filter::<LabelView>()?;
            vrf::asked(context, &filter).await?;
            let tables = Tables::fetch(context, KINDS).await?;
            let names = tables.names();
            let views = tables.labels.iter().map(|label| LabelView::new(label, &names));
            args.list.write(&context.output, &filter, views, |view| view.label)
        }
        Command::Show { label } => {
            let tables = Tables::fetch(context, KINDS).await?;
            let names = tables.names();
            let views = tables.labels.iter().map(|label| LabelView::new(label, &names));
            context
                .output
                .one(&pick(views, &label, "label", |view| (view.label.into(), &view.name))?)
        }
    }
}
