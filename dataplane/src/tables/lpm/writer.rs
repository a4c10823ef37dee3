//! The one writer: inserts, removes, commits and aborts.
//!
//! Every change walks down making each block on its way part of the running batch (copying it once), which changes nothing that
//! a reader could see; only then is the change made, by replacing one block. Running out of room at any point leaves a whole table.

use std::sync::Arc;

use super::arena::{Arena, CannotReserve};
use super::edit::{Contents, Rest};
use super::heap::{ArenaFull, Heap, Retired};
use super::node::{BRANCH_WORDS, Branch, SKIP_MAX, STRIDE};
use super::{Address, Prefix, Root};

/// Changes routes, in batches. A batch is whatever is done up to the next [`Self::commit`] or [`Self::abort`].
#[derive(Debug)]
pub struct LpmWriter {
    arena: Arc<Arena>,
    heap: Heap,
    /// Memory for the block being changed.
    contents: Contents,
    /// A removal is running: it may use the words spared for it.
    removing: bool,
}

impl LpmWriter {
    /// Reserves address space for all routes of all VRFs, at most 32 GiB; memory is only taken as it is used. 64 bytes a route
    /// are ample, for what batches replace and fragmentation included.
    pub fn new(max_bytes: usize) -> Result<Self, CannotReserve> {
        let (arena, heap) = Heap::new(max_bytes)?;
        Ok(LpmWriter {
            arena: Arc::new(arena),
            heap,
            contents: Contents::default(),
            removing: false,
        })
    }

    /// What readers look up in, together with a [`Root`] from their snapshot.
    pub fn arena(&self) -> &Arc<Arena> {
        &self.arena
    }

    /// Bytes in use, replaced blocks that are not released yet included.
    pub fn bytes_used(&self) -> usize {
        self.heap.used_bytes()
    }

    /// Bytes that were ever in use.
    #[cfg(test)]
    pub(super) fn bytes_touched(&self) -> usize {
        self.heap.touched_bytes()
    }

    /// Ends the batch: its roots may be published, and are never changed again. The blocks it replaced must be kept until no
    /// reader holds an older root, and then be [released](Self::release).
    pub fn commit(&mut self) -> Retired {
        self.heap.commit()
    }

    /// Undoes the batch: roots from before it stay valid; those it produced must not be used any more.
    pub fn abort(&mut self) {
        self.heap.abort();
    }

    /// Makes the blocks free again. No reader may hold a root from before the commit that retired them.
    pub fn release(&mut self, retired: Retired) {
        let arena = &self.arena;
        self.heap.release(retired, |first, end| arena.forget(first, end));
    }

    /// Adds a route or changes its value. Answers the value it had before.
    ///
    /// On error `root` has the same routes as before, though it may name another version of them.
    pub fn insert<A: Address>(
        &mut self,
        root: &mut Root<A>,
        prefix: Prefix<A>,
        value: u32,
    ) -> Result<Option<u32>, ArenaFull> {
        let old = self.arena.get(*root, prefix);
        if old != Some(value) {
            self.removing = false;
            let inserted = self.insert_other(root, prefix, value, old);
            // One that found no room may leave the new root of an empty table.
            self.drop_empty(root);
            inserted?;
        }
        Ok(old)
    }

