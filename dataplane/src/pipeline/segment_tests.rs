//! Segments against etherparse's reading and a plain sum.

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use proptest::prelude::*;

use super::*;
use crate::{
    packet::FramePool,
    pipeline::test_segments::{Tcp, cut},
    wire::{offload, parse, parse_ip},
};

const FIN: u8 = tcp_flags::FIN;
const PSH: u8 = tcp_flags::PSH;
const ACK: u8 = tcp_flags::ACK;
const CWR: u8 = tcp_flags::CWR;
const ECE: u8 = tcp_flags::ECE;

/// Sequence number, flags and data of a segment as etherparse reads it; every checksum and length must be right.
fn read(packet: &[u8], original: &[u8], index: usize) -> (u32, u8, Vec<u8>) {
    let parsed = parse_ip(packet).unwrap();
    assert_eq!(parsed.end as usize, packet.len());
    assert!(offload::is_right(packet, &parsed), "TCP checksum");
    let (ours, whole) = (
        SlicedPacket::from_ip(packet).unwrap(),
        SlicedPacket::from_ip(original).unwrap(),
    );
    match (ours.net.unwrap(), whole.net.unwrap()) {
        (NetSlice::Ipv4(a), NetSlice::Ipv4(b)) => {
            let (a, b) = (a.header(), b.header());
            assert_eq!(a.header_checksum(), a.to_header().calc_header_checksum());
            let id = b.identification().wrapping_add(index as u16);
            assert_eq!(a.identification(), id);
            let mut expected = b.to_header();
            expected.identification = id;
            expected.total_len = packet.len() as u16;
            expected.header_checksum = a.header_checksum();
            assert_eq!(a.to_header(), expected, "all else is that of the whole");
        }
        (NetSlice::Ipv6(a), NetSlice::Ipv6(b)) => {
            let mut expected = b.header().to_header();
            expected.payload_length = (packet.len() - 40) as u16;
            assert_eq!(a.header().to_header(), expected);
            assert_eq!(
                packet[40..usize::from(parsed.l4)],
                original[40..usize::from(parsed.l4)],
                "extension headers"
            );
        }
        _ => panic!("another family"),
    }
    let (Some(TransportSlice::Tcp(a)), Some(TransportSlice::Tcp(b))) = (ours.transport, whole.transport) else {
        panic!("no TCP");
    };
    assert_eq!(a.options(), b.options());
    assert_eq!(
        (a.source_port(), a.destination_port()),
        (b.source_port(), b.destination_port())
    );
    assert_eq!(
        (a.acknowledgment_number(), a.window_size(), a.urgent_pointer()),
        (b.acknowledgment_number(), b.window_size(), b.urgent_pointer())
    );
    (a.sequence_number(), a.slice()[13], a.payload().to_vec())
}

/// Cuts an IP packet and checks every segment of it. Gives flags and length of the data of each.
fn checked(tcp: &Tcp, mtu: usize) -> Option<Vec<(u8, usize)>> {
    let original = tcp.ip();
    let pieces = cut(&original, mtu, false)?;
    let (mut data, mut found) = (Vec::new(), Vec::new());
    for (index, piece) in pieces.iter().enumerate() {
        assert!(piece.len() <= mtu);
        let (sequence, flags, payload) = read(piece, &original, index);
        assert_eq!(sequence, tcp.sequence.wrapping_add(data.len() as u32));
        found.push((flags, payload.len()));
        data.extend(payload);
    }
    assert_eq!(data, tcp.payload, "nothing is lost");
    Some(found)
}

#[test]
fn full_segments_and_a_rest() {
    for (v6, headers) in [(false, 40), (true, 60)] {
        let tcp = Tcp {
            v6,
            flags: ACK | PSH | FIN | CWR | ECE,
            payload: (0..3000_u32).map(|i| (i * 7) as u8).collect(),
            ..Tcp::default()
        };
        let got = checked(&tcp, 1000 + headers).unwrap();
        assert_eq!(
            got,
            [
                (ACK | CWR | ECE, 1000),
                (ACK | ECE, 1000),
                (ACK | ECE | PSH | FIN, 1000)
            ]
        );
        let got = checked(&tcp, 1400 + headers).unwrap();
        assert_eq!(got.iter().map(|(_, len)| *len).collect::<Vec<_>>(), [1400, 1400, 200]);
    }
}

#[test]
fn what_fits_is_not_cut() {
    for (v6, headers) in [(false, 40), (true, 60)] {
        let tcp = Tcp {
            v6,
            payload: vec![1; 1000],
            ..Tcp::default()
        };
        assert_eq!(checked(&tcp, 1000 + headers), None);
        assert_eq!(checked(&tcp, 999 + headers).unwrap(), [(ACK, 999), (ACK, 1)]);
    }
}

#[test]
fn what_must_stay_whole_is_not_cut() {
    let whole = |tcp: &Tcp| cut(&tcp.ip(), 500, false).is_none();
    let large = Tcp {
        payload: vec![1; 1004],
        ..Tcp::default()
    };
    assert!(!whole(&large));
    for flag in [tcp_flags::SYN, tcp_flags::RST, tcp_flags::URG] {
        let flags = ACK | flag;
        assert!(whole(&Tcp { flags, ..large.clone() }), "flag {flag:#x}");
    }
    assert!(whole(&Tcp {
        ip_options: vec![1, 1, 1, 0],
        ..large.clone()
    }));
    assert!(whole(&Tcp {
        fragment: 0x2000,
        ..large.clone()
    }));
    let six = Tcp {
        v6: true,
        ..large.clone()
    };
    for (kind, cuttable) in [(0, true), (60, true), (43, false), (44, false)] {
        let extensions = vec![kind];
        assert_eq!(
            whole(&Tcp {
                extensions,
                ..six.clone()
            }),
            !cuttable,
            "header {kind}"
        );
    }
    // Too little room beside the headers: 47 bytes, and 48.
    assert_eq!(cut(&large.ip(), 40 + LEAST_DATA - 1, false), None);
    assert!(cut(&large.ip(), 40 + LEAST_DATA, false).is_some());
    assert_eq!(cut(&large.ip(), 10, false), None);
}

