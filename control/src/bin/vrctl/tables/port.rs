//! `vrctl port`: where packets come and go.

use clap::Subcommand;
use serde::Serialize;
use vrouter_proto::dataplane::{self as api, port::Mode};

use super::{
    Tables, VrfListArgs,
    names::{Names, label},
    pick, vrf,
};
use crate::{
    cli::Context,
    failure::Failure,
    filter::{self, Key, Kind, Value},
    output::{Cell, Column, Record, Style},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List ports
    #[command(visible_alias = "ls", after_help = filter::help::<PortView>(&[
        "vrctl port list --vrf blue", "vrctl port list --match 'up=no uplink=no'",
    ]))]
    List(VrfListArgs),
    /// Show one port, with how it is attached and why
    Show {
        /// Name or number
        #[arg(value_name = "NAME|ID")]
        port: String,
    },
}

/// A port as it is shown.
#[derive(Serialize)]
pub(crate) struct PortView {
    id: u32,
    name: String,
    interface: String,
    mode: &'static str,
    vrf: u32,
    vrf_name: Option<String>,
    bridge: u32,
    bridge_name: Option<String>,
    mac: String,
    gateways: Vec<String>,
    mtu: u32,
    max_flows: u32,
    uplink: bool,
    state: Option<StateView>,
}

/// What became of a port.
#[derive(Serialize)]
struct StateView {
    up: bool,
    attachment: String,
    mode: &'static str,
    queues: u32,
    workers: Vec<u32>,
    mtu: u32,
    interface_mac: String,
}

fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Auto => "auto",
        Mode::NativeZerocopy => "native-zerocopy",
        Mode::NativeCopy => "native-copy",
        Mode::Generic => "generic",
        Mode::Memory => "memory",
        Mode::Packet => "packet",
    }
}

impl From<&api::PortState> for StateView {
    fn from(state: &api::PortState) -> Self {
        Self {
            up: state.up,
            attachment: state.attachment.clone(),
            mode: mode(state.mode()),
            queues: state.queues,
            workers: state.workers.clone(),
            mtu: state.mtu,
            interface_mac: state.interface_mac.clone(),
        }
    }
}

impl PortView {
    fn new(port: &api::Port, names: &Names) -> Self {
        Self {
            id: port.id,
            name: port.name.clone(),
            interface: port.interface.clone(),
            mode: mode(port.mode()),
            vrf: port.vrf,
            vrf_name: names.vrf(port.vrf),
            bridge: port.bridge,
            bridge_name: names.bridge(port.bridge),
            mac: port.mac.clone(),
            gateways: port.gateways.clone(),
            mtu: port.mtu,
            max_flows: port.max_flows,
            uplink: port.uplink,
            state: port.state.as_ref().map(StateView::from),
        }
    }

    fn up(&self) -> bool {
        self.state.as_ref().is_some_and(|state| state.up)
    }

    fn mtu(&self) -> u32 {
        match (self.mtu, &self.state) {
            (0, Some(state)) => state.mtu,
            (mtu, _) => mtu,
        }
    }

    fn state_cell<T: Into<Cell>>(&self, cell: impl FnOnce(&StateView) -> T) -> Cell {
        self.state
            .as_ref()
            .map_or_else(Cell::nothing, |state| cell(state).into())
    }
}

