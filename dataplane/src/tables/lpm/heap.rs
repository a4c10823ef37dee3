//! Hands out blocks of the arena, takes them back, and knows which were made in the running batch. Knows nothing of what is in
//! them.
//!
//! Free blocks are kept by size and reused at the same size: a table's mix of sizes changes little, and reuse is one push and
//! one pop. A table that grows outgrows its sizes, all nodes of a level at once: when much is free that fits nobody, free neighbours are joined
//! and cut up again. Before that is so, and when there is nothing to cut, fresh memory is taken.

use super::arena::{Arena, CannotReserve};

/// Number of sizes: 1 to 8 words, then by 4 up to 64, then by 16 up to the largest, 64 child branches and 63 values.
const CLASSES: usize = 8 + 14 + 14;
/// Words that inserts leave for removals, which also need room for the path they replace: more than one removal can need.
const SPARE: u32 = 8 * 1024;

/// Words of the largest small block.
const SMALL: u32 = 16;

/// More than this part of what is used, as a divisor, and some, is free: it is to be used before fresh memory is.
const LOOSE: usize = 8;
const MIN_LOOSE: usize = if cfg!(test) { 16 } else { 64 * 1024 };

/// The arena has no room for the change. The table is as before the change that failed; earlier changes of the batch stand. The
/// batch can be committed or aborted. A removal in a batch of its own still fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "no room for routes: {used} of {capacity} bytes are in use; remove routes, or restart with more memory for routes"
)]
pub struct ArenaFull {
    /// Bytes in use, replaced blocks that are not released yet included.
    pub used: usize,
    /// Bytes that there are.
    pub capacity: usize,
}

/// Blocks that a batch replaced: readers of older snapshots may still be reading them. Hand them back to the same writer by
/// [`super::LpmWriter::release`] once no reader can hold a snapshot from before that commit. Dropping it leaks the blocks.
#[must_use = "blocks that are not released are lost"]
#[derive(Debug, Default)]
pub struct Retired {
    blocks: Vec<Block>,
}

impl Retired {
    /// Whether nothing was replaced.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Adds what a later batch replaced, to be released together.
    pub fn append(&mut self, mut later: Retired) {
        self.blocks.append(&mut later.blocks);
    }
}

#[derive(Clone, Copy, Debug)]
struct Block {
    at: u32,
    words: u32,
}

#[derive(Debug)]
pub(super) struct Heap {
    /// Free blocks by place and size.
    free: [Vec<Vec<u32>>; 2],
    /// The first word handed out. Boundaries count from here.
    first: u32,
    /// Everything from here to `upper` was never handed out.
    untouched: u32,
    /// Large blocks are above, small ones below `untouched`: small ones live long, and would break up the places of large ones, which are replaced wholesale.
    upper: u32,
    end: u32,
    used_words: usize,
    /// Words in free blocks.
    free_words: usize,
    /// Words freed since neighbours were last joined: with few, trying again is not worth it.
    freed_words: usize,
    /// Blocks made in this batch, in order. May name blocks freed since: `in_batch` tells.
    made: Vec<Block>,
    /// A bit for each word at which a live block of this batch starts.
    in_batch: Vec<u64>,
    replaced: Vec<Block>,
}

/// Sets so many bits from `start` on.
fn mark_run(map: &mut [u64], start: u32, count: u32) {
    let (mut at, end) = (start, start + count);
    while at < end {
        let (bit, here) = (at % 64, (64 - at % 64).min(end - at));
        if let Some(bits) = map.get_mut(at as usize / 64) {
            *bits |= (u64::MAX >> (64 - here)) << bit;
        }
        at += here;
    }
}

/// The first bit from `from` on that is set, or is not.
fn next_bit(map: &[u64], from: u32, set: bool) -> Option<u32> {
    let flip = if set { 0 } else { u64::MAX };
    let first = from as usize / 64;
    let mut seen = u64::MAX << (from % 64);
    for (place, bits) in map.iter().enumerate().skip(first) {
        let bits = (bits ^ flip) & std::mem::replace(&mut seen, u64::MAX);
        if bits != 0 {
            return Some(place as u32 * 64 + bits.trailing_zeros());
        }
    }
    None
}

