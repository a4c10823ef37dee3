//! The lowest room: what bytes on the wire mean.
//!
//! Header views and builders, checksums, the newtypes of the field (`Mac`, `Vni`, `Label`, `IpPrefix`, ...) and [`parse()`], the
//! one walk over a frame that every packet takes.
//!
//! What holds here: no state, no allocation on the packet path, no `unsafe`, no system call, no time, and no panic on any
//! bytes. Nothing here knows of ports, tables or packets' fates, and nothing above may be imported.
//!
//! Views come as one type per header over `T: AsRef<[u8]>`. `new_checked` says whether the header is whole; getters after
//! that are total: a field that is not there reads as zero, a write beyond the buffer does nothing.

#![forbid(unsafe_code)]

pub mod addresses;
pub mod arp;
mod bytes;
pub mod checksum;
mod datagram;
pub mod ecn;
mod error;
pub mod erspan;
pub mod eth;
pub mod fragment;
pub mod icmpv4;
pub mod icmpv6;
mod ids;
pub mod ipv4;
pub mod ipv6;
pub mod ipv6_walk;
mod mac;
pub mod mpls;
pub mod ndisc;
pub mod ndisc_emit;
pub mod offload;
pub mod outer;
pub mod parse;
mod parsed;
mod plain;
mod prefix;
pub mod sctp;
pub mod tcp;
mod tos;
pub mod udp;
mod view;
pub mod vxlan;

pub use arp::Arp;
pub use datagram::{count_up_identification, set_datagram_length};
pub use error::WireError;
pub use eth::Ethernet;
pub use icmpv4::Icmpv4;
pub use icmpv6::Icmpv6;
pub use ids::{IdError, Label, VlanId, Vni};
pub use ipv4::Ipv4;
pub use ipv6::Ipv6;
pub use mac::{Mac, MacError};
pub use ndisc::Ndisc;
pub use parse::{parse, parse_ip};
pub use parsed::{Flags, Fragment, IpKind, ParseError, Parsed};
pub use plain::Plain;
pub use prefix::{IpPrefix, PrefixError};
pub use sctp::Sctp;
pub use tcp::Tcp;
pub use tos::{Dscp, Ecn};
pub use udp::Udp;
pub use vxlan::Vxlan;

/// EtherType numbers (IEEE registration authority) that this router knows.
pub mod ethertype {
    /// IPv4.
    pub const IPV4: u16 = 0x0800;
    /// ARP.
    pub const ARP: u16 = 0x0806;
    /// RARP (a moved endpoint announces itself with it).
    pub const RARP: u16 = 0x8035;
    /// IEEE 802.1Q customer tag.
    pub const VLAN: u16 = 0x8100;
    /// IEEE 802.1ad service tag.
    pub const QINQ: u16 = 0x88a8;
    /// Service tag of equipment older than 802.1ad.
    pub const QINQ_OLD: u16 = 0x9100;
    /// IPv6.
    pub const IPV6: u16 = 0x86dd;
    /// MPLS, unicast.
    pub const MPLS: u16 = 0x8847;
}

/// IP protocol numbers (IANA) that this router knows.
pub mod proto {
    /// IPv6 hop-by-hop options.
    pub const HOP_BY_HOP: u8 = 0;
    /// ICMP for IPv4.
    pub const ICMP: u8 = 1;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// IPv6 routing header.
    pub const ROUTING: u8 = 43;
    /// IPv6 fragment header.
    pub const FRAGMENT: u8 = 44;
    /// GRE.
    pub const GRE: u8 = 47;
    /// IPsec encapsulating security payload.
    pub const ESP: u8 = 50;
    /// IPsec authentication header.
    pub const AH: u8 = 51;
    /// ICMPv6.
    pub const ICMPV6: u8 = 58;
    /// IPv6 no next header.
    pub const NO_NEXT: u8 = 59;
    /// IPv6 destination options.
    pub const DEST_OPTS: u8 = 60;
    /// SCTP.
    pub const SCTP: u8 = 132;
}

/// Bits of the TCP flags byte (RFC 9293, 3168).
pub mod tcp_flags {
    /// No more data from the sender.
    pub const FIN: u8 = 0x01;
    /// Synchronise sequence numbers.
    pub const SYN: u8 = 0x02;
    /// Reset the connection.
    pub const RST: u8 = 0x04;
    /// Push.
    pub const PSH: u8 = 0x08;
    /// The acknowledgement field is valid.
    pub const ACK: u8 = 0x10;
    /// The urgent field is valid.
    pub const URG: u8 = 0x20;
    /// ECN echo.
    pub const ECE: u8 = 0x40;
    /// Congestion window reduced.
    pub const CWR: u8 = 0x80;
}
