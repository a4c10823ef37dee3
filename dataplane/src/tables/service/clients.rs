//! Which backend a client was sent to last: a memory of fixed size, shared by all workers.
//!
//! A cache of sets of eight entries, one cache line each. Every entry is one word that is written whole, so that workers need no more than
//! plain loads and stores: of two that write the same entry, the later wins, and the earlier client is forgotten. A full set forgets who was seen longest
//! ago. Forgotten clients go where the table of backends says.

use super::super::sync::{AtomicU64, Ordering};

/// Entries of a set: a cache line.
const WAYS: usize = 8;

/// Clients that fit at most.
pub const CLIENTS: usize = 16_384;

const SETS: usize = CLIENTS / WAYS;

const SECONDS: u64 = 0x00ff_ffff;

/// The memory of one service.
pub(super) struct Clients {
    sets: Box<[Set]>,
}

#[repr(align(64))]
struct Set([AtomicU64; WAYS]);

/// An entry: 24 bits of the client's hash, never all zero | 24 bits of the second it was last seen in | the backend's number.
#[derive(Clone, Copy)]
struct Entry(u64);

impl Entry {
    fn new(tag: u64, now: u64, backend: u16) -> Self {
        Self(tag << 40 | (now & SECONDS) << 16 | u64::from(backend))
    }

    fn tag(self) -> u64 {
        self.0 >> 40
    }

    /// Seconds since it was seen. Whoever was not seen for half a year may look new: it goes to its old backend then.
    fn age(self, now: u64) -> u64 {
        now.wrapping_sub(self.0 >> 16) & SECONDS
    }

    fn is_free(self) -> bool {
        self.0 == 0
    }
}

impl std::fmt::Debug for Clients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Clients").finish_non_exhaustive()
    }
}

fn tag(client: u64) -> u64 {
    (client >> 40).max(1)
}

impl Clients {
    /// Nobody is remembered.
    #[must_use]
    pub(super) fn new() -> Self {
        let set = |_| Set([const { 0 }; WAYS].map(AtomicU64::new));
        Self {
            sets: (0..SETS).map(set).collect(),
        }
    }

    fn set(&self, client: u64) -> Option<&[AtomicU64; WAYS]> {
        self.sets.get(client as usize % SETS).map(|set| &set.0)
    }

    /// The number of the backend of a client that was seen within the last `timeout` seconds. Clients are told apart by a well mixed hash.
    pub(super) fn recall(&self, client: u64, now: u64, timeout: u64) -> Option<u16> {
        let entries = self.set(client)?.iter().map(|word| Entry(word.load(Ordering::Relaxed)));
        let mut found = entries.filter(|entry| !entry.is_free() && entry.tag() == tag(client));
        found
            .find(|entry| entry.age(now) <= timeout)
            .map(|entry| entry.0 as u16)
    }

    /// Notes that a client is on a backend now.
    pub(super) fn remember(&self, client: u64, now: u64, backend: u16) {
        let new = Entry::new(tag(client), now, backend);
        let Some(set) = self.set(client) else { return };
        let age = |word: &AtomicU64| {
            let entry = Entry(word.load(Ordering::Relaxed));
            match entry.is_free() {
                true => SECONDS + 1,
                false if entry.tag() == new.tag() => SECONDS + 2,
                false => entry.age(now),
            }
        };
        if let Some(place) = set.iter().max_by_key(|word| age(word)) {
            place.store(new.0, Ordering::Relaxed);
        }
    }
}

impl Default for Clients {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
#[cfg(not(vrouter_loom))]
mod tests {
    use super::*;

    #[test]
    fn clients_are_remembered_until_their_time_is_over() {
        let clients = Clients::new();
        let client = 0xabcd_ef01_2345_6789;
        assert_eq!(clients.recall(client, 100, 60), None);
        clients.remember(client, 100, 7);
        assert_eq!(clients.recall(client, 160, 60), Some(7));
        assert_eq!(clients.recall(client, 161, 60), None);
        clients.remember(client, 161, 9);
        assert_eq!(clients.recall(client, 161, 60), Some(9));
        // The clock's 24 bits turn round between the two.
        clients.remember(client, SECONDS, 3);
        assert_eq!(clients.recall(client, SECONDS + 10, 60), Some(3));
    }

    #[test]
    fn a_full_set_forgets_the_one_seen_longest_ago() {
        let clients = Clients::new();
        let client = |n: u64| n << 40 | 5;
        for n in 1..=8 {
            clients.remember(client(n), n, n as u16);
        }
        clients.remember(client(1), 9, 1);
        clients.remember(client(9), 10, 9);
        assert_eq!(clients.recall(client(2), 10, 100), None);
        for n in [1, 3, 4, 5, 6, 7, 8, 9] {
            assert_eq!(clients.recall(client(n), 10, 100), Some(n as u16));
        }
    }
}
