//! The flow table under several threads at once, for about a second: what every reader sees must make sense, and nothing may be lost
//! or left over.

use super::*;
use crate::packet::key::FlowKey;
use std::net::Ipv4Addr;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

const WORKERS: usize = 3;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

fn key(n: u64) -> FlowKey {
    FlowKey::v4(
        0,
        Ipv4Addr::from(0x0a00_0000 + n as u32),
        Ipv4Addr::new(10, 255, 0, 1),
        6,
        1000,
        80,
    )
}

/// What is decided carries the key's number and the epoch, so that a mixed record shows; the middle word is the flow's.
fn action(n: u64, epoch: u64) -> [u64; ACTION_WORDS] {
    [n, !n, n ^ epoch]
}

fn direction(table: &FlowTable, key: FlowKey, n: u64, epoch: u64) -> NewDirection {
    NewDirection {
        key,
        hash: table.hash(&key),
        epoch,
        action: action(n, epoch),
    }
}

fn flow(table: &FlowTable, n: u64, epoch: u64, turned: bool) -> NewFlow {
    let forward = direction(table, key(n), n, epoch);
    let reverse = direction(table, key(n).reversed(), n, epoch);
    let (forward, reverse) = if turned { (reverse, forward) } else { (forward, reverse) };
    NewFlow {
        forward,
        reverse: Some(reverse),
        port: 0,
    }
}

fn check(hit: &FlowHit, n: u64) {
    if hit.epoch != STALE {
        assert_eq!(hit.action, action(n, hit.epoch));
    }
}

/// All workers insert each key at the same moment, some of them turned round: one flow comes of it, and all get the same.
#[test]
fn one_flow_comes_of_many_inserters() {
    const ROUNDS: u64 = 3000;
    let (table, owners) = FlowTable::new(ROUNDS as usize * WORKERS, WORKERS, 1, 1, 3).unwrap();
    let barrier = Barrier::new(WORKERS);
    let made = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for mut owner in owners {
            let (table, barrier, made) = (&table, &barrier, &made);
            scope.spawn(move || {
                for n in 0..ROUNDS {
                    barrier.wait();
                    let turned = (n as usize + owner.worker()).is_multiple_of(2);
                    let new = flow(table, n, 1, turned);
                    let hit = match table.insert(&mut owner, &new, 0) {
                        Ok(hit) => {
                            made.fetch_add(1, Ordering::Relaxed);
                            hit
                        }
                        Err(InsertError::AlreadyThere(hit)) => hit,
                        Err(other) => panic!("{other}"),
                    };
                    check(&hit, n);
                    barrier.wait();
                    let found = table.lookup(&new.forward.key, new.forward.hash).unwrap();
                    assert_eq!(found, hit);
                    assert_eq!(
                        table.sibling(found.flow),
                        table.lookup(&new.forward.key.reversed(), table.hash(&new.forward.key.reversed()))
                    );
                }
            });
        }
    });
    assert_eq!(made.into_inner(), ROUNDS as usize);
    assert_eq!(
        (table.used(), table.index_slots()),
        (ROUNDS as usize, 2 * ROUNDS as usize)
    );
}

/// Insert, look up, count, decide anew, remove, sweep and dump, all at once on few keys.
#[test]
fn a_storm_leaves_nothing_torn_and_nothing_behind() {
    const KEYS: u64 = 60;
    const STEPS: u64 = 60_000;
    let (table, owners) = FlowTable::new(40 * WORKERS, WORKERS, 1, 1, 9).unwrap();
    table.set_port_limit(0, 100).unwrap();
    let mut owners = std::thread::scope(|scope| {
        let threads: Vec<_> = owners
            .into_iter()
            .map(|mut owner| {
                let table = &table;
                scope.spawn(move || {
                    let mut random = Random(owner.worker() as u64 + 1);
                    for step in 1..=STEPS {
                        let n = random.below(KEYS);
                        let wanted = if random.below(2) == 0 {
                            key(n)
                        } else {
                            key(n).reversed()
                        };
                        let hit = table.lookup(&wanted, table.hash(&wanted));
                        match (hit, random.below(8)) {
                            (Some(hit), 0) => {
                                table.remove(hit.flow);
                            }
                            (Some(hit), 1) => {
                                check(&hit, n);
                                table.revalidate(hit.flow, step, &action(n, step));
                            }
                            (Some(hit), _) => {
                                check(&hit, n);
                                table.touch(hit.flow, step, 64);
                            }
                            (None, _) => match table.insert(&mut owner, &flow(table, n, step, step & 1 == 0), step) {
                                Ok(hit) | Err(InsertError::AlreadyThere(hit)) => check(&hit, n),
                                // Also when the same flow is being taken away at this moment, one direction after the other
                                // (`ReverseTaken`): the packet goes on without a flow, and the next one makes it.
                                Err(_) => {}
                            },
                        }
                        let outlook = |view: &FlowView<'_>| {
                            assert_eq!(view.reverse_key(), Some(view.key().reversed()));
                            Outlook {
                                timeout_ms: 2000,
                                young: view.packets()[0] == 0,
                            }
                        };
                        table.expire(&mut owner, step, 2, outlook, |ended| {
                            assert_eq!(ended.reverse_key(), Some(ended.key().reversed()));
                        });
                        if random.below(64) == 0 {
                            table.make_room(&mut owner, 0, step, outlook, |_| {});
                        }
                        if step % 512 == 0 {
                            for entry in table.entries().filter(|entry| entry.epoch != STALE) {
                                let n = entry.action[0];
                                assert!(entry.key == key(n) || entry.key == key(n).reversed());
                                assert_eq!(entry.action, action(n, entry.epoch));
                            }
                        }
                    }
                    owner
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect::<Vec<_>>()
    });
    let mut keys: Vec<_> = table.entries().map(|entry| entry.key.words()).collect();
    let directions = keys.len();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), directions, "no key stands twice");
    for entry in table.entries() {
        let found = table.lookup(&entry.key, table.hash(&entry.key)).unwrap();
        assert_eq!(found.flow, entry.flow, "every living direction is findable");
    }
    for owner in &mut owners {
        table.sweep_all(owner, u64::MAX, |_| 0);
    }
    assert_eq!((table.used(), table.index_slots(), table.port_flows(0)), (0, 0, 0));
    // No pair was lost from any region's free list.
    table.set_port_limit(0, u32::MAX).unwrap();
    for owner in &mut owners {
        for n in 0..40 {
            table
                .insert(owner, &flow(&table, 1000 + n + 40 * owner.worker() as u64, 1, false), 0)
                .unwrap();
        }
    }
}
