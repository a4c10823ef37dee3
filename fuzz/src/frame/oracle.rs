//! etherparse's reading of the same bytes: a second pair of eyes.

use etherparse::{
    LinkExtSlice, NetSlice, SlicedPacket, TransportSlice,
    err::{Layer, packet::SliceError},
};
use vrouter_dataplane::wire::{Flags, Fragment, IpKind, ParseError, Parsed, proto};

/// Where both accept the frame, both read the same; where only one accepts it, there is a known reason.
pub(super) fn compare(bytes: &[u8], ours: &Result<Parsed, ParseError>) {
    match (ours, SlicedPacket::from_ethernet(bytes)) {
        (Ok(ours), Ok(theirs)) => agree(bytes, ours, &theirs),
        (Ok(ours), Err(error)) => assert!(may_be_refused(ours, &error), "{ours:?}, but etherparse: {error}"),
        (Err(error), Ok(theirs)) => assert!(may_be_accepted(*error, &theirs), "{error}, but etherparse: {theirs:?}"),
        (Err(_), Err(_)) => {}
    }
}

fn agree(bytes: &[u8], ours: &Parsed, theirs: &SlicedPacket<'_>) {
    let macsec = |ext: &LinkExtSlice<'_>| matches!(ext, LinkExtSlice::Macsec(_));
    if theirs.link_exts.iter().any(macsec) {
        // etherparse looks into it, a router does not.
        return;
    }
    let first_tag = theirs.vlan_ids().first().map(|id| id.value());
    // VLAN 0 is a priority tag: no VLAN.
    assert_eq!(
        ours.vlan.map(|id| id.get_u16()),
        first_tag.filter(|id| *id != 0),
        "{ours:?}"
    );
    assert_eq!(ours.vlan_tags(), theirs.link_exts.len(), "{ours:?}");
    let at = |slice: &[u8]| slice.as_ptr() as usize - bytes.as_ptr() as usize;
    match &theirs.net {
        Some(NetSlice::Ipv4(ip)) => {
            let header = ip.header();
            assert_eq!(ours.kind, IpKind::V4);
            assert_eq!(usize::from(ours.l3), at(header.slice()));
            assert_eq!(usize::from(ours.l4), at(header.slice()) + header.slice().len());
            assert_eq!(ours.end as usize, at(header.slice()) + usize::from(header.total_len()));
            assert_eq!(ours.proto, header.protocol().0);
            assert_eq!(ours.flags.has(Flags::V4_OPTIONS), !header.options().is_empty());
            assert_eq!(ours.is_fragment(), ip.is_payload_fragmented());
            if ours.proto == proto::AH {
                return;
            }
        }
        Some(NetSlice::Ipv6(ip)) => {
            assert_eq!(ours.kind, IpKind::V6);
            assert_eq!(usize::from(ours.l3), at(ip.header().slice()));
            let length = usize::from(ip.header().payload_length());
            assert_eq!(ours.end as usize, usize::from(ours.l3) + 40 + length);
            if length == 0 {
                // etherparse takes all that is there for the payload.
                return;
            }
            assert_eq!(ours.is_fragment(), ip.is_payload_fragmented(), "{ours:?}");
            // Our walk knows more extension headers, and ends at the first that belongs to the receiver.
            if ours.proto == ip.payload().ip_number.0 {
                assert_eq!(usize::from(ours.l4), at(ip.payload().payload), "{ours:?}");
            } else {
                assert!(ours.flags.has(Flags::V6_EXTENSIONS), "{ours:?}");
                return;
            }
        }
        Some(NetSlice::Arp(_)) | None => {
            assert_eq!(ours.kind, IpKind::None);
            return;
        }
    }
    let ports = match &theirs.transport {
        Some(TransportSlice::Udp(udp)) => {
            assert_eq!((ours.proto, usize::from(ours.l4)), (proto::UDP, at(udp.slice())));
            (udp.source_port(), udp.destination_port())
        }
        Some(TransportSlice::Tcp(tcp)) => {
            assert_eq!((ours.proto, usize::from(ours.l4)), (proto::TCP, at(tcp.slice())));
            assert_eq!(ours.is_tcp_syn(), tcp.syn());
            (tcp.source_port(), tcp.destination_port())
        }
        _ => {
            assert!(
                ours.is_fragment() || !matches!(ours.proto, proto::UDP | proto::TCP),
                "{ours:?}"
            );
            return;
        }
    };
    assert_eq!((ours.src_port, ours.dst_port), ports);
    assert_eq!(ours.fragment, Fragment::No);
}

/// Frames that a router carries although a receiver would not take them: the insides of ARP, ICMP, IGMP and AH, the length in
/// UDP, later extension headers and what is in fragments are the receiver's business, and a MACsec frame is opaque.
fn may_be_refused(ours: &Parsed, error: &SliceError) -> bool {
    let reason = match error {
        SliceError::Len(error) => matches!(
            error.layer,
            Layer::Arp
                | Layer::MacsecHeader
                | Layer::MacsecPacket
                | Layer::Icmpv4
                | Layer::Icmpv4Timestamp
                | Layer::Icmpv4TimestampReply
                | Layer::Icmpv6
                | Layer::Igmp
                | Layer::IpAuthHeader
                | Layer::UdpPayload
        ),
        SliceError::Macsec(_) | SliceError::Ipv4Exts(_) => true,
        _ => false,
    };
    // A length in UDP that is below its header's is told of the header.
    let odd_udp =
        ours.proto == proto::UDP && matches!(error, SliceError::Len(error) if error.layer == Layer::UdpHeader);
    let inside = ours.is_fragment() || ours.flags.has(Flags::V6_EXTENSIONS) || ours.proto == proto::AH;
    reason || odd_udp || inside
}

/// Frames that a router does not carry although their lengths are right.
fn may_be_accepted(error: ParseError, theirs: &SlicedPacket<'_>) -> bool {
    let is_ip = matches!(&theirs.net, Some(NetSlice::Ipv4(_) | NetSlice::Ipv6(_)));
    if matches!(&theirs.net, Some(NetSlice::Ipv6(ip)) if ip.header().payload_length() == 0) {
        // All that is there is the payload to it.
        return true;
    }
    match error {
        // etherparse does not look.
        ParseError::BadIpv4Checksum | ParseError::BadFragment => is_ip,
        ParseError::TooManyExtensions | ParseError::ExtensionsTooLong | ParseError::BadExtensionOrder => is_ip,
        ParseError::BadVlanId => theirs.vlan_ids().iter().any(|id| id.value() == 0xfff),
        // Three are fine for etherparse.
        ParseError::TooManyVlanTags => theirs.link_exts.len() == 3,
        // SCTP is opaque to it, and so is the header of a first fragment.
        ParseError::TruncatedL4 | ParseError::BadTcpHeaderLength => {
            is_ip && !matches!(theirs.transport, Some(TransportSlice::Udp(_) | TransportSlice::Tcp(_)))
        }
        // It does not know every extension header.
        ParseError::TruncatedExtension => {
            matches!(&theirs.net, Some(NetSlice::Ipv6(_)))
        }
        ParseError::TruncatedEthernet
        | ParseError::TruncatedVlan
        | ParseError::TruncatedIp
        | ParseError::BadTotalLength
        | ParseError::BadIpVersion
        | ParseError::BadIpHeaderLength => false,
    }
}
