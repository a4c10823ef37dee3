//! Cuts a TCP packet that is too large for its path into segments that fit, as a network card does for its host (TSO).
//!
//! Workloads hand over up to 64 KiB in one packet; what goes into a tunnel, or to a port with a small MTU, is made of it here.
//! Each segment gets the headers of the whole with its own length, identification, sequence number, flags and checksums; data
//! is copied and summed in one pass. A packet whose checksum is wrong is dropped, not cut: its receiver would never find out.

use super::{
    context::Context,
    packet::{Facts, Packet},
};
use crate::{
    packet::{
        DropReason, Frame,
        frame::{HEADROOM, NoRoom},
    },
    tables::slots::{PortSlot, VrfSlot},
    wire::{
        Flags, Fragment, IpKind, Parsed,
        checksum::{self, Delta, Sum},
        parse, proto, tcp_flags,
    },
};

/// Bytes of an IPv6 header.
const V6_HEADER: usize = 40;

/// Least data in a segment. A path that leaves less room than this beside the headers is treated as one that cannot be cut for,
/// lest one packet become thousands. (Linux accepts no smaller segment size from its peers, `TCP_MIN_SND_MSS`.)
const LEAST_DATA: usize = 48;

/// Segments with these flags are never cut: what they say is about the connection or about one place in the data.
const WHOLE: u8 = tcp_flags::SYN | tcp_flags::RST | tcp_flags::URG;

/// A packet on its way to be cut: writes one segment after the other.
#[derive(Clone, Debug)]
pub(super) struct Segmenter<'a> {
    /// All headers, from the first byte of the frame to the end of the TCP header.
    headers: &'a [u8],
    /// The data that is not yet written.
    rest: &'a [u8],
    parsed: Parsed,
    /// Data in each segment but the last.
    room: usize,
    /// Sum of the pseudo header but for the length.
    pseudo: Sum,
    /// Segments written.
    written: u16,
    /// Sequence number of the next segment.
    sequence: u32,
}

impl<'a> Segmenter<'a> {
    /// Takes a packet, with or without headers in front of its IP header, to be cut into IP packets of at most `mtu` bytes that
    /// leave no frame of `most` bytes. `parsed` is of `data`. `None` when it cannot be cut, or need not be.
    ///
    /// IPv4 options are not cut: nobody says which belong into each segment. Neither are IPv6 packets with a routing header,
    /// whose checksum covers an address that is not in the IP header, with an authentication header or with a fragment header.
    pub(super) fn new(data: &'a [u8], parsed: &Parsed, mtu: usize, most: usize) -> Option<Self> {
        let plain = parsed.proto == proto::TCP
            && parsed.fragment == Fragment::No
            && parsed.tcp_flags & WHOLE == 0
            && !parsed.flags.has(Flags::V4_OPTIONS);
        if !plain {
            return None;
        }
        let (l3, l4) = (usize::from(parsed.l3), usize::from(parsed.l4));
        let addresses = match parsed.kind {
            IpKind::V4 => data.get(l3 + 12..l3 + 20)?,
            IpKind::V6 if has_plain_extensions(data.get(l3..l4)?) => data.get(l3 + 8..l3 + V6_HEADER)?,
            _ => return None,
        };
        let offset = usize::from(data.get(l4 + 12)? >> 4) * 4;
        let (headers, rest) = data.get(..parsed.end as usize)?.split_at_checked(l4 + offset)?;
        let room = mtu.min(most.checked_sub(l3)?).checked_sub(headers.len() - l3)?;
        if room < LEAST_DATA || rest.len() <= room {
            return None;
        }
        let sequence = u32::from_be_bytes(*headers.get(l4 + 4..)?.first_chunk()?);
        Some(Self {
            headers,
            rest,
            parsed: *parsed,
            room,
            pseudo: Sum::of(addresses).add_u16(u16::from(proto::TCP)),
            written: 0,
            sequence,
        })
    }

