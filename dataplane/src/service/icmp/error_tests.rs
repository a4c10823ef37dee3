use etherparse::{IpNumber, NetSlice, PacketBuilder, SlicedPacket, TransportSlice, checksum::Sum16BitWords};
use proptest::prelude::*;

use super::*;
use crate::service::test_frames::with_frame;

const ROUTER4: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 254));
const ROUTER6: IpAddr = IpAddr::V6(std::net::Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0xfe));
const ALL: [IcmpError; 7] = [
    IcmpError::TimeExceeded,
    IcmpError::NoRoute,
    IcmpError::AddressUnreachable,
    IcmpError::AdminProhibited,
    IcmpError::TooBig { mtu: 1450 },
    IcmpError::PortUnreachable,
    IcmpError::ProtocolUnreachable,
];

fn v4(source: [u8; 4], destination: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    PacketBuilder::ipv4(source, destination, 1)
        .udp(1, 2)
        .write(&mut packet, payload)
        .unwrap();
    packet
}

fn v6(source: IpAddr, destination: &str, payload: &[u8]) -> Vec<u8> {
    let IpAddr::V6(source) = source else { panic!() };
    let destination: std::net::Ipv6Addr = destination.parse().unwrap();
    let mut packet = Vec::new();
    PacketBuilder::ipv6(source.octets(), destination.octets(), 1)
        .udp(1, 2)
        .write(&mut packet, payload)
        .unwrap();
    packet
}

fn host6(last: u16) -> IpAddr {
    std::net::Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last).into()
}

/// An ICMP packet of the given type; without meaning otherwise.
fn icmp(six: bool, kind: u8) -> Vec<u8> {
    let mut packet = if six {
        v6(host6(1), "fd00::2", b"")
    } else {
        v4([10, 0, 0, 1], [10, 0, 0, 2], b"")
    };
    let (protocol, at) = if six { (6, 40) } else { (9, 20) };
    packet[protocol] = if six { 58 } else { 1 };
    packet[at] = kind;
    checksummed(packet)
}

/// Corrects the checksum of an IPv4 header without options.
fn checksummed(mut packet: Vec<u8>) -> Vec<u8> {
    if packet[0] >> 4 == 4 {
        packet[10..12].fill(0);
        let check = Sum::of(&packet[..20]).checksum();
        packet[10..12].copy_from_slice(&check.to_be_bytes());
    }
    packet
}

/// The error packet, read by another reader: type, code, word and quote.
fn told(original: &[u8], source: IpAddr, what: IcmpError) -> (u8, u8, u32, Vec<u8>) {
    with_frame(b"before", |out| {
        error(original, source, what, out).unwrap();
        let sliced = SlicedPacket::from_ip(out.data()).unwrap();
        let message = match (sliced.net, sliced.transport) {
            (Some(NetSlice::Ipv4(ip)), Some(TransportSlice::Icmpv4(icmp))) => {
                let header = ip.header();
                assert_eq!(IpAddr::V4(header.source_addr()), source);
                assert_eq!(header.destination(), original[12..16]);
                assert_eq!((header.ttl(), header.dcp().value()), (64, 48));
                assert_eq!(header.header_checksum(), header.to_header().calc_header_checksum());
                assert_eq!(usize::from(header.total_len()), out.len());
                assert_eq!(Sum16BitWords::new().add_slice(icmp.slice()).ones_complement(), 0);
                icmp.slice().to_vec()
            }
            (Some(NetSlice::Ipv6(ip)), Some(TransportSlice::Icmpv6(icmp))) => {
                let header = ip.header();
                assert_eq!(IpAddr::V6(header.source_addr()), source);
                assert_eq!(header.destination(), original[8..24]);
                assert_eq!((header.hop_limit(), header.next_header()), (64, IpNumber::IPV6_ICMP));
                assert_eq!(usize::from(header.payload_length()) + 40, out.len());
                assert!(icmp.is_checksum_valid(header.source(), header.destination()));
                icmp.slice().to_vec()
            }
            other => panic!("{other:?}"),
        };
        let word = u32::from_be_bytes(message[4..8].try_into().unwrap());
        (message[0], message[1], word, message[8..].to_vec())
    })
}

