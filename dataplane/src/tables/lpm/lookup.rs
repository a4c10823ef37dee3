//! Reading one prefix or one address. No state, no allocation.

use super::address::family::Family;
use super::arena::Arena;
use super::cpu::{Work, with_popcount};
use super::node::{Branch, COVERING, STRIDE, position, suffix, suffix_matches};
use super::{Address, Prefix, Root};

/// The deepest node on the way with an internal prefix that matches (lower half; 0 for none), and the address's six bits there
/// (upper half). One word, so that it can be chosen without branching.
#[derive(Clone, Copy)]
pub(super) struct Covering(u64);

impl Covering {
    pub(super) const NONE: Covering = Covering(0);

    /// Goes to the node at `at` if that has a prefix for the six bits `index`.
    #[inline(always)]
    pub(super) fn update(&mut self, node: &Branch, at: u32, index: u32) {
        let here = u64::from(index) << 32 | u64::from(at);
        let covers = node.internal & COVERING[index as usize] != 0;
        self.0 ^= (self.0 ^ here) & u64::from(covers).wrapping_neg();
    }

    /// Where the value of the longest of its prefixes is, if there is one.
    #[inline(always)]
    pub(super) fn value_half<A: Family>(self, arena: &Arena) -> Option<u64> {
        if self.0 == 0 {
            return None;
        }
        let (node, index) = (arena.branch(self.0 as u32), (self.0 >> 32) as usize % COVERING.len());
        let position = (node.internal & COVERING[index]).checked_ilog2()?;
        Some(node.value_half::<A>(position))
    }
}

/// What one node says of an address.
pub(super) enum Step<K> {
    /// Go on with the branch there.
    Branch(u32, K),
    /// The leaf there may match the rest of the address; where its value is, if apart.
    Leaf(u32, u64, K),
    /// Nothing longer below.
    End,
}

#[inline(always)]
pub(super) fn step<A: Family>(node: &Branch, at: u32, mut key: A::Key, covering: &mut Covering) -> Step<A::Key> {
    if node.skip != 1 {
        let (matches, len) = node.skips(A::window(key));
        if !matches {
            return Step::End;
        }
        key = A::advance(key, len);
    }
    let index = (A::window(key) >> (64 - STRIDE)) as u32;
    covering.update(node, at, index);
    let bit = 1 << index;
    if node.branches & bit != 0 {
        Step::Branch(node.branch_at(index), A::advance(key, STRIDE))
    } else if node.leaves & bit != 0 {
        let value = if A::APART { node.leaf_value_half(index) } else { 0 };
        Step::Leaf(node.leaf_at(index), value, A::advance(key, STRIDE))
    } else {
        Step::End
    }
}

/// The value of the leaf at `at` if its suffix is that of the address.
#[inline(always)]
pub(super) fn leaf_value<A: Family>(arena: &Arena, at: u32, value: u64, key: A::Key) -> Option<u32> {
    let word = arena.load(at);
    if A::APART {
        suffix_matches(word, A::window(key)).then(|| arena.load_half(value))
    } else {
        suffix_matches(word >> 32 << 32, A::window(key)).then_some(word as u32)
    }
}

/// One address, node by node.
#[inline(always)]
pub(super) fn lookup<A: Family>(arena: &Arena, root: u32, address: A) -> Option<u32> {
    let (mut at, mut key, mut covering) = (root, address.key(), Covering::NONE);
    for _ in 0..A::LEVELS {
        match step::<A>(&arena.branch(at), at, key, &mut covering) {
            Step::Branch(next, rest) => (at, key) = (next, rest),
            Step::Leaf(leaf, value, rest) => match leaf_value::<A>(arena, leaf, value, rest) {
                Some(value) => return Some(value),
                None => break,
            },
            Step::End => break,
        }
    }
    covering.value_half::<A>(arena).map(|half| arena.load_half(half))
}

struct Lookup<'a, A> {
    arena: &'a Arena,
    root: u32,
    address: A,
}

impl<A: Address> Work for Lookup<'_, A> {
    type Answer = Option<u32>;

    #[inline(always)]
    fn run(self) -> Option<u32> {
        lookup(self.arena, self.root, self.address)
    }
}

impl Arena {
    /// The value of the longest prefix that contains `address`.
    #[inline]
    pub fn lookup<A: Address>(&self, root: Root<A>, address: A) -> Option<u32> {
        with_popcount(
            self.popcount,
            Lookup {
                arena: self,
                root: root.at,
                address,
            },
        )
    }

    /// The value of exactly this prefix.
    pub fn get<A: Address>(&self, root: Root<A>, prefix: Prefix<A>) -> Option<u32> {
        let (mut at, mut key, mut left) = (root.at, prefix.address().key(), u32::from(prefix.length()));
        for _ in 0..A::LEVELS {
            let node = self.branch(at);
            let (matches, len) = node.skips(A::window(key));
            if !matches || len > left {
                return None;
            }
            (key, left) = (A::advance(key, len), left - len);
            if left < STRIDE {
                let position = position(A::window(key), left);
                return (node.internal >> position & 1 != 0).then(|| self.load_half(node.value_half::<A>(position)));
            }
            let index = (A::window(key) >> (64 - STRIDE)) as u32;
            (key, left) = (A::advance(key, STRIDE), left - STRIDE);
            if node.branches >> index & 1 != 0 {
                at = node.branch_at(index);
            } else if node.leaves >> index & 1 != 0 && left <= A::LEAF_BITS {
                let leaf = self.leaf::<A>(&node, index);
                return (leaf.0 == suffix(A::window(key), left)).then_some(leaf.1);
            } else {
                return None;
            }
        }
        None
    }

    /// Suffix and value of a leaf.
    pub(super) fn leaf<A: Family>(&self, node: &Branch, index: u32) -> (u64, u32) {
        let word = self.load(node.leaf_at(index));
        if A::APART {
            (word, self.load_half(node.leaf_value_half(index)))
        } else {
            (word >> 32 << 32, word as u32)
        }
    }
}
