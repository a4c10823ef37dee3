//! `vrctl node`: compute nodes, and foreign VTEPs.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde::Serialize;
use vrouter_proto::control as api;

use super::{
    LabelChanges, Mask, deleted,
    labels::{self, Labels},
    status::DataplaneView,
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
    /// Create a node
    #[command(after_help = "\
Examples:
  vrctl node create node1
  vrctl node create node2 --vtep 192.0.2.2 --vtep 2001:db8::2
  vrctl node create switch --vtep 192.0.2.9 --external")]
    Create(Create),
    /// List nodes
    #[command(visible_alias = "ls", after_help = filter::help::<NodeView>(&[
        "vrctl node list", "vrctl node list --match 'connected=no external=no'",
    ]))]
    List(ListArgs),
    /// Show one node
    Show {
        /// Name of the node
        name: String,
    },
    /// Change a node; what is not named stays as it is
    #[command(
        after_help = "Examples:\n  vrctl node update node1 --vtep 192.0.2.1\n  vrctl node update node1 --no-vtep"
    )]
    Update(Update),
    /// Delete a node; refused while endpoints live on it
    #[command(visible_alias = "rm")]
    Delete {
        /// Name of the node
        name: String,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Create {
    /// Name: 1..63 lower-case letters, digits, '-', '_', '.'
    name: String,
    /// Tunnel address; at most one IPv4 and one IPv6 [default: what its dataplane says]
    #[arg(long, value_name = "ADDRESS")]
    vtep: Vec<String>,
    /// It runs no vrouter (a kernel VTEP, a switch): packets are sent to it, nothing is programmed on it
    #[arg(long)]
    external: bool,
    /// An address on the underlay to translate sources behind, which no host has; may be given several times
    #[arg(long, value_name = "ADDRESS")]
    nat_address: Vec<String>,
    #[command(flatten)]
    labels: Labels,
}

#[derive(Args, Debug)]
pub(crate) struct Update {
    /// Name of the node
    name: String,
    /// Tunnel address; replaces all there were; may be given twice
    #[arg(long, value_name = "ADDRESS")]
    vtep: Vec<String>,
    /// Use the tunnel addresses that its dataplane says
    #[arg(long, conflicts_with = "vtep")]
    no_vtep: bool,
    /// An address to translate sources behind; replaces all there were; may be given several times
    #[arg(long, value_name = "ADDRESS")]
    nat_address: Vec<String>,
    /// Translate no sources here
    #[arg(long, conflicts_with = "nat_address")]
    no_nat_address: bool,
    #[command(flatten)]
    labels: LabelChanges,
    /// Refuse if the node was changed since this revision
    #[arg(long, value_name = "N")]
    revision: Option<u64>,
}

/// A node as it is shown.
#[derive(Serialize)]
pub(super) struct NodeView {
    pub(super) name: String,
    uid: String,
    revision: u64,
    vtep_addresses: Vec<String>,
    labels: BTreeMap<String, String>,
    number: u32,
    dataplane: Option<DataplaneView>,
    external: bool,
    effective_vtep_addresses: Vec<String>,
    nat_addresses: Vec<String>,
}

impl From<api::Node> for NodeView {
    fn from(node: api::Node) -> Self {
        Self {
            labels: labels::sorted(&node.labels),
            name: node.name,
            uid: node.uid,
            revision: node.revision,
            vtep_addresses: node.vtep_addresses,
            number: node.number,
            dataplane: node.dataplane.map(DataplaneView::from),
            external: node.external,
            effective_vtep_addresses: node.effective_vtep_addresses,
            nat_addresses: node.nat_addresses,
        }
    }
}

impl NodeView {
    /// In a few words, for `watch`.
    pub(super) fn summary(&self) -> String {
        let kind = if self.external { "external" } else { "vrouter" };
        match self.effective_vtep_addresses.as_slice() {
            [] => kind.to_owned(),
            addresses => format!("{kind}, VTEP {}", addresses.join(" ")),
        }
    }

    fn connected(&self) -> bool {
        self.dataplane.as_ref().is_some_and(|dataplane| dataplane.connected)
    }

    fn state(&self) -> Cell {
        match &self.dataplane {
            _ if self.external => "external".into(),
            None => Cell::new("no dataplane").style(Style::Warning),
            Some(dataplane) => dataplane.state(),
        }
    }
}

impl Record for NodeView {
    const NOUNS: &'static str = "nodes";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::text("NAME", |it| Cell::new(&it.name)),
        Column::number("NUMBER", |it| it.number.into()),
        Column::text("VTEP", |it| it.effective_vtep_addresses.join(",").into()),
        Column::text("STATE", Self::state),
        Column::text("LABELS", |it| labels::text(&it.labels).into()),
        Column::detail("VTEP WISHED", |it| it.vtep_addresses.join(",").into()),
        Column::detail("NAT", |it| it.nat_addresses.join(",").into()),
        Column::detail("DATAPLANE", |it| {
            it.dataplane.as_ref().map_or("", |dataplane| &dataplane.address).into()
        }),
        Column::detail("SYNCED REVISION", |it| match &it.dataplane {
            Some(dataplane) => dataplane.synced_revision.into(),
            None => "".into(),
        }),
        Column::detail("ERROR", |it| {
            it.dataplane.as_ref().map_or("", |dataplane| &dataplane.error).into()
        }),
        Column::detail("REVISION", |it| it.revision.into()),
        Column::detail("UID", |it| Cell::new(&it.uid)),
    ];
    const KEYS: &'static [Key<Self>] = &[
        Key::new("name", Kind::Text, "name", |it, out| out.push(Value::Text(&it.name))),
        Key::new("number", Kind::Number, "number", |it, out| {
            out.push(Value::Number(it.number.into()));
        }),
        Key::new("vtep", Kind::Address, "tunnel address, or a prefix", |it, out| {
            out.extend(it.effective_vtep_addresses.iter().map(|address| Value::Net(address)));
        }),
        Key::new(
            "connected",
            Kind::Flag,
            "its dataplane is connected: yes or no",
            |it, out| {
                out.push(Value::Flag(it.connected()));
            },
        ),
        Key::new("external", Kind::Flag, "it runs no vrouter: yes or no", |it, out| {
            out.push(Value::Flag(it.external));
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
            let node = api::Node {
                name: create.name,
                vtep_addresses: create.vtep,
                labels: create.labels.into(),
                external: create.external,
                nat_addresses: create.nat_address,
                ..Default::default()
            };
            let request = api::CreateNodeRequest { node: Some(node) };
            let node = context.control().await?.create_node(request).await?;
            context.output.one(&NodeView::from(node.into_inner()))
        }
        Command::List(list) => {
            let filter = list.filter::<NodeView>()?;
            let answer = context.control().await?.list_nodes(api::ListNodesRequest {}).await?;
            let views = answer.into_inner().nodes.into_iter().map(NodeView::from);
            list.write(&context.output, &filter, views, |view| view.name.clone())
        }
        Command::Show { name } => {
            let node = context.control().await?.get_node(api::GetNodeRequest { name }).await?;
            context.output.one(&NodeView::from(node.into_inner()))
        }
        Command::Update(update) => self::update(update, context).await,
        Command::Delete { name } => {
            let request = api::DeleteNodeRequest { name: name.clone() };
            let answer = context.control().await?.delete_node(request).await?;
            deleted(context, "node", &name, answer.into_inner().existed)
        }
    }
}

async fn update(update: Update, context: &Context) -> Result<(), Failure> {
    let mut mask = Mask::default();
    let mut node = api::Node {
        name: update.name,
        revision: update.revision.unwrap_or_default(),
        ..Default::default()
    };
    let addresses = (update.no_vtep || !update.vtep.is_empty()).then_some(update.vtep);
    mask.set("vtep_addresses", &mut node.vtep_addresses, addresses);
    let addresses = (update.no_nat_address || !update.nat_address.is_empty()).then_some(update.nat_address);
    mask.set("nat_addresses", &mut node.nat_addresses, addresses);
    update.labels.announce(&mut mask);
    let update_mask = mask.finish()?;
    let mut control = context.control().await?;
    if !update.labels.is_empty() {
        let name = node.name.clone();
        let now = control.get_node(api::GetNodeRequest { name }).await?.into_inner();
        node.labels = update.labels.apply(now.labels);
        node.revision = update.revision.unwrap_or(now.revision);
    }
    let request = api::UpdateNodeRequest {
        node: Some(node),
        update_mask,
    };
    let node = control.update_node(request).await?;
    context.output.one(&NodeView::from(node.into_inner()))
}
