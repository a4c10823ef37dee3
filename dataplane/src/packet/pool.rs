//! The memory that frames live in, and who holds the free ones.
//!
//! One [`FramePool`] is one region of equal chunks, made once. Each worker holds a [`FrameCache`]: taking and freeing a frame is
//! a push or pop on its own list; only whole handfuls move between a cache and the pool's shared, lock-free depot.
//!
//! A pool may have some large frames besides, in a region of their own, for packets of up to 64 KiB.
#![allow(unsafe_code)]

use std::{
    alloc::{Layout, alloc, dealloc},
    ptr::NonNull,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use crossbeam::queue::ArrayQueue;

use super::frame::{Frame, HEADROOM};
use crate::huge_pages;

/// Frames that move between a cache and the depot at a time.
const HANDFUL: usize = 64;

/// Smallest chunk size, bytes.
pub const MIN_CHUNK: u16 = 2048;

/// Largest chunk size, bytes.
pub const MAX_CHUNK: u16 = 32768;

/// Bytes of a large chunk: the largest IP packet, an Ethernet header with its tags, and room for headers in front. Not a power of two,
/// so that the packets' headers do not fall into the same cache sets.
pub const LARGE_CHUNK: usize = 66 << 10;

/// Large frames that a cache keeps.
const LARGE_LOCAL: usize = 64;

/// Why a pool cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// Chunks must be a power of two so that AF_XDP takes them.
    #[error("frame size {0} is not a power of two from {MIN_CHUNK} to {MAX_CHUNK} bytes")]
    ChunkSize(u16),
    /// No frames asked for.
    #[error("a pool needs at least {HANDFUL} frames, {0} asked for")]
    TooFew(u32),
    /// The system has not so much memory.
    #[error("no memory for {frames} frames of {chunk} bytes")]
    OutOfMemory {
        /// Frames asked for.
        frames: u32,
        /// Bytes of each.
        chunk: usize,
    },
}

/// A region of chunks. Never unmapped while frames of it are about.
#[derive(Debug)]
struct Region {
    base: NonNull<u8>,
    layout: Layout,
}

impl Region {
    /// `count` chunks of `chunk` bytes; not none.
    fn new(count: u32, chunk: usize) -> Option<Self> {
        let bytes = (count as usize).checked_mul(chunk).filter(|bytes| *bytes > 0)?;
        let layout = Layout::from_size_align(bytes, huge_pages::SIZE).ok()?;
        // SAFETY: the layout's size is not zero.
        let base = NonNull::new(unsafe { alloc(layout) })?;
        // Before it is first written to: a packet of each frame is in another page otherwise, and few of these are remembered by a CPU.
        huge_pages::prefer(base, bytes);
        // SAFETY: the allocation has so many bytes, and nobody else knows it.
        unsafe { base.as_ptr().write_bytes(0, bytes) };
        Some(Self { base, layout })
    }
}

// SAFETY: the region is plain memory; access goes through frames, each the unique owner of its chunk.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

/// The large frames of a pool.
#[derive(Debug)]
struct Large {
    region: Region,
    total: u32,
    depot: ArrayQueue<Frame>,
}

impl Large {
    /// Numbers its chunks from `first` up.
    fn new(total: u32, first: u32) -> Option<Self> {
        let region = Region::new(total, LARGE_CHUNK)?;
        let depot = ArrayQueue::new(total as usize);
        for number in 0..total {
            // SAFETY: number < total, so the chunk lies within the region; each chunk is claimed once, here.
            let frame = unsafe {
                let base = region.base.add(number as usize * LARGE_CHUNK);
                Frame::from_chunk(base, first.saturating_add(number), LARGE_CHUNK, true)
            };
            // The depot has room for every frame there is.
            let _ = depot.push(frame);
        }
        Some(Self { region, total, depot })
    }
}

/// Packet memory shared by all ports and workers of one dataplane.
#[derive(Debug)]
pub struct FramePool {
    region: Region,
    chunk: u16,
    total: u32,
    depot: ArrayQueue<Frame>,
    /// Large frames, if there are any.
    large: Option<Large>,
    /// Length of each cache's free list, as its owner last said.
    gauges: Mutex<Vec<Weak<AtomicUsize>>>,
}

