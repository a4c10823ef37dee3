//! Which blocks are free: a bit for each, in whole words per address.

use super::super::{
    memory::{Slab, TableError},
    sync::{AtomicU32, AtomicU64, Ordering},
};

/// The bits, and where to begin to look for one.
pub(super) struct FreeBlocks {
    /// Blocks of an address.
    per_address: usize,
    taken: Slab<AtomicU64>,
    /// The block of each address behind that given last, so that blocks rest before they are used again.
    cursors: Box<[AtomicU32]>,
}

impl FreeBlocks {
    /// All free.
    pub(super) fn new(addresses: usize, per_address: usize) -> Result<Self, TableError> {
        Ok(Self {
            per_address,
            taken: Slab::new(per_address.div_ceil(64) * addresses)?,
            cursors: (0..addresses).map(|_| AtomicU32::new(0)).collect(),
        })
    }

    /// Takes a block of an address.
    pub(super) fn take(&self, address: usize) -> Option<usize> {
        let words = self.per_address.div_ceil(64);
        let cursor = self.cursors.get(address)?;
        let start = cursor.load(Ordering::Relaxed) as usize % self.per_address;
        // The first word twice: from the start on, and at the end what is before it.
        for step in 0..=words {
            let word = (start / 64 + step) % words;
            let there = match word {
                last if last == words - 1 => u64::MAX >> (words * 64 - self.per_address),
                _ => u64::MAX,
            };
            let wanted = if step == 0 {
                there & u64::MAX << (start % 64)
            } else {
                there
            };
            let bits = &self.taken[address * words + word];
            loop {
                let free = !bits.load(Ordering::Relaxed) & wanted;
                if free == 0 {
                    break;
                }
                let bit = free & free.wrapping_neg();
                if bits.fetch_or(bit, Ordering::AcqRel) & bit == 0 {
                    let block = word * 64 + bit.trailing_zeros() as usize;
                    cursor.store(block as u32 + 1, Ordering::Relaxed);
                    return Some(address * self.per_address + block);
                }
            }
        }
        None
    }

    /// Takes this very block. `false`: it is taken.
    pub(super) fn take_this(&self, block: usize) -> bool {
        let (word, bit) = self.bit(block);
        self.taken[word].fetch_or(bit, Ordering::AcqRel) & bit == 0
    }

    /// Gives a block back.
    pub(super) fn give(&self, block: usize) {
        let (word, bit) = self.bit(block);
        self.taken[word].fetch_and(!bit, Ordering::AcqRel);
    }

    /// Where a block's bit is: word and bit.
    fn bit(&self, block: usize) -> (usize, u64) {
        let (address, block) = (block / self.per_address, block % self.per_address);
        (address * self.per_address.div_ceil(64) + block / 64, 1 << (block % 64))
    }
}

#[cfg(test)]
#[cfg(not(vrouter_loom))]
mod tests {
    use super::*;

    #[test]
    fn all_blocks_of_an_address_are_given_once_and_rest_before_they_are_given_again() {
        for per_address in [1, 5, 63, 64, 65, 128, 1008] {
            let free = FreeBlocks::new(3, per_address).unwrap();
            let all: Vec<_> = std::iter::from_fn(|| free.take(1)).collect();
            assert!(all.iter().copied().eq(per_address..2 * per_address));
            assert!(!free.take_this(per_address) && free.take_this(2 * per_address));
            free.give(per_address);
            assert_eq!(free.take(1), Some(per_address));
            assert_eq!(free.take(2), (per_address > 1).then_some(2 * per_address + 1));
        }
        let free = FreeBlocks::new(1, 100).unwrap();
        assert_eq!(free.take(0), Some(0));
        free.give(0);
        assert!((1..100).all(|block| free.take(0) == Some(block)));
        assert_eq!(free.take(0), Some(0));
        assert_eq!(free.take(1), None, "there is no such address");
    }
}
