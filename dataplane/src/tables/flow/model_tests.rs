//! The flow table on one thread: each promise by name, then long random histories against a plain map.

use super::*;
use crate::packet::key::FlowKey;
use proptest::prelude::*;
use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr};

fn key(n: u32) -> FlowKey {
    if n & 1 == 0 {
        FlowKey::v4(
            n % 3,
            Ipv4Addr::from(0x0a00_0000 + n),
            Ipv4Addr::new(10, 255, 0, 1),
            6,
            n as u16,
            443,
        )
    } else {
        let src = Ipv6Addr::from(0xfd00_u128 << 112 | u128::from(n));
        FlowKey::v6(n % 3, src, Ipv6Addr::from(0xfd01_u128 << 112), 17, 53, n as u16)
    }
}

/// The flow's word of an action.
const MIDDLE: u64 = 6;

fn direction(table: &FlowTable, key: FlowKey, epoch: u64, mark: u64) -> NewDirection {
    NewDirection {
        key,
        hash: table.hash(&key),
        epoch,
        action: [mark, MIDDLE, mark + 2],
    }
}

fn flow(table: &FlowTable, n: u32, mark: u64) -> NewFlow {
    NewFlow {
        forward: direction(table, key(n), 1, mark),
        reverse: Some(direction(table, key(n).reversed(), 1, mark + 100)),
        port: 3,
    }
}

fn single(capacity: usize) -> (FlowTable, FlowOwner) {
    let (table, mut owners) = FlowTable::new(capacity, 1, 16, 4, 0xfeed).unwrap();
    (table, owners.pop().unwrap())
}

fn find(table: &FlowTable, key: &FlowKey) -> Option<FlowHit> {
    let hash = table.hash(key);
    table.prefetch(hash);
    let hint = table.prefetch_record(hash, true);
    let hit = table.lookup(key, hash);
    // What is known in short is what is found; only the hint may be wrong.
    if let Some(known) = table.known(key, hint) {
        let hit = hit.expect("known, and not found");
        assert_eq!(
            (known.flow, known.epoch, known.words),
            (hit.flow, hit.epoch, [hit.action[0], hit.action[2]])
        );
    }
    assert!(table.known(key, FlowHint::NONE).is_none());
    hit
}

fn expire(table: &FlowTable, owner: &mut FlowOwner, now_ms: u64, budget: usize, timeout_ms: u64) -> usize {
    let mut told = 0;
    let outlook = |_: &FlowView<'_>| Outlook {
        timeout_ms,
        young: true,
    };
    let ended = table.expire(owner, now_ms, budget, outlook, |_| told += 1);
    assert_eq!(ended, told);
    ended
}

#[test]
fn both_directions_of_a_flow_are_found_with_their_own_decisions() {
    let (table, mut owner) = single(100);
    assert_eq!(find(&table, &key(1)), None);
    let made = table.insert(&mut owner, &flow(&table, 1, 5), 1000).unwrap();
    let forward = find(&table, &key(1)).unwrap();
    let reverse = find(&table, &key(1).reversed()).unwrap();
    assert_eq!(made, forward);
    assert_eq!((forward.epoch, forward.action), (1, [5, MIDDLE, 7]));
    assert_eq!((reverse.epoch, reverse.action), (1, [105, MIDDLE, 107]));
    assert!(!forward.flow.is_reverse() && reverse.flow.is_reverse());
    assert_eq!(forward.flow.pair(), reverse.flow.pair());
    assert_eq!(table.sibling(forward.flow), Some(reverse));
    assert_eq!(table.sibling(reverse.flow), Some(forward));
    assert_eq!((table.used(), table.port_flows(3), table.capacity()), (1, 1, 100));
}

#[test]
fn a_flow_without_answers_and_a_flow_that_is_its_own_answer_have_one_direction() {
    let (table, mut owner) = single(100);
    let alone = NewFlow {
        reverse: None,
        ..flow(&table, 1, 5)
    };
    let hit = table.insert(&mut owner, &alone, 0).unwrap();
    assert_eq!(find(&table, &key(1).reversed()), None);
    assert_eq!(table.sibling(hit.flow), None);
    let address = Ipv4Addr::new(10, 0, 0, 1);
    let itself = FlowKey::v4(0, address, address, 17, 9, 9);
    let forward = direction(&table, itself, 1, 0);
    let loopback = NewFlow {
        forward,
        reverse: Some(forward),
        port: 0,
    };
    table.insert(&mut owner, &loopback, 0).unwrap();
    assert_eq!((table.used(), table.index_slots()), (2, 2));
}

