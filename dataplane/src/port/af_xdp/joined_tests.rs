use super::*;
use crate::{
    packet::FramePool,
    wire::checksum::{Sum, is_partial, verify_l4},
};

const NEEDS_CHECKSUM: u8 = 1;
const GSO_TCPV4: u8 = 1;
const GSO_UDP: u8 = 5;

/// An Ethernet, IPv4 and `proto` header of `l4` bytes, and `data` bytes behind; the L4 checksum (at `field`) is left to be completed.
fn packet(tag: &[u8], proto: u8, l4: usize, field: usize, data: usize) -> Vec<u8> {
    let mut bytes = [&[2; 12], tag, &[8, 0]].concat();
    let (l3, len) = (bytes.len(), 20 + l4 + data);
    bytes.extend([
        0x45,
        0,
        (len >> 8) as u8,
        len as u8,
        0xff,
        0xff,
        0x40,
        0,
        64,
        proto,
        0,
        0,
    ]);
    bytes.extend([192, 0, 2, 1, 192, 0, 2, 2]);
    let check = Sum::of(&bytes[l3..]).checksum();
    bytes[l3 + 10..l3 + 12].copy_from_slice(&check.to_be_bytes());
    bytes.extend((0..l4 + data).map(|n| n as u8));
    let at = l3 + 20;
    if proto == 17 {
        bytes[at + 4..at + 6].copy_from_slice(&((l4 + data) as u16).to_be_bytes());
    }
    let open = pseudo(&bytes, at, proto).fold();
    bytes[at + field..at + field + 2].copy_from_slice(&open.to_be_bytes());
    bytes
}

fn pseudo(bytes: &[u8], l4: usize, proto: u8) -> Sum {
    Sum::of(&bytes[l4 - 8..l4])
        .add_u16(u16::from(proto))
        .add_u16((bytes.len() - l4) as u16)
}

fn all(joined: &Joined<'_>, frames: &mut FrameCache) -> Vec<Option<Vec<u8>>> {
    let mut packets = Vec::new();
    for index in 0.. {
        packets.push(match joined.packet(index, frames) {
            Next::Packet(frame) => {
                let bytes = frame.data().to_vec();
                frames.free(frame);
                Some(bytes)
            }
            Next::Lost => None,
            Next::End => break,
        });
    }
    packets
}

#[test]
fn datagrams_get_headers_of_their_own() {
    let pool = FramePool::with_large(64, 2048, 1).unwrap();
    let mut frames = pool.cache();
    for tag in [&[][..], &[0x81, 0, 0, 5]] {
        let bytes = packet(tag, 17, 8, 6, 2 * 1000 + 1);
        let header = VirtioNetHeader::joined(NEEDS_CHECKSUM, GSO_UDP, 1000, (34, 6));
        let joined = Joined::new(&bytes, !tag.is_empty(), &header).unwrap();
        let l3 = 14 + tag.len();
        let got = all(&joined, &mut frames);
        assert_eq!(got.len(), 3);
        for (index, (got, data)) in got.iter().zip([1000, 1000, 1]).enumerate() {
            let got = got.as_ref().unwrap();
            assert_eq!(got.len(), l3 + 28 + data);
            assert_eq!(got[..l3], bytes[..l3]);
            assert_eq!(got[l3 + 2..l3 + 4], ((28 + data) as u16).to_be_bytes());
            let id = 0xffff_u16.wrapping_add(index as u16);
            assert_eq!(got[l3 + 4..l3 + 6], id.to_be_bytes());
            assert!(Sum::of(&got[l3..l3 + 20]).is_valid());
            let udp = &got[l3 + 20..];
            assert_eq!(udp[4..6], ((8 + data) as u16).to_be_bytes());
            assert!(is_partial(udp, 17, pseudo(got, l3 + 20, 17)));
            assert_eq!(udp[8..], bytes[l3 + 28 + index * 1000..][..data]);
        }
    }
}