impl FramePool {
    /// Makes a pool of `total` frames of `chunk` bytes each.
    ///
    /// # Errors
    /// [`PoolError`] when the numbers make no pool or memory is short.
    pub fn new(total: u32, chunk: u16) -> Result<Arc<Self>, PoolError> {
        Self::with_large(total, chunk, 0)
    }

    /// As [`new`](Self::new), with `large` frames of [`LARGE_CHUNK`] bytes besides.
    ///
    /// # Errors
    /// [`PoolError`] when the numbers make no pool or memory is short.
    pub fn with_large(total: u32, chunk: u16, large: u32) -> Result<Arc<Self>, PoolError> {
        if !chunk.is_power_of_two() || !(MIN_CHUNK..=MAX_CHUNK).contains(&chunk) {
            return Err(PoolError::ChunkSize(chunk));
        }
        if (total as usize) < HANDFUL {
            return Err(PoolError::TooFew(total));
        }
        let out_of_memory = |frames, bytes| PoolError::OutOfMemory { frames, chunk: bytes };
        let region = Region::new(total, usize::from(chunk)).ok_or(out_of_memory(total, usize::from(chunk)))?;
        let large = match large {
            0 => None,
            count => Some(Large::new(count, total).ok_or(out_of_memory(count, LARGE_CHUNK))?),
        };
        let depot = ArrayQueue::new(total as usize);
        for index in 0..total {
            // SAFETY: index < total, so the chunk lies within the region; each chunk is claimed once here.
            let frame = unsafe {
                let chunk_base = region.base.add(index as usize * usize::from(chunk));
                Frame::from_chunk(chunk_base, index, usize::from(chunk), false)
            };
            // The depot has room for every frame there is.
            let _ = depot.push(frame);
        }
        Ok(Arc::new(Self {
            region,
            chunk,
            total,
            depot,
            large,
            gauges: Mutex::default(),
        }))
    }

    /// Bytes of one chunk.
    pub fn chunk(&self) -> u16 {
        self.chunk
    }

    /// Largest packet that a frame holds behind its headroom.
    pub fn max_packet(&self) -> usize {
        usize::from(self.chunk - HEADROOM)
    }

    /// Frames there are.
    pub fn total(&self) -> u32 {
        self.total
    }

    /// Largest packet that any frame of the pool holds behind its headroom.
    pub fn max_large_packet(&self) -> usize {
        match self.large {
            Some(_) => LARGE_CHUNK - usize::from(HEADROOM),
            None => self.max_packet(),
        }
    }

    /// Large frames there are.
    pub fn large(&self) -> u32 {
        self.large.as_ref().map_or(0, |large| large.total)
    }

    /// Frames that nobody uses, in the depot or in caches, without large ones. Exact only while no worker runs.
    pub fn free(&self) -> usize {
        let gauges = self.gauges.lock().unwrap_or_else(PoisonError::into_inner);
        let cached: usize = gauges
            .iter()
            .filter_map(Weak::upgrade)
            .map(|g| g.load(Ordering::Acquire))
            .sum();
        self.depot.len() + cached
    }

    /// Less than a quarter of all frames is in the depot.
    #[inline]
    pub fn is_scarce(&self) -> bool {
        self.depot.len() < self.total as usize / 4
    }

    /// Start and length of the region, to register it with the kernel.
    pub fn memory(&self) -> (NonNull<u8>, usize) {
        (self.region.base, self.region.layout.size())
    }

    /// Takes back from the kernel a chunk that was given to it by [`Frame::index`].
    ///
    /// # Safety
    /// The chunk must have been given up by a frame that was forgotten, and nobody else may have claimed it since.
    pub unsafe fn claim(&self, index: u32) -> Option<Frame> {
        if index >= self.total {
            return None;
        }
        // SAFETY: the index lies within the region; the caller vouches that the chunk is unclaimed.
        Some(unsafe {
            let base = self.region.base.add(index as usize * usize::from(self.chunk));
            Frame::from_chunk(base, index, usize::from(self.chunk), false)
        })
    }