    /// Is the checksum right, or is it only the sum of the pseudo header, which says that the data never crossed a wire? Only
    /// before the first segment is written. A frame that is marked as partial need not be asked.
    pub(super) fn is_right(&self) -> bool {
        let header = self.headers.get(usize::from(self.parsed.l4)..).unwrap_or_default();
        let pseudo = self.pseudo.add_u32((header.len() + self.rest.len()) as u32);
        // Headers of TCP are of even length, so that the two sums may be added.
        checksum::is_partial(header, proto::TCP, pseudo) || pseudo.add_bytes(header).add_bytes(self.rest).is_valid()
    }

    /// All segments have been written.
    pub(super) fn is_done(&self) -> bool {
        self.rest.is_empty()
    }

    /// Writes the next segment to `out` and gives what is known of it.
    ///
    /// # Errors
    /// [`NoRoom`] when the frame is too small; nothing is lost then, and another frame may be tried.
    pub(super) fn write_next(&mut self, out: &mut Frame) -> Result<Parsed, NoRoom> {
        let data = self.next_data();
        out.place(HEADROOM, self.headers.len() + data.len())?;
        out.clear_partial();
        let (headers, payload) = out
            .data_mut()
            .split_at_mut_checked(self.headers.len())
            .unwrap_or_default();
        let sum = Sum::ZERO.add_copied(data, payload);
        Ok(self.advance(headers, data.len(), sum))
    }

    /// Writes the headers of the next segment to the start of `out` and gives how long they are, and the segment's data, which stay where they are.
    /// `None` when all is done, or `out` is too short.
    pub(super) fn next_in_place(&mut self, out: &mut [u8]) -> Option<(usize, &'a [u8])> {
        let data = self.next_data();
        let headers = out.get_mut(..self.headers.len()).filter(|_| !data.is_empty())?;
        self.advance(headers, data.len(), Sum::of(data));
        Some((self.headers.len(), data))
    }

    /// Bytes of the headers of each segment.
    pub(super) fn headers(&self) -> usize {
        self.headers.len()
    }

    /// Bytes of all headers and data of each segment but the last.
    pub(super) fn size(&self) -> usize {
        self.headers.len() + self.room
    }

    fn next_data(&self) -> &'a [u8] {
        self.rest.get(..self.room).unwrap_or(self.rest)
    }

    /// Writes the headers of the next segment, whose data have this length and sum, and goes on behind it.
    fn advance(&mut self, headers: &mut [u8], data: usize, sum: Sum) -> Parsed {
        headers.copy_from_slice(self.headers);
        let rest = self.rest.get(data..).unwrap_or_default();
        let mut parsed = self.parsed;
        parsed.end = (headers.len() + data) as u32;
        if self.written > 0 {
            parsed.tcp_flags &= !tcp_flags::CWR;
        }
        if !rest.is_empty() {
            parsed.tcp_flags &= !(tcp_flags::FIN | tcp_flags::PSH);
        }
        let (ip, tcp) = headers.split_at_mut_checked(usize::from(parsed.l4)).unwrap_or_default();
        let len = tcp.len() + data;
        self.write_ip(ip.get_mut(usize::from(parsed.l3)..).unwrap_or_default(), len);
        if let Some(header) = tcp.first_chunk_mut::<20>() {
            header[4..8].copy_from_slice(&self.sequence.to_be_bytes());
            header[13] = parsed.tcp_flags;
            header[16..18].fill(0);
        }
        let check = self.pseudo.add_u32(len as u32).add_bytes(tcp).add_sum(sum).checksum();
        if let Some(header) = tcp.first_chunk_mut::<20>() {
            header[16..18].copy_from_slice(&check.to_be_bytes());
        }

        self.rest = rest;
        self.sequence = self.sequence.wrapping_add(data as u32);
        self.written = self.written.wrapping_add(1);
        parsed
    }

    /// Makes a copied IP header that of a packet whose TCP header and data are of this length.
    fn write_ip(&self, ip: &mut [u8], len: usize) {
        match self.parsed.kind {
            IpKind::V6 => {
                let len = (ip.len() + len).saturating_sub(V6_HEADER) as u16;
                if let Some(header) = ip.first_chunk_mut::<V6_HEADER>() {
                    header[4..6].copy_from_slice(&len.to_be_bytes());
                }
            }
            _ => {
                if let Some(header) = ip.first_chunk_mut::<20>() {
                    let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
                    let (total, id) = (20 + len as u16, word(4).wrapping_add(self.written));
                    let check = Delta::NONE.u16(word(2), total).u16(word(4), id).apply(word(10));
                    header[2..4].copy_from_slice(&total.to_be_bytes());
                    header[4..6].copy_from_slice(&id.to_be_bytes());
                    header[10..12].copy_from_slice(&check.to_be_bytes());
                }
            }
        }
    }
}

