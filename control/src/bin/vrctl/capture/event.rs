//! What a capture tells, whichever server tells it.

use vrouter_proto::{control as ctl, dataplane as dp};

/// A port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Port {
    pub(super) id: u32,
    /// Name of the endpoint or the uplink's interface.
    pub(super) name: String,
    /// What it is, in words.
    pub(super) description: String,
}

impl Port {
    /// One that nothing was told of.
    pub(super) fn unknown(id: u32) -> Self {
        Self {
            id,
            name: format!("port {id}"),
            description: "a port that is gone".to_owned(),
        }
    }

    fn new(node: &str, id: u32, name: String, uplink: bool, mtu: u32) -> Self {
        let kind = if uplink { "uplink" } else { "endpoint" };
        let place = if node.is_empty() {
            String::new()
        } else {
            format!(" on {node}")
        };
        Self {
            id,
            description: format!("{kind} {name}{place}, port {id}, MTU {mtu}"),
            name,
        }
    }
}

/// Where a packet was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Point {
    /// It came in.
    #[default]
    Received,
    /// It goes out.
    Transmitted,
    /// It is dropped.
    Dropped,
}

/// A packet.
#[derive(Clone, Debug, Default)]
pub(super) struct Packet {
    /// Nanoseconds since 1970.
    pub(super) time: u64,
    pub(super) port: u32,
    pub(super) point: Point,
    /// Bytes that it had.
    pub(super) length: u32,
    pub(super) data: Vec<u8>,
    /// Empty where it was not dropped.
    pub(super) drop_reason: String,
    /// "policy/rule"; empty where none refused it.
    pub(super) rule: String,
    /// Name of the VRF; empty where it is not known.
    pub(super) vrf: String,
    pub(super) checksum_completed: bool,
    pub(super) large: bool,
    pub(super) ethernet_made_up: bool,
}

impl Packet {
    /// Out by its port, or in; `None` where it is dropped.
    pub(super) fn is_out(&self) -> Option<bool> {
        match self.point {
            Point::Received => Some(false),
            Point::Transmitted => Some(true),
            Point::Dropped => None,
        }
    }

    /// Why it was dropped, in words; empty where it was not.
    pub(super) fn why(&self) -> String {
        if self.point != Point::Dropped {
            return String::new();
        }
        let mut words = format!("dropped: {}", self.drop_reason);
        if !self.rule.is_empty() {
            words.push_str(&format!(" (rule {})", self.rule));
        }
        if !self.vrf.is_empty() {
            words.push_str(&format!(" vrf {}", self.vrf));
        }
        words
    }

    /// What is to be said of it beside its bytes.
    pub(super) fn comment(&self) -> String {
        let mut parts = Vec::new();
        if self.point == Point::Dropped {
            parts.push(self.why());
        }
        if self.large {
            parts.push("larger than its wire: not cut into segments yet, or joined from several".to_owned());
        }
        if self.checksum_completed {
            parts.push("its checksum was open, and is completed in this copy".to_owned());
        }
        if self.ethernet_made_up {
            parts.push("without Ethernet header where it was: this one is made up".to_owned());
        }
        parts.join("; ")
    }
}

/// How many packets there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Statistics {
    pub(super) matched: u64,
    pub(super) sent: u64,
    pub(super) lost: u64,
    pub(super) limited: u64,
}

/// What a server tells.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Port(Port),
    Packets(Vec<Packet>),
    Statistics(Statistics),
}

/// The two interfaces tell the same in types of their own.
macro_rules! from_server {
    ($name:ident, $api:ident) => {
        /// As this server tells it; `None`: something that is not known here.
        pub(super) fn $name(node: &str, event: $api::CaptureEvent) -> Option<Event> {
            Some(match event.event? {
                $api::capture_event::Event::Port(it) => Event::Port(Port::new(node, it.id, it.name, it.uplink, it.mtu)),
                $api::capture_event::Event::Packets(it) => Event::Packets(
                    it.packets
                        .into_iter()
                        .map(|it| Packet {
                            time: it.time,
                            port: it.port,
                            point: match it.point() {
                                $api::captured_packet::Point::Transmitted => Point::Transmitted,
                                $api::captured_packet::Point::Dropped => Point::Dropped,
                                _ => Point::Received,
                            },
                            length: it.length,
                            data: it.data,
                            drop_reason: it.drop_reason,
                            rule: it.rule,
                            vrf: it.vrf_name,
                            checksum_completed: it.checksum_completed,
                            large: it.large,
                            ethernet_made_up: it.ethernet_made_up,
                        })
                        .collect(),
                ),
                $api::capture_event::Event::Statistics(it) => Event::Statistics(Statistics {
                    matched: it.matched,
                    sent: it.sent,
                    lost: it.lost,
                    limited: it.limited,
                }),
            })
        }
    };
}

from_server!(from_control, ctl);
from_server!(from_dataplane, dp);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_says_why_and_what_is_not_as_on_the_wire() {
        let packet = Packet {
            point: Point::Dropped,
            drop_reason: "policy_denied_ingress".into(),
            rule: "db/sql".into(),
            vrf: "blue".into(),
            ..Packet::default()
        };
        assert_eq!(
            packet.comment(),
            "dropped: policy_denied_ingress (rule db/sql) vrf blue"
        );
        assert_eq!(Packet::default().comment(), "");
        let open = Packet {
            checksum_completed: true,
            large: true,
            ..Packet::default()
        };
        assert!(open.comment().contains("checksum was open") && open.comment().starts_with("larger than its wire"));
    }
}
