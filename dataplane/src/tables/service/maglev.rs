//! Maglev's table (Eisenbud and others, NSDI 2016): which backend a hash belongs to, evenly, by weight, and mostly the same after backends
//! come and go. Made from the backends' addresses, ports and weights alone: every node that knows the same backends, in whatever order, has
//! the same table.

use std::net::IpAddr;

/// Slots of a table: a prime, a hundred times as many as backends that still share within one per cent.
pub const SLOTS: usize = 65_537;

const FREE: u16 = u16::MAX;

/// One that gets slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Address of the backend.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// Its share.
    pub weight: u8,
    /// What the table shall say for it: its place in a list. Below 65,535.
    pub position: u16,
}

/// A table of [`SLOTS`] positions.
pub struct Maglev {
    members: Box<[Member]>,
    slots: Box<[u16]>,
}

impl std::fmt::Debug for Maglev {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Maglev")
            .field("members", &self.members)
            .finish_non_exhaustive()
    }
}

/// Whose turn it is, and which slot it would like next.
struct Turn {
    next: usize,
    step: usize,
    weight: u64,
    taken: u64,
    position: u16,
}

impl Turn {
    fn new(member: &Member) -> Self {
        let hash = identity_hash(member.address, member.port);
        let (first, second) = (mix(hash), mix(hash ^ 0x6a09_e667_f3bc_c908));
        Self {
            next: (first % SLOTS as u64) as usize,
            // The number of slots is prime: any step comes by all of them.
            step: (second % (SLOTS as u64 - 1)) as usize + 1,
            weight: u64::from(member.weight.max(1)),
            taken: 0,
            position: member.position,
        }
    }

    fn advance(&mut self) {
        self.next += self.step;
        if self.next >= SLOTS {
            self.next -= SLOTS;
        }
    }
}

impl Maglev {
    /// Fills a table. `None` without members. A weight of 0 counts as 1.
    pub fn build(members: &[Member]) -> Option<Self> {
        let mut ordered: Vec<_> = members.iter().collect();
        // The order of the list must not matter, and one that goes must not change the order of the others.
        ordered.sort_by_key(|member| (identity_hash(member.address, member.port), member.address, member.port));
        let mut turns: Vec<_> = ordered.into_iter().map(Turn::new).collect();
        let heaviest = turns.iter().map(|turn| turn.weight).max()?;
        let mut slots = vec![FREE; SLOTS].into_boxed_slice();
        let mut left = SLOTS;
        // In round r, whoever has weight w has taken r * w / heaviest slots, rounded up: the heaviest take one in every round.
        'rounds: for round in 1_u64.. {
            for turn in &mut turns {
                if turn.taken * heaviest >= round * turn.weight {
                    continue;
                }
                while slots[turn.next] != FREE {
                    turn.advance();
                }
                slots[turn.next] = turn.position;
                turn.taken += 1;
                left -= 1;
                if left == 0 {
                    break 'rounds;
                }
            }
        }
        Some(Self {
            members: members.into(),
            slots,
        })
    }

    /// Made of these members, at these positions.
    pub fn is_of(&self, members: &[Member]) -> bool {
        *self.members == *members
    }

    /// The position for a hash that is well mixed in its upper bits.
    #[inline]
    pub fn pick(&self, hash: u64) -> Option<u16> {
        let slot = (u128::from(hash) * SLOTS as u128) >> 64;
        self.slots.get(slot as usize).copied()
    }

    /// All slots.
    pub fn slots(&self) -> &[u16] {
        &self.slots
    }
}

/// A number for an address and a port, the same on all nodes and in all versions: tables are made of it.
pub(super) fn identity_hash(address: IpAddr, port: u16) -> u64 {
    let (high, low, family) = match address {
        IpAddr::V4(address) => (0, u64::from(address.to_bits()), 4),
        IpAddr::V6(address) => ((address.to_bits() >> 64) as u64, address.to_bits() as u64, 6),
    };
    let ends = mix(high.wrapping_add(0x9e37_79b9_7f4a_7c15)) ^ low;
    mix(mix(ends) ^ (u64::from(port) << 8 | family))
}

