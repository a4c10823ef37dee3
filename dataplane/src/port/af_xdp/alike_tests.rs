use super::*;
use crate::{
    packet::{FrameCache, FramePool},
    wire::checksum::{Sum, is_partial},
};

/// A tunnel packet with `size` bytes behind the outer headers.
fn packet(v6: bool, port: u16, size: usize) -> Vec<u8> {
    let (len, l4) = (size + UDP, if v6 { 54 } else { 34 });
    let mut bytes = vec![2; 12];
    if v6 {
        bytes.extend([0x86, 0xdd, 0x60, 1, 2, 3, (len >> 8) as u8, len as u8, 17, 64]);
        bytes.extend([7; 32]);
    } else {
        let total = len + 20;
        bytes.extend([
            8,
            0,
            0x45,
            0,
            (total >> 8) as u8,
            total as u8,
            0,
            9,
            0x40,
            0,
            64,
            17,
            0,
            0,
        ]);
        bytes.extend([192, 0, 2, 1, 192, 0, 2, 2]);
        let check = Sum::of(&bytes[14..34]).checksum();
        bytes[24..26].copy_from_slice(&check.to_be_bytes());
    }
    assert_eq!(bytes.len(), l4);
    bytes.extend(0xc123_u16.to_be_bytes());
    bytes.extend(port.to_be_bytes());
    bytes.extend((len as u16).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend((0..size).map(|n| n as u8));
    bytes
}

fn frames(cache: &mut FrameCache, packets: &[Vec<u8>]) -> Vec<Frame> {
    let packets = packets.iter().map(|packet| {
        let mut frame = cache.take().unwrap();
        frame.copy_from(packet).unwrap();
        frame
    });
    packets.collect()
}

/// The run that is found in these packets.
fn found(packets: &[Vec<u8>]) -> Option<(usize, usize)> {
    let pool = FramePool::new(128, 2048).unwrap();
    let mut cache = pool.cache();
    let list = frames(&mut cache, packets);
    let run = first(&list).map(|run| (run.start, run.count));
    list.into_iter().for_each(|frame| cache.free(frame));
    run
}

#[test]
fn packets_of_one_size_and_a_shorter_one_are_a_run() {
    for v6 in [false, true] {
        for port in [4789, 6635] {
            let of = |sizes: &[usize]| -> Vec<_> { sizes.iter().map(|size| packet(v6, port, *size)).collect() };
            assert_eq!(found(&of(&[60, 60])), None);
            assert_eq!(found(&of(&[60, 60, 60])), Some((0, 3)));
            assert_eq!(found(&of(&[60, 60, 60, 59, 59])), Some((0, 4)));
            assert_eq!(found(&of(&[60, 70, 70, 70, 80])), Some((1, 3)));
            assert_eq!(found(&of(&[60, 59, 58, 57])), None);
            assert_eq!(found(&of(&[60; 100])), Some((0, Units::LONGEST)));
            assert_eq!(found(&of(&[1700; 60])), Some((0, 38)), "no more than IP carries");
            assert_eq!(found(&of(&[0; 4])), None);
        }
    }
}

#[test]
fn what_differs_ends_a_run() {
    // Destination MAC, ethertype, version, class, fragment, hop limit, protocol, addresses, ports, length, checksum.
    let v4 = [0, 12, 14, 15, 20, 21, 22, 23, 26, 33, 34, 36, 38, 41];
    let v6 = [0, 12, 14, 15, 17, 20, 21, 22, 53, 54, 56, 58, 61];
    for (v6, places) in [(false, &v4[..]), (true, &v6[..])] {
        for at in places {
            let mut packets = vec![packet(v6, 4789, 60); 5];
            packets[3][*at] ^= 1;
            assert_eq!(found(&packets), Some((0, 3)), "byte {at}");
        }
        // Nor is it one of packets for another port, or with something behind them.
        assert_eq!(found(&vec![packet(v6, 53, 60); 5]), None);
        let mut padded = packet(v6, 4789, 60);
        padded.push(0);
        assert_eq!(found(&vec![padded; 5]), None);
    }
    // The identification may be any.
    let mut packets = vec![packet(false, 4789, 60); 5];
    packets[3][18] = 77;
    assert_eq!(found(&packets), Some((0, 5)));
}

#[test]
fn a_run_leaves_behind_one_header() {
    let pool = FramePool::new(64, 2048).unwrap();
    let mut cache = pool.cache();
    for v6 in [false, true] {
        let packets = [packet(v6, 4789, 100), packet(v6, 4789, 100), packet(v6, 4789, 30)];
        let list = frames(&mut cache, &packets);
        let headers = if v6 { V6 } else { V4 };
        let bytes = leave(&list, |units| {
            assert_eq!((usize::from(units.headers), units.size), (headers, 100));
            units.parts.iter().flat_map(|part| part.to_vec()).collect::<Vec<u8>>()
        });
        let bytes = bytes.unwrap();
        assert_eq!(bytes.len(), headers + 230);
        let data: Vec<u8> = packets.iter().flat_map(|packet| packet[headers..].to_vec()).collect();
        assert_eq!(bytes[headers..], data);
        let datagram = &bytes[headers - UDP..];
        assert_eq!(datagram[4..6], 238_u16.to_be_bytes());
        let addresses = if v6 { 22..54 } else { 26..34 };
        let pseudo = Sum::of(&bytes[addresses]).add_u16(17).add_u16(238);
        assert!(is_partial(datagram, 17, pseudo));
        if v6 {
            assert_eq!(bytes[18..20], 238_u16.to_be_bytes());
        } else {
            assert_eq!(bytes[16..18], 258_u16.to_be_bytes());
            assert!(Sum::of(&bytes[14..34]).is_valid());
        }
        list.into_iter().for_each(|frame| cache.free(frame));
    }
}
