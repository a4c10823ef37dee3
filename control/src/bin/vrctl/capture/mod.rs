//! `vrctl capture`: packets of one node as they come in, go out or are dropped with the reason, for Wireshark, for people or for programs.
//!
//! With `--node`, `vrouter-control` is asked, which knows where endpoints are; without, the `vrouterd` of this host.

mod event;
mod files;
mod pcapng;
mod request;
mod summary;

use std::{
    io::{self, IsTerminal as _},
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clap::{Args, ValueEnum};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tonic::Streaming;
use vrouter_proto::{control as ctl, dataplane as dp};

use self::{
    event::{Event, Packet, Point, Port, Statistics},
    files::{About, Files, Target},
};
use crate::{cli::Context, failure::Failure, output::Cell};

/// File sizes are in millions of bytes, as tcpdump has them.
const MILLION: u64 = 1_000_000;

#[derive(Args, Debug)]
#[command(after_help = "\
Without -w, a line for each packet; with -o json, an object on each line. Received and transmitted packets are shown as they are on the wire or
veth, tunnel and all; dropped ones as they were when they were dropped. FILTER is an expression as of tcpdump: host, net, port, portrange, src, dst, ip,
ip6, arp, tcp, udp, icmp, icmp6, proto, ether host, vlan, less, greater, and, or, not. `vni [N]` and `label [N]` are tunnel packets; what stands behind
them is about the packet within.

Copies that are not read fast enough are lost and counted: packets never wait. A capture ends with Ctrl-C, at a limit, or when its reader goes away.

Examples:
  vrctl capture --port web-1 --filter 'tcp port 443'
  vrctl capture --node node1 --port blue/web-1 --drops -w - | wireshark -k -i -
  vrctl capture --drops-only --network blue -c 10
  vrctl capture --port eth1 --filter 'vni 7 and host 10.1.0.2' -w edge.pcapng --duration 30s
  vrctl capture -w ring.pcapng -C 100 -W 5 --sample 1/100")]
pub(crate) struct Capture {
    /// The node, asked through vrouter-control. Without: the vrouterd of --dataplane
    #[arg(long, value_name = "NODE", default_value = "", hide_default_value = true)]
    node: String,
    /// Only packets of this port: an endpoint or an uplink; may be given several times
    #[arg(long, value_name = "PORT")]
    port: Vec<String>,
    /// Only packets of this network's ports, and what is dropped in it; may be given several times
    #[arg(long, value_name = "NETWORK")]
    network: Vec<String>,
    /// Only packets that match, in the language of tcpdump
    #[arg(
        long,
        short = 'f',
        value_name = "FILTER",
        default_value = "",
        hide_default_value = true
    )]
    filter: String,
    /// Which way packets go: in from the port, out to it
    #[arg(long, value_enum, default_value = "both", value_name = "WAY")]
    direction: Way,
    /// Dropped packets, too, with the reason
    #[arg(long)]
    drops: bool,
    /// Dropped packets only
    #[arg(long, conflicts_with = "drops")]
    drops_only: bool,
    /// Bytes of each packet
    #[arg(
        long,
        short = 's',
        value_name = "BYTES",
        default_value_t = 0,
        hide_default_value = true
    )]
    snaplen: u32,
    /// One of N packets
    #[arg(long, value_name = "1/N", default_value = "1/1", hide_default_value = true, value_parser = request::sample)]
    sample: u32,
    /// End after so many packets
    #[arg(long, short = 'c', value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End after so many bytes of packets, with k, m, g
    #[arg(long, value_name = "BYTES", value_parser = request::bytes)]
    max_bytes: Option<u64>,
    /// End after this time: 500ms, 30s, 5m, 1h
    #[arg(long, value_name = "TIME", value_parser = request::duration)]
    duration: Option<Duration>,
    /// Most packets in a second
    #[arg(long, value_name = "PACKETS", default_value_t = 0, hide_default_value = true)]
    max_rate: u32,
    /// Write pcapng to a file; "-" is standard output
    #[arg(long, short = 'w', value_name = "FILE")]
    write: Option<PathBuf>,
    /// Begin the next file after so many million bytes
    #[arg(short = 'C', value_name = "MB", requires = "write", value_parser = clap::value_parser!(u64).range(1..))]
    file_size: Option<u64>,
    /// Keep so many files, and write over the oldest
    #[arg(short = 'W', value_name = "FILES", requires = "file_size", value_parser = clap::value_parser!(u32).range(1..))]
    file_count: Option<u32>,
}

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Way {
    In,
    Out,
    Both,
}

