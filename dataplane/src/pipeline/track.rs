//! Connection tracking on the packet path: reads a segment, asks `conntrack`, keeps its word.

use super::{context::Shared, packet::Packet};
use crate::{
    packet::DropReason,
    tables::{
        conntrack::{self, NotAnOpening, Segment, Tracking},
        flow::FlowRef,
    },
    wire::Parsed,
};

/// [`admit_segment`] of a routed packet.
pub(super) fn admit(shared: &Shared, packet: &Packet, flow: FlowRef) -> Result<(), DropReason> {
    admit_segment(shared, packet.frame.data(), &packet.parsed, flow)
}

/// Lets a segment of a tracked flow pass, or says why not. Fragments pass: nobody knows how long their segment is.
pub(super) fn admit_segment(shared: &Shared, data: &[u8], parsed: &Parsed, flow: FlowRef) -> Result<(), DropReason> {
    if parsed.is_fragment() {
        return Ok(());
    }
    let segment = segment(data, parsed)?;
    let flows = &shared.flows;
    let (own, peer) = (flows.state(flow), flows.sibling_state(flow));
    if own == 0 && peer == 0 {
        flows.set_state(flow, opening(&segment)?);
        return Ok(());
    }
    let (new, tracking) = conntrack::track(own, peer, &segment);
    if new != own {
        flows.set_state(flow, new);
        if conntrack::shortens(own, new, peer) {
            flows.review(flow);
        }
    }
    match tracking {
        Tracking::Ok | Tracking::Reset | Tracking::InDoubt => Ok(()),
        Tracking::OutOfWindow => Err(DropReason::TcpOutOfWindow),
        Tracking::BadRst => Err(DropReason::TcpBadReset),
        Tracking::BadFlags => Err(DropReason::TcpBadFlags),
    }
}

/// A segment that may begin a flow.
pub(super) fn opens(data: &[u8], parsed: &Parsed) -> Result<(), DropReason> {
    if parsed.is_fragment() {
        return Ok(());
    }
    opening(&segment(data, parsed)?).map(|_| ())
}

fn opening(segment: &Segment) -> Result<u64, DropReason> {
    conntrack::first(segment).map_err(|why| match why {
        NotAnOpening::Reset => DropReason::TcpBadReset,
        NotAnOpening::BadFlags => DropReason::TcpBadFlags,
    })
}

fn segment(data: &[u8], parsed: &Parsed) -> Result<Segment, DropReason> {
    let header = data
        .get(usize::from(parsed.l4)..parsed.end as usize)
        .unwrap_or_default();
    let offset = header.get(12).map_or(0, |byte| usize::from(byte >> 4) * 4);
    Segment::parse(header, header.len().saturating_sub(offset)).map_err(|_| DropReason::BadTransport)
}
