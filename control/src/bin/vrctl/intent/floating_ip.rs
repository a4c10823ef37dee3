//! `vrctl floatingip`: addresses of the external network that stand for endpoints.

use std::{fmt, str::FromStr};

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
    /// Create a floating address; creating again what exists with the same wish changes nothing
    #[command(after_help = "\
Examples:
  vrctl floatingip create web --network public --endpoint blue/web-1
  vrctl floatingip create web6 --network public --family 6 --endpoint blue/web-1
  vrctl floatingip create edge --network public --address 192.0.2.80 --forward tcp/8080=blue/web-1:80")]
    Create(Create),
    /// List floating addresses
    #[command(visible_alias = "ls", after_help = filter::help::<FloatingIpView>(&[
        "vrctl floatingip list --match ip=192.0.2.0/24",
    ]))]
    List(ListArgs),
    /// Show one floating address
    Show {
        /// The floating address
        name: String,
    },
    /// Change a floating address; what is not named stays as it is
    #[command(after_help = "\
Examples:
  vrctl floatingip update web --endpoint blue/web-2
  vrctl floatingip update web --endpoint ''")]
    Update(Update),
    /// Delete a floating address
    #[command(visible_alias = "rm")]
    Delete {
        /// The floating address
        name: String,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Create {
    /// Name of the floating address
    name: String,
    /// The external network
    #[arg(long, value_name = "NAME")]
    network: String,
    /// The address [default: the server chooses]
    #[arg(long, value_name = "ADDRESS", default_value = "", hide_default_value = true)]
    address: String,
    /// Address family to choose from: 4 or 6 [default: 4 if the network has it]
    #[arg(long, value_name = "4|6", default_value_t = 0, hide_default_value = true)]
    family: u32,
    /// The endpoint it stands for, with all ports
    #[arg(
        long,
        value_name = "NETWORK/NAME",
        default_value = "",
        hide_default_value = true,
        conflicts_with = "forward"
    )]
    endpoint: String,
    /// Which of the endpoint's addresses, where it has several
    #[arg(long, value_name = "ADDRESS", default_value = "", hide_default_value = true)]
    fixed_address: String,
    /// A port that stands for an endpoint's; may be given several times
    #[arg(long, value_name = "PROTOCOL/PORT=NETWORK/NAME[:PORT]")]
    forward: Vec<Forward>,
}

#[derive(Args, Debug)]
pub(crate) struct Update {
    /// The floating address
    name: String,
    /// The endpoint it stands for; empty: none
    #[arg(long, value_name = "NETWORK/NAME")]
    endpoint: Option<String>,
    /// Which of the endpoint's addresses
    #[arg(long, value_name = "ADDRESS")]
    fixed_address: Option<String>,
    /// A port that stands for an endpoint's; replaces all there were; may be given several times
    #[arg(long, value_name = "PROTOCOL/PORT=NETWORK/NAME[:PORT]")]
    forward: Vec<Forward>,
    /// Remove all forwarded ports
    #[arg(long, conflicts_with = "forward")]
    no_forwards: bool,
    /// Refuse if it was changed since this revision
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    revision: u64,
}

/// A floating address as it is shown.
#[derive(Serialize)]
pub(super) struct FloatingIpView {
    name: String,
    uid: String,
    revision: u64,
    network: String,
    address: String,
    endpoint: String,
    fixed_address: String,
    forwards: Vec<String>,
}

impl From<api::FloatingIp> for FloatingIpView {
    fn from(it: api::FloatingIp) -> Self {
        Self {
            name: it.name,
            uid: it.uid,
            revision: it.revision,
            network: it.network,
            address: it.address,
            endpoint: it.endpoint,
            fixed_address: it.fixed_address,
            forwards: it
                .forwards
                .into_iter()
                .map(|forward| Forward(forward).to_string())
                .collect(),
        }
    }
}

impl FloatingIpView {
    /// Its name.
    pub(super) fn full_name(&self) -> String {
        self.name.clone()
    }

    /// In a few words, for `watch`.
    pub(super) fn summary(&self) -> String {
        format!(
            "{} for {}",
            self.address,
            if self.endpoint.is_empty() {
                "ports"
            } else {
                &self.endpoint
            }
        )
    }
}

