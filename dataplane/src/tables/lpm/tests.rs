//! The trie against a naive table: a list of prefixes, searched from end to end.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::*;

/// What the trie must agree with.
#[derive(Clone)]
struct Naive<A>(BTreeMap<Prefix<A>, u32>);

impl<A: Address> Naive<A> {
    fn new() -> Self {
        Naive(BTreeMap::new())
    }

    fn lookup(&self, address: A) -> Option<u32> {
        let matching = self.0.iter().filter(|(prefix, _)| prefix.contains(address));
        matching
            .max_by_key(|(prefix, _)| prefix.length())
            .map(|(_, &value)| value)
    }

    /// The root holds exactly these routes, by every way of reading.
    fn check(&self, arena: &Arena, root: Root<A>, probes: &[A]) {
        assert!(
            arena
                .iter(root)
                .eq(self.0.iter().map(|(&prefix, &value)| (prefix, value))),
            "iteration differs"
        );
        assert_eq!(arena.count(root), self.0.len());
        assert_eq!(root.is_empty(), self.0.is_empty());
        let edges = self.0.keys().flat_map(|prefix| {
            let first = prefix.address().widen();
            let last = first | u128::MAX.checked_shr(u32::from(prefix.length())).unwrap_or(0);
            let around = [
                first,
                last,
                first.wrapping_sub(1 << (128 - A::BITS)),
                last.wrapping_add(1),
            ];
            around.map(A::narrow)
        });
        let addresses: Vec<A> = probes.iter().copied().chain(edges).collect();
        for address in addresses {
            let expected = self.lookup(address);
            assert_eq!(
                arena.lookup(root, address),
                expected,
                "lookup of {}",
                A::Display::from(address)
            );
        }
        for (&prefix, &value) in &self.0 {
            assert_eq!(arena.get(root, prefix), Some(value));
        }
    }
}

/// A small generator, so that a case is one number.
#[derive(Clone)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Addresses that share beginnings of many lengths: few random bits in few places.
    fn address<A: Address>(&mut self) -> A {
        let random = u128::from(self.next()) << 64 | u128::from(self.next());
        let places = match self.below(4) {
            0 => u128::MAX,
            1 => 0x8000_0001_0000_0000_0000_0000_0000_0003,
            2 => 0x00c0_0180_0000_0001_0000_8000_0000_0000,
            _ => 0xf000_003f_f000_0000_0000_0003_8000_0007,
        };
        A::narrow(random & places)
    }

    fn prefix<A: Address>(&mut self) -> Prefix<A> {
        let bits = u64::from(A::BITS);
        let length = match self.below(4) {
            0 => bits,
            1 => self.below(4),
            _ => self.below(bits + 1),
        };
        Prefix::containing(self.address(), length as u8).unwrap()
    }

    fn probes<A: Address>(&mut self) -> Vec<A> {
        (0..40).map(|_| self.address()).collect()
    }
}

