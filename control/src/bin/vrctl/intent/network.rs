//! `vrctl network`: logical networks.

use std::collections::BTreeMap;

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;
use vrouter_proto::control as api;

use super::{
    LabelChanges, Mask, deleted,
    labels::{self, Labels},
};
use crate::{
    cli::Context,
    failure::Failure,
    filter::{self, Key, Kind, Value},
    listing::ListArgs,
    output::{Cell, Column, Record},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a network; creating again what exists with the same wish changes nothing
    #[command(after_help = "\
Examples:
  vrctl network create blue
  vrctl network create lab --bridged --label team=core
  vrctl network create red --encap mpls-udp --mtu 1400 --default-ingress deny
  vrctl network create public --external")]
    Create(Create),
    /// List networks
    #[command(visible_alias = "ls", after_help = filter::help::<NetworkView>(&[
        "vrctl network list", "vrctl network list --match 'encap=vxlan label=team=core' -o json",
    ]))]
    List(ListArgs),
    /// Show one network
    Show {
        /// Name of the network
        name: String,
    },
    /// Change a network; what is not named stays as it is
    #[command(after_help = "Examples:\n  vrctl network update blue --mtu 1400 --label team=core --unlabel old")]
    Update(Update),
    /// Delete a network; refused while subnets or endpoints are in it
    #[command(visible_alias = "rm")]
    Delete {
        /// Name of the network
        name: String,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Create {
    /// Name: 1..63 lower-case letters, digits, '-', '_', '.'
    name: String,
    /// One broadcast domain over all nodes, with flooding and MAC learning (VXLAN only); otherwise routed
    #[arg(long)]
    bridged: bool,
    /// How packets travel between nodes [default: vxlan]
    #[arg(long, value_enum, value_name = "ENCAP")]
    encap: Option<Encap>,
    /// VXLAN network identifier, 1..16777215 [default: the server chooses]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    vni: u32,
    /// Largest IP packet of workloads in bytes, 1280..65535 [default: 60000; bridged: what the underlay carries]
    #[arg(long, value_name = "BYTES", default_value_t = 0, hide_default_value = true)]
    mtu: u32,
    /// Its addresses live on the underlay, in the clear: for floating addresses and the way out
    #[arg(long)]
    external: bool,
    /// What is done with traffic towards its endpoints that no rule decides [default: allow]
    #[arg(long, value_enum, value_name = "VERDICT")]
    default_ingress: Option<Verdict>,
    /// What is done with traffic from its endpoints that no rule decides [default: allow]
    #[arg(long, value_enum, value_name = "VERDICT")]
    default_egress: Option<Verdict>,
    #[command(flatten)]
    labels: Labels,
}

#[derive(Args, Debug)]
pub(crate) struct Update {
    /// Name of the network
    name: String,
    /// How packets travel between nodes
    #[arg(long, value_enum, value_name = "ENCAP")]
    encap: Option<Encap>,
    /// Largest IP packet of workloads in bytes; 0: what the underlay carries
    #[arg(long, value_name = "BYTES")]
    mtu: Option<u32>,
    /// What is done with traffic towards its endpoints that no rule decides
    #[arg(long, value_enum, value_name = "VERDICT")]
    default_ingress: Option<Verdict>,
    /// What is done with traffic from its endpoints that no rule decides
    #[arg(long, value_enum, value_name = "VERDICT")]
    default_egress: Option<Verdict>,
    #[command(flatten)]
    labels: LabelChanges,
    /// Refuse if the network was changed since this revision
    #[arg(long, value_name = "N")]
    revision: Option<u64>,
}

/// Encapsulations, as the command line and all output write them.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Encap {
    /// VXLAN (RFC 7348)
    Vxlan,
    /// MPLS over UDP (RFC 7510)
    MplsUdp,
}

impl From<Encap> for i32 {
    fn from(encap: Encap) -> Self {
        match encap {
            Encap::Vxlan => api::Encapsulation::Vxlan.into(),
            Encap::MplsUdp => api::Encapsulation::MplsUdp.into(),
        }
    }
}

fn encapsulation(value: i32) -> &'static str {
    match api::Encapsulation::try_from(value) {
        Ok(api::Encapsulation::Unspecified | api::Encapsulation::Vxlan) => "vxlan",
        Ok(api::Encapsulation::MplsUdp) => "mpls-udp",
        Err(_) => "unknown",
    }
}

/// What is done with traffic that no rule decides.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Verdict {
    /// Let it through
    Allow,
    /// Drop it
    Deny,
}

impl From<Verdict> for i32 {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Allow => api::DefaultVerdict::DefaultAllow.into(),
            Verdict::Deny => api::DefaultVerdict::DefaultDeny.into(),
        }
    }
}

fn verdict(value: i32) -> &'static str {
    match api::DefaultVerdict::try_from(value) {
        Ok(api::DefaultVerdict::Unspecified | api::DefaultVerdict::DefaultAllow) => "allow",
        Ok(api::DefaultVerdict::DefaultDeny) => "deny",
        Err(_) => "unknown",
    }
}

/// A network as it is shown.
#[derive(Serialize)]
pub(super) struct NetworkView {
    pub(super) name: String,
    uid: String,
    revision: u64,
    bridged: bool,
    encapsulation: &'static str,
    vni: u32,
    mtu: u32,
    labels: BTreeMap<String, String>,
    number: u32,
    external: bool,
    default_ingress: &'static str,
    default_egress: &'static str,
}

