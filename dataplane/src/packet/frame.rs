//! A frame: one fixed chunk of packet memory and where in it the packet lies.
//!
//! A [`Frame`] is the only handle on its chunk: it is neither `Clone` nor `Copy`, so at any moment each chunk is in exactly one
//! place. Chunks are never returned by dropping a frame (that would need a pointer to the pool in each): whoever holds a frame
//! passes it on or frees it to a [`FrameCache`](crate::packet::pool::FrameCache), and tests count that none is missing.
//!
//! A packet is always whole in its chunk. Most chunks are as large as an ordinary link needs; *large* ones hold what a workload hands
//! over unsegmented, up to 64 KiB.
#![allow(unsafe_code)]

use std::ptr::NonNull;

use crate::wire::{checksum, proto};

/// Bytes kept free in front of a received packet, for the outer headers of a tunnel. The kernel leaves the same in AF_XDP.
pub const HEADROOM: u16 = 256;

/// A chunk of packet memory and the packet in it.
#[derive(Debug)]
#[must_use = "a frame that is dropped is lost: free it to a FrameCache or pass it on"]
pub struct Frame {
    base: NonNull<u8>,
    index: u32,
    len: u32,
    start: u16,
    /// Size of the chunk in units of [`UNIT`] bytes.
    units: u16,
    /// Where in the chunk the L4 header is whose checksum is not complete; 0: all is complete.
    partial: u16,
    marks: u8,
}

/// What sizes of chunks are multiples of, bytes.
pub(super) const UNIT: usize = 64;

/// Mark: the packet is a copy that a mirror made.
const COPY: u8 = 1;
/// Mark: the chunk is a large one.
const LARGE: u8 = 2;
/// Mark: the checksum that is not complete is at UDP's place, not at TCP's.
const UDP: u8 = 4;
/// Mark: the packet is made of TCP segments, whose size stands in the chunk's first bytes, where no header ever reaches.
const SEGMENTS: u8 = 8;
/// Mark: these are of IPv6.
const V6: u8 = 16;
/// Mark: the packet is to be cut where it leaves. How stands in the chunk's first bytes, too.
const CUT: u8 = 32;

/// What a large packet was joined from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segments {
    /// Bytes of data of each but the last.
    pub size: u16,
    /// IPv6, not IPv4.
    pub v6: bool,
}

/// How a large TCP packet behind the outer headers of a tunnel is to be cut where it leaves: into tunnel packets of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Bytes of the outer headers, which each of them gets.
    pub front: u8,
    /// Behind them is an Ethernet frame, not an IP packet.
    pub ethernet: bool,
    /// Largest of the packets behind the outer headers, bytes: of the frames if they are such.
    pub size: u16,
}

/// Where a checksum is that a sender's kernel left for hardware to finish: only the pseudo header is summed (`CHECKSUM_PARTIAL`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partial {
    /// Where the L4 header starts, counted from the packet's first byte. All from here on is to be summed.
    pub l4: usize,
    /// Where in it the checksum is: 16 for TCP, 6 for UDP.
    pub field: usize,
}

impl Partial {
    /// That of a TCP or UDP header at `l4`; `None` for other protocols, which senders finish themselves.
    #[inline]
    pub fn of(protocol: u8, l4: usize) -> Option<Self> {
        match protocol {
            proto::TCP | proto::UDP => checksum::field_offset(protocol).map(|field| Self { l4, field }),
            _ => None,
        }
    }
}

// SAFETY: a frame is the unique owner of its chunk, like a `Box<[u8]>`.
unsafe impl Send for Frame {}
// SAFETY: shared access only reads the chunk.
unsafe impl Sync for Frame {}

/// The packet does not fit into its chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no room in the frame: {wanted} bytes wanted, {available} available")]
pub struct NoRoom {
    /// Bytes wanted.
    pub wanted: usize,
    /// Bytes there are.
    pub available: usize,
}

impl Frame {
    /// Claims a chunk.
    ///
    /// # Safety
    /// `base` must point to `capacity` readable and writable bytes that stay valid for as long as the frame lives, and no other
    /// `Frame`, reference or kernel ring may refer to them.
    pub(crate) unsafe fn from_chunk(base: NonNull<u8>, index: u32, capacity: usize, large: bool) -> Self {
        Self {
            base,
            index,
            len: 0,
            start: HEADROOM.min(u16::try_from(capacity).unwrap_or(u16::MAX)),
            units: (capacity / UNIT).min(usize::from(u16::MAX)) as u16,
            partial: 0,
            marks: if large { LARGE } else { 0 },
        }
    }

    /// Bytes of the chunk.
    #[inline]
    pub fn capacity(&self) -> usize {
        usize::from(self.units) * UNIT
    }

    /// The chunk is one of those for unsegmented packets, which the kernel knows nothing of.
    #[inline]
    pub fn is_large(&self) -> bool {
        self.marks & LARGE != 0
    }

