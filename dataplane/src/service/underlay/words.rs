//! What the resolver says on a link: questions for a neighbour, and announcements of our own addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Action, Uplink};
use crate::{
    service::{
        arp::{Arp, Operation},
        nd::{self, Message, Nd, Station},
    },
    wire::Mac,
};

/// The question for a neighbour's MAC, from one of our addresses: to all, or to the station known so far.
pub(super) fn question(uplink: &Uplink, from: IpAddr, neighbor: IpAddr, known: Option<Mac>) -> Option<Action> {
    let frame = match (from, neighbor) {
        (IpAddr::V4(own), IpAddr::V4(target)) => {
            let to = known.unwrap_or(Mac::BROADCAST);
            arp_question(uplink.mac, own, target).to_frame(to).to_vec()
        }
        (IpAddr::V6(address), IpAddr::V6(target)) => {
            let from = Station {
                address,
                mac: uplink.mac,
            };
            nd::neighbor_solicitation(from, target, known).to_vec()
        }
        _ => return None,
    };
    let port = uplink.port;
    Some(Action::Send { port, frame })
}

/// Tells all stations that an address is ours, so that none keeps a MAC that it had before: gratuitous ARP (RFC 5227, section 3) or
/// an unsolicited neighbour advertisement (RFC 4861, section 7.2.6).
pub(super) fn announcement(uplink: &Uplink, address: IpAddr) -> Option<Action> {
    let frame = match address {
        IpAddr::V4(own) => arp_question(uplink.mac, own, own).to_frame(Mac::BROADCAST).to_vec(),
        IpAddr::V6(target) => {
            // What would answer a question from nowhere.
            let question = Nd {
                source: Ipv6Addr::UNSPECIFIED,
                destination: nd::solicited_node(target),
                ethernet_source: uplink.mac,
                message: Message::NeighborSolicitation {
                    target,
                    source_mac: None,
                },
            };
            nd::neighbor_advertisement_frame(&question, uplink.mac, false)
                .ok()?
                .to_vec()
        }
    };
    let port = uplink.port;
    Some(Action::Send { port, frame })
}

/// Who has `target_ip`?
fn arp_question(sender_mac: Mac, sender_ip: Ipv4Addr, target_ip: Ipv4Addr) -> Arp {
    Arp {
        operation: Operation::Request,
        sender_mac,
        sender_ip,
        target_mac: Mac::ZERO,
        target_ip,
    }
}
