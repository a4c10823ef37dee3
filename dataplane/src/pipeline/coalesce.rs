//! Joins TCP segments that go out by one port into large packets, as Linux does on receipt (GRO): their receiver's stack then has one
//! packet to look at instead of forty.
//!
//! Joined is only what can be taken apart again into the very same segments: consecutive ones of one connection, alike in
//! everything but sequence number, length and identification, with right checksums. The order of each connection's packets stays as it
//! is, whatever lies between. The result is marked as having a partial checksum, for what it is made of has been verified.

use crate::{
    packet::{Frame, FrameCache, Partial, Segments, frame::HEADROOM},
    wire::{
        checksum::{self, Delta, Sum},
        ethertype, ipv6_walk, proto,
        tcp_flags::{ACK, FIN, PSH},
    },
};

/// Bytes of an Ethernet header without tags.
const ETHERNET: usize = 14;

/// Bytes of Ethernet, IPv4 and TCP headers without options.
const V4: usize = ETHERNET + 20 + 20;

/// Bytes of Ethernet, IPv6 and TCP headers without options.
const V6: usize = ETHERNET + 40 + 20;

/// Where the TCP checksum is in its header.
const CHECKSUM: usize = 16;

/// Frames that are looked at together: as many as a word has bits.
const WINDOW: usize = 64;

/// Chains are found by a hash of their connection. Of two connections in one slot the older's chain ends.
const SLOTS: usize = 128;

/// No frame.
const NONE: u8 = u8::MAX;

/// What was done to a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coalesced {
    /// Frames that are in others now: the list is shorter by so many.
    pub merged: usize,
}

/// Joins segments in a list of Ethernet frames into packets of at most `limit` bytes from the IP header on. A joined packet stands
/// where the first of its segments stood. Where no large frame is free, all stays as it is.
#[inline]
pub fn coalesce(list: &mut Vec<Frame>, frames: &mut FrameCache, limit: usize) -> Coalesced {
    let mut merged = 0;
    if list.iter().filter(|frame| carries_data(frame)).nth(1).is_some() {
        // From the end, so that what has not been looked at stays where it is.
        let mut end = list.len();
        while end > 0 {
            let start = (end - 1) / WINDOW * WINDOW;
            merged += window(list, start, end, frames, limit);
            end = start;
        }
    }
    Coalesced { merged }
}

/// A TCP segment that may be joined with others?
#[inline]
fn carries_data(frame: &Frame) -> bool {
    matches!(look(frame), Seen::Tcp(segment) if segment.joins)
}

/// What a frame is to those that would be joined around it.
enum Seen {
    /// Of no TCP connection.
    Other,
    /// It may be of any.
    Unclear,
    Tcp(Segment),
}

/// A TCP segment in a frame.
#[derive(Clone, Copy)]
struct Segment {
    v6: bool,
    /// It may be joined with others.
    joins: bool,
    flags: u8,
    /// Hash of its connection, below [`SLOTS`].
    slot: u8,
    sequence: u32,
    /// Where its TCP header starts.
    l4: u16,
    /// Where its data start.
    data: u32,
    /// Where the IP packet ends. What lies behind is padding.
    end: u32,
}

impl Segment {
    fn len(&self) -> u32 {
        self.end - self.data
    }

    /// Nothing may be joined behind it.
    fn ends(&self) -> bool {
        self.flags & (FIN | PSH) != 0
    }
}

/// Reads a frame's headers. No checksum is looked at.
#[inline]
fn look(frame: &Frame) -> Seen {
    let bytes = frame.data();
    let Some(ethernet) = bytes.first_chunk::<ETHERNET>() else {
        return Seen::Other;
    };
    match u16::from_be_bytes([ethernet[12], ethernet[13]]) {
        ethertype::IPV4 => look_v4(frame, bytes),
        ethertype::IPV6 => look_v6(frame, bytes),
        ethertype::VLAN | ethertype::QINQ | ethertype::QINQ_OLD => Seen::Unclear,
        _ => Seen::Other,
    }
}

#[inline]
fn look_v4(frame: &Frame, bytes: &[u8]) -> Seen {
    let Some(ip) = bytes.get(ETHERNET..).and_then(|ip| ip.first_chunk::<20>()) else {
        return Seen::Unclear;
    };
    // No options, no fragment, and the reserved bit as it should be.
    if ip[0] != 0x45 || u16::from_be_bytes([ip[6], ip[7]]) & !0x4000 != 0 {
        return Seen::Unclear;
    }
    if ip[9] != proto::TCP {
        return Seen::Other;
    }
    let total = u32::from(u16::from_be_bytes([ip[2], ip[3]]));
    let [_, _, _, _, _, _, _, _, _, _, _, _, a, b, c, d, e, f, g, h] = *ip;
    let addresses = u64::from_ne_bytes([a, b, c, d, e, f, g, h]);
    tcp(frame, bytes, false, addresses, ETHERNET as u32 + total)
}

