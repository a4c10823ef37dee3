//! Ends of flows: to the tick, told of once, and in whose favour.

use super::*;
use crate::packet::key::FlowKey;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

const GONE: u64 = 1;
const AGREED: u64 = 2;

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
        FlowKey::v6(n % 3, src, Ipv6Addr::from(0xfd01_u128 << 112), 6, n as u16, 443)
    }
}

fn flow(table: &FlowTable, n: u32, port: u16) -> NewFlow {
    let direction = |key: FlowKey| NewDirection {
        key,
        hash: table.hash(&key),
        epoch: 1,
        action: [u64::from(n), 0, 0],
    };
    NewFlow {
        forward: direction(key(n)),
        reverse: Some(direction(key(n).reversed())),
        port,
    }
}

fn table(capacity: usize, workers: usize) -> (FlowTable, Vec<FlowOwner>) {
    FlowTable::new(capacity, workers, 8, 3, 0xbead).unwrap()
}

/// Young until agreed: a second for what is young, ten for the rest, a tenth for what is closed.
fn outlook(view: &FlowView<'_>) -> Outlook {
    match view.state()[0] {
        GONE => Outlook {
            timeout_ms: 100,
            young: true,
        },
        AGREED => Outlook {
            timeout_ms: 10_000,
            young: false,
        },
        _ => Outlook {
            timeout_ms: 1000,
            young: true,
        },
    }
}

fn expire(table: &FlowTable, owner: &mut FlowOwner, now_ms: u64) -> Vec<EndedFlow> {
    let mut told = Vec::new();
    table.expire(owner, now_ms, 1000, outlook, |ended| told.push(ended.flow()));
    told
}

fn make_room(table: &FlowTable, owner: &mut FlowOwner, port: u16, now_ms: u64) -> Vec<EndedFlow> {
    let mut told = Vec::new();
    let room = table.make_room(owner, port, now_ms, outlook, |ended| told.push(ended.flow()));
    assert_eq!(room, !told.is_empty());
    told
}

fn find(table: &FlowTable, n: u32) -> Option<FlowHit> {
    table.lookup(&key(n), table.hash(&key(n)))
}

#[test]
fn an_end_is_told_once_with_all_that_is_known_of_the_flow() {
    let (table, mut owners) = table(10, 1);
    let owner = &mut owners[0];
    let hit = table.insert(owner, &flow(&table, 5, 2), 300).unwrap();
    let reverse = table.sibling(hit.flow).unwrap();
    table.touch(hit.flow, 400, 60);
    table.touch(reverse.flow, 450, 100);
    table.touch(reverse.flow, 450, 100);
    table.set_state(reverse.flow, 77);
    assert_eq!(expire(&table, owner, 1449), []);
    let told = expire(&table, owner, 1500);
    let expected = EndedFlow {
        key: key(5),
        reverse_key: Some(key(5).reversed()),
        action: [5, 0, 0],
        reverse_action: [5, 0, 0],
        port: 2,
        created_ms: 288,
        last_seen_ms: 450,
        packets: [1, 2],
        bytes: [60, 200],
        state: [0, 77],
        reason: EndReason::Idle,
    };
    assert_eq!(told, [expected]);
    assert_eq!(expire(&table, owner, 100_000), []);
    assert_eq!(
        (
            table.used(),
            table.index_slots(),
            table.port_flows(2),
            table.vrf_flows(2)
        ),
        (0, 0, 0, 0)
    );
}

#[test]
fn removed_flows_come_back_with_the_next_look_whoever_removed_them() {
    let (table, mut owners) = table(8, 2);
    let hits: Vec<_> = (0..4)
        .map(|n| table.insert(&mut owners[0], &flow(&table, n, 0), 0).unwrap())
        .collect();
    table.set_state(hits[3].flow, AGREED);
    assert_eq!(
        table.insert(&mut owners[0], &flow(&table, 9, 0), 0),
        Err(InsertError::TableFull)
    );
    std::thread::scope(|scope| {
        for hit in &hits[1..3] {
            scope.spawn(|| {
                let reverse = table.sibling(hit.flow).unwrap();
                assert!(table.remove(reverse.flow));
            });
        }
    });
    assert!(expire(&table, &mut owners[1], 1).is_empty(), "not theirs to free");
    assert_eq!(table.used(), 4);
    let told = expire(&table, &mut owners[0], 1);
    let mut ended: Vec<_> = told.iter().map(|flow| (flow.action[0], flow.reason)).collect();
    ended.sort_unstable_by_key(|(n, _)| *n);
    assert_eq!(ended, [(1, EndReason::Removed), (2, EndReason::Removed)]);
    assert_eq!(table.used(), 2);
    table.insert(&mut owners[0], &flow(&table, 9, 0), 1).unwrap();
}