#[test]
fn a_key_that_is_there_gives_its_flow_and_costs_nothing() {
    let (table, mut owner) = single(100);
    let first = table.insert(&mut owner, &flow(&table, 1, 5), 0).unwrap();
    let again = table.insert(&mut owner, &flow(&table, 1, 9), 0);
    assert_eq!(again, Err(InsertError::AlreadyThere(first)));
    // The answer arriving as if it were a new flow.
    let turned = NewFlow {
        forward: direction(&table, key(1).reversed(), 1, 9),
        reverse: Some(direction(&table, key(1), 1, 9)),
        port: 4,
    };
    let answer = find(&table, &key(1).reversed()).unwrap();
    assert_eq!(
        table.insert(&mut owner, &turned, 0),
        Err(InsertError::AlreadyThere(answer))
    );
    assert_eq!(
        (
            table.used(),
            table.port_flows(3),
            table.port_flows(4),
            table.index_slots()
        ),
        (1, 1, 0, 2)
    );
}

#[test]
fn a_reverse_key_that_another_flow_has_is_refused_whole() {
    let (table, mut owner) = single(100);
    table.insert(&mut owner, &flow(&table, 1, 5), 0).unwrap();
    for n in [2, 4, 6, 8, 10, 3, 5, 7] {
        // As a translation gone wrong would make it: another flow whose answers look like those of flow 1.
        let clash = NewFlow {
            reverse: Some(direction(&table, key(1).reversed(), 1, 0)),
            ..flow(&table, n, 7)
        };
        assert_eq!(table.insert(&mut owner, &clash, 0), Err(InsertError::ReverseTaken));
        assert_eq!(find(&table, &key(n)), None);
    }
    assert_eq!((table.used(), table.port_flows(3), table.index_slots()), (1, 1, 2));
    assert_eq!(find(&table, &key(1).reversed()).unwrap().action[0], 105);
}

#[test]
fn a_port_has_its_share_and_no_more() {
    let (table, mut owner) = single(100);
    table.set_port_limit(3, 2).unwrap();
    assert_eq!(
        (table.port_limit(3), table.port_limit(4), table.port_limit(99)),
        (2, u32::MAX, 0)
    );
    let one = table.insert(&mut owner, &flow(&table, 1, 0), 0).unwrap();
    table.insert(&mut owner, &flow(&table, 2, 0), 0).unwrap();
    let third = flow(&table, 3, 0);
    assert_eq!(
        table.insert(&mut owner, &third, 0),
        Err(InsertError::PortShareUsed { port: 3, limit: 2 })
    );
    table.insert(&mut owner, &NewFlow { port: 4, ..third }, 0).unwrap();
    let beyond = NewFlow {
        port: 16,
        ..flow(&table, 5, 0)
    };
    assert_eq!(
        table.insert(&mut owner, &beyond, 0),
        Err(InsertError::NoSuchPort { port: 16, ports: 16 })
    );
    assert!(table.set_port_limit(16, 1).is_err());
    assert!(table.remove(one.flow));
    assert_eq!(table.sweep_all(&mut owner, 0, |_| u64::MAX), 1);
    table.insert(&mut owner, &flow(&table, 5, 0), 0).unwrap();
    assert_eq!((table.port_flows(3), table.port_flows(4), table.used()), (2, 1, 3));
}

