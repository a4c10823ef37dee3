//! Services and source translations: who has which address, and what they keep when something about them changes.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use proptest::prelude::*;
use vrouter_dataplane::{
    program::{
        object::{BackendSpec, Key, Object, Operation, ServiceSpec, SourceNatSpec},
        problem::Code,
    },
    tables::{
        service::Service,
        slots::VrfSlot,
        source_nat::{Pool, SourceNat},
    },
};

use crate::{
    full,
    lab::{
        node::Node,
        objects::{
            backend, ip, service, service_spec, source_nat, source_nat_spec, to_vrf, underlay, underlay_vrf, vrf,
        },
    },
    refusals::{check, put},
};

const TCP: u8 = 6;

#[test]
fn each_wrong_field_is_named() {
    let (invalid, not_found, in_use) = (Code::Invalid, Code::NotFound, Code::InUse);
    let nat = |change: fn(&mut SourceNatSpec)| {
        let mut spec = source_nat_spec(9, (2, 3), "10.9.0.0/24", &["203.0.113.99"]);
        change(&mut spec);
        put(Object::SourceNat(spec))
    };
    let of = |change: fn(&mut ServiceSpec)| {
        let mut spec = service_spec(9, 1, "10.96.0.99", (TCP, 80), &[backend("10.1.0.2", 8080)]);
        change(&mut spec);
        put(Object::Service(spec))
    };
    check([
        (nat(|n| n.id = 0), invalid, "source_nat.id", "1 or more"),
        (nat(|n| n.inside = 77), not_found, "source_nat.inside", "no VRF 77"),
        (nat(|n| n.outside = 77), not_found, "source_nat.outside", "no VRF 77"),
        (
            nat(|n| n.outside = 2),
            invalid,
            "source_nat.outside",
            "between two VRFs",
        ),
        (
            nat(|n| n.addresses = [ip("2001:db8:f::9")].into()),
            invalid,
            "source_nat.addresses",
            "not of the family",
        ),
        (nat(|n| n.addresses = [].into()), invalid, "source_nat", "give 1 to"),
        (nat(|n| n.block_size = 7), invalid, "source_nat", "power of two"),
        (
            nat(|n| n.addresses = [ip("192.0.2.1")].into()),
            invalid,
            "source_nat.addresses",
            "tunnel address",
        ),
        // Somebody else has it.
        (
            put(source_nat(9, (1, 3), "10.1.0.0/16", &["203.0.113.98"])),
            in_use,
            "source_nat.prefix",
            "2 (nat 2) and 9 (nat 9) would both be for 10.1.0.0/16",
        ),
        (
            put(source_nat(9, (2, 3), "10.1.0.9/32", &["203.0.113.7"])),
            in_use,
            "source_nat.addresses",
            "1 (nat 1) and 9 (nat 9)",
        ),
        (
            nat(|n| n.addresses = [ip("203.0.113.7")].into()),
            in_use,
            "source_nat.addresses",
            "203.0.113.7",
        ),
        (
            nat(|n| n.addresses = [ip("203.0.113.1")].into()),
            in_use,
            "source_nat.addresses",
            "the very same addresses",
        ),
        (of(|s| s.id = 0), invalid, "service.id", "1 or more"),
        (of(|s| s.vrf = 77), not_found, "service.vrf", "no VRF 77"),
        (
            of(|s| s.backends = [backend("fd00::2", 80)].into()),
            invalid,
            "service.backends.address",
            "not of the family",
        ),
        (
            of(|s| s.backends = [backend("10.96.0.99", 80)].into()),
            invalid,
            "service.backends.address",
            "the service itself",
        ),
        (
            of(|s| s.backends = vec![backend("10.1.0.2", 80); 2].into()),
            invalid,
            "service.backends.address",
            "given twice",
        ),
        (
            of(|s| {
                let elsewhere = BackendSpec {
                    vrf: Some(77),
                    ..backend("10.1.0.2", 80)
                };
                s.backends = [elsewhere].into();
            }),
            not_found,
            "service.backends.vrf",
            "no VRF 77",
        ),
        (
            put(service(9, 1, "10.96.0.10", (17, 53), &[])),
            in_use,
            "service.address",
            "service 1 (service 1) and to service 9 (service 9)",
        ),
        (
            put(service(9, 3, "192.0.2.1", (TCP, 80), &[])),
            invalid,
            "service.address",
            "tunnel address",
        ),
        (
            put(underlay_vrf(2)),
            in_use,
            "vrf.underlay",
            "VRF 2 (underlay) and VRF 3 (underlay)",
        ),
        (Operation::Delete(Key::Vrf(3)), in_use, "vrf", "source translations"),
        (put(to_vrf(70, 77)), not_found, "next_hop.vrf.vrf", "no VRF 77"),
        (
            put(underlay(70, Some(ip("192.0.2.1")))),
            invalid,
            "next_hop.underlay.gateway",
            "own tunnel address",
        ),
        (
            put(underlay(70, Some(ip("ff02::1")))),
            invalid,
            "next_hop.underlay.gateway",
            "router",
        ),
    ]);
}

