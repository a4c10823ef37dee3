//! `vrctl vni`: what arrives in VXLAN, and whose it is.

use clap::Subcommand;
use serde::Serialize;
use vrouter_proto::dataplane::{self as api, vni::Target};

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
    /// List VXLAN network identifiers
    #[command(visible_alias = "ls", after_help = filter::help::<VniView>(&["vrctl vni list --match bridge=lab"]))]
    List(VrfListArgs),
    /// Show one VXLAN network identifier
    Show {
        /// The identifier, or its name
        #[arg(value_name = "VNI|NAME")]
        vni: String,
    },
}

/// A VNI binding as it is shown: one of `bridge` and `vrf` is set.
#[derive(Serialize)]
pub(crate) struct VniView {
    vni: u32,
    name: String,
    bridge: Option<u32>,
    bridge_name: Option<String>,
    vrf: Option<u32>,
    vrf_name: Option<String>,
}

impl VniView {
    fn new(vni: &api::Vni, names: &Names) -> Self {
        let (bridge, vrf) = match vni.target {
            Some(Target::Bridge(bridge)) => (Some(bridge), None),
            Some(Target::Vrf(vrf)) => (None, Some(vrf)),
            None => (None, None),
        };
        Self {
            vni: vni.vni,
            name: vni.name.clone(),
            bridge,
            bridge_name: bridge.and_then(|bridge| names.bridge(bridge)),
            vrf,
            vrf_name: vrf.and_then(|vrf| names.vrf(vrf)),
        }
    }

    fn target(&self) -> String {
        match (self.bridge, self.vrf) {
            (Some(bridge), _) => format!("bridge {}", label(self.bridge_name.as_deref(), bridge.into())),
            (_, Some(vrf)) => format!("VRF {}", label(self.vrf_name.as_deref(), vrf.into())),
            (None, None) => String::new(),
        }
    }
}

impl Record for VniView {
    const NOUNS: &'static str = "VNIs";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::number("VNI", |it| it.vni.into()),
        Column::text("NAME", |it| Cell::new(&it.name)),
        Column::text("TARGET", |it| it.target().into()),
    ];
    const KEYS: &'static [Key<Self>] = &[
        Key::new("vni", Kind::Number, "the identifier", |it, out| {
            out.push(Value::Number(it.vni.into()));
        }),
        Key::new("name", Kind::Text, "name", |it, out| out.push(Value::Text(&it.name))),
        Key::new("bridge", Kind::Reference, "bridge by name or number", |it, out| {
            out.extend(
                it.bridge
                    .map(|bridge| Value::Reference(bridge.into(), it.bridge_name.as_deref())),
            );
        }),
        Key::new("vrf", Kind::Reference, "VRF by name or number", |it, out| {
            out.extend(it.vrf.map(|vrf| Value::Reference(vrf.into(), it.vrf_name.as_deref())));
        }),
    ];
}

/// Does what the command asks.
pub(crate) async fn run(command: Command, context: &Context) -> Result<(), Failure> {
    const KINDS: &[api::Kind] = &[api::Kind::Vni, api::Kind::Bridge, api::Kind::Vrf];
    match command {
        Command::List(args) => {
            let filter = args.filter::<VniView>()?;
            vrf::asked(context, &filter).await?;
            let tables = Tables::fetch(context, KINDS).await?;
            let names = tables.names();
            let views = tables.vnis.iter().map(|vni| VniView::new(vni, &names));
            args.list.write(&context.output, &filter, views, |view| view.vni)
        }
        Command::Show { vni } => {
            let tables = Tables::fetch(context, KINDS).await?;
            let names = tables.names();
            let views = tables.vnis.iter().map(|vni| VniView::new(vni, &names));
            context
                .output
                .one(&pick(views, &vni, "VNI", |view| (view.vni.into(), &view.name))?)
        }
    }
}