#[test]
fn a_full_region_says_so_and_serves_again_when_flows_have_ended() {
    let (table, mut owners) = FlowTable::new(64, 2, 16, 4, 1).unwrap();
    let mut owner = owners.remove(0);
    assert_eq!((owner.capacity(), owner.worker()), (32, 0));
    for n in 0..32 {
        table.insert(&mut owner, &flow(&table, n, 0), u64::from(n)).unwrap();
    }
    assert_eq!(
        table.insert(&mut owner, &flow(&table, 99, 0), 0),
        Err(InsertError::TableFull)
    );
    assert_eq!(table.port_flows(3), 32);
    table.insert(&mut owners[0], &flow(&table, 99, 0), 0).unwrap();
    // Flows 0 to 10 have been idle for 90 ms or more.
    assert_eq!(table.sweep_all(&mut owner, 100, |_| 90), 11);
    assert!(find(&table, &key(10)).is_none() && find(&table, &key(11)).is_some());
    assert_eq!((table.used(), table.port_flows(3), table.index_slots()), (22, 22, 44));
    for n in 100..111 {
        table.insert(&mut owner, &flow(&table, n, 0), 0).unwrap();
    }
    assert_eq!(
        table.insert(&mut owner, &flow(&table, 200, 0), 0),
        Err(InsertError::TableFull)
    );
}

#[test]
fn counting_keeps_a_flow_alive_in_either_direction() {
    let (table, mut owner) = single(10);
    let hit = table.insert(&mut owner, &flow(&table, 1, 0), 0).unwrap();
    let reverse = table.sibling(hit.flow).unwrap();
    table.touch(hit.flow, 10, 100);
    table.touch(reverse.flow, 50, 1000);
    table.touch(reverse.flow, 60, 1000);
    assert_eq!(table.sweep_all(&mut owner, 159, |_| 100), 0, "the answer was 99 ms ago");
    let seen: Vec<_> = table
        .entries()
        .map(|e| (e.key, e.packets, e.bytes, e.last_seen_ms, e.created_ms))
        .collect();
    assert_eq!(seen, [(key(1), 1, 100, 60, 0), (key(1).reversed(), 2, 2000, 60, 0)]);
    assert_eq!(table.sweep_all(&mut owner, 160, |_| 100), 1);
    table.touch(hit.flow, 161, 1);
    assert_eq!(table.entries().count(), 0);
}

#[test]
fn timeouts_may_depend_on_what_the_flow_is() {
    let (table, mut owner) = single(10);
    let tcp = table.insert(&mut owner, &flow(&table, 2, 77), 5).unwrap();
    table.insert(&mut owner, &flow(&table, 1, 0), 5).unwrap();
    table.set_state(tcp.flow, 42);
    assert_eq!(table.state(tcp.flow), 42);
    let timeout = |view: &FlowView<'_>| {
        assert_eq!((view.port(), view.created_ms(), view.packets()), (3, 0, [0, 0]));
        assert_eq!(view.reverse_key(), Some(view.key().reversed()));
        if view.key().protocol() == 6 {
            assert_eq!((view.action(), view.state()), ([77, MIDDLE, 79], [42, 0]));
            1000
        } else {
            10
        }
    };
    assert_eq!(table.sweep_all(&mut owner, 100, timeout), 1);
    assert!(find(&table, &key(2)).is_some() && find(&table, &key(1)).is_none());
}

#[test]
fn deciding_anew_keeps_counters_age_and_state() {
    let (table, mut owner) = single(10);
    let hit = table.insert(&mut owner, &flow(&table, 1, 5), 7).unwrap();
    table.touch(hit.flow, 8, 99);
    table.set_state(hit.flow, 3);
    // More rewrites than the version has values.
    for epoch in 2..40_000 {
        assert!(table.revalidate(hit.flow, epoch, &[epoch; ACTION_WORDS]));
    }
    let entry = table.entry_of(hit.flow).unwrap();
    assert_eq!((entry.epoch, entry.action), (39_999, [39_999; ACTION_WORDS]));
    assert_eq!(
        (entry.packets, entry.bytes, entry.created_ms, entry.state, entry.port),
        (1, 99, 0, 3, 3)
    );
    assert_eq!(table.sibling(hit.flow).unwrap().epoch, 1);
}

#[test]
fn what_was_said_last_of_a_flow_is_said_of_both_directions() {
    let (table, mut owner) = single(10);
    let mut new = flow(&table, 1, 5);
    new.reverse = Some(NewDirection {
        epoch: STALE,
        action: [0; ACTION_WORDS],
        ..new.reverse.unwrap()
    });
    let forward = table.insert(&mut owner, &new, 0).unwrap();
    let answers = table.sibling(forward.flow).unwrap();
    assert_eq!(
        answers.action, [0; ACTION_WORDS],
        "nothing is said of what was never decided"
    );
    assert!(table.revalidate(answers.flow, 2, &[8, 9, 10]));
    let actions = [forward, answers].map(|hit| table.get(hit.flow).unwrap().action);
    assert_eq!(actions, [[5, 9, 7], [8, 9, 10]]);
}

