//! Every interleaving (or every one with few preemptions) of the races that the table's design speaks of. See `tables::sync`
//! for how to run them.

use super::attention::{Attention, Wanted};
use super::index::{Claim, Index};
use super::record::{Content, Pair, STALE, Seen};
use super::*;
use crate::packet::key::{FlowKey, KEY_WORDS};
use crate::tables::memory::Zeroable;
use loom::sync::Arc;
use loom::thread;
use std::net::Ipv4Addr;

fn model(preemptions: usize, test: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions);
    model.max_branches = 10_000;
    model.check(test);
}

const HASH: u64 = 0x1234_5678_9abc_def0;

/// Two workers insert one key while a slot before them comes free, so that they take different slots.
#[test]
fn loom_flow_index_keeps_one_of_two_inserters() {
    model(4, || {
        let index = Arc::new(Index::new(1).unwrap());
        assert_eq!(index.claim(HASH, 7, 1, |_| false), Claim::Placed);
        let same = |entry: index::Entry| entry.direction() != 7;
        let other = {
            let index = Arc::clone(&index);
            thread::spawn(move || index.claim(HASH, 1, 1, same))
        };
        assert!(index.unlink(HASH, 7, 1));
        let mine = index.claim(HASH, 2, 1, same);
        let other = other.join().unwrap();
        let placed = [&mine, &other]
            .into_iter()
            .filter(|claim| **claim == Claim::Placed)
            .count();
        assert_eq!(placed, 1, "{mine:?} {other:?}");
        assert_eq!(index.occupied(), 1);
        let winner = if mine == Claim::Placed { 2 } else { 1 };
        assert_eq!(index.find(HASH, |entry| Some(entry.direction())), Some(winner));
        for loser in [mine, other] {
            match loser {
                Claim::Exists(entry) => assert_eq!(entry.direction(), winner),
                Claim::Placed | Claim::Contended => {}
                Claim::Full => panic!("there was room"),
            }
        }
    });
}

/// An inserter and a remover of the same key: what is left is all or nothing.
#[test]
fn loom_flow_index_insert_against_unlink() {
    model(4, || {
        let index = Arc::new(Index::new(1).unwrap());
        assert_eq!(index.claim(HASH, 7, 1, |_| false), Claim::Placed);
        let remover = {
            let index = Arc::clone(&index);
            thread::spawn(move || assert!(index.unlink(HASH, 7, 1)))
        };
        let claim = index.claim(HASH, 2, 1, |_| true);
        remover.join().unwrap();
        match claim {
            Claim::Placed => assert_eq!(index.occupied(), 1),
            Claim::Exists(entry) => assert_eq!((entry.direction(), index.occupied()), (7, 0)),
            other => panic!("{other:?}"),
        }
    });
}

fn content(n: u64) -> ([u64; KEY_WORDS], [u64; ACTION_WORDS]) {
    ([n; KEY_WORDS], [n; ACTION_WORDS])
}

fn fill(pair: &Pair, n: u64) -> u32 {
    let (key, action) = content(n);
    let content = Content {
        key: &key,
        epoch: n,
        action: &action,
    };
    pair.fill(n as u16, &content, Some(&content), n)
}

fn whole(seen: &Seen, n: u64) -> bool {
    seen.epoch == STALE || (seen.epoch == n && seen.action == [n; ACTION_WORDS])
}

/// A reader never gets parts of two flows, nor of two decisions.
#[test]
fn loom_flow_record_is_read_whole_or_not_at_all() {
    model(3, || {
        let pair = Arc::new(Pair::zero());
        let first = fill(&pair, 1);
        let writer = {
            let pair = Arc::clone(&pair);
            thread::spawn(move || {
                assert!(pair.doom(first));
                assert!(pair.free());
                fill(&pair, 2)
            })
        };
        if let Some(seen) = pair.direction(0).read_generation(first) {
            assert!(whole(&seen, 1) && seen.epoch == 1);
        }
        if let Some((key, generation)) = pair.direction(0).key() {
            let n = if generation == first { 1 } else { 2 };
            assert_eq!(key, [n; KEY_WORDS]);
        }
        let second = writer.join().unwrap();
        assert!(whole(&pair.direction(0).read_generation(second).unwrap(), 2));
    });
}

#[test]
fn loom_flow_record_rewrite_is_seen_whole_or_stale() {
    model(3, || {
        let pair = Arc::new(Pair::zero());
        let generation = fill(&pair, 1);
        let writer = {
            let pair = Arc::clone(&pair);
            thread::spawn(move || assert!(pair.direction(0).rewrite(generation, 2, &[2; ACTION_WORDS])))
        };
        let seen = pair.direction(0).read_generation(generation).unwrap();
        assert!(whole(&seen, 1) || whole(&seen, 2));
        writer.join().unwrap();
        let seen = pair.direction(0).read_generation(generation).unwrap();
        assert!(whole(&seen, 2) && seen.epoch == 2);
    });
}

