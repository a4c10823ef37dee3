//! Policies hold within a bridge as they do between routed networks.

use std::net::IpAddr;

use vrouter_dataplane::{
    packet::DropReason,
    program::object::{Attachment, BridgeSpec, Object, PortSpec, RuleSpec, Verdict, VniTo},
};

use crate::{
    lab::{
        bytes::{Ip, arp, ethernet, framed, solicitation},
        node::{Node, UPLINK, UPLINK_MAC, VTEP4},
        objects::{bridge_spec, flood, identity, policy, port_range, port_spec, rule, station, vni, vrf, vxlan},
        outer::{Shim, encode},
    },
    site::{FAMILIES, REMOTE, all_of, p, remote},
};

const VNI: u32 = 2001;
const GROUP: u32 = 50;

fn host(v6: bool, id: u32) -> IpAddr {
    let text = if v6 {
        format!("fd00:1::{id}")
    } else {
        format!("10.1.0.{id}")
    };
    text.parse().unwrap()
}

/// A bridge with ports 1 to 3 and a remote node; stations 1 and 2 are in a group.
fn bridge() -> Node {
    let mut node = Node::new();
    node.underlay = vec![(remote(false), REMOTE), (remote(true), REMOTE)];
    node.put([vrf(1), vxlan(21, remote(false), VNI), flood(30, &[21])]);
    node.put([Object::Bridge(BridgeSpec {
        vrf: Some(1),
        flood: Some(30),
        ..bridge_spec(1)
    })]);
    node.put([vni(VNI, VniTo::Bridge(1))]);
    node.put([1, 2, 3].map(|id| port(id, None)));
    for v6 in FAMILIES {
        node.put([1, 2].map(|id| identity(1, &all_of(host(v6, id)), &[GROUP])));
    }
    node
}

fn port(id: u32, policy: Option<u32>) -> Object {
    Object::Port(PortSpec {
        policy,
        ..port_spec(id, Attachment::Bridge(1))
    })
}

fn allow(port: u16) -> RuleSpec {
    rule(
        1,
        &[GROUP],
        &[port_range(17, port), port_range(6, port)],
        Verdict::Allow,
    )
}

fn between(v6: bool, from: u32, to: u32, packet: impl FnOnce(Ip) -> Vec<u8>) -> Vec<u8> {
    let ip = Ip::new(host(v6, from), host(v6, to));
    framed(station(to as u8), station(from as u8), &packet(ip))
}

/// Sends a frame; gives the ports that it came out of.
fn reaches(node: &mut Node, from: u32, frame: &[u8]) -> Vec<String> {
    let out = node.send(&p(from), frame);
    let mut ports: Vec<_> = out.into_iter().map(|(interface, _)| interface).collect();
    ports.sort();
    ports
}

#[test]
fn ingress_and_egress_are_asked_and_answers_pass() {
    for v6 in FAMILIES {
        let mut node = bridge();
        // Everybody is heard once, so that their places are known.
        for id in 1..=3 {
            reaches(&mut node, id, &between(v6, id, 9, |ip| ip.udp((1, 2), b"")));
        }
        node.put([policy(1, &[allow(80)], &[]), policy(2, &[], &[allow(80)])]);
        node.put([port(1, Some(1)), port(2, Some(2))]);
        for _ in 0..2 {
            let question = between(v6, 1, 2, |ip| ip.udp((999, 80), b"?"));
            assert_eq!(node.one(&p(1), &question, &p(2)), question);
            let answer = between(v6, 2, 1, |ip| ip.udp((80, 999), b"!"));
            assert_eq!(node.one(&p(2), &answer, &p(1)), answer);
            node.dropped(
                &p(1),
                &between(v6, 1, 2, |ip| ip.udp((999, 81), b"")),
                DropReason::PolicyDeniedEgress,
            );
            node.dropped(
                &p(3),
                &between(v6, 3, 2, |ip| ip.udp((999, 80), b"")),
                DropReason::PolicyDeniedIngress,
            );
            node.dropped(
                &p(2),
                &between(v6, 2, 1, |ip| ip.udp((81, 999), b"")),
                DropReason::PolicyDeniedEgress,
            );
            // Any batch of changes has all of it decided anew.
            node.put([vrf(9)]);
        }
        // Denied from the next packet on, in both directions.
        node.put([policy(2, &[], &[])]);
        node.dropped(
            &p(2),
            &between(v6, 2, 1, |ip| ip.udp((80, 999), b"!")),
            DropReason::PolicyDeniedIngress,
        );
        node.dropped(
            &p(1),
            &between(v6, 1, 2, |ip| ip.udp((999, 80), b"?")),
            DropReason::PolicyDeniedIngress,
        );
        node.put([policy(2, &[], &[allow(80)])]);
        assert_eq!(
            reaches(&mut node, 1, &between(v6, 1, 2, |ip| ip.udp((999, 80), b"?"))),
            [p(2)]
        );
    }
}

