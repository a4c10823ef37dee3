//! `vrctl flow`: flows as the workers hold them at this moment.

use clap::Subcommand;
use serde::Serialize;
use vrouter_proto::dataplane as api;

use super::{
    Tables, VrfListArgs,
    names::{Names, label},
    vrf,
};
use crate::{
    cli::Context,
    failure::Failure,
    filter::{self, Filter, Key, Kind, Net, Value, protocol},
    output::{Cell, Column, Record, Style},
};

/// Flows listed where no limit is given.
const DEFAULT_LIMIT: u32 = 10_000;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List flows; 10000 unless --limit says otherwise
    #[command(visible_alias = "ls", after_help = filter::help::<FlowView>(&[
        "vrctl flow list --match 'ip=10.1.0.2 port=443 proto=tcp vrf=blue'",
        "vrctl flow list --match 'src=10.1.0.0/24 dst!=10.1.0.0/24' --limit 20",
        "vrctl flow list --match 'in_port=web-1 direction=forward' -o json",
    ]))]
    List(VrfListArgs),
    /// Show all that is known of the flows that match
    #[command(after_help = "\
The filter is that of `vrctl flow list`. With -o json: an array.

Example:
  vrctl flow show 'src=10.1.0.2 dst=10.1.0.3 dport=443'")]
    Show {
        /// Which flows
        filter: String,
    },
    /// Show flows of all nodes as they begin, are refused and end (asks vrouter-control)
    Watch(crate::sight::flows::Watch),
}

/// A flow, one direction of it, as it is shown.
#[derive(Serialize)]
pub(crate) struct FlowView {
    vrf: u32,
    vrf_name: Option<String>,
    source: String,
    destination: String,
    protocol: u32,
    protocol_name: String,
    source_port: u32,
    destination_port: u32,
    in_port: u32,
    in_port_name: Option<String>,
    next_hop: u64,
    next_hop_name: Option<String>,
    action: String,
    packets: u64,
    bytes: u64,
    idle_seconds: u32,
    age_seconds: u32,
    forward: bool,
    state: String,
    verdict: &'static str,
    egress_rule: String,
    ingress_rule: String,
    drop_reason: String,
    translated_source: String,
    translated_destination: String,
}

impl FlowView {
    fn new(flow: api::Flow, names: &Names) -> Self {
        let translated = |address: &str, port: u32| match (address, port) {
            (_, 0) => address.to_owned(),
            (address, port) if address.contains(':') => format!("[{address}]:{port}"),
            (address, port) => format!("{address}:{port}"),
        };
        let decision = flow.decision.unwrap_or_default();
        Self {
            translated_source: translated(&flow.translated_source, flow.translated_source_port),
            translated_destination: translated(&flow.translated_destination, flow.translated_destination_port),
            state: flow.state,
            verdict: match decision.verdict() {
                api::Verdict::Allow => "allow",
                api::Verdict::Deny => "deny",
                api::Verdict::Audit => "audit",
                api::Verdict::Unspecified => "",
            },
            egress_rule: decision.egress_rule,
            ingress_rule: decision.ingress_rule,
            drop_reason: decision.drop_reason,
            vrf_name: names.vrf(flow.vrf),
            protocol_name: protocol::name(flow.protocol),
            in_port_name: names.port(flow.in_port),
            next_hop_name: names.next_hop(flow.next_hop),
            vrf: flow.vrf,
            source: flow.source,
            destination: flow.destination,
            protocol: flow.protocol,
            source_port: flow.source_port,
            destination_port: flow.destination_port,
            in_port: flow.in_port,
            next_hop: flow.next_hop,
            action: flow.action,
            packets: flow.packets,
            bytes: flow.bytes,
            idle_seconds: flow.idle_seconds,
            age_seconds: flow.age_seconds,
            forward: flow.forward,
        }
    }

    /// "10.1.0.2:443", "[fd00::2]:443", or the address alone where the protocol has no ports.
    fn end(&self, address: &str, port: u32) -> String {
        if !protocol::has_ports(self.protocol) {
            address.to_owned()
        } else if address.contains(':') {
            format!("[{address}]:{port}")
        } else {
            format!("{address}:{port}")
        }
    }

    fn direction(&self) -> &'static str {
        if self.forward { "forward" } else { "reverse" }
    }
}