#[inline]
fn look_v6(frame: &Frame, bytes: &[u8]) -> Seen {
    let Some(ip) = bytes.get(ETHERNET..).and_then(|ip| ip.first_chunk::<40>()) else {
        return Seen::Unclear;
    };
    if ip[6] != proto::TCP {
        return if ipv6_walk::is_extension(ip[6]) {
            Seen::Unclear
        } else {
            Seen::Other
        };
    }
    if ip[0] >> 4 != 6 {
        return Seen::Unclear;
    }
    let words = ip.get(8..).unwrap_or_default().chunks_exact(8);
    let addresses = words.fold(0_u64, |hash, word| {
        hash.rotate_left(23) ^ word.first_chunk().map_or(0, |word| u64::from_ne_bytes(*word))
    });
    let payload = u32::from(u16::from_be_bytes([ip[4], ip[5]]));
    tcp(frame, bytes, true, addresses, (ETHERNET + 40) as u32 + payload)
}

#[inline]
fn tcp(frame: &Frame, bytes: &[u8], v6: bool, addresses: u64, end: u32) -> Seen {
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    let l4 = if v6 { ETHERNET + 40 } else { ETHERNET + 20 };
    let Some(header) = bytes.get(l4..).and_then(|tcp| tcp.first_chunk::<20>()) else {
        return Seen::Unclear;
    };
    let [p0, p1, p2, p3, s0, s1, s2, s3, _, _, _, _, offset, flags, ..] = *header;
    let data = l4 as u32 + u32::from(offset >> 4) * 4;
    let ports = u64::from(u32::from_ne_bytes([p0, p1, p2, p3]));
    let slot = ((addresses ^ ports.wrapping_mul(SPREAD)).wrapping_mul(SPREAD) >> 57) as u8;
    let joins = flags & !(PSH | FIN) == ACK
        // The bits beside the header's length are new flags.
        && offset & 0x0f == 0
        && offset >= 0x50
        && data < end
        && end as usize <= bytes.len()
        && !frame.is_copy();
    Seen::Tcp(Segment {
        v6,
        joins,
        flags,
        slot,
        sequence: u32::from_be_bytes([s0, s1, s2, s3]),
        l4: l4 as u16,
        data,
        end,
    })
}

/// Segments that will be one packet. Its number is that of the first of them.
#[derive(Clone, Copy, Default)]
struct Chain {
    last: u8,
    count: u8,
    /// All have the same IPv4 identification. Else it counts up.
    same_id: bool,
    /// Data in each but the last.
    size: u32,
    /// Sequence number that comes next.
    next: u32,
    /// Bytes of headers and data, from the IP header on.
    total: u32,
}

/// Plans and joins within a part of the list. Gives how many frames went into others.
fn window(list: &mut Vec<Frame>, start: usize, end: usize, frames: &mut FrameCache, limit: usize) -> usize {
    let Some(part) = list.get_mut(start..end) else { return 0 };
    let mut plan = Plan {
        chains: [Chain::default(); WINDOW],
        links: [NONE; WINDOW],
        slots: [NONE; SLOTS],
        longer: 0,
        limit: limit.min(usize::from(u16::MAX)) as u32,
    };
    for index in 0..part.len().min(WINDOW) {
        plan.add(part, index);
    }
    // Bits of frames that are in others now.
    let mut gone = 0_u64;
    while plan.longer != 0 {
        let first = plan.longer.trailing_zeros() as usize;
        plan.longer &= plan.longer - 1;
        gone |= plan.join(part, first, frames);
    }
    if gone == 0 {
        return 0;
    }
    // Those that stay move up, in order.
    let mut kept = 0;
    for index in 0..part.len() {
        if gone & (1 << index) == 0 {
            part.swap(kept, index);
            kept += 1;
        }
    }
    for frame in list.drain(start + kept..end) {
        frames.free(frame);
    }
    gone.count_ones() as usize
}

/// What will be joined with what.
struct Plan {
    /// By their first frame.
    chains: [Chain; WINDOW],
    /// The frame that follows in the same chain.
    links: [u8; WINDOW],
    /// Chains that may grow, by the hash of their connection.
    slots: [u8; SLOTS],
    /// Bits of the chains that have more than one segment.
    longer: u64,
    /// Bytes of the largest packet.
    limit: u32,
}

