//! Flows of all nodes as they begin, are refused and end, with names. Each node's stream is read by a task of its own; whoever reads
//! too slowly loses events and is told how many.

use std::pin::Pin;

use tokio::sync::mpsc;
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::Status;
use vrouter_proto::{control as pb, dataplane as dp};

use super::{dataplane, endpoint_named, names, node};
use crate::{model::Name, reconcile::Board, store::Store};

/// Events that wait for one client.
const WINDOW: usize = 1024;

/// How long to wait before a node that went away is asked again.
const RETRY: std::time::Duration = std::time::Duration::from_secs(1);

/// The stream of one client.
pub type FlowWatch = Pin<Box<dyn Stream<Item = Result<pb::FlowEvent, Status>> + Send>>;

/// What a client asked for, as dataplanes understand it.
#[derive(Clone)]
struct Wish {
    request: dp::WatchFlowsRequest,
    /// Of this endpoint's addresses only, where one was named.
    addresses: Vec<String>,
}

/// Watches the flows of one node, or of all that a dataplane is driven for.
///
/// # Errors
/// What was asked for makes no sense.
pub fn watch_flows(store: &Store, board: &Board, request: pb::WatchFlowsRequest) -> Result<FlowWatch, Status> {
    let nodes = match request.node.as_str() {
        "" => board.nodes(),
        text => vec![node(board, text)?],
    };
    let wish = wish(store, &request)?;
    let (sender, receiver) = mpsc::channel(WINDOW);
    for node in nodes {
        tokio::spawn(follow(store.clone(), board.clone(), node, wish.clone(), sender.clone()));
    }
    Ok(Box::pin(ReceiverStream::new(receiver)))
}

fn wish(store: &Store, request: &pb::WatchFlowsRequest) -> Result<Wish, Status> {
    let protocol = match request.protocol.as_str() {
        "" => 0,
        text => names::protocol_number(text)
            .ok_or_else(|| {
                Status::invalid_argument(format!(
                    "protocol: {text:?} is no IP protocol; tcp, udp or a number would be right"
                ))
            })?
            .into(),
    };
    let verdict = |text: &String| match text.as_str() {
        "allow" => Ok(dp::Verdict::Allow.into()),
        "deny" => Ok(dp::Verdict::Deny.into()),
        "audit" => Ok(dp::Verdict::Audit.into()),
        _ => Err(Status::invalid_argument(format!(
            "verdicts: {text:?} is none; allow, deny or audit would be right"
        ))),
    };
    if request.l4_port > 65_535 {
        return Err(Status::invalid_argument(format!(
            "l4_port: {} is no port",
            request.l4_port
        )));
    }
    let addresses = match request.endpoint.as_str() {
        "" => Vec::new(),
        text => {
            let state = store.state();
            let endpoint = endpoint_named(&state, "endpoint", text)?;
            endpoint.addresses.iter().map(ToString::to_string).collect()
        }
    };
    Ok(Wish {
        request: dp::WatchFlowsRequest {
            vrf: 0,
            address: request.address.clone(),
            l4_port: request.l4_port,
            protocol,
            port: 0,
            verdicts: request.verdicts.iter().map(verdict).collect::<Result<_, _>>()?,
            logged_only: request.logged_only,
        },
        addresses,
    })
}

/// Hands on what one node tells, for as long as the client listens. A node that goes away is asked again when it is back.
async fn follow(
    store: Store,
    board: Board,
    node: Name,
    wish: Wish,
    client: mpsc::Sender<Result<pb::FlowEvent, Status>>,
) {
    while !client.is_closed() {
        let stream = match dataplane(&board, &node).await {
            Ok(mut dataplane) => dataplane
                .watch_flows(wish.request.clone())
                .await
                .map_err(|s| s.to_string()),
            Err(error) => Err(error),
        };
        match stream {
            Ok(stream) => copy(&store, &node, &wish, stream.into_inner(), &client).await,
            Err(error) => tracing::debug!(%node, error, "flows cannot be watched"),
        }
        tokio::select! {
            () = tokio::time::sleep(RETRY) => {}
            () = client.closed() => return,
        }
    }
}

async fn copy(
    store: &Store,
    node: &Name,
    wish: &Wish,
    mut events: tonic::Streaming<dp::FlowEvent>,
    client: &mpsc::Sender<Result<pb::FlowEvent, Status>>,
) {
    let mut lost = 0;
    loop {
        let event = tokio::select! {
            event = events.message() => event,
            () = client.closed() => return,
        };
        let Ok(Some(event)) = event else { return };
        lost += event.lost;
        let Some(mut shown) = show(store, node, event) else {
            continue;
        };
        let ours = |address: &String| wish.addresses.contains(address);
        if !wish.addresses.is_empty() && !ours(&shown.source) && !ours(&shown.destination) {
            continue;
        }
        shown.lost = lost;
        match client.try_send(Ok(shown)) {
            Ok(()) => lost = 0,
            Err(mpsc::error::TrySendError::Full(_)) => lost += 1,
            Err(mpsc::error::TrySendError::Closed(_)) => return,
        }
    }
}

/// An event with the names that are known here.
fn show(store: &Store, node: &Name, event: dp::FlowEvent) -> Option<pb::FlowEvent> {
    let kind = match event.r#type() {
        dp::flow_event::Type::Created => "created",
        dp::flow_event::Type::Denied => "denied",
        dp::flow_event::Type::Changed => "changed",
        dp::flow_event::Type::Ended => "ended",
        dp::flow_event::Type::Unspecified => return None,
    };
    let flow = event.flow?;
    let decision = flow.decision.unwrap_or_default();
    let state = store.state();
    let network = names::network_of(&state, flow.vrf).cloned();
    let named = |address: &str| names::holder_of(&state, network.as_ref(), address).unwrap_or_default();
    Some(pb::FlowEvent {
        node: node.to_string(),
        r#type: kind.to_owned(),
        time: event.time,
        source_endpoint: named(&flow.source),
        destination_endpoint: named(&flow.destination),
        network: network.map(|n| n.to_string()).unwrap_or_default(),
        source: flow.source,
        destination: flow.destination,
        protocol: names::protocol_name(flow.protocol),
        source_port: flow.source_port,
        destination_port: flow.destination_port,
        verdict: match decision.verdict() {
            dp::Verdict::Allow | dp::Verdict::Unspecified => "allow",
            dp::Verdict::Deny => "deny",
            dp::Verdict::Audit => "audit",
        }
        .to_owned(),
        egress_rule: decision.egress_rule,
        ingress_rule: decision.ingress_rule,
        reason: decision.drop_reason,
        state: flow.state,
        packets: flow.packets,
        bytes: flow.bytes,
        translated_source: translated(&flow.translated_source, flow.translated_source_port),
        translated_destination: translated(&flow.translated_destination, flow.translated_destination_port),
        lost: 0,
    })
}

/// "192.0.2.7:4711"; empty where nothing is translated.
fn translated(address: &str, port: u32) -> String {
    match (address, port) {
        ("", _) => String::new(),
        (address, 0) => address.to_owned(),
        (address, port) if address.contains(':') => format!("[{address}]:{port}"),
        (address, port) => format!("{address}:{port}"),
    }
}