    /// The packet is a copy that a mirror made.
    #[inline]
    pub fn is_copy(&self) -> bool {
        self.marks & COPY != 0
    }

    /// Says that the packet is a copy that a mirror made, so that no mirror copies it again.
    #[inline]
    pub fn mark_copy(&mut self) {
        self.marks |= COPY;
    }

    /// Says that what will be in the frame is a packet like any other, with nothing left to do.
    #[inline]
    pub(crate) fn unmark(&mut self) {
        self.marks &= LARGE;
        self.partial = 0;
    }

    /// The L4 checksum covers the pseudo header only.
    #[inline]
    pub fn is_partial(&self) -> bool {
        self.partial != 0
    }

    /// Where the checksum is that covers the pseudo header only, if there is one.
    #[inline]
    pub fn partial(&self) -> Option<Partial> {
        let l4 = self.partial.checked_sub(self.start).filter(|_| self.is_partial())?;
        Some(Partial {
            l4: usize::from(l4),
            field: if self.marks & UDP != 0 { 6 } else { 16 },
        })
    }

    /// Says that a checksum covers the pseudo header only. Its place is remembered by the chunk: headers may come and go in front. The
    /// packet must end where what is to be summed ends.
    #[inline]
    pub fn set_partial(&mut self, partial: Partial) {
        self.partial = self.start.saturating_add(partial.l4 as u16);
        self.marks = self.marks & !UDP | if partial.field == 6 { UDP } else { 0 };
    }

    /// Says that no checksum is left to be completed, and nothing was joined: the packet is another.
    #[inline]
    pub fn clear_partial(&mut self) {
        self.partial = 0;
        self.marks &= !(SEGMENTS | CUT);
    }

    /// The TCP segments that the packet was joined from, if it was.
    #[inline]
    pub fn segments(&self) -> Option<Segments> {
        if self.marks & SEGMENTS == 0 {
            return None;
        }
        // SAFETY: a chunk is longer than two bytes, and ours alone (see `from_chunk`); written by `set_segments`.
        let size = unsafe { self.base.cast::<[u8; 2]>().read() };
        Some(Segments {
            size: u16::from_ne_bytes(size),
            v6: self.marks & V6 != 0,
        })
    }

    /// Says that the packet was joined from TCP segments, so that a receiver whose interface takes no more than these can have it as such.
    /// Headers in front may take all of the headroom but two bytes.
    #[inline]
    pub fn set_segments(&mut self, segments: Segments) {
        // SAFETY: as in `segments`; `&mut self` makes the access exclusive.
        unsafe { self.base.cast::<[u8; 2]>().write(segments.size.to_ne_bytes()) };
        self.marks = self.marks & !V6 | SEGMENTS | if segments.v6 { V6 } else { 0 };
    }

    /// How the packet is to be cut where it leaves, if it is.
    #[inline]
    pub fn cut(&self) -> Option<Cut> {
        if self.marks & CUT == 0 {
            return None;
        }
        // SAFETY: a chunk is longer than four bytes, and ours alone (see `from_chunk`); written by `set_cut`.
        let [front, ethernet, a, b] = unsafe { self.base.cast::<[u8; 4]>().read() };
        Some(Cut {
            front,
            ethernet: ethernet != 0,
            size: u16::from_ne_bytes([a, b]),
        })
    }

    /// Says that the packet, which was not joined from segments, is to be cut where it leaves. Headers in front may take all of the headroom
    /// but four bytes.
    #[inline]
    pub fn set_cut(&mut self, cut: Cut) {
        let [a, b] = cut.size.to_ne_bytes();
        let bytes = [cut.front, cut.ethernet.into(), a, b];
        // SAFETY: as in `cut`; `&mut self` makes the access exclusive.
        unsafe { self.base.cast::<[u8; 4]>().write(bytes) };
        self.marks = self.marks & !SEGMENTS | CUT;
    }

    /// Sums what a sender left to be summed.
    #[inline(always)]
    pub fn complete(&mut self) {
        if self.is_partial() {
            self.complete_open();
        }
    }

    #[inline(never)]
    fn complete_open(&mut self) {
        if let Some(partial) = self.partial() {
            if let Some(l4) = self.data_mut().get_mut(partial.l4..) {
                checksum::complete_at(l4, partial.field);
            }
            self.partial = 0;
        }
    }

    /// Number of the chunk within its region.
    #[inline]
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Offset of the packet's first byte within the chunk.
    #[inline]
    pub fn start(&self) -> u16 {
        self.start
    }

    /// Length of the packet, bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// No packet in it.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Free bytes behind the packet.
    #[inline]
    pub fn tailroom(&self) -> usize {
        self.capacity() - usize::from(self.start) - self.len()
    }

