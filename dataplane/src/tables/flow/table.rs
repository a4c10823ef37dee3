//! The flow table itself: look up, count, decide anew, remove.

use super::super::memory::{Slab, TableError};
use super::super::sync::{AtomicU32, AtomicU64, Ordering};
use super::attention::Attention;
use super::index::{Entry, Index, MAX_DIRECTIONS};
use super::owner::{FlowOwner, RegionCount};
use super::record::{ACTION_WORDS, Pair, Record, Seen, index_generation};
use super::share::Shares;
use super::{FlowHit, FlowRef};
use crate::packet::key::{FlowKey, KEY_WORDS, hash_words};
use crossbeam::utils::CachePadded;

/// Where a lookup will likely end; only a hint, good for any later time.
#[derive(Clone, Copy, Debug)]
pub struct FlowHint(Entry);

impl FlowHint {
    /// Nobody knows.
    pub const NONE: Self = Self(Entry::NONE);
}

/// A direction found where it was likely to be, with what most packets need of it.
#[derive(Clone, Copy)]
pub struct KnownFlow<'a> {
    /// Which one.
    pub flow: FlowRef,
    /// As in [`FlowHit`].
    pub epoch: u64,
    /// The first word of the decision, and the last.
    pub words: [u64; 2],
    record: Record<'a>,
}

impl std::fmt::Debug for KnownFlow<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KnownFlow")
            .field("flow", &self.flow)
            .finish_non_exhaustive()
    }
}

impl KnownFlow<'_> {
    /// As [`FlowTable::touch`], right after it was found, for so many packets of so many bytes together.
    #[inline(always)]
    pub fn touch(&self, now_ms: u64, packets: u32, bytes: u64) {
        self.record.touch(now_ms, packets, bytes);
    }
}

impl FlowHint {
    /// Nothing was found where most flows are.
    #[inline]
    #[must_use]
    pub fn is_none(self) -> bool {
        self.0.is_none()
    }
}

/// The flow table; see the [room's page](super).
pub struct FlowTable {
    pub(super) index: Index,
    pairs: Slab<Pair>,
    pub(super) regions: Box<[CachePadded<RegionCount>]>,
    pub(super) per_region: u32,
    pub(super) ports: Shares,
    pub(super) vrfs: Shares,
    pub(super) attention: Attention,
    /// About now, milliseconds: what the times in records are completed by for those who only look.
    clock: CachePadded<AtomicU64>,
    seed: u64,
}

impl std::fmt::Debug for FlowTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FlowTable")
            .field("capacity", &self.capacity())
            .field("used", &self.used())
            .finish_non_exhaustive()
    }
}

impl FlowTable {
    /// A table for `capacity_pairs` flows, divided evenly among `workers`, with port slots `0..max_ports` and VRF slots `0..max_vrfs`, and
    /// the owner of each worker's region. `seed` should be random and secret: it keeps senders from aiming flows at one bucket. Takes
    /// 192 bytes per flow, 32 for its index and 24 for its links, as they come into use.
    ///
    /// # Errors
    /// [`TableError`]: no worker, no flow or too many (2^27), or no memory.
    pub fn new(
        capacity_pairs: usize,
        workers: usize,
        max_ports: usize,
        max_vrfs: usize,
        seed: u64,
    ) -> Result<(Self, Vec<FlowOwner>), TableError> {
        let max = MAX_DIRECTIONS / 2;
        let size = TableError::Size {
            asked: capacity_pairs,
            max,
        };
        if capacity_pairs == 0 || workers == 0 {
            return Err(size);
        }
        let per_worker = capacity_pairs.div_ceil(workers);
        let pairs = per_worker
            .checked_mul(workers)
            .filter(|&pairs| pairs <= max)
            .ok_or(size)?;
        let per_region = u32::try_from(per_worker).map_err(|_| size)?;
        let table = Self {
            index: Index::new(pairs * 2)?,
            pairs: Slab::new(pairs)?,
            regions: (0..workers as u32)
                .map(|worker| {
                    CachePadded::new(RegionCount {
                        used: AtomicU32::new(0),
                        fresh: AtomicU32::new(worker * per_region),
                    })
                })
                .collect(),
            per_region,
            ports: Shares::new(max_ports),
            vrfs: Shares::new(max_vrfs),
            attention: Attention::new(workers, per_region)?,
            clock: CachePadded::new(AtomicU64::new(0)),
            seed,
        };
        let owners = (0..workers as u32)
            .map(|worker| {
                FlowOwner::new(
                    worker as usize,
                    worker * per_region,
                    (worker + 1) * per_region,
                    max_ports,
                )
            })
            .collect();
        Ok((table, owners))
    }

