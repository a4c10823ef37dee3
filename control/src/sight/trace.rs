//! A packet's way over all nodes it would cross: each node's dataplane says what it would do, and what would leave it is handed to
//! the node that it is addressed to.

use std::net::IpAddr;

use tonic::Status;
use vrouter_proto::{control as pb, dataplane as dp};

use super::{ANSWER, dataplane, endpoint_named, names};
use crate::{
    model::{Endpoint, Name},
    reconcile::Board,
    state::State,
};

/// Nodes that a packet may cross before this gives up: more than any way that is no loop.
const MAX_HOPS: usize = 8;

/// ICMP and ICMPv6 echo requests.
const ECHO: [(u8, u32); 2] = [(1, 8), (58, 128)];

/// Where a packet enters a node.
enum Entry {
    Port(u32, String),
    Uplink(String),
}

/// What is looked at on a node.
struct Visit {
    node: Name,
    entry: Entry,
    what: dp::trace_request::What,
}

/// Follows a packet from an endpoint to its end.
///
/// # Errors
/// There is no such endpoint, it is attached to no node, or the packet is not described well. A node that cannot be asked is no
/// error: its hop says so.
pub async fn trace(state: &State, board: &Board, request: pb::TraceRequest) -> Result<pb::TraceResponse, Status> {
    let from = endpoint_named(state, "from", &request.from)?;
    let node = from.attached_to().ok_or_else(|| {
        Status::failed_precondition(format!(
            "from: {} is attached to no node: nothing it sends arrives anywhere",
            request.from
        ))
    })?;
    let what = match request.what {
        Some(pb::trace_request::What::Frame(frame)) => dp::trace_request::What::Frame(frame),
        Some(pb::trace_request::What::Packet(packet)) => {
            dp::trace_request::What::Packet(describe(state, from, packet)?)
        }
        None => {
            return Err(Status::invalid_argument(
                "what: say a packet (to, protocol, ports) or give a frame",
            ));
        }
    };
    let mut next = Some(Visit {
        node: node.clone(),
        entry: Entry::Port(from.number, format!("{}/{}", from.network, from.name)),
        what,
    });
    let mut hops = Vec::new();
    let mut verdict = ("nothing leaves the node".to_owned(), false);
    while let Some(visit) = next.take() {
        if hops.len() == MAX_HOPS {
            verdict = (
                format!("stopped after {MAX_HOPS} nodes: the packet goes round in circles"),
                false,
            );
            break;
        }
        let mut hop = pb::TraceHop {
            node: visit.node.to_string(),
            entered: match &visit.entry {
                Entry::Port(_, name) => format!("port {name}"),
                Entry::Uplink(name) => format!("uplink {name}"),
            },
            ..Default::default()
        };
        match ask(board, visit).await {
            Err(error) => {
                verdict = (format!("unknown: node {} cannot be asked", hop.node), false);
                hop.error = error;
            }
            Ok(answer) => {
                hop.revision = answer.revision;
                hop.steps = answer.steps.into_iter().map(step).collect();
                if answer.drop_reason.is_empty() {
                    (verdict, next) = follow(state, board, &answer.outputs).await;
                } else {
                    verdict = (format!("dropped: {}", answer.drop_reason), false);
                }
                hop.drop_reason = answer.drop_reason;
            }
        }
        hops.push(hop);
    }
    let (verdict, delivered) = verdict;
    Ok(pb::TraceResponse {
        hops,
        verdict,
        delivered,
    })
}

/// What becomes of the frames that leave a node: where the first of them that matters ends, or the node to ask next.
async fn follow(state: &State, board: &Board, outputs: &[dp::TraceOutput]) -> ((String, bool), Option<Visit>) {
    let mut verdict = ("nothing leaves the node".to_owned(), false);
    for output in outputs {
        if output.remote_vtep.is_empty() {
            let uplink = output.port >= FIRST_UPLINK;
            verdict = if uplink {
                (format!("sent to the underlay by {}", output.name), true)
            } else {
                (format!("delivered to {}", output.name), true)
            };
            continue;
        }
        let Some(node) = node_of(state, &output.remote_vtep) else {
            verdict = (
                format!("sent to {}, which is no node of ours", output.remote_vtep),
                true,
            );
            continue;
        };
        if !board.drives(&node) {
            verdict = (
                format!("sent to node {node} ({}), which runs no vrouter", output.remote_vtep),
                true,
            );
            continue;
        }
        let uplink = uplink_of(board, &node).await.unwrap_or_default();
        let visit = Visit {
            node,
            entry: Entry::Uplink(uplink),
            what: dp::trace_request::What::Frame(output.frame.clone()),
        };
        return (verdict, Some(visit));
    }
    (verdict, None)
}