impl Record for FloatingIpView {
    const NOUNS: &'static str = "floating addresses";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::text("NAME", |it| it.full_name().into()),
        Column::text("NETWORK", |it| Cell::new(&it.network)),
        Column::text("ADDRESS", |it| Cell::new(&it.address)),
        Column::text("ENDPOINT", |it| Cell::new(&it.endpoint)),
        Column::text("FIXED ADDRESS", |it| Cell::new(&it.fixed_address)),
        Column::text("FORWARDS", |it| it.forwards.join(",").into()),
        Column::detail("REVISION", |it| it.revision.into()),
        Column::detail("UID", |it| Cell::new(&it.uid)),
    ];
    const KEYS: &'static [Key<Self>] = &[
        Key::new("name", Kind::Text, "name", |it, out| {
            out.push(Value::Text(&it.name));
        }),
        Key::new("network", Kind::Text, "its external network", |it, out| {
            out.push(Value::Text(&it.network));
        }),
        Key::new("ip", Kind::Address, "its address, or a prefix", |it, out| {
            out.push(Value::Net(&it.address));
        }),
        Key::new("endpoint", Kind::Text, "the endpoint it stands for", |it, out| {
            out.push(Value::Text(&it.endpoint));
        }),
    ];
}

/// Does what the command asks.
pub(crate) async fn run(command: Command, context: &Context) -> Result<(), Failure> {
    match command {
        Command::Create(create) => {
            let floating_ip = api::FloatingIp {
                name: create.name,
                network: create.network,
                address: create.address,
                family: create.family,
                endpoint: create.endpoint,
                fixed_address: create.fixed_address,
                forwards: create.forward.into_iter().map(|forward| forward.0).collect(),
                ..Default::default()
            };
            let request = api::CreateFloatingIpRequest {
                floating_ip: Some(floating_ip),
            };
            let made = context.control().await?.create_floating_ip(request).await?;
            context.output.one(&FloatingIpView::from(made.into_inner()))
        }
        Command::List(list) => {
            let filter = list.filter::<FloatingIpView>()?;
            let answer = context
                .control()
                .await?
                .list_floating_ips(api::ListFloatingIpsRequest {})
                .await?;
            let views = answer.into_inner().floating_ips.into_iter().map(FloatingIpView::from);
            list.write(&context.output, &filter, views, FloatingIpView::full_name)
        }
        Command::Show { name } => {
            let request = api::GetFloatingIpRequest { name };
            let found = context.control().await?.get_floating_ip(request).await?;
            context.output.one(&FloatingIpView::from(found.into_inner()))
        }
        Command::Update(update) => {
            let mut mask = Mask::default();
            let mut floating_ip = api::FloatingIp {
                name: update.name,
                revision: update.revision,
                ..Default::default()
            };
            mask.set("endpoint", &mut floating_ip.endpoint, update.endpoint);
            mask.set("fixed_address", &mut floating_ip.fixed_address, update.fixed_address);
            let forwards: Vec<api::PortForward> = update.forward.into_iter().map(|forward| forward.0).collect();
            let forwards = (update.no_forwards || !forwards.is_empty()).then_some(forwards);
            mask.set("forwards", &mut floating_ip.forwards, forwards);
            let request = api::UpdateFloatingIpRequest {
                floating_ip: Some(floating_ip),
                update_mask: mask.finish()?,
            };
            let made = context.control().await?.update_floating_ip(request).await?;
            context.output.one(&FloatingIpView::from(made.into_inner()))
        }
        Command::Delete { name } => {
            let full_name = name.to_string();
            let request = api::DeleteFloatingIpRequest { name };
            let answer = context.control().await?.delete_floating_ip(request).await?;
            deleted(context, "floating address", &full_name, answer.into_inner().existed)
        }
    }
}

/// A forwarded port as it is written: `tcp/8080=blue/web-1:80`.
#[derive(Clone, Debug, PartialEq)]
struct Forward(api::PortForward);

impl FromStr for Forward {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || {
            format!(
                "{text:?} is no forwarded port: PROTOCOL/PORT=NETWORK/NAME[:PORT] is wanted, like tcp/8080=blue/web-1:80"
            )
        };
        let (from, to) = text.split_once('=').ok_or_else(refused)?;
        let (protocol, port) = from.split_once('/').ok_or_else(refused)?;
        let (endpoint, target) = to.split_once(':').unwrap_or((to, "0"));
        endpoint.parse::<Scoped>().map_err(|_| refused())?;
        Ok(Self(api::PortForward {
            protocol: protocol.to_ascii_lowercase(),
            port: port.parse().map_err(|_| refused())?,
            endpoint: endpoint.to_owned(),
            target_port: target.parse().map_err(|_| refused())?,
        }))
    }
}

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let it = &self.0;
        write!(f, "{}/{}={}", it.protocol, it.port, it.endpoint)?;
        match it.target_port {
            0 => Ok(()),
            port => write!(f, ":{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwarded_ports_are_written_as_they_are_read() {
        for text in ["tcp/8080=blue/web-1:80", "udp/53=blue/dns"] {
            assert_eq!(text.parse::<Forward>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "8080=blue/web-1",
            "tcp/x=blue/web-1",
            "tcp/80=web-1",
            "tcp/80=blue/web-1:x",
        ] {
            assert!(text.parse::<Forward>().is_err(), "{text}");
        }
    }
}
