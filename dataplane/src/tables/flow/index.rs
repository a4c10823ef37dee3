//! The index of the flow table: from a hash to the record of a direction, in one or two cache lines.
//!
//! A bucket is a cache line of words; a word is tag, state, generation and direction number. A hash has two buckets it may stand
//! in and never moves once placed. The first bucket is taken while it has room to spare, so that most hits
//! touch one line; then the emptier of the two.
//!
//! # Inserting without locks
//! Two workers may insert one key at once, into different slots. A word is placed as *inserting*, which lookups do not see;
//! then the inserter looks at every other slot of both buckets for its own key. A *member* there: it withdraws. Another
//! *inserting* one: it marks that one *collided*. At last it turns its own word from inserting to member, which fails if
//! someone marked it collided: then it marks itself inserting and looks again. Of two inserters, each of which placed its word,
//! and then looked, all of it sequentially consistent, at least one saw the other; so both cannot become
//! members. Nobody waits for anybody: a worker that sleeps while inserting is marked collided and passed by. An inserter that had to push aside one in
//! an earlier slot too often gives way to it, so that two in lock step do not push each other for ever.
//! (After Purcell and Harris, "Non-blocking hashtables with open addressing", 2005.)
//!
//! Knows words only: whether a record bears the key is asked of the caller.
#![allow(unsafe_code)]

#[cfg(all(target_arch = "x86_64", not(miri), not(vrouter_loom)))]
use super::super::memory::load_line;
use super::super::memory::{Slab, TableError, Zeroable, prefetch};
use super::super::sync::{AtomicU64, Ordering};

/// Words per bucket.
pub(super) const SLOTS: usize = if cfg!(vrouter_loom) { 2 } else { 8 };
/// While the first bucket of a hash holds fewer than this, it is preferred to the second.
const CROWDED: usize = if cfg!(vrouter_loom) { 1 } else { 6 };
/// How often an inserter pushes aside one in an earlier slot before it gives way.
const PATIENCE: usize = if cfg!(vrouter_loom) { 1 } else { 16 };

const DIRECTION_BITS: u32 = 28;
const GENERATION_BITS: u32 = 18;
const STATE_SHIFT: u32 = DIRECTION_BITS + GENERATION_BITS;
const TAG_SHIFT: u32 = STATE_SHIFT + 2;

/// One more than the greatest direction number.
pub(super) const MAX_DIRECTIONS: usize = 1 << DIRECTION_BITS;

const INSERTING: u64 = 1;
const COLLIDED: u64 = 2;
const MEMBER: u64 = 3;

/// A word of the index: where a direction's record is, and whether it is still the one meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Entry(u64);

impl Entry {
    /// No entry: none that is one has a state of zero.
    pub(super) const NONE: Self = Self(0);

    /// No entry.
    #[inline(always)]
    pub(super) fn is_none(self) -> bool {
        self.0 == 0
    }

    /// The entry that a direction is findable by, with this generation of its record, once it is.
    #[inline(always)]
    pub(super) fn member(hash: u64, direction: u32, generation: u32) -> Self {
        Self::new(hash, MEMBER, direction, generation)
    }

    fn new(hash: u64, state: u64, direction: u32, generation: u32) -> Self {
        let generation = u64::from(generation) & ((1 << GENERATION_BITS) - 1);
        Self(tag(hash) << TAG_SHIFT | state << STATE_SHIFT | generation << DIRECTION_BITS | u64::from(direction))
    }

    /// The direction's number.
    pub(super) fn direction(self) -> u32 {
        (self.0 & (MAX_DIRECTIONS as u64 - 1)) as u32
    }

    /// Whether the entry was made for this generation of the record (its low bits are compared).
    pub(super) fn is_of(self, generation: u32) -> bool {
        (self.0 >> DIRECTION_BITS ^ u64::from(generation)) & ((1 << GENERATION_BITS) - 1) == 0
    }

    fn state(self) -> u64 {
        self.0 >> STATE_SHIFT & 3
    }

    fn with_state(self, state: u64) -> Self {
        Self(self.0 & !(3 << STATE_SHIFT) | state << STATE_SHIFT)
    }
}

fn tag(hash: u64) -> u64 {
    hash >> 32 & 0xffff
}

/// What the top of a visible entry of this hash looks like.
fn wanted(hash: u64) -> u64 {
    tag(hash) << 2 | MEMBER
}

