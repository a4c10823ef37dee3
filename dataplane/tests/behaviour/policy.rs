//! Who may talk to whom: asked of the first packet of a flow, in its direction; answers pass; a change holds from the next packet on.

use vrouter_dataplane::{
    packet::DropReason,
    program::object::{LabelTo, Object, PortSpec, RuleSpec, TrafficMatch, Verdict},
};

use crate::{
    lab::{
        bytes::{Ip, framed},
        node::{Node, UPLINK, UPLINK_MAC, VTEP4},
        objects::{identity, label, policy, rule},
        outer::{Shim, encode},
    },
    site::{FAMILIES, MPLS4, REMOTE, VRF, all_of, behind, from_one, host, into, out_of, p, remote, routed_port, site},
};

/// Groups.
const ONES: u32 = 100;
const TWOS: u32 = 200;

const SYN: u8 = 2;
const ACK: u8 = 16;

/// The site with workloads 1 and 2 in a group each.
fn town() -> Node {
    let mut node = site();
    for v6 in FAMILIES {
        node.put([
            identity(VRF, &all_of(host(v6, 1)), &[ONES]),
            identity(VRF, &all_of(host(v6, 2)), &[TWOS]),
        ]);
    }
    node
}

fn port_with(id: u32, policy: u32) -> Object {
    Object::Port(PortSpec {
        policy: Some(policy),
        ..routed_port(id)
    })
}

fn to_port(protocol: u8, port: u16) -> TrafficMatch {
    TrafficMatch {
        protocol,
        first_port: port,
        last_port: port,
        ..TrafficMatch::default()
    }
}

fn allow(id: u32, groups: &[u32], traffic: &[TrafficMatch]) -> RuleSpec {
    rule(id, groups, traffic, Verdict::Allow)
}

/// All packets from either workload to the other, as the other gets them.
fn passes(node: &mut Node, (from, to): (u32, u32), packet: &[u8], received: &[u8]) {
    assert_eq!(node.one(&p(from), &out_of(from, packet), &p(to)), into(to, received));
}

fn ip(v6: bool, from: u32, to: u32) -> Ip {
    Ip::new(host(v6, from), host(v6, to))
}

#[test]
fn egress_is_asked_of_the_first_packet_and_answers_pass() {
    for v6 in FAMILIES {
        let mut node = town();
        node.put([
            policy(1, &[allow(1, &[TWOS], &[to_port(17, 53)])], &[]),
            port_with(1, 1),
        ]);
        let (there, back) = (ip(v6, 1, 2), ip(v6, 2, 1));
        let (hop, hop_back) = (there.clone().hop_limit(63), back.clone().hop_limit(63));
        // Nothing may be begun towards 1, and from it only DNS.
        node.dropped(
            &p(2),
            &out_of(2, &back.udp((53, 999), b"")),
            DropReason::PolicyDeniedIngress,
        );
        node.dropped(
            &p(1),
            &out_of(1, &there.udp((999, 54), b"")),
            DropReason::PolicyDeniedEgress,
        );
        for _ in 0..2 {
            passes(
                &mut node,
                (1, 2),
                &there.udp((1000, 53), b"?"),
                &hop.udp((1000, 53), b"?"),
            );
            passes(
                &mut node,
                (2, 1),
                &back.udp((53, 1000), b"!"),
                &hop_back.udp((53, 1000), b"!"),
            );
        }
        // Another address, which is in no group.
        let packet = from_one(v6, behind(v6, MPLS4)).udp((1000, 53), b"");
        node.dropped(&p(1), &out_of(1, &packet), DropReason::PolicyDeniedEgress);
    }
}

#[test]
fn whoever_was_refused_is_asked_all_the_same_and_may_answer() {
    for v6 in FAMILIES {
        let mut node = town();
        node.put([policy(1, &[allow(1, &[], &[])], &[]), port_with(1, 1)]);
        let (there, back) = (ip(v6, 1, 2), ip(v6, 2, 1));
        let (hop, hop_back) = (there.clone().hop_limit(63), back.clone().hop_limit(63));
        let refused = DropReason::PolicyDeniedIngress;
        // 2 speaks before it is asked, as if it answered.
        node.dropped(&p(2), &out_of(2, &back.udp((53, 1000), b"!")), refused);
        let question = there.udp((1000, 53), b"?");
        passes(&mut node, (1, 2), &question, &hop.udp((1000, 53), b"?"));
        let answer = back.udp((53, 1000), b"!");
        passes(&mut node, (2, 1), &answer, &hop_back.udp((53, 1000), b"!"));
        let (reply, rest) = (if v6 { 129 } else { 0 }, [0, 9, 0, 1]);
        node.dropped(&p(2), &out_of(2, &back.icmp(reply, 0, &rest)), refused);
        passes(&mut node, (1, 2), &there.ping(9, b""), &hop.ping(9, b""));
        let reply = |ip: &Ip| ip.icmp(reply, 0, &rest);
        passes(&mut node, (2, 1), &reply(&back), &reply(&hop_back));
    }
}

