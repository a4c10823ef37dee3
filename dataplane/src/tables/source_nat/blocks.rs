//! Blocks of ports, who owns them, and which ports of them are used.
//!
//! Everything is words of atomics in memory taken at start. A block's state says its owner (an entry of [`Sources`]) and how many hold it: the
//! flows on its ports, and workers that are looking at it. So nobody's block goes while it is looked at, and the block is free with
//! the last flow. A port's word says which port of the source it stands for, and how many flows are on it.
#![allow(unsafe_code)]

use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
};

use super::{
    super::{
        memory::{Slab, TableError, prefetch},
        sync::{AtomicU32, AtomicU64, Ordering},
    },
    free::FreeBlocks,
    pool::{Exhausted, PoolSpec},
    sources::{Source, Sources},
};

/// Ports of a block among which a port of a source is looked for: two cache lines, from that of the one with its low bits on.
const WINDOW: usize = 32;

/// Ports whose words are in one cache line.
const LINE: usize = 16;

/// Most flows on one port.
const MOST: u32 = u16::MAX as u32;

/// A place in a source's list of blocks: the block's number plus one, 0 for none, below a count of its uses, so that no worker mistakes a place filled
/// anew for the one it saw before.
const IN_PLACE: u32 = (1 << 22) - 1;

/// How often a source's blocks are looked through before it is refused.
const LOOKS: u32 = 32;

/// All that is given out: ports of some addresses.
pub(super) struct Blocks {
    addresses: Box<[IpAddr]>,
    /// Places of addresses, ascending by address (all are of one family).
    places: Box<[(u128, usize)]>,
    first_port: u16,
    /// Ports of a block.
    size: usize,
    /// Blocks of an address.
    per_address: usize,
    /// Owner plus one | holders. 0: free.
    states: Slab<AtomicU64>,
    /// Port of the source | flows. 0: free.
    ports: Slab<AtomicU32>,
    free: FreeBlocks,
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

/// What there is for a port in a source's blocks.
enum Look {
    /// What it has already; taken once more.
    Taken(usize),
    /// Something free.
    Free {
        block: usize,
        port: usize,
    },
    Nothing,
}

/// The ports of a block that a port of a source may have, best first, a bit for each.
#[derive(Clone, Copy)]
struct Survey {
    /// Those that it has.
    mine: u32,
    /// Those that nobody has.
    free: u32,
}

impl Survey {
    /// Of a line of words: bit by bit in their order.
    #[cfg(all(target_arch = "x86_64", not(miri), not(vrouter_loom)))]
    #[inline(always)]
    fn of(words: &[AtomicU32], port: u16) -> Self {
        use crate::tables::memory::load_line;
        use std::arch::x86_64::{
            __m128i, _mm_andnot_si128, _mm_cmpeq_epi32, _mm_movemask_epi8, _mm_packs_epi16, _mm_packs_epi32,
            _mm_set1_epi32, _mm_setzero_si128, _mm_srli_epi32, _mm_xor_si128,
        };
        let Some(line) = words.first_chunk::<LINE>() else {
            return Self::one_by_one(words, port);
        };
        let [a, b, c, d] = load_line(line);
        // SAFETY: SSE2 is part of x86_64; nothing but values.
        unsafe {
            let (none, tag) = (_mm_setzero_si128(), _mm_set1_epi32((u32::from(port) << 16) as i32));
            let bits = |of: &dyn Fn(__m128i) -> __m128i| {
                let (low, high) = (_mm_packs_epi32(of(a), of(b)), _mm_packs_epi32(of(c), of(d)));
                _mm_movemask_epi8(_mm_packs_epi16(low, high)) as u32
            };
            // Of this port, with at least one flow.
            let mine = |words| {
                let rest = _mm_xor_si128(words, tag);
                let of_port = _mm_cmpeq_epi32(_mm_srli_epi32::<16>(rest), none);
                _mm_andnot_si128(_mm_cmpeq_epi32(rest, none), of_port)
            };
            Self {
                mine: bits(&mine),
                free: bits(&|words| _mm_cmpeq_epi32(words, none)),
            }
        }
    }

    /// Of a line of words: bit by bit in their order.
    #[cfg(not(all(target_arch = "x86_64", not(miri), not(vrouter_loom))))]
    fn of(words: &[AtomicU32], port: u16) -> Self {
        Self::one_by_one(words, port)
    }

