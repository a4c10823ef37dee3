//! etherparse's reading of the same bytes: a second pair of eyes.

use etherparse::{LinkExtSlice, NetSlice, SlicedPacket, TransportSlice};
use vrouter_dataplane::wire::{Flags, Fragment, IpKind, ParseError, Parsed, proto};

/// Where both accept the frame, both read the same; where only one accepts it, there is a known reason.
pub(super) fn compare(bytes: &[u8], ours: &Result<Parsed, ParseError>) {
    match (ours, SlicedPacket::from_ethernet(bytes)) {
        (Ok(ours), Ok(theirs)) => agree(bytes, ours, &theirs),
        (Ok(ours), Err(error)) => assert!(may_be_refused(bytes, ours), "{ours:?}, but etherparse: {error}"),
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

/// Frames that a router carries although a receiver would not take them.
fn may_be_refused(bytes: &[u8], ours: &Parsed) -> bool {
    // The UDP length and the inside of an AH or a later extension header are the receiver's business; a MACsec frame is opaque.
    let l4 = bytes.get(usize::from(ours.l4)..).unwrap_or_default();
    let udp_len = l4
        .get(4..6)
        .map_or(0, |b| usize::from(u16::from_be_bytes([b[0], b[1]])));
    let udp_room = ours.end as usize - usize::from(ours.l4);
    let odd_udp = ours.proto == proto::UDP && !(8..=udp_room).contains(&udp_len);
    let macsec = 0x88e5;
    let arp = 0x0806;
    odd_udp
        || ours.is_fragment()
        || ours.flags.has(Flags::V6_EXTENSIONS)
        || ours.proto == proto::AH
        // What the room for ARP judges.
        || [macsec, arp].contains(&ours.ethertype)
}

/// Frames that a router does not carry although their lengths are right.
fn may_be_accepted(error: ParseError, theirs: &SlicedPacket<'_>) -> bool {
    let is_ip = matches!(&theirs.net, Some(NetSlice::Ipv4(_) | NetSlice::Ipv6(_)));
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
        // An IPv6 payload length of zero is all that is there to it; it does not know every extension header.
        ParseError::BadTotalLength | ParseError::TruncatedExtension => {
            matches!(&theirs.net, Some(NetSlice::Ipv6(_)))
        }
        ParseError::TruncatedEthernet
        | ParseError::TruncatedVlan
        | ParseError::TruncatedIp
        | ParseError::BadIpVersion
        | ParseError::BadIpHeaderLength => false,
    }
}
