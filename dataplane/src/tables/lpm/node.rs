//! How a node lies in memory. Nothing here allocates or walks.
//!
//! A branch is four words (32 bytes, never across a cache line): three bitmaps, the block of what hangs below it, and a path
//! that every address below it has first ("skip"). It covers six bits:
//! - `internal`: the prefixes that end within it. Bit `1 << len | bits` stands for the prefix of `len` (0 to 5) bits, so that of
//!   all prefixes that match an address the highest bit is the longest.
//! - `branches`, `leaves`: which of the 64 children exist, as a branch or as a leaf: a lone prefix, with the rest of its bits.
//!
//! Its block holds, in this order: the child branches, the leaves (one word each), the values (half words). An IPv4 leaf is its
//! suffix in the upper half of the word and its value in the lower. An IPv6 leaf's suffix takes the whole word; its value
//! stands in the value array, which the leaves' values head. A suffix is coded as its bits, then a one, then zeros.

use super::address::family::Family;

/// Bits that one node decides.
pub(super) const STRIDE: u32 = 6;
/// Words of a branch.
pub(super) const BRANCH_WORDS: u32 = 4;
/// Longest path that a branch can skip, in bits. A multiple of the stride: all branches stay on stride boundaries, so that a
/// path can be cut anywhere a new prefix leaves it.
pub(super) const SKIP_MAX: u32 = 30;

/// Which bits of `internal` match the six bits `index`.
pub(super) static COVERING: [u64; 64] = covering();

