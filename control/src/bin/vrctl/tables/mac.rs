//! `vrctl mac`: MAC addresses of bridges, programmed and learned.

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
    filter::{self, Filter, Key, Kind, Value},
    listing::ListArgs,
    output::{Cell, Column, Record},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List MAC addresses
    #[command(visible_alias = "ls", after_help = filter::help::<MacView>(&[
        "vrctl mac list --match 'bridge=lab learned=yes'", "vrctl mac list --match vtep=192.0.2.2",
    ]))]
    List(ListArgs),
    /// Show a MAC address, in every bridge that has it
    #[command(after_help = "With -o json: an array, since several bridges may have the address.")]
    Show(Show),
}

#[derive(Args, Debug)]
pub(crate) struct Show {
    /// The address
    mac: String,
    /// Only in this bridge
    #[arg(long, value_name = "NAME|ID")]
    bridge: Option<String>,
}

/// A MAC entry as it is shown.
#[derive(Serialize)]
pub(crate) struct MacView {
    bridge: u32,
    bridge_name: Option<String>,
    mac: String,
    next_hop: u64,
    next_hop_name: Option<String>,
    next_hop_action: Option<String>,
    learned: bool,
    age_seconds: u32,
    port: u32,
    port_name: Option<String>,
    vtep: String,
}

impl MacView {
    fn new(mac: &api::Mac, names: &Names) -> Self {
        Self {
            bridge: mac.bridge,
            bridge_name: names.bridge(mac.bridge),
            mac: mac.mac.clone(),
            next_hop: mac.next_hop,
            next_hop_name: names.next_hop(mac.next_hop),
            next_hop_action: names.action(mac.next_hop),
            learned: mac.learned,
            age_seconds: mac.age_seconds,
            port: mac.port,
            port_name: names.port(mac.port),
            vtep: mac.vtep.clone(),
        }
    }

    /// Where frames to it go, in words.
    fn place(&self) -> String {
        match (&self.next_hop_action, self.port) {
            (Some(action), _) => action.clone(),
            (None, 0) if self.vtep.is_empty() => label(self.next_hop_name.as_deref(), self.next_hop),
            (None, 0) => format!("VTEP {}", self.vtep),
            (None, port) => format!("port {}", label(self.port_name.as_deref(), port.into())),
        }
    }
}

impl Record for MacView {
    const NOUNS: &'static str = "MAC addresses";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::text("BRIDGE", |it| label(it.bridge_name.as_deref(), it.bridge.into()).into()),
        Column::text("MAC", |it| Cell::new(&it.mac)),
        Column::text("AT", |it| it.place().into()),
        Column::text("NEXT HOP", |it| label(it.next_hop_name.as_deref(), it.next_hop).into()),
        Column::text("ORIGIN", |it| if it.learned { "learned" } else { "programmed" }.into()),
        Column::number("AGE", |it| {
            if it.learned {
                format!("{} s", it.age_seconds).into()
            } else {
                Cell::nothing()
            }
        }),
    ];
    const KEYS: &'static [Key<Self>] = &[
        Key::new("bridge", Kind::Reference, "bridge by name or number", |it, out| {
            out.push(Value::Reference(it.bridge.into(), it.bridge_name.as_deref()));
        }),
        Key::new("mac", Kind::Text, "MAC address, like 02:00:*", |it, out| {
            out.push(Value::Text(&it.mac));
        }),
        Key::new("nexthop", Kind::Reference, "next hop by name or number", |it, out| {
            out.push(Value::Reference(it.next_hop, it.next_hop_name.as_deref()));
        }),
        Key::new("learned", Kind::Flag, "found by learning: yes or no", |it, out| {
            out.push(Value::Flag(it.learned));
        }),
        Key::new(
            "port",
            Kind::Reference,
            "port it was learned on, by name or number",
            |it, out| {
                out.push(Value::Reference(it.port.into(), it.port_name.as_deref()));
            },
        ),
        Key::new(
            "vtep",
            Kind::Address,
            "remote VTEP it was learned from, or a prefix",
            |it, out| {
                out.push(Value::Net(&it.vtep));
            },
        ),
    ];
}

/// Does what the command asks.
pub(crate) async fn run(command: Command, context: &Context) -> Result<(), Failure> {
    const KINDS: &[api::Kind] = &[api::Kind::Mac, api::Kind::Bridge, api::Kind::NextHop, api::Kind::Port];
    match command {
        Command::List(list) => {
            let filter = list.filter::<MacView>()?;
            let tables = Tables::fetch(context, KINDS).await?;
            let names = tables.names();
            let views = tables.macs.iter().map(|mac| MacView::new(mac, &names));
            list.write(&context.output, &filter, views, |view| (view.bridge, view.mac.clone()))
        }
        Command::Show(show) => {
            let mut filter = Filter::<MacView>::default();
            filter.and("mac", &show.mac)?;
            if let Some(bridge) = &show.bridge {
                filter.and("bridge", bridge)?;
            }
            let tables = Tables::fetch(context, KINDS).await?;
            let names = tables.names();
            let views = tables.macs.iter().map(|mac| MacView::new(mac, &names));
            let none = format!("no bridge has {}", show.mac);
            context.output.several(&super::several(views, &filter, &none)?)
        }
    }
}
