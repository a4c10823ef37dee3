//! Many lookups at once: each round takes every address one node further and asks for the memory it needs next, so that the
//! waits for memory overlap. Which way an address goes is decided without branching, which would be mispredicted: every lane
//! is written to the end of all lists, and only the list that it belongs to grows.

use super::address::family::Family;
use super::arena::Arena;
use super::cpu::{Work, with_popcount};
use super::lookup::{Covering, Step, leaf_value, lookup, step};
use super::node::{BRANCH_WORDS, STRIDE};
use super::{Address, Root};

/// Most lookups in flight together: a worker's whole batch. A power of two, at most 128.
const LANES: usize = 64;

/// The first nodes of a way are shared by so many addresses that they are near in the cache, and alike enough for the branch
/// predictor: waiting for them costs less than taking turns.
const NEAR: usize = 3;

/// Fewer than these are looked up one by one: overlapping them does not make up for setting out the lanes.
const FEW: usize = 4;

/// Numbers of lanes.
struct List {
    lanes: [u8; LANES],
    count: usize,
}

impl List {
    const EMPTY: List = List {
        lanes: [0; LANES],
        count: 0,
    };

    /// Adds a lane if `condition` is 1, does nothing if it is 0.
    #[inline(always)]
    fn push_if(&mut self, condition: u64, lane: usize) {
        self.lanes[self.count % LANES] = lane as u8;
        self.count += condition as usize;
    }

    #[inline(always)]
    fn get(&self, i: usize) -> usize {
        usize::from(self.lanes[i % LANES]) % LANES
    }
}

/// One lookup on its way.
#[derive(Clone, Copy)]
struct Lane<K> {
    key: K,
    /// The branch or leaf that was asked for last.
    at: u32,
    covering: Covering,
    /// The half word of the value: of a leaf, if apart, or of the covering prefix.
    value: u64,
}

/// Where lanes go after a node.
struct Ways {
    branch: List,
    leaf: List,
    end: List,
}

impl<K: Copy> Lane<K> {
    /// Takes the first steps.
    #[inline(always)]
    fn descend<A: Family<Key = K>>(&mut self, arena: &Arena, number: usize, ways: &mut Ways) {
        for _ in 0..NEAR {
            match step::<A>(&arena.branch(self.at), self.at, self.key, &mut self.covering) {
                Step::Branch(at, key) => (self.at, self.key) = (at, key),
                Step::Leaf(at, value, key) => {
                    (self.at, self.value, self.key) = (at, value, key);
                    arena.prefetch(at);
                    if A::APART {
                        arena.prefetch((value / 2) as u32);
                    }
                    ways.leaf.push_if(1, number);
                    return;
                }
                Step::End => {
                    ways.end.push_if(1, number);
                    return;
                }
            }
        }
        arena.prefetch(self.at);
        ways.branch.push_if(1, number);
    }

    /// Takes one step further down.
    #[inline(always)]
    fn step<A: Family<Key = K>>(&mut self, arena: &Arena, number: usize, ways: &mut Ways) {
        let node = arena.branch(self.at);
        if node.skip != 1 {
            let (matches, len) = node.skips(A::window(self.key));
            if !matches {
                ways.end.push_if(1, number);
                return;
            }
            self.key = A::advance(self.key, len);
        }
        let index = (A::window(self.key) >> (64 - STRIDE)) as u32;
        self.covering.update(&node, self.at, index);
        let (branch, leaf) = (node.branches >> index & 1, node.leaves >> index & 1);
        // A branch stands behind those below its index; a leaf behind all branches and the leaves below its index.
        let (below, not_branch) = ((1 << index) - 1, branch.wrapping_sub(1));
        let branches_before = (node.branches & (below | not_branch)).count_ones();
        let leaves_before = (node.leaves & below & not_branch).count_ones();
        self.at = node.base.wrapping_add(branches_before * BRANCH_WORDS + leaves_before);
        self.key = A::advance(self.key, STRIDE);
        arena.prefetch(self.at);
        if A::APART {
            self.value = node.values_half() + u64::from(leaves_before);
            if leaf != 0 {
                arena.prefetch((self.value / 2) as u32);
            }
        }
        ways.branch.push_if(branch, number);
        ways.leaf.push_if(leaf, number);
        ways.end.push_if((branch | leaf) ^ 1, number);
    }
}

#[inline(always)]
fn lookup_lanes<A: Address>(arena: &Arena, queries: &[(Root<A>, A)], results: &mut [Option<u32>]) {
    let start = Lane {
        key: A::narrow(0).key(),
        at: 0,
        covering: Covering::NONE,
        value: 0,
    };
    let mut lanes: [Lane<A::Key>; LANES] = [start; LANES];
    let mut ways = Ways {
        branch: List::EMPTY,
        leaf: List::EMPTY,
        end: List::EMPTY,
    };
    for (number, (lane, &(root, address))) in lanes.iter_mut().zip(queries).enumerate() {
        *lane = Lane {
            key: address.key(),
            at: root.at,
            ..start
        };
        lane.descend::<A>(arena, number, &mut ways);
    }
    for _ in NEAR..A::LEVELS {
        let count = std::mem::take(&mut ways.branch.count);
        if count == 0 {
            break;
        }
        for i in 0..count {
            let number = ways.branch.get(i);
            lanes[number].step::<A>(arena, number, &mut ways);
        }
    }
    for i in 0..ways.leaf.count {
        let number = ways.leaf.get(i);
        let lane = &lanes[number];
        let value = leaf_value::<A>(arena, lane.at, lane.value, lane.key);
        if let Some(result) = results.get_mut(number) {
            *result = value;
        }
        ways.end.push_if(u64::from(value.is_none()), number);
    }
    // Nothing longer matched: the covering prefix it is.
    let mut covered = List::EMPTY;
    for i in 0..ways.end.count {
        let number = ways.end.get(i);
        let half = lanes[number].covering.value_half::<A>(arena);
        lanes[number].value = half.unwrap_or(0);
        arena.prefetch((half.unwrap_or(0) / 2) as u32);
        covered.push_if(u64::from(half.is_some()), number);
        if let Some(result) = results.get_mut(number) {
            *result = None;
        }
    }
    for i in 0..covered.count {
        let number = covered.get(i);
        if let Some(result) = results.get_mut(number) {
            *result = Some(arena.load_half(lanes[number].value));
        }
    }
}

struct Batch<'a, A> {
    arena: &'a Arena,
    queries: &'a [(Root<A>, A)],
    results: &'a mut [Option<u32>],
}

impl<A: Address> Work for Batch<'_, A> {
    type Answer = ();

    #[inline(always)]
    fn run(self) {
        for (queries, results) in self.queries.chunks(LANES).zip(self.results.chunks_mut(LANES)) {
            if queries.len() < FEW {
                for (&(root, address), result) in queries.iter().zip(results) {
                    *result = lookup(self.arena, root.at, address);
                }
            } else {
                lookup_lanes(self.arena, queries, results);
            }
        }
    }
}

impl Arena {
    /// Looks up every query, each in its own root, and puts the answers into the places of the same number in `results`.
    /// Queries without a place, and places without a query, are left alone. Faster than one by one where tables exceed the
    /// processor's caches.
    pub fn lookup_batch<A: Address>(&self, queries: &[(Root<A>, A)], results: &mut [Option<u32>]) {
        with_popcount(
            self.popcount,
            Batch {
                arena: self,
                queries,
                results,
            },
        );
    }
}