/// A worker that rewrites a decision while the owner frees the flow and makes another there.
#[test]
fn loom_flow_record_rewrite_never_reaches_the_next_flow() {
    model(3, || {
        let pair = Arc::new(Pair::zero());
        let first = fill(&pair, 1);
        let rewriter = {
            let pair = Arc::clone(&pair);
            thread::spawn(move || pair.direction(0).rewrite(first, 9, &[9; ACTION_WORDS]))
        };
        assert!(pair.doom(first));
        let second = pair.free().then(|| fill(&pair, 2));
        let record = pair.direction(0);
        rewriter.join().unwrap();
        match second {
            Some(second) => {
                let seen = record.read_generation(second).unwrap();
                assert_eq!((seen.epoch, seen.action), (2, [2; ACTION_WORDS]));
            }
            None => assert!(pair.doomed() && pair.free(), "freed once the rewrite is over"),
        }
    });
}

/// Two workers want one pair looked at while its owner looks: the owner looks again until it has seen what both did before.
#[test]
fn loom_flow_attention_misses_nothing() {
    use crate::tables::sync::{AtomicU64, Ordering};
    model(3, || {
        let attention = Arc::new(Attention::new(1, 2).unwrap());
        let done = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
        let wanting: Vec<_> = (0..2)
            .map(|worker| {
                let (attention, done) = (Arc::clone(&attention), Arc::clone(&done));
                thread::spawn(move || {
                    done[worker].store(1, Ordering::Relaxed);
                    attention.want(1);
                })
            })
            .collect();
        let mut wanted = Wanted::default();
        let mut seen = [0; 2];
        let mut look = |seen: &mut [u64; 2]| {
            while let Some(pair) = attention.next(0, &mut wanted) {
                assert_eq!(pair, 1);
                *seen = [0, 1].map(|worker: usize| done[worker].load(Ordering::Relaxed));
            }
        };
        look(&mut seen);
        for thread in wanting {
            thread.join().unwrap();
        }
        // What joining shows does not count: only what came with a want.
        let before = seen;
        look(&mut seen);
        assert!(before == [1, 1] || seen == [1, 1], "{before:?} {seen:?}");
    });
}

/// A flow is removed while its owner comes by: it is freed once, and its shares come back.
#[test]
fn loom_flow_removed_while_its_owner_comes_by() {
    model(2, || {
        let (table, mut owners) = FlowTable::new(2, 1, 1, 1, 7).unwrap();
        let table = Arc::new(table);
        let mut owner = owners.pop().unwrap();
        let key = FlowKey::v4(0, Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2), 6, 1, 2);
        let flow = NewFlow {
            forward: NewDirection {
                key,
                hash: table.hash(&key),
                epoch: 1,
                action: [1; ACTION_WORDS],
            },
            reverse: None,
            port: 0,
        };
        let made = table.insert(&mut owner, &flow, 0).unwrap();
        let remover = {
            let table = Arc::clone(&table);
            thread::spawn(move || assert!(table.remove(made.flow)))
        };
        let outlook = |_: &FlowView<'_>| Outlook {
            timeout_ms: 1000,
            young: true,
        };
        let mut told = table.expire(&mut owner, 1, 10, outlook, |_| {});
        remover.join().unwrap();
        told += table.expire(&mut owner, 1, 10, outlook, |_| {});
        assert_eq!(
            (told, table.used(), table.index_slots(), table.port_flows(0)),
            (1, 0, 0, 0)
        );
    });
}

/// The packet and its answer arrive on two workers at once: one flow comes of it.
#[test]
fn loom_flow_table_both_ends_insert_at_once() {
    model(2, || {
        let (table, mut owners) = FlowTable::new(2, 2, 1, 1, 7).unwrap();
        let table = Arc::new(table);
        let key = FlowKey::v4(0, Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2), 6, 1, 2);
        let flow = move |table: &FlowTable, key: FlowKey, n: u64| {
            let direction = |key: FlowKey| NewDirection {
                key,
                hash: table.hash(&key),
                epoch: n,
                action: [n; ACTION_WORDS],
            };
            NewFlow {
                forward: direction(key),
                reverse: Some(direction(key.reversed())),
                port: 0,
            }
        };
        let mut theirs = owners.pop().unwrap();
        let mut mine = owners.pop().unwrap();
        let other = {
            let table = Arc::clone(&table);
            thread::spawn(move || table.insert(&mut theirs, &flow(&table, key.reversed(), 2), 1))
        };
        let mine = table.insert(&mut mine, &flow(&table, key, 1), 1);
        let other = other.join().unwrap();
        assert_eq!(table.used(), 1, "{mine:?} {other:?}");
        assert_eq!(table.port_flows(0), 1);
        assert_eq!(table.index_slots(), 2);
        let forward = table.lookup(&key, table.hash(&key)).unwrap();
        let reverse = table.lookup(&key.reversed(), table.hash(&key.reversed())).unwrap();
        assert_eq!(table.sibling(forward.flow), Some(reverse));
        match (mine, other) {
            (Ok(mine), Err(InsertError::AlreadyThere(theirs))) => assert_eq!((mine, theirs), (forward, reverse)),
            (Err(InsertError::AlreadyThere(mine)), Ok(theirs)) => assert_eq!((mine, theirs), (forward, reverse)),
            other => panic!("{other:?}"),
        }
    });
}
