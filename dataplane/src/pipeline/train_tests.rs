//! What leaves as trains against what comes of cutting first, by way of an interface that cuts as the kernel does.

use proptest::prelude::*;

use super::*;
use crate::{
    packet::FramePool,
    pipeline::test_segments::{Tcp, cut},
    wire::{
        Label, Mac, Vni,
        checksum::Sum,
        outer::{Encap, Ends, OuterSpec, PerPacket},
    },
};

const MTU: usize = 1400;

/// A tunnel: its outer headers, and whether frames are in it.
fn tunnel(v6: bool, kind: u8) -> (Outer, bool) {
    let (vni, a, b) = (Vni::new(7).unwrap(), Mac([2, 0, 0, 0, 0, 3]), Mac([2, 0, 0, 0, 0, 4]));
    let ends = if v6 {
        Ends::V6 {
            src: "fd00::1".parse().unwrap(),
            dst: "fd00::2".parse().unwrap(),
        }
    } else {
        Ends::V4 {
            src: "192.0.2.1".parse().unwrap(),
            dst: "192.0.2.2".parse().unwrap(),
        }
    };
    let encap = match kind {
        0 => Encap::Vxlan { vni },
        1 => Encap::RoutedVxlan { vni, dst: a, src: b },
        _ => Encap::Mpls {
            label: Label::new(1000).unwrap(),
        },
    };
    let spec = OuterSpec {
        dst_mac: a,
        src_mac: b,
        vlan: None,
        ends,
        ttl: 64,
        dont_fragment: true,
        udp_checksum: false,
        encap,
    };
    (Outer::new(&spec), kind == 0)
}

/// A packet with these outer headers in front.
fn wrapped(outer: &Outer, inner: &[u8], v6: bool) -> Vec<u8> {
    let fields = PerPacket {
        inner_len: inner.len(),
        entropy_port: 50_000,
        tos: 4,
        ttl: 9,
        ip_id: 0,
        inner_ethertype: if v6 { ethertype::IPV6 } else { ethertype::IPV4 },
    };
    let mut bytes = vec![0; outer.len()];
    outer.apply(&mut bytes, &fields).unwrap();
    bytes.extend(inner);
    bytes
}

/// What an interface makes of units: as many frames, without UDP checksums.
fn carried(units: &Units<'_>) -> Vec<Vec<u8>> {
    assert!(units.parts.len() <= Units::PARTS);
    let bytes: Vec<u8> = units.parts.iter().flat_map(|part| part.iter().copied()).collect();
    let (headers, payload) = bytes.split_at(units.headers.into());
    let (ip, udp) = headers[14..].split_at(headers.len() - 14 - 8);
    let (total, addresses) = match ip.len() {
        20 => {
            assert_eq!(Sum::of(ip).fold(), 0xffff, "the outer header is right");
            (u16::from_be_bytes([ip[2], ip[3]]), &ip[12..])
        }
        _ => (40 + u16::from_be_bytes([ip[4], ip[5]]), &ip[8..]),
    };
    assert_eq!(usize::from(total), bytes.len() - 14);
    let datagram = (payload.len() + 8) as u16;
    assert_eq!(udp[4..6], datagram.to_be_bytes());
    let open = Sum::of(addresses).add_u16(17).add_u16(datagram).fold();
    assert_eq!(udp[6..], open.to_be_bytes(), "open");
    assert!(payload.len() > usize::from(units.size) * (units.parts.len() / 2 - 1));
    payload
        .chunks(units.size.into())
        .map(|unit| {
            let mut piece = [headers, unit].concat();
            let (len, headers) = (piece.len(), headers.len());
            assert!(set_datagram_length(
                &mut piece[ETHERNET..headers],
                len - ETHERNET,
                false
            ));
            piece
        })
        .collect()
}