#[test]
fn addresses_pass_from_one_to_another_within_a_batch() {
    let mut node = full::node();
    let web = |id, address| {
        service(
            id,
            1,
            address,
            (TCP, 80),
            &[backend("10.1.0.2", 80), backend("10.1.0.3", 80)],
        )
    };
    let floating = |id, inside, address| source_nat(id, (1, 3), inside, &[address]);
    node.put([
        web(11, "10.96.0.1"),
        web(12, "10.96.0.2"),
        web(13, "10.96.0.3"),
        floating(11, "10.1.0.11/32", "203.0.113.11"),
        floating(12, "10.1.0.12/32", "203.0.113.12"),
    ]);
    // Three in a ring, and two crosswise; and the underlay is another VRF for a moment.
    node.put([
        web(11, "10.96.0.2"),
        web(12, "10.96.0.3"),
        web(13, "10.96.0.1"),
        floating(11, "10.1.0.11/32", "203.0.113.12"),
        floating(12, "10.1.0.12/32", "203.0.113.11"),
        underlay_vrf(2),
        underlay_vrf(3),
        vrf(2),
    ]);
    for (address, id) in [("10.96.0.1", 13), ("10.96.0.2", 11), ("10.96.0.3", 12)] {
        assert_eq!(service_at(&node, 1, address, (TCP, 80)).unwrap().id, id);
    }
    for (source, outside) in [("10.1.0.11", "203.0.113.12"), ("10.1.0.12", "203.0.113.11")] {
        let nat = nat_for(&node, (1, 3), source).unwrap();
        assert_eq!(nat.pool.spec().addresses[..], [ip(outside)]);
    }
    // Deleted and given to another in one batch.
    node.apply(&[put(web(14, "10.96.0.1")), Operation::Delete(Key::Service(13))])
        .unwrap();
    assert_eq!(service_at(&node, 1, "10.96.0.1", (TCP, 80)).unwrap().id, 14);
    let own = |node: &Node, address: &str| node.dp.programmer.snapshot().tables().owner(ip(address)).is_some();
    assert!(own(&node, "203.0.113.7") && own(&node, "203.0.113.11") && own(&node, "2001:db8:f::1"));
    assert!(!own(&node, "10.96.0.1") && !own(&node, "203.0.113.99"));
    node.apply(&[Operation::Delete(Key::SourceNat(1))]).unwrap();
    assert!(own(&node, "203.0.113.7"), "a service has it, too");
    node.apply(&[Operation::Delete(Key::Service(3))]).unwrap();
    assert!(!own(&node, "203.0.113.7"));
    node.check();
}

fn slot(node: &Node, id: u32) -> VrfSlot {
    node.dp.programmer.snapshot().vrf_slot(id).unwrap()
}

