//! Who owns a chunk: the ledger of frames that a queue has lent to the kernel.
#![allow(unsafe_code)]

use std::{ptr::NonNull, sync::Arc};

use crate::packet::{Frame, FrameCache, FramePool};

/// The frames that one queue has lent to the kernel: by an address each, and taken back by it.
///
/// A bit per frame of the pool tells which these are, so that all can be had back when the socket is gone, also those that
/// the kernel keeps in lists of its own. Dropping the ledger frees them.
#[derive(Debug)]
pub(super) struct Ledger {
    pool: Arc<FramePool>,
    base: NonNull<u8>,
    shift: u32,
    lent: Box<[u64]>,
}

// SAFETY: `base` is only compared with, never accessed; the pool is shareable.
unsafe impl Send for Ledger {}

impl Ledger {
    /// Nothing lent yet.
    pub(super) fn new(pool: Arc<FramePool>) -> Self {
        let words = (pool.total() as usize).div_ceil(64);
        Self {
            base: pool.memory().0,
            shift: u32::from(pool.chunk()).trailing_zeros(),
            lent: vec![0; words].into_boxed_slice(),
            pool,
        }
    }

    /// Gives a frame up; gives the address of its packet in the UMEM. A frame of another pool comes back.
    #[inline]
    pub(super) fn lend(&mut self, frame: Frame) -> Result<u64, Frame> {
        let address = (frame.data().as_ptr() as usize).wrapping_sub(self.base.as_ptr() as usize);
        let index = frame.index() as usize;
        if frame.is_large() || address.wrapping_sub(usize::from(frame.start())) != index << self.shift {
            return Err(frame);
        }
        let Some(word) = self.lent.get_mut(index / 64) else {
            return Err(frame);
        };
        *word |= 1 << (index % 64);
        Ok(address as u64)
    }

    /// Takes back the frame at an address that the kernel has returned. `None` when it was not lent. The frame's start is
    /// where the address points, its length zero.
    #[inline]
    pub(super) fn take_back(&mut self, address: u64) -> Option<Frame> {
        let index = usize::try_from(address >> self.shift).ok()?;
        let word = self.lent.get_mut(index / 64)?;
        let bit = 1 << (index % 64);
        if *word & bit == 0 {
            return None;
        }
        *word &= !bit;
        // SAFETY: the bit says that a frame was given up for this chunk and not claimed since.
        let mut frame = unsafe { self.pool.claim(index as u32) }?;
        let start = address & ((1 << self.shift) - 1);
        // Cannot fail: the start lies within the chunk.
        let _ = frame.place(start as u16, 0);
        Some(frame)
    }

    /// Frees all frames that are still lent. The kernel must not use them any more: the socket is closed.
    pub(super) fn reclaim(&mut self, frames: &mut FrameCache) {
        for word in 0..self.lent.len() {
            while self.lent[word] != 0 {
                let index = word as u64 * 64 + u64::from(self.lent[word].trailing_zeros());
                match self.take_back(index << self.shift) {
                    Some(frame) => frames.free(frame),
                    None => break,
                }
            }
        }
    }

    /// Frames that are lent.
    #[cfg(test)]
    pub(super) fn count(&self) -> u32 {
        self.lent.iter().map(|word| word.count_ones()).sum()
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        if self.lent.iter().any(|word| *word != 0) {
            let mut frames = self.pool.cache();
            self.reclaim(&mut frames);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::frame::HEADROOM;

    #[test]
    fn what_is_lent_comes_back_once() {
        let pool = FramePool::new(100, 2048).unwrap();
        let mut frames = pool.cache();
        let mut ledger = Ledger::new(pool.clone());
        let mut frame = frames.take().unwrap();
        frame.copy_from(b"packet").unwrap();
        frame.prepend(6).unwrap();
        let index = frame.index();
        let address = ledger.lend(frame).unwrap();
        assert_eq!(address, u64::from(index) * 2048 + u64::from(HEADROOM) - 6);
        assert_eq!(ledger.count(), 1);

        // The kernel returns a sent frame by any address within it.
        let mut frame = ledger.take_back(address + 6).unwrap();
        frame.place(frame.start(), 6).unwrap();
        assert_eq!((frame.index(), frame.data()), (index, &b"packet"[..]));
        assert!(ledger.take_back(address).is_none());
        assert!(ledger.take_back(100 * 2048).is_none());
        assert!(ledger.take_back(u64::MAX).is_none());
        frames.free(frame);
        assert_eq!(pool.free(), 100);
    }

    #[test]
    fn a_foreign_frame_is_refused() {
        let (pool, other) = (FramePool::new(64, 2048).unwrap(), FramePool::new(64, 2048).unwrap());
        let mut frames = other.cache();
        let mut ledger = Ledger::new(pool);
        let frame = ledger.lend(frames.take().unwrap()).unwrap_err();
        frames.free(frame);
        assert_eq!((ledger.count(), other.free()), (0, 64));
    }

    #[test]
    fn a_ledger_that_goes_away_loses_no_frame() {
        let pool = FramePool::new(100, 4096).unwrap();
        let mut frames = pool.cache();
        for by_drop in [false, true] {
            let mut ledger = Ledger::new(pool.clone());
            while let Some(frame) = frames.take() {
                ledger.lend(frame).unwrap();
            }
            assert_eq!((ledger.count(), pool.free()), (100, 0));
            if by_drop {
                drop(ledger);
            } else {
                ledger.reclaim(&mut frames);
                assert_eq!(ledger.count(), 0);
            }
            assert_eq!(pool.free(), 100);
        }
    }
}
