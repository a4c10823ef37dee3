//! Many lookups at once: each round takes every address one node further and asks for the memory it needs next, so that the
//! waits for memory overlap.

use super::address::family::Family;
use super::arena::Arena;
use super::cpu::with_popcount;
use super::lookup::{Covering, Step, leaf_value, step};
use super::{Address, Root};

/// Lookups in flight together: enough to fill what a core can have outstanding.
const LANES: usize = 32;

/// One lookup on its way.
#[derive(Clone, Copy)]
struct Lane<A: Family> {
    key: A::Key,
    /// The branch, the leaf, or nothing yet.
    at: u32,
    /// The half word of the value: of the leaf, if apart, or of the covering prefix.
    value: u64,
    covering: Covering,
    next: Next,
}

/// What the memory asked for last holds.
#[derive(Clone, Copy, PartialEq)]
enum Next {
    Branch,
    Leaf,
    Value,
}

impl<A: Family> Lane<A> {
    fn start(root: u32, address: A) -> Self {
        Lane {
            key: address.key(),
            at: root,
            value: 0,
            covering: Covering::NONE,
            next: Next::Branch,
        }
    }

    /// Goes on by one access. The answer when there is nothing left to read.
    #[inline(always)]
    fn advance(&mut self, arena: &Arena) -> Option<Option<u32>> {
        match self.next {
            Next::Branch => match step::<A>(&arena.branch(self.at), self.at, self.key, &mut self.covering) {
                Step::Branch(at, key) => {
                    (self.at, self.key) = (at, key);
                    arena.prefetch(at);
                    None
                }
                Step::Leaf(at, value, key) => {
                    (self.at, self.value, self.key, self.next) = (at, value, key, Next::Leaf);
                    arena.prefetch(at);
                    if A::APART {
                        arena.prefetch((value / 2) as u32);
                    }
                    None
                }
                Step::End => self.fall_back(arena),
            },
            Next::Leaf => match leaf_value::<A>(arena, self.at, self.value, self.key) {
                Some(value) => Some(Some(value)),
                None => self.fall_back(arena),
            },
            Next::Value => Some(Some(arena.load_half(self.value))),
        }
    }

    /// Nothing longer matched: the covering prefix it is, if any.
    #[inline(always)]
    fn fall_back(&mut self, arena: &Arena) -> Option<Option<u32>> {
        match self.covering.value_half::<A>(arena) {
            Some(half) => {
                (self.value, self.next) = (half, Next::Value);
                arena.prefetch((half / 2) as u32);
                None
            }
            None => Some(None),
        }
    }
}

#[inline(always)]
fn lookup_lanes<A: Address>(arena: &Arena, queries: &[(Root<A>, A)], results: &mut [Option<u32>]) {
    let mut lanes: [Lane<A>; LANES] = [Lane::start(0, A::narrow(0)); LANES];
    let mut active: [u8; LANES] = [0; LANES];
    let mut count = 0;
    for (i, (lane, &(root, address))) in lanes.iter_mut().zip(queries).enumerate() {
        *lane = Lane::start(root.at, address);
        arena.prefetch(root.at);
        active[i] = i as u8;
        count = i + 1;
    }
    // Levels of branches, then a leaf, then a value.
    for _ in 0..A::LEVELS + 2 {
        let mut kept = 0;
        for i in 0..count {
            let lane = active[i % LANES];
            let at = usize::from(lane) % LANES;
            match lanes[at].advance(arena) {
                None => {
                    active[kept % LANES] = lane;
                    kept += 1;
                }
                Some(answer) => {
                    if let Some(result) = results.get_mut(at) {
                        *result = answer;
                    }
                }
            }
        }
        count = kept;
        if count == 0 {
            break;
        }
    }
}

impl Arena {
    /// Looks up every query, each in its own root, and puts the answers into the places of the same number in `results`.
    /// Queries without a place, and places without a query, are left alone. Faster than one by one where tables exceed the
    /// processor's caches.
    pub fn lookup_batch<A: Address>(&self, queries: &[(Root<A>, A)], results: &mut [Option<u32>]) {
        with_popcount(self.popcount, || {
            for (queries, results) in queries.chunks(LANES).zip(results.chunks_mut(LANES)) {
                lookup_lanes(self, queries, results);
            }
        });
    }
}