/// Batches of random changes, some aborted; every version that was kept stays what it was until it is released.
fn churn<A: Address>(seed: u64, batches: usize, changes: u64) {
    let mut random = Random(seed);
    let mut writer = LpmWriter::new(1 << 20).unwrap();
    let arena = Arc::clone(writer.arena());
    let mut current: (Root<A>, Naive<A>) = (Root::EMPTY, Naive::new());
    let mut snapshots = Vec::new();
    for _ in 0..batches {
        let (mut root, mut naive) = current.clone();
        for _ in 0..random.below(changes) {
            let known = naive
                .0
                .keys()
                .nth(random.below(1 + naive.0.len() as u64) as usize)
                .copied();
            match random.below(12) {
                0..=5 => {
                    let (prefix, value) = (random.prefix(), random.next() as u32);
                    assert_eq!(
                        writer.insert(&mut root, prefix, value),
                        Ok(naive.0.insert(prefix, value))
                    );
                }
                6 => {
                    let prefix = known.unwrap_or_else(|| random.prefix());
                    let value = random.below(2) as u32;
                    assert_eq!(
                        writer.insert(&mut root, prefix, value),
                        Ok(naive.0.insert(prefix, value))
                    );
                }
                7..=10 => {
                    let prefix = known.unwrap_or_else(|| random.prefix());
                    assert_eq!(writer.remove(&mut root, prefix), Ok(naive.0.remove(&prefix)));
                }
                _ if random.below(20) == 0 => {
                    writer.clear(&mut root);
                    naive.0.clear();
                }
                _ => {
                    let prefix = random.prefix();
                    assert_eq!(writer.remove(&mut root, prefix), Ok(naive.0.remove(&prefix)));
                }
            }
        }
        let probes = random.probes();
        naive.check(&arena, root, &probes);
        if random.below(4) == 0 {
            let (used, retired) = (writer.bytes_used(), snapshots.len());
            writer.abort();
            assert!(writer.bytes_used() <= used && snapshots.len() == retired);
        } else {
            let retired = writer.commit();
            snapshots.push((std::mem::replace(&mut current, (root, naive)), retired));
        }
        if snapshots.len() > 3 {
            writer.release(snapshots.remove(0).1);
        }
        for ((root, naive), _) in &snapshots {
            naive.check(&arena, *root, &probes);
        }
        current.1.check(&arena, current.0, &probes);
    }
    writer.clear(&mut current.0);
    snapshots.push((current, writer.commit()));
    for (_, retired) in snapshots {
        writer.release(retired);
    }
    assert_eq!(writer.bytes_used(), 0, "blocks were lost");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn ipv4_agrees_with_the_naive_table(seed: u64) {
        churn::<u32>(seed, 20, 60);
    }

    #[test]
    fn ipv6_agrees_with_the_naive_table(seed: u64) {
        churn::<u128>(seed, 20, 60);
    }
}

fn v4(text: &str) -> Prefix<u32> {
    let (address, length) = text.split_once('/').unwrap();
    Prefix::new(
        address.parse::<std::net::Ipv4Addr>().unwrap().into(),
        length.parse().unwrap(),
    )
    .unwrap()
}

fn v6(text: &str) -> Prefix<u128> {
    let (address, length) = text.split_once('/').unwrap();
    Prefix::new(
        address.parse::<std::net::Ipv6Addr>().unwrap().into(),
        length.parse().unwrap(),
    )
    .unwrap()
}

#[test]
fn longest_prefix_wins_and_the_default_route_catches_the_rest() {
    let mut writer = LpmWriter::new(0).unwrap();
    let mut root = Root4::EMPTY;
    for (value, prefix) in [
        "0.0.0.0/0",
        "10.0.0.0/8",
        "10.1.0.0/16",
        "10.1.2.0/24",
        "10.1.2.3/32",
        "255.255.255.255/32",
    ]
    .iter()
    .enumerate()
    {
        assert_eq!(writer.insert(&mut root, v4(prefix), value as u32), Ok(None));
    }
    let arena = writer.arena();
    let look = |address: &str| arena.lookup(root, u32::from(address.parse::<std::net::Ipv4Addr>().unwrap()));
    assert_eq!(look("11.0.0.1"), Some(0));
    assert_eq!(look("10.2.0.1"), Some(1));
    assert_eq!(look("10.1.3.1"), Some(2));
    assert_eq!(look("10.1.2.4"), Some(3));
    assert_eq!(look("10.1.2.3"), Some(4));
    assert_eq!(look("255.255.255.255"), Some(5));
    assert_eq!(look("255.255.255.254"), Some(0));
    assert_eq!(arena.get(root, v4("10.1.2.0/25")), None);
    assert_eq!(arena.lookup(Root4::EMPTY, 0), None);
    let listed: Vec<_> = arena.iter(root).map(|(prefix, _)| prefix.to_string()).collect();
    assert_eq!(listed[0..3], ["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16"]);
    assert_eq!(writer.insert(&mut root, v4("10.1.2.3/32"), 9), Ok(Some(4)));
    assert_eq!(writer.remove(&mut root, v4("0.0.0.0/0")), Ok(Some(0)));
    assert_eq!(writer.arena().lookup(root, 0x0b00_0001), None);
    assert_eq!(writer.remove(&mut root, v4("0.0.0.0/0")), Ok(None));
}

