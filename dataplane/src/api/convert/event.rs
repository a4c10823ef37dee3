//! Events.

use vrouter_proto::dataplane::{self as pb, event::Event as PbEvent};

use super::{health, next_hop, port};
use crate::api::event::Event;

/// An event as watchers are told.
pub(in crate::api) fn event(event: &Event) -> pb::Event {
    let event = match event {
        Event::Revision(revision) => PbEvent::Revision(pb::RevisionChanged { revision: *revision }),
        Event::Port { port, status, mtu } => PbEvent::Port(pb::PortChanged {
            port: *port,
            deleted: false,
            state: Some(port::show_state(status.as_ref(), *mtu)),
        }),
        Event::PortDeleted(port) => PbEvent::Port(pb::PortChanged {
            port: *port,
            deleted: true,
            state: None,
        }),
        Event::NextHop { next_hop, status } => PbEvent::NextHop(pb::NextHopChanged {
            next_hop: *next_hop,
            state: Some(next_hop::show_state(status)),
        }),
        Event::Health { check, status } => PbEvent::Health(pb::HealthChanged {
            health_check: *check,
            state: Some(health::show_state(status)),
        }),
        Event::Lost(count) => PbEvent::Lost(*count),
    };
    pb::Event { event: Some(event) }
}