fn suppressed(original: &[u8], source: IpAddr, what: IcmpError) -> Suppressed {
    with_frame(b"before", |out| {
        let reason = error(original, source, what, out).unwrap_err();
        assert_eq!(out.data(), b"before");
        reason
    })
}

#[test]
fn types_and_codes() {
    let original = v4([10, 0, 0, 1], [192, 0, 2, 1], b"payload");
    let codes = ALL.map(|what| {
        let (kind, code, word, quote) = told(&original, ROUTER4, what);
        assert_eq!(quote, original);
        (kind, code, word)
    });
    assert_eq!(
        codes,
        [
            (11, 0, 0),
            (3, 0, 0),
            (3, 1, 0),
            (3, 13, 0),
            (3, 4, 1450),
            (3, 3, 0),
            (3, 2, 0)
        ]
    );
    let original = v6(host6(1), "2001:db8::1", b"payload");
    let codes = ALL.map(|what| {
        let (kind, code, word, quote) = told(&original, ROUTER6, what);
        assert_eq!(quote, original);
        (kind, code, word)
    });
    assert_eq!(
        codes,
        [
            (3, 0, 0),
            (1, 0, 0),
            (1, 3, 0),
            (1, 1, 0),
            (2, 0, 1450),
            (1, 4, 0),
            (4, 1, 6)
        ]
    );
    // The pointer of the parameter problem goes behind extension headers.
    let mut extended = original.clone();
    extended.splice(40..40, [60, 0, 1, 4, 0, 0, 0, 0, 17, 0, 1, 4, 0, 0, 0, 0]);
    extended[6] = 0;
    extended[5] += 16;
    assert_eq!(told(&extended, ROUTER6, IcmpError::ProtocolUnreachable).2, 48);
    // A next hop MTU that IPv4 cannot say.
    let original = v4([10, 0, 0, 1], [192, 0, 2, 1], b"");
    assert_eq!(told(&original, ROUTER4, IcmpError::TooBig { mtu: 100_000 }).2, 65535);
}

#[test]
fn quotes_as_much_as_is_allowed() {
    let original = v4([10, 0, 0, 1], [192, 0, 2, 1], &[0x5a; 1400]);
    let quote = told(&original, ROUTER4, IcmpError::NoRoute).3;
    assert_eq!(quote, original[..MAX_ERROR_V4 - 28]);
    let original = v6(host6(1), "2001:db8::1", &[0x5a; 1400]);
    let quote = told(&original, ROUTER6, IcmpError::NoRoute).3;
    assert_eq!(quote, original[..MAX_ERROR_V6 - 48]);
    // Padding of the frame is no part of the packet.
    let short = v4([10, 0, 0, 1], [192, 0, 2, 1], b"x");
    let padded = [&short[..], &[0; 20]].concat();
    assert_eq!(told(&padded, ROUTER4, IcmpError::NoRoute).3, short);
}

#[test]
fn no_error_about_an_error() {
    for kind in [3, 4, 5, 11, 12] {
        assert_eq!(
            suppressed(&icmp(false, kind), ROUTER4, IcmpError::TimeExceeded),
            Suppressed::AboutAnError
        );
    }
    for kind in [1, 2, 3, 4, 100, 127, 137] {
        let too_big = IcmpError::TooBig { mtu: 1280 };
        assert_eq!(
            suppressed(&icmp(true, kind), ROUTER6, too_big),
            Suppressed::AboutAnError
        );
    }
    // Echo and its reply may have errors.
    for (six, router, kind) in [
        (false, ROUTER4, 8),
        (false, ROUTER4, 0),
        (true, ROUTER6, 128),
        (true, ROUTER6, 129),
    ] {
        told(&icmp(six, kind), router, IcmpError::TimeExceeded);
    }
}