impl Record for FlowView {
    const NOUNS: &'static str = "flows";
    const COLUMNS: &'static [Column<Self>] = &[
        Column::text("VRF", |it| label(it.vrf_name.as_deref(), it.vrf.into()).into()),
        Column::text("PROTO", |it| Cell::new(&it.protocol_name)),
        Column::text("SOURCE", |it| it.end(&it.source, it.source_port).into()),
        Column::text("DESTINATION", |it| it.end(&it.destination, it.destination_port).into()),
        Column::text("DIRECTION", |it| it.direction().into()),
        Column::text("IN PORT", |it| {
            label(it.in_port_name.as_deref(), it.in_port.into()).into()
        }),
        Column::text("NEXT HOP", |it| label(it.next_hop_name.as_deref(), it.next_hop).into()),
        Column::text("ACTION", |it| {
            let style = if it.action.starts_with("drop") {
                Style::Bad
            } else {
                Style::Plain
            };
            Cell::new(&it.action).style(style)
        }),
        Column::text("STATE", |it| Cell::new(&it.state)),
        Column::number("PACKETS", |it| it.packets.into()),
        Column::number("BYTES", |it| it.bytes.into()),
        Column::number("IDLE", |it| format!("{} s", it.idle_seconds).into()),
        Column::number("AGE", |it| format!("{} s", it.age_seconds).into()),
        Column::detail("VERDICT", |it| it.verdict.into()),
        Column::detail("EGRESS RULE", |it| Cell::new(&it.egress_rule)),
        Column::detail("INGRESS RULE", |it| Cell::new(&it.ingress_rule)),
        Column::detail("DROP REASON", |it| Cell::new(&it.drop_reason)),
        Column::detail("SOURCE BECOMES", |it| Cell::new(&it.translated_source)),
        Column::detail("DESTINATION BECOMES", |it| Cell::new(&it.translated_destination)),
    ];
    const KEYS: &'static [Key<Self>] = &[
        Key::new("vrf", Kind::Reference, "VRF by name or number", |it, out| {
            out.push(Value::Reference(it.vrf.into(), it.vrf_name.as_deref()));
        }),
        Key::new(
            "ip",
            Kind::Address,
            "source or destination address, or a prefix",
            |it, out| {
                out.extend([Value::Net(&it.source), Value::Net(&it.destination)]);
            },
        ),
        Key::new("src", Kind::Address, "source address, or a prefix", |it, out| {
            out.push(Value::Net(&it.source));
        }),
        Key::new("dst", Kind::Address, "destination address, or a prefix", |it, out| {
            out.push(Value::Net(&it.destination));
        }),
        Key::new(
            "proto",
            Kind::Protocol,
            "tcp, udp, icmp, icmpv6, sctp or a number",
            |it, out| {
                out.push(Value::Number(it.protocol.into()));
            },
        ),
        Key::new(
            "port",
            Kind::Number,
            "source or destination port of TCP, UDP or SCTP",
            |it, out| {
                out.extend([
                    Value::Number(it.source_port.into()),
                    Value::Number(it.destination_port.into()),
                ]);
            },
        ),
        Key::new("sport", Kind::Number, "source port", |it, out| {
            out.push(Value::Number(it.source_port.into()));
        }),
        Key::new("dport", Kind::Number, "destination port", |it, out| {
            out.push(Value::Number(it.destination_port.into()));
        }),
        Key::new(
            "in_port",
            Kind::Reference,
            "router's port it came in by, by name or number",
            |it, out| {
                out.push(Value::Reference(it.in_port.into(), it.in_port_name.as_deref()));
            },
        ),
        Key::new("nexthop", Kind::Reference, "next hop by name or number", |it, out| {
            out.push(Value::Reference(it.next_hop, it.next_hop_name.as_deref()));
        }),
        Key::new("action", Kind::Text, "what is done, like drop*", |it, out| {
            out.push(Value::Text(&it.action));
        }),
        Key::new(
            "state",
            Kind::Text,
            "state of the connection, like established",
            |it, out| {
                out.push(Value::Text(&it.state));
            },
        ),
        Key::new("verdict", Kind::Text, "allow, deny or audit", |it, out| {
            out.push(Value::Text(it.verdict));
        }),
        Key::new("rule", Kind::Text, "a rule that decided, like web/*", |it, out| {
            out.extend([Value::Text(&it.egress_rule), Value::Text(&it.ingress_rule)]);
        }),
        Key::new(
            "direction",
            Kind::Text,
            "forward (that of the first packet) or reverse",
            |it, out| {
                out.push(Value::Text(it.direction()));
            },
        ),
    ];
}