/// The upper halves of all eight words, which tell what they are.
#[cfg(all(target_arch = "x86_64", not(miri), not(vrouter_loom)))]
#[inline(always)]
fn upper_halves(words: &[AtomicU64; SLOTS]) -> [std::arch::x86_64::__m128i; 2] {
    use std::arch::x86_64::{_mm_castps_si128, _mm_castsi128_ps, _mm_shuffle_ps};
    /// The upper halves of four words.
    const UPPER: i32 = 0b11_01_11_01;
    let [a, b, c, d] = load_line(words);
    // SAFETY: SSE2 is part of x86_64; nothing but values.
    unsafe {
        let upper = |a, b| _mm_castps_si128(_mm_shuffle_ps::<UPPER>(_mm_castsi128_ps(a), _mm_castsi128_ps(b)));
        [upper(a, b), upper(c, d)]
    }
}

/// Which of the words have these bits in their upper halves, of those that the mask names, as bits.
#[cfg(all(target_arch = "x86_64", not(miri), not(vrouter_loom)))]
#[inline(always)]
fn with_upper([low, high]: [std::arch::x86_64::__m128i; 2], mask: u32, bits: u32) -> u32 {
    use std::arch::x86_64::{
        _mm_and_si128, _mm_cmpeq_epi32, _mm_movemask_epi8, _mm_packs_epi16, _mm_packs_epi32, _mm_set1_epi32,
        _mm_setzero_si128,
    };
    // SAFETY: SSE2 is part of x86_64; nothing but values.
    unsafe {
        let (mask, bits) = (_mm_set1_epi32(mask as i32), _mm_set1_epi32(bits as i32));
        let same = |halves| _mm_cmpeq_epi32(_mm_and_si128(halves, mask), bits);
        let all = _mm_packs_epi32(same(low), same(high));
        _mm_movemask_epi8(_mm_packs_epi16(all, _mm_setzero_si128())) as u32
    }
}

/// Bits of a word's upper half that are below its state.
#[cfg(all(target_arch = "x86_64", not(miri), not(vrouter_loom)))]
const HALF: u32 = STATE_SHIFT - 32;

/// Which of the words look so, as bits. All eight at once.
#[cfg(all(target_arch = "x86_64", not(miri), not(vrouter_loom)))]
#[inline(always)]
fn matching(words: &[AtomicU64; SLOTS], hash: u64) -> u32 {
    with_upper(upper_halves(words), u32::MAX << HALF, (wanted(hash) << HALF) as u32)
}

/// Which of the words look so, and which are empty, as bits. What is not empty has a state.
#[cfg(all(target_arch = "x86_64", not(miri), not(vrouter_loom)))]
#[inline(always)]
fn survey(words: &[AtomicU64; SLOTS], hash: u64) -> (u32, u32) {
    let halves = upper_halves(words);
    let matching = with_upper(halves, u32::MAX << HALF, (wanted(hash) << HALF) as u32);
    (matching, with_upper(halves, 3 << HALF, 0))
}

/// Which of the words look so, and which are empty, as bits.
#[cfg(not(all(target_arch = "x86_64", not(miri), not(vrouter_loom))))]
#[inline]
fn survey(words: &[AtomicU64; SLOTS], hash: u64) -> (u32, u32) {
    (matching(words, hash), free(words))
}

/// Which of the words look so, as bits. Without branches: where in its bucket an entry stands cannot be predicted.
#[cfg(not(all(target_arch = "x86_64", not(miri), not(vrouter_loom))))]
#[inline]
fn matching(words: &[AtomicU64; SLOTS], hash: u64) -> u32 {
    let mut matching = 0;
    for (slot, word) in words.iter().enumerate() {
        matching |= u32::from(word.load(Ordering::Relaxed) >> STATE_SHIFT == wanted(hash)) << slot;
    }
    matching
}

/// Which of the words are empty, as bits. From the last word on, so that each costs a comparison and an addition with carry.
#[inline(always)]
fn free(words: &[AtomicU64; SLOTS]) -> u32 {
    let bits = words.iter().rev().map(|word| word.load(Ordering::Relaxed) < 1);
    bits.fold(0, |free, empty| free + free + u32::from(empty))
}

