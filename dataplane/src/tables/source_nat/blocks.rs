//! Blocks of ports, who owns them, and which ports of them are used.
//!
//! Everything is words of atomics in memory taken at start. A block's state says its owner (an entry of [`Sources`]) and how many hold it: the
//! flows on its ports, and workers that are looking at it. So nobody's block goes while it is looked at, and the block is free with
//! the last flow. A port's word says which port of the source it stands for, and how many flows are on it.

use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
};

use super::{
    super::{
        memory::{Slab, TableError},
        sync::{AtomicU32, AtomicU64, Ordering},
    },
    pool::{Exhausted, PoolSpec},
    sources::{Source, Sources},
};

/// Ports of a block among which a port of a source is looked for, from the one with its low bits on: two cache lines.
const WINDOW: usize = 32;

/// Most flows on one port.
const MOST: u32 = u16::MAX as u32;

/// A place in a list of blocks that is about to be filled.
const RESERVED: u32 = u32::MAX;

/// How often a source that seems to have used all that it may have is looked at before it is refused.
const LOOKS: u32 = 4;

/// All that is given out: ports of some addresses.
pub(super) struct Blocks {
    addresses: Box<[IpAddr]>,
    /// Places of addresses, ascending by address.
    places: Box<[(IpAddr, usize)]>,
    first_port: u16,
    /// Ports of a block.
    size: usize,
    /// Blocks of an address.
    per_address: usize,
    /// Owner plus one | holders. 0: free.
    states: Slab<AtomicU64>,
    /// Port of the source | flows. 0: free.
    ports: Slab<AtomicU32>,
    /// A bit for each block that is taken, in whole words per address.
    taken: Slab<AtomicU64>,
    /// The block of each address to begin to look at: the one behind that given last, so that blocks rest before they are used again.
    cursors: Box<[AtomicU32]>,
    used: AtomicU64,
    sources: Sources,
    seed: u64,
}

impl std::fmt::Debug for Blocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blocks")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

/// A port of a source, on its way to an outside port.
#[derive(Clone, Copy)]
struct Wanted {
    source: Source,
    entry: u32,
    port: u16,
    attempt: u32,
}

impl Blocks {
    /// Over a spec that was checked.
    pub(super) fn new(spec: &PoolSpec) -> Result<Self, TableError> {
        let (addresses, size) = (&spec.addresses, usize::from(spec.block_size));
        let per_address = (usize::from(spec.last_port - spec.first_port) + 1) / size;
        let all = per_address * addresses.len();
        let list = usize::from(spec.blocks_per_source).min(all);
        // Unknown to those who could choose addresses that collide.
        let seed = RandomState::new().hash_one(0);
        let mut places: Box<[_]> = addresses.iter().copied().zip(0..).collect();
        places.sort_unstable();
        Ok(Self {
            addresses: addresses.iter().copied().collect(),
            places,
            first_port: spec.first_port,
            size,
            per_address,
            states: Slab::new(all)?,
            ports: Slab::new(all * size)?,
            taken: Slab::new(per_address.div_ceil(64) * addresses.len())?,
            cursors: addresses.iter().map(|_| AtomicU32::new(0)).collect(),
            used: AtomicU64::new(0),
            sources: Sources::new(all, list, seed)?,
            seed,
        })
    }

    /// An outside address and port for a flow from a port of a source; for one without ports, an address and 0.
    pub(super) fn give(
        &self,
        realm: u16,
        source: IpAddr,
        port: Option<u16>,
        attempt: u32,
    ) -> Result<(IpAddr, u16), Exhausted> {
        // Nothing but the address could be changed.
        if port.is_none() && attempt > 0 {
            return Err(Exhausted::Source);
        }
        let source = Source::new(realm, source);
        let entry = self.entry(source).ok_or(Exhausted::Blocks)?;
        let wanted = Wanted {
            source,
            entry,
            port: port.unwrap_or(0),
            attempt,
        };
        let mut found = self.choose(&wanted, port.is_some());
        for _ in 1..LOOKS {
            // A block that goes at this very moment may still be in the list, in the way of another: look again.
            if found == Err(Exhausted::Source) {
                found = self.choose(&wanted, port.is_some());
            }
        }
        self.sources.drop(entry);
        let (address, outside) = self.outside(found?);
        Ok((address, if port.is_some() { outside } else { 0 }))
    }

