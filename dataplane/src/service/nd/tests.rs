use etherparse::{Icmpv6Type, NetSlice, SlicedPacket, TransportSlice};
use proptest::prelude::*;

use super::*;
use crate::service::test_frames::with_frame;

const ASKER: Mac = Mac([2, 0, 0, 0, 0, 1]);
const OURS: Mac = Mac([2, 0, 0, 0, 0, 2]);

fn ip(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

fn solicitation() -> [u8; SOLICITATION] {
    let from = Station {
        address: ip("fd00::1"),
        mac: ASKER,
    };
    neighbor_solicitation(from, ip("fd00::12:3456"), None)
}

/// Recomputes the ICMPv6 checksum with etherparse after `change`.
fn changed(frame: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut frame = frame.to_vec();
    change(&mut frame);
    frame[56..58].fill(0);
    let addresses: [u8; 32] = frame[22..54].try_into().unwrap();
    let mut sum = etherparse::checksum::Sum16BitWords::new()
        .add_16bytes(addresses[..16].try_into().unwrap())
        .add_16bytes(addresses[16..].try_into().unwrap())
        .add_2bytes([0, 58]);
    sum = sum.add_4bytes(u32::try_from(frame.len() - 54).unwrap().to_be_bytes());
    let sum = sum.add_slice(&frame[54..]).ones_complement().to_ne_bytes();
    frame[56..58].copy_from_slice(&sum);
    frame
}

/// A duplicate address detection for `target`: no source, no option.
fn detection(target: Ipv6Addr) -> Vec<u8> {
    let from = Station {
        address: Ipv6Addr::UNSPECIFIED,
        mac: ASKER,
    };
    changed(
        &neighbor_solicitation(from, target, None)[..SOLICITATION - 8],
        |frame| frame[19] = 24,
    )
}

/// Checks lengths, hop limit and checksum with another reader and gives type and bytes behind the checksum.
fn read(frame: &[u8]) -> (Ipv6Addr, Ipv6Addr, Icmpv6Type, Vec<u8>) {
    let sliced = SlicedPacket::from_ethernet(frame).unwrap();
    let (Some(NetSlice::Ipv6(net)), Some(TransportSlice::Icmpv6(icmp))) = (sliced.net, sliced.transport) else {
        panic!("not ICMPv6")
    };
    let header = net.header();
    assert_eq!(header.hop_limit(), 255);
    assert!(icmp.is_checksum_valid(header.source(), header.destination()));
    assert_eq!(usize::from(header.payload_length()), icmp.slice().len());
    (
        header.source_addr(),
        header.destination_addr(),
        icmp.icmp_type(),
        icmp.slice()[4..].to_vec(),
    )
}

#[test]
fn solicited_node_groups() {
    assert_eq!(solicited_node(ip("fd00::12:3456")), ip("ff02::1:ff12:3456"));
    assert_eq!(solicited_node(ip("2001:db8::ab01:203")), ip("ff02::1:ff01:203"));
}

#[test]
fn a_solicitation_is_well_formed_and_read_back() {
    let frame = solicitation();
    assert_eq!(frame[..6], [0x33, 0x33, 0xff, 0x12, 0x34, 0x56]);
    let (source, destination, _, _) = read(&frame);
    assert_eq!((source, destination), (ip("fd00::1"), ip("ff02::1:ff12:3456")));
    let nd = parse(&frame).unwrap();
    let message = Message::NeighborSolicitation {
        target: ip("fd00::12:3456"),
        source_mac: Some(ASKER),
    };
    assert_eq!(
        nd,
        Nd {
            source,
            destination,
            ethernet_source: ASKER,
            message
        }
    );
    // To confirm: straight to the station.
    let from = Station {
        address: ip("fd00::1"),
        mac: ASKER,
    };
    let probe = neighbor_solicitation(from, ip("fd00::2"), Some(OURS));
    assert_eq!(probe[..6], OURS.0);
    assert_eq!(parse(&probe).unwrap().destination, ip("fd00::2"));
}

#[test]
fn a_solicitation_becomes_its_advertisement() {
    let tagged = {
        let mut frame = solicitation().to_vec();
        frame.splice(12..12, [0x81, 0x00, 0, 7]);
        frame
    };
    // One without its option has to grow.
    let short = changed(&solicitation()[..SOLICITATION - 8], |frame| frame[19] = 24);
    for frame in [solicitation().to_vec(), tagged, short] {
        let tag = if frame[12] == 0x81 { 4 } else { 0 };
        with_frame(&frame, |answer| {
            neighbor_advertisement(answer, OURS, true).unwrap();
            assert_eq!(answer.data()[..12], [ASKER.0, OURS.0].concat());
            assert_eq!(answer.data()[12..12 + tag], frame[12..12 + tag]);
            let (source, destination, kind, rest) = read(answer.data());
            assert_eq!((source, destination), (ip("fd00::12:3456"), ip("fd00::1")));
            let Icmpv6Type::NeighborAdvertisement(header) = kind else {
                panic!("{kind:?}")
            };
            assert!(header.router && header.solicited && header.r#override);
            assert_eq!(rest[4..20], ip("fd00::12:3456").octets());
            assert_eq!(rest[20..], [2, 1, 2, 0, 0, 0, 0, 2]);
            assert_eq!(
                neighbor_advertisement(answer, OURS, true),
                Err(NdError::NotASolicitation)
            );
        });
    }
    let framed = neighbor_advertisement_frame(&parse(&solicitation()).unwrap(), OURS, false).unwrap();
    let message = parse(&framed).unwrap().message;
    let expected = Message::NeighborAdvertisement {
        target: ip("fd00::12:3456"),
        target_mac: Some(OURS),
        router: false,
        solicited: true,
        override_known: true,
    };
    assert_eq!(message, expected);
}

#[test]
fn duplicate_address_detection_is_answered_to_all() {
    with_frame(&detection(ip("fd00::9")), |frame| {
        neighbor_advertisement(frame, OURS, false).unwrap();
        assert_eq!(frame.data()[..6], [0x33, 0x33, 0, 0, 0, 1]);
        let (source, destination, kind, _) = read(frame.data());
        assert_eq!((source, destination), (ip("fd00::9"), ALL_NODES));
        let Icmpv6Type::NeighborAdvertisement(header) = kind else {
            panic!("{kind:?}")
        };
        assert!(!header.router && !header.solicited && header.r#override);
    });
}

#[test]
fn a_router_solicitation_gets_an_advertisement() {
    // Router solicitation: the option right behind four reserved bytes.
    let solicitation = changed(&solicitation()[..14 + 40 + 16], |frame| {
        frame[19] = 16;
        frame[38..54].copy_from_slice(&ip("ff02::2").octets());
        frame[54] = 133;
        frame[58..62].fill(0);
        frame[62..70].copy_from_slice(&[1, 1, 2, 0, 0, 0, 0, 1]);
    });
    let nd = parse(&solicitation).unwrap();
    assert_eq!(
        nd.message,
        Message::RouterSolicitation {
            source_mac: Some(ASKER)
        }
    );
    let prefixes = [(ip("fd00::5"), 64), (ip("fd00:1::"), 128)];
    with_frame(&solicitation, |frame| {
        router_advertisement(frame, nd.reply_to(), OURS, &prefixes, 1450, 1800).unwrap();
        assert_eq!(frame.data()[..12], [ASKER.0, OURS.0].concat());
        let (source, destination, kind, rest) = read(frame.data());
        assert_eq!((source, destination), (link_local(OURS), ip("fd00::1")));
        let Icmpv6Type::RouterAdvertisement(header) = kind else {
            panic!("{kind:?}")
        };
        assert_eq!((header.cur_hop_limit, header.router_lifetime), (64, 1800));
        assert!(!header.managed_address_config && !header.other_config);
        let options = &rest[12..];
        assert_eq!(options[..8], [1, 1, 2, 0, 0, 0, 0, 2]);
        assert_eq!(
            options[8..16],
            [5, 1, 0, 0, 0, 0, 1450u16.to_be_bytes()[0], 1450u16.to_be_bytes()[1]]
        );
        assert_eq!(options[16..20], [3, 4, 64, 0x80]);
        assert_eq!(options[20..28], [0, 0x27, 0x8d, 0, 0, 9, 0x3a, 0x80]);
        assert_eq!(options[32..48], ip("fd00::").octets());
        assert_eq!(options[48..52], [3, 4, 128, 0x80]);
        assert_eq!(options[64..80], ip("fd00:1::").octets());
        assert_eq!(options.len(), 80);
        // More than a frame holds: refused, nothing changed.
        let before = frame.data().to_vec();
        let many = vec![(ip("fd00::"), 64); 4000];
        let refused = router_advertisement(frame, nd.reply_to(), OURS, &many, 1450, 1800);
        assert!(matches!(refused, Err(NdError::NoRoom(_))), "{refused:?}");
        assert_eq!(frame.data(), before);
    });
    // Unasked, in an empty frame.
    with_frame(&[], |frame| {
        router_advertisement(frame, Station::ALL_NODES, OURS, &[], 1450, 0).unwrap();
        assert_eq!(
            frame.data()[..14],
            [0x33, 0x33, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x86, 0xdd]
        );
        assert_eq!(read(frame.data()).1, ALL_NODES);
    });
}

#[test]
fn every_rule_of_validity_holds() {
    let good = solicitation();
    let with = |change: &dyn Fn(&mut Vec<u8>)| parse(&changed(&good, change));
    assert_eq!(parse(&good[..SOLICITATION - 1]), Err(NdError::Truncated));
    assert_eq!(with(&|f| f[12] = 8), Err(NdError::NotIcmpv6));
    assert_eq!(with(&|f| f[20] = 0), Err(NdError::NotIcmpv6));
    assert_eq!(with(&|f| f[14] = 0x40), Err(NdError::NotIcmpv6));
    assert_eq!(with(&|f| f[54] = 134), Err(NdError::Type(134)));
    assert_eq!(with(&|f| f[21] = 254), Err(NdError::HopLimit(254)));
    assert_eq!(with(&|f| f[55] = 1), Err(NdError::Code(1)));
    assert_eq!(with(&|f| f[62] = 0xff), Err(NdError::Target(ip("ff00::12:3456"))));
    assert_eq!(
        with(&|f| f[22..38].fill(0xff)),
        Err(NdError::Source(Ipv6Addr::from([0xff; 16])))
    );
    assert_eq!(with(&|f| f[6] = 3), Err(NdError::SourceMac(Mac([3, 0, 0, 0, 0, 1]))));
    assert_eq!(with(&|f| f[79] = 0), Err(NdError::Option), "option of length zero");
    assert_eq!(with(&|f| f[79] = 2), Err(NdError::Option), "option beyond the message");
    assert_eq!(with(&|f| f[80] = 1), Err(NdError::Option), "a group's MAC");
    assert_eq!(with(&|f| f[22..38].fill(0)), Err(NdError::UnspecifiedWithOption));
    let mut flipped = good;
    flipped[70] ^= 1;
    assert_eq!(parse(&flipped), Err(NdError::Checksum));
    // A message that ends within its target or with half an option.
    let cut = |length: u8| changed(&good[..54 + usize::from(length)], |f| f[19] = length);
    assert_eq!(parse(&cut(23)), Err(NdError::Truncated));
    assert_eq!(parse(&cut(25)), Err(NdError::Option));
    assert!(parse(&cut(24)).is_ok());
    // Duplicate address detection only to the group of the target.
    let elsewhere = changed(&detection(ip("fd00::9")), |f| {
        f[38..54].copy_from_slice(&ALL_NODES.octets());
    });
    assert_eq!(parse(&elsewhere), Err(NdError::Destination(ALL_NODES)));
    // An unknown option is passed over.
    let nonce = changed(&[&good[..], &[14, 1, 1, 2, 3, 4, 5, 6]].concat(), |f| f[19] = 40);
    assert!(parse(&nonce).is_ok());
    // An advertisement to a group cannot be solicited, and must come from somewhere.
    let advertisement = neighbor_advertisement_frame(&parse(&good).unwrap(), OURS, false).unwrap();
    let to_all = changed(&advertisement, |f| f[38..54].copy_from_slice(&ALL_NODES.octets()));
    assert_eq!(parse(&to_all), Err(NdError::Destination(ALL_NODES)));
    let from_nowhere = changed(&advertisement, |f| f[22..38].fill(0));
    assert_eq!(parse(&from_nowhere), Err(NdError::Source(Ipv6Addr::UNSPECIFIED)));
}

proptest! {
    #[test]
    fn any_bytes(
        mut bytes in prop::collection::vec(any::<u8>(), 0..200),
        kind in 133u8..137,
        plausible: bool,
    ) {
        if plausible && bytes.len() > 58 {
            bytes[12..16].copy_from_slice(&[0x86, 0xdd, 0x60, 0]);
            let payload = u8::try_from(bytes.len() - 54).unwrap();
            bytes[18..22].copy_from_slice(&[0, payload, 58, 255]);
            bytes[54..56].copy_from_slice(&[kind, 0]);
            bytes = changed(&bytes, |_| ());
        }
        let parsed = parse(&bytes);
        with_frame(&bytes, |frame| {
            let outcome = neighbor_advertisement(frame, OURS, true);
            let asked = matches!(parsed, Ok(Nd { message: Message::NeighborSolicitation { .. }, .. }));
            prop_assert_eq!(outcome.is_ok(), asked);
            if outcome.is_err() {
                prop_assert_eq!(frame.data(), &bytes[..]);
            }
            // Overwriting arbitrary bytes with an advertisement of routers is as safe.
            router_advertisement(frame, Station::ALL_NODES, OURS, &[], 1500, 1).unwrap();
            read(frame.data());
            Ok(())
        })?;
    }
}
