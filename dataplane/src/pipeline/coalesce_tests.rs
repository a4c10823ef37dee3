//! Joining as the inverse of cutting, and against what each connection's receiver sees.

use std::{collections::BTreeMap, sync::Arc};

use proptest::prelude::*;

use super::*;
use crate::{
    packet::FramePool,
    pipeline::test_segments::{Tcp, cut},
    wire::{offload, parse, tcp_flags},
};

/// A list of frames and the pool that they are of.
struct Line {
    pool: Arc<FramePool>,
    frames: FrameCache,
    list: Vec<Frame>,
}

impl Line {
    fn new<B: AsRef<[u8]>>(packets: impl IntoIterator<Item = B>) -> Self {
        let pool = FramePool::with_large(256, 2048, 64).unwrap();
        let mut line = Self {
            frames: pool.cache(),
            pool,
            list: Vec::new(),
        };
        for packet in packets {
            let mut frame = line.frames.take().unwrap();
            frame.copy_from(packet.as_ref()).unwrap();
            line.list.push(frame);
        }
        line
    }

    /// Joins; gives how many frames are in others.
    fn coalesce(&mut self, limit: usize) -> usize {
        let before = self.list.len();
        let done = coalesce(&mut self.list, &mut self.frames, limit);
        assert_eq!(done.merged, before - self.list.len());
        let small = self.list.iter().filter(|frame| !frame.is_large()).count();
        assert_eq!(self.pool.free() + small, 256, "no frame is lost");
        done.merged
    }

    /// What is on the list, with all checksums complete.
    fn packets(&mut self) -> Vec<Vec<u8>> {
        self.list.iter_mut().for_each(Frame::complete);
        self.list.iter().map(|frame| frame.data().to_vec()).collect()
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        for frame in self.list.drain(..) {
            self.frames.free(frame);
        }
        assert_eq!(self.pool.free(), 256);
        // All large ones are back as well.
        let large: Vec<_> = std::iter::from_fn(|| self.frames.take_large()).collect();
        assert_eq!(large.len(), 64);
        large.into_iter().for_each(|frame| self.frames.free(frame));
    }
}

/// Frames of these packets, joined without a limit.
fn joined(packets: &[Tcp]) -> Vec<Vec<u8>> {
    let mut line = Line::new(packets.iter().map(Tcp::frame));
    line.coalesce(usize::MAX);
    line.packets()
}

/// The next segment of the same connection, with so many bytes.
fn next(before: &Tcp, len: usize) -> Tcp {
    Tcp {
        sequence: before.sequence.wrapping_add(before.payload.len() as u32),
        id: before.id.wrapping_add(1),
        payload: (0..len).map(|i| (i ^ usize::from(before.id)) as u8).collect(),
        ..before.clone()
    }
}

fn first(v6: bool) -> Tcp {
    Tcp {
        v6,
        payload: vec![9; 1000],
        ..Tcp::default()
    }
}

/// The packet that these are the segments of.
fn whole(packets: &[Tcp]) -> Vec<u8> {
    let (head, last) = (packets.first().unwrap(), packets.last().unwrap());
    let whole = Tcp {
        payload: packets.iter().flat_map(|p| p.payload.clone()).collect(),
        flags: last.flags,
        window: last.window,
        partial: false,
        ..head.clone()
    };
    whole.frame()
}

#[test]
fn two_connections_side_by_side() {
    for v6 in [false, true] {
        let a = first(v6);
        let b = Tcp {
            ports: (1, 2),
            ..first(!v6)
        };
        let (a2, b2) = (next(&a, 1000), next(&b, 1000));
        let a3 = next(&a2, 400);
        let got = joined(&[a.clone(), b.clone(), b2.clone(), a2.clone(), a3.clone()]);
        assert_eq!(got, [whole(&[a, a2, a3]), whole(&[b, b2])]);
    }
}

#[test]
fn the_result_is_marked_as_summed_in_part() {
    for v6 in [false, true] {
        let a = first(v6);
        let mut line = Line::new([a.frame(), next(&a, 10).frame()]);
        assert_eq!(line.coalesce(65535), 1);
        let frame = &line.list[0];
        let parsed = parse(frame.data()).unwrap();
        assert!(frame.is_large() && offload::is_partial(frame.data(), &parsed));
        let l4 = usize::from(parsed.l4);
        assert_eq!(frame.partial(), Some(Partial { l4, field: 16 }));
    }
}