/// Identifiers of ports from here up are uplinks.
const FIRST_UPLINK: u32 = 0xffff_0000;

async fn ask(board: &Board, visit: Visit) -> Result<dp::TraceResponse, String> {
    let mut client = dataplane(board, &visit.node).await?;
    let from = match visit.entry {
        Entry::Port(port, _) => dp::trace_request::From::Port(port),
        Entry::Uplink(name) => dp::trace_request::From::Uplink(name),
    };
    let request = dp::TraceRequest {
        from: Some(from),
        what: Some(visit.what),
    };
    match tokio::time::timeout(ANSWER, client.trace(request)).await {
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(status)) => Err(status.message().to_owned()),
        Err(_) => Err(format!("no answer in {} s", ANSWER.as_secs())),
    }
}

/// The name of the first uplink of a node.
async fn uplink_of(board: &Board, node: &Name) -> Option<String> {
    let mut client = dataplane(board, node).await.ok()?;
    let info = tokio::time::timeout(ANSWER, client.get_info(dp::GetInfoRequest {})).await;
    info.ok()?.ok()?.into_inner().uplinks.into_iter().next()
}

fn node_of(state: &State, vtep: &str) -> Option<Name> {
    let vtep: IpAddr = vtep.parse().ok()?;
    state
        .nodes()
        .find(|node| state.vteps(node).addresses().contains(&vtep))
        .map(|node| node.name.clone())
}

fn step(step: dp::TraceStep) -> pb::TraceStep {
    pb::TraceStep {
        stage: step.stage,
        detail: step.detail,
        object: step.object,
    }
}

/// The packet that the dataplane shall make: names become addresses.
fn describe(state: &State, from: &Endpoint, packet: pb::TracePacket) -> Result<dp::TracePacket, Status> {
    let destination = destination(state, from, &packet)?;
    let protocol = match packet.protocol.as_str() {
        "" => ECHO[usize::from(destination.is_ipv6())].0,
        text => names::protocol_number(text).ok_or_else(|| {
            Status::invalid_argument(format!(
                "packet.protocol: {text:?} is no IP protocol; tcp, udp, icmp or a number would be right"
            ))
        })?,
    };
    for (field, port) in [
        ("packet.source_port", packet.source_port),
        ("packet.destination_port", packet.destination_port),
    ] {
        if port > 65_535 {
            return Err(Status::invalid_argument(format!(
                "{field}: {port} is no port; 0..65535 would be right"
            )));
        }
    }
    let source = if packet.source.is_empty() {
        from.addresses
            .iter()
            .find(|a| a.is_ipv6() == destination.is_ipv6())
            .map(ToString::to_string)
            .ok_or_else(|| {
                let family = if destination.is_ipv6() { "IPv6" } else { "IPv4" };
                Status::failed_precondition(format!("from: {}/{} has no {family} address", from.network, from.name))
            })?
    } else {
        packet.source
    };
    let echo = ECHO.iter().find(|(number, _)| *number == protocol);
    Ok(dp::TracePacket {
        source,
        destination: destination.to_string(),
        protocol: protocol.into(),
        source_port: packet.source_port,
        destination_port: packet.destination_port,
        icmp_type: echo.map_or(0, |(_, kind)| *kind),
        icmp_code: 0,
        tcp_flags: 0,
        length: packet.length,
    })
}

fn destination(state: &State, from: &Endpoint, packet: &pb::TracePacket) -> Result<IpAddr, Status> {
    if let Ok(address) = packet.to.parse() {
        return Ok(address);
    }
    if packet.to.is_empty() {
        return Err(Status::invalid_argument("packet.to: say an address or an endpoint"));
    }
    let to = endpoint_named(state, "packet.to", &packet.to)?;
    let wanted = packet.source.parse::<IpAddr>().ok().map(|source| source.is_ipv6());
    let v6_only = packet.protocol.eq_ignore_ascii_case("icmpv6");
    let fits = |address: &&IpAddr| match wanted {
        Some(v6) => address.is_ipv6() == v6,
        None if v6_only => address.is_ipv6(),
        None => from.addresses.iter().any(|own| own.is_ipv6() == address.is_ipv6()),
    };
    to.addresses.iter().find(fits).copied().ok_or_else(|| {
        Status::failed_precondition(format!(
            "packet.to: {} and the source have no address family in common",
            packet.to
        ))
    })
}
