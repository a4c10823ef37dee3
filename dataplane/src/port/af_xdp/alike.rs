//! Tunnel packets that may leave in one call: one behind the other, of one size, behind the same outer headers.
//!
//! A call to the kernel, and what it does for a packet on the way to the wire, costs many times what a further unit of the same packet does (UDP
//! segmentation offload). What comes out of the wire is what would have come one by one, but for the outer IPv4 header's identification, which counts
//! up from the first, and the outer UDP checksum, which is filled.

use std::io::IoSlice;

use crate::{
    packet::Frame,
    port::Units,
    wire::{ethertype, proto, set_datagram_length, udp},
};

/// Packets that are worth it.
pub(super) const LEAST: usize = 3;

/// What an IP packet may be long.
const LARGEST: usize = 65535;

const ETHERNET: usize = 14;
const UDP: usize = 8;

/// Bytes of the outer headers: Ethernet, plain IP, UDP.
const V4: usize = ETHERNET + 20 + UDP;
const V6: usize = ETHERNET + 40 + UDP;

/// Some frames of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// The first.
    pub(super) start: usize,
    /// How many.
    pub(super) count: usize,
}

/// The first run in a list that is worth it.
#[inline]
pub(super) fn first(list: &[Frame]) -> Option<Run> {
    let mut start = 0;
    while start + LEAST <= list.len() {
        let count = alike(list.get(start..)?);
        if count >= LEAST {
            return Some(Run { start, count });
        }
        start += count.max(1);
    }
    None
}

/// How many of the first frames may leave together.
#[inline]
fn alike(list: &[Frame]) -> usize {
    let Some((head, others)) = list.split_first() else {
        return 0;
    };
    let Some(headers) = outer(head) else { return 1 };
    let (size, mut count, mut total) = (head.len(), 1, head.len());
    for frame in others.iter().take(Units::LONGEST - 1) {
        total += frame.len() - headers.min(frame.len());
        let fits = frame.len() <= size && total <= LARGEST;
        if !fits || outer(frame) != Some(headers) || !follows(head.data(), frame.data(), headers) {
            break;
        }
        count += 1;
        if frame.len() < size {
            break;
        }
    }
    count
}

/// Bytes of the headers of a tunnel packet: plain ones, of a packet that ends where the frame does, without a UDP checksum.
#[inline]
fn outer(frame: &Frame) -> Option<usize> {
    if frame.is_large() || frame.cut().is_some() {
        return None;
    }
    let data = frame.data();
    let word = |at: usize| {
        data.get(at..at + 2)
            .map_or(0, |word| usize::from(u16::from_be_bytes([word[0], word[1]])))
    };
    let headers = match word(12) as u16 {
        // No options, no fragment.
        ethertype::IPV4 if data.get(ETHERNET) == Some(&0x45) && word(ETHERNET + 6) & !0x4000 == 0 => {
            let whole = data.get(ETHERNET + 9) == Some(&proto::UDP) && word(ETHERNET + 2) + ETHERNET == data.len();
            whole.then_some(V4)?
        }
        ethertype::IPV6 if data.get(ETHERNET).is_some_and(|first| first >> 4 == 6) => {
            let whole = data.get(ETHERNET + 6) == Some(&proto::UDP) && word(ETHERNET + 4) + V6 - UDP == data.len();
            whole.then_some(V6)?
        }
        _ => return None,
    };
    let is_tunnel = matches!(word(headers - 6) as u16, udp::PORT_VXLAN | udp::PORT_MPLS);
    let whole = word(headers - 4) + headers - UDP == data.len() && data.len() > headers;
    (is_tunnel && whole && word(headers - 2) == 0).then_some(headers)
}

/// The headers are the same, but for lengths and what counts up or is summed.
#[inline]
fn follows(a: &[u8], b: &[u8], headers: usize) -> bool {
    let same = if headers == V4 {
        [0..16, 20..24, 26..38]
    } else {
        [0..18, 20..54, 54..58]
    };
    same.into_iter().all(|part| a.get(part.clone()) == b.get(part))
}

/// Has the frames of a run, whose checksums are complete, sent in one piece.
pub(super) fn leave<T>(run: &[Frame], by: impl FnOnce(&Units<'_>) -> T) -> Option<T> {
    let head = run.first()?;
    let headers = outer(head)?;
    let size = head.len() - headers;
    let mut front = [0; V6];
    let front = front.get_mut(..headers)?;
    front.copy_from_slice(head.data().get(..headers)?);
    let total = run.iter().map(|frame| frame.len() - headers).sum::<usize>() + headers;
    if !set_datagram_length(front.get_mut(ETHERNET..)?, total - ETHERNET, true) {
        return None;
    }
    let mut parts = [IoSlice::new(&[]); Units::PARTS];
    let (first, others) = parts.split_first_mut()?;
    *first = IoSlice::new(front);
    for (place, frame) in others.iter_mut().zip(run) {
        *place = IoSlice::new(frame.data().get(headers..)?);
    }
    Some(by(&Units {
        parts: parts.get(..1 + run.len())?,
        headers: headers as u16,
        size: size as u16,
    }))
}

#[cfg(test)]
#[path = "alike_tests.rs"]
mod tests;