    /// Inserts what is not there with this value.
    fn insert_other<A: Address>(
        &mut self,
        root: &mut Root<A>,
        prefix: Prefix<A>,
        value: u32,
        old: Option<u32>,
    ) -> Result<(), ArenaFull> {
        let mut at = self.own_root(root)?;
        let mut rest = Rest {
            bits: prefix.address().widen(),
            len: u32::from(prefix.length()),
            value,
        };
        loop {
            let node = self.arena.branch(at);
            let skip = node.skip_len();
            let common = (rest.window() ^ node.skip_path())
                .leading_zeros()
                .min(skip)
                .min(rest.len);
            if common < skip {
                return self.split::<A>(at, node, common / STRIDE * STRIDE, rest);
            }
            rest = rest.advance(skip);
            if rest.len < STRIDE {
                let position = rest.position();
                if node.internal >> position & 1 != 0 {
                    let node = self.own_block::<A>(at)?;
                    self.arena.store_half(node.value_half::<A>(position), value);
                    return Ok(());
                }
                return self.edit::<A>(at, |_, contents, node| {
                    contents.add_value(node, position, value);
                    Ok(())
                });
            }
            let index = rest.index();
            rest = rest.advance(STRIDE);
            if node.branches >> index & 1 != 0 {
                at = self.own_block::<A>(at)?.branch_at(index);
                continue;
            }
            if node.leaves >> index & 1 == 0 {
                return self.edit::<A>(at, |writer, contents, node| {
                    writer.hang::<A>(contents, node, index, &[rest])
                });
            }
            let leaf = Rest::from_leaf(self.arena.leaf::<A>(&node, index));
            return self.edit::<A>(at, |writer, contents, node| {
                contents.remove_leaf(node, index);
                let both = [leaf, rest];
                // Known already: the leaf is this very prefix, and only its value changes.
                writer.hang::<A>(contents, node, index, if old.is_some() { &both[1..] } else { &both })
            });
        }
    }

    /// Removes a route. Answers the value it had, or `None` where there was no such route.
    ///
    /// On error `root` has the same routes as before, though it may name another version of them.
    pub fn remove<A: Address>(&mut self, root: &mut Root<A>, prefix: Prefix<A>) -> Result<Option<u32>, ArenaFull> {
        let Some(old) = self.arena.get(*root, prefix) else {
            return Ok(None);
        };
        self.removing = true;
        let mut at = self.own_root(root)?;
        let mut above = Vec::with_capacity(A::LEVELS);
        let mut rest = Rest {
            bits: prefix.address().widen(),
            len: u32::from(prefix.length()),
            value: old,
        };
        loop {
            let node = self.arena.branch(at);
            rest = rest.advance(node.skip_len());
            let (index, ends) = (rest.index(), rest.len < STRIDE);
            if !ends && node.branches >> index & 1 != 0 {
                rest = rest.advance(STRIDE);
                above.push((at, index));
                at = self.own_block::<A>(at)?.branch_at(index);
                continue;
            }
            self.edit::<A>(at, |_, contents, node| {
                if ends {
                    contents.remove_value(node, rest.position());
                } else {
                    contents.remove_leaf(node, index);
                }
                Ok(())
            })?;
            break;
        }
        // The route is gone; what is left is only to be made small again, and stays right where there is no room for that.
        let _ = self.contract::<A>(at, above);
        self.drop_empty(root);
        Ok(Some(old))
    }

    fn drop_empty<A: Address>(&mut self, root: &mut Root<A>) {
        if !root.is_empty() && self.arena.branch(root.at) == Branch::EMPTY {
            self.heap.discard(root.at, BRANCH_WORDS, true);
            *root = Root::EMPTY;
        }
    }

    /// Removes all routes of a VRF. Needs no room.
    pub fn clear<A: Address>(&mut self, root: &mut Root<A>) {
        let mut nodes = Vec::new();
        if !root.is_empty() {
            nodes.push(self.arena.branch(root.at));
            self.heap.discard(root.at, BRANCH_WORDS, true);
        }
        *root = Root::EMPTY;
        while let Some(node) = nodes.pop() {
            let children = node.branches.count_ones();
            nodes.extend((0..children).map(|i| self.arena.branch(node.base + i * BRANCH_WORDS)));
            self.discard_block::<A>(&node);
        }
    }

    /// Makes the root's own branch part of the batch.
    fn own_root<A: Address>(&mut self, root: &mut Root<A>) -> Result<u32, ArenaFull> {
        if !self.heap.is_in_batch(root.at) {
            let new = self.heap.make(BRANCH_WORDS, true, self.removing)?;
            if root.is_empty() {
                self.arena.store_branch(new, Branch::EMPTY);
            } else {
                self.arena.copy(root.at, new, BRANCH_WORDS);
                self.heap.discard(root.at, BRANCH_WORDS, true);
            }
            *root = Root::at(new);
        }
        Ok(root.at)
    }

