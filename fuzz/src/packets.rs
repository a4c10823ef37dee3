//! Bytes and frames as the properties need them.

use std::{borrow::Cow, cell::RefCell};

use vrouter_dataplane::{
    packet::{Frame, FrameCache, FramePool},
    wire::{
        IpKind, Ipv4,
        checksum::{self, Sum},
        ethertype, offload, parse, proto,
    },
};

/// Largest packet that [`with_frames`] has room for.
pub(crate) const ROOM: usize = 4096 - 256;

/// Runs `test` with frames to take, and holds it to giving every one of them back.
pub(crate) fn with_frames<T>(test: impl FnOnce(&mut FrameCache) -> T) -> T {
    thread_local! {
        static FRAMES: RefCell<FrameCache> =
            RefCell::new(FramePool::with_large(128, 4096, 8).expect("128 frames of 4 KiB").cache());
    }
    FRAMES.with_borrow_mut(|frames| {
        let outcome = test(frames);
        let pool = frames.pool();
        assert_eq!(pool.free(), pool.total() as usize, "frames were lost");
        outcome
    })
}

/// Runs `test` on a frame that holds the packet, cut to what a frame has room for.
pub(crate) fn with_frame<T>(packet: &[u8], test: impl FnOnce(&mut Frame) -> T) -> T {
    with_frames(|frames| {
        let mut frame = filled(frames, packet);
        let outcome = test(&mut frame);
        frames.free(frame);
        outcome
    })
}

/// A frame that holds the packet, cut to what a frame has room for.
pub(crate) fn filled(frames: &mut FrameCache, packet: &[u8]) -> Frame {
    let mut frame = frames.take().expect("a free frame");
    frame
        .copy_from(&packet[..packet.len().min(ROOM)])
        .expect("a packet that fits");
    frame
}

/// The frame with the checksum of its IPv4 header made right, if it has one: no fuzzer guesses it, and all that lies behind
/// would never be looked at.
pub(crate) fn with_header_checksum(bytes: &[u8]) -> Cow<'_, [u8]> {
    let mut at = 12;
    for _ in 0..3 {
        let Some(&[a, b]) = bytes.get(at..).and_then(|rest| rest.first_chunk::<2>()) else {
            break;
        };
        at += 2;
        match u16::from_be_bytes([a, b]) {
            ethertype::VLAN | ethertype::QINQ | ethertype::QINQ_OLD => at += 2,
            ethertype::IPV4 => return with_ip_checksum(bytes, at),
            _ => break,
        }
    }
    Cow::Borrowed(bytes)
}

/// The bytes with the checksum of the IPv4 header at `at` made right, if all of it is there.
pub(crate) fn with_ip_checksum(bytes: &[u8], at: usize) -> Cow<'_, [u8]> {
    let ip = bytes.get(at..).unwrap_or_default();
    let view = Ipv4::new_unchecked(ip);
    if view.version() != 4 || view.header_len() < 20 || view.header_len() > ip.len() || view.checksum_ok() {
        return Cow::Borrowed(bytes);
    }
    let mut right = bytes.to_vec();
    Ipv4::new_unchecked(&mut right[at..]).fill_checksum();
    Cow::Owned(right)
}

/// The frame with both the checksum of its IPv4 header and that of its L4 made right, as far as it has them.
pub(crate) fn with_checksums(bytes: &[u8]) -> Cow<'_, [u8]> {
    let bytes = with_header_checksum(bytes);
    let Ok(parsed) = parse(&bytes) else { return bytes };
    let pseudo = match (parsed.kind, parsed.proto) {
        // The only one without a pseudo header.
        (IpKind::V4, proto::ICMP) => Some(Sum::ZERO),
        _ => offload::pseudo_header(&bytes, &parsed),
    };
    if parsed.is_fragment() || offload::is_right(&bytes, &parsed) {
        return bytes;
    }
    let mut right = bytes.into_owned();
    if let (Some(pseudo), Some(l4)) = (pseudo, right.get_mut(usize::from(parsed.l4)..parsed.end as usize)) {
        checksum::fill_l4(l4, parsed.proto, pseudo);
    }
    Cow::Owned(right)
}
