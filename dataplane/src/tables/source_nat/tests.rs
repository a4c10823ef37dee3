//! Pools against a model, by hand, and under many workers.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::{Ipv4Addr, Ipv6Addr},
    sync::{
        Barrier, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use proptest::prelude::*;

use super::{
    super::{lpm::LpmWriter, snapshot::Tables},
    *,
};
use crate::wire::proto::{GRE, ICMP, TCP, UDP};

const INSIDE: VrfSlot = VrfSlot::from_raw(1);
const OUTSIDE: VrfSlot = VrfSlot::from_raw(2);

fn source(v6: bool, n: u16) -> IpAddr {
    match v6 {
        false => Ipv4Addr::from(0x0a00_0000 + u32::from(n)).into(),
        true => Ipv6Addr::from((0xfd00_u128 << 112) + u128::from(n)).into(),
    }
}

fn outside(v6: bool, n: u16) -> IpAddr {
    match v6 {
        false => Ipv4Addr::from(0xc633_6400 + u32::from(n)).into(),
        true => Ipv6Addr::from((0x2001_0db8_u128 << 96) + u128::from(n)).into(),
    }
}

/// Few addresses with few blocks of eight ports.
fn small(v6: bool, addresses: u16, blocks: u16, blocks_per_source: u16) -> PoolSpec {
    PoolSpec {
        first_port: 1000,
        last_port: 999 + blocks * 8 + 3,
        block_size: 8,
        blocks_per_source,
        ..PoolSpec::blocks((0..addresses).map(|n| outside(v6, n)).collect())
    }
}

fn pool(spec: &PoolSpec) -> Pool {
    Pool::new(spec, INSIDE).unwrap()
}

#[test]
fn one_to_one_keeps_ports_and_never_ends() {
    for v6 in [false, true] {
        let (inner, outer) = (source(v6, 7), outside(v6, 1));
        let pool = pool(&PoolSpec::one_to_one(outer));
        assert!(pool.is_one_to_one());
        for port in [0, 1, 443, u16::MAX] {
            for _ in 0..3 {
                assert_eq!(pool.translate(inner, port, TCP, 0), Ok((outer, port)));
            }
        }
        assert_eq!(pool.translate(inner, 0, GRE, 0), Ok((outer, 0)));
        assert_eq!(pool.translate(inner, 80, TCP, 1), Err(Exhausted::Source));
        pool.release(inner, outer, 443);
        assert!(pool.adopt(inner, 80, outer, 80) && !pool.adopt(inner, 80, outside(v6, 2), 80));
        let expected = PoolStatistics {
            refused_source: 1,
            ..PoolStatistics::default()
        };
        assert_eq!(pool.statistics(), expected);
    }
}

#[test]
fn a_port_keeps_its_outside_port_for_all_destinations_and_protocols() {
    for v6 in [false, true] {
        let pool = pool(&PoolSpec::blocks(Arc::from([outside(v6, 0), outside(v6, 1)])));
        let inner = source(v6, 1);
        let first = pool.translate(inner, 40_001, UDP, 0).unwrap();
        assert_eq!(first.1 % 64, 40_001 % 64, "the low bits are kept");
        for protocol in [UDP, TCP, ICMP] {
            assert_eq!(pool.translate(inner, 40_001, protocol, 0), Ok(first));
        }
        // Another port with the same low bits gets another one, on the same address.
        let other = pool.translate(inner, 40_001 + 64, UDP, 0).unwrap();
        assert!(other.0 == first.0 && other.1 != first.1);
        // The last flow ends, and with it the mapping.
        (0..4).for_each(|_| pool.release(inner, first.0, first.1));
        assert_eq!(pool.statistics().blocks_used, 1);
        pool.release(inner, other.0, other.1);
        assert_eq!(pool.statistics().blocks_used, 0);
    }
}

#[test]
fn a_source_takes_blocks_as_it_needs_them_and_shares_ports_when_it_may_have_no_more() {
    let pool = pool(&small(false, 1, 4, 2));
    let inner = source(false, 1);
    let given: Vec<_> = (0..16)
        .map(|port| pool.translate(inner, port, TCP, 0).unwrap())
        .collect();
    assert_eq!(given.iter().collect::<HashSet<_>>().len(), 16, "two blocks of eight");
    assert_eq!(pool.statistics().blocks_used, 2);
    // The 17th port shares one; each further attempt gives another, until there were too many.
    let mut shared = Vec::new();
    let refused = (0..).find_map(|attempt| match pool.translate(inner, 99, TCP, attempt) {
        Ok(port) => {
            shared.push(port);
            None
        }
        Err(why) => Some(why),
    });
    assert_eq!(refused, Some(Exhausted::Source));
    assert!(shared.iter().take(16).collect::<HashSet<_>>().len() == 16 && shared.len() == MAX_ATTEMPTS as usize);
    assert!(shared.iter().all(|port| given.contains(port)));
    // Another source's block is its own.
    let other = pool.translate(source(false, 2), 3, TCP, 0).unwrap();
    assert!(!given.iter().any(|(_, port)| port / 8 == other.1 / 8));
    for (address, port) in given.iter().chain(&shared) {
        pool.release(inner, *address, *port);
    }
    assert_eq!(pool.statistics().blocks_used, 1);
    assert_eq!(pool.statistics().refused_source, 1);
}

#[test]
fn attempts_give_free_ports_first() {
    let pool = pool(&small(true, 1, 4, 2));
    let inner = source(true, 1);
    let mut seen = HashSet::new();
    for attempt in 0..8 {
        // As a caller does: what does not fit is given back before the next attempt.
        let (address, port) = pool.translate(inner, 5, UDP, attempt).unwrap();
        assert!(seen.insert(port), "attempt {attempt} gave {port} again");
        pool.release(inner, address, port);
    }
    assert_eq!(pool.statistics().blocks_used, 0);
}

#[test]
fn without_a_free_block_newcomers_are_refused_and_owners_go_on() {
    let pool = pool(&small(false, 2, 3, 16));
    let given: Vec<_> = (0..6)
        .map(|n| pool.translate(source(false, n), 1, TCP, 0).unwrap())
        .collect();
    assert_eq!(pool.statistics().blocks_used, 6);
    assert_eq!(pool.translate(source(false, 9), 1, TCP, 0), Err(Exhausted::Blocks));
    // Who has a block uses its other ports, and then shares them.
    for port in 2..20 {
        assert!(pool.translate(source(false, 0), port, TCP, 0).is_ok());
    }
    assert_eq!(pool.statistics().refused_blocks, 1);
    pool.release(source(false, 3), given[3].0, given[3].1);
    assert_eq!(
        pool.translate(source(false, 9), 1, TCP, 0).map(|given| given.0),
        Ok(given[3].0)
    );
}

#[test]
fn protocols_without_ports_are_given_an_address() {
    for v6 in [false, true] {
        let pool = pool(&small(v6, 2, 2, 1));
        let inner = source(v6, 3);
        let (address, port) = pool.translate(inner, 77, GRE, 0).unwrap();
        assert_eq!(port, 0);
        assert_eq!(pool.translate(inner, 0, GRE, 0), Ok((address, 0)));
        assert_eq!(pool.translate(inner, 5, TCP, 0).map(|given| given.0), Ok(address));
        assert_eq!(pool.translate(inner, 0, GRE, 1), Err(Exhausted::Source));
        pool.release(inner, address, 0);
        pool.release(inner, address, 0);
        pool.release(inner, address, 0);
        assert_eq!(pool.statistics().blocks_used, 1, "the TCP flow is still there");
    }
}

#[test]
fn what_a_source_does_not_have_is_not_taken_back() {
    let pool = pool(&small(false, 1, 2, 1));
    let (inner, other) = (source(false, 1), source(false, 2));
    let (address, port) = pool.translate(inner, 4, TCP, 0).unwrap();
    pool.release(other, address, port);
    pool.release(inner, address, port ^ 1);
    pool.release(inner, outside(false, 9), port);
    pool.release(inner, address, 1);
    pool.release(inner, address, u16::MAX);
    pool.release(other, address, 0);
    assert_eq!(pool.statistics().blocks_used, 1);
    pool.release(inner, address, port);
    pool.release(inner, address, port);
    assert_eq!(pool.statistics().blocks_used, 0);
}

#[test]
fn flows_of_a_pool_that_was_replaced_are_adopted() {
    let old = pool(&small(false, 1, 4, 2));
    let new = pool(&PoolSpec {
        blocks_per_source: 1,
        ..small(false, 2, 4, 2)
    });
    let (inner, other) = (source(false, 1), source(false, 2));
    let flows: Vec<_> = (0..16)
        .map(|port| (port, old.translate(inner, port, TCP, 0).unwrap()))
        .collect();
    let (kept, lost): (Vec<_>, Vec<_>) =
        (flows.iter()).partition(|(own, (address, port))| new.adopt(inner, *own, *address, *port));
    // One block is all that the source may have now.
    assert_eq!((kept.len(), lost.len()), (8, 8));
    assert_eq!(new.statistics().blocks_used, 1);
    let &(own, mapped) = kept[3];
    assert_eq!(new.translate(inner, own, TCP, 0), Ok(mapped));
    new.release(inner, mapped.0, mapped.1);
    assert!(!new.adopt(other, 5, mapped.0, mapped.1), "the block is another's");
    kept.iter()
        .for_each(|(_, (address, port))| new.release(inner, *address, *port));
    assert_eq!(new.statistics().blocks_used, 0);
    assert!(!new.adopt(inner, 5, outside(false, 0), 999) && !new.adopt(inner, 5, outside(false, 7), 1000));
}

#[test]
fn a_spec_that_makes_no_pool_is_refused_in_words() {
    let good = small(false, 1, 1, 1);
    let refused = |spec: PoolSpec| Pool::new(&spec, INSIDE).unwrap_err();
    let none = PoolSpec::blocks(Arc::from([]));
    assert_eq!(refused(none), BadPool::Addresses(0));
    let many = PoolSpec::blocks((0..300).map(|n| outside(true, n)).collect());
    assert_eq!(refused(many), BadPool::Addresses(300));
    let twice = PoolSpec::blocks(Arc::from([outside(true, 1), outside(true, 1)]));
    assert_eq!(refused(twice), BadPool::Twice(outside(true, 1)));
    let mixed = PoolSpec::blocks(Arc::from([outside(true, 1), outside(false, 1)]));
    assert_eq!(refused(mixed), BadPool::Families);
    let size = |block_size| PoolSpec {
        block_size,
        ..good.clone()
    };
    assert_eq!(refused(size(48)), BadPool::BlockSize(48));
    assert_eq!(refused(size(4)), BadPool::BlockSize(4));
    assert!(matches!(refused(size(64)), BadPool::Ports { size: 64, .. }));
    let zero = PoolSpec {
        blocks_per_source: 0,
        ..good.clone()
    };
    assert_eq!(refused(zero), BadPool::BlocksPerSource(0));
    let from_zero = PoolSpec { first_port: 0, ..good };
    assert!(matches!(refused(from_zero), BadPool::Ports { first: 0, .. }));
}

/// What may be done with a pool.
#[derive(Clone, Debug)]
enum Step {
    Translate { source: u16, port: u16, attempt: u32 },
    Release(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let translate = (
        0..12_u16,
        0..40_u16,
        prop_oneof![4 => Just(0), 1 => 0..MAX_ATTEMPTS + 2],
    );
    let translate = translate.prop_map(|(source, port, attempt)| Step::Translate { source, port, attempt });
    proptest::collection::vec(
        prop_oneof![3 => translate, 2 => any::<usize>().prop_map(Step::Release)],
        1..300,
    )
}

/// What is known from outside: live flows, as (source, outside address, outside port), each with its source port.
#[derive(Default)]
struct Model {
    live: Vec<(u16, u16, IpAddr, u16)>,
    /// Whose port each outside port stands for: the one that took it when it was free.
    founders: HashMap<(IpAddr, u16), (u16, u16)>,
    refused: (u64, u64),
}

impl Model {
    /// Owners of the blocks that live flows are on.
    fn blocks(&self, spec: &PoolSpec) -> HashMap<(IpAddr, u16), HashSet<u16>> {
        let mut blocks = HashMap::<_, HashSet<_>>::new();
        for (source, _, address, port) in &self.live {
            let block = (port - spec.first_port) / spec.block_size;
            blocks.entry((*address, block)).or_default().insert(*source);
        }
        blocks
    }

    fn owned(&self, spec: &PoolSpec, source: u16) -> u16 {
        self.blocks(spec)
            .values()
            .filter(|owners| owners.contains(&source))
            .count() as u16
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// No two sources share a block, nobody owns more than it may, nobody is refused what is there, and all that was given comes back.
    #[test]
    fn pools_keep_their_promises(
        v6 in any::<bool>(),
        addresses in 1..4_u16,
        blocks in 1..6_u16,
        blocks_per_source in 1..4_u16,
        steps in steps(),
    ) {
        let spec = small(v6, addresses, blocks, blocks_per_source);
        let (pool, mut model) = (pool(&spec), Model::default());
        let all = u64::from(addresses * blocks);
        for step in steps {
            match step {
                Step::Translate { source: n, port, attempt } => {
                    let owned = model.owned(&spec, n);
                    let full = model.blocks(&spec).len() as u64 == all;
                    match pool.translate(source(v6, n), port, TCP, attempt) {
                        Ok((address, outside)) => {
                            prop_assert!(spec.addresses.contains(&address));
                            prop_assert!((1000..1000 + blocks * 8).contains(&outside));
                            let mapped = model.founders.values().any(|founder| *founder == (n, port));
                            let founder = *model.founders.entry((address, outside)).or_insert((n, port));
                            prop_assert!(attempt > 0 || !mapped || founder == (n, port), "endpoint-independent");
                            model.live.push((n, port, address, outside));
                        }
                        Err(Exhausted::Source) => {
                            prop_assert!(attempt >= MAX_ATTEMPTS || owned == blocks_per_source.min(all as u16));
                            model.refused.0 += 1;
                        }
                        Err(Exhausted::Blocks) => {
                            prop_assert!(full, "a block was free");
                            prop_assert!(owned == 0, "an owner can always share its ports");
                            model.refused.1 += 1;
                        }
                    }
                }
                Step::Release(at) if !model.live.is_empty() => {
                    let (n, _, address, port) = model.live.swap_remove(at % model.live.len());
                    if !model.live.iter().any(|other| (other.2, other.3) == (address, port)) {
                        model.founders.remove(&(address, port));
                    }
                    pool.release(source(v6, n), address, port);
                }
                Step::Release(_) => {}
            }
            let owners = model.blocks(&spec);
            prop_assert!(owners.values().all(|owners| owners.len() == 1), "a block has two owners");
            let owned = |n: u16| owners.values().filter(|owners| owners.contains(&n)).count();
            prop_assert!((0..12).all(|n| owned(n) <= blocks_per_source.into()));
            let expected = PoolStatistics {
                blocks: all,
                blocks_used: owners.len() as u64,
                refused_source: model.refused.0,
                refused_blocks: model.refused.1,
            };
            prop_assert_eq!(pool.statistics(), expected);
        }
        for (n, _, address, port) in model.live.drain(..) {
            pool.release(source(v6, n), address, port);
        }
        prop_assert_eq!(pool.statistics().blocks_used, 0);
        prop_assert_eq!(pool.audit(), (0, 0));
        // All of it can be given again.
        let again = (0..all as u16).map(|n| pool.translate(source(v6, 100 + n), 1, TCP, 0));
        prop_assert!(again.collect::<Result<Vec<_>, _>>().is_ok());
    }
}

/// Workers give and take back at once, few sources and few blocks, so that they meet all the time.
#[test]
fn many_workers_never_give_one_block_to_two_sources() {
    const WORKERS: u64 = 4;
    const ROUNDS: u64 = 30_000;
    let spec = small(false, 2, 6, 3);
    let pool = pool(&spec);
    // Who is on each block now, and with how many flows: checked at every step.
    let owners = Mutex::new(BTreeMap::<(IpAddr, u16), (u16, u32)>::new());
    let (start, given) = (Barrier::new(WORKERS as usize), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for worker in 0..WORKERS {
            let (pool, spec, owners, start, given) = (&pool, &spec, &owners, &start, &given);
            scope.spawn(move || {
                let mut random = 0x9e37_79b9_7f4a_7c15 ^ worker << 17 | 1;
                let mut next = move |below: u64| {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    (random >> 11) % below
                };
                let block = |port: u16| (port - spec.first_port) / spec.block_size;
                let mut live = Vec::new();
                start.wait();
                for round in 0.. {
                    let ending = round >= ROUNDS;
                    if ending && live.is_empty() {
                        break;
                    }
                    if !ending && (live.len() < 12 && next(3) > 0 || live.is_empty()) {
                        let (n, port, attempt) = (next(6) as u16, next(64) as u16, next(4) as u32);
                        let Ok((address, port)) = pool.translate(source(false, n), port, TCP, attempt) else {
                            continue;
                        };
                        given.fetch_add(1, Ordering::Relaxed);
                        let mut owners = owners.lock().unwrap();
                        let (owner, flows) = owners.entry((address, block(port))).or_insert((n, 0));
                        assert_eq!(*owner, n, "one block, two sources");
                        *flows += 1;
                        live.push((n, address, port));
                    } else {
                        let (n, address, port) = live.swap_remove(next(live.len() as u64) as usize);
                        // Out of the books first: what follows may free the block.
                        let mut owners = owners.lock().unwrap();
                        let key = (address, block(port));
                        let (_, flows) = owners.get_mut(&key).unwrap();
                        *flows -= 1;
                        if *flows == 0 {
                            owners.remove(&key);
                        }
                        drop(owners);
                        pool.release(source(false, n), address, port);
                    }
                }
            });
        }
    });
    assert!(given.load(Ordering::Relaxed) > WORKERS * ROUNDS / 4);
    assert_eq!(pool.statistics().blocks_used, 0);
    assert_eq!(pool.audit(), (0, 0));
}

/// Without the books' lock between their steps.
#[test]
fn many_workers_give_back_all_that_they_took() {
    let spec = small(true, 1, 5, 2);
    let pool = pool(&spec);
    std::thread::scope(|scope| {
        for worker in 0..4_u16 {
            let pool = &pool;
            scope.spawn(move || {
                for round in 0..40_000_u32 {
                    let n = (round % 3) as u16;
                    let taken = [0, 1].map(|more| pool.translate(source(true, n), worker * 8 + more, UDP, 0));
                    for (address, port) in taken.into_iter().flatten() {
                        pool.release(source(true, n), address, port);
                    }
                }
            });
        }
    });
    assert_eq!(pool.statistics().blocks_used, 0);
    assert_eq!(pool.audit(), (0, 0));
    assert_eq!(pool.statistics().refused_source, 0);
}

fn nat(slot: u16, prefix: &str, pool: Arc<Pool>) -> Arc<SourceNat> {
    Arc::new(SourceNat {
        id: u32::from(slot) + 1,
        name: prefix.into(),
        slot,
        inside: INSIDE,
        outside: OUTSIDE,
        prefix: prefix.parse().unwrap(),
        pool,
    })
}

#[test]
fn the_longest_prefix_translates_a_source() {
    let mut tables = Tables::new(LpmWriter::new(1 << 16).unwrap().arena().clone());
    let some = Arc::new(pool(&small(false, 1, 1, 1)));
    let prefixes = [
        "10.0.0.0/8",
        "10.0.0.7/32",
        "10.0.0.0/24",
        "fd00::/64",
        "fd00::7/128",
        "10.0.1.0/24",
    ];
    for (slot, prefix) in (0..).zip(prefixes) {
        tables.put_source_nat(nat(slot, prefix, some.clone()));
    }
    let find = |tables: &Tables, source: &str| {
        let found = tables.source_nat_for(INSIDE, OUTSIDE, source.parse().unwrap());
        found.map(|nat| nat.prefix.to_string())
    };
    assert_eq!(find(&tables, "10.0.0.7").as_deref(), Some("10.0.0.7/32"));
    assert_eq!(find(&tables, "10.0.0.8").as_deref(), Some("10.0.0.0/24"));
    assert_eq!(find(&tables, "10.1.0.8").as_deref(), Some("10.0.0.0/8"));
    assert_eq!(find(&tables, "fd00::7").as_deref(), Some("fd00::7/128"));
    assert_eq!(find(&tables, "fd00::8").as_deref(), Some("fd00::/64"));
    assert_eq!(find(&tables, "11.0.0.1"), None);
    assert!(tables.source_nat_for(OUTSIDE, INSIDE, source(false, 7)).is_none());
    // A slot moves to another prefix; others go.
    let before = tables.clone();
    tables.put_source_nat(nat(1, "10.0.0.9/32", some));
    assert_eq!(find(&tables, "10.0.0.7").as_deref(), Some("10.0.0.0/24"));
    assert_eq!(find(&before, "10.0.0.7").as_deref(), Some("10.0.0.7/32"));
    (0..6).for_each(|slot| assert!(tables.remove_source_nat(slot).is_some()));
    assert!(tables.source_nats.is_empty() && tables.source_nat(3).is_none());
}

#[test]
fn translations_to_the_same_addresses_share_them_and_keep_what_they_gave() {
    let mut tables = Tables::new(LpmWriter::new(1 << 16).unwrap().arena().clone());
    let (spec, other_inside) = (small(false, 1, 4, 4), VrfSlot::from_raw(7));
    let first = tables.pool_for(0, INSIDE, OUTSIDE, &spec).unwrap();
    tables.put_source_nat(nat(0, "10.0.0.0/8", first.clone()));
    assert!(Arc::ptr_eq(
        &first,
        &tables.pool_for(0, INSIDE, OUTSIDE, &spec).unwrap()
    ));
    let second = tables.pool_for(1, other_inside, OUTSIDE, &spec).unwrap();
    assert!(!Arc::ptr_eq(&first, &second));
    // The same address in two VRFs: two sources, which get different blocks of the same.
    let (a, b) = (
        first.translate(source(false, 1), 5, TCP, 0).unwrap(),
        second.translate(source(false, 1), 5, TCP, 0).unwrap(),
    );
    assert!(a.0 == b.0 && a.1 / 8 != b.1 / 8);
    assert_eq!(
        (first.statistics().blocks_used, second.statistics().blocks_used),
        (2, 2)
    );
    second.release(source(false, 1), a.0, a.1);
    assert_eq!(
        first.statistics().blocks_used,
        2,
        "what the other VRF's source has is its own"
    );
    // Another VRF outside is another world of addresses.
    let apart = tables.pool_for(2, INSIDE, INSIDE, &spec).unwrap();
    assert_eq!(apart.statistics().blocks_used, 0);
    let larger = tables.pool_for(0, INSIDE, OUTSIDE, &small(false, 1, 5, 4)).unwrap();
    assert_eq!(larger.statistics().blocks_used, 0);
}