    /// Makes the block of the node at `at` part of the batch, of which the node itself already is. The node as it is then.
    fn own_block<A: Address>(&mut self, at: u32) -> Result<Branch, ArenaFull> {
        let mut node = self.arena.branch(at);
        if !self.heap.is_in_batch(node.base) {
            let (old, words) = (node, node.block_words::<A>());
            node.base = self.heap.make(words, node.branches != 0, self.removing)?;
            self.arena.copy(old.base, node.base, words);
            self.arena.store_branch(at, node);
            self.discard_block::<A>(&old);
        }
        Ok(node)
    }

    fn discard_block<A: Address>(&mut self, node: &Branch) {
        self.heap
            .discard(node.base, node.block_words::<A>(), node.branches != 0);
    }

    /// Changes what is below the node at `at`, which is part of the batch; its block need not be. All or nothing: what `change`
    /// made is freed again if it fails or the changed block finds no room.
    fn edit<A: Address>(
        &mut self,
        at: u32,
        change: impl FnOnce(&mut Self, &mut Contents, &mut Branch) -> Result<(), ArenaFull>,
    ) -> Result<(), ArenaFull> {
        let old = self.arena.branch(at);
        let mut contents = std::mem::take(&mut self.contents);
        contents.load::<A>(&self.arena, &old);
        let point = self.heap.point();
        let mut new = old;
        let done = change(self, &mut contents, &mut new).and_then(|()| {
            let (old_size, new_size) = (old.block_words::<A>(), new.block_words::<A>());
            let same_size = Heap::same_size((old_size, old.branches != 0), (new_size, new.branches != 0));
            if !(same_size && self.heap.is_in_batch(old.base)) {
                new.base = self.make_block::<A>(&new)?;
                self.discard_block::<A>(&old);
            }
            contents.store::<A>(&self.arena, &new);
            self.arena.store_branch(at, new);
            Ok(())
        });
        self.contents = contents;
        done.inspect_err(|_| self.heap.undo_to(point))
    }

    /// A block for what the node's bitmaps say; none for nothing.
    fn make_block<A: Address>(&mut self, node: &Branch) -> Result<u32, ArenaFull> {
        match node.block_words::<A>() {
            0 => Ok(0),
            words => self.heap.make(words, node.branches != 0, self.removing),
        }
    }

    /// Hangs one or two prefixes below `node` at the free child `index`: as a leaf where that can be, else as a branch.
    fn hang<A: Address>(
        &mut self,
        contents: &mut Contents,
        node: &mut Branch,
        index: u32,
        rests: &[Rest],
    ) -> Result<(), ArenaFull> {
        match rests {
            [rest] if rest.len <= A::LEAF_BITS => contents.add_leaf(node, index, (rest.suffix(), rest.value)),
            _ => contents.add_branch(node, index, self.build::<A>(rests)?),
        }
        Ok(())
    }

    /// Puts a prefix into a node where nothing is in its way.
    fn place<A: Address>(&mut self, contents: &mut Contents, node: &mut Branch, rest: Rest) -> Result<(), ArenaFull> {
        if rest.len < STRIDE {
            contents.add_value(node, rest.position(), rest.value);
            Ok(())
        } else {
            self.hang::<A>(contents, node, rest.index(), &[rest.advance(STRIDE)])
        }
    }

