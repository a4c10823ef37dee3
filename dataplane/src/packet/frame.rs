//! A frame: one fixed chunk of packet memory and where in it the packet lies.
//!
//! A [`Frame`] is the only handle on its chunk: it is neither `Clone` nor `Copy`, so at any moment each chunk is in exactly one
//! place. Chunks are never returned by dropping a frame (that would need a pointer to the pool in each): whoever holds a frame
//! passes it on or frees it to a [`FrameCache`](crate::packet::pool::FrameCache), and tests count that none is missing.
#![allow(unsafe_code)]

use std::ptr::NonNull;

/// Bytes kept free in front of a received packet, for the outer headers of a tunnel. The kernel leaves the same in AF_XDP.
pub const HEADROOM: u16 = 256;

/// A chunk of packet memory and the packet in it.
#[derive(Debug)]
#[must_use = "a frame that is dropped is lost: free it to a FrameCache or pass it on"]
pub struct Frame {
    base: NonNull<u8>,
    index: u32,
    start: u16,
    len: u16,
    capacity: u16,
    is_copy: bool,
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
    pub(crate) unsafe fn from_chunk(base: NonNull<u8>, index: u32, capacity: u16) -> Self {
        Self {
            base,
            index,
            start: HEADROOM.min(capacity),
            len: 0,
            capacity,
            is_copy: false,
        }
    }

    /// The packet is a copy that a mirror made.
    #[inline]
    pub fn is_copy(&self) -> bool {
        self.is_copy
    }

    /// Says that the packet is a copy that a mirror made, so that no mirror copies it again.
    #[inline]
    pub fn mark_copy(&mut self) {
        self.is_copy = true;
    }

    /// Says that what will be in the frame is a packet like any other.
    #[inline]
    pub(crate) fn unmark(&mut self) {
        self.is_copy = false;
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
        usize::from(self.len)
    }

    /// No packet in it.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Free bytes behind the packet.
    #[inline]
    pub fn tailroom(&self) -> usize {
        usize::from(self.capacity - self.start - self.len)
    }

    /// Says where in the chunk the packet lies.
    ///
    /// # Errors
    /// [`NoRoom`] when it would reach beyond the chunk; the frame is unchanged then.
    #[inline]
    pub fn place(&mut self, start: u16, len: u16) -> Result<(), NoRoom> {
        if u32::from(start) + u32::from(len) > u32::from(self.capacity) {
            return Err(NoRoom {
                wanted: usize::from(len),
                available: usize::from(self.capacity.saturating_sub(start)),
            });
        }
        self.start = start;
        self.len = len;
        Ok(())
    }

    /// The packet.
    #[inline]
    pub fn data(&self) -> &[u8] {
        // SAFETY: `start + len <= capacity` always holds, and the chunk is ours alone (see `from_chunk`).
        unsafe { std::slice::from_raw_parts(self.base.as_ptr().add(usize::from(self.start)), usize::from(self.len)) }
    }

    /// The packet, to be changed.
    #[inline]
    pub fn data_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `data`; `&mut self` makes the access exclusive.
        unsafe {
            std::slice::from_raw_parts_mut(self.base.as_ptr().add(usize::from(self.start)), usize::from(self.len))
        }
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
        self.len += count;
        Ok(self.data_mut())
    }

    /// Removes up to `count` bytes in front.
    #[inline]
    pub fn strip(&mut self, count: u16) {
        let count = count.min(self.len);
        self.start += count;
        self.len -= count;
    }

    /// Shortens the packet to at most `len` bytes.
    #[inline]
    pub fn truncate(&mut self, len: usize) {
        if len < usize::from(self.len) {
            self.len = len as u16;
        }
    }

    /// Replaces the packet by a copy of `packet`, with the usual headroom in front.
    ///
    /// # Errors
    /// [`NoRoom`] when the chunk is too small; the frame is unchanged then.
    #[inline]
    pub fn copy_from(&mut self, packet: &[u8]) -> Result<(), NoRoom> {
        let available = usize::from(self.capacity.saturating_sub(HEADROOM));
        if packet.len() > available {
            return Err(NoRoom {
                wanted: packet.len(),
                available,
            });
        }
        self.start = HEADROOM;
        self.len = packet.len() as u16;
        self.data_mut().copy_from_slice(packet);
        Ok(())
    }

    /// Replaces the packet by `len` zero bytes, with the usual headroom in front.
    ///
    /// # Errors
    /// [`NoRoom`] when the chunk is too small; the frame is unchanged then.
    pub fn fill_zero(&mut self, len: usize) -> Result<&mut [u8], NoRoom> {
        let available = usize::from(self.capacity.saturating_sub(HEADROOM));
        if len > available {
            return Err(NoRoom { wanted: len, available });
        }
        self.start = HEADROOM;
        self.len = len as u16;
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
