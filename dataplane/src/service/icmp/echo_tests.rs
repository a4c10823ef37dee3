use etherparse::{
    Icmpv4Type, Icmpv6Type, IpNumber, NetSlice, PacketBuilder, SlicedPacket, TransportSlice, checksum::Sum16BitWords,
};
use proptest::prelude::*;

use super::*;
use crate::{
    service::{ethernet, test_frames::with_frame},
    wire::Mac,
};

const ASKER: [u8; 6] = [2, 0, 0, 0, 0, 1];
const OURS: [u8; 6] = [2, 0, 0, 0, 0, 2];

fn ping_v4(payload: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2(ASKER, OURS)
        .ipv4([10, 0, 0, 1], [10, 0, 0, 254], 1)
        .icmpv4_echo_request(7, 9);
    let mut packet = Vec::new();
    builder.write(&mut packet, payload).unwrap();
    packet
}

fn ping_v6(payload: &[u8]) -> Vec<u8> {
    let mut source = [0; 16];
    source[..2].copy_from_slice(&[0xfd, 0]);
    let mut destination = source;
    (source[15], destination[15]) = (1, 0xfe);
    let builder = PacketBuilder::ethernet2(ASKER, OURS)
        .ipv6(source, destination, 255)
        .icmpv6_echo_request(7, 9);
    let mut packet = Vec::new();
    builder.write(&mut packet, payload).unwrap();
    packet
}

/// Puts `options` behind the IPv4 header of a frame and corrects lengths and checksum.
fn with_options_v4(mut frame: Vec<u8>, options: &[u8]) -> Vec<u8> {
    let total = u16::from_be_bytes([frame[16], frame[17]]).wrapping_add(options.len() as u16);
    if !options.is_empty() {
        frame[14] = 0x45 + (options.len() / 4) as u8;
        frame[16..18].copy_from_slice(&total.to_be_bytes());
    }
    frame.splice(34..34, options.iter().copied());
    frame[24..26].fill(0);
    let check = Sum::of(&frame[14..34 + options.len()]).checksum();
    frame[24..26].copy_from_slice(&check.to_be_bytes());
    frame
}

/// Puts an extension header (its first byte is overwritten) behind the IPv6 header of a frame.
fn with_extension_v6(mut frame: Vec<u8>, kind: u8, extension: &[u8]) -> Vec<u8> {
    let mut extension = extension.to_vec();
    extension[0] = frame[20];
    frame[20] = kind;
    let payload = u16::from_be_bytes([frame[18], frame[19]]) + extension.len() as u16;
    frame[18..20].copy_from_slice(&payload.to_be_bytes());
    frame.splice(54..54, extension);
    frame
}

fn check_reply(frame: &[u8], payload: &[u8]) {
    assert_eq!(frame[..12], [ASKER, OURS].concat());
    let sliced = SlicedPacket::from_ethernet(frame).unwrap();
    match (sliced.net, sliced.transport) {
        (Some(NetSlice::Ipv4(ip)), Some(TransportSlice::Icmpv4(icmp))) => {
            let header = ip.header();
            assert_eq!(
                (header.source(), header.destination()),
                ([10, 0, 0, 254], [10, 0, 0, 1])
            );
            assert_eq!((header.ttl(), header.ihl()), (64, 5));
            assert_eq!(header.header_checksum(), header.to_header().calc_header_checksum());
            assert_eq!(Sum16BitWords::new().add_slice(icmp.slice()).ones_complement(), 0);
            let Icmpv4Type::EchoReply(echo) = icmp.icmp_type() else {
                panic!("{icmp:?}")
            };
            assert_eq!((echo.id, echo.seq, icmp.payload()), (7, 9, payload));
        }
        (Some(NetSlice::Ipv6(ip)), Some(TransportSlice::Icmpv6(icmp))) => {
            let header = ip.header();
            assert_eq!((header.source()[15], header.destination()[15]), (0xfe, 1));
            assert_eq!((header.hop_limit(), header.next_header()), (64, IpNumber::IPV6_ICMP));
            assert!(icmp.is_checksum_valid(header.source(), header.destination()));
            let Icmpv6Type::EchoReply(echo) = icmp.icmp_type() else {
                panic!("{icmp:?}")
            };
            assert_eq!((echo.id, echo.seq, icmp.payload()), (7, 9, payload));
        }
        other => panic!("{other:?}"),
    }
}

fn reply_to(request: &[u8], payload: &[u8]) {
    with_frame(request, |frame| {
        echo_reply(frame, 14).unwrap();
        ethernet::turn_around(frame, Mac(OURS));
        check_reply(frame.data(), payload);
        assert_eq!(echo_reply(frame, 14), Err(EchoError::NotAnEchoRequest));
    });
}

fn refused(request: &[u8]) -> EchoError {
    with_frame(request, |frame| {
        let error = echo_reply(frame, 14).unwrap_err();
        assert_eq!(frame.data(), request);
        error
    })
}

#[test]
fn a_ping_is_answered() {
    for payload in [&b""[..], b"odd", &[0xab; 1472]] {
        reply_to(&ping_v4(payload), payload);
        reply_to(&ping_v6(payload), payload);
    }
    // Ethernet padding is no part of the message.
    reply_to(&[&ping_v4(b"")[..], &[9; 18]].concat(), b"");
}

#[test]
fn a_bare_ip_packet_is_answered_too() {
    with_frame(&ping_v4(b"x")[14..], |frame| {
        echo_reply(frame, 0).unwrap();
        frame.prepend(14).unwrap()[..14].copy_from_slice(&ethernet::header(Mac(ASKER), Mac(OURS), 0x0800));
        check_reply(frame.data(), b"x");
    });
}

