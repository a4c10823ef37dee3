//! The record of one direction of a flow: two cache lines that any worker may read at any time.
//!
//! # How a record is read without locks
//! The head holds a generation (odd: in use, even: free or being filled), a mark *doomed* (the flow is removed though its
//! memory is not yet free), the port that pays for it, and a version of the decision, odd while the decision is being
//! rewritten. A reader takes the head, then the fields, then the head again: if the generation moved it has read nothing; if only the
//! version moved it has the right flow but no whole decision, and says so with the epoch [`STALE`]. So a worker that
//! sleeps in the middle of a rewrite makes others decide anew, never wait.
//!
//! A record is freed only while its version is even: whoever is inside a rewrite cannot find itself writing into another's flow.
//!
//! Every field is an atomic word: no read is torn without being noticed. (`unsafe` only to say that records start as zeros.)
#![allow(unsafe_code)]

use super::super::memory::{Zeroable, prefetch};
use super::super::sync::{AtomicU64, Ordering, fence};
use super::index::Entry;
use crate::packet::key::KEY_WORDS;

/// The epoch of a decision that must be made anew: never a current one.
pub const STALE: u64 = 0;

/// Words of a decision ("action"), opaque to the table.
pub const ACTION_WORDS: usize = 3;

const IN_USE: u64 = 1;
const DOOMED: u64 = 1 << 32;
const PORT_SHIFT: u32 = 33;
/// The version is the topmost field, so that its overflow is lost and touches nothing.
const REWRITING: u64 = 1 << 49;

/// One direction of a flow. Line 0 is what a lookup reads; line 1 is what is done and counted.
#[cfg_attr(not(vrouter_loom), repr(C, align(128)))]
pub(super) struct Record {
    head: AtomicU64,
    key: [AtomicU64; KEY_WORDS],
    epoch: AtomicU64,

    action: [AtomicU64; ACTION_WORDS],
    pub(super) last_seen: AtomicU64,
    pub(super) packets: AtomicU64,
    pub(super) bytes: AtomicU64,
    /// When the flow was made (ms); in a free record, the link of the free list.
    pub(super) created: AtomicU64,
    pub(super) state: AtomicU64,
}

#[cfg(not(vrouter_loom))]
const _: () = assert!(size_of::<Record>() == 128);

/// What a reader got from a record.
#[derive(Clone, Copy)]
pub(super) struct Seen {
    pub(super) generation: u32,
    pub(super) epoch: u64,
    pub(super) action: [u64; ACTION_WORDS],
}

/// What stands in a record when it is made.
pub(super) struct Content<'a> {
    pub(super) key: &'a [u64; KEY_WORDS],
    pub(super) port: u16,
    pub(super) epoch: u64,
    pub(super) action: &'a [u64; ACTION_WORDS],
    pub(super) now_ms: u64,
}

fn generation(head: u64) -> u32 {
    head as u32
}

/// Whether a record with this head is one that lookups may answer with.
fn usable(head: u64) -> bool {
    head & (IN_USE | DOOMED) == IN_USE
}

/// The generation as the index keeps it: the lowest bit is always set in use, so it says nothing.
pub(super) fn index_generation(generation: u32) -> u32 {
    generation >> 1
}

