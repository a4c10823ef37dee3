use super::*;

fn mac(n: u64) -> [u8; 6] {
    let [_, _, a, b, c, d, e, f] = (0x0200_0000_0000 + n).to_be_bytes();
    [a, b, c, d, e, f]
}

#[cfg(not(vrouter_loom))]
mod plain {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    const AGING: u32 = 300;

    fn table(capacity: usize) -> LearnedTable {
        LearnedTable::new(capacity, u32::MAX, 8, 0x5eed).unwrap()
    }

    #[test]
    fn learns_refreshes_moves_and_ages() {
        let t = table(100);
        assert_eq!(t.lookup(1, mac(1), 0, AGING), None);
        assert_eq!(t.learn(1, mac(1), Place::Port(7), 10), Learned::New);
        assert_eq!(t.lookup(1, mac(1), 10, AGING), Some(Place::Port(7)));
        assert_eq!(t.lookup(2, mac(1), 10, AGING), None, "bridges are apart");
        assert_eq!(t.learn(1, mac(1), Place::Port(7), 20), Learned::Refreshed);
        let moved = Learned::Moved { from: Place::Port(7) };
        assert_eq!(t.learn(1, mac(1), Place::NextHop(0xff_ffff), 30), moved);
        assert_eq!(
            t.lookup(1, mac(1), 30 + AGING - 1, AGING),
            Some(Place::NextHop(0xff_ffff))
        );
        assert_eq!(t.lookup(1, mac(1), 30 + AGING, AGING), None);
        assert_eq!(t.bridge_count(1), 1);
        let mut hand = 0;
        assert_eq!(t.sweep(&mut hand, 30 + AGING - 1, usize::MAX, |_| AGING), 0);
        assert_eq!(
            t.sweep(&mut hand, 30 + AGING, usize::MAX, |bridge| if bridge == 1 {
                AGING
            } else {
                0
            }),
            1
        );
        assert_eq!((t.bridge_count(1), t.entries().count()), (0, 0));
    }

    #[test]
    fn group_and_zero_addresses_are_never_learned() {
        let t = table(100);
        for mac in [[0xff; 6], [1, 0, 0x5e, 0, 0, 1], [0x33, 0x33, 0, 0, 0, 1], [0; 6]] {
            assert_eq!(t.learn(1, mac, Place::Port(1), 1), Learned::NotAStation);
            assert_eq!(t.lookup(1, mac, 1, AGING), None);
        }
        assert_eq!(
            t.learn(9, mac(1), Place::Port(1), 1),
            Learned::BridgeFull,
            "the table has bridges 0 to 7"
        );
    }

    #[test]
    fn a_bridge_cannot_take_more_than_its_bound() {
        let t = LearnedTable::new(1000, 10, 4, 1).unwrap();
        let learned = |bridge, n| t.learn(bridge, mac(n), Place::Port(1), 1);
        assert!((0..10).all(|n| learned(2, n) == Learned::New));
        assert_eq!(learned(2, 10), Learned::BridgeFull);
        assert_eq!(learned(2, 9), Learned::Refreshed);
        assert_eq!(learned(3, 10), Learned::New);
        assert!(t.forget_mac(2, mac(0)));
        assert!(!t.forget_mac(2, mac(0)));
        assert_eq!(learned(2, 10), Learned::New);
    }

    #[test]
    fn holds_what_was_promised_and_says_when_full() {
        let t = table(20_000);
        assert!((0..20_000).all(|n| t.learn((n % 8) as u16, mac(n), Place::Port(n as u16), 1) == Learned::New));
        assert!((0..20_000).all(|n| t.lookup((n % 8) as u16, mac(n), 1, AGING) == Some(Place::Port(n as u16))));
        let tiny = table(1);
        let results: Vec<_> = (0..100).map(|n| tiny.learn(1, mac(n), Place::Port(1), 1)).collect();
        assert_eq!(results.iter().filter(|r| **r == Learned::New).count(), 2 * SLOTS);
        assert_eq!(results.iter().filter(|r| **r == Learned::Full).count(), 100 - 2 * SLOTS);
        assert_eq!(tiny.bridge_count(1), 2 * SLOTS as u32);
        assert_eq!(tiny.forget_bridge(1), 2 * SLOTS);
        assert_eq!(tiny.learn(1, mac(99), Place::Port(1), 1), Learned::New);
    }

