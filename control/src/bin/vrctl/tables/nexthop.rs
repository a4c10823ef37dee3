//! `vrctl nexthop`: what is done with packets whose destination is known.

use clap::Subcommand;
use serde::Serialize;
use vrouter_proto::dataplane::{self as api, next_hop};

use super::{Tables, names::Names, pick};
use crate::{
    cli::Context,
    failure::Failure,
    filter::{self, Key, Kind, Value},
    listing::ListArgs,
    output::{Cell, Column, Record, Style},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List next hops
    #[command(visible_alias = "ls", after_help = filter::help::<NextHopView>(&[
        "vrctl nexthop list --match resolved=no", "vrctl nexthop list --match 'kind=tunnel remote=192.0.2.0/24'",
    ]))]
    List(ListArgs),
    /// Show one next hop
    Show {
        /// Name or number
        #[arg(value_name = "NAME|ID")]
        next_hop: String,
    },
}

/// A next hop as it is shown.
#[derive(Serialize)]
pub(crate) struct NextHopView {
    id: u64,
    name: String,
    /// "drop", "port", "tunnel", "group", "flood", "local": the field of the same name says more.
    kind: &'static str,
    /// In words.
    action: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<PortView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tunnel: Option<TunnelView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<Vec<MemberView>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flood: Option<Vec<CopyView>>,
    state: Option<StateView>,
}

#[derive(Serialize)]
struct PortView {
    port: u32,
    port_name: Option<String>,
    mac: String,
}

#[derive(Serialize)]
struct TunnelView {
    encapsulation: &'static str,
    remote: String,
    vni: u32,
    label: u32,
    inner_mac: String,
}

#[derive(Serialize)]
struct MemberView {
    next_hop: u64,
    next_hop_name: Option<String>,
    weight: u32,
}

#[derive(Serialize)]
struct CopyView {
    next_hop: u64,
    next_hop_name: Option<String>,
}

#[derive(Serialize)]
struct StateView {
    resolved: bool,
    detail: String,
    mtu: u32,
}

fn encapsulation(value: next_hop::Encapsulation) -> &'static str {
    match value {
        next_hop::Encapsulation::Unspecified => "unspecified",
        next_hop::Encapsulation::Vxlan => "vxlan",
        next_hop::Encapsulation::MplsUdp => "mpls-udp",
        next_hop::Encapsulation::Erspan => "erspan",
    }
}

impl NextHopView {
    fn new(next_hop: &api::NextHop, names: &Names) -> Self {
        let mut view = Self {
            id: next_hop.id,
            name: next_hop.name.clone(),
            kind: "unknown",
            action: names.describe(next_hop),
            port: None,
            tunnel: None,
            group: None,
            flood: None,
            state: next_hop.state.as_ref().map(|state| StateView {
                resolved: state.resolved,
                detail: state.detail.clone(),
                mtu: state.mtu,
            }),
        };
        match &next_hop.action {
            None => {}
            Some(next_hop::Action::Drop(_)) => view.kind = "drop",
            Some(next_hop::Action::Unreachable(_)) => view.kind = "unreachable",
            Some(next_hop::Action::Local(_)) => view.kind = "local",
            Some(next_hop::Action::Vrf(_)) => view.kind = "vrf",
            Some(next_hop::Action::Underlay(_)) => view.kind = "underlay",
            Some(next_hop::Action::Port(to)) => {
                view.kind = "port";
                view.port = Some(PortView {
                    port: to.port,
                    port_name: names.port(to.port),
                    mac: to.mac.clone(),
                });
            }
            Some(next_hop::Action::Tunnel(tunnel)) => {
                view.kind = "tunnel";
                view.tunnel = Some(TunnelView {
                    encapsulation: encapsulation(tunnel.encapsulation()),
                    remote: tunnel.remote.clone(),
                    vni: tunnel.vni,
                    label: tunnel.label,
                    inner_mac: tunnel.inner_mac.clone(),
                });
            }
            Some(next_hop::Action::Group(group)) => {
                view.kind = "group";
                let members = group.members.iter().map(|member| MemberView {
                    next_hop: member.next_hop,
                    next_hop_name: names.next_hop(member.next_hop),
                    weight: member.weight,
                });
                view.group = Some(members.collect());
            }
            Some(next_hop::Action::Flood(flood)) => {
                view.kind = "flood";
                let copies = flood.next_hops.iter().map(|id| CopyView {
                    next_hop: *id,
                    next_hop_name: names.next_hop(*id),
                });
                view.flood = Some(copies.collect());
            }
        }
        view
    }

