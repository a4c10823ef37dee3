#![allow(unsafe_code)]
//! The memory of all tries: one region of 64-bit words that never moves, of which the kernel only provides what is touched.

use std::alloc::{Layout, alloc_zeroed};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use super::cpu::Popcount;
use super::node::{BRANCH_WORDS, Branch};
use crate::huge_pages;

/// Pages are given back in units of so many bytes.
#[cfg(all(target_os = "linux", not(miri)))]
const UNIT: usize = 16 << 10;

/// The memory that all versions of all routes live in. Readers hold it in an `Arc`; only the writer stores to it.
#[derive(Debug)]
pub struct Arena {
    words: Box<[AtomicU64]>,
    pub(super) popcount: Popcount,
}

/// The system refused to reserve the region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cannot reserve {bytes} bytes of address space for routes: ask for less, or raise the limits on address space")]
pub struct CannotReserve {
    /// What was asked for.
    pub bytes: usize,
}

impl Arena {
    /// Reserves `words` words, all zero.
    pub(super) fn new(words: usize) -> Result<Self, CannotReserve> {
        let refused = CannotReserve {
            bytes: words.saturating_mul(size_of::<AtomicU64>()),
        };
        if words == 0 {
            return Err(refused);
        }
        let layout = Layout::array::<AtomicU64>(words).map_err(|_| refused)?;
        // SAFETY: the layout is not empty, `words` being at least one.
        let start = unsafe { alloc_zeroed(layout) }.cast::<AtomicU64>();
        if start.is_null() {
            return Err(refused);
        }
        // SAFETY: `start` is a fresh allocation of exactly this slice's layout from the global allocator, and zero bytes are
        // a valid `AtomicU64`.
        let words = unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(start, words)) };
        huge_pages::prefer(NonNull::from(&*words).cast(), size_of_val(&*words));
        Ok(Arena {
            words,
            popcount: Popcount::detect(),
        })
    }

    /// The first word index from `from` on that starts a cache line.
    pub(super) fn line_start(&self, from: u32) -> u32 {
        let address = self.words.as_ptr().addr() / size_of::<u64>() + from as usize;
        from + (address.next_multiple_of(8) - address) as u32
    }

    /// A word; zero outside the region, so that a stale index harms nobody.
    #[inline(always)]
    pub(super) fn load(&self, at: u32) -> u64 {
        self.words
            .get(at as usize)
            .map_or(0, |word| word.load(Ordering::Relaxed))
    }

    /// A half word: value `half % 2` of word `half / 2`.
    #[inline(always)]
    pub(super) fn load_half(&self, half: u64) -> u32 {
        (self.load((half / 2) as u32) >> (32 * (half % 2))) as u32
    }

    /// The branch node at `at`; an empty one outside the region.
    #[inline(always)]
    pub(super) fn branch(&self, at: u32) -> Branch {
        let at = at as usize;
        match self.words.get(at..at + BRANCH_WORDS as usize) {
            Some([a, b, c, d]) => Branch::from_words([a, b, c, d].map(|word| word.load(Ordering::Relaxed))),
            _ => Branch::EMPTY,
        }
    }

    /// For the writer, on blocks that no published root reaches.
    pub(super) fn store(&self, at: u32, value: u64) {
        if let Some(word) = self.words.get(at as usize) {
            word.store(value, Ordering::Relaxed);
        }
    }

    /// Gives the pages of these words back to the kernel, which makes them zeros. For the writer, on words of which no block is made.
    pub(super) fn forget(&self, first: u32, end: u32) {
        #[cfg(all(target_os = "linux", not(miri)))]
        if let Some(words) = self.words.get(first as usize..end as usize) {
            let (start, end) = (words.as_ptr().addr(), words.as_ptr_range().end.addr());
            let (start, end) = (start.next_multiple_of(UNIT), end / UNIT * UNIT);
            if start < end {
                let pages = words.as_ptr().cast_mut().with_addr(start).cast();
                // SAFETY: whole pages within `words`, which are anonymous memory from the allocator. Their bytes become zeros, as a store would make
                // them that nobody orders: they are atomics, so readers that should not be there read zeros or what was there before.
                let _ = unsafe { libc::madvise(pages, end - start, libc::MADV_DONTNEED) };
            }
        }
        #[cfg(any(not(target_os = "linux"), miri))]
        let _ = (first, end);
    }

    pub(super) fn store_half(&self, half: u64, value: u32) {
        let (at, shift) = ((half / 2) as u32, 32 * (half % 2));
        let kept = self.load(at) & !(u64::from(u32::MAX) << shift);
        self.store(at, kept | u64::from(value) << shift);
    }

    pub(super) fn store_branch(&self, at: u32, branch: Branch) {
        for (word, value) in (at..).zip(branch.to_words()) {
            self.store(word, value);
        }
    }

    pub(super) fn copy(&self, from: u32, to: u32, words: u32) {
        for i in 0..words {
            self.store(to + i, self.load(from + i));
        }
    }
}
