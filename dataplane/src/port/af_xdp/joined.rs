//! Makes packets of what the kernel's receive offload joined, as they were on the wire.
//!
//! UDP datagrams of one flow (UDP GRO, or what another node on this host sent in one call) get headers of their own again. TCP segments stay one large
//! packet, as workloads send them.

use super::whole::VirtioNetHeader;
use crate::{
    packet::{Frame, FrameCache, Partial},
    wire::{count_up_identification, ethertype, set_datagram_length},
};

/// Bytes of an Ethernet header without tags, and of a tag.
const ETHERNET: usize = 14;
const TAG: usize = 4;

/// Bytes of a UDP header.
const UDP: usize = 8;

/// What comes next.
#[derive(Debug)]
pub(super) enum Next {
    /// A packet.
    Packet(Frame),
    /// One that there was no frame for, or that makes no sense.
    Lost,
    /// Nothing any more.
    End,
}

/// What the kernel handed over as one packet.
#[derive(Debug)]
pub(super) struct Joined<'a> {
    bytes: &'a [u8],
    /// Where the IP and the L4 header start.
    l3: usize,
    l4: usize,
    /// Bytes behind the headers in each datagram but the last; `None`: one packet.
    size: Option<usize>,
    /// Where the checksum is that is left to be completed, if it is not that of the packet's own L4 header.
    inner: Option<Partial>,
}

impl<'a> Joined<'a> {
    /// Of a frame, in which a tag of four bytes was put back if it is `tagged`, and of what the kernel says of it.
    pub(super) fn new(bytes: &'a [u8], tagged: bool, header: &VirtioNetHeader) -> Option<Self> {
        let tag = if tagged { TAG } else { 0 };
        let l3 = ETHERNET + tag;
        let kind = bytes.get(l3 - 2..l3)?;
        let l4 = match u16::from_be_bytes([*kind.first()?, *kind.last()?]) {
            ethertype::IPV4 => l3 + usize::from(bytes.get(l3)? & 0x0f) * 4,
            ethertype::IPV6 => l3 + 40,
            _ => bytes.len(),
        };
        let open = header.open().map(|(start, field)| Partial {
            l4: usize::from(start) + tag,
            field: field.into(),
        });
        let mut joined = Self {
            bytes,
            l3,
            l4,
            size: None,
            // (Those of other protocols are not sums of this kind.)
            inner: open.filter(|open| open.l4 != l4 && matches!(open.field, 6 | 16)),
        };
        if let Some(size) = header.datagrams() {
            // Behind extension headers it may be elsewhere than expected.
            joined.l4 = open.map_or(l4, |open| open.l4);
            joined.inner = None;
            joined.size = Some(usize::from(size));
            if size == 0 || joined.l4 < l3 + 20 || joined.l4 + UDP >= bytes.len() {
                return None;
            }
        }
        Some(joined)
    }

    /// The packet of this number.
    pub(super) fn packet(&self, index: usize, frames: &mut FrameCache) -> Next {
        let Some(size) = self.size else {
            return if index == 0 { self.single(frames) } else { Next::End };
        };
        let (headers, data) = self.bytes.split_at(self.l4 + UDP);
        let Some(data) = index
            .checked_mul(size)
            .and_then(|from| data.get(from..))
            .filter(|data| !data.is_empty())
        else {
            return Next::End;
        };
        let data = data.get(..size).unwrap_or(data);
        let Some(mut frame) = take(frames, headers.len() + data.len()) else {
            return Next::Lost;
        };
        let written = frame.append(headers).is_ok() && frame.append(data).is_ok();
        if written && self.set_lengths(index, frame.data_mut()) {
            return Next::Packet(frame);
        }
        frames.free(frame);
        Next::Lost
    }

    fn single(&self, frames: &mut FrameCache) -> Next {
        let Some(mut frame) = take(frames, self.bytes.len()) else {
            return Next::Lost;
        };
        if frame.append(self.bytes).is_err() {
            frames.free(frame);
            return Next::Lost;
        }
        if let Some(inner) = self.inner {
            // Nobody would look for it behind a tunnel's headers: what comes from another node has been summed.
            frame.set_partial(inner);
            frame.complete();
        }
        Next::Packet(frame)
    }

    /// Makes the headers those of the datagram of this number, in a packet of its own. The kernel has verified the checksum of each, or trusts the
    /// sender: that of the pseudo header says so.
    fn set_lengths(&self, index: usize, packet: &mut [u8]) -> bool {
        let len = packet.len() - self.l3;
        let Some(headers) = packet.get_mut(self.l3..self.l4 + UDP) else {
            return false;
        };
        count_up_identification(headers, index as u16);
        set_datagram_length(headers, len, true)
    }
}

/// A frame with room for so many bytes.
fn take(frames: &mut FrameCache, len: usize) -> Option<Frame> {
    if len <= frames.pool().max_packet() {
        frames.take()
    } else {
        frames.take_large()
    }
}

#[cfg(test)]
#[path = "joined_tests.rs"]
mod tests;