    /// As [`of`](Self::of).
    fn one_by_one(words: &[AtomicU32], port: u16) -> Self {
        let tag = u32::from(port) << 16;
        let none = Self { mine: 0, free: 0 };
        words.iter().rev().fold(none, |seen, word| {
            let word = word.load(Ordering::Relaxed);
            // Of this port, with at least one flow.
            let is_mine = (word ^ tag).wrapping_sub(1) < MOST;
            Self {
                mine: seen.mine + seen.mine + u32::from(is_mine),
                free: seen.free + seen.free + u32::from(word < 1),
            }
        })
    }
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
        let mut places: Box<[_]> = addresses.iter().map(|address| bits(*address)).zip(0..).collect();
        places.sort_unstable();
        Ok(Self {
            addresses: addresses.iter().copied().collect(),
            places,
            first_port: spec.first_port,
            size,
            per_address,
            states: Slab::new(all)?,
            ports: Slab::new(all * size)?,
            free: FreeBlocks::new(addresses.len(), per_address)?,
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
        let found = self.choose(&wanted, port.is_some());
        self.sources.let_go(entry);
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
        // Another worker may take what was found: then it is worth to look again.
        for _ in 0..LOOKS {
            match self.look(wanted) {
                Look::Taken(port) => return Ok(port),
                Look::Free { block, port } => {
                    let found = |word: u32| (word == 0).then(|| first(wanted.port));
                    match self.take(block, port, wanted.entry, found) {
                        Some(port) => return Ok(port),
                        None => continue,
                    }
                }
                Look::Nothing => {}
            }
            let why = match self.grow(wanted) {
                Ok(port) => return Ok(port),
                Err(why) => why,
            };
            if may_share && let Some(port) = self.share(wanted) {
                return Ok(port);
            }
            if why == Exhausted::Blocks || !may_share {
                return Err(why);
            }
        }
        Err(Exhausted::Source)
    }

    /// Looks through the source's blocks: for what its port has already, if this is the first attempt, and for a free port. What was free at an earlier attempt and
    /// is free again did not fit then.
    fn look(&self, wanted: &Wanted) -> Look {
        self.prefetch(wanted.entry, wanted.port);
        let (mut skip, mut found) = (wanted.attempt, Look::Nothing);
        let one_more = |word: u32| (word >> 16 == u32::from(wanted.port) && word & MOST > 0).then(|| word + 1);
        for block in self.owned(wanted.entry) {
            let Survey { mut mine, mut free } = self.survey(block, wanted.port);
            while mine != 0 && wanted.attempt == 0 {
                let port = self.choice(block, wanted.port, mine.trailing_zeros() as usize);
                if let Some(port) = self.take(block, port, wanted.entry, one_more) {
                    return Look::Taken(port);
                }
                mine &= mine - 1;
            }
            while free != 0 && matches!(found, Look::Nothing) {
                if skip == 0 {
                    let port = self.choice(block, wanted.port, free.trailing_zeros() as usize);
                    found = Look::Free { block, port };
                }
                skip = skip.saturating_sub(1);
                free &= free - 1;
            }
        }
        found
    }

    /// Asks for what [`give`](Self::give) will read first.
    pub(super) fn prefetch_source(&self, realm: u16, source: IpAddr) {
        self.sources.prefetch(Source::new(realm, source));
    }

    /// Asks for what [`give`](Self::give) will read then; what was asked for before should have arrived.
    pub(super) fn prefetch_ports(&self, realm: u16, source: IpAddr, port: u16) {
        if let Some(entry) = self.sources.guess(Source::new(realm, source)) {
            self.prefetch(entry, port);
        }
    }

    /// Asks for what [`take_back`](Self::take_back) will read.
    pub(super) fn prefetch_back(&self, outside: IpAddr, port: u16) {
        if let Some((block, port)) = self.inside(outside, port) {
            prefetch(&self.states[block]);
            prefetch(&self.ports[port]);
        }
    }

    /// Asks for what [`look`](Self::look) will read of all the source's blocks, so that the waits for memory overlap.
    fn prefetch(&self, entry: u32, port: u16) {
        for place in self.sources.list(entry) {
            let Some(block) = (place.load(Ordering::Relaxed) & IN_PLACE).checked_sub(1) else {
                continue;
            };
            let block = block as usize;
            let (near, far) = (self.at(block, port, 0), self.at(block, port, LINE));
            prefetch(&self.states[block]);
            prefetch(&self.ports[near]);
            prefetch(&self.ports[far]);
        }
    }

    /// Looks at the ports of a block that a port of a source may have, best first.
    #[inline]
    fn survey(&self, block: usize, port: u16) -> Survey {
        let (ring, before) = (self.ring(), self.home(port) % LINE.min(self.size));
        let all = u32::MAX >> (WINDOW - ring);
        let mut found = Survey { mine: 0, free: 0 };
        // Its lines, from the one on that the best port is in.
        for line in (0..ring).step_by(LINE).rev() {
            let first = self.at(block, port, line.wrapping_sub(before));
            let words = &self.ports[first..first + LINE.min(self.size)];
            let seen = Survey::of(words, port);
            found = Survey {
                mine: found.mine << LINE | seen.mine,
                free: found.free << LINE | seen.free,
            };
        }
        let from_best = |bits: u32| (bits >> before | bits << ((ring - before) % WINDOW)) & all;
        let is_best_first = before == 0;
        Survey {
            mine: if is_best_first {
                found.mine
            } else {
                from_best(found.mine)
            },
            free: if is_best_first {
                found.free
            } else {
                from_best(found.free)
            },
        }
    }

    /// The blocks of a source.
    fn owned(&self, entry: u32) -> impl Iterator<Item = usize> {
        let places = self
            .sources
            .list(entry)
            .iter()
            .map(|place| place.load(Ordering::Acquire));
        places.filter_map(move |word| self.in_place(word, entry))
    }

    /// The block in a place of a source's list, if it is the source's. It is another's, or nobody's, while it goes.
    fn in_place(&self, word: u32, entry: u32) -> Option<usize> {
        let block = (word & IN_PLACE).checked_sub(1)? as usize;
        let state = self.states[block].load(Ordering::Acquire);
        (owner(state) == Some(entry)).then_some(block)
    }

    /// Where in a block a port of a source would best be: where low bits are kept.
    fn home(&self, port: u16) -> usize {
        usize::from(port.wrapping_sub(self.first_port)) & (self.size - 1)
    }

    /// The port of a block so many steps behind the best.
    fn at(&self, block: usize, port: u16, steps: usize) -> usize {
        block * self.size + (self.home(port).wrapping_add(steps) & (self.size - 1))
    }

    /// How many ports of a block a port of a source may have: those of two lines, from the line of the best one on.
    fn ring(&self) -> usize {
        WINDOW.min(self.size)
    }

    /// The port of a block that comes after so many better ones: behind the best, and at last what is before it in its line.
    fn choice(&self, block: usize, port: u16, step: usize) -> usize {
        let before = self.home(port) % LINE.min(self.size);
        self.at(block, port, ((before + step) & (self.ring() - 1)).wrapping_sub(before))
    }

    /// A port that others of the source use, another one with each attempt.
    fn share(&self, wanted: &Wanted) -> Option<usize> {
        let count = self.owned(wanted.entry).count();
        // Ports of the source begin at different blocks; attempts go round.
        let turn = usize::from(wanted.port) / self.size + wanted.attempt as usize;
        let block = self.owned(wanted.entry).nth(turn.checked_rem(count)?)?;
        let port = self.at(block, wanted.port, wanted.attempt as usize / count);
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
        for place in self.sources.list(entry) {
            let word = place.load(Ordering::Acquire);
            // Another worker that needed the place may have put its own block there already.
            if word & IN_PLACE == block as u32 + 1 {
                let empty = word & !IN_PLACE;
                let _ = place.compare_exchange(word, empty, Ordering::AcqRel, Ordering::Relaxed);
                break;
            }
        }
        self.sources.let_go(entry);
        self.used.fetch_sub(1, Ordering::Relaxed);
        // Last: from here on it may be given again.
        self.free.give(block);
    }

    /// A port of a block that the source did not own before.
    fn grow(&self, wanted: &Wanted) -> Result<usize, Exhausted> {
        self.free_place(wanted.entry).ok_or(Exhausted::Source)?;
        // Where the source is already, or where its hash says.
        let at_home = self.owned(wanted.entry).next().map(|block| block / self.per_address);
        let home = at_home.unwrap_or_else(|| wanted.source.hash(!self.seed) as usize % self.addresses.len());
        let count = self.addresses.len();
        let block = (0..count).find_map(|step| self.free.take((home + step) % count));
        let block = block.ok_or(Exhausted::Blocks)?;
        if !self.settle(block, wanted.entry) {
            return Err(Exhausted::Source);
        }
        // Held once, for the port that is taken now. Other workers that found it in the list may take ports, too.
        let mut ports = (0..self.ring()).map(|step| self.choice(block, wanted.port, step + wanted.attempt as usize));
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

    /// A place in a source's list that can be filled, and what is in it now.
    fn free_place(&self, entry: u32) -> Option<(&AtomicU32, u32)> {
        let words = self
            .sources
            .list(entry)
            .iter()
            .map(|place| (place, place.load(Ordering::Acquire)));
        { words }.find(|(_, word)| self.in_place(*word, entry).is_none())
    }

    /// Gives a block that was taken to an owner, with one holder, if the owner may have one more. The block is free again otherwise.
    fn settle(&self, block: usize, entry: u32) -> bool {
        self.sources.hold(entry);
        self.used.fetch_add(1, Ordering::Relaxed);
        // Before it is in the list: a block in a list that is not its owner's is always one that goes.
        self.states[block].store((u64::from(entry) + 1) << 32 | 1, Ordering::Release);
        while let Some((place, word)) = self.free_place(entry) {
            let next_use = (word & !IN_PLACE).wrapping_add(IN_PLACE + 1);
            let new = next_use | (block as u32 + 1);
            if place
                .compare_exchange(word, new, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
            {
                return true;
            }
        }
        self.let_go(block);
        false
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
        let is_used = |word: &AtomicU32| matches!(word.load(Ordering::Acquire), 1..=MOST);
        let mut used = self.owned(entry).filter(at_address).filter_map(|block| {
            let mut ports = (0..self.ring()).map(|step| self.choice(block, 0, step));
            Some((block, ports.find(|port| is_used(&self.ports[*port]))?))
        });
        if let Some((block, port)) = used.next() {
            self.give_up(block, port);
        }
        self.sources.let_go(entry);
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
        self.sources.let_go(entry);
        taken
    }

    /// Takes this very block for an owner, with one holder, if it is free and the owner may have it.
    fn take_this(&self, block: usize, entry: u32) -> bool {
        self.free_place(entry).is_some() && self.free.take_this(block) && self.settle(block, entry)
    }

    /// The place of an address. Most pools are addresses that follow each other: it is looked for first where it would be then.
    #[inline]
    fn place(&self, address: u128) -> Option<usize> {
        let (first, _) = self.places.first()?;
        let step = usize::try_from(address.checked_sub(*first)?).ok()?;
        if let Some((there, place)) = self.places.get(step)
            && *there == address
        {
            return Some(*place);
        }
        let at = self
            .places
            .binary_search_by_key(&address, |(address, _)| *address)
            .ok()?;
        Some(self.places.get(at)?.1)
    }

    /// Block and port for an outside address and port.
    fn inside(&self, address: IpAddr, port: u16) -> Option<(usize, usize)> {
        let place = self.place(bits(address))?;
        let offset = usize::from(port.checked_sub(self.first_port)?);
        // Sizes are powers of two.
        let block = offset >> self.size.trailing_zeros();
        let block = (block < self.per_address).then(|| place * self.per_address + block)?;
        Some((block, block * self.size + (offset & (self.size - 1))))
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
    #[cfg(all(test, not(vrouter_loom)))]
    pub(super) fn audit(&self) -> (usize, u64) {
        let holders = self
            .states
            .iter()
            .map(|state| state.load(Ordering::Acquire) & 0xffff_ffff);
        (self.sources.count(), holders.sum())
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
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

#[cfg(test)]
#[cfg(not(vrouter_loom))]
mod tests {
    use super::*;

    /// All lines together, and each word by itself, whatever the size of blocks and wherever in them the best port is.
    #[test]
    fn a_survey_tells_of_each_choice_in_its_order() {
        for block_size in [8, 16, 32, 64, 256] {
            let addresses = [IpAddr::from([192, 0, 2, 1])].into();
            let spec = PoolSpec {
                block_size,
                ..PoolSpec::blocks(addresses)
            };
            let blocks = Blocks::new(&spec).unwrap();
            let wanted = |step: usize| 5000 + step as u16;
            for (n, word) in blocks.ports.iter().enumerate().take(4 * usize::from(block_size)) {
                let word_of = [0, first(wanted(n % 7)), first(wanted(3)) + 1, first(wanted(3)) - 1, 0];
                word.store(word_of[n * n % 11 % 5], Ordering::Relaxed);
            }
            for (block, port) in (0..4).flat_map(|block| (5000..5300).map(move |port| (block, port))) {
                let seen = blocks.survey(block, port);
                let ring = blocks.ring();
                let mut places: Vec<_> = (0..ring).map(|step| blocks.choice(block, port, step)).collect();
                for (step, place) in places.iter().enumerate() {
                    let word = blocks.ports[*place].load(Ordering::Relaxed);
                    let is_mine = word >> 16 == u32::from(port) && word & MOST > 0;
                    assert_eq!(
                        (seen.mine >> step & 1 == 1, seen.free >> step & 1 == 1),
                        (is_mine, word == 0)
                    );
                }
                assert!(ring == WINDOW || (seen.mine | seen.free) >> ring == 0);
                assert_eq!(places[0], blocks.at(block, port, 0), "the best first");
                assert!(places.iter().all(|place| place / usize::from(block_size) == block));
                places.sort_unstable();
                places.dedup();
                assert_eq!(places.len(), ring, "each once");
            }
        }
    }
}
