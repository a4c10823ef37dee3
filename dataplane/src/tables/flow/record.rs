//! The record of a flow: three cache lines that any worker may read at any time. One for each direction, with its key and its decision,
//! and between them the line that both share: whether the flow lives, when it was seen, what was counted. A packet needs two of them.
//!
//! # How a record is read without locks
//! The head holds a generation (odd: in use, even: free or being filled), a mark *doomed* (the flow is removed though its
//! memory is not yet free), the port that pays for it, whether there are answers, and a version of the decisions, odd while one of them is being
//! rewritten. A reader takes the head, then the fields, then the head again: if the generation moved it has read nothing; if only the
//! version moved it has the right flow but no whole decision, and says so with the epoch [`STALE`]. So a worker that
//! sleeps in the middle of a rewrite makes others decide anew, never wait.
//!
//! A record is freed only while its version is even: whoever is inside a rewrite cannot find itself writing into another's flow.
//!
//! Every field is an atomic word: no read is torn without being noticed. (`unsafe` only to say that records start as zeros.)
#![allow(unsafe_code)]

use super::super::memory::{Zeroable, prefetch};
use super::super::sync::{AtomicU32, AtomicU64, Ordering, fence};
use super::index::Entry;
use crate::packet::key::KEY_WORDS;

/// The epoch of a decision that must be made anew: never a current one.
pub const STALE: u64 = 0;

/// Words of a decision ("action"), opaque to the table but for this: the last one has 48 bits; and the middle one is the flow's, not the
/// direction's: both have what was said last of either. A direction whose other words are zeros has none.
pub const ACTION_WORDS: usize = 3;

const IN_USE: u64 = 1;
const DOOMED: u64 = 1 << 32;
const PORT_SHIFT: u32 = 33;
/// There is a second direction.
const ANSWERED: u64 = 1 << 49;
/// The version is the topmost field, so that its overflow is lost and touches nothing.
const REWRITING: u64 = 1 << 50;

/// The word of a key whose lower half is the context ([`FlowKey::context`](crate::packet::FlowKey::context)).
const CONTEXT_WORD: usize = 4;
/// Bits of the last word of a key that are used; above them is the last word of the action.
const KEY_END: u32 = 16;
/// Bits of the word of bytes that are the upper ones of the packets.
const PACKETS_HIGH: u32 = 8;
/// What a flow's age is counted in, as a power of two of milliseconds.
const AGE_SHIFT: u32 = 4;

/// What is a direction's own.
#[cfg_attr(not(vrouter_loom), repr(C, align(64)))]
struct Way {
    /// The key. Its last word has the key's protocol and family, and above them the last word of the action.
    words: [AtomicU64; KEY_WORDS],
    /// Of the decision.
    epoch: AtomicU64,
    /// The first word of the action.
    action: AtomicU64,
}

/// What both directions share.
#[cfg_attr(not(vrouter_loom), repr(C, align(64)))]
struct Both {
    head: AtomicU64,
    /// When the last packet came, milliseconds, without what does not fit.
    last_seen: AtomicU32,
    /// When the flow was made, in sixteens of milliseconds.
    created: AtomicU32,
    /// The middle word of the action.
    said: AtomicU64,
    state: [AtomicU64; 2],
    /// Bytes, and below them the upper bits of `packets`.
    bytes: [AtomicU64; 2],
    packets: [AtomicU32; 2],
}

/// A flow: two directions.
#[cfg_attr(not(vrouter_loom), repr(C))]
pub(super) struct Pair {
    forward: Way,
    both: Both,
    reverse: Way,
}

#[cfg(not(vrouter_loom))]
const _: () = assert!(size_of::<Pair>() == 192);

/// One direction of a flow.
#[derive(Clone, Copy)]
pub(super) struct Record<'a> {
    way: &'a Way,
    both: &'a Both,
    side: usize,
}

/// What a reader got from a record.
#[derive(Clone, Copy)]
pub(super) struct Seen {
    pub(super) generation: u32,
    pub(super) epoch: u64,
    pub(super) action: [u64; ACTION_WORDS],
}

