//! Any frame to what the router says itself: ARP, neighbour discovery, ping, ICMP errors and fragments.
//!
//! No panic, no frame lost; a refusal leaves the frame as it was; and every answer is a packet that a receiver believes, of a
//! size that its path carries.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::{Icmpv6Type, SlicedPacket, TransportSlice};
use vrouter_dataplane::{
    packet::Frame,
    service::{
        arp::{self, Operation},
        ethernet, fragment,
        icmp::{self, IcmpError},
        nd::{self, Message, NdError},
    },
    wire::{Fragment, IpKind, Ipv4, Mac, offload, parse, parse_ip},
};

use crate::packets::{with_checksums, with_frame, with_frames};

const OURS: Mac = Mac([2, 0, 0, 0, 1, 1]);
const GATEWAY_4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 254));
const GATEWAY_6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0xfe));
/// Longest frame that is looked at: it has room to be answered in its frame.
const MOST: usize = 3000;
const ERRORS: [IcmpError; 7] = [
    IcmpError::TimeExceeded,
    IcmpError::NoRoute,
    IcmpError::AddressUnreachable,
    IcmpError::AdminProhibited,
    IcmpError::TooBig { mtu: 1400 },
    IcmpError::PortUnreachable,
    IcmpError::ProtocolUnreachable,
];

/// Checks a frame as it is, and once more with its checksums made right.
///
/// # Panics
/// When a property does not hold.
pub fn check(bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(MOST)];
    frame(bytes);
    let right = with_checksums(bytes);
    if right != bytes {
        frame(&right);
    }
}

fn frame(bytes: &[u8]) {
    address_resolution(bytes);
    neighbor_discovery(bytes);
    let Ok(parsed) = parse(bytes) else {
        // Whatever the place given for the IP header: no panic, and no change if it is refused.
        for l3 in [0, 14, bytes.len(), usize::MAX] {
            with_frame(bytes, |frame| {
                assert!(icmp::echo_reply(frame, l3).is_ok() || frame.data() == bytes);
            });
        }
        return;
    };
    if parsed.kind != IpKind::None {
        echo(bytes, usize::from(parsed.l3));
        let packet = &bytes[usize::from(parsed.l3)..];
        errors(packet);
        fragments(packet);
    }
}

fn address_resolution(bytes: &[u8]) {
    let request = arp::parse_request(bytes);
    if let Ok(request) = request {
        assert_eq!(arp::parse(bytes), Ok(request));
        assert!(request.operation == Operation::Request && request.sender_mac.is_unicast());
        let again = request.to_frame(Mac::BROADCAST);
        assert_eq!(arp::parse_request(&again), Ok(request));
    }
    with_frame(bytes, |frame| match arp::reply(frame, OURS) {
        Ok(()) => {
            let request = request.expect("a reply is to a request");
            assert_eq!(arp::parse(frame.data()).ok(), Some(request.answer(OURS)));
            assert_eq!((frame.len(), &frame.data()[6..12]), (bytes.len(), &OURS.0[..]));
        }
        Err(error) => {
            assert_eq!(request, Err(error));
            assert_eq!(frame.data(), bytes);
        }
    });
}

fn neighbor_discovery(bytes: &[u8]) {
    let parsed = nd::parse(bytes);
    let solicited = matches!(&parsed, Ok(nd) if matches!(nd.message, Message::NeighborSolicitation { .. }));
    with_frame(bytes, |frame| match nd::neighbor_advertisement(frame, OURS, true) {
        Ok(()) => {
            assert!(solicited);
            is_believed(frame.data());
            let to = parsed.expect("an answer is to a solicitation").reply_to();
            assert_eq!(frame.data()[..6], to.mac.0);
            let sliced = SlicedPacket::from_ethernet(frame.data()).expect("an advertisement");
            let Some(TransportSlice::Icmpv6(icmp)) = sliced.transport else {
                panic!("{sliced:?}")
            };
            assert!(
                matches!(icmp.icmp_type(), Icmpv6Type::NeighborAdvertisement(_)),
                "{icmp:?}"
            );
        }
        Err(error) => {
            assert!(!solicited || matches!(error, NdError::NoRoom(_)), "{error}");
            assert_eq!(frame.data(), bytes);
        }
    });
    let Ok(nd) = parsed else { return };
    assert!(nd.ethernet_source.is_unicast());
    if let Ok(answer) = nd::neighbor_advertisement_frame(&nd, OURS, false) {
        is_believed(&answer);
    }
    let prefixes = [
        (Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1), bytes.len() as u8),
        (Ipv6Addr::UNSPECIFIED, 0),
    ];
    with_frame(bytes, |frame| {
        if nd::router_advertisement(frame, nd.reply_to(), OURS, &prefixes, 1450, 1800).is_ok() {
            is_believed(frame.data());
        }
    });
}

