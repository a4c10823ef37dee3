//! `vrctl flow watch`: flows of all nodes as they begin, are refused and end.

use clap::{Args, ValueEnum};
use serde::Serialize;
use vrouter_proto::control as api;

use crate::{cli::Context, failure::Failure, output::Cell};

#[derive(Args, Debug)]
#[command(after_help = "\
A line for each event, until interrupted. With -o json: one JSON object on each line. What comes faster than it can be shown is lost and
counted: packets never wait for a watcher.

Examples:
  vrctl flow watch --verdict deny
  vrctl flow watch --endpoint blue/web-1 --proto tcp --port 443
  vrctl flow watch --logged -o json")]
pub(crate) struct Watch {
    /// Only of this node
    #[arg(long, value_name = "NODE", default_value = "", hide_default_value = true)]
    node: String,
    /// Only from or to this endpoint
    #[arg(long, value_name = "ENDPOINT", default_value = "", hide_default_value = true)]
    endpoint: String,
    /// Only from or to this address or prefix
    #[arg(long, value_name = "PREFIX", default_value = "", hide_default_value = true)]
    ip: String,
    /// Only with this port on either side
    #[arg(long, value_name = "PORT", default_value_t = 0, hide_default_value = true)]
    port: u16,
    /// Only of this protocol
    #[arg(long, value_name = "PROTOCOL", default_value = "", hide_default_value = true)]
    proto: String,
    /// Only with this verdict; may be given several times
    #[arg(long, value_enum, value_name = "VERDICT")]
    verdict: Vec<Verdict>,
    /// Only what rules ask to be told of (log, audit)
    #[arg(long)]
    logged: bool,
    /// End after this many events
    #[arg(long, short = 'n', value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Verdict {
    Allow,
    Deny,
    Audit,
}

impl Verdict {
    fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Audit => "audit",
        }
    }
}

/// An event, as JSON.
#[derive(Serialize)]
struct EventView {
    time: String,
    node: String,
    #[serde(rename = "type")]
    event: String,
    verdict: String,
    network: String,
    protocol: String,
    source: String,
    source_port: u32,
    source_endpoint: String,
    destination: String,
    destination_port: u32,
    destination_endpoint: String,
    translated_source: String,
    translated_destination: String,
    egress_rule: String,
    ingress_rule: String,
    reason: String,
    state: String,
    packets: u64,
    bytes: u64,
    lost: u64,
}

impl From<api::FlowEvent> for EventView {
    fn from(it: api::FlowEvent) -> Self {
        Self {
            time: moment(it.time),
            node: it.node,
            event: it.r#type,
            verdict: it.verdict,
            network: it.network,
            protocol: it.protocol,
            source: it.source,
            source_port: it.source_port,
            source_endpoint: it.source_endpoint,
            destination: it.destination,
            destination_port: it.destination_port,
            destination_endpoint: it.destination_endpoint,
            translated_source: it.translated_source,
            translated_destination: it.translated_destination,
            egress_rule: it.egress_rule,
            ingress_rule: it.ingress_rule,
            reason: it.reason,
            state: it.state,
            packets: it.packets,
            bytes: it.bytes,
            lost: it.lost,
        }
    }
}

impl EventView {
    fn text(&self) -> String {
        let end = |endpoint: &str, address: &str, port: u32| {
            let place = match (address.contains(':'), port) {
                (_, 0) => address.to_owned(),
                (true, port) => format!("[{address}]:{port}"),
                (false, port) => format!("{address}:{port}"),
            };
            if endpoint.is_empty() {
                place
            } else {
                format!("{endpoint} {place}")
            }
        };
        let mut words = format!(
            "{} {} {:7} {:5} {} {} -> {}",
            self.time,
            self.node,
            self.event,
            self.verdict,
            self.protocol,
            end(&self.source_endpoint, &self.source, self.source_port),
            end(&self.destination_endpoint, &self.destination, self.destination_port),
        );
        for (what, value) in [
            ("as", &self.translated_source),
            ("to", &self.translated_destination),
            ("egress", &self.egress_rule),
            ("ingress", &self.ingress_rule),
            ("reason", &self.reason),
            ("state", &self.state),
        ] {
            if !value.is_empty() {
                words.push_str(&format!(" {what} {value}"));
            }
        }
        if self.event == "ended" {
            words.push_str(&format!(" {} packets {} bytes", self.packets, self.bytes));
        }
        if self.lost > 0 {
            words.push_str(&format!(" ({} events before this one were lost)", self.lost));
        }
        // Through a cell, so that no name can drive the terminal.
        format!("{}\n", Cell::new(words).as_str())
    }
}

/// Time of day in UTC, to the millisecond.
fn moment(nanoseconds: u64) -> String {
    let milliseconds = nanoseconds / 1_000_000;
    let (seconds, milliseconds) = (milliseconds / 1000, milliseconds % 1000);
    let (hours, minutes, seconds) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{hours:02}:{minutes:02}:{seconds:02}.{milliseconds:03}")
}

/// Shows events until interrupted, the count is reached, or the server goes away.
pub(crate) async fn run(watch: Watch, context: &Context) -> Result<(), Failure> {
    let request = api::WatchFlowsRequest {
        node: watch.node,
        endpoint: watch.endpoint,
        address: watch.ip,
        l4_port: watch.port.into(),
        protocol: watch.proto,
        verdicts: watch.verdict.iter().map(|verdict| verdict.name().to_owned()).collect(),
        logged_only: watch.logged,
    };
    let mut events = context.control().await?.watch_flows(request).await?.into_inner();
    let mut left = watch.count;
    while left != Some(0) {
        let Some(event) = events.message().await? else {
            return Err(Failure::Lost("the server ended the watch".to_owned()));
        };
        let event = EventView::from(event);
        if context.output.json() {
            context.output.line(&event)?;
        } else {
            context.output.text(&event.text())?;
        }
        left = left.map(|left| left - 1);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_with_names_beside_numbers() {
        let event = EventView::from(api::FlowEvent {
            node: "node1".into(),
            r#type: "denied".into(),
            time: 3_723_004_000_000,
            protocol: "tcp".into(),
            source: "10.1.0.2".into(),
            source_port: 4711,
            source_endpoint: "blue/web-1".into(),
            destination: "fd00::7".into(),
            destination_port: 443,
            verdict: "deny".into(),
            egress_rule: "web/default".into(),
            reason: "policy_denied_egress".into(),
            lost: 2,
            ..Default::default()
        });
        assert_eq!(
            event.text(),
            "01:02:03.004 node1 denied  deny  tcp blue/web-1 10.1.0.2:4711 -> [fd00::7]:443 egress web/default reason \
             policy_denied_egress (2 events before this one were lost)\n"
        );
    }
}
