//! Sources that own blocks, and which ones: an open hash table whose entries come and go, without locks.
//!
//! An entry is held by references: one for each block that its source owns, and one for each worker that is looking at it. With the last
//! one it is free. A source has at most one entry: who makes one first offers it as a *candidate*, and then looks whether another worker offered or made
//! one for the same source. Of two that offer at once, at least one sees the other's; it withdraws the other's, or takes the other's if it
//! is made already. So nobody waits for a worker that stands still.

use std::net::IpAddr;

use super::super::{
    memory::{Slab, TableError, prefetch},
    sync::{AtomicU32, AtomicU64, Ordering, fence},
};
use crate::packet::FlowKey;

/// Words of an entry: its state, and its source in three.
const WORDS: usize = 4;

/// Offers that may be withdrawn by others, one after the other, before a worker gives up. Two workers would have to keep step all the while, which
/// loom makes them do.
const OFFERS: u32 = if cfg!(vrouter_loom) { 2 } else { 64 };

/// A source: its address and the VRF it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Source([u64; WORDS - 1]);

impl Source {
    /// Sources of one pool are all of one family.
    pub(super) fn new(realm: u16, address: IpAddr) -> Self {
        let bits = match address {
            IpAddr::V4(address) => address.to_bits().into(),
            IpAddr::V6(address) => address.to_bits(),
        };
        Self([bits as u64, (bits >> 64) as u64, realm.into()])
    }

    pub(super) fn hash(&self, seed: u64) -> u64 {
        let [low, high, realm] = self.0;
        FlowKey::from_words([low, high, realm, 0, 0, 0]).hash(seed)
    }
}

/// What an entry is: two bits of phase | 30 bits that count its uses | references.
#[derive(Clone, Copy, PartialEq, Eq)]
struct State(u64);

impl State {
    const PHASE: u64 = 3 << 62;
    const FREE: u64 = 0;
    /// Its source is being written.
    const HELD: u64 = 1 << 62;
    const CANDIDATE: u64 = 2 << 62;
    const LIVE: u64 = 3 << 62;
    const USE: u64 = 1 << 32;
    const USES: u64 = (1 << 62) - Self::USE;

    fn is(self, phase: u64) -> bool {
        self.0 & Self::PHASE == phase
    }

    /// The same use of the entry in another phase, without references.
    fn to(self, phase: u64) -> Self {
        Self(phase | self.0 & Self::USES)
    }

    fn next_use(self) -> Self {
        Self((self.0 & Self::USES).wrapping_add(Self::USE) & Self::USES)
    }

    fn references(self) -> u32 {
        self.0 as u32
    }
}

/// The table.
pub(super) struct Sources {
    words: Slab<AtomicU64>,
    /// Places for the blocks of each entry.
    lists: Slab<AtomicU32>,
    list: usize,
    mask: usize,
    /// No entry was ever further from its place.
    reach: AtomicU32,
    seed: u64,
}

impl Sources {
    /// Room for this many sources, each with this many blocks at most.
    pub(super) fn new(sources: usize, list: usize, seed: u64) -> Result<Self, TableError> {
        // Half empty at most, so that ways stay short.
        let entries = (sources * 2).next_power_of_two();
        Ok(Self {
            words: Slab::new(entries * WORDS)?,
            lists: Slab::new(entries * list)?,
            list,
            mask: entries - 1,
            reach: AtomicU32::new(0),
            seed,
        })
    }

    fn state(&self, entry: usize) -> &AtomicU64 {
        &self.words[(entry & self.mask) * WORDS]
    }

    fn source(&self, entry: usize) -> &[AtomicU64] {
        let at = (entry & self.mask) * WORDS;
        &self.words[at + 1..at + WORDS]
    }

    /// The entry is of this source, if it is of any.
    pub(super) fn is_of(&self, entry: u32, source: Source) -> bool {
        let words = self.source(entry as usize).iter().zip(source.0);
        words.fold(true, |same, (word, wanted)| {
            same & (word.load(Ordering::Relaxed) == wanted)
        })
    }

    /// Places where the entry of a source can be.
    fn way(&self, source: Source) -> impl Iterator<Item = usize> + use<> {
        let (home, mask) = (source.hash(self.seed) as usize, self.mask);
        let reach = self.reach.load(Ordering::Acquire) as usize;
        (0..=reach).map(move |distance| home.wrapping_add(distance) & mask)
    }

    /// Asks for where the entry of a source most likely is.
    pub(super) fn prefetch(&self, source: Source) {
        let home = source.hash(self.seed) as usize & self.mask;
        prefetch(self.state(home));
        if let Some(place) = self.list(home as u32).first() {
            prefetch(place);
        }
    }

    /// The entry of a source, if it is where it most likely is. Without a reference: only a hint.
    pub(super) fn guess(&self, source: Source) -> Option<u32> {
        let home = (source.hash(self.seed) as usize & self.mask) as u32;
        self.is_of(home, source).then_some(home)
    }

    /// The entry of a source, with one more reference, if it has one.
    pub(super) fn find(&self, source: Source) -> Option<u32> {
        let found = self.way(source).find(|entry| self.pin(*entry, source));
        found.map(|entry| entry as u32)
    }

    /// Takes a reference if the entry is of this source. Not the order of the loads, but the use counted in the state makes sure that the
    /// source read is that of the entry taken: it changes only between two uses.
    fn pin(&self, entry: usize, source: Source) -> bool {
        let word = self.state(entry);
        let mut state = State(word.load(Ordering::Acquire));
        while state.is(State::LIVE) && self.is_of(entry as u32, source) {
            match word.compare_exchange(state.0, state.0 + 1, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return true,
                Err(now) => state = State(now),
            }
        }
        false
    }