/// What stands in a direction when its flow is made.
pub(super) struct Content<'a> {
    pub(super) key: &'a [u64; KEY_WORDS],
    pub(super) epoch: u64,
    pub(super) action: &'a [u64; ACTION_WORDS],
}

fn generation(head: u64) -> u32 {
    head as u32
}

/// Whether a flow with this head is one that lookups may answer with.
fn usable(head: u64) -> bool {
    head & (IN_USE | DOOMED) == IN_USE
}

/// The generation as the index keeps it: the lowest bit is always set in use, so it says nothing.
pub(super) fn index_generation(generation: u32) -> u32 {
    generation >> 1
}

/// The moment whose low bits these are, of those around `now`: none is further ahead than a few minutes.
fn around(now: u64, low: u32) -> u64 {
    const AHEAD: u32 = 1 << 18;
    let ago = (now as u32).wrapping_add(AHEAD).wrapping_sub(low);
    now.saturating_add(AHEAD.into()).saturating_sub(ago.into())
}

impl Way {
    #[inline(always)]
    fn fill(&self, content: &Content<'_>) {
        let [a, b, c, d, e, last] = *content.key;
        for (mine, word) in self.words.iter().zip([a, b, c, d, e]) {
            mine.store(word, Ordering::Relaxed);
        }
        self.decide(last, content.epoch, content.action);
    }

    fn decide(&self, key_end: u64, epoch: u64, [first, _, last]: &[u64; ACTION_WORDS]) {
        debug_assert!(last >> (64 - KEY_END) == 0, "48 bits");
        self.words[KEY_WORDS - 1].store(last << KEY_END | key_end & ((1 << KEY_END) - 1), Ordering::Relaxed);
        self.epoch.store(epoch, Ordering::Relaxed);
        self.action.store(*first, Ordering::Relaxed);
    }
}