#[test]
fn a_push_or_the_end_is_the_last_of_its_packet() {
    for flag in [PSH, FIN, PSH | FIN] {
        let a = first(false);
        let b = Tcp {
            flags: ACK | flag,
            window: 99,
            ..next(&a, 1000)
        };
        let c = Tcp {
            flags: ACK,
            window: 512,
            ..next(&b, 1000)
        };
        let d = next(&c, 1000);
        let got = joined(&[a.clone(), b.clone(), c.clone(), d.clone()]);
        assert_eq!(got, [whole(&[a, b]), whole(&[c, d])]);
    }
}

#[test]
fn a_short_segment_is_the_last_and_a_longer_one_begins() {
    let a = first(true);
    let b = next(&a, 999);
    let c = next(&b, 999);
    let d = next(&c, 1000);
    let e = next(&d, 1000);
    let got = joined(&[a.clone(), b.clone(), c.clone(), d.clone(), e.clone()]);
    assert_eq!(got, [whole(&[a, b]), c.frame(), whole(&[d, e])]);
}

/// Whatever distinguishes two segments keeps them apart, and what follows does not overtake.
#[test]
fn what_differs_is_not_joined() {
    type Change = fn(&mut Tcp);
    let changes: [(&str, Change); 14] = [
        ("SYN", |p| p.flags |= tcp_flags::SYN),
        ("RST", |p| p.flags |= tcp_flags::RST),
        ("URG", |p| p.flags |= tcp_flags::URG),
        ("CWR", |p| p.flags |= tcp_flags::CWR),
        ("ECE", |p| p.flags |= tcp_flags::ECE),
        ("no ACK", |p| p.flags = 0),
        ("acknowledgement", |p| p.ack += 1),
        ("gap", |p| p.sequence += 1),
        ("repeated", |p| p.sequence -= 500),
        ("class", |p| p.tos = 3),
        ("hop limit", |p| p.hop_limit -= 1),
        ("options", |p| p.options = vec![1, 1, 1, 1]),
        ("no data", |p| p.payload.clear()),
        ("longer", |p| p.payload.push(1)),
    ];
    for v6 in [false, true] {
        for (name, change) in changes {
            let a = first(v6);
            let mut b = next(&a, 1000);
            change(&mut b);
            let c = next(&a, 1000);
            let all = [a.frame(), b.frame(), c.frame()];
            assert!(joined(&[a, b, c]) == all, "{name}");
        }
    }
    let only_v4: [(&str, Change); 4] = [
        ("identification", |p| p.id += 1),
        ("DF", |p| p.fragment = 0),
        ("options of IP", |p| p.ip_options = vec![1, 1, 1, 1]),
        ("fragment", |p| p.fragment = 0x2000),
    ];
    for (name, change) in only_v4 {
        let a = Tcp {
            payload: vec![1; 1004],
            ..first(false)
        };
        let mut b = next(&a, 1004);
        change(&mut b);
        let all = [a.frame(), b.frame()];
        assert!(joined(&[a, b]) == all, "{name}");
    }
    let a = first(true);
    let b = Tcp {
        extensions: vec![0],
        ..next(&a, 1000)
    };
    let all = [a.frame(), b.frame()];
    assert_eq!(joined(&[a, b]), all, "extension header");
    // MACs, a flow label, and a copy that a mirror made.
    for at in [0, 11, 17] {
        let a = first(true);
        let mut b = next(&a, 1000).frame();
        b[at] ^= 1;
        let mut line = Line::new([a.frame(), b]);
        assert_eq!(line.coalesce(65535), 0);
    }
    let a = first(false);
    let mut line = Line::new([a.frame(), next(&a, 1000).frame()]);
    line.list[1].mark_copy();
    assert_eq!(line.coalesce(65535), 0);
}