    #[derive(Clone, Debug)]
    enum Op {
        Learn(u16, u64, Place),
        ForgetPort(u16),
        ForgetNextHop(u32),
        ForgetBridge(u16),
        Wait(u32),
        Sweep,
    }

    fn op() -> impl Strategy<Value = Op> {
        let place = prop_oneof![(0..3u16).prop_map(Place::Port), (0..3u32).prop_map(Place::NextHop)];
        prop_oneof![
            8 => (0..3u16, 0..20u64, place).prop_map(|(b, m, p)| Op::Learn(b, m, p)),
            1 => (0..3u16).prop_map(Op::ForgetPort),
            1 => (0..3u32).prop_map(Op::ForgetNextHop),
            1 => (0..3u16).prop_map(Op::ForgetBridge),
            2 => (1..200u32).prop_map(Op::Wait),
            1 => Just(Op::Sweep),
        ]
    }

    proptest! {
        #[test]
        fn agrees_with_a_plain_map(ops in proptest::collection::vec(op(), 1..200)) {
            let t = table(200);
            let mut map: HashMap<(u16, u64), (Place, u32)> = HashMap::new();
            let (mut now, mut hand) = (1000, 0);
            for op in ops {
                match op {
                    Op::Learn(b, m, place) => {
                        let want = match map.insert((b, m), (place, now)) {
                            None => Learned::New,
                            Some((from, _)) if from == place => Learned::Refreshed,
                            Some((from, _)) => Learned::Moved { from },
                        };
                        prop_assert_eq!(t.learn(b, mac(m), place, now), want);
                    }
                    Op::ForgetPort(port) => {
                        let before = map.len();
                        map.retain(|_, (place, _)| *place != Place::Port(port));
                        prop_assert_eq!(t.forget_port(port), before - map.len());
                    }
                    Op::ForgetNextHop(slot) => {
                        let before = map.len();
                        map.retain(|_, (place, _)| *place != Place::NextHop(slot));
                        prop_assert_eq!(t.forget_next_hop(slot), before - map.len());
                    }
                    Op::ForgetBridge(bridge) => {
                        let before = map.len();
                        map.retain(|(b, _), _| *b != bridge);
                        prop_assert_eq!(t.forget_bridge(bridge), before - map.len());
                    }
                    Op::Wait(seconds) => now += seconds,
                    Op::Sweep => {
                        let before = map.len();
                        map.retain(|_, (_, seen)| now - *seen < AGING);
                        prop_assert_eq!(t.sweep(&mut hand, now, usize::MAX, |_| AGING), before - map.len());
                    }
                }
                let mut entries: Vec<_> = t.entries().map(|e| (e.bridge, e.mac, e.place, e.last_seen_s)).collect();
                let mut model: Vec<_> = map.iter().map(|((b, m), (p, s))| (*b, mac(*m), *p, *s)).collect();
                entries.sort_by_key(|e| (e.0, e.1));
                model.sort_by_key(|e| (e.0, e.1));
                prop_assert_eq!(entries, model);
                for bridge in 0..3 {
                    let count = map.keys().filter(|(b, _)| *b == bridge).count();
                    prop_assert_eq!(t.bridge_count(bridge) as usize, count);
                }
            }
        }
    }