    /// A branch for one prefix too long for a leaf, or for two.
    fn build<A: Address>(&mut self, rests: &[Rest]) -> Result<Branch, ArenaFull> {
        let mut node = Branch::EMPTY;
        let mut contents = Contents::default();
        let shared = match *rests {
            [one, other] => one.common(other),
            [one] => one.len,
            _ => 0,
        };
        let skip = (shared / STRIDE * STRIDE).min(SKIP_MAX);
        if let [first, ..] = rests {
            node.set_skip(first.window(), skip);
        }
        match *rests {
            [one, other] if shared >= skip + STRIDE => {
                let (one, other) = (one.advance(skip), other.advance(skip));
                self.hang::<A>(
                    &mut contents,
                    &mut node,
                    one.index(),
                    &[one.advance(STRIDE), other.advance(STRIDE)],
                )?;
            }
            _ => {
                for rest in rests {
                    self.place::<A>(&mut contents, &mut node, rest.advance(skip))?;
                }
            }
        }
        node.base = self.make_block::<A>(&node)?;
        contents.store::<A>(&self.arena, &node);
        Ok(node)
    }

    /// Cuts the skipped path of the node at `at` after `len` bits, where `rest` leaves it.
    fn split<A: Address>(&mut self, at: u32, node: Branch, len: u32, rest: Rest) -> Result<(), ArenaFull> {
        let (path, point) = (node.skip_path(), self.heap.point());
        let (mut upper, mut lower, mut contents) = (Branch::EMPTY, node, Contents::default());
        upper.set_skip(path, len);
        lower.set_skip(path << (len + STRIDE), node.skip_len() - len - STRIDE);
        contents.add_branch(&mut upper, (path << len >> (64 - STRIDE)) as u32, lower);
        let placed = self.place::<A>(&mut contents, &mut upper, rest.advance(len));
        let made = placed.and_then(|()| self.make_block::<A>(&upper));
        upper.base = made.inspect_err(|_| self.heap.undo_to(point))?;
        contents.store::<A>(&self.arena, &upper);
        self.arena.store_branch(at, upper);
        Ok(())
    }

    /// Gives the node at `at`, which has just lost something, its smallest form, and then those above it.
    fn contract<A: Address>(&mut self, mut at: u32, mut above: Vec<(u32, u32)>) -> Result<(), ArenaFull> {
        while let Some((parent, index)) = above.pop() {
            let node = self.arena.branch(at);
            let (path, skip) = (node.skip_path(), node.skip_len());
            let lone = match (
                node.branches.count_ones(),
                node.leaves.count_ones(),
                node.internal.count_ones(),
            ) {
                (0, 0, 0) => None,
                (0, 1, 0) => {
                    let child = node.leaves.trailing_zeros();
                    let leaf = Rest::from_leaf(self.arena.leaf::<A>(&node, child));
                    Some((leaf, u64::from(child) << (64 - STRIDE), STRIDE))
                }
                (0, 0, 1) => {
                    let position = node.internal.trailing_zeros();
                    let (len, value) = (position.ilog2(), self.arena.load_half(node.value_half::<A>(position)));
                    let bits = u64::from(position).checked_shl(64 - len).unwrap_or(0);
                    Some((Rest { bits: 0, len: 0, value }, bits, len))
                }
                (1, 0, 0) => {
                    let mut child = self.arena.branch(node.base);
                    let whole = skip + STRIDE + child.skip_len();
                    if whole <= SKIP_MAX {
                        let bits =
                            u64::from(node.branches.trailing_zeros()) << (64 - STRIDE) | child.skip_path() >> STRIDE;
                        child.set_skip(path | bits >> skip, whole);
                        self.arena.store_branch(at, child);
                        self.discard_block::<A>(&node);
                    }
                    return Ok(());
                }
                _ => return Ok(()),
            };
            let lone = lone.map(|(rest, bits, len)| rest.behind(bits, len).behind(path, skip));
            if lone.is_some_and(|rest| rest.len > A::LEAF_BITS) {
                return Ok(());
            }
            self.edit::<A>(parent, |_, contents, parent| {
                contents.remove_branch(parent, index);
                if let Some(rest) = lone {
                    contents.add_leaf(parent, index, (rest.suffix(), rest.value));
                }
                Ok(())
            })?;
            self.discard_block::<A>(&node);
            at = parent;
        }
        Ok(())
    }
}