#[test]
fn ingress_is_asked_of_what_comes_from_this_node_and_from_others_by_vrf_or_by_label() {
    for v6 in FAMILIES {
        let mut node = town();
        let outside = format!("{}", behind(v6, MPLS4));
        let host_of = |text: &str| format!("{text}/{}", if v6 { 128 } else { 32 });
        node.put([
            identity(VRF, &host_of(&outside), &[300]),
            policy(1, &[], &[allow(1, &[ONES, 300], &[to_port(6, 443), to_port(17, 443)])]),
            port_with(2, 1),
            label(501, LabelTo::Vrf(VRF)),
            label(502, LabelTo::NextHop(12)),
        ]);
        let there = ip(v6, 1, 2);
        passes(
            &mut node,
            (1, 2),
            &there.udp((7, 443), b"x"),
            &there.clone().hop_limit(63).udp((7, 443), b"x"),
        );
        node.dropped(
            &p(1),
            &out_of(1, &there.udp((7, 444), b"x")),
            DropReason::PolicyDeniedIngress,
        );
        for number in [501, 502] {
            let shim = Shim::Mpls {
                label: number,
                tc: 0,
                ttl: 64,
            };
            let wrap = |inner: &[u8]| encode((UPLINK_MAC, REMOTE), remote(false), VTEP4.into(), 0, shim, inner);
            let from = Ip::new(behind(v6, MPLS4), host(v6, 2));
            let port = number as u16;
            let received = node.one(UPLINK, &wrap(&from.udp((port, 443), b"x")), &p(2));
            assert_eq!(received, into(2, &from.clone().hop_limit(63).udp((port, 443), b"x")));
            node.dropped(
                UPLINK,
                &wrap(&from.udp((port, 80), b"x")),
                DropReason::PolicyDeniedIngress,
            );
            // The answer passes though the workload may begin nothing.
            let answer = Ip::new(host(v6, 2), behind(v6, MPLS4));
            let answered = node.send(&p(2), &out_of(2, &answer.udp((443, port), b"x")));
            assert_eq!(answered.len(), 1, "{:?}", node.drops());
            node.dropped(
                &p(2),
                &out_of(2, &answer.udp((443, port + 7), b"x")),
                DropReason::PolicyDeniedEgress,
            );
        }
    }
}

#[test]
fn a_connection_survives_a_change_that_allows_it_and_ends_with_the_next_packet_of_one_that_does_not() {
    for v6 in FAMILIES {
        let mut node = town();
        let ports = (4000, 443);
        node.put([
            policy(1, &[allow(1, &[TWOS], &[to_port(6, 443)])], &[]),
            port_with(1, 1),
        ]);
        let (there, back) = (ip(v6, 1, 2), ip(v6, 2, 1));
        let (hop, hop_back) = (there.clone().hop_limit(63), back.clone().hop_limit(63));
        let say = |node: &mut Node, numbers, flags, text: &[u8]| {
            let segment = |ip: &Ip| ip.segment(ports, numbers, flags, text);
            passes(node, (1, 2), &segment(&there), &segment(&hop));
        };
        let answer = |node: &mut Node, numbers, flags, text: &[u8]| {
            let segment = |ip: &Ip| ip.segment((443, 4000), numbers, flags, text);
            passes(node, (2, 1), &segment(&back), &segment(&hop_back));
        };
        say(&mut node, (100, 0), SYN, b"");
        answer(&mut node, (500, 101), SYN | ACK, b"");
        say(&mut node, (101, 501), ACK, b"hello");
        // Other rules, the same verdict.
        node.put([policy(
            1,
            &[allow(7, &[TWOS, 9], &[to_port(6, 443), to_port(6, 80)])],
            &[],
        )]);
        answer(&mut node, (501, 106), ACK, b"hello");
        say(&mut node, (106, 506), ACK, b"and");
        // Denied: both directions stop, whichever comes first.
        for answer_first in [false, true] {
            node.put([policy(1, &[allow(7, &[TWOS], &[to_port(6, 80)])], &[])]);
            let one = out_of(1, &there.segment(ports, (109, 506), ACK, b"x"));
            let two = out_of(2, &back.segment((443, 4000), (506, 109), ACK, b"x"));
            for _ in 0..2 {
                if answer_first {
                    node.dropped(&p(2), &two, DropReason::PolicyDeniedEgress);
                    node.dropped(&p(1), &one, DropReason::PolicyDeniedEgress);
                } else {
                    node.dropped(&p(1), &one, DropReason::PolicyDeniedEgress);
                    node.dropped(&p(2), &two, DropReason::PolicyDeniedEgress);
                }
            }
            node.put([policy(1, &[allow(7, &[TWOS], &[to_port(6, 443)])], &[])]);
            answer(&mut node, (506, 109), ACK, b"");
            say(&mut node, (109, 506), ACK, b"");
        }
        // A group that the peer leaves has the same effect.
        node.put([identity(VRF, &all_of(host(v6, 2)), &[7])]);
        node.dropped(
            &p(1),
            &out_of(1, &there.segment(ports, (109, 506), ACK, b"x")),
            DropReason::PolicyDeniedEgress,
        );
    }
}

