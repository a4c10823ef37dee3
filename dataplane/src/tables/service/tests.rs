//! Services: who is chosen, what is kept when a service is replaced.

use std::{
    collections::{HashMap, HashSet},
    net::{Ipv4Addr, Ipv6Addr},
};

use super::{super::lpm::LpmWriter, *};
use crate::wire::proto::TCP;

const VRF: VrfSlot = VrfSlot::from_raw(3);

fn address(v6: bool, n: u16) -> IpAddr {
    match v6 {
        false => Ipv4Addr::from(0x0a00_0100 + u32::from(n)).into(),
        true => Ipv6Addr::from((0xfd00_u128 << 112) + u128::from(n)).into(),
    }
}

fn backend(v6: bool, n: u16) -> Backend {
    Backend {
        address: address(v6, n),
        port: 8080,
        vrf: VRF,
        weight: 1,
        draining: false,
        name: format!("backend-{n}").into(),
    }
}

fn parts(v6: bool, backends: Vec<Backend>) -> ServiceParts {
    ServiceParts {
        id: 1,
        name: "web".into(),
        slot: 0,
        key: ServiceKey {
            vrf: VRF,
            address: address(v6, 999),
            protocol: TCP,
            port: 80,
        },
        backends: backends.into(),
        client_affinity: false,
        affinity_seconds: 0,
    }
}

fn service(v6: bool, backends: impl IntoIterator<Item = Backend>) -> Service {
    Service::new(parts(v6, backends.into_iter().collect()), None)
}

/// The key of a client's flow, in some VRF.
fn key(v6: bool, context: u32, client: u16, port: u16) -> FlowKey {
    match (address(v6, 10_000 + client), address(v6, 999)) {
        (IpAddr::V4(from), IpAddr::V4(to)) => FlowKey::v4(context, from, to, TCP, port, 80),
        (IpAddr::V6(from), IpAddr::V6(to)) => FlowKey::v6(context, from, to, TCP, port, 80),
        _ => FlowKey::default(),
    }
}

fn name(chosen: Option<(u16, &Backend)>) -> Option<Arc<str>> {
    chosen.map(|(_, backend)| backend.name.clone())
}

#[test]
fn flows_are_spread_over_backends_and_clients_with_affinity_are_not() {
    for v6 in [false, true] {
        let spread = service(v6, (0..10).map(|n| backend(v6, n)));
        let mut flows = HashMap::<_, u32>::new();
        for port in 0..20_000 {
            *flows
                .entry(spread.choose(&key(v6, 1, 1, port), 0).unwrap().0)
                .or_default() += 1;
        }
        assert!(
            flows.len() == 10 && flows.values().all(|flows| (1800..2200).contains(flows)),
            "{flows:?}"
        );

        let mut sticky = parts(v6, (0..10).map(|n| backend(v6, n)).collect());
        sticky.client_affinity = true;
        let sticky = Service::new(sticky, None);
        let of_client = |client| -> HashSet<_> {
            let chosen = (0..100).map(|port| sticky.choose(&key(v6, 1, client, port), 0).unwrap().0);
            chosen.collect()
        };
        assert!((0..50).all(|client| of_client(client).len() == 1));
        assert_eq!((0..500).flat_map(of_client).collect::<HashSet<_>>().len(), 10);
    }
}

#[test]
fn nodes_with_the_same_backends_choose_alike_whatever_their_vrfs_and_order() {
    for v6 in [false, true] {
        let here = service(v6, (0..7).map(|n| backend(v6, n)));
        let there = service(v6, (0..7).rev().map(|n| backend(v6, n)));
        for port in 0..200 {
            let (a, b) = (
                here.choose(&key(v6, 1, 4, port), 0),
                there.choose(&key(v6, 9, 4, port), 0),
            );
            assert!(a.is_some() && name(a) == name(b));
        }
    }
}

#[test]
fn draining_backends_keep_their_place_and_get_nothing_new() {
    for v6 in [false, true] {
        let drained = (0..4).map(|n| Backend {
            draining: n != 2 && n != 3,
            ..backend(v6, n)
        });
        let two = service(v6, drained);
        let chosen: HashSet<_> = (0..500)
            .map(|port| two.pick(two.hash(&key(v6, 0, 1, port))).unwrap().0)
            .collect();
        assert_eq!(chosen, HashSet::from([2, 3]));
        assert_eq!(two.position(address(v6, 0), 8080), Some(0));
        assert_eq!(two.position(address(v6, 0), 8081), None);
        assert_eq!(two.position(address(v6, 9), 8080), None);
        let one = service(v6, [backend(v6, 5)]);
        assert!(one.maglev.is_none() && one.pick(u64::MAX).unwrap().0 == 0);
        let none = service(
            v6,
            [Backend {
                draining: true,
                ..backend(v6, 5)
            }],
        );
        assert!(none.choose(&key(v6, 0, 1, 1), 0).is_none());
        assert!(service(v6, []).pick(7).is_none());
    }
}

#[test]
fn heavier_backends_get_more() {
    let weighted = (0..2).map(|n| Backend {
        weight: [1, 3][usize::from(n)],
        ..backend(false, n)
    });
    let service = service(false, weighted);
    let heavy = (0..10_000)
        .filter(|port| service.choose(&key(false, 0, 1, *port), 0).unwrap().0 == 1)
        .count();
    assert!((7200..7800).contains(&heavy), "{heavy} of 10000");
}