#[test]
fn an_identification_that_stays_is_one_that_says_nothing() {
    for (fragment, merges) in [(0x4000, true), (0, false)] {
        let a = Tcp {
            fragment,
            ..first(false)
        };
        let b = Tcp {
            id: a.id,
            ..next(&a, 1000)
        };
        let c = Tcp {
            id: a.id,
            ..next(&b, 1000)
        };
        let packets = [a, b, c];
        let all: Vec<_> = packets.iter().map(Tcp::frame).collect();
        let got = joined(&packets);
        assert_eq!(got == [whole(&packets)], merges);
        assert_eq!(got == all, !merges);
    }
    // It does not begin to count.
    let a = first(false);
    let b = Tcp {
        id: a.id,
        ..next(&a, 1000)
    };
    let c = Tcp {
        id: a.id + 2,
        ..next(&b, 1000)
    };
    assert_eq!(joined(&[a.clone(), b.clone(), c.clone()]), [whole(&[a, b]), c.frame()]);
}

#[test]
fn damage_is_neither_joined_nor_healed() {
    for v6 in [false, true] {
        let mut packets = vec![first(v6)];
        for _ in 0..3 {
            packets.push(next(packets.last().unwrap(), 1000));
        }
        let right: Vec<_> = packets.iter().map(Tcp::frame).collect();
        for damaged in 0..4 {
            // In the data, the TCP checksum, and the header checksum of IPv4.
            for at in if v6 { vec![500, 71] } else { vec![500, 51, 25] } {
                let mut all = right.clone();
                all[damaged][at] ^= 0x10;
                let mut line = Line::new(&all);
                line.coalesce(65535);
                let got = line.packets();
                assert!(got.contains(&all[damaged]), "it goes as it came");
                // What is in front of it is joined.
                let expected = if damaged < 2 { 4 } else { 5 - damaged };
                assert_eq!(got.len(), expected, "frame {damaged}, byte {at}");
                if damaged >= 2 {
                    assert_eq!(got[0], whole(&packets[..damaged]));
                }
            }
        }
    }
}

#[test]
fn what_was_summed_in_part_is_not_summed() {
    for v6 in [false, true] {
        let a = Tcp {
            partial: true,
            ..first(v6)
        };
        let b = next(&a, 1000);
        let l4 = if v6 { 54 } else { 34 };
        // Unmarked, such a checksum is just wrong.
        let mut line = Line::new([a.frame(), b.frame()]);
        assert_eq!(line.coalesce(65535), 0);
        for frame in &mut line.list {
            frame.set_partial(Partial { l4, field: 16 });
        }
        assert_eq!(line.coalesce(65535), 1);
        assert_eq!(line.packets(), [whole(&[a, b])]);
    }
}

#[test]
fn the_limit_holds() {
    for v6 in [false, true] {
        let headers = if v6 { 60 } else { 40 };
        let mut packets = vec![first(v6)];
        for _ in 0..8 {
            packets.push(next(packets.last().unwrap(), 1000));
        }
        let lengths = |limit| {
            let mut line = Line::new(packets.iter().map(Tcp::frame));
            line.coalesce(limit);
            let lengths = line.list.iter().map(|frame| frame.len() - 14 - headers);
            lengths.collect::<Vec<_>>()
        };
        assert_eq!(lengths(3000 + headers), [3000, 3000, 3000]);
        assert_eq!(lengths(2999 + headers), [2000, 2000, 2000, 2000, 1000]);
        assert_eq!(lengths(0), [1000; 9]);
        assert_eq!(lengths(65535), [9000]);
    }
}

#[test]
fn the_largest_packet() {
    for v6 in [false, true] {
        let mut packets = vec![Tcp {
            payload: vec![1; 1400],
            ..first(v6)
        }];
        for _ in 0..63 {
            packets.push(next(packets.last().unwrap(), 1400));
        }
        let got = joined(&packets);
        // 46 of 1400 bytes and their headers are the most below 65536.
        assert_eq!(got, [whole(&packets[..46]), whole(&packets[46..])]);
    }
}

#[test]
fn without_large_frames_nothing_happens() {
    let a = first(false);
    let mut line = Line::new([a.frame(), next(&a, 1000).frame()]);
    let all: Vec<_> = std::iter::from_fn(|| line.frames.take_large()).collect();
    assert_eq!(line.coalesce(65535), 0);
    all.into_iter().for_each(|frame| line.frames.free(frame));
    assert_eq!(line.coalesce(65535), 1);
}