#[test]
fn a_shorter_timeout_counts_from_when_it_is_told_of() {
    let (table, mut owners) = table(8, 1);
    let owner = &mut owners[0];
    owner.set_first_look(100);
    let hits = [1, 2].map(|n| table.insert(owner, &flow(&table, n, 0), 0).unwrap());
    for hit in hits {
        table.set_state(hit.flow, AGREED);
    }
    assert!(expire(&table, owner, 5000).is_empty());
    for hit in hits {
        table.touch(hit.flow, 5000, 60);
        table.set_state(hit.flow, GONE);
    }
    table.review(hits[0].flow);
    table.review(hits[0].flow);
    assert!(expire(&table, owner, 5099).is_empty());
    let told = expire(&table, owner, 5100);
    assert_eq!(told.iter().map(|flow| flow.action[0]).collect::<Vec<_>>(), [1]);
    // The other one was not told of: it goes when it would have been looked at.
    assert_eq!(expire(&table, owner, 10_000).len(), 1);
}

#[test]
fn a_flow_of_two_hours_is_looked_at_now_and_then_and_kept() {
    let (table, mut owners) = table(2, 1);
    let owner = &mut owners[0];
    table.insert(owner, &flow(&table, 1, 0), 0).unwrap();
    let looks = std::cell::Cell::new(0);
    let mut expire = |now_ms| {
        let outlook = |_: &FlowView<'_>| {
            looks.set(looks.get() + 1);
            Outlook {
                timeout_ms: 7_440_000,
                young: false,
            }
        };
        table.expire(owner, now_ms, 100, outlook, |_| {})
    };
    for second in 0..7440 {
        assert_eq!(expire(second * 1000), 0);
    }
    assert_eq!(expire(7_439_999), 0);
    assert!(looks.get() < 25, "{}", looks.get());
    assert_eq!(expire(7_440_000), 1);
}

#[test]
fn room_is_made_by_the_ports_own_oldest_young_flow() {
    let (table, mut owners) = table(100, 1);
    let owner = &mut owners[0];
    table.set_port_limit(1, 4).unwrap();
    table.insert(owner, &flow(&table, 100, 2), 0).unwrap();
    let hits: Vec<_> = (0..4)
        .map(|n| table.insert(owner, &flow(&table, n, 1), 1).unwrap())
        .collect();
    table.set_state(hits[0].flow, AGREED);
    table.set_state(hits[2].flow, AGREED);
    let full = table.insert(owner, &flow(&table, 50, 1), 2);
    assert!(matches!(full, Err(InsertError::PortShareUsed { .. })));
    let told = make_room(&table, owner, 1, 2);
    assert_eq!(
        told.iter()
            .map(|flow| (flow.action[0], flow.reason))
            .collect::<Vec<_>>(),
        [(1, EndReason::Evicted)]
    );
    table.insert(owner, &flow(&table, 50, 1), 2).unwrap();
    assert_eq!(make_room(&table, owner, 1, 2)[0].action[0], 3);
    assert_eq!(make_room(&table, owner, 1, 2)[0].action[0], 50);
    // Only agreed ones are left: they stay.
    assert!(make_room(&table, owner, 1, 2).is_empty());
    assert!(find(&table, 0).is_some() && find(&table, 2).is_some());
    // Nobody else's ever went; a port without flows, or that does not exist, has nothing to give.
    assert!(find(&table, 100).is_some());
    assert!(make_room(&table, owner, 3, 2).is_empty() && make_room(&table, owner, 4000, 2).is_empty());
    // One that closes is young again.
    table.set_state(hits[2].flow, GONE);
    table.review(hits[2].flow);
    assert!(expire(&table, owner, 3).is_empty());
    assert_eq!(make_room(&table, owner, 1, 3)[0].action[0], 2);
}

