//! `vrctl trace`: where a packet would go, and why, by the tables that packets use.

use std::{fmt::Write as _, path::PathBuf};

use clap::Args;
use serde::Serialize;
use vrouter_proto::control::{self as api, trace_request};

use super::packet;
use crate::{
    cli::Context,
    failure::Failure,
    filter::protocol,
    output::{Cell, Style},
};

#[derive(Args, Debug)]
#[command(after_help = "\
Nothing is sent, counted or remembered: each node says what it would do, by the very tables and code that packets use.

Examples:
  vrctl trace --from web-1 --to 10.0.3.7 --proto tcp --dport 443
  vrctl trace --from blue/web-1 --to blue/db-1
  vrctl trace --from blue/web-1 --pcap capture.pcap --frame 3
  vrctl trace --from blue/web-1 --hex '00005e000100 0200000000010800 4500...' -o json

Exit codes: 0 it arrives, 1 it does not")]
pub(crate) struct Trace {
    /// Endpoint that sends: NETWORK/NAME, or a name that only one network has
    #[arg(long, value_name = "ENDPOINT")]
    from: String,
    /// Where to: an address, or an endpoint
    #[arg(long, value_name = "ADDRESS|ENDPOINT", required_unless_present_any = ["hex", "pcap"], conflicts_with_all = ["hex", "pcap"])]
    to: Option<String>,
    /// Protocol: tcp, udp, icmp, icmpv6, sctp or a number [default: tcp where a port is given, else a ping]
    #[arg(long, value_name = "PROTOCOL")]
    proto: Option<String>,
    /// Source port
    #[arg(long, value_name = "PORT", default_value_t = 0, hide_default_value = true)]
    sport: u16,
    /// Destination port
    #[arg(long, value_name = "PORT", default_value_t = 0, hide_default_value = true)]
    dport: u16,
    /// Source address [default: the endpoint's own]
    #[arg(long, value_name = "ADDRESS", default_value = "", hide_default_value = true)]
    source: String,
    /// Bytes of the IP packet [default: as small as it can be]
    #[arg(long, value_name = "BYTES", default_value_t = 0, hide_default_value = true)]
    length: u16,
    /// A whole frame in hexadecimal digits
    #[arg(long, value_name = "DIGITS", conflicts_with = "pcap")]
    hex: Option<String>,
    /// A frame of this capture (pcap or pcapng)
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
    /// Which frame of the capture, from 1
    #[arg(long, value_name = "N", default_value_t = 1, requires = "pcap", value_parser = clap::value_parser!(u32).range(1..))]
    frame: u32,
}

/// A trace, as JSON.
#[derive(Serialize)]
struct TraceView {
    verdict: String,
    delivered: bool,
    hops: Vec<HopView>,
}

#[derive(Serialize)]
struct HopView {
    node: String,
    revision: u64,
    entered: String,
    steps: Vec<StepView>,
    drop_reason: String,
    error: String,
}

#[derive(Serialize)]
struct StepView {
    stage: String,
    detail: String,
    object: String,
}

impl From<api::TraceResponse> for TraceView {
    fn from(answer: api::TraceResponse) -> Self {
        let step = |step: api::TraceStep| StepView {
            stage: step.stage,
            detail: step.detail,
            object: step.object,
        };
        let hop = |hop: api::TraceHop| HopView {
            node: hop.node,
            revision: hop.revision,
            entered: hop.entered,
            steps: hop.steps.into_iter().map(step).collect(),
            drop_reason: hop.drop_reason,
            error: hop.error,
        };
        Self {
            verdict: answer.verdict,
            delivered: answer.delivered,
            hops: answer.hops.into_iter().map(hop).collect(),
        }
    }
}

/// Asks, prints each step, and fails when the packet does not arrive.
pub(crate) async fn run(trace: Trace, context: &Context) -> Result<(), Failure> {
    let what = what(&trace)?;
    let request = api::TraceRequest {
        from: trace.from,
        what: Some(what),
    };
    let answer = context.control().await?.trace(request).await?.into_inner();
    let view = TraceView::from(answer);
    if context.output.json() {
        context.output.value(&view)?;
    } else {
        context.output.text(&text(&view, context))?;
    }
    if view.delivered {
        Ok(())
    } else {
        Err(Failure::Missing(format!(
            "the packet does not arrive: {}",
            view.verdict
        )))
    }
}

fn what(trace: &Trace) -> Result<trace_request::What, Failure> {
    if let Some(digits) = &trace.hex {
        return packet::from_hex(digits).map(trace_request::What::Frame);
    }
    if let Some(path) = &trace.pcap {
        let number = usize::try_from(trace.frame).unwrap_or(usize::MAX);
        return packet::from_file(path, number).map(trace_request::What::Frame);
    }
    let protocol = match &trace.proto {
        Some(text) if protocol::number(text).is_none() => {
            return Err(Failure::Usage(format!(
                "--proto: {text:?} is no protocol; tcp, udp, icmp, icmpv6, sctp or a number would be right"
            )));
        }
        Some(text) => text.clone(),
        None if trace.sport != 0 || trace.dport != 0 => "tcp".to_owned(),
        None => String::new(),
    };
    Ok(trace_request::What::Packet(api::TracePacket {
        to: trace.to.clone().unwrap_or_default(),
        source: trace.source.clone(),
        protocol,
        source_port: trace.sport.into(),
        destination_port: trace.dport.into(),
        length: trace.length.into(),
    }))
}

/// For people: a heading for each node, a line for each step.
fn text(view: &TraceView, context: &Context) -> String {
    let mut text = String::new();
    for hop in &view.hops {
        let heading = Cell::new(format!(
            "{}: enters by {} (revision {})",
            hop.node, hop.entered, hop.revision
        ));
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", heading.as_str());
        let width = hop.steps.iter().map(|step| step.stage.len()).max().unwrap_or_default();
        for step in &hop.steps {
            let words = match step.object.as_str() {
                "" => step.detail.clone(),
                object => format!("{} [{object}]", step.detail),
            };
            let _ = writeln!(
                text,
                "  {:width$}  {}",
                Cell::new(&step.stage).as_str(),
                Cell::new(words).as_str()
            );
        }
        if !hop.error.is_empty() {
            let _ = writeln!(text, "  {}", Cell::new(&hop.error).as_str());
        }
    }
    let style = if view.delivered { Style::Good } else { Style::Bad };
    text.push_str(
        &context
            .output
            .lines(&[("VERDICT", Cell::new(&view.verdict).style(style))]),
    );
    text
}
