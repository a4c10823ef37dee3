//! `vrctl neighbor`: which MAC address an IP address has, in bridges and on the underlay.

use clap::{Args, Subcommand};
use serde::Serialize;
use vrouter_proto::dataplane as api;

use super::{
    Tables,
    names::{Names, label},
};
use crate::{
    cli::Context,
    failure::Failure,
    filter::{self, Filter, Key, Kind, Net, Value},
    listing::ListArgs,
    output::{Cell, Column, Record},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List neighbours
    #[command(visible_alias = "ls", after_help = filter::help::<NeighborView>(&[
        "vrctl neighbor list --match underlay=yes", "vrctl neighbor list --match 'bridge=lab ip=10.1.0.0/24'",
    ]))]
    List(ListArgs),
    /// Show a neighbour, in every bridge that has it and on the underlay
    #[command(after_help = "With -o json: an array, since several bridges may have the address.")]
    Show(Show),
}

#[derive(Args, Debug)]
pub(crate) struct Show {
    /// IPv4 or IPv6 address
    address: std::net::IpAddr,
    /// Only in this bridge
    #[arg(long, value_name = "NAME|ID")]
    bridge: Option<String>,
}

/// A neighbour as it is shown.
#[derive(Serialize)]
pub(crate) struct NeighborView {
    bridge: u32,
    bridge_name: Option<String>,
    address: String,
    mac: String,
    state: String,
    interface: String,
}

impl NeighborView {
    fn new(neighbor: &api::Neighbor, names: &Names) -> Self {
        Self {
            bridge: neighbor.bridge,
            bridge_name: names.bridge(neighbor.bridge),
            address: neighbor.address.clone(),
            mac: neighbor.mac.clone(),
            state: neighbor.state.clone(),
            interface: neighbor.interface.clone(),
        }
    }
}

impl Record for NeighborView {
    const NOUNS: &'static str = "neighbours";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::text("WHERE", |it| match it.bridge {
            0 => "underlay".into(),
            bridge => format!("bridge {}", label(it.bridge_name.as_deref(), bridge.into())).into(),
        }),
        Column::text("ADDRESS", |it| Cell::new(&it.address)),
        Column::text("MAC", |it| Cell::new(&it.mac)),
        Column::text("STATE", |it| Cell::new(&it.state)),
        Column::text("INTERFACE", |it| Cell::new(&it.interface)),
    ];
    const KEYS: &'static [Key<Self>] = &[
        Key::new("bridge", Kind::Reference, "bridge by name or number", |it, out| {
            out.push(Value::Reference(it.bridge.into(), it.bridge_name.as_deref()));
        }),
        Key::new("underlay", Kind::Flag, "on the underlay: yes or no", |it, out| {
            out.push(Value::Flag(it.bridge == 0));
        }),
        Key::new("ip", Kind::Address, "address, or a prefix", |it, out| {
            out.push(Value::Net(&it.address));
        }),
        Key::new("mac", Kind::Text, "MAC address, like 02:00:*", |it, out| {
            out.push(Value::Text(&it.mac));
        }),
        Key::new("state", Kind::Text, "state (underlay only)", |it, out| {
            out.push(Value::Text(&it.state));
        }),
        Key::new("interface", Kind::Text, "uplink (underlay only)", |it, out| {
            out.push(Value::Text(&it.interface));
        }),
    ];
}

/// Does what the command asks.
pub(crate) async fn run(command: Command, context: &Context) -> Result<(), Failure> {
    const KINDS: &[api::Kind] = &[api::Kind::Neighbor, api::Kind::Bridge];
    match command {
        Command::List(list) => {
            let filter = list.filter::<NeighborView>()?;
            let tables = Tables::fetch(context, KINDS).await?;
            let names = tables.names();
            let views = tables
                .neighbors
                .iter()
                .map(|neighbor| NeighborView::new(neighbor, &names));
            list.write(&context.output, &filter, views, |view| {
                (view.bridge, view.address.parse::<Net>().ok())
            })
        }
        Command::Show(show) => {
            let mut filter = Filter::<NeighborView>::default();
            filter.and("ip", &show.address.to_string())?;
            if let Some(bridge) = &show.bridge {
                filter.and("bridge", bridge)?;
            }
            let tables = Tables::fetch(context, KINDS).await?;
            let names = tables.names();
            let views = tables
                .neighbors
                .iter()
                .map(|neighbor| NeighborView::new(neighbor, &names));
            let none = format!("no neighbour has {}", show.address);
            context.output.several(&super::several(views, &filter, &none)?)
        }
    }
}