impl From<api::Network> for NetworkView {
    fn from(network: api::Network) -> Self {
        Self {
            encapsulation: encapsulation(network.encapsulation),
            labels: labels::sorted(&network.labels),
            name: network.name,
            uid: network.uid,
            revision: network.revision,
            bridged: network.bridged,
            vni: network.vni,
            mtu: network.mtu,
            number: network.number,
            external: network.external,
            default_ingress: verdict(network.default_ingress),
            default_egress: verdict(network.default_egress),
        }
    }
}

impl NetworkView {
    /// In a few words, for `watch`.
    pub(super) fn summary(&self) -> String {
        format!("{}, {}, VNI {}", self.kind(), self.encapsulation, self.vni)
    }

    fn kind(&self) -> &'static str {
        match (self.external, self.bridged) {
            (true, _) => "external",
            (false, true) => "bridged",
            (false, false) => "routed",
        }
    }
}

impl Record for NetworkView {
    const NOUNS: &'static str = "networks";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::text("NAME", |it| Cell::new(&it.name)),
        Column::number("NUMBER", |it| it.number.into()),
        Column::text("KIND", |it| it.kind().into()),
        Column::text("ENCAP", |it| it.encapsulation.into()),
        Column::number("VNI", |it| it.vni.into()),
        Column::number("MTU", |it| match it.mtu {
            0 => "auto".into(),
            mtu => mtu.into(),
        }),
        Column::text("LABELS", |it| labels::text(&it.labels).into()),
        Column::detail("DEFAULT INGRESS", |it| it.default_ingress.into()),
        Column::detail("DEFAULT EGRESS", |it| it.default_egress.into()),
        Column::detail("REVISION", |it| it.revision.into()),
        Column::detail("UID", |it| Cell::new(&it.uid)),
    ];
    const KEYS: &'static [Key<Self>] = &[
        Key::new("name", Kind::Text, "name", |it, out| out.push(Value::Text(&it.name))),
        Key::new(
            "number",
            Kind::Number,
            "VRF and bridge number on the nodes",
            |it, out| {
                out.push(Value::Number(it.number.into()));
            },
        ),
        Key::new("bridged", Kind::Flag, "yes or no", |it, out| {
            out.push(Value::Flag(it.bridged));
        }),
        Key::new("external", Kind::Flag, "yes or no", |it, out| {
            out.push(Value::Flag(it.external));
        }),
        Key::new("encap", Kind::Text, "vxlan or mpls-udp", |it, out| {
            out.push(Value::Text(it.encapsulation));
        }),
        Key::new("vni", Kind::Number, "VXLAN network identifier", |it, out| {
            out.push(Value::Number(it.vni.into()));
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
            let network = api::Network {
                name: create.name,
                bridged: create.bridged,
                encapsulation: create.encap.map(i32::from).unwrap_or_default(),
                vni: create.vni,
                mtu: create.mtu,
                external: create.external,
                default_ingress: create.default_ingress.map(i32::from).unwrap_or_default(),
                default_egress: create.default_egress.map(i32::from).unwrap_or_default(),
                labels: create.labels.into(),
                ..Default::default()
            };
            let request = api::CreateNetworkRequest { network: Some(network) };
            let network = context.control().await?.create_network(request).await?;
            context.output.one(&NetworkView::from(network.into_inner()))
        }
        Command::List(list) => {
            let filter = list.filter::<NetworkView>()?;
            let answer = context
                .control()
                .await?
                .list_networks(api::ListNetworksRequest {})
                .await?;
            let views = answer.into_inner().networks.into_iter().map(NetworkView::from);
            list.write(&context.output, &filter, views, |view| view.name.clone())
        }
        Command::Show { name } => {
            let network = context
                .control()
                .await?
                .get_network(api::GetNetworkRequest { name })
                .await?;
            context.output.one(&NetworkView::from(network.into_inner()))
        }
        Command::Update(update) => {
            let mut mask = Mask::default();
            let mut network = api::Network {
                name: update.name,
                revision: update.revision.unwrap_or_default(),
                ..Default::default()
            };
            mask.set("encapsulation", &mut network.encapsulation, update.encap.map(i32::from));
            mask.set("mtu", &mut network.mtu, update.mtu);
            let (ingress, egress) = (update.default_ingress, update.default_egress);
            mask.set("default_ingress", &mut network.default_ingress, ingress.map(i32::from));
            mask.set("default_egress", &mut network.default_egress, egress.map(i32::from));
            update.labels.announce(&mut mask);
            let update_mask = mask.finish()?;
            let mut control = context.control().await?;
            if !update.labels.is_empty() {
                let name = network.name.clone();
                let now = control.get_network(api::GetNetworkRequest { name }).await?.into_inner();
                network.labels = update.labels.apply(now.labels);
                network.revision = update.revision.unwrap_or(now.revision);
            }
            let request = api::UpdateNetworkRequest {
                network: Some(network),
                update_mask,
            };
            let network = control.update_network(request).await?;
            context.output.one(&NetworkView::from(network.into_inner()))
        }
        Command::Delete { name } => {
            let request = api::DeleteNetworkRequest { name: name.clone() };
            let answer = context.control().await?.delete_network(request).await?;
            deleted(context, "network", &name, answer.into_inner().existed)
        }
    }
}