#[test]
fn type_of_service_is_that_of_the_request_without_congestion() {
    let mut request = ping_v4(b"x");
    request[15] = 0xbb;
    with_frame(&with_options_v4(request, &[]), |frame| {
        echo_reply(frame, 14).unwrap();
        assert_eq!(frame.data()[15], 0xb8);
    });
    let mut request = ping_v6(b"x");
    request[14..16].copy_from_slice(&[0x6b, 0xb0]);
    with_frame(&request, |frame| {
        echo_reply(frame, 14).unwrap();
        assert_eq!(frame.data()[14..16], [0x6b, 0x80]);
    });
}

#[test]
fn options_and_extension_headers_are_taken_out() {
    reply_to(&with_options_v4(ping_v4(b"abc"), &[148, 4, 0, 0, 1, 1, 0, 0]), b"abc");
    // Destination options with padding and one to be skipped; an atomic fragment; a routing header that is through.
    reply_to(
        &with_extension_v6(ping_v6(b"abc"), 60, &[0, 0, 1, 0, 0x1e, 1, 0, 0]),
        b"abc",
    );
    reply_to(
        &with_extension_v6(ping_v6(b"abc"), 44, &[0, 0, 0, 0, 1, 2, 3, 4]),
        b"abc",
    );
    reply_to(
        &with_extension_v6(ping_v6(b"abc"), 43, &[0, 0, 0, 0, 0, 0, 0, 0]),
        b"abc",
    );
    let two = with_extension_v6(ping_v6(b"abc"), 60, &[0, 0, 1, 4, 0, 0, 0, 0]);
    reply_to(&with_extension_v6(two, 0, &[0, 0, 5, 2, 0, 0, 1, 0]), b"abc");
}

#[test]
fn what_cannot_be_answered_is_left_alone() {
    assert_eq!(
        refused(&with_options_v4(ping_v4(b""), &[131, 3, 4, 0])),
        EchoError::Options
    );
    assert_eq!(
        refused(&with_options_v4(ping_v4(b""), &[1, 1, 7, 1])),
        EchoError::Options
    );
    assert_eq!(
        refused(&with_extension_v6(ping_v6(b""), 60, &[0, 0, 0xde, 4, 0, 0, 0, 0])),
        EchoError::Options
    );
    assert_eq!(
        refused(&with_extension_v6(ping_v6(b""), 60, &[0, 0, 0x1e, 9, 0, 0, 0, 0])),
        EchoError::Options
    );
    assert_eq!(
        refused(&with_extension_v6(ping_v6(b""), 43, &[0, 0, 0, 1, 0, 0, 0, 0])),
        EchoError::Options
    );
    assert_eq!(
        refused(&with_extension_v6(
            ping_v6(b"1234567812345678"),
            44,
            &[0, 0, 0, 1, 1, 2, 3, 4]
        )),
        EchoError::Fragment
    );
    let mut wrong = ping_v4(b"abc");
    wrong[43] ^= 1;
    assert_eq!(refused(&wrong), EchoError::Checksum);
    let mut wrong = ping_v6(b"abc");
    wrong[63] ^= 1;
    assert_eq!(refused(&wrong), EchoError::Checksum);
    let mut broadcast = ping_v4(b"");
    broadcast[30..34].fill(255);
    let error = refused(&with_options_v4(broadcast, &[]));
    assert_eq!(error, EchoError::Address(std::net::Ipv4Addr::BROADCAST.into()));
    let mut multicast = ping_v6(b"");
    multicast[38] = 0xff;
    assert!(matches!(refused(&multicast), EchoError::Address(_)));
    assert_eq!(
        refused(&ping_v4(b"")[..41]),
        EchoError::Malformed(ParseError::BadTotalLength)
    );
    assert_eq!(refused(&[0; 10]), EchoError::Malformed(ParseError::TruncatedIp));
}

proptest! {
    #[test]
    fn any_bytes(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        l3 in 0usize..40,
        six: bool,
        flips in prop::collection::vec((14usize..80, any::<u8>()), 0..4),
    ) {
        with_frame(&bytes, |frame| { let _ = echo_reply(frame, l3); });
        // Requests with some bytes changed; the IPv4 header sum is put right, so that more than the sum is put to the test.
        let mut request = if six { ping_v6(&bytes) } else { ping_v4(&bytes) };
        for (at, value) in flips {
            if let Some(byte) = request.get_mut(at) {
                *byte = value;
            }
        }
        if !six {
            request = with_options_v4(request, &[]);
        }
        with_frame(&request, |frame| {
            match echo_reply(frame, 14) {
                Err(_) => prop_assert_eq!(frame.data(), &request[..]),
                Ok(()) => {
                    let reply = parse_ip(&frame.data()[14..]).unwrap();
                    prop_assert_eq!(usize::from(reply.l4), if six { 40 } else { 20 });
                    prop_assert_eq!(frame.data()[14 + usize::from(reply.l4)], if six { 129 } else { 0 });
                }
            }
            Ok(())
        })?;
    }
}

#[test]
fn a_ping_of_nothing_but_zeros_is_answered_with_a_checksum_that_holds() {
    for payload in [&[][..], &[0; 7], &[0; 56]] {
        let builder = PacketBuilder::ethernet2(ASKER, OURS)
            .ipv4([10, 0, 0, 1], [10, 0, 0, 254], 1)
            .icmpv4_echo_request(0, 0);
        let mut request = Vec::new();
        builder.write(&mut request, payload).unwrap();
        with_frame(&request, |frame| {
            echo_reply(frame, 14).unwrap();
            assert!(verify_l4(&frame.data()[34..], proto::ICMP, Sum::ZERO), "{payload:?}");
        });
    }
}