#[test]
fn no_error_about_later_fragments() {
    let fragment = |offset: [u8; 2]| {
        let mut packet = v4([10, 0, 0, 1], [192, 0, 2, 1], &[0; 16]);
        packet[6..8].copy_from_slice(&offset);
        checksummed(packet)
    };
    assert_eq!(
        suppressed(&fragment([0, 1]), ROUTER4, IcmpError::NoRoute),
        Suppressed::LaterFragment
    );
    assert_eq!(
        suppressed(&fragment([0x20, 1]), ROUTER4, IcmpError::NoRoute),
        Suppressed::LaterFragment
    );
    assert_eq!(told(&fragment([0x20, 0]), ROUTER4, IcmpError::NoRoute).0, 3);
    let fragment = |offset: u8| {
        let mut packet = v6(host6(1), "2001:db8::1", &[0; 16]);
        packet.splice(40..40, [17, 0, 0, offset, 0, 0, 0, 1]);
        packet[6] = 44;
        packet[5] += 8;
        packet
    };
    assert_eq!(
        suppressed(&fragment(8), ROUTER6, IcmpError::NoRoute),
        Suppressed::LaterFragment
    );
    assert_eq!(told(&fragment(1), ROUTER6, IcmpError::NoRoute).0, 1);
}

#[test]
fn no_error_from_or_to_many() {
    for source in [
        [0, 0, 0, 0],
        [0, 1, 2, 3],
        [127, 0, 0, 1],
        [224, 0, 0, 1],
        [240, 0, 0, 1],
        [255; 4],
    ] {
        let reason = suppressed(&v4(source, [192, 0, 2, 1], b""), ROUTER4, IcmpError::NoRoute);
        assert_eq!(reason, Suppressed::Source(source.into()));
    }
    for destination in [[0; 4], [224, 0, 0, 1], [239, 1, 1, 1], [255; 4]] {
        let reason = suppressed(
            &v4([10, 0, 0, 1], destination, b""),
            ROUTER4,
            IcmpError::TooBig { mtu: 500 },
        );
        assert_eq!(reason, Suppressed::Destination(destination.into()));
    }
    for source in ["::", "::1", "ff02::1"] {
        let source: IpAddr = source.parse().unwrap();
        let reason = suppressed(&v6(source, "fd00::1", b""), ROUTER6, IcmpError::TooBig { mtu: 1280 });
        assert_eq!(reason, Suppressed::Source(source));
    }
    let multicast = v6(host6(1), "ff0e::1", b"");
    assert_eq!(
        suppressed(&multicast, ROUTER6, IcmpError::TimeExceeded),
        Suppressed::Destination("ff0e::1".parse().unwrap())
    );
    assert_eq!(told(&multicast, ROUTER6, IcmpError::TooBig { mtu: 1280 }).0, 2);
}

#[test]
fn what_fits_nowhere_is_said() {
    let original = v4([10, 0, 0, 1], [192, 0, 2, 1], b"x");
    assert_eq!(
        suppressed(&original, ROUTER6, IcmpError::NoRoute),
        Suppressed::OtherFamily(ROUTER6)
    );
    assert!(matches!(
        suppressed(&original[..28], ROUTER4, IcmpError::NoRoute),
        Suppressed::Malformed(_)
    ));
    assert!(matches!(
        suppressed(b"", ROUTER4, IcmpError::NoRoute),
        Suppressed::Malformed(_)
    ));
}

proptest! {
    #[test]
    fn any_bytes(
        mut bytes in prop::collection::vec(any::<u8>(), 0..200),
        plausible in 0..3,
        next in prop::sample::select(vec![0u8, 1, 17, 43, 44, 51, 58, 60]),
        what in prop::sample::select(ALL.to_vec()),
    ) {
        if plausible == 1 && bytes.len() >= 20 {
            bytes[0] = 0x45;
            let total = bytes.len() as u16;
            bytes[2..4].copy_from_slice(&total.to_be_bytes());
            bytes[6..8].fill(0);
            bytes[9] = next;
            bytes = checksummed(bytes);
        }
        if plausible == 2 && bytes.len() >= 40 {
            bytes[0] = 0x60;
            let length = bytes.len() as u16 - 40;
            bytes[4..6].copy_from_slice(&length.to_be_bytes());
            bytes[6] = next;
            for unit in bytes[40..].chunks_exact_mut(8) {
                unit[..2].copy_from_slice(&[next, 0]);
            }
        }
        let router = if plausible == 2 { ROUTER6 } else { ROUTER4 };
        let sent = with_frame(b"", |out| error(&bytes, router, what, out).is_ok());
        if sent {
            // All the checks of another reader hold for whatever was quoted.
            told(&bytes, router, what);
        }
    }
}