/// A block's size is a function of what is in it; blocks that hold branches start at a multiple of four words.
fn size(words: u32, has_branches: bool) -> u32 {
    match words {
        0..=8 if !has_branches => words,
        0..=64 => words.next_multiple_of(4),
        _ => words.next_multiple_of(16),
    }
}

fn class(size: u32) -> usize {
    (match size {
        0..=8 => size.saturating_sub(1),
        9..=64 => 8 + (size - 12) / 4,
        _ => 22 + (size - 80) / 16,
    }) as usize
}

fn class_size(class: usize) -> u32 {
    let class = class as u32;
    match class {
        0..=7 => class + 1,
        8..=21 => 12 + (class - 8) * 4,
        _ => 80 + (class - 22) * 16,
    }
}

impl Heap {
    /// A region of `bytes`, or the least that works.
    pub(super) fn new(bytes: usize) -> Result<(Arena, Heap), CannotReserve> {
        let words = (bytes / size_of::<u64>()).clamp(2 * SPARE as usize, u32::MAX as usize);
        let arena = Arena::new(words)?;
        // Words 0 to 3 stay zero: the branch that empty roots point to.
        let first = arena.line_start(4);
        let end = first + (words as u32 - first) / 16 * 16;
        let heap = Heap {
            free: [(); 2].map(|()| vec![Vec::new(); CLASSES]),
            first,
            untouched: first,
            upper: end,
            end,
            used_words: 0,
            free_words: 0,
            freed_words: 0,
            made: Vec::new(),
            in_batch: vec![0; words.div_ceil(64)],
            replaced: Vec::new(),
        };
        Ok((arena, heap))
    }

    pub(super) fn used_bytes(&self) -> usize {
        self.used_words * size_of::<u64>()
    }

    /// Bytes that were ever handed out.
    #[cfg(test)]
    pub(super) fn touched_bytes(&self) -> usize {
        (self.untouched - self.first + self.end - self.upper) as usize * size_of::<u64>()
    }

    pub(super) fn is_in_batch(&self, at: u32) -> bool {
        self.in_batch
            .get(at as usize / 64)
            .is_some_and(|bits| bits >> (at % 64) & 1 != 0)
    }

    fn mark(&mut self, at: u32, in_batch: bool) {
        if let Some(bits) = self.in_batch.get_mut(at as usize / 64) {
            *bits = *bits & !(1 << (at % 64)) | u64::from(in_batch) << (at % 64);
        }
    }

    /// Whether blocks of these sizes are alike.
    pub(super) fn same_size(one: (u32, bool), other: (u32, bool)) -> bool {
        size(one.0, one.1) == size(other.0, other.1)
    }

    /// A block for `words` (not 0) words. Removals may also use what is spared for them.
    pub(super) fn make(&mut self, words: u32, has_branches: bool, removal: bool) -> Result<u32, ArenaFull> {
        let size = size(words, has_branches);
        let place = usize::from(size > SMALL);
        let taken = match self.pop(place, class(size)) {
            Some(at) => Some(at),
            None => self
                .cut_loose(place, size)
                .or_else(|| self.take_untouched(size, removal))
                .or_else(|| self.cut(place, size))
                .or_else(|| self.cut(1 - place, size))
                .or_else(|| {
                    let worth = self.freed_words >= self.end as usize / 64;
                    worth.then(|| self.join(|_, _| {}))?;
                    self.cut(place, size).or_else(|| self.cut(1 - place, size))
                }),
        };
        let full = ArenaFull {
            used: self.used_bytes(),
            capacity: self.end as usize * size_of::<u64>(),
        };
        let at = taken.ok_or(full)?;
        self.used_words += size as usize;
        self.made.push(Block { at, words: size });
        self.mark(at, true);
        Ok(at)
    }

    fn pop(&mut self, place: usize, class: usize) -> Option<u32> {
        let at = self.free[place].get_mut(class)?.pop()?;
        self.free_words -= class_size(class) as usize;
        Some(at)
    }