    /// Says where in the chunk the packet lies.
    ///
    /// # Errors
    /// [`NoRoom`] when it would reach beyond the chunk; the frame is unchanged then.
    #[inline]
    pub fn place(&mut self, start: u16, len: usize) -> Result<(), NoRoom> {
        let available = self.capacity().saturating_sub(usize::from(start));
        if len > available || usize::from(start) > self.capacity() {
            return Err(NoRoom { wanted: len, available });
        }
        self.start = start;
        self.len = len as u32;
        Ok(())
    }

    /// The packet.
    #[inline]
    pub fn data(&self) -> &[u8] {
        // SAFETY: `start + len <= capacity` always holds, and the chunk is ours alone (see `from_chunk`).
        unsafe { std::slice::from_raw_parts(self.base.as_ptr().add(usize::from(self.start)), self.len as usize) }
    }

    /// The packet, to be changed.
    #[inline]
    pub fn data_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `data`; `&mut self` makes the access exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.base.as_ptr().add(usize::from(self.start)), self.len as usize) }
    }

    /// Grows the packet by `count` bytes in front and gives the whole packet. The new bytes hold what was there before.
    ///
    /// # Errors
    /// [`NoRoom`] when the headroom is smaller; the frame is unchanged then.
    #[inline]
    pub fn prepend(&mut self, count: u16) -> Result<&mut [u8], NoRoom> {
        if count > self.start {
            return Err(NoRoom {
                wanted: usize::from(count),
                available: usize::from(self.start),
            });
        }
        self.start -= count;
        self.len += u32::from(count);
        Ok(self.data_mut())
    }

    /// Grows the packet by `count` bytes in front and gives the `N` bytes (at least as many) that end where it began: they hold what was there
    /// before. `None`, and nothing changes, when there are fewer.
    #[inline(always)]
    pub fn front<const N: usize>(&mut self, count: u16) -> Option<&mut [u8; N]> {
        let first = usize::from(self.start).checked_sub(N)?;
        if usize::from(count) > N {
            return None;
        }
        self.start -= count;
        self.len += u32::from(count);
        // SAFETY: these bytes lie in the chunk, which is ours alone (see `from_chunk`), before what was the packet's first; `&mut self` makes the
        // access exclusive.
        Some(unsafe { &mut *self.base.as_ptr().add(first).cast::<[u8; N]>() })
    }

    /// Removes up to `count` bytes in front.
    #[inline]
    pub fn strip(&mut self, count: u16) {
        let count = u32::from(count).min(self.len) as u16;
        self.start += count;
        self.len -= u32::from(count);
    }

    /// Leaves of the packet `len` bytes from `front` on. `false`, and nothing changes, if it has not so many.
    #[inline(always)]
    pub fn narrow(&mut self, front: u16, len: u16) -> bool {
        let fits = u32::from(front) + u32::from(len) <= self.len;
        if fits {
            self.start += front;
            self.len = u32::from(len);
        }
        fits
    }

    /// Shortens the packet to at most `len` bytes.
    #[inline]
    pub fn truncate(&mut self, len: usize) {
        if len < self.len as usize {
            self.len = len as u32;
        }
    }

    /// Adds bytes behind the packet.
    ///
    /// # Errors
    /// [`NoRoom`] when the tailroom is smaller; the frame is unchanged then.
    #[inline]
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), NoRoom> {
        let (len, available) = (self.len(), self.tailroom());
        if bytes.len() > available {
            return Err(NoRoom {
                wanted: bytes.len(),
                available,
            });
        }
        self.len += bytes.len() as u32;
        self.data_mut()[len..].copy_from_slice(bytes);
        Ok(())
    }

    /// Replaces the packet by a copy of `packet`, with the usual headroom in front.
    ///
    /// # Errors
    /// [`NoRoom`] when the chunk is too small; the frame is unchanged then.
    #[inline]
    pub fn copy_from(&mut self, packet: &[u8]) -> Result<(), NoRoom> {
        let available = self.capacity().saturating_sub(usize::from(HEADROOM));
        if packet.len() > available {
            return Err(NoRoom {
                wanted: packet.len(),
                available,
            });
        }
        self.start = HEADROOM;
        self.len = packet.len() as u32;
        self.clear_partial();
        self.data_mut().copy_from_slice(packet);
        Ok(())
    }

    /// Replaces the packet by `len` zero bytes, with the usual headroom in front.
    ///
    /// # Errors
    /// [`NoRoom`] when the chunk is too small; the frame is unchanged then.
    pub fn fill_zero(&mut self, len: usize) -> Result<&mut [u8], NoRoom> {
        let available = self.capacity().saturating_sub(usize::from(HEADROOM));
        if len > available {
            return Err(NoRoom { wanted: len, available });
        }
        self.start = HEADROOM;
        self.len = len as u32;
        self.clear_partial();
        let data = self.data_mut();
        data.fill(0);
        Ok(data)
    }

    /// Asks the CPU to fetch the packet's first cache line.
    #[inline]
    pub fn prefetch(&self) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: prefetching has no effect on memory and accepts any address.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T0>(self.base.as_ptr().add(usize::from(self.start)).cast());
        }
    }
}