/// Which of the words have the tag of this one, whatever their state, as bits. Of empty ones, too, where the tag is zero.
#[inline(always)]
fn alike(words: &[AtomicU64; SLOTS], one: Entry) -> u32 {
    let flip = one.0 >> TAG_SHIFT << TAG_SHIFT;
    let bits = words
        .iter()
        .rev()
        .map(|word| word.load(Ordering::SeqCst) ^ flip < 1 << TAG_SHIFT);
    bits.fold(0, |alike, same| alike + alike + u32::from(same))
}

/// The bits but so many of the lowest.
#[inline(always)]
fn without_lowest(bits: u32, count: usize) -> u32 {
    (0..count).fold(bits, |bits, _| bits & bits.wrapping_sub(1))
}

/// How an insertion into the index ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// The key was new and is now visible.
    Placed,
    /// The key is there already, as this entry.
    Exists(Entry),
    /// Neither bucket has a free slot.
    Full,
    /// Another worker is inserting the same key and was given way.
    Contended,
}

#[cfg_attr(not(vrouter_loom), repr(C, align(64)))]
struct Bucket([AtomicU64; SLOTS]);

// SAFETY: atomics of zero (no entry) are zeros and need no drop.
unsafe impl Zeroable for Bucket {
    #[cfg(any(test, vrouter_loom))]
    fn zero() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

pub(super) struct Index {
    buckets: Slab<Bucket>,
}

impl Index {
    /// An index for so many directions, half full when all are in use.
    pub(super) fn new(directions: usize) -> Result<Self, TableError> {
        let buckets = Slab::new((directions * 2).div_ceil(SLOTS).max(2))?;
        // Records are taken one after the other; buckets are anywhere, from the first flows on.
        buckets.populate();
        Ok(Self { buckets })
    }

    /// The first bucket of a hash.
    #[inline(always)]
    fn first(&self, hash: u64) -> usize {
        (((hash & 0xffff_ffff) * self.buckets.len() as u64) >> 32) as usize
    }

    /// The two buckets of a hash: never the same one.
    #[inline]
    fn places(&self, hash: u64) -> [usize; 2] {
        let (len, first) = (self.buckets.len() as u64, self.first(hash));
        // Mixed again, so that neither the tag nor the first bucket says anything of the second.
        let second = (((hash.wrapping_mul(0xd6e8_feb8_6659_fd93) >> 32) * len) >> 32) as usize;
        let second = if second != first {
            second
        } else if first + 1 == len as usize {
            0
        } else {
            first + 1
        };
        [first, second]
    }

    /// Asks for the first bucket's cache line.
    #[inline(always)]
    pub(super) fn prefetch(&self, hash: u64) {
        prefetch(&self.buckets[self.first(hash)]);
    }

    /// Asks for both buckets' cache lines.
    #[inline]
    pub(super) fn prefetch_both(&self, hash: u64) {
        for place in self.places(hash) {
            prefetch(&self.buckets[place]);
        }
    }

    /// The visible entries with the hash's tag, of the first bucket and then of the second, until `accept` answers.
    #[inline]
    pub(super) fn find<R>(&self, hash: u64, mut accept: impl FnMut(Entry) -> Option<R>) -> Option<R> {
        let places = self.places(hash);
        places
            .into_iter()
            .find_map(|place| self.find_in(place, hash, &mut accept))
    }

    /// As [`find`](Self::find), in the second bucket only.
    #[inline]
    pub(super) fn find_far<R>(&self, hash: u64, accept: impl FnMut(Entry) -> Option<R>) -> Option<R> {
        self.find_in(self.places(hash)[1], hash, accept)
    }

    /// As [`find`](Self::find), in one bucket.
    #[inline(always)]
    fn find_in<R>(&self, place: usize, hash: u64, mut accept: impl FnMut(Entry) -> Option<R>) -> Option<R> {
        let words = &self.buckets[place].0;
        let mut matching = matching(words, hash);
        while matching != 0 {
            // Acquire: what the inserter wrote into the record comes with the word.
            let word = words[matching.trailing_zeros() as usize % SLOTS].load(Ordering::Acquire);
            if word >> STATE_SHIFT == wanted(hash)
                && let Some(found) = accept(Entry(word))
            {
                return Some(found);
            }
            matching &= matching - 1;
        }
        None
    }