impl Record for PortView {
    const NOUNS: &'static str = "ports";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::number("ID", |it| it.id.into()),
        Column::text("NAME", |it| Cell::new(&it.name)),
        Column::text("KIND", |it| if it.uplink { "uplink" } else { "workload" }.into()),
        Column::text("INTERFACE", |it| Cell::new(&it.interface)),
        Column::text("STATE", |it| match &it.state {
            None => "unknown".into(),
            Some(state) if state.up => Cell::new("up").style(Style::Good),
            Some(_) => Cell::new("down").style(Style::Bad),
        }),
        Column::text("MODE", |it| {
            it.state.as_ref().map_or(it.mode, |state| state.mode).into()
        }),
        Column::text("VRF", |it| label(it.vrf_name.as_deref(), it.vrf.into()).into()),
        Column::text("BRIDGE", |it| label(it.bridge_name.as_deref(), it.bridge.into()).into()),
        Column::number("MTU", |it| match it.mtu() {
            0 => Cell::nothing(),
            mtu => mtu.into(),
        }),
        Column::text("MAC", |it| Cell::new(&it.mac)),
        Column::detail("ATTACHMENT", |it| {
            it.state_cell(|state| state.attachment.as_str().to_owned())
        }),
        Column::detail("MODE ASKED FOR", |it| it.mode.into()),
        Column::detail("QUEUES", |it| it.state_cell(|state| state.queues)),
        Column::detail("WORKERS", |it| {
            it.state_cell(|state| state.workers.iter().map(u32::to_string).collect::<Vec<_>>().join(","))
        }),
        Column::detail("INTERFACE MAC", |it| it.state_cell(|state| state.interface_mac.clone())),
        Column::detail("GATEWAYS", |it| it.gateways.join(",").into()),
        Column::detail("MAX FLOWS", |it| match it.max_flows {
            0 => "equal share".into(),
            flows => flows.into(),
        }),
    ];
    const KEYS: &'static [Key<Self>] = &[
        Key::new("port", Kind::Reference, "name or number", |it, out| {
            out.push(Value::Reference(it.id.into(), Some(&it.name)));
        }),
        Key::new("id", Kind::Number, "number", |it, out| {
            out.push(Value::Number(it.id.into()));
        }),
        Key::new("name", Kind::Text, "name", |it, out| out.push(Value::Text(&it.name))),
        Key::new("interface", Kind::Text, "Linux interface", |it, out| {
            out.push(Value::Text(&it.interface));
        }),
        Key::new("vrf", Kind::Reference, "VRF by name or number", |it, out| {
            out.push(Value::Reference(it.vrf.into(), it.vrf_name.as_deref()));
        }),
        Key::new("bridge", Kind::Reference, "bridge by name or number", |it, out| {
            out.push(Value::Reference(it.bridge.into(), it.bridge_name.as_deref()));
        }),
        Key::new("mac", Kind::Text, "MAC address of the workload", |it, out| {
            out.push(Value::Text(&it.mac));
        }),
        Key::new(
            "mode",
            Kind::Text,
            "native-zerocopy, native-copy, generic, memory or packet",
            |it, out| {
                out.push(Value::Text(it.state.as_ref().map_or(it.mode, |state| state.mode)));
            },
        ),
        Key::new("up", Kind::Flag, "moves packets: yes or no", |it, out| {
            out.push(Value::Flag(it.up()));
        }),
        Key::new("uplink", Kind::Flag, "yes or no", |it, out| {
            out.push(Value::Flag(it.uplink));
        }),
    ];
}

/// Does what the command asks.
pub(crate) async fn run(command: Command, context: &Context) -> Result<(), Failure> {
    const KINDS: &[api::Kind] = &[api::Kind::Port, api::Kind::Vrf, api::Kind::Bridge];
    match command {
        Command::List(args) => {
            let filter = args.filter::<PortView>()?;
            vrf::asked(context, &filter).await?;
            let tables = Tables::fetch(context, KINDS).await?;
            let names = tables.names();
            let views = tables.ports.iter().map(|port| PortView::new(port, &names));
            args.list.write(&context.output, &filter, views, |view| view.id)
        }
        Command::Show { port } => {
            let tables = Tables::fetch(context, KINDS).await?;
            let names = tables.names();
            let views = tables.ports.iter().map(|port| PortView::new(port, &names));
            context
                .output
                .one(&pick(views, &port, "port", |view| (view.id.into(), &view.name))?)
        }
    }
}
