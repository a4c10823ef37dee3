//! Numbers for what has none: made of what it is, so that they stay while other things come and go.

use std::collections::{BTreeMap, BTreeSet};

/// Gives each of `names` a number of `first..first + count`: the name's hash, or the next free number where two hashes meet. The same set gets
/// the same numbers, always and everywhere; a name keeps its number when the set changes, but for the rare case of such a meeting.
pub(super) fn numbers(names: &BTreeSet<String>, first: u32, count: u32) -> BTreeMap<String, u32> {
    let mut taken = BTreeSet::new();
    let mut given = BTreeMap::new();
    for name in names.iter().take(count as usize) {
        let mut offset = u32::try_from(hash(name) % u64::from(count)).unwrap_or(0);
        while !taken.insert(offset) {
            offset = (offset + 1) % count;
        }
        given.insert(name.clone(), first + offset);
    }
    given
}

/// FNV-1a of 64 bits, with its halves mixed.
fn hash(text: &str) -> u64 {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash ^ (hash >> 29)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(range: std::ops::Range<u32>) -> BTreeSet<String> {
        range.map(|n| format!("name {n}")).collect()
    }

    #[test]
    fn names_keep_their_numbers_while_others_come() {
        let few = numbers(&set(0..100), 1, u32::MAX - 1);
        let many = numbers(&set(0..1000), 1, u32::MAX - 1);
        assert_eq!(few.len(), 100);
        assert!(few.iter().all(|(name, number)| many[name] == *number));
    }

    #[test]
    fn a_range_can_be_used_up_and_no_number_is_given_twice() {
        let all = numbers(&set(0..70), 10, 64);
        let used: BTreeSet<u32> = all.values().copied().collect();
        assert_eq!(used, (10..74).collect());
    }
}
