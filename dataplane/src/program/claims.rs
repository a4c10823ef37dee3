//! What only one object may have: who claims it.
//!
//! Within a batch several may claim the same for a while (two services that swap their addresses); at its end, one. So claims are noted
//! while a batch is staged and judged when all of it is.

use std::{hash::Hash, sync::Arc};

use super::state::Map;

/// Claims of one kind: the identifiers of those who claim a key.
#[derive(Clone, Debug)]
pub(super) struct Claims<K: Clone + Eq + Hash>(Map<K, Arc<[u32]>>);

impl<K: Clone + Eq + Hash> Default for Claims<K> {
    fn default() -> Self {
        Self(Map::default())
    }
}

impl<K: Clone + Eq + Hash> Claims<K> {
    /// One more claims the key.
    pub(super) fn add(&mut self, key: K, id: u32) {
        let others = self.of(&key).iter().copied().filter(|other| *other != id);
        let all = others.chain([id]).collect();
        self.0.insert(key, all);
    }

    /// One claims the key no more.
    pub(super) fn remove(&mut self, key: &K, id: u32) {
        let left: Arc<[u32]> = self.of(key).iter().copied().filter(|other| *other != id).collect();
        if left.is_empty() {
            self.0.remove(key);
        } else {
            self.0.insert(key.clone(), left);
        }
    }

    /// Who claims the key, in the order in which they came.
    pub(super) fn of(&self, key: &K) -> &[u32] {
        self.0.get(key).map_or(&[][..], |ids| ids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_come_and_go() {
        let mut claims = Claims::default();
        claims.add("a", 7);
        claims.add("a", 5);
        claims.add("a", 7);
        assert_eq!(claims.of(&"a"), [5, 7]);
        let copy = claims.clone();
        claims.remove(&"a", 5);
        claims.remove(&"b", 5);
        assert_eq!((claims.of(&"a"), claims.of(&"b")), (&[7][..], &[][..]));
        claims.remove(&"a", 7);
        assert!(claims.of(&"a").is_empty());
        assert_eq!(copy.of(&"a"), [5, 7]);
    }
}