    /// The source's entry, with a reference. A source that could not get a block anyway gets none.
    fn entry(&self, source: Source) -> Option<u32> {
        let found = self.sources.find(source);
        let free = self.used.load(Ordering::Relaxed) < self.states.len() as u64;
        found.or_else(|| free.then(|| self.sources.find_or_make(source)).flatten())
    }

    /// Takes a port: the one the source's port has already, else a free one, else one of a new block, else one that is used.
    fn choose(&self, wanted: &Wanted, may_share: bool) -> Result<usize, Exhausted> {
        if wanted.attempt == 0
            && let Some(port) = self
                .owned(wanted.entry)
                .find_map(|block| self.take_mapped(block, wanted))
        {
            return Ok(port);
        }
        // What was free at an earlier attempt and is free again did not fit then.
        let mut skip = wanted.attempt;
        let free = self
            .owned(wanted.entry)
            .find_map(|block| self.take_free(block, wanted, &mut skip));
        if let Some(port) = free {
            return Ok(port);
        }
        let why = match self.grow(wanted) {
            Ok(port) => return Ok(port),
            Err(why) => why,
        };
        let shared = may_share.then(|| self.share(wanted)).flatten();
        shared.ok_or(why)
    }

    /// The blocks in a source's list: those that it owned a moment ago.
    fn owned(&self, entry: u32) -> impl Iterator<Item = usize> {
        let places = self
            .sources
            .list(entry)
            .iter()
            .map(|place| place.load(Ordering::Acquire));
        places.filter_map(|block| (block != 0 && block != RESERVED).then(|| block as usize - 1))
    }

    /// The ports of a block that a port of a source may have, best first. Low bits are kept where they can be.
    fn window(&self, block: usize, port: u16) -> impl Iterator<Item = usize> + use<> {
        let (size, home) = (self.size, usize::from(port.wrapping_sub(self.first_port)));
        (0..size.min(WINDOW)).map(move |step| block * size + (home + step) % size)
    }

    fn take_mapped(&self, block: usize, wanted: &Wanted) -> Option<usize> {
        let mine = |word: u32| (word >> 16 == u32::from(wanted.port) && word & MOST > 0).then_some(word);
        let is_mine = |at: &usize| mine(self.ports[*at].load(Ordering::Relaxed)).is_some();
        let port = self.window(block, wanted.port).find(is_mine)?;
        self.take(block, port, wanted.entry, |word| mine(word).map(|word| word + 1))
    }

    fn take_free(&self, block: usize, wanted: &Wanted, skip: &mut u32) -> Option<usize> {
        self.window(block, wanted.port).find_map(|port| {
            if self.ports[port].load(Ordering::Relaxed) != 0 {
                return None;
            }
            if *skip > 0 {
                *skip -= 1;
                return None;
            }
            self.take(block, port, wanted.entry, |word| {
                (word == 0).then(|| first(wanted.port))
            })
        })
    }

    /// A port that others of the source use, another one with each attempt.
    fn share(&self, wanted: &Wanted) -> Option<usize> {
        let count = self.owned(wanted.entry).count();
        // Ports of the source begin at different blocks; attempts go round.
        let turn = usize::from(wanted.port) / self.size + wanted.attempt as usize;
        let block = self.owned(wanted.entry).nth(turn.checked_rem(count)?)?;
        let home = usize::from(wanted.port.wrapping_sub(self.first_port));
        let port = block * self.size + (home + wanted.attempt as usize / count) % self.size;
        self.take(block, port, wanted.entry, |word| match word {
            0 => Some(first(wanted.port)),
            _ => Some(word + 1),
        })
    }

    /// Puts one more flow on a port, if the block is still the owner's and the port's word allows it.
    fn take(&self, block: usize, port: usize, entry: u32, change: impl Fn(u32) -> Option<u32>) -> Option<usize> {
        if !self.hold(block, entry) {
            return None;
        }
        let change = |word: u32| change(word).filter(|_| word & MOST < MOST);
        match self.ports[port].fetch_update(Ordering::AcqRel, Ordering::Acquire, change) {
            Ok(_) => Some(port),
            Err(_) => {
                self.let_go(block);
                None
            }
        }
    }