impl Record {
    #[cfg(any(test, vrouter_loom))]
    fn new() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            head: zero(),
            key: std::array::from_fn(|_| zero()),
            epoch: zero(),
            action: std::array::from_fn(|_| zero()),
            last_seen: zero(),
            packets: zero(),
            bytes: zero(),
            created: zero(),
            state: zero(),
        }
    }

    /// Asks for both cache lines.
    #[inline]
    pub(super) fn prefetch(&self) {
        prefetch(&self.head);
        prefetch(&self.last_seen);
    }

    /// The record's decision, if it bears this key and is the index entry's.
    #[inline(always)]
    pub(super) fn read(&self, key: &[u64; KEY_WORDS], entry: Entry) -> Option<Seen> {
        let head = self.head.load(Ordering::Acquire);
        if !usable(head) || !entry.is_of(index_generation(generation(head))) || !self.bears(key) {
            return None;
        }
        self.decision(head)
    }

    /// As [`read`](Self::read): generation, epoch, and of the decision the first word and the last. `None` also while the decision is rewritten.
    #[inline(always)]
    pub(super) fn read_in_short(&self, key: &[u64; KEY_WORDS], entry: Entry) -> Option<(u32, u64, [u64; 2])> {
        let head = self.head.load(Ordering::Acquire);
        // In use, not doomed, not being rewritten.
        let generation = generation(head);
        let flaws = head & (IN_USE | DOOMED | REWRITING) ^ IN_USE;
        if flaws != 0 || !entry.is_of(index_generation(generation)) || !self.bears(key) {
            return None;
        }
        let epoch = self.epoch.load(Ordering::Relaxed);
        let words = [0, ACTION_WORDS - 1].map(|word| self.action[word].load(Ordering::Relaxed));
        fence(Ordering::Acquire);
        (self.head.load(Ordering::Relaxed) == head).then_some((generation, epoch, words))
    }

    /// Counts a packet and notes the time.
    #[inline(always)]
    pub(super) fn touch(&self, now_ms: u64, bytes: u64) {
        self.last_seen.store(now_ms, Ordering::Relaxed);
        let packets = self.packets.load(Ordering::Relaxed);
        self.packets.store(packets.wrapping_add(1), Ordering::Relaxed);
        let before = self.bytes.load(Ordering::Relaxed);
        self.bytes.store(before.wrapping_add(bytes), Ordering::Relaxed);
    }

    /// The record's decision, if it is still of this generation.
    pub(super) fn read_generation(&self, wanted: u32) -> Option<Seen> {
        let head = self.head.load(Ordering::Acquire);
        if !usable(head) || generation(head) != wanted {
            return None;
        }
        self.decision(head)
    }

    /// The rest of a read that began with `head`.
    #[inline(always)]
    fn decision(&self, head: u64) -> Option<Seen> {
        let epoch = self.epoch.load(Ordering::Relaxed);
        let action = std::array::from_fn(|i| self.action[i].load(Ordering::Relaxed));
        fence(Ordering::Acquire);
        let after = self.head.load(Ordering::Relaxed);
        let generation = generation(head);
        if after == head && head & REWRITING == 0 {
            return Some(Seen {
                generation,
                epoch,
                action,
            });
        }
        (usable(after) && self::generation(after) == generation).then_some(Seen {
            generation,
            epoch: STALE,
            action: [0; ACTION_WORDS],
        })
    }

    /// Whether the key words are these. Says nothing of whether they stayed so: the caller looks at the head after.
    #[cfg(all(target_arch = "x86_64", not(miri), not(vrouter_loom)))]
    #[inline(always)]
    fn bears(&self, key: &[u64; KEY_WORDS]) -> bool {
        use std::arch::x86_64::{
            __m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_or_si128, _mm_setzero_si128, _mm_xor_si128,
        };
        const { assert!(KEY_WORDS == 6) };
        let (a, b, c): (__m128i, __m128i, __m128i);
        // SAFETY: reads the 48 bytes of the key. Its owner may write them meanwhile, a word at a time: each half of a load is such a word as it
        // was at some moment, as a relaxed load of it would give (which has no wide form in the language).
        unsafe {
            std::arch::asm!(
                "movdqu {a}, [{mine}]",
                "movdqu {b}, [{mine} + 16]",
                "movdqu {c}, [{mine} + 32]",
                mine = in(reg) self.key.as_ptr(),
                a = out(xmm_reg) a,
                b = out(xmm_reg) b,
                c = out(xmm_reg) c,
                options(readonly, nostack, preserves_flags)
            );
        }
        let theirs = key.as_ptr().cast::<__m128i>();
        // SAFETY: SSE2 is part of x86_64; the key is three times 16 bytes.
        unsafe {
            let a = _mm_xor_si128(a, _mm_loadu_si128(theirs));
            let b = _mm_xor_si128(b, _mm_loadu_si128(theirs.add(1)));
            let c = _mm_xor_si128(c, _mm_loadu_si128(theirs.add(2)));
            let differ = _mm_or_si128(_mm_or_si128(a, b), c);
            _mm_movemask_epi8(_mm_cmpeq_epi8(differ, _mm_setzero_si128())) == 0xffff
        }
    }

    /// Whether the key words are these. Says nothing of whether they stayed so: the caller looks at the head after.
    #[cfg(not(all(target_arch = "x86_64", not(miri), not(vrouter_loom))))]
    #[inline(always)]
    fn bears(&self, key: &[u64; KEY_WORDS]) -> bool {
        let mut differ = 0;
        for (mine, theirs) in self.key.iter().zip(key) {
            differ |= mine.load(Ordering::Relaxed) ^ theirs;
        }
        differ == 0
    }

    /// Whether the record is in use for this entry and bears this key, doomed or not.
    pub(super) fn is_same(&self, key: &[u64; KEY_WORDS], entry: Entry) -> bool {
        let head = self.head.load(Ordering::Acquire);
        if head & IN_USE == 0 || !entry.is_of(index_generation(generation(head))) || !self.bears(key) {
            return false;
        }
        fence(Ordering::Acquire);
        generation(self.head.load(Ordering::Relaxed)) == generation(head)
    }

    /// The key, if the record is in use (doomed or not), with its generation.
    pub(super) fn key(&self) -> Option<([u64; KEY_WORDS], u32)> {
        let head = self.head.load(Ordering::Acquire);
        let key = std::array::from_fn(|i| self.key[i].load(Ordering::Relaxed));
        fence(Ordering::Acquire);
        let after = self.head.load(Ordering::Relaxed);
        (head & IN_USE != 0 && generation(head) == generation(after)).then_some((key, generation(head)))
    }

    /// The key words as they stand, in use or not. For the owner, who alone writes them.
    pub(super) fn peek_key(&self) -> [u64; KEY_WORDS] {
        std::array::from_fn(|i| self.key[i].load(Ordering::Relaxed))
    }

    /// The action as it stands, perhaps half rewritten.
    pub(super) fn peek_action(&self) -> [u64; ACTION_WORDS] {
        std::array::from_fn(|i| self.action[i].load(Ordering::Relaxed))
    }

    /// The generation now: odd if in use.
    #[inline]
    pub(super) fn generation(&self) -> u32 {
        generation(self.head.load(Ordering::Acquire))
    }

    /// Whether the record is in use, doomed or not.
    pub(super) fn in_use(&self) -> bool {
        self.head.load(Ordering::Acquire) & IN_USE != 0
    }

    /// Whether the flow was removed but its memory is not yet free.
    pub(super) fn doomed(&self) -> bool {
        self.head.load(Ordering::Relaxed) & DOOMED != 0
    }

    /// Whether another worker is replacing the decision at this moment. Once the record is doomed, none begins to.
    pub(super) fn is_rewriting(&self) -> bool {
        self.head.load(Ordering::Acquire) & REWRITING != 0
    }

    /// The port that pays for the flow.
    pub(super) fn port(&self) -> u16 {
        (self.head.load(Ordering::Relaxed) >> PORT_SHIFT) as u16
    }

    /// Fills a free record and puts it to use. Only the owner of the region may; gives the generation.
    pub(super) fn fill(&self, content: &Content<'_>) -> u32 {
        let head = self.head.load(Ordering::Relaxed);
        // Whoever sees one of the stores below sees, behind its own fence, that the generation has moved on.
        fence(Ordering::Release);
        for (mine, word) in self.key.iter().zip(content.key) {
            mine.store(*word, Ordering::Relaxed);
        }
        self.epoch.store(content.epoch, Ordering::Relaxed);
        for (mine, word) in self.action.iter().zip(content.action) {
            mine.store(*word, Ordering::Relaxed);
        }
        self.last_seen.store(content.now_ms, Ordering::Relaxed);
        self.created.store(content.now_ms, Ordering::Relaxed);
        self.packets.store(0, Ordering::Relaxed);
        self.bytes.store(0, Ordering::Relaxed);
        self.state.store(0, Ordering::Relaxed);
        let generation = generation(head).wrapping_add(1);
        let head = u64::from(generation) | u64::from(content.port) << PORT_SHIFT;
        self.head.store(head, Ordering::Release);
        generation
    }

    /// Replaces the decision. False if the flow is gone, or if another is replacing it at this moment.
    pub(super) fn rewrite(&self, wanted: u32, epoch: u64, action: &[u64; ACTION_WORDS]) -> bool {
        let head = self.head.load(Ordering::Relaxed);
        if !usable(head) || generation(head) != wanted || head & REWRITING != 0 {
            return false;
        }
        let begun = head.wrapping_add(REWRITING);
        if self
            .head
            .compare_exchange(head, begun, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            return false;
        }
        fence(Ordering::Release);
        self.epoch.store(epoch, Ordering::Relaxed);
        for (mine, word) in self.action.iter().zip(action) {
            mine.store(*word, Ordering::Relaxed);
        }
        // Not a store: the flow may have been doomed meanwhile. It cannot have been freed.
        self.head.fetch_add(REWRITING, Ordering::Release);
        true
    }

    /// Marks the flow as removed. True if it was of this generation and not yet marked.
    pub(super) fn doom(&self, wanted: u32) -> bool {
        let mut head = self.head.load(Ordering::Relaxed);
        while usable(head) && generation(head) == wanted {
            match self
                .head
                .compare_exchange_weak(head, head | DOOMED, Ordering::AcqRel, Ordering::Relaxed)
            {
                Ok(_) => return true,
                Err(now) => head = now,
            }
        }
        false
    }

    /// Frees a doomed, unlinked record. Only the owner of the region may. False if a rewrite is under way: try again later.
    pub(super) fn free(&self) -> bool {
        let head = self.head.load(Ordering::Relaxed);
        if head & IN_USE == 0 {
            return true;
        }
        let freed = u64::from(generation(head).wrapping_add(1));
        head & REWRITING == 0
            && self
                .head
                .compare_exchange(head, freed, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
    }
}

/// A flow: two directions in 256 bytes, so that the sibling of a direction is a neighbour.
#[cfg_attr(not(vrouter_loom), repr(C, align(256)))]
pub(super) struct Pair(pub(super) [Record; 2]);

// SAFETY: atomics of zero (a free record of generation zero) are zeros and need no drop.
unsafe impl Zeroable for Pair {
    #[cfg(any(test, vrouter_loom))]
    fn zero() -> Self {
        Self([Record::new(), Record::new()])
    }
}