fn echo(bytes: &[u8], l3: usize) {
    with_frame(bytes, |frame| {
        if icmp::echo_reply(frame, l3).is_ok() {
            is_believed(frame.data());
            let reply = frame.data().to_vec();
            assert!(icmp::echo_reply(frame, l3).is_err(), "a reply is not answered");
            assert_eq!(frame.data(), reply);
            ethernet::turn_around(frame, OURS);
            assert_eq!(frame.data()[6..12], OURS.0);
        } else {
            assert_eq!(frame.data(), bytes);
        }
    });
}

fn errors(packet: &[u8]) {
    for error in ERRORS {
        for (source, most) in [(GATEWAY_4, icmp::MAX_ERROR_V4), (GATEWAY_6, icmp::MAX_ERROR_V6)] {
            with_frame(&[], |out| {
                if icmp::error(packet, source, error, out).is_err() {
                    assert!(out.is_empty());
                    return;
                }
                let parsed = parse_ip(out.data()).expect("an error that we wrote");
                assert_eq!(parsed.kind == IpKind::V4, source.is_ipv4());
                assert_eq!(parsed.end as usize, out.len());
                assert!(out.len() <= most && offload::is_right(out.data(), &parsed));
                // The sender must find its own packet in it.
                let quoted = &out.data()[usize::from(parsed.l4) + 8..];
                assert!(!quoted.is_empty() && packet.starts_with(quoted));
                let about = icmp::error(&out.data().to_vec(), source, error, out);
                assert!(about.is_err(), "no error about an error");
            });
        }
    }
}

/// Fragments fit, and put together again they are the packet.
fn fragments(packet: &[u8]) {
    for mtu in [67, 68, 77, 576, 1400] {
        with_frames(|frames| {
            let mut out: Vec<Frame> = Vec::new();
            let count = fragment::fragments(packet, mtu, frames, |frame| out.push(frame));
            if let Ok(count) = count {
                assert!(count == out.len() && mtu >= fragment::MIN_MTU);
                together(packet, mtu, &out);
            }
            out.into_iter().for_each(|frame| frames.free(frame));
        });
    }
}

fn together(packet: &[u8], mtu: u16, fragments: &[Frame]) {
    let original = parse_ip(packet).expect("what was cut is a packet");
    let payload = &packet[usize::from(original.l4)..original.end as usize];
    let whole = Ipv4::new_unchecked(packet);
    let mut next = whole.fragment_offset();
    let mut gathered: Vec<u8> = Vec::new();
    for (index, fragment) in fragments.iter().enumerate() {
        let data = fragment.data();
        assert!(data.len() <= usize::from(mtu));
        // A fragment may end within the L4 header, which is then no header to us; its own is always right.
        let view = Ipv4::new_checked(data).expect("a fragment is an IPv4 packet");
        assert!(view.checksum_ok() && usize::from(view.total_len()) == data.len());
        assert_eq!(
            (view.id(), view.proto(), view.src(), view.dst()),
            (whole.id(), whole.proto(), whole.src(), whole.dst())
        );
        let last = index + 1 == fragments.len();
        assert_eq!(view.more_fragments(), !last || whole.more_fragments());
        assert_eq!(view.fragment_offset(), next);
        if original.fragment != Fragment::Later && index == 0 {
            assert_eq!(next, 0);
        }
        next += view.payload().len();
        gathered.extend(view.payload());
    }
    assert_eq!(gathered, payload);
}

/// A frame that a receiver takes: by our own reading, by its checksums and by etherparse's reading.
fn is_believed(frame: &[u8]) {
    let parsed = parse(frame).unwrap_or_else(|error| panic!("{error}: {frame:02x?}"));
    assert!(
        parsed.kind != IpKind::None && offload::is_right(frame, &parsed),
        "{parsed:?}"
    );
    assert!(SlicedPacket::from_ethernet(frame).is_ok());
}