#[test]
fn a_vrf_has_its_share_and_bridges_are_not_counted() {
    let (table, mut owners) = table(100, 1);
    let owner = &mut owners[0];
    assert!(table.set_vrf_limit(1, 2) && !table.set_vrf_limit(3, 2));
    assert_eq!(
        (table.vrf_limit(0), table.vrf_limit(1), table.vrf_limit(3)),
        (u32::MAX, 2, 0)
    );
    // Keys 1, 4, 7 are in VRF 1.
    for n in [1, 4] {
        table.insert(owner, &flow(&table, n, 0), 0).unwrap();
    }
    let third = table.insert(owner, &flow(&table, 7, 1), 0);
    assert_eq!(third, Err(InsertError::VrfShareUsed { vrf: 1, limit: 2 }));
    assert_eq!(
        (table.vrf_flows(1), table.port_flows(1), table.used()),
        (2, 0, 2),
        "nothing is left of it"
    );
    // The first port may make room in its VRF, the second one has nothing to give.
    assert!(make_room(&table, owner, 1, 0).is_empty());
    table.insert(owner, &flow(&table, 2, 1), 0).unwrap();
    let bridged = key(7).with_context(1 << 31 | 1);
    let bridged = NewDirection {
        key: bridged,
        hash: table.hash(&bridged),
        epoch: 1,
        action: [0; 3],
    };
    let alone = NewFlow {
        forward: bridged,
        reverse: None,
        port: 1,
    };
    table.insert(owner, &alone, 0).unwrap();
    assert_eq!(make_room(&table, owner, 0, 0)[0].action[0], 1);
    table.insert(owner, &flow(&table, 7, 0), 0).unwrap();
    assert_eq!(expire(&table, owner, 60_000).len(), 4);
    assert_eq!([0, 1, 2].map(|vrf| table.vrf_flows(vrf)), [0, 0, 0]);
}

/// A million flows of one port, each more half-open than the last: its own go, the others' stay, and others still begin new ones.
#[test]
fn a_million_flows_from_one_port_cost_only_that_port() {
    const FLOODER: u16 = 1;
    let (table, mut owners) = table(20_000, 1);
    let owner = &mut owners[0];
    owner.set_first_look(100);
    table.set_port_limit(FLOODER, 15_000).unwrap();
    let mut others = Vec::new();
    for n in 0..1000 {
        let hit = table.insert(owner, &flow(&table, n, 2 + (n % 4) as u16), 0).unwrap();
        // Half of them are themselves but half-open.
        if n % 2 == 0 {
            table.set_state(hit.flow, AGREED);
        }
        others.push(hit.flow);
    }
    let (mut refused, mut evicted) = (0, 0);
    for n in 0..1_000_000u32 {
        // A second in all: nothing is idle for long enough to go by itself.
        let now = u64::from(n / 2000);
        let new = flow(&table, 10_000 + n, FLOODER);
        match table.insert(owner, &new, now) {
            Ok(_) => {}
            Err(InsertError::PortShareUsed { port: FLOODER, .. }) => {
                evicted += make_room(&table, owner, FLOODER, now).len();
                refused += u32::from(table.insert(owner, &new, now).is_err());
            }
            // Two buckets full: as likely for anybody.
            Err(other) => assert_eq!(other, InsertError::TableFull),
        }
        if n % 1000 == 0 {
            // Somebody else's connection begins and is agreed on, in the midst of it.
            let hit = table.insert(owner, &flow(&table, 5_000_000 + n, 6), now).unwrap();
            table.set_state(hit.flow, AGREED);
            others.push(hit.flow);
        }
        if n % 64 == 0 {
            table.expire(owner, now, 32, outlook, |ended| assert_eq!(ended.flow().port, FLOODER));
        }
    }
    assert_eq!((refused, table.port_flows(FLOODER)), (0, 15_000));
    assert!(evicted > 900_000, "{evicted}");
    assert!(others.iter().all(|flow| table.get(*flow).is_some()));
    assert_eq!(others.len(), 2000);
    // All of it comes back.
    for now in [100_000, 100_100] {
        table.expire(owner, now, usize::MAX, outlook, |_| {});
    }
    assert_eq!((table.used(), table.index_slots()), (0, 0));
    assert_eq!((0..8).map(|port| table.port_flows(port)).sum::<u32>(), 0);
}

#[test]
fn a_region_full_of_others_flows_gives_nothing_away() {
    let (table, mut owners) = table(32, 1);
    let owner = &mut owners[0];
    for n in 0..32 {
        table.insert(owner, &flow(&table, n, 1), 0).unwrap();
    }
    assert_eq!(
        table.insert(owner, &flow(&table, 99, 2), 0),
        Err(InsertError::TableFull)
    );
    assert!(make_room(&table, owner, 2, 0).is_empty());
    assert_eq!(table.used(), 32);
}

#[derive(Clone, Debug)]
enum Op {
    Insert(u32, u16),
    Touch(u32),
    Agree(u32),
    Close(u32),
    Remove(u32),
    MakeRoom(u16),
    Wait(u64),
    Expire,
}

