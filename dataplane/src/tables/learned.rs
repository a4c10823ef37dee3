//! Learned MAC addresses: where a bridge last saw each sender. Written by workers as frames pass, without locks, in memory
//! taken at start. (Addresses that were programmed are in the snapshot, not here.)
//!
//! An address stands in one of the eight slots of its two buckets. Each slot is two words: the key (bridge and address), and the value
//! (where, when, and a counter of the slot's uses). A slot is taken by turning its key from empty to *busy*, then the value is
//! written, then the key. It is given up by killing the value, then emptying the key; so a refresh, which replaces the value it has
//! read, cannot bring a dead one back.
//!
//! Two workers that learn one address at once may take two slots. Each looks again after writing (behind a sequentially consistent
//! fence, so that at least one sees both) and empties the later one; till then lookups and learners agree on the earlier one.
#![allow(unsafe_code)]

use super::memory::{Slab, TableError, Zeroable};
use super::sync::{AtomicU32, AtomicU64, Ordering, fence};

const SLOTS: usize = if cfg!(vrouter_loom) { 1 } else { 4 };
/// Buckets this small overflow early: a quarter full when as many are learned as were promised, they practically never do.
const SLOTS_PER_ENTRY: usize = if cfg!(vrouter_loom) { 2 } else { 4 };
const MAX_ENTRIES: usize = 1 << 28;

const EMPTY: u64 = 0;
/// A key that no address has: bridge 65535's broadcast address.
const BUSY: u64 = u64::MAX;

/// Of a value: it stands for something. The low 25 bits are the place, then come this bit, 6 bits of uses and 32 of seconds.
const LIVE: u64 = 1 << 25;
const NEXT_HOP: u64 = 1 << 24;
const USE: u64 = 1 << 26;
const USES_MASK: u64 = 0x3f << 26;

/// Where an address was seen.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Place {
    /// Behind a local port (its slot).
    Port(u16),
    /// Behind a remote tunnel end: the next hop's slot, below 2^24.
    NextHop(u32),
}

impl Place {
    fn bits(self) -> u64 {
        match self {
            Self::Port(port) => u64::from(port),
            Self::NextHop(slot) => NEXT_HOP | u64::from(slot) & (NEXT_HOP - 1),
        }
    }

    fn of(value: u64) -> Self {
        let slot = (value & (NEXT_HOP - 1)) as u32;
        if value & NEXT_HOP == 0 {
            Self::Port(slot as u16)
        } else {
            Self::NextHop(slot)
        }
    }
}

/// What became of a sender's address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Learned {
    /// It was not known.
    New,
    /// It was known elsewhere: the endpoint moved, or two use one address.
    Moved {
        /// Where it was before.
        from: Place,
    },
    /// It was known here.
    Refreshed,
    /// No room: its buckets are full. Frames to it are flooded.
    Full,
    /// The bridge has as many addresses as it may.
    BridgeFull,
    /// Not the address of one station (a group address or all zeros): never learned.
    NotAStation,
}

/// An address of a dump.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LearnedEntry {
    /// Bridge slot.
    pub bridge: u16,
    /// The address.
    pub mac: [u8; 6],
    /// Where it was seen.
    pub place: Place,
    /// When, in seconds.
    pub last_seen_s: u32,
}

#[cfg_attr(not(vrouter_loom), repr(C, align(64)))]
struct Bucket([Slot; SLOTS]);

struct Slot {
    key: AtomicU64,
    value: AtomicU64,
}

// SAFETY: atomics of zero (empty slots) are zeros and need no drop.
unsafe impl Zeroable for Bucket {
    #[cfg(any(test, vrouter_loom))]
    fn zero() -> Self {
        Self(std::array::from_fn(|_| Slot {
            key: AtomicU64::new(EMPTY),
            value: AtomicU64::new(0),
        }))
    }
}

struct Count(AtomicU32);

// SAFETY: an atomic of zero is zeros and needs no drop.
unsafe impl Zeroable for Count {
    #[cfg(any(test, vrouter_loom))]
    fn zero() -> Self {
        Self(AtomicU32::new(0))
    }
}

/// The learned addresses of all bridges.
pub struct LearnedTable {
    buckets: Slab<Bucket>,
    /// Addresses per bridge.
    counts: Slab<Count>,
    per_bridge: u32,
    seed: u64,
}

impl std::fmt::Debug for LearnedTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LearnedTable")
            .field("buckets", &self.buckets.len())
            .finish_non_exhaustive()
    }
}

impl LearnedTable {
    /// A table with room for `capacity` addresses, at most `per_bridge` of them of one bridge, bridge slots `0..bridges`. `seed` should
    /// be random and secret.
    ///
    /// # Errors
    /// [`TableError`]: no room or too much asked for, or no memory.
    pub fn new(capacity: usize, per_bridge: u32, bridges: usize, seed: u64) -> Result<Self, TableError> {
        if capacity == 0 || capacity > MAX_ENTRIES {
            return Err(TableError::Size {
                asked: capacity,
                max: MAX_ENTRIES,
            });
        }
        Ok(Self {
            buckets: Slab::new((capacity * SLOTS_PER_ENTRY).div_ceil(SLOTS).max(2))?,
            counts: Slab::new(bridges)?,
            per_bridge,
            seed,
        })
    }