    /// Threads learn, look up, forget and sweep the same few addresses in a crowded table; each address is only ever seen at ports
    /// of its own, so that a value under the wrong key would show.
    #[test]
    fn no_address_is_ever_found_at_anothers_place() {
        let t = table(64);
        std::thread::scope(|scope| {
            for thread in 0..3u64 {
                let t = &t;
                scope.spawn(move || {
                    let (mut random, mut hand) = (thread + 1, 0);
                    for round in 0..60_000u32 {
                        random = random
                            .wrapping_mul(6_364_136_223_846_793_005)
                            .wrapping_add(1_442_695_040_888_963_407);
                        let n = random >> 33 & 0x7f;
                        let port = (n * 2 + (random >> 50 & 1)) as u16;
                        let place = t.lookup(1, mac(n), round, u32::MAX);
                        assert!(place.is_none_or(|p| matches!(p, Place::Port(p) if u64::from(p / 2) == n)));
                        match t.learn(1, mac(n), Place::Port(port), round) {
                            Learned::Moved { from } => assert_eq!(from, Place::Port(port ^ 1)),
                            Learned::NotAStation | Learned::BridgeFull => panic!("neither is so"),
                            _ => {}
                        }
                        if random >> 60 == 0 {
                            t.forget_port(port);
                        }
                        t.sweep(&mut hand, round, 1, |_| 50);
                    }
                });
            }
        });
        let entries: Vec<_> = t.entries().collect();
        let mut macs: Vec<_> = entries.iter().map(|e| e.mac).collect();
        macs.sort_unstable();
        macs.dedup();
        assert_eq!(macs.len(), entries.len(), "no address stands twice once all is quiet");
        assert_eq!(t.bridge_count(1) as usize, entries.len());
        assert_eq!(t.forget_bridge(1), entries.len());
        assert!(
            t.buckets
                .iter()
                .flat_map(|b| &b.0)
                .all(|slot| slot.key.load(Ordering::Relaxed) == EMPTY)
        );
    }
}

#[cfg(vrouter_loom)]
mod loomed {
    use super::*;
    use loom::sync::Arc;
    use loom::thread;

    fn model(test: impl Fn() + Sync + Send + 'static) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(4);
        model.check(test);
    }

    /// One worker forgets another address and so frees an earlier slot between the two workers' choices.
    #[test]
    fn loom_learned_twice_at_once_stays_once() {
        model(|| {
            let t = Arc::new(LearnedTable::new(1, 9, 1, 1).unwrap());
            assert_eq!(t.learn(0, mac(1), Place::Port(1), 1), Learned::New);
            let other = {
                let t = Arc::clone(&t);
                thread::spawn(move || t.learn(0, mac(2), Place::Port(2), 1))
            };
            assert!(t.forget_mac(0, mac(1)));
            let mine = t.learn(0, mac(2), Place::Port(2), 1);
            let other = other.join().unwrap();
            assert!([mine, other].contains(&Learned::New), "{mine:?} {other:?}");
            let entries: Vec<_> = t.entries().collect();
            assert_eq!(
                (entries.len(), entries[0].place, t.bridge_count(0)),
                (1, Place::Port(2), 1)
            );
        });
    }

    /// A slot changes hands while others read and refresh.
    #[test]
    fn loom_learned_values_stay_with_their_keys() {
        model(|| {
            let t = Arc::new(LearnedTable::new(1, 9, 1, 1).unwrap());
            t.learn(0, mac(1), Place::Port(1), 1);
            t.learn(0, mac(3), Place::Port(3), 1);
            let other = {
                let t = Arc::clone(&t);
                thread::spawn(move || {
                    assert!(t.forget_mac(0, mac(1)));
                    assert_eq!(t.learn(0, mac(2), Place::Port(2), 1), Learned::New);
                })
            };
            let found = t.lookup(0, mac(1), 1, 9);
            assert!(found.is_none_or(|place| place == Place::Port(1)), "{found:?}");
            t.learn(0, mac(3), Place::Port(4), 2);
            let found = t.lookup(0, mac(2), 1, 9);
            assert!(found.is_none_or(|place| place == Place::Port(2)), "{found:?}");
            other.join().unwrap();
            assert_eq!(t.lookup(0, mac(2), 1, 9), Some(Place::Port(2)));
            assert_eq!(t.lookup(0, mac(3), 2, 9), Some(Place::Port(4)));
        });
    }
}