#[test]
fn a_client_stays_for_its_time_even_when_backends_change() {
    for v6 in [false, true] {
        let remembering = |backends: Vec<Backend>, before: Option<&Service>| {
            let parts = ServiceParts {
                client_affinity: true,
                affinity_seconds: 60,
                ..parts(v6, backends)
            };
            Service::new(parts, before)
        };
        let first = remembering(vec![backend(v6, 0)], None);
        let at = |client| key(v6, 0, client, 5);
        (0..100).for_each(|client| assert!(first.choose(&at(client), 1_000).is_some()));
        // Nine more come, in front: all clients stay for a minute from their last flow.
        let ten = remembering((0..10).rev().map(|n| backend(v6, n)).collect(), Some(&first));
        let old = |client| name(ten.would_choose(&at(client), 60_000)).as_deref() == Some("backend-0");
        assert!((0..100).all(old));
        ten.ended(at(1).src(), address(v6, 0), 8080, 50_000);
        ten.ended(at(2).src(), address(v6, 0), 8081, 50_000);
        assert_eq!(name(ten.would_choose(&at(1), 110_000)).as_deref(), Some("backend-0"));
        let moved =
            (0..100).filter(|client| name(ten.would_choose(&at(*client), 120_000)).as_deref() != Some("backend-0"));
        assert!(moved.count() > 70);
        // It drains: it gets no new flows, not of those who remember it either.
        let drain = |n| Backend {
            draining: n == 0,
            ..backend(v6, n)
        };
        let drained = remembering((0..10).map(drain).collect(), Some(&ten));
        assert!((0..100).all(|client| drained.would_choose(&at(client), 60_000).unwrap().0 != 0));
        // It goes, and another comes in its place: nobody takes that for the old one.
        let without = remembering(vec![backend(v6, 1), backend(v6, 2)], Some(&drained));
        let with_new = remembering(vec![backend(v6, 77), backend(v6, 1), backend(v6, 2)], Some(&without));
        let plain = service(v6, [backend(v6, 77), backend(v6, 1), backend(v6, 2)]);
        for client in 0..100 {
            let by_table = plain.pick(with_new.hash(&at(client)));
            assert_eq!(name(with_new.would_choose(&at(client), 60_000)), name(by_table));
        }
    }
}

#[test]
fn counters_and_tables_stay_with_what_stays() {
    let first = service(false, (0..3).map(|n| backend(false, n)));
    [0, 1, 1, 2, 2, 2, 9]
        .into_iter()
        .for_each(|position| first.count(position));
    assert!(first.flows().eq([1, 2, 3]));
    let renamed = ServiceParts {
        name: "other".into(),
        ..parts(false, first.backends.to_vec())
    };
    let renamed = Service::new(renamed, Some(&first));
    let same = |a: &Service, b: &Service| Arc::ptr_eq(a.maglev.as_ref().unwrap(), b.maglev.as_ref().unwrap());
    assert!(same(&first, &renamed), "nothing about the table changed");
    let changed = Service::new(
        parts(false, vec![backend(false, 2), backend(false, 7), backend(false, 1)]),
        Some(&renamed),
    );
    assert!(changed.flows().eq([3, 0, 2]));
    assert!(!same(&changed, &renamed));
    renamed.count(2);
    assert!(
        changed.flows().eq([4, 0, 2]),
        "workers may still count on the revision before"
    );
}

#[test]
fn packets_find_the_service_of_their_port_before_that_of_the_address() {
    let mut tables = Tables::new(LpmWriter::new(1 << 16).unwrap().arena().clone());
    let to = address(true, 999);
    let put = |tables: &mut Tables, slot, protocol, port| {
        let parts = parts(true, vec![backend(true, slot)]);
        let key = ServiceKey {
            protocol,
            port,
            ..parts.key
        };
        tables.put_service(Arc::new(Service::new(ServiceParts { slot, key, ..parts }, None)));
    };
    let slot = |tables: &Tables, vrf, protocol, port| tables.service_for(vrf, to, protocol, port).map(|s| s.slot);
    assert_eq!(slot(&tables, VRF, TCP, 80), None);
    put(&mut tables, 4, TCP, 80);
    put(&mut tables, 5, 0, 0);
    assert_eq!(slot(&tables, VRF, TCP, 80), Some(4));
    assert_eq!(slot(&tables, VRF, TCP, 81), Some(5));
    assert_eq!(slot(&tables, VRF, 58, 0), Some(5));
    assert_eq!(slot(&tables, VrfSlot::from_raw(4), TCP, 80), None);
    // The same service moves to another port.
    put(&mut tables, 4, TCP, 8080);
    assert_eq!(
        (slot(&tables, VRF, TCP, 80), slot(&tables, VRF, TCP, 8080)),
        (Some(5), Some(4))
    );
    assert!(tables.service(4).is_some() && tables.remove_service(4).is_some() && tables.remove_service(4).is_none());
    assert_eq!(slot(&tables, VRF, TCP, 8080), Some(5));
    assert!(tables.remove_service(5).is_some() && tables.services.is_empty());
}