    /// Notes that a frame from `mac` came in at `place`. Writes nothing if that is known and was noted in this second.
    /// Bridges that the table was not built for, and addresses that are not one station's, are not learned.
    pub fn learn(&self, bridge: u16, mac: [u8; 6], place: Place, now_s: u32) -> Learned {
        let Some(key) = key(bridge, mac) else {
            return Learned::NotAStation;
        };
        let Some(count) = self.counts.get(usize::from(bridge)) else {
            return Learned::BridgeFull;
        };
        let places = self.places(key);
        if let Some(learned) = self.refresh(key, places, place, now_s) {
            return learned;
        }
        if count.0.fetch_add(1, Ordering::Relaxed) >= self.per_bridge {
            count.0.fetch_sub(1, Ordering::Relaxed);
            return Learned::BridgeFull;
        }
        let Some(slot) = self.take_slot(places) else {
            count.0.fetch_sub(1, Ordering::Relaxed);
            return Learned::Full;
        };
        let uses = slot.value.load(Ordering::Relaxed).wrapping_add(USE) & USES_MASK;
        slot.value
            .store(u64::from(now_s) << 32 | uses | LIVE | place.bits(), Ordering::Release);
        slot.key.store(key, Ordering::Release);
        // Pairs with the same fence of another learner of this address.
        fence(Ordering::SeqCst);
        self.drop_later_ones(key, places);
        Learned::New
    }

    /// Where the address was seen, if that was less than `aging_s` seconds ago.
    #[inline]
    #[must_use]
    pub fn lookup(&self, bridge: u16, mac: [u8; 6], now_s: u32, aging_s: u32) -> Option<Place> {
        let key = key(bridge, mac)?;
        let (_, value) = self.find(key, self.places(key))?;
        (now_s.saturating_sub(seen_s(value)) < aging_s).then(|| Place::of(value))
    }

    /// Forgets what was seen at a local port (it went down or was removed). Gives the number forgotten.
    pub fn forget_port(&self, port: u16) -> usize {
        self.forget(|_, value| Place::of(value) == Place::Port(port))
    }

    /// Forgets what was seen behind a next hop.
    pub fn forget_next_hop(&self, slot: u32) -> usize {
        self.forget(|_, value| Place::of(value) == Place::NextHop(slot))
    }

    /// Forgets all addresses of a bridge.
    pub fn forget_bridge(&self, bridge: u16) -> usize {
        self.forget(|key, _| (key >> 48) as u16 == bridge)
    }

    /// Forgets one address. True if it was known.
    pub fn forget_mac(&self, bridge: u16, mac: [u8; 6]) -> bool {
        let Some(key) = key(bridge, mac) else {
            return false;
        };
        self.find(key, self.places(key))
            .is_some_and(|(slot, value)| self.empty(slot, key, value))
    }

    /// Looks at up to `budget` buckets from `hand` on, which it moves, and forgets what is as old as its bridge's `aging` seconds.
    /// Gives the number forgotten. Several sweeps with hands of their own do no harm.
    pub fn sweep(&self, hand: &mut usize, now_s: u32, budget: usize, aging: impl Fn(u16) -> u32) -> usize {
        let mut forgotten = 0;
        for _ in 0..budget.min(self.buckets.len()) {
            *hand = if *hand + 1 < self.buckets.len() { *hand + 1 } else { 0 };
            for slot in &self.buckets[*hand].0 {
                if let Some((key, value)) = load(slot) {
                    let old = now_s.saturating_sub(seen_s(value)) >= aging((key >> 48) as u16);
                    forgotten += usize::from(old && self.empty(slot, key, value));
                }
            }
        }
        forgotten
    }