proptest! {
    #[test]
    fn a_train_is_what_comes_of_cutting_first(
        packet in Tcp::any(3000..20_000),
        partial in any::<bool>(),
        outer_v6 in any::<bool>(),
        kind in 0_u8..3,
    ) {
        let packet = Tcp { partial, ..packet };
        let (outer, ethernet) = tunnel(outer_v6, kind);
        let inner = if ethernet { packet.frame() } else { packet.ip() };
        let size = if ethernet { MTU + ETHERNET } else { MTU };
        let expected: Vec<_> = cut(&inner, MTU, ethernet)
            .unwrap()
            .iter()
            .map(|piece| wrapped(&outer, piece, packet.v6))
            .collect();

        let pool = FramePool::with_large(64, 2048, 1).unwrap();
        let mut frames = pool.cache();
        let mut frame = frames.take_large().unwrap();
        frame.append(&inner).unwrap();
        prop_assert!(Trains::new(&frame, pool.max_packet()).is_none(), "not marked");
        mark(&mut frame, &outer, size as u16, ethernet);
        let front = frame.prepend(outer.len() as u16).unwrap();
        front[..outer.len()].copy_from_slice(&wrapped(&outer, &inner, packet.v6)[..outer.len()]);

        let mut room = Room::new();
        let mut trains = Trains::new(&frame, pool.max_packet()).unwrap();
        let (mut sent, mut pieces, mut bytes) = (Vec::new(), Vec::new(), 0);
        while let Some(train) = trains.next(&mut room) {
            sent.extend(train.leave(carried).unwrap());
            for index in 0..train.count {
                let piece = train.piece(index, &mut frames).unwrap();
                pieces.push(piece.data().to_vec());
                frames.free(piece);
            }
            prop_assert!(train.piece(train.count, &mut frames).is_none());
            bytes += train.bytes;
        }
        prop_assert_eq!(bytes, expected.iter().map(Vec::len).sum::<usize>());
        prop_assert!(sent == expected, "in one piece");
        prop_assert!(pieces == expected, "one by one");
        frames.free(frame);
        prop_assert_eq!(pool.free(), 64);
    }

    /// What is in a frame may have been anything when it was marked: nothing leaves, or something does, but nothing breaks.
    #[test]
    fn any_bytes_may_be_marked(
        mut bytes in prop::collection::vec(any::<u8>(), 0..4000),
        plain in any::<bool>(),
        front in any::<u8>(),
        size in any::<u16>(),
        ethernet in any::<bool>(),
    ) {
        if plain {
            let packet = wrapped(&tunnel(false, 1).0, &Tcp { payload: vec![1; 3000], ..Tcp::default() }.ip(), false);
            bytes.splice(..bytes.len().min(packet.len()), packet);
        }
        let pool = FramePool::with_large(64, 2048, 1).unwrap();
        let mut frames = pool.cache();
        let mut frame = frames.take_large().unwrap();
        frame.append(&bytes).unwrap();
        frame.set_cut(Cut { front: if plain { 64 } else { front }, ethernet, size });
        let mut room = Room::new();
        if let Some(mut trains) = Trains::new(&frame, pool.max_packet()) {
            while let Some(train) = trains.next(&mut room) {
                train.leave(|units| assert!(units.parts.len() > 1));
            }
        }
        frames.free(frame);
    }
}

#[test]
fn what_is_too_long_for_one_train_leaves_in_several() {
    let (outer, ethernet) = tunnel(true, 0);
    for (len, size, counts) in [(63_000, 1414, &[46, 1][..]), (60_000, 550, &[64, 57][..])] {
        let packet = Tcp {
            payload: vec![7; len],
            ..Tcp::default()
        };
        let inner = packet.frame();
        let pool = FramePool::with_large(64, 2048, 1).unwrap();
        let mut frames = pool.cache();
        let mut frame = frames.take_large().unwrap();
        frame.append(&wrapped(&outer, &inner, false)).unwrap();
        mark(&mut frame, &outer, size, ethernet);
        let mut room = Room::new();
        let mut trains = Trains::new(&frame, pool.max_packet()).unwrap();
        let mut found = Vec::new();
        while let Some(train) = trains.next(&mut room) {
            assert_eq!(train.leave(carried).unwrap().len(), train.count);
            found.push(train.count);
        }
        assert_eq!(found, counts);
        frames.free(frame);
    }
}
