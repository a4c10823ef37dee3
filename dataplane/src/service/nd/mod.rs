//! Neighbour discovery for IPv6 (RFC 4861): what hosts ask of a router, and its answers.
//!
//! [`parse`] takes a frame apart and holds it to the validity rules of RFC 4861, so that what passes may be believed as far as
//! the RFC believes it. The builders write solicitations (for the underlay) and advertisements.

mod emit;
mod parse;

use std::net::Ipv6Addr;

pub use emit::{
    SOLICITATION, neighbor_advertisement, neighbor_advertisement_frame, neighbor_solicitation, router_advertisement,
};
pub use parse::parse;

use crate::{packet::frame::NoRoom, wire::Mac};

/// All nodes of the link.
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// What a neighbour discovery message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// Who has `target`? From the unspecified address: duplicate address detection (RFC 4862).
    NeighborSolicitation {
        /// Address asked for: never multicast, never unspecified.
        target: Ipv6Addr,
        /// The asker's MAC (source link-layer address option).
        source_mac: Option<Mac>,
    },
    /// `target` is at `target_mac`.
    NeighborAdvertisement {
        /// Address spoken of.
        target: Ipv6Addr,
        /// Where it is (target link-layer address option).
        target_mac: Option<Mac>,
        /// The sender is a router.
        router: bool,
        /// Answer to a solicitation sent to this address.
        solicited: bool,
        /// Replaces a MAC known before.
        override_known: bool,
    },
    /// Is there a router?
    RouterSolicitation {
        /// The asker's MAC (source link-layer address option).
        source_mac: Option<Mac>,
    },
}

/// A valid neighbour discovery message and who sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nd {
    /// IPv6 source: unicast or, in solicitations, unspecified.
    pub source: Ipv6Addr,
    /// IPv6 destination.
    pub destination: Ipv6Addr,
    /// Station that the frame came from.
    pub ethernet_source: Mac,
    /// What it says.
    pub message: Message,
}

/// An address and the MAC to reach it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Station {
    /// IPv6 address, unicast or multicast.
    pub address: Ipv6Addr,
    /// Its MAC.
    pub mac: Mac,
}

impl Station {
    /// All nodes of the link.
    pub const ALL_NODES: Self = Self {
        address: ALL_NODES,
        mac: Mac::for_multicast_v6(ALL_NODES),
    };
}

impl Nd {
    /// Where an answer goes: to the sender or, if it has no address yet, to all nodes (RFC 4861, section 7.2.4).
    pub fn reply_to(&self) -> Station {
        if self.source.is_unspecified() {
            return Station::ALL_NODES;
        }
        let told = match self.message {
            Message::NeighborSolicitation { source_mac, .. } | Message::RouterSolicitation { source_mac } => source_mac,
            Message::NeighborAdvertisement { .. } => None,
        };
        Station {
            address: self.source,
            mac: told.unwrap_or(self.ethernet_source),
        }
    }
}

/// Why bytes are no neighbour discovery message to answer or to believe, or why an answer cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NdError {
    /// Not an IPv6 frame whose header is followed by ICMPv6.
    #[error("not an ICMPv6 packet over Ethernet")]
    NotIcmpv6,
    /// Another ICMPv6 message than those that concern a router.
    #[error(
        "ICMPv6 type {0} is none of router solicitation (133), neighbor solicitation (135), neighbor advertisement (136)"
    )]
    Type(u8),
    /// Shorter than its lengths say.
    #[error("the neighbor discovery message is cut short")]
    Truncated,
    /// It passed a router: it may come from anywhere.
    #[error("neighbor discovery with hop limit {0}: only 255 shows that the sender is on the link")]
    HopLimit(u8),
    /// The ICMPv6 checksum is wrong.
    #[error("the ICMPv6 checksum is wrong")]
    Checksum,
    /// The ICMPv6 code is not zero.
    #[error("neighbor discovery with ICMPv6 code {0}: only 0 is defined")]
    Code(u8),
    /// An option of length zero, beyond the message, or a link-layer address that is not an Ethernet station's.
    #[error("a neighbor discovery option is malformed")]
    Option,
    /// The source cannot send this message.
    #[error("{0} cannot be the source of this neighbor discovery message")]
    Source(Ipv6Addr),
    /// The frame's source MAC is not that of one station.
    #[error("the sender's MAC {0} is not that of one station")]
    SourceMac(Mac),
    /// A sender without an address told a link-layer address.
    #[error("source link-layer address option from the unspecified address")]
    UnspecifiedWithOption,
    /// The message may not be sent to this destination.
    #[error("this neighbor discovery message may not be sent to {0}")]
    Destination(Ipv6Addr),
    /// The target is multicast or unspecified.
    #[error("the target {0} is not the address of one host")]
    Target(Ipv6Addr),
    /// An answer is asked to a message that asks nothing of the kind.
    #[error("not a neighbor solicitation")]
    NotASolicitation,
    /// The answer is larger than the frame.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
}

/// The link-local address that a router forms from its MAC (RFC 4291, appendix A).
pub fn link_local(mac: Mac) -> Ipv6Addr {
    mac.link_local()
}

/// The multicast group in which the owner of `address` listens for solicitations (RFC 4291, section 2.7.1).
pub const fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., low, last] = address.segments();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | (low & 0xff), last)
}

#[cfg(test)]
mod tests;