#[test]
fn a_wrong_checksum_is_found_and_a_partial_one_completed() {
    for v6 in [false, true] {
        let tcp = Tcp {
            v6,
            payload: vec![3; 3001],
            ..Tcp::default()
        };
        let judge = |packet: &[u8]| {
            let parsed = parse_ip(packet).unwrap();
            Segmenter::new(packet, &parsed, 1500, 1792).unwrap().is_right()
        };
        let right = tcp.ip();
        assert!(judge(&right));
        for at in [right.len() - 1, right.len() - 2000, right.len() - 3001 - 6] {
            let mut wrong = right.clone();
            wrong[at] ^= 4;
            assert!(!judge(&wrong));
        }
        let partial = Tcp {
            partial: true,
            ..tcp.clone()
        };
        assert!(judge(&partial.ip()));
        assert_eq!(cut(&partial.ip(), 1500, false), cut(&right, 1500, false));
    }
}

#[test]
fn segments_fit_into_frames() {
    // However much the path carries.
    let tcp = Tcp {
        payload: vec![1; 9000],
        ..Tcp::default()
    };
    let pieces = cut(&tcp.ip(), 8000, false).unwrap();
    assert_eq!(pieces.iter().map(Vec::len).max(), Some(2048 - 256));
    let pieces = cut(&tcp.frame(), 8000, true).unwrap();
    assert_eq!(pieces.iter().map(Vec::len).max(), Some(2048 - 256));
}

#[test]
fn a_frame_too_small_loses_nothing() {
    let tcp = Tcp {
        payload: vec![1; 9000],
        ..Tcp::default()
    };
    let packet = tcp.ip();
    let pool = FramePool::new(64, 2048).unwrap();
    let mut frames = pool.cache();
    let mut cutter = Segmenter::new(&packet, &parse_ip(&packet).unwrap(), 4000, 4096).unwrap();
    let mut frame = frames.take().unwrap();
    assert!(cutter.write_next(&mut frame).is_err());
    assert_eq!(cutter.rest.len(), 9000);
    frames.free(frame);
}

proptest! {
    #[test]
    fn nothing_is_lost(tcp in Tcp::any(0..5000), room in LEAST_DATA..1600) {
        let mtu = tcp.headers() + room;
        match checked(&tcp, mtu) {
            None => prop_assert!(tcp.payload.len() <= room.min(1792 - tcp.headers())),
            Some(found) => {
                prop_assert!(found.len() > 1);
                let (last, before) = found.split_last().unwrap();
                prop_assert!(before.iter().all(|(_, len)| *len == before[0].1) && last.1 <= before[0].1);
                let ends = FIN | PSH;
                prop_assert!(before.iter().all(|(flags, _)| flags & ends == 0));
                prop_assert_eq!(last.0 & ends, tcp.flags & ends);
            }
        }
    }

    /// What stands in front of the IP packet is in front of each segment.
    #[test]
    fn frames_are_cut_like_packets(tcp in Tcp::any(0..4000), mtu in 300_usize..1600) {
        let frames = cut(&tcp.frame(), mtu, true);
        let packets = cut(&tcp.ip(), mtu, false);
        let Some(frames) = frames else {
            prop_assert_eq!(packets, None);
            return Ok(());
        };
        for frame in &frames {
            prop_assert_eq!(&frame[..14], &tcp.frame()[..14]);
            prop_assert!(offload::is_right(frame, &parse(frame).unwrap()));
        }
        // At the edge of what a frame holds the Ethernet header makes a difference.
        if mtu < 1700 {
            let inner: Vec<_> = frames.iter().map(|frame| frame[14..].to_vec()).collect();
            prop_assert_eq!(Some(inner), packets);
        }
    }

    #[test]
    fn any_bytes(mut bytes in prop::collection::vec(any::<u8>(), 0..600), mtu in 0_usize..700, v6: bool) {
        if bytes.len() >= 20 {
            // Plausible enough to come to the point.
            let len = bytes.len() as u16;
            if v6 && len >= 60 {
                bytes[0] = 0x60;
                bytes[4..6].copy_from_slice(&(len - 40).to_be_bytes());
                bytes[6] = [6, 0, 60, 43][usize::from(bytes[6] % 4)];
            } else {
                bytes[0] = 0x45 + (bytes[0] & 1);
                bytes[2..4].copy_from_slice(&len.to_be_bytes());
                bytes[6..8].fill(0);
                bytes[9] = 6;
                bytes[10..12].fill(0);
                let header = usize::from(bytes[0] & 15) * 4;
                let check = Sum::of(&bytes[..header.min(usize::from(len))]).checksum();
                bytes[10..12].copy_from_slice(&check.to_be_bytes());
            }
        }
        if let Some(pieces) = cut(&bytes, mtu, false) {
            prop_assert!(pieces.len() > 1 && pieces.iter().all(|piece| piece.len() <= mtu));
        }
    }
}
