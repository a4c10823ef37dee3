//! What is below a node, unpacked so that it can be changed, and packed into a block again.

use super::address::family::Family;
use super::arena::Arena;
use super::node::{BRANCH_WORDS, Branch, position, rank, suffix, suffix_parts};

/// The children and values of one node, each in the order of its bitmap. The bitmaps are those of the [`Branch`] that each method
/// is given.
#[derive(Debug, Default)]
pub(super) struct Contents {
    branches: Vec<Branch>,
    leaves: Vec<(u64, u32)>,
    values: Vec<u32>,
}

/// A prefix, or what is left of it below some node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rest {
    /// From the highest bit.
    pub(super) bits: u128,
    pub(super) len: u32,
    pub(super) value: u32,
}

impl Rest {
    pub(super) fn window(self) -> u64 {
        (self.bits >> 64) as u64
    }

    pub(super) fn advance(self, len: u32) -> Self {
        Rest {
            bits: self.bits << len,
            len: self.len - len,
            ..self
        }
    }

    /// The next six bits.
    pub(super) fn index(self) -> u32 {
        (self.bits >> 122) as u32
    }

    /// The bit of the internal bitmap, for what ends within a node.
    pub(super) fn position(self) -> u32 {
        position(self.window(), self.len)
    }

    /// Coded as a leaf.
    pub(super) fn suffix(self) -> u64 {
        suffix(self.window(), self.len)
    }

    pub(super) fn from_leaf((suffix, value): (u64, u32)) -> Self {
        let (bits, len) = suffix_parts(suffix);
        Rest {
            bits: u128::from(bits) << 64,
            len,
            value,
        }
    }

    /// The same seen from further up, behind the top `len` (below 64) bits of `path`.
    pub(super) fn behind(self, path: u64, len: u32) -> Self {
        Rest {
            bits: u128::from(path) << 64 | self.bits >> len,
            len: self.len + len,
            ..self
        }
    }

    /// How many bits both begin with.
    pub(super) fn common(self, other: Self) -> u32 {
        (self.bits ^ other.bits).leading_zeros().min(self.len).min(other.len)
    }
}

impl Contents {
    /// Unpacks the block of a node.
    pub(super) fn load<A: Family>(&mut self, arena: &Arena, node: &Branch) {
        let branches = node.branches.count_ones();
        self.branches.clear();
        self.branches
            .extend((0..branches).map(|i| arena.branch(node.base + i * BRANCH_WORDS)));
        let leaves_at = node.base + branches * BRANCH_WORDS;
        let leaves = node.leaves.count_ones();
        let mut half = node.values_half();
        self.leaves.clear();
        for word in (leaves_at..leaves_at + leaves).map(|at| arena.load(at)) {
            if A::APART {
                self.leaves.push((word, arena.load_half(half)));
                half += 1;
            } else {
                self.leaves.push((word >> 32 << 32, word as u32));
            }
        }
        self.values.clear();
        self.values
            .extend((half..half + u64::from(node.internal.count_ones())).map(|half| arena.load_half(half)));
    }

    /// Packs into the block of a node.
    pub(super) fn store<A: Family>(&self, arena: &Arena, node: &Branch) {
        let mut at = node.base;
        for &branch in &self.branches {
            arena.store_branch(at, branch);
            at += BRANCH_WORDS;
        }
        for &(suffix, value) in &self.leaves {
            arena.store(at, if A::APART { suffix } else { suffix | u64::from(value) });
            at += 1;
        }
        let apart = if A::APART { self.leaves.as_slice() } else { &[] };
        let mut values = apart.iter().map(|leaf| leaf.1).chain(self.values.iter().copied());
        while let Some(low) = values.next() {
            arena.store(at, u64::from(low) | u64::from(values.next().unwrap_or(0)) << 32);
            at += 1;
        }
    }

    pub(super) fn add_branch(&mut self, node: &mut Branch, index: u32, branch: Branch) {
        self.branches.insert(rank(node.branches, index) as usize, branch);
        node.branches |= 1 << index;
    }

    pub(super) fn remove_branch(&mut self, node: &mut Branch, index: u32) {
        self.branches.remove(rank(node.branches, index) as usize);
        node.branches &= !(1 << index);
    }

    pub(super) fn add_leaf(&mut self, node: &mut Branch, index: u32, leaf: (u64, u32)) {
        self.leaves.insert(rank(node.leaves, index) as usize, leaf);
        node.leaves |= 1 << index;
    }

    pub(super) fn remove_leaf(&mut self, node: &mut Branch, index: u32) {
        self.leaves.remove(rank(node.leaves, index) as usize);
        node.leaves &= !(1 << index);
    }

    pub(super) fn add_value(&mut self, node: &mut Branch, position: u32, value: u32) {
        self.values.insert(rank(node.internal, position) as usize, value);
        node.internal |= 1 << position;
    }

    pub(super) fn remove_value(&mut self, node: &mut Branch, position: u32) {
        self.values.remove(rank(node.internal, position) as usize);
        node.internal &= !(1 << position);
    }
}
