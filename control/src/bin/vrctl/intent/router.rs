//! `vrctl router`: networks joined, and the way out.

use std::{fmt, str::FromStr};

use clap::{Args, Subcommand};
use serde::Serialize;
use vrouter_proto::control as api;

use super::{Mask, deleted, given};
use crate::{
    cli::Context,
    failure::Failure,
    filter::{self, Key, Kind, Value},
    listing::ListArgs,
    output::{Cell, Column, Record},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a router; creating again what exists with the same wish changes nothing
    #[command(after_help = "\
Examples:
  vrctl router create r1 --network blue --network green
  vrctl router create r1 --network blue --external public --snat
  vrctl router create r2 --leak blue:green:10.1.2.0/24 --leak green:blue:10.2.0.0/16")]
    Create(Create),
    /// List routers
    #[command(visible_alias = "ls", after_help = filter::help::<RouterView>(&[
        "vrctl router list --match network=blue",
    ]))]
    List(ListArgs),
    /// Show one router
    Show {
        /// The router
        name: String,
    },
    /// Change a router; what is not named stays as it is
    #[command(after_help = "\
Examples:
  vrctl router update r1 --network blue --network green --network red
  vrctl router update r1 --external public --snat yes")]
    Update(Update),
    /// Delete a router
    #[command(visible_alias = "rm")]
    Delete {
        /// The router
        name: String,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Create {
    /// Name of the router
    name: String,
    /// A network that reaches the others; may be given several times
    #[arg(long, value_name = "NAME")]
    network: Vec<String>,
    /// The external network that they reach
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    external: String,
    /// Translate sources without a floating address behind their node's NAT addresses
    #[arg(long)]
    snat: bool,
    /// Let a network reach a part of another; may be given several times
    #[arg(long, value_name = "FROM:TO:PREFIX")]
    leak: Vec<Leak>,
    /// Ports that an endpoint's translations take at a time: a power of two, 8..4096 [default: 64]
    #[arg(long, value_name = "PORTS", default_value_t = 0, hide_default_value = true)]
    port_block: u32,
    /// Blocks of ports that one endpoint may take [default: 16]
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    port_blocks: u32,
}

#[derive(Args, Debug)]
pub(crate) struct Update {
    /// The router
    name: String,
    /// A network that reaches the others; replaces all there were; may be given several times
    #[arg(long, value_name = "NAME")]
    network: Vec<String>,
    /// The external network that they reach; empty: none
    #[arg(long, value_name = "NAME")]
    external: Option<String>,
    /// Translate sources without a floating address
    #[arg(long, value_name = "YES|NO", value_parser = clap::builder::BoolishValueParser::new())]
    snat: Option<bool>,
    /// Let a network reach a part of another; replaces all there were; may be given several times
    #[arg(long, value_name = "FROM:TO:PREFIX")]
    leak: Vec<Leak>,
    /// Remove all leaks
    #[arg(long, conflicts_with = "leak")]
    no_leaks: bool,
    /// Refuse if it was changed since this revision
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    revision: u64,
}

/// A router as it is shown.
#[derive(Serialize)]
pub(super) struct RouterView {
    name: String,
    uid: String,
    revision: u64,
    networks: Vec<String>,
    external_network: String,
    translate_sources: bool,
    leaks: Vec<String>,
    port_block_size: u32,
    port_blocks_per_endpoint: u32,
}

impl From<api::Router> for RouterView {
    fn from(it: api::Router) -> Self {
        Self {
            name: it.name,
            uid: it.uid,
            revision: it.revision,
            networks: it.networks,
            external_network: it.external_network,
            translate_sources: it.translate_sources,
            leaks: it.leaks.into_iter().map(|leak| Leak(leak).to_string()).collect(),
            port_block_size: it.port_block_size,
            port_blocks_per_endpoint: it.port_blocks_per_endpoint,
        }
    }
}

impl RouterView {
    /// Its name.
    pub(super) fn full_name(&self) -> String {
        self.name.clone()
    }

    /// In a few words, for `watch`.
    pub(super) fn summary(&self) -> String {
        format!("joins {}", self.networks.join(" "))
    }
}

impl Record for RouterView {
    const NOUNS: &'static str = "routers";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::text("NAME", |it| it.full_name().into()),
        Column::text("NETWORKS", |it| it.networks.join(",").into()),
        Column::text("EXTERNAL", |it| Cell::new(&it.external_network)),
        Column::text("SNAT", |it| Cell::new(if it.translate_sources { "yes" } else { "no" })),
        Column::text("LEAKS", |it| it.leaks.join(",").into()),
        Column::detail("PORT BLOCK", |it| it.port_block_size.into()),
        Column::detail("BLOCKS PER ENDPOINT", |it| it.port_blocks_per_endpoint.into()),
        Column::detail("REVISION", |it| it.revision.into()),
        Column::detail("UID", |it| Cell::new(&it.uid)),
    ];
    const KEYS: &'static [Key<Self>] = &[
        Key::new("name", Kind::Text, "name", |it, out| {
            out.push(Value::Text(&it.name));
        }),
        Key::new("network", Kind::Text, "one of its networks", |it, out| {
            out.extend(it.networks.iter().map(|network| Value::Text(network)));
        }),
        Key::new("external", Kind::Text, "its external network", |it, out| {
            out.push(Value::Text(&it.external_network));
        }),
        Key::new("snat", Kind::Flag, "it translates sources", |it, out| {
            out.push(Value::Flag(it.translate_sources));
        }),
    ];
}

