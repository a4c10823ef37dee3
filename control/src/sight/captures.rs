//! Captures on one node, with ports and networks by the names of intent. What the node's dataplane tells is handed on as it comes: whoever
//! reads too slowly makes that one lose copies, and is told so.

use std::pin::Pin;

use tokio::sync::mpsc;
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::Status;
use vrouter_proto::{control as pb, dataplane as dp};

use super::{dataplane, endpoint_named};
use crate::{model::Name, reconcile::Board, state::State, store::Store};

/// Messages that wait for one client: each may be of half a megabyte.
const WINDOW: usize = 8;

/// The stream of one client.
pub type Captured = Pin<Box<dyn Stream<Item = Result<pb::CaptureEvent, Status>> + Send>>;

/// Captures packets of one node.
///
/// # Errors
/// What is to be captured is not there, or the node's dataplane refuses or does not answer.
pub async fn capture(store: &Store, board: &Board, request: pb::CaptureRequest) -> Result<Captured, Status> {
    let (node, request) = resolve(&store.state(), board, request)?;
    let mut dataplane = dataplane(board, &node).await.map_err(Status::unavailable)?;
    let mut events = dataplane.capture(request).await?.into_inner();
    let (client, receiver) = mpsc::channel(WINDOW);
    tokio::spawn(async move {
        loop {
            let event = tokio::select! {
                event = events.message() => event,
                () = client.closed() => return,
            };
            let told = match event {
                Ok(Some(event)) => Ok(show(event)),
                Ok(None) => return,
                Err(status) => Err(status),
            };
            if client.send(told).await.is_err() {
                return;
            }
        }
    });
    Ok(Box::pin(ReceiverStream::new(receiver)))
}

/// The node, and what its dataplane is asked.
fn resolve(state: &State, board: &Board, request: pb::CaptureRequest) -> Result<(Name, dp::CaptureRequest), Status> {
    let node = match request.node.as_str() {
        "" => None,
        text => Some(super::node(board, text)?),
    };
    let (mut place, mut ports, mut port_names) = (node.clone(), Vec::new(), Vec::new());
    for port in &request.ports {
        let endpoint = match endpoint_named(state, "ports", port) {
            Ok(endpoint) => endpoint,
            // It may be a port that is no endpoint's: an uplink.
            Err(status) if node.is_some() && status.code() == tonic::Code::NotFound => {
                port_names.push(port.clone());
                continue;
            }
            Err(status) => return Err(status),
        };
        let attached = endpoint.attached_to().ok_or_else(|| {
            Status::failed_precondition(format!("ports: {port} is attached to no node: it has no packets"))
        })?;
        match &place {
            None => place = Some(attached.clone()),
            Some(place) if place == attached => {}
            Some(place) => {
                let message = format!("ports: {port} is on node {attached}, not on {place}; a capture is of one node");
                return Err(Status::invalid_argument(message));
            }
        }
        ports.push(endpoint.number);
    }
    let vrfs = request.networks.iter().map(|network| {
        let found = Name::new(network)
            .ok()
            .and_then(|name| state.networks().find(|network| network.name == name));
        found
            .map(|network| network.number)
            .ok_or_else(|| Status::not_found(format!("networks: there is no network {network}")))
    });
    let vrfs = vrfs.collect::<Result<_, _>>()?;
    let node = place.ok_or_else(|| {
        Status::invalid_argument("node: say on which node, or name an endpoint whose packets are wanted")
    })?;
    Ok((
        node,
        dp::CaptureRequest {
            ports,
            port_names,
            vrfs,
            vrf_names: Vec::new(),
            received: request.received,
            transmitted: request.transmitted,
            dropped: request.dropped,
            filter: request.filter,
            snap_length: request.snap_length,
            sample: request.sample,
            max_rate: request.max_rate,
            max_packets: request.max_packets,
            max_bytes: request.max_bytes,
            max_milliseconds: request.max_milliseconds,
        },
    ))
}

/// The same in this interface's types.
fn show(event: dp::CaptureEvent) -> pb::CaptureEvent {
    use dp::capture_event::Event as From;
    use pb::capture_event::Event as To;
    let event = event.event.map(|event| match event {
        From::Port(it) => To::Port(pb::CapturePort {
            id: it.id,
            name: it.name,
            uplink: it.uplink,
            mtu: it.mtu,
        }),
        From::Packets(it) => To::Packets(pb::CapturedPackets {
            packets: it.packets.into_iter().map(packet).collect(),
        }),
        From::Statistics(it) => To::Statistics(pb::CaptureStatistics {
            matched: it.matched,
            sent: it.sent,
            lost: it.lost,
            limited: it.limited,
        }),
    });
    pb::CaptureEvent { event }
}

fn packet(it: dp::CapturedPacket) -> pb::CapturedPacket {
    pb::CapturedPacket {
        time: it.time,
        port: it.port,
        // The same numbers mean the same.
        point: it.point,
        length: it.length,
        data: it.data,
        drop_reason: it.drop_reason,
        rule: it.rule,
        vrf: it.vrf,
        vrf_name: it.vrf_name,
        checksum_completed: it.checksum_completed,
        large: it.large,
        ethernet_made_up: it.ethernet_made_up,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_have_the_same_numbers_in_both_interfaces() {
        use dp::captured_packet::Point as From;
        use pb::captured_packet::Point as To;
        for (from, to) in [
            (From::Received, To::Received),
            (From::Transmitted, To::Transmitted),
            (From::Dropped, To::Dropped),
        ] {
            assert_eq!(from as i32, to as i32);
        }
    }
}
