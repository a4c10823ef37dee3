//! The rings that we and the kernel share: one side produces, the other consumes.
//!
//! Memory order as the kernel has it (`net/xdp/xsk_queue.h`): entries are written before the producer index is released, and
//! read after it was acquired. Indices run freely and wrap; an entry's place is the index under a mask, so whatever the kernel
//! writes, no access leaves the mapping.
#![allow(unsafe_code)]

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
    ptr::{self, NonNull},
    sync::atomic::{AtomicU32, Ordering},
};

use libxdp_sys::{XDP_RING_NEED_WAKEUP, xdp_ring_offset};

/// Something a ring may hold: plain data, any bits of which are a value.
pub(super) trait Entry: Copy {}

impl Entry for u64 {}
impl Entry for libxdp_sys::xdp_desc {}

/// A ring's memory and where things are in it.
#[derive(Debug)]
struct Mapping<T> {
    base: NonNull<u8>,
    bytes: usize,
    producer: NonNull<AtomicU32>,
    consumer: NonNull<AtomicU32>,
    flags: NonNull<AtomicU32>,
    entries: NonNull<T>,
    size: u32,
}

// SAFETY: the mapping belongs to the process, not to a thread, and we own it.
unsafe impl<T: Entry> Send for Mapping<T> {}

impl<T: Entry> Mapping<T> {
    /// Maps the ring of `size` entries (a power of two) at `page_offset` of an AF_XDP socket.
    fn new(socket: BorrowedFd<'_>, page_offset: u64, at: &xdp_ring_offset, size: u32) -> io::Result<Self> {
        let bytes = at.desc as usize + size as usize * size_of::<T>();
        // SAFETY: a new mapping, nothing is replaced.
        let base = unsafe {
            libc::mmap(
                ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_POPULATE,
                socket.as_raw_fd(),
                page_offset as libc::off_t,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast::<u8>()).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
        // SAFETY: the kernel gives offsets within the mapping it makes, aligned for their types.
        unsafe {
            Ok(Self {
                base,
                bytes,
                producer: base.add(at.producer as usize).cast(),
                consumer: base.add(at.consumer as usize).cast(),
                flags: base.add(at.flags as usize).cast(),
                entries: base.add(at.desc as usize).cast(),
                size,
            })
        }
    }

    #[inline]
    fn producer(&self) -> &AtomicU32 {
        // SAFETY: mapped for as long as we live; both sides access it atomically.
        unsafe { self.producer.as_ref() }
    }

    #[inline]
    fn consumer(&self) -> &AtomicU32 {
        // SAFETY: as above.
        unsafe { self.consumer.as_ref() }
    }

    #[inline]
    fn flags(&self) -> &AtomicU32 {
        // SAFETY: as above.
        unsafe { self.flags.as_ref() }
    }

    #[inline]
    fn entry(&self, index: u32) -> NonNull<T> {
        // SAFETY: the mask keeps the place below `size`, which is a power of two.
        unsafe { self.entries.add((index & (self.size - 1)) as usize) }
    }
}

impl<T> Drop for Mapping<T> {
    fn drop(&mut self) {
        // SAFETY: mapped by us with this length; all pointers into it go with us.
        unsafe {
            libc::munmap(self.base.as_ptr().cast(), self.bytes);
        }
    }
}

/// A ring that we fill and the kernel empties.
#[derive(Debug)]
pub(super) struct Producer<T: Entry> {
    mapping: Mapping<T>,
    /// Index of the next entry to write.
    next: u32,
    /// The kernel's index when we last looked.
    seen: u32,
}

impl<T: Entry> Producer<T> {
    /// Maps it.
    pub(super) fn new(socket: BorrowedFd<'_>, page_offset: u64, at: &xdp_ring_offset, size: u32) -> io::Result<Self> {
        let mapping = Mapping::new(socket, page_offset, at, size)?;
        let next = mapping.producer().load(Ordering::Relaxed);
        let seen = mapping.consumer().load(Ordering::Acquire);
        Ok(Self { mapping, next, seen })
    }

    /// Entries that can be pushed; looks at the kernel's index only when fewer than `wanted` were known.
    #[inline]
    pub(super) fn room(&mut self, wanted: u32) -> u32 {
        let size = self.mapping.size;
        let known = size.saturating_sub(self.next.wrapping_sub(self.seen));
        if known >= wanted {
            return known;
        }
        self.seen = self.mapping.consumer().load(Ordering::Acquire);
        size.saturating_sub(self.next.wrapping_sub(self.seen))
    }

    /// Writes an entry, to be seen by the kernel after [`submit`](Self::submit). There must be room.
    #[inline]
    pub(super) fn push(&mut self, entry: T) {
        debug_assert!(self.room(1) > 0);
        // SAFETY: a place within the ring; the kernel does not read it before we release the index.
        unsafe { self.mapping.entry(self.next).write(entry) };
        self.next = self.next.wrapping_add(1);
    }

    /// Shows all pushed entries to the kernel.
    #[inline]
    pub(super) fn submit(&mut self) {
        self.mapping.producer().store(self.next, Ordering::Release);
    }

    /// Entries that the kernel has not yet consumed.
    #[inline]
    pub(super) fn waiting(&self) -> u32 {
        self.next.wrapping_sub(self.mapping.consumer().load(Ordering::Acquire))
    }

    /// The kernel will not look at the ring by itself.
    #[inline]
    pub(super) fn needs_wakeup(&self) -> bool {
        self.mapping.flags().load(Ordering::Relaxed) & XDP_RING_NEED_WAKEUP != 0
    }
}

/// A ring that the kernel fills and we empty.
#[derive(Debug)]
pub(super) struct Consumer<T: Entry> {
    mapping: Mapping<T>,
    /// Index of the next entry to read.
    next: u32,
    /// The kernel's index when we last looked.
    seen: u32,
}

impl<T: Entry> Consumer<T> {
    /// Maps it.
    pub(super) fn new(socket: BorrowedFd<'_>, page_offset: u64, at: &xdp_ring_offset, size: u32) -> io::Result<Self> {
        let mapping = Mapping::new(socket, page_offset, at, size)?;
        let next = mapping.consumer().load(Ordering::Relaxed);
        Ok(Self {
            mapping,
            next,
            seen: next,
        })
    }

    /// Looks whether the kernel has produced more; gives how many entries can be popped.
    #[inline]
    pub(super) fn look(&mut self) -> u32 {
        self.seen = self.mapping.producer().load(Ordering::Acquire);
        self.seen.wrapping_sub(self.next)
    }

    /// The next of the entries that were there at the last [`look`](Self::look).
    #[inline]
    pub(super) fn pop(&mut self) -> Option<T> {
        if self.next == self.seen {
            return None;
        }
        // SAFETY: a place within the ring, written by the kernel before it released the index that `look` acquired; any bits
        // make a value of an `Entry`.
        let entry = unsafe { self.mapping.entry(self.next).read() };
        self.next = self.next.wrapping_add(1);
        Some(entry)
    }

    /// Gives the places of all popped entries back to the kernel.
    #[inline]
    pub(super) fn release(&mut self) {
        self.mapping.consumer().store(self.next, Ordering::Release);
    }
}