#[test]
fn a_policy_put_on_a_port_holds_for_flows_that_are_there() {
    for v6 in FAMILIES {
        let mut node = town();
        let (there, back) = (ip(v6, 1, 2), ip(v6, 2, 1));
        let (hop, hop_back) = (there.clone().hop_limit(63), back.clone().hop_limit(63));
        passes(&mut node, (1, 2), &there.udp((5, 6), b""), &hop.udp((5, 6), b""));
        passes(&mut node, (2, 1), &back.udp((6, 5), b""), &hop_back.udp((6, 5), b""));
        node.put([policy(1, &[allow(1, &[], &[to_port(17, 6)])], &[]), port_with(1, 1)]);
        passes(&mut node, (2, 1), &back.udp((6, 5), b""), &hop_back.udp((6, 5), b""));
        passes(&mut node, (1, 2), &there.udp((5, 6), b""), &hop.udp((5, 6), b""));
        node.put([policy(1, &[], &[])]);
        node.dropped(
            &p(2),
            &out_of(2, &back.udp((6, 5), b"")),
            DropReason::PolicyDeniedEgress,
        );
        node.dropped(
            &p(1),
            &out_of(1, &there.udp((5, 6), b"")),
            DropReason::PolicyDeniedEgress,
        );
        node.put([Object::Port(routed_port(1))]);
        passes(&mut node, (1, 2), &there.udp((5, 6), b""), &hop.udp((5, 6), b""));
        passes(&mut node, (2, 1), &back.udp((6, 5), b""), &hop_back.udp((6, 5), b""));
    }
}

#[test]
fn echo_is_told_by_who_asks_and_other_icmp_by_its_type() {
    for v6 in FAMILIES {
        let mut node = town();
        let (icmp, request, reply) = if v6 { (58, 128, 129) } else { (1, 8, 0) };
        let echo = TrafficMatch {
            protocol: icmp,
            icmp_type: Some(request),
            ..TrafficMatch::default()
        };
        node.put([policy(1, &[allow(1, &[], &[echo])], &[]), port_with(1, 1)]);
        let (there, back) = (ip(v6, 1, 2), ip(v6, 2, 1));
        let (hop, hop_back) = (there.clone().hop_limit(63), back.clone().hop_limit(63));
        passes(&mut node, (1, 2), &there.ping(9, b"?"), &hop.ping(9, b"?"));
        let answer = [&9_u16.to_be_bytes()[..], &[0, 1], b"?"].concat();
        passes(
            &mut node,
            (2, 1),
            &back.icmp(reply, 0, &answer),
            &hop_back.icmp(reply, 0, &answer),
        );
        // The same identifier, but the other asks.
        node.dropped(&p(2), &out_of(2, &back.ping(9, b"?")), DropReason::PolicyDeniedIngress);
        node.dropped(
            &p(1),
            &out_of(1, &there.icmp(reply, 0, &answer)),
            DropReason::PolicyDeniedEgress,
        );
        let other = if v6 { 144 } else { 13 };
        node.dropped(
            &p(1),
            &out_of(1, &there.icmp(other, 0, &[0; 16])),
            DropReason::PolicyDeniedEgress,
        );
    }
}

#[test]
fn the_gateway_is_spoken_to_whatever_the_policy() {
    for v6 in FAMILIES {
        let mut node = town();
        node.put([policy(1, &[], &[]), port_with(1, 1)]);
        let packet = from_one(v6, crate::site::gateway(v6)).ping(3, b"");
        assert_eq!(node.send(&p(1), &out_of(1, &packet)).len(), 1, "{:?}", node.drops());
    }
}