    /// A cache for one more worker.
    pub fn cache(self: &Arc<Self>) -> FrameCache {
        let gauge = Arc::new(AtomicUsize::new(0));
        let mut gauges = self.gauges.lock().unwrap_or_else(PoisonError::into_inner);
        gauges.retain(|g| g.strong_count() > 0);
        gauges.push(Arc::downgrade(&gauge));
        drop(gauges);
        FrameCache {
            pool: self.clone(),
            local: Vec::with_capacity(4 * HANDFUL),
            large: Vec::with_capacity(LARGE_LOCAL),
            gauge,
        }
    }
}

impl Drop for FramePool {
    fn drop(&mut self) {
        // A frame that is still about would dangle: rather leak the region. Caches hold the pool alive, so only frames outside
        // any cache can be missing here.
        if self.depot.len() == self.total as usize {
            // SAFETY: allocated with this layout; every chunk's owner is in the depot, which goes with us.
            unsafe { dealloc(self.region.base.as_ptr(), self.region.layout) };
        }
        if let Some(large) = &self.large
            && large.depot.len() == large.total as usize
        {
            // SAFETY: as above.
            unsafe { dealloc(large.region.base.as_ptr(), large.region.layout) };
        }
    }
}

/// One worker's share of free frames.
#[derive(Debug)]
pub struct FrameCache {
    pool: Arc<FramePool>,
    local: Vec<Frame>,
    large: Vec<Frame>,
    gauge: Arc<AtomicUsize>,
}

impl FrameCache {
    /// Takes a free frame, empty, with the usual headroom. `None` when the whole pool is used up.
    #[inline]
    pub fn take(&mut self) -> Option<Frame> {
        if self.local.is_empty() {
            self.refill();
        }
        let mut frame = self.local.pop()?;
        self.gauge.store(self.local.len(), Ordering::Relaxed);
        let _ = frame.place(HEADROOM, 0);
        frame.unmark();
        Some(frame)
    }

    /// Takes a free large frame, empty, with the usual headroom. `None` when there are none, or all are in use.
    #[inline]
    pub fn take_large(&mut self) -> Option<Frame> {
        let mut frame = match self.large.pop() {
            Some(frame) => frame,
            None => self.pool.large.as_ref()?.depot.pop()?,
        };
        let _ = frame.place(HEADROOM, 0);
        frame.unmark();
        Some(frame)
    }

    /// Gives a frame back, of either size.
    #[inline]
    pub fn free(&mut self, frame: Frame) {
        if frame.is_large() {
            self.free_large(frame);
            return;
        }
        self.local.push(frame);
        if self.local.len() >= 4 * HANDFUL {
            self.spill(2 * HANDFUL);
        }
        self.gauge.store(self.local.len(), Ordering::Relaxed);
    }

    #[cold]
    fn free_large(&mut self, frame: Frame) {
        if self.large.len() < LARGE_LOCAL {
            self.large.push(frame);
        } else if let Some(large) = &self.pool.large {
            // The depot has room for every frame there is.
            let _ = large.depot.push(frame);
        }
    }

    /// The pool behind this cache.
    pub fn pool(&self) -> &Arc<FramePool> {
        &self.pool
    }

    #[cold]
    fn refill(&mut self) {
        for _ in 0..HANDFUL {
            let Some(frame) = self.pool.depot.pop() else { break };
            self.local.push(frame);
        }
    }

    #[cold]
    fn spill(&mut self, keep: usize) {
        while self.local.len() > keep {
            let Some(frame) = self.local.pop() else { break };
            // The depot has room for every frame there is.
            let _ = self.pool.depot.push(frame);
        }
    }
}

impl Drop for FrameCache {
    fn drop(&mut self) {
        self.spill(0);
        if let Some(large) = &self.pool.large {
            for frame in self.large.drain(..) {
                let _ = large.depot.push(frame);
            }
        }
        self.gauge.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::frame::{NoRoom, Partial},
        *,
    };

    #[test]
    fn every_frame_is_in_one_place() {
        let pool = FramePool::new(256, 2048).unwrap();
        let (mut a, mut b) = (pool.cache(), pool.cache());
        let mut taken = Vec::new();
        while let Some(frame) = a.take().or_else(|| b.take()) {
            taken.push(frame);
        }
        assert_eq!(taken.len(), 256);
        assert_eq!(pool.free(), 0);
        let mut indices: Vec<_> = taken.iter().map(Frame::index).collect();
        indices.sort_unstable();
        assert!(indices.iter().copied().eq(0..256));
        // Freed to another cache than they came from: still all there.
        taken.into_iter().for_each(|frame| b.free(frame));
        assert_eq!(pool.free(), 256);
        drop((a, b));
        assert_eq!(pool.free(), 256);
    }

