//! Why a packet was dropped: one reason for each, counted per port and per VRF.

/// Declares [`DropReason`] with its stable names and explanations, so that none of the three can be forgotten.
macro_rules! drop_reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// Why a packet was dropped. Every dropped packet has exactly one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum DropReason {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl DropReason {
            /// All reasons, in the order of their numbers.
            pub const ALL: &'static [DropReason] = &[$(DropReason::$variant,)+];

            /// How many reasons there are: the length of a table of counters.
            pub const COUNT: usize = Self::ALL.len();

            /// Stable name in snake case, as shown by the API and by metrics.
            pub const fn name(self) -> &'static str {
                match self { $(DropReason::$variant => $name,)+ }
            }

            /// Explanation for people.
            pub const fn description(self) -> &'static str {
                match self { $(DropReason::$variant => concat!($($doc,)+).trim_ascii(),)+ }
            }
        }
    };
}

drop_reasons! {
    /// The frame is shorter than its Ethernet header (with VLAN tags).
    TruncatedEthernet = "truncated_ethernet",
    /// The IP header is cut short.
    TruncatedIp = "truncated_ip",
    /// The IP version does not match the ethertype, or is neither 4 nor 6.
    BadIpVersion = "bad_ip_version",
    /// The IPv4 header length field is below 20 bytes or beyond the packet.
    BadIpHeaderLength = "bad_ip_header_length",
    /// The IP length field says more bytes than arrived, or fewer than the header has.
    BadIpLength = "bad_ip_length",
    /// The IPv4 header checksum is wrong.
    BadIpv4Checksum = "bad_ipv4_checksum",
    /// A fragment that reaches beyond 65535 bytes, or whose length is not a multiple of eight.
    BadFragment = "bad_fragment",
    /// A fragment that overlaps another one of its datagram, or its transport header (RFC 5722, RFC 1858): the datagram is lost.
    FragmentOverlap = "fragment_overlap",
    /// A fragment whose first one, with the ports, did not come in time.
    FragmentTimeout = "fragment_timeout",
    /// The port has too many fragments under way.
    FragmentQuota = "fragment_quota",
    /// IPv6 extension headers are malformed, too many or too long.
    BadExtensionHeader = "bad_extension_header",
    /// The TCP, UDP, ICMP or SCTP header is cut short.
    TruncatedTransport = "truncated_transport",
    /// A field of the TCP, UDP or ICMP header contradicts the packet.
    BadTransport = "bad_transport",
    /// The TCP checksum is wrong: found where a packet would have been cut into segments with right ones.
    BadTransportChecksum = "bad_transport_checksum",
    /// An IP source address that no host can have: multicast, broadcast, loopback or unspecified.
    MartianSource = "martian_source",
    /// The ethertype is neither IPv4, IPv6 nor ARP and the port is routed.
    UnknownEthertype = "unknown_ethertype",
    /// A source MAC that is not the workload's.
    SpoofedMac = "spoofed_mac",
    /// A source address that is not the workload's.
    SpoofedIp = "spoofed_ip",
    /// An ARP packet that claims an address or a MAC that is not the workload's, or that is malformed.
    SpoofedArp = "spoofed_arp",
    /// A neighbour discovery packet that claims an address or a MAC that is not the workload's, or that comes in fragments (RFC 6980).
    SpoofedNd = "spoofed_nd",
    /// A router advertisement or redirect from a workload that is no router.
    RogueRa = "rogue_ra",
    /// A DHCP answer from a workload that is no DHCP server.
    RogueDhcp = "rogue_dhcp",
    /// A VLAN tag that this port does not expect.
    UnknownVlan = "unknown_vlan",
    /// The frame is addressed to another station's MAC and the port is routed.
    NotOurMac = "not_our_mac",
    /// The frame came in by a port that no table knows: it is being added or removed.
    UnknownPort = "unknown_port",
    /// An ARP packet that is malformed, or that asks for what nobody here answers for.
    ArpUnanswered = "arp_unanswered",
    /// A neighbour discovery packet that is malformed (RFC 4861), or that asks for what nobody here answers for.
    NdUnanswered = "nd_unanswered",
    /// Broadcast or multicast in a routed network, which has no broadcast domain.
    MulticastUnrouted = "multicast_unrouted",
    /// A link-local source or destination, which no router forwards (RFC 4291, section 2.5.6).
    LinkLocalUnrouted = "link_local_unrouted",
    /// No route to the destination in the VRF (answered with ICMP unreachable).
    NoRoute = "no_route",
    /// The route's next hop is to drop.
    NextHopDrop = "next_hop_drop",
    /// Nobody has the address in a prefix whose addresses are given out one by one (answered with ICMP unreachable).
    AddressUnreachable = "address_unreachable",
    /// The TTL or hop limit reached zero (answered with ICMP time exceeded).
    HopLimitExceeded = "hop_limit_exceeded",
    /// Larger than the path carries and not to be fragmented (answered with ICMP too big).
    TooBig = "too_big",
    /// Addressed to a gateway, but not something a gateway answers.
    LocalUnhandled = "local_unhandled",
    /// The underlay's next hop towards the remote VTEP is not resolved.
    UnderlayUnresolved = "underlay_unresolved",
    /// The outer UDP packet is not addressed to a tunnel endpoint of this node.
    NotOurVtep = "not_our_vtep",
    /// The outer packet is neither VXLAN nor MPLS over UDP.
    NotATunnel = "not_a_tunnel",
    /// An outer IP fragment: tunnels must not be fragmented.
    FragmentedTunnel = "fragmented_tunnel",
    /// The outer UDP checksum is not zero and wrong.
    BadOuterChecksum = "bad_outer_checksum",
    /// The VXLAN header is cut short or lacks the I flag.
    BadVxlan = "bad_vxlan",
    /// The VNI belongs to no bridge and no VRF of this node.
    UnknownVni = "unknown_vni",
    /// The MPLS label stack is cut short or too deep.
    BadMpls = "bad_mpls",
    /// The label belongs to no VRF and no next hop of this node.
    UnknownLabel = "unknown_label",
    /// The outer header says congestion experienced and the inner packet is not ECN-capable (RFC 6040).
    EcnConflict = "ecn_conflict",
    /// A frame that came from a tunnel would go out by a tunnel again (split horizon).
    SplitHorizon = "split_horizon",
    /// The frame would leave by the port it came in by.
    Hairpin = "hairpin",
    /// Unknown unicast or broadcast in a bridge with nobody to flood to.
    NoFloodTarget = "no_flood_target",
    /// A local or unassigned MAC address that a bridge never forwards (reserved 01:80:c2 group).
    ReservedMac = "reserved_mac",
    /// The policy of the sending workload does not allow it.
    PolicyDeniedEgress = "policy_denied_egress",
    /// The policy of the receiving workload does not allow it.
    PolicyDeniedIngress = "policy_denied_ingress",
    /// A service that has no backend at present (answered with ICMP port unreachable).
    NoBackend = "no_backend",
    /// The packet would enter a VRF that its source may enter only translated, and nothing translates it.
    NoTranslation = "no_translation",
    /// No port is free to translate its source to (answered with ICMP host unreachable).
    NatExhausted = "nat_exhausted",
    /// A packet that cannot be translated as its flow is: part of an SCTP datagram, or of another IP version.
    Untranslatable = "untranslatable",
    /// It was led from VRF to VRF too often.
    RoutingLoop = "routing_loop",
    /// A new flow that must be remembered, of a port or VRF that has as many flows as it may.
    FlowLimit = "flow_limit",
    /// A new flow that must be remembered, and the flow table is full.
    FlowTableFull = "flow_table_full",
    /// A TCP segment whose sequence or acknowledgement number does not belong to its connection.
    TcpOutOfWindow = "tcp_out_of_window",
    /// A TCP reset outside of its connection's window (RFC 5961), or of a connection that is not known.
    TcpBadReset = "tcp_bad_reset",
    /// TCP flags that do not go together.
    TcpBadFlags = "tcp_bad_flags",
    /// No free frame to make a copy or an answer.
    NoFrame = "no_frame",
    /// No room in front of the packet for the outer header.
    NoHeadroom = "no_headroom",
    /// Beyond the port's limit of packets or bytes.
    PolicerExceeded = "policer_exceeded",
    /// Beyond the port's limit, and its queue is full.
    ShaperFull = "shaper_full",
    /// The port's transmit queue is full.
    TransmitQueueFull = "transmit_queue_full",
    /// The worker that owns the port's transmit queue does not keep up.
    HandoffQueueFull = "handoff_queue_full",
    /// The port to send by is gone or down.
    PortDown = "port_down",
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_and_snake_case() {
        let names: HashSet<_> = DropReason::ALL.iter().map(|r| r.name()).collect();
        assert_eq!(names.len(), DropReason::COUNT);
        for name in names {
            assert!(
                name.bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'),
                "{name}"
            );
        }
    }

    #[test]
    fn numbers_index_the_table() {
        for (index, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
            assert!(
                reason.description().ends_with('.') || reason.description().ends_with(')'),
                "{reason:?}"
            );
        }
    }
}