impl Pair {
    /// The direction of the first packet (0), or of the answers (1).
    #[inline(always)]
    pub(super) fn direction(&self, side: usize) -> Record<'_> {
        Record {
            way: if side & 1 == 0 { &self.forward } else { &self.reverse },
            both: &self.both,
            side: side & 1,
        }
    }

    /// Asks for all of it.
    #[inline(always)]
    pub(super) fn prefetch(&self) {
        prefetch(&self.forward);
        prefetch(&self.both);
        prefetch(&self.reverse);
    }

    /// The generation now: odd if in use.
    #[inline]
    pub(super) fn generation(&self) -> u32 {
        generation(self.both.head.load(Ordering::Acquire))
    }

    /// Whether there is a second direction.
    pub(super) fn is_answered(&self) -> bool {
        self.both.head.load(Ordering::Acquire) & (IN_USE | ANSWERED) == IN_USE | ANSWERED
    }

    /// Whether the flow was removed but its memory is not yet free.
    pub(super) fn doomed(&self) -> bool {
        self.both.head.load(Ordering::Relaxed) & DOOMED != 0
    }

    /// Whether another worker is replacing a decision at this moment. Once the flow is doomed, none begins to.
    pub(super) fn is_rewriting(&self) -> bool {
        self.both.head.load(Ordering::Acquire) & REWRITING != 0
    }

    /// The port that pays for the flow.
    pub(super) fn port(&self) -> u16 {
        (self.both.head.load(Ordering::Relaxed) >> PORT_SHIFT) as u16
    }

    /// When the last packet of either direction came, milliseconds, as seen from `now_ms`.
    pub(super) fn last_seen(&self, now_ms: u64) -> u64 {
        around(now_ms, self.both.last_seen.load(Ordering::Acquire))
    }

    /// When the flow was made, milliseconds (in steps of 16), as seen from `now_ms`.
    pub(super) fn created(&self, now_ms: u64) -> u64 {
        around(now_ms >> AGE_SHIFT, self.both.created.load(Ordering::Acquire)) << AGE_SHIFT
    }

    /// Fills a free record and puts it to use. Only the owner of the region may; gives the generation.
    pub(super) fn fill(&self, port: u16, forward: &Content<'_>, reverse: Option<&Content<'_>>, now_ms: u64) -> u32 {
        let both = &self.both;
        let head = both.head.load(Ordering::Relaxed);
        // Whoever sees one of the stores below sees, behind its own fence, that the generation has moved on.
        fence(Ordering::Release);
        self.forward.fill(forward);
        if let Some(reverse) = reverse {
            self.reverse.fill(reverse);
        }
        both.last_seen.store(now_ms as u32, Ordering::Relaxed);
        both.created.store((now_ms >> AGE_SHIFT) as u32, Ordering::Relaxed);
        both.said.store(forward.action[1], Ordering::Relaxed);
        for side in 0..2 {
            both.state[side].store(0, Ordering::Relaxed);
            both.bytes[side].store(0, Ordering::Relaxed);
            both.packets[side].store(0, Ordering::Relaxed);
        }
        let generation = generation(head).wrapping_add(1);
        let answered = if reverse.is_some() { ANSWERED } else { 0 };
        let head = u64::from(generation) | u64::from(port) << PORT_SHIFT | answered;
        both.head.store(head, Ordering::Release);
        generation
    }

    /// Marks the flow as removed. True if it was of this generation and not yet marked.
    pub(super) fn doom(&self, wanted: u32) -> bool {
        let mut head = self.both.head.load(Ordering::Relaxed);
        while usable(head) && generation(head) == wanted {
            match self
                .both
                .head
                .compare_exchange_weak(head, head | DOOMED, Ordering::AcqRel, Ordering::Relaxed)
            {
                Ok(_) => return true,
                Err(now) => head = now,
            }
        }
        false
    }

    /// Frees a living record in one step, unless it is doomed already or a decision is being replaced; gives what its generation was, and whether it had
    /// answers. Only the owner of the region may, and takes it out of the index before it fills it again.
    pub(super) fn end(&self) -> Option<(u32, bool)> {
        let head = self.both.head.load(Ordering::Relaxed);
        if head & (IN_USE | DOOMED | REWRITING) != IN_USE {
            return None;
        }
        let freed = u64::from(generation(head).wrapping_add(1));
        self.both
            .head
            .compare_exchange(head, freed, Ordering::AcqRel, Ordering::Relaxed)
            .ok()?;
        Some((generation(head), head & ANSWERED != 0))
    }

    /// Frees a doomed, unlinked record. Only the owner of the region may. False if a rewrite is under way: try again later.
    pub(super) fn free(&self) -> bool {
        let head = self.both.head.load(Ordering::Relaxed);
        if head & IN_USE == 0 {
            return true;
        }
        let freed = u64::from(generation(head).wrapping_add(1));
        head & REWRITING == 0
            && self
                .both
                .head
                .compare_exchange(head, freed, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
    }
}