/// Finalizer of splitmix64 (Steele and others, 2014): every bit of the answer depends on every bit of the word.
fn mix(mut word: u64) -> u64 {
    word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn members(count: u16, weight: impl Fn(u16) -> u8) -> Vec<Member> {
        let address = |n: u16| match n % 2 {
            0 => IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + u32::from(n))),
            _ => IpAddr::V6(Ipv6Addr::from((0xfd00_u128 << 112) + u128::from(n))),
        };
        let member = |n| Member {
            address: address(n),
            port: 8080,
            weight: weight(n),
            position: n,
        };
        (0..count).map(member).collect()
    }

    fn shares(table: &Maglev, count: u16) -> Vec<f64> {
        let mut shares = vec![0.0; usize::from(count)];
        for slot in table.slots() {
            shares[usize::from(*slot)] += 1.0;
        }
        shares
    }

    #[test]
    fn equal_backends_share_within_one_per_cent() {
        for count in [1, 2, 3, 10, 100, 600] {
            let table = Maglev::build(&members(count, |_| 1)).unwrap();
            let even = SLOTS as f64 / f64::from(count);
            for share in shares(&table, count) {
                let off = (share / even - 1.0).abs();
                assert!(off <= 0.01, "{count} backends: one has {share} slots of {even}");
            }
        }
    }

    #[test]
    fn weights_share_within_one_per_cent() {
        let table = Maglev::build(&members(10, |n| [1, 2, 3, 10, 20, 0][usize::from(n) % 6])).unwrap();
        let weights: Vec<f64> = (0..10).map(|n| [1.0, 2.0, 3.0, 10.0, 20.0, 1.0][n % 6]).collect();
        let sum: f64 = weights.iter().sum();
        for (share, weight) in shares(&table, 10).iter().zip(&weights) {
            let even = SLOTS as f64 * weight / sum;
            assert!((share / even - 1.0).abs() <= 0.01, "{share} slots of {even}");
        }
    }

    /// What changes hands between two that are in both tables: as few as the paper measured, and all that belonged to the one that went.
    #[test]
    fn one_that_goes_moves_few_others() {
        for (count, most) in [(3, 0.01), (10, 0.02), (100, 0.03)] {
            let all = members(count, |_| 1);
            let before = Maglev::build(&all).unwrap();
            let mut worst = 0.0_f64;
            for gone in [0, count / 2, count - 1] {
                let rest: Vec<_> = all.iter().copied().filter(|m| m.position != gone).collect();
                let after = Maglev::build(&rest).unwrap();
                let both = before.slots().iter().zip(after.slots());
                let moved = both.filter(|(old, new)| **old != gone && old != new).count();
                worst = worst.max(moved as f64 / SLOTS as f64);
            }
            println!(
                "{count} backends, one gone: {:.3} % of the others' flows move",
                worst * 100.0
            );
            assert!(worst <= most, "{count} backends: {worst} of the slots moved");
        }
    }

    #[test]
    fn the_order_of_backends_does_not_matter() {
        let (list, mut turned) = (members(17, |n| n as u8 + 1), members(17, |n| n as u8 + 1));
        turned.reverse();
        turned.swap(3, 9);
        let (a, b) = (Maglev::build(&list).unwrap(), Maglev::build(&turned).unwrap());
        assert!(a.slots() == b.slots());
        assert!(a.is_of(&list) && !a.is_of(&turned));
    }

    /// Nodes of different versions must agree: these numbers may never change.
    #[test]
    fn tables_are_the_same_for_ever() {
        let four = identity_hash("10.0.0.1".parse().unwrap(), 80);
        let six = identity_hash("fd00::1".parse().unwrap(), 80);
        let table = Maglev::build(&members(5, |_| 1)).unwrap();
        let start: Vec<_> = table.slots().iter().take(12).copied().collect();
        assert_eq!((four, six), (14_277_422_699_093_330_260, 4_405_590_759_194_405_382));
        assert_eq!(start, [3, 0, 0, 2, 1, 1, 1, 2, 3, 1, 0, 2]);
    }

    #[test]
    fn nobody_gets_nothing() {
        assert!(Maglev::build(&[]).is_none());
    }
}
