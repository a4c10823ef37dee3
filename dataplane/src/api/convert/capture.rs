//! Captures.

use std::time::Duration;

use vrouter_proto::dataplane as pb;

use crate::{
    api::capture::Wish,
    program::problem::Refusal,
    tables::port::{Port, Role},
    tap::{CaptureSpec, MAX_SNAP, Point, filter::Filter},
    telemetry::CapturedPacket,
};

/// What a capture is asked to be.
///
/// # Errors
/// The filter is none: with the expression and a mark under the place.
pub(in crate::api) fn capture_wish(request: pb::CaptureRequest) -> Result<Wish, Refusal> {
    let filter = match request.filter.trim() {
        "" => None,
        _ => Some(Filter::new(&request.filter).map_err(|error| {
            let mark = " ".repeat(error.column.saturating_sub(1));
            Refusal::invalid("filter", format!("{error}\n  {}\n  {mark}^", one_line(&request.filter)))
        })?),
    };
    let nothing = !request.received && !request.transmitted && !request.dropped;
    Ok(Wish {
        spec: CaptureSpec {
            filter,
            received: request.received || nothing,
            transmitted: request.transmitted || nothing,
            dropped: request.dropped,
            snap: if request.snap_length == 0 {
                MAX_SNAP
            } else {
                request.snap_length
            },
            sample: request.sample,
            rate: request.max_rate,
            buffer: 0,
        },
        ports: request.ports,
        port_names: request.port_names,
        vrfs: request.vrfs,
        vrf_names: request.vrf_names,
        packets: request.max_packets,
        bytes: request.max_bytes,
        time: Some(request.max_milliseconds)
            .filter(|time| *time > 0)
            .map(Duration::from_millis),
    })
}

/// With a space for each character that would move the mark.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A port as it is told of.
pub(in crate::api) fn capture_port(port: &Port) -> pb::CapturePort {
    pb::CapturePort {
        id: port.id,
        name: port.name.to_string(),
        uplink: port.role == Role::Uplink,
        mtu: port.mtu.into(),
    }
}

/// A packet as it is told of, at a time in nanoseconds since 1970.
pub(in crate::api) fn captured_packet(packet: CapturedPacket, time: u64) -> pb::CapturedPacket {
    let (point, drop_reason) = match packet.record.point {
        Point::Received => (pb::captured_packet::Point::Received, ""),
        Point::Transmitted => (pb::captured_packet::Point::Transmitted, ""),
        Point::Dropped(reason) => (pb::captured_packet::Point::Dropped, reason.name()),
    };
    let (vrf, vrf_name) = packet.vrf.map(|(id, name)| (id, name.to_string())).unwrap_or_default();
    pb::CapturedPacket {
        time,
        port: packet.port,
        point: point.into(),
        length: packet.record.len,
        data: packet.data,
        drop_reason: drop_reason.to_owned(),
        rule: packet.rule,
        vrf,
        vrf_name,
        checksum_completed: packet.checksum_completed,
        large: packet.large,
        ethernet_made_up: packet.record.made_up,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_is_none_is_shown_with_the_place() {
        let refusal = capture_wish(pb::CaptureRequest {
            filter: "tcp port foo".into(),
            ..Default::default()
        })
        .unwrap_err();
        assert_eq!(refusal.field, "filter");
        assert!(
            refusal.message.ends_with("\n  tcp port foo\n           ^"),
            "{}",
            refusal.message
        );
    }

    #[test]
    fn what_is_not_said_is_what_comes_in_and_goes_out_whole() {
        let wish = capture_wish(pb::CaptureRequest::default()).unwrap();
        let spec = wish.spec;
        assert!(spec.received && spec.transmitted && !spec.dropped && spec.filter.is_none());
        assert_eq!(spec.snap, MAX_SNAP);
        let wish = capture_wish(pb::CaptureRequest {
            dropped: true,
            snap_length: 96,
            max_milliseconds: 1500,
            ..Default::default()
        })
        .unwrap();
        assert!(!wish.spec.received && !wish.spec.transmitted && wish.spec.dropped);
        assert_eq!((wish.spec.snap, wish.time), (96, Some(Duration::from_millis(1500))));
    }
}
