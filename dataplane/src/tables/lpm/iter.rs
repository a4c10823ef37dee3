//! The routes of a root in order: by address, and of the same address the shorter prefix first.

use super::arena::Arena;
use super::node::{Branch, STRIDE, suffix_parts};
use super::{Address, Prefix, Root};

/// Iterates over all (prefix, value) of a root. Made by [`Arena::iter`].
pub struct Iter<'a, A> {
    arena: &'a Arena,
    stack: Vec<Frame>,
    levels: usize,
    family: std::marker::PhantomData<A>,
}

/// A node that is being listed.
struct Frame {
    node: Branch,
    /// The bits that lead to it, its skipped path included, and their number.
    path: u128,
    len: u32,
    /// The place to look at next, counted as in a binary tree of six levels: 1 to 63 are internal prefixes, 64 to 127 children.
    place: u32,
}

impl Frame {
    fn new(arena: &Arena, at: u32, path: u128, len: u32) -> Self {
        let node = arena.branch(at);
        let path = path | (u128::from(node.skip_path()) << 64).checked_shr(len).unwrap_or(0);
        Frame {
            node,
            path,
            len: len + node.skip_len(),
            place: 1,
        }
    }

    /// The bits that lead to the place `index` of `len` bits (0 to 6).
    fn path_to(&self, index: u32, len: u32) -> u128 {
        let bits = u128::from(index).checked_shl(128 - len).unwrap_or(0);
        self.path | bits.checked_shr(self.len).unwrap_or(0)
    }
}

/// What comes after a place when a binary tree is walked parents first; 1 after the last.
fn after(place: u32) -> u32 {
    if place < 64 {
        place * 2
    } else {
        (place >> place.trailing_ones()) + 1
    }
}

impl<A: Address> Iterator for Iter<'_, A> {
    type Item = (Prefix<A>, u32);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let depth = self.stack.len();
            let frame = self.stack.last_mut()?;
            let place = frame.place;
            if place == 0 {
                self.stack.pop();
                continue;
            }
            frame.place = if place == 127 { 0 } else { after(place) };
            let len = place.ilog2();
            let index = place - (1 << len);
            if len < STRIDE {
                if frame.node.internal >> place & 1 != 0 {
                    let value = self.arena.load_half(frame.node.value_half::<A>(place));
                    return Some((Prefix::from_wide(frame.path_to(index, len), frame.len + len), value));
                }
            } else if frame.node.branches >> index & 1 != 0 {
                // A released root may lead in circles: no route is deeper than this.
                if depth < self.levels {
                    let below = frame.len + STRIDE;
                    let next = Frame::new(
                        self.arena,
                        frame.node.branch_at(index),
                        frame.path_to(index, len),
                        below,
                    );
                    self.stack.push(next);
                }
            } else if frame.node.leaves >> index & 1 != 0 {
                let (suffix, value) = self.arena.leaf::<A>(&frame.node, index);
                let (bits, bits_len) = suffix_parts(suffix);
                let below = frame.len + STRIDE;
                let rest = (u128::from(bits) << 64).checked_shr(below).unwrap_or(0);
                return Some((
                    Prefix::from_wide(frame.path_to(index, len) | rest, below + bits_len),
                    value,
                ));
            }
        }
    }
}

impl Arena {
    /// All routes of a root, in order of address, shorter prefixes first.
    pub fn iter<A: Address>(&self, root: Root<A>) -> Iter<'_, A> {
        let stack = if root.is_empty() {
            Vec::new()
        } else {
            vec![Frame::new(self, root.at, 0, 0)]
        };
        Iter {
            arena: self,
            stack,
            levels: A::LEVELS,
            family: std::marker::PhantomData,
        }
    }

    /// How many routes a root has. Visits all nodes.
    pub fn count<A: Address>(&self, root: Root<A>) -> usize {
        let (mut nodes, mut routes) = (vec![(root.at, A::LEVELS)], 0);
        while let Some((at, levels)) = nodes.pop() {
            let node = self.branch(at);
            routes += (node.internal.count_ones() + node.leaves.count_ones()) as usize;
            if levels > 1 {
                nodes.extend((0..node.branches.count_ones()).map(|i| (node.base.wrapping_add(i * 4), levels - 1)));
            }
        }
        routes
    }
}