fn service_at(node: &Node, vrf: u32, address: &str, (protocol, port): (u8, u16)) -> Option<Arc<Service>> {
    let snapshot = node.dp.programmer.snapshot();
    let found = snapshot
        .tables()
        .service_for(slot(node, vrf), ip(address), protocol, port);
    found.cloned()
}

fn nat_for(node: &Node, (inside, outside): (u32, u32), source: &str) -> Option<Arc<SourceNat>> {
    let snapshot = node.dp.programmer.snapshot();
    let tables = snapshot.tables();
    tables
        .source_nat_for(slot(node, inside), slot(node, outside), ip(source))
        .cloned()
}

#[test]
fn what_flows_hold_survives_changes_of_everything_else() {
    let mut node = full::node();
    let pool = |node: &Node| nat_for(node, (1, 3), "10.1.9.9").unwrap().pool.clone();
    let before: Arc<Pool> = pool(&node);
    let (_, port) = before.translate(ip("10.1.9.9"), 4000, TCP, 0).unwrap();
    // Put again, renamed, for other sources: the same ports stay given out.
    let addresses = ["203.0.113.1", "203.0.113.2"];
    let again = |change: fn(&mut SourceNatSpec)| {
        let mut spec = source_nat_spec(2, (1, 3), "10.1.0.0/16", &addresses);
        change(&mut spec);
        Object::SourceNat(spec)
    };
    let changes: [fn(&mut SourceNatSpec); 3] = [
        |_| (),
        |n| n.name = "other".into(),
        |n| n.prefix = "10.0.0.0/8".parse().unwrap(),
    ];
    for change in changes {
        node.put([again(change)]);
        assert!(Arc::ptr_eq(&pool(&node), &before));
    }
    assert!(port >= 1024);
    // Networks behind the same addresses share what there is to give out.
    let shared = nat_for(&node, (2, 3), "10.1.9.9").unwrap().pool.statistics();
    assert_eq!((shared.blocks_used, shared.blocks > 1000), (1, true));
    // Other ports make another pool; apart from those of others, of which it must keep clear.
    let problems = node.apply(&[put(again(|n| n.block_size = 128))]).unwrap_err();
    assert_eq!(
        (problems[0].code, problems[0].field),
        (Code::InUse, "source_nat.addresses")
    );
    node.apply(&[Operation::Delete(Key::SourceNat(3)), put(again(|n| n.block_size = 128))])
        .unwrap();
    assert!(!Arc::ptr_eq(&pool(&node), &before));
    let part = |id, inside: u32, first_port, last_port| {
        Object::SourceNat(SourceNatSpec {
            first_port,
            last_port,
            ..source_nat_spec(id, (inside, 3), "10.7.0.0/16", &["203.0.113.50"])
        })
    };
    node.put([part(20, 1, 1024, 9999), part(21, 2, 10_000, 19_999)]);
    let problems = node.apply(&[put(part(21, 2, 9999, 19_999))]).unwrap_err();
    assert!(
        problems[0].message.contains("the same ports of 203.0.113.50"),
        "{}",
        problems[0]
    );
}