impl Plan {
    /// Takes the next frame.
    #[inline]
    fn add(&mut self, part: &[Frame], index: usize) {
        let Some(frame) = part.get(index) else { return };
        let segment = match look(frame) {
            Seen::Tcp(segment) => segment,
            Seen::Other => return,
            Seen::Unclear => {
                self.slots.fill(NONE);
                return;
            }
        };
        let slot = usize::from(segment.slot) % SLOTS;
        let first = usize::from(self.slots[slot]);
        if let (Some(head), Some(chain)) = (part.get(first), self.chains.get_mut(first)) {
            if segment.joins && chain.takes(head.data(), frame.data(), &segment, self.limit) {
                self.links[usize::from(chain.last) % WINDOW] = index as u8;
                chain.last = index as u8;
                self.longer |= 1 << first;
                if segment.ends() || segment.len() < chain.size {
                    self.slots[slot] = NONE;
                }
                return;
            }
            if same_connection(head.data(), frame.data(), &segment) {
                // What follows must not overtake this one.
                self.slots[slot] = NONE;
            }
        }
        if segment.joins && !segment.ends() {
            self.slots[slot] = index as u8;
            self.chains[index % WINDOW] = Chain {
                last: index as u8,
                count: 1,
                same_id: false,
                size: segment.len(),
                next: segment.sequence.wrapping_add(segment.len()),
                total: segment.end - ETHERNET as u32,
            };
        }
    }

    /// Joins the segments of a chain as far as their checksums are right. Gives the bits of the frames that are in the first now.
    fn join(&self, part: &mut [Frame], first: usize, frames: &mut FrameCache) -> u64 {
        let Some(mut large) = frames.take_large() else { return 0 };
        let mut gone = 0;
        let total = self.chains.get(first).map_or(0, |chain| chain.total as usize);
        if large.place(HEADROOM, ETHERNET + total).is_ok() {
            gone = self.fill(part, first, &mut large);
        }
        match part.get_mut(first) {
            Some(place) if gone != 0 => frames.free(std::mem::replace(place, large)),
            _ => frames.free(large),
        }
        gone
    }

    /// Writes the packet that a chain makes.
    fn fill(&self, part: &[Frame], first: usize, large: &mut Frame) -> u64 {
        let Some(Seen::Tcp(head)) = part.get(first).map(look) else {
            return 0;
        };
        let (mut gone, mut at) = (0_u64, head.data as usize);
        let (mut window, mut flags) = ([0; 2], ACK);
        let mut index = first;
        while let Some(frame) = part.get(index) {
            let Seen::Tcp(segment) = look(frame) else { break };
            let len = segment.len() as usize;
            let Some(to) = large.data_mut().get_mut(at..at + len) else {
                break;
            };
            if !copy_right(frame, &segment, to) {
                break;
            }
            at += len;
            flags |= segment.flags;
            if let Some(tcp) = frame
                .data()
                .get(usize::from(segment.l4)..)
                .and_then(|tcp| tcp.first_chunk::<20>())
            {
                window = [tcp[14], tcp[15]];
            }
            if index != first {
                gone |= 1 << index;
            }
            index = self.links.get(index).map_or(usize::MAX, |next| usize::from(*next));
        }
        if gone == 0 {
            return 0;
        }
        large.truncate(at);
        let bytes = large.data_mut();
        let headers = part.get(first).and_then(|frame| frame.data().get(..head.data as usize));
        if let (Some(to), Some(from)) = (bytes.get_mut(..head.data as usize), headers) {
            to.copy_from_slice(from);
        }
        let l4 = usize::from(head.l4);
        write_ip(bytes, head.v6);
        let pseudo = pseudo(bytes, head.v6, at - l4);
        if let Some(tcp) = bytes.get_mut(l4..).and_then(|tcp| tcp.first_chunk_mut::<20>()) {
            tcp[13] = flags;
            tcp[14..16].copy_from_slice(&window);
            tcp[CHECKSUM..CHECKSUM + 2].copy_from_slice(&pseudo.fold().to_be_bytes());
        }
        large.set_partial(partial(&head));
        large.set_segments(Segments {
            size: u16::try_from(head.len()).unwrap_or(u16::MAX),
            v6: head.v6,
        });
        gone
    }
}

impl Chain {
    /// Takes a segment, if it is the one that comes next and like the first.
    #[inline]
    fn takes(&mut self, head: &[u8], bytes: &[u8], segment: &Segment, limit: u32) -> bool {
        let len = segment.len();
        let fits = segment.sequence == self.next && len <= self.size && self.total + len <= limit;
        if !fits || !alike(head, bytes, segment) {
            return false;
        }
        if !segment.v6 {
            let id = |bytes: &[u8]| bytes.get(18..20).map_or(0, |id| u16::from_be_bytes([id[0], id[1]]));
            let (first, id) = (id(head), id(bytes));
            // An identification that counts up; or, where it says nothing (RFC 6864), one that stays.
            let up = id == first.wrapping_add(u16::from(self.count));
            let stays = id == first && bytes.get(20).is_some_and(|flags| flags & 0x40 != 0);
            if self.count == 1 {
                self.same_id = stays;
            }
            if !(if self.same_id { stays } else { up }) {
                return false;
            }
        }
        self.count += 1;
        self.next = self.next.wrapping_add(len);
        self.total += len;
        true
    }
}