#[test]
fn what_is_flooded_reaches_only_those_who_may_hear_it() {
    for v6 in FAMILIES {
        let mut node = bridge();
        node.put([policy(2, &[], &[allow(80)])]);
        node.put([port(2, Some(2))]);
        // Nobody knows station 9.
        let lost = between(v6, 1, 9, |ip| ip.udp((1, 80), b""));
        assert_eq!(reaches(&mut node, 1, &lost), [p(2), p(3), UPLINK.into()]);
        let lost = between(v6, 1, 9, |ip| ip.udp((1, 81), b""));
        assert_eq!(reaches(&mut node, 1, &lost), [p(3), UPLINK.into()]);
        // A group.
        let group: IpAddr = if v6 { "ff02::fb" } else { "224.0.0.251" }.parse().unwrap();
        let all = |port| {
            ethernet(
                vrouter_dataplane::wire::Mac([0x33, 0x33, 0, 0, 0, 0xfb]),
                station(1),
                if v6 { 0x86dd } else { 0x0800 },
                &Ip::new(host(v6, 1), group).udp((1, port), b""),
            )
        };
        assert_eq!(reaches(&mut node, 1, &all(80)), [p(2), p(3), UPLINK.into()]);
        assert_eq!(reaches(&mut node, 1, &all(81)), [p(3), UPLINK.into()]);
    }
}

#[test]
fn stations_find_each_other_whatever_their_policies_and_nothing_else_that_is_not_ip_passes() {
    let mut node = bridge();
    node.put([policy(1, &[], &[])]);
    node.put([port(1, Some(1)), port(2, Some(1))]);
    let (IpAddr::V4(one), IpAddr::V4(two)) = (host(false, 1), host(false, 2)) else {
        unreachable!()
    };
    let question = arp(
        vrouter_dataplane::wire::Mac::BROADCAST,
        1,
        (station(1), one),
        (Default::default(), two),
    );
    assert_eq!(reaches(&mut node, 1, &question).len(), 3);
    let (IpAddr::V6(one), IpAddr::V6(two)) = (host(true, 1), host(true, 2)) else {
        unreachable!()
    };
    assert_eq!(reaches(&mut node, 1, &solicitation((station(1), one), two)).len(), 3);
    reaches(
        &mut node,
        2,
        &arp(
            station(1),
            2,
            (station(2), "10.1.0.2".parse().unwrap()),
            (station(1), "10.1.0.1".parse().unwrap()),
        ),
    );
    node.dropped(
        &p(1),
        &ethernet(station(2), station(1), 0x88b5, &[0; 50]),
        DropReason::UnknownEthertype,
    );
}

#[test]
fn frames_of_other_nodes_are_asked_about_where_they_are_delivered() {
    for v6 in FAMILIES {
        let mut node = bridge();
        let wrap = |frame: &[u8]| {
            encode(
                (UPLINK_MAC, REMOTE),
                remote(false),
                VTEP4.into(),
                0,
                Shim::Vxlan { vni: VNI },
                frame,
            )
        };
        node.put([policy(2, &[], &[rule(1, &[], &[port_range(17, 80)], Verdict::Allow)])]);
        node.put([port(2, Some(2))]);
        reaches(
            &mut node,
            2,
            &arp(
                station(9),
                2,
                (station(2), "10.1.0.2".parse().unwrap()),
                (station(9), "10.1.0.9".parse().unwrap()),
            ),
        );
        node.take();
        let good = between(v6, 7, 2, |ip| ip.udp((5, 80), b""));
        assert_eq!(node.one(UPLINK, &wrap(&good), &p(2)), good);
        let bad = between(v6, 7, 2, |ip| ip.udp((5, 81), b""));
        node.dropped(UPLINK, &wrap(&bad), DropReason::PolicyDeniedIngress);
        // The answer passes to the other node.
        let answer = between(v6, 2, 7, |ip| ip.udp((80, 5), b""));
        assert_eq!(reaches(&mut node, 2, &answer), [UPLINK]);
        node.dropped(
            &p(2),
            &between(v6, 2, 7, |ip| ip.udp((81, 5), b"")),
            DropReason::PolicyDeniedEgress,
        );
    }
}

#[test]
fn fragments_pass_behind_a_head_that_passed() {
    let mut node = bridge();
    for id in [1, 2] {
        reaches(&mut node, id, &between(false, id, 9, |ip| ip.udp((1, 2), b"")));
    }
    node.put([policy(2, &[], &[allow(80)])]);
    node.put([port(2, Some(2))]);
    let piece = |port, id: u16, field: u16| {
        between(false, 1, 2, |mut ip| {
            let datagram = ip.clone().udp((9, port), &[0; 40]);
            (ip.id, ip.fragment) = (id, field);
            let at = usize::from(field & 0x1fff) * 8;
            ip.packet(17, &datagram[20 + at..20 + (at + 24)])
        })
    };
    assert_eq!(reaches(&mut node, 1, &piece(80, 1, 0x2000)), [p(2)]);
    assert_eq!(reaches(&mut node, 1, &piece(80, 1, 3)), [p(2)]);
    node.dropped(&p(1), &piece(81, 2, 0x2000), DropReason::PolicyDeniedIngress);
    node.dropped(&p(1), &piece(81, 2, 3), DropReason::PolicyDeniedIngress);
}

#[test]
fn whoever_was_refused_is_asked_all_the_same_and_may_answer() {
    for v6 in FAMILIES {
        let mut node = bridge();
        for id in [1, 2] {
            reaches(&mut node, id, &between(v6, id, 9, |ip| ip.udp((1, 2), b"")));
        }
        node.put([policy(1, &[allow(80)], &[])]);
        node.put([port(1, Some(1))]);
        let answer = between(v6, 2, 1, |ip| ip.udp((80, 999), b"!"));
        node.dropped(&p(2), &answer, DropReason::PolicyDeniedIngress);
        let question = between(v6, 1, 2, |ip| ip.udp((999, 80), b"?"));
        assert_eq!(node.one(&p(1), &question, &p(2)), question);
        assert_eq!(node.one(&p(2), &answer, &p(1)), answer);
    }
}