impl Record<'_> {
    /// Asks for what a packet needs of it.
    #[inline(always)]
    pub(super) fn prefetch(&self) {
        prefetch(self.way);
        prefetch(self.both);
    }

    /// The record's decision, if it bears this key and is the index entry's.
    #[inline(always)]
    pub(super) fn read(&self, key: &[u64; KEY_WORDS], entry: Entry) -> Option<Seen> {
        let head = self.both.head.load(Ordering::Acquire);
        if !usable(head) || !entry.is_of(index_generation(generation(head))) || !self.bears(key) {
            return None;
        }
        self.decision(head)
    }

    /// As [`read`](Self::read): generation, epoch, and of the decision the first word and the last. `None` also while the decision is rewritten.
    #[inline(always)]
    pub(super) fn read_in_short(&self, key: &[u64; KEY_WORDS], entry: Entry) -> Option<(u32, u64, [u64; 2])> {
        let head = self.both.head.load(Ordering::Acquire);
        // In use, not doomed, not being rewritten.
        let generation = generation(head);
        let flaws = head & (IN_USE | DOOMED | REWRITING) ^ IN_USE;
        if flaws != 0 || !entry.is_of(index_generation(generation)) || !self.bears(key) {
            return None;
        }
        let epoch = self.way.epoch.load(Ordering::Relaxed);
        let words = [self.way.action.load(Ordering::Relaxed), self.last_word()];
        fence(Ordering::Acquire);
        (self.both.head.load(Ordering::Relaxed) == head).then_some((generation, epoch, words))
    }

    #[inline(always)]
    fn last_word(&self) -> u64 {
        self.way.words[KEY_WORDS - 1].load(Ordering::Relaxed) >> KEY_END
    }

    /// Counts packets, of so many bytes together, and notes the time.
    #[inline(always)]
    pub(super) fn touch(&self, now_ms: u64, packets: u32, bytes: u64) {
        let (both, side) = (self.both, self.side);
        both.last_seen.store(now_ms as u32, Ordering::Relaxed);
        let (packets, more) = both.packets[side].load(Ordering::Relaxed).overflowing_add(packets);
        both.packets[side].store(packets, Ordering::Relaxed);
        let before = both.bytes[side].load(Ordering::Relaxed);
        let bytes = before.wrapping_add(bytes << PACKETS_HIGH).wrapping_add(more.into());
        both.bytes[side].store(bytes, Ordering::Relaxed);
    }

    /// Packets (modulo 2^40) and bytes (modulo 2^56).
    pub(super) fn counted(&self) -> [u64; 2] {
        let low = self.both.packets[self.side].load(Ordering::Acquire);
        let word = self.both.bytes[self.side].load(Ordering::Acquire);
        let high = word & ((1 << PACKETS_HIGH) - 1);
        [high << 32 | u64::from(low), word >> PACKETS_HIGH]
    }

    /// As if so many packets and bytes had been counted.
    #[cfg(all(test, not(vrouter_loom)))]
    pub(super) fn set_counted(&self, [packets, bytes]: [u64; 2]) {
        self.both.packets[self.side].store(packets as u32, Ordering::Relaxed);
        self.both.bytes[self.side].store(bytes << PACKETS_HIGH | packets >> 32, Ordering::Relaxed);
    }

    /// The word of connection state.
    #[inline(always)]
    pub(super) fn state(&self) -> &AtomicU64 {
        &self.both.state[self.side]
    }

    /// The record's decision, if it is still of this generation.
    pub(super) fn read_generation(&self, wanted: u32) -> Option<Seen> {
        let head = self.both.head.load(Ordering::Acquire);
        if !self.is_there(head) || head & DOOMED != 0 || generation(head) != wanted {
            return None;
        }
        self.decision(head)
    }

    /// Whether a flow with this head has this direction.
    fn is_there(&self, head: u64) -> bool {
        head & IN_USE != 0 && (self.side == 0 || head & ANSWERED != 0)
    }

    /// The rest of a read that began with `head`.
    #[inline(always)]
    fn decision(&self, head: u64) -> Option<Seen> {
        let epoch = self.way.epoch.load(Ordering::Relaxed);
        let action = self.peek_action();
        fence(Ordering::Acquire);
        let after = self.both.head.load(Ordering::Relaxed);
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
            __m128i, _mm_and_si128, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x,
            _mm_setzero_si128, _mm_xor_si128,
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
                mine = in(reg) self.way.words.as_ptr(),
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
            // What stands above the key's last bits is none of it.
            let c = _mm_and_si128(c, _mm_set_epi64x((1 << KEY_END) - 1, -1));
            let differ = _mm_or_si128(_mm_or_si128(a, b), c);
            _mm_movemask_epi8(_mm_cmpeq_epi8(differ, _mm_setzero_si128())) == 0xffff
        }
    }

    /// Whether the key words are these. Says nothing of whether they stayed so: the caller looks at the head after.
    #[cfg(not(all(target_arch = "x86_64", not(miri), not(vrouter_loom))))]
    #[inline(always)]
    fn bears(&self, key: &[u64; KEY_WORDS]) -> bool {
        let mut differ = 0;
        for (mine, theirs) in self.peek_key().iter().zip(key) {
            differ |= mine ^ theirs;
        }
        differ == 0
    }

    /// Whether the record is in use for this entry and bears this key, doomed or not.
    pub(super) fn is_same(&self, key: &[u64; KEY_WORDS], entry: Entry) -> bool {
        let head = self.both.head.load(Ordering::Acquire);
        if head & IN_USE == 0 || !entry.is_of(index_generation(generation(head))) || !self.bears(key) {
            return false;
        }
        fence(Ordering::Acquire);
        generation(self.both.head.load(Ordering::Relaxed)) == generation(head)
    }

    /// The key, if the record is in use (doomed or not), with its generation.
    pub(super) fn key(&self) -> Option<([u64; KEY_WORDS], u32)> {
        let head = self.both.head.load(Ordering::Acquire);
        let key = self.peek_key();
        fence(Ordering::Acquire);
        let after = self.both.head.load(Ordering::Relaxed);
        (self.is_there(head) && generation(head) == generation(after)).then_some((key, generation(head)))
    }

    /// The key words as they stand, in use or not. For the owner, who alone writes them.
    #[inline(always)]
    pub(super) fn peek_key(&self) -> [u64; KEY_WORDS] {
        let mut key = std::array::from_fn(|i| self.way.words[i].load(Ordering::Relaxed));
        key[KEY_WORDS - 1] &= (1 << KEY_END) - 1;
        key
    }

    /// The context of the key as it stands. For the owner.
    #[inline]
    pub(super) fn peek_context(&self) -> u32 {
        self.way.words[CONTEXT_WORD].load(Ordering::Relaxed) as u32
    }

    /// The protocol of the key as it stands. For the owner.
    #[inline]
    pub(super) fn protocol(&self) -> u8 {
        self.way.words[KEY_WORDS - 1].load(Ordering::Relaxed) as u8
    }

    /// The action as it stands, perhaps half rewritten.
    #[inline(always)]
    pub(super) fn peek_action(&self) -> [u64; ACTION_WORDS] {
        let (first, last) = (self.way.action.load(Ordering::Relaxed), self.last_word());
        // Of a direction that was never decided, nothing was said.
        let said = if first | last == 0 {
            0
        } else {
            self.both.said.load(Ordering::Relaxed)
        };
        [first, said, last]
    }

    /// The generation of its flow now: odd if in use.
    #[inline]
    pub(super) fn generation(&self) -> u32 {
        generation(self.both.head.load(Ordering::Acquire))
    }

    /// Whether its flow was removed but its memory is not yet free.
    pub(super) fn doomed(&self) -> bool {
        self.both.head.load(Ordering::Relaxed) & DOOMED != 0
    }

    /// Replaces the decision. False if the flow is gone, or if another is replacing it, or the other direction's, at this moment.
    pub(super) fn rewrite(&self, wanted: u32, epoch: u64, action: &[u64; ACTION_WORDS]) -> bool {
        let head = self.both.head.load(Ordering::Relaxed);
        if !usable(head) || !self.is_there(head) || generation(head) != wanted || head & REWRITING != 0 {
            return false;
        }
        let begun = head.wrapping_add(REWRITING);
        if self
            .both
            .head
            .compare_exchange(head, begun, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            return false;
        }
        fence(Ordering::Release);
        // Nobody else writes it now.
        let key_end = self.way.words[KEY_WORDS - 1].load(Ordering::Relaxed);
        self.way.decide(key_end, epoch, action);
        self.both.said.store(action[1], Ordering::Relaxed);
        // Not a store: the flow may have been doomed meanwhile. It cannot have been freed.
        self.both.head.fetch_add(REWRITING, Ordering::Release);
        true
    }
}

// SAFETY: atomics of zero (a free record of generation zero) are zeros and need no drop.
unsafe impl Zeroable for Pair {
    #[cfg(any(test, vrouter_loom))]
    fn zero() -> Self {
        let zero = || AtomicU64::new(0);
        let way = || Way {
            words: std::array::from_fn(|_| zero()),
            epoch: zero(),
            action: zero(),
        };
        let both = Both {
            head: zero(),
            last_seen: AtomicU32::new(0),
            created: AtomicU32::new(0),
            said: zero(),
            state: [zero(), zero()],
            bytes: [zero(), zero()],
            packets: [AtomicU32::new(0), AtomicU32::new(0)],
        };
        Self {
            forward: way(),
            both,
            reverse: way(),
        }
    }
}