    /// One more holder of a block that is the owner's.
    fn hold(&self, block: usize, entry: u32) -> bool {
        let one_more = |state: u64| (state != 0 && owner(state) == Some(entry)).then_some(state + 1);
        let state = &self.states[block];
        state
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more)
            .is_ok()
    }

    /// One holder less. With the last one the block is free.
    fn let_go(&self, block: usize) {
        let one_less = |state: u64| match state as u32 {
            0 => None,
            1 => Some(0),
            _ => Some(state - 1),
        };
        let before = self.states[block].fetch_update(Ordering::AcqRel, Ordering::Acquire, one_less);
        let Some(entry) = before.ok().filter(|state| *state as u32 == 1).and_then(owner) else {
            return;
        };
        let in_list = block as u32 + 1;
        for place in self.sources.list(entry) {
            if place
                .compare_exchange(in_list, 0, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
            {
                break;
            }
        }
        self.sources.drop(entry);
        self.used.fetch_sub(1, Ordering::Relaxed);
        // Last: from here on it may be given again.
        let (word, bit) = self.bit(block);
        self.taken[word].fetch_and(!bit, Ordering::AcqRel);
    }

    /// A port of a block that the source did not own before.
    fn grow(&self, wanted: &Wanted) -> Result<usize, Exhausted> {
        let place = self.reserve(wanted.entry).ok_or(Exhausted::Source)?;
        // Where the source is already, or where its hash says.
        let at_home = self.owned(wanted.entry).next().map(|block| block / self.per_address);
        let home = at_home.unwrap_or_else(|| wanted.source.hash(!self.seed) as usize % self.addresses.len());
        let count = self.addresses.len();
        let Some(block) = (0..count).find_map(|step| self.take_block((home + step) % count)) else {
            place.store(0, Ordering::Release);
            return Err(Exhausted::Blocks);
        };
        self.settle(block, wanted.entry, place);
        // Held once, for the port that is taken now. Other workers that found it in the list may take ports, too.
        let start = usize::from(wanted.port.wrapping_sub(self.first_port)) + wanted.attempt as usize;
        let mut ports = (0..self.size).map(|step| block * self.size + (start + step) % self.size);
        let taken = ports.find(|port| {
            let word = &self.ports[*port];
            let new = first(wanted.port);
            word.compare_exchange(0, new, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
        });
        taken.ok_or_else(|| {
            self.let_go(block);
            Exhausted::Source
        })
    }

    fn reserve(&self, entry: u32) -> Option<&AtomicU32> {
        self.sources.list(entry).iter().find(|place| {
            let word = place.load(Ordering::Relaxed);
            word == 0
                && place
                    .compare_exchange(0, RESERVED, Ordering::AcqRel, Ordering::Relaxed)
                    .is_ok()
        })
    }

    /// Gives a block that was taken to an owner, with one holder.
    fn settle(&self, block: usize, entry: u32, place: &AtomicU32) {
        self.sources.hold(entry);
        self.used.fetch_add(1, Ordering::Relaxed);
        self.states[block].store((u64::from(entry) + 1) << 32 | 1, Ordering::Release);
        place.store(block as u32 + 1, Ordering::Release);
    }

    /// A block of an address that was free.
    fn take_block(&self, address: usize) -> Option<usize> {
        let words = self.per_address.div_ceil(64);
        let cursor = self.cursors.get(address)?;
        let start = cursor.load(Ordering::Relaxed) as usize % self.per_address;
        // The first word twice: from the start on, and at the end what is before it.
        for step in 0..=words {
            let word = (start / 64 + step) % words;
            let there = match word {
                last if last == words - 1 => u64::MAX >> (words * 64 - self.per_address),
                _ => u64::MAX,
            };
            let wanted = if step == 0 {
                there & u64::MAX << (start % 64)
            } else {
                there
            };
            let bits = &self.taken[address * words + word];
            loop {
                let free = !bits.load(Ordering::Relaxed) & wanted;
                if free == 0 {
                    break;
                }
                let bit = free & free.wrapping_neg();
                if bits.fetch_or(bit, Ordering::AcqRel) & bit == 0 {
                    let block = word * 64 + bit.trailing_zeros() as usize;
                    cursor.store(block as u32 + 1, Ordering::Relaxed);
                    return Some(address * self.per_address + block);
                }
            }
        }
        None
    }

    /// Where a block's bit is: word and bit.
    fn bit(&self, block: usize) -> (usize, u64) {
        let (address, block) = (block / self.per_address, block % self.per_address);
        (address * self.per_address.div_ceil(64) + block / 64, 1 << (block % 64))
    }

    /// Takes back a port, or with port 0 what a flow without ports was given.
    pub(super) fn take_back(&self, realm: u16, source: IpAddr, outside: IpAddr, port: u16) {
        let source = Source::new(realm, source);
        if port != 0 {
            if let Some((block, port)) = self.inside(outside, port)
                && self.is_owned_by(block, source)
            {
                self.give_up(block, port);
            }
            return;
        }
        let Some(entry) = self.sources.find(source) else { return };
        let at_address = |block: &usize| self.addresses.get(block / self.per_address) == Some(&outside);
        let is_used = |port: &usize| matches!(self.ports[*port].load(Ordering::Acquire), 1..=MOST);
        let mut used = self.owned(entry).filter(at_address).filter_map(|block| {
            let port = self.window(block, 0).find(is_used)?;
            Some((block, port))
        });
        if let Some((block, port)) = used.next() {
            self.give_up(block, port);
        }
        self.sources.drop(entry);
    }

    /// One flow less on a port.
    fn give_up(&self, block: usize, port: usize) {
        let one_less = |word: u32| match word & MOST {
            0 => None,
            1 => Some(0),
            _ => Some(word - 1),
        };
        let word = &self.ports[port];
        if word.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_less).is_ok() {
            self.let_go(block);
        }
    }

    fn is_owned_by(&self, block: usize, source: Source) -> bool {
        let owner = owner(self.states[block].load(Ordering::Acquire));
        owner.is_some_and(|entry| self.sources.is_of(entry, source))
    }

    /// Puts a flow on a port that it had in another pool: if the block is the source's, or free.
    pub(super) fn adopt(&self, realm: u16, source: IpAddr, source_port: u16, outside: IpAddr, port: u16) -> bool {
        if port == 0 {
            return match self.give(realm, source, None, 0) {
                Ok((given, _)) if given == outside => true,
                Ok((given, _)) => {
                    self.take_back(realm, source, given, 0);
                    false
                }
                Err(_) => false,
            };
        }
        let source = Source::new(realm, source);
        let Some((block, port)) = self.inside(outside, port) else {
            return false;
        };
        let Some(entry) = self.sources.find_or_make(source) else {
            return false;
        };
        let one_more = |word: u32| match word {
            0 => Some(first(source_port)),
            _ => Some(word + 1),
        };
        let mut taken = self.take(block, port, entry, one_more).is_some();
        if !taken && self.take_this(block, entry) {
            taken = self.take(block, port, entry, one_more).is_some();
            self.let_go(block);
        }
        self.sources.drop(entry);
        taken
    }

    /// Takes this very block for an owner, with one holder, if it is free and the owner may have it.
    fn take_this(&self, block: usize, entry: u32) -> bool {
        let Some(place) = self.reserve(entry) else { return false };
        let (word, bit) = self.bit(block);
        let free = self.taken[word].fetch_or(bit, Ordering::AcqRel) & bit == 0;
        if free {
            self.settle(block, entry, place);
        } else {
            place.store(0, Ordering::Release);
        }
        free
    }

    /// Block and port for an outside address and port.
    fn inside(&self, address: IpAddr, port: u16) -> Option<(usize, usize)> {
        let at = self
            .places
            .binary_search_by_key(&address, |(address, _)| *address)
            .ok()?;
        let offset = usize::from(port.checked_sub(self.first_port)?);
        let block = offset / self.size;
        let block = (block < self.per_address).then(|| self.places[at].1 * self.per_address + block)?;
        Some((block, block * self.size + offset % self.size))
    }

    /// Outside address and port of a port.
    fn outside(&self, port: usize) -> (IpAddr, u16) {
        let ports = self.per_address * self.size;
        (self.addresses[port / ports], self.first_port + (port % ports) as u16)
    }

    /// Blocks that there are, and those that have an owner.
    pub(super) fn usage(&self) -> (u64, u64) {
        (self.states.len() as u64, self.used.load(Ordering::Relaxed))
    }

    /// Sources that have an entry, and holders of blocks.
    #[cfg(test)]
    pub(super) fn audit(&self) -> (usize, u64) {
        let holders = self
            .states
            .iter()
            .map(|state| state.load(Ordering::Acquire) & 0xffff_ffff);
        (self.sources.count(), holders.sum())
    }
}

/// The word of a port with its first flow.
fn first(port: u16) -> u32 {
    u32::from(port) << 16 | 1
}

/// Who owns a block in this state.
fn owner(state: u64) -> Option<u32> {
    ((state >> 32) as u32).checked_sub(1)
}