fn op() -> impl Strategy<Value = Op> {
    let n = 0..40u32;
    prop_oneof![
        6 => (n.clone(), 0..4u16).prop_map(|(n, port)| Op::Insert(n, port)),
        3 => n.clone().prop_map(Op::Touch),
        3 => n.clone().prop_map(Op::Agree),
        1 => n.clone().prop_map(Op::Close),
        1 => n.prop_map(Op::Remove),
        1 => (0..4u16).prop_map(Op::MakeRoom),
        3 => (1..700u64).prop_map(Op::Wait),
        4 => Just(Op::Expire),
    ]
}

struct Model {
    port: u16,
    seen: u64,
    state: u64,
    removed: bool,
}

impl Model {
    fn timeout(&self) -> u64 {
        match self.state {
            GONE => 100,
            AGREED => 10_000,
            _ => 1000,
        }
    }
}

proptest! {
    /// Against a plain map: each flow ends in the first look at or after the tick in which it is over, removed ones in the first look of all;
    /// each is told of once; room is made by young flows of the port alone; and what flows took comes back.
    #[test]
    fn ends_are_exact_and_nothing_leaks(ops in proptest::collection::vec(op(), 1..400), shortest in prop::sample::select(vec![0u64, 100])) {
        let (table, mut owners) = table(24, 1);
        let owner = &mut owners[0];
        owner.set_first_look(shortest);
        let mut map: BTreeMap<u32, Model> = BTreeMap::new();
        let mut now = 12_345;
        for op in ops {
            match op {
                Op::Insert(n, port) => match table.insert(owner, &flow(&table, n, port), now) {
                    Ok(_) => {
                        let old = map.insert(n, Model { port, seen: now, state: 0, removed: false });
                        prop_assert!(old.is_none_or(|old| old.removed));
                    }
                    Err(InsertError::AlreadyThere(_)) => prop_assert!(map.contains_key(&n)),
                    Err(InsertError::TableFull) => prop_assert_eq!(table.used(), 24),
                    Err(other) => prop_assert!(false, "{}", other),
                },
                Op::Touch(n) => if let (Some(hit), Some(model)) = (find(&table, n), map.get_mut(&n)) {
                    table.touch(hit.flow, now, 1);
                    model.seen = now;
                },
                Op::Agree(n) | Op::Close(n) => if let (Some(hit), Some(model)) = (find(&table, n), map.get_mut(&n)) {
                    model.state = if matches!(op, Op::Agree(_)) { AGREED } else { GONE };
                    table.set_state(hit.flow, model.state);
                    table.review(hit.flow);
                },
                Op::Remove(n) => if let Some(hit) = find(&table, n) {
                    prop_assert!(table.remove(hit.flow));
                    map.remove(&n);
                },
                Op::MakeRoom(port) => {
                    let used = table.port_flows(port);
                    for ended in make_room(&table, owner, port, now) {
                        if ended.reason == EndReason::Removed {
                            continue;
                        }
                        let model = map.remove(&(ended.action[0] as u32)).unwrap();
                        let idle = now - model.seen >= model.timeout();
                        prop_assert!(model.port == port && model.state != AGREED || idle);
                    }
                    prop_assert!(table.port_flows(port) <= used);
                }
                Op::Wait(ms) => now += ms,
                Op::Expire => {
                    let told = expire(&table, owner, now);
                    for ended in told.iter().filter(|ended| ended.reason == EndReason::Idle) {
                        let model = map.remove(&(ended.action[0] as u32)).unwrap();
                        prop_assert!(now >= model.seen + model.timeout(), "never before its time");
                    }
                    for (n, model) in &map {
                        let tick = (model.seen + model.timeout()).div_ceil(100) * 100;
                        prop_assert!(now < tick, "{} should be over since {}", n, tick);
                    }
                    prop_assert_eq!(table.used(), map.len(), "removed ones are free");
                }
            }
            for n in 0..40 {
                prop_assert_eq!(find(&table, n).is_some(), map.contains_key(&n));
            }
            prop_assert_eq!(table.index_slots(), 2 * map.len());
        }
        expire(&table, owner, now + 100_000);
        prop_assert_eq!((table.used(), table.index_slots()), (0, 0));
        prop_assert_eq!((0..8).map(|port| table.port_flows(port)).sum::<u32>(), 0);
        prop_assert_eq!((0..3).map(|vrf| table.vrf_flows(vrf)).sum::<u32>(), 0);
    }
}
