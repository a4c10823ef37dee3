//! Cuts large TCP packets behind the outer headers of a tunnel where they leave, and lays the pieces end to end behind one outer header: so they go out in one
//! call, as units of one UDP packet that the interface cuts, or the kernel on the way to it (UDP segmentation offload).
//!
//! A packet that goes into a tunnel as it is gets its outer headers once; its data are summed for each piece, and stay where they are. What comes out of the wire is
//! what would have come of cutting first, but for the outer IPv4 header's identification, which counts up, and the outer UDP checksum, which is filled.
//! Where an interface cannot be given units, the same pieces go out as packets of their own.

use std::io::IoSlice;

use super::{context::Context, delivery, packet::Packet, segment::Segmenter};
use crate::{
    packet::{Cut, Frame, FrameCache},
    port::Units,
    tables::{next_hop::TunnelPath, slots::PortSlot},
    wire::{ethertype, outer::Outer, parse, parse_ip, set_datagram_length},
};

/// Bytes of an Ethernet header without tags.
const ETHERNET: usize = 14;

/// Bytes of a UDP header.
const UDP: usize = 8;

/// Bytes of the headers of each piece behind the outer UDP header, at most: VXLAN, Ethernet, IP and TCP with some options.
const HEADERS: usize = 192;

/// What an IP packet may be long.
const LARGEST: usize = 65535;

/// May this routed packet, too large for its path, go into the tunnel as it is?
pub(super) fn takes(context: &Context<'_>, packet: &Packet, path: &TunnelPath) -> bool {
    if !may_leave_whole(context, &packet.frame, path.port, &path.routed) {
        return false;
    }
    let most = context.state.frames.pool().max_packet();
    Segmenter::new(packet.frame.data(), &packet.parsed, path.mtu.into(), most)
        .is_some_and(|cutter| is_good(&cutter, &packet.frame, &path.routed))
}

/// As [`takes`], for an Ethernet frame in a bridge, which may be of `most` bytes.
pub(super) fn takes_frame(context: &Context<'_>, frame: &Frame, path: &TunnelPath, outer: &Outer, most: usize) -> bool {
    if !may_leave_whole(context, frame, path.port, outer) {
        return false;
    }
    let most = most.min(context.state.frames.pool().max_packet());
    let cutter = parse(frame.data())
        .ok()
        .and_then(|parsed| Segmenter::new(frame.data(), &parsed, most, most));
    cutter.is_some_and(|cutter| is_good(&cutter, frame, outer))
}

/// Who looks at what leaves by the uplink, or limits it, is shown packets as they are on the wire.
fn may_leave_whole(context: &Context<'_>, frame: &Frame, uplink: PortSlot, outer: &Outer) -> bool {
    context.state.cuts_late
        && frame.is_large()
        && frame.segments().is_none()
        && outer.l3() == ETHERNET
        && outer.overhead() + frame.len() <= LARGEST
        && !context.state.taps.on_way()
        && !context.state.shaper.holds(uplink)
        && context
            .tables
            .port(uplink)
            .is_some_and(|port| !delivery::concerns(port))
}

/// A packet whose checksum is wrong must not get right ones.
fn is_good(cutter: &Segmenter<'_>, frame: &Frame, outer: &Outer) -> bool {
    let tunnel = outer.len() - outer.encap_at();
    tunnel + cutter.headers() <= HEADERS && (frame.is_partial() || cutter.is_right())
}

/// Says that a packet that is [taken](takes) is to be cut, into packets (or frames: `ethernet`) of at most `size` bytes, once these outer headers
/// are in front of it.
pub(super) fn mark(frame: &mut Frame, outer: &Outer, size: u16, ethernet: bool) {
    frame.set_cut(Cut {
        front: outer.len() as u8,
        ethernet,
        size,
    });
}

/// Room for the headers of the pieces of one train.
#[derive(Debug)]
pub(crate) struct Room {
    outer: [u8; ETHERNET + 40 + UDP],
    headers: Box<[[u8; HEADERS]]>,
}

impl Room {
    /// Allocates.
    pub(crate) fn new() -> Self {
        Self {
            outer: [0; _],
            headers: vec![[0; HEADERS]; Units::LONGEST].into_boxed_slice(),
        }
    }
}

/// A marked frame, from which one train after the other leaves.
pub(crate) struct Trains<'a> {
    /// Ethernet, IP and UDP headers.
    outer: &'a [u8],
    /// What stands between the UDP header and the inner packet.
    tunnel: &'a [u8],
    cutter: Segmenter<'a>,
    /// Pieces in one train, at most.
    most: usize,
}