#[test]
fn a_service_keeps_its_counters_and_its_table() {
    let mut node = full::node();
    let backends = [backend("10.1.0.2", 5353), backend("10.1.0.3", 0)];
    let dns = |node: &Node| service_at(node, 1, "10.96.0.10", (17, 53)).unwrap();
    let before = dns(&node);
    before.count(1);
    node.put([service(1, 1, "10.96.0.10", (17, 53), &backends)]);
    assert!(Arc::ptr_eq(&dns(&node), &before), "nothing changed");
    // One drains and one comes, in another order: the one that stays keeps its count.
    let drained = BackendSpec {
        draining: true,
        ..backend("10.1.0.2", 5353)
    };
    node.put([service(
        1,
        1,
        "10.96.0.10",
        (17, 53),
        &[backend("10.1.0.4", 53), backend("10.1.0.3", 0), drained],
    )]);
    let after = dns(&node);
    assert_eq!(after.flows().collect::<Vec<_>>(), [0, 1, 0]);
    assert_eq!(after.slot, before.slot);
    assert!(
        (0..1000_u64).all(|n| after.pick(n << 50).unwrap().0 != 2),
        "it gets no new ones"
    );
    // Elsewhere it is another service.
    node.put([service(1, 1, "10.96.0.11", (17, 53), &backends)]);
    assert!(service_at(&node, 1, "10.96.0.10", (17, 53)).is_none());
    let moved = service_at(&node, 1, "10.96.0.11", (17, 53)).unwrap();
    assert_eq!(moved.flows().collect::<Vec<_>>(), [0, 0]);
    // Without backends it is there, and refuses.
    assert!(
        service_at(&node, 1, "fd00:96::10", (TCP, 80))
            .unwrap()
            .pick(7)
            .is_none()
    );
    // All that is sent to an address comes after what is said of one port.
    node.put([service(30, 1, "10.96.0.11", (0, 0), &[backend("10.1.0.9", 0)])]);
    assert_eq!(service_at(&node, 1, "10.96.0.11", (17, 53)).unwrap().id, 1);
    assert_eq!(service_at(&node, 1, "10.96.0.11", (17, 54)).unwrap().id, 30);
}

/// One change of a random history.
#[derive(Clone, Debug)]
enum Step {
    Service(u32, u32, u8, u16),
    NoService(u32),
    Nat(u32, u32, u8, u8),
    NoNat(u32),
    Underlay(Option<u32>),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..5_u32, 1..4_u32, 0..3_u8, 80..82_u16).prop_map(|(id, vrf, a, port)| Step::Service(id, vrf, a, port)),
        1 => (1..5_u32).prop_map(Step::NoService),
        4 => (1..5_u32, 1..3_u32, 0..3_u8, 0..3_u8).prop_map(|(id, inside, p, a)| Step::Nat(id, inside, p, a)),
        1 => (1..5_u32).prop_map(Step::NoNat),
        1 => prop::option::of(2..4_u32).prop_map(Step::Underlay),
    ]
}

fn virtual_ip(number: u8) -> &'static str {
    ["198.51.100.1", "198.51.100.2", "2001:db8:5::1"][usize::from(number)]
}

/// What a model knows: services and translations by identifier, and the VRF of the underlay.
#[derive(Clone, Debug, Default)]
struct Model {
    services: BTreeMap<u32, (u32, IpAddr, u16)>,
    nats: BTreeMap<u32, (u32, u8, u8)>,
    underlay: Option<u32>,
}

const INSIDE: [&str; 3] = ["10.1.0.1/32", "10.1.0.2/32", "10.2.0.0/16"];
const OUTSIDE: [&str; 3] = ["198.51.100.1", "198.51.100.3", "198.51.100.4"];

impl Model {
    fn apply(&mut self, step: &Step) -> Operation {
        match *step {
            Step::Service(id, vrf, address, port) => {
                let address = virtual_ip(address);
                self.services.insert(id, (vrf, ip(address), port));
                put(service(id, vrf, address, (TCP, port), &[]))
            }
            Step::NoService(id) => {
                self.services.remove(&id);
                Operation::Delete(Key::Service(id))
            }
            Step::Nat(id, inside, place, address) => {
                self.nats.insert(id, (inside, place, address));
                let (of, address) = (INSIDE[usize::from(place)], OUTSIDE[usize::from(address)]);
                put(source_nat(id, (inside, 3), of, &[address]))
            }
            Step::NoNat(id) => {
                self.nats.remove(&id);
                Operation::Delete(Key::SourceNat(id))
            }
            // Of the others, none is; a batch with one operation can move it only by way of none.
            Step::Underlay(Some(id)) => {
                self.underlay = Some(id);
                put(underlay_vrf(id))
            }
            Step::Underlay(None) => {
                let id = self.underlay.take().unwrap_or(2);
                put(vrf(id))
            }
        }
    }