/// The part of `filter` that the server can do. What it sends is filtered again here.
fn request(filter: &Filter<FlowView>, vrf: u32, names: &Names, limit: u32) -> api::ListFlowsRequest {
    let first = |keys: &[&str]| {
        keys.iter()
            .find_map(|key| filter.asked(key))
            .unwrap_or_default()
            .to_owned()
    };
    api::ListFlowsRequest {
        vrf,
        address: first(&["ip", "src", "dst"]),
        l4_port: first(&["port", "sport", "dport"]).parse().unwrap_or_default(),
        protocol: filter.asked("proto").and_then(protocol::number).unwrap_or_default(),
        port: filter
            .asked("in_port")
            .and_then(|name| names.only_port(name))
            .unwrap_or_default(),
        // One more than shown, to know that there are more. What is filtered here cannot be counted there.
        limit: if filter.is_empty() {
            limit.saturating_add(1)
        } else {
            u32::MAX
        },
    }
}

/// Flows that match, at most `limit`, and whether there are more.
async fn fetch(context: &Context, filter: &Filter<FlowView>, limit: u32) -> Result<(Vec<FlowView>, bool), Failure> {
    let vrf = vrf::asked(context, filter).await?;
    let tables = Tables::fetch(context, &[api::Kind::Vrf, api::Kind::Port, api::Kind::NextHop]).await?;
    let names = tables.names();
    let request = request(filter, vrf, &names, limit);
    let mut chunks = context.dataplane().await?.list_flows(request).await?.into_inner();
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut found = Vec::new();
    while let Some(chunk) = chunks.message().await? {
        for flow in chunk.flows {
            let view = FlowView::new(flow, &names);
            if !filter.matches(&view) {
                continue;
            }
            if found.len() == limit {
                return Ok((found, true));
            }
            found.push(view);
        }
    }
    Ok((found, false))
}

/// Does what the command asks.
pub(crate) async fn run(command: Command, context: &Context) -> Result<(), Failure> {
    let nets = |view: &FlowView| (view.source.parse::<Net>().ok(), view.destination.parse::<Net>().ok());
    let order = |view: &FlowView| {
        (
            view.vrf,
            nets(view),
            view.protocol,
            view.source_port,
            view.destination_port,
        )
    };
    match command {
        Command::Watch(watch) => crate::sight::flows::run(watch, context).await,
        Command::List(args) => {
            let filter = args.filter::<FlowView>()?;
            let limit = args.list.limit_or(DEFAULT_LIMIT);
            let (found, more) = fetch(context, &filter, limit).await?;
            args.list.write(&context.output, &filter, found.into_iter(), order)?;
            if more {
                context
                    .output
                    .note(&format!("there are more than these {limit} flows; --limit shows more"));
            }
            Ok(())
        }
        Command::Show { filter } => {
            let filter = Filter::<FlowView>::parse(&[filter])?;
            let (mut found, more) = fetch(context, &filter, DEFAULT_LIMIT).await?;
            if found.is_empty() {
                return Err(Failure::Missing("no flows match".to_owned()));
            }
            found.sort_by_cached_key(order);
            context.output.several(&found)?;
            if more {
                context
                    .output
                    .note(&format!("there are more than these {DEFAULT_LIMIT} flows"));
            }
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Tables {
            ports: vec![api::Port {
                id: 3,
                name: "web-1".to_owned(),
                ..Default::default()
            }],
            ..Default::default()
        }
        .names()
    }

    #[test]
    fn the_server_is_asked_for_what_it_can_filter() {
        let filter = Filter::parse(&["ip=10.1.0.2 port=443 proto=tcp in_port=web-1 vrf=blue"]).unwrap();
        let request = request(&filter, 7, &names(), 5);
        let expected = api::ListFlowsRequest {
            vrf: 7,
            address: "10.1.0.2".to_owned(),
            l4_port: 443,
            protocol: 6,
            port: 3,
            limit: u32::MAX,
        };
        assert_eq!(request, expected);
    }

    #[test]
    fn what_is_not_wanted_is_not_asked_for() {
        let filter = Filter::parse(&["ip!=10.1.0.2 port!=443 proto!=tcp in_port!=web-1"]).unwrap();
        let request = request(&filter, 0, &names(), 5);
        assert_eq!(request.address, "");
        assert_eq!((request.l4_port, request.protocol, request.port), (0, 0, 0));
    }

    #[test]
    fn without_a_filter_the_server_limits() {
        assert_eq!(request(&Filter::default(), 0, &names(), 5).limit, 6);
    }

    #[test]
    fn ends_have_ports_where_the_protocol_has() {
        let flow = |protocol| {
            let flow = api::Flow {
                protocol,
                ..Default::default()
            };
            FlowView::new(flow, &names())
        };
        assert_eq!(flow(6).end("10.1.0.2", 443), "10.1.0.2:443");
        assert_eq!(flow(17).end("fd00::2", 53), "[fd00::2]:53");
        assert_eq!(flow(1).end("10.1.0.2", 77), "10.1.0.2");
    }
}