#[test]
fn ipv6_hosts_deep_below_one_subnet_take_few_nodes() {
    let mut writer = LpmWriter::new(0).unwrap();
    let mut root = Root6::EMPTY;
    writer.insert(&mut root, v6("::/0"), 0).unwrap();
    writer.insert(&mut root, v6("2001:db8::/32"), 1).unwrap();
    writer.insert(&mut root, v6("2001:db8:1:2::/64"), 2).unwrap();
    for host in 0..8u32 {
        let address = 0x2001_0db8_0001_0002_0000_0000_0000_0000 | u128::from(host);
        writer
            .insert(&mut root, Prefix::new(address, 128).unwrap(), 100 + host)
            .unwrap();
    }
    let host = 0x2001_0db8_0001_0002_0000_0000_0000_0005u128;
    assert_eq!(writer.arena().lookup(root, host), Some(105));
    assert_eq!(writer.arena().lookup(root, host | 1 << 63), Some(2));
    assert_eq!(writer.arena().lookup(root, host ^ 1 << 64), Some(1));
    assert_eq!(writer.arena().lookup(root, host ^ 1 << 127), Some(0));
    assert!(writer.bytes_used() < 600, "{} bytes", writer.bytes_used());
}

#[test]
fn a_few_routes_take_little_memory() {
    let mut writer = LpmWriter::new(0).unwrap();
    let mut root = Root4::EMPTY;
    for prefix in ["0.0.0.0/0", "10.0.0.0/24", "10.0.0.5/32"] {
        writer.insert(&mut root, v4(prefix), 1).unwrap();
    }
    assert!(writer.bytes_used() <= 128, "{} bytes", writer.bytes_used());
}

#[test]
fn released_blocks_are_used_again() {
    let mut writer = LpmWriter::new(0).unwrap();
    let mut root = Root4::EMPTY;
    // Many times what the arena holds, were nothing reused.
    for round in 0..20_000u32 {
        for i in 0..8 {
            writer
                .insert(&mut root, Prefix::containing(i << 29 | i << 10, 24).unwrap(), round)
                .unwrap();
        }
        let retired = writer.commit();
        writer.release(retired);
    }
    assert!(writer.bytes_used() < 2048);
}

fn fill<A: Address>(
    writer: &mut LpmWriter,
    root: &mut Root<A>,
    random: &mut Random,
    naive: &mut Naive<A>,
) -> ArenaFull {
    loop {
        let (prefix, value) = (random.prefix(), random.next() as u32);
        match writer.insert(root, prefix, value) {
            Ok(old) => assert_eq!(naive.0.insert(prefix, value), old),
            Err(full) => return full,
        }
    }
}

#[test]
fn a_full_arena_loses_nothing_and_can_be_emptied() {
    let mut writer = LpmWriter::new(0).unwrap();
    let arena = Arc::clone(writer.arena());
    let (mut root, mut naive, mut random) = (Root6::EMPTY, Naive::new(), Random(7));
    for _ in 0..100 {
        let (prefix, value) = (random.prefix(), random.next() as u32);
        assert_eq!(
            writer.insert(&mut root, prefix, value),
            Ok(naive.0.insert(prefix, value))
        );
    }
    assert!(writer.commit().is_empty());
    let (before, naive_before, used) = (root, naive.clone(), writer.bytes_used());

    let full = fill(&mut writer, &mut root, &mut random, &mut naive);
    assert!(full.used <= full.capacity);
    naive.check(&arena, root, &[]);
    writer.abort();
    assert_eq!(writer.bytes_used(), used);
    naive_before.check(&arena, before, &[]);

    let (mut root, mut naive) = (before, naive_before);
    fill(&mut writer, &mut root, &mut random, &mut naive);
    let retired = writer.commit();
    writer.release(retired);
    naive.check(&arena, root, &[]);
    for prefix in naive.0.keys() {
        assert!(
            matches!(writer.remove(&mut root, *prefix), Ok(Some(_))),
            "no room to remove {prefix}"
        );
        let retired = writer.commit();
        writer.release(retired);
    }
    assert!(root.is_empty());
    assert_eq!(writer.bytes_used(), 0);
}