#[test]
fn counters_carry_beyond_32_bits() {
    let pair = <record::Pair as super::super::memory::Zeroable>::zero();
    let record = pair.direction(1);
    record.set_counted([u64::from(u32::MAX) - 1, 7]);
    for _ in 0..3 {
        record.touch(0, 1, 1000);
    }
    assert_eq!(record.counted(), [1 << 32 | 1, 3007]);
    assert_eq!(pair.direction(0).counted(), [0, 0]);
}

#[test]
fn times_hold_for_years() {
    const DAY: u64 = 24 * 3600 * 1000;
    let (table, mut owner) = single(10);
    for days in [1, 40, 49, 50, 60, 400, 3000] {
        let made = days * DAY;
        let hit = table.insert(&mut owner, &flow(&table, 1, 0), made).unwrap();
        let timeout = |view: &FlowView<'_>| {
            assert_eq!((view.created_ms(), view.last_seen_ms()), (made, made + 20 * DAY));
            DAY
        };
        for day in 0..=20 {
            table.touch(hit.flow, made + day * DAY, 1);
        }
        assert_eq!(table.sweep_all(&mut owner, made + 21 * DAY - 1, timeout), 0);
        assert_eq!(table.sweep_all(&mut owner, made + 21 * DAY, timeout), 1);
    }
}

#[test]
fn a_removed_flow_is_gone_at_once_and_its_references_are_dead_for_ever() {
    let (table, mut owner) = single(1);
    let old = table.insert(&mut owner, &flow(&table, 1, 5), 0).unwrap();
    let reverse = table.sibling(old.flow).unwrap();
    assert!(table.remove(reverse.flow));
    assert!(!table.remove(old.flow) && !table.remove(reverse.flow));
    assert!(find(&table, &key(1)).is_none() && find(&table, &key(1).reversed()).is_none());
    assert_eq!((table.index_slots(), table.entries().count()), (0, 0));
    assert_eq!(
        table.insert(&mut owner, &flow(&table, 1, 5), 0),
        Err(InsertError::TableFull),
        "not yet swept"
    );
    assert_eq!(table.sweep_all(&mut owner, 0, |_| u64::MAX), 1);
    let new = table.insert(&mut owner, &flow(&table, 1, 6), 0).unwrap();
    assert_eq!(new.flow.pair(), old.flow.pair());
    assert!(!table.revalidate(old.flow, 2, &[0; ACTION_WORDS]) && !table.remove(old.flow));
    assert_eq!(
        (table.get(old.flow), table.sibling(old.flow), table.entry_of(old.flow)),
        (None, None, None)
    );
    table.touch(old.flow, 9, 9);
    table.set_state(old.flow, 9);
    let entry = table.entry_of(new.flow).unwrap();
    assert_eq!((entry.packets, entry.state, entry.action[0]), (0, 0, 6));
}

#[test]
fn expiry_keeps_to_its_budget_and_goes_on_where_it_stopped() {
    let (table, mut owner) = single(100);
    for n in 0..100 {
        table.insert(&mut owner, &flow(&table, n, 0), 0).unwrap();
    }
    for _ in 0..10 {
        assert_eq!(expire(&table, &mut owner, 100, 10, 1), 10);
    }
    assert_eq!((table.used(), table.index_slots()), (0, 0));
    table.insert(&mut owner, &flow(&table, 7, 0), 100).unwrap();
    assert_eq!(expire(&table, &mut owner, 200, 10, 1), 1);
}

#[test]
fn impossible_sizes_are_errors() {
    for (pairs, workers) in [(0, 1), (1, 0), (1 << 27 | 1, 1), (usize::MAX, 3)] {
        assert!(matches!(
            FlowTable::new(pairs, workers, 1, 1, 0),
            Err(TableError::Size { .. })
        ));
    }
}

#[derive(Clone, Debug)]
enum Op {
    Insert(u32, bool),
    Touch(u32, u16),
    Revalidate(u32),
    Remove(u32),
    Wait(u64),
    Sweep(usize),
}

