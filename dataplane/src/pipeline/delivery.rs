//! What happens to frames right before they are given to a workload's port, where the port asks for it: its limit drops or holds
//! them back, and mirrors get copies of what is delivered.
//!
//! It is done by the worker that owns the queue, whoever forwarded the frames.

use super::{BATCH, context::Context, mirror};
use crate::{
    packet::{DropReason, Frame},
    tables::{port::Port, qos::Meter, slots::PortSlot},
};

/// Something here is to be done with what goes out by this port.
#[inline]
pub(crate) fn concerns(port: &Port) -> bool {
    port.qos.is_some() || !port.mirrors.is_empty()
}

/// Does it: leaves in `list` what is to be sent now, in order. The list's capacity is not exceeded.
pub(crate) fn deliver(context: &mut Context<'_>, slot: PortSlot, port: &Port, list: &mut Vec<Frame>) {
    let meter = port.qos.as_ref().and_then(|qos| qos.to_workload.as_deref());
    if meter.is_some() || context.state.shaper.holds(slot) {
        limit(context, slot, meter, list);
    }
    if port.mirrors.iter().any(|mirror| mirror.to_workload) {
        for frame in list.iter() {
            mirror::copy(context, slot, port, mirror::Direction::ToWorkload, frame);
        }
    }
}

fn limit(context: &mut Context<'_>, slot: PortSlot, meter: Option<&Meter>, list: &mut Vec<Frame>) {
    let now = context.now;
    let mut arrived = std::mem::take(&mut context.state.arrived);
    arrived.append(list);
    // Those that have waited go first. Where nothing limits any more, they go as fast as a batch at a time.
    let waited = meter.filter(|meter| meter.shapes());
    while list.len() < BATCH {
        match context.state.shaper.release(slot, waited, now) {
            Some(frame) => list.push(frame),
            None => break,
        }
    }
    for frame in arrived.drain(..) {
        // Behind what still waits there is order to be kept.
        let waiting = context.state.shaper.holds(slot) || list.len() == list.capacity();
        let Some(meter) = meter else {
            // The limit has just gone.
            if waiting {
                hold(context, slot, frame, u64::MAX, now);
            } else {
                list.push(frame);
            }
            continue;
        };
        let passed = if waiting {
            Err(now)
        } else {
            meter.pass(frame.len(), now).map_err(|not_yet| not_yet.until)
        };
        match passed {
            Ok(()) => list.push(frame),
            Err(due) if meter.shapes() || waiting => hold(context, slot, frame, meter.queue_bytes(), due),
            Err(_) => context.drop_frame(slot, None, frame, DropReason::PolicerExceeded),
        }
    }
    context.state.arrived = arrived;
}

fn hold(context: &mut Context<'_>, slot: PortSlot, frame: Frame, bytes: u64, due: u64) {
    if let Err(frame) = context.state.shaper.hold(slot, frame, bytes, due) {
        context.drop_frame(slot, None, frame, DropReason::ShaperFull);
    }
}
