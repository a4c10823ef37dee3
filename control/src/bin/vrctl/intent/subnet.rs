//! `vrctl subnet`: ranges of addresses of networks.

use clap::{Args, Subcommand};
use serde::Serialize;
use vrouter_proto::control as api;

use super::{Mask, deleted, names::Scoped};
use crate::{
    cli::Context,
    failure::Failure,
    filter::{self, Key, Kind, Value},
    listing::ListArgs,
    output::{Cell, Column, Record},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a subnet: one IPv4 or one IPv6 prefix of a network
    #[command(after_help = "\
Examples:
  vrctl subnet create blue/v4 --cidr 10.1.0.0/24
  vrctl subnet create blue/v6 --cidr fd00:1::/64 --gateway fd00:1::1
  vrctl subnet create blue/office --cidr 10.1.1.0/24 --reserve 10.1.1.200-10.1.1.250 --reserve 10.1.1.9")]
    Create(Create),
    /// List subnets
    #[command(visible_alias = "ls", after_help = filter::help::<SubnetView>(&[
        "vrctl subnet list --network blue", "vrctl subnet list --match ip=10.1.0.7",
    ]))]
    List {
        /// Only of this network
        #[arg(long, value_name = "NAME")]
        network: Option<String>,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Show one subnet
    Show {
        /// The subnet
        #[arg(value_name = "NETWORK/NAME")]
        name: Scoped,
    },
    /// Change which addresses are never handed out
    #[command(
        after_help = "Examples:\n  vrctl subnet update blue/v4 --reserve 10.1.0.200-10.1.0.250\n  \
                            vrctl subnet update blue/v4 --no-reserve"
    )]
    Update(Update),
    /// Delete a subnet; refused while its addresses are in use
    #[command(visible_alias = "rm")]
    Delete {
        /// The subnet
        #[arg(value_name = "NETWORK/NAME")]
        name: Scoped,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Create {
    /// The subnet, like blue/v4
    #[arg(value_name = "NETWORK/NAME")]
    name: Scoped,
    /// Its addresses, like 10.1.0.0/24 or fd00:1::/64
    #[arg(long, value_name = "PREFIX")]
    cidr: String,
    /// Address of the gateway [default: the first address]
    #[arg(long, value_name = "ADDRESS", default_value = "", hide_default_value = true)]
    gateway: String,
    /// An address or range that is never handed out; may be given several times
    #[arg(long, value_name = "ADDRESS[-ADDRESS]")]
    reserve: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Update {
    /// The subnet
    #[arg(value_name = "NETWORK/NAME")]
    name: Scoped,
    /// An address or range that is never handed out; replaces all there were; may be given several times
    #[arg(long, value_name = "ADDRESS[-ADDRESS]")]
    reserve: Vec<String>,
    /// Nothing is reserved any more
    #[arg(long, conflicts_with = "reserve")]
    no_reserve: bool,
    /// Refuse if the subnet was changed since this revision
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    revision: u64,
}

/// A subnet as it is shown.
#[derive(Serialize)]
pub(super) struct SubnetView {
    network: String,
    name: String,
    uid: String,
    revision: u64,
    cidr: String,
    gateway: String,
    reserved: Vec<String>,
    allocated: u64,
}

impl From<api::Subnet> for SubnetView {
    fn from(subnet: api::Subnet) -> Self {
        Self {
            network: subnet.network,
            name: subnet.name,
            uid: subnet.uid,
            revision: subnet.revision,
            cidr: subnet.cidr,
            gateway: subnet.gateway,
            reserved: subnet.reserved,
            allocated: subnet.allocated,
        }
    }
}

impl SubnetView {
    /// "blue/v4".
    pub(super) fn full_name(&self) -> String {
        format!("{}/{}", self.network, self.name)
    }

    /// In a few words, for `watch`.
    pub(super) fn summary(&self) -> String {
        format!("{}, gateway {}", self.cidr, self.gateway)
    }
}

impl Record for SubnetView {
    const NOUNS: &'static str = "subnets";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::text("NAME", |it| it.full_name().into()),
        Column::text("CIDR", |it| Cell::new(&it.cidr)),
        Column::text("GATEWAY", |it| Cell::new(&it.gateway)),
        Column::number("ALLOCATED", |it| it.allocated.into()),
        Column::text("RESERVED", |it| it.reserved.join(",").into()),
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
        Key::new("cidr", Kind::Prefix, "exactly this prefix", |it, out| {
            out.push(Value::Net(&it.cidr));
        }),
        Key::new(
            "ip",
            Kind::Address,
            "an address of the subnet, or a prefix it lies within",
            |it, out| {
                out.push(Value::Net(&it.cidr));
            },
        ),
        Key::new(
            "gateway",
            Kind::Address,
            "address of the gateway, or a prefix",
            |it, out| {
                out.push(Value::Net(&it.gateway));
            },
        ),
    ];
}

/// Does what the command asks.
pub(crate) async fn run(command: Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Create(create) => {
            let subnet = api::Subnet {
                network: create.name.network,
                name: create.name.name,
                cidr: create.cidr,
                gateway: create.gateway,
                reserved: create.reserve,
                ..Default::default()
            };
            let request = api::CreateSubnetRequest { subnet: Some(subnet) };
            let subnet = context.control().await?.create_subnet(request).await?;
            context.output.one(&SubnetView::from(subnet.into_inner()))
        }
        Command::List { network, list } => {
            let mut filter = list.filter::<SubnetView>()?;
            if let Some(network) = &network {
                filter.and("network", network)?;
            }
            let request = api::ListSubnetsRequest {
                network: network.unwrap_or_default(),
            };
            let answer = context.control().await?.list_subnets(request).await?;
            let views = answer.into_inner().subnets.into_iter().map(SubnetView::from);
            list.write(&context.output, &filter, views, |view| {
                (view.network.clone(), view.name.clone())
            })
        }
        Command::Show {
            name: Scoped { network, name },
        } => {
            let request = api::GetSubnetRequest { network, name };
            let subnet = context.control().await?.get_subnet(request).await?;
            context.output.one(&SubnetView::from(subnet.into_inner()))
        }
        Command::Update(update) => {
            let mut mask = Mask::default();
            let mut subnet = api::Subnet {
                network: update.name.network,
                name: update.name.name,
                revision: update.revision,
                ..Default::default()
            };
            let reserve = (update.no_reserve || !update.reserve.is_empty()).then_some(update.reserve);
            mask.set("reserved", &mut subnet.reserved, reserve);
            let request = api::UpdateSubnetRequest {
                subnet: Some(subnet),
                update_mask: mask.finish()?,
            };
            let subnet = context.control().await?.update_subnet(request).await?;
            context.output.one(&SubnetView::from(subnet.into_inner()))
        }
        Command::Delete { name } => {
            let full_name = name.to_string();
            let request = api::DeleteSubnetRequest {
                network: name.network,
                name: name.name,
            };
            let answer = context.control().await?.delete_subnet(request).await?;
            deleted(context, "subnet", &full_name, answer.into_inner().existed)
        }
    }
}
