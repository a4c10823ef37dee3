//! `vrctl vrf`: routing tables.

use clap::Subcommand;
use serde::Serialize;
use vrouter_proto::dataplane as api;

use super::{Tables, pick};
use crate::{
    cli::Context,
    failure::Failure,
    filter::{self, Filter, Key, Kind, Value},
    listing::ListArgs,
    output::{Cell, Column, Record},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List VRFs
    #[command(visible_alias = "ls", after_help = filter::help::<VrfView>(&["vrctl vrf list"]))]
    List(ListArgs),
    /// Show one VRF
    Show {
        /// Name or number
        #[arg(value_name = "NAME|ID")]
        vrf: String,
    },
}

/// A VRF as it is shown.
#[derive(Serialize)]
pub(crate) struct VrfView {
    id: u32,
    name: String,
    /// Ports that are routed in it.
    ports: usize,
    /// Bridges whose gateway is in it.
    bridges: usize,
}

impl Record for VrfView {
    const NOUNS: &'static str = "VRFs";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::number("ID", |it| it.id.into()),
        Column::text("NAME", |it| Cell::new(&it.name)),
        Column::number("PORTS", |it| it.ports.to_string().into()),
        Column::number("BRIDGES", |it| it.bridges.to_string().into()),
    ];
    const KEYS: &'static [Key<Self>] = &[
        Key::new("vrf", Kind::Reference, "name or number", |it, out| {
            out.push(Value::Reference(it.id.into(), Some(&it.name)));
        }),
        Key::new("id", Kind::Number, "number", |it, out| {
            out.push(Value::Number(it.id.into()));
        }),
        Key::new("name", Kind::Text, "name", |it, out| out.push(Value::Text(&it.name))),
    ];
}

fn views(tables: &Tables) -> impl Iterator<Item = VrfView> + '_ {
    tables.vrfs.iter().map(|vrf| VrfView {
        id: vrf.id,
        name: vrf.name.clone(),
        ports: tables.ports.iter().filter(|port| port.vrf == vrf.id).count(),
        bridges: tables.bridges.iter().filter(|bridge| bridge.vrf == vrf.id).count(),
    })
}

/// Does what the command asks.
pub(crate) async fn run(command: Command, context: &Context) -> Result<(), Failure> {
    const KINDS: &[api::Kind] = &[api::Kind::Vrf, api::Kind::Port, api::Kind::Bridge];
    match command {
        Command::List(list) => {
            let filter = list.filter::<VrfView>()?;
            let tables = Tables::fetch(context, KINDS).await?;
            list.write(&context.output, &filter, views(&tables), |view| view.id)
        }
        Command::Show { vrf } => {
            let tables = Tables::fetch(context, KINDS).await?;
            context
                .output
                .one(&pick(views(&tables), &vrf, "VRF", |view| (view.id.into(), &view.name))?)
        }
    }
}

/// The number of the VRF that a filter asks for, so that the server need not send all. 0 where the filter asks for none or
/// for several; a VRF that does not exist is an error, since an empty list would look like an empty VRF.
pub(super) async fn asked<R: Record>(context: &Context, filter: &Filter<R>) -> Result<u32, Failure> {
    let Some(wanted) = filter.asked("vrf") else {
        return Ok(0);
    };
    let mut only = Filter::<VrfView>::default();
    only.and("vrf", wanted)?;
    let tables = Tables::fetch(context, &[api::Kind::Vrf]).await?;
    let found: Vec<u32> = views(&tables)
        .filter(|view| only.matches(view))
        .map(|view| view.id)
        .collect();
    match found.as_slice() {
        [] => Err(Failure::Missing(format!("no VRF is named or numbered {wanted}"))),
        [one] => Ok(*one),
        _ => Ok(0),
    }
}