#[test]
fn stale_and_foreign_roots_do_no_harm() {
    let mut writer = LpmWriter::new(0).unwrap();
    let (mut root, mut random) = (Root6::EMPTY, Random(3));
    fill(&mut writer, &mut root, &mut random, &mut Naive::new());
    let arena = writer.arena();
    for at in (0..20_000).chain([u32::MAX, u32::MAX - 3]) {
        let address: u128 = random.address();
        let _ = arena.lookup(Root6::at(at), address);
        let _ = arena.lookup(Root4::at(at), address as u32);
        let _ = arena.get(Root6::at(at), random.prefix());
    }
}

/// Every version carries one value on all its routes: a reader that saw two versions at once would see two values.
#[test]
fn readers_see_one_version_while_the_writer_churns() {
    struct Snapshot {
        root: Root4,
        version: u32,
    }
    let mut writer = LpmWriter::new(4 << 20).unwrap();
    let arena = Arc::clone(writer.arena());
    let published = Mutex::new(Arc::new(Snapshot {
        root: Root::EMPTY,
        version: 0,
    }));
    let done = AtomicBool::new(false);
    let prefixes: Vec<Prefix<u32>> = (0..200)
        .map(|i| Prefix::containing(i * 0x0101_3001, 8 + (i % 25) as u8).unwrap())
        .collect();
    std::thread::scope(|scope| {
        for seed in 0..2 {
            let (published, done, arena, prefixes) = (&published, &done, &arena, &prefixes);
            scope.spawn(move || {
                let mut random = Random(seed);
                let mut seen = 0;
                while !done.load(Ordering::Relaxed) {
                    let snapshot = Arc::clone(&published.lock().unwrap());
                    assert!(snapshot.version >= seen);
                    seen = snapshot.version;
                    if snapshot.version == 0 {
                        continue;
                    }
                    let addresses: Vec<_> = (0..64)
                        .map(|_| prefixes[random.below(200) as usize].address())
                        .collect();
                    assert!(
                        addresses
                            .iter()
                            .all(|&a| arena.lookup(snapshot.root, a) == Some(snapshot.version))
                    );
                }
            });
        }
        let (mut root, mut waiting) = (Root4::EMPTY, Vec::new());
        for version in 1..400 {
            if version % 50 == 0 {
                writer.clear(&mut root);
            }
            for prefix in &prefixes {
                writer.insert(&mut root, *prefix, version).unwrap();
            }
            let retired = writer.commit();
            let old = std::mem::replace(&mut *published.lock().unwrap(), Arc::new(Snapshot { root, version }));
            waiting.push((old, retired));
            // The oldest first: later ones may share blocks with it, never the other way round.
            while let Some((oldest, _)) = waiting.first() {
                if Arc::strong_count(oldest) > 1 {
                    break;
                }
                // Pairs with the reader's release of its reference.
                std::sync::atomic::fence(Ordering::Acquire);
                writer.release(waiting.remove(0).1);
            }
        }
        done.store(true, Ordering::Relaxed);
    });
}

/// Loads so many random routes in batches of a hundredth; bytes touched for each byte in use at the end.
fn spread<A: Address + Copy>(random: impl Fn(u64) -> (A, u8)) -> f64 {
    const ROUTES: u64 = 100_000;
    let mut writer = LpmWriter::new(1 << 28).unwrap();
    let mut root = Root::<A>::EMPTY;
    for batch in 0..100 {
        for n in 0..ROUTES / 100 {
            let number = (batch * ROUTES / 100 + n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let (address, length) = random(number ^ number >> 29);
            let prefix = Prefix::containing(address, length).unwrap();
            writer.insert(&mut root, prefix, n as u32).unwrap();
        }
        let retired = writer.commit();
        writer.release(retired);
    }
    writer.bytes_touched() as f64 / writer.bytes_used() as f64
}

#[test]
fn a_table_that_grew_in_batches_takes_little_more_than_it_uses() {
    let v4 = spread(|random| ((random >> 20) as u32, 24 - (random % 8 / 7) as u8));
    assert!(v4 < 2.5, "{v4}");
    let v6 = spread(|random| (1 << 125 | u128::from(random) << 61, 48 + (random % 2 * 16) as u8));
    assert!(v6 < 2.5, "{v6}");
}