fn op() -> impl Strategy<Value = Op> {
    let n = 0..24u32;
    prop_oneof![
        6 => (n.clone(), any::<bool>()).prop_map(|(n, both)| Op::Insert(n, both)),
        4 => (n.clone(), any::<u16>()).prop_map(|(n, bytes)| Op::Touch(n, bytes)),
        2 => n.clone().prop_map(Op::Revalidate),
        1 => n.prop_map(Op::Remove),
        2 => (1..50u64).prop_map(Op::Wait),
        3 => (1..40usize).prop_map(Op::Sweep),
    ]
}

#[derive(Clone, Debug, PartialEq)]
struct Model {
    both: bool,
    epoch: u64,
    seen: u64,
    packets: u64,
    bytes: u64,
}

proptest! {
    /// Swept in small steps, a flow may outlive its timeout (until the hand comes) but never die before it.
    #[test]
    fn agrees_with_a_plain_map(ops in proptest::collection::vec(op(), 1..300)) {
        const TIMEOUT: u64 = 100;
        let (table, mut owner) = single(16);
        let mut map: HashMap<u32, Model> = HashMap::new();
        let (mut now, mut epoch) = (0, 1);
        for op in ops {
            match op {
                Op::Insert(n, both) => {
                    let mut new = flow(&table, n, u64::from(n));
                    if !both {
                        new.reverse = None;
                    }
                    match table.insert(&mut owner, &new, now) {
                        Ok(hit) => {
                            prop_assert_eq!(hit.action[0], u64::from(n));
                            let old = map.insert(n, Model { both, epoch: 1, seen: now, packets: 0, bytes: 0 });
                            prop_assert_eq!(old, None);
                        }
                        Err(InsertError::AlreadyThere(hit)) => prop_assert_eq!(hit.epoch, map[&n].epoch),
                        Err(InsertError::TableFull) => prop_assert_eq!(table.used(), 16),
                        Err(other) => prop_assert!(false, "{}", other),
                    }
                }
                Op::Touch(n, bytes) => {
                    if let (Some(hit), Some(model)) = (find(&table, &key(n)), map.get_mut(&n)) {
                        table.touch(hit.flow, now, u64::from(bytes));
                        model.seen = now;
                        model.packets += 1;
                        model.bytes += u64::from(bytes);
                    }
                }
                Op::Revalidate(n) => {
                    if let (Some(hit), Some(model)) = (find(&table, &key(n)), map.get_mut(&n)) {
                        epoch += 1;
                        prop_assert!(table.revalidate(hit.flow, epoch, &hit.action));
                        model.epoch = epoch;
                    }
                }
                Op::Remove(n) => {
                    let removed = find(&table, &key(n)).is_some_and(|hit| table.remove(hit.flow));
                    prop_assert_eq!(removed, map.remove(&n).is_some());
                }
                Op::Wait(ms) => now += ms,
                Op::Sweep(budget) => {
                    expire(&table, &mut owner, now, budget, TIMEOUT);
                    map.retain(|n, model| {
                        let idle = now - model.seen >= TIMEOUT;
                        !idle || find(&table, &key(*n)).is_some()
                    });
                }
            }
            for n in 0..24 {
                let found = find(&table, &key(n));
                let back = find(&table, &key(n).reversed());
                let Some(model) = map.get(&n) else {
                    prop_assert_eq!((found, back), (None, None));
                    continue;
                };
                let entry = found.and_then(|hit| table.entry_of(hit.flow));
                let entry = entry.map(|e| (e.key, e.epoch, e.packets, e.bytes, e.last_seen_ms));
                prop_assert_eq!(entry, Some((key(n), model.epoch, model.packets, model.bytes, model.seen)));
                prop_assert_eq!(back.is_some(), model.both);
            }
            let directions: usize = map.values().map(|model| 1 + usize::from(model.both)).sum();
            prop_assert_eq!((table.entries().count(), table.index_slots()), (directions, directions));
            prop_assert_eq!(table.used() as u32, table.port_flows(3));
        }
        while table.used() > 0 {
            prop_assert!(table.sweep_all(&mut owner, u64::MAX, |_| TIMEOUT) > 0);
        }
        prop_assert_eq!((table.index_slots(), table.port_flows(3)), (0, 0));
    }
}