    /// Nothing is claimed twice.
    fn holds(&self) -> bool {
        let twice = |mut keys: Vec<String>| {
            keys.sort();
            keys.windows(2).any(|pair| pair[0] == pair[1])
        };
        let services = self.services.values().map(|place| format!("{place:?}")).collect();
        let ways = self
            .nats
            .values()
            .map(|(inside, place, _)| format!("{inside} {place}"))
            .collect();
        let mut single: Vec<_> = self
            .nats
            .values()
            .filter(|nat| nat.1 < 2)
            .map(|nat| nat.2.to_string())
            .collect();
        // Translations by blocks share an address with each other, and with no single one.
        let blocks: std::collections::BTreeSet<_> =
            self.nats.values().filter(|nat| nat.1 == 2).map(|nat| nat.2).collect();
        single.extend(blocks.iter().map(ToString::to_string));
        !twice(services) && !twice(ways) && !twice(single)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// A batch passes if and only if at its end nothing is claimed twice; tables then hold exactly what was put.
    #[test]
    fn tables_hold_what_a_list_says(batches in prop::collection::vec(prop::collection::vec(step(), 1..6), 1..10)) {
        let mut node = Node::new();
        node.put([vrf(1), vrf(2), vrf(3)]);
        let mut model = Model::default();
        for steps in batches {
            let mut next = model.clone();
            let mut batch = Vec::new();
            for step in &steps {
                // The VRF that was the underlay's gives it up first.
                if let (Step::Underlay(Some(id)), Some(old)) = (step, next.underlay)
                    && *id != old
                {
                    batch.push(put(vrf(old)));
                }
                batch.push(next.apply(step));
            }
            let result = node.apply(&batch);
            prop_assert_eq!(result.is_ok(), next.holds(), "{:?} {:?}", batch, result);
            if result.is_ok() {
                model = next;
            }
            let snapshot = node.dp.programmer.snapshot();
            let tables = snapshot.tables();
            prop_assert_eq!(tables.services.len(), model.services.len());
            prop_assert_eq!(tables.service_slots.iter().count(), model.services.len());
            for (id, (vrf, address, port)) in &model.services {
                let found = tables.service_for(snapshot.vrf_slot(*vrf).unwrap(), *address, TCP, *port);
                prop_assert_eq!(found.map(|service| service.id), Some(*id));
            }
            prop_assert_eq!(tables.source_nat_slots.iter().count(), model.nats.len());
            for (id, (inside, place, address)) in &model.nats {
                let source: vrouter_dataplane::wire::IpPrefix = INSIDE[usize::from(*place)].parse().unwrap();
                let between = (snapshot.vrf_slot(*inside).unwrap(), snapshot.vrf_slot(3).unwrap());
                let found = tables.source_nat_for(between.0, between.1, source.addr()).unwrap();
                prop_assert_eq!(found.id, *id);
                prop_assert_eq!(&found.pool.spec().addresses[..], &[ip(OUTSIDE[usize::from(*address)])][..]);
            }
            let mut owned: Vec<_> = tables.owned.keys().copied().collect();
            let of_services = model.services.values().filter(|s| Some(s.0) == model.underlay).map(|s| s.1);
            let of_nats = model.nats.values().filter(|_| model.underlay == Some(3)).map(|n| ip(OUTSIDE[usize::from(n.2)]));
            let mut expected: Vec<_> = of_services.chain(of_nats).collect();
            owned.sort_unstable();
            expected.sort_unstable();
            expected.dedup();
            prop_assert_eq!(owned, expected);
        }
        // References are counted right: once all are gone, VRFs go.
        let services = (1..5).map(|id| Operation::Delete(Key::Service(id)));
        let rest = (1..5).map(|id| Operation::Delete(Key::SourceNat(id)));
        node.apply(&services.chain(rest).collect::<Vec<_>>()).unwrap();
        let vrfs = [1, 2, 3].map(|id| Operation::Delete(Key::Vrf(id)));
        prop_assert_eq!(node.apply(&vrfs).map(|_| ()), Ok(()));
    }
}
