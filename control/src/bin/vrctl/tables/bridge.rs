//! `vrctl bridge`: broadcast domains.

use clap::Subcommand;
use serde::Serialize;
use vrouter_proto::dataplane as api;

use super::{
    Tables, VrfListArgs,
    names::{Names, label},
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
    /// List bridges
    #[command(visible_alias = "ls", after_help = filter::help::<BridgeView>(&["vrctl bridge list --vrf blue"]))]
    List(VrfListArgs),
    /// Show one bridge
    Show {
        /// Name or number
        #[arg(value_name = "NAME|ID")]
        bridge: String,
    },
}

/// A bridge as it is shown.
#[derive(Serialize)]
pub(crate) struct BridgeView {
    id: u32,
    name: String,
    vrf: u32,
    vrf_name: Option<String>,
    gateway_mac: String,
    gateways: Vec<String>,
    learn: bool,
    aging_seconds: u32,
    flood: u64,
    flood_name: Option<String>,
    flood_action: Option<String>,
}

impl BridgeView {
    fn new(bridge: &api::Bridge, names: &Names) -> Self {
        Self {
            id: bridge.id,
            name: bridge.name.clone(),
            vrf: bridge.vrf,
            vrf_name: names.vrf(bridge.vrf),
            gateway_mac: bridge.gateway_mac.clone(),
            gateways: bridge.gateways.clone(),
            learn: bridge.learn,
            aging_seconds: bridge.aging_seconds,
            flood: bridge.flood,
            flood_name: names.next_hop(bridge.flood),
            flood_action: names.action(bridge.flood),
        }
    }
}

impl Record for BridgeView {
    const NOUNS: &'static str = "bridges";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::number("ID", |it| it.id.into()),
        Column::text("NAME", |it| Cell::new(&it.name)),
        Column::text("VRF", |it| label(it.vrf_name.as_deref(), it.vrf.into()).into()),
        Column::text("GATEWAYS", |it| it.gateways.join(",").into()),
        Column::text("LEARN", |it| it.learn.into()),
        Column::text("FLOOD", |it| match it.flood {
            0 => "local ports only".into(),
            flood => label(it.flood_name.as_deref(), flood).into(),
        }),
        Column::detail("GATEWAY MAC", |it| Cell::new(&it.gateway_mac)),
        Column::detail("AGING", |it| match it.aging_seconds {
            0 => "default".into(),
            seconds => format!("{seconds} s").into(),
        }),
        Column::detail("FLOOD DOES", |it| it.flood_action.as_deref().unwrap_or_default().into()),
    ];
    const KEYS: &'static [Key<Self>] = &[
        Key::new("bridge", Kind::Reference, "name or number", |it, out| {
            out.push(Value::Reference(it.id.into(), Some(&it.name)));
        }),
        Key::new("id", Kind::Number, "number", |it, out| {
            out.push(Value::Number(it.id.into()));
        }),
        Key::new("name", Kind::Text, "name", |it, out| out.push(Value::Text(&it.name))),
        Key::new("vrf", Kind::Reference, "VRF by name or number", |it, out| {
            out.push(Value::Reference(it.vrf.into(), it.vrf_name.as_deref()));
        }),
        Key::new("gateway", Kind::Address, "an address, or a prefix", |it, out| {
            out.extend(it.gateways.iter().map(|gateway| Value::Net(gateway)));
        }),
        Key::new("learn", Kind::Flag, "learns MACs: yes or no", |it, out| {
            out.push(Value::Flag(it.learn));
        }),
    ];
}

/// Does what the command asks.
pub(crate) async fn run(command: Command, context: &Context) -> Result<(), Failure> {
    const KINDS: &[api::Kind] = &[api::Kind::Bridge, api::Kind::Vrf, api::Kind::NextHop, api::Kind::Port];
    match command {
        Command::List(args) => {
            let filter = args.filter::<BridgeView>()?;
            vrf::asked(context, &filter).await?;
            let tables = Tables::fetch(context, KINDS).await?;
            let names = tables.names();
            let views = tables.bridges.iter().map(|bridge| BridgeView::new(bridge, &names));
            args.list.write(&context.output, &filter, views, |view| view.id)
        }
        Command::Show { bridge } => {
            let tables = Tables::fetch(context, KINDS).await?;
            let names = tables.names();
            let views = tables.bridges.iter().map(|bridge| BridgeView::new(bridge, &names));
            context
                .output
                .one(&pick(views, &bridge, "bridge", |view| (view.id.into(), &view.name))?)
        }
    }
}