/// Some pieces that leave together.
pub(crate) struct Train<'a> {
    outer: &'a [u8],
    /// Headers and data of each.
    pieces: [(&'a [u8], &'a [u8]); Units::LONGEST],
    /// How many.
    pub(crate) count: usize,
    /// Bytes of all packets that they become.
    pub(crate) bytes: usize,
}

impl<'a> Trains<'a> {
    /// `None`: the frame is not marked, or is not what was marked.
    pub(crate) fn new(frame: &'a Frame, most: usize) -> Option<Self> {
        let cut = frame.cut()?;
        let data = frame.data();
        let headers = match u16::from_be_bytes(*data.get(12..)?.first_chunk()?) {
            ethertype::IPV4 => ETHERNET + 20 + UDP,
            _ => ETHERNET + 40 + UDP,
        };
        let (front, inner) = data.split_at_checked(cut.front.into())?;
        let (outer, tunnel) = front.split_at_checked(headers)?;
        let size = usize::from(cut.size);
        let cutter = if cut.ethernet {
            let most = most.min(size);
            Segmenter::new(inner, &parse(inner).ok()?, most, most)?
        } else {
            Segmenter::new(inner, &parse_ip(inner).ok()?, size, most)?
        };
        let room = LARGEST + ETHERNET - outer.len();
        let most = (room / (tunnel.len() + cutter.size())).min(Units::LONGEST);
        Some(Self {
            outer,
            tunnel,
            cutter,
            most,
        })
    }

    /// The next train. `None`: all have left.
    pub(crate) fn next<'r>(&mut self, room: &'r mut Room) -> Option<Train<'r>>
    where
        'a: 'r,
    {
        let outer = room.outer.get_mut(..self.outer.len())?;
        outer.copy_from_slice(self.outer);
        let mut train = Train {
            outer: &[],
            pieces: [(&[], &[]); _],
            count: 0,
            bytes: 0,
        };
        for (place, header) in train.pieces.iter_mut().zip(room.headers.iter_mut()).take(self.most) {
            let (tunnel, inner) = header.split_at_mut_checked(self.tunnel.len())?;
            tunnel.copy_from_slice(self.tunnel);
            let Some((len, data)) = self.cutter.next_in_place(inner) else {
                break;
            };
            *place = (header.get(..self.tunnel.len() + len)?, data);
            train.bytes += self.outer.len() + place.0.len() + data.len();
            train.count += 1;
        }
        train.outer = outer;
        (train.count > 0).then_some(train)
    }
}

impl Train<'_> {
    /// Has them sent in one piece.
    pub(crate) fn leave<T>(&self, by: impl FnOnce(&Units<'_>) -> T) -> Option<T> {
        let mut outer = [0; ETHERNET + 40 + UDP];
        let outer = outer.get_mut(..self.outer.len())?;
        outer.copy_from_slice(self.outer);
        let len = self.bytes - (self.count - 1) * self.outer.len() - ETHERNET;
        if !set_datagram_length(outer.get_mut(ETHERNET..)?, len, true) {
            return None;
        }
        let mut parts = [IoSlice::new(&[]); Units::PARTS];
        let (first, others) = parts.split_first_mut()?;
        *first = IoSlice::new(outer);
        let pieces = self.pieces.get(..self.count)?;
        for (place, (headers, data)) in others.chunks_exact_mut(2).zip(pieces) {
            place.copy_from_slice(&[IoSlice::new(headers), IoSlice::new(data)]);
        }
        let (headers, data) = pieces.first()?;
        Some(by(&Units {
            parts: parts.get(..1 + 2 * self.count)?,
            headers: self.outer.len() as u16,
            size: (headers.len() + data.len()) as u16,
        }))
    }

    /// A packet of its own for a piece; `None` when there is no frame.
    pub(crate) fn piece(&self, index: usize, frames: &mut FrameCache) -> Option<Frame> {
        let (headers, data) = self.pieces.get(..self.count)?.get(index)?;
        let mut frame = frames.take()?;
        let written = [self.outer, headers, data]
            .iter()
            .all(|part| frame.append(part).is_ok());
        let len = frame.len();
        let front = frame.data_mut().get_mut(ETHERNET..self.outer.len());
        if written && front.is_some_and(|front| set_datagram_length(front, len - ETHERNET, false)) {
            return Some(frame);
        }
        frames.free(frame);
        None
    }
}

#[cfg(test)]
#[path = "train_tests.rs"]
mod tests;