#[test]
fn segments_that_do_not_belong_to_their_connection_are_dropped_where_a_policy_is() {
    for v6 in FAMILIES {
        let mut node = town();
        node.put([policy(1, &[allow(1, &[], &[])], &[]), port_with(1, 1)]);
        let (there, back) = (ip(v6, 1, 2), ip(v6, 2, 1));
        let send = |node: &mut Node, from: u32, bytes: Vec<u8>| node.send(&p(from), &out_of(from, &bytes)).len();
        assert_eq!(send(&mut node, 1, there.segment((1, 2), (100, 0), SYN, b"")), 1);
        assert_eq!(send(&mut node, 2, back.segment((2, 1), (500, 101), SYN | ACK, b"")), 1);
        assert_eq!(send(&mut node, 1, there.segment((1, 2), (101, 501), ACK, b"x")), 1);
        // Far from anything that was said (RFC 9293, RFC 5961).
        let reset = out_of(2, &back.segment((2, 1), (0x7000_0000, 0), 4, b""));
        node.dropped(&p(2), &reset, DropReason::TcpBadReset);
        let data = out_of(2, &back.segment((2, 1), (0x7000_0000, 102), ACK, b"data"));
        node.dropped(&p(2), &data, DropReason::TcpOutOfWindow);
        let flags = out_of(2, &back.segment((2, 1), (501, 102), 3, b""));
        node.dropped(&p(2), &flags, DropReason::TcpBadFlags);
        // A reset of what is not there begins nothing.
        let stray = out_of(1, &there.segment((8, 9), (1, 0), 4, b""));
        node.dropped(&p(1), &stray, DropReason::TcpBadReset);
        assert_eq!(send(&mut node, 2, back.segment((2, 1), (501, 102), ACK, b"data")), 1);
    }
}

#[test]
fn a_full_share_refuses_new_flows_that_need_state_and_harms_no_other() {
    for v6 in FAMILIES {
        let mut node = town();
        let limited = PortSpec {
            policy: Some(1),
            max_flows: 4,
            ..routed_port(1)
        };
        node.put([policy(1, &[allow(1, &[], &[])], &[]), Object::Port(limited)]);
        let (there, back) = (ip(v6, 1, 2), ip(v6, 2, 1));
        let mut open = Vec::new();
        for port in 0..4 {
            assert_eq!(node.send(&p(1), &out_of(1, &there.udp((port, 9), b""))).len(), 1);
            assert_eq!(node.send(&p(2), &out_of(2, &back.udp((9, port), b""))).len(), 1);
            open.push(port);
        }
        node.dropped(&p(1), &out_of(1, &there.udp((99, 9), b"")), DropReason::FlowLimit);
        for port in open {
            assert_eq!(node.send(&p(1), &out_of(1, &there.udp((port, 9), b""))).len(), 1);
            assert_eq!(node.send(&p(2), &out_of(2, &back.udp((9, port), b""))).len(), 1);
        }
        // Another workload is not concerned, nor is what needs no state.
        let other = Ip::new(host(v6, 2), behind(v6, MPLS4));
        assert_eq!(node.send(&p(2), &out_of(2, &other.udp((1, 2), b""))).len(), 1);
    }
}

#[test]
fn refused_packets_are_remembered_once_and_cheaply() {
    let mut node = town();
    node.put([policy(1, &[], &[]), port_with(1, 1)]);
    let packet = out_of(1, &ip(false, 1, 2).udp((5, 6), b""));
    for _ in 0..3 {
        node.dropped(&p(1), &packet, DropReason::PolicyDeniedEgress);
    }
    assert_eq!(node.dp.shared.flows.used(), 1);
}

#[test]
fn a_guard_is_asked_of_routed_packets() {
    for v6 in FAMILIES {
        let mut node = town();
        node.put([Object::Port(PortSpec {
            guard: Some(crate::lab::objects::guard(&["10.1.0.101", "fd00:1::1:1"])),
            ..routed_port(1)
        })]);
        let packet = ip(v6, 1, 2).udp((5, 6), b"");
        assert_eq!(node.send(&p(1), &out_of(1, &packet)).len(), 1, "{:?}", node.drops());
        let spoofed = Ip::new(behind(v6, MPLS4), host(v6, 2)).udp((5, 6), b"");
        node.dropped(&p(1), &out_of(1, &spoofed), DropReason::SpoofedIp);
        // Nor can the packets of another's flow be sent from here.
        let flow = ip(v6, 2, 1).udp((7, 8), b"");
        assert_eq!(node.send(&p(2), &out_of(2, &flow)).len(), 1);
        let stolen = framed(
            vrouter_dataplane::wire::Mac::GATEWAY,
            crate::lab::objects::station(1),
            &flow,
        );
        node.dropped(&p(1), &stolen, DropReason::SpoofedIp);
        assert_eq!(node.send(&p(2), &out_of(2, &flow)).len(), 1);
    }
}