/// Whoever tells the capture.
enum Source {
    Control(Streaming<ctl::CaptureEvent>),
    Dataplane(Streaming<dp::CaptureEvent>),
}

impl Source {
    async fn begin(capture: &Capture, context: &Context) -> Result<Self, Failure> {
        Ok(if capture.node.is_empty() {
            let mut dataplane = context.dataplane().await?;
            Self::Dataplane(dataplane.capture(capture.for_dataplane()).await?.into_inner())
        } else {
            let mut control = context.control().await?;
            Self::Control(control.capture(capture.for_control()).await?.into_inner())
        })
    }

    /// The next thing it tells; `None` at the end.
    async fn next(&mut self, node: &str) -> Result<Option<Event>, Failure> {
        loop {
            let event = match self {
                Self::Control(events) => match events.message().await? {
                    Some(event) => event::from_control(node, event),
                    None => return Ok(None),
                },
                Self::Dataplane(events) => match events.message().await? {
                    Some(event) => event::from_dataplane(node, event),
                    None => return Ok(None),
                },
            };
            if event.is_some() {
                return Ok(event);
            }
        }
    }
}

/// Where packets are shown.
enum Sink<'a> {
    Files(Box<Files>),
    Lines(&'a Context, Vec<Port>),
}

/// A packet, as JSON.
#[derive(Serialize)]
struct PacketView<'a> {
    time: u64,
    port: u32,
    port_name: &'a str,
    point: &'static str,
    length: u32,
    summary: String,
    drop_reason: &'a str,
    rule: &'a str,
    vrf: &'a str,
    checksum_completed: bool,
    large: bool,
    ethernet_made_up: bool,
    /// Its bytes as hexadecimal digits.
    data: String,
}

impl Sink<'_> {
    fn take(&mut self, event: Event) -> Result<(), Failure> {
        match (self, event) {
            (Self::Files(files), Event::Port(port)) => files.port(port),
            (Self::Files(files), Event::Packets(packets)) => {
                packets.iter().try_for_each(|packet| files.packet(packet))?;
                files.flush()
            }
            (Self::Files(files), Event::Statistics(statistics)) => {
                files.statistics(&statistics);
                files.flush()
            }
            (Self::Lines(_, ports), Event::Port(port)) => {
                ports.push(port);
                Ok(())
            }
            (Self::Lines(context, ports), Event::Packets(packets)) => {
                packets.iter().try_for_each(|packet| show(context, ports, packet))
            }
            (Self::Lines(..), Event::Statistics(_)) => Ok(()),
        }
    }
}

fn show(context: &Context, ports: &[Port], packet: &Packet) -> Result<(), Failure> {
    let name = ports
        .iter()
        .find(|port| port.id == packet.port)
        .map_or("?", |port| port.name.as_str());
    if context.output.json() {
        return context.output.line(&PacketView {
            time: packet.time,
            port: packet.port,
            port_name: name,
            point: point(packet.point),
            length: packet.length,
            summary: summary::summary(&packet.data),
            drop_reason: &packet.drop_reason,
            rule: &packet.rule,
            vrf: &packet.vrf,
            checksum_completed: packet.checksum_completed,
            large: packet.large,
            ethernet_made_up: packet.ethernet_made_up,
            data: packet.data.iter().map(|byte| format!("{byte:02x}")).collect(),
        });
    }
    context.output.text(&line(name, packet))
}

fn point(point: Point) -> &'static str {
    match point {
        Point::Received => "in",
        Point::Transmitted => "out",
        Point::Dropped => "drop",
    }
}