    /// A visible entry with the hash's tag in the first bucket: most likely the one that will be found. If there is none, asks for the
    /// second bucket's cache line.
    #[inline(always)]
    pub(super) fn guess(&self, hash: u64) -> Option<Entry> {
        let words = &self.buckets[self.first(hash)].0;
        let matching = matching(words, hash);
        if matching == 0 {
            self.prefetch_second(hash);
            return None;
        }
        // Acquire: what the inserter wrote into the record comes with the word.
        let word = words[matching.trailing_zeros() as usize % SLOTS].load(Ordering::Acquire);
        (word >> STATE_SHIFT == wanted(hash)).then_some(Entry(word))
    }

    #[cold]
    fn prefetch_second(&self, hash: u64) {
        prefetch(&self.buckets[self.places(hash)[1]]);
    }

    /// Makes the direction findable under the hash, unless its key is there already. `same` says whether the record of an entry
    /// bears the very key (and is still the entry's).
    pub(super) fn claim(&self, hash: u64, direction: u32, generation: u32, same: impl Fn(Entry) -> bool) -> Claim {
        let mine = Entry::new(hash, INSERTING, direction, generation);
        let places = self.places(hash);
        let slot = loop {
            let Some(slot) = self.free_slot(places) else {
                let found = self.find(hash, |entry| same(entry).then_some(entry));
                return found.map_or(Claim::Full, Claim::Exists);
            };
            // Sequentially consistent, as the looks at the other slots are: of two inserters, at least one sees the other.
            if self
                .slot(slot)
                .compare_exchange(0, mine.0, Ordering::SeqCst, Ordering::Relaxed)
                .is_ok()
            {
                break slot;
            }
        };
        let own = self.slot(slot);
        let mut pushed = 0;
        loop {
            // Loom knows sequential consistency of fences only.
            #[cfg(vrouter_loom)]
            super::super::sync::fence(Ordering::SeqCst);
            let mut pushed_earlier = false;
            for place in places {
                let mut alike = alike(&self.buckets[place].0, mine);
                if place == slot.0 {
                    alike &= !(1 << slot.1);
                }
                while alike != 0 {
                    let other = (place, alike.trailing_zeros() as usize % SLOTS);
                    alike &= alike - 1;
                    match self.push_aside(other, mine, &same) {
                        Rival::None => {}
                        Rival::Pushed => pushed_earlier |= other < slot,
                        Rival::Member(entry) => {
                            own.store(0, Ordering::Release);
                            return Claim::Exists(entry);
                        }
                    }
                }
            }
            let member = mine.with_state(MEMBER);
            if own
                .compare_exchange(mine.0, member.0, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
            {
                return Claim::Placed;
            }
            pushed += usize::from(pushed_earlier);
            if pushed > PATIENCE {
                own.store(0, Ordering::Release);
                return Claim::Contended;
            }
            // A swap, because a store could be overtaken by the looks that follow.
            own.swap(mine.0, Ordering::SeqCst);
        }
    }

    /// As [`claim`](Self::claim), for one who is the only one ever to insert: nobody's way need be crossed, and nothing exchanged.
    #[inline]
    pub(super) fn place(&self, hash: u64, direction: u32, generation: u32, same: impl Fn(Entry) -> bool) -> Claim {
        let places = self.places(hash);
        let (like_first, near) = survey(&self.buckets[places[0]].0, hash);
        let (like_second, far) = survey(&self.buckets[places[1]].0, hash);
        if like_first | like_second != 0
            && let Some(there) = self.find(hash, |entry| same(entry).then_some(entry))
        {
            return Claim::Exists(there);
        }
        self.put(choose(places, near, || far), hash, direction, generation)
    }

    /// As [`place`](Self::place), of a key that is not there: the one who inserts has looked, and inserted nothing since.
    #[inline]
    pub(super) fn place_absent(&self, hash: u64, direction: u32, generation: u32) -> Claim {
        let places = self.places(hash);
        let free = |place: usize| survey(&self.buckets[place].0, hash).1;
        let slot = choose(places, free(places[0]), || free(places[1]));
        self.put(slot, hash, direction, generation)
    }

    /// Fills a slot. A free one stays free until somebody inserts.
    #[inline(always)]
    fn put(&self, slot: Option<(usize, usize)>, hash: u64, direction: u32, generation: u32) -> Claim {
        let Some(slot) = slot else { return Claim::Full };
        let entry = Entry::member(hash, direction, generation);
        self.slot(slot).store(entry.0, Ordering::Release);
        Claim::Placed
    }

    /// Looks at another slot for the same key: a member is reported, an inserter is marked collided.
    fn push_aside(&self, other: (usize, usize), mine: Entry, same: impl Fn(Entry) -> bool) -> Rival {
        let word = self.slot(other);
        let mut entry = Entry(word.load(Ordering::SeqCst));
        loop {
            let state = entry.state();
            if entry.0 >> TAG_SHIFT != mine.0 >> TAG_SHIFT || state == 0 || state == COLLIDED || !same(entry) {
                return Rival::None;
            }
            if state == MEMBER {
                return Rival::Member(entry);
            }
            let collided = entry.with_state(COLLIDED);
            match word.compare_exchange(entry.0, collided.0, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Rival::Pushed,
                Err(now) => entry = Entry(now),
            }
        }
    }

    /// Makes the direction unfindable. False if it was so before.
    pub(super) fn unlink(&self, hash: u64, direction: u32, generation: u32) -> bool {
        let member = Entry::member(hash, direction, generation);
        self.words(hash, member).any(|word| {
            word.compare_exchange(member.0, 0, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
        })
    }

    /// As [`unlink`](Self::unlink), for a direction that nobody else may take out any more: a word that is a member's changes no more then.
    #[inline]
    pub(super) fn take_out(&self, hash: u64, direction: u32, generation: u32) {
        let member = Entry::member(hash, direction, generation);
        if let Some(word) = self.word_in(self.first(hash), hash, member) {
            word.store(0, Ordering::Release);
        } else if let Some(word) = self.word_in(self.places(hash)[1], hash, member) {
            word.store(0, Ordering::Release);
        }
    }

    /// Where this member stands: the first such word of each of its buckets. The tags of all words of a bucket are compared at once.
    #[inline(always)]
    fn words(&self, hash: u64, member: Entry) -> impl Iterator<Item = &AtomicU64> {
        let places = self.places(hash).into_iter();
        places.filter_map(move |place| self.word_in(place, hash, member))
    }

    /// Where in a bucket this member stands.
    #[inline(always)]
    fn word_in(&self, place: usize, hash: u64, member: Entry) -> Option<&AtomicU64> {
        let words = &self.buckets[place].0;
        let mut alike = matching(words, hash);
        while alike != 0 {
            let word = &words[alike.trailing_zeros() as usize % SLOTS];
            if word.load(Ordering::Relaxed) == member.0 {
                return Some(word);
            }
            alike &= alike - 1;
        }
        None
    }

    /// Takes this very entry out.
    pub(super) fn unlink_entry(&self, hash: u64, entry: Entry) {
        for word in self.places(hash).into_iter().flat_map(|place| &self.buckets[place].0) {
            if word.load(Ordering::Relaxed) == entry.0 {
                // Failing means that someone else took it out.
                let _ = word.compare_exchange(entry.0, 0, Ordering::AcqRel, Ordering::Relaxed);
            }
        }
    }

    /// A free slot for a hash.
    #[inline(always)]
    fn free_slot(&self, places: [usize; 2]) -> Option<(usize, usize)> {
        let free = |place: usize| free(&self.buckets[place].0);
        choose(places, free(places[0]), || free(places[1]))
    }

    fn slot(&self, (bucket, slot): (usize, usize)) -> &AtomicU64 {
        &self.buckets[bucket].0[slot]
    }

    /// How many slots are not empty: for tests that nothing is left behind.
    #[cfg(test)]
    pub(super) fn occupied(&self) -> usize {
        let words = self.buckets.iter().flat_map(|bucket| &bucket.0);
        words.filter(|word| word.load(Ordering::Relaxed) != 0).count()
    }
}

/// A free slot in the first bucket while it has room to spare, else in the emptier one, by what is free in each.
#[inline(always)]
fn choose([first, second]: [usize; 2], near: u32, far: impl FnOnce() -> u32) -> Option<(usize, usize)> {
    let slot = |free: u32| free.trailing_zeros() as usize % SLOTS;
    if without_lowest(near, SLOTS - CROWDED) != 0 {
        return Some((first, slot(near)));
    }
    let far = far();
    if near.count_ones() >= far.count_ones() {
        (near != 0).then(|| (first, slot(near)))
    } else {
        Some((second, slot(far)))
    }
}

enum Rival {
    None,
    Pushed,
    Member(Entry),
}

#[cfg(test)]
#[cfg(not(vrouter_loom))]
mod tests {
    use super::*;

    #[test]
    fn entries_keep_their_parts_apart() {
        let entry = Entry::new(0x1234_abcd_0000_0000, MEMBER, 0x0fff_fff1, 0xffff_ffff);
        assert_eq!(entry.direction(), 0x0fff_fff1);
        assert!(entry.is_of(0x3ffff) && entry.is_of(0xffff_ffff) && !entry.is_of(0x3fffe));
        assert_eq!(entry.0 >> TAG_SHIFT, 0xabcd);
        assert_eq!(entry.with_state(COLLIDED).state(), COLLIDED);
        assert_eq!(entry.with_state(COLLIDED).with_state(MEMBER), entry);
    }

    #[test]
    fn a_bucket_is_looked_at_as_if_word_by_word() {
        let mut random = 1_u64;
        let mut next = || {
            random = random
                .wrapping_mul(0x5851_f42d_4c95_7f2d)
                .wrapping_add(0x1405_7b7e_f767_814f);
            random >> 24
        };
        for _ in 0..10_000 {
            let hash = next() << 30;
            let words: [AtomicU64; SLOTS] = std::array::from_fn(|_| {
                let tagged = if next() % 2 == 0 { hash } else { next() << 30 };
                let state = next() % 4;
                // What has no state is empty.
                let word = Entry::new(tagged, state, next() as u32 % 1000, next() as u32).0;
                AtomicU64::new(if state == 0 { 0 } else { word })
            });
            let bits = |is: &dyn Fn(u64) -> bool| {
                let set = words
                    .iter()
                    .enumerate()
                    .filter(|(_, word)| is(word.load(Ordering::Relaxed)));
                set.fold(0, |bits, (place, _)| bits | 1 << place)
            };
            let (like, empty) = (
                bits(&|word| word >> STATE_SHIFT == wanted(hash)),
                bits(&|word| word == 0),
            );
            assert_eq!(survey(&words, hash), (like, empty));
            assert_eq!((matching(&words, hash), free(&words)), (like, empty));
        }
    }

    #[test]
    fn two_buckets_of_a_hash_always_differ() {
        for directions in [1, 8, 9, 100, 4096] {
            let index = Index::new(directions).unwrap();
            for n in 0..10_000u64 {
                let [a, b] = index.places(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                assert!(a != b && a < index.buckets.len() && b < index.buckets.len());
            }
        }
    }

    #[test]
    fn an_index_filled_to_its_promise_has_room_and_most_stand_in_their_first_bucket() {
        const DIRECTIONS: u32 = 200_000;
        let index = Index::new(DIRECTIONS as usize).unwrap();
        let hash = |n: u32| {
            u64::from(n)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .rotate_left(31)
                .wrapping_mul(0xff51_afd7_ed55_8ccd)
        };
        for n in 0..DIRECTIONS {
            assert_eq!(
                index.claim(hash(n), n, 1, |entry| entry.direction() == n),
                Claim::Placed
            );
        }
        let first = (0..DIRECTIONS)
            .filter(|&n| {
                let words = &index.buckets[index.places(hash(n))[0]].0;
                words.iter().any(|w| Entry(w.load(Ordering::Relaxed)).direction() == n)
            })
            .count();
        assert!(first > 150_000, "{first} of {DIRECTIONS} in the first bucket");
        for n in 0..DIRECTIONS {
            assert!(
                index
                    .find(hash(n), |entry| (entry.direction() == n).then_some(()))
                    .is_some()
            );
            assert!(index.unlink(hash(n), n, 1));
            assert!(!index.unlink(hash(n), n, 1));
        }
        assert_eq!(index.occupied(), 0);
    }

    #[test]
    fn full_buckets_say_so() {
        let index = Index::new(1).unwrap();
        for n in 0..2 * SLOTS as u32 {
            assert_eq!(index.claim(0, n, 1, |entry| entry.direction() == n), Claim::Placed);
        }
        assert_eq!(index.claim(0, 99, 1, |entry| entry.direction() == 99), Claim::Full);
        assert!(index.unlink(0, 3, 1));
        assert_eq!(index.claim(0, 99, 1, |entry| entry.direction() == 99), Claim::Placed);
    }
}
