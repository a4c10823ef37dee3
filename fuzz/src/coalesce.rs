//! Any frames as a list that goes out by one port, in which TCP segments are joined.
//!
//! No panic, no frame lost; what was joined is right and within the limit; all else is as it was; and every connection's receiver
//! sees the same bytes at the same places in the same order.

use std::{borrow::Cow, collections::BTreeMap};

use vrouter_dataplane::{
    packet::Frame,
    pipeline::coalesce::coalesce,
    wire::{offload, parse, proto},
};

use crate::{
    cursor::Cursor,
    packets::{filled, with_checksums, with_frames},
};

/// Most frames of a list: more than are looked at together.
const MOST: usize = 100;

/// By addresses and ports: each byte, and its place in the stream.
type Streams = BTreeMap<Vec<u8>, Vec<(u32, u8)>>;

/// Checks the list that the bytes describe.
///
/// # Panics
/// When a property does not hold.
pub fn check(bytes: &[u8]) {
    run(bytes);
}

/// As [`check`]; gives how many frames were joined with others.
///
/// # Panics
/// When a property does not hold.
pub fn run(bytes: &[u8]) -> usize {
    let mut cursor = Cursor::new(bytes);
    let limit = cursor.one_of(&[65_535, 65_535, 1_500, 200, 0]);
    let packets = list(&mut cursor);
    with_frames(|frames| {
        let mut list: Vec<_> = packets.iter().map(|packet| filled(frames, packet)).collect();
        let merged = coalesce(&mut list, frames, limit).merged;
        assert_eq!(list.len() + merged, packets.len());
        list.iter_mut().for_each(Frame::complete);
        for frame in &list {
            let bytes = frame.data();
            if frame.is_large() {
                let parsed = parse(bytes).unwrap_or_else(|error| panic!("{error}: {bytes:02x?}"));
                assert!(
                    parsed.end as usize == bytes.len()
                        && bytes.len() <= limit + 14
                        && offload::is_right(bytes, &parsed),
                    "{parsed:?} {bytes:02x?}"
                );
            } else {
                assert!(packets.iter().any(|packet| packet == bytes), "made up: {bytes:02x?}");
            }
        }
        let came = streams(packets.iter().map(Vec::as_slice));
        let went = streams(list.iter().map(Frame::data));
        list.into_iter().for_each(|frame| frames.free(frame));
        assert_eq!(went, came);
        merged
    })
}

/// Frames as they are given, with right checksums or without, and such as follow those before.
fn list(cursor: &mut Cursor<'_>) -> Vec<Vec<u8>> {
    let mut list: Vec<Vec<u8>> = Vec::new();
    while !cursor.is_empty() && list.len() < MOST {
        let choice = cursor.byte();
        let frame = match choice & 3 {
            0 => cursor.bytes().to_vec(),
            1 => with_checksums(cursor.bytes()).into_owned(),
            _ => {
                // Behind one of the four before.
                let back = usize::from(choice >> 2 & 3) + 1;
                let before = list.len().checked_sub(back).map(|index| list[index].clone());
                follow(before.unwrap_or_default(), cursor)
            }
        };
        list.push(frame);
    }
    list
}

/// The segment that comes behind this one, perhaps shorter, with other flags, or with something else changed.
fn follow(mut frame: Vec<u8>, cursor: &mut Cursor<'_>) -> Vec<u8> {
    let (shorter, flags, change) = (cursor.byte(), cursor.byte(), cursor.byte());
    let Ok(parsed) = parse(&frame) else { return frame };
    if parsed.proto != proto::TCP || parsed.is_fragment() {
        return frame;
    }
    let (l3, l4) = (usize::from(parsed.l3), usize::from(parsed.l4));
    let data = l4 + usize::from(frame[l4 + 12] >> 4) * 4;
    let len = parsed.end as usize - data;
    let mut sequence = [0; 4];
    sequence.copy_from_slice(&frame[l4 + 4..l4 + 8]);
    let sequence = u32::from_be_bytes(sequence).wrapping_add(len as u32);
    frame[l4 + 4..l4 + 8].copy_from_slice(&sequence.to_be_bytes());
    frame[l4 + 13] ^= flags;
    let shorter = usize::from(shorter).min(len);
    frame.truncate(parsed.end as usize - shorter);
    let v6 = frame[l3] >> 4 == 6;
    if v6 {
        let length = (frame.len() - l3 - 40) as u16;
        frame[l3 + 4..l3 + 6].copy_from_slice(&length.to_be_bytes());
    } else {
        let length = (frame.len() - l3) as u16;
        frame[l3 + 2..l3 + 4].copy_from_slice(&length.to_be_bytes());
        let id = u16::from_be_bytes([frame[l3 + 4], frame[l3 + 5]]).wrapping_add(1);
        frame[l3 + 4..l3 + 6].copy_from_slice(&id.to_be_bytes());
    }
    if let Some(byte) = frame.get_mut(usize::from(change)).filter(|_| change > 0) {
        *byte ^= 1;
    }
    // One in two changes is one that happened on the way.
    match with_checksums(&frame) {
        Cow::Owned(right) if change & 1 == 0 => right,
        _ => frame,
    }
}

fn streams<'a>(frames: impl Iterator<Item = &'a [u8]>) -> Streams {
    let mut streams = Streams::new();
    for frame in frames {
        let Ok(parsed) = parse(frame) else { continue };
        if parsed.proto != proto::TCP || parsed.is_fragment() {
            continue;
        }
        let (l3, l4) = (usize::from(parsed.l3), usize::from(parsed.l4));
        let addresses = if frame[l3] >> 4 == 6 {
            l3 + 8..l3 + 40
        } else {
            l3 + 12..l3 + 20
        };
        let connection = [&frame[addresses], &frame[l4..l4 + 4]].concat();
        let data = l4 + usize::from(frame[l4 + 12] >> 4) * 4;
        let start = u32::from_be_bytes([frame[l4 + 4], frame[l4 + 5], frame[l4 + 6], frame[l4 + 7]]);
        let bytes = frame[data..parsed.end as usize].iter().enumerate();
        let bytes = bytes.map(|(offset, byte)| (start.wrapping_add(offset as u32), *byte));
        streams.entry(connection).or_default().extend(bytes);
    }
    streams
}