/// "12:00:00.123456 blue/web-1 in 10.1.0.2:4711 > 10.1.0.7:443 tcp S".
fn line(name: &str, packet: &Packet) -> String {
    let microseconds = packet.time / 1000;
    let seconds = microseconds / 1_000_000;
    let words = format!(
        "{:02}:{:02}:{:02}.{:06} {name} {:4} {} ({} bytes){}{}",
        seconds / 3600 % 24,
        seconds / 60 % 60,
        seconds % 60,
        microseconds % 1_000_000,
        point(packet.point),
        summary::summary(&packet.data),
        packet.length,
        if packet.point == Point::Dropped { " " } else { "" },
        packet.why(),
    );
    // Through a cell, so that no name can drive the terminal.
    format!("{}\n", Cell::new(words).as_str())
}

/// Captures until interrupted, at a limit, or until the reader goes away.
pub(crate) async fn run(capture: Capture, context: &Context) -> Result<(), Failure> {
    let target = capture.write.as_ref().map(|path| Target {
        path: (path.as_os_str() != "-").then(|| path.clone()),
        size: capture.file_size.unwrap_or(0) * MILLION,
        files: capture.file_count.unwrap_or(0),
    });
    if let Some(Target { path: None, size, .. }) = &target {
        if io::stdout().is_terminal() {
            let message = "-w -: pcapng is not for a terminal; pipe it: vrctl capture -w - | wireshark -k -i -";
            return Err(Failure::Usage(message.to_owned()));
        }
        if *size > 0 {
            return Err(Failure::Usage("-C begins new files, and -w - is none".to_owned()));
        }
    }
    // Before anything is captured, so that no signal comes too early.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut source = Source::begin(&capture, context).await?;
    let mut sink = match target {
        Some(target) => Sink::Files(Box::new(Files::create(target, capture.about())?)),
        None => Sink::Lines(context, Vec::new()),
    };
    let mut statistics = Statistics::default();
    let mut first = true;
    let ended = loop {
        let event = tokio::select! {
            event = source.next(&capture.node) => event,
            _ = interrupt.recv() => break Ok(()),
            _ = terminate.recv() => break Ok(()),
        };
        match event {
            Ok(Some(event)) => {
                if std::mem::take(&mut first) && capture.write.is_some() {
                    context.output.note("capturing");
                }
                if let Event::Statistics(said) = &event {
                    statistics = *said;
                }
                sink.take(event)?;
            }
            Ok(None) => break Ok(()),
            Err(failure) => break Err(failure),
        }
    };
    if let Sink::Files(files) = &mut sink {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        files.end(u64::try_from(now.as_nanos()).unwrap_or(u64::MAX))?;
    }
    context.output.note(&closing(&statistics));
    ended
}

/// What is said at the end.
fn closing(statistics: &Statistics) -> String {
    let Statistics {
        matched,
        sent,
        lost,
        limited,
    } = statistics;
    let mut words = format!("{matched} packets wanted, {sent} captured");
    if *lost > 0 {
        words.push_str(&format!(", {lost} copies lost: not read fast enough"));
    }
    if *limited > 0 {
        words.push_str(&format!(", {limited} beyond --max-rate"));
    }
    words
}

impl Capture {
    fn about(&self) -> About {
        let place = match self.node.as_str() {
            "" => String::new(),
            node => format!("node {node}"),
        };
        About {
            comment: place,
            filter: self.filter.clone(),
            snap: self.snaplen,
        }
    }

    fn wants(&self, way: Way) -> bool {
        !self.drops_only && (self.direction == way || self.direction == Way::Both)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_one_line_with_the_reason_it_was_dropped_for() {
        let packet = Packet {
            time: 3_723_000_004_000,
            point: Point::Dropped,
            length: 60,
            data: vec![0x11; 20],
            drop_reason: "no_route".into(),
            vrf: "blue".into(),
            ..Packet::default()
        };
        assert_eq!(
            line("blue/web-1", &packet),
            "01:02:03.000004 blue/web-1 drop 11:11:11:11:11:11 > 11:11:11:11:11:11 ethertype 0x1111 length 20 (60 bytes) dropped: no_route vrf blue\n"
        );
    }

    #[test]
    fn the_end_says_what_was_lost() {
        let statistics = Statistics {
            matched: 10,
            sent: 7,
            lost: 1,
            limited: 2,
        };
        assert_eq!(
            closing(&statistics),
            "10 packets wanted, 7 captured, 1 copies lost: not read fast enough, 2 beyond --max-rate"
        );
    }
}