/// Does what the command asks.
pub(crate) async fn run(command: Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Create(create) => {
            let router = api::Router {
                name: create.name,
                networks: create.network,
                external_network: create.external,
                translate_sources: create.snat,
                leaks: create.leak.into_iter().map(|leak| leak.0).collect(),
                port_block_size: create.port_block,
                port_blocks_per_endpoint: create.port_blocks,
                ..Default::default()
            };
            let request = api::CreateRouterRequest { router: Some(router) };
            let made = context.control().await?.create_router(request).await?;
            context.output.one(&RouterView::from(made.into_inner()))
        }
        Command::List(list) => {
            let filter = list.filter::<RouterView>()?;
            let answer = context
                .control()
                .await?
                .list_routers(api::ListRoutersRequest {})
                .await?;
            let views = answer.into_inner().routers.into_iter().map(RouterView::from);
            list.write(&context.output, &filter, views, RouterView::full_name)
        }
        Command::Show { name } => {
            let request = api::GetRouterRequest { name };
            let found = context.control().await?.get_router(request).await?;
            context.output.one(&RouterView::from(found.into_inner()))
        }
        Command::Update(update) => {
            let mut mask = Mask::default();
            let mut router = api::Router {
                name: update.name,
                revision: update.revision,
                ..Default::default()
            };
            mask.set("networks", &mut router.networks, given(update.network, Vec::is_empty));
            mask.set("external_network", &mut router.external_network, update.external);
            mask.set("translate_sources", &mut router.translate_sources, update.snat);
            let leaks: Vec<api::RouteLeak> = update.leak.into_iter().map(|leak| leak.0).collect();
            let leaks = (update.no_leaks || !leaks.is_empty()).then_some(leaks);
            mask.set("leaks", &mut router.leaks, leaks);
            let request = api::UpdateRouterRequest {
                router: Some(router),
                update_mask: mask.finish()?,
            };
            let made = context.control().await?.update_router(request).await?;
            context.output.one(&RouterView::from(made.into_inner()))
        }
        Command::Delete { name } => {
            let full_name = name.to_string();
            let request = api::DeleteRouterRequest { name };
            let answer = context.control().await?.delete_router(request).await?;
            deleted(context, "router", &full_name, answer.into_inner().existed)
        }
    }
}

/// A leak as it is written: `blue:green:10.1.2.0/24` lets green reach that part of blue.
#[derive(Clone, Debug, PartialEq)]
struct Leak(api::RouteLeak);

impl FromStr for Leak {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.splitn(3, ':');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(from), Some(to), Some(prefix)) if !from.is_empty() && !to.is_empty() && !prefix.is_empty() => {
                Ok(Self(api::RouteLeak {
                    from_network: from.to_owned(),
                    to_network: to.to_owned(),
                    prefix: prefix.to_owned(),
                }))
            }
            _ => Err(format!(
                "{text:?} is no leak: FROM:TO:PREFIX is wanted, like blue:green:10.1.2.0/24"
            )),
        }
    }
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.0.from_network, self.0.to_network, self.0.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaks_are_written_as_they_are_read() {
        for text in ["blue:green:10.1.2.0/24", "blue:green:fd00:1::/64"] {
            assert_eq!(text.parse::<Leak>().unwrap().to_string(), text);
        }
        assert!("blue:10.1.2.0/24".parse::<Leak>().is_err());
    }
}