/// Are all extension headers of this IPv6 packet (up to its transport header) such that each segment may have them as they are?
fn has_plain_extensions(ip: &[u8]) -> bool {
    let (Some(mut next), Some(mut rest)) = (ip.get(6).copied(), ip.get(V6_HEADER..)) else {
        return false;
    };
    while let Some([following, units, ..]) = rest.first_chunk::<8>() {
        if !matches!(next, proto::HOP_BY_HOP | proto::DEST_OPTS) {
            return false;
        }
        next = *following;
        rest = rest.get((usize::from(*units) + 1) * 8..).unwrap_or_default();
    }
    next == proto::TCP
}

/// Cuts a packet that is larger than `mtu` and gives each segment to `each`, in order; all of them take the path of the whole.
/// When frames run out, the rest is dropped. A packet that cannot be cut is given back as it came.
pub(super) fn segment(
    context: &mut Context<'_>,
    packet: Packet,
    mtu: u16,
    mut each: impl FnMut(&mut Context<'_>, Packet),
) -> Option<Packet> {
    let most = context.state.frames.pool().max_packet();
    let Some(cutter) = Segmenter::new(packet.frame.data(), &packet.parsed, usize::from(mtu), most) else {
        return Some(packet);
    };
    if !packet.frame.is_partial() && !cutter.is_right() {
        context.drop_packet(packet, DropReason::BadTransportChecksum);
        return None;
    }
    pieces(
        context,
        cutter,
        packet.port,
        Some(packet.vrf),
        |context, frame, parsed| {
            let piece = Packet {
                frame,
                facts: Facts { parsed, ..packet.facts },
            };
            each(context, piece);
        },
    );
    context.state.frames.free(packet.frame);
    None
}

/// As [`segment`], for an Ethernet frame within a bridge: each of the frames that it becomes has at most `most` bytes.
pub(super) fn segment_frame(
    context: &mut Context<'_>,
    (port, vrf): (PortSlot, Option<VrfSlot>),
    frame: Frame,
    most: usize,
    mut each: impl FnMut(&mut Context<'_>, Frame),
) -> Option<Frame> {
    let most = most.min(context.state.frames.pool().max_packet());
    let cutter = parse(frame.data())
        .ok()
        .and_then(|parsed| Segmenter::new(frame.data(), &parsed, most, most));
    let Some(cutter) = cutter else { return Some(frame) };
    if !frame.is_partial() && !cutter.is_right() {
        context.drop_frame(port, vrf, frame, DropReason::BadTransportChecksum);
        return None;
    }
    pieces(context, cutter, port, vrf, |context, frame, _| each(context, frame));
    context.state.frames.free(frame);
    None
}

/// Makes the segments.
fn pieces(
    context: &mut Context<'_>,
    mut cutter: Segmenter<'_>,
    port: PortSlot,
    vrf: Option<VrfSlot>,
    mut each: impl FnMut(&mut Context<'_>, Frame, Parsed),
) {
    while !cutter.is_done() {
        let Some(mut frame) = context.originate() else {
            context.count_drop(port, vrf, DropReason::NoFrame);
            break;
        };
        match cutter.write_next(&mut frame) {
            Ok(parsed) => each(context, frame, parsed),
            Err(_) => {
                context.drop_frame(port, vrf, frame, DropReason::NoFrame);
                break;
            }
        }
    }
    context.count(|c| &c.segmented);
}

#[cfg(test)]
#[path = "segment_tests.rs"]
mod tests;