    /// The entry of a source, with one more reference; made if there is none. `None`: no room.
    pub(super) fn find_or_make(&self, source: Source) -> Option<u32> {
        for _ in 0..OFFERS {
            if let Some(found) = self.find(source) {
                return Some(found);
            }
            let (entry, held) = self.claim(source)?;
            for (word, value) in self.source(entry).iter().zip(source.0) {
                word.store(value, Ordering::Relaxed);
            }
            let offer = held.to(State::CANDIDATE);
            self.state(entry).store(offer.0, Ordering::Release);
            // Between offering and looking round: of two who do so, one sees the other.
            fence(Ordering::SeqCst);
            let to = if self.is_only(entry, source) {
                State(offer.to(State::LIVE).0 + 1)
            } else {
                offer.to(State::FREE)
            };
            let made = self
                .state(entry)
                .compare_exchange(offer.0, to.0, Ordering::AcqRel, Ordering::Acquire);
            if made.is_ok() && to.is(State::LIVE) {
                return Some(entry as u32);
            }
        }
        None
    }

    /// A free entry, now held, and what it is in.
    fn claim(&self, source: Source) -> Option<(usize, State)> {
        let home = source.hash(self.seed) as usize;
        for distance in 0..=self.mask {
            let entry = home.wrapping_add(distance) & self.mask;
            let state = State(self.state(entry).load(Ordering::Relaxed));
            if !state.is(State::FREE) {
                continue;
            }
            let held = state.next_use().to(State::HELD);
            let word = self.state(entry);
            if word
                .compare_exchange(state.0, held.0, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
            {
                self.reach.fetch_max(distance as u32, Ordering::AcqRel);
                return Some((entry, held));
            }
        }
        None
    }

    /// No other entry is of this source. Offers of others are withdrawn.
    fn is_only(&self, own: usize, source: Source) -> bool {
        self.way(source).filter(|entry| *entry != own).all(|entry| {
            let word = self.state(entry);
            let mut state = State(word.load(Ordering::Acquire));
            while state.is(State::CANDIDATE) && self.is_of(entry as u32, source) {
                let free = state.to(State::FREE);
                match word.compare_exchange(state.0, free.0, Ordering::AcqRel, Ordering::Acquire) {
                    Ok(_) => return true,
                    Err(now) => state = State(now),
                }
            }
            !(state.is(State::LIVE) && self.is_of(entry as u32, source))
        })
    }

    /// One more reference, for one who has one.
    pub(super) fn hold(&self, entry: u32) {
        self.state(entry as usize).fetch_add(1, Ordering::AcqRel);
    }

    /// Gives a reference back. With the last one, the entry is free.
    pub(super) fn let_go(&self, entry: u32) {
        let word = self.state(entry as usize);
        let mut state = State(word.load(Ordering::Acquire));
        while state.references() > 0 {
            let left = match state.references() {
                1 => state.to(State::FREE),
                _ => State(state.0 - 1),
            };
            match word.compare_exchange(state.0, left.0, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return,
                Err(now) => state = State(now),
            }
        }
    }

    /// The places for blocks of an entry.
    pub(super) fn list(&self, entry: u32) -> &[AtomicU32] {
        let at = (entry as usize & self.mask) * self.list;
        &self.lists[at..at + self.list]
    }

    /// Entries in use: walks the whole table.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        let states = (0..=self.mask).map(|entry| State(self.state(entry).load(Ordering::Acquire)));
        states.filter(|state| !state.is(State::FREE)).count()
    }
}

#[cfg(test)]
#[cfg(vrouter_loom)]
mod loom_tests {
    use loom::{sync::Arc, thread};

    use super::*;

    fn source(n: u8) -> Source {
        Source::new(0, IpAddr::from([10, 0, 0, n]))
    }

    /// All orders of steps with up to three preemptions: without a bound it takes hours.
    fn model() -> loom::model::Builder {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model
    }

    /// Whatever the order of two workers' steps, a source has one entry.
    #[test]
    fn loom_two_who_make_a_source_make_one() {
        model().check(|| {
            let sources = Arc::new(Sources::new(1, 1, 1).unwrap());
            let other = sources.clone();
            let thread = thread::spawn(move || other.find_or_make(source(1)));
            let own = sources.find_or_make(source(1));
            let others = thread.join().unwrap();
            // Who gave up keeping step has none.
            if let (Some(own), Some(others)) = (own, others) {
                assert_eq!(own, others);
            }
            let made = own.is_some() || others.is_some();
            assert_eq!(sources.count(), usize::from(made));
            own.into_iter().chain(others).for_each(|entry| sources.let_go(entry));
            assert_eq!(sources.count(), 0);
        });
    }

    /// The same while another source goes from the place in front, which makes the two choose different places.
    #[test]
    fn loom_a_place_that_comes_free_makes_no_second_entry() {
        model().check(|| {
            let sources = Arc::new(Sources::new(1, 1, 1).unwrap());
            let gone = sources.find_or_make(source(2)).unwrap();
            let other = sources.clone();
            let thread = thread::spawn(move || other.find_or_make(source(1)));
            sources.let_go(gone);
            let own = sources.find_or_make(source(1));
            let others = thread.join().unwrap();
            if let (Some(own), Some(others)) = (own, others) {
                assert_eq!(own, others);
            }
            assert!(sources.count() <= 1);
        });
    }
}