#[test]
fn more_than_a_window_is_joined_by_windows() {
    let mut packets = vec![Tcp {
        payload: vec![1; 100],
        ..first(false)
    }];
    for _ in 0..149 {
        packets.push(next(packets.last().unwrap(), 100));
    }
    let got = joined(&packets);
    assert_eq!(
        got,
        [whole(&packets[..64]), whole(&packets[64..128]), whole(&packets[128..])]
    );
}

/// What the receiver of a connection sees, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seeing {
    Byte {
        at: u32,
        byte: u8,
        ack: u32,
    },
    /// A packet without data, or an end.
    Mark {
        at: u32,
        flags: u8,
        ack: u32,
    },
}

/// By connection, what its receiver sees. Every packet must be right.
fn seen(packets: &[Vec<u8>]) -> BTreeMap<Vec<u8>, Vec<Seeing>> {
    use etherparse::{SlicedPacket, TransportSlice};
    let mut all: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for packet in packets {
        let parsed = parse(packet).unwrap();
        assert!(offload::is_right(packet, &parsed));
        let sliced = SlicedPacket::from_ethernet(packet).unwrap();
        let Some(TransportSlice::Tcp(tcp)) = sliced.transport else {
            continue;
        };
        let (l3, l4) = (usize::from(parsed.l3), usize::from(parsed.l4));
        let addresses = if parsed.l4 == 54 { l3 + 8..l4 } else { l3 + 12..l4 };
        let connection = [&packet[addresses], &packet[l4..l4 + 4]].concat();
        let stream = all.entry(connection).or_default();
        let (start, ack) = (tcp.sequence_number(), tcp.acknowledgment_number());
        for (offset, byte) in tcp.payload().iter().enumerate() {
            let at = start.wrapping_add(offset as u32);
            stream.push(Seeing::Byte { at, byte: *byte, ack });
        }
        let flags = tcp.slice()[13] & !ACK;
        if flags != 0 || tcp.payload().is_empty() {
            let at = start.wrapping_add(tcp.payload().len() as u32);
            stream.push(Seeing::Mark { at, flags, ack });
        }
    }
    all
}

/// What happens next on one of four connections: mostly data, and now and then something else.
fn step() -> impl Strategy<Value = (usize, u8, usize)> {
    (0..4_usize, 0..24_u8, 0..300_usize)
}

/// The packets of some connections, mixed.
fn mixture(steps: &[(usize, u8, usize)], start: u32) -> Vec<Tcp> {
    let mut connections: [Tcp; 4] = std::array::from_fn(|n| Tcp {
        v6: n % 2 == 1,
        ports: (n as u16 / 2, 80),
        sequence: start.wrapping_sub(400 * n as u32),
        options: [1, 1, 0xfd, 2].repeat(n),
        id: 0xfffe,
        ..Tcp::default()
    });
    let mut packets = Vec::new();
    for &(number, event, len) in steps {
        let connection = &mut connections[number];
        let mut packet = next(connection, 200);
        match event {
            0 => packet.payload.truncate(len.min(199)),
            1 => packet.payload = vec![7; len],
            2 => packet.flags |= PSH,
            3 => packet.flags |= FIN,
            4 => packet.ack = packet.ack.wrapping_add(1),
            5 => packet.sequence = packet.sequence.wrapping_add(len as u32),
            6 => packet.id = len as u16,
            7 => packet.flags |= tcp_flags::ECE,
            8 => packet.tos = 3,
            9 => packet.payload.clear(),
            10 if packet.v6 => packet.extensions = vec![60],
            10 => packet.ip_options = vec![1, 1, 1, 1],
            _ => {}
        }
        packets.push(packet.clone());
        *connection = Tcp {
            flags: ACK,
            tos: 0,
            extensions: Vec::new(),
            ip_options: Vec::new(),
            ..packet
        };
    }
    packets
}