const fn covering() -> [u64; 64] {
    let mut table = [0; 64];
    let mut index = 0;
    while index < 64 {
        let mut len = 0;
        while len < STRIDE {
            table[index] |= 1 << ((1 << len) | (index >> (STRIDE - len)));
            len += 1;
        }
        index += 1;
    }
    table
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Branch {
    pub(super) internal: u64,
    pub(super) branches: u64,
    pub(super) leaves: u64,
    /// The block below; 0 where there is none.
    pub(super) base: u32,
    /// A one, then the bits of the skipped path: 1 where nothing is skipped.
    pub(super) skip: u32,
}

/// How many bits of `map` are set below bit `index` (0 to 63).
#[inline(always)]
pub(super) fn rank(map: u64, index: u32) -> u32 {
    (map & ((1 << index) - 1)).count_ones()
}

impl Branch {
    pub(super) const EMPTY: Branch = Branch {
        internal: 0,
        branches: 0,
        leaves: 0,
        base: 0,
        skip: 1,
    };

    #[inline(always)]
    pub(super) fn from_words([internal, branches, leaves, rest]: [u64; 4]) -> Self {
        Branch {
            internal,
            branches,
            leaves,
            base: rest as u32,
            skip: (rest >> 32) as u32,
        }
    }

    pub(super) fn to_words(self) -> [u64; 4] {
        [
            self.internal,
            self.branches,
            self.leaves,
            u64::from(self.skip) << 32 | u64::from(self.base),
        ]
    }

    /// Words that the block below needs.
    pub(super) fn block_words<A: Family>(&self) -> u32 {
        let leaves = self.leaves.count_ones();
        let halves = self.internal.count_ones() + if A::APART { leaves } else { 0 };
        self.branches.count_ones() * BRANCH_WORDS + leaves + halves.div_ceil(2)
    }

    #[inline(always)]
    pub(super) fn branch_at(&self, index: u32) -> u32 {
        self.base.wrapping_add(rank(self.branches, index) * BRANCH_WORDS)
    }

    /// First leaf.
    #[inline(always)]
    fn leaves_at(&self) -> u32 {
        self.base.wrapping_add(self.branches.count_ones() * BRANCH_WORDS)
    }

    #[inline(always)]
    pub(super) fn leaf_at(&self, index: u32) -> u32 {
        self.leaves_at().wrapping_add(rank(self.leaves, index))
    }

    /// First half word of the values.
    #[inline(always)]
    pub(super) fn values_half(&self) -> u64 {
        u64::from(self.leaves_at().wrapping_add(self.leaves.count_ones())) * 2
    }

    /// The half word with the value of a leaf that stands apart.
    #[inline(always)]
    pub(super) fn leaf_value_half(&self, index: u32) -> u64 {
        self.values_half() + u64::from(rank(self.leaves, index))
    }

    /// The half word with the value of the internal prefix at bit `position` of the bitmap.
    #[inline(always)]
    pub(super) fn value_half<A: Family>(&self, position: u32) -> u64 {
        let before = if A::APART { self.leaves.count_ones() } else { 0 };
        self.values_half() + u64::from(before + rank(self.internal, position))
    }

    pub(super) fn skip_len(&self) -> u32 {
        self.skip.checked_ilog2().unwrap_or(0)
    }

    /// The skipped path, from the highest bit.
    pub(super) fn skip_path(&self) -> u64 {
        (u64::from(self.skip) << 32 << self.skip.leading_zeros()) << 1
    }

    /// Sets the skipped path: `len` bits (a multiple of the stride, at most [`SKIP_MAX`]) from the top of `path`.
    pub(super) fn set_skip(&mut self, path: u64, len: u32) {
        self.skip = 1 << len | path.checked_shr(64 - len).unwrap_or(0) as u32;
    }

    /// Whether the branch skips something that `window` does not start with, and how much it skips.
    #[inline(always)]
    pub(super) fn skips(&self, window: u64) -> (bool, u32) {
        let len = 31 - (self.skip | 1).leading_zeros();
        // Two shifts: one by 64 is not defined.
        let path = ((window >> 32 >> (32 - len)) as u32) | 1 << len;
        (path == self.skip, len)
    }
}

/// The position in `internal` of the prefix of `len` bits (0 to 5) at the top of `window`.
pub(super) fn position(window: u64, len: u32) -> u32 {
    1 << len | window.checked_shr(64 - len).unwrap_or(0) as u32
}

/// Codes the `len` (at most 63) bits at the top of `window` as the suffix of a leaf.
pub(super) fn suffix(window: u64, len: u32) -> u64 {
    let end = 1 << (63 - len);
    window & !(end | (end - 1)) | end
}

/// Whether an address that goes on with `window` has the coded suffix.
#[inline(always)]
pub(super) fn suffix_matches(suffix: u64, window: u64) -> bool {
    // The bits from the end mark down do not count.
    let beyond = suffix ^ suffix.wrapping_sub(1);
    (suffix ^ window) & !beyond == 0
}

/// The bits of a coded suffix and their number.
pub(super) fn suffix_parts(suffix: u64) -> (u64, u32) {
    (suffix & suffix.wrapping_sub(1), 63 - suffix.trailing_zeros().min(63))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_keep_bits_and_length() {
        for len in [0, 1, 5, 26, 31, 62, 63] {
            let bits = 0xa5a5_5a5a_1234_9876u64;
            let kept = if len == 0 { 0 } else { bits >> (64 - len) << (64 - len) };
            let coded = suffix(bits, len);
            assert_eq!(suffix_parts(coded), (kept, len));
            assert!(suffix_matches(coded, bits));
            assert!(suffix_matches(coded, bits ^ 1));
            assert_eq!(suffix_matches(coded, bits ^ 1 << 63), len == 0);
        }
    }

    #[test]
    fn skips_keep_bits_and_length() {
        let path = 0xdead_beef_0000_0000u64;
        for len in [0, 6, 12, 30] {
            let mut branch = Branch::EMPTY;
            branch.set_skip(path, len);
            assert_eq!(branch.skip_len(), len);
            assert_eq!(
                branch.skip_path(),
                if len == 0 { 0 } else { path >> (64 - len) << (64 - len) }
            );
            assert_eq!(branch.skips(path), (true, len));
            assert_eq!(branch.skips(path ^ 1 << 63), (len == 0, len));
        }
    }

    #[test]
    fn longest_prefix_is_the_highest_covering_bit() {
        assert_eq!(COVERING[0], 1 << 1 | 1 << 2 | 1 << 4 | 1 << 8 | 1 << 16 | 1 << 32);
        assert_eq!(COVERING[63], 1 << 1 | 1 << 3 | 1 << 7 | 1 << 15 | 1 << 31 | 1 << 63);
        assert_eq!(position(0, 0), 1);
        assert_eq!(position(u64::MAX, 5), 63);
    }
}