/// Are two frames of the same connection in the same direction? `segment` is what the second holds.
#[inline]
fn same_connection(a: &[u8], b: &[u8], segment: &Segment) -> bool {
    let (Some(x), Some(y)) = (
        a.first_chunk::<{ ETHERNET + 20 + 4 }>(),
        b.first_chunk::<{ ETHERNET + 20 + 4 }>(),
    ) else {
        return false;
    };
    if x[12..14] != y[12..14] {
        return false;
    }
    if !segment.v6 {
        return x[26..38] == y[26..38];
    }
    match (a.first_chunk::<V6>(), b.first_chunk::<V6>()) {
        (Some(x), Some(y)) => x[22..58] == y[22..58],
        _ => false,
    }
}

/// Is the second frame like the first in everything that joining would lose? Not looked at: lengths, identification, sequence
/// number, PSH and FIN, window, checksums.
#[inline]
fn alike(a: &[u8], b: &[u8], segment: &Segment) -> bool {
    let headers = if segment.v6 {
        match (a.first_chunk::<V6>(), b.first_chunk::<V6>()) {
            (Some(x), Some(y)) => x[..18] == y[..18] && x[20..58] == y[20..58] && same_tcp(&x[54..], &y[54..]),
            _ => false,
        }
    } else {
        match (a.first_chunk::<V4>(), b.first_chunk::<V4>()) {
            (Some(x), Some(y)) => {
                x[..16] == y[..16] && x[20..24] == y[20..24] && x[26..38] == y[26..38] && same_tcp(&x[34..], &y[34..])
            }
            _ => false,
        }
    };
    // The headers are of the same length.
    let options = usize::from(segment.l4) + 20..segment.data as usize;
    headers && a.get(options.clone()) == b.get(options)
}

/// Acknowledgement, length of the header, urgent pointer.
#[inline]
fn same_tcp(a: &[u8], b: &[u8]) -> bool {
    match (a.first_chunk::<20>(), b.first_chunk::<20>()) {
        (Some(a), Some(b)) => a[8..13] == b[8..13] && a[18..] == b[18..],
        _ => false,
    }
}

/// Copies the data of a segment; gives whether its checksums are right. What a sender left to be summed is.
#[inline]
fn copy_right(frame: &Frame, segment: &Segment, to: &mut [u8]) -> bool {
    let (bytes, l4, data) = (frame.data(), usize::from(segment.l4), segment.data as usize);
    let (Some(header), Some(from)) = (bytes.get(l4..data), bytes.get(data..segment.end as usize)) else {
        return false;
    };
    let ip = bytes.get(ETHERNET..).and_then(|ip| ip.first_chunk::<20>());
    if !segment.v6 && !ip.is_some_and(checksum::ipv4_header_ok) {
        return false;
    }
    if frame.partial() == Some(partial(segment)) {
        to.copy_from_slice(from);
        return true;
    }
    let pseudo = pseudo(bytes, segment.v6, segment.end as usize - l4);
    pseudo.add_bytes(header).add_copied(from, to).is_valid()
}

/// Sum of the pseudo header of a frame's TCP header and data of this length.
#[inline]
fn pseudo(bytes: &[u8], v6: bool, len: usize) -> Sum {
    let addresses = if v6 { bytes.get(22..54) } else { bytes.get(26..34) };
    Sum::of(addresses.unwrap_or_default())
        .add_u32(len as u32)
        .add_u16(u16::from(proto::TCP))
}

fn partial(segment: &Segment) -> Partial {
    Partial {
        l4: usize::from(segment.l4),
        field: CHECKSUM,
    }
}

/// Makes the lengths in the IP header those of the whole frame.
fn write_ip(bytes: &mut [u8], v6: bool) {
    let total = bytes.len() - ETHERNET;
    let ip = bytes.get_mut(ETHERNET..).unwrap_or_default();
    if v6 {
        if let Some(header) = ip.first_chunk_mut::<40>() {
            header[4..6].copy_from_slice(&((total - 40) as u16).to_be_bytes());
        }
    } else if let Some(header) = ip.first_chunk_mut::<20>() {
        let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let check = Delta::NONE.u16(word(2), total as u16).apply(word(10));
        header[2..4].copy_from_slice(&(total as u16).to_be_bytes());
        header[10..12].copy_from_slice(&check.to_be_bytes());
    }
}

#[cfg(test)]
#[path = "coalesce_tests.rs"]
mod tests;