    /// The hash that this table wants with a key: computed once per packet.
    #[inline]
    #[must_use]
    pub fn hash(&self, key: &FlowKey) -> u64 {
        key.hash(self.seed)
    }

    /// The seed of [`FlowTable::hash`].
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Asks for the bucket that [`FlowTable::lookup`] will look at first. Do this for all packets of a batch, then
    /// [`FlowTable::prefetch_record`] for all, then look up.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        self.index.prefetch(hash);
    }

    /// Asks for all that [`FlowTable::insert`] will look at for this key.
    #[inline]
    pub fn prefetch_new(&self, key: &FlowKey) {
        self.prefetch_hash(self.hash(key));
    }

    /// [`FlowTable::prefetch_new`] of a key with this hash.
    #[inline]
    pub fn prefetch_hash(&self, hash: u64) {
        self.index.prefetch_both(hash);
    }

    /// Asks for a pair's memory.
    #[inline]
    pub(super) fn prefetch_pair(&self, pair: u32) {
        self.pair(pair).prefetch();
    }

    /// Asks for the buckets that a pair's directions are in; reads the keys, which should have arrived, and gives their hashes.
    #[inline]
    pub(super) fn prefetch_ways(&self, pair: u32) -> [u64; 2] {
        let way = |side| {
            let key = self.pair(pair).direction(side).peek_key();
            let hash = hash_words(&key, self.seed);
            self.index.prefetch(hash);
            hash
        };
        [way(0), way(1)]
    }

    /// Asks for the record that the lookup will likely find, and says which that is; reads the bucket, which should have arrived. `beside`: asks
    /// for that of the other direction, too.
    #[inline(always)]
    pub fn prefetch_record(&self, hash: u64, beside: bool) -> FlowHint {
        let guess = self.index.guess(hash);
        if let Some(entry) = guess {
            self.record(entry.direction()).prefetch();
            if beside {
                self.record(entry.direction() ^ 1).prefetch();
            }
        }
        FlowHint(guess.unwrap_or(Entry::NONE))
    }

    /// The direction with this key, if it is where [`FlowTable::prefetch_record`] said: the bucket need not be searched again. If it is not,
    /// [`lookup`](Self::lookup) may find it all the same.
    #[inline(always)]
    #[must_use]
    pub fn known(&self, key: &FlowKey, hint: FlowHint) -> Option<KnownFlow<'_>> {
        if hint.0.is_none() {
            return None;
        }
        // The entry was visible a moment ago; if its record is still the entry's, alive and bears the key, it is the one.
        let direction = hint.0.direction();
        let record = self.record(direction);
        let (generation, epoch, words) = record.read_in_short(key.as_words(), hint.0)?;
        Some(KnownFlow {
            flow: FlowRef { direction, generation },
            epoch,
            words,
            record,
        })
    }

    /// Finds the direction with this key. Compare the hit's epoch with the current one before running its action.
    #[inline]
    #[must_use]
    pub fn lookup(&self, key: &FlowKey, hash: u64) -> Option<FlowHit> {
        let words = key.words();
        self.find(&words, hash)
    }

    pub(super) fn find(&self, words: &[u64; KEY_WORDS], hash: u64) -> Option<FlowHit> {
        self.index.find(hash, |entry| {
            let seen = self.record(entry.direction()).read(words, entry)?;
            Some(hit(entry.direction(), seen))
        })
    }

    /// Counts a packet and keeps the flow alive. Nothing happens if the flow is gone.
    ///
    /// Written without read-modify-write instructions, which would cost as much as the lookup: if two workers count
    /// the same direction in the same instant, one packet may go uncounted. Steering keeps a direction on one worker at a time.
    #[inline]
    pub fn touch(&self, flow: FlowRef, now_ms: u64, bytes: u64) {
        let record = self.record(flow.direction);
        if record.generation() != flow.generation {
            return;
        }
        record.touch(now_ms, 1, bytes);
    }

    /// Replaces the decision of a flow; counters, age and connection state stay. Any worker may. False if the flow is gone or
    /// another worker is deciding it at this moment: this packet can then run the decision at hand all the same.
    pub fn revalidate(&self, flow: FlowRef, epoch: u64, action: &[u64; ACTION_WORDS]) -> bool {
        self.record(flow.direction).rewrite(flow.generation, epoch, action)
    }

    /// Where the direction with this key is, if there is one, as a hint.
    #[inline]
    #[must_use]
    pub fn locate(&self, key: &FlowKey, hash: u64) -> Option<FlowHint> {
        self.index.find(hash, |entry| {
            let record = self.record(entry.direction());
            record.is_same(key.as_words(), entry).then_some(FlowHint(entry))
        })
    }

    /// As [`locate`](Self::locate), where the hash's first bucket has it not.
    #[inline]
    #[must_use]
    pub fn locate_far(&self, key: &FlowKey, hash: u64) -> Option<FlowHint> {
        self.index.find_far(hash, |entry| {
            let record = self.record(entry.direction());
            record.is_same(key.as_words(), entry).then_some(FlowHint(entry))
        })
    }

    /// Where a direction with this hash that was just found or made is, as a hint.
    #[inline]
    #[must_use]
    pub fn hint(&self, flow: FlowRef, hash: u64) -> FlowHint {
        FlowHint(Entry::member(hash, flow.direction, index_generation(flow.generation)))
    }

    /// The flow as it is now, if it still lives.
    #[must_use]
    pub fn get(&self, flow: FlowRef) -> Option<FlowHit> {
        let seen = self.record(flow.direction).read_generation(flow.generation)?;
        Some(hit(flow.direction, seen))
    }

    /// The other direction of the same flow.
    #[must_use]
    pub fn sibling(&self, flow: FlowRef) -> Option<FlowHit> {
        let record = self.record(flow.direction ^ 1);
        let seen = record.read_generation(record.generation())?;
        // A pair is freed and made whole: if this direction is still the one meant, so is its sibling.
        (self.record(flow.direction).generation() == flow.generation).then(|| hit(flow.direction ^ 1, seen))
    }

    /// The key of the other direction of the same flow, if it has one: what packets of this direction are translated by, turned round.
    #[inline]
    #[must_use]
    pub fn sibling_key(&self, flow: FlowRef) -> Option<FlowKey> {
        let (words, _) = self.record(flow.direction ^ 1).key()?;
        // As in `sibling`.
        (self.record(flow.direction).generation() == flow.generation).then(|| FlowKey::from_words(words))
    }

    /// The word kept for the connection state of this direction; 0 in a new flow.
    #[inline]
    #[must_use]
    pub fn state(&self, flow: FlowRef) -> u64 {
        self.record(flow.direction).state().load(Ordering::Relaxed)
    }

    /// The word of [`FlowTable::state`] of the other direction.
    #[inline]
    #[must_use]
    pub fn sibling_state(&self, flow: FlowRef) -> u64 {
        self.record(flow.direction ^ 1).state().load(Ordering::Relaxed)
    }

    /// Sets the word of [`FlowTable::state`].
    #[inline]
    pub fn set_state(&self, flow: FlowRef, state: u64) {
        let record = self.record(flow.direction);
        if record.generation() == flow.generation {
            record.state().store(state, Ordering::Relaxed);
        }
    }

    /// Removes a flow, both directions. Any thread may. Its packets miss from here on; its memory and its part of the shares
    /// come back with the owner's next [`FlowTable::expire`], which then tells of its end. False if it was gone.
    pub fn remove(&self, flow: FlowRef) -> bool {
        if !self.pair(flow.pair()).doom(flow.generation) {
            return false;
        }
        self.unlink(flow.direction);
        self.unlink(flow.direction ^ 1);
        self.attention.want(flow.pair());
        true
    }

    /// Takes a doomed direction out of the index.
    fn unlink(&self, direction: u32) {
        let record = self.record(direction);
        if let Some((key, generation)) = record.key()
            && record.doomed()
        {
            self.index
                .unlink(hash_words(&key, self.seed), direction, index_generation(generation));
        }
    }

    /// Removes the flow and frees its memory. Only the owner may. False if another worker is in the midst of deciding it anew: it is
    /// doomed then, and must be retired later.
    /// `hashes`: those of its keys, if they are known.
    pub(super) fn retire(&self, owner: &mut FlowOwner, pair: u32, hashes: Option<[u64; 2]>) -> bool {
        let record = self.pair(pair);
        // The first direction is always filled.
        let (port, vrf) = (record.port(), self.vrf_of_context(record.direction(0).peek_context()));
        if let Some((generation, answered)) = record.end() {
            // Whoever would have removed it now does not find it any more: nobody else touches its entries.
            for side in 0..1 + usize::from(answered) {
                let hash = match hashes {
                    Some(hashes) => hashes[side],
                    None => hash_words(&record.direction(side).peek_key(), self.seed),
                };
                let direction = pair * 2 + side as u32;
                self.index.take_out(hash, direction, index_generation(generation));
            }
            owner.owe(self, port, vrf);
            owner.release(self, pair);
            return true;
        }
        record.doom(record.generation());
        self.unlink(pair * 2);
        self.unlink(pair * 2 + 1);
        if record.is_rewriting() {
            return false;
        }
        // Doomed, so that no rewrite begins any more: it does not fail.
        let freed = record.free();
        debug_assert!(freed);
        owner.owe(self, port, vrf);
        owner.release(self, pair);
        true
    }

    /// There is one owner, and so never more than one who inserts.
    #[inline]
    pub(super) fn has_one_owner(&self) -> bool {
        self.regions.len() == 1
    }

    /// How many flows there are (a removed one counts until its owner has come by).
    #[must_use]
    pub fn used(&self) -> usize {
        self.regions
            .iter()
            .map(|region| region.used.load(Ordering::Relaxed) as usize)
            .sum()
    }

    /// How many flows there can be.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.pairs.len()
    }

    #[inline(always)]
    pub(super) fn pair(&self, pair: u32) -> &Pair {
        &self.pairs[pair as usize]
    }

    #[inline(always)]
    pub(super) fn record(&self, direction: u32) -> Record<'_> {
        self.pair(direction >> 1).direction(direction as usize & 1)
    }

    /// Notes what time it is, now and then.
    #[inline]
    pub(super) fn note_time(&self, now_ms: u64) {
        const OFTEN: u64 = 1 << 14;
        if now_ms.saturating_sub(self.clock.load(Ordering::Relaxed)) >= OFTEN {
            self.clock.store(now_ms, Ordering::Relaxed);
        }
    }

    /// About now, milliseconds.
    pub(super) fn about_now(&self) -> u64 {
        self.clock.load(Ordering::Relaxed)
    }

    pub(super) fn region(&self, worker: usize) -> &RegionCount {
        &self.regions[worker]
    }

    /// Slots of the index in use: for tests that nothing is left behind.
    #[cfg(test)]
    pub(super) fn index_slots(&self) -> usize {
        self.index.occupied()
    }
}

#[inline(always)]
pub(super) fn hit(direction: u32, seen: Seen) -> FlowHit {
    FlowHit {
        flow: FlowRef {
            direction,
            generation: seen.generation,
        },
        epoch: seen.epoch,
        action: seen.action,
    }
}