    /// All learned addresses, aged ones that no sweep has met included. One that is being moved between slots may show twice.
    pub fn entries(&self) -> impl Iterator<Item = LearnedEntry> + '_ {
        self.buckets
            .iter()
            .flat_map(|bucket| &bucket.0)
            .filter_map(load)
            .map(|(key, value)| {
                let [b0, b1, mac @ ..] = key.to_be_bytes();
                LearnedEntry {
                    bridge: u16::from_be_bytes([b0, b1]),
                    mac,
                    place: Place::of(value),
                    last_seen_s: seen_s(value),
                }
            })
    }

    /// How many addresses a bridge has.
    #[must_use]
    pub fn bridge_count(&self, bridge: u16) -> u32 {
        self.counts
            .get(usize::from(bridge))
            .map_or(0, |count| count.0.load(Ordering::Relaxed))
    }

    /// The known address brought up to date; `None` if it is not known.
    fn refresh(&self, key: u64, places: [usize; 2], place: Place, now_s: u32) -> Option<Learned> {
        loop {
            let (slot, value) = self.find(key, places)?;
            let from = Place::of(value);
            let moved = if from == place {
                Learned::Refreshed
            } else {
                Learned::Moved { from }
            };
            let new = u64::from(now_s) << 32 | value & USES_MASK | LIVE | place.bits();
            // Failing means that another worker changed or removed it: look again.
            if new == value
                || slot
                    .value
                    .compare_exchange(value, new, Ordering::AcqRel, Ordering::Relaxed)
                    .is_ok()
            {
                return Some(moved);
            }
        }
    }

    /// The first slot that holds the key alive.
    #[inline]
    fn find(&self, key: u64, places: [usize; 2]) -> Option<(&Slot, u64)> {
        self.slots(places).find_map(|slot| {
            let (_, value) = load(slot).filter(|&(theirs, _)| theirs == key)?;
            Some((slot, value))
        })
    }

    /// Turns an empty slot into a busy one: in the first bucket while that is the emptier one or half free.
    fn take_slot(&self, places: [usize; 2]) -> Option<&Slot> {
        let empty = |slot: &&Slot| slot.key.load(Ordering::Relaxed) == EMPTY;
        let [first, second] = places.map(|place| self.buckets[place].0.iter().filter(empty).count());
        let places = if first * 2 >= SLOTS || first >= second {
            places
        } else {
            [places[1], places[0]]
        };
        self.slots(places).find(|slot| {
            let key = &slot.key;
            empty(slot)
                && key
                    .compare_exchange(EMPTY, BUSY, Ordering::Acquire, Ordering::Relaxed)
                    .is_ok()
        })
    }

    /// Empties all slots of the key but the first.
    fn drop_later_ones(&self, key: u64, places: [usize; 2]) {
        let mut first = true;
        for slot in self.slots(places) {
            // Alive: a dead one is on its way out already.
            while let Some((_, value)) = load(slot).filter(|&(theirs, _)| theirs == key) {
                if first {
                    first = false;
                    break;
                }
                // Failing means that it was refreshed just now: look again.
                if self.empty(slot, key, value) {
                    break;
                }
            }
        }
    }

    fn forget(&self, which: impl Fn(u64, u64) -> bool) -> usize {
        let mut forgotten = 0;
        for slot in self.buckets.iter().flat_map(|bucket| &bucket.0) {
            while let Some((key, value)) = load(slot).filter(|&(key, value)| which(key, value)) {
                if self.empty(slot, key, value) {
                    forgotten += 1;
                    break;
                }
            }
        }
        forgotten
    }

    /// Gives up a slot, if its value is still this one.
    fn empty(&self, slot: &Slot, key: u64, value: u64) -> bool {
        let dead = value & USES_MASK;
        if slot
            .value
            .compare_exchange(value, dead, Ordering::AcqRel, Ordering::Relaxed)
            .is_err()
        {
            return false;
        }
        // Whoever killed the value, and only they, empty the key and count.
        slot.key.store(EMPTY, Ordering::Release);
        if let Some(count) = self.counts.get((key >> 48) as usize) {
            count.0.fetch_sub(1, Ordering::Relaxed);
        }
        true
    }

    fn slots(&self, places: [usize; 2]) -> impl Iterator<Item = &Slot> {
        places.into_iter().flat_map(|place| &self.buckets[place].0)
    }

    /// The two buckets of a key, always in the same order, never the same one.
    #[inline]
    fn places(&self, key: u64) -> [usize; 2] {
        let product = u128::from(key ^ self.seed) * u128::from(self.seed.rotate_left(32) | 1 ^ 0x9e37_79b9_7f4a_7c14);
        let hash = (product as u64 ^ (product >> 64) as u64).wrapping_mul(0xd6e8_feb8_6659_fd93);
        let len = self.buckets.len() as u64;
        let first = (((hash >> 32) * len) >> 32) as usize;
        let second = ((((hash ^ hash >> 32).wrapping_mul(0xff51_afd7_ed55_8ccd) >> 32) * len) >> 32) as usize;
        let second = if second == first {
            (first + 1) % self.buckets.len()
        } else {
            second
        };
        [first, second]
    }
}

/// The key and live value of a slot, belonging together.
#[inline]
fn load(slot: &Slot) -> Option<(u64, u64)> {
    let key = slot.key.load(Ordering::Acquire);
    if key == EMPTY || key == BUSY {
        return None;
    }
    let value = slot.value.load(Ordering::Acquire);
    // The same key still (or again): a slot that was given up and taken by another in between shows here.
    (value & LIVE != 0 && slot.key.load(Ordering::Relaxed) == key).then_some((key, value))
}

fn key(bridge: u16, mac: [u8; 6]) -> Option<u64> {
    let [a, b, c, d, e, f] = mac;
    let station = a & 1 == 0 && mac != [0; 6];
    let [b0, b1] = bridge.to_be_bytes();
    station.then(|| u64::from_be_bytes([b0, b1, a, b, c, d, e, f]))
}

fn seen_s(value: u64) -> u32 {
    (value >> 32) as u32
}

#[cfg(test)]
#[path = "learned_tests.rs"]
mod tests;