    #[test]
    fn a_frame_grows_and_shrinks_within_its_chunk() {
        let pool = FramePool::new(64, 2048).unwrap();
        let mut cache = pool.cache();
        let mut frame = cache.take().unwrap();
        assert_eq!(
            frame.copy_from(&[0; 1793]),
            Err(NoRoom {
                wanted: 1793,
                available: 1792
            })
        );
        frame.copy_from(&[7; 100]).unwrap();
        assert_eq!(
            frame.prepend(257),
            Err(NoRoom {
                wanted: 257,
                available: 256
            })
        );
        frame.prepend(50).unwrap()[..50].fill(1);
        assert_eq!(frame.len(), 150);
        frame.strip(50);
        assert_eq!(frame.data(), [7; 100]);
        let front = frame.front::<16>(14).unwrap();
        front[2..].fill(9);
        assert_eq!((frame.len(), frame.start()), (114, HEADROOM - 14));
        assert_eq!(
            (&frame.data()[..14], &frame.data()[14..]),
            (&[9; 14][..], &[7; 100][..])
        );
        assert!(frame.front::<16>(17).is_none() && frame.front::<243>(1).is_none());
        assert!(!frame.narrow(15, 100) && !frame.narrow(114, 1));
        assert!(frame.narrow(14, 90));
        assert_eq!(frame.data(), [7; 90]);
        frame.truncate(10);
        frame.strip(20);
        assert!(frame.is_empty());
        cache.free(frame);
    }

    #[test]
    fn large_frames_hold_the_largest_packets_and_come_back() {
        let pool = FramePool::with_large(64, 2048, 3).unwrap();
        let mut cache = pool.cache();
        let mut taken: Vec<_> = std::iter::from_fn(|| cache.take_large()).collect();
        assert_eq!((taken.len(), pool.large(), pool.free()), (3, 3, 64));
        for frame in &mut taken {
            assert!(frame.is_large());
            frame.copy_from(&[7; 65535 + 18]).unwrap();
        }
        taken.into_iter().for_each(|frame| cache.free(frame));
        drop(cache);
        let mut other = pool.cache();
        let taken: Vec<_> = std::iter::from_fn(|| other.take_large()).collect();
        assert_eq!(taken.len(), 3);
        taken.into_iter().for_each(|frame| other.free(frame));
        assert!(FramePool::new(64, 2048).unwrap().cache().take_large().is_none());
    }

    #[test]
    fn a_partial_checksum_keeps_its_place_while_headers_come_and_go() {
        let pool = FramePool::new(64, 2048).unwrap();
        let mut cache = pool.cache();
        let mut frame = cache.take().unwrap();
        let mut packet = [0; 14 + 20 + 20 + 3];
        packet[34 + 16..34 + 18].copy_from_slice(&[0x12, 0x34]);
        packet[54..].copy_from_slice(&[1, 2, 3]);
        frame.copy_from(&packet).unwrap();
        assert_eq!(frame.partial(), None);
        frame.set_partial(Partial { l4: 34, field: 16 });
        frame.strip(14);
        assert_eq!(frame.partial(), Some(Partial { l4: 20, field: 16 }));
        frame.prepend(50).unwrap();
        assert_eq!(frame.partial(), Some(Partial { l4: 70, field: 16 }));
        frame.complete();
        assert_eq!(frame.partial(), None);
        let sum = 0x1234 + 0x0102 + 0x0300;
        assert_eq!(frame.data()[86..88], u16::to_be_bytes(!sum));
        frame.set_partial(Partial { l4: 70, field: 6 });
        frame.strip(71);
        assert_eq!(frame.partial(), None, "its header is gone");
        cache.free(frame);
        while let Some(frame) = cache.take() {
            assert!(!frame.is_partial());
            drop(frame);
        }
    }

    #[test]
    fn impossible_pools_are_refused() {
        assert_eq!(FramePool::new(64, 3000).err(), Some(PoolError::ChunkSize(3000)));
        assert_eq!(FramePool::new(1, 2048).err(), Some(PoolError::TooFew(1)));
    }
}
