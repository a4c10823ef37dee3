//! `vrctl route`: where packets of a VRF go.

use std::cmp::Reverse;

use clap::{Args, Subcommand};
use serde::Serialize;
use vrouter_proto::dataplane as api;

use super::{
    Tables, VrfListArgs,
    names::{Names, label},
    vrf,
};
use crate::{
    cli::Context,
    failure::Failure,
    filter::{self, Filter, Key, Kind, Net, Value},
    output::{Cell, Column, Record, Style},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List routes
    #[command(visible_alias = "ls", after_help = filter::help::<RouteView>(&[
        "vrctl route list --vrf blue", "vrctl route list --match 'vrf=blue ip=10.1.0.2'   (all routes that hold the address)",
        "vrctl route list --match 'nexthop=to-node2 active=yes' -o json",
    ]))]
    List(VrfListArgs),
    /// Show the routes of a prefix, or the routes that hold an address, the longest first
    #[command(after_help = "\
With -o json: an array, since several VRFs and several sources may have the prefix.

Examples:
  vrctl route show 10.1.0.0/24
  vrctl route show 10.1.0.2 --vrf blue")]
    Show(Show),
}

#[derive(Args, Debug)]
pub(crate) struct Show {
    /// A prefix or an address
    #[arg(value_name = "PREFIX|ADDRESS")]
    destination: String,
    /// Only in this VRF
    #[arg(long, value_name = "NAME|ID")]
    vrf: Option<String>,
}

/// A route as it is shown.
#[derive(Serialize)]
pub(crate) struct RouteView {
    vrf: u32,
    vrf_name: Option<String>,
    prefix: String,
    next_hop: u64,
    next_hop_name: Option<String>,
    next_hop_action: Option<String>,
    source: u32,
    preference: u32,
    active: bool,
}

impl RouteView {
    fn new(route: &api::Route, names: &Names) -> Self {
        Self {
            vrf: route.vrf,
            vrf_name: names.vrf(route.vrf),
            prefix: route.prefix.clone(),
            next_hop: route.next_hop,
            next_hop_name: names.next_hop(route.next_hop),
            next_hop_action: names.action(route.next_hop),
            source: route.source,
            preference: route.preference,
            active: route.active,
        }
    }

    fn net(&self) -> Option<Net> {
        self.prefix.parse().ok()
    }
}

impl Record for RouteView {
    const NOUNS: &'static str = "routes";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::text("VRF", |it| label(it.vrf_name.as_deref(), it.vrf.into()).into()),
        Column::text("PREFIX", |it| Cell::new(&it.prefix)),
        Column::text("NEXT HOP", |it| label(it.next_hop_name.as_deref(), it.next_hop).into()),
        Column::text("DOES", |it| it.next_hop_action.as_deref().unwrap_or_default().into()),
        Column::number("SOURCE", |it| it.source.into()),
        Column::number("PREF", |it| it.preference.into()),
        Column::text("ACTIVE", |it| {
            let style = if it.active { Style::Plain } else { Style::Faint };
            Cell::from(it.active).style(style)
        }),
    ];
    const KEYS: &'static [Key<Self>] = &[
        Key::new("vrf", Kind::Reference, "VRF by name or number", |it, out| {
            out.push(Value::Reference(it.vrf.into(), it.vrf_name.as_deref()));
        }),
        Key::new("prefix", Kind::Prefix, "exactly this prefix", |it, out| {
            out.push(Value::Net(&it.prefix));
        }),
        Key::new(
            "ip",
            Kind::Address,
            "an address the route holds, or a prefix it lies within",
            |it, out| {
                out.push(Value::Net(&it.prefix));
            },
        ),
        Key::new("nexthop", Kind::Reference, "next hop by name or number", |it, out| {
            out.push(Value::Reference(it.next_hop, it.next_hop_name.as_deref()));
        }),
        Key::new(
            "does",
            Kind::Text,
            "what the next hop does, like '*to 192.0.2.2*'",
            |it, out| {
                out.extend(it.next_hop_action.as_deref().map(Value::Text));
            },
        ),
        Key::new("source", Kind::Number, "who offers it, 0..15", |it, out| {
            out.push(Value::Number(it.source.into()));
        }),
        Key::new("preference", Kind::Number, "0..15, the smallest is used", |it, out| {
            out.push(Value::Number(it.preference.into()));
        }),
        Key::new("active", Kind::Flag, "it is used: yes or no", |it, out| {
            out.push(Value::Flag(it.active));
        }),
    ];
}

async fn fetch(context: &Context, filter: &Filter<RouteView>) -> Result<Tables, Failure> {
    const KINDS: &[api::Kind] = &[api::Kind::Route, api::Kind::Vrf, api::Kind::NextHop, api::Kind::Port];
    let vrf = vrf::asked(context, filter).await?;
    Tables::fetch_within(context, KINDS, vrf).await
}

/// Does what the command asks.
pub(crate) async fn run(command: Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::List(args) => {
            let filter = args.filter::<RouteView>()?;
            let tables = fetch(context, &filter).await?;
            let names = tables.names();
            let views = tables.routes.iter().map(|route| RouteView::new(route, &names));
            args.list.write(&context.output, &filter, views, |view| {
                (view.vrf, view.net(), view.source)
            })
        }
        Command::Show(show) => {
            let mut filter = Filter::<RouteView>::default();
            let key = if show.destination.contains('/') { "prefix" } else { "ip" };
            filter.and(key, &show.destination)?;
            if let Some(vrf) = &show.vrf {
                filter.and("vrf", vrf)?;
            }
            let tables = fetch(context, &filter).await?;
            let names = tables.names();
            let views = tables.routes.iter().map(|route| RouteView::new(route, &names));
            let none = format!("no route for {}", show.destination);
            let mut found = super::several(views, &filter, &none)?;
            found.sort_by_key(|view| {
                (
                    view.vrf,
                    Reverse(view.net().map(Net::length)),
                    view.preference,
                    view.source,
                )
            });
            context.output.several(&found)
        }
    }
}