    /// Where more is free than a part of what is used: cuts a larger block, after joining neighbours if enough was freed since the last time.
    fn cut_loose(&mut self, place: usize, size: u32) -> Option<u32> {
        if !self.is_loose() {
            return None;
        }
        let found = self.cut(place, size);
        if found.is_none() && self.freed_words >= self.free_words / 2 {
            self.join(|_, _| {});
            return self.cut(place, size);
        }
        found
    }

    /// More is free than should be left lying about.
    fn is_loose(&self) -> bool {
        self.free_words >= self.used_words / LOOSE + MIN_LOOSE
    }

    fn take_untouched(&mut self, size: u32, removal: bool) -> Option<u32> {
        let spare = if removal { 0 } else { SPARE };
        let room = self.upper - self.untouched;
        if size > SMALL {
            self.upper = (room >= size + spare).then(|| self.upper - size)?;
            return Some(self.upper);
        }
        // Odd sizes come four at a time: the rest stays aligned.
        let pieces = if size.is_multiple_of(4) { 1 } else { 4 };
        let at = (room >= size * pieces + spare).then_some(self.untouched)?;
        self.untouched = at + size * pieces;
        for piece in (1..pieces).rev() {
            self.give_back(at + piece * size, size);
        }
        Some(at)
    }

    /// Takes the start of the smallest free block of a place that is no smaller and starts on a boundary, and frees the rest.
    fn cut(&mut self, place: usize, size: u32) -> Option<u32> {
        let fitting =
            (class(size)..CLASSES).filter(|&class| class_size(class).is_multiple_of(4) || class_size(class) == size);
        let (at, whole) = { fitting }.find_map(|class| Some((self.pop(place, class)?, class_size(class))))?;
        self.give_back_run(at + size, at + whole);
        Some(at)
    }

    /// Frees all from `at` to `end` as blocks: as large as can be, those of whole multiples of four words on a boundary.
    fn give_back_run(&mut self, mut at: u32, end: u32) {
        while at < end {
            let (left, to_boundary) = (end - at, (self.first.wrapping_sub(at)) % 4);
            let piece = match to_boundary {
                0 if left < 4 => left,
                0 => (class(4)..CLASSES)
                    .rev()
                    .map(class_size)
                    .find(|s| s % 4 == 0 && *s <= left)
                    .unwrap_or(4),
                _ => to_boundary.min(left),
            };
            self.give_back(at, piece);
            at += piece;
        }
    }

    /// Joins free neighbours; tells of each free run (first word, and the one behind it).
    fn join(&mut self, mut each: impl FnMut(u32, u32)) {
        (self.freed_words, self.free_words) = (0, 0);
        // A bit for each word of a place that is free.
        let places = [(self.first, self.untouched), (self.upper, self.end)];
        for (place, (first, end)) in places.into_iter().enumerate() {
            let mut map = vec![0_u64; (end - first).div_ceil(64) as usize];
            for (class, free) in self.free[place].iter_mut().enumerate() {
                free.drain(..)
                    .for_each(|at| mark_run(&mut map, at - first, class_size(class)));
            }
            let mut at = 0;
            while let Some(start) = next_bit(&map, at, true) {
                at = next_bit(&map, start, false).map_or(end - first, |at| at.min(end - first));
                each(first + start, first + at);
                self.give_back_run(first + start, first + at);
            }
        }
    }

    fn give_back(&mut self, at: u32, size: u32) {
        let place = usize::from(at >= self.upper);
        if let Some(free) = self.free[place].get_mut(class(size)) {
            free.push(at);
            self.free_words += size as usize;
        }
    }

    fn free(&mut self, block: Block) {
        self.mark(block.at, false);
        self.used_words -= block.words as usize;
        self.freed_words += block.words as usize;
        self.give_back(block.at, block.words);
    }

    /// A block is no longer part of the batch's version: free at once if the batch made it, else kept until released.
    pub(super) fn discard(&mut self, at: u32, words: u32, has_branches: bool) {
        let block = Block {
            at,
            words: size(words, has_branches),
        };
        if words == 0 {
        } else if self.is_in_batch(at) {
            self.free(block);
        } else {
            self.replaced.push(block);
        }
    }

