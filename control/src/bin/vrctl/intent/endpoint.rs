//! `vrctl endpoint`: containers, VMs and hosts behind ports.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde::Serialize;
use vrouter_proto::control as api;

use super::{
    LabelChanges, Mask, deleted,
    labels::{self, Labels},
    names::Scoped,
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
    /// Create an endpoint and attach it to its network
    #[command(after_help = "\
Examples:
  vrctl endpoint create blue/web-1 --node node1 --interface veth1
  vrctl endpoint create blue/web-2 --node node1 --interface veth2 --address 10.1.0.7 --address subnet:v6
  vrctl endpoint create blue/db --label app=db        (addresses only, attached later)")]
    Create(Create),
    /// List endpoints
    #[command(visible_alias = "ls", after_help = filter::help::<EndpointView>(&[
        "vrctl endpoint list --network blue", "vrctl endpoint list --match 'ip=10.1.0.0/24 label=app=web'",
    ]))]
    List {
        /// Only of this network
        #[arg(long, value_name = "NAME")]
        network: Option<String>,
        /// Only on this node
        #[arg(long, value_name = "NAME")]
        node: Option<String>,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Show one endpoint
    Show {
        /// The endpoint
        #[arg(value_name = "NETWORK/NAME")]
        name: Scoped,
    },
    /// Change an endpoint; what is not named stays as it is. Another node moves it
    #[command(after_help = "\
Examples:
  vrctl endpoint update blue/web-1 --node node2 --interface veth9
  vrctl endpoint update blue/web-1 --detach
  vrctl endpoint update blue/web-1 --label app=web")]
    Update(Update),
    /// Delete an endpoint and release its addresses
    #[command(visible_alias = "rm")]
    Delete {
        /// The endpoint
        #[arg(value_name = "NETWORK/NAME")]
        name: Scoped,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Create {
    /// The endpoint, like blue/web-1
    #[arg(value_name = "NETWORK/NAME")]
    name: Scoped,
    /// Node it lives on
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    node: String,
    /// Linux interface on that node: the host's end of the veth [default: not attached]
    #[arg(long, value_name = "IFACE", default_value = "", hide_default_value = true)]
    interface: String,
    /// MAC address of the workload [default: the server chooses]
    #[arg(long, value_name = "MAC", default_value = "", hide_default_value = true)]
    mac: String,
    /// An address, or subnet:NAME for one of that subnet; may be given several times [default: one of each address family]
    #[arg(long, value_name = "ADDRESS")]
    address: Vec<String>,
    /// An identifier of yours: creating again with it returns what exists, whatever its name
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    client_id: String,
    /// An address or prefix that it may send from beside its own, and that is routed to it; may be given several times
    #[arg(long, value_name = "PREFIX")]
    allow_address: Vec<String>,
    /// A further MAC address that it may send from; may be given several times
    #[arg(long, value_name = "MAC")]
    allow_mac: Vec<String>,
    /// It may send router advertisements
    #[arg(long)]
    allow_router: bool,
    /// It may answer as a DHCP server
    #[arg(long)]
    allow_dhcp_server: bool,
    /// QoS profile
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    qos: String,
    #[command(flatten)]
    labels: Labels,
}

#[derive(Args, Debug)]
pub(crate) struct Update {
    /// The endpoint
    #[arg(value_name = "NETWORK/NAME")]
    name: Scoped,
    /// Move it to this node
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// Linux interface on its node
    #[arg(long, value_name = "IFACE")]
    interface: Option<String>,
    /// Take it off its interface; addresses are kept
    #[arg(long, conflicts_with = "interface")]
    detach: bool,
    /// An address, or subnet:NAME; replaces all there were; may be given several times
    #[arg(long, value_name = "ADDRESS")]
    address: Vec<String>,
    /// An address or prefix that it may send from; replaces all there were; may be given several times
    #[arg(long, value_name = "PREFIX", conflicts_with = "no_allow_address")]
    allow_address: Vec<String>,
    /// It may send from its own addresses only
    #[arg(long)]
    no_allow_address: bool,
    /// QoS profile; empty: none
    #[arg(long, value_name = "NAME")]
    qos: Option<String>,
    #[command(flatten)]
    labels: LabelChanges,
    /// Refuse if the endpoint was changed since this revision
    #[arg(long, value_name = "N")]
    revision: Option<u64>,
}

/// An endpoint as it is shown.
#[derive(Serialize)]
pub(super) struct EndpointView {
    network: String,
    name: String,
    uid: String,
    revision: u64,
    node: String,
    interface: String,
    mac: String,
    addresses: Vec<String>,
    labels: BTreeMap<String, String>,
    number: u32,
    gateways: Vec<String>,
    mtu: u32,
    client_id: String,
    programmed: bool,
    error: String,
    allowed_addresses: Vec<String>,
    allowed_macs: Vec<String>,
    allow_router: bool,
    allow_dhcp_server: bool,
    qos: String,
}

impl From<api::Endpoint> for EndpointView {
    fn from(endpoint: api::Endpoint) -> Self {
        Self {
            labels: labels::sorted(&endpoint.labels),
            network: endpoint.network,
            name: endpoint.name,
            uid: endpoint.uid,
            revision: endpoint.revision,
            node: endpoint.node,
            interface: endpoint.interface,
            mac: endpoint.mac,
            addresses: endpoint.addresses,
            number: endpoint.number,
            gateways: endpoint.gateways,
            mtu: endpoint.mtu,
            client_id: endpoint.client_id,
            programmed: endpoint.programmed,
            error: endpoint.error,
            allowed_addresses: endpoint.allowed_addresses,
            allowed_macs: endpoint.allowed_macs,
            allow_router: endpoint.allow_router,
            allow_dhcp_server: endpoint.allow_dhcp_server,
            qos: endpoint.qos,
        }
    }
}

impl EndpointView {
    /// "blue/web-1".
    pub(super) fn full_name(&self) -> String {
        format!("{}/{}", self.network, self.name)
    }

    /// Whether it is where it should be.
    fn state(&self) -> Cell {
        if !self.error.is_empty() {
            Cell::new("refused").style(Style::Bad)
        } else if self.programmed {
            Cell::new("programmed").style(Style::Good)
        } else if self.node.is_empty() || self.interface.is_empty() {
            Cell::new("detached").style(Style::Faint)
        } else {
            Cell::new("pending").style(Style::Warning)
        }
    }

    /// What it may do beyond sending from its own addresses.
    fn may_send_from(&self) -> String {
        let roles = [
            (self.allow_router, "as router"),
            (self.allow_dhcp_server, "as DHCP server"),
        ];
        let roles = roles
            .into_iter()
            .filter(|(allowed, _)| *allowed)
            .map(|(_, role)| role.to_owned());
        let all: Vec<String> = self
            .allowed_addresses
            .iter()
            .chain(&self.allowed_macs)
            .cloned()
            .chain(roles)
            .collect();
        all.join(",")
    }

    /// In a few words, for `watch`.
    pub(super) fn summary(&self) -> String {
        let place = match (self.node.as_str(), self.interface.as_str()) {
            ("", _) => "on no node".to_owned(),
            (node, "") => format!("on {node}, not attached"),
            (node, interface) => format!("on {node} {interface}"),
        };
        format!("{place}, {}", self.addresses.join(" "))
    }
}

impl Record for EndpointView {
    const NOUNS: &'static str = "endpoints";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::text("NAME", |it| it.full_name().into()),
        Column::text("NODE", |it| Cell::new(&it.node)),
        Column::text("INTERFACE", |it| Cell::new(&it.interface)),
        Column::text("STATE", Self::state),
        Column::number("PORT", |it| it.number.into()),
        Column::text("MAC", |it| Cell::new(&it.mac)),
        Column::text("ADDRESSES", |it| it.addresses.join(",").into()),
        Column::text("LABELS", |it| labels::text(&it.labels).into()),
        Column::detail("ERROR", |it| Cell::new(&it.error)),
        Column::detail("GATEWAYS", |it| it.gateways.join(",").into()),
        Column::detail("MTU", |it| it.mtu.into()),
        Column::detail("MAY SEND FROM", |it| it.may_send_from().into()),
        Column::detail("QOS", |it| Cell::new(&it.qos)),
        Column::detail("CLIENT ID", |it| Cell::new(&it.client_id)),
        Column::detail("REVISION", |it| it.revision.into()),
        Column::detail("UID", |it| Cell::new(&it.uid)),
    ];
    const KEYS: &'static [Key<Self>] = &[
        Key::new("network", Kind::Text, "name of the network", |it, out| {
            out.push(Value::Text(&it.network));
        }),
        Key::new("name", Kind::Text, "name within the network", |it, out| {
            out.push(Value::Text(&it.name));
        }),
        Key::new("node", Kind::Text, "node it lives on", |it, out| {
            out.push(Value::Text(&it.node));
        }),
        Key::new("interface", Kind::Text, "Linux interface", |it, out| {
            out.push(Value::Text(&it.interface));
        }),
        Key::new("port", Kind::Number, "port number on its node", |it, out| {
            out.push(Value::Number(it.number.into()));
        }),
        Key::new("mac", Kind::Text, "MAC address", |it, out| {
            out.push(Value::Text(&it.mac));
        }),
        Key::new("ip", Kind::Address, "one of its addresses, or a prefix", |it, out| {
            out.extend(it.addresses.iter().map(|address| Value::Net(address)));
        }),
        Key::new(
            "state",
            Kind::Text,
            "programmed, pending, refused or detached",
            |it, out| {
                out.push(Value::Owned(it.state().as_str().to_owned()));
            },
        ),
        Key::new("qos", Kind::Text, "its QoS profile", |it, out| {
            out.push(Value::Text(&it.qos));
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
            let endpoint = api::Endpoint {
                network: create.name.network,
                name: create.name.name,
                node: create.node,
                interface: create.interface,
                mac: create.mac,
                addresses: create.address,
                labels: create.labels.into(),
                client_id: create.client_id,
                allowed_addresses: create.allow_address,
                allowed_macs: create.allow_mac,
                allow_router: create.allow_router,
                allow_dhcp_server: create.allow_dhcp_server,
                qos: create.qos,
                ..Default::default()
            };
            let request = api::CreateEndpointRequest {
                endpoint: Some(endpoint),
                ..Default::default()
            };
            let endpoint = context.control().await?.create_endpoint(request).await?;
            context.output.one(&EndpointView::from(endpoint.into_inner()))
        }
        Command::List { network, node, list } => {
            let mut filter = list.filter::<EndpointView>()?;
            for (key, value) in [("network", &network), ("node", &node)] {
                if let Some(value) = value {
                    filter.and(key, value)?;
                }
            }
            let request = api::ListEndpointsRequest {
                network: network.unwrap_or_default(),
                node: node.unwrap_or_default(),
                ..Default::default()
            };
            let answer = context.control().await?.list_endpoints(request).await?;
            let views = answer.into_inner().endpoints.into_iter().map(EndpointView::from);
            list.write(&context.output, &filter, views, |view| {
                (view.network.clone(), view.name.clone())
            })
        }
        Command::Show {
            name: Scoped { network, name },
        } => {
            let request = api::GetEndpointRequest { network, name };
            let endpoint = context.control().await?.get_endpoint(request).await?;
            context.output.one(&EndpointView::from(endpoint.into_inner()))
        }
        Command::Update(update) => self::update(update, context).await,
        Command::Delete { name } => {
            let full_name = name.to_string();
            let request = api::DeleteEndpointRequest {
                network: name.network,
                name: name.name,
            };
            let answer = context.control().await?.delete_endpoint(request).await?;
            deleted(context, "endpoint", &full_name, answer.into_inner().existed)
        }
    }
}

async fn update(update: Update, context: &Context) -> Result<(), Failure> {
    let mut mask = Mask::default();
    let mut endpoint = api::Endpoint {
        network: update.name.network,
        name: update.name.name,
        revision: update.revision.unwrap_or_default(),
        ..Default::default()
    };
    let interface = if update.detach {
        Some(String::new())
    } else {
        update.interface
    };
    mask.set("node", &mut endpoint.node, update.node);
    mask.set("interface", &mut endpoint.interface, interface);
    let addresses = (!update.address.is_empty()).then_some(update.address);
    mask.set("addresses", &mut endpoint.addresses, addresses);
    let allowed = (update.no_allow_address || !update.allow_address.is_empty()).then_some(update.allow_address);
    mask.set("allowed_addresses", &mut endpoint.allowed_addresses, allowed);
    mask.set("qos", &mut endpoint.qos, update.qos);
    update.labels.announce(&mut mask);
    let update_mask = mask.finish()?;
    let mut control = context.control().await?;
    if !update.labels.is_empty() {
        let request = api::GetEndpointRequest {
            network: endpoint.network.clone(),
            name: endpoint.name.clone(),
        };
        let now = control.get_endpoint(request).await?.into_inner();
        endpoint.labels = update.labels.apply(now.labels);
        endpoint.revision = update.revision.unwrap_or(now.revision);
    }
    let request = api::UpdateEndpointRequest {
        endpoint: Some(endpoint),
        update_mask,
    };
    let endpoint = control.update_endpoint(request).await?;
    context.output.one(&EndpointView::from(endpoint.into_inner()))
}