proptest! {
    #[test]
    fn joining_undoes_cutting(tcp in Tcp::any(0..20_000), room in 600_usize..1500, padding in 0_usize..5) {
        let tcp = Tcp { extensions: Vec::new(), ..tcp };
        let Some(mut pieces) = cut(&tcp.frame(), tcp.headers() + room, true) else {
            return Ok(());
        };
        // Padding is not data.
        pieces.iter_mut().for_each(|piece| piece.resize(piece.len() + padding, 0xee));
        let mut line = Line::new(&pieces);
        prop_assert_eq!(line.coalesce(65535), pieces.len() - 1);
        prop_assert_eq!(line.packets(), [tcp.frame()]);
    }

    #[test]
    fn receivers_see_the_same(steps in prop::collection::vec(step(), 0..100), start: u32, limit in 300_usize..9000) {
        let packets: Vec<_> = mixture(&steps, start).iter().map(Tcp::frame).collect();
        let mut line = Line::new(&packets);
        line.coalesce(limit);
        let joined: Vec<_> = line.list.iter().map(Frame::is_large).collect();
        let got = line.packets();
        prop_assert_eq!(seen(&got), seen(&packets));
        // What was not joined is as it was, and so is its order.
        let mut rest = packets.iter();
        for (packet, joined) in got.iter().zip(joined) {
            if joined {
                prop_assert!(packet.len() <= limit + 14);
            } else {
                prop_assert!(rest.any(|original| original == packet));
            }
        }
    }

    /// A packet that was joined, cut again, is what it was made of.
    #[test]
    fn cutting_undoes_joining(steps in prop::collection::vec((0..4_usize, 11..24_u8, 0..1_usize), 0..64), start: u32) {
        let packets = mixture(&steps, start);
        let mut line = Line::new(packets.iter().map(Tcp::frame));
        line.coalesce(65535);
        let mut again = Vec::new();
        for packet in line.packets() {
            let parsed = parse(&packet).unwrap();
            let headers = usize::from(parsed.l4 - parsed.l3) + usize::from(packet[usize::from(parsed.l4) + 12] >> 4) * 4;
            again.extend(cut(&packet, headers + 200, true).unwrap_or_else(|| vec![packet]));
        }
        // Each connection's packets, in order.
        let by_connection = |packets: &[Vec<u8>]| {
            let mut sorted = packets.to_vec();
            sorted.sort_by_key(|packet| if packet[12] == 8 { packet[34..38].to_vec() } else { packet[54..58].to_vec() });
            sorted.sort_by_key(|packet| packet[12]);
            sorted
        };
        let all: Vec<_> = packets.iter().map(Tcp::frame).collect();
        prop_assert_eq!(by_connection(&again), by_connection(&all));
    }

    #[test]
    fn any_bytes(mut packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..120), 0..70), limit: usize) {
        for (index, packet) in packets.iter_mut().enumerate() {
            // Plausible enough to come to the point; lengths are anything.
            if packet.len() >= 54 && index % 4 != 0 {
                let v6 = index % 3 == 0;
                packet[..14].copy_from_slice(&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, if v6 { 0x86 } else { 8 }, if v6 { 0xdd } else { 0 }]);
                if v6 {
                    (packet[14], packet[18], packet[20]) = (0x60, 0, 6);
                } else {
                    (packet[14], packet[16], packet[23]) = (0x45, 0, 6);
                    packet[20..22].fill(0);
                }
            }
        }
        let mut line = Line::new(&packets);
        line.coalesce(limit);
    }

    /// Damage anywhere in one of them: no byte of it ends up in a packet that looks right.
    #[test]
    fn damage_stays_visible(count in 2_usize..6, damaged in 0_usize..6, at in 14_usize..1000, bit in 0_u8..8, v6: bool) {
        let mut packets = vec![first(v6)];
        for _ in 1..count {
            packets.push(next(packets.last().unwrap(), 1000));
        }
        let mut all: Vec<_> = packets.iter().map(Tcp::frame).collect();
        let index = damaged % count;
        all[index][at] ^= 1 << bit;
        let mut line = Line::new(&all);
        line.coalesce(65535);
        let got = line.packets();
        // A bit that no checksum covers (IPv6's class, flow label, hop limit) keeps the packet out as well.
        prop_assert!(got.contains(&all[index]), "{} of {count} is gone", index);
    }
}
