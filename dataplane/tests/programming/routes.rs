//! Several sources offer one prefix: the best is used, the others wait.

use std::collections::BTreeMap;

use proptest::prelude::*;
use vrouter_dataplane::program::{
    Dumped,
    object::{ActionSpec, Key, Object, Operation, RouteKey, RouteSpec},
};

use crate::lab::{
    node::Node,
    objects::{next_hop, prefix, route_spec, vrf},
};

fn node() -> Node {
    let mut node = Node::new();
    node.put([vrf(1), vrf(2)]);
    node.put((1..=20).map(|id| {
        next_hop(
            id,
            if id % 2 == 0 {
                ActionSpec::Drop
            } else {
                ActionSpec::Local
            },
        )
    }));
    node
}

fn offer(to: &str, next_hop: u64, source: u8, preference: u8) -> Object {
    Object::Route(RouteSpec {
        source,
        preference,
        ..route_spec(1, to, next_hop)
    })
}

fn withdraw(to: &str, source: u8) -> Operation {
    Operation::Delete(Key::Route(RouteKey {
        vrf: 1,
        prefix: prefix(to),
        source,
    }))
}

/// Offers of a prefix as they are shown: next hop, source, preference, whether it is used.
fn offers(node: &Node, to: &str) -> Vec<(u64, u8, u8, bool)> {
    let snapshot = node.dp.programmer.snapshot();
    let of_prefix = |dumped| match dumped {
        Dumped::Route { spec, active } if spec.prefix == prefix(to) => {
            Some((spec.next_hop, spec.source, spec.preference, active))
        }
        _ => None,
    };
    let mut offers: Vec<_> = snapshot.routes(Some(1)).filter_map(of_prefix).collect();
    offers.sort_by_key(|o| (o.2, o.1));
    offers
}

#[test]
fn the_smallest_preference_wins_then_the_smallest_source() {
    for to in [
        "10.0.0.0/8",
        "fd00::/16",
        "0.0.0.0/0",
        "::/0",
        "10.0.0.1/32",
        "fd00::1/128",
    ] {
        let mut node = node();
        node.put([offer(to, 1, 3, 5)]);
        assert_eq!(offers(&node, to), [(1, 3, 5, true)]);
        node.put([offer(to, 2, 4, 5), offer(to, 3, 2, 5)]);
        assert_eq!(offers(&node, to), [(3, 2, 5, true), (1, 3, 5, false), (2, 4, 5, false)]);
        node.put([offer(to, 4, 9, 1)]);
        assert_eq!(offers(&node, to)[0], (4, 9, 1, true));
        // A source has one offer: its next replaces it, for better or worse.
        node.put([offer(to, 4, 9, 15)]);
        assert_eq!(
            offers(&node, to),
            [(3, 2, 5, true), (1, 3, 5, false), (2, 4, 5, false), (4, 9, 15, false)]
        );
        // The best goes, the next takes its place; one that waits goes, nothing changes.
        node.apply(&[withdraw(to, 2)]).unwrap();
        node.apply(&[withdraw(to, 4)]).unwrap();
        assert_eq!(offers(&node, to), [(1, 3, 5, true), (4, 9, 15, false)]);
        assert_eq!(node.dp.programmer.snapshot().route_count(), 2);
        // A next hop is in use by an offer that waits, too.
        assert!(node.apply(&[Operation::Delete(Key::NextHop(4))]).is_err());
        node.apply(&[withdraw(to, 9), withdraw(to, 3), Operation::Delete(Key::NextHop(4))])
            .unwrap();
        assert_eq!(offers(&node, to), []);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any offers and withdrawals in any batches, against a plain map.
    #[test]
    fn offers_are_as_a_plain_map_says(
        batches in prop::collection::vec(
            prop::collection::vec((0..6_usize, 1..=20_u64, 0..4_u8, 0..4_u8, any::<bool>(), 0..50_u8), 1..12),
            1..12,
        )
    ) {
        const PREFIXES: [&str; 6] = ["10.0.0.0/8", "10.0.0.0/24", "0.0.0.0/0", "fd00::/16", "fd00::/64", "fd00::1/128"];
        let mut node = node();
        let mut model: BTreeMap<(usize, u8), (u64, u8)> = BTreeMap::new();
        for batch in batches {
            let mut staged = model.clone();
            let (mut operations, mut spoiled) = (Vec::new(), false);
            for (to, next_hop, source, preference, put, luck) in batch {
                spoiled |= luck == 0;
                if luck == 0 {
                    operations.push(Operation::Put(offer(PREFIXES[to], 999, source, preference)));
                } else if put {
                    operations.push(Operation::Put(offer(PREFIXES[to], next_hop, source, preference)));
                    staged.insert((to, source), (next_hop, preference));
                } else {
                    operations.push(withdraw(PREFIXES[to], source));
                    staged.remove(&(to, source));
                }
            }
            prop_assert_eq!(node.apply(&operations).is_err(), spoiled);
            if !spoiled {
                model = staged;
            }
            for (index, to) in PREFIXES.iter().enumerate() {
                let of = model.iter().filter(|((p, _), _)| *p == index);
                let mut expected: Vec<_> = of.map(|((_, s), (n, p))| (*n, *s, *p, false)).collect();
                expected.sort_by_key(|o| (o.2, o.1));
                if let Some(best) = expected.first_mut() {
                    best.3 = true;
                }
                prop_assert_eq!(offers(&node, to), expected);
            }
            prop_assert_eq!(node.dp.programmer.snapshot().route_count(), model.len() as u64);
        }
    }
}