    /// A point to come back to by [`Self::undo_to`], as long as nothing made since is linked or discarded.
    pub(super) fn point(&self) -> usize {
        self.made.len()
    }

    /// Frees what was made since.
    pub(super) fn undo_to(&mut self, point: usize) {
        // Newest first: an older entry for the same place is out of date, and finds its mark gone.
        for block in self.made.drain(point..).rev().collect::<Vec<_>>() {
            if self.is_in_batch(block.at) {
                self.free(block);
            }
        }
    }

    pub(super) fn commit(&mut self) -> Retired {
        let made = std::mem::take(&mut self.made);
        for block in &made {
            self.mark(block.at, false);
        }
        self.reuse(made);
        Retired {
            blocks: std::mem::take(&mut self.replaced),
        }
    }

    pub(super) fn abort(&mut self) {
        self.undo_to(0);
        self.replaced.clear();
    }

    /// Keeps the list's memory for the next batch, unless a bulk load made it huge.
    fn reuse(&mut self, mut made: Vec<Block>) {
        if made.capacity() <= 1 << 16 {
            made.clear();
            self.made = made;
        }
    }

    /// Frees what a batch replaced. If much is free then, tells of each free run (first word, and the one behind it), whose contents nobody needs.
    pub(super) fn release(&mut self, retired: Retired, unneeded: impl FnMut(u32, u32)) {
        for block in retired.blocks {
            self.free(block);
        }
        if self.is_loose() && self.freed_words >= self.free_words / 8 {
            self.join(unneeded);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGEST: u32 = 64 * 4 + 32;

    #[test]
    fn sizes_and_classes_agree() {
        for words in 1..=LARGEST {
            for has_branches in [false, true] {
                let size = size(words, has_branches);
                assert!(size >= words && (!has_branches || size.is_multiple_of(4)));
                assert_eq!(class_size(class(size)), size);
            }
        }
        assert_eq!(class_size(CLASSES - 1), LARGEST);
    }

    #[test]
    fn blocks_never_overlap_and_come_back() {
        let (_, mut heap) = Heap::new(0).unwrap();
        let mut owner = vec![usize::MAX; heap.end as usize];
        let mut blocks = Vec::new();
        let mut full = false;
        // Fill the arena, free all, and fill it again with other sizes, which makes it cut and join.
        for round in 0..4u32 {
            for i in 0.. {
                let words = if round % 2 == 1 { 1 + i % 7 } else { LARGEST - i % 200 };
                let Ok(at) = heap.make(words, round % 2 == 0 && i % 3 == 0, true) else {
                    full = true;
                    break;
                };
                for word in &mut owner[at as usize..(at + words) as usize] {
                    assert_eq!(*word, usize::MAX);
                    *word = blocks.len();
                }
                assert!(
                    round % 2 == 1 || i % 3 != 0 || at % 4 == heap.first % 4,
                    "{at} is off the boundary"
                );
                blocks.push((at, words, round % 2 == 0 && i % 3 == 0));
            }
            assert!(full && !blocks.is_empty());
            for (at, words, has_branches) in blocks.drain(..) {
                owner[at as usize..(at + words) as usize].fill(usize::MAX);
                heap.discard(at, words, has_branches);
            }
            assert_eq!(heap.used_bytes(), 0);
        }
    }

    #[test]
    fn abort_frees_what_the_batch_made_and_only_that() {
        let (_, mut heap) = Heap::new(0).unwrap();
        let kept = heap.make(5, false, false).unwrap();
        assert!(heap.commit().is_empty());
        let used = heap.used_bytes();
        let made = heap.make(5, false, false).unwrap();
        heap.discard(made, 5, false);
        assert_eq!(heap.make(5, false, false).unwrap(), made);
        heap.discard(kept, 5, false);
        heap.abort();
        assert_eq!(heap.used_bytes(), used);
        assert_ne!(heap.make(5, false, false).unwrap(), kept);
        heap.discard(kept, 5, false);
        let retired = heap.commit();
        assert!(!retired.is_empty());
        heap.release(retired, |_, _| {});
        assert_eq!(heap.make(5, false, false).unwrap(), kept);
    }
}