#[test]
fn datagrams_that_the_kernel_has_verified_need_no_open_checksum() {
    let pool = FramePool::with_large(64, 2048, 1).unwrap();
    let mut frames = pool.cache();
    let bytes = packet(&[], 17, 8, 6, 1500);
    let open = VirtioNetHeader::joined(NEEDS_CHECKSUM, GSO_UDP, 1000, (34, 6));
    let expected = all(&Joined::new(&bytes, false, &open).unwrap(), &mut frames);
    let mut summed = bytes;
    summed[40..42].copy_from_slice(&[0x12, 0x34]);
    let header = VirtioNetHeader::joined(0, GSO_UDP, 1000, (0, 0));
    let got = all(&Joined::new(&summed, false, &header).unwrap(), &mut frames);
    assert_eq!((got.len(), got), (2, expected));
}

#[test]
fn what_was_not_joined_stays_as_it_is() {
    let pool = FramePool::with_large(64, 2048, 1).unwrap();
    let mut frames = pool.cache();
    let nothing = VirtioNetHeader::default();
    // Some are no IP at all, or cut in the middle of a header.
    for bytes in [
        packet(&[], 17, 8, 6, 100),
        vec![9; 60],
        packet(&[], 17, 8, 6, 0)[..16].to_vec(),
    ] {
        let joined = Joined::new(&bytes, false, &nothing).unwrap();
        assert_eq!(all(&joined, &mut frames), [Some(bytes.clone())]);
    }
    assert!(Joined::new(&[0; 13], false, &nothing).is_none());
    // Large TCP packets stay whole, and what is open stays open: whoever looks sees it.
    let bytes = packet(&[], 6, 20, 16, 50_000);
    let header = VirtioNetHeader::joined(NEEDS_CHECKSUM, GSO_TCPV4, 1448, (34, 16));
    let joined = Joined::new(&bytes, false, &header).unwrap();
    assert_eq!(all(&joined, &mut frames), [Some(bytes)]);
}

#[test]
fn what_is_open_behind_a_tunnels_headers_is_completed() {
    let pool = FramePool::with_large(64, 2048, 1).unwrap();
    let mut frames = pool.cache();
    let mut bytes = packet(&[], 17, 8, 6, 8);
    (bytes[40], bytes[41]) = (0, 0);
    let inner = packet(&[], 6, 20, 16, 100);
    bytes.extend(&inner);
    let header = VirtioNetHeader::joined(NEEDS_CHECKSUM, 0, 0, (50 + 34, 16));
    let joined = Joined::new(&bytes, false, &header).unwrap();
    let got = all(&joined, &mut frames).remove(0).unwrap();
    let inside = &got[50..];
    assert!(verify_l4(&inside[34..], 6, pseudo(inside, 34, 6)));
    assert!(!verify_l4(&inner[34..], 6, pseudo(&inner, 34, 6)));
    assert_eq!(got[..84], bytes[..84]);
}

#[test]
fn what_makes_no_sense_is_lost_and_nothing_else() {
    let pool = FramePool::with_large(64, 2048, 1).unwrap();
    let mut frames = pool.cache();
    let bytes = packet(&[], 17, 8, 6, 3000);
    for (flags, size, at) in [
        (NEEDS_CHECKSUM, 0, 34),
        (NEEDS_CHECKSUM, 1000, 20),
        (NEEDS_CHECKSUM, 1000, 60_000),
    ] {
        let header = VirtioNetHeader::joined(flags, GSO_UDP, size, (at, 6));
        assert!(Joined::new(&bytes, false, &header).is_none());
    }
    // Frames run out: the rest is lost, one by one.
    let others: Vec<_> = (0..62).map_while(|_| frames.take()).collect();
    let header = VirtioNetHeader::joined(NEEDS_CHECKSUM, GSO_UDP, 1000, (34, 6));
    let joined = Joined::new(&bytes, false, &header).unwrap();
    let held: Vec<_> = (0..2)
        .map_while(|index| match joined.packet(index, &mut frames) {
            Next::Packet(frame) => Some(frame),
            _ => None,
        })
        .collect();
    assert_eq!(held.len(), 2);
    assert!(matches!(joined.packet(2, &mut frames), Next::Lost));
    assert!(matches!(joined.packet(3, &mut frames), Next::End));
    held.into_iter().chain(others).for_each(|frame| frames.free(frame));
}
