//! Addresses behind which there are others: flows find a backend, keep it, and answers come from the address that was asked.

use std::collections::BTreeMap;

use vrouter_dataplane::{
    packet::DropReason,
    program::object::{Attachment, BackendSpec, Key, Object, Operation, PortSpec},
};

use crate::{
    lab::{
        bytes::Ip,
        node::Node,
        objects::{backend, gateways, interface, ip, policy, port_spec, route, rule, service, service_spec, vrf},
        outer::{address4, address6, word},
    },
    site::{FAMILIES, VRF, all_of, attach, host, icmp_error, into, out_of, p, routed_port, site},
};

fn vip(v6: bool) -> &'static str {
    if v6 { "fd00:99::1" } else { "10.99.0.1" }
}

fn of(v6: bool, port: u32, at: u16) -> BackendSpec {
    backend(&host(v6, port).to_string(), at)
}

/// The site with workloads 1 to 5.
fn town() -> Node {
    let mut node = site();
    node.put([3, 4, 5].map(routed_port).into_iter().flat_map(attach));
    node
}

/// Source, destination and ports of a UDP or TCP packet that a workload got.
fn ends(frame: &[u8]) -> ((std::net::IpAddr, u16), (std::net::IpAddr, u16)) {
    let ip = &frame[14..];
    let (source, destination, l4) = if ip[0] >> 4 == 6 {
        (address6(&ip[8..24]), address6(&ip[24..40]), &ip[40..])
    } else {
        (address4(&ip[12..16]), address4(&ip[16..20]), &ip[20..])
    };
    ((source, word(l4, 0)), (destination, word(l4, 2)))
}

/// Asks the service from workload 1; gives the workload that was asked, which has answered.
fn ask(node: &mut Node, v6: bool, port: u16) -> u32 {
    let (client, service) = (host(v6, 1), ip(vip(v6)));
    let question = Ip::new(client, service).udp((port, 53), b"?");
    let mut out = node.send(&p(1), &out_of(1, &question));
    assert_eq!(out.len(), 1, "{:?}", node.drops());
    let (to, frame) = out.remove(0);
    let who = (2..=5).find(|id| interface(*id) == to).unwrap();
    let expected = Ip::new(client, host(v6, who)).hop_limit(63).udp((port, 5353), b"?");
    assert_eq!(frame, into(who, &expected));
    let answer = Ip::new(host(v6, who), client).udp((5353, port), b"!");
    let expected = Ip::new(service, client).hop_limit(63).udp((53, port), b"!");
    assert_eq!(node.one(&p(who), &out_of(who, &answer), &p(1)), into(1, &expected));
    who
}

#[test]
fn flows_are_spread_over_backends_and_answers_come_from_the_service() {
    for v6 in FAMILIES {
        let mut node = town();
        let backends = [2, 3, 4].map(|id| of(v6, id, 5353));
        node.put([service(1, VRF, vip(v6), (17, 53), &backends)]);
        let mut shares = BTreeMap::<u32, u32>::new();
        let asked: Vec<_> = (0..60).map(|port| ask(&mut node, v6, 1000 + port)).collect();
        for who in &asked {
            *shares.entry(*who).or_default() += 1;
        }
        assert_eq!(shares.len(), 3, "{shares:?}");
        // One that is drained, one that is gone, one that is new: those that are there keep their flows.
        let draining = BackendSpec {
            draining: true,
            ..of(v6, 3, 5353)
        };
        node.put([service(
            1,
            VRF,
            vip(v6),
            (17, 53),
            &[of(v6, 5, 5353), draining, of(v6, 2, 5353)],
        )]);
        for (port, before) in asked.iter().enumerate() {
            let now = ask(&mut node, v6, 1000 + port as u16);
            match before {
                4 => assert_ne!(now, 4, "gone"),
                _ => assert_eq!(now, *before),
            }
        }
        for port in 2000..2030 {
            assert!(
                [2, 5].contains(&ask(&mut node, v6, port)),
                "no new flows for one that drains"
            );
        }
    }
}

#[test]
fn a_service_without_backends_is_refused_aloud_and_other_ports_are_not_its_own() {
    for v6 in FAMILIES {
        let mut node = town();
        node.put([
            service(1, VRF, vip(v6), (17, 53), &[]),
            route(VRF, &all_of(ip(vip(v6))), crate::site::LOCAL),
        ]);
        let client = Ip::new(host(v6, 1), ip(vip(v6)));
        let out = node.send(&p(1), &out_of(1, &client.udp((9, 53), b"?")));
        assert_eq!(node.count(DropReason::NoBackend), 1);
        let (_, kind, code, ..) = icmp_error(&out[0].1);
        assert_eq!((kind, code), if v6 { (1, 4) } else { (3, 3) });
        // Its address answers ping.
        assert_eq!(node.send(&p(1), &out_of(1, &client.ping(1, b""))).len(), 1);
        node.put([service(1, VRF, vip(v6), (17, 53), &[of(v6, 2, 5353)])]);
        assert_eq!(ask(&mut node, v6, 9), 2);
        node.apply(&[Operation::Delete(Key::Service(1))]).unwrap();
        node.send(&p(1), &out_of(1, &client.udp((9, 53), b"?")));
        assert_eq!(node.count(DropReason::LocalUnhandled), 1, "{:?}", node.drops());
    }
}