    /// Members of a group or a flood.
    fn members(&self) -> impl Iterator<Item = (u64, Option<&str>)> {
        let group = self
            .group
            .iter()
            .flatten()
            .map(|it| (it.next_hop, it.next_hop_name.as_deref()));
        let flood = self
            .flood
            .iter()
            .flatten()
            .map(|it| (it.next_hop, it.next_hop_name.as_deref()));
        group.chain(flood)
    }
}

impl Record for NextHopView {
    const NOUNS: &'static str = "next hops";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::number("ID", |it| it.id.into()),
        Column::text("NAME", |it| Cell::new(&it.name)),
        Column::text("DOES", |it| Cell::new(&it.action)),
        Column::text("STATE", |it| match &it.state {
            None => Cell::nothing(),
            Some(state) if state.resolved => Cell::new("resolved").style(Style::Good),
            Some(_) => Cell::new("unresolved").style(Style::Warning),
        }),
        Column::number("MTU", |it| it.state.as_ref().map_or(0, |state| state.mtu).into()),
        Column::text("DETAIL", |it| {
            it.state.as_ref().map_or("", |state| &state.detail).into()
        }),
        Column::detail("INNER MAC", |it| {
            it.tunnel.as_ref().map_or("", |tunnel| &tunnel.inner_mac).into()
        }),
    ];
    const KEYS: &'static [Key<Self>] = &[
        Key::new("nexthop", Kind::Reference, "name or number", |it, out| {
            out.push(Value::Reference(it.id, Some(&it.name)));
        }),
        Key::new("id", Kind::Number, "number", |it, out| out.push(Value::Number(it.id))),
        Key::new("name", Kind::Text, "name", |it, out| out.push(Value::Text(&it.name))),
        Key::new(
            "kind",
            Kind::Text,
            "drop, port, tunnel, group, flood or local",
            |it, out| {
                out.push(Value::Text(it.kind));
            },
        ),
        Key::new(
            "port",
            Kind::Reference,
            "port it leads to, by name or number",
            |it, out| {
                out.extend(
                    it.port
                        .iter()
                        .map(|to| Value::Reference(to.port.into(), to.port_name.as_deref())),
                );
            },
        ),
        Key::new("encap", Kind::Text, "vxlan or mpls-udp", |it, out| {
            out.extend(it.tunnel.iter().map(|tunnel| Value::Text(tunnel.encapsulation)));
        }),
        Key::new(
            "remote",
            Kind::Address,
            "address of the remote VTEP, or a prefix",
            |it, out| {
                out.extend(it.tunnel.iter().map(|tunnel| Value::Net(&tunnel.remote)));
            },
        ),
        Key::new("vni", Kind::Number, "VXLAN network identifier it sends", |it, out| {
            let vxlan = it.tunnel.iter().filter(|tunnel| tunnel.encapsulation == "vxlan");
            out.extend(vxlan.map(|tunnel| Value::Number(tunnel.vni.into())));
        }),
        Key::new("label", Kind::Number, "MPLS label it sends", |it, out| {
            let mpls = it.tunnel.iter().filter(|tunnel| tunnel.encapsulation == "mpls-udp");
            out.extend(mpls.map(|tunnel| Value::Number(tunnel.label.into())));
        }),
        Key::new(
            "member",
            Kind::Reference,
            "member of a group or flood, by name or number",
            |it, out| {
                out.extend(it.members().map(|(id, name)| Value::Reference(id, name)));
            },
        ),
        Key::new("resolved", Kind::Flag, "packets can leave: yes or no", |it, out| {
            out.extend(it.state.iter().map(|state| Value::Flag(state.resolved)));
        }),
    ];
}

/// Does what the command asks.
pub(crate) async fn run(command: Command, context: &Context) -> Result<(), Failure> {
    const KINDS: &[api::Kind] = &[api::Kind::NextHop, api::Kind::Port];
    match command {
        Command::List(list) => {
            let filter = list.filter::<NextHopView>()?;
            let tables = Tables::fetch(context, KINDS).await?;
            let names = tables.names();
            let views = tables
                .next_hops
                .iter()
                .map(|next_hop| NextHopView::new(next_hop, &names));
            list.write(&context.output, &filter, views, |view| view.id)
        }
        Command::Show { next_hop } => {
            let tables = Tables::fetch(context, KINDS).await?;
            let names = tables.names();
            let views = tables
                .next_hops
                .iter()
                .map(|next_hop| NextHopView::new(next_hop, &names));
            context
                .output
                .one(&pick(views, &next_hop, "next hop", |view| (view.id, &view.name))?)
        }
    }
}