#[test]
fn a_client_that_is_its_own_backend_hears_from_the_service() {
    for v6 in FAMILIES {
        let mut node = town();
        node.put([service(1, VRF, vip(v6), (17, 53), &[of(v6, 1, 5353)])]);
        let (client, service) = (host(v6, 1), ip(vip(v6)));
        let question = Ip::new(client, service).udp((1000, 53), b"?");
        let received = node.one(&p(1), &out_of(1, &question), &p(1));
        assert_eq!(ends(&received), ((service, 1000), (client, 5353)));
        let answer = Ip::new(client, service).udp((5353, 1000), b"!");
        let received = node.one(&p(1), &out_of(1, &answer), &p(1));
        assert_eq!(
            received,
            into(1, &Ip::new(service, client).hop_limit(63).udp((53, 1000), b"!"))
        );
    }
}

#[test]
fn one_source_port_to_two_services_with_one_backend_stays_two_flows() {
    for v6 in FAMILIES {
        let mut node = town();
        let other = if v6 { "fd00:99::2" } else { "10.99.0.2" };
        node.put([
            service(1, VRF, vip(v6), (17, 53), &[of(v6, 2, 5353)]),
            service(2, VRF, other, (17, 53), &[of(v6, 2, 5353)]),
        ]);
        let client = host(v6, 1);
        let mut seen = Vec::new();
        for address in [vip(v6), other] {
            let question = Ip::new(client, ip(address)).udp((1000, 53), b"?");
            for _ in 0..2 {
                let received = node.one(&p(1), &out_of(1, &question), &p(2));
                seen.push((ip(address), ends(&received)));
            }
        }
        assert_eq!(seen[0], seen[1]);
        assert_eq!(seen[2], seen[3]);
        assert_ne!(seen[0].1, seen[2].1, "told apart by another port of the client");
        // A batch of changes changes nothing about it.
        node.put([vrf(40)]);
        for (address, (from, to)) in seen {
            let answer = Ip::new(to.0, from.0).udp((to.1, from.1), b"!");
            let received = node.one(&p(2), &out_of(2, &answer), &p(1));
            assert_eq!(ends(&received), ((address, 53), (client, 1000)));
            let question = Ip::new(client, address).udp((1000, 53), b"?");
            assert_eq!(ends(&node.one(&p(1), &out_of(1, &question), &p(2))), (from, to));
        }
    }
}

#[test]
fn policies_see_the_backend_and_the_client() {
    for v6 in FAMILIES {
        let mut node = town();
        let to_5353 = crate::lab::objects::port_range(17, 5353);
        let allow = |id| rule(id, &[], &[to_5353], vrouter_dataplane::program::object::Verdict::Allow);
        node.put([
            service(1, VRF, vip(v6), (17, 53), &[of(v6, 2, 5353)]),
            policy(1, &[allow(1)], &[]),
            policy(2, &[], &[allow(1)]),
        ]);
        for (id, policy) in [(1, 1), (2, 2)] {
            node.put([Object::Port(PortSpec {
                policy: Some(policy),
                ..routed_port(id)
            })]);
        }
        assert_eq!(ask(&mut node, v6, 1000), 2);
        node.put([policy(2, &[], &[])]);
        let question = Ip::new(host(v6, 1), ip(vip(v6))).udp((1000, 53), b"?");
        node.dropped(&p(1), &out_of(1, &question), DropReason::PolicyDeniedIngress);
    }
}

#[test]
fn a_backend_in_another_vrf_is_reached_and_answers() {
    for v6 in FAMILIES {
        let mut node = town();
        let far = PortSpec {
            gateways: gateways(&["10.1.0.1/24", "fd00:1::1/64"]),
            ..port_spec(6, Attachment::Vrf(2))
        };
        // The same address as workload 2's.
        node.put([
            vrf(2),
            Object::Port(far),
            crate::lab::objects::to_port(16, 6),
            route(2, &all_of(host(v6, 2)), 16),
        ]);
        let there = BackendSpec {
            vrf: Some(2),
            ..of(v6, 2, 0)
        };
        node.put([Object::Service(service_spec(1, VRF, vip(v6), (0, 0), &[there]))]);
        let (client, service) = (host(v6, 1), ip(vip(v6)));
        for _ in 0..2 {
            let question = Ip::new(client, service).udp((1000, 53), b"?");
            let received = node.one(&p(1), &out_of(1, &question), &p(6));
            assert_eq!(ends(&received), ((client, 1000), (host(v6, 2), 53)));
            let answer = Ip::new(host(v6, 2), client).udp((53, 1000), b"!");
            let received = node.one(&p(6), &out_of(6, &answer), &p(1));
            assert_eq!(ends(&received), ((service, 53), (client, 1000)));
            // ICMP, too: everything that is sent to the address.
            let received = node.one(&p(1), &out_of(1, &Ip::new(client, service).ping(5, b"?")), &p(6));
            assert_eq!(
                received,
                into(6, &Ip::new(client, host(v6, 2)).hop_limit(63).ping(5, b"?"))
            );
            node.put([vrf(41)]);
        }
    }
}
